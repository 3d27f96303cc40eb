//! A daemon that is killed in the middle of a command: whoever comes next ends it first.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use ao_local::worktree::Bounds;
use camino::{Utf8Path, Utf8PathBuf};

use crate::ready::{DEADLINE, GONE, Ready, process_in, runs};
use crate::world::{World, from_env};

/// What the helper below is told its world and its command by.
const WORLD: &str = "AO_TEST_PROVISION_WORLD";
const LINE: &str = "AO_TEST_PROVISION_LINE";

/// Not a test: the process that is killed in the middle of a command.
#[tokio::test]
#[ignore = "started by the tests of this file as a process of its own"]
async fn helper_runs_a_command_and_is_killed() {
    let dir = Utf8PathBuf::from(from_env(WORLD).into_string().unwrap());
    let ready = Ready::of(World::at(&dir, Duration::from_secs(60)), Bounds::default());
    let ran = ready.run(&from_env(LINE).into_string().unwrap()).await;
    std::mem::forget(ready); // its directory is another process's
    ran.unwrap();
}

/// Starts a daemon of its own that runs `line`.
fn daemon(ready: &Ready, line: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = ready.world.command(this.to_str().unwrap(), &ready.world.dir);
    command
        .args([
            "--exact",
            "killed::helper_runs_a_command_and_is_killed",
            "--ignored",
        ])
        .env(WORLD, &ready.world.dir)
        .env(LINE, line)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A line that leaves a process in the group and one outside, which write their numbers to `one` and `two`.
fn line(dir: &Utf8Path) -> String {
    format!(
        "trap '' TERM HUP PIPE; setsid sh -c 'echo $$ > {dir}/two; exec sleep 600' & echo $$ > {dir}/one; \
         while :; do sleep 600; done"
    )
}

#[tokio::test]
async fn what_a_killed_daemon_left_running_is_ended_before_anything_else_is_done() {
    for next in ["furnish", "command", "remove", "weigh"] {
        let ready = Ready::new(&format!("killed-{next}"));
        ready.world.make(1).await;
        let mut daemon = daemon(&ready, &line(&ready.world.dir));
        let one = process_in(&ready.world.dir.join("one")).await;
        let two = process_in(&ready.world.dir.join("two")).await;
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        assert!(runs(&one) && runs(&two), "{next}: they go on without a daemon");
        let then = async {
            match next {
                "furnish" => drop(ready.furnish(1, &[]).await),
                "command" => ready.run("true").await.unwrap(),
                "remove" => assert_eq!(ready.world.remove(1).await.unwrap(), GONE),
                _ => assert_eq!(ready.world.weighed(1).await, Vec::<String>::new()),
            }
        };
        tokio::time::timeout(DEADLINE, then).await.unwrap();
        assert!(!runs(&one) && !runs(&two), "{next}");
        if next != "remove" {
            assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
        }
        ready.nothing_left(1);
    }
}

#[tokio::test]
async fn one_killed_before_it_wrote_down_its_command_is_known_by_the_mark() {
    let ready = Ready::new("killed-early");
    ready.world.make(1).await;
    let silent = format!("exec > /dev/null 2>&1; {}", line(&ready.world.dir));
    let mut daemon = daemon(&ready, &silent);
    let one = process_in(&ready.world.dir.join("one")).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let note = ready.world.dir.join("data/work/web-1/command.json");
    let mut company: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    assert!(company["running"]["leader"].is_object());
    company["running"]["leader"] = serde_json::Value::Null;
    std::fs::write(&note, company.to_string()).unwrap();
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert!(!runs(&one));
}

#[tokio::test]
async fn after_a_reboot_nobody_is_looked_for() {
    let ready = Ready::new("rebooted");
    ready.world.make(1).await;
    let mut daemon = daemon(&ready, &line(&ready.world.dir));
    let one = process_in(&ready.world.dir.join("one")).await;
    let two = process_in(&ready.world.dir.join("two")).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let note = ready.world.dir.join("data/work/web-1/command.json");
    let text = std::fs::read_to_string(&note).unwrap();
    let boot = ao_local::process::boot_id().unwrap();
    std::fs::write(&note, text.replace(&boot, "another boot")).unwrap();
    ready.furnish(1, &[]).await;
    assert!(
        runs(&one) && runs(&two),
        "their numbers may be somebody else's by then"
    );
    std::fs::write(&note, text).unwrap();
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert!(!runs(&one) && !runs(&two));
}
