//! Worktrees that git forgot: the repository was cloned anew, or pruned while a disk was away. Nothing goes, and a restore
//! attaches every file.

use std::fs;

use ao_domain::port::worktrees::{Removal, WorktreeError, Worktrees as _};
use camino::Utf8Path;

use crate::recovery::{kept, status, worked_in};
use crate::world::{World, contents};

const GONE: Removal = Removal::Removed { rescue: None };
const BRANCH: &str = "ao/web-1";

/// The repository is away and one cloned anew from `origin` is in its place.
fn clone_anew(world: &World, origin: &Utf8Path) {
    fs::rename(&world.repo, world.dir.join("old")).unwrap();
    world.run(&world.dir, &["clone", "-q", origin.as_str(), world.repo.as_str()]);
}

#[tokio::test]
async fn after_a_new_clone_nothing_is_removed_and_a_restore_attaches_every_file() {
    for (case, tip) in [("pushed", "origin"), ("unpushed", "start")] {
        let world = World::new(&format!("cloned {case}"));
        let origin = world.dir.join("origin");
        world.run(
            &world.dir,
            &["clone", "-q", "--bare", world.repo.as_str(), origin.as_str()],
        );
        world.run(&world.repo, &["remote", "add", "origin", origin.as_str()]);
        let start = world.run(&world.repo, &["rev-parse", "main"]);
        let (path, commit) = worked_in(&world).await;
        if case == "pushed" {
            world.run(&path, &["push", "-q", "origin", "HEAD"]);
        }
        let before = contents(&path);
        clone_anew(&world, &origin);
        for error in [
            world.git.weigh(&world.owner(1)).await.unwrap_err(),
            world.remove(1).await.unwrap_err(),
            world.discard(1).await.unwrap_err(),
        ] {
            assert!(matches!(error, WorktreeError::Unregistered { .. }), "{error}");
            assert!(error.to_string().contains("restoring its session"), "{error}");
        }
        assert_eq!(contents(&path), before);
        world.git.repository(&world.repo).await.unwrap();

        world.make(1).await;
        assert_eq!(contents(&path), before, "{case}");
        assert_eq!(world.run(&path, &["rev-parse", "--abbrev-ref", "HEAD"]), BRANCH);
        let head = world.run(&path, &["rev-parse", "HEAD"]);
        assert_eq!(head, if tip == "origin" { commit } else { start }, "{case}");
        let changes = if tip == "origin" {
            "M a.txt\n?? new"
        } else {
            "M a.txt\n?? b.txt\n?? new"
        };
        assert_eq!(status(&world, &path), changes, "{case}");
        assert_eq!(
            world.left_over(),
            ["web-1", "web-1"],
            "{case}: worktree and record"
        );
        assert_eq!(world.registered(), 1);
        // From here on it is one like any other.
        assert!(!kept(world.remove(1).await).is_empty());
        world.run(&path, &["reset", "-q", "--hard"]);
        world.run(&path, &["clean", "-qfdx"]);
        assert_eq!(world.remove(1).await.unwrap(), GONE);
        assert_eq!(world.registered(), 0);
    }
}

#[tokio::test]
async fn a_clone_without_its_commits_or_a_lost_link_is_refused_and_told() {
    let world = World::new("cloned other");
    let (path, _) = worked_in(&world).await;
    let before = contents(&path);
    let other = world.dir.join("other");
    world.init(&other);
    world.commit(&other, "nothing in common");
    clone_anew(&world, &other);
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Unattachable { .. }), "{error}");
    assert!(
        error.to_string().contains("neither its branch nor the commit"),
        "{error}"
    );
    assert_eq!(world.run(&world.repo, &["branch", "--list", "ao/*"]), "");
    fs::remove_file(path.join(".git")).unwrap();
    for error in [
        world.git.create(&world.plan(1)).await.unwrap_err(),
        world.git.weigh(&world.owner(1)).await.unwrap_err(),
        world.discard(1).await.unwrap_err(),
    ] {
        assert!(matches!(error, WorktreeError::Unattachable { .. }), "{error}");
        assert!(error.to_string().contains(".git file is gone too"), "{error}");
    }
    assert_eq!(contents(&path), before);
    assert_eq!(world.registered(), 0);
}

#[tokio::test]
async fn one_that_was_pruned_while_its_disk_was_away_is_attached_again() {
    let world = World::new("pruned");
    let (path, commit) = worked_in(&world).await;
    let (before, changes) = (contents(&path), status(&world, &path));
    let away = world.dir.join("stick");
    fs::rename(&path, &away).unwrap();
    world.run(&world.repo, &["worktree", "prune"]);
    fs::rename(&away, &path).unwrap();
    assert!(matches!(
        world.discard(1).await,
        Err(WorktreeError::Unregistered { .. })
    ));
    // Its branch may have been taken by another worktree meanwhile.
    let taken = world.dir.join("taken");
    world.run(&world.repo, &["worktree", "add", "-q", taken.as_str(), BRANCH]);
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert!(
        matches!(error, WorktreeError::CheckedOutElsewhere { .. }),
        "{error}"
    );
    world.run(&world.repo, &["worktree", "remove", taken.as_str()]);
    assert_eq!(contents(&path), before);

    world.make(1).await;
    assert_eq!(contents(&path), before);
    assert_eq!(status(&world, &path), changes);
    assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit);
    assert_eq!(
        (world.registered(), world.left_over()),
        (1, vec!["web-1".into(), "web-1".into()])
    );
}

#[tokio::test]
async fn an_attaching_is_finished_from_every_step_it_can_be_cut_at() {
    for step in ["folder", "half made", "added", "spoken of"] {
        let world = World::new(&format!("attach {step}"));
        let (path, commit) = worked_in(&world).await;
        let (before, changes) = (contents(&path), status(&world, &path));
        let away = world.dir.join("stick");
        fs::rename(&path, &away).unwrap();
        world.run(&world.repo, &["worktree", "prune"]);
        fs::rename(&away, &path).unwrap();
        let beside = path.with_file_name(".attaching-web-1").join("web-1");
        fs::create_dir_all(beside.parent().unwrap()).unwrap();
        let gitdir = world.repo.join(".git/worktrees/web-1");
        if step != "folder" {
            let add = ["worktree", "add", "-q", "--no-checkout", beside.as_str(), BRANCH];
            world.run(&world.repo, &add);
        }
        match step {
            "half made" => {
                fs::write(gitdir.join("locked"), "initializing\n").unwrap();
                fs::write(gitdir.join("commondir"), "").unwrap();
            }
            "spoken of" => {
                world.run(&beside, &["read-tree", "HEAD"]);
                fs::write(gitdir.join("gitdir"), format!("{path}/.git\n")).unwrap();
                fs::write(path.join(".git"), "").unwrap();
            }
            _ => {}
        }
        world.make(1).await;
        assert_eq!(contents(&path), before, "{step}");
        assert_eq!(status(&world, &path), changes, "{step}");
        assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit, "{step}");
        assert_eq!(world.left_over(), ["web-1", "web-1"], "{step}");
        assert_eq!(world.registered(), 1, "{step}");
    }
}
