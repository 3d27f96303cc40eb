//! Where a run's zellij session is found: a name and a socket directory made from the run's own name.
//!
//! Each run has a socket directory of its own. zellij asks every server that has a socket in the directory whether it
//! lives, and waits for the answer without end: in a common one, a single server that is stopped would keep all other
//! sessions from being made or removed. It is not in `XDG_RUNTIME_DIR`, which is emptied at logout.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};

use ao_domain::SessionId;
use ao_domain::port::runtime::{RuntimeRef, Stray};
use camino::{Utf8Path, Utf8PathBuf};

use crate::runtimes::holder::files::{hash, stray};

/// The longest session name: the path of a socket holds 103 bytes on every system. The directories below `/tmp` take 43 of
/// them at most, and zellij's own (`/contract_version_1/`) 20.
const LONGEST_NAME: usize = 40;

/// Where zellij keeps the session of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Below which everything of ours lies, and which has to be ours.
    base: Utf8PathBuf,
    /// `ZELLIJ_SOCKET_DIR`.
    pub(super) sockets: Utf8PathBuf,
    /// The session's name.
    pub(super) name: String,
}

impl Place {
    /// Of the run `at` below `root`.
    pub(super) fn of(base: &Utf8Path, root: &Utf8Path, at: &RuntimeRef) -> Self {
        let generation = at.generation.to_string();
        let session = at.session.as_str();
        Self {
            base: base.to_owned(),
            sockets: of_root(base, root).join(short(&[session, &generation])),
            name: named(&format!("{session}.{generation}")),
        }
    }

    /// Where the session lies that has this socket; `None` for a path that is none.
    pub(super) fn with(socket: &Utf8Path) -> Option<Self> {
        let sockets = socket.parent()?.parent()?;
        Some(Self {
            base: sockets.parent()?.parent()?.to_owned(),
            sockets: sockets.to_owned(),
            name: socket.file_name()?.to_owned(),
        })
    }

    /// Makes the socket directory, for its owner only.
    ///
    /// # Errors
    /// Also when a part of it is another user's, who could have made it before us: `/tmp` is everybody's.
    pub(super) fn make(&self) -> io::Result<()> {
        let make = || {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.sockets)
        };
        // Another run may have gone meanwhile, and taken the empty directory with it that this one was to be made in.
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make()?,
            other => other?,
        }
        let middle = self.sockets.parent().unwrap_or(&self.base);
        for dir in [self.base.as_path(), middle, self.sockets.as_path()] {
            let seen = fs::symlink_metadata(dir)?;
            let ours = seen.is_dir() && seen.uid() == rustix::process::geteuid().as_raw();
            if !ours || seen.mode() & 0o077 != 0 {
                let message = format!("`{dir}` is not a directory that only we can enter");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
            }
        }
        Ok(())
    }

    /// The sockets that the session has, by any version of zellij: each puts its own directory in between.
    pub(super) fn sockets_there(&self) -> io::Result<Vec<Utf8PathBuf>> {
        let mut found = Vec::new();
        for version in directories(&self.sockets)? {
            let socket = version.join(&self.name);
            match fs::symlink_metadata(&socket) {
                Ok(file) if file.file_type().is_socket() => found.push(socket),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Where zellij's own files lie when it is asked about a session whose run may be gone.
    pub(super) fn scratch(&self) -> Utf8PathBuf {
        self.sockets.join("asked")
    }

    /// Removes what is left of a session whose server has ended.
    pub(super) fn remove(&self) -> io::Result<()> {
        let _ = fs::remove_dir_all(self.scratch()); // there is none, mostly
        for socket in self.sockets_there()? {
            match fs::remove_file(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.tidy_up();
        Ok(())
    }

    /// Removes the directories that are empty. Somebody else's session keeps them.
    fn tidy_up(&self) {
        for version in directories(&self.sockets).unwrap_or_default() {
            let _ = fs::remove_dir(version); // not empty: then it stays
        }
        for dir in self.sockets.ancestors().take(3) {
            let _ = fs::remove_dir(dir); // the same
        }
    }
}

/// Sockets with names as ours that belong to none of `runs`: where ours lie, and in `others`, where the user's own zellij
/// has its sessions.
pub(super) fn strays(
    base: &Utf8Path,
    root: &Utf8Path,
    runs: &[RuntimeRef],
    others: &[Utf8PathBuf],
) -> io::Result<Vec<Stray>> {
    let places: Vec<Place> = runs.iter().map(|at| Place::of(base, root, at)).collect();
    let mut found = Vec::new();
    for dir in directories(&of_root(base, root))? {
        let own = places.iter().find(|place| place.sockets == dir);
        let sockets = sockets_below(&dir)?;
        let foreign = |socket: &&Utf8PathBuf| own.is_none_or(|own| socket.file_name() != Some(&own.name));
        found.extend(
            sockets
                .iter()
                .filter(foreign)
                .map(|path| stray(path, named_in(path))),
        );
        // A run that is being made has its directory first.
        if own.is_none() && sockets.is_empty() {
            found.push(stray(&dir, None));
        }
    }
    for dir in others {
        let looks_like_ours = |path: Utf8PathBuf| Some(stray(&path, Some(named_in(&path)?)));
        found.extend(sockets_below(dir)?.into_iter().filter_map(looks_like_ours));
    }
    Ok(found)
}

/// The session that the name of a run's zellij session speaks of.
fn named_in(socket: &Utf8Path) -> Option<SessionId> {
    let (session, generation) = socket.file_name()?.rsplit_once('.')?;
    generation.parse::<u32>().ok()?;
    session.parse().ok()
}

/// Every socket in the directories of zellij's versions below `dir`.
fn sockets_below(dir: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for version in directories(dir)? {
        for entry in version.read_dir_utf8()? {
            let entry = entry?;
            if entry.file_type()?.is_socket() {
                found.push(entry.into_path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The directory of all sockets of the runs below `root`.
fn of_root(base: &Utf8Path, root: &Utf8Path) -> Utf8PathBuf {
    base.join(short(&[root.as_str()]))
}

fn short(words: &[&str]) -> String {
    hash(words.iter().copied())[..8].to_owned()
}

fn directories(dir: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// The name as it is, or its beginning and a hash of all of it.
fn named(whole: &str) -> String {
    if whole.len() <= LONGEST_NAME {
        return whole.to_owned();
    }
    let hash = hash([whole]);
    format!("{}-{}", &whole[..LONGEST_NAME - 9], &hash[..8]) // ids are ASCII: any cut is a whole character
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(session: &str, generation: u32) -> RuntimeRef {
        RuntimeRef {
            session: session.parse().unwrap(),
            generation,
        }
    }

    #[test]
    fn names_of_different_runs_differ_and_fit() {
        let base = Utf8Path::new("/tmp/ao-zellij-4294967295");
        let place = |root: &str, at: &RuntimeRef| Place::of(base, Utf8Path::new(root), at);
        let long = "a".repeat(200);
        let runs = [
            at("web-1", 1),
            at("web-1", 11),
            at("web-11", 1),
            at(&format!("{long}-1"), 1),
            at(&format!("{long}-1"), 2),
            at(&format!("{long}-2"), 1),
        ];
        let mut names: Vec<String> = runs.iter().map(|at| place("/d", at).name).collect();
        assert_eq!(names[..3], ["web-1.1", "web-1.11", "web-11.1"]);
        for run in &runs {
            let place = place("/d", run);
            let path = place.sockets.join("contract_version_1").join(&place.name);
            assert!(path.as_str().len() <= 103, "{path}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), runs.len());
        assert_ne!(place("/d", &runs[0]).sockets, place("/e", &runs[0]).sockets);
        assert_ne!(place("/d", &runs[0]).sockets, place("/d", &runs[1]).sockets);
    }

    #[test]
    fn what_only_looks_like_a_session_of_ours_is_told() {
        use std::os::unix::net::UnixListener;
        let temp = tempfile::tempdir().unwrap();
        let temp = Utf8Path::from_path(temp.path()).unwrap();
        let (base, root, others) = (temp.join("zj"), Utf8Path::new("/d"), temp.join("theirs"));
        let run = at("web-1", 1);
        let bind = |dir: &Utf8Path, name: &str| {
            let version = dir.join("contract_version_1");
            fs::create_dir_all(&version).unwrap();
            UnixListener::bind(version.join(name)).unwrap()
        };
        let own = Place::of(&base, root, &run);
        let another = Place::of(&base, root, &at("web-2", 1));
        let of_another_root = Place::of(&base, Utf8Path::new("/e"), &run);
        let _all = [
            bind(&own.sockets, &own.name),
            bind(&own.sockets, "mine"),
            bind(&another.sockets, &another.name),
            bind(&of_another_root.sockets, &of_another_root.name),
            bind(&others, "web-3.1"),
            bind(&others, "music"),
        ];
        let found = strays(&base, root, &[run], &[others, temp.join("nowhere")]).unwrap();
        let mut told: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|one| {
                let name = one.what.rsplit('/').next().unwrap();
                (name, one.session.as_ref().map(SessionId::as_str))
            })
            .collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("mine", None),
                ("web-2.1", Some("web-2")),
                ("web-3.1", Some("web-3"))
            ]
        );
        assert!(found.iter().all(|one| one.what.starts_with("socket ")));
    }

    #[test]
    fn a_directory_that_others_may_enter_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().unwrap();
        let base = Utf8Path::from_path(temp.path()).unwrap().join("zj");
        let place = Place::of(&base, Utf8Path::new("/d"), &at("web-1", 1));
        place.make().unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(place.make().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(&base, fs::Permissions::from_mode(0o700)).unwrap();
        place.tidy_up();
        assert!(!base.exists());
        let elsewhere = base.with_file_name("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &base).unwrap();
        assert!(place.make().is_err(), "a link leads wherever its owner likes");
    }
}
