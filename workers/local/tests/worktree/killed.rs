//! A `git worktree add` whose daemon is killed: the next one waits for it or ends it, and never two are at work.
//!
//! The checkout is held by a smudge filter that says when it runs and waits until it is let go, both by pipes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use ao_domain::port::worktrees::{Removal, WorktreeError, Worktrees as _};
use ao_local::worktree::GitWorktrees;
use camino::Utf8PathBuf;
use tokio::net::unix::pipe;

use crate::world::{World, from_env};

/// Longer than anything here takes; only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the helper below is told its world by.
const WORLD: &str = "AO_TEST_WORKTREE_WORLD";

/// Not a test: the process that is killed in the middle of `create`.
#[tokio::test]
#[ignore = "started by the tests of this file as a process of its own"]
async fn helper_creates_and_is_killed() {
    let dir = Utf8PathBuf::from(from_env(WORLD).into_string().unwrap());
    let world = World::at(&dir, Duration::from_secs(60));
    let made = world.git.create(&world.plan(1)).await;
    std::mem::forget(world); // its directory is another process's
    made.unwrap();
}

/// The two pipes of the filter, open at both ends all the time, so that nothing written is lost and nobody hangs.
struct Filter {
    started: pipe::Receiver,
    go: pipe::Sender,
}

impl Filter {
    /// Resolves when one runs.
    async fn started(&self) {
        let line = async {
            loop {
                self.started.readable().await.unwrap();
                match self.started.try_read(&mut [0; 64]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return assert!(read.unwrap() > 0),
                }
            }
        };
        tokio::time::timeout(DEADLINE, line)
            .await
            .expect("a filter starts");
    }

    /// Lets the one that waits, or the next one, go on.
    fn let_go(&self) {
        self.go.try_write(b"\n").unwrap();
    }

    /// Waits for the next one and lets it go on.
    async fn pass(&self) {
        self.started().await;
        self.let_go();
    }
}

/// A world with a file whose checkout takes until it is let go.
fn slow(name: &str) -> (World, Filter) {
    let world = World::new(name);
    for pipe in ["started", "go"] {
        let made = world.command("mkfifo", &world.dir).arg(pipe).status().unwrap();
        assert!(made.success());
    }
    let dir = &world.dir;
    let smudge = format!("echo > '{dir}/started'; read -r _ < '{dir}/go'; cat");
    world.write("repo/.gitattributes", "*.slow filter=slow\n");
    world.write("repo/b.slow", "slow\n");
    world.commit(&world.repo, "slow");
    world.run(&world.repo, &["config", "filter.slow.smudge", &smudge]);
    let mut open = pipe::OpenOptions::new();
    let open = open.read_write(true);
    let filter = Filter {
        started: open.open_receiver(world.dir.join("started")).unwrap(),
        go: open.open_sender(world.dir.join("go")).unwrap(),
    };
    (world, filter)
}

/// The same worktrees, less patiently.
fn with_deadline(world: &World, deadline: Duration) -> GitWorktrees {
    let other = World::at(&world.dir, deadline);
    let git = other.git.clone();
    std::mem::forget(other); // its directory is `world`'s to remove
    git
}

/// Starts a process that creates, waits until its git is in the middle of the checkout, and kills the process.
async fn create_and_kill(world: &World, filter: &Filter) {
    let mut helper = helper(world).spawn().unwrap();
    filter.started().await;
    helper.kill().unwrap();
    helper.wait().unwrap();
}

fn helper(world: &World) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = world.command(this.to_str().unwrap(), &world.dir);
    command
        .args(["--exact", "killed::helper_creates_and_is_killed", "--ignored"])
        .env(WORLD, &world.dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[tokio::test]
async fn a_daemon_started_from_a_hook_does_not_work_on_the_repository_of_the_hook() {
    let world = World::new("surroundings");
    let other = world.dir.join("other");
    world.init(&other);
    world.commit(&other, "other");
    let status = helper(&world)
        .env("GIT_DIR", other.join(".git"))
        .env("GIT_WORK_TREE", &other)
        .env("GIT_INDEX_FILE", other.join(".git/index"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.bare")
        .env("GIT_CONFIG_VALUE_0", "true")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(world.registered(), 1);
    assert_eq!(world.run(&other, &["branch", "--list", "ao/*"]), "");
}

fn is_locked(world: &World) -> bool {
    let lock = File::options()
        .write(true)
        .open(world.dir.join("data/work/web-1/work.lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

fn is_complete(world: &World) {
    let path = world.owner(1).path;
    assert_eq!(fs::read_to_string(path.join("b.slow")).unwrap(), "slow\n");
    assert_eq!(world.run(&path, &["status", "--porcelain"]), "");
    assert_eq!(
        world.run(&path, &["rev-parse", "--abbrev-ref", "HEAD"]),
        "ao/web-1"
    );
    assert_eq!(world.registered(), 1);
    let list = world.run(&world.repo, &["worktree", "list", "--porcelain"]);
    assert!(!list.contains("locked"), "{list}");
    assert!(!is_locked(world));
}

#[tokio::test]
async fn the_next_one_waits_for_the_git_of_a_killed_daemon() {
    let (world, filter) = slow("waits");
    create_and_kill(&world, &filter).await;
    assert!(is_locked(&world), "git holds the lock itself");
    let inode = fs::metadata(world.owner(1).path).unwrap().ino();
    // Less patient than the recorded git may work: it waits for that one all the same.
    let patience = Duration::from_secs(2);
    let git = with_deadline(&world, patience);
    let plan = world.plan(1);
    let mut create = git.create(&plan);
    let early = tokio::time::timeout(patience + Duration::from_secs(1), &mut create).await;
    assert!(early.is_err(), "it began while another git was at work");
    filter.let_go();
    let made = tokio::time::timeout(DEADLINE, create).await;
    made.expect("it waited for nothing").unwrap();
    is_complete(&world);
    assert_eq!(
        fs::metadata(plan.owner.path).unwrap().ino(),
        inode,
        "what git had finished was taken over"
    );
}

#[tokio::test]
async fn a_git_past_its_deadline_is_ended_and_its_half_removed() {
    for recorded in [true, false] {
        let (world, filter) = slow(if recorded { "recorded" } else { "unrecorded" });
        create_and_kill(&world, &filter).await;
        let record = world.dir.join("data/work/web-1/work.json");
        if recorded {
            let text = fs::read_to_string(&record).unwrap();
            let mut work: serde_json::Value = serde_json::from_str(&text).unwrap();
            work["until"] = 0.into();
            fs::write(&record, work.to_string()).unwrap();
        } else {
            fs::remove_file(&record).unwrap(); // killed between starting git and writing it down
        }
        let git = with_deadline(&world, Duration::from_secs(4));
        let plan = world.plan(1);
        let (made, ()) = tokio::join!(tokio::time::timeout(DEADLINE, git.create(&plan)), filter.pass());
        made.expect("it waits for ever").unwrap();
        is_complete(&world);
    }
}

/// Kills the git of a killed daemon itself, as a power cut would.
fn kill_its_git(world: &World) {
    let record = fs::read_to_string(world.dir.join("data/work/web-1/work.json")).unwrap();
    let work: serde_json::Value = serde_json::from_str(&record).unwrap();
    let group = i32::try_from(work["git"]["pid"].as_i64().unwrap()).unwrap();
    let group = rustix::process::Pid::from_raw(group).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    let list = world.run(&world.repo, &["worktree", "list", "--porcelain"]);
    assert!(list.contains("locked initializing"), "{list}");
}

async fn half_made(name: &str) -> (World, Filter) {
    let (world, filter) = slow(name);
    create_and_kill(&world, &filter).await;
    kill_its_git(&world);
    (world, filter)
}

#[tokio::test]
async fn what_a_killed_git_left_is_made_anew() {
    let (world, filter) = half_made("anew").await;
    let plan = world.plan(1);
    let (made, ()) = tokio::join!(
        tokio::time::timeout(DEADLINE, world.git.create(&plan)),
        filter.pass()
    );
    made.unwrap().unwrap();
    is_complete(&world);
}

#[tokio::test]
async fn what_a_killed_git_left_is_removed_with_its_branch() {
    let (world, _) = half_made("unmade").await;
    assert!(world.branch_exists("ao/web-1"));
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!((world.left_over(), world.registered()), (Vec::new(), 0));
    assert!(!world.branch_exists("ao/web-1"));
}

#[tokio::test]
async fn a_registration_cut_short_is_finished_for_all_the_repository() {
    let (world, _) = half_made("cut-short").await;
    let gitdir = world.repo.join(".git/worktrees/web-1");
    fs::write(gitdir.join("commondir"), "").unwrap();
    fs::remove_file(gitdir.join("HEAD")).unwrap();
    let other = world.git.create(&world.plan(2)).await.unwrap_err();
    assert!(
        other.to_string().contains("commondir"),
        "git dies of it everywhere: {other}"
    );
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!(world.registered(), 0);
    assert!(!world.branch_exists("ao/web-1"));
}

#[tokio::test]
async fn a_half_made_one_with_a_file_of_somebody_is_left_alone() {
    let (world, _) = half_made("mine").await;
    world.write("data/worktrees/web/web-1/sub/mine.txt", "mine");
    for error in [
        world.git.create(&world.plan(1)).await.unwrap_err(),
        world.discard(1).await.unwrap_err(),
    ] {
        assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    }
    assert!(world.owner(1).path.join("sub/mine.txt").exists());
}

#[tokio::test]
async fn a_dropped_call_leaves_git_at_work_and_the_next_one_takes_over() {
    let (world, filter) = slow("dropped");
    let plan = world.plan(1);
    tokio::select! {
        made = world.git.create(&plan) => panic!("the checkout is held: {made:?}"),
        () = filter.started() => {} // drops the call
    }
    assert!(is_locked(&world));
    filter.let_go();
    let made = tokio::time::timeout(DEADLINE, world.git.create(&plan)).await;
    made.unwrap().unwrap();
    is_complete(&world);
}

#[tokio::test]
async fn what_was_saved_of_a_deleted_directory_is_told_after_a_kill() {
    // The git of the killed daemon ends well; it dies and all is made again; or it dies and nobody wants it any more.
    for (name, dies, is_made) in [
        ("ends", false, true),
        ("dies", true, true),
        ("unwanted", true, false),
    ] {
        let (world, filter) = slow(name);
        let plan = world.plan(1);
        let (made, ()) = tokio::join!(world.git.create(&plan), filter.pass());
        made.unwrap();
        fs::write(plan.owner.path.join("a.txt"), "staged\n").unwrap();
        world.run(&plan.owner.path, &["add", "a.txt"]);
        fs::remove_dir_all(&plan.owner.path).unwrap();
        create_and_kill(&world, &filter).await;
        if dies {
            kill_its_git(&world);
        } else {
            filter.let_go();
        }
        let rescue = if is_made {
            let again = async {
                if dies {
                    filter.pass().await;
                }
            };
            let made = tokio::time::timeout(DEADLINE, world.git.create(&plan));
            let (made, ()) = tokio::join!(made, again);
            is_complete(&world);
            made.unwrap().unwrap().rescue
        } else {
            match world.remove(1).await.unwrap() {
                Removal::Removed { rescue } => rescue,
                other => panic!("nobody learns of it: {other:?}"),
            }
        };
        let rescue = rescue.unwrap_or_else(|| panic!("{name}: nobody learns of it"));
        assert_eq!(
            world.run(&world.repo, &["show", &format!("{rescue}:a.txt")]),
            "staged"
        );
    }
}

#[tokio::test]
async fn a_checkout_past_its_own_deadline_says_so_and_leaves_nothing() {
    let (world, filter) = slow("overdue");
    // A checkout may take five times as long as the rest.
    let git = with_deadline(&world, Duration::from_secs(2));
    let plan = world.plan(1);
    let (made, ()) = tokio::join!(git.create(&plan), filter.started());
    let error = made.unwrap_err();
    assert!(
        matches!(&error, WorktreeError::Git { said, .. } if said == "timed out"),
        "{error}"
    );
    assert!(!is_locked(&world));
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!((world.left_over(), world.registered()), (Vec::new(), 0));
    assert!(!world.branch_exists("ao/web-1"));
}

#[tokio::test]
async fn what_a_killed_daemon_left_half_written_goes_with_the_next_look() {
    let world = World::new("drafts");
    world.make(1).await;
    for draft in ["owner.new", "work.new"] {
        let path = world.dir.join("data/work/web-1").join(draft);
        fs::write(&path, "{").unwrap();
        world.make(1).await; // finds it standing and starts no git that would write
        assert!(!path.exists(), "{draft}");
    }
}
