//! A home, a repository and a data directory that no other test has.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ao_domain::port::worktrees::{Removal, WorktreeError, WorktreePlan, Worktrees as _};
use ao_domain::{Holding, ProcessId, SessionId, WorktreeOwner, undo_line};
use ao_local::process;
use ao_local::worktree::{GitConfig, GitWorktrees};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process_group};

pub(crate) struct World {
    pub(crate) dir: Utf8PathBuf,
    pub(crate) repo: Utf8PathBuf,
    pub(crate) data: Utf8PathBuf,
    pub(crate) git: GitWorktrees,
}

impl World {
    /// A repository on `main` with one commit: `a.txt` and a `.gitignore`.
    pub(crate) fn new(name: &str) -> Self {
        Self::below(&std::env::temp_dir(), name)
    }

    /// The same in memory where the system offers that, for what would keep a disk busy.
    pub(crate) fn in_memory(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::below(memory, name)
        } else {
            Self::new(name)
        }
    }

    fn below(folder: &Path, name: &str) -> Self {
        let dir = folder.join(format!("ao-worktree-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let world = Self::at(&Utf8PathBuf::try_from(dir).unwrap(), Duration::from_secs(30));
        fs::create_dir_all(world.dir.join("home")).unwrap();
        world.init(&world.repo);
        world.write("repo/a.txt", "one\n");
        world.write("repo/.gitignore", ".env\n*.log\ntarget/\ncache/\n");
        world.commit(&world.repo, "first");
        world
    }

    /// The same world seen from another process.
    pub(crate) fn at(dir: &Utf8Path, deadline: Duration) -> Self {
        Self::with(dir, &dir.join("data"), deadline)
    }

    /// The same world with its data directory at `data`.
    pub(crate) fn with_data(&self, data: &Utf8Path) -> Self {
        Self::with(&self.dir, data, Duration::from_secs(30))
    }

    fn with(dir: &Utf8Path, data: &Utf8Path, deadline: Duration) -> Self {
        let git = GitWorktrees::new(GitConfig {
            root: data.join("worktrees"),
            locks: data.join("work"),
            disposable: vec!["*.log".to_owned()],
            deadline,
            path: from_env("PATH"),
        })
        .with_env("HOME", dir.join("home").as_str())
        .with_env("XDG_CONFIG_HOME", dir.join("home/.config").as_str())
        .with_env("GIT_CONFIG_NOSYSTEM", "1");
        Self {
            dir: dir.to_owned(),
            repo: dir.join("repo"),
            data: data.to_owned(),
            git,
        }
    }

    pub(crate) fn init(&self, repo: &Utf8Path) {
        fs::create_dir_all(repo).unwrap();
        self.run(repo, &["init", "-q", "-b", "main"]);
    }

    /// `git <args>` in `dir`, with an identity given by environment only.
    pub(crate) fn try_run(&self, dir: &Utf8Path, args: &[&str]) -> Output {
        self.command("git", dir).args(args).output().unwrap()
    }

    pub(crate) fn command(&self, program: &str, dir: &Utf8Path) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test looks at the repository as a person would"
        )]
        let mut command = Command::new(program);
        // Set where the tests run from a hook; then they would work on the repository of that hook.
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_CONFIG_PARAMETERS",
        ] {
            command.env_remove(name);
        }
        command
            .current_dir(dir)
            .env("HOME", self.dir.join("home"))
            .env("XDG_CONFIG_HOME", self.dir.join("home/.config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "test")
            .env("GIT_AUTHOR_EMAIL", "test@example.org")
            .env("GIT_COMMITTER_NAME", "test")
            .env("GIT_COMMITTER_EMAIL", "test@example.org");
        command
    }

    /// What it says, without the last line break.
    pub(crate) fn run(&self, dir: &Utf8Path, args: &[&str]) -> String {
        let output = self.try_run(dir, args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Everything there is, committed. Returns the commit.
    pub(crate) fn commit(&self, dir: &Utf8Path, words: &str) -> String {
        self.run(dir, &["add", "-A"]);
        self.run(dir, &["commit", "-q", "--allow-empty", "-m", words]);
        self.run(dir, &["rev-parse", "HEAD"])
    }

    /// Writes a file relative to the world.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The worktree of session `web-<num>`, on the branch a session gets.
    pub(crate) fn owner(&self, num: u32) -> WorktreeOwner {
        let session: SessionId = format!("web-{num}").parse().unwrap();
        WorktreeOwner {
            repo: self.repo.clone(),
            path: self.data.join(format!("worktrees/web/{session}")),
            branch: session.own_branch(),
            session,
        }
    }

    pub(crate) fn plan(&self, num: u32) -> WorktreePlan {
        WorktreePlan {
            owner: self.owner(num),
            base: "main".to_owned(),
            branch_given: false,
        }
    }

    /// Makes it and returns where it is.
    pub(crate) async fn make(&self, num: u32) -> Utf8PathBuf {
        let plan = self.plan(num);
        self.git.create(&plan).await.unwrap();
        plan.owner.path
    }

    pub(crate) async fn weighed(&self, num: u32) -> Vec<String> {
        let holdings = self.git.weigh(&self.owner(num)).await.unwrap();
        said(&holdings.expect("it is there"))
    }

    pub(crate) async fn remove(&self, num: u32) -> Result<Removal, WorktreeError> {
        self.git.remove(&self.owner(num), false, &[]).await
    }

    pub(crate) async fn discard(&self, num: u32) -> Result<Removal, WorktreeError> {
        self.git.remove(&self.owner(num), true, &[]).await
    }

    pub(crate) fn branch_exists(&self, branch: &str) -> bool {
        let name = format!("refs/heads/{branch}");
        self.try_run(&self.repo, &["rev-parse", "--verify", "-q", &name])
            .status
            .success()
    }

    /// How many worktrees git knows beside the main one.
    pub(crate) fn registered(&self) -> usize {
        let list = self.run(&self.repo, &["worktree", "list", "--porcelain"]);
        list.lines().filter(|line| line.starts_with("worktree ")).count() - 1
    }

    /// Every file of ours that is left: worktrees, locks, records, what lies aside.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let mut found = Vec::new();
        for folder in ["data/worktrees/web", "data/work"] {
            let Ok(entries) = fs::read_dir(self.dir.join(folder)) else {
                continue;
            };
            found.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        }
        found.sort_unstable();
        found
    }
}

impl Drop for World {
    /// Leaves nothing running either: a test that fails may leave a git behind that waits for ever.
    fn drop(&mut self) {
        let works = fs::read_dir(self.dir.join("data/work"))
            .into_iter()
            .flatten()
            .flatten();
        for work in works.filter_map(|entry| fs::read(entry.path().join("work.json")).ok()) {
            let work: serde_json::Value = serde_json::from_slice(&work).unwrap_or_default();
            let git = serde_json::from_value::<ProcessId>(work["git"].clone()).ok();
            let alive = git.filter(|git| process::is_alive(git).unwrap_or(false));
            if let Some(pid) = alive.and_then(|git| Pid::from_raw(git.pid.cast_signed())) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub(crate) fn from_env(name: &str) -> OsString {
    #[expect(
        clippy::disallowed_methods,
        reason = "git is where the person who tests has it"
    )]
    std::env::var_os(name).unwrap_or_default()
}

pub(crate) fn said(holdings: &[Holding]) -> Vec<String> {
    holdings.iter().map(ToString::to_string).collect()
}

/// Discards the worktree. Returns its rescue ref.
pub(crate) async fn rescued(world: &World, num: u32) -> String {
    match world.discard(num).await.unwrap() {
        Removal::Removed { rescue: Some(rescue) } => rescue,
        other => panic!("{other:?}"),
    }
}

/// Pastes the line into a shell. Returns where the worktree is now.
pub(crate) fn bring_back(world: &World, num: u32, rescue: &str) -> Utf8PathBuf {
    let line = undo_line(&world.repo, rescue, &world.owner(num).branch);
    let output = world
        .command("sh", &world.dir)
        .args(["-c", &line])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let number = rescue.rsplit('/').next().unwrap();
    Utf8PathBuf::from(format!("{}.web-{num}-rescued-{number}", world.repo))
}

/// Path and bytes of every file below `dir`, but git's own, in order.
pub(crate) fn contents(dir: &Utf8Path) -> Vec<(String, Vec<u8>)> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if name == ".git" {
            } else if path.is_symlink() {
                found.push((
                    name,
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes(),
                ));
            } else if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(dir.as_std_path(), dir.as_std_path(), &mut found);
    found.sort_unstable();
    found
}
