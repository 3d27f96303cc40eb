//! What an agent writes down itself: where its file is, and what a line of it tells that no hook does.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use ao_domain::Timestamp;
use ao_domain::port::agent::Note;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::own_folder;
use super::sheet::{Environment, Files, Is, NameIn, Named, NoteRules};

/// Ours, so that a line's name is nobody else's.
const NAMESPACE: Uuid = Uuid::from_u128(0x1f0a_93c7_62d4_4b19_8e55_c6b0_27f4_9d38);

/// How much of the end of a file is read for a name: it is at the end of one that is long.
const NAMES_MAX: u64 = 256 * 1024;

/// What the file that `named` describes calls the conversation `id`.
pub(super) fn named(named: &Named, id: &str, env: Environment<'_>) -> Option<Note> {
    let mut file = File::open(file(&named.file, id, env)?).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(NAMES_MAX)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(NAMES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (said, name) = name(named.name, &text, id)?;
    Some(Note {
        // By all that is said with it: a name that comes back is told of again.
        id: Uuid::new_v5(&NAMESPACE, format!("{id} {said}").as_bytes())
            .simple()
            .to_string(),
        event: named.event,
        at: None,
        payload: json!({"summary": name}).to_string(),
    })
}

/// The name, and the piece of the text that says it.
fn name<'a>(is: NameIn, text: &'a str, id: &str) -> Option<(&'a str, String)> {
    let text_of = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    match is {
        NameIn::Lines(whose, name) => text
            .lines()
            .rev()
            .filter(|line| line.contains(id))
            .find_map(|line| {
                let said: Value = serde_json::from_str(line).ok()?;
                let name = text_of(&said, name).filter(|_| text_of(&said, whose).as_deref() == Some(id))?;
                Some((line, name))
            }),
        NameIn::Object(name) => Some((text, text_of(&serde_json::from_str(text).ok()?, name)?)),
        NameIn::Mapping(name) => {
            let mut lines = text.lines();
            let of = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
            let value = lines.by_ref().find_map(of)?.trim();
            let block = lines.take_while(|line| line.starts_with(' ') || line.is_empty());
            let name = match value.as_bytes() {
                [b'|' | b'>', ..] => block.map(str::trim).collect::<Vec<_>>().join("\n"),
                [b'"', ..] => serde_json::from_str(value).ok()?,
                [b'\'', .., b'\''] => value[1..value.len() - 1].replace("''", "'"),
                _ => value.to_owned(),
            };
            Some((text, name))
        }
    }
}

/// The newest file that `files` describes for the conversation `id`. An id of theirs is a file name; what is none names no
/// conversation.
pub(super) fn file(files: &Files, id: &str, env: Environment<'_>) -> Option<Utf8PathBuf> {
    if id.is_empty() || id.contains(['/', '*']) || id.starts_with('.') {
        return None;
    }
    let folder = own_folder(env, files.variable, files.home)?;
    find(&folder, files.path, id)
}

fn find(folder: &Utf8Path, way: &[&str], id: &str) -> Option<Utf8PathBuf> {
    let (step, rest) = way.split_first()?;
    let name = step.replace("{}", id);
    let go_on = |path: Utf8PathBuf| {
        if rest.is_empty() {
            path.is_file().then_some(path)
        } else {
            find(&path, rest, id)
        }
    };
    let Some((begin, end)) = name.split_once('*') else {
        return go_on(folder.join(name));
    };
    let entries = folder.read_dir_utf8().ok()?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        })
        .collect();
    // Where names are dates, the newest first.
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.into_iter().find_map(|name| go_on(folder.join(name)))
}

/// What a line tells.
pub(super) fn note(rules: &[NoteRules], line: &str) -> Option<Note> {
    let mut likely = rules.iter().filter(|rule| line.contains(rule.has)).peekable();
    likely.peek()?;
    let said: Value = serde_json::from_str(line).ok()?;
    let rule = likely.find(|rule| {
        rule.of.iter().all(|(at, is)| match is {
            Is::NotTrue => !values(&said, at).contains(&&Value::Bool(true)),
            Is::Missing => values(&said, at).iter().all(|value| value.is_null()),
            _ => values(&said, at).into_iter().any(|value| fits(*is, value)),
        })
    })?;
    let named = rule
        .id
        .and_then(|at| said.pointer(at))
        .and_then(Value::as_str)
        .map(|id| {
            let digits = id.chars().filter(char::is_ascii_hexdigit);
            digits.collect::<String>()
        });
    let id = named
        .filter(|id| id.len() == 32)
        .unwrap_or_else(|| Uuid::new_v5(&NAMESPACE, line.as_bytes()).simple().to_string());
    let at = match rule.at.map(|at| said.pointer(at)) {
        None => None,
        Some(None) => return None,
        Some(Some(Value::String(at))) => Some(at.parse().ok()?),
        Some(Some(at)) => Some(Timestamp::from_millis(at.as_i64()?)),
    };
    let mut payload = Map::new();
    for (name, at) in rule.payload {
        // The last one: what was said at the end.
        if let Some(value) = values(&said, at)
            .into_iter()
            .rfind(|value| value.is_string() || value.is_number())
        {
            payload.insert((*name).to_owned(), value.clone());
        }
    }
    Some(Note {
        id,
        event: rule.event,
        at,
        payload: Value::Object(payload).to_string(),
    })
}

fn fits(is: Is, value: &Value) -> bool {
    match is {
        Is::Text(text) => value == text,
        Is::Begins(text) => value.as_str().is_some_and(|value| value.starts_with(text)),
        Is::AnyText => value.is_string(),
        Is::True => *value == Value::Bool(true),
        Is::NotTrue => *value != Value::Bool(true),
        Is::Empty => value.as_array().is_some_and(Vec::is_empty),
        Is::Some => !value.is_null(),
        Is::Missing => value.is_null(),
    }
}

/// What stands at a JSON pointer in which `*` is every element of a list.
fn values<'a>(value: &'a Value, at: &str) -> Vec<&'a Value> {
    match at.split_once("/*") {
        None => value.pointer(at).into_iter().collect(),
        Some((list, rest)) => {
            let elements = value
                .pointer(list)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            elements.flat_map(|element| values(element, rest)).collect()
        }
    }
}
