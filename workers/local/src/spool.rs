//! The hook spool.
