//! Pull requests: what is written down of them, what opens and closes an episode, and what is told once.

use ao_domain::port::forge::{Budget, Pool, Refusal};
use ao_domain::{
    Check, CheckStatus, Ci, Desired, EndReason, EpisodeKind, Evidence, Mergeability, MessageState,
    NoticeKind, Phase, PrFacts, PrRef, PrState, RemoteRepo, Review, SessionId, Timestamp,
};
use ao_facts::{
    Configured, Explained, GatewaySeen, Moved, NewNotice, NewNudge, NewRun, PullFailed, PullSeen, Reached,
    RepositorySeen, Step, Store, TokenState,
};

use crate::support::*;

pub(crate) fn repo() -> RemoteRepo {
    RemoteRepo::new("forge.example", "acme/web")
}

pub(crate) fn facts(number: u64, head: char) -> PrFacts {
    PrFacts {
        at: PrRef { repo: repo(), number },
        url: format!("https://forge.example/acme/web/pull/{number}"),
        title: "a change".to_owned(),
        author: "somebody".to_owned(),
        state: PrState::Open,
        head_branch: "ao/web-1".to_owned(),
        head: head.to_string().repeat(40),
        head_repo: Some(repo()),
        base_branch: "main".to_owned(),
        base: "f".repeat(40),
        review: Review::None,
        mergeability: Mergeability::Unknown,
        queued_to_merge: false,
    }
}

pub(crate) fn check(name: &str, attempt: u64, status: CheckStatus) -> Check {
    Check {
        key: format!("ci/{name}"),
        name: name.to_owned(),
        status,
        conclusion: String::new(),
        url: String::new(),
        attempt: Some(attempt.to_string()),
        order: attempt,
        required: false,
        summary: String::new(),
        started_at: None,
        completed_at: None,
        evidence: Evidence::Unasked,
        step: None,
        log: String::new(),
    }
}

fn seen(facts: PrFacts, checks: &[Check], began: i64) -> PullSeen {
    PullSeen {
        facts,
        checks: Some(checks.to_vec()),
        trouble: None,
        fingerprint: format!("as of {began}"),
        began: at(began),
    }
}

fn failed(is_gone: bool, began: i64) -> PullFailed {
    PullFailed {
        why: if is_gone {
            format!("{}; and what to do", Refusal::Gone)
        } else {
            "no answer in time".to_owned()
        },
        is_gone,
        began: at(began),
    }
}

/// A live session with a pull request, whose number here is 1.
pub(crate) async fn with_pull(store: &Store) -> SessionId {
    let id = spawn(store, "web").await;
    put(store, &id, Phase::Live).await;
    let found = RepositorySeen {
        found: vec![(id.clone(), facts(7, 'a'))],
        ..RepositorySeen::default()
    };
    list(store, found, 10).await;
    id
}

async fn list(store: &Store, seen: RepositorySeen, second: i64) {
    let listed = store
        .observations()
        .repository_listed(&me(), &repo(), seen, at(second))
        .await;
    listed.unwrap();
}

pub(crate) async fn look(store: &Store, facts: PrFacts, checks: &[Check], second: i64) {
    let looked = store
        .observations()
        .pull_seen(&me(), 1, seen(facts, checks, second), at(second))
        .await;
    assert_eq!(looked.unwrap(), Moved::Yes);
}

pub(crate) async fn tell(store: &Store, id: &SessionId, episode: u64, round: u32) -> Moved {
    let new = NewNudge {
        session: id.clone(),
        generation: get(store, id).await.generation,
        episode,
        kind: EpisodeKind::Ci,
        round,
        told: vec!["ci/test".to_owned()],
        text: "test failed".to_owned(),
    };
    store.outcomes().nudge(&me(), new, at(50)).await.unwrap()
}

#[tokio::test]
async fn a_pull_request_that_is_found_is_in_its_sessions_row_and_told_of() {
    let (_place, store) = world().await;
    let before = head(&store).await;
    let id = with_pull(&store).await;
    assert!(types(&store, before).await.contains(&"pr_created".to_owned()));
    let short = get(&store, &id).await.prs;
    assert_eq!(short.len(), 1);
    assert_eq!(
        (short[0].number, short[0].ci, short[0].state),
        (7, Ci::Unknown, PrState::Open)
    );

    let (before, revision) = (head(&store).await, get(&store, &id).await.revision);
    look(
        &store,
        facts(7, 'a'),
        &[check("test", 1, CheckStatus::Failed)],
        20,
    )
    .await;
    let told = types(&store, before).await;
    assert_eq!(told, ["pr_check_recorded", "pr_updated", "session_updated"]);
    let session = get(&store, &id).await;
    assert!(session.revision > revision);
    assert_eq!(
        (session.prs[0].ci, session.prs[0].failing.as_slice()),
        (Ci::Failing, &["test".to_owned()][..])
    );
}

#[tokio::test]
async fn a_pull_request_stays_whose_it_was_first() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    let other = spawn(&store, "web").await;
    let again = RepositorySeen {
        found: vec![(other.clone(), facts(7, 'a'))],
        ..RepositorySeen::default()
    };
    list(&store, again, 20).await;
    assert_eq!(store.reader().pulls(Some(&id)).await.unwrap().len(), 1);
    assert!(store.reader().pulls(Some(&other)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_look_that_finds_nothing_new_wakes_nobody_and_a_wake_up_during_a_look_is_kept() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(&store, facts(7, 'a'), &[], 20).await;
    let (before, revision) = (head(&store).await, get(&store, &id).await.revision);
    let observe = store.observations();
    observe
        .repository_pushed(&me(), &repo(), &[], at(31))
        .await
        .unwrap();
    observe.pull_unchanged(&me(), 1, at(30), at(32)).await.unwrap();
    let pr = store.reader().pull(1).await.unwrap().unwrap();
    assert_eq!(
        (pr.read_at, pr.wake_at),
        (Some(at(32)), Some(at(31))),
        "it began before the push"
    );
    observe.pull_unchanged(&me(), 1, at(33), at(34)).await.unwrap();
    assert_eq!(store.reader().pull_wake(1).await.unwrap(), None);
    let mut wakeups = store.reader().wakeups();
    look(&store, facts(7, 'a'), &[], 35).await;
    assert_eq!(head(&store).await, before);
    assert_eq!(get(&store, &id).await.revision, revision);
    assert!(!is_woken(&mut wakeups), "a whole look found nothing new either");
    let draft = PrFacts {
        state: PrState::Draft,
        ..facts(7, 'a')
    };
    look(&store, draft.clone(), &[], 36).await;
    assert!(is_woken(&mut wakeups));
    let observe = store.observations();
    observe
        .pull_failed(&me(), 1, failed(false, 37), at(37))
        .await
        .unwrap();
    assert!(is_woken(&mut wakeups));
    look(&store, draft, &[], 38).await;
    assert!(is_woken(&mut wakeups), "the trouble is over");
}

/// Whether anything was told since it was asked last.
fn is_woken(wakeups: &mut ao_facts::Wakeups) -> bool {
    use std::future::Future as _;
    let changed = std::pin::pin!(wakeups.changed());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    changed.poll(&mut context).is_ready()
}

#[tokio::test]
async fn a_push_asks_for_a_look_at_what_it_pushed() {
    let (_place, store) = world().await;
    with_pull(&store).await;
    look(&store, facts(7, 'a'), &[], 20).await;
    let pushed = async |branches: &[&str], second| {
        let branches: Vec<String> = branches.iter().map(|branch| (*branch).to_owned()).collect();
        let observe = store.observations();
        let written = observe
            .repository_pushed(&me(), &repo(), &branches, at(second))
            .await;
        written.unwrap();
        store.reader().pull_wake(1).await.unwrap()
    };
    assert_eq!(pushed(&["main", "ao/web-10", "ao/web"], 30).await, None, "others");
    assert_eq!(pushed(&["main", "ao/web-1"], 31).await, Some(at(31)));
    assert_eq!(pushed(&["ao"], 32).await, Some(at(32)), "below it");
    assert_eq!(pushed(&[], 33).await, Some(at(33)), "nobody knows which");
}

#[tokio::test]
async fn the_end_of_a_turn_asks_for_a_look_and_rings() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(&store, facts(7, 'a'), &[], 20).await;
    let mut bells = store.reader().bells();
    let hear = async |number: u64, state| {
        let heard = [hook(&id, number, Some(state))];
        let observe = store.observations();
        let applied = observe
            .apply_signals(&me(), &id, number - 1, number, &heard, at(40))
            .await;
        applied.unwrap();
    };
    hear(1, ao_domain::ActivityState::Active).await;
    assert_eq!(store.reader().pull_wake(1).await.unwrap(), None);
    hear(2, ao_domain::ActivityState::Idle).await;
    assert!(store.reader().pull_wake(1).await.unwrap().is_some());
    bells.changed().await;
}

#[tokio::test]
async fn what_a_forge_forgot_is_not_forgotten_here_until_another_commit() {
    let (_place, store) = world().await;
    with_pull(&store).await;
    let is = async |facts: PrFacts, second| {
        look(&store, facts, &[], second).await;
        store.reader().pull(1).await.unwrap().unwrap().facts.mergeability
    };
    let conflicting = PrFacts {
        mergeability: Mergeability::Conflicting,
        ..facts(7, 'a')
    };
    assert_eq!(is(conflicting, 20).await, Mergeability::Conflicting);
    assert_eq!(is(facts(7, 'a'), 21).await, Mergeability::Conflicting);
    assert_eq!(is(facts(7, 'b'), 22).await, Mergeability::Unknown);
}

#[tokio::test]
async fn an_episode_is_about_one_commit_and_green_ends_it() {
    let (_place, store) = world().await;
    with_pull(&store).await;
    let episodes = async || {
        let all = store.reader().episodes(1).await.unwrap();
        let short = all
            .iter()
            .map(|e| (e.head.chars().next().unwrap(), e.closed_by.clone()));
        short.collect::<Vec<_>>()
    };
    let why = |text: &str| Some(text.to_owned());
    let (red, runs, green, gone) = (
        [check("test", 1, CheckStatus::Failed)],
        [check("test", 2, CheckStatus::InProgress)],
        [check("test", 2, CheckStatus::Passed)],
        [check("test", 3, CheckStatus::Cancelled)],
    );
    look(&store, facts(7, 'a'), &runs, 20).await;
    assert!(episodes().await.is_empty(), "what runs has not failed");
    look(&store, facts(7, 'a'), &gone, 21).await;
    assert!(episodes().await.is_empty(), "what was cancelled has not failed");
    look(&store, facts(7, 'a'), &red, 22).await;
    look(&store, facts(7, 'a'), &red, 23).await;
    assert_eq!(episodes().await, [('a', None)], "one, however often it is seen");
    look(&store, facts(7, 'a'), &runs, 24).await;
    look(&store, facts(7, 'a'), &gone, 25).await;
    assert_eq!(episodes().await, [('a', None)], "what runs again is not good yet");
    look(&store, facts(7, 'a'), &green, 26).await;
    assert_eq!(episodes().await, [('a', why("all checks pass"))]);
    look(&store, facts(7, 'b'), &red, 27).await;
    assert_eq!(
        episodes().await[1..],
        [('b', None)],
        "a new failing head opens the next"
    );
    look(&store, facts(7, 'c'), &red, 28).await;
    assert_eq!(
        episodes().await[1..],
        [('b', why("another commit was pushed")), ('c', None)]
    );
    let merged = PrFacts {
        state: PrState::Merged,
        ..facts(7, 'c')
    };
    look(&store, merged.clone(), &red, 29).await;
    assert_eq!(episodes().await[2..], [('c', why("merged"))]);
    look(&store, merged, &red, 30).await;
    assert_eq!(episodes().await.len(), 3, "what is merged is not mended");
    assert!(store.reader().followed_pulls().await.unwrap().is_empty());
}

#[tokio::test]
async fn checks_that_could_not_be_read_stay_as_they_were_known_of_the_same_commit() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    let red = [check("test", 1, CheckStatus::Failed)];
    let unread = async |facts: PrFacts, second| {
        let seen = PullSeen {
            trouble: Some("its checks could not be read".to_owned()),
            checks: None,
            ..seen(facts, &[], second)
        };
        let observe = store.observations();
        let looked = observe.pull_seen(&me(), 1, seen, at(second)).await;
        assert_eq!(looked.unwrap(), Moved::Yes);
        observe
            .pull_unchanged(&me(), 1, at(second), at(second))
            .await
            .unwrap();
        let short = get(&store, &id).await.prs.remove(0);
        assert_eq!(short.trouble.as_deref(), Some("its checks could not be read"));
        let known = store.reader().checks(1).await.unwrap();
        assert_eq!(short.failing.len(), known.len());
        (short.ci, known.len(), short.state)
    };
    let ends = async || {
        let all = store.reader().episodes(1).await.unwrap();
        all.into_iter().map(|one| one.closed_by).collect::<Vec<_>>()
    };
    let open = PrState::Open;
    assert_eq!(unread(facts(7, 'a'), 20).await, (Ci::Unknown, 0, open));
    assert!(ends().await.is_empty(), "nobody knows that one has failed");
    look(&store, facts(7, 'a'), &red, 21).await;
    assert_eq!(get(&store, &id).await.prs[0].trouble, None, "it was read");
    assert_eq!(unread(facts(7, 'a'), 22).await, (Ci::Failing, 1, open));
    assert_eq!(ends().await, [None], "nor that it is mended");
    assert_eq!(unread(facts(7, 'b'), 23).await, (Ci::Unknown, 0, open));
    assert_eq!(ends().await, [Some("another commit was pushed".to_owned())]);
    look(&store, facts(7, 'b'), &red, 24).await;
    let merged = PrFacts {
        state: PrState::Merged,
        ..facts(7, 'b')
    };
    assert_eq!(unread(merged, 25).await, (Ci::Failing, 1, PrState::Merged));
    assert_eq!(ends().await[1], Some("merged".to_owned()));
    assert!(store.reader().followed_pulls().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_about_an_episode_is_queued_once_and_taken_back_when_it_is_over() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(
        &store,
        facts(7, 'a'),
        &[check("test", 1, CheckStatus::Failed)],
        20,
    )
    .await;
    assert_eq!(tell(&store, &id, 1, 1).await, Moved::Yes);
    assert_eq!(tell(&store, &id, 1, 1).await, Moved::Overtaken, "once");
    assert_eq!(
        tell(&store, &id, 9, 1).await,
        Moved::Overtaken,
        "of an episode that there is"
    );
    let messages = store.reader().messages(&id, 10).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].about, Some(EpisodeKind::Ci));
    assert_eq!(get(&store, &id).await.messages_waiting, 1);
    let nudges = store.reader().nudges(1).await.unwrap();
    assert_eq!(
        (
            nudges.len(),
            nudges[0].message,
            nudges[0].typed_in,
            nudges[0].lost
        ),
        (1, messages[0].id, None, false)
    );

    look(
        &store,
        facts(7, 'a'),
        &[check("test", 2, CheckStatus::Passed)],
        30,
    )
    .await;
    let message = &store.reader().messages(&id, 10).await.unwrap()[0];
    assert_eq!(message.state, MessageState::Failed);
    assert_eq!(
        message.reason.as_deref(),
        Some("not needed any more: all checks pass")
    );
    assert_eq!(tell(&store, &id, 1, 2).await, Moved::Overtaken, "it is over");
    assert!(store.reader().nudges(1).await.unwrap()[0].lost);
}

#[tokio::test]
async fn a_message_that_may_have_been_typed_is_not_repeated_once_its_episode_is_over() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    let check = |attempt, status| [check("test", attempt, status)];
    let (outcomes, reader) = (store.outcomes(), store.reader());
    let step = async |of: u64, step: Step, second| {
        let now = reader.message(&id, of).await.unwrap().unwrap();
        let moved = outcomes.deliver(&me(), Reached::of(&now), step, at(second)).await;
        assert_eq!(moved.unwrap(), Moved::Yes);
    };
    let typing = || Step::Typing {
        generation: 1,
        typed: "test failed".to_owned(),
        file: None,
    };
    let again = || Step::Queued {
        reason: "nothing said that it arrived".to_owned(),
        try_at: Some(at(90)),
        perhaps: true,
    };
    // Queued again, and then it is over; under way when it is over, and queued again afterwards.
    let after = |why| format!("not needed any more: {why}; it may have reached the agent all the same");
    for (number, by_push) in [(1, false), (2, true)] {
        let red = check(2 * number, CheckStatus::Failed);
        look(&store, facts(7, 'a'), &red, 20).await;
        assert_eq!(tell(&store, &id, number, 1).await, Moved::Yes);
        step(number, typing(), 60).await;
        let why = if by_push {
            look(&store, facts(7, 'b'), &[], 61).await;
            let waits = reader.message(&id, number).await.unwrap().unwrap();
            assert_eq!(waits.state, MessageState::Typing, "it is its outbox's");
            step(number, again(), 62).await;
            "another commit was pushed"
        } else {
            step(number, again(), 61).await;
            let green = check(3, CheckStatus::Passed);
            look(&store, facts(7, 'a'), &green, 62).await;
            "all checks pass"
        };
        let message = reader.message(&id, number).await.unwrap().unwrap();
        assert_eq!(
            (message.state, message.reason, message.try_at),
            (MessageState::Failed, Some(after(why)), None)
        );
        let told = reader.nudges(1).await.unwrap();
        assert!(!told.iter().any(|nudge| nudge.lost), "it may have been told");
    }
    // Taken and not begun with when its episode ended: it is not for the next run either.
    look(&store, facts(7, 'b'), &check(5, CheckStatus::Failed), 70).await;
    assert_eq!(tell(&store, &id, 3, 1).await, Moved::Yes);
    for (taken, second) in [(typing(), 71), (Step::Typed, 72), (Step::Accepted, 73)] {
        step(3, taken, second).await;
    }
    look(&store, facts(7, 'b'), &check(6, CheckStatus::Passed), 74).await;
    put(&store, &id, Phase::Finished).await;
    let run = NewRun {
        start_over: true,
        secret: SECRET.to_owned(),
        now: at(80),
    };
    store.intents().restore(&id, run).await.unwrap();
    let message = reader.message(&id, 3).await.unwrap().unwrap();
    assert_eq!(
        (message.state, message.reason),
        (MessageState::Failed, Some(after("all checks pass")))
    );
    assert_eq!(get(&store, &id).await.messages_waiting, 0);
}

#[tokio::test]
async fn only_a_live_agent_is_told_and_only_the_run_that_was_looked_at() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(
        &store,
        facts(7, 'a'),
        &[check("test", 1, CheckStatus::Failed)],
        20,
    )
    .await;
    let mut earlier = NewNudge {
        session: id.clone(),
        generation: 0,
        episode: 1,
        kind: EpisodeKind::Ci,
        round: 1,
        told: Vec::new(),
        text: "x".to_owned(),
    };
    let outcomes = store.outcomes();
    assert_eq!(
        outcomes.nudge(&me(), earlier.clone(), at(50)).await.unwrap(),
        Moved::Overtaken
    );
    put(&store, &id, Phase::Finished).await;
    earlier.generation = 1;
    assert_eq!(
        outcomes.nudge(&me(), earlier, at(50)).await.unwrap(),
        Moved::Overtaken
    );
}

#[tokio::test]
async fn why_a_check_failed_stays_with_its_attempt() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    let red = |attempt| [check("test", attempt, CheckStatus::Failed)];
    look(&store, facts(7, 'a'), &red(1), 20).await;
    let known = async || store.reader().checks(1).await.unwrap().remove(0);
    assert_eq!(known().await.evidence, Evidence::Wanted);
    let explained = |attempt: u64, log: &str| Explained {
        key: "ci/test".to_owned(),
        attempt: Some(attempt.to_string()),
        evidence: Evidence::Read,
        step: Some("Run tests".to_owned()),
        log: log.to_owned(),
    };
    let revision = get(&store, &id).await.revision;
    let observe = store.observations();
    let explain = async |attempt, log| {
        let done = observe
            .check_explained(&me(), 1, explained(attempt, log), at(21))
            .await;
        done.unwrap()
    };
    assert_eq!(explain(2, "of another attempt").await, Moved::Overtaken);
    assert_eq!(explain(1, "left != right").await, Moved::Yes);
    assert_eq!(explain(1, "twice").await, Moved::Overtaken);
    assert!(
        get(&store, &id).await.revision > revision,
        "its session's child waits for that"
    );
    look(&store, facts(7, 'a'), &red(1), 22).await;
    assert_eq!(
        (known().await.log.as_str(), known().await.evidence),
        ("left != right", Evidence::Read)
    );
    look(&store, facts(7, 'a'), &red(2), 23).await;
    assert_eq!(
        (known().await.log.as_str(), known().await.evidence),
        ("", Evidence::Wanted)
    );
    look(&store, facts(7, 'b'), &[], 24).await;
    assert!(
        store.reader().checks(1).await.unwrap().is_empty(),
        "those of an earlier head are gone"
    );
}

#[tokio::test]
async fn a_failed_look_loses_nothing_and_is_counted() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(
        &store,
        facts(7, 'a'),
        &[check("test", 1, CheckStatus::Failed)],
        20,
    )
    .await;
    let observe = store.observations();
    for (count, second) in [(1, 30), (2, 40)] {
        observe
            .pull_failed(&me(), 1, failed(false, second), at(second))
            .await
            .unwrap();
        let pr = store.reader().pull(1).await.unwrap().unwrap();
        assert_eq!((pr.failures, pr.ci), (count, Ci::Failing));
        assert_eq!(pr.trouble.as_deref(), Some("no answer in time"));
        assert_eq!(pr.read_at, Some(at(second)));
    }
    assert_eq!(
        get(&store, &id).await.prs[0].trouble.as_deref(),
        Some("no answer in time")
    );
    look(&store, facts(7, 'a'), &[], 50).await;
    let pr = store.reader().pull(1).await.unwrap().unwrap();
    assert_eq!((pr.failures, pr.trouble), (0, None));
}

#[tokio::test]
async fn one_that_is_gone_is_followed_no_more_once_its_session_is_over_and_again_with_it() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(&store, facts(7, 'a'), &[], 20).await;
    let observe = store.observations();
    let fails = async |is_gone, second| {
        let by = me();
        let written = observe.pull_failed(&by, 1, failed(is_gone, second), at(second));
        written.await.unwrap();
        store.reader().pull(1).await.unwrap().unwrap().followed
    };
    for second in 30..40 {
        assert!(fails(true, second).await, "its agent lives");
    }
    put(&store, &id, Phase::Finished).await;
    assert!(fails(false, 40).await, "it is there, and cannot be read");
    for second in 41..45 {
        assert!(fails(true, second).await, "not in a row");
    }
    assert!(!fails(true, 45).await);
    assert!(store.reader().followed_pulls().await.unwrap().is_empty());
    let run = NewRun {
        start_over: true,
        secret: SECRET.to_owned(),
        now: at(50),
    };
    store.intents().restore(&id, run).await.unwrap();
    assert_eq!(store.reader().followed_pulls().await.unwrap(), [1]);
    // Where it was seen meanwhile, it is not gone for good.
    look(&store, facts(7, 'a'), &[], 60).await;
    put(&store, &id, Phase::Live).await;
    put(&store, &id, Phase::Finished).await;
    for second in 61..65 {
        assert!(fails(true, second).await);
    }
    assert!(!fails(true, 65).await, "the fifth in a row");
}

#[tokio::test]
async fn a_notice_is_written_once_for_each_commit_and_closed_with_its_episode() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    let red = [check("test", 1, CheckStatus::Failed)];
    look(&store, facts(7, 'a'), &red, 20).await;
    let notice = |head: char| NewNotice {
        session: id.clone(),
        kind: NoticeKind::CiStuck,
        pr: 1,
        head: head.to_string().repeat(40),
        url: "https://forge.example/acme/web/pull/7".to_owned(),
        text: "told three times".to_owned(),
    };
    let outcomes = store.outcomes();
    let before = head(&store).await;
    assert_eq!(
        outcomes.notice(&me(), notice('a'), at(21)).await.unwrap(),
        Moved::Yes
    );
    assert_eq!(
        outcomes.notice(&me(), notice('a'), at(22)).await.unwrap(),
        Moved::Overtaken
    );
    assert_eq!(types(&store, before).await, ["notice_created"]);
    assert_eq!(store.reader().open_notices().await.unwrap().len(), 1);
    look(&store, facts(7, 'b'), &red, 30).await;
    assert!(store.reader().open_notices().await.unwrap().is_empty());
    let before = head(&store).await;
    assert_eq!(
        outcomes.notice(&me(), notice('a'), at(31)).await.unwrap(),
        Moved::Yes,
        "it is so again"
    );
    assert_eq!(types(&store, before).await, ["notice_created"]);
    assert_eq!(store.reader().open_notices().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_merge_completes_once_and_the_worktree_stays_unless_the_project_asks_for_it() {
    let (_place, store) = world().await;
    for (reclaim, spares) in [(false, true), (true, false)] {
        let id = spawn(&store, "web").await;
        put(&store, &id, Phase::Live).await;
        let intents = store.intents();
        let patch = serde_json::json!({"reclaimOnMerge": reclaim});
        let set = intents
            .configure_project(&project("web"), false, &patch, at(3))
            .await;
        assert!(
            matches!(set.unwrap(), Configured::Yes(project) if project.config.reclaim_on_merge == reclaim)
        );
        let outcomes = store.outcomes();
        let complete = async |generation| outcomes.complete(&me(), &id, generation, at(60)).await.unwrap();
        assert_eq!(complete(2).await, Moved::Overtaken, "another run");
        assert_eq!(complete(1).await, Moved::Yes);
        assert_eq!(complete(1).await, Moved::Overtaken, "once");
        let session = get(&store, &id).await;
        assert_eq!(
            (session.desired, session.end_reason, session.spares_worktree),
            (Desired::Stop, Some(EndReason::Completed), spares)
        );
    }
    let patch = serde_json::json!({"reclaimOnMerge": true});
    let none = store
        .intents()
        .configure_project(&project("none"), false, &patch, at(3))
        .await;
    assert_eq!(none.unwrap(), Configured::NotFound);
}

#[tokio::test]
async fn a_session_restored_after_its_merge_is_completed_by_the_next_one_only() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    let merged = PrFacts {
        state: PrState::Merged,
        ..facts(7, 'a')
    };
    look(&store, merged, &[], 20).await;
    for phase in [Phase::Finished, Phase::Stopping, Phase::Freeing, Phase::Ended] {
        put(&store, &id, phase).await;
    }
    let restored = store
        .intents()
        .restore(
            &id,
            NewRun {
                start_over: true,
                secret: SECRET.to_owned(),
                now: at(70),
            },
        )
        .await
        .unwrap();
    let session = get(&store, &id).await;
    assert_eq!(
        (session.generation, session.merged_before),
        (2, 1),
        "{restored:?}"
    );
}

#[tokio::test]
async fn a_host_is_written_down_with_what_we_and_others_spent() {
    let (_place, store) = world().await;
    let observe = store.observations();
    let spent = async |cost, remaining, resets: Timestamp, second| {
        let seen = GatewaySeen {
            budgets: vec![Budget {
                pool: Pool::Batch,
                cost,
                limit: 5_000,
                remaining,
                resets_at: resets,
            }],
            ..GatewaySeen::default()
        };
        observe
            .gateway_seen(&me(), "forge.example", seen, at(second))
            .await
            .unwrap();
        store
            .reader()
            .gateway("forge.example")
            .await
            .unwrap()
            .unwrap()
            .batch
    };
    let first = spent(1, 4_999, at(3_600), 1).await;
    assert_eq!(
        (first.ours, first.others(), first.left_percent(at(2))),
        (1, 0, 99)
    );
    let second = spent(2, 500, at(3_601), 2).await;
    assert_eq!(
        (second.ours, second.others(), second.left_percent(at(2))),
        (3, 4_497, 10)
    );
    assert_eq!(second.left_percent(at(3_700)), 100, "the window is over");
    let third = spent(1, 4_990, at(7_200), 3_700).await;
    assert_eq!((third.ours, third.others()), (1, 9), "a new window");

    let before = head(&store).await;
    let seen = GatewaySeen {
        token: Some(TokenState::Refused),
        trouble: Some(Some("the token was refused".to_owned())),
        cool_until: Some(Some(at(4_000))),
        ..GatewaySeen::default()
    };
    observe
        .gateway_seen(&me(), "forge.example", seen, at(3_701))
        .await
        .unwrap();
    let known = store.reader().gateway("forge.example").await.unwrap().unwrap();
    assert_eq!(
        (known.token, known.cool_until, known.batch.ours),
        (TokenState::Refused, Some(at(4_000)), 1)
    );
    assert!(
        types(&store, before).await.is_empty(),
        "no project is at that host"
    );
}

#[tokio::test]
async fn a_repository_is_asked_with_what_it_gave_last() {
    let (_place, store) = world().await;
    let known = async || store.reader().repository(&repo()).await.unwrap().unwrap();
    let seen = |validator: Option<&str>, to: Option<i64>| RepositorySeen {
        validator: validator.map(str::to_owned),
        seen_to: to.map(at),
        ..RepositorySeen::default()
    };
    list(&store, seen(Some("v1"), Some(5)), 10).await;
    assert_eq!(
        (known().await.validator.as_deref(), known().await.seen_to),
        (Some("v1"), Some(at(5)))
    );
    store
        .observations()
        .repository_failed(&me(), &repo(), "gone", at(11))
        .await
        .unwrap();
    let failed = known().await;
    assert_eq!(
        (failed.failures, failed.validator.as_deref(), failed.listed_at),
        (1, Some("v1"), Some(at(11)))
    );
    list(&store, seen(None, None), 12).await;
    let again = known().await;
    assert_eq!(
        (again.validator, again.seen_to, again.failures, again.trouble),
        (None, Some(at(5)), 0, None)
    );
}

#[tokio::test]
async fn a_list_that_shows_a_tracked_one_otherwise_asks_for_a_look() {
    let (_place, store) = world().await;
    with_pull(&store).await;
    look(&store, facts(7, 'a'), &[], 20).await;
    let tracked = async |facts: PrFacts, second| {
        let seen = RepositorySeen {
            tracked: vec![facts],
            ..RepositorySeen::default()
        };
        list(&store, seen, second).await;
        store.reader().pull_wake(1).await.unwrap()
    };
    assert_eq!(tracked(facts(7, 'a'), 30).await, None);
    assert_eq!(tracked(facts(7, 'b'), 31).await, Some(at(31)));
}

#[tokio::test]
async fn a_child_that_was_replaced_writes_nothing_of_pull_requests() {
    let (_place, store) = world().await;
    let id = with_pull(&store).await;
    look(
        &store,
        facts(7, 'a'),
        &[check("test", 1, CheckStatus::Failed)],
        20,
    )
    .await;
    let (before, old) = (head(&store).await, revoked().await);
    let (observe, outcomes) = (store.observations(), store.outcomes());
    let seen = seen(facts(7, 'b'), &[], 30);
    assert!(observe.pull_seen(&old, 1, seen, at(30)).await.is_err());
    assert!(
        observe
            .pull_failed(&old, 1, failed(false, 30), at(30))
            .await
            .is_err()
    );
    assert!(observe.pull_unchanged(&old, 1, at(30), at(30)).await.is_err());
    assert!(
        observe
            .repository_pushed(&old, &repo(), &[], at(30))
            .await
            .is_err()
    );
    assert!(
        observe
            .gateway_seen(&old, "forge.example", GatewaySeen::default(), at(30))
            .await
            .is_err()
    );
    assert!(outcomes.complete(&old, &id, 1, at(30)).await.is_err());
    assert_eq!(head(&store).await, before);
}
