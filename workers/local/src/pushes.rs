//! What git itself writes down of pushes and fetches: its record of the remotes' branches.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_domain::port::PortFuture;
use ao_domain::port::pushes::{PushWatch, Pushes};
use camino::{Utf8Path, Utf8PathBuf};
use notify::Watcher as _;
use tokio::sync::Notify;

/// How often to try again where nothing can be watched: the repository may come back, or get its first remote branch.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Watches the folders in which git keeps refs. What changes there unseen, such as on a network's file system, is found by the usual
/// look a little later.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitPushes;

impl Pushes for GitPushes {
    fn watch(&self, repo: &Utf8Path) -> Box<dyn PushWatch> {
        Box::new(Watching {
            repo: repo.to_owned(),
            pushed: Arc::default(),
            watcher: None,
        })
    }
}

/// What was heard and not told yet.
#[derive(Default)]
struct Heard {
    wake: Notify,
    /// Branches, and `None` among them where it is not known which.
    changed: Mutex<BTreeSet<Option<String>>>,
}

struct Watching {
    repo: Utf8PathBuf,
    pushed: Arc<Heard>,
    watcher: Option<notify::RecommendedWatcher>,
}

/// The folder that a repository's worktrees share: `.git` itself, or what a file of that name points to.
fn common_dir(repo: &Path) -> Option<PathBuf> {
    let dot_git = repo.join(".git");
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let text = std::fs::read_to_string(dot_git).ok()?;
    let git_dir = repo.join(text.strip_prefix("gitdir:")?.trim());
    match std::fs::read_to_string(git_dir.join("commondir")) {
        Ok(common) => Some(git_dir.join(common.trim())),
        Err(_) => Some(git_dir),
    }
}

/// What a change at `path` says: nothing, that a remote's branch changed, or that any may have. git writes `<ref>.lock` first and renames
/// it.
fn branch_of(path: &Path) -> Option<Option<String>> {
    if path.extension().is_some_and(|end| end == "lock") {
        return None;
    }
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
    if !parts.any(|part| part == "remotes") {
        let is_packed = path.file_name().is_some_and(|name| name == "packed-refs");
        return is_packed.then_some(None);
    }
    let below: Vec<_> = parts.skip(1).collect(); // the remote's own name comes first
    Some((!below.is_empty()).then(|| below.join("/")))
}

/// Begins to watch; blocking. `None`: nothing is there, or the system watches no more.
fn begin(repo: &Path, heard: Arc<Heard>) -> Option<notify::RecommendedWatcher> {
    let common = common_dir(repo)?;
    let refs = common.join("refs");
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let branches: Vec<_> = event.paths.iter().filter_map(|path| branch_of(path)).collect();
        if !event.kind.is_access() && !branches.is_empty() {
            let mut changed = heard.changed.lock().unwrap_or_else(PoisonError::into_inner);
            changed.extend(branches);
            heard.wake.notify_one(); // keeps one permit when nobody waits: no push is lost
        }
    });
    let mut watcher = watcher.ok()?;
    // All below `refs`, for `remotes` may not be there yet; and what has no folder of its own lies beside it.
    watcher.watch(&refs, notify::RecursiveMode::Recursive).ok()?;
    watcher.watch(&common, notify::RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

impl Watching {
    async fn begin(&mut self) {
        while self.watcher.is_none() {
            let (repo, pushed) = (self.repo.clone(), self.pushed.clone());
            let begun = tokio::task::spawn_blocking(move || begin(repo.as_std_path(), pushed)).await;
            self.watcher = begun.ok().flatten();
            if self.watcher.is_none() {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

impl PushWatch for Watching {
    fn pushed(&mut self) -> PortFuture<'_, Vec<String>> {
        Box::pin(async {
            self.begin().await;
            loop {
                self.pushed.wake.notified().await;
                let mut changed = self.pushed.changed.lock().unwrap_or_else(PoisonError::into_inner);
                let changed = std::mem::take(&mut *changed);
                if changed.is_empty() {
                    continue; // told with the change before
                }
                let all: Option<Vec<String>> = changed.into_iter().collect();
                return all.unwrap_or_default();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(dir: &Path, args: &[&str]) {
        #[expect(clippy::disallowed_methods, reason = "a repository to look at")]
        let mut git = std::process::Command::new("git");
        let done = git
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// Resolves once what `act` does to `repo` is noticed, with the branches that changed.
    async fn noticed(repo: &Path, act: impl FnOnce()) -> Vec<String> {
        let mut watching = Watching {
            repo: Utf8Path::from_path(repo).unwrap().to_owned(),
            pushed: Arc::default(),
            watcher: None,
        };
        watching.begin().await;
        act();
        let noticed = tokio::time::timeout(Duration::from_secs(20), watching.pushed());
        noticed.await.expect("nothing was noticed")
    }

    #[tokio::test]
    async fn a_push_from_a_worktree_is_noticed_and_so_are_packed_refs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (repo, tree) = (at("repo"), at("tree"));
        std::fs::create_dir(&repo).unwrap();
        git(&repo, &["init", "-q", "-b", "main"]);
        git(&repo, &["commit", "-q", "--allow-empty", "-m", "one"]);
        git(dir.path(), &["init", "-q", "--bare", "bare"]);
        git(&repo, &["remote", "add", "origin", at("bare").to_str().unwrap()]);
        git(
            &repo,
            &["worktree", "add", "-q", "-b", "a/b", tree.to_str().unwrap()],
        );
        let push = || {
            git(&tree, &["commit", "-q", "--allow-empty", "-m", "more"]);
            git(&tree, &["push", "-q", "origin", "a/b"]);
        };
        noticed(&repo, push).await; // makes `refs/remotes`: which branch it was may not be known
        assert_eq!(noticed(&repo, push).await, ["a/b"]);
        let any: [&str; 0] = [];
        let packed = noticed(&repo, || git(&repo, &["pack-refs", "--all"])).await;
        assert!(
            packed == any || packed.iter().all(|branch| "a/b".starts_with(branch.as_str())),
            "{packed:?}"
        );
        noticed(&tree, push).await;
    }

    #[test]
    fn commits_and_locks_are_no_pushes() {
        let some = |branch: &str| Some(Some(branch.to_owned()));
        for (path, is) in [
            ("/r/.git/refs/remotes/origin/a/b", some("a/b")),
            ("/r/.git/refs/remotes/origin/a", some("a")),
            ("/r/.git/refs/remotes/origin", Some(None)),
            ("/r/.git/refs/remotes", Some(None)),
            ("/r/.git/packed-refs", Some(None)),
            ("/r/.git/refs/remotes/origin/a/b.lock", None),
            ("/r/.git/packed-refs.lock", None),
            ("/r/.git/refs/heads/a/b", None),
            ("/r/.git/index", None),
            ("/r/.git/refs/stash", None),
        ] {
            assert_eq!(branch_of(Path::new(path)), is, "{path}");
        }
    }

    #[test]
    fn the_common_folder_is_found_from_a_worktree_too() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        std::fs::create_dir(&repo).unwrap();
        git(&repo, &["init", "-q"]);
        git(&repo, &["commit", "-q", "--allow-empty", "-m", "one"]);
        git(&repo, &["worktree", "add", "-q", "../tree"]);
        let common = |at: &str| common_dir(&dir.path().join(at)).map(|path| path.canonicalize().unwrap());
        assert_eq!(common("repo"), Some(repo.join(".git").canonicalize().unwrap()));
        assert_eq!(common("tree"), common("repo"));
        assert_eq!(common("nowhere"), None);
    }
}
