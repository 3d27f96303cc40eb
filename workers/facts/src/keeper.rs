//! The two children that keep the facts themselves: one sees to the file, one follows the change log.
//!
//! Facts     reads the schema's version and the newest number of `change_log`; removes rows of `change_log` past its retention.
//! Messages  none. Wake on a commit, and on their own slow rhythm.
//! Acts      never.
//! Crash     neither holds anything: the pools and the newest number outlive them, the next incarnation begins by a look.
//! Ends      never by themselves (`Restart::Permanent`); what they cannot cope with reaches the root.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_supervisor::{Child, ChildSpec, Context, Crash, Done, Init, child};

use crate::{FactsError, Feed, Store};

/// SQLite's busy timeout is 5 s; a query that takes twice as long is held to hang.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often the file is looked at and the log cut. Neither is urgent.
const UPKEEP: Duration = Duration::from_secs(10 * 60);

/// How many changes are kept: days of a busy machine, some tens of megabytes at the most.
const CHANGES_KEPT: u32 = 100_000;

/// The child that keeps the file in order.
pub fn store(store: Store, clock: Arc<dyn Clock>) -> ChildSpec {
    child("store", move || Keeper {
        store: store.clone(),
        clock: Arc::clone(&clock),
    })
    .kind("store")
    .heartbeat(HEARTBEAT)
}

struct Keeper {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    async fn upkeep(&self, ctx: &Context) -> Result<(), FactsError> {
        let gone = self
            .store
            .prune_change_log(ctx.incarnation(), CHANGES_KEPT)
            .await?;
        if gone > 0 {
            tracing::info!(gone, kept = CHANGES_KEPT, "old changes forgotten");
        }
        self.store.checkpoint().await
    }
}

impl Child for Keeper {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        self.store.check().await?;
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        loop {
            ctx.beat();
            self.store.check().await?;
            match self.upkeep(ctx).await {
                Ok(()) => {}
                // Neither is urgent: reading and adopting go on, and the next round tries again.
                Err(error @ (FactsError::Full { .. } | FactsError::Busy { .. })) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "upkeep put off");
                }
                Err(error) => return Err(error.into()),
            }
            let next = self.clock.now().plus(UPKEEP);
            tokio::select! {
                biased;
                () = ctx.stopping() => return Ok(Done),
                () = ctx.beating(self.clock.reaches(next)) => {}
            }
        }
    }
}

/// The child that follows the change log and says how far it reaches. It is up after its first look.
pub fn feed(feed: Feed) -> ChildSpec {
    let start = move |ctx: Context| {
        let feed = feed.clone();
        async move {
            let mut up = false;
            let tail = feed.tail(|_| {
                if !std::mem::replace(&mut up, true) {
                    ctx.ready();
                }
                ctx.beat();
            });
            tokio::select! {
                biased;
                () = ctx.stopping() => Ok(Done),
                ended = tail => match ended {
                    Err(error) => Err(Crash::from(error)),
                    Ok(never) => match never {},
                },
            }
        }
    };
    ChildSpec::new("feed", start).kind("feed").heartbeat(HEARTBEAT)
}
