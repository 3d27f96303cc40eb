//! Everything that exists nowhere else is found, and nothing that is made again by a build.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::world::World;

#[tokio::test]
async fn files_are_found_whatever_git_was_told_about_them() {
    let world = World::new("files");
    world.write("repo/b.txt", "b\n");
    world.write("repo/c.txt", "c\n");
    world.write("repo/d.txt", "d\n");
    world.commit(&world.repo, "more");
    let path = world.make(1).await;
    let check = async |expected: &[&str]| {
        assert_eq!(world.weighed(1).await, expected);
        world.run(&path, &["reset", "-q", "--hard"]);
        world.run(&path, &["clean", "-qfdx"]);
        assert_eq!(world.weighed(1).await, Vec::<String>::new());
    };
    fs::write(path.join("a.txt"), "two\n").unwrap();
    fs::remove_file(path.join("b.txt")).unwrap();
    check(&["2 modified files (a.txt, b.txt)"]).await;

    // Only in the index.
    fs::write(path.join("a.txt"), "two\n").unwrap();
    world.run(&path, &["add", "a.txt"]);
    fs::write(path.join("a.txt"), "one\n").unwrap();
    check(&["1 modified file (a.txt)"]).await;

    for n in 0..7 {
        fs::write(path.join(format!("new {n}")), "").unwrap();
    }
    check(&["7 untracked files (new 0, new 1, new 2, new 3, new 4, …)"]).await;

    fs::write(path.join("line\nbreak"), "").unwrap();
    fs::write(path.as_std_path().join(OsStr::from_bytes(b"not \xff utf-8")), "").unwrap();
    check(&["2 untracked files (line\nbreak, not \u{fffd} utf-8)"]).await;

    // Git was told not to look.
    world.run(&path, &["update-index", "--assume-unchanged", "c.txt"]);
    world.run(&path, &["update-index", "--skip-worktree", "d.txt"]);
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    fs::write(path.join("c.txt"), "changed\n").unwrap();
    fs::write(path.join("d.txt"), "changed\n").unwrap();
    assert_eq!(world.run(&path, &["status", "--porcelain"]), "");
    assert_eq!(world.weighed(1).await, ["2 modified files (c.txt, d.txt)"]);
    world.run(&path, &["update-index", "--no-assume-unchanged", "c.txt"]);
    world.run(&path, &["update-index", "--no-skip-worktree", "d.txt"]);
    check(&["2 modified files (c.txt, d.txt)"]).await;

    // A repository inside, which git never looks into.
    world.init(&path.join("nested"));
    world.write("data/worktrees/web/web-1/nested/x", "x");
    assert_eq!(world.weighed(1).await, ["1 untracked file (nested/)"]);
}

#[tokio::test]
async fn settings_of_the_person_hide_nothing() {
    let world = World::new("settings");
    for (key, value) in [
        ("status.showUntrackedFiles", "no"),
        ("status.renames", "copies"),
        ("core.trustctime", "false"),
        ("core.quotePath", "true"),
        ("diff.ignoreSubmodules", "all"),
        ("color.ui", "always"),
    ] {
        world.run(&world.repo, &["config", key, value]);
    }
    let path = world.make(1).await;
    fs::rename(path.join("a.txt"), path.join("ä.txt")).unwrap();
    assert_eq!(
        world.weighed(1).await,
        ["1 modified file (a.txt)", "1 untracked file (ä.txt)"]
    );
}

#[tokio::test]
async fn an_ignored_file_counts_and_build_output_does_not() {
    let world = World::new("ignored");
    let path = world.make(1).await;
    for (file, text) in [
        ("target/debug/x", "x"),
        ("sub/target/.env", "x"),
        ("run.log", "x"),
    ] {
        world.write(&format!("data/worktrees/web/web-1/{file}"), text);
    }
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    world.write("data/worktrees/web/web-1/cache/a", "x");
    assert_eq!(world.weighed(1).await, ["2 ignored files (.env, cache/)"]);
}

#[tokio::test]
async fn commits_count_while_they_are_on_one_branch_only() {
    let mut world = World::new("commits");
    let clone = world.dir.join("clone");
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    world.repo = clone.clone();
    let path = world.make(1).await;
    world.commit(&path, "one");
    world.commit(&path, "two");
    assert_eq!(world.weighed(1).await, ["2 commits only on ao/web-1"]);
    world.run(&clone, &["branch", "elsewhere", "ao/web-1~1"]);
    assert_eq!(world.weighed(1).await, ["1 commit only on ao/web-1"]);
    world.run(&clone, &["tag", "kept", "ao/web-1"]);
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    world.run(&clone, &["tag", "-d", "kept"]);
    world.run(&path, &["push", "-q", "origin", "HEAD:refs/heads/pushed"]);
    assert_eq!(world.weighed(1).await, Vec::<String>::new());

    // Another branch checked out: its own commits and those of the session's branch.
    world.commit(&path, "three");
    world.run(&path, &["checkout", "-q", "-b", "ao/web-1-topic", "HEAD~1"]);
    world.commit(&path, "four");
    let both = ["1 commit only on ao/web-1-topic", "1 commit only on ao/web-1"];
    assert_eq!(world.weighed(1).await, both);
    world.run(&path, &["checkout", "-q", "--detach"]);
    world.commit(&path, "five");
    // `topic` is a branch that stays, so only what is beyond it is at stake.
    assert_eq!(
        world.weighed(1).await,
        ["1 commit only on HEAD", "1 commit only on ao/web-1"]
    );
    // The session's own branch may have gone.
    world.run(&path, &["branch", "-q", "-D", "ao/web-1"]);
    assert_eq!(world.weighed(1).await, ["1 commit only on HEAD"]);
}

#[tokio::test]
async fn a_branch_without_a_commit_is_weighed_too() {
    let world = World::new("unborn");
    let path = world.make(1).await;
    world.run(&path, &["checkout", "-q", "--orphan", "fresh"]);
    let weighed = world.weighed(1).await;
    assert_eq!(weighed, ["2 modified files (.gitignore, a.txt)"]);
}

#[tokio::test]
async fn what_is_unfinished_or_locked_counts() {
    let world = World::new("operations");
    world.run(&world.repo, &["checkout", "-q", "-b", "side"]);
    world.write("repo/a.txt", "side\n");
    world.commit(&world.repo, "side");
    world.run(&world.repo, &["checkout", "-q", "main"]);
    world.write("repo/a.txt", "main\n");
    world.commit(&world.repo, "main");
    let path = world.make(1).await;
    for (args, name, abort) in [
        (&["merge", "side"][..], "merge", "--abort"),
        (&["rebase", "side"][..], "rebase", "--abort"),
        (&["cherry-pick", "side"][..], "cherry-pick", "--abort"),
        (&["revert", "HEAD~1"][..], "revert", "--abort"),
    ] {
        world.try_run(&path, args);
        let weighed = world.weighed(1).await;
        assert!(
            weighed.contains(&format!("a {name} in progress")),
            "{name}: {weighed:?}"
        );
        assert!(weighed[0].contains("modified file"), "{name}: {weighed:?}");
        world.run(&path, &[args[0], abort]);
        assert_eq!(world.weighed(1).await, Vec::<String>::new(), "{name}");
    }
    world.run(&path, &["bisect", "start"]);
    assert_eq!(world.weighed(1).await, ["a bisect in progress"]);
    world.run(&path, &["bisect", "reset"]);
    world.run(
        &world.repo,
        &["worktree", "lock", "--reason", "on my stick", path.as_str()],
    );
    assert_eq!(world.weighed(1).await, ["a lock (on my stick)"]);
}

#[tokio::test]
async fn a_submodule_counts_once_it_has_files() {
    let world = World::new("submodule");
    let library = world.dir.join("library");
    world.init(&library);
    world.write("library/l.txt", "l\n");
    world.commit(&library, "library");
    let allow = ["-c", "protocol.file.allow=always"];
    let add = ["submodule", "--quiet", "add", library.as_str(), "lib/one"];
    world.run(&world.repo, &[&allow[..], &add].concat());
    world.commit(&world.repo, "with a submodule");
    let path = world.make(1).await;
    assert_eq!(world.weighed(1).await, Vec::<String>::new(), "not initialised");
    world.run(
        &path,
        &[&allow[..], &["submodule", "--quiet", "update", "--init"]].concat(),
    );
    assert_eq!(world.weighed(1).await, ["changed submodule lib/one"]);
    // On a commit without it, git still keeps its history for this worktree.
    world.run(&path, &["submodule", "--quiet", "deinit", "--all"]);
    assert_eq!(world.weighed(1).await, ["changed submodule lib/one"]);
}

#[tokio::test]
async fn what_is_not_there_weighs_nothing() {
    let world = World::new("absent");
    assert_eq!(world.git.weigh(&world.owner(1)).await.unwrap(), None);
    assert_eq!(world.left_over(), Vec::<String>::new());
}
