//! Repositories and data directories that moved: found again by git's own word, from every step it can be cut at.

use std::fs;

use ao_domain::WorktreeOwner;
use ao_domain::port::upkeep::Upkeep as _;
use ao_domain::port::worktrees::{Removal, WorktreeError, Worktrees as _};
use camino::{Utf8Path, Utf8PathBuf};

use crate::world::{World, contents};

const GONE: Removal = Removal::Removed { rescue: None };

async fn worked_in(world: &World, num: u32) -> (Utf8PathBuf, String) {
    let path = world.make(num).await;
    let commit = world.commit(&path, "work");
    fs::write(path.join("new"), "new\n").unwrap();
    (path, commit)
}

fn is_whole(world: &World, path: &Utf8Path, commit: &str) {
    assert_eq!(world.run(path, &["rev-parse", "HEAD"]), commit);
    assert_eq!(world.run(path, &["status", "--porcelain"]), "?? new");
    assert_eq!(world.registered(), 1);
}

fn owned_repos(owned: &[ao_domain::port::worktrees::Owned]) -> Vec<&str> {
    owned.iter().map(|one| one.owner.repo.as_str()).collect()
}

#[tokio::test]
async fn a_repository_that_moved_is_followed_by_its_worktrees() {
    for cut in ["nowhere", "after the link", "after the record"] {
        let mut world = World::new(&format!("repo moved {cut}"));
        let (path, commit) = worked_in(&world, 1).await;
        let owner = world.owner(1);
        let to = world.dir.join("moved here");
        fs::rename(&world.repo, &to).unwrap();
        world.repo = to.clone();
        let before = contents(&path);
        if cut == "after the link" {
            let link = format!("gitdir: {to}/.git/worktrees/web-1\n");
            fs::write(path.join(".git"), link).unwrap();
        }
        let moved = world.git.relocate(&owner, &to).await.unwrap();
        if cut == "after the record" {
            fs::write(path.join(".git"), "").unwrap();
            world.git.relocate(&owner, &to).await.unwrap();
        }
        assert_eq!(
            moved,
            WorktreeOwner {
                repo: to.clone(),
                ..owner.clone()
            }
        );
        assert_eq!(world.git.relocate(&moved, &to).await.unwrap(), moved, "and again");
        assert_eq!(
            owned_repos(&world.git.owned().await.unwrap()),
            [to.as_str()],
            "{cut}"
        );
        is_whole(&world, &path, &commit);
        assert_eq!(contents(&path), before);
        world.make(1).await;
        assert!(matches!(world.remove(1).await.unwrap(), Removal::Kept(_)));
        world.discard(1).await.unwrap();
        assert_eq!(world.registered(), 0, "{cut}");
    }
}

#[tokio::test]
async fn a_session_without_a_worktree_follows_its_repository_with_its_branch() {
    let mut world = World::new("repo moved branch");
    let (path, commit) = worked_in(&world, 1).await;
    world.discard(1).await.unwrap();
    let owner = world.owner(1);
    let to = world.dir.join("moved");
    fs::rename(&world.repo, &to).unwrap();
    world.repo = to.clone();
    world.git.relocate(&owner, &to).await.unwrap();
    world.make(1).await;
    assert_eq!(
        world.run(&path, &["rev-parse", "HEAD"]),
        commit,
        "the branch is its own"
    );
}

#[tokio::test]
async fn a_repository_that_is_another_or_did_not_move_is_refused() {
    let world = World::new("repo not moved");
    let (path, commit) = worked_in(&world, 1).await;
    let owner = world.owner(1);
    let (copy, clone) = (world.dir.join("copy"), world.dir.join("clone"));
    let copied = world
        .command("cp", &world.dir)
        .args(["-a", "repo", "copy"])
        .status();
    assert!(copied.unwrap().success());
    world.run(&world.dir, &["clone", "-q", world.repo.as_str(), clone.as_str()]);
    for to in [&copy, &clone] {
        let error = world.git.relocate(&owner, to).await.unwrap_err();
        assert!(matches!(error, WorktreeError::NotMoved { .. }), "{to}: {error}");
    }
    // The link is gone, too: then the first one still knows it.
    fs::remove_file(path.join(".git")).unwrap();
    let error = world.git.relocate(&owner, &copy).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotMoved { .. }), "{error}");
    world.make(1).await;
    is_whole(&world, &path, &commit);

    let error = world
        .git
        .relocate(&owner, &world.dir.join("home"))
        .await
        .unwrap_err();
    assert!(matches!(error, WorktreeError::NotARepository { .. }), "{error}");
    fs::rename(&world.repo, world.dir.join("away")).unwrap();
    let error = world.git.relocate(&owner, &clone).await.unwrap_err();
    assert!(matches!(error, WorktreeError::OtherRepository { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("a new clone at `{}`", world.repo)),
        "{error}"
    );
    assert_eq!(
        owned_repos(&world.git.owned().await.unwrap()),
        [world.repo.as_str()]
    );
    let link = fs::read_to_string(path.join(".git")).unwrap();
    assert_eq!(link, format!("gitdir: {}/.git/worktrees/web-1\n", world.repo));
    // Somebody had the copy take it over: what was committed since is there.
    fs::write(
        path.join(".git"),
        format!("gitdir: {copy}/.git/worktrees/web-1\n"),
    )
    .unwrap();
    let error = world
        .git
        .relocate(&owner, &world.dir.join("away"))
        .await
        .unwrap_err();
    assert!(matches!(error, WorktreeError::NotMoved { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("belongs to the repository `{copy}`")),
        "{error}"
    );
}

/// The same world after its data directory was moved to `moved`.
fn moved_data(world: &World) -> (World, Utf8PathBuf) {
    let from = world.dir.join("data/worktrees");
    let to = world.dir.join("moved");
    fs::rename(world.dir.join("data"), &to).unwrap();
    (world.with_data(&to), from)
}

#[tokio::test]
async fn a_data_directory_that_moved_takes_its_worktrees_along() {
    for cut in [
        "nowhere",
        "after git's record",
        "while the repository was away",
        "on nothing",
    ] {
        let world = World::new(&format!("data moved {cut}"));
        let (was, commit) = worked_in(&world, 1).await;
        world.make(2).await;
        fs::remove_dir_all(world.owner(2).path).unwrap();
        let before = contents(&was);
        let (world, from) = moved_data(&world);
        let owner = world.owner(1);
        let gitdir = world.repo.join(".git/worktrees/web-1/gitdir");
        let away = world.dir.join("away");
        match cut {
            "after git's record" => fs::write(&gitdir, format!("{}/.git\n", owner.path)).unwrap(),
            "while the repository was away" => {
                fs::rename(&world.repo, &away).unwrap();
                let rebased = world.git.rebase(&from).await.unwrap();
                assert!(matches!(
                    rebased[0].failed,
                    Some(WorktreeError::RepositoryGone { .. })
                ));
                assert!(rebased[1].failed.is_none(), "it has nothing to be told");
                fs::rename(&away, &world.repo).unwrap();
            }
            _ => {}
        }
        let rebased = world.git.rebase(&from).await.unwrap();
        if cut == "nowhere" {
            assert_eq!(rebased.len(), 2);
            assert_eq!(rebased[0].owner, owner);
            assert!(rebased.iter().all(|one| one.failed.is_none()));
        }
        assert!(
            world.git.rebase(&from).await.unwrap().is_empty(),
            "nothing is left to do"
        );
        let owned = world.git.owned().await.unwrap();
        assert_eq!(owned[0].owner, owner, "{cut}");

        assert_eq!(world.git.weigh(&owner).await.unwrap().unwrap().len(), 2, "{cut}");
        assert_eq!(contents(&owner.path), before);
        assert_eq!(world.run(&owner.path, &["rev-parse", "HEAD"]), commit);
        assert_eq!(
            fs::read_to_string(&gitdir).unwrap(),
            format!("{}/.git\n", owner.path)
        );
        // The other has no directory; its branch is not held by one that will never come back.
        if cut != "while the repository was away" {
            world.make(2).await;
            assert_eq!(world.remove(2).await.unwrap(), GONE);
        }
        world.discard(1).await.unwrap();
    }
}

#[tokio::test]
async fn a_copied_data_directory_takes_no_worktree_from_the_first() {
    let world = World::new("data copied");
    let (was, commit) = worked_in(&world, 1).await;
    let copied = world
        .command("cp", &world.dir)
        .args(["-a", "data", "moved"])
        .status();
    assert!(copied.unwrap().success());
    let copy = world.with_data(&world.dir.join("moved"));
    let rebased = copy.git.rebase(&world.dir.join("data/worktrees")).await.unwrap();
    assert!(
        matches!(rebased[0].failed, Some(WorktreeError::Copied { .. })),
        "{rebased:?}"
    );
    for error in [
        copy.git.create(&copy.plan(1)).await.unwrap_err(),
        copy.discard(1).await.unwrap_err(),
    ] {
        assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    }
    is_whole(&world, &was, &commit);
    world.make(1).await;
}

#[tokio::test]
async fn submodules_find_their_history_again_after_either_moved() {
    let mut world = World::new("submodule moved");
    let library = world.dir.join("library");
    world.init(&library);
    world.write("library/l.txt", "l\n");
    world.commit(&library, "library");
    let allow = ["-c", "protocol.file.allow=always"];
    let add = ["submodule", "--quiet", "add", library.as_str(), "lib/one"];
    world.run(&world.repo, &[&allow[..], &add].concat());
    world.commit(&world.repo, "with a submodule");
    let path = world.make(1).await;
    let update = ["submodule", "--quiet", "update", "--init"];
    world.run(&path, &[&allow[..], &update].concat());
    fs::write(path.join("lib/one/l.txt"), "changed\n").unwrap();
    let commit = world.run(&path.join("lib/one"), &["rev-parse", "HEAD"]);
    let is_whole = async |world: &World| {
        let path = world.owner(1).path;
        assert_eq!(world.weighed(1).await, ["changed submodule lib/one"]);
        let sub = path.join("lib/one");
        assert_eq!(world.run(&sub, &["rev-parse", "HEAD"]), commit);
        assert_eq!(world.run(&sub, &["status", "--porcelain"]), "M l.txt");
        assert!(matches!(world.discard(1).await.unwrap(), Removal::Kept(_)));
    };
    let (owner, to) = (world.owner(1), world.dir.join("further/down/moved"));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(&world.repo, &to).unwrap();
    world.git.relocate(&owner, &to).await.unwrap();
    world.repo = to.clone();
    is_whole(&world).await;

    let (mut world, from) = moved_data(&world);
    world.repo = to;
    assert!(world.git.rebase(&from).await.unwrap()[0].failed.is_none());
    is_whole(&world).await;
    world.run(&world.owner(1).path.join("lib/one"), &["checkout", "-q", "l.txt"]);
    assert!(matches!(world.discard(1).await.unwrap(), Removal::Removed { .. }));
}
