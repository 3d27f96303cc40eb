//! A host that says what it was told to say, for tests.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use crate::host::Hosts;
use crate::wire::{Patience, Wire};
use crate::{GitHub, Token};

/// Gives `answers` one after the other, a connection each, and then what it was asked. One that is empty is held back until the
/// asker leaves.
pub(crate) fn saying(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let at_too = at.clone();
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            asked.push(question(&mut stream));
            if answer.is_empty() {
                let _ = stream.read(&mut [0]); // until it is closed there
            }
            let _ = stream.write_all(answer.replace("$HERE", &at_too).as_bytes()); // it may have left before the end
        }
        asked
    });
    (at, asked)
}

fn question(stream: &mut TcpStream) -> String {
    let (mut asked, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&asked).to_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok())
                .unwrap_or(0);
            if asked.len() >= end + 4 + length {
                return String::from_utf8(asked).unwrap();
            }
        }
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the question was cut: {text}");
        asked.extend_from_slice(&piece[..count]);
    }
}

/// An answer of `status` with these headers, each with its line's end.
pub(crate) fn answer(status: u16, heads: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{heads}\r\n{body}",
        body.len()
    )
}

/// Variables under which `github.com` is at `at`.
pub(crate) fn env(at: &str) -> Vec<(String, String)> {
    vec![
        ("AO_GITHUB_HOSTS".to_owned(), format!("github.com={at}")),
        ("AO_GITHUB_TOKEN".to_owned(), "t0ken".to_owned()),
    ]
}

/// A line to `github.com` at `at`.
pub(crate) async fn line(at: &str) -> Box<dyn ao_domain::port::forge::Line> {
    use ao_domain::port::forge::Forge as _;
    GitHub::new(env(at)).unwrap().line("github.com").await.unwrap()
}

/// A wire to `github.com` at `at`, where nobody waits for long.
pub(crate) async fn impatient(at: &str) -> Wire {
    let env = env(at);
    let host = Hosts::read(&env).unwrap().get("github.com").unwrap();
    let token = Token::find("github.com", &env).await.unwrap();
    let patience = Patience {
        question: Duration::from_millis(200),
        log: Duration::from_millis(200),
        ..Patience::USUAL
    };
    Wire::new(host, &token, patience).unwrap()
}

/// A wire to `github.com` at `at`.
pub(crate) async fn wire(at: &str) -> Wire {
    let env = env(at);
    let host = Hosts::read(&env).unwrap().get("github.com").unwrap();
    let token = Token::find("github.com", &env).await.unwrap();
    Wire::new(host, &token, Patience::USUAL).unwrap()
}

/// Any JSON, with keys that look like `names`.
pub(crate) fn any_json(names: &'static str) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[A-Za-z_ 0-9:é-]{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(names, inner, 0..5)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}
