use serde_json::{Value, json};

use super::*;
use crate::render::tests::kept;

/// A pull request as the daemon would answer it, with `change` made to its JSON.
pub(super) fn pr(id: u64, number: u64, change: &Value) -> PullRequest {
    let mut text = json!({
        "id": id, "url": format!("https://forge.example/acme/web/pull/{number}"), "number": number, "title": "Tidy up",
        "state": "open", "ci": "passing", "failing": [], "review": "none", "mergeability": "unknown",
        "headBranch": "ao/web-1", "baseBranch": "main", "head": "0123456789abcdef", "changedAt": "2026-06-24T12:00:00.000Z",
        "sessionId": "web-1", "projectId": "web", "repository": "forge.example/acme/web", "author": "octo",
        "queuedToMerge": false, "followed": true, "readAt": "2026-06-24T12:04:00.000Z",
        "detailedAt": "2026-06-24T12:00:00.000Z", "createdAt": "2026-06-24T11:00:00.000Z",
        "updatedAt": "2026-06-24T12:04:00.000Z",
    });
    for (key, value) in change.as_object().unwrap() {
        text[key] = value.clone();
    }
    serde_json::from_value(text).unwrap()
}

fn failing() -> PrGot {
    let check = |name: &str, status: &str, more: Value| {
        let mut check = json!({
            "name": name, "status": status, "conclusion": "", "url": format!("https://forge.example/{name}"),
            "required": name == "test", "summary": "", "evidence": "unasked",
        });
        for (key, value) in more.as_object().unwrap() {
            check[key] = value.clone();
        }
        check
    };
    let at = |minute: u32| format!("2026-06-24T12:{minute:02}:00.000Z");
    let checks = json!([
        check(
            "build",
            "passed",
            json!({"startedAt": at(0), "completedAt": at(2)})
        ),
        check("docs", "in_progress", json!({"startedAt": at(0)})),
        check(
            "lint\u{1b}[2J",
            "failed",
            json!({"evidence": "unavailable", "noLog": "the token may not see it"})
        ),
        check(
            "test",
            "failed",
            json!({"evidence": "read", "step": "cargo test", "log": "ok\n\u{1b}]0;owned\u{7}panicked\r\n",
            "startedAt": at(1), "completedAt": at(4)})
        ),
        check("window", "failed", json!({"evidence": "wanted"})),
    ]);
    let episodes = json!([
        {"id": 1, "kind": "ci", "headline": "checks failed at fedcba9", "head": "fedcba9876543210", "openedAt": at(0),
            "closedAt": at(1), "closedBy": "another commit was pushed",
            "messages": [{"messageId": 4, "generation": 1, "round": 1, "typed": false, "lost": true}]},
        {"id": 2, "kind": "ci", "headline": "checks failed at 0123456: test", "head": "0123456789abcdef", "openedAt": at(3),
            "messages": [{"messageId": 5, "generation": 1, "round": 1, "typed": true, "lost": false},
                {"messageId": 6, "generation": 1, "round": 2, "typed": false, "lost": false}]},
    ]);
    PrGot {
        pr: pr(
            3,
            7,
            &json!({"ci": "failing", "failing": ["lint\u{1b}[2J", "test"], "review": "changes_requested",
                "mergeability": "conflicting", "trouble": "the forge cannot be asked"}),
        ),
        checks: serde_json::from_value(checks).unwrap(),
        episodes: serde_json::from_value(episodes).unwrap(),
    }
}

fn now() -> Timestamp {
    "2026-06-24T12:05:00.000Z".parse().unwrap()
}

#[test]
fn pull_requests_stand_in_a_table_and_what_is_hidden_is_counted() {
    let prs = || {
        vec![
            pr(
                12,
                104,
                &json!({"title": "Mend the login\u{202e}\npage", "ci": "failing", "failing": ["a", "b"],
                    "review": "review_required", "mergeability": "blocked", "trouble": "it is not there"}),
            ),
            pr(3, 7, &json!({"state": "draft", "ci": "unknown"})),
            pr(2, 6, &json!({"state": "merged", "sessionId": "web-2"})),
        ]
    };
    let text = |all, prs: Vec<PullRequest>| {
        let (mut out, results, _) = kept(false, false, None);
        print_list(prs, all, now(), &mut out).unwrap();
        results.text()
    };
    expect_test::expect![[r#"
        ID  SESSION  PR    TITLE                        STATE  CHECKS       REVIEW    MERGE    CHANGED
        12  web-1    #104  Mend the login<U+202E> page  open   failing (2)  required  blocked  5m
        3   web-1    #7    Tidy up                      draft                                  5m
        #104 of web-1: at the last look: it is not there
        1 that is merged or closed is not shown: --all
    "#]]
    .assert_eq(&text(false, prs()));
    expect_test::expect![[r#"
        ID  SESSION  PR    TITLE                        STATE   CHECKS       REVIEW    MERGE    CHANGED
        12  web-1    #104  Mend the login<U+202E> page  open    failing (2)  required  blocked  5m
        3   web-1    #7    Tidy up                      draft                                   5m
        2   web-2    #6    Tidy up                      merged  passing                         5m
        #104 of web-1: at the last look: it is not there
    "#]]
    .assert_eq(&text(true, prs()));
    assert_eq!(text(false, Vec::new()), "(no pull requests)\n");
    let merged = vec![pr(2, 6, &json!({"state": "merged"}))];
    assert_eq!(
        text(false, merged),
        "(no open pull requests)\n1 that is merged or closed is not shown: --all\n"
    );
}

#[test]
fn one_shows_what_there_is_and_what_was_told() {
    let text: Vec<String> = rows(&failing())
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    expect_test::expect![[r#"
        id: 3
        session: web-1
        project: web
        pr: acme/web#7
        title: Tidy up
        author: octo
        url: https://forge.example/acme/web/pull/7
        state: open
        checks: failing (2: lint␛[2J, test)
        review: changes requested
        merge: conflicting
        branch: ao/web-1 (into main)
        commit: 0123456789abcdef
        trouble: the forge cannot be asked
        looked at: 2026-06-24T12:04:00.000Z
        changed: 2026-06-24T12:00:00.000Z
        found: 2026-06-24T11:00:00.000Z
        episode: checks failed at fedcba9; since 2026-06-24T12:00:00.000Z, until 2026-06-24T12:01:00.000Z (another commit was pushed); told by message 4 (not delivered)
        episode: checks failed at 0123456: test; since 2026-06-24T12:03:00.000Z, still so; told by message 5 (typed), message 6 (waits)
        logs with: ao pr checks 3 --logs"#]].assert_eq(&text.join("\n"));
}

#[test]
fn checks_that_failed_stand_first_and_their_logs_behind_bars() {
    let text = |logs| {
        let (mut out, results, _) = kept(false, false, None);
        print_checks(&failing(), logs, now(), &mut out).unwrap();
        results.text()
    };
    expect_test::expect![[r#"
        acme/web#7 Tidy up: checks failing (2: lint␛[2J, test) at 0123456
          [failed]       lint␛[2J                                             https://forge.example/lint␛[2J
          [failed]       test      required  3m         in step "cargo test"  https://forge.example/test
          [failed]       window                                               https://forge.example/window
          [in_progress]  docs                5m so far                        https://forge.example/docs
          [passed]       build               2m                               https://forge.example/build
        at the last look: the forge cannot be asked
        what their logs say: ao pr checks 3 --logs
    "#]]
    .assert_eq(&text(false));
    expect_test::expect![[r#"
        acme/web#7 Tidy up: checks failing (2: lint␛[2J, test) at 0123456
          [failed]       lint␛[2J                                             https://forge.example/lint␛[2J
          [failed]       test      required  3m         in step "cargo test"  https://forge.example/test
          [failed]       window                                               https://forge.example/window
          [in_progress]  docs                5m so far                        https://forge.example/docs
          [passed]       build               2m                               https://forge.example/build
        at the last look: the forge cannot be asked

        lint␛[2J: its log cannot be had: the token may not see it

        test in step "cargo test":
          | ok
          | ␛]0;owned␇panicked

        window: its log has not been read yet
    "#]]
    .assert_eq(&text(true));
}

#[test]
fn the_exit_status_says_how_the_checks_stand() {
    let said = |change: Value| {
        let mut got = failing();
        got.pr = pr(3, 7, &change);
        verdict(&got).map_or_else(|error| format!("{} {error}", error.exit()), |()| "0".to_owned())
    };
    let all = [
        said(json!({"ci": "passing"})),
        said(json!({"ci": "failing"})),
        said(json!({"ci": "pending"})),
        said(json!({"ci": "unknown"})),
        said(json!({"ci": "unknown", "detailedAt": null})),
        said(json!({"ci": "passing", "outdated": "a look is still to come"})),
        said(json!({"ci": "failing", "outdated": "at the last look: it is not there"})),
        said(json!({"ci": "unknown", "trouble": "its checks could not be read"})),
    ];
    expect_test::expect![[r#"
        0
        1 3 of the 5 checks of #7 failed
        8 1 of the 5 checks of #7 are not done
        1 no check of #7 has passed or failed
        8 nobody has looked at the checks of #7 yet
        8 how the checks of #7 stand now is not known: a look is still to come
        8 how the checks of #7 stand now is not known: at the last look: it is not there
        1 how the checks of #7 stand is not known: its checks could not be read"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn a_session_shows_each_in_a_line() {
    expect_test::expect!["#7 open, checks failing (2: lint␛[2J, test) https://forge.example/acme/web/pull/7 (at the last look: the forge cannot be asked)"].assert_eq(&line(&failing().pr.short));
}
