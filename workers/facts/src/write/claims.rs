//! Claims: asked for, answered by their forge, and what that makes of the pull request and its sessions.

use ao_domain::{
    ClaimRefusal, ClaimState, Desired, EpisodeKind, Phase, PrFacts, PrRef, PrState, SessionId, Timestamp,
};
use ao_supervisor::Incarnation;

use super::intents::IntentWriter;
use super::observations::ObservationWriter;
use super::outcomes::Moved;
use super::pulls::{before_id, close_episode, take_back_nudges, track};
use super::{WriteTx, get};
use crate::FactsError;
use crate::entity::{number, parse};

/// A pull request that a session is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub at: PrRef,
    /// Whether it may be taken from another living session.
    pub takeover: bool,
}

/// What became of a claim that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claiming {
    /// It is written down, or was before and has no answer yet.
    Asked(u64),
    /// There is no such session.
    NotFound,
    /// Its agent is over, or is being ended; nothing was written.
    Over,
}

/// What came of asking about a claimed pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// What its forge says of it.
    Seen(Box<PrFacts>),
    /// Why it cannot be had.
    Refused(ClaimRefusal, String),
}

impl IntentWriter {
    /// Wants a pull request for a session that is there. Safe to repeat: one that has no answer yet is the same claim.
    pub async fn claim(
        &self,
        id: &SessionId,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Claiming, FactsError> {
        let tx = self.store.begin(None).await?;
        let Some(row) = tx.session(id).await? else {
            return Ok(Claiming::NotFound);
        };
        if is_over(&row.phase, &row.desired) {
            return Ok(Claiming::Over);
        }
        let asked = tx
            .row(
                "claims",
                "SELECT id FROM claims WHERE session_id = ? AND repository = ? AND number = ? AND state = ?",
                [
                    id.as_str().into(),
                    wanted.at.repo.to_string().into(),
                    before_id(wanted.at.number).into(),
                    ClaimState::Asked.as_str().into(),
                ],
            )
            .await?;
        if let Some(asked) = asked {
            return Ok(Claiming::Asked(number("claims", "", "id", get(&asked, "id")?)?));
        }
        let claim = ask(&tx, id, wanted, false, &now.to_string()).await?;
        tx.commit().await?;
        Ok(Claiming::Asked(claim))
    }
}

/// Writes a claim down; answers its number.
pub(super) async fn ask(
    tx: &WriteTx,
    id: &SessionId,
    wanted: &Wanted,
    starts: bool,
    now: &str,
) -> Result<u64, FactsError> {
    let row = tx
        .row(
            "claims",
            "INSERT INTO claims (session_id, repository, number, starts, takeover, state, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) RETURNING id",
            [
                id.as_str().into(),
                wanted.at.repo.to_string().into(),
                before_id(wanted.at.number).into(),
                starts.into(),
                wanted.takeover.into(),
                ClaimState::Asked.as_str().into(),
                now.into(),
            ],
        )
        .await?
        .expect("an insert that returns its row has one");
    number("claims", "", "id", get(&row, "id")?)
}

fn is_over(phase: &str, desired: &str) -> bool {
    desired == Desired::Stop.as_str() || crate::read::TERMINATED.iter().any(|over| over.as_str() == phase)
}

impl ObservationWriter {
    /// Answers a claim by what was seen, once: the pull request is the session's from here on, or the claim says why not. Takes it
    /// from its earlier owner, who is told nothing more of it. `Overtaken`: it was answered already, or is not there.
    pub async fn claim_answered(
        &self,
        by: &Incarnation,
        id: u64,
        answered: Answered,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let mut tx = self.store.begin(Some(by)).await?;
        let claim = tx
            .row(
                "claims",
                "SELECT c.session_id, c.takeover, s.phase, s.desired FROM claims AS c JOIN sessions AS s ON s.id = c.session_id
                 WHERE c.id = ? AND c.state = ?",
                [before_id(id).into(), ClaimState::Asked.as_str().into()],
            )
            .await?;
        let Some(claim) = claim else {
            return Ok(Moved::Overtaken);
        };
        let session: String = get(&claim, "session_id")?;
        let session: SessionId = parse("claims", "", "session_id", &session)?;
        let (phase, desired): (String, String) = (get(&claim, "phase")?, get(&claim, "desired")?);
        let takeover: bool = get(&claim, "takeover")?;
        let made = if is_over(&phase, &desired) {
            Err((ClaimRefusal::Over, "the session was over first".to_owned(), None))
        } else {
            match answered {
                Answered::Refused(why, said) => Err((why, said, None)),
                Answered::Seen(facts) if facts.state != PrState::Open => {
                    let said = match facts.state {
                        PrState::Draft => "it is a draft, and only an open one can be claimed".to_owned(),
                        state => format!("it is {state}"),
                    };
                    Err((ClaimRefusal::NotOpen, said, None))
                }
                Answered::Seen(facts) => take(&tx, &session, &facts, takeover, now)
                    .await?
                    .map(|owner| (facts, owner)),
            }
        };
        match made {
            Ok((facts, owner)) => {
                tx.run(
                    "sessions",
                    "UPDATE sessions SET foreign_code = 1, updated_at = ?2 WHERE id = ?1 AND ?3",
                    [
                        session.as_str().into(),
                        now.to_string().into(),
                        facts.is_foreign().into(),
                    ],
                )
                .await?;
                tx.run(
                    "claims",
                    "UPDATE claims SET state = ?2, owner = ?3, head_branch = ?4, is_foreign = ?5, updated_at = ?6 WHERE id = ?1",
                    [
                        before_id(id).into(),
                        ClaimState::Made.as_str().into(),
                        owner.map(|owner| owner.to_string()).into(),
                        facts.head_branch.as_str().into(),
                        facts.is_foreign().into(),
                        now.to_string().into(),
                    ],
                )
                .await?;
                tx.ring();
            }
            Err((why, said, owner)) => {
                tx.run(
                    "claims",
                    "UPDATE claims SET state = ?2, refusal = ?3, said = ?4, owner = ?5, updated_at = ?6 WHERE id = ?1",
                    [
                        before_id(id).into(),
                        ClaimState::Refused.as_str().into(),
                        why.as_str().into(),
                        said.into(),
                        owner.map(|owner: SessionId| owner.to_string()).into(),
                        now.to_string().into(),
                    ],
                )
                .await?;
            }
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}

type Refused = (ClaimRefusal, String, Option<SessionId>);

/// Makes the pull request the session's; answers whom it was taken from.
async fn take(
    tx: &WriteTx,
    session: &SessionId,
    facts: &PrFacts,
    takeover: bool,
    now: Timestamp,
) -> Result<Result<Option<SessionId>, Refused>, FactsError> {
    let known = tx
        .row(
            "pull_requests",
            "SELECT p.id, p.session_id, s.phase, s.desired FROM pull_requests AS p JOIN sessions AS s ON s.id = p.session_id
             WHERE p.repository = ? AND p.number = ?",
            [
                facts.at.repo.to_string().into(),
                before_id(facts.at.number).into(),
            ],
        )
        .await?;
    let Some(known) = known else {
        track(tx, session, facts.clone(), now).await?;
        return Ok(Ok(None));
    };
    let owner: String = get(&known, "session_id")?;
    let owner: SessionId = parse("pull_requests", "", "session_id", &owner)?;
    let id = get(&known, "id")?;
    if owner == *session {
        follow(tx, id, session, now).await?;
        return Ok(Ok(None));
    }
    let is_over = is_over(
        &get::<String>(&known, "phase")?,
        &get::<String>(&known, "desired")?,
    );
    if !is_over && !takeover {
        let said = format!("it is the pull request of `{owner}`, which is not over");
        return Ok(Err((ClaimRefusal::Owned, said, Some(owner))));
    }
    hand_over(tx, id, &owner, session, now).await?;
    Ok(Ok(Some(owner)))
}

/// It is looked at soon, by whatever was known of it before.
async fn follow(tx: &WriteTx, id: i64, session: &SessionId, now: Timestamp) -> Result<(), FactsError> {
    tx.run(
        "pull_requests",
        "UPDATE pull_requests SET session_id = ?2, followed = 1, wake_at = ?3, updated_at = ?3 WHERE id = ?1",
        [id.into(), session.as_str().into(), now.to_string().into()],
    )
    .await
    .map(drop)
}

/// What its old owner was still to be told is taken back. The next look finds what its new one is to be told.
async fn hand_over(
    tx: &WriteTx,
    id: i64,
    from: &SessionId,
    to: &SessionId,
    now: Timestamp,
) -> Result<(), FactsError> {
    let at = now.to_string();
    let open = tx
        .row(
            "episodes",
            "SELECT id, head FROM episodes WHERE pr = ? AND kind = ? AND closed_at IS NULL",
            [id.into(), EpisodeKind::Ci.as_str().into()],
        )
        .await?;
    if let Some(open) = open {
        let head: String = get(&open, "head")?;
        let why = format!("the pull request is {to}'s now");
        close_episode(tx, get(&open, "id")?, id, &head, &why, &at).await?;
        take_back_nudges(tx, from.as_str(), &at).await?;
    }
    follow(tx, id, to, now).await
}

/// A session that never came up has no use for what it took: whoever had it before, and is not over, has it again.
pub(super) async fn give_back(tx: &mut WriteTx, id: &SessionId, now: Timestamp) -> Result<(), FactsError> {
    let over = crate::read::TERMINATED.map(Phase::as_str);
    let taken = tx
        .row(
            "claims",
            "SELECT p.id, c.owner FROM claims AS c
             JOIN pull_requests AS p ON p.repository = c.repository AND p.number = c.number AND p.session_id = c.session_id
             JOIN sessions AS s ON s.id = c.owner
             WHERE c.session_id = ?1 AND c.starts = 1 AND c.state = ?2 AND s.desired = ?3
                AND NOT EXISTS (SELECT 1 FROM json_each(?4) AS over WHERE over.value = s.phase)",
            [
                id.as_str().into(),
                ClaimState::Made.as_str().into(),
                Desired::Run.as_str().into(),
                crate::entity::text_of(&over).into(),
            ],
        )
        .await?;
    let Some(taken) = taken else {
        return Ok(());
    };
    let owner: String = get(&taken, "owner")?;
    let owner: SessionId = parse("claims", "", "owner", &owner)?;
    hand_over(tx, get(&taken, "id")?, id, &owner, now).await?;
    tx.ring();
    Ok(())
}
