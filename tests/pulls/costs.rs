//! What looking costs: points and requests an hour, charged by the stand-in as GitHub publishes it.

use std::time::Duration;

use ao_tests::github::{Check, Resource, Side};

use crate::sim::{Sim, TOKEN, commit, repo};

const HOUR: Duration = Duration::from_secs(3_600);

struct Spent {
    points: u64,
    single: u64,
    requests: usize,
    lists: usize,
}

async fn spent(sim: &Sim, time: Duration, each: impl FnMut(i64)) -> Spent {
    let charged = |resource| sim.github.charged(TOKEN, resource);
    let before = (charged(Resource::Graphql), charged(Resource::Core));
    sim.github.take_requests();
    sim.pass_with(time, each).await;
    let requests = sim.github.take_requests();
    let lists = requests
        .iter()
        .filter(|request| request.path().ends_with("/pulls"));
    Spent {
        points: charged(Resource::Graphql) - before.0,
        single: charged(Resource::Core) - before.1,
        requests: requests
            .iter()
            .filter(|request| request.side != Side::Logs)
            .count(),
        lists: lists.filter(|request| request.status == Some(200)).count(),
    }
}

/// `count` pull requests in `repositories`, found and looked at.
async fn with(count: usize, repositories: usize) -> (Sim, Vec<(usize, u64, String)>) {
    let mut sim = Sim::new(repositories).await;
    let mut pulls = Vec::new();
    for number in 0..count {
        let (id, pull) = sim.pull(number % repositories).await;
        let branch = sim.reader().session(&id).await.unwrap().unwrap().branch;
        pulls.push((number % repositories, pull, branch));
    }
    sim.start().await;
    sim.pass(Duration::from_secs(60)).await;
    assert_eq!(sim.reader().followed_pulls().await.unwrap().len(), count);
    (sim, pulls)
}

/// An hour in which nothing happens, long after anything did; then one, or a `part` of one, in which each pull request changes ten
/// times an hour: a push, checks that begin and end.
async fn costs(count: usize, repositories: usize, part: u32) -> [Spent; 2] {
    let (mut sim, pulls) = with(count, repositories).await;
    sim.sleep(2 * HOUR).await;
    let idle = spent(&sim, HOUR, |_| {}).await;
    let begin = sim.clock.millis();
    let mut done = vec![0_u64; count];
    let mut commits = 1_000_000;
    let mut checks = vec![0_u64; count];
    let busy = spent(&sim, HOUR / part, |now| {
        for (number, (at, _, branch)) in pulls.iter().enumerate() {
            // Each at instants of its own, six minutes apart.
            let offset = i64::try_from(number).unwrap() * 360_000 / i64::try_from(count).unwrap();
            while now >= begin + offset + i64::try_from(done[number]).unwrap() * 360_000 {
                match done[number] % 3 {
                    0 => {
                        commits += 1;
                        sim.github.push(&repo(*at), branch, &commit(commits));
                        checks[number] = sim.github.check(&repo(*at), &commit(commits), Check::job("test"));
                    }
                    1 => sim.github.begin(checks[number]),
                    _ => sim.github.finish(checks[number], "SUCCESS"),
                }
                done[number] += 1;
            }
        }
    })
    .await;
    let changes = u64::from(10 / part);
    assert!(
        done.iter().all(|done| (changes..=changes + 1).contains(done)),
        "{done:?}"
    );
    sim.stop().await;
    [idle, busy]
}

async fn within_its_budget(count: usize, repositories: usize, part: u32, [idle_most, busy_most]: [u64; 2]) {
    let [idle, busy] = costs(count, repositories, part).await;
    println!(
        "| pull requests | repositories | | points | requests | charged REST requests |\n|---|---|---|---|---|---|"
    );
    let minutes = 60 / part;
    for (name, spent) in [
        ("an idle hour".to_owned(), &idle),
        (format!("{minutes} busy minutes"), &busy),
    ] {
        println!(
            "| {count} | {repositories} | {name} | {} | {} | {} |",
            spent.points, spent.requests, spent.single
        );
    }
    let busy_hour = busy.points * u64::from(part);
    assert!(
        idle.points > 0 && busy_hour > idle.points,
        "nothing is looked at for nothing"
    );
    assert!(idle.points <= idle_most, "idle: {} points", idle.points);
    assert!(busy_hour <= busy_most, "busy: {busy_hour} points an hour");
    assert_eq!(
        (idle.lists, idle.single),
        (0, 0),
        "an unchanged list costs nothing"
    );
}

#[tokio::test]
async fn one_pull_request_costs_little() {
    within_its_budget(1, 1, 1, [160, 750]).await;
}

#[tokio::test]
async fn ten_pull_requests_cost_little() {
    within_its_budget(10, 2, 1, [160, 750]).await;
}

#[tokio::test]
async fn a_hundred_pull_requests_stay_within_their_budget() {
    within_its_budget(100, 5, 1, [160, 750]).await;
}

#[tokio::test]
async fn five_hundred_pull_requests_stay_within_their_budget() {
    within_its_budget(500, 20, 5, [400, 3_100]).await;
}
