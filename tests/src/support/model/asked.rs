//! What a request asks, whatever protocol it came by.

use serde_json::Value;

/// A request for an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    /// The newest text of the user without what the agent put around it.
    pub(super) text: String,
    /// How many results of tools came after it.
    pub(super) results: usize,
    /// Whether an agent asks for its own ends.
    pub(super) aside: bool,
    pub(super) model: String,
    pub(super) streams: bool,
    pub(super) tools: Vec<Tool>,
    /// Where it says that it works, for tools that take nothing but whole paths.
    pub(super) folder: Option<String>,
    /// The schema that the answer is to follow, if any.
    pub(super) schema: Option<Value>,
}

impl Request {
    /// Of the parts that each protocol has in places of its own; `schema` is none where it is no object.
    pub(super) fn of(
        body: &Value,
        entries: impl IntoIterator<Item = Entry>,
        tools: impl IntoIterator<Item = Tool>,
        schema: &Value,
    ) -> Self {
        let (text, results, aside) = newest(entries);
        Self {
            text,
            results,
            aside,
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            streams: body["stream"] == true,
            tools: tools.into_iter().collect(),
            folder: folder(body),
            schema: schema.is_object().then(|| schema.clone()),
        }
    }
}

/// What follows the words by which an agent tells its model where it works.
fn folder(body: &Value) -> Option<String> {
    const WORDS: [&str; 2] = [
        "currently working in the directory: ",
        "currently working in the following directories:\\n  - ",
    ];
    let text = body.to_string();
    let rest = WORDS.iter().find_map(|words| Some(text.split_once(words)?.1))?;
    let end = rest.find(['\\', '"']).unwrap_or(rest.len());
    Some(rest[..end].trim().to_owned())
}

/// The members of a list; none of what is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A tool on offer.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Value,
}

impl Tool {
    pub(super) fn of(name: &Value, schema: &Value) -> Self {
        Self {
            name: name.as_str().unwrap_or_default().to_owned(),
            schema: schema.clone(),
        }
    }
}

/// A message of the conversation.
pub(super) struct Entry {
    pub(super) is_user: bool,
    /// Its texts.
    pub(super) texts: Vec<String>,
    /// How many results of tools it brings.
    pub(super) results: usize,
}

/// The texts of a message's content, which is one text or several parts.
pub(super) fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(whole) => vec![visible(whole)],
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.map(visible).collect()
        }
        _ => Vec::new(),
    }
}

/// The newest text of the user and how many results came after it; and whether the last word is the agent's own, in the user's name.
fn newest(entries: impl IntoIterator<Item = Entry>) -> (String, usize, bool) {
    let (mut text, mut results, mut aside) = (String::new(), 0, false);
    let mut was_asked = false;
    for Entry {
        is_user,
        texts,
        results: brought,
    } in entries
    {
        // Turns that failed can leave several texts in one message: the newest script wins.
        let scripted = texts.iter().rfind(|text| scripts(text).next().is_some());
        let whole = scripted.cloned().unwrap_or_else(|| texts.join("\n"));
        // Behind a text of the user's it is a word about that.
        aside = is_user && brought == 0 && whole.trim().is_empty() && !was_asked;
        was_asked = is_user && brought == 0 && !aside;
        if is_user && !whole.trim().is_empty() && (brought == 0 || scripts(&whole).next().is_some()) {
            (text, results) = (whole, 0);
        } else {
            results += brought;
        }
    }
    (text, results, aside)
}

/// The text without the blocks that an agent adds for its model.
fn visible(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in [
        "system-reminder",
        "environment_context",
        "user_instructions",
        "current_datetime",
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
    // Around the user's own text.
    let text = text.replace("<user_query>", "").replace("</user_query>", "");
    text.trim().to_owned()
}

/// The verbs and their words, in order.
pub(super) fn scripts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim_start_matches([' ', '\t', '"', '\'', '>', '*', '-']);
        let rest = line.strip_prefix("STUB:")?.trim();
        Some(rest.split_once(char::is_whitespace).unwrap_or((rest, "")))
    })
}
