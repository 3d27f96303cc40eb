//! The figures of the whole program, each beside its floor of the same run and its budget: `tests/benches/run figures`.
//!
//! Prints one line a figure: median and p99 in milliseconds, the ratio of the medians to the floor, the budget and whether it is met.
//! A budget that is a ratio is judged by that alone. Exits with 1 where one was missed, after everything was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ao_tests::{World, within};

/// Runs of each short command; taken in turn with the floor, so that a drifting machine moves both.
const RUNS: usize = 300;

/// What was promised, and what of it was not kept in this run.
#[derive(Default)]
struct Budgets {
    missed: Vec<String>,
}

impl Budgets {
    /// Prints `figure`, of which `value` may be at most `most`.
    fn at_most(&mut self, figure: &str, value: f64, most: f64, unit: &str) {
        self.judge(figure, &format!("at most {most}{unit}"), value <= most);
    }

    /// Prints `figure` beside its `budget`, and keeps in mind where it was missed.
    fn judge(&mut self, figure: &str, budget: &str, is_met: bool) {
        let line = format!(
            "{figure}; budget {budget}: {}",
            if is_met { "met" } else { "MISSED" }
        );
        println!("{line}");
        if !is_met {
            self.missed.push(line);
        }
    }

    fn verdict(self) -> ExitCode {
        if self.missed.is_empty() {
            println!("every budget is met");
            return ExitCode::SUCCESS;
        }
        println!("{} missed:", self.missed.len());
        for line in self.missed {
            println!("  {line}");
        }
        ExitCode::FAILURE
    }
}

/// Resident memory of a daemon in which nothing happens, without sessions and with a hundred, in the kernel's kB.
const EMPTY: f64 = 20_000.0;
const FULL: f64 = 40_000.0;

/// What a holder has for itself, in KiB.
const HOLDER: f64 = 1_000.0;

fn main() -> ExitCode {
    let mut budgets = Budgets::default();
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
    let hooks = |budgets: &mut Budgets, world: &World, when: &str| {
        let what = format!("ao hooks, daemon {when}");
        against_true(budgets, &what, 2.5, || hook(world), payload.as_bytes());
    };
    hooks(&mut budgets, &world, "up");
    for word in ["version", "--help"] {
        let what = format!("ao {word}");
        against_true(&mut budgets, &what, 3.0, || world.command(&program, &[word]), b"");
    }
    println!("daemon, 1 live session: {}", Memory::of(world.pid()));
    world.kill_9();
    hooks(&mut budgets, &world, "down");

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
    let ready = Figure::of(ready);
    let line = format!("start to ready, empty store, killed before: {ready}");
    budgets.at_most(&line, ready.median, 100.0, " ms");
    empty.start();
    let memory = Memory::of(empty.pid());
    budgets.at_most(
        &format!("daemon, empty store: {memory}"),
        memory.resident,
        EMPTY,
        " kB",
    );

    many_sessions(&mut budgets, &program);
    spawn_beside_git(&mut budgets, &program);
    budgets.verdict()
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
fn many_sessions(budgets: &mut Budgets, program: &str) {
    const MANY: usize = 100;
    let mut world = World::started(program);
    let starts = world.dir.join("starts");
    for _ in 0..MANY {
        world.spawn(&format!("echo >> {starts}; exec sleep 10000"));
    }
    idle(budgets, "just spawned", world.pid());
    let memory = Memory::of(world.pid());
    let line = format!("daemon, {MANY} live sessions: {memory}");
    budgets.at_most(&line, memory.resident, FULL, " kB");
    let holders = world.census().running("pty-host");
    let private: f64 = holders.iter().map(|pid| Memory::of(*pid).private).sum();
    let each = (private / holders.len().max(1) as f64).round();
    let line = format!("{} holders, idle: {each} KiB private each", holders.len());
    budgets.at_most(&line, each, HOLDER, " KiB");
    world.kill_9();
    let began = Instant::now();
    world.start();
    let ready = began.elapsed();
    within(Duration::from_secs(60), "all sessions are adopted", || {
        (adopted(&world) == MANY).then_some(())
    });
    let adopted = began.elapsed();
    let line = format!(
        "{MANY} live sessions, killed: ready after {ready:.0?}, all adopted {:.0?} after that",
        adopted - ready
    );
    let after = (adopted - ready).as_secs_f64() * 1_000.0;
    budgets.at_most(&line, after, 500.0, " ms");
    let agents = world.census().running("sleep 10000").len();
    let started = fs::read_to_string(&starts).unwrap_or_default().lines().count();
    let (lost, twice) = (MANY.saturating_sub(agents), started.saturating_sub(MANY));
    let line = format!("{agents} agents run, {lost} lost, {twice} started twice");
    budgets.judge(&line, "none and none", lost == 0 && twice == 0);
    idle(budgets, "adopted", world.pid());
}

/// What the daemon does in a minute in which nothing happens. It looks over everything once an hour, and has done so at its start.
fn idle(budgets: &mut Budgets, sessions: &str, pid: u32) {
    const QUIET: Duration = Duration::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);
    std::thread::park_timeout(QUIET);
    let (before, first, began) = (Used::of(pid), on_cpu(pid), Instant::now());
    let mut last = first.clone();
    while let Some(left) = MINUTE.checked_sub(began.elapsed()) {
        std::thread::park_timeout(left.min(Duration::from_secs(1)));
        last.extend(on_cpu(pid)); // of a thread that ends, what was seen last
    }
    let after = Used::of(pid);
    let spent = |(thread, time): (&u32, &u64)| time - first.get(thread).unwrap_or(&0);
    let spent = Duration::from_nanos(last.iter().map(spent).sum());
    let cpu = spent.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    let line = format!("daemon, sessions {sessions}, idle for a minute: {cpu:.2} % of a core");
    budgets.judge(&line, "below 1 %", cpu < 1.0);
    // Each that ended has taken a page at least, which its parent is charged for; one that runs still is among its children.
    let started = after.of_children != before.of_children || !after.children.is_subset(&before.children);
    let line = format!(
        "processes that it started meanwhile: {}",
        if started { "some" } else { "none" }
    );
    budgets.judge(&line, "none", !started);
}

/// For how many nanoseconds each thread of a process has run, as the scheduler measures it. What proc_pid_stat(5) says is who ran at the
/// clock's ticks: of one that is woken by the clock and runs for microseconds, half of it or twice as much.
fn on_cpu(pid: u32) -> BTreeMap<u32, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let times = threads.filter_map(|thread| {
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let ran = times.split_whitespace().next()?.parse().ok()?;
        Some((thread.file_name().to_str()?.parse().ok()?, ran))
    });
    let times: BTreeMap<u32, u64> = times.collect();
    assert!(
        !times.is_empty(),
        "the kernel does not say how long a thread has run"
    );
    times
}

/// What the kernel counts of a process: proc_pid_stat(5).
struct Used {
    /// `cminflt`: minor faults of children that were waited for.
    of_children: u64,
    /// Its children, those that have ended and were not waited for among them.
    children: BTreeSet<u32>,
}

impl Used {
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
            of_children: field(11),
            children: children_of(pid),
        }
    }
}

/// The children of every thread of a process.
fn children_of(pid: u32) -> BTreeSet<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let children =
        threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<String> = children.collect();
    let numbers = children.iter().flat_map(|line| line.split_whitespace());
    numbers.filter_map(|number| number.parse().ok()).collect()
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
fn spawn_beside_git(budgets: &mut Budgets, program: &str) {
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
        // A pipe tells of the byte when it is written; what the spawn is answered with comes later.
        let pipe = world.dir.join(format!("first-{run}"));
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe.as_std_path(), 0o600.into())
            .expect("the world is writable");
        let began = Instant::now();
        let first = std::thread::scope(|scope| {
            scope.spawn(|| world.spawn(&format!("echo > {pipe}; exec sleep 1000")));
            fs::read(&pipe).expect("the agent writes");
            began.elapsed()
        });
        ours.push(first);
    }
    let (ours, git) = (Figure::of(ours), Figure::of(git));
    let ratio = ours.median / git.median;
    let line = format!("spawn to the agent's first byte: {ours}; git worktree add: {git}; ratio {ratio:.2}");
    budgets.at_most(&line, ratio, 2.0, "");
}

/// Times a command in turn with `/bin/true`, and holds the ratio of the medians to `most`.
fn against_true(budgets: &mut Budgets, what: &str, most: f64, command: impl Fn() -> Command, input: &[u8]) {
    let (mut ours, mut floor): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floor.push(run(raw("/bin/true"), b""));
        ours.push(run(command(), input));
    }
    let (ours, floor) = (Figure::of(ours), Figure::of(floor));
    let ratio = ours.median / floor.median;
    let line = format!("{what}: {ours}; floor {floor}; ratio {ratio:.2}");
    budgets.at_most(&line, ratio, most, "");
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

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median {:.2} ms, p99 {:.2} ms", self.median, self.p99)
    }
}

/// What the kernel says of a process's memory, in its kB. One that is gone has used more than any budget.
struct Memory {
    resident: f64,
    /// What it shares with nobody: the rest is mostly the program itself.
    private: f64,
}

impl Memory {
    fn of(pid: u32) -> Self {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
            number.unwrap_or(f64::INFINITY)
        };
        Self {
            resident: field("Rss:"),
            private: field("Private_Clean:") + field("Private_Dirty:"),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resident {} kB, private {} kB", self.resident, self.private)
    }
}
