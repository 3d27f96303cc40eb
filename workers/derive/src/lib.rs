//! What the facts mean: status, liveness and the next step, as pure functions
