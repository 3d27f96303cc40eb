//! Whether every byte that somebody wrote is still there: in its worktree, in what git can reach from a name, or in an index.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use ao_tests::World;
use camino::Utf8Path;

use super::site::Site;

/// What is counted of marks by where they are, and the letters that they end with.
const KINDS: [(&str, &str); 3] = [
    ("marks on no branch", "o"),
    ("marks in a stash", "hk"),
    ("marks in an index alone", "xy"),
];

/// Marks that were whole once and are nowhere any more.
pub(super) fn lost(world: &World, site: &Site) -> Vec<String> {
    let mut there = String::new();
    files(&world.data.join("worktrees"), &mut there);
    there += &kept_by_git(world);
    let mut marks = marks(site);
    marks.retain(|mark| !there.contains(mark.as_str()));
    marks
}

fn marks(site: &Site) -> Vec<String> {
    let agents = fs::read_to_string(site.dir.join("home/wrote")).unwrap_or_default();
    let mut marks: Vec<String> = agents.lines().map(str::to_owned).collect();
    marks.extend(site.book.lock().unwrap().wrote.clone());
    marks
}

/// Everything that git will not collect: what it reaches from any ref, from the `HEAD` and the index of any worktree, and from any
/// stash. All worktrees share those, and all but the newest are in the log of their ref alone. No other log counts: those of a worktree
/// go with it.
fn kept_by_git(world: &World) -> String {
    let mut from = vec![
        "rev-list",
        "--objects",
        "--no-object-names",
        "--all",
        "--indexed-objects",
    ];
    let any = !world.git(&["for-each-ref", "refs/stash"]).is_empty();
    let stashes = if any {
        world.git(&["rev-list", "--walk-reflogs", "refs/stash"])
    } else {
        String::new()
    };
    from.extend(stashes.lines());
    let list = world.dir.join("objects");
    fs::write(&list, world.git(&from)).unwrap();
    let mut read = world.command("git", &["-C", world.repo.as_str(), "cat-file", "--batch"]);
    let output = read
        .stdin(Stdio::from(fs::File::open(&list).unwrap()))
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn files(folder: &Utf8Path, there: &mut String) {
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(path, there),
            Ok(kind) if kind.is_file() => {
                there.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default()));
                there.push('\n');
            }
            _ => {}
        }
    }
}

/// How many marks there were, and how many of those that are in no file.
pub(super) fn count(site: &Site, counts: &mut BTreeMap<&'static str, u64>) {
    let marks = marks(site);
    counts.insert("marks", marks.len() as u64);
    for (kind, letters) in KINDS {
        let is_one = |mark: &&String| {
            mark.trim_end_matches('.')
                .ends_with(|letter| letters.contains(letter))
        };
        counts.insert(kind, marks.iter().filter(is_one).count() as u64);
    }
}
