//! One table of steps for all real agents. Each passed step is a line of the matrix in `docs/agents.md`, which `tests/run` compares.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use ao_domain::Timestamp;
use ao_tests::{Seed, World, matrix, settle, within};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::agent::{Person, Real, installed};
use crate::foreign_code::text_of;
use crate::kinds::{self, Kind, Recorded};

/// Makes the tests of a step for each kind.
macro_rules! table {
    ([$($name:ident $kind:ident)*] $steps:tt) => {
        $( table! { @ $name $kind $steps } )*
    };
    (@ $name:ident $kind:ident { $($step:ident)* }) => {
        mod $name {
            $(
                #[test]
                fn $step() {
                    super::run(&super::kinds::$kind, stringify!($step), super::$step);
                }
            )*
        }
    };
}

each_kind! { table {
    it_works_and_what_is_shown_is_what_it_wrote_down
    it_may_do_what_it_is_let_do_and_knows_its_role
    a_hostile_prompt_of_a_hundred_kilobytes_arrives_whole
    it_asks_and_nothing_is_typed_until_it_is_answered
    messages_of_every_length_arrive_whole_and_once
    a_line_that_was_made_a_command_gets_no_message
    turns_that_end_badly_end_and_the_next_goes_well
    an_error_that_is_tried_again_is_named_and_it_goes_on
    a_killed_one_goes_on_with_its_conversation
    at_a_quota_wall_nothing_is_typed_before_its_end
    a_hundred_kills_while_a_message_is_typed_lose_and_double_nothing
} }

fn run(kind: &'static Kind, test: &str, step: fn(&mut Real)) {
    // For those that do not say when there is some quota again.
    let ready = |world: &mut World| {
        world.set("AO_WALL_RETRY", "12s");
        if let (true, Ok(calls)) = (test.starts_with("it_works"), kind.calls) {
            calls(world);
        }
        if let (true, Some((walled, _))) = (test.starts_with("at_a_quota_wall"), kind.walled) {
            walled(world);
        }
    };
    if let Some(mut real) = Real::of_with(kind, test, ready) {
        step(&mut real);
    }
}

/// Writes down that `real` passed a step, or why it cannot take it and what is done instead.
pub(crate) fn passed(real: &Real, step: &str) {
    note(real.kind, step, "yes");
}

pub(crate) fn note(kind: &Kind, step: &str, how: &str) {
    assert!(matrix::STEPS.contains(&step), "`{step}` is no step of the matrix");
    let line = format!("{}\t{}\t{step}\t{how}\n", kind.id, version(kind));
    print!("{line}");
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says where the matrix is collected"
    )]
    let Ok(file) = std::env::var("AO_MATRIX") else {
        return;
    };
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// The pinned version, as it was installed.
fn version(kind: &Kind) -> String {
    let folder = installed(kind.program).unwrap_or_default();
    let pinned = fs::read_to_string(format!("{folder}/../../package.json")).unwrap_or_default();
    let pinned: Value = serde_json::from_str(&pinned).unwrap_or_default();
    let mut packages = pinned["dependencies"].as_object().into_iter().flatten();
    let version = packages.next().and_then(|(_, version)| version.as_str());
    version.unwrap_or_default().to_owned()
}

pub(crate) fn worktree(session: &Value) -> Utf8PathBuf {
    session["worktree"]["path"].as_str().unwrap().into()
}

fn record(real: &Real, native: &str) -> Recorded {
    (real.kind.record)(&real.world.dir.join("home"), native).unwrap_or_default()
}

/// Waits until `id` says so, and waits for work.
pub(crate) fn said(real: &Real, id: &str, text: &str) -> Value {
    real.world.until(id, "lastMessage", text);
    real.until(id, "idle")
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn it_works_and_what_is_shown_is_what_it_wrote_down(real: &mut Real) {
    let id = real.spawn(
        &["--permissions", "accept-edits"],
        "-- please\nSTUB: write hello.txt hi there\nSTUB: say all is written",
    );
    let done = said(real, &id, "all is written");
    let text = fs::read_to_string(worktree(&done).join("hello.txt")).unwrap();
    assert_eq!(text.trim_end(), "hi there");
    passed(real, "uses a tool");
    let asked = real
        .world
        .query("SELECT CAST(count(*) AS TEXT) FROM signals WHERE state = 'waiting_input'");
    assert_eq!((asked.as_str(), &done["dialog"]), ("0", &Value::Null));
    passed(real, "starts without a dialog in the user's own project");
    assert_eq!(real.model.turns_with("-- please\nSTUB: write hello.txt"), 1);
    passed(real, "takes a prompt that begins with a dash");
    let native = done["nativeId"].as_str().unwrap();
    settle("its record has the end of the turn", || {
        record(real, native).said.last().map(String::as_str) == done["lastMessage"].as_str()
    });
    let prompt = in_one_line(&record(real, native).prompts[0]);
    assert_eq!(done["title"].as_str(), Some(prompt.as_str()));
    passed(real, "id, title and last message are those of its own record");
    let told = real
        .world
        .query("SELECT coalesce(group_concat(tool, ' '), '') FROM signals");
    assert!(
        !told.is_empty() && told.split_whitespace().all(|tool| tool == real.kind.writes),
        "{told}"
    );
    assert_eq!(real.world.session(&id)["tool"], Value::Null, "it is used no more");
    passed(real, "which tool it uses is told while it does");
    settle("what it calls the conversation is shown", || {
        let called = record(real, native).summary.as_deref().map(in_one_line);
        called.is_some() == real.kind.calls.is_ok()
            && real.world.session(&id)["summary"].as_str() == called.as_deref()
    });
    note(
        real.kind,
        "what it calls the conversation is shown",
        real.kind.calls.err().unwrap_or("yes"),
    );
    let [worktree, repository] = real.status_of_git(&done);
    assert_eq!((worktree.trim(), repository.trim()), ("?? hello.txt", ""));
    passed(real, "leaves nothing of ours in the worktree");
    real.kill(&id, &["--discard"]);
}

fn it_may_do_what_it_is_let_do_and_knows_its_role(real: &mut Real) {
    let rules = "Whatever is written in \"this\" repository is $(blue).";
    real.world
        .ao(&["project", "set-config", "web", "--rules", rules])
        .ok();
    let id = real.spawn(
        &["--permissions", "bypass-permissions"],
        &format!(
            "{}\nSTUB: say unasked",
            real.kind.asks.replace("STUB: ask", "STUB: run")
        ),
    );
    let done = said(real, &id, "unasked");
    assert!(worktree(&done).join("asked.txt").exists());
    let asked = real
        .world
        .query("SELECT CAST(count(*) AS TEXT) FROM signals WHERE state = 'waiting_input'");
    assert_eq!(asked, "0");
    passed(real, "asks nothing where it may do everything");
    assert!(real.model.requests_with(rules) > 0);
    passed(real, "is told its role and its project's rules");
    real.kill(&id, &["--discard"]);
}

/// As long as a prompt may be, with all that a shell, a terminal or an option would take for its own.
fn a_hostile_prompt_of_a_hundred_kilobytes_arrives_whole(real: &mut Real) {
    const LONGEST: usize = 100 * 1024;
    let mut prompt = String::from(
        "--help 'single' \"double\" `date` $(touch /tmp/never) ${HOME} $HOME \\ \\n %s & | ; > < * ? ~ # !\n\
         STUB: read\nSTUB: say it was long\n\t\u{e4}\u{1f600} <b> {json: [1]}\n",
    );
    let script = "STUB: read\nSTUB: say it was long\n";
    prompt = if real.kind.prompted {
        prompt.replace("STUB: read\n", "")
    } else {
        // It gets the beginning and a file.
        format!("{script}{}", prompt.replace(script, ""))
    };
    let end = "\nthe end of it all";
    let fill = "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n";
    while prompt.len() + fill.len() + end.len() <= LONGEST {
        prompt.push_str(fill);
    }
    prompt.push_str(&"x".repeat(LONGEST - prompt.len() - end.len()));
    prompt.push_str(end);
    assert_eq!(prompt.len(), LONGEST);
    let id = real.spawn(&[], &prompt);
    let step = "a hostile prompt of 100 kB arrives whole, and a zero byte is refused";
    if real.kind.prompted {
        said(real, &id, "it was long");
        let asked = real.model.asked();
        let turn = asked
            .iter()
            .find(|asked| asked.tools > 0 && !asked.aside)
            .unwrap();
        let from = turn.text.find(&prompt[..100]).expect("its beginning");
        let text = &turn.text[from..];
        let same = prompt
            .bytes()
            .zip(text.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        match real.kind.shortens {
            None => assert_eq!(same, LONGEST, "{:?}", text.get(same..same + 200)),
            Some((least, how)) => {
                assert!(same > least && text.contains(end), "the same for {same} bytes");
                let names = text.lines().rev().find(|line| line.starts_with('/'));
                let file = fs::read_to_string(names.expect("it names a file")).unwrap();
                assert!(file.contains(&prompt), "{names:?} has all of it");
                note(real.kind, step, how);
            }
        }
    } else {
        // It is typed: that is, what is typed names a file, of which its tool reads a part at a time.
        let hostile = "`date` $(touch /tmp/never) ${HOME} $HOME";
        settle("it reads it", || real.model.requests_with(hostile) > 0);
        real.until(&id, "idle");
        let file = real.world.data.join(format!("messages/{id}/1.md"));
        assert!(fs::read_to_string(file).unwrap() == prompt);
        note(
            real.kind,
            step,
            "what is typed names a file that has all of it, which it reads a part at a time",
        );
    }
    let nul = json!({"projectId": "web", "harness": real.kind.id, "prompt": "a\u{0}b"});
    let refused = real.world.ask("POST", "/api/v1/sessions", Some(&nul));
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (400, &json!("INVALID_COMMAND"))
    );
    if real.kind.prompted && real.kind.shortens.is_none() {
        passed(real, step);
    }
    real.kill(&id, &[]);
}

fn it_asks_and_nothing_is_typed_until_it_is_answered(real: &mut Real) {
    let id = real.spawn(&[], &format!("{}\nSTUB: say allowed", real.kind.asks));
    real.until(&id, "needs_input");
    settle("the dialog is read", || {
        real.world.session(&id)["dialog"].is_object()
    });
    // Its screen may be read before its hook comes.
    settle("its hook says so", || {
        let reason = real.world.session(&id)["reason"].clone();
        reason
            .as_str()
            .is_some_and(|reason| reason.starts_with("a person has to decide: "))
    });
    let open = real.world.session(&id);
    assert!(!worktree(&open).join("asked.txt").exists());
    let dialog = &open["dialog"];
    assert!(text_of(dialog).contains("asked.txt"), "{dialog:#}");
    let choices = dialog["choices"].as_array().unwrap();
    assert!(
        choices.len() > 1 && choices.iter().any(|choice| choice["key"] == real.kind.yes),
        "{dialog:#}"
    );
    passed(real, "a dialog is seen, with its text and its choices");
    // Where its prompt is its first message, that was typed.
    let typed = real.typed(&id);
    let waited = real
        .world
        .ao(&["send", &id, "STUB: say got it", "--wait", "--timeout", "2s"]);
    assert!(waited.err.contains("is queued: a dialog is open"), "{waited:?}");
    assert_eq!(real.typed(&id), typed);
    passed(real, "a message is held while it is open, and not typed");
    let wrong = real.world.ao(&["session", "answer", &id, "no such choice"]);
    assert!(wrong.err.contains("choose one of "), "{wrong:?}");
    real.world.ao(&["session", "answer", &id, real.kind.yes]).ok();
    passed(real, "an answer closes it");
    let done = said(real, &id, "got it");
    assert!(worktree(&done).join("asked.txt").exists());
    let messages = real.messages(&id);
    assert!(
        messages.len() >= 2 && messages.iter().all(|message| message["state"] == "accepted"),
        "{messages:#?}"
    );
    assert_eq!(real.model.turns_with("got it"), 1);
    passed(real, "the message is delivered then, and accepted");
    match real.kind.questions {
        Err(why) => note(real.kind, "a question of its model is answered", why),
        Ok(answers) => {
            real.world
                .ao(&[
                    "send",
                    &id,
                    "STUB: question which colour?\nSTUB: say chosen",
                    "--wait",
                ])
                .ok();
            for (words, answer) in answers {
                settle("the question is read", || {
                    let dialog = &real.world.session(&id)["dialog"];
                    dialog["text"].to_string().contains(words)
                });
                real.world.ao(&["session", "answer", &id, answer]).ok();
            }
            said(real, &id, "chosen");
            passed(real, "a question of its model is answered");
        }
    }
    real.kill(&id, &["--discard"]);
}

fn messages_of_every_length_arrive_whole_and_once(real: &mut Real) {
    let id = real.spawn(&[], "STUB: say ready");
    said(real, &id, "ready");
    let lines = |count: usize| {
        let lines: Vec<String> = (1..=count)
            .map(|n| format!("line {n} \u{e4} <b> \"x\" $(id)"))
            .collect();
        lines.join("\n")
    };
    for (text, word) in [
        (lines(1), "one"),
        (lines(3), "three"),
        (lines(25), "twenty"),
        (lines(100), "many"),
        ("-rf --help".to_owned(), "dash"),
        ("see @READ and #1 and ~/x".to_owned(), "marks"),
    ] {
        let text = format!("{text}\nSTUB: say {word}");
        real.world
            .ao(&["send", &id, "--message", &text, "--wait", "--timeout", "50s"])
            .ok();
        said(real, &id, word);
        let asked = real.model.asked();
        let turn = asked
            .iter()
            .rfind(|asked| asked.tools > 0 && !asked.aside)
            .unwrap();
        assert!(turn.text.contains(&text), "{word}: {}", turn.text);
    }
    passed(real, "messages of one line and of many arrive whole");
    // Beyond what is typed: a file, which it reads.
    let long = format!("STUB: read\nSTUB: say read\n{}\nthe end of it all", lines(800));
    assert!(long.len() > 20_000);
    let file = real.world.dir.join("long.md");
    fs::write(&file, &long).unwrap();
    let sent = real
        .world
        .ao(&["--json", "send", &id, "--file", file.as_str(), "--wait"])
        .ok()
        .json();
    let put = sent["sent"]["file"].as_str().unwrap();
    assert_eq!(fs::read_to_string(put).unwrap(), long);
    settle("it has read the file", || {
        real.model
            .asked()
            .iter()
            .any(|asked| asked.results == 1 && asked.text.contains(put))
    });
    real.until(&id, "idle");
    assert_eq!(real.model.turns_with(put), 1);
    // What its tool leaves out of so long a file its model would read on for. (No message before it had so many lines.)
    assert!(real.model.requests_with("line 120 ") > 0, "it has not read it");
    passed(
        real,
        "one of 20 kB arrives by a file that it reads without asking",
    );
    let messages = real.messages(&id);
    assert!(
        messages
            .iter()
            .all(|message| message["state"] == "accepted" && message["typed"] == 1),
        "{messages:#?}"
    );
    // Sent while it works: once, in the turn that it is for.
    real.world
        .ao(&["send", &id, "STUB: slow 3\nSTUB: say first", "--wait"])
        .ok();
    real.until(&id, "working");
    real.world.ao(&["send", &id, "STUB: say second"]).ok();
    said(real, &id, "second");
    assert_eq!(
        (
            real.model.turns_with("say first"),
            real.model.turns_with("say second")
        ),
        (1, 1)
    );
    passed(real, "one that is sent while it works is done after that");
    real.kill(&id, &[]);
}

/// A person presses `!` and leaves: what is typed there would be run.
fn a_line_that_was_made_a_command_gets_no_message(real: &mut Real) {
    let id = real.spawn(&[], "STUB: say ready");
    said(real, &id, "ready");
    let typed = real.typed(&id);
    let mut person = Person::at(real, &id);
    person.types("!");
    let screen = || real.world.ao(&["logs", &id, "--lines", "60"]).out;
    settle("its line is a command", || {
        screen().contains(real.kind.command_mode)
    });
    person.leaves();
    let waited = real
        .world
        .ao(&["send", &id, "STUB: say still here", "--wait", "--timeout", "5s"]);
    assert!(
        waited.err.contains("does not show that it takes a message"),
        "{waited:?}"
    );
    assert_eq!(real.typed(&id), typed);
    let mut person = Person::at(real, &id);
    person.types("\u{1b}");
    settle("it is none any more", || {
        !screen().contains(real.kind.command_mode)
    });
    person.leaves();
    said(real, &id, "still here");
    assert_eq!(real.model.turns_with("still here"), 1);
    passed(real, "a line that a person made a command is left alone");
    real.kill(&id, &[]);
}

fn turns_that_end_badly_end_and_the_next_goes_well(real: &mut Real) {
    let id = real.spawn(&[], "STUB: slow 120"); // longer than anybody waits here
    real.until(&id, "working");
    settle("the model streams", || real.model.turns_with("slow 120") == 1);
    let mut person = Person::at(real, &id);
    // On a machine that has much to do a program may take two keys for one: a person presses them again.
    for _ in 0..5 {
        for key in real.kind.interrupt {
            person.types(key);
            std::thread::park_timeout(Duration::from_millis(200)); // a person's pause
        }
        let patience = Instant::now() + Duration::from_secs(10);
        let is_idle = || real.world.session(&id)["status"] == "idle";
        while !is_idle() && Instant::now() < patience {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        if is_idle() {
            break;
        }
    }
    let idle = real.until(&id, "idle");
    person.leaves();
    passed(real, "an interrupt ends the turn");
    let waits = "it says that it waits for work";
    let told = real.kind.interrupted.map(|why| format!("{waits} ({why})"));
    assert_eq!(idle["reason"], told.as_deref().unwrap_or(waits));
    note(
        real.kind,
        "the reason that it gives for it is told",
        real.kind.interrupted.err().unwrap_or("yes"),
    );
    real.world
        .ao(&["send", &id, "STUB: error 400 9", "--wait", "--timeout", "50s"])
        .ok();
    settle("the error is named, and it waits", || {
        let session = real.world.session(&id);
        session["status"] == "idle"
            && session["trouble"]
                .as_str()
                .is_some_and(|trouble| trouble.contains("400"))
    });
    passed(real, "an error of the API ends the turn, and is named");
    real.world
        .ao(&["send", &id, "STUB: say well again", "--wait", "--timeout", "50s"])
        .ok();
    let well = said(real, &id, "well again");
    assert_eq!(well["trouble"], Value::Null);
    let session = real.until(&id, "idle");
    let pid = rustix::process::Pid::from_raw(i32::try_from(session["agentPid"].as_u64().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
    let ended = real.until(&id, "terminated");
    assert_eq!(ended["exit"], json!({"signal": 9}));
    passed(real, "one that was killed has ended, with its signal");
    real.kill(&id, &[]);
}

/// Its model is overloaded for a while. What is sent meanwhile is not typed before it has gone on.
fn an_error_that_is_tried_again_is_named_and_it_goes_on(real: &mut Real) {
    const STEP: &str = "an error that it tries again after is named, with when it does";
    let id = real.spawn(&[], "STUB: say ready");
    said(real, &id, "ready");
    let (refusals, told) = real.kind.retries;
    let asked = format!("STUB: error 529 {refusals}\nSTUB: say at last");
    real.world.ao(&["send", &id, &asked, "--wait"]).ok();
    let mut until = None;
    if let Ok(says) = told {
        settle("the wait is named", || {
            let session = real.world.session(&id);
            let reason = session["reason"].as_str().unwrap_or_default();
            until = reason
                .strip_prefix("it waits until ")
                .and_then(|rest| rest.split(' ').next())
                .map(|until| until.parse::<Timestamp>().unwrap().as_millis());
            // One that is long enough for what comes next.
            let is_long = until.is_none_or(|until| until > now_ms() + 500);
            session["status"] == "working"
                && reason.starts_with(says)
                && reason.contains(" to try again: ")
                && is_long
        });
    }
    let tries = || -> Vec<i64> {
        let asked = real.model.asked().into_iter();
        let tries = asked.filter(|asked| asked.tools > 0 && !asked.aside);
        tries.map(|asked| asked.at_ms).collect()
    };
    let tried = tries().len();
    let typed = real.typed(&id).len();
    let sent = real.world.ao(&["send", &id, "STUB: say next"]).ok().out;
    assert!(sent.contains("queued ("), "{sent}");
    assert!(
        told.is_err() || sent.contains("to try again after an error: "),
        "{sent}"
    );
    said(real, &id, "next");
    let session = real.world.session(&id);
    assert!(
        !session["reason"].to_string().contains("try again"),
        "{session:#}"
    );
    if let Some(until) = until {
        let next = tries()[tried];
        assert!(next >= until, "it was said until {until}, and was {next}");
    }
    // Where what is typed would not wait inside it, its turn is over first.
    let not_before = until
        .filter(|_| real.kind.queues)
        .or(real.model.answered("at last"))
        .unwrap();
    let typed = &real.typed(&id)[typed..];
    assert!(!typed.is_empty());
    for entry in typed {
        let at: Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
        assert!(at.as_millis() >= not_before, "{not_before} {entry:#}");
    }
    let messages = real.messages(&id);
    assert!(
        messages.iter().all(|message| message["state"] == "accepted"),
        "{messages:#?}"
    );
    for text in ["at last", "say next"] {
        assert!(real.model.answered(text).is_some(), "{text} was not done");
    }
    assert_eq!(real.model.turns_with("say next"), 1);
    match told {
        Ok(says) if says.contains("until") => {
            assert!(until.is_some());
            passed(real, STEP);
        }
        Ok(_) => note(
            real.kind,
            STEP,
            "it tells that it waits, and which try it is, not for how long: that is named, and what is sent waits",
        ),
        Err(why) => note(real.kind, STEP, why),
    }
    real.kill(&id, &[]);
}

fn a_killed_one_goes_on_with_its_conversation(real: &mut Real) {
    let id = real.spawn(&[], "remember the word walnut\nSTUB: say I will");
    let before = said(real, &id, "I will");
    let native = before["nativeId"].as_str().unwrap();
    settle("its record has the end of the turn", || {
        record(real, native).said.last().map(String::as_str) == Some("I will")
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(before["agentPid"].as_u64().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
    real.until(&id, "terminated");
    let turns = real.model.turns_with("walnut");
    real.restore(&id).ok();
    if let Some(answer) = real.kind.in_use {
        // It may take the one that was killed a moment ago for one that still runs.
        settle("it has come up", || {
            let session = real.world.session(&id);
            session["dialog"].is_object() || !real.world.ao(&["logs", &id]).out.trim().is_empty()
        });
        if real.world.session(&id)["dialog"].is_object() {
            real.world.ao(&["session", "answer", &id, answer]).ok();
        }
    }
    real.world
        .ao(&[
            "send",
            &id,
            "which word?\nSTUB: say it was walnut",
            "--wait",
            "--timeout",
            "50s",
        ])
        .ok();
    let after = said(real, &id, "it was walnut");
    assert_eq!(after["generation"], 2);
    for same in ["nativeId", "worktree", "branch"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(
        real.model.turns_with("remember the word"),
        turns,
        "it was not asked its prompt again"
    );
    settle("both turns are in one record", || {
        let said = record(real, native).said;
        said.first().map(String::as_str) == Some("I will")
            && said.last().map(String::as_str) == Some("it was walnut")
    });
    passed(real, "killed and restored, it goes on with the same conversation");
    real.kill(&id, &[]);
}

fn at_a_quota_wall_nothing_is_typed_before_its_end(real: &mut Real) {
    let id = real.spawn(&[], "STUB: say ready");
    said(real, &id, "ready");
    real.world.ao(&["send", &id, real.kind.wall, "--wait"]).ok();
    settle("the wall is named", || {
        let session = real.world.session(&id);
        session["status"] == "idle" && session["wallUntil"].is_string()
    });
    let session = real.world.session(&id);
    let until = session["wallUntil"].as_str().unwrap();
    let reason = session["reason"].as_str().unwrap();
    assert!(
        reason.contains("quota is used up") && reason.contains(until),
        "{reason}"
    );
    let until: Timestamp = until.parse().unwrap();
    let told = real.kind.wall_told;
    match told {
        Some(within) => {
            assert!(reason.starts_with("its quota is used up until"), "{reason}");
            let ends = real.model.walls()[0];
            let off = until.as_millis() / 1_000 - ends;
            assert!((0..=within).contains(&off), "it ends at {ends}: {reason}");
        }
        None => assert!(reason.contains("does not say until when"), "{reason}"),
    }
    let how = match (real.kind.walled, told) {
        (Some((_, how)), _) => how,
        (None, Some(_)) => "yes",
        (None, None) => {
            "it does not say until when: the status says so, and when it is asked again (`AO_WALL_RETRY`)"
        }
    };
    note(
        real.kind,
        "a quota wall is named, with its end or with when it is tried again",
        how,
    );
    let typed = real.typed(&id).len();
    let waited = real
        .world
        .ao(&["send", &id, "STUB: say second", "--wait", "--timeout", "2s"]);
    assert!(waited.err.contains("quota is used up"), "{waited:?}");
    // Some say the time to the minute.
    within(Duration::from_secs(150), "it goes on after it", || {
        (real.world.session(&id)["lastMessage"] == "second").then_some(())
    });
    let typed = &real.typed(&id)[typed..];
    assert!(!typed.is_empty());
    for entry in typed {
        let at: Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
        assert!(at >= until, "{until} {entry:#}");
    }
    assert_eq!(real.model.turns_with("say second"), 1);
    passed(real, "nothing is typed before, and delivery goes on after");
    real.kill(&id, &[]);
}

/// One that tries again by itself for longer than anybody waits says so, and nothing is typed meanwhile.
#[test]
fn at_a_quota_wall_that_it_waits_at_by_itself_nothing_is_typed() {
    let test = "at_a_quota_wall_that_it_waits_at_by_itself_nothing_is_typed";
    let Some(real) = Real::of_with(&kinds::GROK, test, |_| {}) else {
        return;
    };
    let id = real.spawn(&[], "STUB: say ready");
    said(&real, &id, "ready");
    let asked = "STUB: wall 20\nSTUB: say through";
    real.world.ao(&["send", &id, asked, "--wait"]).ok();
    settle("that it waits is named", || {
        let session = real.world.session(&id);
        let reason = session["reason"].as_str().unwrap_or_default();
        session["status"] == "working" && reason.contains("it waits to try again: ")
    });
    let typed = real.typed(&id).len();
    let waited = real
        .world
        .ao(&["send", &id, "STUB: say second", "--wait", "--timeout", "2s"]);
    assert!(waited.err.contains("waits to try again"), "{waited:?}");
    said(&real, &id, "second");
    let ends = real.model.walls()[0] * 1_000;
    let typed = &real.typed(&id)[typed..];
    assert!(!typed.is_empty());
    for entry in typed {
        let at: Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
        assert!(at.as_millis() >= ends, "{ends} {entry:#}");
    }
    assert_eq!(real.model.turns_with("say second"), 1);
    real.kill(&id, &[]);
}

/// The daemon is killed while a message is being typed, until a hundred kills met one. Each message is asked of the model once: who
/// holds the terminal types nothing twice under one name. Counted where it arrives, not in our rows.
fn a_hundred_kills_while_a_message_is_typed_lose_and_double_nothing(real: &mut Real) {
    const KILLS: usize = 100;
    let mut seed = Seed::printed("a hundred kills in typing");
    let id = real.spawn(&[], "STUB: say ready");
    said(real, &id, "ready");
    let (mut kills, mut sent) = (0, Vec::new());
    while kills < KILLS {
        assert!(
            sent.len() < 4 * KILLS,
            "only {kills} kills met a message in typing"
        );
        let said_then = format!("number {}.", sent.len());
        let text = format!("STUB: say {said_then}");
        real.world.ao(&["send", &id, &text]).ok();
        let state = |real: &Real| {
            let question = format!("SELECT state FROM messages WHERE body = '{text}'");
            real.world.query(&question)
        };
        // The text, its pause of 150 ms, Enter: about 200 ms from the first to the last that is asked here.
        settle("it is being typed, or was", || state(real) != "queued");
        std::thread::park_timeout(Duration::from_millis(seed.below(220)));
        real.world.kill_now();
        real.world.wait_for_the_end();
        kills += usize::from(state(real) == "typing");
        real.world.start();
        said(real, &id, &said_then);
        settle("it is accepted", || state(real) == "accepted");
        let name = real.world.query(&format!(
            "SELECT 'm' || id || '.' FROM messages WHERE body = '{text}'"
        ));
        let typed = real.typed(&id); // its log keeps so much and no more
        let enters = typed.iter().filter(|entry| {
            entry["did"] == "enter" && entry["id"].as_str().is_some_and(|id| id.starts_with(&name))
        });
        assert_eq!(enters.count(), 1, "of {name}: {typed:#?}");
        sent.push(text);
    }
    for text in &sent {
        assert_eq!(real.model.turns_with(text), 1, "{text} of {}", sent.len());
        assert_eq!(real.model.times(text), 1, "{text}, in whatever it was asked");
    }
    println!("{kills} of {} kills met a message in typing", sent.len());
    let session = real.world.session(&id);
    assert_eq!(
        (&session["generation"], &session["messagesWaiting"]),
        (&json!(1), &json!(0))
    );
    real.kill(&id, &[]);
    passed(
        real,
        "a hundred kills of the daemon while a message is typed lose and double nothing",
    );
}
