//! What clients do by chance, what may be answered to it, and what of it is broken under them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use ao_tests::{Answer, Seed};
use camino::Utf8Path;
use serde_json::{Value, json};

use super::agents;
use super::site::{Book, Site};

#[derive(Clone, Copy, Debug)]
enum Act {
    Spawn,
    SpawnAgain,
    Send,
    Kill,
    Discard,
    Restore,
    Rename,
    CleanUp,
    Orchestrate,
    Replace,
    Write,
}

/// One client, and everything it does.
pub(super) fn client(site: &Site, number: u64, mut seed: Seed) {
    for act in 0..3 + seed.below(5) {
        site.rest(Duration::from_millis(seed.below(250)));
        let (name, seed) = (format!("{number}-{act}"), &mut seed);
        let what = seed.one_of(&[
            (if act == 0 { 200 } else { 26 }, Act::Spawn),
            (8, Act::SpawnAgain),
            (14, Act::Send),
            (12, Act::Kill),
            (8, Act::Discard),
            (12, Act::Restore),
            (8, Act::Rename),
            (6, Act::CleanUp),
            (4, Act::Orchestrate),
            (3, Act::Replace),
            (6, Act::Write),
        ]);
        let known = site.book.lock().unwrap().known.clone();
        let whose = known
            .get(usize::try_from(seed.below(known.len().max(1) as u64)).unwrap_or_default())
            .cloned();
        match (what, whose) {
            (Act::Spawn, _) | (Act::Send | Act::Kill | Act::Discard | Act::Restore, None) => {
                let _ = spawn(
                    site,
                    &format!("key-{name}"),
                    &agents::order(seed, &site.dir),
                    seed.below(2) == 0,
                );
            }
            (Act::SpawnAgain, _) => spawn_again(site, seed),
            (Act::CleanUp, _) => clean_up(site),
            (Act::Orchestrate, _) => orchestrate(site, seed, false),
            (Act::Replace, _) => orchestrate(site, seed, true),
            (Act::Send, Some(id)) => send(site, &id, &format!("message {name}")),
            (Act::Kill, Some(id)) => kill(site, &id, false),
            (Act::Discard, Some(id)) => kill(site, &id, true),
            (Act::Restore, Some(id)) => restore(site, &id),
            (Act::Rename, Some(id)) => rename(site, &id, &format!("name {name}")),
            (Act::Write, Some(id)) => write(site, seed, &id, &name),
            (Act::Rename | Act::Write, None) => {}
        }
    }
}

/// Whether an answer is one of those that are documented, and no refusal by which nothing was written: a daemon that stops
/// says 503 to everything, and git may take longer than a request of these worlds waits.
fn expect(site: &Site, what: &str, answer: &Answer, wanted: &[u16]) -> bool {
    let body = String::from_utf8_lossy(&answer.body);
    if answer.code() == "GIT_FAILED" && body.contains("timed out") {
        site.book
            .lock()
            .unwrap()
            .count("spawns that git was too slow for");
        return false;
    }
    let fine = wanted.contains(&answer.status) || answer.status == 503;
    if !fine {
        site.fault(format!("{what}: {} {body}", answer.status));
    }
    fine && answer.status != 503
}

/// The id in an answer to a spawn: that of the session, or of the one that it was refused with.
fn id_in(answer: &Value) -> Option<String> {
    let id = answer["session"]["id"].as_str();
    Some(id.or_else(|| answer["details"]["sessionId"].as_str())?.to_owned())
}

/// Asks for a session under `key`, and notes which it was answered with; whether it was.
pub(super) fn spawn(site: &Site, key: &str, order: &Value, at_once: bool) -> bool {
    {
        let mut book = site.book.lock().unwrap();
        book.count("spawns");
        let fresh = || (order.clone(), BTreeSet::new());
        book.spawns.entry(key.to_owned()).or_insert_with(fresh);
    }
    let answer = site.ask("POST", "/api/v1/sessions", Some(key), Some(order), at_once);
    let Some(answer) = answer.filter(|answer| expect(site, "a spawn", answer, &[201, 202, 409])) else {
        return false;
    };
    let Some(id) = id_in(&answer.json()) else {
        site.fault(format!("a spawn was answered without an id: {answer:?}"));
        return true;
    };
    site.note(&format!("{key} is {id}"));
    let mut book = site.book.lock().unwrap();
    book.hears_of(&id);
    book.spawns.get_mut(key).unwrap().1.insert(id);
    true
}

/// The same as before, under the same key, from two connections at once.
fn spawn_again(site: &Site, seed: &mut Seed) {
    let spawns = site.book.lock().unwrap().spawns.clone();
    let Some((key, (order, _))) = spawns.iter().nth(seed.below(spawns.len().max(1) as u64) as usize) else {
        return;
    };
    std::thread::scope(|scope| {
        for at_once in [true, false] {
            scope.spawn(move || spawn(site, key, order, at_once));
        }
    });
}

fn send(site: &Site, id: &str, text: &str) {
    {
        let mut book = site.book.lock().unwrap();
        book.count("messages");
        book.sent.insert(text.to_owned(), (id.to_owned(), false));
    }
    let path = format!("/api/v1/sessions/{id}/send");
    // Whoever loses the answer asks again.
    for _ in 0..2 {
        let Some(answer) = site.ask(
            "POST",
            &path,
            Some(text),
            Some(&json!({ "message": text })),
            false,
        ) else {
            continue;
        };
        if expect(site, "a message", &answer, &[200, 409]) && answer.status == 200 {
            site.book.lock().unwrap().sent.get_mut(text).unwrap().1 = true;
        }
        return;
    }
}

/// Asks for a session's end.
pub(super) fn kill(site: &Site, id: &str, discard: bool) {
    let restores = |book: &Book| book.restores.get(id).copied().unwrap_or_default();
    let before = {
        let mut book = site.book.lock().unwrap();
        book.count("kills");
        book.kills.entry(id.to_owned()).or_default();
        if discard {
            book.discards.insert(id.to_owned());
        }
        restores(&book)
    };
    let path = format!("/api/v1/sessions/{id}/kill");
    let body = json!({ "discard": discard });
    let answer = site.ask("POST", &path, None, Some(&body), false);
    if answer.is_some_and(|answer| expect(site, "a kill", &answer, &[200, 202])) {
        let mut book = site.book.lock().unwrap();
        book.kills.insert(id.to_owned(), true);
        // A restore that was under way with it may have been the later one.
        if before.1 == 0 && restores(&book) == before {
            book.for_good.insert(id.to_owned());
        }
    }
}

fn restore(site: &Site, id: &str) {
    {
        let mut book = site.book.lock().unwrap();
        book.count("restores");
        let (asked, waiting) = book.restores.entry(id.to_owned()).or_default();
        (*asked, *waiting) = (*asked + 1, *waiting + 1);
        book.for_good.remove(id);
    }
    let path = format!("/api/v1/sessions/{id}/restore");
    if let Some(answer) = site.ask("POST", &path, None, Some(&json!({"startOver": true})), false) {
        expect(site, "a restore", &answer, &[200, 202, 409]);
    }
    site.book.lock().unwrap().restores.get_mut(id).unwrap().1 -= 1;
}

fn rename(site: &Site, id: &str, name: &str) {
    let noted = |done: bool| {
        let mut book = site.book.lock().unwrap();
        let names = book.names.entry(id.to_owned()).or_default();
        names.retain(|(known, _)| known != name);
        names.push((name.to_owned(), done));
    };
    noted(false);
    site.book.lock().unwrap().count("renames");
    let path = format!("/api/v1/sessions/{id}");
    if let Some(answer) = site.ask("PATCH", &path, None, Some(&json!({ "displayName": name })), false)
        && expect(site, "a rename", &answer, &[200])
    {
        noted(true);
    }
}

fn clean_up(site: &Site) {
    site.book.lock().unwrap().count("clean-ups");
    if let Some(answer) = site.ask("POST", "/api/v1/sessions/cleanup", None, None, false) {
        expect(site, "a clean-up", &answer, &[200]);
    }
}

fn orchestrate(site: &Site, seed: &mut Seed, clean: bool) {
    site.book.lock().unwrap().count("orchestrators");
    let mut order = agents::order(seed, &site.dir);
    order["clean"] = json!(clean);
    if let Some(answer) = site.ask(
        "POST",
        "/api/v1/orchestrators",
        None,
        Some(&order),
        seed.below(2) == 0,
    ) && expect(site, "an orchestrator", &answer, &[200, 201, 202, 409])
        && let Some(id) = id_in(&answer.json())
    {
        site.book.lock().unwrap().hears_of(&id);
    }
}

/// A person leaves work in a session's worktree, if it is there: a file, whole at once; what only the index holds; or a stash.
fn write(site: &Site, seed: &mut Seed, id: &str, name: &str) {
    let how = seed.one_of(&[(2, "file"), (1, "x"), (1, "y"), (1, "h"), (1, "k")]);
    let mark = format!("precious-person-{name}-{how}.");
    let (draft, file) = (site.dir.join(format!("draft-{name}")), format!("person-{name}"));
    fs::write(&draft, &mark).unwrap();
    let tree = site.data.join("worktrees/web").join(id);
    let place = tree.join(&file);
    if fs::rename(&draft, &place).is_err() {
        return;
    }
    let index = site.dir.join(format!("home/index-{id}"));
    let git = |words: &[&str]| git(&index, &tree, &[words, &["--", &file]].concat());
    let done = match how {
        "h" => git(&["stash", "push", "-q", "-u"]),
        "k" => git(&["add"]) && git(&["stash", "push", "-q"]),
        // Whoever is about to take the worktree back weighs it once more after it has moved away. So what the index of a worktree that
        // still is in its place has is seen; what git writes into one that is moved meanwhile is what we do not promise.
        "x" => git(&["add"]) && fs::write(&place, "other").is_ok() && git(&["ls-files", "--error-unmatch"]),
        "y" => git(&["add"]) && fs::remove_file(&place).is_ok() && git(&["ls-files", "--error-unmatch"]),
        _ => true,
    };
    if done {
        site.note(&format!("a person leaves {mark} in {id}"));
        let mut book = site.book.lock().unwrap();
        book.count("works of persons");
        book.wrote.push(mark);
    }
}

/// Whether a person's git has done what it was asked for in a worktree, while its agent's own waits: both hold the lock `index`.
fn git(index: &Utf8Path, tree: &Utf8Path, words: &[&str]) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a person uses git where an agent works")]
    let mut git = Command::new("flock");
    git.args([
        index.as_str(),
        "git",
        "-C",
        tree.as_str(),
        "-c",
        "user.name=p",
        "-c",
        "user.email=p@example.com",
    ])
    .args(words)
    .env("GIT_CONFIG_NOSYSTEM", "1")
    .env("GIT_CONFIG_GLOBAL", "/dev/null");
    git.output().is_ok_and(|output| output.status.success())
}

/// Crashes children by chance, and hangs one of those that can be missed, now and then.
pub(super) fn breaker(site: &Site, mut seed: Seed) {
    // The root allows for three restarts in five minutes, and each of these may be one of its own children.
    for _ in 0..seed.below(4) {
        site.rest(Duration::from_millis(seed.below(700)));
        let port = site.port();
        let Some(tree) = site.ask("GET", "/api/v1/tree", None, None, false) else {
            continue;
        };
        let tree = tree.json();
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let paths: Vec<&str> = nodes
            .iter()
            .filter_map(|node| node["path"].as_str())
            .filter(|path| path.contains('/'))
            .collect();
        // Sessions' own children twice as often as all others together.
        let sessions = |path: &&&str| path.starts_with("ao/act/sessions/");
        let of_sessions: Vec<&&str> = paths.iter().filter(sessions).collect();
        let from: Vec<&str> = match seed.below(3) {
            0 | 1 if !of_sessions.is_empty() => of_sessions.into_iter().copied().collect(),
            _ => paths,
        };
        let Some(path) = from.get(seed.below(from.len().max(1) as u64) as usize) else {
            continue;
        };
        // One that hangs while it starts is waited for by all that start after it, the sessions' children too.
        let is_passing =
            |path: &str| path.starts_with("ao/act/sessions/") || path.starts_with("ao/observe/sweeps/");
        let runs = |node: &Value| node["state"] == "running" || node["path"].as_str().is_some_and(is_passing);
        let all_run = nodes.iter().all(runs) && site.port() == port;
        let hang = seed.below(30) == 0 && !path.starts_with("ao/act/sessions/") && all_run;
        let (how, counted) = if hang {
            ("hang", "hangs")
        } else {
            ("crash", "crashes")
        };
        if hang {
            site.hangs(path);
        }
        let order = json!({ "path": path });
        if let Some(answer) = site.ask("POST", &format!("/api/v1/tree/{how}"), None, Some(&order), false)
            && expect(site, how, &answer, &[200, 404])
            && answer.status == 200
        {
            site.book.lock().unwrap().count(counted);
        }
    }
}
