//! A world of worktrees, and the one who makes them ready.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use ao_domain::port::provision::{Furnished, PostCreate, ProvisionError, Provisioner as _};
use ao_domain::port::worktrees::Removal;
use ao_local::process;
use ao_local::worktree::{Bounds, WorktreeProvisioner};
use camino::{Utf8Path, Utf8PathBuf};

use crate::world::World;

pub(crate) const GONE: Removal = Removal::Removed { rescue: None };

/// Longer than anything here takes; only a fault reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Owns the world, and makes its worktrees ready.
pub(crate) struct Ready {
    pub(crate) world: World,
    pub(crate) by: WorktreeProvisioner,
    env: Vec<(String, String)>,
}

impl Ready {
    pub(crate) fn new(name: &str) -> Self {
        Self::of(World::new(name), Bounds::default())
    }

    pub(crate) fn of(world: World, bounds: Bounds) -> Self {
        let by = WorktreeProvisioner::new(world.git.clone(), world.dir.join("data/provision"), bounds);
        let path = crate::world::from_env("PATH").into_string().unwrap();
        let env = vec![
            ("PATH".to_owned(), path),
            ("GIVEN".to_owned(), "given".to_owned()),
        ];
        Self { world, by, env }
    }

    pub(crate) fn path(&self, num: u32) -> Utf8PathBuf {
        self.world.owner(num).path
    }

    /// Writes a file relative to the project.
    pub(crate) fn in_project(&self, path: &str, text: &str) {
        self.world.write(&format!("repo/{path}"), text);
    }

    /// Writes a file relative to the worktree.
    pub(crate) fn in_tree(&self, num: u32, path: &str, text: &str) {
        self.world
            .write(&format!("data/worktrees/web/web-{num}/{path}"), text);
    }

    pub(crate) fn link_in_project(&self, path: &str, to: &str) {
        let path = self.world.repo.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    pub(crate) async fn try_furnish(&self, num: u32, links: &[&str]) -> Result<Furnished, ProvisionError> {
        let links: Vec<String> = links.iter().map(|&link| link.to_owned()).collect();
        self.by.furnish(&self.world.owner(num), &links).await
    }

    pub(crate) async fn furnish(&self, num: u32, links: &[&str]) -> Furnished {
        self.try_furnish(num, links).await.unwrap()
    }

    /// Runs one command in the worktree of session `web-1`.
    pub(crate) async fn run(&self, line: &str) -> Result<(), ProvisionError> {
        self.run_within(line, DEADLINE).await
    }

    pub(crate) async fn run_within(&self, line: &str, limit: Duration) -> Result<(), ProvisionError> {
        let command = PostCreate {
            number: 2,
            of: 3,
            line,
            env: &self.env,
            limit,
        };
        self.by.command(&self.world.owner(1), command).await
    }

    pub(crate) async fn tail(&self, lines: usize) -> Vec<String> {
        self.by
            .log_tail(&self.world.owner(1).session, lines)
            .await
            .unwrap()
    }

    /// What is left of everything, logs aside.
    pub(crate) fn nothing_left(&self, num: u32) {
        let branch = self.world.owner(num).branch;
        assert_eq!((self.world.left_over(), self.world.registered()), (Vec::new(), 0));
        assert!(!self.world.branch_exists(&branch));
        assert_eq!(
            self.world
                .run(&self.world.repo, &["for-each-ref", "refs/ao/rescue"]),
            ""
        );
    }
}

pub(crate) fn left_out(furnished: &Furnished) -> Vec<String> {
    furnished.left_out.iter().map(ToString::to_string).collect()
}

pub(crate) fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref())
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

pub(crate) fn is_there(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok()
}

/// The process whose number a command wrote to `file` in the world, once it has.
pub(crate) async fn process_in(file: &Utf8Path) -> ao_domain::ProcessId {
    let written = async {
        loop {
            let number = std::fs::read_to_string(file).ok();
            if let Some(pid) = number.and_then(|text| text.strip_suffix('\n')?.parse().ok()) {
                return process::identify(pid).unwrap().expect("it runs");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, written)
        .await
        .unwrap_or_else(|_| panic!("nobody wrote {file}"))
}

pub(crate) fn runs(process: &ao_domain::ProcessId) -> bool {
    process::is_alive(process).unwrap()
}
