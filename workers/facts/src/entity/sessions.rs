//! `sessions`, read together with `session_process`.

use ao_domain::{Activity, Delay, Session, Wall};
use sea_orm::entity::prelude::*;

use super::{json, json_opt, number, parse, parse_opt, session_process};
use crate::FactsError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub project_id: String,
    pub num: i64,
    pub kind: String,
    pub issue: Option<String>,
    pub harness: String,
    pub runtime: String,
    pub display_name: Option<String>,
    pub prompt: Option<String>,
    pub command: String,
    pub desired: String,
    pub discard: bool,
    pub phase: String,
    pub phase_at: String,
    pub generation: i64,
    pub secret: String,
    pub repo: String,
    pub base: String,
    pub branch: String,
    pub branch_given: bool,
    pub worktree: String,
    pub worktree_state: String,
    pub holdings: String,
    pub rescue_ref: Option<String>,
    pub activity_state: String,
    pub activity_since: String,
    pub first_signal_at: Option<String>,
    pub native_id: Option<String>,
    pub title: Option<String>,
    pub end_reason: Option<String>,
    pub ended_at: Option<String>,
    pub failure: Option<String>,
    pub revision: i64,
    pub created_at: String,
    pub updated_at: String,
    pub model: Option<String>,
    pub permissions: String,
    pub last_message: Option<String>,
    pub dialog: Option<String>,
    pub delay: Option<String>,
    pub delay_until: Option<String>,
    pub trouble: Option<String>,
    pub messages_waiting: i64,
    pub waiting_since: Option<String>,
    pub prs: String,
    pub spares_worktree: bool,
    pub merged_before: i64,
    pub setup: String,
    pub provisioning: Option<String>,
    pub ticket: i64,
    pub queued_for: Option<String>,
    pub replaces: Option<String>,
    pub foreign_code: bool,
    pub wall_at: Option<String>,
    pub wall_until: Option<String>,
    pub wall_told: bool,
    pub tool: Option<String>,
    pub said_why: Option<String>,
    pub summary: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(has_one = "super::session_process::Entity")]
    Process,
}

impl Related<session_process::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Process.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// The whole record, from the two rows that one LEFT JOIN gives.
pub(crate) fn record((row, process): (Model, Option<session_process::Model>)) -> Result<Session, FactsError> {
    const TABLE: &str = "sessions";
    let key = row.id.as_str();
    Ok(Session {
        id: parse(TABLE, key, "id", &row.id)?,
        project: parse(TABLE, key, "project_id", &row.project_id)?,
        num: number(TABLE, key, "num", row.num)?,
        kind: parse(TABLE, key, "kind", &row.kind)?,
        command: json(TABLE, key, "command", &row.command)?,
        desired: parse(TABLE, key, "desired", &row.desired)?,
        discard: row.discard,
        phase: parse(TABLE, key, "phase", &row.phase)?,
        phase_at: parse(TABLE, key, "phase_at", &row.phase_at)?,
        generation: number(TABLE, key, "generation", row.generation)?,
        branch_given: row.branch_given,
        worktree_state: parse(TABLE, key, "worktree_state", &row.worktree_state)?,
        holdings: json(TABLE, key, "holdings", &row.holdings)?,
        activity: Activity {
            state: parse(TABLE, key, "activity_state", &row.activity_state)?,
            since: parse(TABLE, key, "activity_since", &row.activity_since)?,
        },
        first_signal_at: parse_opt(TABLE, key, "first_signal_at", row.first_signal_at.as_deref())?,
        process: process.map(TryInto::try_into).transpose()?,
        end_reason: parse_opt(TABLE, key, "end_reason", row.end_reason.as_deref())?,
        ended_at: parse_opt(TABLE, key, "ended_at", row.ended_at.as_deref())?,
        revision: number(TABLE, key, "revision", row.revision)?,
        created_at: parse(TABLE, key, "created_at", &row.created_at)?,
        updated_at: parse(TABLE, key, "updated_at", &row.updated_at)?,
        permissions: parse(TABLE, key, "permissions", &row.permissions)?,
        dialog: json_opt(TABLE, key, "dialog", row.dialog.as_deref())?,
        messages_waiting: number(TABLE, key, "messages_waiting", row.messages_waiting)?,
        waiting_since: parse_opt(TABLE, key, "waiting_since", row.waiting_since.as_deref())?,
        prs: json(TABLE, key, "prs", &row.prs)?,
        merged_before: number(TABLE, key, "merged_before", row.merged_before)?,
        spares_worktree: row.spares_worktree,
        setup: json(TABLE, key, "setup", &row.setup)?,
        provisioning: json_opt(TABLE, key, "provisioning", row.provisioning.as_deref())?,
        ticket: number(TABLE, key, "ticket", row.ticket)?,
        queued_for: parse_opt(TABLE, key, "queued_for", row.queued_for.as_deref())?,
        replaces: parse_opt(TABLE, key, "replaces", row.replaces.as_deref())?,
        foreign_code: row.foreign_code,
        wall: wall(&row)?,
        delay: delay(&row)?,
        summary: row.summary,
        tool: row.tool,
        said_why: row.said_why,
        trouble: row.trouble,
        model: row.model,
        last_message: row.last_message,
        issue: row.issue,
        harness: row.harness,
        runtime: row.runtime,
        display_name: row.display_name,
        prompt: row.prompt,
        secret: row.secret,
        repo: row.repo.into(),
        base: row.base,
        branch: row.branch,
        worktree: row.worktree.into(),
        rescue_ref: row.rescue_ref,
        native_id: row.native_id,
        title: row.title,
        failure: row.failure,
    })
}

/// The wait for another try that a row has.
pub(crate) fn delay(row: &Model) -> Result<Option<Delay>, FactsError> {
    let Some(said) = row.delay.clone() else {
        return Ok(None);
    };
    let until = parse_opt("sessions", &row.id, "delay_until", row.delay_until.as_deref())?;
    Ok(Some(Delay { said, until }))
}

/// The wall a row has.
pub(crate) fn wall(row: &Model) -> Result<Option<Wall>, FactsError> {
    let at = |column, text: &Option<String>| parse_opt("sessions", &row.id, column, text.as_deref());
    let times = at("wall_at", &row.wall_at)?.zip(at("wall_until", &row.wall_until)?);
    Ok(times.map(|(at, until)| Wall {
        at,
        until,
        is_told: row.wall_told,
    }))
}
