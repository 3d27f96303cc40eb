//! Elements of ours in the lists of a JSON file that its user writes too, such as `{"version": 1, "hooks": {"stop": […]}}`.
//!
//! Pieces of text are put in and taken out; nothing is written anew, so whatever else stands there stays to the byte, and nothing has
//! to be remembered. What is put in comes directly behind the bracket of what is there already. What had to be made for it has a
//! space behind its own bracket: by that it is known when the last of ours is taken out, and goes with it.

use std::io;
use std::ops::Range;

use serde_json::Value;
use serde_json::value::RawValue;

/// The text with each of `elements` in the list of its name in the object `member`; `None` when all are there. An object that is not
/// there comes with the member `beside`, where that is missing too.
pub(super) fn with(
    text: &str,
    beside: (&str, &str),
    member: &str,
    elements: &[(String, String)],
) -> io::Result<Option<String>> {
    let inner = |text: &str| -> io::Result<Vec<Item>> {
        match find(items(text)?, member) {
            Some(found) => items(&text[found.value.clone()]),
            None => Ok(Vec::new()),
        }
    };
    let lists = inner(text)?;
    let outer = find(items(text)?, member);
    let is_there = |(list, element): &(String, String)| -> io::Result<bool> {
        let (Some(outer), Some(list)) = (&outer, lists.iter().rfind(|known| known.name == *list)) else {
            return Ok(false);
        };
        let text = &text[outer.value.clone()][list.value.clone()];
        Ok(elements_of(text)?
            .iter()
            .any(|known| is(&text[known.clone()], element)))
    };
    let mut missing = 0;
    for element in elements {
        missing += usize::from(!is_there(element)?);
    }
    if missing == 0 {
        return Ok(None);
    }
    // Anew, so that what was made for some of them is made for all.
    let mut text = without(text, beside, member, elements)?.unwrap_or_else(|| text.to_owned());
    let Some(outer) = find(items(&text)?, member) else {
        let before = match find(items(&text)?, beside.0) {
            Some(_) => String::new(),
            None => made_beside(beside),
        };
        put(&mut text, &format!("{before}{}", made_member(member, elements)));
        return Ok(Some(text));
    };
    let mut object = text[outer.value.clone()].to_owned();
    for (name, element) in elements.iter().rev() {
        match find(items(&object)?, name) {
            Some(list) => {
                let mut inner = object[list.value.clone()].to_owned();
                put(&mut inner, element);
                object.replace_range(list.value, &inner);
            }
            None => put(&mut object, &made_list(name, element)),
        }
    }
    text.replace_range(outer.value, &object);
    Ok(Some(text))
}

/// The text without them, and without what was made for them; `None` when none of them is there.
pub(super) fn without(
    text: &str,
    beside: (&str, &str),
    member: &str,
    elements: &[(String, String)],
) -> io::Result<Option<String>> {
    let Some(outer) = find(items(text)?, member) else {
        return Ok(None);
    };
    let mut object = text[outer.value.clone()].to_owned();
    let was_made = object.starts_with(MADE_OBJECT);
    for (name, element) in elements {
        while let Some(list) = find(items(&object)?, name) {
            let mut inner = object[list.value.clone()].to_owned();
            let all = elements_of(&inner)?;
            let Some(place) = all.iter().position(|known| is(&inner[known.clone()], element)) else {
                break;
            };
            if all.len() == 1 && inner.starts_with(MADE_LIST) {
                let places: Vec<_> = items(&object)?.into_iter().map(|item| item.whole).collect();
                let place = places.iter().position(|known| known.end == list.whole.end);
                take(&mut object, &places, place.unwrap_or_default());
            } else {
                take(&mut inner, &all, place);
                object.replace_range(list.value, &inner);
            }
        }
    }
    if object == text[outer.value.clone()] {
        return Ok(None);
    }
    let mut text = text.to_owned();
    let is_left = !(was_made && items(&object)?.is_empty());
    text.replace_range(outer.value.clone(), &object);
    if is_left {
        return Ok(Some(text));
    }
    let mut places: Vec<_> = items(&text)?.into_iter().map(|item| item.whole).collect();
    let place = places.iter().position(|known| known.start == outer.whole.start);
    let mut place = place.unwrap_or_default();
    // What came with it stands directly behind the bracket, and directly before it.
    if text[bracket(&text) + 1..outer.whole.start] == made_beside(beside) {
        place -= 1;
        places[place].end = places.remove(place + 1).end;
    }
    take(&mut text, &places, place);
    Ok(Some(text))
}

/// What a file says that is there for them alone.
pub(super) fn made(beside: (&str, &str), member: &str, elements: &[(String, String)]) -> String {
    let (before, all) = (made_beside(beside), made_member(member, elements));
    format!("{MADE_OBJECT}{before}{all} }}\n")
}

/// How an object begins that was made for ours.
const MADE_OBJECT: &str = "{ ";

/// How a list begins that was.
const MADE_LIST: &str = "[ ";

fn made_beside((name, value): (&str, &str)) -> String {
    format!("{}: {value}, ", Value::from(name))
}

fn made_member(member: &str, elements: &[(String, String)]) -> String {
    let lists: Vec<String> = elements
        .iter()
        .map(|(name, element)| made_list(name, element))
        .collect();
    format!("{}: {MADE_OBJECT}{} }}", Value::from(member), lists.join(", "))
}

fn made_list(name: &str, element: &str) -> String {
    format!("{}: {MADE_LIST}{element} ]", Value::from(name))
}

/// A member of an object, and where it stands in the object's text.
struct Item {
    name: String,
    whole: Range<usize>,
    value: Range<usize>,
}

/// Of a name that stands there twice the last one counts, as everywhere.
fn find(items: Vec<Item>, name: &str) -> Option<Item> {
    items.into_iter().rfind(|item| item.name == name)
}

/// Whether a text is that value, however it is written.
fn is(text: &str, value: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    read(text) == read(value)
}

/// The members of an object.
fn items(text: &str) -> io::Result<Vec<Item>> {
    struct Borrowed;
    impl<'de> serde::de::Visitor<'de> for Borrowed {
        type Value = Vec<(String, &'de str)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                all.push((name, value.get()));
            }
            Ok(all)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let all = serde::Deserializer::deserialize_map(&mut reader, Borrowed)?;
    reader.end()?;
    let mut end = bracket(text) + 1;
    let items = all.into_iter().map(|(name, value)| {
        let value = place(text, value);
        // Between two members there are a comma and blanks: the first quote is that of the name.
        let start = end + text[end..].find('"').unwrap_or_default();
        end = value.end;
        Item {
            name,
            whole: start..value.end,
            value,
        }
    });
    Ok(items.collect())
}

/// Where the elements of a list stand in its text.
fn elements_of(text: &str) -> io::Result<Vec<Range<usize>>> {
    let all: Vec<&RawValue> = serde_json::from_str(text)?;
    Ok(all.into_iter().map(|known| place(text, known.get())).collect())
}

/// Where a piece that was borrowed from `text` stands in it.
fn place(text: &str, piece: &str) -> Range<usize> {
    let start = piece.as_ptr().addr() - text.as_ptr().addr();
    start..start + piece.len()
}

/// Where an object or a list begins.
fn bracket(text: &str) -> usize {
    text.find(['{', '[']).unwrap_or_default()
}

/// Puts a piece before all that an object or a list has.
fn put(text: &mut String, piece: &str) {
    let begin = bracket(text) + 1;
    let is_empty = text[begin..].trim_start().starts_with(['}', ']']);
    let comma = if is_empty { "" } else { ", " };
    text.insert_str(begin, &format!("{piece}{comma}"));
}

/// Takes one of `places` out, with the comma that came with it.
fn take(text: &mut String, places: &[Range<usize>], which: usize) {
    let Range { start, end } = places[which].clone();
    let gone = match (which.checked_sub(1), places.get(which + 1)) {
        (_, Some(_)) if text[end..].starts_with(", ") => start..end + 2,
        // Somebody has written it anew since.
        (_, Some(next)) => start..next.start,
        (Some(before), None) => places[before].end..end,
        (None, None) => start..end,
    };
    text.replace_range(gone, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    const BESIDE: (&str, &str) = ("version", "1");

    fn ours() -> Vec<(String, String)> {
        [("start", "ao start"), ("stop", "ao 'it' stop")]
            .map(|(name, command)| {
                (
                    name.to_owned(),
                    serde_json::json!({ "command": command }).to_string(),
                )
            })
            .to_vec()
    }

    fn put_in(text: &str) -> String {
        let new = with(text, BESIDE, "hooks", &ours()).unwrap().unwrap();
        assert_eq!(with(&new, BESIDE, "hooks", &ours()).unwrap(), None, "{new}");
        let read: Value = serde_json::from_str(&new).unwrap();
        for (name, element) in ours() {
            let list = read["hooks"][&name].as_array().unwrap();
            let element: Value = serde_json::from_str(&element).unwrap();
            assert_eq!(list.iter().filter(|known| **known == element).count(), 1, "{new}");
        }
        new
    }

    fn taken_out(text: &str) -> String {
        let old = without(text, BESIDE, "hooks", &ours()).unwrap().unwrap();
        assert_eq!(without(&old, BESIDE, "hooks", &ours()).unwrap(), None, "{old}");
        old
    }

    /// However its user writes it, and whatever is empty in it.
    #[test]
    fn what_was_there_is_there_again_to_the_byte() {
        for theirs in [
            "{}",
            " {\t}\n",
            "{ }",
            "{  }",
            "{\"version\": 1}",
            "{ \"version\": 1 }\n",
            "{\"version\":1,\"hooks\":{}}",
            "{\"version\": 1, \"hooks\": { }}",
            "{\"version\": 1, \"hooks\": {  }}",
            "{\"hooks\": {\"stop\": []}}",
            "{\"hooks\": {\"stop\": [ ]}}",
            "{\"hooks\": { \"stop\": [ { \"command\": \"mine\" } ] }}",
            "{\n  \"version\": 1.50,\n  \"hooks\": {\n    \"stop\": [\n      {\"command\": \"mine\"}\n    ],\n    \"start\": []\n  }\n}\n",
            "{\"a\": \"{[\\\"\", \"hooks\": {\"other\": [1], \"st\\u006fp\": [\"]\", {\"command\": \"x\"}]}, \"n\": 12345678901234567890123}",
            "{\"hooks\": {\"stop\": [1]}, \"hooks\": {\"start\": [2], \"start\": [3]}}",
        ] {
            let new = put_in(theirs);
            assert_eq!(taken_out(&new), theirs, "{new}");
        }
    }

    #[test]
    fn what_is_written_meanwhile_stays() {
        // In what was made for ours, before and behind them.
        let new = put_in("{}");
        let stop = r#"{"command":"ao 'it' stop"}"#;
        let more = new
            .replace(stop, &format!("{stop}, 7"))
            .replace("\"stop\"", "\"more\": [8], \"stop\"");
        let old = taken_out(&more);
        assert_eq!(old, r#"{"version": 1, "hooks": { "more": [8], "stop": [ 7 ] }}"#);
        // By a program that writes the whole of it anew.
        let theirs = "{\"version\": 1, \"hooks\": {\"stop\": [{\"command\": \"mine\"}]}}";
        let read: Value = serde_json::from_str(&put_in(theirs)).unwrap();
        let pretty = serde_json::to_string_pretty(&read).unwrap();
        let old: Value = serde_json::from_str(&taken_out(&pretty)).unwrap();
        let hooks = serde_json::json!({"start": [], "stop": [{"command": "mine"}]});
        assert_eq!(old, serde_json::json!({"version": 1, "hooks": hooks}));
    }

    /// An event more than there was, as after an update of ours: it goes with the others.
    #[test]
    fn one_more_is_put_beside_the_others_and_goes_with_them() {
        for theirs in ["{}", "{\"hooks\": { \"a\": [] }}"] {
            let before = with(theirs, BESIDE, "hooks", &ours()[1..]).unwrap().unwrap();
            assert_eq!(taken_out(&put_in(&before)), theirs);
        }
    }

    #[test]
    fn what_does_not_read_is_refused() {
        for broken in [
            "",
            "[]",
            "{",
            "{} x",
            "{\"hooks\": 7}",
            "{\"hooks\": {\"stop\": {}}}",
        ] {
            assert!(with(broken, BESIDE, "hooks", &ours()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_file_of_ours_alone_is_known_by_its_text() {
        let made = made(BESIDE, "hooks", &ours());
        assert_eq!(with(&made, BESIDE, "hooks", &ours()).unwrap(), None);
        assert_ne!(put_in("{ \"version\": 1 }\n"), made);
        assert_eq!(taken_out(&made), "{ \"version\": 1 }\n");
    }
}
