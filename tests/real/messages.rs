//! Claude Code is spoken to: messages arrive once, whole and at the right time.

use std::fs;

use ao_domain::Timestamp;
use ao_tests::settle;
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::claude::{Claude, Person};

#[test]
fn a_message_waits_while_a_dialog_is_open_and_arrives_when_it_is_answered() {
    let Some(claude) = Claude::started("messages::a_message_waits_while_a_dialog_is_open") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: write hello.txt hi\nSTUB: say written");
    claude.until(&id, "needs_input");
    settle("the dialog is read", || {
        claude.world.session(&id)["dialog"].is_object()
    });
    let shown = claude.world.ao(&["session", "get", &id]).ok().out;
    for line in [
        "Do you want to create hello.txt?",
        "\n    1. Yes\n",
        "\n    3. No\n",
        "answer with: ao session answer",
        "status: needs_input",
        "reason: a person has to decide: Do you want to create hello.txt?",
    ] {
        assert!(shown.contains(line), "`{line}` is not in {shown}");
    }
    // Held, and not typed: the holder has not typed a thing.
    let waited = claude
        .world
        .ao(&["send", &id, "STUB: say got it", "--wait", "--timeout", "3s"]);
    assert_eq!(waited.code, 1);
    assert!(waited.err.contains("is queued: a dialog is open"), "{waited:?}");
    assert_eq!(claude.typed(&id), Vec::<Value>::new());
    assert_eq!(claude.world.session(&id)["messagesWaiting"], 1);
    let wrong = claude.world.ao(&["session", "answer", &id, "7"]);
    assert!(wrong.err.contains("choose one of 1 (Yes), 2 ("), "{wrong:?}");
    let answered = claude.world.ao(&["session", "answer", &id, "1"]).ok();
    assert!(answered.out.contains(": 1. Yes"), "{answered:?}");
    let done = claude.world.until(&id, "lastMessage", "got it");
    let worktree = Utf8PathBuf::from(done["worktree"]["path"].as_str().unwrap());
    assert_eq!(fs::read_to_string(worktree.join("hello.txt")).unwrap(), "hi");
    let states: Vec<Value> = claude
        .messages(&id)
        .iter()
        .map(|message| message["state"].clone())
        .collect();
    assert_eq!(states, ["accepted", "accepted"]);
    assert_eq!(claude.model.turns_with("got it"), 1);
    let did: Vec<Value> = claude
        .typed(&id)
        .iter()
        .map(|entry| entry["did"].clone())
        .collect();
    assert_eq!(did, ["keys", "text", "enter"]);
    let late = claude.world.ao(&["session", "answer", &id, "1"]);
    assert!(late.err.contains("no dialog open"), "{late:?}");
    claude.kill(&id, &["--discard"]);
}

#[test]
fn an_answer_can_say_no_and_questions_can_be_answered() {
    let Some(claude) = Claude::started("messages::an_answer_can_say_no") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: write hello.txt hi");
    settle("the dialog is read", || {
        claude.world.session(&id)["dialog"].is_object()
    });
    claude.world.ao(&["session", "answer", &id, "no"]).ok();
    let after = claude.until(&id, "idle");
    let worktree = Utf8PathBuf::from(after["worktree"]["path"].as_str().unwrap());
    assert!(!worktree.join("hello.txt").exists());
    assert_eq!(after["dialog"], Value::Null);
    claude
        .world
        .ao(&[
            "send",
            &id,
            "STUB: question which colour?\nSTUB: say chosen",
            "--wait",
        ])
        .ok();
    settle("the question is read", || {
        claude.world.session(&id)["dialog"]["text"]
            .as_array()
            .is_some_and(|text| text.contains(&json!("which colour?")))
    });
    claude.world.ao(&["session", "answer", &id, "2"]).ok();
    claude.world.until(&id, "lastMessage", "chosen");
    claude.kill(&id, &[]);
}

#[test]
fn long_and_short_messages_arrive_whole() {
    let Some(claude) = Claude::started("messages::long_and_short_messages") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: say ready");
    claude.world.until(&id, "lastMessage", "ready");
    let lines = |count: usize| {
        let lines: Vec<String> = (1..=count)
            .map(|n| format!("line {n} \u{e4} <b> \"x\""))
            .collect();
        lines.join("\n")
    };
    for (count, said) in [(1, "one"), (3, "three"), (120, "many")] {
        let text = format!("{}\nSTUB: say {said}", lines(count));
        claude.world.ao(&["send", &id, &text, "--wait"]).ok();
        claude.world.until(&id, "lastMessage", said);
        let asked = claude.model.asked();
        let turn = asked.iter().rfind(|asked| asked.tools > 0).unwrap();
        assert!(turn.text.contains(&text), "{count} lines: {}", turn.text);
    }
    // Beyond what is typed: a file, which it reads without asking.
    let long = format!("STUB: read\n{}\nthe end", lines(1_100));
    assert!(long.len() > 20_000);
    let file = claude.world.dir.join("long.md");
    fs::write(&file, &long).unwrap();
    let sent = claude
        .world
        .ao(&["--json", "send", &id, "--file", file.as_str(), "--wait"])
        .ok()
        .json();
    let put = sent["sent"]["file"].as_str().unwrap();
    assert_eq!(fs::read_to_string(put).unwrap(), long);
    settle("it has read the file", || {
        claude
            .model
            .asked()
            .iter()
            .any(|asked| asked.results == 1 && asked.text.contains(put))
    });
    claude.until(&id, "idle");
    assert_eq!(claude.model.turns_with(put), 1);
    assert!(
        claude
            .messages(&id)
            .iter()
            .all(|message| message["state"] == "accepted" && message["typed"] == 1)
    );
    claude.kill(&id, &[]);
}

/// What an agent's own line would complete or take for a command is sent off all the same.
#[test]
fn a_message_that_looks_like_something_else_arrives_as_it_is() {
    let Some(claude) = Claude::started("messages::a_message_that_looks_like_something_else") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: say ready");
    claude.world.until(&id, "lastMessage", "ready");
    for (n, text) in [
        "look at @READ",
        "# a heading",
        "-- --help",
        "a question?",
        "see ~/x and $(true)",
        "1. Yes",
        "!ls -la",
        r"ends in \",
    ]
    .iter()
    .enumerate()
    {
        let text = format!("{text}\nSTUB: say number {n}");
        claude
            .world
            .ao(&["send", &id, "--message", &text, "--wait", "--timeout", "50s"])
            .ok();
        claude.world.until(&id, "lastMessage", &format!("number {n}"));
        // And where the mark that it could take for a command or a beginning stands last.
        let turned = format!("STUB: say turned {n}\n{}", text.lines().next().unwrap());
        claude
            .world
            .ao(&["send", &id, "--message", &turned, "--wait", "--timeout", "50s"])
            .ok();
        claude.world.until(&id, "lastMessage", &format!("turned {n}"));
    }
    assert!(
        claude
            .messages(&id)
            .iter()
            .all(|message| message["state"] == "accepted" && message["typed"] == 1)
    );
    claude.kill(&id, &[]);
}

/// A message that is sent while it works waits inside it, and is its own turn afterwards.
#[test]
fn a_message_to_one_that_works_is_accepted_at_once_and_done_later() {
    let Some(claude) = Claude::started("messages::a_message_to_one_that_works") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: slow 4\nSTUB: say first");
    claude.until(&id, "working");
    settle("the model streams", || claude.model.turns_with("slow 4") == 1);
    claude.world.ao(&["send", &id, "STUB: say second", "--wait"]).ok();
    assert_eq!(claude.model.turns_with("second"), 0, "its turn has not begun");
    let first = claude.world.session(&id)["lastMessage"].clone();
    assert_eq!(first, Value::Null, "it works on the first");
    claude.world.until(&id, "lastMessage", "second");
    claude.until(&id, "idle");
    assert_eq!(claude.model.turns_with("second"), 1);
    claude.kill(&id, &[]);
}

#[test]
fn a_persons_half_line_is_not_mixed_with_a_message() {
    let Some(claude) = Claude::started("messages::a_persons_half_line") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: say ready");
    claude.world.until(&id, "lastMessage", "ready");
    claude.until(&id, "idle");
    let mut person = Person::at(&claude, &id);
    person.types("half a li");
    person.sees("half a li");
    let waited = claude
        .world
        .ao(&["send", &id, "STUB: say hello", "--wait", "--timeout", "4s"]);
    assert!(
        waited
            .err
            .contains("a text that was not sent stands in its terminal"),
        "{waited:?}"
    );
    person.types("ne");
    std::thread::park_timeout(std::time::Duration::from_millis(300)); // a person's pause: keys that come faster are a paste
    person.types("\r");
    claude.world.until(&id, "lastMessage", "hello");
    person.leaves();
    let asked = claude.model.asked();
    let turns: Vec<&str> = asked
        .iter()
        .filter(|asked| asked.tools > 0)
        .map(|asked| asked.text.as_str())
        .collect();
    assert_eq!(
        turns[turns.len() - 2..],
        ["half a line", "STUB: say hello"],
        "{turns:?}"
    );
    claude.kill(&id, &[]);
}

/// With a key that is paid for by use it does not say until when.
#[test]
fn a_quota_wall_ends_the_turn_and_is_named() {
    let claude = Claude::started_with("messages::a_quota_wall", |world| world.set("AO_WALL_RETRY", "4s"));
    let Some(claude) = claude else {
        return;
    };
    let id = claude.spawn(&[], "STUB: wall");
    settle("it waits, and the wall is named", || {
        let session = claude.world.session(&id);
        let reason = session["reason"].as_str().unwrap_or_default();
        session["status"] == "idle"
            && reason.contains("it does not say until when")
            && reason.contains("rate_limit")
            && reason.contains("429")
    });
    assert_eq!(claude.last_word(), "StopFailure");
    // The next turn that goes well takes it away.
    claude
        .world
        .ao(&["send", &id, "STUB: say well again", "--wait"])
        .ok();
    let well = claude.world.until(&id, "lastMessage", "well again");
    assert_eq!(
        (&well["trouble"], &well["wallUntil"]),
        (&Value::Null, &Value::Null)
    );
    claude.kill(&id, &[]);
}

/// With a subscription it says until when: to the minute in its words, to the second in its transcript. What is sent meanwhile is
/// typed after that, once, and a kill of the daemon types it no earlier.
#[test]
fn a_message_at_a_quota_wall_is_typed_after_its_end_and_once() {
    let claude = Claude::started_with("messages::a_message_at_a_quota_wall", |world| {
        world.set("ANTHROPIC_AUTH_TOKEN", "");
        world.set("CLAUDE_CODE_OAUTH_TOKEN", "stub");
    });
    let Some(mut claude) = claude else {
        return;
    };
    let id = claude.spawn(&[], "STUB: wall 12\nSTUB: say the first");
    settle("it is refused", || !claude.model.walls().is_empty());
    let until = Timestamp::from_millis(claude.model.walls()[0] * 1_000).to_string();
    settle("it waits, and until when is known to the second", || {
        claude.world.session(&id)["wallUntil"] == *until
    });
    let session = claude.world.session(&id);
    let reason = session["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(&format!("its quota is used up until {until}")),
        "{reason}"
    );
    assert!(reason.contains("You've hit your 5-hour limit"), "{reason}");
    let sent = claude.world.ao(&["send", &id, "STUB: say after it"]).ok().out;
    assert!(
        sent.contains(&format!("queued (its quota is used up until {until})")),
        "{sent}"
    );
    claude.world.kill_9();
    claude.world.start();
    assert_eq!(claude.world.session(&id)["wallUntil"], *until);
    let well = claude.world.until(&id, "lastMessage", "after it");
    assert_eq!(
        (&well["trouble"], &well["wallUntil"]),
        (&Value::Null, &Value::Null)
    );
    let messages = claude.messages(&id);
    assert_eq!(
        (&messages[0]["state"], &messages[0]["typed"]),
        (&json!("accepted"), &json!(1))
    );
    let typed = claude.typed(&id);
    assert!(
        typed
            .iter()
            .all(|entry| entry["at"].as_str().unwrap() >= until.as_str()),
        "typed before {until}: {typed:#?}"
    );
    assert_eq!(typed.iter().filter(|entry| entry["did"] == "text").count(), 1);
    assert_eq!(claude.model.turns_with("after it"), 1);
    claude.kill(&id, &[]);
}

#[test]
fn a_wait_for_another_try_is_work_and_is_named() {
    let Some(claude) = Claude::started("messages::a_wait_for_another_try") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: error 529 5\nSTUB: say at last");
    settle("the wait is named", || {
        let session = claude.world.session(&id);
        let reason = session["reason"].as_str().unwrap_or_default();
        session["status"] == "working"
            && reason.starts_with("it waits until ")
            && reason.contains(" to try again: 529")
            && reason.contains("attempt")
    });
    let sent = claude.world.ao(&["send", &id, "STUB: say next"]).ok().out;
    assert!(
        sent.contains("queued (its agent waits until ") && sent.contains(" to try again after an error: 529"),
        "{sent}"
    );
    claude.world.until(&id, "lastMessage", "next");
    let done = claude.until(&id, "idle");
    assert!(!done["reason"].as_str().unwrap().contains("try again"), "{done}");
    assert_eq!(claude.model.turns_with("say next"), 1);
    assert_eq!(claude.messages(&id)[0]["typed"], 1);
    claude.kill(&id, &[]);
}

/// A tool that takes its time after it was allowed: the dialog is closed, and it works.
#[test]
fn an_answered_dialog_is_closed_although_its_tool_takes_long() {
    let Some(claude) = Claude::started("messages::an_answered_dialog_is_closed") else {
        return;
    };
    let id = claude.spawn(
        &[],
        "STUB: run perl -e 'select(undef,undef,undef,25)'; echo slept > slept.txt\nSTUB: say rested",
    );
    settle("the dialog is read", || {
        claude.world.session(&id)["dialog"].is_object()
    });
    let answered = claude.world.ao(&["session", "answer", &id, "1"]).ok();
    assert!(answered.out.contains(": 1. Yes"), "{answered:?}");
    let session = claude.until(&id, "working");
    assert_eq!(session["dialog"], Value::Null);
    let told = claude
        .world
        .query("SELECT CAST(count(*) AS TEXT) FROM signals WHERE event LIKE 'PostToolUse%'");
    assert_eq!(told, "0", "no hook has told of it yet");
    // What is sent meanwhile waits inside it.
    claude
        .world
        .ao(&["send", &id, "STUB: say and now", "--wait"])
        .ok();
    claude.world.until(&id, "lastMessage", "and now");
    claude.kill(&id, &["--discard"]);
}

/// It does not read for a while (a machine that swaps, a lid that was closed): what was typed is there once.
#[test]
fn an_agent_that_stands_still_gets_a_message_once() {
    let Some(claude) = Claude::started("messages::an_agent_that_stands_still") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: say ready");
    claude.world.until(&id, "lastMessage", "ready");
    let session = claude.until(&id, "idle");
    let pid = rustix::process::Pid::from_raw(i32::try_from(session["agentPid"].as_u64().unwrap()).unwrap())
        .unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    claude.world.ao(&["send", &id, "STUB: say thawed"]).ok();
    settle("it was typed, and not shown", || {
        claude.messages(&id)[0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("did not show what was typed"))
    });
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    claude.world.until(&id, "lastMessage", "thawed");
    claude.until(&id, "idle");
    let asked = claude.model.asked();
    let texts: Vec<&str> = asked
        .iter()
        .filter(|asked| asked.tools > 0 && asked.text.contains("thawed"))
        .map(|asked| asked.text.as_str())
        .collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(texts[0].matches("thawed").count(), 1, "{texts:?}");
    claude.kill(&id, &[]);
}

/// In a small window a text is longer than the place that takes it.
#[test]
fn a_message_of_many_lines_arrives_in_a_small_window() {
    let Some(claude) = Claude::started("messages::a_message_of_many_lines_arrives_in_a_small_window") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: say ready");
    claude.world.until(&id, "lastMessage", "ready");
    let person = Person::in_a_window(&claude, &id, 80, 24);
    let words: Vec<String> = (0..105).map(|n| format!("word{n}")).collect();
    let text = format!("{}\nSTUB: say small", words.join(" "));
    claude
        .world
        .ao(&["send", &id, &text, "--wait", "--timeout", "40s"])
        .ok();
    claude.world.until(&id, "lastMessage", "small");
    person.leaves();
    claude
        .world
        .ao(&["send", &id, "STUB: say and again", "--wait", "--timeout", "40s"])
        .ok();
    claude.world.until(&id, "lastMessage", "and again");
    assert!(claude.messages(&id).iter().all(|message| message["typed"] == 1));
    claude.kill(&id, &[]);
}

/// What waited inside an agent that was killed is not lost: its next run is asked it, with a word that it may be a repetition.
#[test]
fn a_message_that_waited_inside_a_killed_agent_comes_to_its_next_run() {
    let Some(claude) = Claude::started("messages::a_message_that_waited_inside") else {
        return;
    };
    let id = claude.spawn(&[], "STUB: slow 60");
    let session = claude.until(&id, "working");
    settle("the model streams", || claude.model.turns_with("slow 60") == 1);
    claude
        .world
        .ao(&["send", &id, "STUB: say not forgotten", "--wait"])
        .ok();
    let pid = rustix::process::Pid::from_raw(i32::try_from(session["agentPid"].as_u64().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
    claude.world.until(&id, "phase", "finished");
    assert_eq!(claude.model.turns_with("not forgotten"), 0);
    claude.restore(&id).ok();
    claude.world.until(&id, "lastMessage", "not forgotten");
    assert_eq!(claude.model.turns_with("(This may be a repetition"), 1);
    assert_eq!(claude.model.turns_with("not forgotten"), 1);
    claude.kill(&id, &[]);
}
