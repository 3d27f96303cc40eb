//! Documents are read as GitHub reads them, and refused where GitHub would.

use serde_json::{Value, json};

use crate::stage::{Stage, batch};

/// The part of the schema that is served.
const SCHEMA: &str = include_str!("../src/support/github/schema.graphql");

/// A document with every field of it.
const EVERYTHING: &str = include_str!("everything.graphql");

/// The code and the message of the first error; without one the test fails.
fn refused(stage: &Stage, document: &str, variables: &Value) -> (String, String) {
    let answer = stage.try_ask(document, variables).unwrap().json();
    assert!(answer["data"].is_null(), "{document}\n{answer:#}");
    let error = &answer["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["extensions"]["code"]), text(&error["message"]))
}

#[test]
fn a_name_that_github_does_not_have_is_refused() {
    let stage = Stage::new();
    stage.open(1);
    for (fields, code, part) in [
        (
            "headSha",
            "undefinedField",
            "Field 'headSha' doesn't exist on type 'PullRequest'",
        ),
        (
            "author { login email }",
            "undefinedField",
            "'email' doesn't exist on type 'Actor'",
        ),
        (
            "number { id }",
            "selectionMismatch",
            "Selections can't be made on scalars",
        ),
        ("author", "selectionMismatch", "Field must have selections"),
        (
            "reviews(newest: 1) { totalCount }",
            "argumentNotAccepted",
            "'newest'",
        ),
        (
            "reviews(first: \"1\") { totalCount }",
            "argumentLiteralsIncompatible",
            "'first'",
        ),
        ("reviews(first: $n) { totalCount }", "variableNotDefined", "$n"),
        (
            "...Missing",
            "useAndDefineFragment",
            "Fragment Missing was used, but not defined",
        ),
        ("... on Nothing { id }", "undefinedType", "No such type Nothing"),
        (
            "... on CheckRun { id }",
            "cannotSpreadFragment",
            "Fragment on CheckRun can't be spread inside PullRequest",
        ),
        (
            "n: number n: title",
            "fieldConflict",
            "Field 'n' has a field conflict",
        ),
        (
            "statusCheckRollup { contexts(first: 1) { nodes { name } } }",
            "undefinedField",
            "'name'",
        ),
    ] {
        let (found, message) = refused(&stage, &batch([1], fields), &json!({}));
        assert_eq!(found, code, "{fields}: {message}");
        assert!(message.contains(part), "{fields}: {message}");
    }
}

#[test]
fn a_document_that_is_none_is_refused() {
    let stage = Stage::new();
    for (document, part) in [
        ("{ viewer { login }", "Parse error"),
        (
            "{ repository(owner: \"acme\") { id } }",
            "missing required arguments: name",
        ),
        (
            "query A { viewer { login } } fragment F on User { login }",
            "Fragment F was defined, but not used",
        ),
        (
            "query A($n: Int) { viewer { login } }",
            "Variable $n is declared by query A but not used",
        ),
        (
            "query A { viewer { ...F } } fragment F on User { ...F }",
            "infinite loop",
        ),
        ("mutation { x }", "queries only"),
    ] {
        let (_, message) = refused(&stage, document, &json!({}));
        assert!(message.contains(part), "{document}: {message}");
    }
    let answer = stage
        .send(
            "POST",
            "/graphql",
            &[("Authorization", "Bearer t0")],
            b"{\"query\":",
        )
        .unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(stage.get("/graphql").status, 404);
}

#[test]
fn variables_have_their_values_and_defaults() {
    let stage = Stage::new();
    stage.open(3);
    let document = "query Q($name: String!, $number: Int = 3, $more: Boolean!) {
        repository(owner: \"acme\", name: $name) { pullRequest(number: $number) {
            number title @include(if: $more) state @skip(if: $more) } } }";
    let ask = |variables: Value| {
        let answer = stage.try_ask(document, &variables).unwrap().json();
        assert!(answer["errors"].is_null(), "{answer:#}");
        answer["data"]["repository"]["pullRequest"].clone()
    };
    let given = ask(json!({"name": "web", "number": 2, "more": true}));
    assert_eq!(given, json!({"number": 2, "title": "Work of ao/web-2"}));
    assert_eq!(
        ask(json!({"name": "web", "more": false})),
        json!({"number": 3, "state": "OPEN"})
    );
    for variables in [
        json!({"more": true}),
        json!({"name": 7, "more": true}),
        json!({"name": "web", "more": "yes"}),
    ] {
        let (_, message) = refused(&stage, document, &variables);
        assert!(message.contains("was provided invalid value"), "{message}");
    }
}

#[test]
fn fragments_and_aliases_are_put_in_their_places() {
    let stage = Stage::new();
    stage.open(2);
    let data = stage.data(
        "query { one: repository(owner: \"acme\", name: \"web\") { ...Two first: pullRequest(number: 1) { ...Brief } } }
        fragment Two on Repository { second: pullRequest(number: 2) { ...Brief ... { isDraft } ... on PullRequest { closed } } }
        fragment Brief on PullRequest { number author { __typename ...Name } author { login } }
        fragment Name on Actor { who: login ... on Bot { url } }",
    );
    let brief = json!({"__typename": "User", "who": "octocat", "login": "octocat"});
    assert_eq!(
        data,
        json!({"one": {
            "first": {"number": 1, "author": brief},
            "second": {"number": 2, "author": brief, "isDraft": false, "closed": false},
        }})
    );
}

#[test]
fn of_several_operations_the_named_one_is_answered() {
    let stage = Stage::new();
    let document = "query A { viewer { login } } query B { rateLimit { cost } }";
    for (name, key) in [("A", "viewer"), ("B", "rateLimit")] {
        let body = json!({"query": document, "operationName": name}).to_string();
        let bearer = [("Authorization", "Bearer t0")];
        let answer = stage
            .send("POST", "/api/graphql", &bearer, body.as_bytes())
            .unwrap()
            .json();
        assert!(answer["data"][key].is_object(), "{answer:#}");
        assert_eq!(
            stage.github.requests().pop().unwrap().operation.as_deref(),
            Some(name)
        );
    }
}

/// A field that is in the schema and that nobody answers would be null where it must not be.
#[test]
fn every_field_of_the_schema_is_answered() {
    let stage = Stage::new();
    crate::checks::full(&stage);
    let mut fields = 0;
    for line in SCHEMA
        .lines()
        .filter(|line| line.starts_with("  ") && line.contains(':'))
    {
        let name = line.trim().split(['(', ':']).next().unwrap();
        let mut words = EVERYTHING.split(|c: char| !c.is_alphanumeric());
        assert!(
            words.any(|word| word == name),
            "everything.graphql does not ask for `{name}`"
        );
        fields += 1;
    }
    assert!(fields > 100, "only {fields} fields: the scan is broken");
    let data = stage.data(EVERYTHING);
    let nulls = nulls(&data, "");
    // What GitHub has no value for either.
    let known = ["rawDetails", "column"];
    let odd: Vec<&String> = nulls
        .iter()
        .filter(|path| !known.iter().any(|end| path.ends_with(end)))
        .collect();
    assert!(odd.is_empty(), "null: {odd:#?}");
}

fn nulls(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Null => vec![path.to_owned()],
        Value::Object(all) => all
            .iter()
            .flat_map(|(key, value)| nulls(value, &format!("{path}/{key}")))
            .collect(),
        Value::Array(all) => {
            assert!(!all.is_empty(), "{path} has nothing in it");
            all.iter()
                .enumerate()
                .flat_map(|(at, value)| nulls(value, &format!("{path}/{at}")))
                .collect()
        }
        _ => Vec::new(),
    }
}
