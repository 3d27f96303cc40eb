//! Pull requests as the daemon's own children see them, against a stand-in for GitHub, on a clock that the test moves and with a real
//! database file.

mod costs;
mod silence;
mod sim;
mod tokens;
mod trouble;
