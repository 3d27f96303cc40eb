//! What shows that ao does what it promises
