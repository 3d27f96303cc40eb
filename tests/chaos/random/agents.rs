//! The agents of random lives: scripts that say that they are there, leave work behind and end in different ways.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{Seed, World};
use camino::Utf8Path;
use serde_json::{Value, json};

/// `scribe KIND WRITES SECONDS`: one line of `$HOME/starts` with its session, run and `/proc/self/stat`; then one file for
/// each letter of WRITES, and, once it is whole, its mark as a line of `$HOME/wrote`. Of what those of `o`, `h`, `k`, `x` and `y` hold
/// no file is left that says it: it is a commit on no branch, in a stash, or in the index alone. Whoever uses a worktree's index waits for
/// the other: git reads it before it takes its lock, and what was staged in between is lost by git itself.
const SCRIBE: &str = r#"read -r stat </proc/self/stat
printf '%s\n' "$AO_SESSION_ID $AO_GENERATION $stat" >>"$HOME/starts"
run=$AO_GENERATION
mark="precious-$AO_SESSION_ID-$run"
wrote() { printf '%s\n' "$mark-$1." >>"$HOME/wrote"; }
git_() { flock "$HOME/index-$AO_SESSION_ID" git -c user.name=a -c user.email=a@example.com "$@" >/dev/null 2>&1; }
case $2 in *u*) echo "$mark-u." >"u-$run" && wrote u ;; esac
case $2 in *i*) echo "$mark-i." >"$run.secret" && wrote i ;; esac
case $2 in *m*) echo "$mark-m." >>README.md && wrote m ;; esac
case $2 in *s*) echo "$mark-s." >"s-$run" && git_ add "s-$run" && wrote s ;; esac
case $2 in *c*) echo "$mark-c." >"c-$run" && git_ add "c-$run" && git_ commit -q -m work -- "c-$run" && wrote c ;; esac
case $2 in *o*) echo "$mark-o." >"o-$run" && git_ checkout -q --detach && git_ add "o-$run" && git_ commit -q -m work -- "o-$run" && wrote o ;; esac
case $2 in *h*) echo "$mark-h." >"h-$run" && git_ stash push -q -u -- "h-$run" && wrote h ;; esac
case $2 in *k*) echo "$mark-k." >"k-$run" && git_ add "k-$run" && git_ stash push -q -- "k-$run" && wrote k ;; esac
case $2 in *x*) echo "$mark-x." >"x-$run" && git_ add "x-$run" && echo other >"x-$run" && wrote x ;; esac
case $2 in *y*) echo "$mark-y." >"y-$run" && git_ add "y-$run" && rm "y-$run" && wrote y ;; esac
case $2 in *d*) mkdir -p target && echo junk >target/junk ;; esac
case $1 in
sleeper) exec sleep 1000 ;;
ender) sleep "$3"; exit 3 ;;
stubborn) trap '' HUP TERM INT; while :; do sleep 0.2; done ;;
parent) sleep 1000 & setsid sleep 1000 & exec sleep 1000 ;;
talker) ao hooks shell needs-decision </dev/null; sleep "$3"; ao hooks shell working </dev/null; exec sleep 1000 ;;
esac
"#;

/// In the place of Claude Code: what its prompt names is written, then it is the stand-in.
const CLAUDE: &str = r#"#!/bin/sh
for last; do :; done
case $last in "write "*) writes=${last#write }; writes=${writes%% *} ;; *) writes= ;; esac
scribe() { . "$HOME/../bin/scribe"; }
scribe claude "$writes" 0
exec "$HOME/../bin/stand-in" "$@"
"#;

/// Puts the scripts into the world and on its PATH.
pub(super) fn install(world: &mut World) {
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("scribe"), SCRIBE).unwrap();
    fs::write(bin.join("claude"), CLAUDE).unwrap();
    fs::set_permissions(bin.join("claude"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stand-in-agent"), bin.join("stand-in")).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.commit(&[(".gitignore", "*.secret\ntarget/\n")]);
}

/// The body of a spawn, for an agent that chance has chosen.
pub(super) fn order(seed: &mut Seed, dir: &Utf8Path) -> Value {
    // Few enough that some leave nothing at all: only their worktrees go by themselves.
    let writes: String = "umiscohkxyd".chars().filter(|_| seed.below(4) == 0).collect();
    let kind = seed.one_of(&[
        (30, "sleeper"),
        (25, "ender"),
        (8, "stubborn"),
        (8, "parent"),
        (9, "talker"),
        (20, "claude"),
    ]);
    if kind == "claude" {
        let prompt = format!("write {writes}- {}", seed.below(1_000_000));
        return json!({"projectId": "web", "harness": "claude-code", "prompt": prompt});
    }
    let seconds = format!("0.{}", seed.below(9));
    let command = json!([
        "/bin/sh",
        dir.join("bin/scribe"),
        kind,
        format!("{writes}-"),
        seconds
    ]);
    json!({"projectId": "web", "harness": "shell", "command": command})
}
