//! What was seen: looks at agents' processes, hook records, sweeps begun and finished.

use std::collections::HashMap;

use ao_domain::{ActivityState, Delay, HookRecord, Seen, SessionId, Signal, Timestamp, ToolUse, Wall};
use ao_supervisor::Incarnation;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::messages::{Asked, prove, until};
use super::{WriteTx, get};
use crate::entity::{number, session_process, sessions, text_of};
use crate::error::{read, write};
use crate::{FactsError, Store};

/// Writes observations. Every call names the incarnation it is made in; a revoked one writes nothing. Cheap to clone.
/// Dropping a call's future leaves all of it or nothing.
#[derive(Clone, Debug)]
pub struct ObservationWriter {
    pub(super) store: Store,
}

/// What one look at an agent's process gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whose.
    pub session: SessionId,
    /// Which run of the agent was looked at.
    pub generation: u32,
    /// What it saw. A process or an exit record it does not name leaves the one that is known; a note it does not
    /// have takes an earlier one away.
    pub seen: Seen,
    /// When it was made.
    pub at: Timestamp,
}

/// What became of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is stored.
    Yes,
    /// It is about another run of the agent than the session's present one, or about no session: nothing changed.
    OtherGeneration,
}

/// A hook record and what it means by its agent's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedSignal {
    /// The record as it lies in the spool.
    pub record: HookRecord,
    /// Its meaning; the default is a mere sign of life.
    pub signal: Signal,
}

/// What became of a piece of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The offset moved.
    Yes {
        /// How many records counted. The others were seen before, or came from another run or without its secret.
        counted: usize,
    },
    /// Another piece was applied meanwhile: the offset stands at `at`, nothing was written.
    Overtaken {
        /// Where to read on.
        at: u64,
    },
    /// There is no such session; nothing was written.
    NoSession,
}

impl ObservationWriter {
    /// How many hook records of a session are kept: enough to see the last hours, little enough for ever.
    pub const SIGNALS_KEPT: u32 = 500;

    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes down what looks gave, all in one transaction; the answers stand in the order of `seen`. Counts unbroken
    /// rows of the same answer.
    pub async fn looked(&self, by: &Incarnation, seen: &[Sighting]) -> Result<Vec<Recorded>, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let (mut recorded, mut news) = (Vec::with_capacity(seen.len()), false);
        for sighting in seen {
            let (answer, new) = record_sighting(&tx, sighting).await?;
            recorded.push(answer);
            news |= new;
        }
        // A sweep that found all as before wakes nobody: a hundred idle sessions stay idle.
        if news {
            tx.commit().await?;
        } else {
            tx.commit_quietly().await?;
        }
        Ok(recorded)
    }

    /// Applies the hook records of `session` that lie between two offsets of its spool, and moves the offset, in one
    /// transaction: after a crash they are applied again from the same place or not at all.
    ///
    /// Each record counts once, and only with the present generation and its secret. A state older (by the machine's
    /// time since boot) than one that was applied is not gone back to, so callbacks that overtook each other end in
    /// the same state. A session whose agent is over takes no state any more.
    pub async fn apply_signals(
        &self,
        by: &Incarnation,
        session: &SessionId,
        from_offset: u64,
        next_offset: u64,
        applied: &[AppliedSignal],
        now: Timestamp,
    ) -> Result<Applied, FactsError> {
        let mut tx = self.store.begin(Some(by)).await?;
        let Some(row) = tx.session(session).await? else {
            return Ok(Applied::NoSession);
        };
        let at = offset(&tx, session).await?;
        if at != from_offset {
            return Ok(Applied::Overtaken { at });
        }
        let mut heard = Heard::new(&tx, &row).await?;
        let mut counted = 0;
        for AppliedSignal { record, signal } in applied {
            let ours = record.session == *session
                && i64::from(record.generation) == row.generation
                && record.secret == row.secret;
            if ours && store_record(&tx, session, record, signal).await? {
                counted += 1;
                let was_idle = heard.state == ActivityState::Idle.as_str();
                heard.take(record, signal);
                if let Some(prompt) = &signal.prompt {
                    let asked = Asked {
                        session,
                        generation: record.generation,
                        prompt,
                        begins: signal.begins || was_idle,
                        at: now,
                    };
                    prove(&tx, asked).await?;
                }
            }
        }
        let active = ActivityState::Active.as_str();
        if row.activity_state == active && heard.state != active {
            tx.ring(); // a turn ended: what it did last may have been a push
        }
        if counted > 0 {
            heard.write(&tx, session, now).await?;
            forget_old(&tx, session).await?;
        }
        tx.run(
            "hook_spool",
            "INSERT INTO hook_spool (session_id, \"offset\") VALUES (?1, ?2)
             ON CONFLICT (session_id) DO UPDATE SET \"offset\" = ?2",
            [
                session.as_str().into(),
                i64::try_from(next_offset).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(Applied::Yes { counted })
    }

    /// A sweep is finished, is due again at `next_due`, and found what `note` says.
    pub async fn sweep_finished(
        &self,
        by: &Incarnation,
        name: &str,
        next_due: Timestamp,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        tx.run(
            "sweeps",
            "UPDATE sweeps SET finished_at = ?2, due_at = ?3, note = ?4 WHERE name = ?1",
            [
                name.into(),
                now.to_string().into(),
                next_due.to_string().into(),
                note.into(),
            ],
        )
        .await?;
        tx.commit().await
    }
}

/// Stores one sighting. The second answer says whether anything that the API shows is different from before.
pub(super) async fn record_sighting(
    tx: &WriteTx,
    sighting: &Sighting,
) -> Result<(Recorded, bool), FactsError> {
    let Sighting {
        session,
        generation,
        seen,
        at,
    } = sighting;
    let present = tx
        .row(
            "sessions",
            "SELECT generation FROM sessions WHERE id = ?",
            [session.as_str().into()],
        )
        .await?;
    let present: Option<i64> = present.map(|row| get(&row, "generation")).transpose()?;
    if present != Some(i64::from(*generation)) {
        return Ok((Recorded::OtherGeneration, false));
    }
    let old = session_process::Entity::find_by_id(session.as_str())
        .one(tx.connection())
        .await;
    // A row of an earlier run says nothing about this one.
    let old = old
        .map_err(read("session_process"))?
        .filter(|old| old.generation == i64::from(*generation));
    let at = at.to_string();
    let same = old.as_ref().filter(|old| old.looked == seen.looked.as_str());
    let known = |column: fn(&session_process::Model) -> &Option<String>| {
        old.as_ref().and_then(|old| column(old).clone())
    };
    let new = session_process::Model {
        session_id: session.to_string(),
        generation: i64::from(*generation),
        holder: seen
            .holder
            .as_ref()
            .map(text_of)
            .or_else(|| known(|old| &old.holder)),
        agent: seen
            .agent
            .as_ref()
            .map(text_of)
            .or_else(|| known(|old| &old.agent)),
        looked: seen.looked.to_string(),
        looked_at: at.clone(),
        since: same.map_or(at, |same| same.since.clone()),
        looks: same.map_or(1, |same| same.looks + 1),
        exit: seen.exit.as_ref().map(text_of).or_else(|| known(|old| &old.exit)),
        note: seen.note.clone(),
    };
    let shown = |row: &session_process::Model| {
        (
            row.holder.clone(),
            row.agent.clone(),
            row.looked.clone(),
            row.exit.clone(),
            row.note.clone(),
        )
    };
    let news = old.as_ref().map(shown) != Some(shown(&new));
    upsert(tx, new).await?;
    Ok((Recorded::Yes, news))
}

async fn upsert(tx: &WriteTx, row: session_process::Model) -> Result<(), FactsError> {
    use session_process::Column;
    let columns = [
        Column::Generation,
        Column::Holder,
        Column::Agent,
        Column::Looked,
        Column::LookedAt,
        Column::Since,
        Column::Looks,
        Column::Exit,
        Column::Note,
    ];
    // Each column set, so that none is taken for "as it was".
    let row = session_process::ActiveModel {
        session_id: Set(row.session_id),
        generation: Set(row.generation),
        holder: Set(row.holder),
        agent: Set(row.agent),
        looked: Set(row.looked),
        looked_at: Set(row.looked_at),
        since: Set(row.since),
        looks: Set(row.looks),
        exit: Set(row.exit),
        note: Set(row.note),
    };
    session_process::Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::SessionId)
                .update_columns(columns)
                .to_owned(),
        )
        .exec_without_returning(tx.connection())
        .await
        .map(drop)
        .map_err(write("session_process"))
}

async fn offset(tx: &WriteTx, session: &SessionId) -> Result<u64, FactsError> {
    let sql = "SELECT \"offset\" AS at FROM hook_spool WHERE session_id = ?";
    match tx.row("hook_spool", sql, [session.as_str().into()]).await? {
        Some(row) => number("hook_spool", session.as_str(), "offset", get(&row, "at")?),
        None => Ok(0),
    }
}

/// Stores one record; `false` when its number was stored before.
async fn store_record(
    tx: &WriteTx,
    session: &SessionId,
    record: &HookRecord,
    signal: &Signal,
) -> Result<bool, FactsError> {
    let stored = tx
        .run(
            "signals",
            "INSERT INTO signals (event_id, session_id, generation, agent, event, state, at, boot, boot_ms, tool)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
            [
                record.id.as_str().into(),
                session.as_str().into(),
                i64::from(record.generation).into(),
                record.agent.as_str().into(),
                record.event.as_str().into(),
                signal.state.map(ActivityState::as_str).into(),
                record.at.to_string().into(),
                record.boot.as_str().into(),
                i64::try_from(record.boot_ms).unwrap_or(i64::MAX).into(),
                signal.tool.as_ref().and_then(ToolUse::begun).into(),
            ],
        )
        .await?;
    Ok(stored == 1)
}

async fn forget_old(tx: &WriteTx, session: &SessionId) -> Result<(), FactsError> {
    tx.run(
        "signals",
        "DELETE FROM signals WHERE session_id = ?1 AND seq <= (
             SELECT seq FROM signals WHERE session_id = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        [
            session.as_str().into(),
            i64::from(ObservationWriter::SIGNALS_KEPT).into(),
        ],
    )
    .await
    .map(drop)
}

/// What the session's row says after the records so far.
struct Heard {
    over: bool,
    state: String,
    since: String,
    first_signal_at: Option<String>,
    native_id: Option<String>,
    title: Option<String>,
    last_message: Option<String>,
    summary: Option<String>,
    tool: Option<String>,
    why: Option<String>,
    delay: Option<Delay>,
    trouble: Option<String>,
    wall: Option<Wall>,
    /// When a hook last said a state: what a transcript tells of before that comes too late.
    last_at: Option<String>,
    /// The newest time of a state, by boot.
    newest: HashMap<String, u64>,
}

impl Heard {
    async fn new(tx: &WriteTx, row: &sessions::Model) -> Result<Self, FactsError> {
        // Of the boot that was heard last: times of another boot do not compare.
        let sql = "SELECT boot, max(boot_ms) AS newest FROM signals
            WHERE session_id = ?1 AND generation = ?2 AND state IS NOT NULL AND boot = (
                SELECT boot FROM signals
                WHERE session_id = ?1 AND generation = ?2 AND state IS NOT NULL ORDER BY seq DESC LIMIT 1)
            GROUP BY boot";
        let last = tx
            .row("signals", sql, [row.id.as_str().into(), row.generation.into()])
            .await?;
        let sql = "SELECT max(at) AS last_at FROM signals
            WHERE session_id = ?1 AND generation = ?2 AND state IS NOT NULL AND boot <> ''";
        let told = tx
            .row("signals", sql, [row.id.as_str().into(), row.generation.into()])
            .await?;
        let last_at = told.map(|told| get(&told, "last_at")).transpose()?.flatten();
        let newest = match last {
            Some(last) => HashMap::from([(
                get(&last, "boot")?,
                number("signals", &row.id, "boot_ms", get(&last, "newest")?)?,
            )]),
            None => HashMap::new(),
        };
        Ok(Self {
            over: crate::read::TERMINATED
                .iter()
                .any(|phase| row.phase == phase.as_str()),
            state: row.activity_state.clone(),
            since: row.activity_since.clone(),
            first_signal_at: row.first_signal_at.clone(),
            native_id: row.native_id.clone(),
            title: row.title.clone(),
            last_message: row.last_message.clone(),
            summary: row.summary.clone(),
            tool: row.tool.clone(),
            why: row.said_why.clone(),
            delay: sessions::delay(row)?,
            trouble: row.trouble.clone(),
            wall: sessions::wall(row)?,
            last_at,
            newest,
        })
    }

    fn take(&mut self, record: &HookRecord, signal: &Signal) {
        let at = record.at.to_string();
        self.first_signal_at.get_or_insert_with(|| at.clone());
        if let Some(id) = &signal.native_id {
            // What it called the conversation before says nothing of another.
            if self.native_id.as_ref().is_some_and(|known| known != id) {
                self.summary = None;
            }
            self.native_id = Some(id.clone());
        }
        if let Some(summary) = &signal.summary {
            self.summary = Some(summary.clone());
        }
        if let Some(title) = &signal.title {
            self.title = Some(title.clone());
        }
        if let Some(message) = &signal.last_message {
            self.last_message = Some(message.clone());
        }
        let Some(state) = signal.state else {
            // Told before its turn is known to have ended, it counts when that is.
            let works = self.state == ActivityState::Active.as_str();
            self.wall = match self.wall {
                Some(met) => Some(met.sharpened_by(signal.wall)),
                None => signal.wall.filter(|_| works),
            };
            return;
        };
        if record.boot.is_empty() {
            // Out of a transcript, which is written later than hooks are run.
            if self.last_at.as_ref().is_some_and(|last| at < *last) {
                return;
            }
        } else {
            self.last_at = self.last_at.take().max(Some(at.clone()));
        }
        let newest = self.newest.entry(record.boot.clone()).or_insert(record.boot_ms);
        if record.boot_ms < *newest {
            return;
        }
        *newest = record.boot_ms;
        if self.over {
            return;
        }
        // That it goes on waiting is no news: neither of the error that is why, nor of its quota.
        let waits_on = state == ActivityState::Idle && self.state == state.as_str();
        if signal.trouble.is_some() || !waits_on {
            self.trouble.clone_from(&signal.trouble);
        }
        self.wall = match signal.wall {
            Some(wall) => Some(wall.sharpened_by(self.wall)),
            None => self.wall.filter(|_| waits_on),
        };
        let works = matches!(state, ActivityState::Active | ActivityState::WaitingInput);
        let used = self.tool.take().filter(|_| works);
        self.tool = match &signal.tool {
            Some(tool) => tool.after(used),
            None => used,
        };
        // A reason is one of its state, and of the tool that it has to do with.
        let is_same = self.state == state.as_str() && signal.tool.is_none();
        if signal.why.is_some() || !is_same {
            self.why.clone_from(&signal.why);
        }
        // A dialog stays until a look does not find it any more.
        self.delay = None;
        if self.state != state.as_str() {
            self.state = state.to_string();
            self.since = at;
        }
    }

    async fn write(self, tx: &WriteTx, session: &SessionId, now: Timestamp) -> Result<(), FactsError> {
        use sessions::Column;
        sessions::Entity::update_many()
            .col_expr(Column::ActivityState, Expr::value(self.state))
            .col_expr(Column::ActivitySince, Expr::value(self.since))
            .col_expr(Column::FirstSignalAt, Expr::value(self.first_signal_at))
            .col_expr(Column::NativeId, Expr::value(self.native_id))
            .col_expr(Column::Title, Expr::value(self.title))
            .col_expr(Column::LastMessage, Expr::value(self.last_message))
            .col_expr(Column::Summary, Expr::value(self.summary))
            .col_expr(Column::Tool, Expr::value(self.tool))
            .col_expr(Column::SaidWhy, Expr::value(self.why))
            .col_expr(Column::DelayUntil, Expr::value(until(self.delay.as_ref())))
            .col_expr(Column::Delay, Expr::value(self.delay.map(|delay| delay.said)))
            .col_expr(Column::Trouble, Expr::value(self.trouble))
            .col_expr(
                Column::WallAt,
                Expr::value(self.wall.map(|wall| wall.at.to_string())),
            )
            .col_expr(
                Column::WallUntil,
                Expr::value(self.wall.map(|wall| wall.until.to_string())),
            )
            .col_expr(
                Column::WallTold,
                Expr::value(self.wall.is_some_and(|wall| wall.is_told)),
            )
            .col_expr(Column::UpdatedAt, Expr::value(now.to_string()))
            .filter(Column::Id.eq(session.as_str()))
            .exec(tx.connection())
            .await
            .map(drop)
            .map_err(write("sessions"))
    }
}
