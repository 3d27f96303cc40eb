//! The built-in runtime as its callers see it: real holders, real agents, real terminals.
//!
//! The test binary is everything that is needed besides a shell: called with one of the words below it is a holder,
//! an agent that writes down what it gets, a creator that can be killed, or a person's `attach`.

mod attach;
mod ends;
mod figures;
mod helpers;
mod kills;
mod life;
mod messages;
mod support;
mod wire;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pty-host", dir] => ao_local::runtimes::pty::host::main(dir.as_ref()),
        ["helper", rest @ ..] => helpers::main(rest),
        _ => {
            let tests = [
                life::tests(),
                ends::tests(),
                kills::tests(),
                messages::tests(),
                wire::tests(),
                attach::tests(),
                figures::tests(),
            ]
            .concat()
            .into_iter()
            .map(|(name, test)| {
                let needs_root = name == "another_user_is_turned_away";
                Trial::test(name, move || {
                    test();
                    Ok(())
                })
                .with_ignored_flag(needs_root && !rustix::process::geteuid().is_root())
            })
            .collect();
            libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
        }
    }
}
