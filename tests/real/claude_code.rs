//! Claude Code: launched, watched, interrupted, killed and brought back.

use std::fs;

use ao_tests::settle;
use camino::Utf8PathBuf;
use serde_json::json;

use crate::claude::{Claude, ESC, Person, said_by_it};

#[test]
fn it_writes_the_file_that_its_prompt_asks_for_and_its_status_follows() {
    let Some(claude) = Claude::started("claude_code::it_writes_the_file") else {
        return;
    };
    let id = claude.spawn(
        &["--permissions", "accept-edits"],
        "please\nSTUB: write hello.txt hi there\nSTUB: say all is written",
    );
    let done = claude.world.until(&id, "lastMessage", "all is written");
    assert_eq!(
        (&done["harness"], &done["generation"]),
        (&json!("claude-code"), &json!(1))
    );
    claude.until(&id, "idle");
    let worktree = Utf8PathBuf::from(done["worktree"]["path"].as_str().unwrap());
    assert_eq!(
        fs::read_to_string(worktree.join("hello.txt")).unwrap(),
        "hi there"
    );
    // What is shown is what its own transcript says, which it writes a moment later.
    let native = done["nativeId"].as_str().unwrap();
    settle("its transcript has the end of the turn", || {
        let lines = claude.transcript(native);
        let said = lines.iter().rev().find_map(said_by_it);
        said.as_deref() == done["lastMessage"].as_str()
    });
    let lines = claude.transcript(native);
    let prompt = lines.iter().find_map(|line| line["lastPrompt"].as_str());
    assert_eq!(done["title"].as_str(), prompt);
    // Nothing of ours lies in the worktree.
    let [worktree, repository] = claude.status_of_git(&done);
    assert_eq!((worktree.trim(), repository.trim()), ("?? hello.txt", ""));
    assert_eq!(claude.model.turns_with("STUB: write hello.txt"), 1);
    claude.kill(&id, &["--discard"]);
}

#[test]
fn a_dialog_is_a_decision_to_take_and_no_dialog_comes_at_the_start() {
    let Some(claude) = Claude::started("claude_code::a_dialog_is_a_decision") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: slow 2\nSTUB: write hello.txt hi");
    claude.until(&id, "working");
    let open = claude.until(&id, "needs_input");
    assert_eq!(open["activity"]["doing"], "needs_decision");
    let worktree = Utf8PathBuf::from(open["worktree"]["path"].as_str().unwrap());
    assert!(!worktree.join("hello.txt").exists());
    assert_eq!(claude.status_of_git(&open), ["", ""].map(str::to_owned));
    claude.kill(&id, &[]);
    let ended = claude.world.session(&id);
    assert_eq!(
        (&ended["status"], &ended["worktree"]["state"]),
        (&json!("terminated"), &json!("removed"))
    );
}

#[test]
fn a_prompt_that_begins_with_a_dash_is_a_prompt() {
    let Some(claude) = Claude::started("claude_code::a_prompt_that_begins_with_a_dash") else {
        return;
    };
    let id = claude.spawn(&[], "-rf --help\nSTUB: say minus");
    let done = claude.world.until(&id, "lastMessage", "minus");
    assert_eq!(done["title"], "-rf --help STUB: say minus");
    claude.kill(&id, &[]);
}

#[test]
fn an_interrupt_that_no_hook_tells_of_ends_the_turn() {
    let Some(claude) = Claude::started("claude_code::an_interrupt") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: slow 60");
    claude.until(&id, "working");
    settle("the model streams", || {
        claude.model.turns_with("STUB: slow 60") == 1
    });
    let mut person = Person::at(&claude, &id);
    person.types(ESC);
    claude.until(&id, "idle");
    person.leaves();
    claude.kill(&id, &[]);
}

#[test]
fn a_dialog_that_is_closed_with_escape_is_no_decision_any_more() {
    let Some(claude) = Claude::started("claude_code::a_dialog_that_is_closed") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: write hello.txt hi");
    claude.until(&id, "needs_input");
    let mut person = Person::at(&claude, &id);
    person.types(ESC);
    let after = claude.until(&id, "idle");
    person.leaves();
    assert_eq!(claude.status_of_git(&after), ["", ""].map(str::to_owned));
    claude.kill(&id, &[]);
}

#[test]
fn a_question_that_is_closed_with_escape_is_no_decision_any_more() {
    let Some(claude) = Claude::started("claude_code::a_question_that_is_closed") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: question which colour?");
    claude.until(&id, "needs_input");
    settle("the question is read", || {
        claude.world.session(&id)["dialog"].is_object()
    });
    let mut person = Person::at(&claude, &id);
    person.types(ESC);
    claude.until(&id, "idle");
    person.leaves();
    // What it says last stays: it waits, and takes the next message.
    claude.world.ao(&["send", &id, "STUB: say blue", "--wait"]).ok();
    claude.world.until(&id, "lastMessage", "blue");
    claude.kill(&id, &[]);
}

#[test]
fn an_error_of_the_api_ends_the_turn() {
    let Some(claude) = Claude::started("claude_code::an_error_of_the_api") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: error 400 9");
    let done = claude
        .world
        .until(&id, "lastMessage", "API Error: 400 stub error 400");
    assert_eq!(claude.until(&id, "idle")["nativeId"], done["nativeId"]);
    // By the hook that tells of it, not by the one that comes a minute later.
    assert_eq!(claude.last_word(), "StopFailure");
    claude.kill(&id, &[]);
}

/// The hook of a message that is typed while it works comes when it is queued; Stop of the first turn comes after that.
#[test]
fn a_turn_that_was_queued_is_work() {
    let Some(claude) = Claude::started("claude_code::a_turn_that_was_queued") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: slow 4");
    claude.until(&id, "working");
    settle("the model streams", || {
        claude.model.turns_with("STUB: slow 4") == 1
    });
    let mut person = Person::at(&claude, &id);
    person.types("STUB: slow 60 second");
    std::thread::park_timeout(std::time::Duration::from_millis(300)); // a person's pause: keys that come faster are a paste
    person.types("\r");
    settle("the second turn runs", || {
        claude.model.turns_with("60 second") == 1
    });
    claude.until(&id, "working");
    let said = claude.world.query(
        "SELECT event FROM signals WHERE event IN ('Stop', 'transcript.turn') ORDER BY seq DESC LIMIT 1",
    );
    assert_eq!(said.trim(), "transcript.turn");
    person.types(ESC);
    claude.until(&id, "idle");
    person.leaves();
    claude.kill(&id, &[]);
}

#[test]
fn an_agent_that_was_killed_has_ended_with_its_signal() {
    let Some(claude) = Claude::started("claude_code::an_agent_that_was_killed") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: slow 60");
    let session = claude.until(&id, "working");
    let pid = rustix::process::Pid::from_raw(i32::try_from(session["agentPid"].as_u64().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
    let ended = claude.until(&id, "terminated");
    assert_eq!(ended["exit"], json!({"signal": 9}));
    claude.kill(&id, &[]);
}

/// Killed in the middle of a slow turn: the same agent goes on, and what its hooks said meanwhile is applied in order.
#[test]
fn a_daemon_that_is_killed_in_a_slow_turn_finds_its_agent_at_work() {
    let Some(mut claude) = Claude::started("claude_code::a_daemon_that_is_killed") else {
        return;
    };
    let id = claude.spawn(
        &["--permissions", "accept-edits"],
        "STUB: slow 3\nSTUB: write hello.txt hi\nSTUB: say done at last",
    );
    let before = claude.until(&id, "working");
    settle("the model streams", || {
        claude.model.turns_with("STUB: slow 3") == 1
    });
    claude.world.kill_9();
    settle("the turn has ended without us", || {
        claude
            .model
            .asked()
            .last()
            .is_some_and(|asked| asked.results == 1)
    });
    claude.world.start();
    let after = claude.world.until(&id, "lastMessage", "done at last");
    claude.until(&id, "idle");
    for same in ["agentPid", "generation", "nativeId"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    let told = claude.world.query(
        "SELECT group_concat(event, ' ') FROM (SELECT * FROM signals WHERE state IS NOT NULL ORDER BY seq)",
    );
    let hooks: Vec<&str> = told
        .split_whitespace()
        .filter(|event| !event.contains('.'))
        .collect();
    assert_eq!(hooks, ["UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"]);
    claude.kill(&id, &["--discard"]);
}

/// The agent is killed in the middle of its life; restored, it goes on with the conversation it had, as the next run.
#[test]
fn a_restored_session_goes_on_with_its_conversation() {
    let Some(claude) = Claude::started("claude_code::a_restored_session") else {
        return;
    };
    let id = claude.spawn(&[], "remember the word walnut\nSTUB: say I will");
    let before = claude.world.until(&id, "lastMessage", "I will");
    claude.until(&id, "idle");
    let native = before["nativeId"].as_str().unwrap();
    settle("its transcript has the end of the turn", || {
        let lines = claude.transcript(native);
        lines.iter().rev().find_map(said_by_it).as_deref() == Some("I will")
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(before["agentPid"].as_u64().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
    claude.until(&id, "terminated");
    let asked = claude.model.asked().len();
    let said = claude.restore(&id).ok();
    assert!(said.out.contains("restored session"), "{said:?}");
    let after = claude.until(&id, "idle");
    assert_eq!(
        (&after["generation"], &after["harness"]),
        (&json!(2), &json!("claude-code"))
    );
    for same in ["nativeId", "worktree", "branch"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(
        claude.model.asked().len(),
        asked,
        "it was not asked its prompt again"
    );
    // What it said before is there.
    let mut person = Person::at(&claude, &id);
    person.sees("walnut");
    claude
        .world
        .until(&id, "nativeId", before["nativeId"].as_str().unwrap());
    settle("it has reported", || {
        claude.world.session(&id)["activity"]["doing"] == "waiting_for_work"
    });
    person.types("STUB: say walnut");
    std::thread::park_timeout(std::time::Duration::from_millis(300)); // a person's pause: keys that come faster are a paste
    person.types("\r");
    claude.world.until(&id, "lastMessage", "walnut");
    person.leaves();
    settle("both turns are in one transcript", || {
        let said: Vec<String> = claude.transcript(native).iter().filter_map(said_by_it).collect();
        said == ["I will", "walnut"]
    });
    let again = claude.restore(&id);
    assert!(again.err.contains("is not over"), "{again:?}");
    claude.kill(&id, &[]);
}

/// A person asked for it by name: no dialog asks once more. (It refuses that to root, unless it is told that it is in a sandbox.)
#[test]
fn nobody_is_asked_where_a_person_said_so() {
    let Some(claude) = Claude::started("claude_code::nobody_is_asked") else {
        return;
    };
    let id = claude.spawn(
        &["--permissions", "bypass-permissions", "--model", "stub-large"],
        "STUB: run echo ran > ran.txt\nSTUB: say it ran",
    );
    let done = claude.world.until(&id, "lastMessage", "it ran");
    let worktree = Utf8PathBuf::from(done["worktree"]["path"].as_str().unwrap());
    assert_eq!(fs::read_to_string(worktree.join("ran.txt")).unwrap(), "ran\n");
    let asked = claude.model.asked();
    let turn = asked.iter().find(|asked| asked.tools > 0).unwrap();
    assert_eq!(turn.model, "stub-large");
    claude.kill(&id, &["--discard"]);
}

/// The settings that the user keeps in the repository stay in force beside ours, and stay as they are.
#[test]
fn the_users_own_settings_stay_in_force() {
    let Some(claude) = Claude::started("claude_code::the_users_own_settings") else {
        return;
    };
    let repo = &claude.world.repo;
    fs::create_dir_all(repo.join(".claude")).unwrap();
    let mark = claude.world.dir.join("theirs");
    let hook = json!([{"hooks": [{"type": "command", "command": format!("touch {mark}")}]}]);
    let settings = json!({"hooks": {"Stop": hook}}).to_string();
    fs::write(repo.join(".claude/settings.json"), &settings).unwrap();
    claude.world.git(&["add", "."]);
    claude.world.git(&["commit", "-q", "-m", "settings"]);
    let id = claude.spawn(&[], "STUB: say hello");
    let done = claude.world.until(&id, "lastMessage", "hello");
    settle("their hook ran too", || mark.exists());
    let worktree = Utf8PathBuf::from(done["worktree"]["path"].as_str().unwrap());
    assert_eq!(
        fs::read_to_string(worktree.join(".claude/settings.json")).unwrap(),
        settings
    );
    assert_eq!(claude.status_of_git(&done), ["", ""].map(str::to_owned));
    claude.kill(&id, &[]);
}

/// What the user keeps for this machine alone stays as it is, and nothing of ours comes beside it, from spawn to removal.
#[test]
fn the_users_local_settings_stay_as_they_are() {
    let Some(claude) = Claude::started("claude_code::the_users_local_settings") else {
        return;
    };
    let repo = &claude.world.repo;
    fs::create_dir_all(repo.join(".claude")).unwrap();
    let local = repo.join(".claude/settings.local.json");
    let text = json!({"permissions": {"allow": ["Bash(true)"]}, "theirs": [1, 2]}).to_string();
    fs::write(&local, &text).unwrap();
    fs::write(repo.join(".git/info/exclude"), ".claude/settings.local.json\n").unwrap();
    let exclude = fs::read_to_string(repo.join(".git/info/exclude")).unwrap();
    let clean = ["", ""].map(str::to_owned);
    let id = claude.spawn(&[], "STUB: say hello");
    let done = claude.world.until(&id, "lastMessage", "hello");
    assert_eq!(claude.status_of_git(&done), clean);
    claude.world.ao(&["send", &id, "STUB: say again", "--wait"]).ok();
    claude.world.until(&id, "lastMessage", "again");
    assert_eq!(claude.status_of_git(&done), clean);
    claude.kill(&id, &[]);
    assert_eq!(claude.world.session(&id)["worktree"]["state"], "removed");
    assert_eq!(claude.world.git(&["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(&local).unwrap(), text);
    assert_eq!(
        fs::read_to_string(repo.join(".git/info/exclude")).unwrap(),
        exclude
    );
}
