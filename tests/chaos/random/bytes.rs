//! Whether every byte that somebody wrote is still there: in its worktree, on a branch, or in what was rescued.

use std::fs;

use ao_tests::World;
use camino::Utf8Path;

use super::site::Site;

/// Marks that were whole once and are nowhere any more.
pub(super) fn lost(world: &World, site: &Site) -> Vec<String> {
    let mut marks: Vec<String> = fs::read_to_string(world.dir.join("home/wrote"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    marks.extend(site.book.lock().unwrap().wrote.clone());
    let mut there = String::new();
    files(&world.data.join("worktrees"), &mut there);
    for commit in world.git(&["rev-list", "--all"]).lines() {
        there += &kept_in(world, commit);
    }
    marks.retain(|mark| !there.contains(mark.as_str()));
    marks
}

/// All lines with a mark in a commit's files.
fn kept_in(world: &World, commit: &str) -> String {
    let grep = ["-C", world.repo.as_str(), "grep", "-h", "-F", "precious-", commit];
    let output = world.command("git", &grep).output().expect("git is installed");
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

/// How many marks there were.
pub(super) fn written(site: &Site) -> u64 {
    let agents = fs::read_to_string(site.dir.join("home/wrote")).unwrap_or_default();
    (agents.lines().count() + site.book.lock().unwrap().wrote.len()) as u64
}
