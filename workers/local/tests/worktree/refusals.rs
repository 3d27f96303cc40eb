//! What cannot be worked on, each with its message, and nothing left behind.

use std::fs;

use ao_domain::port::worktrees::{Removal, WorktreeError, WorktreePlan, Worktrees as _};
use camino::Utf8Path;

use crate::world::World;

async fn refusal(world: &World, path: &Utf8Path) -> String {
    let error = world.git.repository(path).await.unwrap_err();
    error.to_string().replace(world.dir.as_str(), "")
}

#[tokio::test]
async fn a_path_that_is_no_repository_is_refused_with_the_next_step() {
    let world = World::new("refusals");
    fs::create_dir_all(world.dir.join("repo/sub")).unwrap();
    fs::create_dir_all(world.dir.join("plain")).unwrap();
    world.write("file", "");
    world.init(&world.dir.join("empty"));
    fs::create_dir_all(world.dir.join("bare")).unwrap();
    world.run(&world.dir.join("bare"), &["init", "-q", "--bare"]);
    for (path, message) in [
        ("gone", "`/gone` is not there"),
        (
            "plain",
            "`/plain` is not a git repository: run `git init` there, or name the right directory",
        ),
        (
            "file",
            "`/file` is not a git repository: run `git init` there, or name the right directory",
        ),
        (
            "repo/.git",
            "`/repo/.git` is not a git repository: run `git init` there, or name the right directory",
        ),
        (
            "repo/sub",
            "`/repo/sub` lies inside the repository `/repo`: register that one",
        ),
        (
            "bare",
            "`/bare` is a bare repository: clone it and register the clone",
        ),
        (
            "empty",
            "`/empty` has no commits yet: make the first one, then try again",
        ),
    ] {
        assert_eq!(refusal(&world, &world.dir.join(path)).await, message);
    }
}

#[tokio::test]
async fn a_repository_is_known_by_its_origin_and_default_branch() {
    let world = World::new("repository");
    let here = world.git.repository(&world.repo).await.unwrap();
    assert_eq!((here.top, here.origin), (world.repo.clone(), None));
    assert_eq!(here.default_branch, "main");

    let clone = world.dir.join("clone");
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    world.run(&clone, &["checkout", "-q", "-b", "work"]);
    let there = world.git.repository(&clone).await.unwrap();
    assert_eq!(there.default_branch, "origin/main");
    assert_eq!(there.origin.as_deref(), Some(world.repo.as_str()));

    world.run(&clone, &["remote", "remove", "origin"]);
    assert_eq!(world.git.repository(&clone).await.unwrap().default_branch, "work");
    let head = world.run(&clone, &["rev-parse", "HEAD"]);
    world.run(&clone, &["checkout", "-q", "--detach"]);
    assert_eq!(world.git.repository(&clone).await.unwrap().default_branch, head);

    let link = world.dir.join("link");
    std::os::unix::fs::symlink(&world.repo, &link).unwrap();
    assert_eq!(world.git.repository(&link).await.unwrap().top, world.repo);
    let linked = world.dir.join("linked worktree");
    world.run(
        &world.repo,
        &["worktree", "add", "-q", "-b", "side", linked.as_str()],
    );
    assert_eq!(
        world.git.repository(&linked).await.unwrap().default_branch,
        "side"
    );
}

#[tokio::test]
async fn a_commit_is_a_branch_s_while_it_is_there_or_as_it_was_pushed() {
    let world = World::new("commits");
    let bare = world.dir.join("bare");
    world.run(&world.dir, &["init", "-q", "--bare", bare.as_str()]);
    world.run(&world.repo, &["remote", "add", "up", bare.as_str()]);
    world.run(&world.repo, &["checkout", "-q", "-b", "ao/web-1"]);
    let first = world.commit(&world.repo, "one");
    let second = world.commit(&world.repo, "two");
    let has = async |branch: &str, commit: &str| {
        let asked = world.git.has_commit(&world.repo, branch, commit);
        asked.await.unwrap()
    };
    assert!(has("ao/web-1", &second).await && has("ao/web-1", &first).await);
    assert!(!has("main", &second).await, "it is on another branch");
    assert!(!has("ao/web", &second).await && !has("web-1", &second).await);
    assert!(!has("ao/web-1", &"a".repeat(40)).await, "it is not known here");
    for no in ["", "HEAD", "main", "--all", "a b", &second[..12]] {
        assert!(!has("ao/web-1", no).await, "`{no}` is no commit's name");
        assert!(!has(no, &second).await, "`{no}` is not its branch");
    }
    assert!(
        !has("*", &second).await && !has("ao/*", &second).await,
        "a pattern is no name"
    );
    world.run(&world.repo, &["push", "-q", "up", "ao/web-1"]);
    world.run(&world.repo, &["checkout", "-q", "main"]);
    world.run(&world.repo, &["branch", "-q", "-D", "ao/web-1"]);
    assert!(has("ao/web-1", &second).await, "it was pushed");
    world.run(&world.repo, &["remote", "remove", "up"]);
    assert!(!has("ao/web-1", &second).await, "nothing says so any more");
}

#[tokio::test]
async fn names_that_git_would_not_take_are_refused_as_git_refuses_them() {
    let world = World::new("names");
    let names = [
        "ok",
        "a/b",
        "a.b",
        "a./b",
        "ä",
        "a@b",
        "-x",
        "--upload-pack=x",
        "",
        "a b",
        "a..b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "a/",
        "/a",
        "a//b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a@{b",
        "@",
        "HEAD",
        "a\tb",
        "a\nb",
        "a\u{7f}",
        "$(x)",
        ";x",
        "@{-1}",
    ];
    for name in names {
        // git takes `@` and `@{-1}` for what they stand for; to us they are no names.
        let output = world.try_run(&world.repo, &["check-ref-format", "--branch", name]);
        let git_says = output.status.success() && !["@", "@{-1}"].contains(&name);
        let plan = WorktreePlan {
            owner: ao_domain::WorktreeOwner {
                branch: name.to_owned(),
                ..world.owner(1)
            },
            ..world.plan(1)
        };
        let made = world.git.create(&plan).await;
        assert_eq!(
            !matches!(made, Err(WorktreeError::InvalidBranch { .. })),
            git_says,
            "{name:?}"
        );
        if git_says {
            made.unwrap_or_else(|error| panic!("{name:?}: {error}"));
            world.git.remove(&plan.owner, false, &[]).await.unwrap();
        }
        assert_eq!(world.left_over(), Vec::<String>::new(), "{name:?}");
    }
}

#[tokio::test]
async fn a_base_that_is_not_there_is_named_whatever_it_looks_like() {
    let world = World::new("bases");
    for base in [
        "nope",
        "-h",
        "--all",
        "origin/nope",
        "",
        "a b",
        "$(touch x)",
        "main..main",
        "HEAD:a.txt",
        ":/first\n",
    ] {
        let plan = WorktreePlan {
            base: base.to_owned(),
            ..world.plan(1)
        };
        let error = world.git.create(&plan).await.unwrap_err();
        assert!(
            matches!(error, WorktreeError::BaseNotFound { .. }),
            "{base:?}: {error}"
        );
        assert_eq!(world.left_over(), Vec::<String>::new(), "{base:?}");
        assert!(!world.branch_exists("ao/web-1"), "{base:?}");
    }
}

#[tokio::test]
async fn a_branch_of_somebody_else_is_refused_and_one_in_use_says_where() {
    let world = World::new("branches");
    world.run(&world.repo, &["branch", "ao/web-1"]);
    world.run(&world.repo, &["checkout", "-q", "ao/web-1"]);
    let commit = world.commit(&world.repo, "somebody's");
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "branch `ao/web-1` is checked out in `{}`: name another branch",
            world.repo
        )
    );
    world.run(&world.repo, &["checkout", "-q", "main"]);
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert!(matches!(error, WorktreeError::BranchExists { .. }), "{error}");
    assert_eq!(world.run(&world.repo, &["rev-parse", "ao/web-1"]), commit);
    // Nor is one whose every commit is elsewhere: it is a person's name for it.
    world.run(&world.repo, &["branch", "-q", "ao/web-2", "main"]);
    let error = world.git.create(&world.plan(2)).await.unwrap_err();
    assert!(matches!(error, WorktreeError::BranchExists { .. }), "{error}");
    assert_eq!(world.remove(2).await.unwrap(), Removal::Absent);
    assert!(world.branch_exists("ao/web-2"));
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let world = World::new("foreign");
    world.write("data/worktrees/web/web-1/mine.txt", "mine");
    // A worktree of another repository in the place of ours.
    let other = world.dir.join("other");
    world.init(&other);
    world.commit(&other, "other");
    let second = world.owner(2).path;
    world.run(
        &other,
        &["worktree", "add", "-q", "-b", "ao/web-2", second.as_str()],
    );
    // A worktree of the right repository that somebody else made on another branch.
    let third = world.owner(3).path;
    world.run(
        &world.repo,
        &["worktree", "add", "-q", "-b", "theirs", third.as_str()],
    );
    // Ours by git's list, but somebody put a worktree of another repository in its place.
    let fourth = world.make(4).await;
    fs::remove_dir_all(&fourth).unwrap();
    world.run(
        &other,
        &["worktree", "add", "-q", "-b", "ao/web-4", fourth.as_str()],
    );
    for num in 1..=4 {
        for error in [
            world.git.create(&world.plan(num)).await.unwrap_err(),
            world.git.weigh(&world.owner(num)).await.unwrap_err(),
            world.remove(num).await.unwrap_err(),
            world.discard(num).await.unwrap_err(),
        ] {
            assert!(matches!(error, WorktreeError::NotOurs { .. }), "{num}: {error}");
        }
    }
    let record = "web-4";
    assert_eq!(world.left_over(), ["web-1", "web-2", "web-3", "web-4", record]);
    assert!(world.try_run(&fourth, &["status"]).status.success());
    assert_eq!(
        fs::read_to_string(world.owner(1).path.join("mine.txt")).unwrap(),
        "mine"
    );
    assert_eq!(
        world.run(&second, &["rev-parse", "--abbrev-ref", "HEAD"]),
        "ao/web-2"
    );
    assert!(third.join("a.txt").exists());
}

#[tokio::test]
async fn a_path_outside_the_managed_folder_is_never_touched() {
    let world = World::new("outside");
    for path in [
        "outside",
        "data/worktrees",
        "data/worktrees/web-1",
        "data/worktrees/../../outside/x",
    ] {
        let mut plan = world.plan(1);
        plan.owner.path = world.dir.join(path);
        let error = world.git.create(&plan).await.unwrap_err();
        assert!(matches!(error, WorktreeError::NotOurs { .. }), "{path}: {error}");
    }
    assert!(!world.dir.join("outside").exists());
}

#[tokio::test]
async fn git_has_its_say_about_an_owner_it_does_not_trust() {
    let world = World::new("owner");
    let git = world.git.clone().with_env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let error = git.repository(&world.repo).await.unwrap_err();
    assert!(error.to_string().contains("dubious ownership"), "{error}");
}
