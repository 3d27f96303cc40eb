use serde_json::json;

use super::*;

fn set(patch: &serde_json::Value) -> Result<ProjectConfig, BadConfig> {
    ProjectConfig::default().merged(patch)
}

/// Only what is given changes; `null` takes away; lists are replaced, objects merged.
#[test]
fn a_patch_changes_what_it_names() {
    let first = set(&json!({"model": 1}));
    assert!(first.is_err(), "no such key");
    let all = set(&json!({
        "defaultBranch": "develop", "sessionPrefix": "w", "env": {"A": "1", "B": "2"}, "symlinks": ["node_modules"],
        "postCreate": ["npm ci"], "agentConfig": {"model": "m"}, "worker": {"agent": "shell"}, "reclaimOnMerge": true,
    }))
    .unwrap();
    let next = all
        .merged(&json!({"env": {"B": null, "C": "3"}, "symlinks": [".env"], "agentConfig": {"permissions": "auto"}, "defaultBranch": null}))
        .unwrap();
    assert_eq!(
        serde_json::to_value(&next).unwrap(),
        json!({
            "sessionPrefix": "w", "env": {"A": "1", "C": "3"}, "symlinks": [".env"], "postCreate": ["npm ci"],
            "agentConfig": {"model": "m", "permissions": "auto"}, "worker": {"agent": "shell"}, "reclaimOnMerge": true,
        })
    );
    assert_eq!(
        ProjectConfig::parse(&serde_json::to_string(&next).unwrap()),
        Ok(next)
    );
}

#[test]
fn what_breaks_a_rule_is_refused_with_its_key() {
    for (patch, key) in [
        (json!({"env": {"1A": "x"}}), "env"),
        (json!({"env": {"A": "x\u{0}"}}), "env"),
        (json!({"symlinks": ["/etc"]}), "symlinks"),
        (json!({"symlinks": ["../x"]}), "symlinks"),
        (json!({"symlinks": ["a/../../x"]}), "symlinks"),
        (json!({"symlinks": [""]}), "symlinks"),
        (json!({"symlinks": ["."]}), "symlinks"),
        (json!({"symlinks": [".git/hooks"]}), "symlinks"),
        (json!({"buildFolders": ["/"]}), "buildFolders"),
        (json!({"postCreate": [" "]}), "postCreate"),
        (json!({"postCreateTimeout": 0}), "postCreateTimeout"),
        (json!({"sessionPrefix": "a/b"}), "sessionPrefix"),
        (json!({"sessionPrefix": ".."}), "sessionPrefix"),
        (json!({"agentConfig": {"model": "--x"}}), "agentConfig.model"),
        (json!({"reviewers": [{"harness": "a b"}]}), "reviewers"),
        (json!({"rules": "x".repeat(20_000)}), "rules"),
        (json!({"defaultBranch": "a b"}), "defaultBranch"),
    ] {
        match set(&patch) {
            Err(BadConfig::Value { key: named, .. }) => assert_eq!(named, key, "{patch}"),
            other => panic!("{patch}: {other:?}"),
        }
    }
    assert!(matches!(set(&json!([])), Err(BadConfig::Form(_))));
}

#[test]
fn what_does_not_read_is_refused_with_its_key_and_what_is_wanted() {
    // What is set already reads, and is not what is complained of.
    let all = set(&json!({"symlinks": ["a"], "agentConfig": {"model": "m"}})).unwrap();
    for (patch, key, wanted) in [
        (json!({"symlinks": "a"}), "symlinks", "expected a sequence"),
        (json!({"symlinks": [1]}), "symlinks", "expected a string"),
        (
            json!({"symlinks": {"a": null}}),
            "symlinks",
            "expected a sequence",
        ),
        (json!({"env": ["A=1"]}), "env", "expected a map"),
        (
            json!({"env": {"A.B": "x"}, "rules": 1}),
            "rules",
            "expected a string",
        ),
        (json!({"env": {"A": 1}}), "env.A", "expected a string"),
        (
            json!({"agentConfig": {"permissions": "all"}}),
            "agentConfig.permissions",
            "all",
        ),
        (
            json!({"agentConfig": {"model": 5}}),
            "agentConfig.model",
            "expected a string",
        ),
        (json!({"worker": "shell"}), "worker", "expected struct"),
        (
            json!({"reclaimOnMerge": "off"}),
            "reclaimOnMerge",
            "expected a boolean",
        ),
        (
            json!({"postCreateTimeout": -1}),
            "postCreateTimeout",
            "expected u32",
        ),
        (json!({"reviewers": ["codex"]}), "reviewers", "expected struct"),
        (
            json!({"reviewers": [{"harness": "codex", "model": "m"}]}),
            "reviewers",
            "unknown field `model`",
        ),
    ] {
        match all.merged(&patch) {
            Err(BadConfig::Value { key: named, why }) => {
                assert_eq!(named, key, "{patch}");
                assert!(why.contains(wanted), "{patch}: {why}");
            }
            other => panic!("{patch}: {other:?}"),
        }
    }
}

/// To take away what never was a key is as much a slip of the finger as to set it; a variable's name is anybody's.
#[test]
fn what_is_no_key_is_refused_also_where_it_is_to_be_taken_away() {
    for (patch, key) in [
        (json!({"nope": null}), "nope"),
        (json!({"permissions": "auto"}), "permissions"),
        (json!({"agentConfig": {"modell": null}}), "agentConfig.modell"),
        (
            json!({"worker": {"agentConfig": {"nope": 1}}}),
            "worker.agentConfig.nope",
        ),
        (json!({"worker": {"model": null}}), "worker.model"),
        (json!({"worker.agent": null}), "worker.agent"),
    ] {
        assert_eq!(
            set(&patch),
            Err(BadConfig::Key { key: key.to_owned() }),
            "{patch}"
        );
    }
    for patch in [
        json!({"env": {"NOPE": null}}),
        json!({"env": null, "rules": null}),
        json!({"worker": null, "agentConfig": {"model": null}}),
        json!({"orchestrator": {"agentConfig": null}}),
    ] {
        assert_eq!(set(&patch), Ok(ProjectConfig::default()), "{patch}");
    }
}
