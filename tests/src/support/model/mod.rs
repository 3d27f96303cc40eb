//! A model server for real agents, on loopback only: it says what its prompt tells it to, so that a turn goes the same way each
//! time, and it counts what reached it.
//!
//! The newest text of the user decides. Lines of the form `STUB: …` script the answer, in order; the results of tools that
//! came after that text say how far it has got. Without such a line it answers a fixed text.
//!
//! ```text
//! STUB: write FILE TEXT   call the tool that makes FILE with TEXT in it
//! STUB: run COMMAND       call the shell tool
//! STUB: ask COMMAND       the same, and ask for more than it may, where the tool has a word for that
//! STUB: question TEXT     call the tool that asks the user
//! STUB: slow N            stream filler for N seconds, then go on
//! STUB: say TEXT          answer TEXT
//! STUB: read              call the tool that reads a file, with the first path that the text names
//! STUB: error CODE N      answer that status to the first N such requests (1), then go on
//! STUB: wall N            refuse it until N seconds (three hours) after the first such request, as where a quota is used up, then go on
//! STUB: quota N           the same, and say in words when that is
//! ```
//!
//! A text that scripts nothing itself, such as a message of the daemon's, is answered by the script that [`Model::when`] gave for it.
//!
//! It speaks Anthropic's Messages, OpenAI's Responses and Chat Completions, as a stream or as one object. Requests that offer no tools
//! (titles, summaries) get text.

mod asked;
mod chat;
mod http;
mod messages;
mod plan;
mod responses;

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use asked::{Request, scripts};
use plan::Plan;

/// What it says where nobody scripted anything.
const TEXT: &str = "Done. This is the stub model.";

/// For how long a wall stands where that is not said, in seconds.
const WALL: i64 = 3 * 3_600;

/// The time in Unix seconds.
fn unix_now() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

/// One request for an answer, as it came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The newest text of the user, whole.
    pub text: String,
    /// Which model was asked for.
    pub model: String,
    /// How many tools were offered. A request without any is no turn of the agent's.
    pub tools: usize,
    /// Results of tools that came after the text: a request that has some is the same turn going on.
    pub results: usize,
    /// Whether an agent asks for its own ends, about a turn that was: a title, a summary.
    pub aside: bool,
    /// What was answered: `text`, `tool NAME`, `error CODE`.
    pub answer: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The server. Ends when it is dropped.
pub struct Model {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    /// Every request as it came, with all that its agent puts around what it is asked.
    bodies: Mutex<Vec<String>>,
    failed: Mutex<HashMap<String, u64>>,
    /// Texts that were refused: an agent may put the next one behind such a one.
    refused: Mutex<Vec<String>>,
    /// When the wall of a text ends, in Unix seconds.
    walls: Mutex<HashMap<String, i64>>,
    whens: Mutex<Vec<(String, String)>>,
    ids: AtomicU64,
    over: AtomicBool,
}

/// How a request is put, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Messages,
    Responses,
    Chat,
}

impl Protocol {
    fn of(method: &str, path: &str) -> Option<Self> {
        let ends = |end: &str| method == "POST" && path.trim_end_matches('/').ends_with(end);
        if ends("/messages") {
            Some(Self::Messages)
        } else if ends("/responses") {
            Some(Self::Responses)
        } else if ends("/chat/completions") {
            Some(Self::Chat)
        } else {
            None
        }
    }

    fn read(self, body: &Value) -> Request {
        match self {
            Self::Messages => messages::read(body),
            Self::Responses => responses::read(body),
            Self::Chat => chat::read(body),
        }
    }

    /// The headers that say until when a quota is used up.
    fn until(self, ends: i64) -> String {
        let retry = format!("retry-after: {}\r\n", ends - unix_now());
        match self {
            Self::Messages => format!(
                "{retry}anthropic-ratelimit-unified-status: rejected\r\nanthropic-ratelimit-unified-reset: {ends}\r\n\
                 anthropic-ratelimit-unified-representative-claim: five_hour\r\n"
            ),
            Self::Responses | Self::Chat => retry,
        }
    }

    /// How it says that it refuses.
    fn error(self, code: u16, wall: Option<i64>, says_until: bool) -> Value {
        let message = match wall.filter(|_| says_until) {
            Some(ends) => {
                let ends = jiff::Timestamp::from_second(ends).expect("it is near");
                format!("Quota exceeded, it will reset at {ends}")
            }
            None => format!("stub error {code}"),
        };
        match self {
            Self::Messages => {
                let kind = if code == 429 {
                    "rate_limit_error"
                } else {
                    "api_error"
                };
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
            Self::Responses if let Some(ends) = wall => {
                json!({"error": {"type": "usage_limit_reached", "message": message, "plan_type": "pro", "resets_at": ends,
                    "resets_in_seconds": ends - unix_now()}})
            }
            Self::Responses | Self::Chat => {
                let kind = if wall.is_some() {
                    "insufficient_quota"
                } else {
                    "stub_error"
                };
                json!({"error": {"message": message, "type": kind, "code": kind}})
            }
        }
    }
}

impl Model {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let served = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if served.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = served.clone();
                if let Ok(stream) = stream {
                    // A client that goes away in the middle ends its own thread only.
                    std::thread::spawn(move || serve(&stream, &shared));
                }
            }
        });
        Self { port, shared }
    }

    /// Where it is: for `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, a text that has `part` in it and no script of its own is answered by `script`.
    pub fn when(&self, part: &str, script: &str) {
        let mut whens = self.shared.whens.lock().expect("no thread panics with it");
        whens.insert(0, (part.to_owned(), script.to_owned()));
    }

    /// All requests for an answer so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared
            .asked
            .lock()
            .expect("no thread panics with it")
            .clone()
    }

    /// How many requests had this in them, wherever.
    pub fn requests_with(&self, part: &str) -> usize {
        let part = Value::from(part).to_string();
        let part = part.trim_matches('"');
        let bodies = self.shared.bodies.lock().expect("no thread panics with it");
        bodies.iter().filter(|body| body.contains(part)).count()
    }

    /// When the walls end that it has shown, in Unix seconds.
    pub fn walls(&self) -> Vec<i64> {
        let walls = self.shared.walls.lock().expect("no thread panics with it");
        walls.values().copied().collect()
    }

    /// When a request was first answered with what it asked for whose newest text has this in it, in milliseconds since 1970.
    pub fn answered(&self, part: &str) -> Option<i64> {
        let all = self.asked();
        let is_one = |asked: &&Asked| asked.tools > 0 && !asked.aside && !asked.answer.starts_with("error");
        let mut ones = all.iter().filter(is_one);
        ones.find(|asked| asked.text.contains(part))
            .map(|asked| asked.at_ms)
    }

    /// How many turns were begun whose newest text has this in it.
    pub fn turns_with(&self, part: &str) -> usize {
        let all = self.asked();
        let begins = |asked: &&Asked| asked.tools > 0 && asked.results == 0 && !asked.aside;
        all.iter()
            .filter(begins)
            .filter(|asked| asked.text.contains(part))
            .count()
    }

    /// How often a part stands in the newest texts of its turns, also of one that was going on.
    pub fn times(&self, part: &str) -> usize {
        let all = self.asked();
        let is_turn = |asked: &&Asked| asked.tools > 0 && !asked.aside;
        all.iter()
            .filter(is_turn)
            .map(|asked| asked.text.matches(part).count())
            .sum()
    }
}

impl Shared {
    /// A text without one before it that was refused.
    fn newest(&self, text: String) -> String {
        let refused = self.refused.lock().expect("no thread panics with it");
        let rest = refused
            .iter()
            .find_map(|known| text.strip_prefix(known.as_str())?.strip_prefix("\n\n"));
        rest.map(str::to_owned).unwrap_or(text)
    }

    /// What `text` scripts, or what was said to answer it.
    fn script_of(&self, text: &str) -> String {
        let whens = self.whens.lock().expect("no thread panics with it");
        let given = whens.iter().find(|(part, _)| text.contains(part));
        match given {
            Some((_, script)) if scripts(text).next().is_none() => script.clone(),
            _ => text.to_owned(),
        }
    }

    fn id(&self, kind: &str) -> String {
        format!("{kind}_stub{:08}", self.ids.fetch_add(1, Ordering::SeqCst))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the one that waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some((method, path, body))) = http::request(&mut reader) {
        let done = answer(stream, shared, &method, &path, &body);
        if done.is_err() || shared.over.load(Ordering::SeqCst) {
            return;
        }
    }
}

fn answer(stream: &TcpStream, shared: &Shared, method: &str, path: &str, body: &[u8]) -> io::Result<()> {
    let Some(protocol) = Protocol::of(method, path) else {
        let value = if path.ends_with("/count_tokens") {
            json!({"input_tokens": 42})
        } else {
            json!({"ok": true, "object": "list", "data": []})
        };
        return http::whole(stream, 200, &value);
    };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    shared
        .bodies
        .lock()
        .expect("no thread panics with it")
        .push(body.to_string());
    let mut request = protocol.read(&body);
    request.text = shared.newest(request.text);
    let request = request;
    let mut plan = if request.tools.is_empty() {
        Plan::text(TEXT)
    } else {
        plan::plan(shared, &shared.script_of(&request.text), &request)
    };
    let word = match (&plan.error, &plan.call) {
        (Some(code), _) => format!("error {code}"),
        (None, Some((name, _))) => format!("tool {name}"),
        (None, None) => "text".to_owned(),
    };
    shared
        .asked
        .lock()
        .expect("no thread panics with it")
        .push(Asked {
            text: request.text.clone(),
            model: request.model.clone(),
            tools: request.tools.len(),
            results: request.results,
            aside: request.aside,
            answer: word,
            at_ms: jiff::Timestamp::now().as_millisecond(),
        });
    if let Some(code) = plan.error {
        let mut refused = shared.refused.lock().expect("no thread panics with it");
        if !refused.contains(&request.text) {
            refused.push(request.text.clone());
        }
        drop(refused);
        let error = protocol.error(code, plan.wall, plan.says_until);
        // One that says it in words says it in no header: programs would wait for that by themselves.
        let more = plan
            .wall
            .filter(|_| !plan.says_until)
            .map(|ends| protocol.until(ends));
        return http::with_headers(stream, code, more.as_deref().unwrap_or_default(), &error);
    }
    if let Some(schema) = &request.schema {
        plan.said = plan::sample(schema).to_string();
    }
    match protocol {
        Protocol::Messages => messages::answer(stream, shared, &request, &plan),
        Protocol::Responses => responses::answer(stream, shared, &request, &plan),
        Protocol::Chat => chat::answer(stream, shared, &request, &plan),
    }
}

/// Calls `say` with filler for as long as the plan is slow, then with what it says.
fn pieces(shared: &Shared, plan: &Plan, mut say: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + plan.slow;
    while Instant::now() < end && !shared.over.load(Ordering::SeqCst) {
        say("working ")?;
        std::thread::park_timeout(
            Duration::from_millis(200).min(end.saturating_duration_since(Instant::now())),
        );
    }
    say(&plan.said)
}

#[cfg(test)]
mod tests;
