//! Who goes down with a child that is started again.

use serde::Serialize;

/// Which siblings are started anew together with a child that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Only the child that ended. Siblings do not notice.
    OneForOne,
    /// The child that ended and all that were listed after it: those are stopped, last one first, and then the whole
    /// group is started in order. For children that rest on the ones before them.
    RestForOne,
}
