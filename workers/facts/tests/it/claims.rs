//! Claims: answered once, and what that makes of the pull request, of its sessions, and of what was to be told of it.

use ao_domain::{
    CheckStatus, Claim, ClaimRefusal, ClaimState, EndReason, MessageState, Phase, PrState, RemoteRepo,
    SessionId,
};
use ao_facts::{Answered, Changes, Claiming, Moved, NewSession, Spawn, Store, Wanted};

use crate::pulls::{check, facts, look, tell, with_pull};
use crate::support::*;

fn wanted(takeover: bool) -> Wanted {
    Wanted {
        at: facts(7, 'a').at,
        takeover,
    }
}

async fn claim(store: &Store, id: &SessionId, takeover: bool) -> u64 {
    match store
        .intents()
        .claim(id, &wanted(takeover), at(30))
        .await
        .unwrap()
    {
        Claiming::Asked(number) => number,
        other => panic!("{other:?}"),
    }
}

async fn answer(store: &Store, claim: u64, state: PrState, strange: bool) -> Moved {
    let mut facts = facts(7, 'a');
    facts.state = state;
    if strange {
        facts.head_repo = Some(RemoteRepo::new("forge.example", "stranger/web"));
    }
    let answered = Answered::Seen(Box::new(facts));
    let written = store
        .observations()
        .claim_answered(&me(), claim, answered, at(40))
        .await;
    written.unwrap()
}

async fn got(store: &Store, claim: u64) -> Claim {
    store.reader().claim(claim).await.unwrap().unwrap()
}

/// A session that is spawned to work on the pull request, and its claim.
async fn spawned(store: &Store) -> (SessionId, u64) {
    let new = NewSession {
        claim: Some(wanted(true)),
        ..new_session("web")
    };
    let Spawn::Spawned { id, .. } = store.intents().spawn(new).await.unwrap() else {
        panic!("not spawned")
    };
    let claim = store.reader().claim_to_start_from(&id).await.unwrap().unwrap();
    (id, claim.id)
}

#[tokio::test]
async fn a_claim_is_answered_once_and_its_pull_request_shows_in_its_session() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let number = claim(&store, &id, true).await;
    assert_eq!(
        claim(&store, &id, true).await,
        number,
        "the same while it has no answer"
    );
    assert_eq!(store.reader().open_claims().await.unwrap(), [number]);
    let before = get(&store, &id).await;
    assert_eq!(answer(&store, number, PrState::Open, true).await, Moved::Yes);
    assert!(store.reader().open_claims().await.unwrap().is_empty());
    let after = get(&store, &id).await;
    assert!(after.revision > before.revision);
    assert_eq!((after.prs.len(), after.foreign_code), (1, true));
    assert_eq!(
        answer(&store, number, PrState::Open, false).await,
        Moved::Overtaken
    );
    let made = got(&store, number).await;
    assert_eq!(
        (made.state, made.is_foreign, made.owner),
        (ClaimState::Made, Some(true), None)
    );
    // A stranger's code does not become the project's own by a second claim.
    let again = claim(&store, &id, true).await;
    assert_ne!(again, number);
    assert_eq!(answer(&store, again, PrState::Open, false).await, Moved::Yes);
    assert!(get(&store, &id).await.foreign_code);
}

#[tokio::test]
async fn nobody_is_given_what_is_not_open_and_nothing_is_given_to_who_is_over() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    for state in [PrState::Draft, PrState::Merged, PrState::Closed] {
        let number = claim(&store, &id, true).await;
        assert_eq!(answer(&store, number, state, true).await, Moved::Yes);
        let refused = got(&store, number).await;
        assert_eq!(
            (refused.state, refused.refusal),
            (ClaimState::Refused, Some(ClaimRefusal::NotOpen))
        );
    }
    let late = claim(&store, &id, true).await;
    let stopped = store.intents().stop(&id, EndReason::Killed, false, at(35)).await;
    stopped.unwrap();
    assert_eq!(answer(&store, late, PrState::Open, true).await, Moved::Yes);
    assert_eq!(got(&store, late).await.refusal, Some(ClaimRefusal::Over));
    let asked = store.intents().claim(&id, &wanted(true), at(50)).await.unwrap();
    assert_eq!(asked, Claiming::Over);
    let session = get(&store, &id).await;
    assert!(session.prs.is_empty() && !session.foreign_code);
}

#[tokio::test]
async fn what_changes_hands_is_told_of_to_its_new_session_alone() {
    let (_place, store) = world().await;
    let first = with_pull(&store).await;
    let failing = [check("test", 1, CheckStatus::Failed)];
    look(&store, facts(7, 'a'), &failing, 20).await;
    assert_eq!(tell(&store, &first, 1, 1).await, Moved::Yes);
    let second = spawn(&store, "web").await;
    put(&store, &second, Phase::Live).await;

    let number = claim(&store, &second, false).await;
    assert_eq!(answer(&store, number, PrState::Open, false).await, Moved::Yes);
    let refused = got(&store, number).await;
    assert_eq!(
        (refused.refusal, refused.owner),
        (Some(ClaimRefusal::Owned), Some(first.clone()))
    );
    assert_eq!(get(&store, &first).await.prs.len(), 1);

    let before = get(&store, &first).await.revision;
    let number = claim(&store, &second, true).await;
    assert_eq!(answer(&store, number, PrState::Open, false).await, Moved::Yes);
    assert_eq!(got(&store, number).await.owner, Some(first.clone()));
    let (old, new) = (get(&store, &first).await, get(&store, &second).await);
    assert_eq!((old.prs.len(), new.prs.len()), (0, 1));
    assert!(old.revision > before);
    // What was queued for the old owner is taken back, and what it was told is not held to be known to the new one.
    let message = store.reader().messages(&first, 10).await.unwrap().remove(0);
    assert_eq!(message.state, MessageState::Failed);
    assert!(message.reason.unwrap().contains("web-2's now"));
    look(&store, facts(7, 'a'), &failing, 60).await;
    let open = store.reader().open_episodes(&second).await.unwrap();
    assert_eq!(open.len(), 1);
    assert!(open[0].nudges.is_empty());
    assert!(store.reader().open_episodes(&first).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_that_never_came_up_gives_back_what_a_living_one_had() {
    for owner_lives in [true, false] {
        let (_place, store) = world().await;
        let first = with_pull(&store).await;
        let (id, number) = spawned(&store).await;
        assert_eq!(answer(&store, number, PrState::Open, false).await, Moved::Yes);
        assert_eq!(get(&store, &id).await.prs.len(), 1);
        if !owner_lives {
            put(&store, &first, Phase::Finished).await;
        }
        put(&store, &id, Phase::Worktree).await;
        let failed = Changes {
            end_reason: Some(EndReason::SpawnFailed),
            ..Changes::default()
        };
        put_with(&store, &id, Phase::Stopping, failed).await;
        let has = [&first, &id].map(Clone::clone);
        let mut counts = Vec::new();
        for id in &has {
            counts.push(get(&store, id).await.prs.len());
        }
        assert_eq!(counts, if owner_lives { [1, 0] } else { [0, 1] }, "{owner_lives}");
    }
}
