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
    for patch in [
        json!([]),
        json!({"permissions": "auto"}),
        json!({"env": ["A=1"]}),
        json!({"agentConfig": {"permissions": "all"}}),
        json!({"reclaimOnMerge": "off"}),
        json!({"reviewers": ["codex"]}),
        json!({"reviewers": [{"harness": "codex", "model": "m"}]}),
    ] {
        assert!(matches!(set(&patch), Err(BadConfig::Form(_))), "{patch}");
    }
}
