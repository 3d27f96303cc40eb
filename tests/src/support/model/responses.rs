//! OpenAI's Responses.

use std::io;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::asked::{Entry, Request, Tool, list, texts};
use super::http::{Stream, whole};
use super::plan::Plan;
use super::{Shared, pieces};

pub(super) fn read(body: &Value) -> Request {
    let is_result = |item: &Value| {
        item["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("_output"))
    };
    // One text alone is a message of the user.
    let one = body["input"]
        .is_string()
        .then(|| json!({"role": "user", "content": body["input"]}));
    let items = one.as_ref().map_or(list(&body["input"]), std::slice::from_ref);
    let entries = items.iter().map(|item| Entry {
        is_user: item["role"] == "user",
        texts: texts(&item["content"]),
        results: usize::from(is_result(item)),
    });
    let tools = list(&body["tools"])
        .iter()
        .filter(|tool| tool["type"] == "function");
    let tools = tools.map(|tool| Tool::of(&tool["name"], &tool["parameters"]));
    Request {
        // What surrounds a turn comes as messages of their own.
        aside: false,
        ..Request::of(body, entries, tools, &body["text"]["format"]["schema"])
    }
}

pub(super) fn answer(stream: &TcpStream, shared: &Shared, asked: &Request, plan: &Plan) -> io::Result<()> {
    let usage = json!({"input_tokens": 42, "output_tokens": 7, "total_tokens": 49,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}});
    let (id, message) = (shared.id("resp"), shared.id("msg"));
    let response = |status: &str, output: Value| {
        json!({"id": id, "object": "response", "created_at": 1, "model": asked.model, "status": status, "output": output,
            "error": null, "incomplete_details": null, "parallel_tool_calls": false, "tool_choice": "auto", "tools": [],
            "metadata": {}, "usage": if status == "completed" { usage.clone() } else { Value::Null }})
    };
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let said = |status: &str, content: Value| json!({"type": "message", "id": message, "role": "assistant", "status": status, "content": content});
    let call = plan.call.as_ref().map(|(name, input)| {
        json!({"type": "function_call", "id": shared.id("fc"), "call_id": shared.id("call"), "name": name,
            "arguments": input.to_string(), "status": "completed"})
    });
    if !asked.streams {
        let output: Vec<Value> = [said("completed", json!([part(&plan.said)]))]
            .into_iter()
            .chain(call)
            .collect();
        return whole(stream, 200, &response("completed", json!(output)));
    }
    let (mut out, mut number) = (Stream::begin(stream)?, 0);
    let mut event = |name: &str, mut value: Value| {
        value["type"] = json!(name);
        value["sequence_number"] = json!(number);
        number += 1;
        out.event(Some(name), &value.to_string())
    };
    event(
        "response.created",
        json!({"response": response("in_progress", json!([]))}),
    )?;
    let begun = json!({"output_index": 0, "item": said("in_progress", json!([]))});
    event("response.output_item.added", begun)?;
    let place = |more: Value| {
        let mut value = json!({"item_id": message, "output_index": 0, "content_index": 0});
        for (key, one) in more.as_object().into_iter().flatten() {
            value[key] = one.clone();
        }
        value
    };
    event("response.content_part.added", place(json!({"part": part("")})))?;
    let mut whole_text = String::new();
    pieces(shared, plan, |piece| {
        whole_text.push_str(piece);
        event("response.output_text.delta", place(json!({"delta": piece})))
    })?;
    event("response.output_text.done", place(json!({"text": whole_text})))?;
    event(
        "response.content_part.done",
        place(json!({"part": part(&whole_text)})),
    )?;
    let spoken = said("completed", json!([part(&whole_text)]));
    event(
        "response.output_item.done",
        json!({"output_index": 0, "item": spoken}),
    )?;
    let mut output = vec![spoken];
    if let Some(item) = call {
        let mut begun = item.clone();
        (begun["status"], begun["arguments"]) = (json!("in_progress"), json!(""));
        event(
            "response.output_item.added",
            json!({"output_index": 1, "item": begun}),
        )?;
        let of = |key: &str| json!({"item_id": item["id"], "output_index": 1, key: item["arguments"]});
        event("response.function_call_arguments.delta", of("delta"))?;
        event("response.function_call_arguments.done", of("arguments"))?;
        event(
            "response.output_item.done",
            json!({"output_index": 1, "item": item}),
        )?;
        output.push(item);
    }
    let last = json!({"response": response("completed", json!(output))});
    event("response.completed", last)?;
    out.end()
}
