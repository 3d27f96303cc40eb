//! What all threads of one run share: where the daemon is, what was asked of it, and what went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ao_tests::{Answer, Http, World};
use camino::Utf8PathBuf;
use serde_json::Value;

use super::floor::Floor;

/// Far beyond what any request takes: the worlds' daemons answer after [`super::story::PATIENCE`] at the latest.
const ANSWERED: Duration = Duration::from_secs(30);

/// Until a child that hangs is found out and is back: its silence is believed after 15 s.
const FOUND_OUT: Duration = Duration::from_secs(20);

/// What was asked for in a run, and what was answered.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Spawns by their idempotency key: what was asked for, and every id that it was answered with.
    pub(super) spawns: BTreeMap<String, (Value, BTreeSet<String>)>,
    /// Sessions that anybody has heard of.
    pub(super) known: Vec<String>,
    /// Sessions whose end was asked for, and whether that was ever answered.
    pub(super) kills: BTreeMap<String, bool>,
    /// Sessions whose files somebody gave up.
    pub(super) discards: BTreeSet<String>,
    /// Sessions that somebody wanted back: how often that was asked for, and how many of these wait for their answer.
    pub(super) restores: BTreeMap<String, (u64, u64)>,
    /// Sessions whose end was answered and that nobody has wanted back since.
    pub(super) for_good: BTreeSet<String>,
    /// Names that were asked for, and whether that was answered.
    pub(super) names: BTreeMap<String, Vec<(String, bool)>>,
    /// Messages by their text, which is their key, too: to whom, and whether that was answered.
    pub(super) sent: BTreeMap<String, (String, bool)>,
    /// Marks of what a person has put into worktrees.
    pub(super) wrote: Vec<String>,
    /// How often what was done.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Book {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn hears_of(&mut self, id: &str) {
        if !self.known.iter().any(|known| known == id) {
            self.known.push(id.to_owned());
        }
    }
}

/// One run's place.
pub(super) struct Site {
    pub(super) dir: Utf8PathBuf,
    pub(super) data: Utf8PathBuf,
    port: AtomicU16,
    pub(super) book: Mutex<Book>,
    /// The clients are done, and no more is broken.
    pub(super) calm: AtomicBool,
    /// Everything is over: threads that look all the time end.
    pub(super) over: AtomicBool,
    /// The number of the last event that the follower has read.
    pub(super) followed: AtomicI64,
    /// How the machine does.
    pub(super) floor: Arc<Floor>,
    /// When one of those was made to hang without whom nobody is answered.
    hung: Mutex<Option<Instant>>,
    began: Instant,
    timeline: Mutex<Vec<String>>,
    faults: Mutex<Vec<String>>,
}

impl Site {
    pub(super) fn of(world: &World, floor: &Arc<Floor>) -> Self {
        Self {
            dir: world.dir.clone(),
            data: world.data.clone(),
            port: AtomicU16::new(world.port()),
            book: Mutex::default(),
            calm: AtomicBool::new(false),
            over: AtomicBool::new(false),
            followed: AtomicI64::new(0),
            floor: Arc::clone(floor),
            hung: Mutex::default(),
            began: Instant::now(),
            timeline: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// Where the daemon listens; `None` while there is none.
    pub(super) fn port(&self) -> Option<u16> {
        Some(self.port.load(Ordering::SeqCst)).filter(|port| *port != 0)
    }

    /// The daemon is gone, with 0, or listens there.
    pub(super) fn moved(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }

    /// `path` is about to be made to hang.
    pub(super) fn hangs(&self, path: &str) {
        if path.starts_with("ao/serving/") || path.starts_with("ao/store") {
            *self.hung.lock().unwrap() = Some(Instant::now());
        }
    }

    /// Whether answers may still be missing for that.
    pub(super) fn hung(&self) -> bool {
        let since = *self.hung.lock().unwrap();
        since.is_some_and(|since| since.elapsed() < FOUND_OUT)
    }

    /// A line of the timeline.
    pub(super) fn note(&self, what: &str) {
        let line = format!("{:>6} ms  {what}", self.began.elapsed().as_millis());
        self.timeline.lock().unwrap().push(line);
    }

    /// Something that must not be.
    pub(super) fn fault(&self, what: String) {
        self.note(&format!("FAULT {what}"));
        self.faults.lock().unwrap().push(what);
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }

    pub(super) fn timeline(&self) -> String {
        self.timeline.lock().unwrap().join("\n")
    }

    /// Asks once, on a connection of its own; `None` when the daemon went away before it answered.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
        at_once: bool,
    ) -> Option<Answer> {
        let port = self.port()?;
        let host = format!("127.0.0.1:{port}");
        let mut headers = vec![("Host", host.as_str())];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        headers.extend(body.map(|_| ("Content-Type", "application/json")));
        headers.extend(at_once.then_some(("Prefer", "respond-async")));
        let body = body.map(Value::to_string).unwrap_or_default();
        let asked = Http::connect(port, ANSWERED)
            .and_then(|mut http| http.raw(method, path, &headers, body.as_bytes()));
        match asked {
            Ok(answer) => {
                self.note(&format!(
                    "{method} {path} {body}: {} {}",
                    answer.status,
                    answer.code()
                ));
                Some(answer)
            }
            Err(error) => {
                self.note(&format!("{method} {path} {body}: {error}"));
                let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                if late {
                    self.fault(format!("{method} {path} was not answered within {ANSWERED:?}"));
                }
                None
            }
        }
    }

    /// The sessions as the API lists them.
    pub(super) fn sessions(&self) -> Option<Vec<Value>> {
        let mut http = Http::connect(self.port()?, ANSWERED).ok()?;
        let answer = http.ask("GET", "/api/v1/sessions", None).ok()?;
        let sessions = answer.json()["sessions"].as_array()?.clone();
        (answer.status == 200).then_some(sessions)
    }

    /// Waits for so long, or less where the run is over.
    pub(super) fn rest(&self, how_long: Duration) {
        let end = Instant::now() + how_long;
        while !self.over.load(Ordering::SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}
