//! A worktree and its branch are made once, from the right commit, and nothing else happens.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use ao_domain::port::worktrees::{Removal, WorktreePlan, Worktrees as _};

use crate::world::{World, from_env};

#[tokio::test]
async fn a_worktree_stands_on_its_own_branch_at_the_base() {
    let world = World::new("create");
    let path = world.make(1).await;
    assert_eq!(
        world.run(&path, &["rev-parse", "--abbrev-ref", "HEAD"]),
        "ao/web-1"
    );
    let head = world.run(&path, &["rev-parse", "HEAD"]);
    assert_eq!(head, world.run(&world.repo, &["rev-parse", "main"]));
    assert_eq!(fs::read_to_string(path.join("a.txt")).unwrap(), "one\n");
    assert_eq!(world.registered(), 1);
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_bare_push_cannot_reach_the_default_branch() {
    let mut world = World::new("upstream");
    let clone = world.dir.join("clone");
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    world.run(&clone, &["config", "push.default", "upstream"]);
    world.run(&clone, &["config", "branch.autoSetupMerge", "always"]);
    world.repo = clone;
    let plan = WorktreePlan {
        base: "origin/main".to_owned(),
        ..world.plan(1)
    };
    world.git.create(&plan).await.unwrap();
    let upstream = ["rev-parse", "--abbrev-ref", "@{upstream}"];
    assert!(!world.try_run(&plan.owner.path, &upstream).status.success());
    world.commit(&plan.owner.path, "work");
    assert!(!world.try_run(&plan.owner.path, &["push", "-q"]).status.success());
}

#[tokio::test]
async fn a_base_is_looked_for_in_order() {
    let mut world = World::new("order");
    let clone = world.dir.join("clone");
    let only_remote = world.commit(&world.repo, "second");
    world.run(&world.repo, &["branch", "feature"]);
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    world.repo = clone.clone();
    world.run(&clone, &["tag", "main", "HEAD~1"]);
    let local = world.commit(&clone, "third");
    let tagged = world.run(&clone, &["rev-parse", "refs/tags/main"]);
    world.run(&clone, &["tag", "-m", "words", "v1", "HEAD~1"]);
    for (num, base, commit) in [
        (1, "main", &local), // a branch goes before a tag of its name
        (2, "origin/main", &only_remote),
        (3, "feature", &only_remote),
        (4, "v1", &only_remote),
        (5, &tagged[..12], &tagged),
        (6, "HEAD~1", &only_remote),
    ] {
        let plan = WorktreePlan {
            base: base.to_owned(),
            ..world.plan(num)
        };
        world.git.create(&plan).await.unwrap();
        assert_eq!(
            &world.run(&plan.owner.path, &["rev-parse", "HEAD"]),
            commit,
            "{base}"
        );
    }
}

#[tokio::test]
async fn a_branch_that_was_named_is_checked_out_as_it_is() {
    let mut world = World::new("named");
    world.run(&world.repo, &["checkout", "-q", "-b", "theirs"]);
    let tip = world.commit(&world.repo, "theirs");
    world.run(&world.repo, &["checkout", "-q", "main"]);
    let named = |world: &World, num, branch: &str| {
        let mut plan = WorktreePlan {
            branch_given: true,
            ..world.plan(num)
        };
        plan.owner.branch = branch.to_owned();
        plan
    };
    let plan = named(&world, 1, "theirs");
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.run(&plan.owner.path, &["rev-parse", "HEAD"]), tip);
    // Named and new, but known to origin: that is what is meant.
    let clone = world.dir.join("clone");
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    world.repo = clone;
    let plan = named(&world, 2, "theirs");
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.run(&plan.owner.path, &["rev-parse", "HEAD"]), tip);
}

#[tokio::test]
async fn made_again_it_is_left_as_it_is() {
    let world = World::new("again");
    let path = world.make(1).await;
    fs::write(path.join("a.txt"), "changed").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    world.make(1).await;
    // What the agent does with its branches is its own business.
    world.run(&path, &["checkout", "-q", "-b", "ao/web-1-topic"]);
    world.make(1).await;
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(path.join("a.txt")).unwrap(), "changed");
    assert_eq!(world.registered(), 1);
    // Without our records git's word and the branch still say whose it is.
    world.run(&path, &["checkout", "-q", "ao/web-1"]);
    fs::remove_dir_all(world.dir.join("data/work")).unwrap();
    world.make(1).await;
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[tokio::test]
async fn one_whose_directory_somebody_deleted_is_made_anew_and_loses_no_commit() {
    let world = World::new("prunable");
    let path = world.make(1).await;
    world.run(&path, &["checkout", "-q", "--detach"]);
    fs::write(path.join("b.txt"), "b").unwrap();
    let commit = world.commit(&path, "detached");
    fs::remove_dir_all(&path).unwrap();
    world.make(1).await;
    assert_eq!(
        world.run(&path, &["rev-parse", "--abbrev-ref", "HEAD"]),
        "ao/web-1"
    );
    assert_eq!(
        world.run(&world.repo, &["rev-parse", "refs/ao/rescue/web-1/1^1"]),
        commit
    );
    // A locked one may lie on a disk that is absent now.
    world.run(&world.repo, &["worktree", "lock", path.as_str()]);
    fs::remove_dir_all(&path).unwrap();
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert!(error.to_string().contains("left alone"), "{error}");
    assert_eq!(world.registered(), 1);
}

#[tokio::test]
async fn hooks_and_the_surroundings_have_no_say() {
    let world = World::new("hooks");
    let hook = world.repo.join(".git/hooks/post-checkout");
    world.write(
        "repo/.git/hooks/post-checkout",
        "#!/bin/sh\ntouch \"$HOME/ran\"\n",
    );
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(&hook, world.repo.join(".git/hooks/reference-transaction")).unwrap();
    world.run(&world.repo, &["config", "core.fsmonitor", hook.as_str()]);
    let path = world.make(1).await;
    fs::write(path.join(".env"), "x").unwrap();
    world.discard(1).await.unwrap();
    assert!(!world.dir.join("home/ran").exists());
    // The hook itself works: git runs it when we do not.
    world.run(&world.repo, &["config", "--unset", "core.fsmonitor"]);
    world.run(&world.repo, &["checkout", "-q", "-b", "x"]);
    assert!(world.dir.join("home/ran").exists());
}

#[tokio::test]
async fn twelve_at_once_in_one_repository_all_stand() {
    let world = World::new("twelve");
    let plans: Vec<WorktreePlan> = (1..=12).map(|num| world.plan(num)).collect();
    let mut running = tokio::task::JoinSet::new();
    for plan in plans.clone() {
        let git = world.git.clone();
        running.spawn(async move { git.create(&plan).await });
    }
    while let Some(made) = running.join_next().await {
        made.unwrap().unwrap();
    }
    assert_eq!(world.registered(), 12);
    let mut removing = tokio::task::JoinSet::new();
    for plan in plans {
        let git = world.git.clone();
        removing.spawn(async move { git.remove(&plan.owner, false, &[]).await });
    }
    while let Some(removed) = removing.join_next().await {
        assert_eq!(removed.unwrap().unwrap(), Removal::Removed { rescue: None });
    }
    assert_eq!(world.registered(), 0);
    assert_eq!(world.left_over(), Vec::<String>::new());
    assert_eq!(world.run(&world.repo, &["branch", "--list", "ao/*"]), "");
}

/// The budget of a spawn: within twice the floor. Prints both medians.
#[tokio::test]
#[ignore = "a measurement, meant for a machine that does nothing else"]
async fn budget_against_git_worktree_add() {
    let world = World::new("budget");
    assert!(!from_env("PATH").is_empty());
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for num in 1..=40 {
        let plan = world.plan(num);
        let began = std::time::Instant::now();
        world.git.create(&plan).await.unwrap();
        ours.push(began.elapsed());
        let path = world.dir.join(format!("floor/{num}"));
        let branch = format!("floor-{num}");
        let began = std::time::Instant::now();
        world.run(
            &world.repo,
            &["worktree", "add", "-q", "-b", &branch, path.as_str(), "main"],
        );
        floor.push(began.elapsed());
    }
    ours.sort_unstable();
    floor.sort_unstable();
    println!("create {:?}, git worktree add {:?}", ours[20], floor[20]);
    assert!(ours[20] < floor[20] * 2);
}
