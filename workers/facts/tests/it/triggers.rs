//! Every change that the API shows is told once, in the transaction of the change; nothing else is told.

use ao_domain::EndReason;
use ao_facts::{Change, NewProject};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::json;

use crate::support::*;

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn rows(db: &DatabaseConnection, sql: &str) -> Vec<sea_orm::QueryResult> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_project_is_told_of_from_beginning_to_end() {
    let place = Place::new();
    let store = place.store().await;
    let project_web = project("web");
    add_project(&store, "web").await;
    store.intents().remove_project(&project_web, at(5)).await.unwrap();
    let back = NewProject {
        display_name: Some("Web".to_owned()),
        now: at(6),
        ..new_project("web", "/repos/web")
    };
    store.intents().add_project(back).await.unwrap();
    let all = changes(&store, 0).await;
    let told: Vec<_> = all
        .iter()
        .map(|c| (c.event_type.as_str(), c.payload["displayName"].as_str(), c.at))
        .collect();
    let expected = [
        ("project_created", Some("web"), at(0)),
        ("project_removed", None, at(5)),
        ("project_created", Some("Web"), at(6)),
    ];
    assert_eq!(told, expected);
    assert!(
        all.iter()
            .all(|c| c.project == project_web && c.session.is_none() && c.payload["id"] == "web")
    );
    let db = raw(&place.database()).await;
    for (sql, expected) in [
        (
            "UPDATE projects SET display_name = 'New'",
            &["project_updated"][..],
        ),
        (
            "UPDATE projects SET display_name = 'New', updated_at = '2027-01-01T00:00:00.000Z'",
            &[],
        ),
        ("UPDATE projects SET origin = 'url'", &["project_updated"]),
        (
            "UPDATE projects SET default_branch = 'trunk'",
            &["project_updated"],
        ),
    ] {
        let before = head(&store).await;
        run(&db, sql).await;
        assert_eq!(types(&store, before).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_session_is_told_of_with_what_a_client_needs() {
    let (_place, store) = world().await;
    let before = head(&store).await;
    let id = spawn(&store, "web").await;
    store
        .intents()
        .stop(&id, EndReason::Killed, false, at(7))
        .await
        .unwrap();
    let all = changes(&store, before).await;
    let expected = [("session_created", 0, at(1)), ("session_updated", 1, at(7))].map(|(event_type, revision, at)| {
        let payload = json!({ "id": "web-1", "activity": "idle", "isTerminated": false, "phase": "queued", "revision": revision });
        (event_type.to_owned(), payload, at)
    });
    let told: Vec<_> = all
        .iter()
        .map(|c| (c.event_type.clone(), c.payload.clone(), c.at))
        .collect();
    assert_eq!(told, expected);
    assert!(all.iter().all(
        |Change {
             project: of, session, ..
         }| *of == project("web") && *session == Some(id.clone())
    ));
}

/// A value other than the present one for each column, and whether its change is one that the API shows. A new column
/// has to be put here.
#[tokio::test]
async fn each_column_of_a_session_is_told_of_or_is_not() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let db = raw(&place.database()).await;
    let fixed = [
        "id",
        "project_id",
        "num",
        "kind",
        "command",
        "secret",
        "repo",
        "base",
        "branch_given",
        "created_at",
        "setup",
    ];
    let silent = [
        ("phase_at", "'2027-01-01T00:00:00.000Z'"),
        ("updated_at", "'2027-01-02T00:00:00.000Z'"),
        ("merged_before", "1"),
        ("spares_worktree", "1"),
        ("ticket", "7"),
    ];
    let told = [
        ("issue", "'#1'"),
        ("harness", "'codex'"),
        ("runtime", "'tmux'"),
        ("display_name", "'x'"),
        ("prompt", "'p'"),
        ("desired", "'stop'"),
        ("discard", "1"),
        ("phase", "'live'"),
        ("generation", "2"),
        ("branch", "'b'"),
        ("worktree", "'/elsewhere'"),
        ("worktree_state", "'kept'"),
        ("holdings", "'[1]'"),
        ("rescue_ref", "'r'"),
        ("activity_state", "'active'"),
        ("activity_since", "'2027-01-01T00:00:00.000Z'"),
        ("first_signal_at", "'2027-01-01T00:00:00.000Z'"),
        ("native_id", "'n'"),
        ("title", "'t'"),
        ("last_message", "'m'"),
        ("dialog", "'{}'"),
        ("delay", "'d'"),
        ("delay_until", "'2027-01-01T00:00:00.000Z'"),
        ("trouble", "'t'"),
        ("wall_at", "'2027-01-01T00:00:00.000Z'"),
        ("wall_until", "'2027-01-01T00:00:00.000Z'"),
        ("wall_told", "1"),
        ("tool", "'Bash'"),
        ("said_why", "'w'"),
        ("summary", "'s'"),
        ("messages_waiting", "1"),
        ("waiting_since", "'2027-01-01T00:00:00.000Z'"),
        ("prs", "'[1]'"),
        ("queued_for", "'place'"),
        ("provisioning", "'{}'"),
        ("replaces", "'web-1'"),
        ("foreign_code", "1"),
        ("model", "'m'"),
        ("permissions", "'auto'"),
        ("end_reason", "'killed'"),
        ("ended_at", "'2027-01-01T00:00:00.000Z'"),
        ("failure", "'f'"),
        ("revision", "revision + 1"),
    ];
    let mut known: Vec<&str> = fixed.to_vec();
    known.extend(silent.iter().chain(&told).map(|(column, _)| column));
    known.sort_unstable();
    let mut there: Vec<String> = rows(&db, "SELECT name FROM pragma_table_info('sessions')")
        .await
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    there.sort_unstable();
    assert_eq!(there, known);
    let revision = async || -> i64 {
        rows(&db, "SELECT revision FROM sessions").await[0]
            .try_get_by_index(0)
            .unwrap()
    };
    for (column, value) in silent {
        let before = (head(&store).await, revision().await);
        run(&db, &format!("UPDATE sessions SET {column} = {value}")).await;
        assert_eq!((head(&store).await, revision().await), before, "{column}");
    }
    for (column, value) in told {
        let before = (head(&store).await, revision().await);
        run(&db, &format!("UPDATE sessions SET {column} = {value}")).await;
        assert_eq!(types(&store, before.0).await, ["session_updated"], "{column}");
        assert_eq!(revision().await, before.1 + 1, "{column}");
        if column != "revision" {
            run(&db, &format!("UPDATE sessions SET {column} = {value}")).await;
            assert_eq!(
                head(&store).await,
                before.0 + 1,
                "{column} written again as it was"
            );
        }
    }
    let last = changes(&store, 0).await.pop().unwrap();
    assert_eq!(
        last.payload["revision"],
        json!(revision().await),
        "the number that the row has now"
    );
    assert_eq!(last.session, Some(id));
}

#[tokio::test]
async fn what_is_seen_of_the_process_is_told_of_as_its_session() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let before = head(&store).await;
    store
        .observations()
        .looked(&me(), &[sighting(&id, alive(), 9)])
        .await
        .unwrap();
    assert_eq!(
        types(&store, before).await,
        ["session_updated"],
        "seen for the first time"
    );
    let db = raw(&place.database()).await;
    for (sql, told) in [
        (
            "looks = looks + 1, looked_at = '2027-01-01T00:00:00.000Z', since = '2027-01-01T00:00:00.000Z'",
            0,
        ),
        ("looked = 'failed'", 1),
        ("note = 'n'", 1),
        ("exit = '{\"code\":1}'", 1),
        ("agent = '{}'", 1),
        ("holder = '{}'", 1),
        ("generation = 2", 1),
        ("looked = 'failed', note = 'n'", 0),
    ] {
        let before = head(&store).await;
        run(&db, &format!("UPDATE session_process SET {sql}")).await;
        assert_eq!(changes(&store, before).await.len(), told, "{sql}");
    }
}

#[tokio::test]
async fn an_event_and_its_change_come_and_go_together() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let (before, was) = (head(&store).await, get(&store, &id).await);
    let db = raw(&place.database()).await;
    run(&db, "BEGIN; UPDATE sessions SET phase = 'live'; ROLLBACK").await;
    assert_eq!((head(&store).await, get(&store, &id).await), (before, was));
    bump(&store, &id, 3).await;
    assert_eq!(head(&store).await, before + 1, "no number was lost with it");
}

#[tokio::test]
async fn words_and_times_outside_the_lists_are_refused() {
    let (place, store) = world().await;
    spawn(&store, "web").await;
    let db = raw(&place.database()).await;
    run(&db, "PRAGMA foreign_keys = ON").await;
    for sql in [
        "UPDATE sessions SET phase = 'sleeping'",
        "UPDATE sessions SET desired = 'maybe'",
        "UPDATE sessions SET kind = 'boss'",
        "UPDATE sessions SET worktree_state = 'gone'",
        "UPDATE sessions SET activity_state = 'blocked'",
        "UPDATE sessions SET end_reason = 'bored'",
        "UPDATE sessions SET updated_at = '2026-01-01 00:00:00'",
        "UPDATE sessions SET phase_at = '2026-01-01T00:00:00Z'",
        "UPDATE sessions SET holdings = 'none'",
        "UPDATE sessions SET command = '{}'",
        "UPDATE sessions SET secret = 'ABC'",
        "UPDATE sessions SET dialog = '[]'",
        "UPDATE sessions SET messages_waiting = -1",
        "INSERT INTO messages (session_id, kind, body, state, attempts, typings, queued_at, state_at) VALUES ('web-1', 'song', 'x', 'queued', 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
        "INSERT INTO messages (session_id, kind, body, state, attempts, typings, queued_at, state_at) VALUES ('web-1', 'text', 'x', 'lost', 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
        "INSERT INTO messages (session_id, kind, body, state, attempts, typings, queued_at, state_at) VALUES ('web-1', 'text', '', 'queued', 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
        "INSERT INTO messages (session_id, kind, body, state, attempts, typings, queued_at, state_at) VALUES ('nix-1', 'text', 'x', 'queued', 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
        "UPDATE sessions SET generation = 0",
        "UPDATE sessions SET generation = 'one'",
        "UPDATE sessions SET project_id = 'nix'",
        "UPDATE projects SET registered_at = 'now'",
        "UPDATE projects SET path = 'relative'",
        "INSERT INTO session_process VALUES ('web-1', 1, NULL, NULL, 'blurred', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1, NULL, NULL)",
        "INSERT INTO sweeps (name, due_at) VALUES ('s', 'soon')",
        "INSERT INTO change_log (project_id, event_type, payload, created_at) VALUES ('web', 'x', 'not json', '2026-01-01T00:00:00.000Z')",
        "INSERT INTO hook_spool VALUES ('web-1', -1)",
    ] {
        assert!(db.execute_unprepared(sql).await.is_err(), "{sql}");
    }
}

/// The words of the domain and those of the schema are the same lists.
#[tokio::test]
async fn every_word_of_the_domain_fits_into_its_column() {
    use ao_domain::{ActivityState, Desired, Looked, Phase, SessionKind, WorktreeState};
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    store
        .observations()
        .looked(&me(), &[sighting(&id, alive(), 9)])
        .await
        .unwrap();
    let db = raw(&place.database()).await;
    run(&db, "INSERT INTO messages (session_id, kind, body, state, attempts, typings, queued_at, state_at) VALUES ('web-1', 'text', 'x', 'queued', 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')").await;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let lists = [
        (
            "sessions",
            "kind",
            words(&SessionKind::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
        (
            "sessions",
            "desired",
            words(&Desired::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
        (
            "sessions",
            "phase",
            words(&Phase::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
        (
            "sessions",
            "end_reason",
            words(&EndReason::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
        (
            "sessions",
            "activity_state",
            words(&ActivityState::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
        (
            "sessions",
            "worktree_state",
            words(&WorktreeState::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
        (
            "sessions",
            "permissions",
            words(
                &ao_domain::PermissionMode::ALL
                    .iter()
                    .map(|w| w.as_str())
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "messages",
            "kind",
            words(
                &ao_domain::MessageKind::ALL
                    .iter()
                    .map(|w| w.as_str())
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "messages",
            "state",
            words(
                &ao_domain::MessageState::ALL
                    .iter()
                    .map(|w| w.as_str())
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "session_process",
            "looked",
            words(&Looked::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
        ),
    ];
    for (table, column, words) in lists {
        for word in words {
            run(&db, &format!("UPDATE {table} SET {column} = '{word}'")).await;
        }
    }
}
