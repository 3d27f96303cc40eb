//! The runtimes as their callers see them: real holders, real agents, real terminals, a real zellij. One suite over
//! all of them; what only one of them has is tested beside it.
//!
//! The test binary is everything that is needed besides a shell and zellij (`AO_ZELLIJ`; where it is not set, that half of the
//! suite is ignored, and says so): called with one of the words below it is a holder, a launcher, an agent that writes down
//! what it gets, a creator that can be killed, or a person's `attach`.

mod attach;
mod ends;
mod figures;
mod helpers;
mod kills;
mod life;
mod messages;
mod scope;
mod support;
mod wire;
mod zellij;

use ao_local::runtimes::zellij::launcher::{self, Words};
use libtest_mimic::{Arguments, Trial};

use crate::support::Kind;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pty-host", dir] => ao_local::runtimes::holder::host::main(dir.as_ref()),
        ["run-agent", rest @ ..] => {
            let words = Words {
                launcher: &["run-agent"],
                holder: &["pty-host"],
            };
            launcher::main(rest, words).expect("a launcher's words")
        }
        ["helper", rest @ ..] => helpers::main(rest),
        _ => {
            let shared = [
                life::tests(),
                ends::tests(),
                kills::tests(),
                messages::tests(),
                wire::tests(),
                attach::tests(),
                figures::tests(),
            ]
            .concat();
            let there = support::real_zellij().is_some();
            let mut tests = Vec::new();
            for kind in [Kind::Pty, Kind::Zellij] {
                tests.extend(shared.iter().map(|(name, test)| trial(kind, name, *test, there)));
            }
            tests.extend(
                scope::tests()
                    .into_iter()
                    .map(|(name, test)| trial(Kind::Pty, name, test, true)),
            );
            let own = zellij::tests();
            tests.extend(
                own.into_iter()
                    .map(|(name, test)| trial(Kind::Zellij, name, test, there)),
            );
            if !there {
                tests.push(Trial::test("zellij::is_not_tested_here", || {
                    support::not_tested(
                        "ao-local's tests over zellij",
                        "AO_ZELLIJ does not say where it is",
                    );
                    Ok(())
                }));
            }
            libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
        }
    }
}

fn trial(kind: Kind, name: &str, test: fn(), zellij_is_there: bool) -> Trial {
    let needs_root = name == "another_user_is_turned_away";
    let can_run =
        (!needs_root || rustix::process::geteuid().is_root()) && (kind != Kind::Zellij || zellij_is_there);
    Trial::test(format!("{}::{name}", kind.name()), move || {
        kind.over(test);
        Ok(())
    })
    .with_ignored_flag(!can_run)
}
