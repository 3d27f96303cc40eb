use super::*;
use crate::testing::{answer, impatient, saying, wire};

#[tokio::test]
async fn a_question_says_who_asks_and_once_each() {
    let (at, asked) = saying(vec![answer(200, "", "{}"), answer(200, "", "{}")]);
    let wire = wire(&format!("{at}/api/v3")).await;
    wire.get("/repos/a/b/pulls?page=1", Some("W/\"x\""))
        .await
        .unwrap();
    wire.post(&serde_json::json!({"query": "{x}"})).await.unwrap();
    let asked = asked.join().unwrap();
    let heads: Vec<&str> = asked[0].lines().collect();
    assert_eq!(heads[0], "GET /api/v3/repos/a/b/pulls?page=1 HTTP/1.1");
    for wanted in [
        concat!("user-agent: ao/", env!("CARGO_PKG_VERSION")),
        "accept: application/vnd.github+json",
        "authorization: Bearer t0ken",
        "x-github-api-version: 2022-11-28",
        "if-none-match: W/\"x\"",
    ] {
        let name = &wanted[..wanted.find(':').unwrap()];
        let said: Vec<&&str> = heads.iter().filter(|head| head.starts_with(name)).collect();
        assert_eq!(said, [&wanted]);
    }
    assert!(asked[1].starts_with("POST /api/graphql HTTP/1.1"), "{}", asked[1]);
    assert!(asked[1].ends_with("{\"query\":\"{x}\"}"), "{}", asked[1]);
}

#[tokio::test]
async fn a_renamed_repository_is_found_and_no_other_host_is_told_the_token() {
    let (at, asked) = saying(vec![
        answer(301, "location: $HERE/repositories/7/pulls?page=1\r\n", "{}"),
        answer(307, "location: /repositories/8\r\n", "{}"),
        answer(200, "", "[]"),
    ]);
    let answered = wire(&at).await.get("/repos/a/b/pulls", None).await.unwrap();
    assert_eq!(
        (answered.status, answered.body.as_slice()),
        (200, b"[]".as_slice())
    );
    let asked = asked.join().unwrap();
    assert!(
        asked[1].starts_with("GET /repositories/7/pulls?page=1 "),
        "{}",
        asked[1]
    );
    assert!(asked[2].starts_with("GET /repositories/8 "), "{}", asked[2]);

    let (elsewhere, _) = saying(vec![]);
    let location = format!("location: {elsewhere}/x\r\n");
    let (at, _) = saying(vec![answer(301, &location, "{}")]);
    let answered = wire(&at).await.get("/repos/a/b/pulls", None).await.unwrap();
    assert_eq!(answered.status, 301);

    let (at, asked) = saying(
        (0..=REDIRECTS)
            .map(|_| answer(308, "location: /again\r\n", ""))
            .collect(),
    );
    assert!(matches!(
        wire(&at).await.get("/x", None).await,
        Err(Refusal::NotUnderstood(_))
    ));
    assert_eq!(asked.join().unwrap().len(), REDIRECTS + 1);
}

#[tokio::test]
async fn a_log_is_read_without_the_token_from_where_it_lies() {
    let (store, stored) = saying(vec![
        answer(302, "location: $HERE/blob?sig=x\r\n", ""),
        answer(200, "", "one\ntwo\n"),
        answer(404, "", "<?xml?>"),
    ]);
    let wire = wire(&store).await;
    let mut log = Vec::new();
    let read = wire
        .download(&format!("{store}/first"), |piece| log.extend_from_slice(piece))
        .await;
    read.unwrap();
    assert_eq!(log, b"one\ntwo\n");
    assert_eq!(wire.download(&store, |_| {}).await, Err(Refusal::Gone));
    let stored = stored.join().unwrap();
    assert!(stored[1].starts_with("GET /blob?sig=x "), "{}", stored[1]);
    for asked in stored {
        assert!(
            !asked.to_lowercase().contains("authorization") && !asked.contains("t0ken"),
            "{asked}"
        );
    }
    for elsewhere in ["http://logs.example/x", "ftp://logs.example/x", "/x", ""] {
        let said = wire.download(elsewhere, |_| {}).await;
        assert!(
            matches!(said, Err(Refusal::NotUnderstood(_))),
            "{elsewhere}: {said:?}"
        );
    }
}

#[tokio::test]
async fn who_is_silent_is_late_and_who_is_not_there_cannot_be_reached() {
    let (at, _) = saying(vec![String::new(), String::new(), String::new()]);
    let wire = impatient(&at).await;
    assert!(matches!(wire.get("/x", None).await, Err(Refusal::Late(_))));
    assert!(matches!(wire.post(&Value::Null).await, Err(Refusal::Late(_))));
    assert!(matches!(wire.download(&at, |_| {}).await, Err(Refusal::Late(_))));
    let nobody = impatient("http://127.0.0.1:1").await;
    let Err(Refusal::Unreachable(why)) = nobody.get("/x", None).await else {
        panic!("nobody is there")
    };
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_none_and_a_huge_one_is_not_read() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":".to_owned();
    let (at, _) = saying(vec![cut.clone(), cut]);
    let wire = wire(&at).await;
    assert!(matches!(wire.get("/x", None).await, Err(Refusal::Unreachable(_))));
    assert!(matches!(
        wire.download(&at, |_| {}).await,
        Err(Refusal::Unreachable(_))
    ));

    let (at, _) = saying(vec![answer(200, "", &"x".repeat(LONGEST + 1))]);
    assert!(matches!(
        crate::testing::wire(&at).await.get("/x", None).await,
        Err(Refusal::Late(_))
    ));
}
