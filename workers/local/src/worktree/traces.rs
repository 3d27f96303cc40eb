//! Everything outside our database that carries a name of ours: directories where only worktrees of ours lie, our records
//! and locks, what git keeps for worktrees there, branches `ao/…`, refs `refs/ao/rescue/…`.
//!
//! A name proves nothing: what no record of ours speaks of is foreign. One thing is one trace: what git keeps of a worktree whose
//! directory is gone is told as our record where there is one. Nothing is changed here, and no lock is waited for.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use ao_domain::port::upkeep::{Standing, Thing, Trace, Traces};
use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{SessionId, Timestamp, WorktreeOwner};
use camino::{Utf8Path, Utf8PathBuf};

use super::link::{self, Link};
use super::lock::Lock;
use super::provision::draft;
use super::record::{Record, Stage, blocking, io_error, sessions_in};
use super::registry::{self, resolved};
use super::{GitWorktrees, is_there, refs};

/// The names a worktree has beside its own while it leaves or is attached.
pub(super) const ASIDE: [&str; 3] = [".leaving-", ".gone-", ".attaching-"];

/// Where the worktree of `owner` is under those names.
pub(super) fn asides(owner: &WorktreeOwner) -> [Utf8PathBuf; 3] {
    ASIDE.map(|aside| owner.path.with_file_name(format!("{aside}{}", owner.session)))
}

impl GitWorktrees {
    pub(super) async fn all_traces(&self, repos: &[Utf8PathBuf]) -> Result<Traces, WorktreeError> {
        let (root, locks) = (self.root.clone(), self.locks.clone());
        let here = blocking("looking for worktrees", &self.root, move || {
            let records = Record::every(&locks)?;
            let mut found = Vec::new();
            directories(&root, &root, &records, &mut found)?;
            folders(&locks, &mut found)?;
            Ok((records, found))
        });
        let (records, found) = here.await?;
        let mut traces = Traces {
            found,
            unread: Vec::new(),
        };
        for record in &records {
            match self.record_trace(record).await {
                Ok(trace) => traces.found.extend(trace),
                Err(error) => traces.unread.push((record.repo.clone(), error)),
            }
        }
        for repo in repos {
            match self.in_repository(repo, &records).await {
                Ok(found) => traces.found.extend(found),
                Err(error) => traces.unread.push((repo.clone(), error)),
            }
        }
        traces.unread.dedup_by(|a, b| a.0 == b.0);
        Ok(traces)
    }

    /// A record whose worktree is not there, unless what it is kept for is a trace of its own.
    async fn record_trace(&self, record: &Record) -> Result<Option<Trace>, WorktreeError> {
        let owned = record.owned();
        if is_there(&owned.owner.path)? || asides(&owned.owner).iter().any(|path| path.exists()) {
            return Ok(None);
        }
        let standing = if link::repository(&record.repo).is_none() {
            Standing::Keeps // of a repository that may only have moved
        } else if record.stage == Stage::Gone {
            if self.is_needed(record).await? {
                return Ok(None);
            }
            Standing::Leftover
        } else {
            let entry = registry::find(&self.git, &owned.owner).await?;
            let held = match &entry {
                Some(entry) => !self.held_of_missing(&owned.owner, entry).await?.is_empty(),
                None => false,
            };
            if held { Standing::Keeps } else { Standing::Leftover }
        };
        Ok(Some(Trace {
            thing: Thing::Record {
                path: record.path.clone(),
                branch: record.branch.clone(),
            },
            repo: Some(record.repo.clone()),
            session: Some(record.session.clone()),
            changed_at: changed_at(
                self.locks
                    .join(record.session.as_str())
                    .join("owner.json")
                    .as_std_path(),
            ),
            record: Some(owned),
            standing,
        }))
    }

    /// Whether the branch or the rescue ref that the record of a removed worktree is kept for is there.
    pub(super) async fn is_needed(&self, record: &Record) -> Result<bool, WorktreeError> {
        let branch = format!("refs/heads/{}", record.branch);
        for name in [Some(&branch), record.rescue.as_ref()].into_iter().flatten() {
            if refs::commit(&self.git, &record.repo, name).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn in_repository(&self, repo: &Utf8Path, records: &[Record]) -> Result<Vec<Trace>, WorktreeError> {
        let Some(common) = link::repository(repo) else {
            return Err(WorktreeError::NotARepository {
                path: repo.to_owned(),
            });
        };
        let of_here = |record: &&Record| link::repository(&record.repo).as_ref() == Some(&common);
        let records: Vec<&Record> = records.iter().filter(of_here).collect();
        let mut found = self.registrations(repo, &records);
        let mut rescues = Vec::new();
        let out = self.git.call(repo, "for-each-ref");
        let out = out
            .arg("--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(worktreepath)%00")
            .args(["refs/heads/ao/", "refs/ao/rescue/"])
            .text()
            .await?;
        let out = String::from_utf8_lossy(&out);
        let fields: Vec<&str> = out.split('\0').collect();
        for line in fields.chunks_exact(4) {
            let (name, tip) = (line[0].trim_start_matches('\n'), line[1]);
            let changed_at = line[2].parse().ok();
            let changed_at =
                changed_at.map(|seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000)));
            if let Some(branch) = name.strip_prefix("refs/heads/") {
                let checked_out = (!line[3].is_empty()).then(|| Utf8PathBuf::from(line[3]));
                let trace = self.branch(repo, &records, branch, tip, checked_out).await?;
                found.push(Trace { changed_at, ..trace });
            } else if let Some(session) = name.split('/').nth(3) {
                let record = records.iter().find(|record| record.session.as_str() == session);
                rescues.push(Trace {
                    thing: Thing::Rescue {
                        name: name.to_owned(),
                        commit: tip.to_owned(),
                    },
                    repo: Some(repo.to_owned()),
                    session: session.parse().ok(),
                    record: record.map(|record| record.owned()),
                    changed_at,
                    standing: Standing::Keeps,
                });
            }
        }
        found.append(&mut rescues);
        Ok(found)
    }

    async fn branch(
        &self,
        repo: &Utf8Path,
        records: &[&Record],
        name: &str,
        tip: &str,
        checked_out: Option<Utf8PathBuf>,
    ) -> Result<Trace, WorktreeError> {
        let own_commits = self.own_commits(repo, name, tip).await?;
        let record = records.iter().find(|record| record.branch == name);
        let standing = match record {
            None => Standing::Foreign,
            Some(_) if checked_out.is_some() => Standing::InUse,
            Some(record) if record.stage != Stage::Gone => Standing::InUse,
            Some(record) if record.made_at.is_some() && own_commits == 0 => Standing::Leftover,
            Some(_) => Standing::Keeps,
        };
        Ok(Trace {
            thing: Thing::Branch {
                name: name.to_owned(),
                tip: tip.to_owned(),
                own_commits,
                checked_out,
            },
            repo: Some(repo.to_owned()),
            session: name.split('/').nth(1).and_then(|part| part.parse().ok()),
            record: record.map(|record| record.owned()),
            changed_at: None,
            standing,
        })
    }

    /// How many commits of the branch `name` at `tip` nothing else holds: no other branch, no tag, no branch of a remote but the
    /// branch's own copies. A session that comes back to it needs those.
    pub(super) async fn own_commits(
        &self,
        repo: &Utf8Path,
        name: &str,
        tip: &str,
    ) -> Result<usize, WorktreeError> {
        let count = self.git.call(repo, "rev-list");
        let count = count
            .args(["--count", tip, "--not", "--tags"])
            .args([&format!("--exclude=*/{name}"), "--remotes"])
            .args([&format!("--exclude={name}"), "--branches", "--"]);
        let text = String::from_utf8_lossy(&count.text().await?).trim().to_owned();
        text.parse().map_err(|_| WorktreeError::Git {
            verb: "rev-list",
            path: repo.to_owned(),
            said: text,
        })
    }

    /// What git keeps for directories under our root that are not there, and that no record of ours speaks of.
    fn registrations(&self, repo: &Utf8Path, records: &[&Record]) -> Vec<Trace> {
        let roots = [self.root.as_std_path().to_owned(), resolved(&self.root)];
        let mut found = Vec::new();
        for gitdir in link::kept(repo) {
            let Some(tree) =
                link::back(&gitdir).and_then(|back| link::plain(&back).parent().map(Path::to_owned))
            else {
                continue;
            };
            let under = roots.iter().any(|root| tree.starts_with(root));
            let told = records
                .iter()
                .any(|record| link::names(&gitdir, record.path.as_std_path()) == Some(true));
            let (true, Ok(path)) = (under && !told && !tree.exists(), Utf8PathBuf::try_from(tree)) else {
                continue;
            };
            found.push(Trace {
                repo: Some(repo.to_owned()),
                session: path.file_name().and_then(named),
                record: None,
                changed_at: changed_at(gitdir.as_std_path()),
                standing: Standing::Foreign,
                thing: Thing::Registration { path },
            });
        }
        found
    }
}

/// The directories below `folder`: those of projects are gone through, and those that hold one of ours further down.
fn directories(
    root: &Utf8Path,
    folder: &Utf8Path,
    records: &[Record],
    found: &mut Vec<Trace>,
) -> io::Result<()> {
    let entries = match folder.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    // A name that is not UTF-8 is no name of ours.
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .collect();
    paths.sort_unstable();
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        let record = records.iter().find(|record| {
            let owner = record.owned().owner;
            owner.path == path || asides(&owner).contains(&path) || draft(&owner) == path
        });
        let further = records.iter().any(|record| record.path.starts_with(&path));
        let goes_on = record.is_none() && (folder == root || further);
        // One that cannot be read is told as it is.
        if goes_on && !path.is_symlink() && path.is_dir() && directories(root, &path, records, found).is_ok()
        {
            continue;
        }
        found.push(Trace {
            repo: record.map(|record| record.repo.clone()),
            session: record.map_or_else(|| named(name), |record| Some(record.session.clone())),
            record: record.map(Record::owned),
            changed_at: changed_at(path.as_std_path()),
            standing: record.map_or(Standing::Foreign, |record| directory(&path, record)),
            thing: Thing::Directory { path },
        });
    }
    Ok(())
}

/// How a directory stands that `record` speaks of.
fn directory(path: &Utf8Path, record: &Record) -> Standing {
    let name = path.file_name().unwrap_or_default();
    if *path == draft(&record.owned().owner) {
        return Standing::InUse; // being copied, or cut; it goes with the next copy or with the worktree
    }
    if *path != record.path {
        let deletable = name.starts_with(".gone-") && record.stage == Stage::Leaving;
        return if deletable || name.starts_with(".attaching-") {
            Standing::Leftover
        } else {
            Standing::Keeps
        };
    }
    match Link::of(path) {
        Link::Leads(gitdir)
            if link::names(&gitdir, path.as_std_path()) == Some(true)
                && link::common(&gitdir) == link::repository(&record.repo) =>
        {
            Standing::InUse
        }
        _ => Standing::Keeps,
    }
}

/// The folders of sessions that hold no record that can be read.
fn folders(locks: &Utf8Path, found: &mut Vec<Trace>) -> io::Result<()> {
    let mut folders = sessions_in(locks)?;
    folders.sort_unstable();
    for path in folders {
        if Record::read(&path).is_some() {
            continue;
        }
        let standing = if !Lock::has_only_ours(&path)? {
            Standing::Foreign
        } else if path.join("owner.json").exists() {
            Standing::Keeps // of a later version, perhaps
        } else {
            Standing::Leftover
        };
        found.push(Trace {
            repo: None,
            session: path.file_name().and_then(named),
            record: None,
            changed_at: changed_at(path.as_std_path()),
            standing,
            thing: Thing::LockFolder { path },
        });
    }
    Ok(())
}

/// The session that the name of a directory speaks of.
fn named(name: &str) -> Option<SessionId> {
    let plain = ASIDE.iter().find_map(|aside| name.strip_prefix(aside));
    plain.unwrap_or(name).parse().ok()
}

fn changed_at(path: &Path) -> Option<Timestamp> {
    let changed = fs::symlink_metadata(path).ok()?.modified().ok()?;
    let since = changed.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

/// Deletes a session's folder in which nothing is remembered, if nobody holds its lock.
pub(super) fn forget_folder(locks: &Utf8Path, session: &SessionId) -> Result<bool, WorktreeError> {
    let folder = locks.join(session.as_str());
    if !is_there(&folder)? {
        return Ok(true);
    }
    let Some(lock) = Lock::take_free(locks, session)? else {
        return Ok(false);
    };
    let io = io_error("looking", &folder);
    if folder.join("owner.json").exists() || !Lock::has_only_ours(&folder).map_err(io)? {
        return Ok(false);
    }
    lock.forget()
        .map_err(io_error("deleting a session's lock folder", &folder))?;
    Ok(true)
}
