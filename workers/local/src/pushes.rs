//! What git itself writes down of pushes and fetches: its record of the remotes' branches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
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
            pushed: Arc::new(Notify::new()),
            watcher: None,
        })
    }
}

struct Watching {
    repo: Utf8PathBuf,
    pushed: Arc<Notify>,
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

/// Whether a change at `path` is one of a remote's branch. git writes `<ref>.lock` first and renames it.
fn is_of_remote(path: &Path) -> bool {
    let is_lock = path.extension().is_some_and(|end| end == "lock");
    let is_packed = path.file_name().is_some_and(|name| name == "packed-refs");
    let is_below = path.components().any(|part| part.as_os_str() == "remotes");
    !is_lock && (is_below || is_packed)
}

/// Begins to watch; blocking. `None`: nothing is there, or the system watches no more.
fn begin(repo: &Path, pushed: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let common = common_dir(repo)?;
    let refs = common.join("refs");
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if !event.kind.is_access() && event.paths.iter().any(|path| is_of_remote(path)) {
            pushed.notify_one(); // keeps one permit when nobody waits: no push is lost
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
    fn pushed(&mut self) -> PortFuture<'_, ()> {
        Box::pin(async {
            self.begin().await;
            self.pushed.notified().await;
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

    /// Resolves once what `act` does to `repo` is noticed.
    async fn is_noticed(repo: &Path, act: impl FnOnce()) {
        let mut watching = Watching {
            repo: Utf8Path::from_path(repo).unwrap().to_owned(),
            pushed: Arc::new(Notify::new()),
            watcher: None,
        };
        watching.begin().await;
        act();
        let noticed = tokio::time::timeout(Duration::from_secs(20), watching.pushed());
        noticed.await.expect("nothing was noticed");
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
        is_noticed(&repo, push).await; // makes `refs/remotes`
        is_noticed(&repo, push).await; // finds it there
        is_noticed(&repo, || git(&repo, &["pack-refs", "--all"])).await;
        is_noticed(&tree, push).await;
    }

    #[test]
    fn commits_and_locks_are_no_pushes() {
        for (path, is) in [
            ("/r/.git/refs/remotes/origin/a/b", true),
            ("/r/.git/refs/remotes", true),
            ("/r/.git/packed-refs", true),
            ("/r/.git/refs/remotes/origin/a/b.lock", false),
            ("/r/.git/packed-refs.lock", false),
            ("/r/.git/refs/heads/a/b", false),
            ("/r/.git/index", false),
            ("/r/.git/refs/stash", false),
        ] {
            assert_eq!(is_of_remote(Path::new(path)), is, "{path}");
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
