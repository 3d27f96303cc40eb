//! The figures of the whole program, each beside its floor of the same run: `tests/benches/run figures`.
//!
//! Prints one line a figure: median and p99 in milliseconds, and the ratio of the medians to `/bin/true`.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ao_tests::{World, within};

/// Runs of each short command; taken in turn with the floor, so that a drifting machine moves both.
const RUNS: usize = 300;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let program = arguments.next().expect("usage: figures PATH-OF-AO");

    let mut world = World::started(&program);
    let id = world.spawn("exec sleep 1000");
    world.until(&id, "phase", "live");
    let hook = |world: &World| {
        let mut command = world.command(&program, &["hooks", "shell", "working"]);
        command
            .env("AO_SESSION_ID", &id)
            .env("AO_GENERATION", "1")
            .env("AO_LAUNCH_SECRET", "0".repeat(32));
        command.stdin(Stdio::piped());
        command
    };
    let payload = format!("{{\"tool\":\"{}\"}}", "x".repeat(1_000));
    println!("floor: start of /bin/true, {RUNS} runs each, in turn");
    against_true("ao hooks, daemon up", || hook(&world), payload.as_bytes());
    against_true("ao version", || world.command(&program, &["version"]), b"");
    against_true("ao --help", || world.command(&program, &["--help"]), b"");
    println!("daemon, 1 live session: {}", memory(world.pid()));
    world.kill_9();
    against_true("ao hooks, daemon down", || hook(&world), payload.as_bytes());

    let mut demo = World::new(&program);
    demo.set("AO_LOG", "warn");
    let played = run(demo.command(&program, &["demo", "--json"]), b"");
    println!("ao demo: {:.1} s", played.as_secs_f64());
    first_word_of_a_spawn(&program);

    let mut empty = World::new(&program);
    let mut ready: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        empty.start();
        ready.push(began.elapsed());
        empty.kill_9();
    }
    println!(
        "start to ready, empty store, killed before: {}",
        Figure::of(ready)
    );
    empty.start();
    println!("daemon, empty store: {}", memory(empty.pid()));

    many_sessions(&program);
    spawn_beside_git(&program);
}

/// How long a person waits until `ao spawn` says anything.
fn first_word_of_a_spawn(program: &str) {
    use std::io::{BufRead as _, BufReader};
    let world = World::started(program);
    let mut waits: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let mut spawn = world.command(
            program,
            &["spawn", "--project", "web", "--agent", "shell", "--", "true"],
        );
        spawn.stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = spawn.spawn().expect("the program can be started");
        let mut said = BufReader::new(child.stderr.take().expect("asked for a pipe"));
        let mut line = String::new();
        let _ = said.read_line(&mut line); // a spawn that says nothing is as long as it lasts
        waits.push(began.elapsed());
        let _ = std::io::copy(&mut said, &mut std::io::sink());
        let _ = child.wait();
    }
    println!("ao spawn to its first line: {}", Figure::of(waits));
}

/// A hundred live sessions: memory of daemon and holders, what the daemon does while nothing happens, and how long a new one takes to
/// have adopted them all.
fn many_sessions(program: &str) {
    const MANY: usize = 100;
    let mut world = World::started(program);
    let starts = world.dir.join("starts");
    for _ in 0..MANY {
        world.spawn(&format!("echo >> {starts}; exec sleep 10000"));
    }
    println!("daemon, {MANY} live sessions: {}", memory(world.pid()));
    idle(world.pid());
    println!(
        "daemon, {MANY} live sessions, after that: {}",
        memory(world.pid())
    );
    let holders = world.census().running("pty-host");
    let private: u64 = holders.iter().map(|pid| private_kib(*pid)).sum();
    println!(
        "{} holders, idle: {} KiB private each",
        holders.len(),
        private / holders.len().max(1) as u64
    );
    world.kill_9();
    let began = Instant::now();
    world.start();
    let ready = began.elapsed();
    within(Duration::from_secs(60), "all sessions are adopted", || {
        (adopted(&world) == MANY).then_some(())
    });
    let adopted = began.elapsed();
    println!(
        "{MANY} live sessions, killed: ready after {ready:.0?}, all adopted {:.0?} after that",
        adopted - ready
    );
    let agents = world.census().running("sleep 10000").len();
    let started = fs::read_to_string(&starts).unwrap_or_default().lines().count();
    println!(
        "{agents} agents run, {} lost, {} started twice",
        MANY.saturating_sub(agents),
        started.saturating_sub(MANY)
    );
}

/// What the daemon does in a minute in which nothing happens. It looks over everything once an hour, and has done so at its start.
fn idle(pid: u32) {
    const QUIET: Duration = Duration::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);
    std::thread::park_timeout(QUIET);
    let (before, began) = (Used::of(pid), Instant::now());
    while let Some(left) = MINUTE.checked_sub(began.elapsed()) {
        std::thread::park_timeout(left);
    }
    let after = Used::of(pid);
    let cpu = (after.ticks - before.ticks) as f64 / Used::TICKS / began.elapsed().as_secs_f64();
    println!(
        "daemon, idle for a minute: {:.2} % of a core, {}",
        cpu * 100.0,
        // Each that ended has taken a page at least, which its parent is charged for.
        if after.of_children == before.of_children {
            "no process started and ended"
        } else {
            "processes were started"
        }
    );
}

/// What the kernel counts of a process: proc_pid_stat(5).
struct Used {
    /// `utime` and `stime`.
    ticks: u64,
    /// `cminflt`: minor faults of children that were waited for.
    of_children: u64,
}

impl Used {
    /// A second of `ticks` (`getconf CLK_TCK`): the same on every Linux that this runs on.
    const TICKS: f64 = 100.0;

    fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold anything, and ends with the last parenthesis; behind it stands the third field.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let field = |number: usize| -> u64 { fields[number - 3].parse().expect("a number") };
        Self {
            ticks: field(14) + field(15),
            of_children: field(11),
        }
    }
}

/// Sessions whose child of this daemon has read its rows and watches.
fn adopted(world: &World) -> usize {
    let tree = world.get("/api/v1/tree");
    let is_up = |node: &&serde_json::Value| {
        node["kind"] == "session" && node["type"] == "worker" && node["state"] == "running"
    };
    tree["nodes"]
        .as_array()
        .map_or(0, |nodes| nodes.iter().filter(is_up).count())
}

/// Spawn to the agent's first byte, in turn with `git worktree add` on the same repository.
fn spawn_beside_git(program: &str) {
    let world = World::started(program);
    let (mut ours, mut git): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for run in 0..30 {
        let began = Instant::now();
        let mut add = world.command("git", &["worktree", "add", "-q", "-b"]);
        add.arg(format!("floor-{run}"))
            .arg(world.dir.join(format!("floor-{run}")))
            .current_dir(&world.repo);
        assert!(add.status().expect("git is installed").success());
        git.push(began.elapsed());
        let mark = world.dir.join(format!("first-{run}"));
        let began = Instant::now();
        world.spawn(&format!("echo > {mark}; exec sleep 1000"));
        within(Duration::from_secs(10), "the agent runs", || {
            mark.exists().then_some(())
        });
        ours.push(began.elapsed());
    }
    let (ours, git) = (Figure::of(ours), Figure::of(git));
    println!(
        "spawn to the agent's first byte: {ours}; git worktree add: {git}; ratio {:.2}",
        ours.median / git.median
    );
}

fn against_true(what: &str, command: impl Fn() -> Command, input: &[u8]) {
    let (mut ours, mut floor): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floor.push(run(raw("/bin/true"), b""));
        ours.push(run(command(), input));
    }
    let (ours, floor) = (Figure::of(ours), Figure::of(floor));
    println!(
        "{what}: {ours}; floor {floor}; ratio {:.2}",
        ours.median / floor.median
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the floor is a process started the plain way"
)]
fn raw(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped());
    command
}

fn run(mut command: Command, input: &[u8]) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().expect("the program can be started");
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input); // a program that does not read is no fault
    }
    child.wait().expect("it is our child");
    began.elapsed()
}

/// A row of times.
struct Figure {
    median: f64,
    p99: f64,
}

impl Figure {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0;
        Self {
            median: at(0.5),
            p99: at(0.99),
        }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median {:.2} ms, p99 {:.2} ms", self.median, self.p99)
    }
}

fn memory(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or("?")
        .trim()
        .to_owned();
    format!("resident {rss}, private {} kB", private_kib(pid))
}

fn private_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    field("Private_Clean:").unwrap_or(0) + field("Private_Dirty:").unwrap_or(0)
}
