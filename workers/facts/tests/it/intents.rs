//! What the API's handlers write.

use std::collections::BTreeSet;

use ao_domain::{Desired, EndReason, Phase, ProjectId, SessionKind, WorktreeState};
use ao_facts::{
    Added, Changes, NewProject, NewRun, NewSession, ProjectRemoval, Restored, Spawn, Stop, Store,
};
use camino::Utf8Path;
use tokio::task::JoinSet;

use crate::support::*;

async fn add(store: &Store, id: &str, path: &str) -> Added {
    store.intents().add_project(new_project(id, path)).await.unwrap()
}

#[tokio::test]
async fn a_project_is_registered_once_a_path() {
    let place = Place::new();
    let store = place.store().await;
    let new = NewProject {
        origin: Some("git@example.org:web.git".to_owned()),
        display_name: Some("The web".to_owned()),
        default_branch: "origin/trunk".to_owned(),
        ..new_project("web", "/repos/web")
    };
    let Added::Added(made) = store.intents().add_project(new).await.unwrap() else {
        panic!("refused")
    };
    let made = *made;
    assert_eq!(
        (made.display_name.as_str(), made.default_branch.as_str()),
        ("The web", "origin/trunk")
    );
    assert_eq!(made.registered_at, at(0));
    assert_eq!(
        store.reader().project(&project("web")).await.unwrap(),
        Some(made.clone())
    );
    assert_eq!(
        store
            .reader()
            .project_at(Utf8Path::new("/repos/web"))
            .await
            .unwrap(),
        Some(made.clone())
    );
    assert_eq!(
        add(&store, "other", "/repos/web").await,
        Added::PathTaken { id: project("web") }
    );
    assert_eq!(
        add(&store, "web", "/repos/web").await,
        Added::PathTaken { id: project("web") }
    );
    assert_eq!(store.reader().projects().await.unwrap(), [made]);
}

#[tokio::test]
async fn a_taken_id_suggests_one_that_nobody_ever_had() {
    let place = Place::new();
    let store = place.store().await;
    add_project(&store, "web").await;
    add_project(&store, "web1").await;
    store
        .intents()
        .remove_project(&project("web1"), at(1))
        .await
        .unwrap();
    let suggested = add(&store, "web", "/elsewhere").await;
    assert_eq!(
        suggested,
        Added::IdTaken {
            suggested: project("web2")
        }
    );
    let longest = "x".repeat(200);
    add_project(&store, &longest).await;
    let Added::IdTaken { suggested } = add(&store, &longest, "/far").await else {
        panic!("taken twice")
    };
    assert!(matches!(
        add(&store, suggested.as_str(), "/far").await,
        Added::Added(_)
    ));
}

#[tokio::test]
async fn a_removed_project_comes_back_only_for_its_own_path() {
    let (_place, store) = world().await;
    let removed = store
        .intents()
        .remove_project(&project("web"), at(3))
        .await
        .unwrap();
    assert_eq!(removed, ProjectRemoval::Removed);
    assert!(store.reader().projects().await.unwrap().is_empty());
    assert_eq!(
        store
            .reader()
            .project(&project("web"))
            .await
            .unwrap()
            .unwrap()
            .archived_at,
        Some(at(3))
    );
    assert_eq!(
        store
            .reader()
            .project_at(Utf8Path::new("/repos/web"))
            .await
            .unwrap(),
        None
    );
    let again = store
        .intents()
        .remove_project(&project("web"), at(4))
        .await
        .unwrap();
    assert_eq!(again, ProjectRemoval::NotFound);
    assert_eq!(
        add(&store, "web", "/repos/web-cloned-anew").await,
        Added::IdTaken {
            suggested: project("web1")
        }
    );
    let new = NewProject {
        default_branch: "trunk".to_owned(),
        now: at(9),
        ..new_project("web", "/repos/web")
    };
    let Added::Added(back) = store.intents().add_project(new).await.unwrap() else {
        panic!("refused")
    };
    assert_eq!(
        (back.archived_at, back.registered_at),
        (None, at(0)),
        "its first registration is kept"
    );
    assert_eq!(back.default_branch, "trunk");
}

#[tokio::test]
async fn a_project_with_sessions_under_way_stays() {
    let (_place, store) = world().await;
    let ids = [
        spawn(&store, "web").await,
        spawn(&store, "web").await,
        spawn(&store, "web").await,
    ];
    put(&store, &ids[1], Phase::Ended).await;
    put(&store, &ids[2], Phase::Freeing).await;
    let removal = store
        .intents()
        .remove_project(&project("web"), at(3))
        .await
        .unwrap();
    assert_eq!(
        removal,
        ProjectRemoval::HasLiveSessions(vec![ids[0].clone(), ids[2].clone()])
    );
    assert_eq!(store.reader().projects().await.unwrap().len(), 1);
    put(&store, &ids[0], Phase::Finished).await;
    put(&store, &ids[2], Phase::Ended).await;
    let removal = store
        .intents()
        .remove_project(&project("web"), at(4))
        .await
        .unwrap();
    assert_eq!(removal, ProjectRemoval::Removed);
    let missing = store
        .intents()
        .remove_project(&project("nix"), at(4))
        .await
        .unwrap();
    assert_eq!(missing, ProjectRemoval::NotFound);
}

#[tokio::test]
async fn a_spawned_session_has_everything_it_was_made_with() {
    let (_place, store) = world().await;
    let new = NewSession {
        issue: Some("#12".to_owned()),
        display_name: Some("fix it".to_owned()),
        prompt: Some("do \"it\"\n'; DROP TABLE sessions; --".to_owned()),
        first_message: None,
        ..new_session("web")
    };
    let spawned = store.intents().spawn(new.clone()).await.unwrap();
    let id = session("web-1");
    assert_eq!(
        spawned,
        Spawn::Spawned {
            id: id.clone(),
            fresh: true
        }
    );
    let made = get(&store, &id).await;
    assert_eq!((made.num, made.generation, made.revision), (1, 1, 0));
    assert_eq!(
        (made.issue, made.display_name, made.prompt),
        (new.issue, new.display_name, new.prompt)
    );
    assert_eq!((made.command, made.secret), (new.command, new.secret));
    assert_eq!(
        (made.desired, made.phase, made.discard),
        (Desired::Run, Phase::Queued, false)
    );
    assert_eq!((made.branch.as_str(), made.branch_given), ("ao/web-1", false));
    assert_eq!(made.worktree, "/worktrees/web/web-1");
    assert_eq!((made.repo.as_str(), made.base.as_str()), ("/repos/web", "main"));
    assert_eq!(
        (made.worktree_state, made.holdings.len()),
        (WorktreeState::None, 0)
    );
    assert_eq!(
        (made.created_at, made.updated_at, made.phase_at),
        (at(1), at(1), at(1))
    );
    assert_eq!(
        (made.end_reason, made.process, made.first_signal_at),
        (None, None, None)
    );
    let named = NewSession {
        branch: Some("feature/x".to_owned()),
        ..new_session("web")
    };
    store.intents().spawn(named).await.unwrap();
    let named = get(&store, &session("web-2")).await;
    assert_eq!((named.branch.as_str(), named.branch_given), ("feature/x", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_spawns_at_once_are_twenty_sessions() {
    let (_place, store) = world().await;
    let mut spawns = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        spawns.spawn(async move { spawn(&store, "web").await });
    }
    let ids: BTreeSet<_> = spawns.join_all().await.into_iter().collect();
    let expected: BTreeSet<_> = (1..=20).map(|n| session(&format!("web-{n}"))).collect();
    assert_eq!(ids, expected);
    assert_eq!(
        store.reader().sessions(&Default::default()).await.unwrap().len(),
        20
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_makes_one_session_however_often_it_is_asked() {
    let (_place, store) = world().await;
    let mut spawns = JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        let new = NewSession {
            key: Some("k-1".to_owned()),
            ..new_session("web")
        };
        spawns.spawn(async move { store.intents().spawn(new).await.unwrap() });
    }
    let answers = spawns.join_all().await;
    let fresh = answers
        .iter()
        .filter(|answer| matches!(answer, Spawn::Spawned { fresh: true, .. }))
        .count();
    assert_eq!(fresh, 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Spawn::Spawned { id, .. } if *id == session("web-1")))
    );
    // Also once the session is over and its project gone: the client only lost the answer.
    put(&store, &session("web-1"), Phase::Ended).await;
    store
        .intents()
        .remove_project(&project("web"), at(5))
        .await
        .unwrap();
    let late = NewSession {
        key: Some("k-1".to_owned()),
        ..new_session("web")
    };
    let late = store.intents().spawn(late).await.unwrap();
    assert_eq!(
        late,
        Spawn::Spawned {
            id: session("web-1"),
            fresh: false
        }
    );
}

#[tokio::test]
async fn nothing_is_spawned_where_no_project_is() {
    let (_place, store) = world().await;
    assert_eq!(
        store.intents().spawn(new_session("nix")).await.unwrap(),
        Spawn::NoProject
    );
    store
        .intents()
        .remove_project(&project("web"), at(2))
        .await
        .unwrap();
    assert_eq!(
        store.intents().spawn(new_session("web")).await.unwrap(),
        Spawn::NoProject
    );
    assert!(
        store
            .reader()
            .sessions(&Default::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_project_has_one_orchestrator_that_is_wanted() {
    let (_place, store) = world().await;
    add_project(&store, "app").await;
    let orchestrator = |of| NewSession {
        kind: SessionKind::Orchestrator,
        ..new_session(of)
    };
    let first = store.intents().spawn(orchestrator("web")).await.unwrap();
    assert_eq!(
        first,
        Spawn::Spawned {
            id: session("web-1"),
            fresh: true
        }
    );
    let second = store.intents().spawn(orchestrator("web")).await.unwrap();
    assert_eq!(second, Spawn::OrchestratorLives(session("web-1")));
    assert!(matches!(
        store.intents().spawn(orchestrator("app")).await.unwrap(),
        Spawn::Spawned { .. }
    ));
    spawn(&store, "web").await; // workers are free
    // The next one may come up while the old one is still being stopped.
    store
        .intents()
        .stop(&session("web-1"), EndReason::Killed, false, at(2))
        .await
        .unwrap();
    let next = store.intents().spawn(orchestrator("web")).await.unwrap();
    assert_eq!(
        next,
        Spawn::Spawned {
            id: session("web-3"),
            fresh: true
        }
    );
}

#[tokio::test]
async fn a_stop_is_durable_and_the_first_reason_stays() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Live).await;
    let stop = |reason, discard| {
        let (intents, id) = (store.intents(), id.clone());
        async move { intents.stop(&id, reason, discard, at(6)).await.unwrap() }
    };
    assert_eq!(stop(EndReason::Killed, false).await, Stop::Stopping);
    let stopped = get(&store, &id).await;
    assert_eq!(
        (stopped.desired, stopped.discard, stopped.phase),
        (Desired::Stop, false, Phase::Live)
    );
    assert_eq!(
        (stopped.end_reason, stopped.updated_at),
        (Some(EndReason::Killed), at(6))
    );
    assert_eq!(stop(EndReason::SpawnFailed, true).await, Stop::Stopping);
    assert_eq!(stop(EndReason::Killed, false).await, Stop::Stopping);
    let stopped = get(&store, &id).await;
    assert_eq!(
        (stopped.discard, stopped.end_reason),
        (true, Some(EndReason::Killed)),
        "a discard is not taken back"
    );
    assert_eq!(
        store
            .intents()
            .stop(&session("web-9"), EndReason::Killed, false, at(6))
            .await
            .unwrap(),
        Stop::NotFound
    );
}

#[tokio::test]
async fn a_write_waits_for_another_program() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    waits_for_its_turn(&place.dir, &store, &id).await;
}

#[tokio::test]
async fn an_ended_session_that_left_its_worktree_is_freed_again() {
    let (_place, store) = world().await;
    for (state, answer, phase) in [
        (WorktreeState::Kept, Stop::Stopping, Phase::Stopping),
        (WorktreeState::Active, Stop::Stopping, Phase::Stopping),
        (WorktreeState::Removed, Stop::AlreadyEnded, Phase::Ended),
        (WorktreeState::None, Stop::AlreadyEnded, Phase::Ended),
    ] {
        let id = spawn(&store, "web").await;
        let left = Changes {
            worktree_state: Some(state),
            ..Changes::default()
        };
        put_with(&store, &id, Phase::Ended, left).await;
        assert_eq!(
            store
                .intents()
                .stop(&id, EndReason::Killed, true, at(7))
                .await
                .unwrap(),
            answer,
            "{state}"
        );
        let now = get(&store, &id).await;
        assert_eq!(
            (now.phase, now.discard),
            (phase, answer == Stop::Stopping),
            "{state}"
        );
        assert_eq!(now.phase_at, if phase == Phase::Stopping { at(7) } else { at(2) });
    }
}

/// What a person said of the worktree as it was then says nothing about what was put there since.
#[tokio::test]
async fn what_is_over_is_discarded_only_if_that_is_said_anew() {
    let (_place, store) = world().await;
    for phase in [Phase::Ended, Phase::Finished] {
        for discard in [false, true] {
            let id = spawn(&store, "web").await;
            let kept = Changes {
                worktree_state: Some(WorktreeState::Kept),
                discard: true,
                ..Changes::default()
            };
            put_with(&store, &id, phase, kept).await;
            assert!(get(&store, &id).await.discard);
            let intents = store.intents();
            let stop = intents.stop(&id, EndReason::Killed, discard, at(7)).await;
            assert_eq!(stop.unwrap(), Stop::Stopping);
            assert_eq!(get(&store, &id).await.discard, discard, "{phase}");
        }
    }
}

#[tokio::test]
async fn nothing_is_restored_in_a_project_that_was_removed() {
    let (_place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Ended).await;
    let web: ProjectId = "web".parse().unwrap();
    store.intents().remove_project(&web, at(6)).await.unwrap();
    let new = NewRun {
        start_over: true,
        secret: "1".repeat(32),
        now: at(7),
    };
    assert_eq!(
        store.intents().restore(&id, new).await.unwrap(),
        Restored::NoProject(web)
    );
    assert_eq!(get(&store, &id).await.generation, 1);
}

#[tokio::test]
async fn a_sweep_is_due_when_somebody_says_so() {
    let (_place, store) = world().await;
    store.intents().set_due("reaper", at(50)).await.unwrap();
    store.intents().set_due("janitor", at(60)).await.unwrap();
    assert!(store.reader().due_sweeps(at(49)).await.unwrap().is_empty());
    store.intents().set_due("reaper", at(40)).await.unwrap();
    let due = store.reader().due_sweeps(at(49)).await.unwrap();
    assert_eq!(
        due.iter()
            .map(|sweep| (sweep.name.as_str(), sweep.due_at))
            .collect::<Vec<_>>(),
        [("reaper", at(40))]
    );
    let all = store.reader().sweeps().await.unwrap();
    assert_eq!(
        all.iter().map(|sweep| sweep.name.as_str()).collect::<Vec<_>>(),
        ["janitor", "reaper"]
    );
}
