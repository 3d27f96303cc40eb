//! Each protocol is asked as an agent asks, over its own connection.

use std::io::{Read as _, Write as _};

use super::*;

/// What is answered to `body` at `path`: the status, and the text of the answer.
fn ask(model: &Model, path: &str, body: &Value) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, model.port)).unwrap();
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

/// The same conversation in each protocol: a text, and after it so many results of tools.
fn conversation(protocol: Protocol, text: &str, results: usize) -> (&'static str, Value) {
    let schema =
        json!({"type": "object", "required": ["command"], "properties": {"command": {"type": "string"}}});
    let user = json!({"role": "user", "content": text});
    let mut messages = vec![user];
    match protocol {
        Protocol::Messages => {
            for _ in 0..results {
                messages
                    .push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}));
            }
            let tools = json!([{"name": "Bash", "input_schema": schema}]);
            (
                "/v1/messages",
                json!({"model": "m", "stream": true, "messages": messages, "tools": tools}),
            )
        }
        Protocol::Responses => {
            for _ in 0..results {
                messages.push(json!({"type": "function_call_output", "call_id": "x", "output": "done"}));
            }
            let tools = json!([{"type": "function", "name": "exec_command", "parameters": schema}]);
            (
                "/v1/responses",
                json!({"model": "m", "stream": true, "input": messages, "tools": tools}),
            )
        }
        Protocol::Chat => {
            for _ in 0..results {
                messages.push(json!({"role": "tool", "tool_call_id": "x", "content": "done"}));
            }
            let tools = json!([{"type": "function", "function": {"name": "bash", "parameters": schema}}]);
            (
                "/v1/chat/completions",
                json!({"model": "m", "stream": true, "messages": messages, "tools": tools}),
            )
        }
    }
}

const ALL: [(Protocol, &str, &str); 3] = [
    (Protocol::Messages, "tool Bash", "message_stop"),
    (Protocol::Responses, "tool exec_command", "response.completed"),
    (Protocol::Chat, "tool bash", "[DONE]"),
];

#[test]
fn each_protocol_calls_a_tool_and_goes_on_after_its_result() {
    for (protocol, tool, end) in ALL {
        let model = Model::start();
        let text = "do it\nSTUB: run echo one\nSTUB: say finished";
        for (results, expected) in [(0, tool), (1, "text")] {
            let (path, body) = conversation(protocol, text, results);
            let (status, answer) = ask(&model, path, &body);
            assert_eq!(status, 200, "{protocol:?}");
            assert!(answer.contains(end), "{protocol:?} {answer}");
            assert_eq!(answer.contains("echo one"), results == 0, "{protocol:?} {answer}");
            assert_eq!(answer.contains("finished"), results == 1, "{protocol:?} {answer}");
            let asked = model.asked().pop().unwrap();
            assert_eq!((asked.answer.as_str(), asked.results), (expected, results));
        }
        assert_eq!(model.turns_with("do it"), 1, "{protocol:?}");
    }
}

#[test]
fn each_protocol_refuses_in_its_own_words() {
    for (protocol, word) in [
        (Protocol::Messages, "rate_limit_error"),
        (Protocol::Responses, "usage_limit_reached"),
        (Protocol::Chat, "insufficient_quota"),
    ] {
        let model = Model::start();
        let (path, body) = conversation(protocol, "STUB: wall", 0);
        let (status, answer) = ask(&model, path, &body);
        assert_eq!(status, 429);
        assert!(
            answer.contains(word) && answer.contains("retry-after: 10800"),
            "{answer}"
        );
        assert_eq!(
            answer.contains("anthropic-ratelimit-unified-status: rejected"),
            protocol == Protocol::Messages,
            "{answer}"
        );
        let (path, body) = conversation(protocol, "STUB: wall 1\nSTUB: say over", 0);
        let mut refused = 0;
        let said = loop {
            let (status, answer) = ask(&model, path, &body);
            if status == 200 {
                break answer;
            }
            refused += 1;
            std::thread::park_timeout(Duration::from_millis(50));
        };
        assert!(refused > 0 && said.contains("over"), "{refused}: {said}");
        let (path, body) = conversation(protocol, "STUB: error 529\nSTUB: say after", 0);
        assert_eq!(ask(&model, path, &body).0, 529);
        let (status, answer) = ask(&model, path, &body);
        assert!(status == 200 && answer.contains("after"), "{answer}");
    }
}

/// An agent that asks about a turn that was, for its own ends, begins none.
#[test]
fn what_an_agent_asks_for_itself_is_no_turn() {
    let model = Model::start();
    let (path, mut body) = conversation(Protocol::Chat, "<user_query>do it</user_query>", 0);
    ask(&model, path, &body);
    let recap = json!({"role": "user", "content": "<system-reminder>Write a recap</system-reminder>"});
    // Behind a text of the user's it is a word about that, behind an answer it is asked for itself.
    body["messages"].as_array_mut().unwrap().push(recap.clone());
    ask(&model, path, &body);
    let answer = json!({"role": "assistant", "content": "done"});
    body["messages"].as_array_mut().unwrap().extend([answer, recap]);
    ask(&model, path, &body);
    let (path, mut body) = conversation(Protocol::Chat, "do it", 0);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "bash"}});
    ask(&model, path, &body);
    assert_eq!((model.asked().len(), model.turns_with("do it")), (4, 2));
    assert_eq!(model.asked()[0].text, "do it");
}
