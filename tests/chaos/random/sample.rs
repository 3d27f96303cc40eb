//! Looks at every status every 20 ms and compares it with the processes that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ao_tests::Http;
use camino::Utf8Path;
use serde_json::Value;

use super::site::Site;

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a status may say something else than the process table.
pub(super) const MAY_LAG: Duration = Duration::from_secs(2);

/// How long a daemon that lives and is not told to stop may show no sessions at all: its children that answer and that hold the rows
/// are crashed, and come back.
const MAY_BE_SILENT: Duration = Duration::from_secs(1);

/// What is no status of a session whose agent runs. `unknown` says nothing about it.
const SAYS_NONE_RUNS: [&str; 4] = ["terminated", "failed", "queued", "merged"];

/// One agent that has said that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) session: String,
    pub(super) generation: u64,
    pub(super) pid: u32,
    started: String,
    lives: bool,
}

/// Every agent that was ever started in the world, from what each wrote at its start.
#[derive(Debug, Default)]
pub(super) struct Agents {
    read: usize,
    pub(super) all: Vec<Agent>,
}

impl Agents {
    /// Reads what is new, and looks which of those that lived still do.
    pub(super) fn look(&mut self, dir: &Utf8Path) {
        let text = fs::read_to_string(dir.join("home/starts")).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[self.read..whole].lines() {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            let (session, generation, stat) = (word().to_owned(), word().parse(), word());
            let (pid, _, started) = parts_of(stat).unwrap_or_else(|| panic!("no line of an agent: {line}"));
            self.all.push(Agent {
                session,
                generation: generation.unwrap_or_else(|_| panic!("no line of an agent: {line}")),
                pid,
                started,
                lives: true,
            });
        }
        self.read = whole;
        for agent in self.all.iter_mut().filter(|agent| agent.lives) {
            let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid)).unwrap_or_default();
            agent.lives = parts_of(&stat)
                .is_some_and(|(_, state, started)| started == agent.started && !"ZX".contains(&state));
        }
    }

    /// The runs of `session` whose agents live.
    pub(super) fn living(&self, session: &str) -> Vec<u64> {
        let of = self
            .all
            .iter()
            .filter(|agent| agent.lives && agent.session == session);
        of.map(|agent| agent.generation).collect()
    }
}

/// Number, state and start time in `/proc/<pid>/stat`.
fn parts_of(stat: &str) -> Option<(u32, String, String)> {
    let (pid, rest) = stat.split_once(' ')?;
    let after: Vec<&str> = rest.rsplit_once(')')?.1.split_whitespace().collect();
    Some((
        pid.parse().ok()?,
        (*after.first()?).to_owned(),
        (*after.get(19)?).to_owned(),
    ))
}

/// Why `session` as the API shows it is not as its processes are; `None` where it is.
pub(super) fn contradiction(session: &Value, agents: &Agents) -> Option<String> {
    let (id, status) = (session["id"].as_str()?, session["status"].as_str()?);
    let (generation, living) = (session["generation"].as_u64()?, agents.living(id));
    if SAYS_NONE_RUNS.contains(&status) {
        return (!living.is_empty()).then(|| format!("{id} is {status}, and its runs {living:?} live"));
    }
    let is_so = status == "unknown" || living == [generation];
    (!is_so).then(|| format!("{id} is {status} as run {generation}, and its runs {living:?} live"))
}

/// What the sampler has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Samples {
    pub(super) taken: u64,
    /// Those that it came to much too late itself: what went by until then is not counted.
    pub(super) late: u64,
    /// The longest time for which any status contradicted the processes.
    pub(super) longest: Duration,
    /// The longest time for which a daemon that lived showed no sessions.
    pub(super) silent: Duration,
    /// The longest of each by the clock, with what the machine or the sampler kept for itself, where it was too long.
    pub(super) excused: Option<Duration>,
}

impl Samples {
    /// `by_the_clock` is more than may be: whatever is taken off it, nobody knows any more whether what is promised was held.
    fn excuse(&mut self, by_the_clock: Duration) {
        self.excused = self.excused.max(Some(by_the_clock));
    }
}

/// A time without an answer from one daemon.
struct Silence {
    port: u16,
    since: Instant,
    overslept: Duration,
    starved: Duration,
    told: bool,
}

impl Silence {
    /// Nobody was answered who began to ask `port` at `asked`: how long that lasts by the clock, and without what the machine or the
    /// sampler kept for itself. Where it has moved on meanwhile, or is about to go, nothing is to be said.
    fn goes_on(
        silence: &mut Option<Self>,
        site: &Site,
        port: Option<u16>,
        asked: Instant,
    ) -> Option<(Duration, Duration)> {
        let Some(port) = port.filter(|port| site.port() == Some(*port)) else {
            *silence = None;
            return None;
        };
        if silence.as_ref().is_some_and(|silence| silence.port != port) {
            *silence = None;
        }
        let starved = site.floor.starved();
        let silence = silence.get_or_insert(Self {
            port,
            since: asked,
            overslept: Duration::ZERO,
            starved,
            told: false,
        });
        let by_the_clock = silence.since.elapsed();
        let lasts = by_the_clock.saturating_sub(silence.overslept + starved.saturating_sub(silence.starved));
        if lasts > MAY_BE_SILENT && !silence.told && !site.hung() {
            silence.told = true;
            site.fault(format!(
                "no sessions were shown for {lasts:?}, and nobody had stopped the daemon"
            ));
        }
        Some((by_the_clock, lasts))
    }
}

/// A status that is not as its processes are, for as long as it is not.
struct Contradiction {
    by_the_clock: Duration,
    overslept: Duration,
    /// For how long the machine had let everybody wait when it began.
    starved: Duration,
}

/// Samples until the run is over.
pub(super) fn sampler(site: &Site) -> Samples {
    let (mut samples, mut agents) = (Samples::default(), Agents::default());
    let mut open: Option<Http> = None;
    let mut since: BTreeMap<String, Contradiction> = BTreeMap::new();
    let (mut told, mut shown): (BTreeSet<String>, BTreeMap<String, String>) = Default::default();
    let (mut last, mut silence): (Instant, Option<Silence>) = (Instant::now(), None);
    while !site.over.load(Ordering::SeqCst) {
        let rests_at = Instant::now();
        std::thread::park_timeout(PAUSE);
        let overslept = rests_at.elapsed().saturating_sub(PAUSE * 2);
        let (port, asked) = (site.port(), Instant::now());
        let answered = ask(site, &mut open);
        if let Some(silence) = &mut silence {
            silence.overslept += overslept;
        }
        // An answer that was long in coming is none for as long.
        let silent = Silence::goes_on(&mut silence, site, port, asked);
        let (by_the_clock, lasts) = silent.unwrap_or_default();
        samples.silent = samples.silent.max(lasts);
        if by_the_clock > MAY_BE_SILENT && !site.hung() {
            samples.excuse(by_the_clock);
        }
        if answered.is_some() {
            silence = None;
        }
        let Some(sessions) = answered else {
            since.clear(); // nobody has answered: what lasts from here on is counted anew
            last = Instant::now();
            continue;
        };
        agents.look(&site.dir);
        let by_the_clock = last.elapsed();
        last = Instant::now();
        samples.taken += 1;
        samples.late += u64::from(overslept > PAUSE);
        for session in &sessions {
            let id = session["id"].as_str().unwrap_or_default();
            let now = format!(
                "{id} run {} is {} ({}; {}), phase {}, wanted {}; its runs {:?} live",
                session["generation"],
                session["status"],
                session["reason"],
                session["evidence"],
                session["phase"],
                session["desired"],
                agents.living(id)
            );
            if shown.get(id) != Some(&now) {
                site.note(&now);
                shown.insert(id.to_owned(), now);
            }
            let Some(what) = contradiction(session, &agents) else {
                since.remove(id);
                continue;
            };
            // Counted from the sample before, which may have come just before it began; without what the machine kept for itself.
            let starved = site.floor.starved();
            let lasting = since.entry(id.to_owned()).or_insert(Contradiction {
                by_the_clock: Duration::ZERO,
                overslept: Duration::ZERO,
                starved,
            });
            lasting.by_the_clock += by_the_clock;
            lasting.overslept += overslept;
            let kept = lasting.overslept + starved.saturating_sub(lasting.starved);
            let lasts = lasting.by_the_clock.saturating_sub(kept);
            samples.longest = samples.longest.max(lasts);
            if lasting.by_the_clock > MAY_LAG {
                samples.excuse(lasting.by_the_clock);
            }
            if lasts > MAY_LAG && told.insert(what.clone()) {
                site.fault(format!("for {lasts:?}: {what}: {session}"));
            }
        }
    }
    samples
}

fn ask(site: &Site, open: &mut Option<Http>) -> Option<Vec<Value>> {
    let port = site.port();
    if port.is_none() {
        *open = None;
    }
    let mut http = match open.take() {
        Some(http) => http,
        None => Http::connect(port?, Duration::from_secs(30)).ok()?,
    };
    let answer = http.ask("GET", "/api/v1/sessions", None).ok()?;
    let sessions = answer.json()["sessions"].as_array()?.clone();
    *open = Some(http);
    Some(sessions)
}
