//! Messages: written down once, brought on only from where they stand, and proved by what the agent was asked.

use ao_domain::{
    ActivityState, Choice, Dialog, Message, MessageKind, MessageState, Phase, SessionId, Signal,
};
use ao_facts::{AppliedSignal, Moved, NewMessage, Reached, ScreenSeen, Sent, Step, Store};
use sea_orm::ConnectionTrait as _;

use crate::support::*;

fn text(id: &SessionId, body: &str, key: Option<&str>) -> NewMessage {
    NewMessage {
        key: key.map(str::to_owned),
        session: id.clone(),
        kind: MessageKind::Text,
        sender: None,
        body: body.to_owned(),
        dialog: None,
        now: at(20),
    }
}

async fn send(store: &Store, new: NewMessage) -> Message {
    match store.intents().send(new).await.unwrap() {
        Sent::Yes(message) => *message,
        other => panic!("{other:?}"),
    }
}

async fn bring(store: &Store, message: &Message, to: Step) -> Message {
    let moved = store
        .outcomes()
        .deliver(&me(), Reached::of(message), to, at(30))
        .await
        .unwrap();
    assert_eq!(moved, Moved::Yes);
    again(store, message).await
}

async fn state(store: &Store, message: &Message) -> MessageState {
    again(store, message).await.state
}

async fn again(store: &Store, message: &Message) -> Message {
    let found = store.reader().message(&message.session, message.id).await;
    found.unwrap().unwrap()
}

fn typing(generation: u32, typed: &str) -> Step {
    Step::Typing {
        generation,
        typed: typed.to_owned(),
        file: None,
    }
}

fn asked(id: &SessionId, number: u64, prompt: &str) -> AppliedSignal {
    let signal = Signal {
        state: Some(ActivityState::Active),
        prompt: Some(prompt.to_owned()),
        ..Signal::default()
    };
    AppliedSignal {
        signal,
        ..hook(id, number, None)
    }
}

async fn hear(store: &Store, id: &SessionId, from: u64, signal: AppliedSignal) {
    store
        .observations()
        .apply_signals(&me(), id, from, from + 100, &[signal], at(99))
        .await
        .unwrap();
}

async fn live() -> (Place, Store, SessionId) {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    (place, store, id)
}

#[tokio::test]
async fn a_message_is_written_down_once_for_a_session_that_is_not_over() {
    let (_place, store, id) = live().await;
    let first = send(&store, text(&id, "go on", Some("k"))).await;
    assert_eq!(
        (first.state, first.attempts, first.queued_at),
        (MessageState::Queued, 0, at(20))
    );
    let same = send(&store, text(&id, "go on", Some("k"))).await;
    assert_eq!(same.id, first.id);
    let another = store.intents().send(text(&id, "stop", Some("k"))).await.unwrap();
    assert_eq!(another, Sent::KeyTaken);
    let second = send(&store, text(&id, "go on", None)).await;
    assert_ne!(second.id, first.id);
    let session = get(&store, &id).await;
    assert_eq!(
        (session.messages_waiting, session.waiting_since),
        (2, Some(at(20)))
    );
    let waiting = store.reader().waiting_messages(&id).await.unwrap();
    assert_eq!(
        waiting.iter().map(|message| message.id).collect::<Vec<_>>(),
        [first.id, second.id]
    );
    let nobody = text(&"web-9".parse().unwrap(), "x", None);
    assert_eq!(store.intents().send(nobody).await.unwrap(), Sent::NotFound);
    for phase in [Phase::Finished, Phase::Stopping, Phase::Freeing, Phase::Ended] {
        put(&store, &id, phase).await;
        assert_eq!(
            store.intents().send(text(&id, "x", None)).await.unwrap(),
            Sent::Over,
            "{phase}"
        );
    }
    // Sent before it was over: the same answer as then.
    assert_eq!(send(&store, text(&id, "go on", Some("k"))).await.id, first.id);
}

#[tokio::test]
async fn a_message_goes_on_only_from_where_it_was_seen() {
    let (_place, store, id) = live().await;
    let queued = send(&store, text(&id, "go on", None)).await;
    let under_way = bring(&store, &queued, typing(1, "go on")).await;
    assert_eq!(
        (under_way.state, under_way.attempts, under_way.generation),
        (MessageState::Typing, 1, Some(1))
    );
    assert_eq!(under_way.attempt(), format!("m{}.1", queued.id));
    // Whoever saw it queued comes too late.
    for to in [typing(1, "again"), Step::Typed, Step::Accepted] {
        let moved = store
            .outcomes()
            .deliver(&me(), Reached::of(&queued), to, at(31))
            .await
            .unwrap();
        assert_eq!(moved, Moved::Overtaken);
    }
    let put_off = Step::Queued {
        reason: "a person is typing".to_owned(),
        try_at: Some(at(40)),
        perhaps: false,
    };
    let waits = bring(&store, &under_way, put_off).await;
    assert_eq!(
        (waits.state, waits.perhaps, waits.try_at),
        (MessageState::Queued, false, Some(at(40)))
    );
    assert_eq!(waits.reason.as_deref(), Some("a person is typing"));
    let typed = bring(&store, &waits, typing(1, "go on")).await;
    let typed = bring(&store, &typed, Step::Typed).await;
    assert_eq!(
        (typed.state, typed.typings, typed.reason.as_deref()),
        (MessageState::Typed, 1, None)
    );
    let perhaps = Step::Queued {
        reason: "nothing proved it".to_owned(),
        try_at: None,
        perhaps: true,
    };
    let again = bring(&store, &typed, perhaps).await;
    assert!(again.perhaps);
    // What may have arrived may have arrived for ever, however often it is put off since.
    let again = bring(&store, &again, typing(1, "go on")).await;
    let put_off = Step::Queued {
        reason: "a person is typing".to_owned(),
        try_at: None,
        perhaps: false,
    };
    assert!(bring(&store, &again, put_off).await.perhaps);
    assert!(
        store
            .outcomes()
            .deliver(&revoked().await, Reached::of(&queued), Step::Typed, at(31))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_agent_that_says_what_it_was_asked_proves_it() {
    let (_place, store, id) = live().await;
    let message = send(&store, text(&id, "one\n  two", None)).await;
    // Queued: whatever it was asked, it was not this one.
    hear(&store, &id, 0, asked(&id, 1, "one two")).await;
    assert_eq!(again(&store, &message).await.state, MessageState::Queued);
    let message = bring(&store, &message, typing(1, "one\n  two")).await;
    hear(&store, &id, 100, asked(&id, 2, "one two three")).await;
    assert_eq!(
        again(&store, &message).await.state,
        MessageState::Typing,
        "another text"
    );
    let mut stranger = asked(&id, 3, "one two");
    stranger.record.generation = 2;
    hear(&store, &id, 200, stranger).await;
    assert_eq!(
        again(&store, &message).await.state,
        MessageState::Typing,
        "another run"
    );
    hear(&store, &id, 300, asked(&id, 4, "one two")).await;
    let proved = again(&store, &message).await;
    assert_eq!(
        proved.state,
        MessageState::Accepted,
        "before it was known to be typed"
    );
    let late = store
        .outcomes()
        .deliver(&me(), Reached::of(&message), Step::Typed, at(31))
        .await
        .unwrap();
    assert_eq!(late, Moved::Overtaken);
    let session = get(&store, &id).await;
    assert_eq!((session.messages_waiting, session.waiting_since), (0, None));
}

/// What another run of the agent says that it was asked is no proof of what was typed in this one.
#[tokio::test]
async fn a_word_of_another_run_proves_nothing() {
    let (_place, store, id) = live().await;
    let message = send(&store, text(&id, "go on", None)).await;
    let message = bring(&store, &message, typing(1, "go on")).await;
    put(&store, &id, Phase::Finished).await;
    let run = ao_facts::NewRun {
        start_over: true,
        secret: "1".repeat(32),
        now: at(120),
    };
    store.intents().restore(&id, run).await.unwrap();
    let mut next = asked(&id, 1, "go on");
    (next.record.generation, next.record.secret) = (2, "1".repeat(32));
    hear(&store, &id, 0, next).await;
    assert_eq!(state(&store, &message).await, MessageState::Typing);
}

/// The word of the agent that comes late, when it was queued again already, with or without the word about that.
#[tokio::test]
async fn a_proof_that_comes_late_is_one() {
    let (_place, store, id) = live().await;
    hear(&store, &id, 0, hook(&id, 1, Some(ActivityState::Idle))).await;
    let message = send(&store, text(&id, "go on", None)).await;
    let message = bring(&store, &message, typing(1, "go on")).await;
    let message = bring(&store, &message, Step::Typed).await;
    let again = || Step::Queued {
        reason: "nothing proved it".to_owned(),
        try_at: None,
        perhaps: true,
    };
    let message = bring(&store, &message, again()).await;
    let message = bring(
        &store,
        &message,
        typing(1, &format!("{}\ngo on", Message::PERHAPS)),
    )
    .await;
    let message = bring(&store, &message, again()).await;
    hear(&store, &id, 100, asked(&id, 2, "go on")).await;
    assert_eq!(state(&store, &message).await, MessageState::Accepted);
}

/// What its agent took and never began with, because it ended, is queued for the next run; what it began with is not.
#[tokio::test]
async fn what_an_agent_took_and_never_began_with_is_queued_for_its_next_run() {
    let (_place, store, id) = live().await;
    hear(&store, &id, 0, hook(&id, 1, Some(ActivityState::Idle))).await;
    let mut messages = Vec::new();
    // The first begins at once; the others come while it works, and wait inside it.
    for (number, body) in [(2, "first"), (3, "second"), (4, "third")] {
        let message = send(&store, text(&id, body, None)).await;
        messages.push(bring(&store, &message, typing(1, body)).await);
        hear(&store, &id, number * 100 - 100, asked(&id, number, body)).await;
    }
    // Its own record says that the second has begun.
    let mut begun = asked(&id, 5, "second");
    begun.signal.begins = true;
    hear(&store, &id, 400, begun).await;
    for message in &messages {
        assert_eq!(state(&store, message).await, MessageState::Accepted);
    }
    put(&store, &id, Phase::Finished).await;
    let run = ao_facts::NewRun {
        start_over: true,
        secret: "1".repeat(32),
        now: at(120),
    };
    store.intents().restore(&id, run).await.unwrap();
    let states = [
        state(&store, &messages[0]).await,
        state(&store, &messages[1]).await,
        state(&store, &messages[2]).await,
    ];
    assert_eq!(
        states,
        [
            MessageState::Accepted,
            MessageState::Accepted,
            MessageState::Queued
        ]
    );
    let third = again(&store, &messages[2]).await;
    assert!(third.perhaps && third.reason.unwrap().contains("ended before it began"));
    assert_eq!(get(&store, &id).await.messages_waiting, 1);
}

#[tokio::test]
async fn only_a_queued_message_is_taken_back() {
    let (_place, store, id) = live().await;
    let (one, two) = (
        send(&store, text(&id, "one", None)).await,
        send(&store, text(&id, "two", None)).await,
    );
    let intents = store.intents();
    assert_eq!(intents.withdraw(&id, one.id, at(30)).await.unwrap(), Moved::Yes);
    assert_eq!(again(&store, &one).await.state, MessageState::Failed);
    assert_eq!(
        intents.withdraw(&id, one.id, at(30)).await.unwrap(),
        Moved::Overtaken
    );
    bring(&store, &two, typing(1, "two")).await;
    assert_eq!(
        intents.withdraw(&id, two.id, at(30)).await.unwrap(),
        Moved::Overtaken
    );
    assert_eq!(
        intents
            .withdraw(&"web-9".parse().unwrap(), two.id, at(30))
            .await
            .unwrap(),
        Moved::Overtaken
    );
    // Of one whose agent is over nothing is under way.
    put(&store, &id, Phase::Finished).await;
    assert_eq!(intents.withdraw(&id, two.id, at(30)).await.unwrap(), Moved::Yes);
}

#[tokio::test]
async fn what_a_screen_showed_belongs_to_the_state_it_was_seen_in() {
    let (_place, store, id) = live().await;
    hear(&store, &id, 0, hook(&id, 1, Some(ActivityState::WaitingInput))).await;
    let since = get(&store, &id).await.activity.since;
    let dialog = Dialog {
        text: vec!["Run it?".to_owned()],
        choices: vec![Choice {
            keys: None,
            key: "1".to_owned(),
            label: "Yes".to_owned(),
        }],
        lines: vec!["Run it?".to_owned(), "1. Yes".to_owned()],
    };
    let seen = || ScreenSeen {
        dialog: Some(dialog.clone()),
        delay: None,
    };
    let write = async |generation, since| {
        store
            .observations()
            .screen(&me(), &id, generation, since, seen(), at(50))
            .await
            .unwrap()
    };
    assert_eq!(write(2, since).await, Moved::Overtaken);
    assert_eq!(write(1, at(3)).await, Moved::Overtaken);
    assert_eq!(get(&store, &id).await.dialog, None);
    assert_eq!(write(1, since).await, Moved::Yes);
    assert_eq!(get(&store, &id).await.dialog, Some(dialog.clone()));
    // What is said since leaves it: a look decides.
    for (number, state) in [
        (2, ActivityState::WaitingInput),
        (3, ActivityState::Active),
        (4, ActivityState::WaitingInput),
    ] {
        hear(&store, &id, number * 100 - 100, hook(&id, number, Some(state))).await;
        assert_eq!(get(&store, &id).await.dialog, Some(dialog.clone()));
    }
    // A look that does not find it any more: it was answered, and its agent works.
    let session = get(&store, &id).await;
    let gone = store
        .observations()
        .screen(
            &me(),
            &id,
            1,
            session.activity.since,
            ScreenSeen::default(),
            at(60),
        )
        .await
        .unwrap();
    assert_eq!(gone, Moved::Yes);
    let session = get(&store, &id).await;
    assert_eq!(
        (session.dialog, session.activity.state, session.activity.since),
        (None, ActivityState::Active, at(60))
    );
    // One that shows none where none was says nothing about what it does.
    hear(&store, &id, 400, hook(&id, 5, Some(ActivityState::WaitingInput))).await;
    let since = get(&store, &id).await.activity.since;
    let none = store
        .observations()
        .screen(&me(), &id, 1, since, ScreenSeen::default(), at(70))
        .await
        .unwrap();
    assert_eq!(none, Moved::Yes);
    assert_eq!(get(&store, &id).await.activity.state, ActivityState::WaitingInput);
}

#[tokio::test]
async fn what_ended_a_turn_stands_until_the_next_word() {
    let (_place, store, id) = live().await;
    let failed = Signal {
        state: Some(ActivityState::Idle),
        trouble: Some("rate_limit".to_owned()),
        ..Signal::default()
    };
    let failed = AppliedSignal {
        signal: failed,
        ..hook(&id, 1, None)
    };
    hear(&store, &id, 0, failed).await;
    assert_eq!(get(&store, &id).await.trouble.as_deref(), Some("rate_limit"));
    hear(&store, &id, 100, hook(&id, 2, None)).await;
    assert_eq!(
        get(&store, &id).await.trouble.as_deref(),
        Some("rate_limit"),
        "a mere sign of life"
    );
    hear(&store, &id, 200, hook(&id, 3, Some(ActivityState::Active))).await;
    assert_eq!(get(&store, &id).await.trouble, None);
}

#[tokio::test]
async fn each_step_of_a_message_is_told_of_and_so_is_its_session() {
    let (place, store, id) = live().await;
    let before = head(&store).await;
    let message = send(&store, text(&id, "go on", None)).await;
    assert_eq!(
        types(&store, before).await,
        ["message_created", "session_updated"]
    );
    let told = changes(&store, before).await;
    assert_eq!(told[0].payload["id"], message.id);
    assert_eq!(
        (told[0].session.as_ref(), &told[0].project),
        (Some(&id), &project("web"))
    );
    let before = head(&store).await;
    let message = bring(&store, &message, typing(1, "go on")).await;
    let message = bring(&store, &message, Step::Typed).await;
    assert_eq!(
        types(&store, before).await,
        ["message_updated", "message_updated"]
    );
    let before = head(&store).await;
    bring(&store, &message, Step::Accepted).await;
    assert_eq!(
        types(&store, before).await,
        ["message_updated", "session_updated"]
    );
    let db = raw(&place.database()).await;
    let before = head(&store).await;
    db.execute_unprepared("UPDATE messages SET typed = 'x', try_at = NULL")
        .await
        .unwrap();
    assert_eq!(head(&store).await, before, "what the API does not show");
}
