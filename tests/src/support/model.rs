//! A model server for real agents, on loopback only: it says what its prompt tells it to, so that a turn goes the same way each
//! time, and it counts what reached it.
//!
//! The newest text of the user decides. Lines of the form `STUB: …` script the answer, in order; the results of tools that
//! came after that text say how far it has got. Without such a line it answers a fixed text.
//!
//! ```text
//! STUB: write FILE TEXT   call the tool that makes FILE with TEXT in it
//! STUB: run COMMAND       call the shell tool
//! STUB: question TEXT     call the tool that asks the user
//! STUB: slow N            stream filler for N seconds, then go on
//! STUB: say TEXT          answer TEXT
//! STUB: read              call the tool that reads a file, with the first path that the text names
//! STUB: error CODE N      answer that status to the first N such requests (1), then go on
//! STUB: wall              refuse it for three hours, as where a quota is used up
//! ```
//!
//! A text that scripts nothing itself, such as a message of the daemon's, is answered by the script that [`Model::when`] gave for it.
//!
//! It speaks Anthropic's Messages, as a stream or as one object. Requests that offer no tools (titles, summaries) get text.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What it says where nobody scripted anything.
const TEXT: &str = "Done. This is the stub model.";

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
    /// What was answered: `text`, `tool NAME`, `error CODE`.
    pub answer: String,
}

/// The server. Ends when it is dropped.
pub struct Model {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    failed: Mutex<HashMap<String, u64>>,
    whens: Mutex<Vec<(String, String)>>,
    ids: AtomicU64,
    over: AtomicBool,
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

    /// How many turns were begun whose newest text has this in it.
    pub fn turns_with(&self, part: &str) -> usize {
        let all = self.asked();
        let turns = all.iter().filter(|asked| asked.tools > 0 && asked.results == 0);
        turns.filter(|asked| asked.text.contains(part)).count()
    }
}

impl Shared {
    /// What `text` scripts, or what was said to answer it.
    fn script_of(&self, text: &str) -> String {
        let whens = self.whens.lock().expect("no thread panics with it");
        let given = whens.iter().find(|(part, _)| text.contains(part));
        match given {
            Some((_, script)) if scripts(text).next().is_none() => script.clone(),
            _ => text.to_owned(),
        }
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
    while let Ok(Some((method, path, body))) = request(&mut reader) {
        let done = answer(stream, shared, &method, &path, &body);
        if done.is_err() || shared.over.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// One request: method, path without its query, body. `None` at the connection's end.
fn request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece)?;
        body.extend_from_slice(&piece[..size]);
        chunked = size > 0;
    }
    Ok(Some((method, path, body)))
}

fn answer(stream: &TcpStream, shared: &Shared, method: &str, path: &str, body: &[u8]) -> io::Result<()> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if method != "POST" || !path.ends_with("/messages") {
        let value = if path.ends_with("/count_tokens") {
            json!({"input_tokens": 42})
        } else {
            json!({"ok": true, "data": []})
        };
        return whole(stream, 200, &value);
    }
    let (text, results) = newest(&body);
    let tools: Vec<&Value> = body["tools"]
        .as_array()
        .map(|tools| tools.iter().collect())
        .unwrap_or_default();
    let plan = if tools.is_empty() {
        Plan::text(TEXT)
    } else {
        plan(shared, &shared.script_of(&text), results, &tools)
    };
    let word = match (&plan.error, &plan.call) {
        (Some(code), _) => format!("error {code}"),
        (None, Some((name, _))) => format!("tool {name}"),
        (None, None) => "text".to_owned(),
    };
    let model = body["model"].as_str().unwrap_or_default().to_owned();
    shared
        .asked
        .lock()
        .expect("no thread panics with it")
        .push(Asked {
            text,
            model: model.clone(),
            tools: tools.len(),
            results,
            answer: word,
        });
    if let Some(code) = plan.error {
        let kind = if code == 429 {
            "rate_limit_error"
        } else {
            "api_error"
        };
        let error =
            json!({"type": "error", "error": {"type": kind, "message": format!("stub error {code}")}});
        let again = plan.again.map(|seconds| format!("retry-after: {seconds}\r\n"));
        return with_headers(stream, code, again.as_deref().unwrap_or_default(), &error);
    }
    let mut said = plan.said.clone();
    if let Some(schema) = wanted(&body) {
        said = sample(schema).to_string();
    }
    let stop = if plan.call.is_some() {
        "tool_use"
    } else {
        "end_turn"
    };
    let id = |kind: &str| format!("{kind}_stub{:08}", shared.ids.fetch_add(1, Ordering::SeqCst));
    let usage = json!({"input_tokens": 42, "output_tokens": 7, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0});
    let call = plan.call.as_ref().map(|(name, input)| (id("toolu"), name, input));
    let message = |content: Value, stop: Value| {
        json!({"id": "msg_stub", "type": "message", "role": "assistant", "model": model,
            "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage})
    };
    if body["stream"] != true {
        let mut content = vec![json!({"type": "text", "text": said})];
        if let Some((id, name, input)) = call {
            content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
        }
        let mut one = message(json!(content), json!(stop));
        one["id"] = json!(id("msg"));
        return whole(stream, 200, &one);
    }
    let mut out = Stream::begin(stream)?;
    let mut first = message(json!([]), Value::Null);
    first["id"] = json!(id("msg"));
    out.event("message_start", &json!({"message": first}))?;
    let text_block = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
    out.event("content_block_start", &text_block)?;
    let delta = |text: &str| json!({"index": 0, "delta": {"type": "text_delta", "text": text}});
    let end = Instant::now() + plan.slow;
    while Instant::now() < end && !shared.over.load(Ordering::SeqCst) {
        out.event("content_block_delta", &delta("working "))?;
        std::thread::park_timeout(
            Duration::from_millis(200).min(end.saturating_duration_since(Instant::now())),
        );
    }
    out.event("content_block_delta", &delta(&said))?;
    out.event("content_block_stop", &json!({"index": 0}))?;
    if let Some((id, name, input)) = call {
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        out.event(
            "content_block_start",
            &json!({"index": 1, "content_block": block}),
        )?;
        let piece = json!({"type": "input_json_delta", "partial_json": input.to_string()});
        out.event("content_block_delta", &json!({"index": 1, "delta": piece}))?;
        out.event("content_block_stop", &json!({"index": 1}))?;
    }
    let last = json!({"delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 7}});
    out.event("message_delta", &last)?;
    out.event("message_stop", &json!({}))?;
    out.end()
}

fn whole(stream: &TcpStream, status: u16, value: &Value) -> io::Result<()> {
    with_headers(stream, status, "", value)
}

fn with_headers(mut stream: &TcpStream, status: u16, more: &str, value: &Value) -> io::Result<()> {
    let text = value.to_string();
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 {status} stub\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n{text}"
    )
}

struct Stream<'a>(&'a TcpStream);

impl<'a> Stream<'a> {
    fn begin(mut stream: &'a TcpStream) -> io::Result<Self> {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        Ok(Self(stream))
    }

    fn event(&mut self, name: &str, value: &Value) -> io::Result<()> {
        let mut value = value.clone();
        value["type"] = json!(name);
        let text = format!("event: {name}\ndata: {value}\n\n");
        write!(self.0, "{:x}\r\n{text}\r\n", text.len())
    }

    fn end(self) -> io::Result<()> {
        let mut stream = self.0;
        stream.write_all(b"0\r\n\r\n")
    }
}

/// The newest text of the user without what the agent put around it, and how many results of tools came after it.
fn newest(body: &Value) -> (String, usize) {
    let (mut text, mut results) = (String::new(), 0);
    for message in body["messages"].as_array().into_iter().flatten() {
        let parts: Vec<String> = match &message["content"] {
            Value::String(whole) => vec![visible(whole)],
            Value::Array(parts) => parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .map(visible)
                .collect(),
            _ => Vec::new(),
        };
        let content = message["content"].as_array().into_iter().flatten();
        let tools = content.filter(|part| part["type"] == "tool_result").count();
        // Turns that failed can leave several texts in one message: the newest script wins.
        let scripted = parts.iter().rfind(|part| scripts(part).next().is_some());
        let whole = scripted.cloned().unwrap_or_else(|| parts.join("\n"));
        let is_new = message["role"] == "user"
            && !whole.trim().is_empty()
            && (tools == 0 || scripts(&whole).next().is_some());
        if is_new {
            (text, results) = (whole, 0);
        } else {
            results += tools;
        }
    }
    (text, results)
}

/// The text without the blocks that an agent adds for its model.
fn visible(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in [
        "system-reminder",
        "environment_context",
        "reminder",
        "system_notification",
    ] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        while let Some(from) = text.find(&open) {
            let Some(length) = text[from..].find(&close) else {
                break;
            };
            text.replace_range(from..from + length + close.len(), "");
        }
    }
    text.trim().to_owned()
}

/// The verbs and their words, in order.
fn scripts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim_start_matches([' ', '\t', '"', '\'', '>', '*', '-']);
        let rest = line.strip_prefix("STUB:")?.trim();
        Some(rest.split_once(char::is_whitespace).unwrap_or((rest, "")))
    })
}

struct Plan {
    slow: Duration,
    said: String,
    call: Option<(String, Value)>,
    error: Option<u16>,
    /// When to come again, in seconds.
    again: Option<u64>,
}

impl Plan {
    fn text(text: &str) -> Self {
        Self {
            slow: Duration::ZERO,
            said: text.to_owned(),
            call: None,
            error: None,
            again: None,
        }
    }
}

fn plan(shared: &Shared, text: &str, done: usize, tools: &[&Value]) -> Plan {
    let mut plan = Plan::text("");
    let mut said: Vec<&str> = Vec::new();
    let mut used = 0;
    for (verb, words) in scripts(text) {
        let call = match verb {
            "slow" => {
                plan.slow += Duration::from_secs_f64(words.parse().unwrap_or(5.0));
                continue;
            }
            "say" => {
                said.push(words);
                continue;
            }
            "error" => {
                let mut numbers = words.split_whitespace();
                let code = numbers.next().and_then(|word| word.parse().ok()).unwrap_or(500);
                let times = numbers.next().and_then(|word| word.parse().ok()).unwrap_or(1);
                let mut failed = shared.failed.lock().expect("no thread panics with it");
                let failed = failed.entry(text.to_owned()).or_default();
                if *failed < times {
                    *failed += 1;
                    plan.error = Some(code);
                    return plan;
                }
                continue;
            }
            "wall" => {
                plan.error = Some(429);
                plan.again = Some(3 * 3_600);
                return plan;
            }
            "read" => {
                let path = text.split_whitespace().find(|word| word.starts_with('/'));
                let known = BTreeMap::from([("file_path", json!(path.unwrap_or_default()))]);
                call(tools, "Read", &known)
            }
            "write" => {
                let (file, content) = words.split_once(' ').unwrap_or((words, ""));
                let known = BTreeMap::from([("file_path", json!(file)), ("content", json!(content))]);
                call(tools, "Write", &known)
            }
            "run" => {
                let known = BTreeMap::from([("command", json!(words)), ("description", json!("a command"))]);
                call(tools, "Bash", &known)
            }
            "question" => {
                let options = json!([{"label": "One", "description": "first"}, {"label": "Two", "description": "second"}]);
                let one =
                    json!({"question": words, "header": "Stub", "options": options, "multiSelect": false});
                call(
                    tools,
                    "AskUserQuestion",
                    &BTreeMap::from([("questions", json!([one]))]),
                )
            }
            _ => continue,
        };
        used += 1;
        if used <= done {
            // Answered by the result of a tool already.
            plan.slow = Duration::ZERO;
            said.clear();
            continue;
        }
        plan.said = match &call {
            Some(_) if said.is_empty() => "Working on it.".to_owned(),
            Some(_) => said.join(" "),
            None => format!("stub: no tool offered for `{verb}`"),
        };
        plan.call = call;
        return plan;
    }
    plan.said = if said.is_empty() {
        TEXT.to_owned()
    } else {
        said.join(" ")
    };
    plan
}

/// A call of the tool with that name, with what else its schema wants filled in.
fn call(tools: &[&Value], name: &str, known: &BTreeMap<&str, Value>) -> Option<(String, Value)> {
    let tool = tools.iter().find(|tool| tool["name"] == name)?;
    let schema = &tool["input_schema"];
    let mut input = serde_json::Map::new();
    for (key, value) in known {
        if schema["properties"].get(key).is_some() {
            input.insert((*key).to_owned(), value.clone());
        }
    }
    for key in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let property = &schema["properties"][key];
        input.entry(key).or_insert_with(|| sample(property));
    }
    Some((name.to_owned(), Value::Object(input)))
}

/// The schema that an answer is to follow, if any.
fn wanted(body: &Value) -> Option<&Value> {
    let spots = [
        &body["output_config"]["format"]["schema"],
        &body["output_format"]["schema"],
    ];
    spots.into_iter().find(|schema| schema.is_object())
}

/// A smallest value that fits a schema.
fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let wanted = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            wanted
                .map(|key| (key.to_owned(), sample(&schema["properties"][key])))
                .collect()
        }
        Some("array") => json!([]),
        Some("boolean") => json!(false),
        Some("integer" | "number") => json!(1),
        _ => json!("stub"),
    }
}
