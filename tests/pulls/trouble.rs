//! What goes wrong with one pull request, with a token or with the forge is the trouble of nobody else.

use std::time::Duration;

use ao_domain::{Ci, Phase, PrState};
use ao_tests::github::{Check, Fault, Home, Pull, Refusal, Resource, Side, Where};

use crate::sim::{Sim, TICK, TOKEN, commit, repo};

pub(crate) const HOST: &str = "github.com";

pub(crate) async fn with(count: usize) -> (Sim, Vec<u64>) {
    let mut sim = Sim::new(1).await;
    let mut pulls = Vec::new();
    for _ in 0..count {
        pulls.push(sim.pull(0).await.1);
    }
    sim.start().await;
    sim.pass(TICK * 2).await;
    (sim, pulls)
}

/// The pull request with this number on the forge, as its row has it.
pub(crate) async fn row(sim: &Sim, number: u64) -> ao_domain::PullRequest {
    let all = sim.reader().pulls(None).await.unwrap();
    all.into_iter()
        .find(|pr| pr.facts.at.number == number)
        .expect("it is tracked")
}

/// A job of its present head fails.
pub(crate) async fn fails(sim: &Sim, number: u64) {
    let head = row(sim, number).await.facts.head;
    let job = sim.github.check(&repo(0), &head, Check::job("test"));
    sim.github.finish(job, "FAILURE");
}

#[tokio::test]
async fn one_that_is_malformed_huge_or_gone_delays_no_other() {
    let (mut sim, pulls) = with(12).await;
    let [malformed, huge, gone, ref others @ ..] = pulls[..] else {
        panic!("{pulls:?}");
    };
    sim.github.edit(&repo(0), malformed, |pull| pull.malformed = true);
    let head = row(&sim, huge).await.facts.head;
    for number in 0..1_500 {
        sim.github.check(
            &repo(0),
            &head,
            Check::job(&format!("{number} {}", "x".repeat(200))),
        );
    }
    sim.github.refuse_pr(&repo(0), gone, Some(Refusal::NotFound));
    for number in others {
        fails(&sim, *number).await;
    }
    sim.pass(TICK * 2).await;
    for number in others {
        assert_eq!(row(&sim, *number).await.ci, Ci::Failing, "#{number} is delayed");
    }
    assert!(row(&sim, malformed).await.trouble.is_some());
    assert!(
        row(&sim, gone)
            .await
            .trouble
            .as_deref()
            .is_some_and(|why| why.contains("not there"))
    );
    let huge = row(&sim, huge).await;
    assert_eq!(
        (huge.ci, sim.reader().checks(huge.id).await.unwrap().len()),
        (Ci::Pending, 1_500),
        "all pages"
    );
    // What was known of the one that is gone stays, and it is asked for less and less.
    assert_eq!(row(&sim, gone).await.facts.state, PrState::Open);
    sim.pass(Duration::from_secs(3_600)).await;
    let known = row(&sim, gone).await;
    let failures = known.failures;
    assert!((5..=15).contains(&failures), "asked {failures} times in an hour");
    let what_to_do = format!("end its session: `ao kill {}`", known.session);
    assert!(
        known
            .trouble
            .as_ref()
            .is_some_and(|why| why.contains(&what_to_do)),
        "{known:?}"
    );
    // Once its session is over, too, nobody waits for it.
    sim.put(&known.session, Phase::Finished).await;
    sim.pass(Duration::from_secs(1_200)).await;
    let known = row(&sim, gone).await;
    assert_eq!(
        (known.followed, known.trouble.as_deref()),
        (false, Some("it is not there, or the token may not see it"))
    );
    assert_eq!(row(&sim, others[0]).await.failures, 0);
    sim.stop().await;
}

#[tokio::test]
async fn a_stranger_s_fork_and_a_stranger_s_commit_are_nobody_s() {
    let mut sim = Sim::new(1).await;
    let id = sim.session(0).await;
    let branch = sim.reader().session(&id).await.unwrap().unwrap().branch;
    let fork = Pull {
        home: Home::Fork("stranger/web0".to_owned()),
        ..Pull::of(&branch, &commit(1))
    };
    sim.github.open_pr(&repo(0), fork);
    sim.github.open_pr(&repo(0), Pull::of(&branch, &"e".repeat(40)));
    let other = format!("{branch}0");
    sim.github.open_pr(&repo(0), Pull::of(&other, &commit(2)));
    sim.start().await;
    sim.pass(TICK * 4).await;
    assert!(sim.reader().pulls(None).await.unwrap().is_empty());
    let own = sim
        .github
        .open_pr(&repo(0), Pull::of(&format!("{branch}/part"), &commit(3)));
    sim.pass(TICK * 2).await;
    let found = sim.reader().pulls(Some(&id)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].facts.at.number, own);
    sim.stop().await;
}

#[tokio::test]
async fn when_another_takes_most_of_the_budget_only_hot_ones_are_looked_at_and_nothing_is_lost() {
    let (mut sim, pulls) = with(20).await;
    // Some wait for people for two hours; one was pushed to just now.
    sim.pass(Duration::from_secs(2 * 3_600)).await;
    let (hot, cold) = (pulls[0], pulls[1]);
    let branch = row(&sim, hot).await.facts.head_branch;
    sim.github.push(&repo(0), &branch, &commit(77));
    sim.pass(TICK * 11).await;
    sim.github.spend(TOKEN, Resource::Graphql, 4_500);
    fails(&sim, hot).await;
    fails(&sim, cold).await;
    sim.pass(TICK * 4).await;
    assert_eq!(row(&sim, hot).await.ci, Ci::Failing, "what is hot is looked at");
    sim.github.take_requests();
    sim.pass(TICK * 12).await;
    let asked: usize = sim
        .github
        .take_requests()
        .iter()
        .map(|request| request.pulls)
        .sum();
    assert!(
        (1..=40).contains(&asked),
        "{asked} looks in six minutes: only the hot one is looked at"
    );
    let gateway = sim.reader().gateway(HOST).await.unwrap().unwrap();
    assert!(
        gateway.batch.others() >= 4_500,
        "what others spent is known: {:?}",
        gateway.batch
    );
    // The next window: what was put off is seen.
    sim.pass(Duration::from_secs(3_600)).await;
    assert_eq!(row(&sim, cold).await.ci, Ci::Failing, "nothing is lost");
    sim.stop().await;
}

#[tokio::test]
async fn a_limit_is_waited_for_once_for_all() {
    let (mut sim, pulls) = with(10).await;
    sim.github.fault(
        Where::Graphql,
        Fault::Secondary {
            status: 403,
            retry_after: Some(120),
        },
        1,
    );
    fails(&sim, pulls[3]).await;
    sim.github.take_requests();
    sim.pass(TICK * 3).await;
    let asked = sim.github.take_requests();
    assert_eq!(
        asked.len(),
        1,
        "after a limit nothing is asked, by nobody: {asked:#?}"
    );
    let known = sim.reader().gateway(HOST).await.unwrap().unwrap();
    assert!(known.cool_until.is_some() && known.trouble.is_some(), "{known:?}");
    assert!(
        pulls.len() == 10 && row(&sim, pulls[3]).await.failures == 0,
        "that is no trouble of a pull request"
    );
    sim.pass(TICK * 4).await;
    assert_eq!(row(&sim, pulls[3]).await.ci, Ci::Failing);
    let known = sim.reader().gateway(HOST).await.unwrap().unwrap();
    assert_eq!((known.cool_until, known.trouble), (None, None));
    sim.stop().await;
}

#[tokio::test]
async fn a_used_up_budget_is_waited_for_until_its_window_ends() {
    let (mut sim, pulls) = with(3).await;
    sim.github.limit(TOKEN, Resource::Graphql, 1);
    sim.pass(TICK * 2).await;
    fails(&sim, pulls[0]).await;
    sim.github.take_requests();
    sim.pass(Duration::from_secs(1_800)).await;
    let asked = sim.github.take_requests();
    let looks = asked.iter().filter(|request| request.document.is_some()).count();
    assert!(looks <= 1, "{looks} looks with nothing left");
    sim.github.limit(TOKEN, Resource::Graphql, 5_000);
    sim.pass(Duration::from_secs(3_600)).await;
    assert_eq!(row(&sim, pulls[0]).await.ci, Ci::Failing);
    sim.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_by_a_day_delays_no_look() {
    let (mut sim, pulls) = with(3).await;
    sim.set_back(Duration::from_secs(24 * 3_600)).await;
    fails(&sim, pulls[1]).await;
    sim.pass(TICK * 3).await;
    assert_eq!(row(&sim, pulls[1]).await.ci, Ci::Failing);
    // And it is looked at as seldom as ever.
    sim.github.take_requests();
    sim.pass(TICK * 10).await;
    let looks: usize = sim
        .github
        .take_requests()
        .iter()
        .map(|request| request.pulls)
        .sum();
    assert!((3..=60).contains(&looks), "{looks} looks at three in ten ticks");
    sim.stop().await;
}

#[tokio::test]
async fn what_takes_too_long_is_asked_in_smaller_parts() {
    let (mut sim, pulls) = with(40).await;
    sim.github.gives_up_above(Some(12), 502);
    for number in &pulls {
        fails(&sim, *number).await;
    }
    sim.pass(TICK * 2).await; // within the same looks, not after some that failed
    for number in &pulls {
        assert_eq!(row(&sim, *number).await.ci, Ci::Failing, "#{number}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_host_that_is_late_with_everything_is_left_alone_and_its_pull_requests_are_not_blamed() {
    let (mut sim, pulls) = with(40).await;
    sim.github.gives_up_above(Some(0), 502);
    sim.github.take_requests();
    sim.pass(TICK * 30).await;
    let asked = sim.github.take_requests().len();
    assert!(
        asked <= 500,
        "{asked} requests in an outage of a quarter of an hour"
    );
    let known = sim.reader().gateway(HOST).await.unwrap().unwrap();
    assert!(known.trouble.is_some(), "{known:?}");
    let rows = sim.reader().pulls(None).await.unwrap();
    let blamed = rows.iter().filter(|pr| pr.failures > 0).count();
    assert!(blamed <= 8, "{blamed} were blamed for their host");
    sim.github.gives_up_above(None, 502);
    for number in &pulls {
        fails(&sim, *number).await;
    }
    sim.pass(TICK * 8).await;
    for number in &pulls {
        assert_eq!(row(&sim, *number).await.ci, Ci::Failing, "#{number}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn faults_of_the_forge_lose_nothing() {
    let mut sim = Sim::new(1).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(sim.pull(0).await);
    }
    let pulls: Vec<u64> = sessions.iter().map(|(_, number)| *number).collect();
    sim.start().await;
    sim.pass(TICK * 2).await;
    sim.github.take_requests();
    for fault in [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Cut,
        Fault::CutInBody,
        Fault::Garbage,
        Fault::Huge(64 * 1024 * 1024),
    ] {
        // Lists and looks are met by each.
        sim.github.fault(Where::Rest, fault.clone(), 1);
        sim.github.fault(Where::Graphql, fault, 1);
    }
    for number in &pulls {
        fails(&sim, *number).await;
    }
    let branch = sim
        .reader()
        .session(&sessions[0].0)
        .await
        .unwrap()
        .unwrap()
        .branch;
    let fresh = sim
        .github
        .open_pr(&repo(0), Pull::of(&format!("{branch}/more"), &commit(77)));
    sim.pass(Duration::from_secs(2_400)).await;
    let requests = sim.github.take_requests();
    for side in [Side::Rest, Side::Graphql] {
        let met = |status| {
            let mut of = requests.iter().filter(|request| request.side == side);
            of.any(|request| request.status == status)
        };
        assert!(met(Some(500)) && met(Some(502)) && met(None), "{side:?}");
    }
    assert_eq!(row(&sim, fresh).await.session, sessions[0].0, "it is found");
    for number in &pulls {
        let pr = row(&sim, *number).await;
        assert_eq!(
            (pr.ci, pr.trouble, pr.failures),
            (Ci::Failing, None, 0),
            "#{number}"
        );
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_repository_that_is_hidden_is_trouble_that_is_shown_and_ends_with_it() {
    let (mut sim, pulls) = with(2).await;
    sim.github.refuse(TOKEN, &repo(0), Refusal::Forbidden);
    sim.pass(Duration::from_secs(1_200)).await;
    assert!(row(&sim, pulls[0]).await.trouble.is_some());
    let repository = sim
        .reader()
        .repository(&format!("{HOST}/{}", repo(0)).parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(repository.trouble.is_some());
    sim.github.allow(TOKEN, &repo(0));
    fails(&sim, pulls[0]).await;
    sim.pass(Duration::from_secs(1_800)).await;
    let pr = row(&sim, pulls[0]).await;
    assert_eq!((pr.ci, pr.trouble), (Ci::Failing, None));
    sim.stop().await;
}

#[tokio::test]
async fn checks_that_a_token_may_not_see_stay_as_they_were_known_and_the_rest_is_seen() {
    let (mut sim, pulls) = with(2).await;
    let [seen, other] = pulls[..] else {
        panic!("{pulls:?}");
    };
    for number in &pulls {
        fails(&sim, *number).await;
    }
    sim.pass(TICK * 2).await;
    sim.github.refuse_checks(&repo(0), Some(Refusal::Forbidden));
    sim.pass(TICK * 13).await;
    let known = async |number| {
        let pr = row(&sim, number).await;
        let trouble = pr.trouble.unwrap_or_default();
        (
            pr.ci,
            pr.failures,
            trouble.contains("its checks could not be read"),
        )
    };
    assert_eq!(known(seen).await, (Ci::Failing, 0, true));
    let id = row(&sim, seen).await.id;
    let episodes = sim.reader().episodes(id).await.unwrap();
    assert!(
        episodes.len() == 1 && episodes[0].closed_at.is_none(),
        "{episodes:?}"
    );
    // What is said of a whole look stays said while looks from afar find all as it was.
    sim.github.take_requests();
    sim.pass(TICK * 8).await;
    assert_eq!(known(seen).await, (Ci::Failing, 0, true));
    let whole = |request: &ao_tests::github::Request| {
        request
            .document
            .as_ref()
            .is_some_and(|text| text.contains("fragment run"))
    };
    let asked = sim.github.take_requests();
    let count = asked.iter().filter(|request| whole(request)).count();
    assert!(count <= 2, "{count} whole looks in eight ticks");
    // Of another commit nothing is known.
    let branch = row(&sim, other).await.facts.head_branch;
    sim.push(0, &branch, &commit(99));
    let job = sim.github.check(&repo(0), &commit(99), Check::job("test"));
    sim.github.finish(job, "FAILURE");
    sim.pass(TICK * 2).await;
    assert_eq!(known(other).await, (Ci::Unknown, 0, true));
    // Its commit, its title and its end are seen all the same.
    sim.github.merge(&repo(0), seen);
    sim.pass(TICK * 3).await;
    let merged = row(&sim, seen).await;
    assert_eq!((merged.facts.state, merged.followed), (PrState::Merged, false));
    // And once the token may see them, they are read without anything having changed.
    sim.github.refuse_checks(&repo(0), None);
    sim.pass(TICK * 22).await;
    assert_eq!(known(other).await, (Ci::Failing, 0, false));
    sim.stop().await;
}

#[tokio::test]
async fn a_merge_ends_the_looks_and_a_turn_s_end_asks_for_one_at_once() {
    use ao_domain::ActivityState::{Active, Idle};
    let mut sim = Sim::new(1).await;
    let (id, number) = sim.pull(0).await;
    sim.start().await;
    sim.pass(Duration::from_secs(2 * 3_600)).await;
    sim.activity(&id, 1, Active).await;
    sim.pass(Duration::from_secs(1)).await;
    fails(&sim, number).await;
    sim.activity(&id, 2, Idle).await;
    sim.pass(Duration::from_secs(4)).await;
    assert_eq!(
        row(&sim, number).await.ci,
        Ci::Failing,
        "within seconds, not minutes"
    );
    sim.github.merge(&repo(0), number);
    sim.pass(TICK * 3).await;
    assert_eq!(row(&sim, number).await.facts.state, PrState::Merged);
    assert!(sim.reader().followed_pulls().await.unwrap().is_empty());
    sim.github.take_requests();
    sim.pass(Duration::from_secs(3_600)).await;
    let looks = sim
        .github
        .take_requests()
        .iter()
        .filter(|request| request.document.is_some())
        .count();
    assert_eq!(looks, 0);
    // Its session is over: the repository is watched a little longer, and then no more.
    for phase in [Phase::Finished, Phase::Stopping, Phase::Freeing, Phase::Ended] {
        sim.put(&id, phase).await;
    }
    sim.stop().await;
}
