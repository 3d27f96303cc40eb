//! The stand-in for GitHub is true to what GitHub publishes: what tests on it show is worth no more than that.

mod checks;
mod costs;
mod documents;
mod faults;
mod limits;
mod paging;
mod pulls;
mod refusals;
mod stage;
