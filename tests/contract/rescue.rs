//! What `ao kill --discard` prints is what a person pastes, so that is what brings everything back.

use std::collections::BTreeMap;
use std::fs;

use ao_tests::World;
use camino::{Utf8Path, Utf8PathBuf};

use crate::AO;

/// Every file below `at` but git's own, with what it holds.
fn contents(at: &Utf8Path) -> BTreeMap<Utf8PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path.to_owned());
            } else if entry.file_name() != ".git" {
                let below = path.strip_prefix(at).unwrap().to_owned();
                found.insert(below, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_line_that_kill_prints_brings_everything_back_and_commits_nothing() {
    let world = World::started(AO);
    world.commit(&[(".gitignore", ".env\n")]);
    let arguments = [
        "--agent", "shell", "--branch", "fix/it", "--json", "--", "sleep", "1000",
    ];
    let spawned = world.ao(&[&["spawn", "--project", "web"][..], &arguments].concat());
    let id = spawned.ok().json()["session"]["id"].as_str().unwrap().to_owned();
    let session = world.until(&id, "phase", "live");
    let worktree = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
    fs::write(worktree.join("committed"), "here only\n").unwrap();
    world.git_in(&worktree, &["add", "committed"]);
    world.git_in(&worktree, &["commit", "-q", "-m", "pushed nowhere"]);
    fs::write(worktree.join("README.md"), b"changed\r\n\0\xff").unwrap();
    fs::write(worktree.join("new"), "new\n").unwrap();
    fs::write(worktree.join(".env"), "SECRET=1\n").unwrap();
    let before = contents(&worktree);
    let status = world.git_in(&worktree, &["status", "--porcelain", "--ignored"]);
    let head = world.git_in(&worktree, &["rev-parse", "HEAD"]);

    let killed = world.ao(&["kill", &id, "--discard"]).ok();
    assert!(!worktree.exists(), "{killed:?}");
    let line = killed
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("bring it back: "))
        .unwrap_or_else(|| panic!("it is not said how to bring it back: {killed:?}"));
    let pasted = world.command("sh", &["-c", line]).output().unwrap();
    assert!(pasted.status.success(), "{line}: {pasted:?}");

    // Where it is now, as git says: the one worktree beside the repository's own.
    let list = world.git(&["worktree", "list", "--porcelain"]);
    let places: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("worktree "))
        .collect();
    assert_eq!(places.len(), 2, "{list}");
    let back = Utf8Path::new(places[1]);
    assert!(!back.starts_with(&world.data), "where a person finds it: {back}");
    assert_eq!(contents(back), before);
    assert_eq!(
        world.git_in(back, &["symbolic-ref", "--short", "HEAD"]).trim(),
        "fix/it-rescued-1"
    );
    assert_eq!(
        world.git_in(back, &["rev-parse", "HEAD"]),
        head,
        "no commit more than there was"
    );
    assert_eq!(
        world.git_in(back, &["diff", "--cached", "--name-only"]),
        "",
        "nothing is staged"
    );
    assert_eq!(
        world.git_in(back, &["status", "--porcelain", "--ignored"]),
        status,
        "changed as changed, ignored as ignored"
    );
}
