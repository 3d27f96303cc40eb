//! OpenAI's Chat Completions.

use std::io;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::asked::{Entry, Request, Tool, list, texts};
use super::http::{Stream, whole};
use super::plan::Plan;
use super::{Shared, pieces};

pub(super) fn read(body: &Value) -> Request {
    let entries = list(&body["messages"]).iter().map(|message| Entry {
        is_user: message["role"] == "user",
        texts: texts(&message["content"]),
        results: usize::from(message["role"] == "tool"),
    });
    let tools = list(&body["tools"]).iter().map(|tool| &tool["function"]);
    let tools = tools.map(|tool| Tool::of(&tool["name"], &tool["parameters"]));
    let mut request = Request::of(
        body,
        entries,
        tools,
        &body["response_format"]["json_schema"]["schema"],
    );
    // A tool that must be called is the form of an answer to the agent itself.
    request.aside |= body["tool_choice"].is_object();
    request
}

pub(super) fn answer(stream: &TcpStream, shared: &Shared, asked: &Request, plan: &Plan) -> io::Result<()> {
    let finish = if plan.call.is_some() { "tool_calls" } else { "stop" };
    let usage = json!({"prompt_tokens": 42, "completion_tokens": 7, "total_tokens": 49});
    let calls = plan.call.as_ref().map(|(name, input)| {
        json!([{"index": 0, "id": shared.id("call"), "type": "function",
            "function": {"name": name, "arguments": input.to_string()}}])
    });
    let id = shared.id("chatcmpl");
    let of = |object: &str, choices: Value| json!({"id": id, "object": object, "created": 1, "model": asked.model, "choices": choices});
    if !asked.streams {
        let mut message = json!({"role": "assistant", "content": plan.said});
        if let Some(calls) = calls {
            message["tool_calls"] = calls;
        }
        let choice = json!([{"index": 0, "message": message, "finish_reason": finish}]);
        let mut one = of("chat.completion", choice);
        one["usage"] = usage;
        return whole(stream, 200, &one);
    }
    let mut out = Stream::begin(stream)?;
    let mut event = |delta: Value, finish: Option<&str>| {
        let choice = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        out.event(None, &of("chat.completion.chunk", choice).to_string())
    };
    event(json!({"role": "assistant", "content": ""}), None)?;
    pieces(shared, plan, |piece| event(json!({"content": piece}), None))?;
    if let Some(calls) = calls {
        event(json!({"tool_calls": calls}), None)?;
    }
    event(json!({}), Some(finish))?;
    let mut last = of("chat.completion.chunk", json!([]));
    last["usage"] = usage;
    out.event(None, &last.to_string())?;
    out.event(None, "[DONE]")?;
    out.end()
}
