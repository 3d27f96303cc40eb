//! An agent's first start, in a home in which nobody has set it up: what it asks is told, with its text, and can be answered.

use std::time::{Duration, Instant};

use ao_tests::settle;
use serde_json::Value;

use crate::agent::{Person, Real};
use crate::foreign_code::text_of;
use crate::kinds::{self, Kind, Reply};
use crate::table::{note, said};

macro_rules! first_starts {
    ([$($name:ident $kind:ident)*]) => {
        $(
            #[test]
            fn $name() {
                what_is_asked_is_told_and_an_answer_closes_that(&kinds::$kind, stringify!($name));
            }
        )*
    };
}

each_kind! { first_starts }
first_starts! { [claude_without_a_key CLAUDE_WITHOUT_A_KEY] }

fn what_is_asked_is_told_and_an_answer_closes_that(kind: &'static Kind, name: &str) {
    const STEP: &str = "asks at its first start, where nobody has set it up, and an answer closes that";
    let Some(real) = Real::unset(kind, &format!("first_start::{name}")) else {
        return;
    };
    let asks = match kind.unset.asks {
        Ok(asks) => asks,
        Err(why) => {
            let id = real.spawn(&[], "STUB: say begun");
            settle("it begins with its prompt", || {
                real.world.session(&id)["title"] == "STUB: say begun"
            });
            let asked = real
                .world
                .query("SELECT CAST(count(*) AS TEXT) FROM sessions WHERE dialog IS NOT NULL");
            assert_eq!(asked, "0");
            return note(kind, STEP, why);
        }
    };
    let id = real.spawn(&[], "STUB: say begun");
    let mut is_sent = false;
    for (words, reply) in asks {
        settle("it asks, and that is told", || {
            let session = real.world.session(&id);
            let text = text_of(&session["dialog"]);
            session["status"] == "needs_input"
                && session["dialog"].is_object()
                && text.contains(words)
                && session["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.starts_with("its screen shows a dialog: "))
        });
        if !is_sent {
            // Held, and not typed.
            let sent = real.world.ao(&["send", &id, "STUB: say next"]).ok().out;
            assert!(sent.contains("queued ("), "{sent}");
            is_sent = true;
        }
        let typed = real.typed(&id);
        assert!(typed.iter().all(is_none_of_a_text), "{typed:#?}");
        match reply {
            Reply::Answer(choice) => {
                real.world.ao(&["session", "answer", &id, choice]).ok();
                settle("the answer is taken", || {
                    let messages = real.messages(&id);
                    let mut answers = messages.iter().filter(|message| message["kind"] == "answer");
                    answers.all(|answer| answer["state"] == "accepted" && answer["by"] == "person")
                });
            }
            Reply::Types(keys) | Reply::Begins(keys) => {
                let none = real.world.ao(&["session", "answer", &id, "1"]);
                assert!(none.err.contains("ao attach"), "{none:?}");
                let mut person = Person::at(&real, &id);
                person.sees(words); // in a terminal of another size it is painted anew
                person.types(keys);
                person.sees(keys);
                // Its screen is looked at each second while a dialog is open.
                let until = Instant::now() + Duration::from_secs(3);
                while Instant::now() < until {
                    let kept = real
                        .world
                        .query("SELECT coalesce(group_concat(dialog), '-') FROM sessions");
                    assert!(kept.contains(words) && !kept.contains(keys), "{kept}");
                    std::thread::park_timeout(Duration::from_millis(100));
                }
                if matches!(reply, Reply::Types(_)) {
                    person.types("\r");
                    settle("it is taken", || real.world.session(&id)["dialog"].is_null());
                }
                person.leaves();
            }
            Reply::Nothing => {
                let none = real.world.ao(&["session", "answer", &id, "1"]);
                assert!(none.err.contains("ao attach"), "{none:?}");
            }
        }
    }
    if kind.unset.goes_on {
        said(&real, &id, "next");
        assert_eq!(
            (
                real.model.turns_with("say begun"),
                real.model.turns_with("say next")
            ),
            (1, 1)
        );
    } else {
        assert_eq!(real.model.asked().len(), 0);
    }
    if matches!(asks.last(), Some((_, Reply::Types(_)))) {
        settle("it begins with what it was asked", || {
            let session = real.world.session(&id);
            session["dialog"].is_null() && !session["title"].is_null()
        });
    } else if !kind.unset.goes_on {
        let messages = real.messages(&id);
        let mut told = messages.iter().filter(|message| message["kind"] != "answer");
        assert!(told.all(|message| message["state"] == "queued"), "{messages:#?}");
        let typed = real.typed(&id);
        assert!(typed.iter().all(is_none_of_a_text), "{typed:#?}");
    }
    note(kind, STEP, kind.unset.told);
    real.kill(&id, &[]);
}

/// Whether what the holder did has nothing to do with a text: keys, or keys that it withheld.
fn is_none_of_a_text(entry: &Value) -> bool {
    entry["did"] == "keys" || entry["did"] == "withheld"
}
