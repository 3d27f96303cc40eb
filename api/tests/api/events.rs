//! The event stream: everything once and in order, whatever happens meanwhile.

use std::time::Duration;

use ao_api::Limits;
use ao_domain::SessionKind;
use ao_supervisor::Incarnation;
use serde_json::json;

use crate::support::{Line, Options, Stream, World, request, within};

#[tokio::test]
async fn the_log_is_replayed_and_followed() {
    let world = World::start().await;
    let web = world.project("web").await;
    let mut stream = Stream::open(world.port, "", &[]).await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.id, first.event.as_str()), (Some(1), "project_created"));
    let id = world.session(&web, SessionKind::Worker).await;
    let second = stream.next().await.unwrap();
    assert_eq!((second.id, second.event.as_str()), (Some(2), "session_created"));
    let event = second.json();
    assert_eq!(
        (&event["seq"], &event["type"]),
        (&json!(2), &json!("session_created"))
    );
    assert_eq!(
        (&event["projectId"], &event["sessionId"]),
        (&json!("web"), &json!("web-1"))
    );
    assert_eq!(
        (&event["payload"]["id"], &event["payload"]["isTerminated"]),
        (&json!("web-1"), &json!(false))
    );
    assert_eq!(event["createdAt"], world.now().to_string());
    world.bump(&id).await;
    assert_eq!(stream.next().await.unwrap().event, "session_updated");
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_others_write_and_the_client_comes_and_goes() {
    const CHANGES: i64 = 300;
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    world.burst(&id, 50).await; // so that there are pages of many, too
    let first = world.head().await;
    let write = async {
        for _ in 0..CHANGES {
            world.bump(&id).await;
        }
    };
    let read = async {
        let (mut seen, mut cursor) = (Vec::new(), 0);
        // Every third time by query, else as a browser comes back; each time after one event more than before.
        for round in 1.. {
            let mut stream = match round % 3 {
                0 => Stream::open(world.port, &format!("?after={cursor}"), &[("last-event-id", "0")]).await,
                _ => Stream::open(world.port, "", &[("last-event-id", &cursor.to_string())]).await,
            };
            for _ in 0..round {
                cursor = stream.next().await.unwrap().id.unwrap();
                seen.push(cursor);
                if cursor == first + CHANGES {
                    return seen;
                }
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(write, read);
    assert_eq!(seen, (1..=first + CHANGES).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_outlives_the_tail_that_wakes_it() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let after = world.head().await;
    let mut stream = Stream::open(world.port, &format!("?after={after}"), &[]).await;
    for number in 1..=5 {
        let crash = world.post("/api/v1/tree/crash", r#"{"path":"ao/feed"}"#).await;
        assert_eq!(crash.status, 200);
        world.bump(&id).await;
        assert_eq!(stream.next().await.unwrap().id, Some(after + number));
    }
}

#[tokio::test]
async fn a_cursor_below_the_floor_is_told_to_begin_anew() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    for _ in 0..20 {
        world.bump(&id).await;
    }
    world
        .store
        .prune_change_log(&Incarnation::detached(), 5)
        .await
        .unwrap();
    let (floor, head) = (
        world.store.reader().floor_seq().await.unwrap(),
        world.head().await,
    );
    assert!(floor > 0 && head - floor == 5, "{floor} {head}");
    for query in ["?after=0".to_owned(), format!("?after={}", floor - 1)] {
        let mut stream = Stream::open(world.port, &query, &[]).await;
        let reset = stream.next().await.unwrap();
        assert_eq!((reset.event.as_str(), reset.id), ("reset", Some(head)), "{query}");
        assert_eq!(reset.json(), json!({"floor": floor, "head": head}));
        assert_eq!(stream.next().await, None, "it ends");
    }
    for query in ["".to_owned(), format!("?after={floor}")] {
        let mut stream = Stream::open(world.port, &query, &[]).await;
        assert_eq!(
            stream.next().await.unwrap().id,
            Some(floor + 1),
            "{query:?}: all that is kept"
        );
    }
}

#[tokio::test]
async fn a_cursor_is_a_number_of_this_log() {
    let world = World::start().await;
    world.project("web").await;
    for cursor in ["2", "-1", "x", "", "1.5", "99999999999999999999"] {
        let asked = world.get(&format!("/api/v1/events?after={cursor}")).await;
        assert_eq!(asked.refused(), (400, "INVALID_AFTER".to_owned()), "{cursor:?}");
        let resumed = request("GET", "/api/v1/events")
            .header("last-event-id", cursor)
            .send(world.port)
            .await;
        assert_eq!(resumed.refused(), (400, "INVALID_AFTER".to_owned()), "{cursor:?}");
    }
    assert_eq!(
        world.get("/api/v1/events?since=1").await.refused(),
        (400, "INVALID_QUERY".to_owned())
    );
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off_and_disturbs_nobody() {
    let limits = Limits {
        stall: Duration::from_millis(200),
        ..Limits::usual()
    };
    let world = World::with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let mut reading = Stream::open(world.port, "", &[]).await;
    let mut lazy = Line::narrow(world.port).await;
    lazy.say(&request("GET", "/api/v1/events?after=0")).await;
    world.has_open(2).await;
    // More and more, until what the lazy one does not take stands in the way; all of it for the other.
    let (mut next, mut head) = (1, 0);
    within(async {
        while world.connections.open() > 1 || next <= head {
            world.burst(&id, 500).await;
            head = world.head().await;
            while next <= head {
                assert_eq!(reading.next().await.unwrap().id, Some(next));
                next += 1;
            }
        }
    })
    .await;
    assert!(
        head > 1_000,
        "{head}: the lazy one had room for that much at least"
    );
}
