//! Crash points, seen from outside: this test binary runs itself as the program that is cut off.

#![expect(
    clippy::disallowed_methods,
    reason = "the program under test is a process of its own, told what to do by its environment"
)]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ao_supervisor::step;

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ao-fault-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn deeds(&self) -> PathBuf {
        self.0.join("deeds")
    }

    fn plan(&self) -> PathBuf {
        self.0.join("plan")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program: passes `t.one` twice and `t.two` once.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn program() {
    // On a paused clock a deadline passes as soon as nothing else can run.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let points = async {
            assert_eq!(step!("t.one", async { 1 }), 1);
            assert_eq!(step!("t.one", async { 2 }), 2);
            step!("t.two", async {});
        };
        let passed = tokio::time::timeout(std::time::Duration::from_secs(1), points).await;
        assert!(passed.is_ok(), "the program hangs");
    });
}

fn command(folder: &Folder) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "program", "--ignored"])
        .stdin(Stdio::null());
    command
        .env("AO_FAULT_LOG", folder.log())
        .env("AO_FAULT_DEEDS", folder.deeds())
        .env("AO_FAULT_PLAN", folder.plan());
    command
}

fn run(folder: &Folder, plan: &str) -> Output {
    std::fs::write(folder.plan(), plan).unwrap();
    command(folder).output().unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_point_is_written_down_once_a_process() {
    let folder = Folder::new("log");
    assert!(command(&folder).output().unwrap().status.success());
    assert!(command(&folder).output().unwrap().status.success());
    let once = ["t.one.before", "t.one.after", "t.two.before", "t.two.after"];
    assert_eq!(lines(&folder.log()), [once, once].concat());
}

#[test]
fn a_kill_strikes_at_its_point_and_once() {
    let folder = Folder::new("kill");
    let cut = run(&folder, "t.one.after kill\n");
    assert_eq!(cut.status.signal(), Some(9));
    assert_eq!(lines(&folder.log()), ["t.one.before", "t.one.after"]);
    assert!(!folder.plan().exists());
    assert!(command(&folder).output().unwrap().status.success());
    assert_eq!(lines(&folder.deeds()), ["t.one.after kill"]);
}

#[test]
fn a_panic_strikes_at_the_hit_that_was_named() {
    let folder = Folder::new("panic");
    let cut = run(&folder, "t.one.before 2 panic");
    assert_eq!(cut.status.code(), Some(101));
    assert_eq!(lines(&folder.log()), ["t.one.before", "t.one.after"]);
    let said = [cut.stdout, cut.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("fault at t.one.before"));
    assert!(!folder.plan().exists());
    assert_eq!(lines(&folder.deeds()), ["t.one.before panic"]);
}

#[test]
fn a_plan_for_a_point_never_passed_stays() {
    let folder = Folder::new("stays");
    assert!(run(&folder, "t.three.before kill").status.success());
    assert!(folder.plan().exists());
    assert!(!folder.deeds().exists(), "nothing was carried out");
}

#[test]
fn a_plan_that_means_nothing_is_no_silent_pass() {
    let folder = Folder::new("nonsense");
    assert_eq!(run(&folder, "t.one.before explode").status.code(), Some(101));
}

#[test]
fn a_hang_goes_no_further() {
    let folder = Folder::new("hang");
    let cut = run(&folder, "t.two.before hang");
    assert_eq!(cut.status.code(), Some(101));
    let said = [cut.stdout, cut.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("the program hangs"));
    assert_eq!(
        lines(&folder.log()),
        ["t.one.before", "t.one.after", "t.two.before"]
    );
    assert!(!folder.plan().exists());
    assert_eq!(lines(&folder.deeds()), ["t.two.before hang"]);
}
