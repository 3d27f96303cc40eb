//! Anthropic's Messages.

use std::io;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::asked::{Entry, Request, Tool, list, texts};
use super::http::{Stream, whole};
use super::plan::Plan;
use super::{Shared, pieces};

pub(super) fn read(body: &Value) -> Request {
    let is_result = |part: &&Value| part["type"] == "tool_result";
    let entries = list(&body["messages"]).iter().map(|message| Entry {
        is_user: message["role"] == "user",
        texts: texts(&message["content"]),
        results: list(&message["content"]).iter().filter(is_result).count(),
    });
    let tools = list(&body["tools"]).iter();
    let tools = tools.map(|tool| Tool::of(&tool["name"], &tool["input_schema"]));
    let places = [
        &body["output_config"]["format"]["schema"],
        &body["output_format"]["schema"],
    ];
    let schema = places.into_iter().find(|schema| schema.is_object());
    Request {
        // Reminders come as messages of their own, in the middle of a turn as well.
        aside: false,
        ..Request::of(body, entries, tools, schema.unwrap_or(&Value::Null))
    }
}

pub(super) fn answer(stream: &TcpStream, shared: &Shared, asked: &Request, plan: &Plan) -> io::Result<()> {
    let stop = if plan.call.is_some() {
        "tool_use"
    } else {
        "end_turn"
    };
    let usage = json!({"input_tokens": 42, "output_tokens": 7, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0});
    let call = plan
        .call
        .as_ref()
        .map(|(name, input)| (shared.id("toolu"), name, input));
    let message = |content: Value, stop: Value| {
        json!({"id": shared.id("msg"), "type": "message", "role": "assistant", "model": asked.model,
            "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage})
    };
    if !asked.streams {
        let mut content = vec![json!({"type": "text", "text": plan.said})];
        if let Some((id, name, input)) = call {
            content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
        }
        return whole(stream, 200, &message(json!(content), json!(stop)));
    }
    let mut out = Stream::begin(stream)?;
    let mut event = |name: &str, mut value: Value| {
        value["type"] = json!(name);
        out.event(Some(name), &value.to_string())
    };
    event(
        "message_start",
        json!({"message": message(json!([]), Value::Null)}),
    )?;
    let text_block = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
    event("content_block_start", text_block)?;
    pieces(shared, plan, |piece| {
        let delta = json!({"index": 0, "delta": {"type": "text_delta", "text": piece}});
        event("content_block_delta", delta)
    })?;
    event("content_block_stop", json!({"index": 0}))?;
    if let Some((id, name, input)) = call {
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        event("content_block_start", json!({"index": 1, "content_block": block}))?;
        let piece = json!({"type": "input_json_delta", "partial_json": input.to_string()});
        event("content_block_delta", json!({"index": 1, "delta": piece}))?;
        event("content_block_stop", json!({"index": 1}))?;
    }
    let last = json!({"delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 7}});
    event("message_delta", last)?;
    event("message_stop", json!({}))?;
    out.end()
}
