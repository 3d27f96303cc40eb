use std::ffi::OsStr;

use super::*;
use crate::gateways::tests::gateway;
use crate::render::tests::kept;
use crate::scratch::Scratch;

#[test]
fn checks_stand_in_sections_with_their_remedies() {
    let checks = [
        Check::new(Level::Pass, "Core", "config", "fine"),
        Check::new(Level::Fail, "Core", "data-dir", "full").with("free space"),
        Check::new(Level::Warn, "Tools", "git", "old"),
    ];
    let (mut out, results, _) = kept(false, false, None);
    print(&checks, &mut out).unwrap();
    expect_test::expect![[r#"
        Core:
        PASS config: fine
        FAIL data-dir: full
             free space

        Tools:
        WARN git: old
    "#]]
    .assert_eq(&results.text());
}

#[test]
fn where_no_ao_is_found_there_is_no_other_to_remove() {
    let (mut out, results, _) = kept(false, false, None);
    print(&[tools::ao_binary(OsStr::new("/nowhere"))], &mut out).unwrap();
    let said = results.text();
    assert!(said.contains("no `ao` is on PATH"), "{said}");
    assert!(
        said.ends_with("     put the folder of this program on PATH\n"),
        "{said}"
    );
}

#[test]
fn what_the_daemon_knows_of_a_host_is_a_check() {
    let now = "2026-06-24T12:05:00.000Z".parse().unwrap();
    let of = |change| host(&gateway(&change), now);
    let checks = [
        of(serde_json::json!({})),
        of(serde_json::json!({"token": "missing", "source": null})),
        of(serde_json::json!({"token": "refused"})),
    ];
    let (mut out, results, _) = kept(false, false, None);
    print(&checks, &mut out).unwrap();
    expect_test::expect![[r#"
        GitHub:
        PASS daemon-token: forge.example: token accepted (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m
        WARN daemon-token: forge.example: no token was found; points: 120 by us and 180 by others of 5000, anew in 25m
             gh auth login --hostname forge.example, or set GH_ENTERPRISE_TOKEN for the daemon, and start it again
        FAIL daemon-token: forge.example: the token was refused (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m
             gh auth login --hostname forge.example, or set GH_ENTERPRISE_TOKEN for the daemon, and start it again
    "#]].assert_eq(&results.text());
}

#[test]
fn only_recent_failures_of_hooks_are_news() {
    let dir = Scratch::new();
    let now: Timestamp = "2026-06-24T12:00:00.000Z".parse().unwrap();
    assert_eq!(hooks_log(dir.path(), now).level, Level::Pass);
    let old = "2026-06-20T12:00:00.000Z session=web-1 ao hooks x y: old\n";
    std::fs::write(dir.path().join("hooks.log"), old).unwrap();
    assert_eq!(hooks_log(dir.path(), now).level, Level::Pass);
    let new = "2026-06-24T11:00:00.000Z session=web-1 ao hooks x y: new\n";
    std::fs::write(dir.path().join("hooks.log"), format!("{old}{new}")).unwrap();
    let check = hooks_log(dir.path(), now);
    assert_eq!(check.level, Level::Warn);
    assert!(
        check.message.starts_with("1 callbacks") && check.message.ends_with("new"),
        "{}",
        check.message
    );
}

#[test]
fn a_directory_that_cannot_be_made_fails_with_a_remedy() {
    let dir = Scratch::new();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let check = data_dir(&file.join("data"));
    assert_eq!(check.level, Level::Fail);
    assert!(check.remedy.is_some());
    assert_eq!(can_write(dir.path()).level, Level::Pass);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
}
