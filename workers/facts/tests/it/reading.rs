//! Lists, places and waiting.

use std::time::Duration;

use ao_domain::{EndReason, Phase, SessionKind};
use ao_facts::{Filter, NewSession, Until};

use crate::support::*;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn lists_are_filtered_and_sorted() {
    let (_place, store) = world().await;
    add_project(&store, "app").await;
    for _ in 0..11 {
        spawn(&store, "web").await;
    }
    let orchestrator = NewSession {
        kind: SessionKind::Orchestrator,
        ..new_session("app")
    };
    store.intents().spawn(orchestrator).await.unwrap();
    put(&store, &session("web-3"), Phase::Finished).await;
    let list = |filter: Filter| {
        let reader = store.reader();
        async move {
            let sessions = reader.sessions(&filter).await.unwrap();
            sessions
                .into_iter()
                .map(|session| session.id.to_string())
                .collect::<Vec<_>>()
        }
    };
    let all = list(Filter::default()).await;
    assert_eq!(
        (all.len(), all[0].as_str(), all[1].as_str(), all[11].as_str()),
        (12, "app-1", "web-1", "web-11")
    );
    assert_eq!(
        list(Filter {
            project: Some(project("app")),
            ..Filter::default()
        })
        .await,
        ["app-1"]
    );
    assert_eq!(
        list(Filter {
            kind: Some(SessionKind::Orchestrator),
            ..Filter::default()
        })
        .await,
        ["app-1"]
    );
    assert_eq!(
        list(Filter {
            terminated: Some(true),
            ..Filter::default()
        })
        .await,
        ["web-3"]
    );
    let running = Filter {
        terminated: Some(false),
        project: Some(project("web")),
        ..Filter::default()
    };
    assert_eq!(list(running).await.len(), 10);
}

#[tokio::test]
async fn terminated_means_what_the_session_says() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    for phase in Phase::ALL {
        put(&store, &id, *phase).await;
        let terminated = get(&store, &id).await.is_terminated();
        let filter = Filter {
            terminated: Some(true),
            ..Filter::default()
        };
        assert_eq!(
            !store.reader().sessions(&filter).await.unwrap().is_empty(),
            terminated,
            "{phase}"
        );
        let told = changes(&store, 0).await.pop().unwrap().payload;
        assert_eq!(told["isTerminated"], serde_json::json!(terminated), "{phase}");
    }
}

#[tokio::test]
async fn the_unfinished_are_all_but_the_ended() {
    let (_place, store) = world().await;
    for phase in Phase::ALL {
        let id = spawn(&store, "web").await;
        put(&store, &id, *phase).await;
    }
    let ids = store.reader().unfinished_sessions().await.unwrap();
    let expected: Vec<_> = (1..=9).map(|n| session(&format!("web-{n}"))).collect();
    assert_eq!(ids, expected, "in the order they were made; the tenth has ended");
}

#[tokio::test]
async fn places_go_to_who_holds_one_and_who_came_first() {
    let (_place, store) = world().await;
    let ids = [
        spawn(&store, "web").await,
        spawn(&store, "web").await,
        spawn(&store, "web").await,
        spawn(&store, "web").await,
    ];
    let before = async |n: usize| {
        let line = store.reader().line_before(&ids[n]).await.unwrap();
        line.earlier + line.taken
    };
    assert_eq!(
        [before(0).await, before(1).await, before(2).await, before(3).await],
        [0, 1, 2, 3]
    );
    store
        .intents()
        .stop(&ids[1], EndReason::Killed, false, at(2))
        .await
        .unwrap();
    assert_eq!(
        before(2).await,
        1,
        "one that is wanted no more does not wait for a place"
    );
    put(&store, &ids[3], Phase::Live).await;
    assert_eq!(
        [before(0).await, before(2).await],
        [1, 2],
        "a later one that has a place keeps it"
    );
    put(&store, &ids[0], Phase::Finished).await;
    assert_eq!(before(2).await, 1, "an agent that ended gives its place back");
    for phase in Phase::ALL {
        put(&store, &ids[3], *phase).await;
        let takes = u32::from(phase.takes_a_place());
        assert_eq!(before(0).await, takes, "{phase}");
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_facts_are_there() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let reader = store.reader();
    let (reached, ()) = tokio::join!(reader.until(&id, |s| s.phase.is_settled(), LONG), async {
        put(&store, &id, Phase::Worktree).await;
        put(&store, &id, Phase::Live).await;
    });
    match reached.unwrap() {
        Until::Reached(session) => assert_eq!(session.phase, Phase::Live),
        other => panic!("{other:?}"),
    }
    let at_once = reader
        .until(&id, |s| s.phase == Phase::Live, Duration::ZERO)
        .await
        .unwrap();
    assert!(matches!(at_once, Until::Reached(_)));
    let never = reader
        .until(&id, |s| s.phase == Phase::Ended, Duration::from_millis(5))
        .await
        .unwrap();
    assert!(matches!(never, Until::StillAt(session) if session.phase == Phase::Live));
    assert_eq!(
        reader.until(&session("web-9"), |_| true, LONG).await.unwrap(),
        Until::NotFound
    );
}

#[tokio::test]
async fn a_wait_sees_what_another_program_wrote() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let other = raw(&place.database()).await;
    let reader = store.reader();
    let patient = reader.until(&id, |s| s.phase == Phase::Live, LONG * 10);
    let (reached, ()) = tokio::join!(tokio::time::timeout(LONG, patient), async {
        let sql = "UPDATE sessions SET phase = 'live'";
        sea_orm::ConnectionTrait::execute_unprepared(&other, sql)
            .await
            .unwrap();
    });
    assert!(
        matches!(reached.unwrap().unwrap(), Until::Reached(_)),
        "no wake-up came, a slow look had to do"
    );
}

#[tokio::test]
async fn a_revision_that_moved_ends_the_wait() {
    let (_place, store) = world().await;
    let (id, other) = (spawn(&store, "web").await, spawn(&store, "web").await);
    let reader = store.reader();
    let revision = get(&store, &id).await.revision;
    let waited = tokio::time::timeout(LONG, async {
        tokio::join!(reader.changed_since(&id, revision), async {
            bump(&store, &other, 3).await;
            store
                .intents()
                .stop(&id, EndReason::Killed, false, at(3))
                .await
                .unwrap();
        })
    });
    waited.await.expect("woken by the commit");
    assert_ne!(get(&store, &id).await.revision, revision);
    reader.changed_since(&id, revision).await; // it has changed already
    reader.changed_since(&session("web-9"), 0).await; // nothing to wait for
}

#[tokio::test]
async fn who_has_read_what_nobody_was_woken_for_yet_waits_for_the_next_change() {
    const SHORT: Duration = Duration::from_millis(200);
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let reader = store.reader();
    let revision = get(&store, &id).await.revision;
    let waits = |revision| tokio::time::timeout(SHORT, reader.changed_since(&id, revision));
    assert!(waits(revision).await.is_err(), "all revisions are read by now");

    let db = raw(&place.database()).await;
    let sql = "UPDATE sessions SET display_name = 'another' WHERE id = 'web-1'";
    sea_orm::ConnectionTrait::execute_unprepared(&db, sql)
        .await
        .unwrap();
    let now = get(&store, &id).await.revision;
    assert_eq!(now, revision + 1);
    assert!(waits(now).await.is_err(), "it was told of a change that it knows");
    bump(&store, &id, 3).await;
    assert!(waits(now).await.is_ok(), "a commit of ours");
}

#[tokio::test]
async fn a_row_that_does_not_read_is_named() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    spawn(&store, "web").await;
    let db = raw(&place.database()).await;
    let sql = "UPDATE sessions SET holdings = '[{\"kind\": \"later\"}]' WHERE id = 'web-1'";
    sea_orm::ConnectionTrait::execute_unprepared(&db, sql)
        .await
        .unwrap();
    let error = store.reader().session(&id).await.unwrap_err().to_string();
    assert!(
        error.contains("`web-1` of `sessions`") && error.contains("holdings"),
        "{error}"
    );
    assert!(store.reader().session(&session("web-2")).await.unwrap().is_some());
}
