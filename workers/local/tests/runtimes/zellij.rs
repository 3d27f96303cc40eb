//! What only the runtime `zellij` has.

use crate::support::Test;

pub(crate) fn tests() -> Vec<Test> {
    Vec::new()
}
