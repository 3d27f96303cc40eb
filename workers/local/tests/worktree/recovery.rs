//! What somebody else does to worktrees and repositories: each damage, what every call makes of it, and that no file goes.

use std::fs;

use ao_domain::port::worktrees::{Made, Removal, WorktreeError, Worktrees as _};
use camino::Utf8Path;

use crate::world::{World, contents, said};

const GONE: Removal = Removal::Removed { rescue: None };
const BRANCH: &str = "ao/web-1";

pub(crate) fn kept(removal: Result<Removal, WorktreeError>) -> Vec<String> {
    match removal.unwrap() {
        Removal::Kept(holdings) => said(&holdings),
        other => panic!("it held something: {other:?}"),
    }
}

pub(crate) fn status(world: &World, path: &Utf8Path) -> String {
    world.run(path, &["status", "--porcelain"])
}

/// A worktree with a commit of its own, a changed file, a new one and an ignored one.
pub(crate) async fn worked_in(world: &World) -> (camino::Utf8PathBuf, String) {
    let path = world.make(1).await;
    fs::write(path.join("b.txt"), "b\n").unwrap();
    let commit = world.commit(&path, "work");
    fs::write(path.join("a.txt"), "changed\n").unwrap();
    fs::write(path.join("new"), "new\n").unwrap();
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    (path, commit)
}

#[tokio::test]
async fn a_deleted_directory_comes_back_on_its_branch_with_every_commit() {
    let world = World::new("dir deleted");
    let (path, commit) = worked_in(&world).await;
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(world.git.weigh(&world.owner(1)).await.unwrap(), None);
    world.make(1).await;
    assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit);
    assert_eq!(world.run(&path, &["rev-parse", "--abbrev-ref", "HEAD"]), BRANCH);
    assert_eq!(status(&world, &path), "");

    fs::remove_dir_all(&path).unwrap();
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!(world.registered(), 0);
    assert_eq!(
        world.run(&world.repo, &["rev-parse", BRANCH]),
        commit,
        "it has a commit of its own"
    );
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
}

#[tokio::test]
async fn what_was_staged_in_a_deleted_directory_is_saved() {
    let world = World::new("dir staged");
    let path = world.make(1).await;
    fs::write(path.join("a.txt"), "staged\n").unwrap();
    world.run(&path, &["add", "a.txt"]);
    fs::remove_dir_all(&path).unwrap();
    let removal = world.remove(1).await.unwrap();
    let Removal::Removed { rescue: Some(rescue) } = &removal else {
        panic!("what was staged is lost: {removal:?}");
    };
    let shown = world.run(&world.repo, &["show", &format!("{rescue}:a.txt")]);
    assert_eq!(shown, "staged");
    assert_eq!(world.registered(), 0);
    assert_eq!(world.remove(1).await.unwrap(), removal, "told again");
}

#[tokio::test]
async fn the_one_in_its_place_tells_that_it_is_another_and_what_was_saved() {
    let world = World::new("dir made again");
    let plan = world.plan(1);
    let create = || world.git.create(&plan);
    let first = create().await.unwrap();
    assert!(first.making.is_some() && first.rescue.is_none(), "{first:?}");
    assert_eq!(create().await.unwrap(), first, "it stands");
    fs::write(plan.owner.path.join("a.txt"), "staged\n").unwrap();
    world.run(&plan.owner.path, &["add", "a.txt"]);
    fs::remove_dir_all(&plan.owner.path).unwrap();
    let second = create().await.unwrap();
    assert!(
        second.making.is_some() && second.making != first.making,
        "{second:?}"
    );
    let rescue = second.rescue.as_deref().expect("what was staged is told of");
    assert_eq!(
        world.run(&world.repo, &["show", &format!("{rescue}:a.txt")]),
        "staged"
    );
    assert_eq!(create().await.unwrap(), second, "told again");
    // Nobody tells who made it where the records are lost; what git keeps of it is saved all the same.
    fs::remove_dir_all(world.dir.join("data/work")).unwrap();
    assert_eq!(create().await.unwrap(), Made::default());
    for (n, keeps_a_record) in [(2, false), (3, true)] {
        fs::write(plan.owner.path.join("a.txt"), format!("staged {n}\n")).unwrap();
        world.run(&plan.owner.path, &["add", "a.txt"]);
        fs::remove_dir_all(&plan.owner.path).unwrap();
        if !keeps_a_record {
            fs::remove_dir_all(world.dir.join("data/work")).unwrap();
        }
        let rescue = create().await.unwrap().rescue.expect("it is told of");
        assert_eq!(rescue, format!("refs/ao/rescue/web-1/{n}"));
        assert_eq!(
            world.run(&world.repo, &["show", &format!("{rescue}:a.txt")]),
            format!("staged {n}")
        );
    }
    // Whoever takes it back is told as well: the row may not have learnt of it.
    let rescue = Some("refs/ao/rescue/web-1/3".to_owned());
    assert_eq!(world.remove(1).await.unwrap(), Removal::Removed { rescue });
}

#[tokio::test]
async fn what_a_stash_of_a_rebase_holds_survives_the_directory() {
    let world = World::new("dir rebasing");
    world.run(&world.repo, &["checkout", "-q", "-b", "side"]);
    world.write("repo/a.txt", "side\n");
    world.commit(&world.repo, "side");
    world.run(&world.repo, &["checkout", "-q", "main"]);
    let path = world.make(1).await;
    fs::write(path.join("a.txt"), "ours\n").unwrap();
    world.commit(&path, "ours");
    fs::write(path.join(".gitignore"), "only in the stash\n").unwrap();
    let rebase = ["rebase", "--autostash", "side"];
    assert!(!world.try_run(&path, &rebase).status.success());
    let gitdir = world.run(&path, &["rev-parse", "--absolute-git-dir"]);
    let stash = fs::read_to_string(format!("{gitdir}/rebase-merge/autostash")).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let removal = world.remove(1).await.unwrap();
    let Removal::Removed { rescue: Some(rescue) } = &removal else {
        panic!("the stash is lost: {removal:?}");
    };
    let parents = world.run(&world.repo, &["log", "-1", "--format=%P", rescue]);
    assert!(parents.contains(stash.trim()), "{parents}");
}

#[tokio::test]
async fn a_locked_one_that_is_not_there_is_expected_back() {
    let world = World::new("dir locked");
    let path = world.make(1).await;
    world.run(
        &world.repo,
        &["worktree", "lock", "--reason", "on my stick", path.as_str()],
    );
    let away = world.dir.join("stick");
    fs::rename(&path, &away).unwrap();
    assert_eq!(kept(world.remove(1).await), ["a lock (on my stick)"]);
    assert_eq!(kept(world.discard(1).await), ["a lock (on my stick)"]);
    let error = world.git.create(&world.plan(1)).await.unwrap_err().to_string();
    assert!(
        error.contains("a lock (on my stick)") && error.contains("git worktree unlock"),
        "{error}"
    );
    fs::rename(&away, &path).unwrap();
    world.run(&world.repo, &["worktree", "unlock", path.as_str()]);
    assert_eq!(world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn commits_of_a_submodule_hold_what_git_keeps_of_a_deleted_directory() {
    let world = World::new("dir submodule");
    let library = world.dir.join("library");
    world.init(&library);
    world.commit(&library, "library");
    let allow = ["-c", "protocol.file.allow=always"];
    let add = ["submodule", "--quiet", "add", library.as_str(), "lib"];
    world.run(&world.repo, &[&allow[..], &add].concat());
    world.commit(&world.repo, "with a submodule");
    let path = world.make(1).await;
    let update = ["submodule", "--quiet", "update", "--init"];
    world.run(&path, &[&allow[..], &update].concat());
    let lib = path.join("lib");
    world.run(&lib, &["checkout", "-q", "-b", "mine"]);
    let commit = world.commit(&lib, "nowhere else");
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(kept(world.remove(1).await), ["changed submodule lib"]);
    let error = world.git.create(&world.plan(1)).await.unwrap_err().to_string();
    assert!(error.contains("changed submodule lib"), "{error}");
    let module = world.repo.join(".git/worktrees/web-1/modules/lib");
    let pushed = format!("{commit}:refs/heads/mine");
    world.run(
        &module,
        &["--work-tree=.", "push", "-q", library.as_str(), &pushed],
    );
    world.run(&module, &["--work-tree=.", "fetch", "-q"]);
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!(world.registered(), 0);
}

#[tokio::test]
async fn a_link_that_is_gone_is_written_anew_and_every_file_is_as_it_was() {
    let world = World::new("link");
    let (path, commit) = worked_in(&world).await;
    let (before, changes) = (contents(&path), status(&world, &path));
    for broken in ["gone", "cut", "elsewhere"] {
        let link = path.join(".git");
        match broken {
            "gone" => fs::remove_file(&link).unwrap(),
            "cut" => fs::write(&link, "").unwrap(),
            _ => fs::write(&link, "gitdir: /nowhere/.git/worktrees/web-1\n").unwrap(),
        }
        world.make(1).await;
        assert_eq!(contents(&path), before, "{broken}");
        assert_eq!(status(&world, &path), changes, "{broken}");
        assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit, "{broken}");
    }
    // And where it is to be removed: seen whole, and kept.
    let holdings = [
        "1 modified file (a.txt)",
        "1 untracked file (new)",
        "1 ignored file (.env)",
        "1 commit only on ao/web-1",
    ];
    fs::remove_file(path.join(".git")).unwrap();
    assert_eq!(world.weighed(1).await, holdings);
    fs::remove_file(path.join(".git")).unwrap();
    assert_eq!(kept(world.remove(1).await), holdings);
    assert_eq!(contents(&path), before);
    assert_eq!(status(&world, &path), changes);
    // One that holds nothing goes.
    let second = world.make(2).await;
    fs::remove_file(second.join(".git")).unwrap();
    assert_eq!(world.remove(2).await.unwrap(), GONE);
    assert!(!second.exists());
}

#[tokio::test]
async fn a_repository_inside_the_place_of_a_worktree_is_not_taken_for_it() {
    let world = World::new("link foreign");
    let path = world.make(1).await;
    fs::remove_file(path.join(".git")).unwrap();
    world.init(&path);
    let before = contents(&path);
    for error in [
        world.git.create(&world.plan(1)).await.unwrap_err(),
        world.discard(1).await.unwrap_err(),
    ] {
        assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    }
    assert_eq!(contents(&path), before);
    assert!(path.join(".git/HEAD").exists());
}

#[tokio::test]
async fn a_repository_that_is_gone_is_named_with_the_next_step() {
    let world = World::new("repo gone");
    let (path, _) = worked_in(&world).await;
    let before = contents(&path);
    // A directory in its place is no repository; neither is one further up that happens to hold it.
    world.init(&world.dir);
    world.commit(&world.dir, "all of it");
    fs::rename(&world.repo, world.dir.join("moved")).unwrap();
    for step in ["gone", "empty"] {
        if step == "empty" {
            fs::create_dir(&world.repo).unwrap();
        }
        let owner = world.owner(1);
        for error in [
            world.git.create(&world.plan(1)).await.unwrap_err(),
            world.git.create(&world.plan(2)).await.unwrap_err(),
            world.git.weigh(&owner).await.unwrap_err(),
            world.remove(1).await.unwrap_err(),
            world.discard(1).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, WorktreeError::RepositoryGone { .. }),
                "{step}: {error}"
            );
            assert!(error.to_string().contains("`ao project move`"), "{error}");
        }
        assert_eq!(contents(&path), before, "{step}");
    }
    assert_eq!(world.run(&world.dir, &["branch", "--list", "ao/*"]), "");
}

#[tokio::test]
async fn a_branch_deleted_under_a_session_is_made_again_where_it_stood() {
    let world = World::new("branch deleted");
    let (path, commit) = worked_in(&world).await;
    let (before, changes) = (contents(&path), status(&world, &path));
    let delete = || world.run(&world.repo, &["update-ref", "-d", "refs/heads/ao/web-1"]);
    let holdings = [
        "1 modified file (a.txt)",
        "1 untracked file (new)",
        "1 ignored file (.env)",
        "1 commit only on ao/web-1",
    ];
    delete();
    world.make(1).await;
    assert_eq!(world.run(&path, &["rev-parse", BRANCH]), commit);
    assert_eq!(
        (contents(&path), status(&world, &path)),
        (before.clone(), changes.clone())
    );
    delete();
    assert_eq!(world.weighed(1).await, holdings);
    // Deleted from inside, git notes the deletion itself.
    world.run(&path, &["update-ref", "-d", "refs/heads/ao/web-1"]);
    assert_eq!(kept(world.remove(1).await), holdings);
    assert_eq!((contents(&path), status(&world, &path)), (before, changes));
    // Its directory gone as well: still every commit.
    delete();
    fs::remove_dir_all(&path).unwrap();
    world.make(1).await;
    assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit);
    delete();
    fs::remove_dir_all(&path).unwrap();
    let removal = world.remove(1).await.unwrap();
    let Removal::Removed { rescue: Some(rescue) } = removal else {
        panic!("the commit is lost: {removal:?}");
    };
    assert_eq!(
        world.run(&world.repo, &["rev-parse", &format!("{rescue}^1")]),
        commit
    );
}

#[tokio::test]
async fn a_deleted_branch_that_nobody_noted_is_told_and_its_worktree_stays() {
    let world = World::new("branch unknown");
    let (path, _) = worked_in(&world).await;
    let before = contents(&path);
    world.run(&world.repo, &["update-ref", "-d", "refs/heads/ao/web-1"]);
    fs::remove_file(world.repo.join(".git/worktrees/web-1/logs/HEAD")).unwrap();
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert!(matches!(error, WorktreeError::BranchGone { .. }), "{error}");
    assert!(
        error.to_string().contains("`git branch ao/web-1 <commit>`"),
        "{error}"
    );
    assert!(kept(world.remove(1).await)[0].contains("modified"));
    assert_eq!(contents(&path), before);
}

#[tokio::test]
async fn a_deleted_branch_that_cannot_be_made_again_costs_no_commit() {
    let world = World::new("branch blocked");
    let (path, commit) = worked_in(&world).await;
    world.run(&world.repo, &["update-ref", "-d", "refs/heads/ao/web-1"]);
    world.run(&world.repo, &["branch", "ao/web-1/in-the-way"]);
    let holdings = kept(world.remove(1).await);
    assert_eq!(
        holdings.last().unwrap(),
        "1 commit only on ao/web-1",
        "{holdings:?}"
    );
    let removal = world.discard(1).await.unwrap();
    let Removal::Removed { rescue: Some(rescue) } = removal else {
        panic!("{removal:?}");
    };
    let parents = world.run(&world.repo, &["log", "-1", "--format=%P", &rescue]);
    assert!(parents.contains(&commit), "{parents}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_repository_that_is_collected_loses_no_commit_of_ours() {
    let world = World::new("collected");
    let path = world.make(2).await;
    fs::write(path.join("new"), "saved\n").unwrap();
    let Removal::Removed { rescue: Some(rescue) } = world.discard(2).await.unwrap() else {
        panic!("it held something");
    };
    let path = world.make(1).await;
    world.run(&path, &["checkout", "-q", "--detach"]);
    let commit = world.commit(&path, "on no branch");
    fs::write(path.join("a.txt"), "staged\n").unwrap();
    world.run(&path, &["add", "a.txt"]);
    world.run(&world.repo, &["reflog", "expire", "--expire=now", "--all"]);
    world.run(&world.repo, &["gc", "--quiet", "--prune=now"]);

    let saved = world.run(&world.repo, &["show", &format!("{rescue}:new")]);
    assert_eq!(saved, "saved");
    assert_eq!(world.run(&path, &["rev-parse", "HEAD"]), commit);
    assert_eq!(status(&world, &path), "M  a.txt");
    world.run(&path, &["fsck", "--no-dangling", "--no-progress"]);
    world.make(1).await;
    let later = world.commit(&path, "and it goes on");
    assert_eq!(kept(world.remove(1).await), ["2 commits only on HEAD"]);
    let Removal::Removed { rescue: Some(rescue) } = world.discard(1).await.unwrap() else {
        panic!("it held something");
    };
    assert_eq!(
        world.run(&world.repo, &["rev-parse", &format!("{rescue}^1")]),
        later
    );
}
