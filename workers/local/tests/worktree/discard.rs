//! A person says: away with it. Everything it held is saved first, and one line brings it back.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use ao_domain::port::worktrees::{Removal, WorktreeError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::world::{World, bring_back, contents, rescued, said};

#[tokio::test]
async fn everything_comes_back_byte_for_byte() {
    let mut world = World::new("bring back");
    // A name that a shell would take apart.
    let odd = world.dir.join("it's $(odd)");
    fs::rename(&world.repo, &odd).unwrap();
    world.repo = odd;
    let repo = world.repo.clone();
    fs::write(repo.join("b.txt"), "b\n").unwrap();
    fs::write(repo.join("c.txt"), "c\n").unwrap();
    world.commit(&repo, "more");
    let path = world.make(1).await;
    let commit = world.commit(&path, "work that is pushed nowhere");
    fs::write(path.join("a.txt"), b"changed\r\n\0\xff").unwrap();
    fs::remove_file(path.join("b.txt")).unwrap();
    world.run(&path, &["update-index", "--assume-unchanged", "c.txt"]);
    fs::write(path.join("c.txt"), "told not to look\n").unwrap();
    fs::write(path.join("new\nname"), "new").unwrap();
    fs::write(path.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("nowhere", path.join("link")).unwrap();
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    world.write("data/worktrees/web/web-1/cache/deep/x", "x");
    let before = contents(&path);

    let rescue = rescued(&world, 1).await;
    assert_eq!(rescue, "refs/ao/rescue/web-1/1");
    assert_eq!(world.registered(), 0);
    assert_eq!(
        world.left_over(),
        ["web-1"],
        "the record of the branch that stays"
    );
    assert_eq!(world.run(&repo, &["rev-parse", "ao/web-1"]), commit);

    let back = bring_back(&world, 1, &rescue);
    assert_eq!(contents(&back), before);
    assert_eq!(
        world.run(&back, &["rev-parse", "HEAD"]),
        commit,
        "as changes, not as a commit"
    );
    assert!(fs::metadata(back.join("run.sh")).unwrap().permissions().mode() & 0o100 != 0);
    let status = world.run(&back, &["status", "--porcelain", "--ignored"]);
    assert!(
        status.contains("!! .env") && !status.contains("?? .env"),
        "{status}"
    );
}

#[tokio::test]
async fn rescue_refs_are_numbered_and_never_overwritten() {
    let world = World::new("numbered");
    let mut commits = Vec::new();
    for n in 1..=3 {
        let path = world.make(1).await;
        fs::write(path.join("new"), format!("{n}")).unwrap();
        let rescue = rescued(&world, 1).await;
        assert_eq!(rescue, format!("refs/ao/rescue/web-1/{n}"));
        // Asked again, it says the same.
        assert_eq!(rescued(&world, 1).await, rescue);
        commits.push(world.run(&world.repo, &["show", &format!("{rescue}:new")]));
    }
    assert_eq!(commits, ["1", "2", "3"]);
    for n in 1..=3 {
        let kept = world.run(&world.repo, &["show", &format!("refs/ao/rescue/web-1/{n}:new")]);
        assert_eq!(kept, format!("{n}"));
    }
}

#[tokio::test]
async fn what_was_staged_detached_or_unfinished_is_in_the_rescue() {
    let world = World::new("staged");
    world.run(&world.repo, &["checkout", "-q", "-b", "side"]);
    world.write("repo/a.txt", "side\n");
    let side = world.commit(&world.repo, "side");
    world.run(&world.repo, &["checkout", "-q", "main"]);
    let path = world.make(1).await;
    world.run(&path, &["checkout", "-q", "--detach"]);
    let detached = world.commit(&path, "detached");
    fs::write(path.join("a.txt"), "staged\n").unwrap();
    world.run(&path, &["add", "a.txt"]);
    fs::write(path.join("a.txt"), "later\n").unwrap();
    let rescue = rescued(&world, 1).await;
    assert_eq!(
        world.run(&world.repo, &["rev-parse", &format!("{rescue}^1")]),
        detached
    );
    assert_eq!(
        world.run(&world.repo, &["show", &format!("{rescue}:a.txt")]),
        "later"
    );
    assert_eq!(
        world.run(&world.repo, &["show", &format!("{rescue}^2:a.txt")]),
        "staged"
    );
    assert!(!world.branch_exists("ao/web-1"), "it had nothing of its own");

    let path = world.make(2).await;
    fs::write(path.join("a.txt"), "ours\n").unwrap();
    let ours = world.commit(&path, "ours");
    assert!(!world.try_run(&path, &["merge", "side"]).status.success());
    let rescue = rescued(&world, 2).await;
    let parents = world.run(&world.repo, &["log", "-1", "--format=%P", &rescue]);
    assert!(parents.starts_with(&ours) && parents.contains(&side), "{parents}");
    assert!(
        world
            .run(&world.repo, &["show", &format!("{rescue}:a.txt")])
            .contains("<<<<<<<")
    );

    let path = world.make(3).await;
    world.run(&path, &["checkout", "-q", "--orphan", "fresh"]);
    let before = contents(&path);
    let rescue = rescued(&world, 3).await;
    assert_eq!(contents(&bring_back(&world, 3, &rescue)), before);
}

/// Two files in conflict whose sides are in no commit as they are staged, and two that are staged beside them and gone or changed since.
async fn in_conflict(world: &World, num: u32) -> Utf8PathBuf {
    let path = world.make(num).await;
    let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
    write("gone", "staged, then deleted\n");
    write("changed", "staged, then changed\n");
    world.run(&path, &["add", "gone", "changed"]);
    fs::remove_file(path.join("gone")).unwrap();
    write("changed", "later\n");
    let object = |text: &str| {
        write("draft", text);
        let object = world.run(&path, &["hash-object", "-w", "draft"]);
        fs::remove_file(path.join("draft")).unwrap();
        object
    };
    let (ours, theirs) = (object("our side\n"), object("their side\n"));
    let entries = format!(
        "0 {} 0\ta.txt\n100644 {ours} 2\ta.txt\n100644 {theirs} 3\ta.txt\n",
        "0".repeat(40)
    );
    world.write("entries", &entries);
    let mut stage = world.command("git", &path);
    stage.args(["update-index", "--index-info"]);
    let input = fs::File::open(world.dir.join("entries")).unwrap();
    assert!(stage.stdin(input).status().unwrap().success());
    assert!(world.run(&path, &["status", "--porcelain"]).contains("AA a.txt"));
    path
}

/// Everything that the files of the commits hold which only this ref has.
fn held_by(world: &World, rescue: &str) -> String {
    let commits = world.run(&world.repo, &["rev-list", rescue, "--not", "--branches"]);
    let show = |commit: &str| world.run(&world.repo, &["grep", "-h", "", commit]);
    commits.lines().map(show).collect()
}

const STAGED: [&str; 4] = [
    "staged, then deleted",
    "staged, then changed",
    "our side",
    "their side",
];

#[tokio::test]
async fn what_is_staged_beside_a_conflict_is_in_the_rescue_and_so_are_both_sides() {
    let world = World::new("conflict");
    in_conflict(&world, 1).await;
    let held = held_by(&world, &rescued(&world, 1).await);
    for text in STAGED.iter().chain(&["later"]) {
        assert!(held.contains(text), "{text}: {held}");
    }
}

#[tokio::test]
async fn what_was_staged_beside_a_conflict_in_a_deleted_directory_is_saved() {
    let world = World::new("conflict-deleted");
    let path = in_conflict(&world, 1).await;
    fs::remove_dir_all(&path).unwrap();
    let held = held_by(&world, &rescued(&world, 1).await);
    for text in STAGED {
        assert!(held.contains(text), "{text}: {held}");
    }
}

#[tokio::test]
async fn a_lock_holds_also_what_a_person_discards() {
    let world = World::new("locked");
    let path = world.make(1).await;
    fs::write(path.join("new"), "new").unwrap();
    let before = contents(&path);
    world.run(&world.repo, &["worktree", "lock", path.as_str()]);
    assert!(matches!(world.remove(1).await.unwrap(), Removal::Kept(_)));
    let Removal::Kept(holdings) = world.discard(1).await.unwrap() else {
        panic!("somebody said that it stays");
    };
    assert_eq!(said(&holdings), ["a lock"]);
    assert_eq!(contents(&path), before);
    world.run(&world.repo, &["worktree", "unlock", path.as_str()]);
    rescued(&world, 1).await;
    assert_eq!(world.registered(), 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_clean_one_needs_no_rescue() {
    let world = World::new("needless");
    world.make(1).await;
    assert_eq!(world.discard(1).await.unwrap(), Removal::Removed { rescue: None });
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn large_ignored_files_go_and_small_ones_are_saved() {
    let world = World::new("large");
    let path = world.make(1).await;
    fs::create_dir(path.join("cache")).unwrap();
    fs::write(path.join("cache/large"), vec![b'x'; 11 << 20]).unwrap();
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    let rescue = rescued(&world, 1).await;
    let files = world.run(&world.repo, &["ls-tree", "-r", "--name-only", &rescue]);
    assert_eq!(files, ".env\n.gitignore\na.txt");
}

#[tokio::test]
async fn what_no_commit_can_hold_stays_even_then() {
    let world = World::new("unsavable");
    let nested = |path: &Utf8Path, folder: &str| {
        world.init(&path.join(folder));
        fs::write(path.join(folder).join("x"), "x").unwrap();
        contents(path)
    };
    let path = world.make(1).await;
    let before = nested(&path, "nested");
    let Removal::Kept(holdings) = world.discard(1).await.unwrap() else {
        panic!("a repository inside it is lost");
    };
    assert_eq!(said(&holdings), ["1 untracked file (nested/)"]);
    assert_eq!(contents(&path), before);

    let path = world.make(2).await;
    nested(&path, "cache/ignored");
    let Removal::Kept(holdings) = world.discard(2).await.unwrap() else {
        panic!("an ignored repository inside it is lost");
    };
    assert_eq!(said(&holdings), ["1 untracked file (cache/)"]);
    assert_eq!(world.registered(), 2);
}

#[tokio::test]
async fn a_submodule_goes_when_its_commits_are_elsewhere() {
    let world = World::new("sub");
    let library = world.dir.join("library");
    world.init(&library);
    world.write("library/l.txt", "l\n");
    world.commit(&library, "library");
    let allow = ["-c", "protocol.file.allow=always"];
    let add = ["submodule", "--quiet", "add", library.as_str(), "lib"];
    world.run(&world.repo, &[&allow[..], &add].concat());
    world.commit(&world.repo, "with a submodule");
    let path = world.make(1).await;
    world.run(
        &path,
        &[&allow[..], &["submodule", "--quiet", "update", "--init"]].concat(),
    );
    let lib = path.join("lib");
    world.run(&lib, &["checkout", "-q", "-b", "mine"]);
    world.commit(&lib, "in the submodule");
    world.run(&lib, &["checkout", "-q", "--detach", "HEAD~1"]);
    assert_eq!(
        world.run(&path, &["status", "--porcelain"]),
        "",
        "the branch is seen by nobody"
    );
    let Removal::Kept(holdings) = world.discard(1).await.unwrap() else {
        panic!("a commit of the submodule is lost");
    };
    assert_eq!(said(&holdings), ["changed submodule lib"]);
    world.run(&lib, &["push", "-q", "origin", "mine"]);
    fs::write(lib.join("l.txt"), "changed\n").unwrap();
    let Removal::Kept(holdings) = world.discard(1).await.unwrap() else {
        panic!("a change in the submodule is lost");
    };
    assert_eq!(said(&holdings), ["changed submodule lib"]);
    world.run(&lib, &["checkout", "-q", "l.txt"]);
    rescued(&world, 1).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_rescue_that_fails_deletes_nothing() {
    let world = World::new("failing");
    let path = world.make(1).await;
    fs::write(path.join("new"), "new").unwrap();
    let before = contents(&path);
    world.write("repo/.git/refs/ao", "in the way of every rescue ref");
    let error = world.discard(1).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Git { .. }), "{error}");
    assert_eq!(contents(&path), before);
    fs::remove_file(world.repo.join(".git/refs/ao")).unwrap();
    rescued(&world, 1).await;
    assert!(!path.exists());
}
