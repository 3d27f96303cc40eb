//! Members and elements that come into a JSON text of somebody else's, in which everything else stays as it was written.

use std::collections::HashMap;
use std::io;

use serde_json::value::RawValue;

/// Changes what follows the comments at the beginning of a JSON text, which some programs write there.
pub(super) fn headed(
    text: &str,
    change: impl FnOnce(&str) -> io::Result<Option<String>>,
) -> io::Result<Option<String>> {
    let (head, body) = without_head(text);
    Ok(change(body)?.map(|changed| format!("{head}{changed}")))
}

/// The comments at the beginning of a JSON text, and what follows them.
fn without_head(text: &str) -> (&str, &str) {
    let comments = text
        .split_inclusive('\n')
        .take_while(|line| line.trim_start().starts_with("//"));
    text.split_at(comments.map(str::len).sum())
}

/// The texts in a list of a JSON text, as they are looked through where a stranger's code is started.
pub(super) fn listed(text: &str, name: &str) -> io::Result<Vec<String>> {
    texts(without_head(text).1, name)
}

pub(super) fn texts(body: &str, name: &str) -> io::Result<Vec<String>> {
    let members = Members::of(if body.trim().is_empty() { "{}" } else { body })?;
    Ok(serde_json::from_str(members.get(name).unwrap_or("[]"))?)
}

/// The text with that member set; `None` when it is already.
pub(super) fn with_member(text: &str, path: &[String], value: &str) -> io::Result<Option<String>> {
    let Some((name, rest)) = path.split_first() else {
        return Ok((text != value).then(|| value.to_owned()));
    };
    let mut members = Members::of(if text.trim().is_empty() { "{}" } else { text })?;
    let inner = members
        .get(name)
        .unwrap_or(if rest.is_empty() { "" } else { "{}" });
    let Some(changed) = with_member(inner, rest, value)? else {
        return Ok(None);
    };
    members.set(name, changed);
    Ok(Some(members.text()))
}

/// The text with that element in the list at `path`; `None` when it is there already.
pub(super) fn with_element(text: &str, path: &[String], value: &str) -> io::Result<Option<String>> {
    let mut inner = if text.trim().is_empty() {
        "{}".to_owned()
    } else {
        text.to_owned()
    };
    for name in path {
        inner = Members::of(&inner)?.get(name).unwrap_or("[]").to_owned();
        if inner == "[]" {
            break;
        }
    }
    let list: Vec<Box<RawValue>> = serde_json::from_str(&inner)?;
    if list.iter().any(|known| known.get() == value) {
        return Ok(None);
    }
    let all: Vec<&str> = list.iter().map(|known| known.get()).chain([value]).collect();
    with_member(text, path, &format!("[{}]", all.join(", ")))
}

/// A JSON object whose values stay as they were written.
struct Members(Vec<(String, String)>);

impl Members {
    fn of(text: &str) -> io::Result<Members> {
        struct Ordered;
        impl<'de> serde::de::Visitor<'de> for Ordered {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, String)> = Vec::new();
                let mut at: HashMap<String, usize> = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Of a name that stands there twice the last one counts, as everywhere.
                    match at.get(&name) {
                        Some(known) => value.get().clone_into(&mut members[*known].1),
                        None => {
                            at.insert(name.clone(), members.len());
                            members.push((name, value.get().to_owned()));
                        }
                    }
                }
                Ok(members)
            }
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = serde::Deserializer::deserialize_map(&mut reader, Ordered)?;
        reader.end()?;
        Ok(Members(members))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(found.1.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn text(&self) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}: {value}", serde_json::Value::from(name.as_str())))
            .collect();
        format!("{{\n{}\n}}", members.join(",\n"))
    }
}
