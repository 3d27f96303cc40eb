//! Connections and who accepts them.

use std::time::{Duration, Instant};

use ao_api::Limits;
use ao_supervisor::State;
use serde_json::json;

use crate::support::{Line, Options, Stream, World, request, within};

async fn incarnation(world: &World, path: &str) -> Option<u64> {
    let snapshot = world.root.tree().snapshot();
    let node = snapshot.find(path).unwrap();
    (node.state == State::Running)
        .then_some(node.incarnation)
        .flatten()
}

#[tokio::test]
async fn crashing_acceptors_cut_nobody_off() {
    let world = World::start().await;
    let mut line = Line::connect(world.port).await;
    let mut stream = Stream::open(world.port, "", &[]).await;
    let health = request("GET", "/healthz");
    assert_eq!(line.ask(&health).await.status, 200);
    for round in 0..50 {
        for path in ["ao/api 1", "ao/api 2"] {
            let crash = request("POST", "/api/v1/tree/crash").json(&json!({"path": path}).to_string());
            assert_eq!(crash.send(world.port).await.status, 200, "round {round}");
        }
        assert_eq!(
            health.send(world.port).await.status,
            200,
            "round {round}: a new connection"
        );
        assert_eq!(line.ask(&health).await.status, 200, "round {round}: the old one");
    }
    world.project("web").await;
    assert_eq!(
        stream.next().await.unwrap().event,
        "project_created",
        "an event stream too"
    );
    assert!(
        world
            .root
            .tree()
            .snapshot()
            .find("ao/api 1")
            .unwrap()
            .restarts
            .total
            > 0
    );
}

#[tokio::test]
async fn a_hung_acceptor_delays_nobody_and_comes_back() {
    let world = World::start().await;
    let before = incarnation(&world, "ao/api 1").await;
    assert_eq!(
        world
            .post("/api/v1/tree/hang", r#"{"path":"ao/api 1"}"#)
            .await
            .status,
        200
    );
    let mut slowest = Duration::ZERO;
    within(async {
        while [None, before].contains(&incarnation(&world, "ao/api 1").await) {
            let begun = Instant::now();
            assert_eq!(world.get("/healthz").await.status, 200);
            slowest = slowest.max(begun.elapsed());
        }
    })
    .await;
    assert!(
        slowest < Duration::from_secs(1),
        "{slowest:?}, where finding the hang takes two seconds"
    );
}

#[tokio::test]
async fn connections_are_counted_and_one_too_many_is_closed() {
    let limits = Limits {
        connections: 2,
        ..Limits::usual()
    };
    let world = World::with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let health = request("GET", "/healthz");
    let (mut one, mut two) = (Line::connect(world.port).await, Line::connect(world.port).await);
    assert_eq!(
        (one.ask(&health).await.status, two.ask(&health).await.status),
        (200, 200)
    );
    assert!(Line::connect(world.port).await.is_closed().await);
    assert_eq!(one.ask(&health).await.status, 200);
    drop(one);
    world.has_open(1).await;
    assert_eq!(Line::connect(world.port).await.ask(&health).await.status, 200);
}

#[tokio::test]
async fn strangers_cannot_take_all_connections() {
    // Whoever comes first is a stranger, and all after them are us.
    fn first_is_a_stranger(_: std::net::SocketAddr, _: std::net::SocketAddr) -> std::io::Result<Option<u32>> {
        use std::sync::atomic::{AtomicBool, Ordering};
        static SEEN: AtomicBool = AtomicBool::new(false);
        let uid = rustix::process::getuid().as_raw();
        Ok(Some(if SEEN.swap(true, Ordering::SeqCst) {
            uid
        } else {
            uid + 1
        }))
    }
    let limits = Limits {
        strangers: 0,
        ..Limits::usual()
    };
    let world = World::with(Options {
        limits,
        uid_of: first_is_a_stranger,
        ..Options::default()
    })
    .await;
    assert!(Line::connect(world.port).await.is_closed().await);
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let limits = Limits {
        head: Duration::from_millis(100),
        ..Limits::usual()
    };
    let world = World::with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let mut line = Line::connect(world.port).await;
    line.say_raw("GET /healthz HTTP/1.1\r\nhost: ").await;
    assert!(line.is_closed().await);
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_cuts_what_does_not_end() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, ao_domain::SessionKind::Worker).await;
    let mut idle = Line::connect(world.port).await;
    assert_eq!(idle.ask(&request("GET", "/healthz")).await.status, 200);
    let kill = request("POST", "/api/v1/sessions/web-1/kill");
    let reader = world.store.reader();
    let (killed, cut) = tokio::join!(kill.send(world.port), async {
        let wanted = |session: &ao_domain::Session| session.desired == ao_domain::Desired::Stop;
        reader.until(&id, wanted, crate::support::SOON).await.unwrap();
        let drained = world.connections.drain(crate::support::SOON);
        let ended = async {
            // The drain is under way before the answer is there.
            assert!(idle.is_closed().await);
            world
                .step(&id, ao_domain::Phase::Ended, ao_facts::Changes::default())
                .await;
        };
        tokio::join!(drained, ended).0
    });
    assert_eq!((killed.status, cut), (200, 0), "{killed:?}");
    assert!(
        Line::connect(world.port).await.is_closed().await,
        "nobody is let in any more"
    );

    let world = World::start().await;
    let mut stream = Stream::open(world.port, "", &[]).await;
    assert_eq!(
        within(world.connections.drain(Duration::from_millis(50))).await,
        1,
        "a stream never ends by itself"
    );
    assert_eq!(stream.next().await, None);
}
