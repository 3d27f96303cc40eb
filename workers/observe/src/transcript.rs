//! One child per session whose agent writes its conversation down: what its hooks do not tell is put into the hook spool.
//!
//! Facts     reads its session's row; writes none: a record in the spool is applied like a hook's, by the same rules.
//! Messages  none. Wakes on the file, and on the row while the agent's own id is not known.
//! Acts      appends to the hook spool.
//! Crash     the next incarnation reads the file from its beginning and puts its newest word down again; a record counts once.
//! Ends      with its key: when nothing more can come of the session.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::agent::{Agents, Note};
use ao_domain::port::clock::Clock;
use ao_domain::port::spool::HookSpool;
use ao_domain::port::transcript::Transcripts;
use ao_domain::{HookRecord, Session, SessionId};
use ao_facts::Reader;
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

/// The longest time a read of the facts or an append may take before the child is held to hang.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often to look for a file that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often to look what the agent calls the conversation, where that stands in another file.
const NAME_AGAIN: Duration = Duration::from_secs(2);

/// The child. A fresh value every incarnation.
pub struct Transcript {
    id: SessionId,
    facts: Reader,
    agents: Arc<dyn Agents>,
    transcripts: Arc<dyn Transcripts>,
    spool: Arc<dyn HookSpool>,
    clock: Arc<dyn Clock>,
    /// The environment that agents inherit: it says where they keep their things.
    env: Arc<[(String, String)]>,
}

impl Transcript {
    /// The child of session `id`.
    pub fn new(
        id: SessionId,
        facts: Reader,
        agents: Arc<dyn Agents>,
        transcripts: Arc<dyn Transcripts>,
        spool: Arc<dyn HookSpool>,
        clock: Arc<dyn Clock>,
        env: Arc<[(String, String)]>,
    ) -> Self {
        Self {
            id,
            facts,
            agents,
            transcripts,
            spool,
            clock,
            env,
        }
    }

    /// The session once it is known where its agent writes.
    async fn begun(&self, ctx: &Context) -> Result<Option<(Session, camino::Utf8PathBuf)>, Crash> {
        loop {
            ctx.beat();
            let Some(session) = self.facts.session(&self.id).await? else {
                return Ok(None);
            };
            let agent = self.agents.get(&session.harness)?;
            let file = session
                .native_id
                .as_deref()
                .and_then(|native| agent.transcript(native, &session.environment(&self.env)));
            if let Some(file) = file {
                return Ok(Some((session, file)));
            }
            let waited = async {
                match session.native_id {
                    None => self.facts.changed_since(&session.id, session.revision).await,
                    // Its id is told before the file is made, and nobody tells of that.
                    Some(_) => self.clock.reaches(self.clock.now().plus(LOOK_AGAIN)).await,
                }
            };
            tokio::select! {
                biased;
                () = ctx.stopping() => return Ok(None),
                () = ctx.beating(waited) => {}
            }
        }
    }

    async fn put(&self, ctx: &Context, session: &Session, note: Note) -> Result<(), Crash> {
        ctx.beat();
        let record = HookRecord {
            v: 1,
            id: note.id,
            session: session.id.clone(),
            generation: session.generation,
            secret: session.secret.clone(),
            agent: session.harness.clone(),
            event: note.event.to_owned(),
            boot: String::new(),
            boot_ms: 0,
            at: note.at.unwrap_or_else(|| self.clock.now()),
            payload: note.payload,
            truncated: false,
        };
        step!("transcript.noted", self.spool.append_seen(&record))?;
        Ok(())
    }
}

impl Child for Transcript {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        let Some((mut session, file)) = self.begun(ctx).await? else {
            ctx.beating(ctx.stopping()).await;
            return Ok(Done);
        };
        let agent = self.agents.get(&session.harness)?;
        let mut follow = self.transcripts.follow(&file);
        let mut last: Option<String> = None;
        let mut is_first = true;
        let mut name_seen: Option<String> = None;
        loop {
            let look_again = self.clock.now().plus(NAME_AGAIN);
            let news = async {
                tokio::select! {
                    biased;
                    lines = follow.lines() => lines,
                    () = self.clock.reaches(look_again) => Ok(Vec::new()),
                }
            };
            let lines = tokio::select! {
                biased;
                () = ctx.stopping() => return Ok(Done),
                lines = ctx.beating(news) => lines?,
            };
            let mut notes: Vec<Note> = lines.iter().filter_map(|line| agent.note(line)).collect();
            // Of what was there before we looked the newest word counts, and what the conversation was called last: the others were
            // overtaken by them.
            if !lines.is_empty() && std::mem::take(&mut is_first) {
                let names = |note: &Note| {
                    let signal = agent.signal(note.event, &note.payload, self.clock.now());
                    signal.is_some_and(|signal| signal.summary.is_some())
                };
                let (mut named, mut told): (Vec<Note>, Vec<Note>) = notes.into_iter().partition(names);
                notes = named.pop().into_iter().chain(told.pop()).collect();
            }
            let native = session.native_id.as_deref();
            let named = native.and_then(|native| agent.named(native, &self.env));
            let named = named.filter(|note| name_seen.as_ref() != Some(&note.id));
            if notes.is_empty() && named.is_none() {
                continue;
            }
            // A run that began since has a secret of its own; what was written before it began is not about it.
            match self.facts.session(&self.id).await? {
                Some(now) => session = now,
                None => return Ok(Done),
            }
            if let Some(note) = named.filter(|_| session.first_signal_at.is_some()) {
                let signal = agent.signal(note.event, &note.payload, self.clock.now());
                let is_news = signal.is_some_and(|signal| signal.summary != session.summary);
                name_seen = Some(note.id.clone());
                notes.extend(is_news.then_some(note));
            }
            for note in notes {
                // What has no time is about the conversation, and no sign that this run of it lives.
                let is_ours = match (note.at, session.first_signal_at) {
                    (Some(at), heard) => at >= session.phase_at || heard.is_some_and(|heard| at >= heard),
                    (None, heard) => heard.is_some(),
                };
                if is_ours && last.as_ref() != Some(&note.id) {
                    last = Some(note.id.clone());
                    self.put(ctx, &session, note).await?;
                }
            }
        }
    }
}
