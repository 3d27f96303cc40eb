//! What session children write.

use ao_domain::{Desired, EndReason, Exit, Holding, Looked, Phase, Seen, WorktreeState};
use ao_facts::{Changes, FactsError, Moved, Stand};
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test]
async fn a_step_writes_what_it_means_and_nothing_else() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let before = get(&store, &id).await;
    let outcomes = store.outcomes();
    let holdings = vec![Holding::Untracked {
        count: 2,
        paths: vec!["a b".to_owned(), "ü".to_owned()],
    }];
    let progress = ao_domain::Provisioning {
        done: 1,
        of: 2,
        doing: Some("make".to_owned()),
        since: at(4),
        skipped: Vec::new(),
        linking: true,
        making: Some("one".to_owned()),
    };
    let changes = Changes {
        discard: true,
        provisioning: Some(progress.clone()),
        worktree_state: Some(WorktreeState::Active),
        holdings: Some(holdings.clone()),
        rescue_ref: Some("refs/ao/rescue/web-1/1".to_owned()),
        seen: Some(alive()),
        ended_at: Some(at(4)),
        end_reason: Some(EndReason::Exited),
        failure: None,
    };
    let moved = outcomes
        .advance(&me(), &id, Stand::of(&before), Phase::Worktree, changes, at(5))
        .await
        .unwrap();
    assert_eq!(moved, Moved::Yes);
    let after = get(&store, &id).await;
    let process = after.process.clone().unwrap();
    assert_eq!(
        (process.looked, process.since, process.agent),
        (Looked::Alive, at(5), Some(crate::support::process(11)))
    );
    let expected = ao_domain::Session {
        phase: Phase::Worktree,
        phase_at: at(5),
        worktree_state: WorktreeState::Active,
        discard: true,
        provisioning: Some(progress),
        holdings,
        rescue_ref: Some("refs/ao/rescue/web-1/1".to_owned()),
        ended_at: Some(at(4)),
        end_reason: Some(EndReason::Exited),
        process: after.process.clone(),
        revision: after.revision,
        updated_at: at(5),
        ..before
    };
    assert_eq!(after, expected);
}

#[tokio::test]
async fn staying_in_a_phase_keeps_its_time_and_firsts_stay() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let changes = |reason, second| Changes {
        end_reason: Some(reason),
        ended_at: Some(at(second)),
        seen: Some(Seen::exited(Exit::Signal(9))),
        ..Changes::default()
    };
    let outcomes = store.outcomes();
    let seen = Stand::of(&get(&store, &id).await);
    let first = changes(EndReason::Exited, 7);
    assert_eq!(
        outcomes
            .advance(&me(), &id, seen, Phase::Live, first, at(8))
            .await
            .unwrap(),
        Moved::Yes
    );
    assert_eq!(get(&store, &id).await.phase_at, at(2));
    let second = changes(EndReason::RuntimeDead, 9);
    assert_eq!(
        outcomes
            .advance(&me(), &id, seen, Phase::Finished, second, at(9))
            .await
            .unwrap(),
        Moved::Yes
    );
    let now = get(&store, &id).await;
    assert_eq!(
        (now.end_reason, now.ended_at, now.phase_at),
        (Some(EndReason::Exited), Some(at(7)), at(9))
    );
    assert_eq!(now.process.unwrap().exit, Some(Exit::Signal(9)));
}

#[tokio::test]
async fn a_step_from_elsewhere_changes_nothing() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let here = Stand::of(&get(&store, &id).await);
    let outcomes = store.outcomes();
    let before = (get(&store, &id).await, head(&store).await);
    for seen in [
        Stand {
            phase: Phase::Launch,
            ..here
        },
        Stand {
            generation: 2,
            ..here
        },
        Stand {
            desired: Desired::Stop,
            ..here
        },
        Stand {
            discard: true,
            ..here
        },
    ] {
        let changes = Changes {
            seen: Some(alive()),
            ..Changes::default()
        };
        let moved = outcomes
            .advance(&me(), &id, seen, Phase::Ended, changes, at(5))
            .await
            .unwrap();
        assert_eq!(moved, Moved::Overtaken, "{seen:?}");
        assert_eq!(
            outcomes.failed(&me(), &id, seen, "no", at(5)).await.unwrap(),
            Moved::Overtaken,
            "{seen:?}"
        );
    }
    let nobody = session("web-9");
    let moved = outcomes
        .advance(&me(), &nobody, here, Phase::Ended, Changes::default(), at(5))
        .await
        .unwrap();
    assert_eq!(moved, Moved::Overtaken);
    assert_eq!(
        outcomes.bump(&me(), &nobody, at(5)).await.unwrap(),
        Moved::Overtaken
    );
    assert_eq!((get(&store, &id).await, head(&store).await), before);
}

#[tokio::test]
async fn a_kill_overtakes_a_step_unless_the_step_does_not_care() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Launch).await;
    let here = Stand::of(&get(&store, &id).await);
    store
        .intents()
        .stop(&id, EndReason::Killed, false, at(3))
        .await
        .unwrap();
    let outcomes = store.outcomes();
    let live = outcomes
        .advance(&me(), &id, here, Phase::Live, Changes::default(), at(4))
        .await
        .unwrap();
    assert_eq!(live, Moved::Overtaken);
    let here = Stand::of(&get(&store, &id).await);
    let live = outcomes
        .advance(&me(), &id, here, Phase::Live, Changes::default(), at(4))
        .await
        .unwrap();
    assert_eq!(live, Moved::Yes);
    let now = get(&store, &id).await;
    assert_eq!(
        (now.desired, now.end_reason),
        (Desired::Stop, Some(EndReason::Killed)),
        "the kill is not lost"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_who_saw_the_same_one_moves_it() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let seen = Stand::of(&get(&store, &id).await);
    let mut steps = JoinSet::new();
    for _ in 0..10 {
        let (outcomes, id) = (store.outcomes(), id.clone());
        steps.spawn(async move {
            outcomes
                .advance(&me(), &id, seen, Phase::Worktree, Changes::default(), at(5))
                .await
                .unwrap()
        });
    }
    let moved = steps.join_all().await;
    assert_eq!(moved.iter().filter(|moved| **moved == Moved::Yes).count(), 1);
}

#[tokio::test]
async fn a_failure_is_kept_until_a_step_goes_well() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Worktree).await;
    let seen = Stand::of(&get(&store, &id).await);
    let outcomes = store.outcomes();
    assert_eq!(
        outcomes
            .failed(&me(), &id, seen, "git said no", at(3))
            .await
            .unwrap(),
        Moved::Yes
    );
    let now = get(&store, &id).await;
    assert_eq!(
        (now.failure.as_deref(), now.phase, now.phase_at),
        (Some("git said no"), Phase::Worktree, at(2))
    );
    put(&store, &id, Phase::Prepare).await;
    assert_eq!(get(&store, &id).await.failure, None);
    let ends = Changes {
        failure: Some("gave up".to_owned()),
        ..Changes::default()
    };
    put_with(&store, &id, Phase::Ended, ends).await;
    assert_eq!(get(&store, &id).await.failure.as_deref(), Some("gave up"));
}

#[tokio::test]
async fn passing_time_counts_the_revision_up() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let before = head(&store).await;
    assert_eq!(
        store.outcomes().bump(&me(), &id, at(30)).await.unwrap(),
        Moved::Yes
    );
    let now = get(&store, &id).await;
    assert_eq!((now.revision, now.updated_at), (1, at(30)));
    assert_eq!(types(&store, before).await, ["session_updated"]);
}

#[tokio::test]
async fn a_revoked_child_writes_nothing() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let before = (get(&store, &id).await, head(&store).await);
    let (late, outcomes, seen) = (revoked().await, store.outcomes(), Stand::of(&before.0));
    let results = [
        outcomes
            .advance(&late, &id, seen, Phase::Live, Changes::default(), at(3))
            .await,
        outcomes.failed(&late, &id, seen, "late", at(3)).await,
        outcomes.bump(&late, &id, at(3)).await,
    ];
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(FactsError::Revoked))),
        "{results:?}"
    );
    assert_eq!((get(&store, &id).await, head(&store).await), before);
}

#[tokio::test]
async fn a_child_revoked_while_it_waits_for_its_turn_writes_nothing() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let before = get(&store, &id).await;
    let (late, root) = revocable().await;
    // Somebody else holds the database, so the write waits after it was begun.
    let other = raw(&place.database()).await;
    sea_orm::ConnectionTrait::execute_unprepared(&other, "BEGIN IMMEDIATE")
        .await
        .unwrap();
    let (outcomes, by, of) = (store.outcomes(), late.clone(), id.clone());
    let mut write = JoinSet::new();
    write.spawn(async move {
        outcomes
            .advance(
                &by,
                &of,
                Stand::of(&before),
                Phase::Live,
                Changes::default(),
                at(3),
            )
            .await
    });
    tokio::task::yield_now().await;
    root.stop().await;
    assert!(late.is_revoked());
    sea_orm::ConnectionTrait::execute_unprepared(&other, "COMMIT")
        .await
        .unwrap();
    let result = write.join_next().await.unwrap().unwrap();
    assert!(matches!(result, Err(FactsError::Revoked)), "{result:?}");
    assert_eq!(get(&store, &id).await.phase, Phase::Queued);
}

#[tokio::test]
async fn a_write_that_is_dropped_half_way_leaves_the_writer_usable() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let seen = Stand::of(&get(&store, &id).await);
    let other = raw(&place.database()).await;
    let outcomes = store.outcomes();
    for polls in 0..12 {
        let by = me();
        let write = outcomes.advance(&by, &id, seen, Phase::Queued, Changes::default(), at(3));
        let mut write = Box::pin(write);
        for _ in 0..polls {
            let step = tokio::select! { biased; done = &mut write => Some(done), () = tokio::task::yield_now() => None };
            if step.is_some() {
                break;
            }
        }
        drop(write);
        // The next one is not stuck behind it, and nobody else is.
        assert_eq!(
            outcomes.bump(&me(), &id, at(4)).await.unwrap(),
            Moved::Yes,
            "dropped after {polls}"
        );
        sea_orm::ConnectionTrait::execute_unprepared(&other, "BEGIN IMMEDIATE; COMMIT")
            .await
            .unwrap();
    }
}
