//! Supervises coding agents: spawns them, keeps their true status and never loses their work
