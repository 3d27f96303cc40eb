//! An error with everything behind it, as one line.

use std::error::Error;
use std::fmt;

/// Prints an error and its whole source chain as `outer: middle: root`; made by [`chain`].
pub struct Chain<'a>(&'a (dyn Error + 'a));

/// The whole chain of `error`, for a log line, a row or a person.
///
/// No `Display` of ours prints its own source, so nothing appears twice.
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> Chain<'a> {
    Chain(error)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
