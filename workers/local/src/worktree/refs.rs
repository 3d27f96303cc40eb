//! What a repository is, what may be a branch in it, and what a name in it stands for.

use std::fs;
use std::io;

use ao_domain::port::worktrees::{WorktreeError, WorktreePlan};
use ao_domain::{Claim, Repository, WorktreeOwner};
use camino::{Utf8Path, Utf8PathBuf};

use super::git::Git;
use super::lock::Lock;
use super::record::io_error;
use super::run::refused;

/// What lies at `path`, or why it cannot be worked on. Two looks, made at the same time.
pub(super) async fn repository(git: &Git, path: &Utf8Path) -> Result<Repository, WorktreeError> {
    let here = || path.to_owned();
    let real = match path.canonicalize_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(WorktreeError::NoSuchPath { path: here() });
        }
        other => other.map_err(io_error("looking", path))?,
    };
    if !fs::metadata(&real).map_err(io_error("looking", path))?.is_dir() {
        return Err(WorktreeError::NotARepository { path: here() });
    }
    // It stops at the first question it cannot answer, so the order tells which one that was.
    let look = git
        .call(&real, "rev-parse")
        .env("GIT_CEILING_DIRECTORIES", "") // to say which repository it lies in
        .args(["--is-bare-repository", "--is-inside-git-dir", "--show-toplevel"])
        .args([
            "HEAD^0",
            "--symbolic-full-name",
            "HEAD",
            "refs/remotes/origin/HEAD",
        ])
        .ask();
    let origin = git
        .call(&real, "config")
        .args(["--null", "--get", "remote.origin.url"])
        .ask();
    let (look, origin) = tokio::try_join!(look, origin)?;
    let text = String::from_utf8_lossy(&look.out).into_owned();
    let mut lines = text.lines();
    let (bare, inside) = (lines.next(), lines.next());
    if bare == Some("true") {
        return Err(WorktreeError::Bare { path: here() });
    }
    if inside == Some("true") || look.err.contains("not a git repository") {
        return Err(WorktreeError::NotARepository { path: here() });
    }
    let Some(top) = lines.next().map(Utf8PathBuf::from) else {
        return Err(refused("rev-parse", path, &look)); // such as an owner that `safe.directory` does not allow
    };
    if top.canonicalize_utf8().map_err(io_error("looking", &top))? != real {
        return Err(WorktreeError::NotTheTop { path: here(), top });
    }
    let head = lines.next().filter(|commit| is_commit_id(commit));
    let (Some(commit), Some(branch)) = (head, lines.next()) else {
        return Err(WorktreeError::NoCommits { path: here() });
    };
    // A question that has no answer is repeated instead.
    let remote = lines
        .next()
        .and_then(|name| name.strip_prefix("refs/remotes/"))
        .filter(|name| *name != "origin/HEAD");
    let default_branch = remote
        .or(branch.strip_prefix("refs/heads/"))
        .unwrap_or(commit)
        .to_owned();
    let origin = String::from_utf8_lossy(origin.out.strip_suffix(b"\0").unwrap_or_default()).into_owned();
    Ok(Repository {
        top: real,
        origin: (!origin.is_empty()).then_some(origin),
        default_branch,
    })
}

/// How many times the usual deadline a fetch may take: it grows with what the branch brings, and with the line.
const FETCH: u32 = 5;

/// Fetches the head of a pull request to a name of ours under the remotes: its commits are elsewhere too, and a worktree that holds
/// nothing else may go. No tags come along, no submodules, and `FETCH_HEAD` stays as the person left it.
pub(super) async fn fetch_pull(
    git: &Git,
    lock: &Lock,
    owner: &WorktreeOwner,
    number: u64,
) -> Result<(), WorktreeError> {
    git.call(&owner.repo, "fetch")
        .args([
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ])
        .args(["--", "origin"])
        .arg(format!(
            "+refs/pull/{number}/head:refs/remotes/{}",
            Claim::base_of(number)
        ))
        .patient(FETCH)
        .act(lock)
        .await
}

/// Whether `commit` is on the branch, or on what was last pushed or fetched of it. Fetches nothing to find out.
pub(super) async fn has_commit(
    git: &Git,
    repo: &Utf8Path,
    branch: &str,
    commit: &str,
) -> Result<bool, WorktreeError> {
    if !is_commit_id(commit) || !is_branch_name(branch) || branch.contains(['*', '?', '[', '\\']) {
        return Ok(false);
    }
    let known = git
        .call(repo, "cat-file")
        .env("GIT_NO_LAZY_FETCH", "1")
        .args(["-e", &format!("{commit}^{{commit}}")])
        .ask()
        .await?;
    if !known.status.success() {
        return Ok(false);
    }
    let found = git
        .call(repo, "for-each-ref")
        .env("GIT_NO_LAZY_FETCH", "1")
        .args(["--count=1", "--format=%(refname)", "--contains", commit])
        .args([format!("refs/heads/{branch}"), format!("refs/remotes/*/{branch}")])
        .text()
        .await?;
    Ok(!found.is_empty())
}

pub(super) fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether git takes `name` for a branch: the rules of `git check-ref-format --branch`, and no `refs/` in front, which
/// git would take for a branch of that very name. Asked here and not of git, to spare a spawn one process.
pub(super) fn is_branch_name(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !name.starts_with('-')
        && !name.starts_with("refs/")
        && !matches!(name, "HEAD" | "@")
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte))
        && name.split('/').all(part)
}

/// What the names in a plan stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The branch's commit, where the branch exists.
    pub(super) branch: Option<String>,
    /// What a new branch starts from.
    pub(super) start: Option<String>,
}

/// Looks up the branch and what it would start from: where a person named a branch that only `origin` has, that; else
/// the base as a remote branch, as a branch here, as a branch of `origin`, as a tag, as anything git takes for a commit.
pub(super) async fn names(git: &Git, plan: &WorktreePlan) -> Result<Names, WorktreeError> {
    let branch = format!("refs/heads/{}", plan.owner.branch);
    let mut starts = Vec::new();
    if plan.branch_given {
        starts.push(format!("refs/remotes/origin/{}", plan.owner.branch));
    }
    if is_branch_name(&plan.base) {
        let kinds = [
            "refs/remotes/",
            "refs/heads/",
            "refs/remotes/origin/",
            "refs/tags/",
        ];
        starts.extend(kinds.map(|kind| format!("{kind}{}", plan.base)));
    }
    let out = git
        .call(&plan.owner.repo, "for-each-ref")
        .arg("--format=%(refname)%00%(objectname)%00%(*objectname)%00")
        .arg(&branch)
        .args(&starts)
        .text()
        .await?;
    let out = String::from_utf8_lossy(&out);
    let fields: Vec<&str> = out.split('\0').collect();
    let mut names = Names::default();
    let mut best = starts.len();
    for line in fields.chunks_exact(3) {
        // A tag object is peeled to what it tags; a pattern also matches what lies below it, which is not meant.
        let (name, commit) = (
            line[0].trim_start_matches('\n'),
            if line[2].is_empty() { line[1] } else { line[2] },
        );
        if name == branch {
            names.branch = Some(commit.to_owned());
        }
        if let Some(rank) = starts
            .iter()
            .position(|start| start == name)
            .filter(|rank| *rank < best)
        {
            best = rank;
            names.start = Some(commit.to_owned());
        }
    }
    // Only where no ref has that name: `main` is a branch to the one who wrote it, also beside a tag `main`.
    if names.start.is_none() && !(names.branch.is_some() && plan.branch_given) {
        names.start = commit(git, &plan.owner.repo, &plan.base).await?;
    }
    Ok(names)
}

/// The commit that `name` stands for by git's own rules.
pub(super) async fn commit(git: &Git, repo: &Utf8Path, name: &str) -> Result<Option<String>, WorktreeError> {
    let said = git
        .call(repo, "rev-parse")
        .args(["--verify", "--quiet", "--end-of-options"])
        .arg(format!("{name}^{{commit}}"))
        .ask()
        .await?;
    let text = String::from_utf8_lossy(&said.out).trim().to_owned();
    Ok((said.status.success() && is_commit_id(&text)).then_some(text))
}
