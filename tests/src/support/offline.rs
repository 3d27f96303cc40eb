//! A machine without a network: there is loopback, and nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Whether loopback is all the network that the calling thread has.
fn is_offline() -> bool {
    let known = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let mut interfaces = known.lines().filter_map(|line| line.split_once(':'));
    interfaces.next().is_some_and(|(name, _)| name.trim() == "lo") && interfaces.next().is_none()
}

/// Moves the calling thread, and with it all that it starts from now on, to where there is loopback alone: whoever asks for another
/// address there is refused at once. Does nothing where it is there already.
///
/// # Errors
///
/// Why it cannot: it takes root, `unshare` and `ip`.
pub fn go_offline() -> Result<(), String> {
    const UP: &str = "ip link set lo up && echo up && exec cat";
    if is_offline() {
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "what makes a network is no part of ao")]
    let mut keeper = Command::new("unshare")
        .args(["--net", "sh", "-c", UP])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let mut said = String::new();
    let mut output = BufReader::new(keeper.stdout.take().expect("it is piped"));
    let moved = match output.read_line(&mut said) {
        Ok(3) => move_to_that_of(keeper.id()).map_err(|error| error.to_string()),
        _ => Err("no network can be made here: that takes root, unshare and ip".to_owned()),
    };
    // The network stays while somebody is in it.
    drop(keeper.stdin.take());
    let ended = keeper.wait().map_err(|error| error.to_string())?;
    moved.and(if ended.success() && is_offline() {
        Ok(())
    } else {
        Err("there is more than loopback".to_owned())
    })
}

fn move_to_that_of(pid: u32) -> std::io::Result<()> {
    let network = fs::File::open(format!("/proc/{pid}/ns/net"))?;
    Ok(move_into_link_name_space(
        network.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}
