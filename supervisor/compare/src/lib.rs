//! What every program here shares: the clock, the children's notes, and the line a figure is printed as.
//!
//! A child's first instruction and its last before a failure are noted in its [`Seat`], which outlives its incarnations. So a
//! figure means the same whatever supervises.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Nanoseconds since the first call.
pub fn nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed().as_nanos();
    u64::try_from(since).expect("no run lasts for centuries")
}

/// This process's resident bytes.
pub fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok());
    4096 * pages.unwrap_or(0u64)
}

/// What all children of a run share.
pub struct Hall {
    pub begun: AtomicUsize,
    pub alive: AtomicUsize,
    pub polite: AtomicUsize,
    ending: AtomicBool,
    left: AtomicUsize,
    pub panics: bool,
    latencies: UnboundedSender<u64>,
}

impl Hall {
    /// With children that panic, or return an error.
    pub fn new(panics: bool) -> (Arc<Hall>, UnboundedReceiver<u64>) {
        let (latencies, heard) = unbounded_channel();
        let hall = Hall {
            begun: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            polite: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
            left: AtomicUsize::new(0),
            panics,
            latencies,
        };
        (Arc::new(hall), heard)
    }

    pub fn seats(self: &Arc<Hall>, n: usize) -> Vec<Arc<Seat>> {
        (0..n).map(|at| Seat::new(at, self)).collect()
    }

    /// From now on the order in which children end is noted.
    pub fn ends_now(&self) {
        self.ending.store(true, SeqCst);
    }

    /// Waits, from a thread that is nobody's worker, until so many incarnations have begun.
    pub fn until_begun(&self, n: usize) {
        until(|| self.begun.load(SeqCst) >= n);
    }

    pub fn until_alive(&self, n: usize) {
        until(|| self.alive.load(SeqCst) >= n);
    }

    pub fn until_gone(&self) {
        until(|| self.alive.load(SeqCst) == 0);
    }
}

/// Looks again every few microseconds. Called from a thread that is nobody's worker.
pub fn until(so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "it never came to that"
        );
        std::thread::park_timeout(Duration::from_micros(20));
    }
}

/// One child's place.
pub struct Seat {
    pub at: usize,
    pub hall: Arc<Hall>,
    fell_at: AtomicU64,
    left: AtomicUsize,
    pub go: Notify,
}

impl Seat {
    fn new(at: usize, hall: &Arc<Hall>) -> Arc<Seat> {
        Arc::new(Seat {
            at,
            hall: hall.clone(),
            fell_at: AtomicU64::new(0),
            left: AtomicUsize::new(usize::MAX),
            go: Notify::new(),
        })
    }

    /// The first instruction of an incarnation.
    pub fn enter(self: &Arc<Seat>) -> Present {
        let now = nanos();
        let fell = self.fell_at.swap(0, SeqCst);
        self.hall.begun.fetch_add(1, SeqCst);
        self.hall.alive.fetch_add(1, SeqCst);
        if fell != 0 {
            let _ = self.hall.latencies.send(now - fell);
        }
        Present(self.clone())
    }

    /// The last instruction before a failure.
    pub fn falls(&self) {
        self.fell_at.store(nanos(), SeqCst);
        if self.hall.panics {
            panic!("as asked");
        }
    }
}

/// Notes the end of an incarnation.
pub struct Present(Arc<Seat>);

impl Drop for Present {
    fn drop(&mut self) {
        let hall = &self.0.hall;
        if hall.ending.load(SeqCst) {
            self.0.left.store(hall.left.fetch_add(1, SeqCst), SeqCst);
        }
        hall.alive.fetch_sub(1, SeqCst);
    }
}

/// Whether child `at` of `n` is one of so many that crash, spread evenly.
pub fn crashes(at: usize, n: usize, crashers: usize) -> bool {
    crashers > 0 && at.is_multiple_of(n / crashers) && at / (n / crashers) < crashers
}

/// Sixteen words of the command line.
pub struct Words(Vec<String>);

impl Words {
    pub fn of_process() -> Words {
        Words(std::env::args().skip(1).collect())
    }

    pub fn word(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    pub fn number(&self, at: usize) -> usize {
        let word = self.word(at).replace('_', "");
        word.parse()
            .unwrap_or_else(|_| panic!("word {at} must be a number, not `{word}`"))
    }
}

/// Children's runtime: two workers, as in all programs here.
pub fn runtime() -> tokio::runtime::Runtime {
    workers(2)
}

pub fn workers(n: usize) -> tokio::runtime::Runtime {
    std::panic::set_hook(Box::new(|_| {})); // thousands of panics are asked for
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(n)
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

/// One figure as a line of JSON.
pub fn figure(of: &str, name: &str, fields: Value) {
    let mut line = Map::new();
    line.insert("impl".to_owned(), json!(of));
    line.insert("figure".to_owned(), json!(name));
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    println!("{}", Value::Object(line));
}

fn us(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

pub fn started(of: &str, how: &str, n: usize, took: u64, bytes: u64) {
    figure(
        of,
        "start",
        json!({
            "how": how, "n": n, "ready_ms": took as f64 / 1e6, "us_per_child": us(took / n.max(1) as u64),
            "rss_bytes_per_child": bytes / n.max(1) as u64,
        }),
    );
}

pub fn latency(of: &str, how: &str, n: usize, panics: bool, mut all: Vec<u64>) {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
    figure(
        of,
        "latency",
        json!({
            "how": how, "n": n, "crash": if panics { "panic" } else { "error" }, "samples": all.len(),
            "p50_us": us(at(0.5)), "p99_us": us(at(0.99)), "max_us": us(at(1.0)),
        }),
    );
}

pub fn tree(of: &str, how: &str, mut all: Vec<u64>) {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
    figure(
        of,
        "tree",
        json!({"how": how, "samples": all.len(), "p50_us": us(at(0.5)), "p99_us": us(at(0.99))}),
    );
}

pub fn rate(of: &str, how: &str, siblings: usize, crashers: usize, counts: &[(usize, f64)]) {
    let per_second: Vec<f64> = counts
        .iter()
        .map(|(restarts, secs)| *restarts as f64 / secs)
        .collect();
    let all: usize = counts.iter().map(|(restarts, _)| restarts).sum();
    let secs: f64 = counts.iter().map(|(_, secs)| secs).sum();
    figure(
        of,
        "restarts_per_second",
        json!({
            "how": how, "siblings": siblings, "crashers": crashers, "crash": "error", "restarts": all, "secs": secs,
            "per_s": all as f64 / secs, "last_to_first": per_second.last().unwrap_or(&0.0) / per_second.first().unwrap_or(&1.0),
        }),
    );
}

pub fn stopped(of: &str, how: &str, seats: &[Arc<Seat>], took: u64, alive: usize) {
    let order: Vec<usize> = seats.iter().map(|seat| seat.left.load(SeqCst)).collect();
    let pairs = order.windows(2).filter(|pair| pair[1] < pair[0]).count();
    figure(
        of,
        "shutdown",
        json!({
            "how": how, "n": seats.len(), "ms": took as f64 / 1e6, "us_per_child": us(took / seats.len() as u64),
            "alive_at_return": alive, "reverse_order": pairs + 1 == seats.len(),
            "pairs_in_reverse": pairs as f64 / (seats.len() - 1) as f64,
            "graceful": seats[0].hall.polite.load(SeqCst),
        }),
    );
}

/// Counts restarts for so many seconds, second by second.
pub fn count(hall: &Hall, secs: usize) -> Vec<(usize, f64)> {
    std::thread::park_timeout(Duration::from_millis(500));
    (0..secs)
        .map(|_| {
            let (before, began) = (hall.begun.load(SeqCst), Instant::now());
            while began.elapsed() < Duration::from_secs(1) {
                std::thread::park_timeout(Duration::from_secs(1).saturating_sub(began.elapsed()));
            }
            let after = hall.begun.load(SeqCst);
            (after - before, began.elapsed().as_secs_f64())
        })
        .collect()
}
