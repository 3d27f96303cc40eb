//! Connections, and the way of a request through budgets and faults.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::fault::{Due, Fault, take};
use super::interface::Asking;
use super::record::{Request, Side};
use super::state::State;
use super::wire::{Heard, Reply};

/// What all threads have in common.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// The port of both interfaces.
    pub(super) port: u16,
    /// The port of the host with the logs.
    pub(super) logs: u16,
}

/// What changes.
pub(super) struct Inner {
    pub(super) state: State,
    pub(super) faults: Vec<Due>,
    pub(super) requests: Vec<Request>,
    /// More pull requests than this in one document end in this status.
    pub(super) gateway: Option<(usize, u16)>,
    /// How often held answers were let go.
    pub(super) releases: u64,
    /// How many downloads came with a token, that no test has asked about.
    pub(super) leaks: Vec<Request>,
    under_way: usize,
    over: bool,
    streams: BTreeMap<u64, TcpStream>,
    connections: u64,
}

impl Shared {
    pub(super) fn new(clock: Box<dyn Fn() -> i64 + Send + Sync>, port: u16, logs: u16) -> Self {
        let inner = Inner {
            state: State::new(),
            faults: Vec::new(),
            requests: Vec::new(),
            gateway: None,
            releases: 0,
            leaks: Vec::new(),
            under_way: 0,
            over: false,
            streams: BTreeMap::new(),
            connections: 0,
        };
        Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            clock,
            port,
            logs,
        }
    }

    /// What is shared, for one look or one change. Whoever waits for something looks again.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        let inner = self
            .inner
            .lock()
            .expect("a thread panicked with the stand-in's state: see above");
        self.changed.notify_all();
        inner
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Waits until the requests are as wanted; `false` when they were not in time.
    pub(super) fn until(&self, within: std::time::Duration, wanted: impl Fn(&[Request]) -> bool) -> bool {
        let (_inner, waited) = self
            .changed
            .wait_timeout_while(self.lock(), within, |inner| !wanted(&inner.requests))
            .expect("a thread panicked with the stand-in's state: see above");
        !waited.timed_out()
    }

    /// Ends all connections and lets no new one in.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.over = true;
        for stream in inner.streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }
}

/// Lets everybody in who comes, until the end.
pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>, logs: bool) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let number = {
            // Where a thread has panicked, the test has failed and says why.
            let Ok(mut inner) = shared.inner.lock() else {
                return;
            };
            if inner.over {
                return;
            }
            inner.connections += 1;
            let number = inner.connections;
            if let Ok(copy) = stream.try_clone() {
                inner.streams.insert(number, copy);
            }
            number
        };
        let shared = shared.clone();
        std::thread::spawn(move || {
            // A client that goes away in the middle ends its own connection only.
            let _ = serve(&stream, &shared, logs);
            let _ = stream.shutdown(Shutdown::Both);
            if let Ok(mut inner) = shared.inner.lock() {
                inner.streams.remove(&number);
            }
        });
    }
}

/// An instant as headers have it.
fn date(millis: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(millis).expect("the clock of a test is near");
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .expect("the clock of a test is near")
}

fn serve(stream: &TcpStream, shared: &Shared, logs: bool) -> io::Result<()> {
    stream.set_nodelay(true)?; // head and body are two writes: the second would wait for the first to be acknowledged
    let mut reader = BufReader::new(stream);
    while let Some(heard) = Heard::read(&mut reader)? {
        let (reply, fault, releases) = hear(shared, &heard, logs);
        let reply = reply.with("date", &date(shared.now()));
        if matches!(fault, Some(Fault::Hang)) {
            // Until one of the two sides ends it.
            while !reader.fill_buf()?.is_empty() {
                let read = reader.buffer().len();
                reader.consume(read);
            }
            shared.lock().under_way -= 1;
            return Ok(());
        }
        let mut inner = shared.lock();
        if matches!(fault, Some(Fault::Hold)) {
            inner = shared
                .changed
                .wait_while(inner, |inner| inner.releases == releases && !inner.over)
                .expect("a thread panicked with the stand-in's state: see above");
        }
        // Before the answer leaves: who has it may ask again at once.
        inner.under_way -= 1;
        drop(inner);
        match fault {
            Some(Fault::Cut) => return Ok(()),
            Some(Fault::CutInBody) => return reply.send_half(stream),
            _ => reply.send(stream)?,
        }
    }
    Ok(())
}

/// Works out what a request gets and writes it down.
fn hear(shared: &Shared, heard: &Heard, logs: bool) -> (Reply, Option<Fault>, u64) {
    let now = shared.now();
    let mut inner = shared.lock();
    inner.state.look(now);
    let asking = Asking::of(heard, logs, shared);
    let fault = take(&mut inner.faults, asking.side, &heard.target, &asking.pulls());
    let instead = fault.as_ref().and_then(Fault::reply);
    let (reply, cost) = match (instead, &fault) {
        (Some(reply), Some(Fault::Timeout(_))) => (reply, asking.answer(&mut inner, now).1),
        (Some(reply), _) => (reply, 0),
        (None, _) => asking.answer(&mut inner, now),
    };
    let is_silent = matches!(fault, Some(Fault::Hang | Fault::Cut));
    let request = Request {
        side: asking.side,
        method: heard.method.clone(),
        target: heard.target.clone(),
        authorized: heard.header("authorization").is_some(),
        token: heard.token().map(str::to_owned),
        if_none_match: heard.header("if-none-match").map(str::to_owned),
        operation: asking.operation(),
        document: asking.document.clone(),
        variables: asking.variables.clone(),
        pulls: asking.pulls().len(),
        cost,
        status: (!is_silent).then_some(reply.status),
        at_ms: now,
        beside: inner.under_way,
    };
    if request.side == Side::Logs && request.authorized {
        inner.leaks.push(request.clone());
    }
    inner.requests.push(request);
    inner.under_way += 1;
    (reply, fault, inner.releases)
}
