//! Where a login's end would reach a holder, it is started by `systemd-run`: here by a stand-in, for there is no systemd where tests run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_domain::port::runtime::{Look, Runtime as _};
use ao_local::logout::Scope;
use ao_local::runtimes::pty::{self, PtyConfig};
use camino::Utf8PathBuf;

use crate::support::{Kind, World, at, block_on, ourselves};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    vec![(
        "a_holder_is_started_through_what_puts_it_into_a_scope_of_its_own",
        a_holder_is_started_through_what_puts_it_into_a_scope_of_its_own,
    )]
}

/// What stands in for it, and the file in which it says how it was called.
pub(crate) fn stand_in(world: &World) -> (Scope, Utf8PathBuf) {
    let (stand_in, said) = (world.file("systemd-run"), world.file("said"));
    let script = format!(
        "#!/bin/sh\necho \"$* $XDG_RUNTIME_DIR $$\" >> {said}\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n"
    );
    fs::write(&stand_in, script).expect("the test's own directory");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("our file");
    let scope = Scope {
        words: [stand_in.as_str(), "--user", "--scope", "--"]
            .map(ToOwned::to_owned)
            .to_vec(),
        env: vec![("XDG_RUNTIME_DIR".to_owned(), "/run/user/7".to_owned())],
    };
    (scope, said)
}

/// The process is the holder's own from the start, its image is ours, and the agent gets nothing of what the scope needs.
fn a_holder_is_started_through_what_puts_it_into_a_scope_of_its_own() {
    assert!(matches!(Kind::here(), Kind::Pty));
    let world = World::new();
    let (scope, said) = stand_in(&world);
    let runtime = pty::runtime(PtyConfig {
        root: world.root.clone(),
        executable: ourselves(),
        leading_args: vec!["pty-host".to_owned()],
        scope,
    });
    block_on(async {
        let name = at("web-1", 1);
        let seen = world.file("seen");
        let launch = world.sh(
            name.clone(),
            &format!("env > {seen}.part; mv {seen}.part {seen}; exec sleep 1000"),
        );
        let held = runtime.create(&launch).await.expect("it starts");
        let line = fs::read_to_string(&said).expect("it went that way");
        assert!(line.starts_with("--user --scope -- "), "{line}");
        assert!(
            line.trim_end()
                .ends_with(&format!("/run/user/7 {}", held.holder.pid)),
            "the same process: {line}"
        );
        assert!(matches!(runtime.look(&name).await, Ok(Look::Running(_))));
        while !seen.exists() {
            tokio::task::yield_now().await;
        }
        let env = fs::read_to_string(&seen).expect("it is whole");
        assert!(!env.contains("XDG_RUNTIME_DIR"), "{env}");
        runtime.destroy(&name).await.expect("it goes");
    });
}
