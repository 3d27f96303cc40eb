//! The two children of this crate, under a real supervisor.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::Timestamp;
use ao_domain::port::PortFuture;
use ao_domain::port::clock::Clock;
use ao_facts::{Feed, keeper};
use ao_supervisor::{Budget, Strategy, Supervisor};

use crate::support::*;

const LONG: Duration = Duration::from_secs(30);

/// A clock whose next hour never comes.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn reaches(&self, _: Timestamp) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn supervisor() -> Supervisor {
    Supervisor::root(
        "test",
        Strategy::OneForOne,
        Budget::restarts(0).per(Duration::from_secs(60)),
    )
}

#[tokio::test]
async fn the_feed_child_is_up_once_it_looked_and_follows() {
    let (_place, store) = world().await;
    let feed = Feed::new(store.reader());
    let root = supervisor()
        .child(keeper::feed(feed.clone()))
        .start()
        .await
        .unwrap();
    assert_eq!(feed.head(), 1, "ready means that it has looked");
    let mut subscription = feed.subscribe(1);
    spawn(&store, "web").await;
    tokio::time::timeout(LONG, subscription.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(subscription.cursor(), 2);
    assert!(root.stop().await.stuck.is_empty());
}

#[tokio::test]
async fn the_store_child_does_not_come_up_on_a_file_that_was_taken_away() {
    let (place, store) = world().await;
    let child = || keeper::store(store.clone(), Arc::new(Still));
    let root = supervisor().child(child()).start().await.unwrap();
    assert!(root.stop().await.stuck.is_empty());
    std::fs::remove_file(place.database()).unwrap();
    let refused = supervisor()
        .child(child())
        .start()
        .await
        .err()
        .expect("it cannot start");
    assert!(
        ao_domain::chain(&refused)
            .to_string()
            .contains("was moved or removed"),
        "{refused:?}"
    );
}
