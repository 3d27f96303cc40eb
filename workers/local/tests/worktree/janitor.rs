//! What carries our names is listed; only what is ours and holds nothing is taken back.

use std::fs;

use ao_domain::port::upkeep::{Reclaimed, Standing, Thing, Trace, Traces, Upkeep as _};
use ao_domain::port::worktrees::{Removal, WorktreeError, Worktrees as _};

use crate::world::{World, contents};

async fn traces(world: &World) -> Traces {
    let traces = world.git.traces(std::slice::from_ref(&world.repo)).await.unwrap();
    assert!(traces.unread.is_empty(), "{:?}", traces.unread);
    traces
}

/// One line each, such as `branch ao/web-1: leftover`.
async fn listed(world: &World) -> Vec<String> {
    let found = traces(world).await.found;
    found.iter().map(|trace| line(world, trace)).collect()
}

fn line(world: &World, trace: &Trace) -> String {
    let dir = world.dir.as_str();
    let short = |path: &camino::Utf8Path| path.as_str().replace(dir, "");
    let thing = match &trace.thing {
        Thing::Directory { path } => format!("directory {}", short(path)),
        Thing::Record { path, .. } => format!("record {}", short(path)),
        Thing::LockFolder { path } => format!("lock folder {}", short(path)),
        Thing::Registration { path } => format!("registration {}", short(path)),
        Thing::Branch {
            name, own_commits, ..
        } => format!("branch {name} ({own_commits})"),
        Thing::Rescue { name, .. } => format!("rescue {name}"),
    };
    assert!(trace.changed_at.is_some(), "{thing} has no age");
    assert_eq!(
        trace.record.is_none(),
        trace.standing == Standing::Foreign || { matches!(trace.thing, Thing::LockFolder { .. }) },
        "{thing}"
    );
    format!("{thing}: {:?}", trace.standing)
}

/// Asks to take everything back. Returns what went.
async fn reclaimed(world: &World) -> Vec<String> {
    let mut gone = Vec::new();
    for trace in traces(world).await.found {
        if let Reclaimed::Gone { .. } = world.git.reclaim(&trace).await.unwrap() {
            assert_eq!(trace.standing, Standing::Leftover, "{trace:?}");
            gone.push(line(world, &trace));
        } else {
            assert_ne!(trace.standing, Standing::Leftover, "{trace:?}");
        }
    }
    gone
}

#[tokio::test]
async fn what_a_living_session_has_is_in_use_and_stays() {
    let world = World::new("janitor living");
    assert_eq!(listed(&world).await, Vec::<String>::new());
    let path = world.make(1).await;
    let before = contents(&path);
    let expected = [
        "directory /data/worktrees/web/web-1: InUse",
        "branch ao/web-1 (0): InUse",
    ];
    assert_eq!(listed(&world).await, expected);
    let trace = traces(&world).await.found.remove(0);
    assert_eq!(trace.session.unwrap().as_str(), "web-1");
    assert_eq!(trace.record.unwrap().owner, world.owner(1));
    assert_eq!(reclaimed(&world).await, Vec::<String>::new());
    assert_eq!(contents(&path), before);
    assert!(world.branch_exists("ao/web-1"));
}

#[tokio::test]
async fn a_branch_goes_once_its_commits_are_elsewhere() {
    let world = World::new("janitor branch");
    let path = world.make(1).await;
    world.commit(&path, "work");
    world.write("data/worktrees/web/web-1/new", "new");
    assert!(matches!(world.discard(1).await.unwrap(), Removal::Removed { .. }));
    let expected = [
        "branch ao/web-1 (1): Keeps",
        "rescue refs/ao/rescue/web-1/1: Keeps",
    ];
    // The rescue holds it as well, but a rescue is no place to work on.
    assert_eq!(listed(&world).await, expected);
    assert_eq!(reclaimed(&world).await, Vec::<String>::new());
    // Its own copy on a remote is what a session would come back to.
    world.run(
        &world.repo,
        &["update-ref", "refs/remotes/origin/ao/web-1", "ao/web-1"],
    );
    assert_eq!(listed(&world).await[0], "branch ao/web-1 (1): Keeps");
    let listed_before = traces(&world).await.found.remove(0);
    world.run(&world.repo, &["merge", "-q", "--ff-only", "ao/web-1"]);
    assert_eq!(listed(&world).await[0], "branch ao/web-1 (0): Leftover");
    // Checked out by a person meanwhile.
    let theirs = world.dir.join("theirs");
    world.run(
        &world.repo,
        &["worktree", "add", "-q", theirs.as_str(), "ao/web-1"],
    );
    assert_eq!(listed(&world).await[0], "branch ao/web-1 (0): InUse");
    assert_eq!(world.git.reclaim(&listed_before).await.unwrap(), Reclaimed::Stays);
    world.run(&world.repo, &["worktree", "remove", theirs.as_str()]);
    assert_eq!(reclaimed(&world).await, ["branch ao/web-1 (0): Leftover"]);
    assert!(!world.branch_exists("ao/web-1"));
    assert_eq!(listed(&world).await, ["rescue refs/ao/rescue/web-1/1: Keeps"]);
    world.run(&world.repo, &["update-ref", "-d", "refs/ao/rescue/web-1/1"]);
    assert_eq!(
        reclaimed(&world).await,
        ["record /data/worktrees/web/web-1: Leftover"]
    );
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_listed_is_looked_at_again_before_it_goes() {
    let world = World::new("janitor again");
    let path = world.make(1).await;
    world.commit(&path, "work");
    world.write("data/worktrees/web/web-1/new", "new");
    world.discard(1).await.unwrap();
    world.run(&world.repo, &["merge", "-q", "--ff-only", "ao/web-1"]);
    let leftover = traces(&world).await.found.remove(0);
    assert_eq!(leftover.standing, Standing::Leftover);
    // A commit, made between the two looks.
    world.run(&world.repo, &["checkout", "-q", "ao/web-1"]);
    world.commit(&world.repo, "in between");
    world.run(&world.repo, &["checkout", "-q", "main"]);
    assert_eq!(world.git.reclaim(&leftover).await.unwrap(), Reclaimed::Stays);
    assert!(world.branch_exists("ao/web-1"));
    // Or the session came back.
    world.run(&world.repo, &["merge", "-q", "--ff-only", "ao/web-1"]);
    world.make(1).await;
    assert_eq!(world.git.reclaim(&leftover).await.unwrap(), Reclaimed::Stays);
    world.run(&path, &["checkout", "-q", "-b", "topic"]);
    assert_eq!(
        world.git.reclaim(&leftover).await.unwrap(),
        Reclaimed::Stays,
        "it is the session's, whatever it works on now"
    );
    assert!(path.join("a.txt").exists() && world.branch_exists("ao/web-1"));
}

#[tokio::test]
async fn what_is_left_of_a_deleted_directory_goes() {
    let world = World::new("janitor deleted");
    for num in 1..=2 {
        fs::remove_dir_all(world.make(num).await).unwrap();
    }
    let second = world.owner(2).path;
    world.run(&world.repo, &["worktree", "lock", second.as_str()]);
    let expected = [
        "record /data/worktrees/web/web-1: Leftover",
        "record /data/worktrees/web/web-2: Keeps",
        "branch ao/web-1 (0): InUse",
        "branch ao/web-2 (0): InUse",
    ];
    assert_eq!(listed(&world).await, expected);
    assert_eq!(reclaimed(&world).await, expected[..1]);
    assert_eq!(world.registered(), 1, "the locked one is expected back");
    assert_eq!(world.left_over(), ["web-2"]);
    assert!(!world.branch_exists("ao/web-1") && world.branch_exists("ao/web-2"));
}

#[tokio::test]
async fn what_was_saved_of_a_deleted_directory_is_told() {
    let world = World::new("janitor saved");
    let path = world.make(1).await;
    world.run(&path, &["checkout", "-q", "--detach"]);
    let commit = world.commit(&path, "on no branch");
    fs::remove_dir_all(&path).unwrap();
    let found = traces(&world).await.found;
    let rescue = "refs/ao/rescue/web-1/1";
    assert_eq!(
        world.git.reclaim(&found[0]).await.unwrap(),
        Reclaimed::Gone {
            rescued: Some(rescue.to_owned())
        }
    );
    assert_eq!(
        world.run(&world.repo, &["rev-parse", &format!("{rescue}^1")]),
        commit
    );
}

#[tokio::test]
async fn a_file_that_is_being_copied_is_ours() {
    let world = World::new("janitor copying");
    world.make(1).await;
    world.write("data/worktrees/web/.copying-web-1", "half");
    let expected = [
        "directory /data/worktrees/web/.copying-web-1: InUse",
        "directory /data/worktrees/web/web-1: InUse",
    ];
    assert_eq!(listed(&world).await[..2], expected);
    assert_eq!(reclaimed(&world).await, Vec::<String>::new());
    world.remove(1).await.unwrap();
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_killed_removal_left_goes_and_what_it_had_not_weighed_stays() {
    let world = World::new("janitor killed");
    for num in 1..=2 {
        world.make(num).await;
    }
    let record = world.dir.join("data/work/web-1/owner.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"made\"", "\"leaving\"")).unwrap();
    let aside = |num, name: &str| {
        let path = world.owner(num).path;
        fs::rename(&path, path.with_file_name(name)).unwrap();
    };
    aside(1, ".gone-web-1");
    aside(2, ".leaving-web-2");
    let expected = [
        "directory /data/worktrees/web/.gone-web-1: Leftover",
        "directory /data/worktrees/web/.leaving-web-2: Keeps",
    ];
    assert_eq!(listed(&world).await[..2], expected);
    assert_eq!(reclaimed(&world).await, expected[..1]);
    assert_eq!(world.left_over(), [".leaving-web-2", "web-2"]);
    assert_eq!(world.registered(), 1);
}

#[tokio::test]
async fn an_empty_lock_folder_goes_and_one_that_is_held_stays() {
    let world = World::new("janitor locks");
    for num in 1..=3 {
        world.write(&format!("data/work/web-{num}/work.lock"), "");
    }
    world.write("data/work/web-3/mine.txt", "mine");
    world.write("data/work/web-4/owner.json", "{\"v\": 9}");
    let held = fs::File::open(world.dir.join("data/work/web-2/work.lock")).unwrap();
    held.lock().unwrap();
    let expected = [
        "lock folder /data/work/web-1: Leftover",
        "lock folder /data/work/web-2: Leftover",
        "lock folder /data/work/web-3: Foreign",
        "lock folder /data/work/web-4: Keeps",
    ];
    assert_eq!(listed(&world).await, expected);
    let mut gone = Vec::new();
    for trace in traces(&world).await.found {
        gone.push(world.git.reclaim(&trace).await.unwrap() != Reclaimed::Stays);
    }
    assert_eq!(gone, [true, false, false, false]);
    assert_eq!(world.left_over(), ["web-2", "web-3", "web-4"]);
    assert!(world.dir.join("data/work/web-3/mine.txt").exists());
}

#[tokio::test]
async fn what_only_looks_like_ours_is_listed_and_never_touched() {
    let world = World::new("janitor foreign");
    // A branch, a worktree elsewhere, one where only ours lie, one of another repository there, plain files, git's record of
    // one that is away.
    world.run(&world.repo, &["branch", "ao/web-1"]);
    let elsewhere = world.dir.join("elsewhere/web-2");
    let inside = world.owner(3).path;
    let away = world.owner(6).path;
    for (path, branch) in [(&elsewhere, "ao/web-2"), (&inside, "ao/web-3"), (&away, "theirs")] {
        world.run(
            &world.repo,
            &["worktree", "add", "-q", "-b", branch, path.as_str()],
        );
    }
    fs::rename(&away, world.dir.join("stick")).unwrap();
    let other = world.dir.join("other");
    world.init(&other);
    world.commit(&other, "other");
    let fourth = world.owner(4).path;
    world.run(&other, &["worktree", "add", "-q", "-b", "x", fourth.as_str()]);
    world.write("data/worktrees/web/.gone-web-5/mine.txt", "mine");
    world.write("data/worktrees/web/notes", "mine");
    world.run(&world.repo, &["update-ref", "refs/ao/rescue/web-9/1", "main"]);
    let expected = [
        "directory /data/worktrees/web/.gone-web-5: Foreign",
        "directory /data/worktrees/web/notes: Foreign",
        "directory /data/worktrees/web/web-3: Foreign",
        "directory /data/worktrees/web/web-4: Foreign",
        "registration /data/worktrees/web/web-6: Foreign",
        "branch ao/web-1 (0): Foreign",
        "branch ao/web-2 (0): Foreign",
        "branch ao/web-3 (0): Foreign",
    ];
    let found = traces(&world).await.found;
    let (rescue, found): (Vec<Trace>, Vec<Trace>) = found
        .into_iter()
        .partition(|trace| matches!(trace.thing, Thing::Rescue { .. }));
    assert_eq!(rescue[0].standing, Standing::Keeps);
    let lines: Vec<String> = found.iter().map(|trace| line(&world, trace)).collect();
    assert_eq!(lines, expected);
    let all = || {
        (
            contents(&world.dir),
            world.run(&world.repo, &["for-each-ref"]),
            world.registered(),
        )
    };
    let before = all();
    for trace in found.iter().chain(&rescue) {
        assert_eq!(world.git.reclaim(trace).await.unwrap(), Reclaimed::Stays);
        // Nor when somebody says that it is ours: our own record is asked.
        let num = trace
            .session
            .as_ref()
            .and_then(|id| id.as_str().rsplit('-').next()?.parse().ok());
        let record = ao_domain::port::worktrees::Owned {
            owner: world.owner(num.unwrap_or(1)),
            start: String::new(),
            branch_given: false,
        };
        let lock = format!("data/work/{}/work.lock", record.owner.session);
        world.write(&lock, ""); // nothing is remembered there
        let claimed = Trace {
            record: Some(record),
            standing: Standing::Leftover,
            ..trace.clone()
        };
        assert_eq!(world.git.reclaim(&claimed).await.unwrap(), Reclaimed::Stays);
    }
    assert_eq!(all(), before);
}

#[tokio::test]
async fn a_repository_that_is_away_hides_no_other_and_loses_no_record() {
    let world = World::new("janitor away");
    fs::remove_dir_all(world.make(1).await).unwrap();
    let gone = world.dir.join("gone");
    let found = world
        .git
        .traces(&[gone.clone(), world.repo.clone()])
        .await
        .unwrap();
    assert_eq!(found.unread.len(), 1);
    assert_eq!(found.unread[0].0, gone);
    assert_eq!(found.found.len(), 2);
    let record = &found.found[0];
    assert_eq!(record.standing, Standing::Leftover);
    fs::rename(&world.repo, &gone).unwrap();
    let error = world.git.reclaim(record).await.unwrap_err();
    assert!(matches!(error, WorktreeError::RepositoryGone { .. }), "{error}");
    let found = world.git.traces(&[]).await.unwrap();
    assert_eq!(found.found[0].standing, Standing::Keeps);
    assert_eq!(world.git.owned().await.unwrap().len(), 1);
}
