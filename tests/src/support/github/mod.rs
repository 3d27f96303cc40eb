//! GitHub, for tests, on loopback only: pull requests and checks that a test sets, asked for over REST and GraphQL.
//!
//! ```text
//! use ao_tests::github::{Check, GitHub, Pull};
//!
//! let github = GitHub::start(|| 1_750_000_000_000);
//! github.token("t0", "octocat").repository("acme/web");
//! let number = github.open_pr("acme/web", Pull::of("ao/web-1", &"a".repeat(40)));
//! let check = github.check("acme/web", &"a".repeat(40), Check::job("test"));
//! github.finish(check, "FAILURE");
//! // … let the client look at `github.url()` …
//! assert!(github.requests().iter().all(|request| request.authorized), "{number}");
//! ```
//!
//! REST is at the root and under `/api/v3`, GraphQL at `/graphql` and `/api/graphql`. Logs are at another port, and a token that
//! is sent there fails the test (see [`GitHub::leaks`]). Time is what the test's clock says.
//!
//! # What it is true to
//! Documents are checked against a part of the published schema (`schema.graphql`): names, arguments, enums, fragments. Costs
//! are counted by the published formula, from the document alone. Each token has its own budgets, and its own ETags.
//!
//! # What is made up
//! Nobody says what GitHub does here, so nothing should lean on it: a document that is refused costs one point; the request
//! that crosses a limit is still answered; a window begins with its first request; REST without a token is 401 even where
//! anybody may read; the state of a rollup is success, pending or failure and never error or expected. There is no git: a head
//! moves by [`push`](GitHub::push) or as a bare repository's does ([`follow`](GitHub::follow)), and nothing is ever merged.

mod arguments;
mod budget;
mod check;
mod cost;
mod document;
mod fault;
mod fields;
mod graphql;
mod interface;
mod make;
mod pull;
mod record;
mod refusal;
mod rest;
mod runs;
mod schema;
mod serve;
mod state;
mod wire;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub use budget::{Resource, Stand};
pub use check::{Annotation, Check, Log, Step};
pub use fault::{Fault, Where};
pub use pull::{GHOST, Home, Pull};
pub use record::{Request, Side};
pub use refusal::Refusal;

use fault::Due;
use serve::{Shared, accept};

/// The stand-in. It ends when it is dropped.
///
/// Setters panic where a test names something that was not made, or a word that GitHub does not have.
pub struct GitHub {
    shared: Arc<Shared>,
}

impl GitHub {
    /// Listens on two free ports of 127.0.0.1. `clock` says how late it is, in unix milliseconds.
    pub fn start(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let (api, logs) = (listen(), listen());
        let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::new(Box::new(clock), port(&api), port(&logs)));
        for (listener, is_logs) in [(api, false), (logs, true)] {
            let shared = shared.clone();
            std::thread::spawn(move || accept(&listener, &shared, is_logs));
        }
        Self { shared }
    }

    /// The same, by the clock of this machine.
    pub fn now() -> Self {
        Self::start(|| jiff::Timestamp::now().as_millisecond())
    }

    /// Where it is, without a slash at the end: REST at its root, GraphQL at `/graphql`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The same as `host:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.shared.port)
    }

    /// Lets somebody in, with 5,000 points an hour for either interface.
    pub fn token(&self, token: &str, login: &str) -> &Self {
        let made = budget::Token::of(login);
        self.shared.lock().state.tokens.insert(token.to_owned(), made);
        self
    }

    /// Lets nobody in any more who brings this token: 401.
    pub fn revoke(&self, token: &str) {
        self.shared.lock().state.tokens.remove(token);
    }

    /// Shows a repository to a token no more. [`allow`](Self::allow) takes it back.
    pub fn refuse(&self, token: &str, repository: &str, refusal: Refusal) {
        let mut inner = self.shared.lock();
        inner
            .state
            .token(token)
            .refused
            .insert(repository.to_lowercase(), refusal);
    }

    /// Shows it again.
    pub fn allow(&self, token: &str, repository: &str) {
        let mut inner = self.shared.lock();
        inner
            .state
            .token(token)
            .refused
            .remove(&repository.to_lowercase());
    }

    /// Points an hour for a token from now on.
    pub fn limit(&self, token: &str, resource: Resource, points: u64) {
        self.shared.lock().state.token(token).budget(resource).limit = points;
    }

    /// Takes points as another user of the token would.
    pub fn spend(&self, token: &str, resource: Resource, points: u64) {
        let now = self.shared.now();
        self.shared
            .lock()
            .state
            .token(token)
            .budget(resource)
            .spend(now, points);
    }

    /// How a budget stands.
    pub fn stand(&self, token: &str, resource: Resource) -> Stand {
        let now = self.shared.now();
        self.shared.lock().state.token(token).budget(resource).stand(now)
    }

    /// What requests took of it, in all windows together; what [`spend`](Self::spend) took is not in it.
    pub fn charged(&self, token: &str, resource: Resource) -> u64 {
        self.shared.lock().state.token(token).budget(resource).charged
    }

    /// Lets this happen to the next `times` such requests. Of several faults that fit, the oldest comes first.
    pub fn fault(&self, requests: Where, fault: Fault, times: u64) {
        assert!(times > 0, "a fault that never happens");
        let left = Some(times);
        self.shared.lock().faults.push(Due {
            requests,
            fault,
            left,
        });
    }

    /// Lets this happen until [`clear_faults`](Self::clear_faults).
    pub fn fault_on(&self, requests: Where, fault: Fault) {
        let left = None;
        self.shared.lock().faults.push(Due {
            requests,
            fault,
            left,
        });
    }

    /// Takes back all faults that are still to come. Requests that hang go on hanging.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Sends the answers that [`Fault::Hold`] kept.
    pub fn release(&self) {
        self.shared.lock().releases += 1;
    }

    /// Gives up, with this status, on documents that ask for more pull requests than so many; `None` for on none.
    pub fn gives_up_above(&self, pulls: Option<usize>, status: u16) {
        self.shared.lock().gateway = pulls.map(|pulls| (pulls, status));
    }

    /// All requests so far, in the order they came in.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The same; the next call begins after them.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.lock().requests)
    }

    /// Waits until the requests are as wanted; `false` when they are not in time.
    #[must_use]
    pub fn until(&self, within: Duration, wanted: impl Fn(&[Request]) -> bool) -> bool {
        self.shared.until(within, wanted)
    }

    /// The downloads of logs that came with a token, which should be none. Who does not take them fails when the stand-in is
    /// dropped.
    pub fn leaks(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.lock().leaks)
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.shared.end();
        for port in [self.shared.port, self.shared.logs] {
            // Wakes the one that waits for a connection.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
        if !std::thread::panicking() {
            let leaks = self.leaks();
            assert!(
                leaks.is_empty(),
                "a token was sent to the host of the logs: {leaks:#?}"
            );
        }
    }
}
