//! What rows are made anew say of themselves, after a database was lost.

use ao_domain::{EndReason, Phase, WorktreeOwner, WorktreeState};
use ao_facts::{Found, FoundRun, NewRun, Restored};

use crate::support::*;

fn found(id: &str, held: Option<FoundRun>) -> Found {
    Found {
        owner: WorktreeOwner {
            session: session(id),
            repo: "/repos/web".into(),
            path: format!("/worktrees/{id}").into(),
            branch: format!("ao/{id}"),
        },
        base: "main".to_owned(),
        branch_given: false,
        runtime: "pty".to_owned(),
        held,
    }
}

/// Whose code it was stood in the database alone. A worktree does not say, so it is a stranger's: its agent is asked once more.
#[tokio::test]
async fn whose_code_nobody_knows_any_more_is_a_stranger_s() {
    let place = Place::new();
    let store = place.store().await;
    let run = FoundRun {
        generation: 3,
        harness: "codex".to_owned(),
        secret: SECRET.to_owned(),
    };
    let all = [found("web-1", Some(run)), found("web-2", None)];
    assert_eq!(store.intents().salvage(&all, at(1)).await.unwrap(), 2);

    let held = get(&store, &session("web-1")).await;
    assert!(held.foreign_code, "{held:?}");
    assert_eq!((held.phase, held.generation), (Phase::Live, 3));
    assert_eq!((held.harness.as_str(), held.secret.as_str()), ("codex", SECRET));

    let left = get(&store, &session("web-2")).await;
    assert!(left.foreign_code, "{left:?}");
    assert_eq!(
        (left.phase, left.end_reason, left.worktree_state),
        (Phase::Ended, Some(EndReason::RuntimeDead), WorktreeState::Kept)
    );
    // One that comes back is no more a person's own than before.
    let new = NewRun {
        start_over: true,
        secret: "1".repeat(32),
        now: at(2),
    };
    assert_eq!(
        store.intents().restore(&left.id, new).await.unwrap(),
        Restored::Yes
    );
    assert!(get(&store, &left.id).await.foreign_code);

    // Only a database that was lost is filled from the disk: what rows say of their code stays.
    assert_eq!(store.intents().salvage(&all, at(3)).await.unwrap(), 0);
    let (_place, store) = world().await;
    let own = spawn(&store, "web").await;
    assert_eq!(
        store
            .intents()
            .salvage(&[found("web-7", None)], at(3))
            .await
            .unwrap(),
        0
    );
    assert!(!get(&store, &own).await.foreign_code);
}
