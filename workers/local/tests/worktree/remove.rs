//! A worktree goes only when nothing is lost, with all that was ever made for it.

use std::fs;

use ao_domain::port::worktrees::{Removal, WorktreeError, Worktrees as _};

use crate::world::{World, contents};

const GONE: Removal = Removal::Removed { rescue: None };

#[tokio::test]
async fn a_clean_one_leaves_nothing_behind() {
    let world = World::new("clean");
    let path = world.make(1).await;
    world.write("data/worktrees/web/web-1/target/x", "x");
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert!(!path.exists());
    assert!(!world.branch_exists("ao/web-1"));
    assert_eq!((world.left_over(), world.registered()), (Vec::new(), 0));
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_holds_something_stays_byte_for_byte() {
    let world = World::new("kept");
    let path = world.make(1).await;
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    let before = contents(&path);
    let Removal::Kept(holdings) = world.remove(1).await.unwrap() else {
        panic!("it held a secret");
    };
    assert_eq!(holdings[0].to_string(), "1 ignored file (.env)");
    assert_eq!(contents(&path), before);
    assert_eq!(world.run(&path, &["status", "--porcelain"]), "");
    fs::remove_file(path.join(".env")).unwrap();
    assert_eq!(world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn a_branch_with_commits_of_its_own_stays_and_serves_again() {
    let mut world = World::new("branch");
    let clone = world.dir.join("clone");
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    world.repo = clone;
    let path = world.make(1).await;
    let commit = world.commit(&path, "work");
    assert!(matches!(world.remove(1).await.unwrap(), Removal::Kept(_)));
    world.run(&path, &["push", "-q", "origin", "HEAD"]);
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert_eq!(world.run(&world.repo, &["rev-parse", "ao/web-1"]), commit);
    // The session comes back: the branch is its own.
    world.make(1).await;
    assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit);
    assert_eq!(world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn a_branch_that_a_person_named_is_not_ours_to_remove() {
    let world = World::new("theirs");
    let mut plan = world.plan(1);
    plan.owner.branch = "theirs".to_owned();
    plan.branch_given = true;
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.git.remove(&plan.owner, false, &[]).await.unwrap(), GONE);
    assert!(world.branch_exists("theirs"));
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_somebody_deleted_is_forgotten_alone() {
    let world = World::new("deleted");
    let (first, second) = (world.make(1).await, world.make(2).await);
    fs::remove_dir_all(&first).unwrap();
    fs::rename(&second, world.dir.join("on a stick")).unwrap();
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert!(!world.branch_exists("ao/web-1"));
    assert_eq!(
        world.registered(),
        1,
        "the other one lies on a disk that is absent now"
    );
    fs::rename(world.dir.join("on a stick"), &second).unwrap();
    assert_eq!(world.remove(2).await.unwrap(), GONE);
}

#[tokio::test]
async fn a_repository_that_is_gone_takes_no_file_with_it() {
    let world = World::new("repo-gone");
    let path = world.make(1).await;
    fs::rename(&world.repo, world.dir.join("moved")).unwrap();
    for error in [
        world.remove(1).await.unwrap_err(),
        world.discard(1).await.unwrap_err(),
    ] {
        assert!(matches!(error, WorktreeError::RepositoryGone { .. }), "{error}");
    }
    assert!(path.join("a.txt").exists());
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_was_moved_aside_by_a_killed_daemon_comes_back() {
    let world = World::new("aside");
    let path = world.make(1).await;
    fs::write(path.join("new"), "new").unwrap();
    let before = contents(&path);
    fs::rename(&path, path.with_file_name(".leaving-web-1")).unwrap();
    assert_eq!(world.weighed(1).await, ["1 untracked file (new)"]);
    assert_eq!(contents(&path), before);
    // Somebody made another one in its place: both stay.
    fs::rename(&path, path.with_file_name(".leaving-web-1")).unwrap();
    world.write("data/worktrees/web/web-1/other", "other");
    let error = world.discard(1).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    assert_eq!(contents(&path.with_file_name(".leaving-web-1")), before);
}

#[tokio::test]
async fn a_removal_is_finished_from_every_step_it_can_be_cut_at() {
    let world = World::new("cut");
    let record = world.dir.join("data/work/web-1/owner.json");
    let leaving = || {
        let text = fs::read_to_string(&record).unwrap();
        fs::write(&record, text.replace("\"made\"", "\"leaving\"")).unwrap();
    };
    let gone = |path: &camino::Utf8Path| path.with_file_name(".gone-web-1");
    for step in [
        "written",
        "renamed",
        "half deleted",
        "deleted",
        "unregistered",
        "branch dropped",
    ] {
        let path = world.make(1).await;
        leaving();
        match step {
            "written" => {}
            "renamed" => fs::rename(&path, gone(&path)).unwrap(),
            "half deleted" => {
                fs::rename(&path, gone(&path)).unwrap();
                fs::remove_file(gone(&path).join("a.txt")).unwrap();
                fs::remove_file(gone(&path).join(".git")).unwrap();
            }
            _ => fs::remove_dir_all(&path).unwrap(),
        }
        if ["unregistered", "branch dropped"].contains(&step) {
            world.run(&world.repo, &["worktree", "prune"]);
        }
        if step == "branch dropped" {
            world.run(&world.repo, &["branch", "-q", "-D", "ao/web-1"]);
        }
        let removed = world.remove(1).await.unwrap();
        assert!(matches!(removed, Removal::Absent | GONE), "{step}: {removed:?}");
        assert_eq!((world.left_over(), world.registered()), (Vec::new(), 0), "{step}");
        assert!(!world.branch_exists("ao/web-1"), "{step}");
    }
}

#[tokio::test]
async fn one_that_stands_aside_is_not_forgotten_while_its_repository_is_away() {
    let world = World::new("aside away");
    let record = world.dir.join("data/work/web-1/owner.json");
    let away = world.dir.join("away");
    for name in [".leaving-web-1", ".gone-web-1"] {
        let path = world.make(1).await;
        let before = contents(&path);
        let text = fs::read_to_string(&record).unwrap();
        fs::write(&record, text.replace("\"made\"", "\"leaving\"")).unwrap();
        let aside = path.with_file_name(name);
        fs::rename(&path, &aside).unwrap();
        fs::rename(&world.repo, &away).unwrap();
        for error in [
            world.remove(1).await.unwrap_err(),
            world.discard(1).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, WorktreeError::RepositoryGone { .. }),
                "{name}: {error}"
            );
        }
        let there = if path.exists() { &path } else { &aside };
        assert_eq!(contents(there), before, "{name}");
        fs::rename(&away, &world.repo).unwrap();
        let removed = world.remove(1).await.unwrap();
        assert!(matches!(removed, Removal::Absent | GONE), "{name}: {removed:?}");
        assert_eq!((world.left_over(), world.registered()), (Vec::new(), 0), "{name}");
    }
}

#[tokio::test]
async fn a_session_s_own_branch_that_is_made_again_is_ours_again() {
    let world = World::new("own again");
    world.make(1).await;
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    // As a session that comes back asks for it: on the branch it had.
    let mut plan = world.plan(1);
    plan.branch_given = true;
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert!(!world.branch_exists("ao/web-1"));
    assert_eq!(world.left_over(), Vec::<String>::new());

    // One that stayed for its commits is ours when its session comes back to it, and goes once they are elsewhere.
    let path = world
        .git
        .create(&plan)
        .await
        .map(|_| plan.owner.path.clone())
        .unwrap();
    fs::write(path.join("b.txt"), "b").unwrap();
    world.commit(&path, "its own");
    world.run(&world.repo, &["branch", "-q", "elsewhere", "ao/web-1"]);
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert!(world.branch_exists("ao/web-1"));
    world.git.create(&plan).await.unwrap();
    world.run(&path, &["reset", "-q", "--hard", "main"]);
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert!(!world.branch_exists("ao/web-1"));

    // One that is there may hold somebody's work.
    world.run(&world.repo, &["branch", "-q", "ao/web-1"]);
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.remove(1).await.unwrap(), GONE);
    assert!(world.branch_exists("ao/web-1"));
    // And another session's name is no claim.
    plan.owner.branch = "ao/web-11".to_owned();
    world.git.create(&plan).await.unwrap();
    assert_eq!(world.git.remove(&plan.owner, false, &[]).await.unwrap(), GONE);
    assert!(world.branch_exists("ao/web-11"));
}
