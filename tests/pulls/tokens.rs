//! A token that is missing or refused: what is said of it, and when it is looked for and tried again.

use std::time::Duration;

use ao_domain::Ci;
use ao_facts::TokenState;

use crate::sim::{Sim, TICK, TOKEN};
use crate::trouble::{HOST, fails, row, with};

const MINUTE: i64 = 60_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// How the host takes the token, as its row has it.
async fn token(sim: &Sim) -> (TokenState, Option<String>) {
    let known = sim.reader().gateway(HOST).await.unwrap().unwrap();
    (known.token, known.trouble)
}

/// When something was asked since the last time: what is asked within seconds of each other is one try.
fn tries(sim: &Sim) -> Vec<i64> {
    let asked = sim.github.take_requests().into_iter();
    let mut at: Vec<i64> = asked.map(|request| request.at_ms).collect();
    at.dedup_by(|later, earlier| *later - *earlier < 5_000);
    at
}

#[tokio::test]
async fn a_refused_token_is_said_and_looked_up_again() {
    let (mut sim, pulls) = with(3).await;
    sim.github.revoke(TOKEN);
    fails(&sim, pulls[0]).await;
    sim.pass(TICK * 2).await;
    let known = sim.reader().gateway(HOST).await.unwrap().unwrap();
    assert_eq!(known.token, TokenState::Refused);
    assert_eq!(row(&sim, pulls[0]).await.failures, 0);
    sim.github.token(TOKEN, "octocat");
    sim.pass(TICK * 4).await;
    assert_eq!(row(&sim, pulls[0]).await.ci, Ci::Failing);
    let known = sim.reader().gateway(HOST).await.unwrap().unwrap();
    assert_eq!((known.token, known.trouble), (TokenState::Accepted, None));
    sim.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_tried_less_and_less_and_another_one_at_once() {
    let mut sim = Sim::new(1).await;
    sim.asks_gh();
    sim.logged_in(TOKEN);
    let pull = sim.pull(0).await.1;
    sim.start().await;
    sim.pass(TICK * 2).await;
    assert_eq!(token(&sim).await, (TokenState::Accepted, None));
    sim.github.revoke(TOKEN);
    fails(&sim, pull).await;
    sim.github.take_requests();
    sim.pass(HOUR * 2 + TICK * 10).await;
    let tried = tries(&sim);
    let pauses: Vec<i64> = tried
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / MINUTE)
        .collect();
    assert_eq!(pauses[..4], [1, 2, 4, 8], "minutes between two tries");
    assert!(
        pauses.len() >= 10 && pauses[4..].iter().all(|pause| (14..=16).contains(pause)),
        "{pauses:?}"
    );
    assert_eq!(token(&sim).await.0, TokenState::Refused);
    let since = (sim.clock.millis() - tried[tried.len() - 1]) / MINUTE;
    assert!((2..10).contains(&since), "it is not tried again soon");
    // It is looked for each minute all the same: another one need not wait.
    sim.github.token("t1", "octocat");
    sim.logged_in("t1");
    sim.pass(TICK * 3).await;
    assert_eq!(row(&sim, pull).await.ci, Ci::Failing);
    assert_eq!(token(&sim).await, (TokenState::Accepted, None));
    // What was refused before the other one was taken is no reason to wait long the next time.
    sim.github.revoke("t1");
    sim.pass(TICK * 2).await;
    sim.github.take_requests();
    sim.github.token("t1", "octocat");
    sim.pass(TICK * 3).await;
    assert_eq!(token(&sim).await, (TokenState::Accepted, None));
    sim.stop().await;
}

#[tokio::test]
async fn a_missing_token_is_looked_for_less_and_less_and_taken_once_it_is_there() {
    let mut sim = Sim::new(1).await;
    sim.asks_gh();
    let pull = sim.pull(0).await.1;
    sim.start().await;
    sim.pass(HOUR).await;
    let (state, trouble) = token(&sim).await;
    assert_eq!(state, TokenState::Missing);
    assert_eq!(
        trouble.as_deref(),
        Some("no token for github.com: set GITHUB_TOKEN or run `gh auth login`")
    );
    assert!(
        (10..=16).contains(&sim.lookups()),
        "looked for {} times in an hour",
        sim.lookups()
    );
    assert!(tries(&sim).is_empty(), "nothing is asked without a token");
    sim.logged_in(TOKEN);
    sim.pass(TICK * 12).await;
    assert_eq!(token(&sim).await, (TokenState::Accepted, None));
    assert_eq!(row(&sim, pull).await.facts.at.number, pull);
    sim.stop().await;
}
