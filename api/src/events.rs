//! Server-sent events from the change log, page by page at the speed of the client.
//!
//! The stream holds a cursor and nothing else. It reads the next page when the connection has room for it, so
//! a slow client is neither thinned nor buffered; one that takes nothing at all is cut off by the server's
//! stall limit.

use std::convert::Infallible;
use std::time::Duration;

use ao_facts::{Change, Page, Subscription};
use ao_supervisor::{Events, Heard};
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::Response;
use futures_util::stream;

use crate::Api;
use crate::wire::{Event, TreeEvent, TreeLagged};

/// How long a stream is silent at most: a connection whose client is gone is found out by writing to it.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct Follower {
    api: Api,
    changes: Subscription,
    /// What happens in the tree from now on; it is not kept, so there is nothing to go on from. Gone with the tree.
    tree: Option<Events>,
    at: At,
}

enum At {
    Begin,
    Following,
    End,
}

/// The log after number `after`, as an answer that ends when the daemon stops.
/// With `tree`, what happens in the supervision tree besides.
pub(crate) fn stream(api: &Api, after: i64, tree: bool) -> Response {
    let follower = Follower {
        api: api.clone(),
        changes: api.feed.subscribe(after),
        tree: tree.then(|| api.tree.events()),
        at: At::Begin,
    };
    let frames = stream::unfold(follower, |mut follower| async {
        let frames = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(frames)), follower))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

impl Follower {
    async fn next(&mut self) -> Option<String> {
        match self.at {
            At::Begin => {
                self.at = At::Following;
                // A browser that was cut off comes back after a second.
                return Some("retry: 1000\n\n".to_owned());
            }
            At::Following => {}
            At::End => return None,
        }
        tokio::select! {
            biased;
            () = self.api.stage.stopping() => {
                self.at = At::End;
                Some(frame(None, "bye", r#"{"reason":"stopping"}"#))
            }
            page = self.changes.next() => match page {
                Ok(Page::Changes(changes)) => Some(changes.into_iter().map(event).collect()),
                Ok(Page::Reset { head }) => {
                    self.at = At::End;
                    // Its id is what a browser that comes back by itself goes on from.
                    let floor = self.api.reader.floor_seq().await.unwrap_or(head);
                    Some(frame(Some(head), "reset", &format!(r#"{{"floor":{floor},"head":{head}}}"#)))
                }
                Err(error) => {
                    self.at = At::End;
                    tracing::error!(error = &error as &dyn std::error::Error, "the change log does not read");
                    Some(frame(None, "bye", r#"{"reason":"the change log does not read: the daemon's log says why"}"#))
                }
            },
            heard = heard(&mut self.tree) => Some(match heard {
                Heard::Event(event) => frame(None, "tree", &told(&TreeEvent::from(&event))),
                Heard::Lagged(missed) => frame(None, "tree_lagged", &told(&TreeLagged { missed })),
            }),
            () = tokio::time::sleep(HEARTBEAT) => Some(":\n\n".to_owned()),
        }
    }
}

/// What happens next in the tree; never, once it has ended. Cancel safe.
async fn heard(events: &mut Option<Events>) -> Heard {
    if let Some(tree) = events {
        match tree.next().await {
            Some(heard) => return heard,
            None => *events = None,
        }
    }
    std::future::pending().await
}

/// A type of only texts and numbers.
fn told(event: &impl serde::Serialize) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

fn event(change: Change) -> String {
    let (seq, name) = (change.seq, change.event_type.clone());
    let event = Event {
        seq,
        project_id: change.project.to_string(),
        session_id: change.session.map(String::from),
        kind: change.event_type,
        payload: change.payload,
        created_at: change.at,
    };
    frame(Some(seq), &name, &told(&event))
}

fn frame(id: Option<i64>, event: &str, data: &str) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let event = event.replace(['\r', '\n'], "_");
    format!("{id}event: {event}\ndata: {data}\n\n")
}
