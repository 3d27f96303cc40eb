//! A place of its own for each test, and what is needed to wait for things.

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use ao_domain::port::runtime::{Held, Launch, Look, Runtime as _, RuntimeRef};
use ao_domain::{Exit, ProcessId};
use ao_local::logout::Scope;
use ao_local::runtimes::holder::Runs;
use ao_local::runtimes::pty::{self, PtyConfig};
use ao_local::runtimes::zellij::{self, ZellijConfig};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal};

pub(crate) type Test = (&'static str, fn());

/// Which runtime a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pty,
    Zellij,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pty => "pty",
            Self::Zellij => "zellij",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        match name {
            "pty" => Self::Pty,
            "zellij" => Self::Zellij,
            other => panic!("no runtime `{other}`"),
        }
    }

    /// Of the test on this thread.
    pub(crate) fn here() -> Self {
        KIND.get()
    }

    /// Runs a test over this one.
    pub(crate) fn over(self, test: fn()) {
        KIND.set(self);
        test();
    }
}

thread_local! {
    /// Tests know nothing of it: the same body runs over every runtime.
    static KIND: Cell<Kind> = const { Cell::new(Kind::Pty) };
}

/// The real zellij, where there is one.
pub(crate) fn real_zellij() -> Option<Utf8PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says where the program is"
    )]
    let path = std::env::var("AO_ZELLIJ").ok()?;
    Some(path.into())
}

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The variable by which a test's processes are found.
const MARK: &str = "AO_TEST_MARK";

/// Says that something shows nothing on this machine: on the test's own output, and as a line of the file named by
/// `AO_NOT_TESTED`, which `tests/run` prints last.
pub(crate) fn not_tested(name: &str, why: &str) {
    use std::io::Write as _;
    println!("NOT TESTED: {name}: {why}");
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says where the untested is collected"
    )]
    let Some(file) = std::env::var_os("AO_NOT_TESTED") else {
        return;
    };
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("the file named by AO_NOT_TESTED can be opened");
    file.write_all(format!("{name}: {why}\n").as_bytes())
        .expect("the file named by AO_NOT_TESTED can be written");
}

pub(crate) fn at(session: &str, generation: u32) -> RuntimeRef {
    RuntimeRef {
        session: session.parse().expect("a legal id"),
        generation,
    }
}

pub(crate) fn ourselves() -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(std::env::current_exe().expect("a program")).expect("a legible path")
}

/// A runtime over the runs at `root`, which is `<place of the test>/...`.
pub(crate) fn runtime_below(kind: Kind, root: &Utf8Path) -> Runs {
    match kind {
        Kind::Pty => pty::runtime(PtyConfig {
            root: root.to_owned(),
            executable: ourselves(),
            leading_args: vec!["pty-host".to_owned()],
            scope: Scope::default(),
        }),
        Kind::Zellij => zellij::runtime(zellij_config(root)),
    }
}

pub(crate) fn zellij_config(root: &Utf8Path) -> ZellijConfig {
    ZellijConfig {
        root: root.to_owned(),
        sockets: sockets_beside(root),
        others: Vec::new(),
        zellij: real_zellij().expect("tests over zellij run only where it is"),
        path: "/usr/bin:/bin".into(),
        launcher: ourselves(),
        leading_args: vec!["run-agent".to_owned()],
        scope: Scope::default(),
    }
}

/// A short path of the test's own for zellij's sockets: beside the place of the test.
pub(crate) fn sockets_beside(root: &Utf8Path) -> Utf8PathBuf {
    let of_all = Utf8PathBuf::from_path_buf(std::env::temp_dir()).expect("a legible path");
    let place = root.strip_prefix(&of_all).expect("tests work below it");
    let first = place.components().next().expect("a place of its own");
    of_all.join(first).join("s")
}

pub(crate) fn sh_launch(at: RuntimeRef, cwd: &Utf8Path, mark: &str, script: &str) -> Launch {
    Launch {
        at,
        argv: ["/bin/sh", "-c", script].map(ToOwned::to_owned).to_vec(),
        env: vec![
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            (MARK.to_owned(), mark.to_owned()),
        ],
        cwd: cwd.to_owned(),
    }
}

/// Runs a test that waits for things.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// A directory, a runtime in it, and a mark for every agent started from here. Dropped, nothing of it is left.
pub(crate) struct World {
    temp: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
    pub(crate) cwd: Utf8PathBuf,
    pub(crate) kind: Kind,
    pub(crate) runtime: Runs,
    pub(crate) mark: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::below("runs")
    }

    /// With the runs at this path below the test's own directory.
    pub(crate) fn below(path: &str) -> Self {
        let kind = Kind::here();
        let temp = tempfile::tempdir().expect("a place for the test");
        let base = Utf8Path::from_path(temp.path())
            .expect("a legible path")
            .to_owned();
        let (root, cwd) = (base.join(path), base.join("work"));
        fs::create_dir(&cwd).expect("a working directory");
        Self {
            kind,
            runtime: runtime_below(kind, &root),
            mark: format!("{}-{}", std::process::id(), base.file_name().expect("a name")),
            root,
            cwd,
            temp,
        }
    }

    pub(crate) fn file(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.temp.path())
            .expect("a legible path")
            .join(name)
    }

    /// The directory of the run `web-1`, generation 1.
    pub(crate) fn run_dir(&self) -> Utf8PathBuf {
        self.root.join("web-1").join("1")
    }

    /// Another daemon's runtime over the same runs.
    pub(crate) fn another(&self) -> Runs {
        runtime_below(self.kind, &self.root)
    }

    /// A process that creates the run `web-1` with this script, says who it is, and waits to be killed.
    pub(crate) fn creator(&self, script: &str) -> Command {
        let mut command = command(&ourselves());
        command.args(["helper", "create", self.kind.name()]);
        command.args([self.root.as_str(), self.cwd.as_str(), &self.mark, script]);
        command
    }

    pub(crate) fn sh(&self, at: RuntimeRef, script: &str) -> Launch {
        sh_launch(at, &self.cwd, &self.mark, script)
    }

    /// The same with a command line of words.
    pub(crate) fn words(&self, at: RuntimeRef, words: &[&str]) -> Launch {
        Launch {
            argv: words.iter().map(ToString::to_string).collect(),
            ..self.sh(at, "")
        }
    }

    /// Starts a shell script as the agent of `web-1`.
    pub(crate) async fn start(&self, script: &str) -> Held {
        let launch = self.sh(at("web-1", 1), script);
        self.runtime.create(&launch).await.expect("the agent starts")
    }

    /// Starts one of the test binary's own agents as the agent of `web-1`.
    pub(crate) async fn start_helper(&self, words: &[&str]) -> Held {
        let exe = ourselves();
        let all = [&[exe.as_str(), "helper"], words].concat();
        let launch = self.words(at("web-1", 1), &all);
        self.runtime.create(&launch).await.expect("the agent starts")
    }

    pub(crate) async fn look(&self) -> Look {
        self.runtime.look(&at("web-1", 1)).await.expect("a look succeeds")
    }

    /// Waits until the screen of `web-1` has this text; gives all of it.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self
                .runtime
                .screen(&at("web-1", 1))
                .await
                .expect("a screen is told");
            let all = screen.lines.join("\n");
            if all.contains(text) {
                return all;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "`{text}` never came; the screen is\n{all}"
            );
            tick().await;
        }
    }

    /// Waits for the end of `web-1`.
    pub(crate) async fn ended(&self) -> Exit {
        let began = Instant::now();
        let run = at("web-1", 1);
        loop {
            if let Look::Ended(held) = self.look().await {
                return held.exit.expect("an ended run says how");
            }
            assert!(began.elapsed() < PATIENCE, "the agent never ended");
            let _ = tokio::time::timeout(PATIENCE, self.runtime.changed(&run)).await; // looked at again either way
        }
    }

    /// Every process that was started with this test's mark, by number.
    pub(crate) fn census(&self) -> Vec<u32> {
        let wanted = format!("{MARK}={}", self.mark).into_bytes();
        fs::read_dir("/proc")
            .expect("processes can be listed")
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let environment = fs::read(entry.path().join("environ")).ok()?;
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == wanted)
                    .then_some(pid)
            })
            .collect()
    }

    /// The same with what tells them apart: numbers of process, parent, group and session, and command line.
    fn described(&self) -> Vec<String> {
        let read =
            |pid: u32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        self.census()
            .into_iter()
            .map(|pid| {
                let stat = read(pid, "stat");
                let numbers: Vec<&str> = stat
                    .rsplit(')')
                    .next()
                    .unwrap_or_default()
                    .split(' ')
                    .take(5)
                    .collect();
                format!(
                    "{pid} {} {}",
                    numbers.join(" "),
                    read(pid, "cmdline").replace('\0', " ")
                )
            })
            .collect()
    }

    /// Waits until this many of the test's processes run.
    pub(crate) async fn population(&self, count: usize) {
        let began = Instant::now();
        while self.census().len() != count {
            assert!(
                began.elapsed() < PATIENCE,
                "not {count} processes but {:#?}",
                self.described()
            );
            tick().await;
        }
    }

    /// Every process of zellij's with this test's place in its command line: servers, launchers, clients.
    pub(crate) fn zellijs(&self) -> Vec<u32> {
        let sockets = sockets_beside(&self.root);
        let of_ours = |line: &str| {
            line.contains(sockets.as_str())
                || (line.contains("\0run-agent\0") && line.contains(self.root.as_str()))
        };
        fs::read_dir("/proc")
            .expect("processes can be listed")
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let line = fs::read(entry.path().join("cmdline")).ok()?;
                of_ours(&String::from_utf8_lossy(&line)).then_some(pid)
            })
            .collect()
    }

    /// Every name below the runs' directory, and what there is of zellij's.
    pub(crate) fn left_below_root(&self) -> Vec<String> {
        let sockets = sockets_beside(&self.root);
        let names = [&self.root, &sockets]
            .into_iter()
            .flat_map(|dir| match fs::read_dir(dir) {
                Ok(entries) => entries
                    .flatten()
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect(),
                Err(_) => Vec::new(),
            });
        names
            .chain(self.zellijs().iter().map(|pid| format!("process {pid}")))
            .collect()
    }

    /// The server of the zellij session of `web-1`, which is there.
    pub(crate) fn server(&self) -> ProcessId {
        let servers = self.servers(".1");
        assert_eq!(servers.len(), 1, "one server: {servers:?}");
        servers[0].clone()
    }

    /// Servers of zellij sessions of this test whose socket's name ends like this.
    pub(crate) fn servers(&self, name: &str) -> Vec<ProcessId> {
        self.zellijs()
            .into_iter()
            .filter(|pid| {
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.contains("\0--server\0") && line.trim_end_matches('\0').ends_with(name)
            })
            .filter_map(|pid| ao_local::process::identify(pid).expect("the kernel tells"))
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed in the middle leaves nothing running either.
        block_on(async {
            for run in self.runtime.list().await.unwrap_or_default() {
                let _ = self.runtime.destroy(&run).await;
            }
        });
        for pid in self.census().into_iter().chain(self.zellijs()) {
            signal(pid, Signal::KILL);
        }
    }
}

/// A moment between two looks at the same thing.
pub(crate) async fn tick() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "never came: {what}");
        tick().await;
    }
}

/// Waits until the file has been written to the end: until `whole` says so.
pub(crate) async fn read_when(path: &Utf8Path, whole: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if whole(&text) {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "`{path}` only says {text:?}");
        tick().await;
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

pub(crate) fn is_alive(process: &ProcessId) -> bool {
    ao_local::process::is_alive(process).expect("the kernel tells")
}

pub(crate) fn mode_of(path: &Utf8Path) -> u32 {
    fs::symlink_metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o7777
}

/// A process of the test's own.
pub(crate) fn command(program: &Utf8Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests play the part of other programs")]
    Command::new(program)
}
