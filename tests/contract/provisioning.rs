//! A worktree is furnished before its agent starts; what goes wrong there ends the spawn, is shown, and leaves nothing.

use std::fs;
use std::time::Duration;

use ao_tests::{Ao, World, not_tested, settle, within};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use crate::AO;

fn configured(flags: &[&str]) -> World {
    let world = World::started(AO);
    world.commit(&[(".gitignore", "node_modules/\n.env\n.env.*\nsecrets/\n")]);
    world
        .ao(&[&["project", "set-config", "web"][..], flags].concat())
        .ok();
    world
}

fn spawn(world: &World, command: &[&str]) -> Ao {
    world.ao(&[&["spawn", "--project", "web", "--"][..], command].concat())
}

/// Nothing of the session is left but its row and the log of what was printed.
fn nothing_is_left(world: &World, id: &str) {
    settle("it has ended", || world.session(id)["phase"] == "ended");
    let census = world.census();
    assert_eq!(
        census.to_string(),
        "daemons 1, holders 0, other processes 0, worktrees 0, branches 0, sockets 0, strays []",
        "{census:?}"
    );
    assert!(!world.git(&["worktree", "list"]).contains(id));
    let session = world.session(id);
    assert_eq!(
        (
            session["status"].as_str(),
            session["isTerminated"].as_bool(),
            session["worktree"]["state"].as_str()
        ),
        (Some("failed"), Some(true), Some("removed")),
        "{session}"
    );
}

#[test]
fn what_a_project_shares_is_there_when_its_agent_starts_and_goes_without_a_trace() {
    let world = configured(&[
        "--symlink",
        "node_modules",
        "--symlink",
        "none",
        "--env",
        "API=http://x",
        "--env",
        "AO_SESSION_ID=forged",
        "--post-create",
        "echo \"$API $AO_SESSION_ID\" > made.log",
        "--post-create",
        "cat .env made.log",
    ]);
    for folder in ["node_modules/left-pad", "secrets"] {
        fs::create_dir_all(world.repo.join(folder)).unwrap();
    }
    fs::write(world.repo.join("node_modules/left-pad/index.js"), "shared").unwrap();
    fs::write(world.repo.join(".env"), "KEY=1").unwrap();
    fs::write(world.repo.join(".env.example"), "KEY=").unwrap();
    fs::write(world.repo.join("secrets/a"), "a").unwrap();
    fs::write(
        world.repo.join(".worktreeinclude"),
        ".env*\n!.env.example\nsecrets/\n",
    )
    .unwrap();
    fs::write(
        world.repo.join(".git/info/exclude"),
        "made.log\n.worktreeinclude\n",
    )
    .unwrap();
    let script = "cat node_modules/left-pad/index.js .env secrets/a > \"$HOME/seen\"; echo $API >> \"$HOME/seen\"; exec sleep 1000";
    spawn(&world, &["sh", "-c", script]).ok();
    let session = world.until("web-1", "phase", "live");
    let seen = world.dir.join("home/seen");
    settle("the agent has looked", || {
        fs::read_to_string(&seen).is_ok_and(|seen| seen.ends_with("x\n"))
    });
    assert_eq!(fs::read_to_string(&seen).unwrap(), "sharedKEY=1ahttp://x\n");
    let worktree = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
    assert!(!worktree.join(".env.example").exists(), "it is negated");
    assert_eq!(
        fs::read_to_string(worktree.join("made.log")).unwrap(),
        "http://x web-1\n"
    );
    assert_eq!(
        world.git_in(&worktree, &["status", "--porcelain"]),
        "",
        "git sees nothing of ours"
    );
    let skipped = &session["provisioning"]["skipped"];
    assert_eq!(skipped, &json!(["none: it is not in the project"]));
    fs::remove_file(worktree.join("made.log")).unwrap();
    let killed = world.ao(&["kill", "web-1"]).ok();
    assert!(killed.out.contains("worktree removed"), "{killed:?}");
    assert_eq!(
        fs::read_to_string(world.repo.join("node_modules/left-pad/index.js")).unwrap(),
        "shared"
    );
    assert_eq!(
        fs::read_to_string(world.repo.join(".git/info/exclude")).unwrap(),
        "made.log\n.worktreeinclude\n",
        "the user's own lines stay, ours are gone"
    );
}

/// Of the numbered lines that a command printed, exactly the last 40 are shown to whoever spawned, and once.
fn the_last_lines_are_shown(failed: &Ao, last: u32) {
    let shown: Vec<&str> = failed
        .err
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("line "))
        .collect();
    let wanted: Vec<String> = (last - 39..=last).map(|n| format!("line {n}")).collect();
    assert_eq!(shown, wanted, "{failed:?}");
}

#[test]
fn a_command_that_fails_ends_the_spawn_with_its_last_lines_and_leaves_nothing() {
    let world = configured(&[
        "--post-create",
        "echo fine; mkdir node_modules",
        "--post-create",
        "for n in $(seq 100); do echo line $n; done; touch node_modules/x; exit 7",
    ]);
    let failed = spawn(&world, &["sleep", "1000"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains("post-create command 2 of 2 failed"),
        "{failed:?}"
    );
    assert!(failed.err.contains("exit status 7"), "{failed:?}");
    the_last_lines_are_shown(&failed, 100);
    nothing_is_left(&world, "web-1");
}

#[test]
fn a_command_that_hangs_is_ended_at_its_limit_with_all_that_it_started() {
    let world = configured(&[
        "--post-create",
        "seq -f 'line %.0f' 60; (setsid sleep 1000 &) ; sleep 1000 & sleep 1000",
        "--post-create-timeout",
        "1",
    ]);
    let failed = spawn(&world, &["sleep", "1"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains("it still ran after 1s and was ended"),
        "{failed:?}"
    );
    the_last_lines_are_shown(&failed, 60);
    nothing_is_left(&world, "web-1");
}

#[test]
fn a_command_that_prints_without_end_fills_nothing() {
    // More than 100 MB, in numbered lines.
    let world = configured(&["--post-create", "seq -f 'line %.0f' 8200000; exit 1"]);
    let failed = spawn(&world, &["sleep", "1000"]);
    assert_eq!(failed.code, 1, "{}", failed.err.len());
    the_last_lines_are_shown(&failed, 8_200_000);
    assert!(failed.err.len() < 64 * 1024, "{}", failed.err.len());
    let log = world.data.join("provision/web-1.log");
    assert!(fs::metadata(&log).unwrap().len() < 2 * 1024 * 1024);
    nothing_is_left(&world, "web-1");
}

#[test]
fn a_link_that_leads_out_of_the_repository_is_refused() {
    let world = configured(&["--symlink", "out"]);
    std::os::unix::fs::symlink("/etc", world.repo.join("out")).unwrap();
    let failed = spawn(&world, &["sleep", "1000"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains("`out` cannot be linked into a worktree"),
        "{failed:?}"
    );
    nothing_is_left(&world, "web-1");
    let refused = world.ao(&["project", "set-config", "web", "--symlink", "../x"]);
    assert!(
        refused.code == 1 && refused.err.contains("symlinks"),
        "{refused:?}"
    );
}

/// Nobody worked there, but who knows what a command made: it is rescued, as by any discard.
#[test]
fn what_a_failed_command_made_can_be_brought_back() {
    let world = configured(&["--post-create", "echo hello > made; exit 1"]);
    assert_eq!(spawn(&world, &["sleep", "1000"]).code, 1);
    settle("it has ended", || world.session("web-1")["phase"] == "ended");
    let session = world.session("web-1");
    let rescue = session["worktree"]["rescueRef"].as_str().unwrap();
    assert_eq!(world.git(&["show", &format!("{rescue}:made")]), "hello\n");
    assert_eq!(world.census().worktrees.len() + world.census().branches.len(), 0);
}

/// What the project says a build makes again goes with its worktree; what else is ignored holds it.
#[test]
fn what_the_project_calls_a_build_folder_holds_nothing() {
    let world = configured(&["--build-folder", "secrets"]);
    let asked = json!({"projectId": "web", "harness": "shell", "command": ["sh", "-c", "mkdir -p secrets; echo x > secrets/x"]});
    world.ask("POST", "/api/v1/sessions", Some(&asked));
    world.until("web-1", "phase", "finished");
    assert!(world.ao(&["kill", "web-1"]).ok().out.contains("worktree removed"));
    // A session keeps what it was made with.
    world.ask("POST", "/api/v1/sessions", Some(&asked));
    world.until("web-2", "phase", "finished");
    world
        .ao(&["project", "set-config", "web", "--unset", "buildFolders"])
        .ok();
    assert!(world.ao(&["kill", "web-2"]).ok().out.contains("worktree removed"));
    world.ask("POST", "/api/v1/sessions", Some(&asked));
    world.until("web-3", "phase", "finished");
    assert!(world.ao(&["kill", "web-3"]).ok().out.contains("worktree kept"));
}

#[test]
fn a_command_that_takes_its_time_is_told_while_it_runs() {
    let world = configured(&[
        "--post-create",
        "until [ -e \"$HOME/goes-on\" ]; do sleep 0.02; done",
    ]);
    let told = world.dir.join("told");
    let mut spawn = world.command(AO, &["spawn", "--project", "web", "--", "sleep", "1000"]);
    let mut spawn = spawn.stderr(fs::File::create(&told).unwrap()).spawn().unwrap();
    settle("it is told", || {
        fs::read_to_string(&told)
            .unwrap()
            .contains("setting up, command 1 of 1: until")
    });
    fs::write(world.dir.join("home/goes-on"), "").unwrap();
    assert!(spawn.wait().unwrap().success());
    world.until("web-1", "phase", "live");
}

/// A kill while a command runs does not wait for it.
#[test]
fn a_kill_during_a_command_wins() {
    let world = configured(&["--post-create", "echo $$ > \"$HOME/running\"; exec sleep 1000"]);
    let asked = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"]});
    std::thread::scope(|scope| {
        scope.spawn(|| world.ask("POST", "/api/v1/sessions", Some(&asked)));
        let running = world.dir.join("home/running");
        settle("the command runs", || running.exists());
        let shown = world.ao(&["session", "get", "web-1", "--json"]).ok().json();
        assert_eq!(shown["session"]["provisioning"]["of"], 1);
        assert!(
            shown["session"]["reason"]
                .as_str()
                .unwrap()
                .starts_with("setting up, command 1 of 1: echo")
        );
        world.ao(&["kill", "web-1"]).ok();
    });
    within(Duration::from_secs(30), "it has ended", || {
        (world.session("web-1")["phase"] == "ended").then_some(())
    });
    let census = world.census();
    assert_eq!(
        census.to_string(),
        "daemons 1, holders 0, other processes 0, worktrees 0, branches 0, sockets 0, strays []",
        "{census:?}"
    );
}

/// What was made of a worktree that is there is not done again at a restore.
#[test]
fn a_worktree_that_is_there_is_not_furnished_again() {
    let world = configured(&[
        "--post-create",
        "echo ran >> \"$HOME/runs\"; ! [ -e \"$HOME/fail\" ]",
    ]);
    let asked = json!({"projectId": "web", "harness": "shell", "command": ["true"]});
    world.ask("POST", "/api/v1/sessions", Some(&asked));
    world.until("web-1", "phase", "finished");
    let runs = || {
        fs::read_to_string(world.dir.join("home/runs"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    assert_eq!(runs(), 1);
    world.ao(&["session", "restore", "web-1", "--start-over"]).ok();
    assert_eq!(runs(), 1);
    world.until("web-1", "phase", "finished");
    // Taken back and made again, it is.
    world.ao(&["kill", "web-1"]).ok();
    world.ao(&["session", "restore", "web-1", "--start-over"]).ok();
    assert_eq!(runs(), 2);
    // Its branch goes with it, this time as well, and where that making fails.
    let branches = || world.git(&["branch", "--list", "ao/*"]);
    world.ao(&["kill", "web-1"]).ok();
    assert_eq!(branches(), "");
    fs::write(world.dir.join("home/fail"), "").unwrap();
    let restored = world.ao(&["session", "restore", "web-1", "--start-over"]);
    assert!(restored.code != 0, "{restored:?}");
    assert_eq!(world.session("web-1")["worktree"]["state"], "removed");
    assert_eq!(branches(), "");
}

/// A copy costs no room where the disk can share blocks: a real one, made for this and mounted for the daemon alone.
#[test]
fn a_copy_shares_the_blocks_of_its_original_where_the_disk_can() {
    const SIZE: usize = 8 << 20;
    let mut world = World::new(AO);
    let bytes: Vec<u8> = (0..SIZE / 8)
        .flat_map(|number| (number as u64).to_be_bytes())
        .collect();
    for (file, bytes) in [
        (".gitignore", b"*.bin\n".as_slice()),
        (".worktreeinclude", b"*.bin\n"),
        ("large.bin", &bytes),
    ] {
        fs::write(world.repo.join(file), bytes).unwrap();
    }
    world.git(&["add", "."]);
    world.git(&["commit", "-q", "-m", "ignore"]);
    if let Err(why) = world.on_a_disk_that_shares_blocks() {
        not_tested(
            "a_copy_shares_the_blocks_of_its_original_where_the_disk_can",
            &why,
        );
        return;
    }
    world.start();
    let project = json!({"path": world.repo, "projectId": "web"});
    assert_eq!(world.ask("POST", "/api/v1/projects", Some(&project)).status, 201);
    let original = world.seen_by_the_daemon(&world.repo.join("large.bin"));
    assert_eq!(shared_extents(&world, &original).1, 0, "it shares them already");
    let id = world.spawn("exec sleep 1000");
    world.until(&id, "status", "working");
    let copy = world.seen_by_the_daemon(&world.data.join("worktrees/web").join(&id).join("large.bin"));
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    let (extents, shared) = shared_extents(&world, &copy);
    assert!(
        extents > 0 && shared == extents,
        "{shared} of {extents} extents are shared"
    );
    // It is a copy all the same.
    fs::write(&copy, "changed").unwrap();
    assert_eq!(fs::read(&original).unwrap(), bytes);
}

/// How many extents a file has, and how many of them it shares with another, as the kernel tells it of what is on the disk.
fn shared_extents(world: &World, file: &Utf8Path) -> (usize, usize) {
    let mut filefrag = world.command("filefrag", &["-s", "-v", file.as_str()]);
    let told = filefrag
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");
    let told = String::from_utf8(told.stdout).unwrap();
    let is_extent = |line: &&str| {
        line.trim_start()
            .starts_with(|first: char| first.is_ascii_digit())
    };
    let extents: Vec<&str> = told.lines().filter(is_extent).collect();
    let shared = extents.iter().filter(|line| line.contains("shared"));
    (extents.len(), shared.count())
}
