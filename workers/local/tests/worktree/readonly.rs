//! Directories that may not be written to: no worktree is half deleted because of them, and no rescue ref kept secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_domain::port::worktrees::{Removal, Worktrees as _};
use camino::Utf8Path;

use crate::world::{World, contents};

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
        world.git.remove(&world.owner(1), true, &[]).await.unwrap(),
        removal,
        "and again"
    );
    assert!(!entry.exists(), "made good by the next call");
}

fn git(world: &World, mode: &str) {
    let change = world
        .command("chmod", &world.repo)
        .args(["-R", mode, ".git"])
        .status();
    assert!(change.unwrap().success());
}

#[tokio::test]
async fn a_repository_that_may_not_be_written_to_is_told_and_nothing_is_half_done() {
    if !obeys_modes("a_repository_that_may_not_be_written_to_is_told_and_nothing_is_half_done") {
        return;
    }
    let world = World::new("repo readonly");
    let path = world.make(1).await;
    fs::write(path.join("new"), "new\n").unwrap();
    let clean = world.make(2).await;
    let pruned = world.make(4).await;
    fs::write(pruned.join("new"), "new\n").unwrap();
    fs::remove_dir_all(world.repo.join(".git/worktrees/web-4")).unwrap();
    let before = (contents(&path), contents(&pruned));
    git(&world, "a-w");
    // Made: refused. Weighed: as ever.
    let told = format!(
        "`{}/.git` may not be written to: make it writable, then try again",
        world.repo
    );
    let error = world.git.create(&world.plan(3)).await.unwrap_err();
    assert_eq!(error.to_string(), told);
    assert!(!world.owner(3).path.exists());
    assert_eq!(world.weighed(1).await, ["1 untracked file (new)"]);
    // Discarded: what cannot be saved stays, where it was. Attached: not half.
    assert_eq!(world.discard(1).await.unwrap_err().to_string(), told);
    assert_eq!(
        world.git.create(&world.plan(4)).await.unwrap_err().to_string(),
        told
    );
    assert_eq!((contents(&path), contents(&pruned)), before);
    // Nothing to save: its files go, and git is told when it can be.
    assert_eq!(world.remove(2).await.unwrap(), Removal::Removed { rescue: None });
    assert!(!clean.exists());
    git(&world, "u+w");
    assert_eq!(world.registered(), 2);
    for num in [2, 3] {
        assert_eq!(world.remove(num).await.unwrap(), Removal::Absent, "{num}");
        assert!(!world.branch_exists(&world.owner(num).branch), "{num}");
    }
    world.make(4).await;
    assert_eq!((contents(&path), contents(&pruned)), before);
    assert_eq!(world.left_over(), ["web-1", "web-1", "web-4", "web-4"]);
    assert_eq!(world.registered(), 2);
}

#[tokio::test]
async fn a_folder_of_worktrees_that_may_not_be_written_to_is_told() {
    if !obeys_modes("a_folder_of_worktrees_that_may_not_be_written_to_is_told") {
        return;
    }
    let world = World::new("data readonly");
    let path = world.make(1).await;
    let folder = path.parent().unwrap().to_owned();
    set_mode(&folder, 0o555);
    let error = world.git.create(&world.plan(2)).await.unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
    let error = world.remove(1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("moving the worktree aside failed at `{path}`")
    );
    // Its link to git gone, in a worktree that may not be written to.
    fs::remove_file(path.join(".git")).unwrap();
    set_mode(&path, 0o555);
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("writing the worktree's link to git failed at `{path}/.git`")
    );
    set_mode(&path, 0o755);
    set_mode(&folder, 0o755);
    world.make(1).await;
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    for num in [1, 2] {
        world.remove(num).await.unwrap();
    }
    assert_eq!((world.left_over(), world.registered()), (Vec::new(), 0));
    assert!(!world.branch_exists("ao/web-2"));
    // Not even a lock can be had: nothing is begun.
    let locks = world.dir.join("data/work");
    set_mode(&locks, 0o555);
    let error = world.git.create(&world.plan(3)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("taking the session's lock failed at `{locks}/web-3`")
    );
    set_mode(&locks, 0o755);
    assert!(!world.branch_exists("ao/web-3"));
}
