//! The tree, drawn once, and what serves which port
