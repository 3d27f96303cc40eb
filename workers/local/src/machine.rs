//! This machine: its boot, and the memory it has left.

use std::fs;

use ao_domain::port::machine::Machine;
use camino::{Utf8Path, Utf8PathBuf};

use crate::process::boot_id;

/// Where the kernel tells of the memory, and where of groups that have a bound of their own (cgroup v2).
const MEMINFO: &str = "/proc/meminfo";
const GROUP: &str = "/proc/self/cgroup";
const GROUPS: &str = "/sys/fs/cgroup";

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn boot(&self) -> Option<String> {
        boot_id().ok()
    }

    fn free_memory(&self) -> Option<u64> {
        let whole = fs::read_to_string(MEMINFO).ok().as_deref().and_then(available);
        let group = fs::read_to_string(GROUP).ok().and_then(|text| group_of(&text));
        let bounds = group.into_iter().flat_map(|group| {
            let up: Vec<Utf8PathBuf> = group.ancestors().map(Utf8Path::to_owned).collect();
            up.into_iter().filter_map(|group| {
                let read =
                    |name: &str| fs::read_to_string(Utf8Path::new(GROUPS).join(&group).join(name)).ok();
                headroom(
                    &read("memory.max")?,
                    &read("memory.current")?,
                    &read("memory.stat")?,
                )
            })
        });
        whole.into_iter().chain(bounds).min()
    }

    fn secret(&self) -> String {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the kernel's random numbers are there since early boot");
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

/// MiB that the kernel says could be given out without swapping.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

/// The control group this process is in, below where they are mounted.
fn group_of(text: &str) -> Option<Utf8PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(path.into())
}

/// MiB that a group may still take: its bound less what it has, of which cached files count as free.
fn headroom(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?; // `max` is no bound
    let current: u64 = current.trim().parse().ok()?;
    let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let cached: u64 = cached.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(max.saturating_sub(current.saturating_sub(cached)) / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let meminfo = "MemTotal:       24576000 kB\nMemFree:  1 kB\nMemAvailable:   2097152 kB\n";
        assert_eq!(available(meminfo), Some(2048));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(
            group_of("1:name=x:/y\n0::/user.slice/a\n"),
            Some("user.slice/a".into())
        );
        assert_eq!(group_of("4:memory:/x\n"), None);
        let mib = |n: u64| (n * 1024 * 1024).to_string();
        assert_eq!(
            headroom(
                &mib(1_000),
                &mib(900),
                &format!("anon 1\ninactive_file {}\n", mib(300))
            ),
            Some(400)
        );
        assert_eq!(headroom("max\n", &mib(1), ""), None);
    }

    #[test]
    fn this_machine_tells() {
        assert!(ThisMachine.boot().is_some_and(|boot| boot.len() == 36));
        assert!(ThisMachine.free_memory().is_some_and(|free| free > 0));
        let secret = ThisMachine.secret();
        assert_eq!(secret.len(), 32);
        assert_ne!(secret, ThisMachine.secret());
    }
}
