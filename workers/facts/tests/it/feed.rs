//! The change feed and those who follow it.

use std::time::Duration;

use ao_domain::EndReason;
use ao_facts::{Change, Feed, Page, Store, Subscription};
use tokio::task::JoinSet;

use crate::support::*;

const LONG: Duration = Duration::from_secs(30);

/// A feed whose tail runs as long as the set lives.
fn feed(store: &Store) -> (Feed, JoinSet<()>) {
    let feed = Feed::new(store.reader());
    let mut tail = JoinSet::new();
    let followed = feed.clone();
    tail.spawn(async move {
        let error = followed.tail(|_| ()).await.unwrap_err();
        panic!("the tail ended: {error}");
    });
    (feed, tail)
}

async fn next(subscription: &mut Subscription) -> Page {
    tokio::time::timeout(LONG, subscription.next())
        .await
        .expect("a page in time")
        .unwrap()
}

async fn changes_until(subscription: &mut Subscription, last: i64) -> Vec<Change> {
    let mut all = Vec::new();
    while subscription.cursor() < last {
        match next(subscription).await {
            Page::Changes(changes) => all.extend(changes),
            Page::Reset { head } => panic!("reset at {head}"),
        }
    }
    all
}

fn numbers(changes: &[Change]) -> Vec<i64> {
    changes.iter().map(|change| change.seq).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_follower_gets_every_change_once_and_in_order() {
    let (_place, store) = world().await;
    let (feed, _tail) = feed(&store);
    let mut writers = JoinSet::new();
    for _ in 0..5 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..20 {
                let id = spawn(&store, "web").await;
                bump(&store, &id, n).await;
            }
        });
    }
    let last = 1 + 5 * 20 * 2;
    let mut followers = JoinSet::new();
    for after in [0, 1, 0] {
        let mut subscription = feed.subscribe(after);
        followers.spawn(async move { (after, changes_until(&mut subscription, last).await) });
    }
    for (after, changes) in followers.join_all().await {
        assert_eq!(numbers(&changes), (after + 1..=last).collect::<Vec<_>>());
    }
    writers.join_all().await;
    assert_eq!(head(&store).await, last);
}

#[tokio::test]
async fn a_long_history_comes_in_pages() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    for n in 0..700 {
        bump(&store, &id, n).await;
    }
    let (feed, _tail) = feed(&store);
    let mut subscription = feed.subscribe(0);
    let Page::Changes(first) = next(&mut subscription).await else {
        panic!("reset")
    };
    assert_eq!(first.len(), Subscription::PAGE as usize);
    let rest = changes_until(&mut subscription, 702).await;
    assert_eq!(numbers(&rest), (513..=702).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_that_was_not_taken_comes_again() {
    let (_place, store) = world().await;
    let (feed, _tail) = feed(&store);
    let mut subscription = feed.subscribe(1);
    {
        let mut waiting = Box::pin(subscription.next());
        let pending =
            tokio::select! { biased; _ = &mut waiting => false, () = tokio::task::yield_now() => true };
        assert!(pending);
    }
    spawn(&store, "web").await;
    let Page::Changes(changes) = next(&mut subscription).await else {
        panic!("reset")
    };
    assert_eq!(numbers(&changes), [2]);
}

#[tokio::test]
async fn a_new_tail_goes_on_where_the_log_is() {
    let (_place, store) = world().await;
    let (feed, mut tail) = feed(&store);
    let mut subscription = feed.subscribe(0);
    changes_until(&mut subscription, 1).await;
    tail.shutdown().await;
    let id = spawn(&store, "web").await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let again = feed.clone();
    let mut tail = JoinSet::new();
    tail.spawn(async move { again.tail(move |head| told.send(head).unwrap()).await.map(|_| ()) });
    assert_eq!(
        heard.recv().await,
        Some(2),
        "what was written while nobody looked"
    );
    bump(&store, &id, 3).await;
    assert_eq!(numbers(&changes_until(&mut subscription, 3).await), [2, 3]);
    assert_eq!(heard.recv().await, Some(3));
    assert_eq!(feed.head(), 3);
}

#[tokio::test]
async fn a_foreign_commit_is_found_and_passed_on() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let (feed, _tail) = feed(&store);
    let mut subscription = feed.subscribe(2);
    let mut wakeups = store.wakeups();
    let other = raw(&place.database()).await;
    let sql = "UPDATE sessions SET title = 'theirs'";
    sea_orm::ConnectionTrait::execute_unprepared(&other, sql)
        .await
        .unwrap();
    let Page::Changes(changes) = next(&mut subscription).await else {
        panic!("reset")
    };
    assert_eq!(changes[0].session, Some(id));
    tokio::time::timeout(LONG, wakeups.changed())
        .await
        .expect("the waiters are told too");
}

#[tokio::test]
async fn a_cursor_the_log_does_not_reach_is_told_to_read_anew() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    for n in 0..8 {
        bump(&store, &id, n).await;
    }
    let (feed, _tail) = feed(&store);
    assert_eq!(
        (store.reader().floor_seq().await.unwrap(), head(&store).await),
        (0, 10)
    );
    assert_eq!(store.prune_change_log(&me(), 4).await.unwrap(), 6);
    assert_eq!(store.prune_change_log(&me(), 4).await.unwrap(), 0);
    assert_eq!(
        (store.reader().floor_seq().await.unwrap(), head(&store).await),
        (6, 10)
    );
    for after in [0, 5, 11, 99] {
        let mut subscription = feed.subscribe(after);
        assert_eq!(next(&mut subscription).await, Page::Reset { head: 10 }, "{after}");
        assert_eq!(subscription.cursor(), 10);
    }
    for after in [6, 9] {
        let mut subscription = feed.subscribe(after);
        assert_eq!(
            numbers(&changes_until(&mut subscription, 10).await),
            (after + 1..=10).collect::<Vec<_>>()
        );
    }
    // However little is to be kept, the log goes on knowing how far it was.
    assert_eq!(store.prune_change_log(&me(), 0).await.unwrap(), 3);
    assert_eq!(
        (store.reader().floor_seq().await.unwrap(), head(&store).await),
        (9, 10)
    );
    let mut reset = feed.subscribe(3);
    assert_eq!(next(&mut reset).await, Page::Reset { head: 10 });
    store
        .intents()
        .stop(&id, EndReason::Killed, false, at(9))
        .await
        .unwrap();
    assert_eq!(
        numbers(&changes_until(&mut reset, 11).await),
        [11],
        "and follows from there"
    );
}

#[tokio::test]
async fn a_follower_that_sleeps_through_a_pruning_is_told() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let (feed, _tail) = feed(&store);
    let mut subscription = feed.subscribe(0);
    changes_until(&mut subscription, 2).await;
    for n in 0..5 {
        bump(&store, &id, n).await;
    }
    store.prune_change_log(&me(), 2).await.unwrap();
    assert_eq!(next(&mut subscription).await, Page::Reset { head: 7 });
}
