//! Directories that may not be written to: no worktree is half deleted because of them, and no rescue ref kept secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_domain::port::worktrees::{Removal, Worktrees as _};
use camino::Utf8Path;

use crate::world::World;

/// Who runs a test again that root started, since root may write everywhere.
const NOBODY: &str = "65534";

/// Whether this process has to obey modes. If not, the test `name` has been run by one that has to, and went well.
fn obeys_modes(name: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    // A copy, for the folder of the build may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("worktree-tests");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test runs itself as another user")]
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(&copy)
        .args(["--exact", "--nocapture", &format!("readonly::{name}")])
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

fn set_mode(path: &Utf8Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The ref, and what `file` holds in it.
fn rescued(world: &World, removal: Removal, file: &str) -> String {
    let Removal::Removed { rescue: Some(rescue) } = removal else {
        panic!("the caller does not learn the ref: {removal:?}");
    };
    world.run(&world.repo, &["show", &format!("{rescue}:{file}")])
}

#[tokio::test]
async fn read_only_directories_go_with_their_worktree() {
    if !obeys_modes("read_only_directories_go_with_their_worktree") {
        return;
    }
    let world = World::new("readonly");
    let path = world.make(1).await;
    fs::write(path.join("new"), "new\n").unwrap();
    world.write("data/worktrees/web/web-1/cache/mod/deep/x.go", "x");
    for folder in ["cache/mod/deep", "cache/mod", "cache"] {
        set_mode(&path.join(folder), 0o555);
    }
    let removal = world.discard(1).await.unwrap();
    assert_eq!(rescued(&world, removal, "new"), "new");
    let folder = path.parent().unwrap();
    let left: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_ref_is_told_also_when_not_all_could_be_cleared_away() {
    if !obeys_modes("a_ref_is_told_also_when_not_all_could_be_cleared_away") {
        return;
    }
    let world = World::new("not cleared");
    let path = world.make(1).await;
    fs::write(path.join("new"), "new\n").unwrap();
    let entry = world.repo.join(".git/worktrees/web-1");
    set_mode(&entry, 0o555); // git cannot forget the worktree
    let removal = world.discard(1).await.unwrap();
    assert_eq!(rescued(&world, removal.clone(), "new"), "new");
    assert!(!path.exists());
    set_mode(&entry, 0o755);
    assert_eq!(
        world.git.remove(&world.owner(1), true).await.unwrap(),
        removal,
        "and again"
    );
    assert!(!entry.exists(), "made good by the next call");
}
