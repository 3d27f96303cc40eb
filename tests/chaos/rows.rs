//! Rows were changed behind a child's back while it was down: it acts on the changed ones.
//!
//! Each child is made to hang and known to be silent before its rows change, so that it cannot be itself that still acted; and
//! what then happened was done by a later incarnation. Supervisors read no rows.

use std::fs;

use ao_tests::github::{Fault, GitHub, Pull, Where};
use ao_tests::{Http, TreeView, World, settle, within};
use serde_json::json;

use crate::AO;
use crate::children::{BACK, crash_until_parked, make_due, swept_at, world};

/// The one session of the world that is shown as `status`.
fn session_that(world: &World, status: &str) -> String {
    let sessions = world.get("/api/v1/sessions");
    let found = sessions["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|session| session["status"] == status);
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

/// The tree over a connection that is open already: that one is served while the acceptor hangs.
fn tree_over(http: &mut Http) -> TreeView {
    TreeView::of(&http.ask("GET", "/api/v1/tree", None).unwrap().json())
}

/// Makes `path` hang, waits until it is known to be silent, and gives the number of the incarnation that is.
fn silence(world: &World, path: &str) -> u64 {
    let mut http = world.http();
    let silent = tree_over(&mut http).incarnation(path);
    assert!(silent > 0, "{path} runs");
    assert_eq!(world.break_child("hang", path).status, 200);
    within(BACK, &format!("{path} is silent"), || {
        tree_over(&mut http).is_silent(path).then_some(())
    });
    assert_eq!(
        tree_over(&mut http).incarnation(path),
        silent,
        "{path} was started again before it could be met while it was down"
    );
    silent
}

/// The supervisor found `path` hung, and another incarnation is there.
fn assert_replaced(world: &World, path: &str, silent: u64) {
    within(BACK, &format!("{path} is another"), || {
        (world.tree().incarnation(path) > silent).then_some(())
    });
    let told = |line: &str| line.contains(path) && line.contains("hung");
    assert!(world.log().lines().any(told), "{path}: nobody noticed");
}

#[test]
fn a_session_that_was_to_stop_is_stopped_by_its_next_incarnation() {
    let (world, _) = world();
    let id = session_that(&world, "working");
    let path = format!("ao/act/sessions/{id}");
    let silent = silence(&world, &path);
    world.sql(&format!("UPDATE sessions SET desired = 'stop' WHERE id = '{id}'"));
    let ended = world.until(&id, "phase", "ended");
    assert_eq!(ended["status"], "terminated");
    assert_eq!(ended["worktree"]["state"], "removed");
    // Its node may be gone by now; who did it stands in the log.
    let log = world.log();
    let moves: Vec<u64> = log
        .lines()
        .filter(|line| {
            line.contains("session moved on") && line.contains(&path) && line.contains("to=stopping")
        })
        .map(|line| number_after(line, "incarnation="))
        .collect();
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert!(moves[0] > silent, "the hung one did it: {moves:?}");
}

/// The number behind `mark` in a line of the log.
fn number_after(line: &str, mark: &str) -> u64 {
    let digits = line
        .split(mark)
        .nth(1)
        .unwrap_or_else(|| panic!("no {mark} in {line}"));
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number behind {mark} in {line}"))
}

#[test]
fn the_roster_of_sessions_takes_up_one_that_is_wanted_differently() {
    let (world, _) = world();
    let id = session_that(&world, "terminated");
    let silent = silence(&world, "ao/act/sessions");
    world.sql(&format!("UPDATE sessions SET desired = 'stop' WHERE id = '{id}'"));
    let ended = world.until(&id, "phase", "ended");
    assert_eq!(ended["worktree"]["state"], "removed");
    assert_replaced(&world, "ao/act/sessions", silent);
}

#[test]
fn hooks_are_applied_from_where_the_rows_say_and_those_that_came_meanwhile_too() {
    let (world, _) = world();
    let id = session_that(&world, "needs_input");
    let path = "ao/observe/hooks";
    let silent = silence(&world, path);
    // As if nothing of this session had ever been applied: whoever remembers more than the rows say goes wrong here.
    world.sql(&format!(
        "DELETE FROM signals WHERE session_id = '{id}'; UPDATE hook_spool SET \"offset\" = 0 WHERE session_id = '{id}'; \
         UPDATE sessions SET activity_state = 'active' WHERE id = '{id}'"
    ));
    let state = json!({"state": "idle"});
    let answer = world.ask("POST", &format!("/api/v1/sessions/{id}/activity"), Some(&state));
    assert_eq!(answer.status, 200);
    world.until(&id, "status", "idle");
    assert_replaced(&world, path, silent);
    let spool = fs::read_to_string(world.data.join(format!("spool/{id}.jsonl"))).unwrap();
    let records = spool.lines().filter(|line| !line.is_empty()).count();
    let applied = world.query(&format!(
        "SELECT CAST(count(*) AS TEXT) FROM signals WHERE session_id = '{id}'"
    ));
    assert!(records >= 2);
    assert_eq!(applied, records.to_string(), "each once");
}

#[test]
fn a_sweep_puts_right_a_row_that_is_wrong() {
    let (world, _) = world();
    let id = session_that(&world, "working");
    let (path, own) = ("ao/observe/sweeps/sessions", format!("ao/act/sessions/{id}"));
    // The session's own child would do it as well: it rests, and for longer than this takes.
    crash_until_parked(&world, &own);
    assert_eq!(world.break_child("hang", path).status, 200);
    make_due(&world);
    let silent = within(BACK, "the sweep is there and goes no further", || {
        let tree = world.tree();
        let age = tree.node(path).and_then(|node| node["ageMs"].as_u64());
        (tree.state(path) == "starting" && age.is_some_and(|age| age > 1_000)).then(|| tree.incarnation(path))
    });
    let swept = swept_at(&world);
    world.sql(&format!(
        "UPDATE session_process SET looked = 'failed', note = 'behind its back' WHERE session_id = '{id}'"
    ));
    assert_eq!(world.session(&id)["status"], "unknown");
    world.until(&id, "status", "working");
    let note = format!("SELECT coalesce(note, '') FROM session_process WHERE session_id = '{id}'");
    assert_eq!(world.query(&note), "");
    settle("the sweep came to its end", || swept_at(&world) != swept);
    let tree = world.tree();
    assert_eq!(
        tree.state(&own),
        "parked",
        "then it may have been the session's child"
    );
    assert!(tree.last_crash(path) >= silent || tree.node(path).is_none());
    let told = |line: &str| line.contains(path) && line.contains("not ready within");
    assert!(world.log().lines().any(told), "nobody noticed");
}

#[test]
fn the_roster_of_sweeps_starts_one_that_became_due() {
    let (world, _) = world();
    let silent = silence(&world, "ao/observe/sweeps");
    world.sql("UPDATE sweeps SET finished_at = NULL, due_at = '2000-01-01T00:00:00.000Z'");
    settle("it was swept", || !swept_at(&world).is_empty());
    assert_replaced(&world, "ao/observe/sweeps", silent);
}

#[test]
fn the_store_forgets_changes_that_came_while_it_was_down() {
    const KEPT: u64 = 100_000;
    let (world, expected) = world();
    let silent = silence(&world, "ao/store");
    world.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
         INSERT INTO change_log (project_id, event_type, payload, created_at) \
         SELECT 'web', 'project_updated', '{{}}', '2000-01-01T00:00:00.000Z' FROM n",
        KEPT + 1_000
    ));
    assert_replaced(&world, "ao/store", silent);
    let count = || -> u64 {
        let counted = world.query("SELECT CAST(count(*) AS TEXT) FROM change_log");
        counted.parse().unwrap()
    };
    settle("the old ones are gone", || count() < KEPT + 100);
    assert!(count() >= KEPT, "more is gone than had to");
    for (id, status) in expected {
        world.until(&id, "status", status);
    }
}

#[test]
fn a_change_behind_the_feed_reaches_a_client_that_waits() {
    let (world, _) = world();
    let id = session_that(&world, "working");
    let mut events = world.http();
    assert_eq!(events.stream("/api/v1/events?after=0").unwrap(), 200);
    let silent = silence(&world, "ao/serving/feed");
    world.sql(&format!(
        "UPDATE sessions SET display_name = 'renamed' WHERE id = '{id}'"
    ));
    let revision = world.query(&format!(
        "SELECT CAST(revision AS TEXT) FROM sessions WHERE id = '{id}'"
    ));
    let is_it = |line: &str| {
        line.starts_with("data:") && line.contains(&id) && line.contains(&format!("\"revision\":{revision}"))
    };
    while !events.line().unwrap().is_some_and(|line| is_it(&line)) {}
    assert_replaced(&world, "ao/serving/feed", silent);
}

#[test]
fn the_door_shows_what_changed_while_nobody_answered_it() {
    let (world, _) = world();
    let id = session_that(&world, "working");
    let path = world.tree().kinds()["api"].clone();
    let silent = silence(&world, &path);
    world.sql(&format!(
        "UPDATE sessions SET display_name = 'renamed' WHERE id = '{id}'"
    ));
    assert_eq!(world.session(&id)["displayName"], "renamed");
    assert_replaced(&world, &path, silent);
}

/// Whose transcript is followed stands in the rows alone: changed while nobody looked, it is followed or is not.
#[test]
fn transcripts_are_followed_of_those_sessions_that_the_rows_name() {
    let world = crate::cut::with_a_made_agent("none");
    let session = crate::cut::ask_for_session(&world, "", "the-key");
    let id = session["id"].as_str().unwrap();
    let path = format!("ao/observe/transcripts/{id}");
    let follows = || world.tree().node(&path).is_some();
    settle("it is followed", follows);
    world.sql("UPDATE sessions SET harness = 'shell'");
    assert_eq!(world.break_child("crash", "ao/observe/transcripts").status, 200);
    settle("a shell keeps no transcript", || !follows());
    world.sql("UPDATE sessions SET harness = 'claude-code'");
    assert_eq!(world.break_child("crash", "ao/observe/transcripts").status, 200);
    settle("it is followed again", follows);
    world.ao(&["session", "kill", id]).ok();
    settle("it is over", || !follows());
}

/// A world with a session whose branch has a pull request on a forge, which is found and was looked at.
pub(crate) fn with_a_pull_request() -> (World, GitHub) {
    let github = GitHub::now();
    github.token("t0", "octocat").repository("acme/web");
    let mut world = World::new(AO);
    world.git(&["remote", "add", "origin", "https://github.com/acme/web.git"]);
    world.set("AO_GITHUB_API", &github.url());
    world.set("GITHUB_TOKEN", "t0");
    world.set("AO_FORGE_TICK", "200ms");
    world.agent(env!("CARGO_BIN_EXE_stand-in-agent"));
    world.start_with_a_pull_request(&github, "acme/web");
    settle("it was looked at", || {
        !world
            .query("SELECT coalesce(max(detailed_at), '') FROM pull_requests")
            .is_empty()
    });
    (world, github)
}

#[test]
fn a_pull_request_is_looked_at_from_what_its_row_says() {
    let (world, _github) = with_a_pull_request();
    let path = "ao/observe/pulls/1";
    let silent = silence(&world, path);
    let title = world.query("SELECT title FROM pull_requests");
    world.sql("UPDATE pull_requests SET title = 'behind its back', detailed_at = NULL");
    settle("its row says again what the forge says", || {
        world.query("SELECT title FROM pull_requests") == title
    });
    assert_replaced(&world, path, silent);
    let silent = silence(&world, "ao/observe/pulls");
    world.sql("UPDATE pull_requests SET followed = 0");
    assert_replaced(&world, "ao/observe/pulls", silent);
    settle("what is not followed has no child", || {
        world.tree().node(path).is_none()
    });
}

#[test]
fn a_repository_is_listed_from_what_its_row_says() {
    let (world, github) = with_a_pull_request();
    let path = "ao/observe/repositories/github.com/acme/web";
    let silent = silence(&world, path);
    // What nobody knows any more is found again, if the whole list is asked for.
    world.sql("DELETE FROM pull_requests; UPDATE repositories SET validator = NULL, seen_to = NULL");
    settle("its pull request is found again", || {
        world.query("SELECT CAST(count(*) AS TEXT) FROM pull_requests") == "1"
    });
    assert_replaced(&world, path, silent);
    let silent = silence(&world, "ao/observe/repositories");
    world.sql("UPDATE projects SET origin = NULL; UPDATE pull_requests SET followed = 0");
    assert_replaced(&world, "ao/observe/repositories", silent);
    settle("what no project has is not watched", || {
        world.tree().node(path).is_none()
    });
    drop(github);
}

#[test]
fn a_gateway_waits_for_as_long_as_its_row_says() {
    let (world, github) = with_a_pull_request();
    let path = "ao/observe/gateways/github.com";
    let silent = silence(&world, path);
    world.sql("UPDATE gateways SET cool_until = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour'), trouble = 'behind its back'");
    assert_replaced(&world, path, silent);
    github.take_requests();
    // Whoever asks is told to wait: each of them asks again after a crash, and nothing goes out.
    for child in [
        "ao/observe/pulls/1",
        "ao/observe/repositories/github.com/acme/web",
    ] {
        let before = world.tree().incarnation(child);
        assert_eq!(world.break_child("crash", child).status, 200);
        settle("it is back", || world.tree().incarnation(child) > before);
    }
    world.sql("UPDATE repositories SET listed_at = NULL");
    assert!(github.take_requests().is_empty(), "it was asked before its time");
    let silent = silence(&world, path);
    world.sql("UPDATE gateways SET cool_until = NULL, trouble = NULL");
    assert_replaced(&world, path, silent);
    for child in [
        "ao/observe/pulls/1",
        "ao/observe/repositories/github.com/acme/web",
    ] {
        assert_eq!(world.break_child("crash", child).status, 200); // else they wait until then
    }
    settle("it is asked again", || !github.take_requests().is_empty());
    let silent = silence(&world, "ao/observe/gateways");
    world.sql("UPDATE projects SET origin = NULL; UPDATE pull_requests SET followed = 0");
    assert_replaced(&world, "ao/observe/gateways", silent);
    settle("a host that nobody is at has no gateway", || {
        world.tree().node(path).is_none()
    });
}

/// What a claim asks about stands in its row alone; and one that nobody saw being asked is answered as any other.
#[test]
fn a_claim_is_asked_about_as_its_row_says() {
    let (world, github) = with_a_pull_request();
    let id = world.query("SELECT id FROM sessions");
    let claimed = github.open_pr("acme/web", Pull::of("another", &"c0de".repeat(10)));
    let nobody_s = 900;
    github.fault_on(Where::Pull(nobody_s), Fault::Hang);
    let silent = silence(&world, "ao/observe/claims");
    world.sql(&format!(
        "INSERT INTO claims (session_id, repository, number, starts, takeover, state, created_at, updated_at) \
         SELECT id, 'github.com/acme/web', {nobody_s}, 0, 0, 'asked', created_at, created_at FROM sessions WHERE id = '{id}'"
    ));
    assert_replaced(&world, "ao/observe/claims", silent);
    let path = "ao/observe/claims/1";
    settle("it is asked about", || world.tree().node(path).is_some());
    let silent = silence(&world, path);
    world.sql(&format!("UPDATE claims SET number = {claimed}"));
    settle("it is answered", || {
        world.query("SELECT state FROM claims") == "made"
    });
    let log = world.log();
    let told = |line: &str| line.contains(path) && line.contains("hung");
    assert!(log.lines().any(told), "the hung one did it: {silent}");
    let numbers = world.query(&format!(
        "SELECT group_concat(number, ' ') FROM (SELECT number FROM pull_requests WHERE session_id = '{id}' ORDER BY number)"
    ));
    assert_eq!(numbers, format!("1 {claimed}"));
}

#[test]
fn a_project_that_moved_while_the_janitor_was_down_is_followed() {
    let (world, _) = world();
    let silent = silence(&world, "ao/act/janitor");
    let to = world.dir.join("moved");
    fs::rename(&world.repo, &to).unwrap();
    world.sql(&format!("UPDATE projects SET moves_to = '{to}' WHERE id = 'web'"));
    settle("it has moved", || {
        world.get("/api/v1/projects/web")["project"]["path"] == to.as_str()
    });
    assert_replaced(&world, "ao/act/janitor", silent);
    let id = session_that(&world, "working");
    let worktree = world.session(&id)["worktree"]["path"].clone();
    world.git_in(worktree.as_str().unwrap().into(), &["status"]);
}

/// A new kind of child needs a case above, or the reason why it has none.
#[test]
fn every_kind_of_child_has_its_rows_changed() {
    let (world, _github) = with_a_pull_request();
    let kinds: Vec<String> = within(BACK, "every kind was seen", || {
        make_due(&world);
        let kinds = world.tree().kinds();
        kinds.contains_key("sweep").then(|| kinds.into_keys().collect())
    });
    // A claim's own child is gone with the answer; it is met above, as a transcript's is. Supervisors have a fixed list of children and read no rows.
    let known = [
        "api",
        "feed",
        "gateway",
        "hooks",
        "janitor",
        "pull",
        "repository",
        "roster claims",
        "roster gateways",
        "roster pulls",
        "roster repositories",
        "roster sessions",
        "roster sweeps",
        "roster transcripts",
        "session",
        "store",
        "supervisor act",
        "supervisor observe",
        "supervisor serving",
        "sweep",
    ];
    assert_eq!(kinds, known);
}
