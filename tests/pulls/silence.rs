//! A forge that does not answer some questions, or has not any more what they are about: nobody else waits for that, and nothing is lost.

use std::time::{Duration, Instant};

use ao_domain::{Ci, RemoteRepo};
use ao_github::Patience;
use ao_tests::github::{Check, Fault, Pull, Where};

use crate::sim::{Sim, TICK, commit, repo};
use crate::trouble::{HOST, fails, row};

#[tokio::test]
async fn a_question_that_hangs_holds_up_no_other() {
    let mut sim = Sim::new(4).await;
    let mut pulls = Vec::new();
    for number in 0..4 {
        pulls.push(sim.pull(number).await);
    }
    sim.start().await;
    sim.pass(TICK * 2).await;
    // As many lists as are asked for at once, but one.
    for number in 0..3 {
        let list = Where::Path(format!("/repos/{}/pulls?", repo(number)));
        sim.github.fault_on(list, Fault::Hang);
    }
    let branch = sim.reader().session(&pulls[3].0).await.unwrap().unwrap().branch;
    let fresh = sim
        .github
        .open_pr(&repo(3), Pull::of(&format!("{branch}/more"), &commit(77)));
    for (number, (_, pull)) in pulls.iter().enumerate() {
        let of = sim.reader().pulls(Some(&pulls[number].0)).await.unwrap();
        assert_eq!(of[0].facts.at.number, *pull);
        let job = sim
            .github
            .check(&repo(number), &of[0].facts.head, Check::job("test"));
        sim.github.finish(job, "FAILURE");
    }
    let begun = Instant::now();
    let all_but_the_lists = async {
        loop {
            let known = sim.reader().pulls(None).await.unwrap();
            let failing = known.iter().filter(|pr| pr.ci == Ci::Failing).count();
            if failing == 4 && known.iter().any(|pr| pr.facts.at.number == fresh) && known.len() == 5 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await; // what is under way is on other threads
        }
    };
    tokio::select! {
        () = sim.pass(TICK * 2) => {}
        () = all_but_the_lists => {}
    }
    assert!(
        begun.elapsed() < Patience::USUAL.question,
        "the others waited for what hangs: {:?}",
        begun.elapsed()
    );
    sim.stop().await;
}

#[tokio::test]
async fn what_is_never_answered_delays_no_other_beyond_its_deadline_and_is_not_lost() {
    let mut sim = Sim::new(1).await;
    sim.patience.question = Duration::from_secs(1);
    let mut pulls = Vec::new();
    for _ in 0..12 {
        pulls.push(sim.pull(0).await.1);
    }
    sim.start().await;
    sim.pass(TICK * 2).await;
    let [silent, ref others @ ..] = pulls[..] else {
        panic!("{pulls:?}");
    };
    sim.github.fault_on(Where::Pull(silent), Fault::Hang);
    for number in &pulls {
        fails(&sim, *number).await;
    }
    // As soon as it would be without the one: time does not move while it is waited for.
    sim.pass(TICK * 2).await;
    for number in others {
        let pr = row(&sim, *number).await;
        assert_eq!((pr.ci, pr.trouble), (Ci::Failing, None), "#{number} is delayed");
    }
    let pr = row(&sim, silent).await;
    assert_eq!(pr.ci, Ci::Unknown, "what was known of it stays");
    assert!(
        pr.trouble
            .as_deref()
            .is_some_and(|why| why.contains("no answer in time")),
        "{:?}",
        pr.trouble
    );
    sim.github.clear_faults();
    // The list as well, once: it is asked for again.
    let list = Where::Path("/pulls?".to_owned());
    sim.github.fault(list, Fault::Hang, 1);
    let id = sim.session(0).await;
    let branch = sim.reader().session(&id).await.unwrap().unwrap().branch;
    let fresh = sim.github.open_pr(&repo(0), Pull::of(&branch, &commit(99)));
    sim.pass(Duration::from_secs(1_800)).await;
    let pr = row(&sim, silent).await;
    assert_eq!((pr.ci, pr.trouble, pr.failures), (Ci::Failing, None, 0));
    assert_eq!(row(&sim, fresh).await.session, id);
    sim.stop().await;
}

#[tokio::test]
async fn one_that_is_never_answered_costs_little_in_the_long_run() {
    let mut sim = Sim::new(1).await;
    let mut pulls = Vec::new();
    for _ in 0..40 {
        pulls.push(sim.pull(0).await.1);
    }
    sim.start().await;
    sim.pass(TICK * 2).await;
    sim.sleep(Duration::from_secs(7_200)).await;
    sim.github.fault_on(Where::Pull(pulls[0]), Fault::Status(502));
    sim.pass(Duration::from_secs(1_800)).await;
    sim.github.take_requests();
    sim.pass(Duration::from_secs(3_600)).await;
    let asked = sim.github.take_requests();
    let looks = asked.iter().filter(|request| request.document.is_some()).count();
    assert!((12..=250).contains(&looks), "{looks} questions in an idle hour");
    for number in &pulls[1..] {
        assert_eq!(row(&sim, *number).await.trouble, None, "#{number}");
    }
    sim.stop().await;
}

/// What is wrong with listing a repository.
async fn trouble_of(sim: &Sim, number: usize) -> Option<String> {
    let name: RemoteRepo = format!("{HOST}/{}", repo(number)).parse().unwrap();
    sim.reader().repository(&name).await.unwrap().unwrap().trouble
}

#[tokio::test]
async fn a_repository_that_is_deleted_is_said_delays_no_other_and_loses_nothing_if_it_is_restored() {
    let mut sim = Sim::new(2).await;
    sim.pull(0).await;
    let (other_id, _) = sim.pull(1).await;
    sim.start().await;
    sim.pass(TICK * 2).await;
    // The first pull request of a repository.
    let of = async |sim: &Sim, number: usize| {
        let all = sim.reader().pulls(None).await.unwrap();
        let path = repo(number);
        let mut first = all.into_iter().filter(|pr| pr.facts.at.repo.path == path);
        first.find(|pr| pr.facts.at.number == 1).unwrap()
    };
    let head = of(&sim, 0).await.facts.head;
    let job = sim.github.check(&repo(0), &head, Check::job("test"));
    sim.github.delete_repository(&repo(0));
    let other = of(&sim, 1).await.facts.head;
    let others = sim.github.check(&repo(1), &other, Check::job("test"));
    sim.github.finish(others, "FAILURE");
    let branch = sim.reader().session(&other_id).await.unwrap().unwrap().branch;
    sim.github
        .open_pr(&repo(1), Pull::of(&format!("{branch}/more"), &commit(77)));
    sim.pass(TICK * 2).await;
    assert_eq!(of(&sim, 1).await.ci, Ci::Failing);
    assert_eq!(sim.reader().pulls(Some(&other_id)).await.unwrap().len(), 2);
    assert_eq!(trouble_of(&sim, 1).await, None);
    let pr = of(&sim, 0).await;
    for why in [pr.trouble, trouble_of(&sim, 0).await] {
        assert!(
            why.as_deref().is_some_and(|why| why.contains("not there")),
            "{why:?}"
        );
    }
    assert!(pr.followed, "what was known of it stays");
    // It is not asked for at each tick for ever.
    sim.pass(Duration::from_secs(3_600)).await;
    let failures = of(&sim, 0).await.failures;
    assert!((5..=15).contains(&failures), "asked {failures} times in an hour");
    sim.github.restore_repository(&repo(0));
    sim.github.finish(job, "FAILURE");
    sim.pass(Duration::from_secs(1_800)).await;
    let pr = of(&sim, 0).await;
    assert_eq!((pr.ci, pr.trouble, pr.failures), (Ci::Failing, None, 0));
    assert_eq!(trouble_of(&sim, 0).await, None);
    sim.stop().await;
}
