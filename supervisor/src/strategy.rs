//! Who goes down with a child that is started again.

use serde::Serialize;

/// Which siblings are started anew together with a child that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Only the child that ended. Siblings do not notice.
    OneForOne,
    /// All of them: the others are stopped, last one first, and then all are started in order. For children that are
    /// nothing without each other.
    OneForAll,
    /// The child that ended and all that were listed after it: those are stopped, last one first, and then the whole
    /// group is started in order. For children that rest on the ones before them.
    RestForOne,
}

impl Strategy {
    /// The word used when serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::OneForOne => "one_for_one",
            Strategy::OneForAll => "one_for_all",
            Strategy::RestForOne => "rest_for_one",
        }
    }

    /// The first in start order that is started anew with the child at `culprit`.
    pub(crate) fn first(self, culprit: u32) -> u32 {
        match self {
            Strategy::OneForAll => 0,
            Strategy::OneForOne | Strategy::RestForOne => culprit,
        }
    }
}
