//! Changes the outside world, one session at a time
