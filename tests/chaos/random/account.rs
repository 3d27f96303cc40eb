//! The account of a run: what has to be so once nothing more is broken, asked of rows and of the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ao_tests::World;
use camino::Utf8Path;
use serde_json::Value;

use super::acts;
use super::bytes;
use super::follow::Followed;
use super::sample::{Agents, contradiction};
use super::site::Site;

/// Far beyond the slowest way back there is: a hung child is found out after 15 s.
const CALM: Duration = Duration::from_secs(60);

/// Longer than any git holds the lock of a repository's packed refs, and shorter than our own wait for it.
const STALE: Duration = Duration::from_secs(4);

/// Waits until `wrong` finds nothing, and makes what it still finds then a fault.
fn until_right(site: &Site, what: &str, mut wrong: impl FnMut() -> Vec<String>) {
    let end = Instant::now() + CALM;
    loop {
        unlock(site);
        let found = wrong();
        if found.is_empty() {
            return;
        }
        if Instant::now() > end {
            for one in found {
                site.fault(format!("{what}: {one}"));
            }
            return;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// An agent's git that is ended may leave its lock of the repository's packed refs, and from then on no branch goes. Git says that a
/// person who sees this removes it, and so does the one in this world: no program can know that it is nobody's.
fn unlock(site: &Site) {
    let lock = site.dir.join("web/.git/packed-refs.lock");
    let age = || fs::metadata(&lock).ok()?.modified().ok()?.elapsed().ok();
    if age().is_some_and(|age| age > STALE) && fs::remove_file(&lock).is_ok() {
        site.note("a person removes the lock of the packed refs");
        site.book.lock().unwrap().count("locks that a git has left");
    }
}

/// Everybody who lost an answer asks again. Then each session comes to rest, and is what its row says.
pub(super) fn settled(site: &Site, world: &World, unlimited: bool) {
    until_right(site, "of those that were asked for", || {
        let spawns = site.book.lock().unwrap().spawns.clone();
        let mut lost = Vec::new();
        for (key, (order, _)) in &spawns {
            if !acts::spawn(site, key, order, true) {
                lost.push(format!("{key} is not answered"));
            }
        }
        lost
    });
    let mut agents = Agents::default();
    until_right(site, "in the calm", || {
        let Some(sessions) = site.sessions() else {
            return vec!["the daemon does not answer".to_owned()];
        };
        agents.look(&site.dir);
        let restless = |session: &Value| unsettled(session, &agents, unlimited);
        sessions.iter().filter_map(restless).collect()
    });
    keys(site, world);
    once(site, &agents);
    orchestrators(site, world);
    messages(site, world);
    names(site, world);
    kills(site, world);
}

/// Why a session has not come to rest, or is not what its processes are.
fn unsettled(session: &Value, agents: &Agents, unlimited: bool) -> Option<String> {
    let text = |name: &str| session[name].as_str().unwrap_or_default();
    let rests = match text("phase") {
        "ended" => true,
        "finished" | "live" => text("desired") == "run" && text("status") != "unknown",
        "queued" => text("desired") == "run" && !unlimited,
        _ => false,
    };
    let waits = session["messagesWaiting"] != 0 && text("phase") == "live";
    if !rests || waits {
        return Some(format!("{} does not come to rest: {session}", text("id")));
    }
    contradiction(session, agents)
}

/// One session a key, and no session that nobody asked for.
fn keys(site: &Site, world: &World) {
    let book = site.book.lock().unwrap();
    let mut owners: BTreeMap<&String, &String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (key, (_, ids)) in &book.spawns {
        if ids.len() != 1 {
            wrong.push(format!("{key} is {ids:?}"));
        }
        for id in ids {
            if let Some(other) = owners.insert(id, key) {
                wrong.push(format!("{id} is {key} and {other}"));
            }
        }
    }
    let keys = book.spawns.len();
    drop(book);
    let rows = rows(
        world,
        "SELECT json_object('id', id) AS row FROM sessions WHERE kind = 'worker'",
    );
    if rows.len() != keys {
        wrong.push(format!("{} sessions for {keys} keys", rows.len()));
    }
    wrong.into_iter().for_each(|wrong| site.fault(wrong));
}

/// Each run of a session was started once at most.
fn once(site: &Site, agents: &Agents) {
    let mut runs = BTreeSet::new();
    for agent in &agents.all {
        if !runs.insert((&agent.session, agent.generation)) {
            site.fault(format!(
                "run {} of {} was started more than once: {:?}",
                agent.generation, agent.session, agents.all
            ));
        }
    }
}

fn orchestrators(site: &Site, world: &World) {
    let living = rows(
        world,
        "SELECT json_object('id', id) AS row FROM sessions WHERE kind = 'orchestrator' AND desired = 'run' \
         AND replaces IS NULL AND phase NOT IN ('finished', 'ended')",
    );
    if living.len() > 1 {
        site.fault(format!("more than one orchestrator: {living:?}"));
    }
}

/// What was answered as sent is a row, once; what is called accepted was heard, once; and nothing was heard twice that is
/// not said to be so perhaps.
fn messages(site: &Site, world: &World) {
    let heard = world.asked();
    let rows = rows(
        world,
        "SELECT json_object('key', key, 'session', session_id, 'state', state, 'perhaps', perhaps) AS row FROM messages",
    );
    let sent = site.book.lock().unwrap().sent.clone();
    for (text, (id, answered)) in &sent {
        let own: Vec<&Value> = rows.iter().filter(|row| row["key"] == text.as_str()).collect();
        let times = heard.iter().filter(|heard| *heard == text).count();
        let states = || format!("`{text}` to {id} was heard {times} times: {own:?}");
        let wrong = match own[..] {
            [] => *answered || times > 0,
            [row] => {
                let (state, perhaps) = (row["state"].as_str().unwrap_or_default(), row["perhaps"] == 1);
                (state == "accepted" && times == 0) || (times > 1 && !perhaps)
            }
            _ => true,
        };
        if wrong {
            site.fault(states());
        }
    }
}

/// A session is called as somebody wanted.
fn names(site: &Site, world: &World) {
    let rows = rows(
        world,
        "SELECT json_object('id', id, 'name', display_name) AS row FROM sessions",
    );
    let names = site.book.lock().unwrap().names.clone();
    for row in rows {
        let asked = names.get(row["id"].as_str().unwrap_or_default());
        let asked = asked.map(Vec::as_slice).unwrap_or_default();
        let fine = match row["name"].as_str() {
            Some(name) => asked.iter().any(|(asked, _)| asked == name),
            None => asked.iter().all(|(_, answered)| !answered),
        };
        if !fine {
            site.fault(format!("{row} was to be called one of {asked:?}"));
        }
    }
}

/// Everything is ended: nothing runs but the daemon, nothing is left over, and no byte is lost.
pub(super) fn ended(site: &Site, world: &World) {
    let sessions = site.sessions().unwrap_or_default();
    for (at, session) in sessions
        .iter()
        .filter(|session| session["phase"] != "ended")
        .enumerate()
    {
        // Every second one is given up: what it held has to be in what was rescued.
        acts::kill(site, session["id"].as_str().unwrap_or_default(), at % 2 == 1);
    }
    until_right(site, "after everything was killed", || {
        let sessions = site.sessions().unwrap_or_default();
        let mut wrong: Vec<String> = sessions
            .iter()
            .filter(|session| session["phase"] != "ended")
            .map(|session| format!("{} has not ended: {session}", session["id"]))
            .collect();
        if wrong.is_empty() {
            wrong = left_over(site, world);
        }
        wrong
    });
    let rescued = world.census().rescued.len() as u64;
    site.book.lock().unwrap().counts.insert("rescues", rescued);
    for mark in bytes::lost(world, site) {
        site.fault(format!("`{mark}` was written and is lost"));
    }
    until_right(site, "the follower", || {
        let head: i64 = world
            .query("SELECT CAST(max(seq) AS TEXT) FROM change_log")
            .parse()
            .unwrap();
        let followed = site.followed.load(Ordering::SeqCst);
        (followed != head)
            .then(|| format!("has read up to {followed} of {head}"))
            .into_iter()
            .collect()
    });
}

/// Whoever was to end has ended, unless somebody wanted it back since; asked before everything is killed, or it would show nothing.
fn kills(site: &Site, world: &World) {
    let rows = rows(
        world,
        "SELECT json_object('id', id, 'phase', phase, 'desired', desired, 'generation', generation) AS row FROM sessions",
    );
    let mut book = site.book.lock().unwrap();
    let mut wrong = Vec::new();
    for row in rows {
        let id = row["id"].as_str().unwrap_or_default();
        if book.for_good.contains(id) {
            book.count("sessions that were to stay ended");
        }
        if book.for_good.contains(id) && row["phase"] != "ended" {
            wrong.push(format!("{id} was killed and has not ended: {row}"));
        }
        if row["generation"] != 1 && !book.restores.contains_key(id) {
            wrong.push(format!("{id} came back, and nobody wanted it: {row}"));
        }
    }
    drop(book);
    wrong.into_iter().for_each(|wrong| site.fault(wrong));
}

/// What is there although its session has ended.
fn left_over(site: &Site, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let census = world.census();
    let daemon = world.pid();
    // Of a worktree that is gone the record stays while something of it is still in the repository.
    let has_left = |id: &str| {
        let branch = census
            .branches
            .iter()
            .any(|name| name.ends_with(&format!("/{id}")));
        let rescued = format!("refs/ao/rescue/{id}/");
        branch || census.rescued.iter().any(|name| name.starts_with(&rescued))
    };
    for (pid, line) in &census.processes {
        if *pid != daemon {
            wrong.push(format!("process {pid} is left: {line}"));
        }
    }
    for stray in &census.strays {
        let parts: Vec<&str> = stray.split('/').collect();
        let record = match parts[..] {
            ["work", id] => has_left(id),
            ["work", id, file] => {
                has_left(id) && ["owner.json", "work.json", "work.err", "work.lock"].contains(&file)
            }
            _ => false,
        };
        if !record {
            wrong.push(format!("{stray} is left"));
        }
    }
    wrong.extend(
        census
            .sockets
            .iter()
            .map(|socket| format!("socket {socket} is left")),
    );
    let runs = world
        .data
        .join("pty")
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .flatten();
    wrong.extend(runs.map(|run| format!("the run {} is left", run.path())));
    let mut locks = Vec::new();
    locks_in(&world.repo.join(".git"), &mut locks);
    wrong.extend(locks.into_iter().map(|lock| format!("{lock} is left")));

    let rows = rows(
        world,
        "SELECT json_object('id', id, 'branch', branch, 'worktree', worktree, 'state', worktree_state, \
         'rescue', rescue_ref) AS row FROM sessions",
    );
    let registered = world.git(&["worktree", "list", "--porcelain"]);
    let discards = site.book.lock().unwrap().discards.clone();
    let mut kept = BTreeSet::new();
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let (id, path) = (text("id"), Utf8Path::new(text("worktree")));
        let stands = matches!(text("state"), "kept" | "active");
        if stands {
            kept.insert(format!("worktrees/web/{id}"));
        }
        let record = world.data.join("work").join(id).exists();
        for (what, there) in [
            ("worktree", path.exists()),
            ("registration", registered.contains(&format!("worktree {path}\n"))),
            ("record", if has_left(id) && !stands { false } else { record }),
        ] {
            if there != stands {
                wrong.push(format!("the {what} of {id} is there: {there}; its row: {row}"));
            }
        }
        let branch = census
            .branches
            .iter()
            .any(|known| known.ends_with(&format!("/{id}")));
        // One that was discarded stays where commits are on it.
        if branch != stands && !(branch && discards.contains(id)) {
            wrong.push(format!("the branch of {id} is there: {branch}; its row: {row}"));
        }
        let rescued = |name: &&String| name.starts_with(&format!("refs/ao/rescue/{id}/"));
        if census.rescued.iter().any(|name| rescued(&name)) && !discards.contains(id) {
            wrong.push(format!("{id} was rescued, and nobody gave it up: {row}"));
        }
        if !text("rescue").is_empty() && !census.rescued.iter().any(|name| name == text("rescue")) {
            wrong.push(format!("what was rescued of {id} is gone: {row}"));
        }
    }
    let others = census.worktrees.iter().filter(|path| !kept.contains(*path));
    wrong.extend(others.map(|path| format!("{path} is no session's")));
    wrong
}

/// What git leaves of a lock. Those of worktrees are their agents' own, and so are those that a commit or a stash of theirs takes in the
/// shared repository: an agent's git is killed with its agent, and is nobody's to finish.
fn locks_in(folder: &Utf8Path, locks: &mut Vec<String>) {
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !path.ends_with(".git/worktrees") {
                locks_in(path, locks);
            }
        } else if path.extension() == Some("lock")
            && !path.as_str().contains("/.git/refs/heads/ao/")
            && !path.ends_with(".git/refs/stash.lock")
        {
            locks.push(path.to_string());
        }
    }
}

/// Following the stream to its end has given what the rows say, and each kill that was answered is in it.
pub(super) fn followed(site: &Site, world: &World, followed: &Followed) {
    let rows = rows(
        world,
        "SELECT json_object('id', id, 'phase', phase, 'revision', revision) AS row FROM sessions",
    );
    let said = |row: &Value| {
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        let phase = row["phase"].as_str().unwrap_or_default().to_owned();
        (id, (phase, row["revision"].as_u64().unwrap_or_default()))
    };
    let wanted: BTreeMap<String, (String, u64)> = rows.iter().map(said).collect();
    if followed.sessions != wanted {
        site.fault(format!(
            "the stream said {:?}, the rows say {wanted:?}",
            followed.sessions
        ));
    }
    let kills = site.book.lock().unwrap().kills.clone();
    for (id, _) in kills.iter().filter(|(_, answered)| **answered) {
        if !followed.ended.contains(id) {
            site.fault(format!("{id} was killed, and never ended"));
        }
    }
}

/// Rows as objects: the question names one column, `row`.
fn rows(world: &World, question: &str) -> Vec<Value> {
    let all = world.query(&format!("SELECT json_group_array(json(row)) FROM ({question})"));
    let all: Value = serde_json::from_str(&all).unwrap();
    all.as_array().unwrap().clone()
}
