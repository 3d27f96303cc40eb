//! Follows the event stream over the whole run, however often it breaks, and keeps what it says of each session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ao_tests::Http;
use serde_json::Value;

use super::site::Site;

/// What the stream has said.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Phase and revision of each session.
    pub(super) sessions: BTreeMap<String, (String, u64)>,
    /// Sessions that were in the phase `ended`.
    pub(super) ended: BTreeSet<String>,
    /// How often it came back.
    pub(super) connections: u64,
}

/// Reads events until the run is over and its daemon gone.
pub(super) fn follower(site: &Site) -> Followed {
    let mut followed = Followed::default();
    while !site.over.load(Ordering::SeqCst) {
        let connected = site
            .port()
            .and_then(|port| Http::connect(port, Duration::from_secs(60)).ok());
        let Some(mut http) = connected else {
            std::thread::park_timeout(Duration::from_millis(10));
            continue;
        };
        let last = site.followed.load(Ordering::SeqCst);
        match http.stream_after("/api/v1/events?tree=false", Some(last)) {
            Ok(200) => followed.connections += 1,
            Ok(503) | Err(_) => continue,
            Ok(status) => site.fault(format!("the stream after {last} is answered with {status}")),
        }
        let mut event = String::new();
        while let Ok(Some(line)) = http.line() {
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                match event.as_str() {
                    "bye" => {}
                    "reset" => site.fault(format!("the stream cannot go on after {last}: {data}")),
                    _ => read(
                        site,
                        &mut followed,
                        &serde_json::from_str(data).unwrap_or_default(),
                    ),
                }
            }
        }
    }
    followed
}

fn read(site: &Site, followed: &mut Followed, event: &Value) {
    let last = site.followed.load(Ordering::SeqCst);
    let seq = event["seq"].as_i64().unwrap_or_default();
    if seq != last + 1 {
        site.fault(format!("after event {last} came {event}"));
    }
    let payload = &event["payload"];
    let (id, phase) = (event["sessionId"].as_str(), payload["phase"].as_str());
    if let (Some("session_created" | "session_updated"), Some(id), Some(phase)) =
        (event["type"].as_str(), id, phase)
    {
        if phase == "ended" {
            followed.ended.insert(id.to_owned());
        }
        let revision = payload["revision"].as_u64().unwrap_or_default();
        let before = followed
            .sessions
            .insert(id.to_owned(), (phase.to_owned(), revision));
        if before.is_some_and(|(_, before)| before >= revision) {
            site.fault(format!("{id} goes back to revision {revision}: {event}"));
        }
    }
    // Last, so that whoever waits for it finds all of it done.
    site.followed.store(seq, Ordering::SeqCst);
}
