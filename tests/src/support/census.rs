//! What is there, counted from the outside: processes by their environment, directories, branches, sockets.

use std::fmt;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

/// One count of a world. Prints as one line that a test can compare whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Processes of the world by what they are: `(pid, first words of the command line)`.
    pub processes: Vec<(u32, String)>,
    /// Worktrees under the data directory, as paths relative to it.
    pub worktrees: Vec<String>,
    /// Branches of the repository whose name begins with `ao/`.
    pub branches: Vec<String>,
    /// Sockets anywhere under the data directory.
    pub sockets: Vec<String>,
    /// Refs that hold rescued work.
    pub rescued: Vec<String>,
}

impl Census {
    /// Counts the world whose data directory is `data` and whose repository is `repo`.
    pub fn of(data: &Utf8Path, repo: &Utf8Path) -> Self {
        let refs = |prefix: &str| {
            let found = super::world::git(repo, &["for-each-ref", "--format=%(refname)", prefix]);
            found.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut sockets = Vec::new();
        walk(data, &mut |path, kind| {
            use std::os::unix::fs::FileTypeExt as _;
            if kind.is_socket() {
                sockets.push(relative(data, path));
            }
        });
        let mut worktrees = Vec::new();
        for project in folders(&data.join("worktrees")) {
            worktrees.extend(folders(&project).iter().map(|path| relative(data, path)));
        }
        Self {
            processes: processes_of(data),
            worktrees,
            branches: refs("refs/heads/ao/"),
            sockets,
            rescued: refs("refs/ao/"),
        }
    }

    /// Processes whose command line has `word` in it.
    pub fn running(&self, word: &str) -> Vec<u32> {
        self.processes
            .iter()
            .filter(|(_, line)| line.contains(word))
            .map(|(pid, _)| *pid)
            .collect()
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "holders {}, worktrees {}, branches {}, sockets {}",
            self.running("pty-host").len(),
            self.worktrees.len(),
            self.branches.len(),
            self.sockets.len(),
        )
    }
}

fn relative(root: &Utf8Path, path: &Utf8Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string()
}

fn folders(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found: Vec<Utf8PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Utf8PathBuf::try_from(entry.path()).ok())
        .collect();
    found.sort();
    found
}

fn walk(root: &Utf8Path, see: &mut impl FnMut(&Utf8Path, fs::FileType)) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.filter_map(Result::ok) {
        let (Ok(path), Ok(kind)) = (Utf8PathBuf::try_from(entry.path()), entry.file_type()) else {
            continue;
        };
        see(&path, kind);
        if kind.is_dir() {
            walk(&path, see);
        }
    }
}

/// Every process that was started in this world: its environment names the world's data directory, or its command line
/// does (a holder has no environment of the daemon's).
pub(crate) fn processes_of(data: &Utf8Path) -> Vec<(u32, String)> {
    let mark = format!("AO_DATA_DIR={data}");
    let folder = format!("{data}/");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if line.contains(&folder)
            || environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        {
            found.push((pid, line.trim_end().to_owned()));
        }
    }
    found.sort();
    found
}
