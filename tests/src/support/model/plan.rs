//! What is answered.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::asked::{Request, Tool, scripts};
use super::{Shared, TEXT, WALL, unix_now};

/// An answer to be given.
pub(super) struct Plan {
    /// For how long it streams filler first.
    pub(super) slow: Duration,
    pub(super) said: String,
    /// The tool that is called, and its arguments.
    pub(super) call: Option<(String, Value)>,
    /// The status that it is refused with.
    /// Whether a wall says in words when it ends.
    pub(super) says_until: bool,
    pub(super) error: Option<u16>,
    /// Until when it is refused because a quota is used up, in Unix seconds.
    pub(super) wall: Option<i64>,
}

impl Plan {
    pub(super) fn text(text: &str) -> Self {
        Self {
            slow: Duration::ZERO,
            said: text.to_owned(),
            call: None,
            error: None,
            says_until: false,
            wall: None,
        }
    }
}

/// Names that agents give their tools, the likeliest first.
const SHELLS: &[&str] = &[
    "Bash",
    "bash",
    "exec_command",
    "run_shell_command",
    "run_terminal_command",
    "shell",
];
const WRITERS: &[&str] = &["Write", "write", "write_file", "create"];
const READERS: &[&str] = &["Read", "read", "read_file", "view"];
const ASKERS: &[&str] = &["AskUserQuestion", "question", "ask_user_question", "ask_user"];

/// Names that their arguments have.
const PATHS: &[&str] = &["file_path", "filePath", "path", "target_file"];
const CONTENTS: &[&str] = &["content", "file_text", "contents"];
const COMMANDS: &[&str] = &["command", "cmd"];

pub(super) fn plan(shared: &Shared, text: &str, request: &Request) -> Plan {
    let (done, tools) = (request.results, &request.tools);
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
            "wall" | "quota" => {
                let now = unix_now();
                let mut walls = shared.walls.lock().expect("no thread panics with it");
                let ends = *walls
                    .entry(text.to_owned())
                    .or_insert_with(|| now + words.trim().parse().unwrap_or(WALL));
                if now < ends {
                    (plan.error, plan.wall) = (Some(429), Some(ends));
                    plan.says_until = verb == "quota";
                    return plan;
                }
                continue;
            }
            "read" => {
                let path = text.split_whitespace().find(|word| word.starts_with('/'));
                let path = path.unwrap_or_default();
                // Some give nothing of a long file where it is not said how much.
                let known = [
                    (PATHS, json!(path)),
                    (&["view_range"] as &[&str], json!([1, 400])),
                ];
                call(tools, READERS, &known).or_else(|| run(tools, &format!("cat '{path}'"), false))
            }
            "write" => {
                let (file, content) = words.split_once(' ').unwrap_or((words, ""));
                let path = match &request.folder {
                    Some(folder) => format!("{folder}/{file}"),
                    None => file.to_owned(),
                };
                let known = [(PATHS, json!(path)), (CONTENTS, json!(content))];
                call(tools, WRITERS, &known)
                    .or_else(|| run(tools, &format!("printf '%s\\n' '{content}' > '{file}'"), false))
            }
            "run" => run(tools, words, false),
            "ask" => run(tools, words, true),
            "question" => question(tools, words),
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

fn run(tools: &[Tool], command: &str, asks: bool) -> Option<(String, Value)> {
    let mut known: Vec<(&[&str], Value)> = vec![
        (COMMANDS, json!(command)),
        (&["description"], json!("a command")),
        (&["is_background"], json!(false)),
    ];
    if asks {
        known.push((&["sandbox_permissions"], json!("require_escalated")));
        known.push((
            &["justification"],
            json!(format!("The stub wants to run {command}")),
        ));
    }
    call(tools, SHELLS, &known)
}

fn question(tools: &[Tool], words: &str) -> Option<(String, Value)> {
    let options =
        json!([{"label": "One", "description": "first"}, {"label": "Two", "description": "second"}]);
    let one = json!({"question": words, "header": "Stub", "options": options, "multiSelect": false});
    let form = json!({"type": "object", "required": ["answer"], "properties": {
        "answer": {"type": "string", "title": "Answer", "enum": ["One", "Two"]}}});
    let known: [(&[&str], Value); 3] = [
        (&["questions"], json!([one])),
        (&["message", "question"], json!(words)),
        (&["requestedSchema"], form),
    ];
    call(tools, ASKERS, &known)
}

/// A call of the first tool that has one of `names`, with what is known put under the first of its names that the tool has, and with
/// what else its schema wants filled in.
fn call(tools: &[Tool], names: &[&str], known: &[(&[&str], Value)]) -> Option<(String, Value)> {
    let tool = names
        .iter()
        .find_map(|name| tools.iter().find(|tool| tool.name == *name))?;
    let schema = &tool.schema;
    let has = |key: &&&str| schema["properties"].get(**key).is_some();
    let mut input = Map::new();
    for (keys, value) in known {
        if let Some(key) = keys.iter().find(has) {
            input.insert((*key).to_owned(), fitted(value, &schema["properties"][*key]));
        }
    }
    for key in required(schema) {
        let property = &schema["properties"][key];
        input.entry(key).or_insert_with(|| sample(property));
    }
    Some((tool.name.clone(), Value::Object(input)))
}

/// A value without the members that its schema has no word for, where it wants no others.
fn fitted(value: &Value, schema: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| fitted(item, &schema["items"])).collect(),
        Value::Object(members) if schema["additionalProperties"] == false => {
            let known = members
                .iter()
                .filter(|(name, _)| schema["properties"].get(name).is_some());
            let fitting =
                known.map(|(name, value)| (name.clone(), fitted(value, &schema["properties"][name])));
            Value::Object(fitting.collect())
        }
        other => other.clone(),
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let keys = schema["required"].as_array().into_iter().flatten();
    keys.filter_map(Value::as_str)
}

/// A smallest value that fits a schema.
pub(super) fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let values = required(schema).map(|key| (key.to_owned(), sample(&schema["properties"][key])));
            Value::Object(values.collect())
        }
        Some("array") => json!([]),
        Some("boolean") => json!(false),
        Some("integer" | "number") => json!(1),
        _ => json!("stub"),
    }
}
