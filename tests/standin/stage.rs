//! A stand-in with a clock that the test moves, and a client that does what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ao_tests::github::{GitHub, Pull};
use ao_tests::{Answer, Http};
use serde_json::{Value, json};

/// When every test begins: 2025-06-15T15:06:40Z.
pub(crate) const NOW: i64 = 1_750_000_000_000;
pub(crate) const HOUR: i64 = 3_600_000;
/// Only a broken test waits for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The stand-in, with the token `t0` of `octocat` and the repository `acme/web`.
pub(crate) struct Stage {
    pub(crate) github: GitHub,
    clock: Arc<AtomicI64>,
}

/// A commit of 40 times the same digit.
pub(crate) fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// What an answer says of a budget.
pub(crate) fn header(answer: &Answer, name: &str) -> i64 {
    let value = answer
        .header(name)
        .unwrap_or_else(|| panic!("no {name}: {:?}", answer.headers));
    value.parse().unwrap()
}

impl Stage {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let told = clock.clone();
        let github = GitHub::start(move || told.load(Ordering::SeqCst));
        github.token("t0", "octocat").repository("acme/web");
        Self { github, clock }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// Opens so many pull requests, from 1 on, each with a head of its own.
    pub(crate) fn open(&self, count: usize) {
        for number in 1..=count {
            let pull = Pull::of(&format!("ao/web-{number}"), &format!("{number:040}"));
            assert_eq!(self.github.open_pr("acme/web", pull), number as u64);
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.github
            .host()
            .split(':')
            .next_back()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Asks over a connection of its own.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        Http::connect(self.port(), PATIENCE)?.raw(method, path, headers, body)
    }

    pub(crate) fn get_as(&self, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend(headers);
        self.send("GET", path, &all, b"").unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_as("t0", path, &[])
    }

    /// A GET that only wants news.
    pub(crate) fn get_if_not(&self, path: &str, etag: &str) -> Answer {
        self.get_as("t0", path, &[("If-None-Match", etag)])
    }

    /// Asks GraphQL; whatever comes back.
    pub(crate) fn try_ask(&self, document: &str, variables: &Value) -> std::io::Result<Answer> {
        let body = json!({"query": document, "variables": variables}).to_string();
        self.send(
            "POST",
            "/graphql",
            &[("Authorization", "Bearer t0")],
            body.as_bytes(),
        )
    }

    /// Asks GraphQL and takes the answer apart.
    pub(crate) fn ask(&self, document: &str) -> Value {
        let answer = self.try_ask(document, &json!({})).unwrap();
        assert_eq!(answer.status, 200, "{document}");
        answer.json()
    }

    /// The data of an answer without errors.
    pub(crate) fn data(&self, document: &str) -> Value {
        let answer = self.ask(document);
        assert!(answer["errors"].is_null(), "{document}\n{:#}", answer["errors"]);
        answer["data"].clone()
    }

    /// Of pull request 1.
    pub(crate) fn pull(&self, fields: &str) -> Value {
        let document = format!(
            "{{ repository(owner: \"acme\", name: \"web\") {{ pullRequest(number: 1) {{ {fields} }} }} }}"
        );
        self.data(&document)["repository"]["pullRequest"].clone()
    }
}

/// A document with an alias for each of these pull requests, `p1`, `p2`, …
pub(crate) fn batch(numbers: impl IntoIterator<Item = usize>, fields: &str) -> String {
    let mut document = "query Batch { rateLimit { cost nodeCount limit remaining used resetAt }".to_owned();
    for number in numbers {
        document += &format!(
            "\np{number}: repository(owner: \"acme\", name: \"web\") {{ pullRequest(number: {number}) {{ {fields} }} }}"
        );
    }
    document + "\n}"
}
