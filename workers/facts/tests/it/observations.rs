//! What observers write.

use ao_domain::{ActivityState, Exit, Looked, Phase, Seen, Signal, ToolUse};
use ao_facts::{Applied, AppliedSignal, FactsError, ObservationWriter, Recorded};
use sea_orm::ConnectionTrait;

use crate::support::*;

#[tokio::test]
async fn looks_are_counted_while_they_agree() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let look = |seen: Seen, second| {
        let (store, id) = (store.clone(), id.clone());
        async move {
            let answer = store
                .observations()
                .looked(&me(), &[sighting(&id, seen, second)])
                .await
                .unwrap();
            assert_eq!(answer, [Recorded::Yes]);
            get(&store, &id).await.process.unwrap()
        }
    };
    let first = look(alive(), 10).await;
    assert_eq!(
        (first.looked, first.since, first.looks),
        (Looked::Alive, at(10), 1)
    );
    assert_eq!(
        (first.holder, first.agent),
        (Some(process(10)), Some(process(11)))
    );
    let second = look(alive(), 11).await;
    assert_eq!(
        (second.since, second.looked_at, second.looks),
        (at(10), at(11), 2)
    );
    let silent = look(failed("no answer"), 12).await;
    assert_eq!(
        (silent.looked, silent.since, silent.looks),
        (Looked::Failed, at(12), 1)
    );
    assert_eq!(
        (silent.note.as_deref(), silent.agent),
        (Some("no answer"), Some(process(11))),
        "who it is, stays"
    );
    let ended = look(Seen::exited(Exit::Code(3)), 13).await;
    assert_eq!(
        (ended.looked, ended.exit, ended.note),
        (Looked::Dead, Some(Exit::Code(3)), None)
    );
    let again = look(
        Seen {
            exit: None,
            ..Seen::exited(Exit::Code(3))
        },
        14,
    )
    .await;
    assert_eq!(
        (again.exit, again.looks),
        (Some(Exit::Code(3)), 2),
        "an exit record, once seen, stays"
    );
}

#[tokio::test]
async fn a_look_at_another_run_changes_nothing() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    store
        .observations()
        .looked(&me(), &[sighting(&id, Seen::exited(Exit::Code(0)), 9)])
        .await
        .unwrap();
    let db = raw(&place.database()).await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "UPDATE sessions SET generation = 2")
        .await
        .unwrap();
    let before = get(&store, &id).await;
    let mut seen = [
        sighting(&id, alive(), 10),
        sighting(&id, alive(), 10),
        sighting(&session("web-9"), alive(), 10),
    ];
    seen[1].generation = 3;
    let answers = store.observations().looked(&me(), &seen).await.unwrap();
    assert_eq!(answers, [Recorded::OtherGeneration; 3]);
    assert_eq!(get(&store, &id).await, before);
    // The first look at the new run owes nothing to the old one.
    seen[0].generation = 2;
    store.observations().looked(&me(), &seen[..1]).await.unwrap();
    let process = get(&store, &id).await.process.unwrap();
    assert_eq!(
        (process.generation, process.looks, process.since, process.exit),
        (2, 1, at(10), None)
    );
}

#[tokio::test]
async fn a_sweep_that_found_all_as_before_wakes_nobody() {
    let (_place, store) = world().await;
    let ids = [spawn(&store, "web").await, spawn(&store, "web").await];
    let look = |second| {
        ids.iter()
            .map(|id| sighting(id, alive(), second))
            .collect::<Vec<_>>()
    };
    store.observations().looked(&me(), &look(10)).await.unwrap();
    let (before, revision) = (head(&store).await, get(&store, &ids[0]).await.revision);
    let mut wakeups = store.wakeups();
    store.observations().looked(&me(), &look(11)).await.unwrap();
    let quiet =
        tokio::select! { biased; () = wakeups.changed() => false, () = std::future::ready(()) => true };
    assert!(quiet);
    assert_eq!(
        (head(&store).await, get(&store, &ids[0]).await.revision),
        (before, revision)
    );
    assert_eq!(get(&store, &ids[1]).await.process.unwrap().looks, 2);
    let mut changed = look(12);
    changed[1].seen = failed("busy");
    store.observations().looked(&me(), &changed).await.unwrap();
    let woken = tokio::time::timeout(std::time::Duration::from_secs(20), wakeups.changed()).await;
    woken.expect("others are told of what is different");
    assert_eq!(
        changes(&store, before).await.len(),
        1,
        "of two sessions one is different"
    );
}

async fn apply(store: &ao_facts::Store, from: u64, signals: &[AppliedSignal]) -> Applied {
    let id = session("web-1");
    store
        .observations()
        .apply_signals(&me(), &id, from, from + 100, signals, at(99))
        .await
        .unwrap()
}

#[tokio::test]
async fn signals_move_the_activity_and_the_offset_together() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    assert_eq!(store.reader().spool_offset(&id).await.unwrap(), 0);
    let named = Signal {
        state: None,
        native_id: Some("n-1".to_owned()),
        title: Some("Fixing".to_owned()),
        last_message: Some("all done".to_owned()),
        ..Signal::default()
    };
    let records = [
        AppliedSignal {
            signal: named,
            ..hook(&id, 1, None)
        },
        hook(&id, 2, Some(ActivityState::Active)),
        hook(&id, 3, Some(ActivityState::Active)),
        hook(&id, 4, Some(ActivityState::WaitingInput)),
    ];
    assert_eq!(apply(&store, 0, &records).await, Applied::Yes { counted: 4 });
    let now = get(&store, &id).await;
    assert_eq!(
        (now.activity.state, now.activity.since),
        (ActivityState::WaitingInput, at(14))
    );
    assert_eq!(now.first_signal_at, Some(at(11)));
    assert_eq!(
        (now.native_id.as_deref(), now.title.as_deref()),
        (Some("n-1"), Some("Fixing"))
    );
    assert_eq!(now.last_message.as_deref(), Some("all done"));
    assert_eq!(store.reader().spool_offset(&id).await.unwrap(), 100);
    let kept = store.reader().signals(&id, 2).await.unwrap();
    assert_eq!(
        kept.iter().map(|signal| signal.boot_ms).collect::<Vec<_>>(),
        [4, 3],
        "newest first"
    );
    // Repeating a state does not move the time it was entered.
    assert_eq!(
        apply(&store, 100, &[hook(&id, 5, Some(ActivityState::WaitingInput))]).await,
        Applied::Yes { counted: 1 }
    );
    assert_eq!(store.reader().spool_offset(&id).await.unwrap(), 200);
    let later = get(&store, &id).await;
    assert_eq!(
        (later.activity.since, later.first_signal_at),
        (at(14), Some(at(11)))
    );
}

#[tokio::test]
async fn a_tool_is_told_of_while_it_is_used_and_a_reason_while_its_state_lasts() {
    use ActivityState::{Active, Exited, Idle, WaitingInput};
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let begins = |tool: &str| Some(ToolUse::Begins(tool.to_owned()));
    let ends = |tool: &str| Some(ToolUse::Ends(Some(tool.to_owned())));
    let rounds = [
        (Active, None, None, [None, None]),
        (Active, begins("Bash"), None, [Some("Bash"), None]),
        // What is asked of it meanwhile ends no tool.
        (Active, None, None, [Some("Bash"), None]),
        (WaitingInput, begins("Bash"), None, [Some("Bash"), None]),
        // The same dialog, told of once more.
        (
            WaitingInput,
            None,
            Some("it asks"),
            [Some("Bash"), Some("it asks")],
        ),
        (WaitingInput, None, None, [Some("Bash"), Some("it asks")]),
        (Active, ends("Bash"), None, [None, None]),
        // Of two at once the one that began last.
        (Active, begins("Read"), None, [Some("Read"), None]),
        (Active, begins("Write"), None, [Some("Write"), None]),
        (Active, ends("Read"), None, [Some("Write"), None]),
        (Active, Some(ToolUse::Ends(None)), None, [None, None]),
        (Active, begins("Bash"), None, [Some("Bash"), None]),
        (Idle, None, Some("interrupted"), [None, Some("interrupted")]),
        (Idle, None, None, [None, Some("interrupted")]),
        (WaitingInput, None, Some("it asks"), [None, Some("it asks")]),
        (WaitingInput, begins("Write"), None, [Some("Write"), None]),
        (Exited, None, Some("logout"), [None, Some("logout")]),
    ];
    let mut told = Vec::new();
    for (number, (state, tool, why, known)) in (1_u64..).zip(rounds) {
        told.extend(tool.as_ref().map(|tool| tool.begun().map(str::to_owned)));
        let mut said = hook(&id, number, Some(state));
        (said.signal.tool, said.signal.why) = (tool, why.map(str::to_owned));
        apply(&store, (number - 1) * 100, &[said]).await;
        let now = get(&store, &id).await;
        assert_eq!([now.tool.as_deref(), now.said_why.as_deref()], known, "{number}");
    }
    let kept = store.reader().signals(&id, 100).await.unwrap();
    let kept: Vec<_> = kept.into_iter().rev().filter_map(|signal| signal.tool).collect();
    assert_eq!(kept, told.into_iter().flatten().collect::<Vec<_>>());
    // One that is overtaken moves neither.
    let mut late = hook(&id, 1, Some(Active));
    (late.record.id, late.signal.tool) = ("late".to_owned(), begins("Bash"));
    apply(&store, 1_700, &[late]).await;
    assert_eq!(get(&store, &id).await.tool, None);
}

#[tokio::test]
async fn what_a_conversation_is_called_is_not_said_of_another() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let said = |number, native: &str, summary: Option<&str>| {
        let mut said = hook(&id, number, None);
        said.signal.native_id = Some(native.to_owned());
        said.signal.summary = summary.map(str::to_owned);
        said
    };
    let summary = async || get(&store, &id).await.summary;
    apply(&store, 0, &[said(1, "n-1", Some("Fixing it"))]).await;
    assert_eq!(summary().await.as_deref(), Some("Fixing it"));
    apply(&store, 100, &[said(2, "n-1", None)]).await;
    assert_eq!(summary().await.as_deref(), Some("Fixing it"));
    apply(&store, 200, &[said(3, "n-2", None)]).await;
    assert_eq!(summary().await, None);
}

/// A transcript is written later than hooks are run: what it tells of before the last hook moves nothing.
#[tokio::test]
async fn what_a_transcript_tells_late_moves_nothing() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let late = |number, second, state| {
        let mut told = hook(&id, number, Some(state));
        (told.record.boot, told.record.boot_ms, told.record.at) = (String::new(), 0, at(second));
        told
    };
    apply(&store, 0, &[hook(&id, 5, Some(ActivityState::WaitingInput))]).await;
    apply(&store, 100, &[late(6, 14, ActivityState::Active)]).await;
    assert_eq!(get(&store, &id).await.activity.state, ActivityState::WaitingInput);
    apply(&store, 200, &[late(7, 16, ActivityState::Idle)]).await;
    assert_eq!(get(&store, &id).await.activity.state, ActivityState::Idle);
}

#[tokio::test]
async fn a_piece_of_spool_is_applied_once() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let records = [hook(&id, 1, Some(ActivityState::Active))];
    assert_eq!(apply(&store, 0, &records).await, Applied::Yes { counted: 1 });
    let before = get(&store, &id).await;
    assert_eq!(
        apply(&store, 0, &[hook(&id, 2, Some(ActivityState::Idle))]).await,
        Applied::Overtaken { at: 100 }
    );
    assert_eq!(get(&store, &id).await, before);
    assert_eq!(store.reader().spool_offset(&id).await.unwrap(), 100);
    assert_eq!(
        apply(&store, 100, &records).await,
        Applied::Yes { counted: 0 },
        "the same callback again"
    );
    assert_eq!(get(&store, &id).await, before);
    let nobody = store
        .observations()
        .apply_signals(&me(), &session("web-9"), 0, 9, &[], at(1))
        .await
        .unwrap();
    assert_eq!(nobody, Applied::NoSession);
}

/// The offset is the last thing written: when it cannot be, what the records said is taken back with it.
#[tokio::test]
async fn records_do_not_count_without_their_offset() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let records = [hook(&id, 1, Some(ActivityState::Active))];
    let before = (get(&store, &id).await, head(&store).await);
    let other = raw(&place.database()).await;
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON hook_spool BEGIN SELECT raise(ABORT, 'no offset'); END";
    other.execute_unprepared(refuse).await.unwrap();
    let refused = store
        .observations()
        .apply_signals(&me(), &id, 0, 100, &records, at(99))
        .await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!((get(&store, &id).await, head(&store).await), before);
    assert_eq!(store.reader().signals(&id, 2).await.unwrap().len(), 0);
    other.execute_unprepared("DROP TRIGGER refuse").await.unwrap();
    assert_eq!(apply(&store, 0, &records).await, Applied::Yes { counted: 1 });
}

#[tokio::test]
async fn only_this_run_with_its_secret_is_heard() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let good = hook(&id, 1, Some(ActivityState::Active));
    let mut bad = [good.clone(), good.clone(), good.clone()];
    bad[0].record.generation = 2;
    bad[1].record.secret = "f".repeat(32);
    bad[2].record.session = session("web-2");
    let before = get(&store, &id).await;
    assert_eq!(apply(&store, 0, &bad).await, Applied::Yes { counted: 0 });
    assert_eq!(get(&store, &id).await, before);
    assert_eq!(
        store.reader().spool_offset(&id).await.unwrap(),
        100,
        "they are passed over, not stumbled upon"
    );
    assert_eq!(
        apply(&store, 100, &[good]).await,
        Applied::Yes { counted: 1 },
        "a forged one takes no number"
    );
}

#[tokio::test]
async fn callbacks_that_overtook_each_other_end_in_the_same_state() {
    use ActivityState::{Active, Idle, WaitingInput};
    let states = [Active, Idle, WaitingInput];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for pieces in [1, 3] {
            let (_place, store) = world().await;
            let id = spawn(&store, "web").await;
            let records: Vec<_> = order
                .iter()
                .map(|n| hook(&id, 1 + *n as u64, Some(states[*n])))
                .collect();
            for (piece, records) in records.chunks(3 / pieces).enumerate() {
                apply(&store, 100 * piece as u64, records).await;
            }
            let activity = get(&store, &id).await.activity;
            assert_eq!(
                (activity.state, activity.since),
                (WaitingInput, at(13)),
                "{order:?} in {pieces}"
            );
        }
    }
}

#[tokio::test]
async fn a_clock_set_back_and_a_new_boot_do_not_silence_an_agent() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    let mut back = hook(&id, 9, Some(ActivityState::Idle));
    back.record.at = at(-3600);
    apply(&store, 0, &[hook(&id, 8, Some(ActivityState::Active)), back]).await;
    assert_eq!(get(&store, &id).await.activity.state, ActivityState::Idle);
    let mut reboot = hook(&id, 1, Some(ActivityState::WaitingInput));
    reboot.record.boot = "boot-2".to_owned();
    apply(&store, 100, &[reboot]).await;
    assert_eq!(get(&store, &id).await.activity.state, ActivityState::WaitingInput);
}

#[tokio::test]
async fn an_agent_that_is_over_takes_no_state() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Finished).await;
    let last_words = Signal {
        title: Some("done".to_owned()),
        ..Signal::default()
    };
    let records = [
        hook(&id, 1, Some(ActivityState::Active)),
        AppliedSignal {
            signal: last_words,
            ..hook(&id, 2, None)
        },
    ];
    assert_eq!(apply(&store, 0, &records).await, Applied::Yes { counted: 2 });
    let now = get(&store, &id).await;
    assert_eq!(
        (now.activity.state, now.title.as_deref()),
        (ActivityState::Idle, Some("done"))
    );
}

#[tokio::test]
async fn the_last_five_hundred_records_are_kept() {
    let (_place, store) = world().await;
    let (id, other) = (spawn(&store, "web").await, spawn(&store, "web").await);
    let records: Vec<_> = (1..=620).map(|n| hook(&id, n, None)).collect();
    apply(&store, 0, &records[..10]).await;
    store
        .observations()
        .apply_signals(&me(), &other, 0, 1, &[hook(&other, 1, None)], at(1))
        .await
        .unwrap();
    apply(&store, 100, &records[10..]).await;
    let kept = store.reader().signals(&id, 1000).await.unwrap();
    assert_eq!(kept.len(), ObservationWriter::SIGNALS_KEPT as usize);
    assert_eq!((kept[0].boot_ms, kept[499].boot_ms), (620, 121));
    assert_eq!(store.reader().signals(&other, 1000).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sweep_stays_due_until_it_is_finished() {
    let (_place, store) = world().await;
    store.intents().set_due("reaper", at(10)).await.unwrap();
    let sweeps = store.observations();
    let due = store.reader().due_sweeps(at(12)).await.unwrap();
    assert_eq!((due.len(), due[0].finished_at), (1, None));
    sweeps
        .sweep_finished(&me(), "reaper", at(25), Some("3 looked at"), at(13))
        .await
        .unwrap();
    assert!(store.reader().due_sweeps(at(24)).await.unwrap().is_empty());
    let all = store.reader().sweeps().await.unwrap();
    assert_eq!(
        (all[0].due_at, all[0].finished_at, all[0].note.as_deref()),
        (at(25), Some(at(13)), Some("3 looked at"))
    );
}

#[tokio::test]
async fn a_revoked_observer_writes_nothing() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    store.intents().set_due("reaper", at(10)).await.unwrap();
    let before = (
        get(&store, &id).await,
        store.reader().sweeps().await.unwrap(),
        head(&store).await,
    );
    let (late, observe) = (revoked().await, store.observations());
    let records = [hook(&id, 1, Some(ActivityState::Active))];
    let results = [
        observe
            .looked(&late, &[sighting(&id, alive(), 3)])
            .await
            .map(drop),
        observe
            .apply_signals(&late, &id, 0, 9, &records, at(3))
            .await
            .map(drop),
        observe.sweep_finished(&late, "reaper", at(99), None, at(3)).await,
        store.prune_change_log(&late, 1).await.map(drop),
    ];
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(FactsError::Revoked))),
        "{results:?}"
    );
    assert_eq!(
        (
            get(&store, &id).await,
            store.reader().sweeps().await.unwrap(),
            head(&store).await
        ),
        before
    );
    assert_eq!(store.reader().spool_offset(&id).await.unwrap(), 0);
}
