//! Pages, and asking only for news.

use ao_tests::github::{Check, Resource};
use serde_json::{Value, json};

use crate::stage::{Stage, sha};

fn numbers(list: &Value) -> Vec<u64> {
    let entries = list.as_array().unwrap().iter();
    entries.map(|entry| entry["number"].as_u64().unwrap()).collect()
}

#[test]
fn the_list_has_the_newest_change_first_and_links_to_its_other_pages() {
    let stage = Stage::new();
    stage.open(5);
    stage.pass(1_000);
    stage
        .github
        .edit("acme/web", 2, |pull| pull.title = "news".to_owned());
    stage.pass(1_000);
    stage.github.merge("acme/web", 4);
    let path = "/repos/acme/web/pulls?state=all&sort=updated&direction=desc&per_page=2";
    let (mut next, mut seen, mut links) = (Some(path.to_owned()), Vec::new(), Vec::new());
    while let Some(path) = next {
        let answer = stage.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        seen.extend(numbers(&answer.json()));
        let link = answer.header("link").unwrap_or_default().to_owned();
        next = link
            .split(", ")
            .find(|one| one.ends_with("rel=\"next\""))
            .and_then(|one| one.strip_prefix('<')?.split('>').next())
            .map(|url| url.strip_prefix(&stage.github.url()).unwrap().to_owned());
        links.push(link.matches("rel=").count());
    }
    assert_eq!(seen, [4, 2, 5, 3, 1]);
    assert_eq!(links, [2, 4, 2], "next and last; all four; prev and first");
    assert!(
        stage
            .get(&format!("{path}&page=9"))
            .json()
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        stage
            .get("/repos/acme/web/pulls?state=all&per_page=100")
            .header("link"),
        None
    );
    // Under the prefix of an enterprise server the links have it too.
    let answer = stage.get(&format!("/api/v3{path}"));
    assert!(
        answer
            .header("link")
            .unwrap()
            .starts_with(&format!("<{}/api/v3/repositories/", stage.github.url()))
    );
}

#[test]
fn the_list_can_be_narrowed() {
    let stage = Stage::new();
    stage.open(4);
    stage.github.close("acme/web", 1);
    stage.github.merge("acme/web", 2);
    let list = |query: &str| numbers(&stage.get(&format!("/repos/acme/web/pulls?{query}")).json());
    assert_eq!(list(""), [4, 3], "open ones, newest first");
    assert_eq!(list("state=closed"), [2, 1]);
    assert_eq!(list("state=all&sort=updated"), [1, 2, 3, 4]);
    assert_eq!(list("state=all&head=acme:ao%2Fweb-2"), [2]);
    assert_eq!(list("head=other:ao/web-3"), [0_u64; 0]);
    assert_eq!(list("base=main&per_page=1"), [4]);
    assert_eq!(stage.get("/repos/acme/web/pulls?state=merged").status, 422);
}

#[test]
fn what_did_not_change_is_304_and_free() {
    let stage = Stage::new();
    stage.open(2);
    let path = "/repos/acme/web/pulls?state=all&sort=updated&direction=desc&per_page=1&page=1";
    let first = stage.get(path);
    let etag = first.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let same = stage.get_if_not(path, &etag);
    assert_eq!(
        (same.status, same.body.len(), same.header("etag")),
        (304, 0, Some(etag.as_str()))
    );
    assert_eq!(same.header("x-ratelimit-used"), Some("1"));
    // As strong, among others.
    let strong = format!("\"other\", {}", etag.strip_prefix("W/").unwrap());
    assert_eq!(stage.get_if_not(path, &strong).status, 304);
    assert_eq!(stage.github.charged("t0", Resource::Core), 1);
    // Another page and another token have others.
    assert_eq!(
        stage
            .get_if_not(&path.replace("&page=1", "&page=2"), &etag)
            .status,
        200
    );
    stage.github.token("t1", "hubot");
    assert_eq!(stage.get_as("t1", path, &[("If-None-Match", &etag)]).status, 200);
    // A change of what is not on the page alters nothing; a change of what is does.
    stage
        .github
        .edit("acme/web", 2, |pull| pull.mergeable = "CONFLICTING".to_owned());
    assert_eq!(stage.get_if_not(path, &etag).status, 304);
    stage.pass(1_000);
    stage.github.push("acme/web", "ao/web-1", &sha('b'));
    let news = stage.get_if_not(path, &etag);
    assert_eq!((news.status, numbers(&news.json())), (200, vec![1]));
    assert_ne!(news.header("etag"), Some(etag.as_str()));
}

#[test]
fn contexts_are_read_page_by_page_from_either_end() {
    let stage = Stage::new();
    stage.open(1);
    let head = format!("{:040}", 1);
    for number in 0..5 {
        stage
            .github
            .check("acme/web", &head, Check::job(&format!("c{number}")));
    }
    let page = |arguments: &str| {
        let fields = "totalCount nodes { ... on CheckRun { name } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";
        let rollup = stage.pull(&format!(
            "statusCheckRollup {{ contexts({arguments}) {{ {fields} }} }}"
        ));
        let contexts = &rollup["statusCheckRollup"]["contexts"];
        assert_eq!(contexts["totalCount"], 5);
        let names = contexts["nodes"].as_array().unwrap().iter();
        let names: Vec<String> = names
            .map(|node| node["name"].as_str().unwrap().to_owned())
            .collect();
        (names.join(" "), contexts["pageInfo"].clone())
    };
    let (first, info) = page("first: 2");
    assert_eq!(
        (first.as_str(), &info["hasNextPage"], &info["hasPreviousPage"]),
        ("c0 c1", &json!(true), &json!(false))
    );
    let (second, info) = page(&format!("first: 2, after: {}", info["endCursor"]));
    assert_eq!(
        (second.as_str(), &info["hasNextPage"], &info["hasPreviousPage"]),
        ("c2 c3", &json!(true), &json!(true))
    );
    let (third, info) = page(&format!("first: 2, after: {}", info["endCursor"]));
    assert_eq!((third.as_str(), &info["hasNextPage"]), ("c4", &json!(false)));
    assert_eq!(page(&format!("first: 2, after: {}", info["endCursor"])).0, "");
    let (last, info) = page("last: 2");
    assert_eq!((last.as_str(), &info["hasPreviousPage"]), ("c3 c4", &json!(true)));
    assert_eq!(
        page(&format!("last: 9, before: {}", info["startCursor"])).0,
        "c0 c1 c2"
    );
    let answer = stage.ask(
        "{ repository(owner: \"acme\", name: \"web\") { pullRequest(number: 1) { statusCheckRollup {
            contexts(first: 1, after: \"made up\") { totalCount } } } } }",
    );
    assert_eq!(answer["errors"][0]["type"], "INVALID_CURSOR_ARGUMENTS");
}
