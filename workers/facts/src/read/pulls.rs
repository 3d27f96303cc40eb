//! Pull requests, where they are looked at, and what was told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ao_domain::{Check, Episode, Notice, Nudge, PullRequest, RemoteRepo, SessionId, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult};

use super::Reader;
use crate::FactsError;
use crate::entity::{checks, json, number, parse, parse_opt, pull_requests};
use crate::error::read;
use crate::write::get;

/// How long a session that is over is still one whose pull request may come up: it may be the last thing its agent did.
pub const RECENT: Duration = Duration::from_secs(15 * 60);

/// Whether a host takes our credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Nobody has asked yet.
    Unknown,
    /// There are none.
    Missing,
    /// They were refused.
    Refused,
    /// They were taken.
    Accepted,
}

impl TokenState {
    /// The word as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Accepted => "accepted",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "missing" => Self::Missing,
            "refused" => Self::Refused,
            "accepted" => Self::Accepted,
            _ => Self::Unknown, // the column takes no other word
        }
    }
}

/// What is left of a budget, and who spent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// What there is in a window.
    pub limit: u32,
    /// What is left in this one.
    pub left: u32,
    /// What we spent of it; the rest was spent by others with the same credentials.
    pub ours: u32,
    /// When the next window begins; `None` before the first answer.
    pub resets_at: Option<Timestamp>,
}

impl Purse {
    /// What is left at `now`, in hundredths of the whole: all, once the window is over or before anything is known.
    pub fn left_percent(&self, now: Timestamp) -> u32 {
        match self.resets_at {
            Some(at) if now < at && self.limit > 0 => {
                u32::try_from(u64::from(self.left) * 100 / u64::from(self.limit)).unwrap_or(100)
            }
            _ => 100,
        }
    }

    /// What others spent in this window.
    pub fn others(&self) -> u32 {
        self.limit.saturating_sub(self.left).saturating_sub(self.ours)
    }
}

/// A host that is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayState {
    /// Which.
    pub host: String,
    /// Where the credentials come from.
    pub source: Option<String>,
    /// Whether they are taken.
    pub token: TokenState,
    /// What looks at many pull requests are paid from.
    pub batch: Purse,
    /// What lists and logs are paid from.
    pub single: Purse,
    /// Nothing is asked before then.
    pub cool_until: Option<Timestamp>,
    /// What is wrong.
    pub trouble: Option<String>,
    /// When it answered last.
    pub answered_at: Option<Timestamp>,
}

/// A repository that is watched.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct RepositoryState {
    /// What the next list is to be asked with.
    pub validator: Option<String>,
    /// When it was listed last.
    pub listed_at: Option<Timestamp>,
    /// How far back everything was seen.
    pub seen_to: Option<Timestamp>,
    /// When something was pushed last.
    pub pushed_at: Option<Timestamp>,
    /// Why the last list could not be had.
    pub trouble: Option<String>,
    /// How many could not in a row.
    pub failures: u32,
}

/// The looks at pull requests that something here asked for, as they stood when the bells had rung so often.
#[derive(Debug)]
pub(crate) struct Owed {
    rung: u64,
    /// The pull request, and since when.
    looks: BTreeMap<u64, String>,
}

/// What is going on around a pull request that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullWork {
    /// Whether its agent is over.
    pub is_over: bool,
    /// Whether its agent works.
    pub is_active: bool,
    /// How many checks have not ended.
    pub running: u32,
    /// Of how many that failed the log is still to be read.
    pub wanted: u32,
    /// Of how many it was read.
    pub read: u32,
}

/// Everything that was told, or is to be told, of a session's failing checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEpisode {
    /// The episode.
    pub episode: Episode,
    /// Its pull request.
    pub pr: PullRequest,
    /// The checks of that.
    pub checks: Vec<Check>,
    /// What was told of it, and of other episodes of the same commit.
    pub nudges: Vec<Nudge>,
}

impl Reader {
    /// The remotes of active projects that have a session whose pull requests may matter: one that is not over or was not yet at
    /// `since`, or that has one which is followed.
    pub async fn watched_remotes(&self, since: Timestamp) -> Result<Vec<String>, FactsError> {
        let sql = "SELECT DISTINCT p.origin FROM projects AS p WHERE p.archived_at IS NULL AND p.origin IS NOT NULL AND EXISTS (
                SELECT 1 FROM sessions AS s WHERE s.project_id = p.id AND s.kind = 'worker' AND (
                    s.phase NOT IN ('finished', 'stopping', 'freeing', 'ended') OR s.phase_at >= ?
                    OR EXISTS (SELECT 1 FROM pull_requests AS r WHERE r.session_id = s.id AND r.followed = 1)))
            ORDER BY p.origin";
        let rows = self.rows("projects", sql, [since.to_string().into()]).await?;
        rows.iter().map(|row| get(row, "origin")).collect()
    }

    /// The repositories where a session's pull request may come up at `now`, of the remotes that `known` knows one of.
    pub async fn watched_repositories(
        &self,
        known: impl Fn(&str) -> Option<RemoteRepo>,
        now: Timestamp,
    ) -> Result<BTreeSet<RemoteRepo>, FactsError> {
        let remotes = self.watched_remotes(now.before(RECENT)).await?;
        Ok(remotes.iter().filter_map(|remote| known(remote)).collect())
    }

    /// The hosts that are spoken to at `now`: those of watched repositories, and of pull requests that are followed.
    pub async fn watched_hosts(
        &self,
        known: impl Fn(&str) -> Option<RemoteRepo>,
        now: Timestamp,
    ) -> Result<BTreeSet<String>, FactsError> {
        let mut repositories = self.watched_repositories(known, now).await?;
        repositories.extend(self.followed_repositories().await?);
        Ok(repositories.into_iter().map(|repo| repo.host).collect())
    }

    /// The pull requests of active projects that are followed, by number here.
    pub async fn followed_pulls(&self) -> Result<Vec<u64>, FactsError> {
        let sql = "SELECT r.id FROM pull_requests AS r JOIN sessions AS s ON s.id = r.session_id JOIN projects AS p ON p.id = s.project_id
            WHERE r.followed = 1 AND p.archived_at IS NULL ORDER BY r.id";
        let rows = self.rows("pull_requests", sql, []).await?;
        rows.iter()
            .map(|row| number("pull_requests", "", "id", get(row, "id")?))
            .collect()
    }

    /// The repositories that have a pull request of an active project which is followed.
    pub async fn followed_repositories(&self) -> Result<Vec<RemoteRepo>, FactsError> {
        let sql = "SELECT DISTINCT r.repository FROM pull_requests AS r JOIN sessions AS s ON s.id = r.session_id
            JOIN projects AS p ON p.id = s.project_id WHERE r.followed = 1 AND p.archived_at IS NULL ORDER BY r.repository";
        let rows = self.rows("pull_requests", sql, []).await?;
        rows.iter()
            .map(|row| {
                parse(
                    "pull_requests",
                    "",
                    "repository",
                    &get::<String>(row, "repository")?,
                )
            })
            .collect()
    }

    /// A pull request by its number here.
    pub async fn pull(&self, id: u64) -> Result<Option<PullRequest>, FactsError> {
        let row = pull_requests::Entity::find_by_id(i64::try_from(id).unwrap_or(i64::MAX))
            .one(self.store.readers())
            .await;
        row.map_err(read("a pull request"))?
            .map(TryInto::try_into)
            .transpose()
    }

    /// What is going on around a pull request. Reads no logs, so it is asked at every look.
    pub async fn pull_work(&self, id: u64) -> Result<Option<PullWork>, FactsError> {
        let sql = "SELECT s.phase IN ('finished', 'stopping', 'freeing', 'ended') AS is_over, s.activity_state = 'active' AS is_active,
                count(c.pr) FILTER (WHERE c.status IN ('queued', 'in_progress')) AS running,
                count(c.pr) FILTER (WHERE c.evidence = 'wanted') AS wanted,
                count(c.pr) FILTER (WHERE c.evidence = 'read') AS read
            FROM pull_requests AS p JOIN sessions AS s ON s.id = p.session_id LEFT JOIN checks AS c ON c.pr = p.id
            WHERE p.id = ? GROUP BY p.id";
        let id = i64::try_from(id).unwrap_or(i64::MAX);
        let rows = self.rows("a pull request", sql, [id.into()]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let count = |name| number("checks", "", name, get(row, name)?);
        Ok(Some(PullWork {
            is_over: get::<i64>(row, "is_over")? != 0,
            is_active: get::<i64>(row, "is_active")? != 0,
            running: count("running")?,
            wanted: count("wanted")?,
            read: count("read")?,
        }))
    }

    /// When a look at a pull request was asked for last by what happened here. All are read once for each ring of the bells, for all
    /// who were woken by it.
    pub async fn pull_wake(&self, id: u64) -> Result<Option<Timestamp>, FactsError> {
        let rung = self.store.bell().count();
        let mut known = self.store.owed().lock().await;
        if known.as_ref().is_none_or(|owed| owed.rung != rung) {
            let sql = "SELECT id, wake_at FROM pull_requests WHERE wake_at IS NOT NULL";
            let mut looks = BTreeMap::new();
            for row in self.rows("pull requests", sql, []).await? {
                let id = number("pull_requests", "", "id", get(&row, "id")?)?;
                looks.insert(id, get(&row, "wake_at")?);
            }
            *known = Some(Owed { rung, looks });
        }
        let wake = known.as_ref().and_then(|owed| owed.looks.get(&id));
        parse_opt("pull_requests", "", "wake_at", wake.map(String::as_str))
    }

    /// Pull requests, those that changed last first; of one session, or of all.
    pub async fn pulls(&self, session: Option<&SessionId>) -> Result<Vec<PullRequest>, FactsError> {
        let mut query = pull_requests::Entity::find();
        if let Some(session) = session {
            query = query.filter(pull_requests::Column::SessionId.eq(session.as_str()));
        }
        let rows = query
            .order_by_desc(pull_requests::Column::ChangedAt)
            .order_by_desc(pull_requests::Column::Id)
            .all(self.store.readers())
            .await;
        rows.map_err(read("pull requests"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// The pull requests of a repository that are tracked.
    pub async fn pulls_in(&self, repo: &RemoteRepo) -> Result<Vec<PullRequest>, FactsError> {
        let rows = pull_requests::Entity::find()
            .filter(pull_requests::Column::Repository.eq(repo.to_string()))
            .all(self.store.readers())
            .await;
        rows.map_err(read("pull requests"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// The checks of a pull request's head, by name.
    pub async fn checks(&self, pr: u64) -> Result<Vec<Check>, FactsError> {
        let rows = checks::Entity::find()
            .filter(checks::Column::Pr.eq(i64::try_from(pr).unwrap_or(i64::MAX)))
            .order_by_asc(checks::Column::Name)
            .order_by_asc(checks::Column::Key)
            .all(self.store.readers())
            .await;
        rows.map_err(read("checks"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// The episodes of a pull request, oldest first.
    pub async fn episodes(&self, pr: u64) -> Result<Vec<Episode>, FactsError> {
        let pr = i64::try_from(pr).unwrap_or(i64::MAX);
        let sql = "SELECT id, pr, kind, head, opened_at, closed_at, closed_by FROM episodes WHERE pr = ? ORDER BY id";
        let rows = self.rows("episodes", sql, [pr.into()]).await?;
        rows.iter().map(episode).collect()
    }

    /// What its session was told of a pull request, oldest first; what an earlier owner was told is not known to this one.
    pub async fn nudges(&self, pr: u64) -> Result<Vec<Nudge>, FactsError> {
        let pr = i64::try_from(pr).unwrap_or(i64::MAX);
        let sql =
            "SELECT n.episode, e.head, n.generation, n.round, n.told, n.message, m.generation AS typed_in,
                m.state = 'failed' AND m.typings = 0 AND m.perhaps = 0 AND e.closed_at IS NOT NULL AS lost
            FROM nudges AS n JOIN episodes AS e ON e.id = n.episode JOIN messages AS m ON m.id = n.message
            JOIN pull_requests AS p ON p.id = e.pr AND p.session_id = n.session_id
            WHERE e.pr = ? ORDER BY n.message";
        let rows = self.rows("nudges", sql, [pr.into()]).await?;
        rows.iter().map(nudge).collect()
    }

    /// The open episodes of a session's pull requests, with all that is needed to say what is to be told.
    pub async fn open_episodes(&self, session: &SessionId) -> Result<Vec<OpenEpisode>, FactsError> {
        let sql = "SELECT e.id, e.pr, e.kind, e.head, e.opened_at, e.closed_at, e.closed_by FROM episodes AS e
            JOIN pull_requests AS p ON p.id = e.pr WHERE p.session_id = ? AND e.closed_at IS NULL ORDER BY e.id";
        let rows = self.rows("episodes", sql, [session.as_str().into()]).await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in &rows {
            let episode = episode(row)?;
            let Some(pr) = self.pull(episode.pr).await? else {
                continue;
            };
            open.push(OpenEpisode {
                checks: self.checks(pr.id).await?,
                nudges: self.nudges(pr.id).await?,
                episode,
                pr,
            });
        }
        Ok(open)
    }

    /// What a person should know and does not hold for past, newest first.
    pub async fn open_notices(&self) -> Result<Vec<Notice>, FactsError> {
        let sql = "SELECT id, session_id, kind, url, text, created_at, closed_at FROM notices WHERE closed_at IS NULL ORDER BY id DESC";
        let rows = self.rows("notices", sql, []).await?;
        rows.iter()
            .map(|row| {
                const TABLE: &str = "notices";
                let closed: Option<String> = get(row, "closed_at")?;
                Ok(Notice {
                    id: number(TABLE, "", "id", get(row, "id")?)?,
                    session: parse(TABLE, "", "session_id", &get::<String>(row, "session_id")?)?,
                    kind: parse(TABLE, "", "kind", &get::<String>(row, "kind")?)?,
                    url: get(row, "url")?,
                    text: get(row, "text")?,
                    created_at: parse(TABLE, "", "created_at", &get::<String>(row, "created_at")?)?,
                    closed_at: parse_opt(TABLE, "", "closed_at", closed.as_deref())?,
                })
            })
            .collect()
    }

    /// What is known of a repository; the default before its first list.
    pub async fn repository(&self, repo: &RemoteRepo) -> Result<Option<RepositoryState>, FactsError> {
        const TABLE: &str = "repositories";
        let sql = "SELECT validator, listed_at, seen_to, pushed_at, trouble, failures FROM repositories WHERE name = ?";
        let name = repo.to_string();
        let rows = self.rows(TABLE, sql, [name.as_str().into()]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(RepositoryState {
            validator: get(row, "validator")?,
            listed_at: moment(TABLE, &name, row, "listed_at")?,
            seen_to: moment(TABLE, &name, row, "seen_to")?,
            pushed_at: moment(TABLE, &name, row, "pushed_at")?,
            trouble: get(row, "trouble")?,
            failures: number(TABLE, &name, "failures", get(row, "failures")?)?,
        }))
    }

    /// Every host that was ever spoken to, by name.
    pub async fn gateways(&self) -> Result<Vec<GatewayState>, FactsError> {
        let rows = self
            .rows("gateways", "SELECT * FROM gateways ORDER BY host", [])
            .await?;
        rows.iter().map(gateway).collect()
    }

    /// What is known of a host.
    pub async fn gateway(&self, host: &str) -> Result<Option<GatewayState>, FactsError> {
        let rows = self
            .rows("gateways", "SELECT * FROM gateways WHERE host = ?", [host.into()])
            .await?;
        rows.first().map(gateway).transpose()
    }
}

fn moment(
    table: &'static str,
    key: &str,
    row: &QueryResult,
    column: &'static str,
) -> Result<Option<Timestamp>, FactsError> {
    let text: Option<String> = get(row, column)?;
    parse_opt(table, key, column, text.as_deref())
}

fn episode(row: &QueryResult) -> Result<Episode, FactsError> {
    const TABLE: &str = "episodes";
    let id: i64 = get(row, "id")?;
    let key = id.to_string();
    Ok(Episode {
        id: number(TABLE, &key, "id", id)?,
        pr: number(TABLE, &key, "pr", get(row, "pr")?)?,
        kind: parse(TABLE, &key, "kind", &get::<String>(row, "kind")?)?,
        head: get(row, "head")?,
        opened_at: parse(TABLE, &key, "opened_at", &get::<String>(row, "opened_at")?)?,
        closed_at: moment(TABLE, &key, row, "closed_at")?,
        closed_by: get(row, "closed_by")?,
    })
}

fn nudge(row: &QueryResult) -> Result<Nudge, FactsError> {
    const TABLE: &str = "nudges";
    let message: i64 = get(row, "message")?;
    let key = message.to_string();
    let typed_in: Option<i64> = get(row, "typed_in")?;
    Ok(Nudge {
        episode: number(TABLE, &key, "episode", get(row, "episode")?)?,
        head: get(row, "head")?,
        generation: number(TABLE, &key, "generation", get(row, "generation")?)?,
        round: number(TABLE, &key, "round", get(row, "round")?)?,
        told: json(TABLE, &key, "told", &get::<String>(row, "told")?)?,
        message: number(TABLE, &key, "message", message)?,
        typed_in: typed_in
            .map(|run| number(TABLE, &key, "typed_in", run))
            .transpose()?,
        lost: get::<i64>(row, "lost")? != 0,
    })
}

fn gateway(row: &QueryResult) -> Result<GatewayState, FactsError> {
    const TABLE: &str = "gateways";
    let host: String = get(row, "host")?;
    let purse = |limit, left, ours, resets_at| {
        Ok(Purse {
            limit: number(TABLE, &host, limit, get(row, limit)?)?,
            left: number(TABLE, &host, left, get(row, left)?)?,
            ours: number(TABLE, &host, ours, get(row, ours)?)?,
            resets_at: moment(TABLE, &host, row, resets_at)?,
        })
    };
    Ok(GatewayState {
        source: get(row, "source")?,
        token: TokenState::of(&get::<String>(row, "token")?),
        batch: purse("batch_limit", "batch_left", "batch_ours", "batch_resets_at")?,
        single: purse("single_limit", "single_left", "single_ours", "single_resets_at")?,
        cool_until: moment(TABLE, &host, row, "cool_until")?,
        trouble: get(row, "trouble")?,
        answered_at: moment(TABLE, &host, row, "answered_at")?,
        host,
    })
}
