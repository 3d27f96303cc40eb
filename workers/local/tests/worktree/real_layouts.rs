//! Repositories as people have them: sparse, shallow, huge, linked, of another hash, with settings of their own; and worktrees
//! in the middle of something.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use ao_domain::port::worktrees::{Removal, WorktreePlan, Worktrees as _};
use camino::{Utf8Path, Utf8PathBuf};

use crate::world::{World, bring_back, contents, rescued};

const GONE: Removal = Removal::Removed { rescue: None };

/// Made, found clean, gone; made, worked in, kept, discarded and brought back whole; a commit kept.
async fn lives_a_whole_life(world: &World, base: &str) {
    let plan = |num| WorktreePlan {
        base: base.to_owned(),
        ..world.plan(num)
    };
    world.git.create(&plan(1)).await.unwrap();
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert!(!world.branch_exists("ao/web-1"));

    world.git.create(&plan(2)).await.unwrap();
    let path = world.owner(2).path;
    let commit = world.commit(&path, "work");
    assert_eq!(world.weighed(2).await, ["1 commit only on ao/web-2"]);
    fs::write(path.join("a.txt"), "changed\n").unwrap();
    fs::write(path.join("new"), "new\n").unwrap();
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    let before = contents(&path);
    let Removal::Kept(holdings) = world.remove(2).await.unwrap() else {
        panic!("it held something");
    };
    assert_eq!(holdings.len(), 4, "{holdings:?}");
    assert_eq!(contents(&path), before);
    let rescue = rescued(world, 2).await;
    let back = bring_back(world, 2, &rescue);
    assert_eq!(contents(&back), before);
    assert_eq!(world.run(&back, &["rev-parse", "HEAD"]), commit);
    // And one whose branch is deleted under it.
    world.git.create(&plan(3)).await.unwrap();
    let path = world.owner(3).path;
    let commit = world.commit(&path, "other work");
    world.run(&world.repo, &["update-ref", "-d", "refs/heads/ao/web-3"]);
    assert_eq!(world.weighed(3).await, ["1 commit only on ao/web-3"]);
    assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit);
}

#[tokio::test]
async fn another_default_branch_and_another_hash_are_as_good() {
    let mut world = World::new("sha256");
    world.repo = world.dir.join("other");
    fs::create_dir_all(&world.repo).unwrap();
    world.run(
        &world.repo,
        &["init", "-q", "-b", "trunk", "--object-format=sha256"],
    );
    world.write("other/a.txt", "one\n");
    world.write("other/.gitignore", ".env\n");
    let commit = world.commit(&world.repo, "first");
    assert_eq!(commit.len(), 64);
    let repository = world.git.repository(&world.repo).await.unwrap();
    assert_eq!(repository.default_branch, "trunk");
    assert!(world.git.has_commit(&world.repo, "trunk", &commit).await.unwrap());
    lives_a_whole_life(&world, "trunk").await;
}

#[tokio::test]
async fn a_shallow_clone_is_as_good() {
    let mut world = World::new("shallow");
    world.commit(&world.repo, "second");
    let (url, clone) = (format!("file://{}", world.repo), world.dir.join("clone"));
    world.run(&world.dir, &["clone", "-q", "--depth=1", &url, clone.as_str()]);
    world.repo = clone;
    assert_eq!(world.run(&world.repo, &["rev-list", "--count", "HEAD"]), "1");
    lives_a_whole_life(&world, "origin/main").await;
}

#[tokio::test]
async fn a_repository_that_is_a_linked_worktree_itself_is_as_good() {
    let mut world = World::new("linked");
    let linked = world.dir.join("linked here");
    world.run(
        &world.repo,
        &["worktree", "add", "-q", "-b", "side", linked.as_str()],
    );
    world.repo = linked.clone();
    lives_a_whole_life(&world, "side").await;
    assert!(linked.join("a.txt").exists());
    assert_eq!(world.run(&linked, &["symbolic-ref", "HEAD"]), "refs/heads/side");
}

#[tokio::test]
async fn settings_of_the_repository_have_no_say() {
    let world = World::new("settings of it");
    world.run(&world.repo, &["config", "extensions.worktreeConfig", "true"]);
    let top = world.repo.as_str();
    for (scope, key, value) in [
        ("--worktree", "core.worktree", top),
        ("--local", "core.splitIndex", "true"),
        ("--local", "core.untrackedCache", "true"),
        ("--local", "index.version", "4"),
        ("--local", "core.logAllRefUpdates", "always"),
        ("--local", "worktree.guessRemote", "true"),
        ("--local", "checkout.defaultRemote", "nowhere"),
        ("--local", "commit.gpgSign", "true"),
        ("--local", "gpg.program", "/nowhere/gpg"),
        ("--local", "status.short", "true"),
        ("--local", "clean.requireForce", "true"),
        ("--local", "init.defaultBranch", "trunk"),
    ] {
        world.run(&world.repo, &["config", scope, key, value]);
    }
    let repository = world.git.repository(&world.repo).await.unwrap();
    assert_eq!(repository.default_branch, "main");
    // For the commits that this test makes itself.
    world.run(&world.repo, &["config", "--worktree", "commit.gpgSign", "false"]);
    let path = world.make(9).await;
    fs::write(path.join("new"), "new\n").unwrap();
    let rescue = rescued(&world, 9).await; // signed by nobody
    assert!(
        !world
            .run(&world.repo, &["cat-file", "commit", &rescue])
            .contains("gpgsig")
    );
    world.run(&world.repo, &["config", "commit.gpgSign", "false"]);
    lives_a_whole_life(&world, "main").await;
}

#[tokio::test]
async fn files_left_out_by_a_sparse_checkout_are_not_deleted() {
    let world = World::new("sparse");
    for folder in ["in", "out", "later"] {
        world.write(&format!("repo/{folder}/x.txt"), "x\n");
    }
    world.commit(&world.repo, "folders");
    world.run(
        &world.repo,
        &[
            "sparse-checkout",
            "set",
            "--cone",
            "--sparse-index",
            "in",
            "later",
        ],
    );
    assert!(!world.repo.join("out").exists());
    let path = world.make(1).await;
    world.run(&path, &["sparse-checkout", "set", "--cone", "in"]);
    assert!(path.join("in/x.txt").exists() && !path.join("later").exists());
    assert_eq!(world.weighed(1).await, Vec::<String>::new());

    // A file where git expects none, of that name and of another.
    world.write("data/worktrees/web/web-1/out/x.txt", "changed\n");
    world.write("data/worktrees/web/web-1/later/y.txt", "new\n");
    fs::write(path.join("in/x.txt"), "changed\n").unwrap();
    let expected = [
        "2 modified files (in/x.txt, out/x.txt)",
        "1 untracked file (later/y.txt)",
    ];
    assert_eq!(world.weighed(1).await, expected);
    let before = contents(&path);
    assert!(matches!(world.remove(1).await.unwrap(), Removal::Kept(_)));
    assert_eq!(contents(&path), before);
    let rescue = rescued(&world, 1).await;
    let files = world.run(&world.repo, &["ls-tree", "-r", "--name-only", &rescue]);
    for file in ["in/x.txt", "out/x.txt", "later/x.txt", "later/y.txt"] {
        assert!(files.lines().any(|line| line == file), "{file} is not in {files}");
    }
    let show = |file: &str| world.run(&world.repo, &["show", &format!("{rescue}:{file}")]);
    assert_eq!(
        (show("out/x.txt"), show("later/x.txt")),
        ("changed".into(), "x".into())
    );
    world.make(2).await;
    assert_eq!(world.remove(2).await.unwrap(), GONE);
}

#[tokio::test]
async fn a_hundred_thousand_files_are_weighed_and_taken_back() {
    let world = World::in_memory("huge");
    let mut import = world
        .command("git", &world.repo)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = String::from("blob\nmark :1\ndata 0\n\ncommit refs/heads/huge\n");
    stream.push_str("committer t <t@example.org> 0 +0000\ndata 4\nhuge\n");
    for n in 0..100_000 {
        stream.push_str(&format!("M 100644 :1 d{}/f{n}\n", n / 1000));
    }
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    let plan = WorktreePlan {
        base: "huge".to_owned(),
        ..world.plan(1)
    };
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    let path = &plan.owner.path;
    fs::write(path.join("d7/f7000"), "changed\n").unwrap();
    fs::write(path.join("d99/new"), "new\n").unwrap();
    let expected = ["1 modified file (d7/f7000)", "1 untracked file (d99/new)"];
    assert_eq!(world.weighed(1).await, expected);
    let rescue = rescued(&world, 1).await;
    assert!(!path.exists());
    assert_eq!(
        world.run(&world.repo, &["diff", "--name-only", "huge", &rescue]),
        "d7/f7000\nd99/new"
    );
    assert_eq!(world.registered(), 0);
}

/// A worktree on two commits of its own that conflict with `side`.
async fn in_conflict(world: &World) -> (Utf8PathBuf, String) {
    world.run(&world.repo, &["checkout", "-q", "-b", "side"]);
    world.write("repo/a.txt", "side\n");
    world.commit(&world.repo, "side");
    world.run(&world.repo, &["checkout", "-q", "main"]);
    let path = world.make(1).await;
    fs::write(path.join("b.txt"), "b\n").unwrap();
    world.commit(&path, "fits");
    fs::write(path.join("a.txt"), "ours\n").unwrap();
    let tip = world.commit(&path, "does not fit");
    (path, tip)
}

fn holds(world: &World, rescue: &str, commit: &str) -> bool {
    let asked = ["merge-base", "--is-ancestor", commit, rescue];
    world.try_run(&world.repo, &asked).status.success()
}

fn staged(world: &World, path: &Utf8Path) -> String {
    world.run(path, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn what_is_in_the_middle_of_something_is_kept_and_saved_whole() {
    for operation in ["rebase", "cherry-pick", "bisect"] {
        let world = World::new(&format!("middle {operation}"));
        let (path, tip) = in_conflict(&world).await;
        fs::write(path.join("later"), "later\n").unwrap();
        match operation {
            "rebase" => {
                assert!(!world.try_run(&path, &["rebase", "side"]).status.success());
            }
            "cherry-pick" => {
                assert!(!world.try_run(&path, &["cherry-pick", "side"]).status.success());
            }
            _ => {
                world.run(&path, &["bisect", "start"]);
                world.run(&path, &["bisect", "bad"]);
                world.run(&path, &["bisect", "good", "main"]);
            }
        }
        let head = staged(&world, &path);
        let before = contents(&path);
        let Removal::Kept(holdings) = world.remove(1).await.unwrap() else {
            panic!("it is in the middle of a {operation}");
        };
        let said = crate::world::said(&holdings);
        assert!(said.contains(&format!("a {operation} in progress")), "{said:?}");
        assert_eq!(contents(&path), before);
        assert_eq!(staged(&world, &path), head);
        let rescue = rescued(&world, 1).await;
        for commit in [&head, &tip] {
            let branch = world.run(&world.repo, &["branch", "--contains", commit]);
            assert!(
                holds(&world, &rescue, commit) || !branch.is_empty(),
                "{operation}: {commit}"
            );
        }
        assert_eq!(contents(&bring_back(&world, 1, &rescue)), before, "{operation}");
        assert_eq!(
            world.run(&world.repo, &["rev-parse", "ao/web-1"]),
            tip,
            "{operation}"
        );
    }
}
