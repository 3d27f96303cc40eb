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
    /// Files and folders under the data directory that neither the daemon nor a session with a worktree accounts for,
    /// relative to it: a launch file with its secret, the run of a session that is over.
    pub strays: Vec<String>,
}

impl Census {
    /// Counts the world whose data directory is `data` and whose repository is `repo`.
    pub fn of(data: &Utf8Path, repo: &Utf8Path) -> Self {
        let refs = |prefix: &str| {
            let found = super::world::git(repo, &["for-each-ref", "--format=%(refname)", prefix]);
            found.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut worktrees = Vec::new();
        for project in folders(&data.join("worktrees")) {
            worktrees.extend(folders(&project).iter().map(|path| relative(data, path)));
        }
        let (mut sockets, mut strays) = (Vec::new(), Vec::new());
        walk(data, &mut |path, kind| {
            use std::os::unix::fs::FileTypeExt as _;
            let path = relative(data, path);
            if !may_be_there(&path, &worktrees) {
                strays.push(path.clone());
            }
            if kind.is_socket() {
                sockets.push(path);
            }
        });
        // The run file lies beside the data directory in a test's world; a half-written one must not stay there.
        for entry in data
            .parent()
            .map(fs::read_dir)
            .into_iter()
            .flatten()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(".running") {
                strays.push(name);
            }
        }
        strays.sort();
        Self {
            processes: processes_of(data),
            worktrees,
            branches: refs("refs/heads/ao/"),
            sockets,
            rescued: refs("refs/ao/"),
            strays,
        }
    }

    /// How a world prints in which a daemon and so many sessions run, each with one process for its agent, and nothing else.
    pub fn of_sessions(sessions: usize) -> String {
        format!(
            "daemons 1, holders {sessions}, other processes {sessions}, worktrees {sessions}, branches {sessions}, \
             sockets {sessions}, strays []"
        )
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
        let (daemons, holders) = (self.running(" daemon").len(), self.running("pty-host").len());
        write!(
            f,
            "daemons {daemons}, holders {holders}, other processes {}, worktrees {}, branches {}, sockets {}, strays {:?}",
            self.processes.len() - daemons - holders,
            self.worktrees.len(),
            self.branches.len(),
            self.sockets.len(),
            self.strays,
        )
    }
}

/// Whether the path (relative to the data directory) is the daemon's own, or of a session that has one of the `worktrees`.
fn may_be_there(path: &str, worktrees: &[String]) -> bool {
    let is_sessions = |id: &str| {
        let mut ids = worktrees
            .iter()
            .filter_map(|worktree| worktree.rsplit('/').next());
        ids.any(|known| known == id)
    };
    let is_number = |word: &str| word.parse::<u32>().is_ok();
    match path.split('/').collect::<Vec<_>>()[..] {
        [
            "ao.sqlite3" | "ao.sqlite3-wal" | "ao.sqlite3-shm" | "lock" | "bin" | "pty" | "spool" | "work"
            | "worktrees" | "provision" | "zellij",
        ]
        | ["bin", "ao"]
        | ["worktrees", _] => true,
        // A spool outlives its session: a late hook of its agent must find it.
        // So does what its post-create commands printed.
        ["provision", log] => log.ends_with(".log"),
        ["spool", spool] => spool.ends_with(".jsonl"),
        ["worktrees", _, id, ..] | ["pty" | "work" | "zellij", id] => is_sessions(id),
        // Of two runs of one session there would be two sockets.
        ["pty" | "zellij", id, run] => is_sessions(id) && is_number(run),
        ["zellij", id, run, "zellij", ..] => is_sessions(id) && is_number(run),
        ["pty" | "zellij", id, run, file] => {
            is_sessions(id)
                && is_number(run)
                && matches!(file, "agent" | "lock" | "log" | "record.json" | "sock")
        }
        ["work", id, file] => {
            is_sessions(id)
                && matches!(
                    file,
                    "command.json" | "furnished" | "owner.json" | "work.err" | "work.json" | "work.lock"
                )
        }
        _ => false,
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
/// does (a holder has no environment of the daemon's), or it is a zellij whose files lie there.
pub(crate) fn processes_of(data: &Utf8Path) -> Vec<(u32, String)> {
    let marks = [format!("AO_DATA_DIR={data}"), format!("TMPDIR={data}/zellij/")];
    let is_marked =
        |variable: &[u8]| variable == marks[0].as_bytes() || variable.starts_with(marks[1].as_bytes());
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
        if line.contains(&folder) || environment.split(|byte| *byte == 0).any(is_marked) {
            found.push((pid, line.trim_end().to_owned()));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::may_be_there;

    #[test]
    fn what_a_session_leaves_behind_is_a_stray() {
        let worktrees = ["worktrees/web/web-1".to_owned()];
        for path in [
            "lock",
            "pty/web-1/1/sock",
            "work/web-1/owner.json",
            "worktrees/web/web-1/a/b",
            "spool/web-2.jsonl",
        ] {
            assert!(may_be_there(path, &worktrees), "{path}");
        }
        for path in [
            "pty/web-1/1/launch.json",
            "pty/web-1/x",
            "pty/web-2",
            "work/web-2/owner.json",
            "work/web-1/.owner.json.tmp",
            "worktrees/web/web-2",
            "core",
        ] {
            assert!(!may_be_there(path, &worktrees), "{path}");
        }
    }
}
