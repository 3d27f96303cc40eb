//! A client that asks all the time, and remembers every answer that was late, wrong or not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::Http;
use super::world::World;

/// Asks `GET /sessions` and `GET /tree` in turn, each on a connection of its own and on one that stays open.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Watcher {
    /// Begins to ask, with `pause` between two questions. An answer that takes `late` has waited for somebody: it is to be a little less
    /// than the broken child takes to come back, so that a slow machine is not taken for a fault. `right` says what is wrong with an
    /// answer to `GET /api/v1/sessions`, if anything is.
    pub fn start(
        world: &World,
        pause: Duration,
        late: Duration,
        right: impl Fn(&Value) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let (stop, port, right) = (Arc::new(AtomicBool::new(false)), world.port(), Arc::new(right));
        let threads = [true, false].map(|stays_open| {
            let (stop, right) = (Arc::clone(&stop), Arc::clone(&right));
            std::thread::spawn(move || watch(port, stays_open, pause, late, &stop, &*right))
        });
        Self {
            stop,
            threads: threads.into_iter().collect(),
        }
    }

    /// Stops asking and gives everything that was not as it should be.
    pub fn faults(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a client does not panic"))
            .collect()
    }
}

fn watch(
    port: u16,
    stays_open: bool,
    pause: Duration,
    late: Duration,
    stop: &AtomicBool,
    right: &(dyn Fn(&Value) -> Option<String> + Send + Sync),
) -> Vec<String> {
    let (mut faults, mut open): (Vec<String>, Option<Http>) = (Vec::new(), None);
    let mut asked = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let path = if asked.is_multiple_of(2) {
            "/api/v1/sessions"
        } else {
            "/api/v1/tree"
        };
        asked += 1;
        let began = Instant::now();
        let answer = open
            .take()
            .map_or_else(|| Http::connect(port, Duration::from_secs(30)), Ok)
            .and_then(|mut http| {
                let answer = http.ask("GET", path, None)?;
                open = stays_open.then_some(http);
                Ok(answer)
            });
        let took = began.elapsed();
        match answer {
            Ok(answer) if answer.status != 200 => {
                faults.push(format!("GET {path}: status {}", answer.status));
            }
            Ok(answer) if path.ends_with("sessions") => faults.extend(right(&answer.json())),
            Ok(_) => {}
            Err(error) => faults.push(format!("GET {path}: {error}")),
        }
        if took > late {
            faults.push(format!("GET {path} took {took:?}"));
        }
        std::thread::park_timeout(pause);
    }
    assert!(asked > 0);
    faults
}
