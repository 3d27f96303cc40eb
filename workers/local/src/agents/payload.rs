//! What an agent writes to a hook of ours: an object in JSON, which may have been cut.

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};

/// The members of the object that `text` is; of one that was cut, those that stand whole before the cut. What a tool is given or has
/// answered is often long, and stands behind its name.
pub(super) fn read(text: &str) -> Value {
    let mut members = Map::new();
    // What stands behind the members that were read is nothing to us.
    let _ = serde_json::Deserializer::from_str(text).deserialize_map(Members(&mut members));
    Value::Object(members)
}

struct Members<'a>(&'a mut Map<String, Value>);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            self.0.insert(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_payload_that_was_cut_what_stands_before_the_cut_is_read() {
        let (named, given) = (
            r#"{"session_id":"n-1","tool_name":"Write""#,
            r#","tool_input":{"content":"\u00e4\n\n"}}"#,
        );
        let text = format!("{named}{given}");
        let tool = json!({"session_id": "n-1", "tool_name": "Write"});
        let mut whole = tool.clone();
        whole["tool_input"] = json!({"content": "\u{e4}\n\n"});
        assert_eq!(read(&text), whole);
        for end in named.len()..text.len() - 1 {
            assert_eq!(read(&text[..end]), tool, "{end}");
        }
        for none in ["", "null", "[1]", "\"x\"", "{", "x{\"a\":1}"] {
            assert_eq!(read(none), json!({}), "{none}");
        }
    }
}
