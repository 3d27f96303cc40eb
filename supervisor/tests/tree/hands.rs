//! What a person orders, and what it meets: an end of another kind, a program's order, a supervisor that is down itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ao_supervisor::testing::{Actor, Init, Log as Said, OnStop, Say, settle};
use ao_supervisor::{
    Backoff, Budget, ChildError, ChildSpec, Done, Dynamic, Restart, Root, Setup, Shutdown, SpecError,
    StartError, State, Strategy, Supervisor, Tree, TreeError, What,
};

use crate::kit::{LIMIT, MS, SECOND, hear, plenty, until_newer, until_state};
use crate::stop::blocker;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it is answered")
}

fn state(tree: &Tree, path: &str) -> State {
    tree.snapshot().find(path).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn a_termination_that_meets_a_persons_order_is_answered_and_final() {
    let said = Said::new();
    let slow = Actor::that("k", &said, OnStop::After(SECOND));
    for park in [false, true] {
        let actor = slow.clone();
        let pool = Dynamic::new("pool", Budget::parking(), move |_: &str, ()| actor.spec());
        let orders = pool.handle();
        let top = Supervisor::root("top", Strategy::OneForOne, plenty()).child(pool);
        let root = top.start().await.unwrap();
        let tree = root.tree();
        orders.start_child("k", ()).await.unwrap();
        if park {
            tree.park("top/pool/k").unwrap();
        } else {
            tree.restart("top/pool/k").unwrap();
        }
        settle().await;
        assert_eq!(state(&tree, "top/pool/k"), State::Stopping);
        soon(orders.terminate_child("k")).await.unwrap();
        assert_eq!(orders.count_children().unwrap().workers, 0);
        // The next order has its turn.
        soon(orders.start_child("k", ())).await.unwrap();
        assert_eq!(state(&tree, "top/pool/k"), State::Running);
        root.stop().await;
    }
}

/// `park` while it hangs: it was ending for another reason, and is parked all the same.
#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_is_parked_when_a_person_wants_it_down() {
    let hangs = ChildSpec::new("a", |ctx| async move {
        ctx.ready();
        std::future::pending().await
    });
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::parking())
        .child(hangs.heartbeat(SECOND))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    until_state(&tree, "top/a", State::Stopping).await;
    tree.park("top/a").unwrap();
    until_state(&tree, "top/a", State::Parked).await;
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    let node = tree.snapshot().find("top/a").unwrap().clone();
    assert_eq!((node.state, node.restarts.total), (State::Parked, 0));
    root.stop().await;
}

/// In real time, since a thread is blocked. The child gets stuck before its supervisor comes to the order.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_child_that_is_stuck_is_parked_when_it_ends() {
    let blocker = blocker("k", false);
    let said = Said::new();
    let other = Actor::new("other", &said);
    other.inits(&[Init::Slow(Duration::from_secs(3))]);
    let (spec, slow) = (blocker.spec.shutdown(Shutdown::After(100 * MS)), other.spec());
    let pool = Dynamic::new("pool", Budget::parking(), move |key: &str, ()| {
        if key == "k" { spec.clone() } else { slow.clone() }
    });
    let orders = pool.handle();
    let top = Supervisor::root("top", Strategy::OneForOne, plenty()).child(pool);
    let root = top.start_apart(tokio::runtime::Handle::current()).await.unwrap();
    let tree = root.tree();
    orders.start_child("k", ()).await.unwrap();
    // One that is stuck already.
    tree.restart("top/pool/k").unwrap();
    until_state(&tree, "top/pool/k", State::Stuck).await;
    tree.park("top/pool/k").unwrap();
    assert_eq!(
        tree.restart("top/pool/k"),
        Err(TreeError::Stuck {
            path: "top/pool/k".to_owned()
        })
    );
    orders.start_child("other", ()).await.unwrap();
    blocker.release.send(()).unwrap();
    until_state(&tree, "top/pool/k", State::Parked).await;
    assert_eq!(blocker.starts.load(Ordering::SeqCst), 1);
    let node = tree.snapshot().find("top/pool/k").unwrap().clone();
    assert_eq!(node.parked.unwrap().retry_in_ms, None);
    // And the pool still knows how many there are: it waits for both.
    tree.resume("top/pool/k").unwrap();
    until_state(&tree, "top/pool/k", State::Running).await;
    assert!(root.stop().await.stuck.is_empty());
    assert_eq!(said.take(), ["other up", "other down"]);
}

/// In real time, since a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stuck_child_that_was_terminated_does_not_come_back() {
    let blocker = blocker("busy", true);
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(blocker.spec.heartbeat(300 * MS))
        .start_apart(tokio::runtime::Handle::current())
        .await
        .unwrap();
    let tree = root.tree();
    let mut events = tree.events();
    hear(&mut events, |event| {
        matches!(event.what, What::Backoff { .. }).then_some(())
    })
    .await;
    let orders = tree.supervisor("top").unwrap();
    let refused = orders.terminate_child("busy").await;
    assert!(matches!(refused, Err(ChildError::Stuck { .. })), "{refused:?}");
    blocker.release.send(()).unwrap();
    until_state(&tree, "top/busy", State::Terminated).await;
    orders.delete_child("busy").await.unwrap();
    assert_eq!(blocker.starts.load(Ordering::SeqCst), 1);
    assert!(root.stop().await.stuck.is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_a_child_with_a_budget_of_its_own_can_be_kept_down() {
    let said = Said::new();
    let own = Budget::restarts(1).per(SECOND);
    let [a, b, c] = ["a", "b", "c"].map(|id| Actor::new(id, &said).spec());
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(a)
        .child(b.budget(own).restart(Restart::Temporary))
        .child(c.budget(own).escalates())
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let path = |id: &str| format!("top/{id}");
    assert_eq!(tree.park("top/a"), Err(TreeError::Relied { path: path("a") }));
    assert_eq!(tree.park("top/b"), Err(TreeError::Temporary { path: path("b") }));
    assert_eq!(
        tree.restart("top/b"),
        Err(TreeError::Temporary { path: path("b") })
    );
    assert_eq!(tree.park("top/c"), Err(TreeError::Relied { path: path("c") }));
    root.stop().await;
    let gone = Err(TreeError::Unsupervised { path: path("a") });
    assert_eq!(tree.restart("top/a"), gone);
}

#[tokio::test(start_paused = true)]
async fn past_its_own_budget_a_child_may_take_its_supervisor_down() {
    let said = Said::new();
    let child = Actor::new("a", &said);
    let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(100).per(SECOND))
        .child(child.spec().budget(Budget::restarts(1).per(SECOND)).escalates())
        .start()
        .await
        .unwrap();
    child.say(Say::Crash);
    settle().await;
    child.say(Say::Crash);
    let ended = soon(root.wait()).await;
    assert_eq!(ended.to_string(), "`top`: gave up on `top/a`; `top/a`: crashed");
    assert_eq!(said.take(), ["a up", "a down", "a up", "a down"]);
}

/// A group that is down and waits: a person waits no longer, and whoever is asked for is part of it.
#[tokio::test(start_paused = true)]
async fn a_persons_restart_ends_a_groups_pause() {
    for who in ["c1", "c2", "c3"] {
        let said = Said::new();
        let all: Vec<Actor> = ["c1", "c2", "c3"].map(|id| Actor::new(id, &said)).into();
        let pause = Backoff {
            immediate: 0,
            ..Backoff::between(60 * SECOND, 60 * SECOND)
        };
        let mut top = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(9).per(900 * SECOND));
        for actor in &all {
            top = top.child(actor.spec().backoff(pause));
        }
        let root = top.start().await.unwrap();
        all[1].say(Say::Crash);
        settle().await;
        assert_eq!(state(&root.tree(), "top/c2"), State::Backoff);
        said.take();
        root.tree().restart(&format!("top/{who}")).unwrap();
        settle().await;
        let did = said.take();
        if who == "c1" {
            assert_eq!(did, ["c1 down", "c1 up", "c2 up", "c3 up"]);
        } else {
            assert_eq!(did, ["c2 up", "c3 up"]);
        }
        root.stop().await;
    }
}

async fn slow_to_say(limit: Option<Duration>) -> Result<Root, StartError> {
    let made = Supervisor::from_init("inner", || async {
        tokio::time::sleep(60 * SECOND).await;
        Ok(Setup::from(Supervisor::new(
            "inner",
            Strategy::OneForOne,
            plenty(),
        )))
    });
    Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(ChildSpec::from(made).start_timeout(limit))
        .start()
        .await
}

/// Its loop is watched from its first moment on; what it waits for may take longer than that.
#[tokio::test(start_paused = true)]
async fn a_supervisor_may_take_its_time_to_say_what_it_is() {
    let root = soon(slow_to_say(None)).await.unwrap();
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_has_to_be_ready_in_its_time_too() {
    let before = tokio::time::Instant::now();
    let Err(refused) = soon(slow_to_say(Some(30 * SECOND))).await else {
        panic!("it started")
    };
    assert_eq!(before.elapsed(), 30 * SECOND);
    assert!(refused.to_string().contains("top/inner"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn unlimited_restarts_without_a_pause_are_refused_for_supervisors_too() {
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty());
    let Err(refused) = Supervisor::root("top", Strategy::OneForOne, Budget::unlimited())
        .child(inner)
        .start()
        .await
    else {
        panic!("it started")
    };
    let StartError::Spec(fault) = refused else {
        panic!("{refused}")
    };
    let id = "inner".to_owned();
    assert_eq!(fault, SpecError::UnlimitedWithoutBackoff { id });
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_described_keeps_no_other_from_being_reloaded() {
    let said = Said::new();
    let log = said.clone();
    let pool = Dynamic::new("pool", Budget::parking(), move |key: &str, ()| {
        assert!(key != "bad", "what is that?");
        Actor::new(key, &log).spec()
    })
    .reload(|| async {
        let keys = ["a", "bad", "b"];
        Ok(keys.map(|key| (key.to_owned(), ())).to_vec())
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(pool)
        .start()
        .await
        .unwrap();
    until_state(&root.tree(), "top/pool/b", State::Running).await;
    assert_eq!(said.take(), ["a up", "b up"]);
    let snapshot = until_state(&root.tree(), "top/pool/bad", State::Parked).await;
    let why = snapshot.find("top/pool/bad").unwrap().last_exit.clone().unwrap();
    assert!(
        why.reason.text().contains("what is that?"),
        "{}",
        why.reason.text()
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silence_allowed_for_ever_stops_no_watchdog() {
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(
            ChildSpec::new("a", |ctx| async move {
                ctx.ready();
                let _ = ctx.within(Duration::MAX, ctx.stopping()).await;
                Ok(Done)
            })
            .heartbeat(SECOND),
        )
        .start()
        .await
        .unwrap();
    let before = root.tree().snapshot().find("top/a").unwrap().incarnation;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(root.tree().snapshot().find("top/a").unwrap().incarnation, before);
    root.stop().await;
}

/// Ends that were put off while an order was carried out count in places, which must not move meanwhile.
#[tokio::test(start_paused = true)]
async fn many_that_go_while_an_order_is_carried_out_leave_their_siblings_alone() {
    let said = Said::new();
    let late = Actor::new("late", &said);
    let all: Vec<Actor> = (0..80).map(|n| Actor::new(&format!("t{n}"), &said)).collect();
    let keeps = Actor::new("keeps", &said);
    let mut top = Supervisor::root("top", Strategy::RestForOne, plenty());
    for actor in &all {
        top = top.child(actor.spec().restart(Restart::Temporary));
    }
    let root = top.child(keeps.spec()).start().await.unwrap();
    let tree = root.tree();
    let orders = tree.supervisor("top").unwrap();
    for actor in &all[..63] {
        actor.say(Say::Normal);
    }
    settle().await;
    late.inits(&[Init::SlowFail(SECOND)]);
    let meanwhile = async {
        settle().await;
        all[70].say(Say::Normal);
    };
    let (refused, ()) = tokio::join!(soon(orders.start_child(late.spec())), meanwhile);
    assert!(refused.is_err());
    settle().await;
    said.take();
    assert!(soon(root.stop()).await.stuck.is_empty());
    let down = said.take();
    assert_eq!(down.len(), 17, "{down:?}");
    assert_eq!(down[0], "keeps down", "in order");
}

#[tokio::test]
async fn a_blocking_child_may_say_what_it_ended_for() {
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(
            ChildSpec::blocking("a", |ctx| {
                ctx.ready();
                Ok(ctx.done_because("the set is empty"))
            })
            .restart(Restart::Transient),
        )
        .start_apart(tokio::runtime::Handle::current())
        .await
        .unwrap();
    let seen = until_state(&root.tree(), "top/a", State::Completed).await;
    let why = seen.find("top/a").unwrap().last_exit.clone().unwrap();
    assert!(
        why.reason.text().contains("the set is empty"),
        "{}",
        why.reason.text()
    );
    root.stop().await;
}

/// A value that looks at the tree when it is dropped.
struct Looks(Arc<std::sync::OnceLock<Tree>>, Arc<AtomicUsize>);

impl Drop for Looks {
    fn drop(&mut self) {
        if let Some(tree) = self.0.get() {
            let _ = tree.snapshot();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What was added to a supervisor goes with its restart, and is foreign: no lock is held meanwhile.
#[test]
fn what_a_child_was_started_with_may_look_at_the_tree_when_it_goes() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let here = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        here.block_on(async {
            let (seen, looked) = (
                Arc::new(std::sync::OnceLock::new()),
                Arc::new(AtomicUsize::new(0)),
            );
            let inner = Supervisor::new("inner", Strategy::OneForOne, plenty());
            let root = Supervisor::root("top", Strategy::OneForOne, plenty())
                .child(inner)
                .start()
                .await
                .unwrap();
            let tree = root.tree();
            let _ = seen.set(tree.clone());
            let looks = Looks(seen, looked.clone());
            let orders = tree.supervisor("top/inner").unwrap();
            let added = ChildSpec::new("a", move |ctx| {
                let _kept = &looks;
                async move {
                    ctx.ready();
                    ctx.stopping().await;
                    Ok(Done)
                }
            });
            orders.start_child(added).await.unwrap();
            let before = tree.snapshot().find("top/inner").unwrap().incarnation.unwrap();
            tree.crash("top/inner").unwrap();
            until_newer(&tree, "top/inner", before).await;
            root.stop().await;
            sender.send(looked.load(Ordering::SeqCst)).unwrap();
        });
    });
    assert_eq!(
        receiver.recv_timeout(Duration::from_secs(20)),
        Ok(1),
        "it looked, and got an answer"
    );
}
