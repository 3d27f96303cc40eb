//! A world of its own for one test: directory, home, repository, port, daemon.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::census::{Census, processes_of};
use super::github::{GitHub, Pull};
use super::http::{Answer, Http};
use super::tree::TreeView;

/// The longest a test waits for anything: far beyond what the slowest machine needs, so that passing it is a fault.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nobody looks: what is there for a moment only is seen all the same.
const LOOK: Duration = Duration::from_millis(5);

/// The same where waits are long.
const RARE_LOOK: Duration = Duration::from_millis(50);

/// Whether waits are long in this process.
static RARELY: AtomicBool = AtomicBool::new(false);

/// From now on this process looks the less often the longer it waits, up to twenty times a second. Each look costs the daemon that it
/// asks some milliseconds of a processor, which are taken from what a test of a real agent waits for, for seconds each time.
pub fn look_rarely() {
    RARELY.store(true, Ordering::Relaxed);
}

/// Waits until `so` gives an answer, looking every few milliseconds (or [`look_rarely`]), and fails with `what` past the deadline.
pub fn within<T>(deadline: Duration, what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = so() {
            return answer;
        }
        let waited = began.elapsed();
        assert!(waited < deadline, "not within {deadline:?}: {what}");
        // Nothing outside can tell a test that the world has changed; so it looks again, and the deadline is the test.
        let longest = if RARELY.load(Ordering::Relaxed) {
            RARE_LOOK
        } else {
            LOOK
        };
        std::thread::park_timeout((waited / 20).clamp(LOOK, longest));
    }
}

/// Waits until `so` holds, with the longest patience there is.
pub fn settle(what: &str, mut so: impl FnMut() -> bool) {
    within(PATIENCE, what, || so().then_some(()));
}

/// What a command of ours said.
#[derive(Debug)]
pub struct Ao {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ao {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// This, if the command went well.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// A world. Dropping it ends every process that was started in it, by id, and removes its directory.
pub struct World {
    /// Everything of this world lies under here.
    pub dir: Utf8PathBuf,
    /// The data directory.
    pub data: Utf8PathBuf,
    /// A repository with one commit on `main`.
    pub repo: Utf8PathBuf,
    /// The program under test.
    pub program: Utf8PathBuf,
    env: Vec<(String, String)>,
    file_limit: Option<u64>,
    /// What the daemon mounts first, in a namespace of its own, as words for a shell.
    mount: Option<String>,
    /// What stands in the place of the machine's boot id, after so many restarts of it.
    boots: Option<(u32, Utf8PathBuf)>,
    daemon: Option<Child>,
    port: u16,
}

impl World {
    /// An empty world for `program` (`env!("CARGO_BIN_EXE_ao-with-faults")`), with a repository, without a daemon.
    pub fn new(program: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let temp = Utf8PathBuf::try_from(std::env::temp_dir()).expect("the temporary folder is UTF-8");
        let dir = temp.join(format!("ao-test-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let (data, repo) = (dir.join("data"), dir.join("web"));
        for folder in [&dir.join("home"), &repo] {
            fs::create_dir_all(folder).expect("the temporary folder is writable");
        }
        let mut world = Self {
            data,
            repo,
            program: program.into(),
            env: Vec::new(),
            file_limit: None,
            mount: None,
            boots: None,
            daemon: None,
            port: 0,
            dir,
        };
        world.set("AO_DATA_DIR", world.data.clone().as_str());
        world.set("AO_RUN_FILE", world.dir.join("running.json").as_str());
        world.set("AO_PORT", "0");
        world.set("AO_CHAOS", "1");
        world.set("AO_AGENT", "shell");
        world.set("AO_FAULT_PLAN", world.dir.join("fault-plan").as_str());
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever runs the tests says where reached points and deeds are collected"
        )]
        for collected in ["AO_FAULT_LOG", "AO_FAULT_DEEDS"] {
            if let Ok(file) = std::env::var(collected) {
                world.set(collected, &file);
            }
        }
        world.make_repository(&world.repo);
        world
    }

    /// A world with a running daemon and the repository registered as `web`.
    pub fn started(program: &str) -> Self {
        let mut world = Self::new(program);
        world.begin();
        world
    }

    /// A world like that of [`World::started`] in which `agent` stands in the place of Claude Code's program.
    pub fn with_agent(program: &str, agent: &str) -> Self {
        let mut world = Self::new(program);
        world.agent(agent);
        world.begin();
        world
    }

    /// Starts the daemon and registers the repository as `web`.
    pub fn begin(&mut self) {
        self.start();
        self.ao(&["project", "add", self.repo.as_str(), "--id", "web"])
            .ok();
    }

    /// Puts `agent` in the place of Claude Code's program, for every process started from now on.
    pub fn agent(&mut self, agent: &str) {
        let bin = self.dir.join("bin");
        fs::create_dir_all(&bin).expect("the world is writable");
        std::os::unix::fs::symlink(agent, bin.join("claude")).expect("the world is writable");
        self.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    }

    /// Spawns a session of Claude Code, or of what stands in its place, with `prompt`.
    pub fn spawn_claude(&self, prompt: &str) -> String {
        let body = json!({"projectId": "web", "harness": "claude-code", "prompt": prompt});
        let answer = self.ask("POST", "/api/v1/sessions", Some(&body));
        assert!(
            matches!(answer.status, 201 | 202),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()["session"]["id"]
            .as_str()
            .expect("a session has an id")
            .to_owned()
    }

    /// Waits until the stand-in for Claude Code rests and has told which conversation it has, and leaves the file of it that the real
    /// one would have kept, so that it can go on: a restore asks for that.
    pub fn keep_the_conversation(&self, id: &str) {
        self.until(id, "status", "idle");
        let native = within(PATIENCE, "it has told its own id", || {
            self.session(id)["nativeId"].as_str().map(str::to_owned)
        });
        let folder = self.dir.join("home/.claude/projects/web");
        fs::create_dir_all(&folder).expect("the world is writable");
        let words = json!({"type": "user", "message": {"content": "words"}});
        fs::write(folder.join(format!("{native}.jsonl")), format!("{words}\n"))
            .expect("the world is writable");
    }

    /// What stand-ins for agents were asked in this world, in order.
    pub fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.dir.join("home/asked")).unwrap_or_default();
        asked
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n')) // or it is being written
            .map(|line| serde_json::from_str(line).expect("each line is a text"))
            .collect()
    }

    /// What was typed into a session under `pty` for the daemon, in order: each entry with its time.
    pub fn typed(&self, id: &str) -> Vec<Value> {
        let runs = fs::read_dir(self.data.join("pty").join(id)).into_iter().flatten();
        let mut runs: Vec<_> = runs.filter_map(Result::ok).map(|run| run.path()).collect();
        runs.sort();
        // A long log has two files; before that one there may have been others.
        let files = runs
            .iter()
            .flat_map(|run| ["input.log.1", "input.log"].map(|name| run.join(name)));
        let logs = files.filter_map(|file| fs::read_to_string(file).ok());
        let lines = logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>());
        lines
            .map(|line| serde_json::from_str(&line).expect("each line is an entry"))
            .collect()
    }

    /// Sets a variable for every process started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Makes a repository with one commit on `main` at `path`.
    pub fn make_repository(&self, path: &Utf8Path) {
        fs::create_dir_all(path).expect("the world is writable");
        git(path, &["init", "-q", "-b", "main"]);
        fs::write(path.join("README.md"), "hello\n").expect("the world is writable");
        git(path, &["add", "."]);
        git(path, &["commit", "-q", "-m", "first"]);
    }

    /// The command `program arguments` in this world's environment and nothing of the caller's but PATH.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        // Seen by this process and what it starts alone, and gone with them; the process is the program itself all the same.
        const MOUNT: &str = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
        let words: Vec<&str> = match &self.boots {
            None => vec![program],
            Some((_, boot)) => {
                let mount = [
                    "unshare",
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-c",
                    MOUNT,
                ];
                mount.into_iter().chain([boot.as_str(), program]).collect()
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a test starts the program under test")]
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(arguments)
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        if !self.env.iter().any(|(name, _)| name == "PATH") {
            command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        }
        command
            .env("HOME", self.dir.join("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Runs `ao arguments` to its end.
    pub fn ao(&self, arguments: &[&str]) -> Ao {
        self.ao_in(&self.dir, arguments)
    }

    /// Runs `ao arguments` to its end in `folder`.
    pub fn ao_in(&self, folder: &Utf8Path, arguments: &[&str]) -> Ao {
        let output = self
            .command(self.program.as_str(), arguments)
            .current_dir(folder)
            .output();
        said(&output.expect("the program under test can be started"))
    }

    /// Starts the daemon in the foreground and waits until it is ready.
    pub fn start(&mut self) {
        let child = self
            .daemon_command()
            .spawn()
            .expect("the program under test can be started");
        let pid = child.id();
        self.daemon = Some(child);
        let run_file = self.dir.join("running.json");
        self.port = within(PATIENCE, "the daemon is ready", || {
            let ended = self
                .daemon
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the daemon ended ({ended:?}):\n{}", self.log());
            let run: Value = serde_json::from_str(&fs::read_to_string(&run_file).ok()?).ok()?;
            let port = u16::try_from(run["port"].as_u64()?).ok()?;
            let ours = run["pid"].as_u64() == Some(u64::from(pid));
            let ready = ours
                && Http::connect(port, PATIENCE)
                    .ok()?
                    .ask("GET", "/readyz", None)
                    .ok()?
                    .status
                    == 200;
            ready.then_some(port)
        });
    }

    /// Runs git in this world's repository.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.repo, arguments)
    }

    /// Writes files, by their names and texts, into this world's repository and commits them.
    pub fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            fs::write(self.repo.join(name), text).unwrap();
        }
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "as the test has it"]);
    }

    /// Runs git in `folder`.
    pub fn git_in(&self, folder: &Utf8Path, arguments: &[&str]) -> String {
        git(folder, arguments)
    }

    /// From now on no file of a daemon's may grow past `bytes`: a write past it fails, as on a full disk.
    pub fn limit_files(&mut self, bytes: u64) {
        self.file_limit = Some(bytes);
        // The files in which all worlds of a run collect what they passed may be larger than that already.
        self.env
            .retain(|(name, _)| name != "AO_FAULT_LOG" && name != "AO_FAULT_DEEDS");
    }

    /// The disk has room again.
    pub fn no_limit(&mut self) {
        self.file_limit = None;
    }

    /// From now on a daemon's data directory is a disk of its own of `bytes`, which only the daemon and what it starts
    /// can see. Only root may do that.
    pub fn on_a_disk_of(&mut self, bytes: u64) {
        let data = &self.data;
        let mount = format!("mkdir -p {data} && mount -t tmpfs -o size={bytes},mode=700 none {data}");
        self.mount = Some(mount);
    }

    /// From now on the repository, as it is, and the daemon's data directory lie on one disk of their own whose files can share their
    /// blocks (btrfs), which only the daemon and what it starts can see: for everybody else [`World::seen_by_the_daemon`].
    ///
    /// # Errors
    /// What was said where that cannot be: it takes root, a loop device, and `mkfs.btrfs`.
    pub fn on_a_disk_that_shares_blocks(&mut self) -> Result<(), String> {
        let (image, disk) = (self.dir.join("image"), self.dir.join("disk"));
        let mount = format!("mkdir -p {disk} && mount -t btrfs -o loop {image} {disk}");
        let make = format!(
            "truncate -s 256M {image} && mkfs.btrfs -q {image} && {mount} && cp -a {} {disk}/web",
            self.repo
        );
        let made = self
            .command(
                "unshare",
                &["--mount", "--propagation", "private", "sh", "-c", &make],
            )
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .output()
            .map_err(|error| error.to_string())?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).trim().replace('\n', "; "));
        }
        (self.data, self.repo, self.mount) = (disk.join("data"), disk.join("web"), Some(mount));
        self.set("AO_DATA_DIR", self.data.clone().as_str());
        Ok(())
    }

    /// Where a path of the running daemon's is for everybody else.
    pub fn seen_by_the_daemon(&self, path: &Utf8Path) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("/proc/{}/root{path}", self.pid()))
    }

    /// Starts the daemon, or gives its log's end when it refuses.
    pub fn try_start(&mut self) -> Option<String> {
        let mut child = self
            .daemon_command()
            .spawn()
            .expect("the program under test can be started");
        let run_file = self.dir.join("running.json");
        let pid = child.id();
        let port = within(PATIENCE, "the daemon is ready or has ended", || {
            if child.try_wait().ok().flatten().is_some() {
                return Some(None);
            }
            let run: Value = serde_json::from_str(&fs::read_to_string(&run_file).ok()?).ok()?;
            (run["pid"].as_u64() == Some(u64::from(pid)))
                .then(|| run["port"].as_u64().and_then(|p| u16::try_from(p).ok()))
        });
        match port {
            None => {
                self.daemon = Some(child); // dead, but not waited for by anybody else
                Some(self.log())
            }
            Some(port) => {
                (self.port, self.daemon) = (port, Some(child));
                None
            }
        }
    }

    /// The daemon as a command, its log in the world.
    pub fn daemon_command(&self) -> Command {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("daemon.log"));
        let log = log.expect("the world is writable");
        let limit = self.file_limit.map(|bytes| format!("--fsize={bytes}"));
        let mount = self.mount.as_ref();
        let mount = mount.map(|mount| format!("{mount} && exec {} daemon", self.program));
        let mut command = match (&limit, &mount) {
            (_, Some(mount)) => self.command(
                "unshare",
                &["--mount", "--propagation", "private", "sh", "-c", mount],
            ),
            (Some(limit), _) => self.command("prlimit", &[limit, self.program.as_str(), "daemon"]),
            (None, None) => self.command(self.program.as_str(), &["daemon"]),
        };
        command
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .process_group(0);
        command
    }

    /// What the daemons of this world logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("daemon.log")).unwrap_or_default()
    }

    /// The daemon's pid; 0 without one.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Child::id)
    }

    /// The daemon's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the daemon with `kill -9` and nothing else.
    pub fn kill_9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
            // Where it had a clock of its own, that is what it would have removed at its end.
            for shared in ["faketime_shm_", "sem.faketime_sem_"] {
                let _ = fs::remove_file(format!("/dev/shm/{shared}{}", daemon.id()));
            }
        }
    }

    /// Gives every process started from now on a wall clock of this world's own; false where that cannot be had here (Debian
    /// package faketime).
    pub fn own_clock(&mut self) -> bool {
        let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.find(|library| library.exists()) else {
            return false;
        };
        self.set_clock(0);
        self.set("LD_PRELOAD", &library.to_string_lossy());
        self.set("FAKETIME_TIMESTAMP_FILE", self.dir.join("clock").as_str());
        for (name, value) in [
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            self.set(name, value);
        }
        true
    }

    /// Sets that clock so many seconds beside the machine's.
    pub fn set_clock(&self, seconds: i64) {
        let (clock, next) = (self.dir.join("clock"), self.dir.join("clock.new"));
        fs::write(&next, format!("{seconds:+}\n")).expect("the world is writable");
        fs::rename(next, clock).expect("the world is writable");
    }

    /// The machine is started again: nothing of this world runs, and every process started from now on finds another boot id where
    /// the kernel shows it, by a file that is mounted over it for them alone. Only root may do that.
    pub fn reboot(&mut self) {
        self.kill_9();
        self.end_all();
        let times = self.boots.as_ref().map_or(1, |(times, _)| times + 1);
        let boot = self.dir.join(format!("boot-{times}"));
        fs::write(&boot, format!("{times:08x}-0000-4000-8000-000000000000\n"))
            .expect("the world is writable");
        self.boots = Some((times, boot));
    }

    /// Ends every process that was started in this world: its environment says so. Children first appear as parents end.
    fn end_all(&self) {
        for _ in 0..50 {
            let left = processes_of(&self.data);
            if left.is_empty() {
                break;
            }
            for (pid, _) in left {
                if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Sends the daemon a SIGKILL and does not wait; [`World::wait_for_the_end`] does.
    pub fn kill_now(&self) {
        if let Some(pid) = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // It is our child and not waited for yet, so the number is still its own.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Waits for the daemon to end by itself and gives its exit code; -1 when a signal ended it.
    pub fn wait_for_the_end(&mut self) -> i32 {
        let mut daemon = self.daemon.take().expect("a daemon runs");
        let status = within(PATIENCE, "the daemon has ended", || {
            daemon.try_wait().expect("it is our child")
        });
        status.code().unwrap_or(-1)
    }

    /// Whether the daemon has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.daemon
            .as_mut()
            .is_some_and(|daemon| daemon.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// A new connection to the daemon.
    pub fn http(&self) -> Http {
        Http::connect(self.port, PATIENCE).expect("the daemon listens")
    }

    /// A new connection to the daemon, if it listens.
    pub fn try_http(&self) -> Option<Http> {
        Http::connect(self.port, PATIENCE).ok()
    }

    /// One request on a connection of its own, as plain `curl` would send it.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.http().ask(method, path, body).expect("the daemon answers")
    }

    /// One GET that is expected to go well.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(
            answer.status,
            200,
            "GET {path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()
    }

    /// Spawns a shell agent that runs `script`, and waits until it is settled.
    pub fn spawn(&self, script: &str) -> String {
        let body = json!({"projectId": "web", "harness": "shell", "command": ["/bin/sh", "-c", script]});
        let answer = self.ask("POST", "/api/v1/sessions", Some(&body));
        assert!(
            matches!(answer.status, 201 | 202),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()["session"]["id"]
            .as_str()
            .expect("a session has an id")
            .to_owned()
    }

    /// Starts the daemon, registers the repository, and opens a pull request from the branch of its only session; answers that, and the
    /// pull request's number.
    pub fn start_with_a_pull_request(&mut self, github: &GitHub, repo: &str) -> (String, u64) {
        self.start();
        self.ao(&["project", "add", self.repo.as_str(), "--id", "web"])
            .ok();
        let id = self.spawn("exec sleep 1000");
        let branch = self.session(&id)["branch"].as_str().unwrap().to_owned();
        let head = self.git(&["rev-parse", &branch]);
        let number = github.open_pr(repo, Pull::of(&branch, head.trim()));
        (id, number)
    }

    /// A session as the API shows it.
    pub fn session(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/sessions/{id}"))["session"].clone()
    }

    /// Waits until the session's field `name` is `value`.
    pub fn until(&self, id: &str, name: &str, value: &str) -> Value {
        let mut last = Value::Null;
        within(PATIENCE, &format!("{id}: {name} is {value}"), || {
            last = self.session(id);
            (last[name] == value).then(|| last.clone()).or_else(|| {
                let hopeless = last["phase"] == "ended" && name != "phase" && last["status"] == "failed";
                assert!(!hopeless, "{id} failed: {last}");
                None
            })
        })
    }

    /// The tree as it stands.
    pub fn tree(&self) -> TreeView {
        TreeView::of(&self.get("/api/v1/tree"))
    }

    /// Makes a child panic or hang: `crash` or `hang`.
    pub fn break_child(&self, how: &str, path: &str) -> Answer {
        self.ask(
            "POST",
            &format!("/api/v1/tree/{how}"),
            Some(&json!({ "path": path })),
        )
    }

    /// Changes rows behind everybody's back.
    pub fn sql(&self, statements: &str) {
        self.rows(|rows| async move {
            use sea_orm::ConnectionTrait as _;
            rows.execute_unprepared(statements)
                .await
                .expect("the statement is right");
        });
    }

    /// Makes or changes another database in the data directory.
    pub fn sql_in(&self, file: &str, statements: &str) {
        rows_of(
            &format!("sqlite://{}?mode=rwc", self.data.join(file)),
            |rows| async move {
                use sea_orm::ConnectionTrait as _;
                rows.execute_unprepared(statements)
                    .await
                    .expect("the statement is right");
            },
        );
    }

    /// The first column of the first row, as text.
    pub fn query(&self, question: &str) -> String {
        query_file(&self.data.join("ao.sqlite3"), question)
    }

    fn rows<T, F: Future<Output = T>>(&self, work: impl FnOnce(sea_orm::DatabaseConnection) -> F) -> T {
        rows_of(
            &format!("sqlite://{}?mode=rw", self.data.join("ao.sqlite3")),
            work,
        )
    }

    /// Arms one crash point of the next daemon call that reaches it: `kill`, `panic` or `hang`.
    pub fn arm(&self, point: &str, what: &str) {
        // Whole or not at all: a daemon may pass a point in this instant.
        let draft = self.dir.join("fault-plan.draft");
        fs::write(&draft, format!("{point} {what}\n")).expect("the world is writable");
        fs::rename(&draft, self.dir.join("fault-plan")).expect("the world is writable");
    }

    /// Whether the armed point was reached.
    pub fn fired(&self) -> bool {
        !self.dir.join("fault-plan").exists()
    }

    /// What is there, counted from the outside.
    pub fn census(&self) -> Census {
        Census::of(&self.data, &self.repo)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the daemon's log\n{}", self.log());
        }
        self.kill_9();
        self.end_all();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn said(output: &Output) -> Ao {
    Ao {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs git in `repo` with an identity and without anybody's configuration, and gives what it printed.
pub(crate) fn git(repo: &Utf8Path, arguments: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test makes its own repositories")]
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(repo)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments);
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null());
    let output: io::Result<Output> = command.output();
    let output = output.expect("git is installed");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one text that a question has for an answer, in a database of somebody's.
///
/// # Panics
/// When it is no database, or the question has no such answer.
pub fn query_file(file: &camino::Utf8Path, question: &str) -> String {
    rows_of(&format!("sqlite://{file}?mode=rw"), |rows| async move {
        use sea_orm::ConnectionTrait as _;
        let question = sea_orm::Statement::from_string(rows.get_database_backend(), question);
        let row = rows
            .query_one_raw(question)
            .await
            .expect("the question is right")
            .expect("there is a row");
        row.try_get_by_index(0).expect("it is a text")
    })
}

fn rows_of<T, F: Future<Output = T>>(url: &str, work: impl FnOnce(sea_orm::DatabaseConnection) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let rows = sea_orm::Database::connect(url)
            .await
            .expect("the database can be opened");
        let done = work(rows.clone()).await;
        rows.close().await.expect("the database can be closed");
        done
    })
}
