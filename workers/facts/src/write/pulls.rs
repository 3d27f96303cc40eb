//! Pull requests: what was seen of them on their forges, and the episodes that follow from it.

use std::time::Duration;

use ao_domain::port::forge::Refusal;
use ao_domain::{
    Check, CheckStatus, Ci, EpisodeKind, Evidence, Mergeability, MessageState, Phase, PrFacts, PrState,
    PullRequest, RemoteRepo, SessionId, Timestamp, ci_of,
};
use ao_supervisor::Incarnation;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter};

use super::observations::ObservationWriter;
use super::outcomes::Moved;
use super::{WriteTx, get};
use crate::FactsError;
use crate::entity::{checks, pull_requests, text_of};
use crate::error::{read, write};

/// What a list of a repository's pull requests gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySeen {
    /// What the next list is to be asked with; `None`: it is to tell all again.
    pub validator: Option<String>,
    /// How far back everything was seen; `None` leaves it.
    pub seen_to: Option<Timestamp>,
    /// Pull requests that are a session's, and whose.
    pub found: Vec<(SessionId, PrFacts)>,
    /// Pull requests that were tracked before, as the list has them.
    pub tracked: Vec<PrFacts>,
}

/// What a whole look at a pull request gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSeen {
    /// What its forge says of it.
    pub facts: PrFacts,
    /// The newest attempt of each of its checks; none where they could not be read.
    pub checks: Option<Vec<Check>>,
    /// Which part of it could not be read, and why.
    pub trouble: Option<String>,
    /// What a light look gave at the same time.
    pub fingerprint: String,
    /// When the look began: what was asked for later is asked for still.
    pub began: Timestamp,
}

/// A look that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullFailed {
    /// Why.
    pub why: String,
    /// Whether its forge says that it is not there.
    pub is_gone: bool,
    /// When the look began.
    pub began: Timestamp,
}

/// How long a look that is asked for waits: what belongs together comes together, a push, the checks it starts, the end of the turn that
/// made it.
pub const SETTLES: Duration = Duration::from_secs(2);

/// How many looks in a row have to find a pull request gone before it counts as gone for good: as many as it takes until it is looked at as
/// seldom as ever.
pub const GONE_AFTER: u32 = 5;

/// Why an attempt of a check failed, or that it cannot be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The check.
    pub key: String,
    /// The attempt that was asked about.
    pub attempt: Option<String>,
    /// Whether it is known.
    pub evidence: Evidence,
    /// The step that failed.
    pub step: Option<String>,
    /// The end of its log, or why there is none.
    pub log: String,
}

impl ObservationWriter {
    /// Writes down what a list gave. A pull request that is tracked already stays its session's.
    pub async fn repository_listed(
        &self,
        by: &Incarnation,
        repo: &RemoteRepo,
        seen: RepositorySeen,
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let mut tx = self.store.begin(Some(by)).await?;
        let now_text = now.to_string();
        tx.run(
            "repositories",
            "INSERT INTO repositories (name, validator, listed_at, seen_to, updated_at) VALUES (?1, ?2, ?4, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET validator = ?2, seen_to = coalesce(?3, seen_to),
                listed_at = ?4, trouble = NULL, failures = 0, updated_at = ?4",
            [
                repo.to_string().into(),
                seen.validator.into(),
                seen.seen_to.map(|at| at.to_string()).into(),
                now_text.clone().into(),
            ],
        )
        .await?;
        let mut news = false;
        for (session, facts) in seen.found {
            news |= track(&tx, &session, facts, now).await?;
        }
        for facts in seen.tracked {
            news |= wake_if_other(&tx, &facts, now).await?;
        }
        // A list that told nothing new wakes nobody.
        if news {
            tx.ring();
            tx.commit().await
        } else {
            tx.commit_quietly().await
        }
    }

    /// A list could not be had.
    pub async fn repository_failed(
        &self,
        by: &Incarnation,
        repo: &RemoteRepo,
        why: &str,
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        tx.run(
            "repositories",
            "INSERT INTO repositories (name, listed_at, trouble, failures, updated_at) VALUES (?1, ?3, ?2, 1, ?3)
             ON CONFLICT (name) DO UPDATE SET listed_at = ?3, trouble = ?2, failures = failures + 1, updated_at = ?3",
            [repo.to_string().into(), why.into(), now.to_string().into()],
        )
        .await?;
        tx.commit_quietly().await
    }

    /// Something was pushed to `branches`, or below them: what is tracked of them in this repository is looked at again soon; all, where
    /// none is named.
    pub async fn repository_pushed(
        &self,
        by: &Incarnation,
        repo: &RemoteRepo,
        branches: &[String],
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let mut tx = self.store.begin(Some(by)).await?;
        tx.ring();
        tx.run(
            "repositories",
            "INSERT INTO repositories (name, pushed_at, updated_at) VALUES (?1, ?2, ?2)
             ON CONFLICT (name) DO UPDATE SET pushed_at = ?2, updated_at = ?2",
            [repo.to_string().into(), now.to_string().into()],
        )
        .await?;
        tx.run(
            "pull_requests",
            "UPDATE pull_requests SET wake_at = ?2 WHERE repository = ?1 AND followed = 1 AND (?3 = '[]' OR EXISTS (
                SELECT 1 FROM json_each(?3) AS pushed
                WHERE head_branch = pushed.value OR substr(head_branch, 1, length(pushed.value) + 1) = pushed.value || '/'))",
            [
                repo.to_string().into(),
                now.to_string().into(),
                text_of(&branches).into(),
            ],
        )
        .await?;
        tx.commit().await
    }

    /// Writes down a whole look. Opens and closes episodes by it, in the same transaction; what was queued about an episode that is
    /// over and was not typed yet is taken back. One that found nothing new wakes nobody. `Overtaken`: it is not tracked.
    pub async fn pull_seen(
        &self,
        by: &Incarnation,
        id: u64,
        mut seen: PullSeen,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let Some(before) = pull(&tx, id).await? else {
            return Ok(Moved::Overtaken);
        };
        // A forge works mergeability out when it is asked, and forgets it: not knowing is no news about the same commit.
        if seen.facts.mergeability == Mergeability::Unknown && seen.facts.head == before.facts.head {
            seen.facts.mergeability = before.facts.mergeability;
        }
        let same_head = before.facts.head == seen.facts.head;
        // What could not be read is no news about the same commit either.
        let checks = match &seen.checks {
            None if same_head => None,
            read => Some(read.as_deref().unwrap_or_default()),
        };
        let ci = checks.map_or(before.ci, ci_of);
        let failing = checks.map(|checks| {
            let failed = checks.iter().filter(|check| check.status == CheckStatus::Failed);
            text_of(&failed.map(|check| check.name.as_str()).collect::<Vec<_>>())
        });
        let checks_differ = match checks {
            Some(checks) => write_checks(&tx, id, same_head, checks, now).await?,
            None => false,
        };
        let is_news = before.trouble != seen.trouble || before.followed != seen.facts.state.is_open();
        let differs = checks_differ || before.facts != seen.facts || before.detailed_at.is_none();
        let row = pull_requests::ActiveModel {
            id: Set(before_id(id)),
            ci: Set(ci.to_string()),
            failing: failing.map_or(NotSet, Set),
            fingerprint: Set(seen.fingerprint),
            detailed_at: Set(Some(now.to_string())),
            read_at: Set(Some(now.to_string())),
            changed_at: if differs { Set(now.to_string()) } else { NotSet },
            wake_at: Set(still_wanted(&before, seen.began)),
            followed: Set(seen.facts.state.is_open()),
            trouble: Set(seen.trouble),
            failures: Set(0),
            updated_at: Set(now.to_string()),
            ..said(&seen.facts)
        };
        row.update(tx.connection())
            .await
            .map_err(write("pull_requests"))?;
        turn_episode(&tx, &before, &seen.facts, ci, now).await?;
        if differs || is_news {
            tx.commit().await?;
        } else {
            tx.commit_quietly().await?;
        }
        Ok(Moved::Yes)
    }

    /// A light look found all as the whole look before it: what that could not read stays unread. Wakes nobody.
    pub async fn pull_unchanged(
        &self,
        by: &Incarnation,
        id: u64,
        began: Timestamp,
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        tx.run(
            "pull_requests",
            "UPDATE pull_requests SET read_at = ?2, updated_at = ?2,
                wake_at = iif(wake_at <= ?3, NULL, wake_at) WHERE id = ?1",
            [
                before_id(id).into(),
                now.to_string().into(),
                began.to_string().into(),
            ],
        )
        .await?;
        tx.commit_quietly().await
    }

    /// A look failed. What was known stays. One that is gone for good is followed no more once its session is over: while that is not,
    /// somebody has to say what is to become of it.
    pub async fn pull_failed(
        &self,
        by: &Incarnation,
        id: u64,
        failed: PullFailed,
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let over = crate::read::TERMINATED.map(Phase::as_str);
        tx.run(
            "pull_requests",
            "UPDATE pull_requests SET read_at = ?2, trouble = ?4, updated_at = ?2,
                failures = iif(?5 AND NOT coalesce(instr(trouble, ?8) = 1, 0), 1, failures + 1),
                wake_at = iif(wake_at <= ?3, NULL, wake_at),
                followed = followed AND NOT (?5 AND coalesce(instr(trouble, ?8) = 1, 0) AND failures + 1 >= ?6 AND EXISTS (
                    SELECT 1 FROM sessions AS s JOIN json_each(?7) AS over ON over.value = s.phase WHERE s.id = session_id))
             WHERE id = ?1",
            [
                before_id(id).into(),
                now.to_string().into(),
                failed.began.to_string().into(),
                failed.why.into(),
                failed.is_gone.into(),
                GONE_AFTER.into(),
                text_of(&over).into(),
                Refusal::Gone.to_string().into(),
            ],
        )
        .await?;
        tx.commit().await
    }

    /// Writes down why a check failed, if that attempt of it is still the newest and is still to be explained.
    pub async fn check_explained(
        &self,
        by: &Incarnation,
        id: u64,
        explained: Explained,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        use checks::Column;
        let tx = self.store.begin(Some(by)).await?;
        let attempt = match &explained.attempt {
            Some(attempt) => Column::Attempt.eq(attempt.as_str()),
            None => Column::Attempt.is_null(),
        };
        let done = checks::Entity::update_many()
            .col_expr(Column::Evidence, Expr::value(explained.evidence.as_str()))
            .col_expr(Column::Step, Expr::value(explained.step))
            .col_expr(Column::Log, Expr::value(explained.log))
            .col_expr(Column::UpdatedAt, Expr::value(now.to_string()))
            .filter(Column::Pr.eq(before_id(id)))
            .filter(Column::Key.eq(explained.key))
            .filter(attempt)
            .filter(Column::Evidence.eq(Evidence::Wanted.as_str()))
            .exec(tx.connection())
            .await
            .map_err(write("checks"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}

/// Rows count in `i64`; an id that is none finds nothing.
pub(super) fn before_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

async fn pull(tx: &WriteTx, id: u64) -> Result<Option<PullRequest>, FactsError> {
    let row = pull_requests::Entity::find_by_id(before_id(id))
        .one(tx.connection())
        .await;
    row.map_err(read("pull_requests"))?
        .map(TryInto::try_into)
        .transpose()
}

/// A wake-up that came after the look began is not answered by it.
fn still_wanted(before: &PullRequest, began: Timestamp) -> Option<String> {
    before.wake_at.filter(|at| *at > began).map(|at| at.to_string())
}

/// The columns that a forge has its word in.
fn said(facts: &PrFacts) -> pull_requests::ActiveModel {
    let facts = facts.clone();
    pull_requests::ActiveModel {
        repository: Set(facts.at.repo.to_string()),
        number: Set(before_id(facts.at.number)),
        url: Set(facts.url),
        title: Set(facts.title),
        author: Set(facts.author),
        state: Set(facts.state.to_string()),
        head_branch: Set(facts.head_branch),
        head: Set(facts.head),
        head_repo: Set(facts.head_repo.map(|repo| repo.to_string())),
        base_branch: Set(facts.base_branch),
        base: Set(facts.base),
        review: Set(facts.review.to_string()),
        mergeability: Set(facts.mergeability.to_string()),
        queued_to_merge: Set(facts.queued_to_merge),
        ..Default::default()
    }
}

/// Begins to track a pull request; one that is tracked already is only looked at again where it is another.
pub(super) async fn track(
    tx: &WriteTx,
    session: &SessionId,
    facts: PrFacts,
    now: Timestamp,
) -> Result<bool, FactsError> {
    if wake_if_other(tx, &facts, now).await? {
        return Ok(true);
    }
    let row = pull_requests::ActiveModel {
        session_id: Set(session.to_string()),
        ci: Set(Ci::Unknown.to_string()),
        failing: Set("[]".to_owned()),
        fingerprint: Set(String::new()),
        changed_at: Set(now.to_string()),
        // Also one that is over already: a whole look says how it ended, and that is the last.
        followed: Set(true),
        failures: Set(0),
        created_at: Set(now.to_string()),
        updated_at: Set(now.to_string()),
        ..said(&facts)
    };
    let done = pull_requests::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([pull_requests::Column::Repository, pull_requests::Column::Number])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(tx.connection())
        .await
        .map_err(write("pull_requests"))?;
    Ok(done > 0)
}

/// A tracked pull request that its list shows otherwise than its row is looked at again, also one that was over. A look that is owed
/// and has not begun shows that too.
async fn wake_if_other(tx: &WriteTx, facts: &PrFacts, now: Timestamp) -> Result<bool, FactsError> {
    let done = tx
        .run(
            "pull_requests",
            "UPDATE pull_requests SET wake_at = iif(wake_at > ?8, wake_at, ?3), followed = 1
             WHERE repository = ?1 AND number = ?2 AND (head <> ?4 OR state <> ?5 OR title <> ?6 OR base_branch <> ?7)",
            [
                facts.at.repo.to_string().into(),
                before_id(facts.at.number).into(),
                now.to_string().into(),
                facts.head.as_str().into(),
                facts.state.as_str().into(),
                facts.title.as_str().into(),
                facts.base_branch.as_str().into(),
                now.before(SETTLES).to_string().into(),
            ],
        )
        .await?;
    Ok(done > 0)
}

/// Brings the rows of checks to what was seen. Here it is decided whether it is to be asked why one failed; what is known of that stays
/// with its attempt. Answers whether anything is another than before.
async fn write_checks(
    tx: &WriteTx,
    id: u64,
    same_head: bool,
    seen: &[Check],
    now: Timestamp,
) -> Result<bool, FactsError> {
    use checks::Column;
    let pr = before_id(id);
    let of_pr = checks::Entity::find()
        .filter(Column::Pr.eq(pr))
        .all(tx.connection())
        .await
        .map_err(read("checks"))?;
    let mut differs = false;
    let gone: Vec<String> = of_pr
        .iter()
        .filter(|row| !same_head || seen.iter().all(|check| check.key != row.key))
        .map(|row| row.key.clone())
        .collect();
    if !gone.is_empty() {
        differs = true;
        checks::Entity::delete_many()
            .filter(Column::Pr.eq(pr))
            .filter(Column::Key.is_in(gone.iter().map(String::as_str)))
            .exec(tx.connection())
            .await
            .map_err(write("checks"))?;
    }
    for check in seen {
        let known = of_pr
            .iter()
            .find(|row| row.key == check.key && !gone.contains(&row.key));
        let known: Option<Check> = known.cloned().map(TryInto::try_into).transpose()?;
        let same_attempt = known
            .as_ref()
            .filter(|known| known.attempt == check.attempt && known.status == check.status);
        let mut check = check.clone();
        if let Some(known) = same_attempt {
            (check.evidence, check.step, check.log) = (known.evidence, known.step.clone(), known.log.clone());
        } else {
            check.evidence = match check.status {
                CheckStatus::Failed => Evidence::Wanted,
                _ => Evidence::Unasked,
            };
        }
        if known.as_ref() == Some(&check) {
            continue;
        }
        differs = true;
        let row = checks::ActiveModel {
            pr: Set(pr),
            key: Set(check.key),
            name: Set(check.name),
            status: Set(check.status.to_string()),
            conclusion: Set(check.conclusion),
            url: Set(check.url),
            attempt: Set(check.attempt),
            position: Set(i64::try_from(check.order).unwrap_or(i64::MAX)),
            required: Set(check.required),
            summary: Set(check.summary),
            started_at: Set(check.started_at.map(|at| at.to_string())),
            completed_at: Set(check.completed_at.map(|at| at.to_string())),
            evidence: Set(check.evidence.to_string()),
            step: Set(check.step),
            log: Set(check.log),
            updated_at: Set(now.to_string()),
        };
        if known.is_some() {
            row.update(tx.connection()).await.map(drop)
        } else {
            row.insert(tx.connection()).await.map(drop)
        }
        .map_err(write("checks"))?;
    }
    Ok(differs)
}

/// Opens, closes or leaves the episode of failing checks: one at a time, and each about one head.
async fn turn_episode(
    tx: &WriteTx,
    before: &PullRequest,
    facts: &PrFacts,
    ci: Ci,
    now: Timestamp,
) -> Result<(), FactsError> {
    let (pr, kind, now) = (before_id(before.id), EpisodeKind::Ci.as_str(), now.to_string());
    let open = tx
        .row(
            "episodes",
            "SELECT id, head FROM episodes WHERE pr = ? AND kind = ? AND closed_at IS NULL",
            [pr.into(), kind.into()],
        )
        .await?;
    let mut is_open = false;
    if let Some(open) = open {
        let (episode, head): (i64, String) = (get(&open, "id")?, get(&open, "head")?);
        let over = if !facts.state.is_open() {
            Some(if facts.state == PrState::Merged {
                "merged"
            } else {
                "closed"
            })
        } else if head != facts.head {
            Some("another commit was pushed")
        } else if ci == Ci::Passing {
            Some("all checks pass")
        } else {
            None // some still fail, run again, or were taken back: nothing is known to be good
        };
        match over {
            Some(why) => {
                close_episode(tx, episode, pr, &head, why, &now).await?;
                take_back_nudges(tx, before.session.as_str(), &now).await?;
            }
            None => is_open = true,
        }
    }
    if !is_open && ci == Ci::Failing && facts.state.is_open() {
        tx.run(
            "episodes",
            "INSERT INTO episodes (pr, kind, head, opened_at) VALUES (?, ?, ?, ?)",
            [pr.into(), kind.into(), facts.head.as_str().into(), now.into()],
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn close_episode(
    tx: &WriteTx,
    episode: i64,
    pr: i64,
    head: &str,
    why: &str,
    now: &str,
) -> Result<(), FactsError> {
    tx.run(
        "episodes",
        "UPDATE episodes SET closed_at = ?2, closed_by = ?3 WHERE id = ?1",
        [episode.into(), now.into(), why.into()],
    )
    .await?;
    tx.run(
        "notices",
        "UPDATE notices SET closed_at = ?3 WHERE closed_at IS NULL AND subject = ?1 || '@' || ?2",
        [pr.into(), head.into(), now.into()],
    )
    .await?;
    Ok(())
}

/// Takes back what waits to be told to a session's agent of episodes that are over. Whatever queues a message again calls it, too: one
/// that was under way when its episode ended is not worth repeating.
pub(super) async fn take_back_nudges(tx: &WriteTx, session: &str, now: &str) -> Result<(), FactsError> {
    tx.run(
        "messages",
        "UPDATE messages SET state = ?2, state_at = ?3, try_at = NULL, reason = 'not needed any more: ' || e.closed_by
                || iif(perhaps, '; it may have reached the agent all the same', '')
         FROM nudges AS n JOIN episodes AS e ON e.id = n.episode
         WHERE n.message = messages.id AND e.closed_at IS NOT NULL AND messages.session_id = ?1 AND messages.state = ?4",
        [
            session.into(),
            MessageState::Failed.as_str().into(),
            now.into(),
            MessageState::Queued.as_str().into(),
        ],
    )
    .await
    .map(drop)
}

/// The session runs again: what is not over of its pull requests is looked at again, also what was gone.
pub(super) async fn follow_open(tx: &WriteTx, session: &SessionId) -> Result<(), FactsError> {
    tx.run(
        "pull_requests",
        "UPDATE pull_requests SET followed = 1 WHERE session_id = ? AND state IN (?, ?)",
        [
            session.as_str().into(),
            PrState::Draft.as_str().into(),
            PrState::Open.as_str().into(),
        ],
    )
    .await
    .map(drop)
}

/// How many pull requests of a session were merged.
pub(super) async fn merged_of(tx: &WriteTx, session: &SessionId) -> Result<i64, FactsError> {
    let row = tx
        .row(
            "pull_requests",
            "SELECT count(*) AS merged FROM pull_requests WHERE session_id = ? AND state = ?",
            [session.as_str().into(), PrState::Merged.as_str().into()],
        )
        .await?
        .expect("an aggregate has one row");
    get(&row, "merged")
}
