//! What looking costs: points and requests an hour, charged by the stand-in as GitHub publishes it.

use std::collections::VecDeque;
use std::time::Duration;

use ao_domain::{ActivityState, SessionId};
use ao_tests::github::{Check, Resource, Side};

use crate::sim::{Sim, TOKEN, commit, repo};

const HOUR: Duration = Duration::from_secs(3_600);
/// Within it each pull request has changed: from then on all are as busy as they will be.
const ROUND: Duration = Duration::from_secs(360);

struct Spent {
    points: u64,
    single: u64,
    requests: usize,
    lists: usize,
    /// Pull requests that were looked at wholly.
    whole: usize,
}

async fn spent(sim: &Sim, time: Duration, each: impl AsyncFnMut(i64) -> i64) -> Spent {
    let charged = |resource| sim.github.charged(TOKEN, resource);
    let before = (charged(Resource::Graphql), charged(Resource::Core));
    sim.github.take_requests();
    sim.pass_with(time, each).await;
    let requests = sim.github.take_requests();
    let lists = requests
        .iter()
        .filter(|request| request.path().ends_with("/pulls"));
    let whole = requests.iter().filter(|request| {
        request
            .document
            .as_ref()
            .is_some_and(|text| text.contains("...whole"))
    });
    Spent {
        points: charged(Resource::Graphql) - before.0,
        single: charged(Resource::Core) - before.1,
        requests: requests
            .iter()
            .filter(|request| request.side != Side::Logs)
            .count(),
        lists: lists.filter(|request| request.status == Some(200)).count(),
        whole: whole.map(|request| request.pulls).sum(),
    }
}

/// A pull request that has its turn in the simulation.
struct Followed {
    session: SessionId,
    /// In the which repository.
    at: usize,
    number: u64,
    branch: String,
    /// Signals of its agent so far.
    signals: u64,
    head: String,
    /// What runs on its head.
    check: Option<u64>,
}

/// `count` pull requests in `repositories`, found and looked at.
async fn with(count: usize, repositories: usize) -> (Sim, Vec<Followed>) {
    let mut sim = Sim::new(repositories).await;
    let mut pulls = Vec::new();
    for number in 0..count {
        let (session, pull) = sim.pull(number % repositories).await;
        let branch = sim.reader().session(&session).await.unwrap().unwrap().branch;
        pulls.push(Followed {
            session,
            at: number % repositories,
            number: pull,
            branch,
            signals: 0,
            head: String::new(),
            check: None,
        });
    }
    sim.start().await;
    sim.pass(Duration::from_secs(60)).await;
    assert_eq!(sim.reader().followed_pulls().await.unwrap().len(), count);
    for pull in &mut pulls {
        let rows = sim.reader().pulls(Some(&pull.session)).await.unwrap();
        pull.head.clone_from(&rows[0].facts.head);
    }
    (sim, pulls)
}

/// What happens to a pull request in eighteen minutes: its agent works, pushes, and ends its turn; the forge works out whether it
/// could be merged; a check begins, and ends. Three changes that a look shows, at six minutes from each other, and what goes with them.
#[derive(Clone, Copy)]
enum Event {
    TurnBegins,
    Push,
    Settled,
    TurnEnds,
    CheckBegins,
    CheckEnds,
}

/// Each with its second of the eighteen minutes.
const EVENTS: [(i64, Event); 6] = [
    (0, Event::TurnBegins),
    (120, Event::Push),
    (125, Event::Settled),
    (140, Event::TurnEnds),
    (480, Event::CheckBegins),
    (840, Event::CheckEnds),
];

/// All that happens to `count` pull requests within `time`, each at instants of its own: second by second, and whose it is.
fn events(count: usize, time: Duration) -> Vec<(i64, usize, Event)> {
    let length = i64::try_from(time.as_secs()).unwrap();
    let spread = |number: usize| i64::try_from(number * 1_080 / count).unwrap();
    let all = (0..count).flat_map(|number| {
        let offset = spread(number);
        EVENTS.iter().flat_map(move |(second, event)| {
            let first = (offset + second).rem_euclid(1_080);
            (0..)
                .map(move |round| (first + round * 1_080, number, *event))
                .take_while(move |(second, ..)| *second < length)
        })
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(second, ..)| *second);
    all
}

async fn happens(sim: &Sim, pull: &mut Followed, event: Event, commits: &mut u64) {
    let name = repo(pull.at);
    match event {
        Event::TurnBegins | Event::TurnEnds => {
            pull.signals += 1;
            let state = if matches!(event, Event::TurnBegins) {
                ActivityState::Active
            } else {
                ActivityState::Idle
            };
            sim.activity(&pull.session, pull.signals, state).await;
        }
        Event::Push => {
            *commits += 1;
            pull.head = commit(*commits);
            let unknown = |mergeable: &mut ao_tests::github::Pull| mergeable.mergeable = "UNKNOWN".to_owned();
            sim.push(pull.at, &pull.branch, &pull.head);
            sim.github.edit(&name, pull.number, unknown);
        }
        Event::Settled => {
            let known = |mergeable: &mut ao_tests::github::Pull| mergeable.mergeable = "MERGEABLE".to_owned();
            sim.github.edit(&name, pull.number, known);
        }
        Event::CheckBegins => {
            let check = sim.github.check(&name, &pull.head, Check::job("test"));
            sim.github.begin(check);
            pull.check = Some(check);
        }
        Event::CheckEnds => {
            let begun = pull.check.take();
            let check = begun.unwrap_or_else(|| sim.github.check(&name, &pull.head, Check::job("test")));
            sim.github.finish(check, "SUCCESS");
        }
    }
}

/// An hour in which nothing happens, long after anything did; then one, or a `part` of one, in which each pull request changes ten
/// times an hour: a push, checks that begin and end, and what goes with it.
async fn costs(count: usize, repositories: usize, part: u32) -> [Spent; 2] {
    let (mut sim, mut pulls) = with(count, repositories).await;
    sim.sleep(2 * HOUR).await;
    let idle = spent(&sim, HOUR, async |_| i64::MAX).await;
    let begin = sim.clock.millis();
    let mut to_come = VecDeque::from(events(count, ROUND + HOUR / part));
    let is_change = |event: &Event| matches!(event, Event::Push | Event::CheckBegins | Event::CheckEnds);
    let measured = i64::try_from(ROUND.as_secs()).unwrap();
    let changes = to_come
        .iter()
        .filter(|(second, _, event)| *second >= measured && is_change(event))
        .count();
    assert!(
        (9..=11).contains(&(changes * usize::try_from(part).unwrap() / count)),
        "{changes} changes"
    );
    let mut commits = 1_000_000;
    let mut each = async |now: i64| {
        loop {
            let Some((second, number, event)) = to_come.front().copied() else {
                break i64::MAX;
            };
            let at = begin + second * 1_000;
            if now < at {
                break at;
            }
            to_come.pop_front();
            happens(&sim, &mut pulls[number], event, &mut commits).await;
        }
    };
    sim.pass_with(ROUND, &mut each).await;
    let busy = spent(&sim, HOUR / part, &mut each).await;
    assert!(to_come.is_empty());
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
        (idle.lists, idle.single, idle.whole),
        (0, 0, 0),
        "an unchanged list costs nothing, and what did not change is looked at from afar"
    );
}

#[tokio::test]
async fn one_pull_request_costs_little() {
    within_its_budget(1, 1, 1, [20, 200]).await;
}

#[tokio::test]
async fn ten_pull_requests_cost_little() {
    within_its_budget(10, 2, 1, [20, 400]).await;
}

#[tokio::test]
async fn a_hundred_pull_requests_stay_within_their_budget() {
    within_its_budget(100, 5, 2, [160, 750]).await;
}

#[tokio::test]
async fn five_hundred_pull_requests_stay_within_their_budget() {
    within_its_budget(500, 20, 10, [400, 3_100]).await;
}
