use proptest::prelude::*;

use super::*;
use crate::testing::any_json;

fn said() -> Value {
    json!({
        "state": "OPEN", "isDraft": false, "title": "A title", "headRefOid": "aaa", "baseRefName": "main", "baseRefOid": "bbb",
        "reviewDecision": null, "mergeable": "MERGEABLE", "mergeStateStatus": "CLEAN", "isInMergeQueue": false,
        "number": 7, "url": "https://github.com/acme/web/pull/7", "author": {"login": "me"}, "headRefName": "ao/web-1",
        "headRepository": {"nameWithOwner": "Acme/Web"},
        "statusCheckRollup": {"state": "FAILURE", "contexts": {
            "totalCount": 3,
            "checkRunCountsByState": [{"state": "SUCCESS", "count": 2}, {"state": "FAILURE", "count": 1}, {"state": "QUEUED", "count": 0}],
            "statusContextCountsByState": [],
            "nodes": [{"__typename": "StatusContext", "context": "lint", "state": "SUCCESS"}, null],
            "pageInfo": {"hasNextPage": true, "endCursor": "next"},
        }},
    })
}

fn at() -> PrRef {
    PrRef {
        repo: RemoteRepo::new("github.com", "acme/web"),
        number: 7,
    }
}

#[test]
fn a_whole_look_says_everything() {
    let seen = detail(&at(), said(), None).unwrap();
    assert_eq!(
        seen.facts,
        PrFacts {
            at: at(),
            url: "https://github.com/acme/web/pull/7".to_owned(),
            title: "A title".to_owned(),
            author: "me".to_owned(),
            state: PrState::Open,
            head_branch: "ao/web-1".to_owned(),
            head: "aaa".to_owned(),
            head_repo: Some(RemoteRepo::new("github.com", "acme/web")),
            base_branch: "main".to_owned(),
            base: "bbb".to_owned(),
            review: Review::None,
            mergeability: Mergeability::Blocked,
            queued_to_merge: false,
        }
    );
    assert_eq!(
        (seen.checks.unwrap().len(), seen.next.as_deref(), seen.trouble),
        (1, Some("next"), None)
    );
}

#[test]
fn checks_that_could_not_all_be_read_are_not_known() {
    let unread = |is_of_checks| {
        Some(Unread {
            is_of_checks,
            why: "why".to_owned(),
        })
    };
    let seen = detail(&at(), said(), unread(true)).unwrap();
    assert_eq!(
        (seen.checks, seen.next, seen.trouble.as_deref()),
        (None, None, Some("why"))
    );
    assert_eq!(
        (seen.facts.state, seen.facts.head.as_str()),
        (PrState::Open, "aaa")
    );
    let seen = detail(&at(), said(), unread(false)).unwrap();
    assert_eq!(
        (
            seen.checks.unwrap().len(),
            seen.next.is_some(),
            seen.trouble.is_some()
        ),
        (1, true, true)
    );
}

#[test]
fn what_may_be_gone_is_nobodys() {
    let mut gone = said();
    for name in ["author", "headRepository", "statusCheckRollup", "reviewDecision"] {
        gone[name] = Value::Null;
    }
    let seen = detail(&at(), gone, None).unwrap();
    assert_eq!(
        (seen.facts.author.as_str(), seen.facts.head_repo),
        ("ghost", None)
    );
    assert_eq!((seen.checks, seen.next), (Some(vec![]), None));
    for needed in ["state", "headRefOid", "headRefName", "url"] {
        let mut less = said();
        less.as_object_mut().unwrap().remove(needed);
        assert!(
            matches!(detail(&at(), less, None), Err(Refusal::NotUnderstood(why)) if why.contains(needed))
        );
    }
    let mut odd = said();
    odd["state"] = json!("ARCHIVED");
    assert!(matches!(light(odd), Err(Refusal::NotUnderstood(_))));
}

#[test]
fn both_looks_have_one_fingerprint_that_mergeability_does_not_change() {
    let first = light(said()).unwrap().fingerprint;
    assert_eq!(detail(&at(), said(), None).unwrap().fingerprint, first);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut other = said();
        change(&mut other);
        light(other).unwrap()
    };
    let same = with(&|other| {
        other["mergeable"] = json!("CONFLICTING");
        other["mergeStateStatus"] = json!("DIRTY");
        other["updatedAt"] = json!("2026-06-24T12:00:00Z");
        other["statusCheckRollup"]["contexts"]["checkRunCountsByState"] =
            json!([{"state": "FAILURE", "count": 1}, {"state": "SUCCESS", "count": 2}]);
    });
    assert_eq!(
        (same.fingerprint, same.mergeability),
        (first.clone(), Mergeability::Conflicting)
    );
    let changes: [&dyn Fn(&mut Value); 9] = [
        &|other| other["state"] = json!("MERGED"),
        &|other| other["isDraft"] = json!(true),
        &|other| other["title"] = json!("Another"),
        &|other| other["headRefOid"] = json!("ccc"),
        &|other| other["baseRefOid"] = json!("ccc"),
        &|other| other["reviewDecision"] = json!("APPROVED"),
        &|other| other["isInMergeQueue"] = json!(true),
        &|other| other["statusCheckRollup"]["state"] = json!("SUCCESS"),
        &|other| other["statusCheckRollup"]["contexts"]["checkRunCountsByState"][0]["count"] = json!(3),
    ];
    for change in changes {
        assert_ne!(with(change).fingerprint, first);
    }
}

#[test]
fn mergeability_follows_from_what_stands_against_it() {
    use Mergeability::{Blocked, Conflicting, Mergeable, Unknown, Unstable};
    for (state, mergeable, status, checks, review, wanted) in [
        (
            PrState::Open,
            "MERGEABLE",
            "CLEAN",
            "SUCCESS",
            Review::Approved,
            Mergeable,
        ),
        (
            PrState::Open,
            "MERGEABLE",
            "HAS_HOOKS",
            "",
            Review::None,
            Mergeable,
        ),
        (PrState::Open, "MERGEABLE", "", "", Review::None, Mergeable),
        (
            PrState::Open,
            "CONFLICTING",
            "DIRTY",
            "FAILURE",
            Review::Required,
            Conflicting,
        ),
        (PrState::Open, "UNKNOWN", "DIRTY", "", Review::None, Conflicting),
        (
            PrState::Draft,
            "CONFLICTING",
            "DRAFT",
            "",
            Review::None,
            Conflicting,
        ),
        (
            PrState::Open,
            "MERGEABLE",
            "BLOCKED",
            "SUCCESS",
            Review::None,
            Blocked,
        ),
        (
            PrState::Draft,
            "MERGEABLE",
            "CLEAN",
            "SUCCESS",
            Review::None,
            Blocked,
        ),
        (
            PrState::Open,
            "MERGEABLE",
            "UNSTABLE",
            "FAILURE",
            Review::None,
            Blocked,
        ),
        (
            PrState::Open,
            "MERGEABLE",
            "CLEAN",
            "",
            Review::ChangesRequested,
            Blocked,
        ),
        (PrState::Open, "MERGEABLE", "CLEAN", "", Review::Required, Blocked),
        (
            PrState::Open,
            "MERGEABLE",
            "UNSTABLE",
            "PENDING",
            Review::None,
            Unstable,
        ),
        (PrState::Open, "MERGEABLE", "BEHIND", "", Review::None, Unknown),
        (
            PrState::Open,
            "UNKNOWN",
            "UNKNOWN",
            "FAILURE",
            Review::Required,
            Unknown,
        ),
        (PrState::Open, "", "", "", Review::None, Unknown),
        (PrState::Merged, "MERGEABLE", "CLEAN", "", Review::None, Unknown),
    ] {
        let standing = Standing {
            state,
            mergeable,
            status,
            checks,
            review,
        };
        assert_eq!(
            mergeability(&standing),
            wanted,
            "{state:?} {mergeable} {status} {checks} {review:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_answer_is_too_odd(odd in any_json("state|nodes|contexts|x"), field in 0..12_usize) {
        let mut other = said();
        let name = other.as_object().unwrap().keys().nth(field).unwrap().clone();
        other[&name] = odd.clone();
        let _ = light(other.clone());
        let _ = detail(&at(), other, None);
        let _ = detail(&at(), odd, None);
    }
}
