//! `ao demo` as a process: it ends well and leaves nothing, whether it is let, kept or interrupted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What the demo promises to take at most, and then some for a machine that does something else beside it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A temporary directory of this test's own, so that the demos of others are not taken for its.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ao-demo-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir.canonicalize().unwrap())
    }

    /// What is left of demos in here: directories, and processes that know of one.
    fn left(&self) -> (usize, Vec<u32>) {
        (fs::read_dir(&self.0).unwrap().count(), processes_in(&self.0))
    }

    /// `ao demo words` in this directory, its own environment kept apart from the user's.
    fn demo(&self, words: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "a test starts the program under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_ao"));
        command
            .arg("demo")
            .args(words)
            .env("TMPDIR", &self.0)
            // What a person may have set must not reach the demo: their daemon is none of its.
            .env("AO_DATA_DIR", "/nowhere/data")
            .env("AO_RUN_FILE", "/nowhere/running.json")
            .env("AO_SESSION_ID", "web-1")
            .env("GIT_DIR", "/nowhere/git")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // Only what a failed test left: every process in here names this test's own directory.
        for pid in processes_in(&self.0) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every living process that has `dir` in its command line or its environment, but for demos themselves.
fn processes_in(dir: &Path) -> Vec<u32> {
    let needle = format!("{}/ao-demo-", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        if String::from_utf8_lossy(&text).contains(&needle) {
            found.push(pid);
        }
    }
    found
}

/// Waits for the end of `child` and gives what it said; past the deadline it is ended and the test fails.
fn ended(mut child: Child) -> Output {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (over, is_over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let out = scope.spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let err = scope.spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        });
        let watchdog = scope.spawn(move || {
            let late = is_over.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                // It cleans up after SIGTERM; it is our child and not waited for yet, so the number is its own.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            late
        });
        let status = child.wait().unwrap();
        drop(over);
        let output = Output {
            status,
            stdout: out.join().unwrap().unwrap(),
            stderr: err.join().unwrap().unwrap(),
        };
        assert!(!watchdog.join().unwrap(), "not within {DEADLINE:?}: {output:?}");
        output
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn everything_comes_back_and_nothing_is_left() {
    let temp = Temp::new("whole");
    let began = Instant::now();
    let output = ended(temp.demo(&[]).spawn().unwrap());
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", text(&output.stderr));
    assert_eq!(temp.left(), (0, Vec::new()));
    assert!(told.contains("All 12 promises held"), "{told}");
    assert!(!told.contains('✗') && !told.contains('\x1b'), "{told}");
    for status in [
        "needs_input",
        "working → idle",
        "idle → terminated",
        "needs_input → idle",
    ] {
        assert!(told.contains(status), "{status} is not told of:\n{told}");
    }
    println!("the demo took {:.1?}", began.elapsed());
}

#[test]
fn a_kept_demo_lives_on_until_it_is_cleaned_up() {
    let temp = Temp::new("kept");
    let output = ended(temp.demo(&["--keep", "--json"]).spawn().unwrap());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    let verdict: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(verdict["ok"], true, "{verdict}");
    let dir = verdict["directory"].as_str().unwrap();
    assert!(Path::new(dir).starts_with(&temp.0));
    let kept = temp.left();
    assert_eq!(kept.0, 1);
    // The daemon, the two living agents and a holder for each session.
    assert!(kept.1.len() >= 6, "{kept:?}");

    #[expect(clippy::disallowed_methods, reason = "a test starts the program under test")]
    let listed = Command::new(env!("CARGO_BIN_EXE_ao"))
        .args(["session", "ls", "--json"])
        .env("AO_DATA_DIR", format!("{dir}/data"))
        .env("AO_RUN_FILE", format!("{dir}/running.json"))
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: BTreeSet<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|session| session["displayName"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(["asker", "fixer"]), "{listed}");

    let output = ended(temp.demo(&["--clean", dir]).spawn().unwrap());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(temp.left(), (0, Vec::new()));
    let again = ended(temp.demo(&["--clean", dir]).spawn().unwrap());
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("is not a demo's directory"),
        "{again:?}"
    );
}

#[test]
fn an_interrupted_demo_cleans_up() {
    let temp = Temp::new("interrupted");
    let mut child = temp.demo(&[]).spawn().unwrap();
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .unwrap();
    // A demo that never gets there ends by its own deadlines, and so does this loop.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told: Vec<String> = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.starts_with("4. "))
        .collect();
    // In the act whose daemon is about to be killed: three agents were started by then.
    assert!(told.iter().any(|line| line.starts_with("3. ")), "{told:?}");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted by SIGINT"), "{said}");
    assert_eq!(temp.left(), (0, Vec::new()), "{said}");
}

#[test]
fn without_git_it_says_so_and_leaves_nothing() {
    let temp = Temp::new("no-git");
    let mut command = temp.demo(&[]);
    command.env("PATH", "/nowhere");
    let output = ended(command.spawn().unwrap());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("the demo needs git") && said.contains("install git"),
        "{said}"
    );
    assert_eq!(temp.left(), (0, Vec::new()));
}
