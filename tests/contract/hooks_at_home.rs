//! Our hooks in settings that are a person's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{World, settle};

use crate::AO;

/// They come with the first session of an agent, stay while there is one, and go with the last; what else is there stays to the byte.
#[test]
fn hooks_in_a_person_s_own_settings_go_with_the_last_session() {
    let mut world = World::new(AO);
    let (bin, home) = (world.dir.join("bin"), world.dir.join("home"));
    for folder in [&bin, &home.join(".kimi-code"), &home.join(".grok/hooks")] {
        fs::create_dir_all(folder).unwrap();
    }
    for program in ["kimi", "grok"] {
        let file = bin.join(program);
        fs::write(&file, "#!/bin/sh\nexec sleep 600\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    let (config, hooks) = (
        home.join(".kimi-code/config.toml"),
        home.join("elsewhere/hooks/ao.json"),
    );
    let own = "# mine\nmodel = \"x\"\n\n[[hooks]]\nevent = \"Stop\"\ncommand = \"mine\" # no line end";
    fs::write(&config, own).unwrap();
    fs::write(home.join(".grok/hooks/mine.json"), "{}").unwrap();
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    // A project may say where one of them lives.
    let elsewhere = format!("GROK_HOME={home}/elsewhere");
    world
        .ao(&["project", "set-config", "web", "--env", &elsewhere])
        .ok();
    let spawn = |world: &World, agent: &str| {
        let words = [
            "--json",
            "spawn",
            "--project",
            "web",
            "--agent",
            agent,
            "--prompt=hi",
        ];
        world.ao(&words).ok().json()["session"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (kimi, grok) = (spawn(&world, "kimi"), spawn(&world, "grok"));
    let text = fs::read_to_string(&config).unwrap();
    assert!(
        text.starts_with(own) && text.matches("[[hooks]]").count() > 5,
        "{text}"
    );
    assert!(hooks.exists());
    world.ao(&["kill", &kimi]).ok();
    // The janitor looks when it starts, and then once an hour.
    world.kill_now();
    world.wait_for_the_end();
    world.start();
    settle("what nobody needs is gone", || {
        fs::read_to_string(&config).unwrap() == own
    });
    assert!(hooks.exists(), "its session lives");
    world.ao(&["kill", &grok]).ok();
    world.kill_now();
    world.wait_for_the_end();
    world.start();
    settle("all of it is", || !hooks.exists());
    assert!(!home.join(".grok/hooks/ao.json").exists());
    assert_eq!(
        fs::read_to_string(home.join(".grok/hooks/mine.json")).unwrap(),
        "{}"
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), own);
}
