//! What is said to an agent survives every cut: it arrives once, in its order, and no key of ours meets a dialog by chance.

use ao_tests::{Http, World, settle};
use serde_json::{Value, json};

use crate::cut::{Request, at_each, get_over, points, world_for};

/// A world whose agent stands in for Claude Code, and a session of it that was spawned with `prompt`.
fn spoken_to(deed: &str, prompt: &str) -> (World, String) {
    let mut world = world_for(deed);
    world.agent(env!("CARGO_BIN_EXE_stand-in-agent"));
    world.begin();
    let id = world.spawn_claude(prompt);
    (world, id)
}

/// Sends under a key, to a daemon that answers.
fn send(world: &World, id: &str, text: &str) -> u16 {
    sending(id, text, |request| request.ask(world).0)
}

/// Sends under a key; the connection may break, because the daemon dies under it.
fn send_quietly(world: &World, id: &str, text: &str) -> Option<u16> {
    sending(id, text, |request| request.quietly(world)).map(|(status, _)| status)
}

/// Sends under a key where `point` is armed.
fn send_to_be_cut(world: &World, id: &str, text: &str, point: &str, deed: &str) -> Option<Http> {
    sending(id, text, |request| request.to_be_cut(world, point, deed))
}

fn sending<T>(id: &str, text: &str, go: impl FnOnce(&Request<'_>) -> T) -> T {
    let key: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    let path = format!("/api/v1/sessions/{id}/send");
    go(&Request::new("POST", &path, Some(json!({"message": text}))).keyed(&key))
}

fn messages(world: &World, id: &str) -> Vec<Value> {
    let list = world.get(&format!("/api/v1/sessions/{id}/messages"));
    list["messages"].as_array().unwrap().clone()
}

fn until_all(world: &World, id: &str, state: &str) -> Vec<Value> {
    settle(&format!("all messages are {state}"), || {
        let messages = messages(world, id);
        !messages.is_empty() && messages.iter().all(|message| message["state"] == state)
    });
    messages(world, id)
}

fn until_dialog(world: &World, id: &str) {
    settle("the dialog is shown", || world.session(id)["dialog"].is_object());
}

fn end(world: &World, id: &str) {
    world.ao(&["session", "kill", id]).ok();
    world.until(id, "phase", "ended");
}

fn cut_a_message(deed: &str) {
    let names = [
        "intent.send",
        "outbox.look",
        "outbox.letter",
        "outbox.to_typing",
        "outbox.type",
        "outbox.to_typed",
    ];
    at_each(deed, points(&names), |point| {
        let (mut world, id) = spoken_to(deed, "hello");
        world.until(&id, "status", "idle");
        let text = if point.starts_with("outbox.letter") {
            format!("a long one {}", "x".repeat(5_000))
        } else {
            "the only one".to_owned()
        };
        world.arm(point, deed);
        let _waits = send_to_be_cut(&world, &id, &text, point, deed);
        get_over(&mut world, point, deed);
        // Whoever lost the answer sends it again under the same key.
        assert_eq!(send(&world, &id, &text), 200, "{point}");
        assert_eq!(send(&world, &id, "and another"), 200, "{point}");
        let messages = until_all(&world, &id, "accepted");
        assert_eq!(messages.len(), 2, "{point}: {messages:?}");
        let asked = world.asked();
        assert_eq!(asked.len(), 3, "{point}: {asked:?}");
        assert!(
            asked[1].contains(&text) || asked[1].contains(messages[0]["file"].as_str().unwrap_or("none")),
            "{point}: {asked:?}"
        );
        assert_eq!(asked[2], "and another", "{point}");
        end(&world, &id);
    });
}

#[test]
fn a_message_survives_a_kill_at_every_step() {
    cut_a_message("kill");
}

#[test]
fn a_message_survives_a_panic_at_every_step() {
    cut_a_message("panic");
}

#[test]
fn a_message_survives_a_hang_at_every_step() {
    cut_a_message("hang");
}

fn cut_an_answer(deed: &str) {
    at_each(
        deed,
        points(&[
            "intent.answer",
            "outbox.press",
            "outbox.to_end",
            "watch.screen",
            "watch.shows",
        ]),
        |point| {
            let is_seen = point.starts_with("watch.");
            let (mut world, id) = spoken_to(deed, "hello");
            world.until(&id, "status", "idle");
            if is_seen {
                world.arm(point, deed);
            }
            let _ = send_quietly(&world, &id, "open a dialog");
            if is_seen {
                get_over(&mut world, point, deed);
            }
            assert_eq!(send(&world, &id, "open a dialog"), 200, "{point}");
            until_dialog(&world, &id);
            assert_eq!(send(&world, &id, "behind it"), 200, "{point}");
            if !is_seen {
                world.arm(point, deed);
            }
            let path = format!("/api/v1/sessions/{id}/answer");
            let answer = Request::new("POST", &path, Some(json!({"choice": "2"})));
            let _waits = answer.to_be_cut(&world, point, deed);
            if !is_seen {
                get_over(&mut world, point, deed);
            }
            // Asked again where it was cut: it is taken, or the dialog has gone meanwhile.
            let (again, said) = answer.ask(&world);
            assert!(matches!(again, 200 | 202 | 409), "{point}: {said}");
            world.until(&id, "lastMessage", "behind it");
            settle(&format!("{point}: nothing waits"), || {
                world.session(&id)["messagesWaiting"] == 0
            });
            assert_eq!(world.asked(), ["hello", "open a dialog", "behind it"], "{point}");
            let said =
                world.query("SELECT group_concat(event, ' ') FROM (SELECT event FROM signals ORDER BY seq)");
            assert_eq!(said.matches("PostToolUse").count(), 1, "{point}: {said}");
            let answers = messages(&world, &id).into_iter();
            let answers: Vec<Value> = answers.filter(|message| message["kind"] == "answer").collect();
            assert!(
                answers.iter().any(|answer| answer["state"] == "accepted"),
                "{point}: {answers:?}"
            );
            end(&world, &id);
        },
    );
}

#[test]
fn an_answer_survives_a_kill_at_every_step() {
    cut_an_answer("kill");
}

#[test]
fn an_answer_survives_a_panic_at_every_step() {
    cut_an_answer("panic");
}

#[test]
fn an_answer_survives_a_hang_at_every_step() {
    cut_an_answer("hang");
}

/// A screen that takes nothing: the message waits, says why, and can be taken back.
fn cut_a_held_one(deed: &str) {
    at_each(deed, points(&["outbox.to_queued", "intent.withdraw"]), |point| {
        let (mut world, id) = spoken_to(deed, "draft");
        // It rests already when it has said that it is there, and has not been asked by then.
        settle("it was asked", || world.asked() == ["draft"]);
        world.until(&id, "status", "idle");
        if point.starts_with("outbox.") {
            world.arm(point, deed);
        }
        let _ = send_quietly(&world, &id, "held");
        if point.starts_with("outbox.") {
            get_over(&mut world, point, deed);
        }
        settle("it says why it waits", || {
            let messages = messages(&world, &id);
            messages.first().is_some_and(|held| {
                held["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains("a text that was not sent"))
            })
        });
        let number = messages(&world, &id)[0]["id"].as_u64().unwrap();
        if point.starts_with("intent.") {
            world.arm(point, deed);
        }
        let path = format!("/api/v1/sessions/{id}/messages/{number}");
        let withdraw = Request::new("DELETE", &path, None);
        let _waits = withdraw.to_be_cut(&world, point, deed);
        if point.starts_with("intent.") {
            get_over(&mut world, point, deed);
        }
        // It may be typing in this instant, which is over at once.
        settle("it is taken back", || {
            withdraw.ask(&world);
            messages(&world, &id)[0]["state"] == "failed"
        });
        assert_eq!(world.asked(), ["draft"], "{point}");
        end(&world, &id);
    });
}

#[test]
fn a_held_message_survives_a_kill_at_every_step() {
    cut_a_held_one("kill");
}

#[test]
fn a_held_message_survives_a_panic_at_every_step() {
    cut_a_held_one("panic");
}

#[test]
fn a_held_message_survives_a_hang_at_every_step() {
    cut_a_held_one("hang");
}

/// Sent by many at once: each arrives once, whole and by itself, those of one sender in their order.
#[test]
fn messages_of_many_senders_arrive_each_by_itself() {
    let (world, id) = spoken_to("none", "hello");
    world.until(&id, "status", "idle");
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let (world, id) = (&world, &id);
            scope.spawn(move || {
                for n in 0..3 {
                    assert_eq!(send(world, id, &format!("sender {sender}\nmessage {n}")), 200);
                }
            });
        }
    });
    until_all(&world, &id, "accepted");
    let asked = world.asked();
    assert_eq!(asked.len(), 13, "{asked:?}");
    for sender in 0..4 {
        let of_one: Vec<&String> = asked
            .iter()
            .filter(|text| text.starts_with(&format!("sender {sender}\n")))
            .collect();
        let wanted: Vec<String> = (0..3).map(|n| format!("sender {sender}\nmessage {n}")).collect();
        assert_eq!(of_one, wanted.iter().collect::<Vec<_>>());
    }
    end(&world, &id);
}

/// An agent whose quota is used up gets nothing before there is some again, and all of it then, however often the daemon is killed
/// meanwhile. Read off what its holder typed, not off our rows.
#[test]
fn a_message_at_a_wall_is_typed_after_its_end_and_once_over_kills() {
    let (mut world, id) = spoken_to("kill", "quota 8");
    settle("it is at the wall", || {
        world.session(&id)["wallUntil"].is_string()
    });
    let until = world.session(&id)["wallUntil"].as_str().unwrap().to_owned();
    for text in ["the first", "the second"] {
        assert_eq!(send(&world, &id, text), 200);
    }
    for _ in 0..3 {
        world.kill_9();
        world.start();
        settle("its agent is looked at", || {
            world.session(&id)["wallUntil"] == until
        });
        let waiting = messages(&world, &id);
        assert_eq!((&waiting[0]["state"], waiting.len()), (&json!("queued"), 2));
        let why = waiting[0]["reason"].as_str().unwrap();
        assert_eq!(why, format!("its quota is used up until {until}"));
    }
    until_all(&world, &id, "accepted");
    assert_eq!(world.asked(), ["quota 8", "the first", "the second"]);
    let typed = world.typed(&id);
    assert!(
        typed
            .iter()
            .all(|entry| entry["at"].as_str().unwrap() >= until.as_str()),
        "typed before {until}: {typed:#?}"
    );
    let texts = typed.iter().filter(|entry| entry["did"] == "text").count();
    assert_eq!(texts, 2, "{typed:#?}");
    let session = world.session(&id);
    assert_eq!(
        (&session["wallUntil"], &session["messagesWaiting"]),
        (&Value::Null, &json!(0))
    );
    end(&world, &id);
}
