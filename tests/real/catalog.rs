//! The catalog, with the real programs: each is found, starts, and is of the version that was verified.

use std::time::Duration;

use ao_tests::{World, not_tested, within};
use serde_json::Value;

use crate::AO;
use crate::agent::installed;

const PROGRAMS: [&str; 7] = ["claude", "codex", "opencode", "grok", "qwen", "copilot", "kimi"];

#[test]
fn each_real_program_is_found_in_its_verified_version() {
    let found: Vec<String> = PROGRAMS.into_iter().filter_map(installed).collect();
    if found.len() < PROGRAMS.len() {
        not_tested(
            "each_real_program_is_found_in_its_verified_version",
            "not all agents are installed: tests/run installs them",
        );
        return;
    }
    let root = found[0].strip_suffix("/claude/node_modules/.bin").unwrap();
    let mut world = World::new(AO);
    // Some want a newer Node than machines have: it has to be found first.
    let node = format!("{root}/node/node_modules/node/bin");
    let path = format!("{node}:{}:/usr/local/bin:/usr/bin:/bin", found.join(":"));
    world.set("PATH", &path);
    world.start();
    // One that was too slow on a machine that had other things to do is asked again a while later.
    let agents = within(Duration::from_secs(120), "all of them start", || {
        let list = world.ao(&["--json", "agent", "ls"]).ok().json();
        let agents = list["agents"].as_array().unwrap().clone();
        let is_slow = |agent: &Value| agent["findings"].to_string().contains("did not end within");
        (!agents.iter().any(is_slow)).then_some(agents)
    });
    let mut seen = 0;
    for agent in &agents {
        let Some(program) = agent["program"].as_str().filter(|name| PROGRAMS.contains(name)) else {
            continue;
        };
        seen += 1;
        assert_eq!(agent["standing"], "verified", "{program}: {agent}");
        assert_eq!(agent["version"], agent["verifiedVersion"], "{program}: {agent}");
        assert_eq!(agent["capabilities"]["verified"], true, "{program}: {agent}");
        let login = agent["findings"].as_array().unwrap().iter();
        let asks: Vec<&Value> = login.filter(|finding| finding["what"] == "program").collect();
        assert!(asks.is_empty(), "{program}: {asks:?}");
    }
    assert_eq!(seen, PROGRAMS.len());
}
