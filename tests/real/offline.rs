//! Nothing but loopback is asked by a real agent in any of these tests: for it there is nothing else.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;

use ao_tests::not_tested;

use crate::agent::Real;
use crate::kinds::CLAUDE;
use crate::table::{said, worktree};

#[test]
fn an_agent_has_no_network_but_loopback() {
    const NAME: &str = "offline::an_agent_has_no_network_but_loopback";
    let Some(real) = Real::of_with(&CLAUDE, NAME, |_| {}) else {
        return;
    };
    // In a thread of its own: that this machine can says nothing of whether it was done.
    if let Err(why) = std::thread::spawn(ao_tests::go_offline).join().unwrap() {
        return not_tested(NAME, &why);
    }
    let id = real.spawn(
        &["--permissions", "bypass-permissions"],
        "STUB: run cp /proc/net/dev there.txt\nSTUB: say looked",
    );
    let done = said(&real, &id, "looked");
    let there = fs::read_to_string(worktree(&done).join("there.txt")).unwrap();
    let interfaces: Vec<&str> = there
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    assert_eq!(interfaces, ["lo"]);
    // An address of the documentation's, which nobody has.
    let refused = TcpStream::connect("192.0.2.1:443").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NetworkUnreachable);
    real.kill(&id, &["--discard"]);
}
