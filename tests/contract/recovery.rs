//! What happens to sessions when somebody moves, breaks or removes what they stand on. Each ends in one state that is said here, and the
//! person is told the next command.

use std::fs;

use ao_tests::{Ao, World, not_tested, settle};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::{AO, STAND_IN};

/// A session that is over, with a commit of its own and a file that nobody has committed.
fn over_with_work(world: &World) -> (String, Utf8PathBuf) {
    let id = world.spawn("exit 0");
    let session = world.until(&id, "phase", "finished");
    let worktree = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
    fs::write(worktree.join("committed"), "c\n").unwrap();
    world.git_in(&worktree, &["add", "."]);
    world.git_in(&worktree, &["commit", "-q", "-m", "its own"]);
    fs::write(worktree.join("README.md"), "changed\n").unwrap();
    (id, worktree)
}

fn work_is_whole(worktree: &Utf8Path) {
    assert_eq!(fs::read_to_string(worktree.join("committed")).unwrap(), "c\n");
    assert_eq!(
        fs::read_to_string(worktree.join("README.md")).unwrap(),
        "changed\n"
    );
}

fn kill(world: &World, id: &str) -> (Ao, Value) {
    let said = world.ao(&["kill", id]).ok();
    (said, world.until(id, "phase", "ended"))
}

/// Brought back: its agent has run once more, in the worktree it had.
fn restored(world: &World, id: &str) -> Value {
    world.ao(&["session", "restore", id, "--start-over"]).ok();
    let session = world.until(id, "phase", "finished");
    assert_eq!(session["generation"], 2, "{session}");
    session
}

/// What `ao session get` says that brings it back.
fn is_told_how_to_bring_back(world: &World, id: &str) {
    let shown = world.ao(&["session", "get", id]).ok().out;
    let command = format!("bring back with: ao session restore {id} --start-over\n");
    assert!(shown.contains(&command), "{shown}");
}

/// Agents do not notice; the next daemon takes them up again, and the commands say that it is to be started.
#[test]
fn a_daemon_that_was_killed_is_started_again_and_finds_all_as_it_was() {
    let mut world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let before = world.until(&id, "status", "working");
    world.kill_9();
    let said = world.ao(&["session", "get", &id]);
    assert!(said.code != 0 && said.err.contains("ao start"), "{said:?}");
    world.start();
    let after = world.until(&id, "status", "working");
    for fact in ["agentPid", "generation", "phase"] {
        assert_eq!(after[fact], before[fact]);
    }
}

/// What nobody wanted to end is over, named, and comes back in its conversation and its worktree; what a person had ended does not.
#[test]
fn what_a_reboot_ended_is_named_by_status_and_comes_back_by_one_command() {
    if !rustix::process::getuid().is_root() {
        not_tested(
            "what_a_reboot_ended_is_named_by_status_and_comes_back_by_one_command",
            "only root may mount a file over the boot id",
        );
        return;
    }
    let mut world = World::with_agent(AO, STAND_IN);
    let (id, killed) = (world.spawn_claude("one"), world.spawn_claude("two"));
    for id in [&id, &killed] {
        world.keep_the_conversation(id);
    }
    let (_, ended) = kill(&world, &killed);
    let before = world.session(&id);
    world.reboot();
    world.start();
    let over = world.until(&id, "phase", "finished");
    assert_eq!(
        (&over["endReason"], &over["generation"]),
        (&json!("rebooted"), &json!(1))
    );
    let said = world.ao(&["status"]).ok().out;
    let named =
        format!("  ended without anybody's will: {id}\n    bring them back: ao session restore --all\n");
    assert!(said.contains(&named), "{said}");
    let said = world.ao(&["session", "restore", "--all"]).ok().out;
    assert!(
        said.contains(&format!("restoring {id}")) && !said.contains(&killed),
        "{said}"
    );
    let back = world.until(&id, "phase", "live");
    assert_eq!(back["generation"], 2);
    assert_eq!(back["nativeId"], before["nativeId"], "its conversation");
    assert_eq!(back["worktree"]["path"], before["worktree"]["path"]);
    assert_eq!(world.session(&killed)["phase"], "ended");
    assert_eq!(world.session(&killed)["generation"], ended["generation"]);
    assert_eq!(world.asked(), ["one", "two"], "nothing is asked again");
    let said = world.ao(&["status"]).ok().out;
    assert!(!said.contains("anybody's will"), "{said}");
}

fn is_clean(world: &World, worktree: &Utf8Path) -> String {
    world.git_in(worktree, &["status", "--porcelain"])
}

/// The branch keeps its commits; a kill has nothing to take back, a restore makes the worktree again from the branch.
#[test]
fn a_deleted_worktree_comes_back_from_its_branch() {
    let world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    world.git_in(&worktree, &["add", "README.md"]); // git keeps what is staged beside the repository
    fs::remove_dir_all(&worktree).unwrap();
    is_told_how_to_bring_back(&world, &id);
    let session = restored(&world, &id);
    assert_eq!(fs::read_to_string(worktree.join("committed")).unwrap(), "c\n");
    assert_eq!(is_clean(&world, &worktree), "");
    let rescue = session["worktree"]["rescueRef"].as_str().unwrap();
    assert_eq!(world.git(&["show", &format!("{rescue}:README.md")]), "changed\n");
    fs::remove_dir_all(&worktree).unwrap();
    let (_, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "removed");
    assert!(!world.git(&["worktree", "list"]).contains(id.as_str()));
    assert!(
        world
            .git(&["log", "--oneline", &format!("ao/{id}")])
            .contains("its own")
    );
}

/// What a project shares went with the directory: it is linked, copied and made again. At a restore of one that stands it is as it was left.
#[test]
fn a_worktree_that_is_made_again_is_furnished_again() {
    let world = World::started(AO);
    world.commit(&[
        (".gitignore", "node_modules\n.env\nmade\n"),
        (".worktreeinclude", ".env\n"),
    ]);
    fs::create_dir(world.repo.join("node_modules")).unwrap();
    fs::write(world.repo.join(".env"), "KEY=1").unwrap();
    let runs = world.dir.join("runs");
    let commands = [format!("echo first >> {runs}"), "touch made".to_owned()];
    let mut set = vec!["project", "set-config", "web", "--symlink", "node_modules"];
    for command in &commands {
        set.extend(["--post-create", command]);
    }
    world.ao(&set).ok();
    let id = world.spawn("test -e made && test -e .env");
    let session = world.until(&id, "phase", "finished");
    let worktree = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
    fs::remove_file(worktree.join("made")).unwrap();
    for (generation, is_deleted) in [(2, false), (3, true), (4, false)] {
        if is_deleted {
            fs::remove_dir_all(&worktree).unwrap();
        }
        world.ao(&["session", "restore", &id, "--start-over"]).ok();
        let session = world.until(&id, "phase", "finished");
        assert_eq!(session["generation"], generation);
        let is_made = generation > 2;
        assert_eq!(worktree.join("made").exists(), is_made, "{session}");
        assert_eq!(session["exit"], json!({"code": i32::from(!is_made)}));
        assert_eq!(fs::read_to_string(worktree.join(".env")).unwrap(), "KEY=1");
        assert!(worktree.join("node_modules").is_symlink());
        assert_eq!(session["provisioning"]["done"], 2);
    }
    assert_eq!(fs::read_to_string(runs).unwrap(), "first\nfirst\n");
}

/// The link is written anew, and what the worktree holds is seen as ever: it stays, and the kill says why.
#[test]
fn a_worktree_that_lost_its_link_is_mended_and_keeps_its_work() {
    let world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    fs::remove_file(worktree.join(".git")).unwrap();
    let (said, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "kept");
    assert!(
        said.out.contains("1 changed file") || said.out.contains("README.md"),
        "{said:?}"
    );
    assert!(said.out.contains(&format!("ao kill {id} --discard")), "{said:?}");
    work_is_whole(&worktree);
    fs::remove_file(worktree.join(".git")).unwrap();
    restored(&world, &id);
    work_is_whole(&worktree);
    assert_eq!(is_clean(&world, &worktree), " M README.md\n");
}

/// Until it is said where the repository is, nothing is touched; then the worktrees follow.
#[test]
fn a_repository_that_moved_is_followed_when_it_is_said_where() {
    let world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    let live = world.spawn("exec sleep 1000");
    let to = world.dir.join("elsewhere");
    fs::rename(&world.repo, &to).unwrap();
    let (said, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "kept");
    assert!(said.out.contains("ao project move"), "{said:?}");
    work_is_whole(&worktree);
    let spawn = world.ao(&["spawn", "--project", "web", "--", "true"]);
    assert!(
        spawn.code == 1 && spawn.err.contains("cannot be worked on"),
        "{spawn:?}"
    );
    let doctor = world.ao(&["doctor", "--offline"]);
    assert!(doctor.out.contains("ao project move PROJECT PATH"), "{doctor:?}");

    // Not another repository, though.
    let other = world.dir.join("other");
    world.make_repository(&other);
    let refused = world.ao(&["project", "move", "web", other.as_str()]);
    assert!(
        refused.code == 1 && refused.err.contains("has never known"),
        "{refused:?}"
    );
    let moved = world.ao(&["project", "move", "web", to.as_str()]).ok();
    assert!(
        moved
            .out
            .contains(&format!("project web is at {to}, with its worktrees")),
        "{moved:?}"
    );
    work_is_whole(&worktree);
    assert_eq!(is_clean(&world, &worktree), " M README.md\n");
    restored(&world, &id);
    world.git_in(&worktree, &["checkout", "-q", "README.md"]);
    let (said, session) = kill(&world, &id);
    assert_eq!(
        session["worktree"]["state"], "kept",
        "its commit is on no other branch: {said:?}"
    );
    let (_, session) = kill(&world, &live);
    assert_eq!(
        session["worktree"]["state"], "removed",
        "one that ran meanwhile has followed too"
    );
    world.ao(&["spawn", "--project", "web", "--", "true"]).ok();
}

/// Another clone in the place of the repository: no file goes, and a restore attaches the worktree to it.
#[test]
fn a_repository_that_was_cloned_anew_takes_no_file_along() {
    let world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    let old = world.dir.join("old");
    fs::rename(&world.repo, &old).unwrap();
    world.git_in(&world.dir, &["clone", "-q", old.as_str(), world.repo.as_str()]);
    let (said, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "kept");
    assert!(
        said.out.contains("does not know") && said.out.contains("restoring its session attaches it again"),
        "{said:?}"
    );
    work_is_whole(&worktree);
    is_told_how_to_bring_back(&world, &id);
    // The clone has the session's branch from its origin.
    restored(&world, &id);
    work_is_whole(&worktree);
    world.git_in(&worktree, &["status"]);
}

/// git forgot the worktree while its disk was away: it is attached again.
#[test]
fn a_worktree_that_was_pruned_while_it_was_away_is_attached_again() {
    let world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    let away = world.dir.join("away");
    fs::rename(&worktree, &away).unwrap();
    world.git(&["worktree", "prune"]);
    world.git(&["gc", "-q", "--prune=now"]);
    fs::rename(&away, &worktree).unwrap();
    let (said, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "kept");
    assert!(
        said.out.contains("restoring its session attaches it again"),
        "{said:?}"
    );
    work_is_whole(&worktree);
    is_told_how_to_bring_back(&world, &id);
    restored(&world, &id);
    work_is_whole(&worktree);
    assert!(is_clean(&world, &worktree).contains("README.md"));
}

/// Its commits are still reached from the worktree: they hold it, and a restore makes the branch again.
#[test]
fn a_branch_that_was_deleted_under_a_session_is_made_again() {
    let world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    let branch = format!("ao/{id}");
    let tip = world.git(&["rev-parse", &branch]);
    world.git_in(&worktree, &["checkout", "-q", "README.md"]);
    world.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
    let (said, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "kept", "{said:?}");
    is_told_how_to_bring_back(&world, &id);
    restored(&world, &id);
    assert_eq!(world.git(&["rev-parse", &branch]), tip);
    assert_eq!(fs::read_to_string(worktree.join("committed")).unwrap(), "c\n");
}

/// Moved whole, with its worktrees: sessions, git and rows find each other again; a copy is refused.
#[test]
fn a_data_directory_that_moved_takes_its_sessions_along_and_a_copy_is_refused() {
    let mut world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    let live = world.spawn("exec sleep 1000");
    let pid = world.session(&live)["agentPid"].clone();
    world.kill_9();
    let (from, to) = (world.data.clone(), world.dir.join("moved"));
    let copied = world
        .command("cp", &["-a", from.as_str(), to.as_str()])
        .status()
        .unwrap();
    assert!(copied.success());
    world.set("AO_DATA_DIR", to.as_str());
    let refused = world.try_start().expect("a copy is refused");
    assert!(
        refused.contains("this data directory is a copy")
            && refused.contains("Start ao on that one (AO_DATA_DIR)"),
        "{refused}"
    );
    fs::remove_dir_all(&to).unwrap();

    fs::rename(&from, &to).unwrap();
    world.data.clone_from(&to);
    world.start();
    let session = world.session(&id);
    let moved = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
    assert_eq!(moved, to.join(worktree.strip_prefix(&from).unwrap()));
    work_is_whole(&moved);
    assert_eq!(is_clean(&world, &moved), " M README.md\n");
    restored(&world, &id);
    let still = world.until(&live, "phase", "live");
    assert_eq!(still["agentPid"], pid, "the agent did not notice");
    let (_, session) = kill(&world, &live);
    assert_eq!(session["worktree"]["state"], "removed");
}

/// Reached by another name it is the same: sessions are there, and end as ever.
#[test]
fn a_data_directory_with_another_name_is_the_same() {
    let mut world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    let live = world.spawn("exec sleep 1000");
    world.kill_9();
    let other = world.dir.join("other");
    std::os::unix::fs::symlink(&world.data, &other).unwrap();
    world.set("AO_DATA_DIR", other.as_str());
    world.start();
    world.until(&live, "status", "working");
    work_is_whole(&worktree);
    let (said, session) = kill(&world, &id);
    assert_eq!(session["worktree"]["state"], "kept", "{said:?}");
    world.ao(&["kill", &id, "--discard"]).ok();
    let (_, session) = kill(&world, &live);
    assert_eq!(session["worktree"]["state"], "removed");
    assert!(!worktree.exists());
    let new = world.spawn("exec sleep 1000");
    let (_, session) = kill(&world, &new);
    assert_eq!(session["worktree"]["state"], "removed");
}

/// What cannot be written to is said before anything begins, and is fine again when it can.
#[test]
fn a_data_directory_that_cannot_be_written_to_is_said_and_nothing_is_lost() {
    if !rustix::process::getuid().is_root() {
        not_tested(
            "a_data_directory_that_cannot_be_written_to_is_said_and_nothing_is_lost",
            "only root may mount the data directory read-only",
        );
        return;
    }
    let mut world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    world.kill_9();
    let read_only = format!(
        "mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec {1} daemon",
        world.data, world.program
    );
    let arguments = [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        read_only.as_str(),
    ];
    let refused = world.command("unshare", &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Read-only"), "{said}");
    assert!(said.contains(world.data.as_str()), "it is said where: {said}");
    assert!(
        said.contains("see that you may write to it, or name another with AO_DATA_DIR"),
        "{said}"
    );
    world.start();
    work_is_whole(&worktree);
    restored(&world, &id);
}

/// Names that look like ours and are not: told, and never touched; what is ours and of no use goes.
#[test]
fn what_only_looks_like_ours_is_told_and_stays() {
    let mut world = World::started(AO);
    let foreign = world.dir.join("foreign");
    world.git(&["worktree", "add", "-q", "-b", "ao/web-77", foreign.as_str()]);
    world.git(&["branch", "ao/web-78"]);
    world.git(&["update-ref", "refs/ao/rescue/web-79/1", "main"]);
    let folder = world.data.join("worktrees/web/web-80");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("notes"), "mine").unwrap();
    // Ours: a branch without a commit of its own, left by a session that is over.
    let id = world.spawn("exit 0");
    world.until(&id, "phase", "finished");
    kill(&world, &id);
    world.kill_9();
    world.start(); // the janitor's first act is to look at everything
    let found = world.get("/api/v1/leftovers");
    let names: Vec<(&str, bool)> = found["leftovers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["what"].as_str().unwrap(), one["goes"].as_bool().unwrap()))
        .collect();
    for name in ["ao/web-77", "ao/web-78", "refs/ao/rescue/web-79/1", "web-80"] {
        assert!(
            names.iter().any(|(what, goes)| what.contains(name) && !goes),
            "{name}: {names:?}"
        );
    }
    let doctor = world.ao(&["doctor", "--offline"]);
    assert!(
        doctor.out.contains("WARN leftovers") && doctor.out.contains("ao/web-78"),
        "{doctor:?}"
    );
    assert!(foreign.join("README.md").exists() && folder.join("notes").exists());
    for name in [
        "refs/heads/ao/web-77",
        "refs/heads/ao/web-78",
        "refs/ao/rescue/web-79/1",
    ] {
        world.git(&["rev-parse", "--verify", name]);
    }
}

/// What a killed daemon left of a session that is over is taken back by the next one.
#[test]
fn what_is_ours_and_of_no_use_goes() {
    let mut world = World::started(AO);
    let id = world.spawn("exit 0");
    world.until(&id, "phase", "finished");
    let worktree = Utf8PathBuf::from(world.session(&id)["worktree"]["path"].as_str().unwrap());
    fs::write(worktree.join("new"), "rescued").unwrap();
    world.ao(&["kill", &id, "--discard"]).ok();
    let run = world.data.join(format!("pty/{id}"));
    world.kill_9();
    fs::create_dir_all(run.join("1")).unwrap(); // as a holder that was killed leaves it
    world.start();
    settle("its run is gone", || !run.exists());
    assert_eq!(
        world.git(&["show", &format!("refs/ao/rescue/{id}/1:new")]),
        "rescued"
    );
}

/// Its session's row has to learn what becomes of it: the janitor tells and waits, a clean-up takes it back and says where what git still
/// had of it is.
#[test]
fn what_is_left_of_a_deleted_worktree_goes_with_a_clean_up_that_says_what_was_saved() {
    let mut world = World::started(AO);
    let (id, worktree) = over_with_work(&world);
    world.git_in(&worktree, &["add", "README.md"]);
    kill(&world, &id);
    fs::remove_dir_all(&worktree).unwrap();
    world.kill_9();
    world.start(); // the janitor's first act is to look at everything
    let found = world.get("/api/v1/leftovers");
    let is_it = |one: &&Value| one["what"].as_str().unwrap().contains(worktree.as_str());
    let one = found["leftovers"].as_array().unwrap().iter().find(is_it).cloned();
    let one = one.expect("it is told of");
    assert_eq!(one["goes"], false);
    assert_eq!(one["howToRemove"], format!("ao kill {id}"));
    let doctor = world.ao(&["doctor", "--offline"]);
    assert!(doctor.out.contains("ao session cleanup"), "{doctor:?}");
    assert_eq!(world.session(&id)["worktree"]["state"], "kept");
    let said = world.ao(&["session", "cleanup", "--yes"]).ok().out;
    let session = world.session(&id);
    assert_eq!(session["worktree"]["state"], "removed");
    let rescue = session["worktree"]["rescueRef"].as_str().unwrap();
    assert_eq!(world.git(&["show", &format!("{rescue}:README.md")]), "changed\n");
    assert!(said.contains(&format!("saved of it: {rescue}")), "{said}");
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("bring it back: "));
    let back = world.command("sh", &["-c", line.expect("how it comes back")]);
    assert!({ back }.status().unwrap().success());
    let rescued = format!("{}.{id}-rescued-1", world.repo);
    assert_eq!(
        fs::read_to_string(format!("{rescued}/README.md")).unwrap(),
        "changed\n"
    );
}

/// Whoever runs runs on, whoever waits keeps its place, what is sent arrives once, and a session that is killed ends: there is nothing
/// for a person to do.
#[test]
fn a_clock_that_jumps_an_hour_each_way_ends_nothing_and_loses_nothing() {
    let mut world = World::new(AO);
    if !world.own_clock() {
        not_tested(
            "a_clock_that_jumps_an_hour_each_way_ends_nothing_and_loses_nothing",
            "there is no libfaketime: tests/run installs it",
        );
        return;
    }
    world.agent(STAND_IN);
    world.set("AO_MAX_SESSIONS", "2");
    world.set("AO_REQUEST_TIMEOUT", "1s"); // who waits in line is answered so soon
    world.begin();
    let speaks = world.spawn_claude("hello");
    world.until(&speaks, "status", "idle");
    let works = world.spawn("exec sleep 1000");
    world.until(&works, "status", "working");
    let in_line = ["first", "second"].map(|_| world.spawn("exec sleep 1000"));
    let who = |world: &World, id: &str| {
        let session = world.session(id);
        (session["agentPid"].clone(), session["generation"].clone())
    };
    let before = (who(&world, &speaks), who(&world, &works));
    let mut asked = vec!["hello".to_owned()];
    // Forth, back, another hour back, and forth again.
    for (n, at) in [3_600, 0, -3_600, 0].into_iter().enumerate() {
        world.set_clock(at);
        let words = format!("message {n}");
        let send = json!({"message": words});
        let path = format!("/api/v1/sessions/{speaks}/send");
        assert_eq!(world.ask("POST", &path, Some(&send)).status, 200);
        asked.push(words);
        settle("it is heard once", || world.asked() == asked);
        for (id, status) in [(&speaks, "idle"), (&works, "working")] {
            settle("its status is what it was", || {
                let session = world.session(id);
                assert_eq!(session["phase"], "live", "{session}");
                session["status"] == status
            });
        }
        assert_eq!((who(&world, &speaks), who(&world, &works)), before);
        for (place, id) in (1..).zip(&in_line) {
            let session = world.session(id);
            assert_eq!(
                (&session["status"], &session["queue"]["place"]),
                (&json!("queued"), &json!(place))
            );
        }
    }
    let path = format!("/api/v1/sessions/{speaks}/messages");
    settle("all are accepted", || {
        let messages = world.get(&path);
        let messages = messages["messages"].as_array().unwrap();
        messages.iter().all(|message| message["state"] == "accepted")
    });
    let messages = world.get(&path);
    let messages = messages["messages"].as_array().unwrap();
    let sent_at = |n: usize| messages[n]["queuedAt"].as_str().unwrap();
    assert!(
        sent_at(0) > sent_at(1) && sent_at(1) > sent_at(2) && sent_at(2) < sent_at(3),
        "{messages:?}"
    );
    // Whoever looks over all of them goes on looking, although its next look was due in an hour.
    let swept = "SELECT coalesce(max(finished_at), '') FROM sweeps";
    settle("they were looked at by this clock", || {
        world.query(swept).as_str() > sent_at(3)
    });
    let last = world.query(swept);
    world.set_clock(-3_600);
    settle("they are looked at", || world.query(swept) < last);
    let (_, ended) = kill(&world, &works);
    assert_eq!(ended["worktree"]["state"], "removed");
    world.until(&in_line[0], "status", "working");
    assert_eq!(world.session(&in_line[1])["queue"]["place"], 1);
    world.kill_9();
    world.set_clock(3_600);
    world.start();
    world.until(&in_line[0], "status", "working");
    assert_eq!(who(&world, &speaks), before.0);
    assert_eq!(world.session(&in_line[1])["queue"]["place"], 1);
}
