//! What can go wrong on the way.

use serde_json::json;

use super::check::Log;
use super::record::Side;
use super::wire::{Body, Reply};

/// What happens to a request instead of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A secondary limit, as 403 or 429; with or without a time to come again, in seconds.
    Secondary {
        /// 403 or 429.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// A status of the 5xx; 502 has a page of HTML, as GitHub's has.
    Status(u16),
    /// It is answered and charged, but the answer stays here until [`GitHub::release`](super::GitHub::release).
    Hold,
    /// It is answered and charged, but nothing ever comes and the connection stays open.
    Hang,
    /// It is answered and charged, but the connection ends before the first byte.
    Cut,
    /// It is answered and charged, but the connection ends in the middle of the body.
    CutInBody,
    /// 200 with a body that is no JSON.
    Garbage,
    /// 200 with JSON of at least so many bytes, made as they are sent.
    Huge(u64),
    /// GitHub gave up on it, with this status: 502 or 504. It costs what an answer would.
    Timeout(u16),
    /// Any other answer: its status, its headers, its body.
    Answer(u16, Vec<(&'static str, String)>, String),
}

impl Fault {
    /// What is sent; `None` for those that are about how it is sent.
    pub(super) fn reply(&self) -> Option<Reply> {
        match self {
            Self::Secondary { status, retry_after } => {
                let reply = Reply::refusal(
                    *status,
                    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                );
                Some(match retry_after {
                    Some(seconds) => reply.with("retry-after", &seconds),
                    None => reply,
                })
            }
            Self::Status(502) => Some(Reply::html(
                502,
                "<html>\n<head><title>Unicorn! &middot; GitHub</title></head>\n<body>This page is taking too long to load.</body>\n</html>\n",
            )),
            Self::Status(status) => Some(Reply::refusal(*status, "Server Error")),
            Self::Garbage => {
                let bytes = b"\xff\xfe<!-- not what you asked for -->".to_vec();
                Some(Reply::of(
                    200,
                    "application/json; charset=utf-8",
                    Body::Bytes(bytes),
                ))
            }
            Self::Huge(bytes) => {
                let mut log = Log::long(&"a".repeat(64), *bytes, "\"}}");
                log.head = "{\"data\":{\"filler\":\"".to_owned();
                Some(Reply::of(200, "application/json; charset=utf-8", Body::Log(log)))
            }
            Self::Timeout(status) => {
                let message = "We couldn't respond to your request in time. Sorry about that. Please try resubmitting \
                     your request and contact us if the problem persists.";
                Some(Reply::json(*status, &json!({"message": message})))
            }
            Self::Answer(status, headers, body) => {
                let mut reply = Reply::json(*status, &json!(null));
                reply.headers.extend(headers.iter().cloned());
                reply.body = Body::Bytes(body.clone().into_bytes());
                Some(reply)
            }
            Self::Hold | Self::Hang | Self::Cut | Self::CutInBody => None,
        }
    }
}

/// Which requests a fault is for.
#[derive(Clone, Debug)]
pub enum Where {
    /// Those of both interfaces.
    All,
    /// GraphQL.
    Graphql,
    /// REST.
    Rest,
    /// Those with this in their path or query, downloads of logs among them.
    Path(String),
    /// Those to GraphQL about pull requests, the one with this number among them.
    Pull(u64),
}

impl Where {
    fn fits(&self, side: Side, target: &str, pulls: &[u64]) -> bool {
        match self {
            Self::All => side != Side::Logs,
            Self::Graphql => side == Side::Graphql,
            Self::Rest => side == Side::Rest,
            Self::Path(part) => target.contains(part.as_str()),
            Self::Pull(number) => pulls.contains(number),
        }
    }
}

/// A fault that waits for its requests.
pub(super) struct Due {
    pub(super) requests: Where,
    pub(super) fault: Fault,
    /// How many are still to come; `None` where only [`GitHub::clear_faults`](super::GitHub::clear_faults) ends it.
    pub(super) left: Option<u64>,
}

/// The oldest fault that is for such a request; it is one request nearer to its end.
pub(super) fn take(due: &mut Vec<Due>, side: Side, target: &str, pulls: &[u64]) -> Option<Fault> {
    let at = due
        .iter()
        .position(|due| due.requests.fits(side, target, pulls))?;
    let fault = due[at].fault.clone();
    if let Some(left) = &mut due[at].left {
        *left -= 1;
        if *left == 0 {
            due.remove(at);
        }
    }
    Some(fault)
}
