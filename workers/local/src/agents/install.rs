//! What is written for an agent before it starts: a word in its own settings, a file of ours that it reads.
//!
//! Whatever is somebody else's stays to the byte, numbers and order included, and what does not read is left as it is. The file may
//! be a link: what it points to is replaced, as a whole, so that whoever reads sees the old one or the new one. Everything is
//! safe to repeat.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use ao_domain::port::agent::{Preparation, PrepareError, Trusted};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::OwnedMutexGuard;

use super::blocks::{with_block, without_block};
use super::entries;
use super::members::{headed, listed, texts, with_element, with_member};

/// A lock that nobody has renewed for so long is nobody's (proper-lockfile's rule, by which Claude Code goes).
const STALE: Duration = Duration::from_secs(10);

/// How long to wait for it. A write takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a file is read again that its agent, which holds no lock, wrote between reading and writing.
const TRIES: u32 = 5;

/// Longest file taken; the largest ones seen had a few hundred kilobytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Does what is to be done, with `held` until it is: whoever is cancelled meanwhile lets nobody else begin.
pub(super) async fn prepare(what: &Preparation, held: OwnedMutexGuard<()>) -> Result<(), PrepareError> {
    work(vec![what.clone()], "readying its own settings", write, held).await
}

/// Takes back what was done, so that the files are what they were before; `held` as there.
pub(super) async fn withdraw(what: Vec<Preparation>, held: OwnedMutexGuard<()>) -> Result<(), PrepareError> {
    work(what, "taking our hooks out of its settings", unwrite, held).await
}

async fn work(
    all: Vec<Preparation>,
    doing: &'static str,
    how: fn(&Preparation) -> io::Result<()>,
    held: OwnedMutexGuard<()>,
) -> Result<(), PrepareError> {
    let first = all.first().map(|what| what.file().to_owned()).unwrap_or_default();
    let done = tokio::task::spawn_blocking(move || {
        let _held = held;
        all.iter()
            .try_for_each(|what| how(what).map_err(|source| (what.file().to_owned(), source)))
    });
    let done = done
        .await
        .unwrap_or_else(|error| Err((first, io::Error::other(error))));
    done.map_err(|(path, source)| PrepareError { doing, path, source })
}

fn write(what: &Preparation) -> io::Result<()> {
    if !what.file().is_absolute() {
        return Err(io::Error::other(
            "where it keeps its own files is not known: HOME is not set, or no whole path",
        ));
    }
    match what {
        Preparation::Member {
            file,
            path,
            value,
            locked,
        } => edit(file, *locked, "{}", |text| {
            headed(text, |text| with_member(text, path, value))
        }),
        Preparation::Element { file, path, value } => edit(file, false, "{}", |text| {
            headed(text, |text| with_element(text, path, value))
        }),
        Preparation::Entries {
            file,
            beside,
            member,
            elements,
        } => {
            let beside = (beside.0.as_str(), beside.1.as_str());
            edit_or_make(file, false, |old| match old {
                Some(old) => entries::with(old, beside, member, elements),
                None => Ok(Some(entries::made(beside, member, elements))),
            })
        }
        Preparation::File { file, text } => {
            edit(file, false, "", |old| Ok((old != text).then(|| text.clone())))
        }
        Preparation::Folder { file } => make(file),
        Preparation::NoFile { file } => match std::fs::remove_file(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        },
        Preparation::Untrusted {
            file,
            said,
            own,
            repo,
        } => distrust(file, said, own, repo),
        Preparation::Block { file, name, text } => edit(file, false, "", |old| with_block(old, name, text)),
    }
}

fn unwrite(what: &Preparation) -> io::Result<()> {
    match what {
        // That a folder was trusted is a person's word, which they may have relied on since.
        Preparation::Member { .. } | Preparation::Element { .. } => Ok(()),
        Preparation::Folder { .. } => Ok(()), // what lies in it is its session's
        Preparation::Entries {
            file,
            beside,
            member,
            elements,
        } => {
            let beside = (beside.0.as_str(), beside.1.as_str());
            if remove(file, &entries::made(beside, member, elements))? {
                return Ok(());
            }
            edit(file, false, "", |old| {
                entries::without(old, beside, member, elements)
            })
        }
        Preparation::File { file, text } => remove(file, text).map(|_| ()),
        Preparation::Block { file, name, .. } => cut(file, name),
        Preparation::NoFile { .. } | Preparation::Untrusted { .. } => Ok(()),
    }
}

/// Removes a file that says this and nothing else, and answers whether none is there now.
fn remove(file: &Utf8Path, text: &str) -> io::Result<bool> {
    match std::fs::read_to_string(file) {
        Ok(known) if known == text => std::fs::remove_file(file).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes a block of ours out of a file.
fn cut(file: &Utf8Path, name: &str) -> io::Result<()> {
    if !file.exists() {
        return Ok(());
    }
    edit(file, false, "", |old| Ok(without_block(old, name)))
}

/// Makes a folder where it is missing.
fn make(folder: &Utf8Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Takes out what `file` says of a session's own folders, and looks that it says nothing of what they lie in.
fn distrust(file: &Utf8Path, said: &Trusted, own: &[Utf8PathBuf], repo: &Utf8Path) -> io::Result<()> {
    let inside = inside(own, repo);
    let is_asked_about = |text: &str| match trusted_in(text, said, own, &inside)? {
        None => Ok(()),
        Some(folder) => Err(io::Error::other(format!(
            "it trusts `{folder}` by a person's word, and a stranger's code in a worktree of `{repo}` would not be asked about: \
             take that out of it, or use another agent"
        ))),
    };
    match said {
        _ if !file.exists() => Ok(()),
        Trusted::Tables(_) => is_asked_about(&read(file)?.unwrap_or_default()),
        Trusted::List(name) => edit(file, false, "{}", |text| {
            is_asked_about(text)?;
            headed(text, |body| {
                let mut folders = texts(body, name)?;
                let known = folders.len();
                folders.retain(|folder| !is_own(own, folder));
                if folders.len() == known {
                    return Ok(None);
                }
                with_member(
                    body,
                    std::slice::from_ref(name),
                    &serde_json::to_string(&folders)?,
                )
            })
        }),
    }
}

/// The folder by which `file` says that a stranger's code in `worktree`, which is one of `repo`, is trusted.
pub(super) fn trusted_by_a_person(
    file: &Utf8Path,
    said: &Trusted,
    worktree: &Utf8Path,
    repo: &Utf8Path,
) -> io::Result<Option<String>> {
    match read(file)? {
        Some(text) => trusted_in(&text, said, &[], &inside(&[worktree.to_owned()], repo)),
        None => Ok(None),
    }
}

/// What an agent may know a session's code by.
fn inside(own: &[Utf8PathBuf], repo: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut inside = super::folders(repo);
    // A project that is a worktree itself is as trusted as its main checkout.
    let main = crate::worktree::main_checkout(repo).map(|main| super::folders(&main));
    inside.extend(main.into_iter().flatten());
    inside.extend_from_slice(own);
    inside
}

fn is_own(own: &[Utf8PathBuf], folder: &str) -> bool {
    own.iter().any(|own| own == folder)
}

/// The folder by which `text` says that one of `inside` is trusted; what a list says of `own` alone does not count.
fn trusted_in(
    text: &str,
    said: &Trusted,
    own: &[Utf8PathBuf],
    inside: &[Utf8PathBuf],
) -> io::Result<Option<String>> {
    match said {
        Trusted::List(name) => Ok(listed(text, name)?.into_iter().find(|folder| {
            let known = super::folders(Utf8Path::new(folder));
            let is_below = |inside: &Utf8PathBuf| known.iter().any(|folder| inside.starts_with(folder));
            !is_own(own, folder) && inside.iter().any(is_below)
        })),
        Trusted::Tables(name) => {
            let all: toml_edit::DocumentMut = text.parse().map_err(io::Error::other)?;
            let trusts = |folder: &&Utf8PathBuf| {
                let table = all.get(name).and_then(|tables| tables.get(folder.as_str()));
                table.and_then(|table| table.get("trusted")?.as_bool()) == Some(true)
            };
            Ok(inside.iter().find(trusts).map(ToString::to_string))
        }
    }
}

/// Replaces the text of `file` by what `change` makes of it (`None`: it stays), with its rights; `none` is what one that is not
/// there says.
fn edit(
    file: &Utf8Path,
    locked: bool,
    none: &str,
    change: impl Fn(&str) -> io::Result<Option<String>>,
) -> io::Result<()> {
    edit_or_make(file, locked, |old| change(old.unwrap_or(none)))
}

/// The same; `change` is told where there is none.
fn edit_or_make(
    file: &Utf8Path,
    locked: bool,
    change: impl Fn(Option<&str>) -> io::Result<Option<String>>,
) -> io::Result<()> {
    let file = file.canonicalize_utf8().unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = file.parent() {
        make(folder)?;
    }
    let _held = if locked { Some(Lock::take(&file)?) } else { None };
    for _ in 0..TRIES {
        let old = read(&file)?;
        let Some(new) = change(old.as_deref())? else {
            return Ok(());
        };
        if replace(&file, &new, || Ok(read(&file)? == old))? {
            return Ok(());
        }
    }
    Err(io::Error::other("another program goes on writing it"))
}

/// What a file says; `None` where there is none.
fn read(file: &Utf8Path) -> io::Result<Option<String>> {
    match std::fs::metadata(file) {
        Ok(found) if found.len() > LONGEST => Err(io::Error::other("it is too long to be what it should be")),
        Ok(_) => std::fs::read_to_string(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new file in the place of the old one, with its rights: whoever reads sees one or the other. Answers whether `is_same` still said
/// so when it was written; otherwise the old one stays.
fn replace(file: &Utf8Path, text: &str, is_same: impl FnOnce() -> io::Result<bool>) -> io::Result<bool> {
    use std::io::Write as _;
    let mode = std::fs::metadata(file).map_or(0o600, |found| found.mode() & 0o777);
    let draft = Utf8PathBuf::from(format!("{file}.ao-{}", std::process::id()));
    let written = (|| {
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&draft)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        let is_same = is_same()?;
        if is_same {
            std::fs::rename(&draft, file)?;
        }
        Ok(is_same)
    })();
    if !matches!(written, Ok(true)) {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

/// Claude Code's own lock on the file.
struct Lock(Utf8PathBuf);

impl Lock {
    fn take(file: &Utf8Path) -> io::Result<Lock> {
        let path = Utf8PathBuf::from(format!("{file}.lock"));
        let end = Instant::now() + PATIENCE;
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Lock(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let age = std::fs::metadata(&path)
                .and_then(|found| found.modified())
                .map(|at| at.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age > STALE) {
                let _ = std::fs::remove_dir(&path);
                continue;
            }
            if Instant::now() >= end {
                return Err(io::Error::other(format!("`{path}` is held by another program")));
            }
            // Nothing tells when it is given back.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That a folder is trusted, as Claude Code has it.
    fn seed(file: &Utf8Path, folder: &Utf8Path) -> io::Result<()> {
        let path = ["projects", folder.as_str(), "hasTrustDialogAccepted"].map(str::to_owned);
        write(&Preparation::Member {
            file: file.to_owned(),
            path: path.to_vec(),
            value: "true".to_owned(),
            locked: true,
        })
    }

    fn place() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(dir.path().join(".claude.json")).unwrap();
        (dir, file)
    }

    /// What is not ours stays to the byte: numbers beyond a float, escapes, order, unknown things.
    #[test]
    fn one_word_is_added_and_everything_else_stays_as_it_was_written() {
        let (_dir, file) = place();
        let kept = [
            r#""z": 12345678901234567890123"#,
            r#""a": [1.50, "\u00e4", {"deep":   true}]"#,
            r#""allowedTools": ["x"]"#,
        ];
        let text = format!(
            r#"{{ {}, "projects": {{ "/other": {{"hasTrustDialogAccepted": false, {}}} }}, {} }}"#,
            kept[0], kept[2], kept[1]
        );
        std::fs::write(&file, &text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        seed(&file, Utf8Path::new("/w/t \"1\"")).unwrap();
        let new = std::fs::read_to_string(&file).unwrap();
        for part in kept {
            assert!(new.contains(part), "{part} in {new}");
        }
        let value: serde_json::Value = serde_json::from_str(&new).unwrap();
        assert_eq!(value["projects"]["/w/t \"1\""]["hasTrustDialogAccepted"], true);
        assert_eq!(value["projects"]["/other"]["hasTrustDialogAccepted"], false);
        assert!(new.find("\"z\"") < new.find("\"projects\"") && new.find("\"projects\"") < new.find("\"a\""));
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        // Again: nothing is written.
        let before = std::fs::metadata(&file).unwrap().ino();
        seed(&file, Utf8Path::new("/w/t \"1\"")).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().ino(), before);
        assert!(!file.with_extension("json.lock").exists());
    }

    #[test]
    fn no_file_is_an_empty_one_and_a_broken_one_is_left() {
        let (_dir, file) = place();
        seed(&file, Utf8Path::new("/w")).unwrap();
        let value: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(value["projects"]["/w"]["hasTrustDialogAccepted"], true);
        for broken in ["{", "[1]", "{\"projects\": 7}", "{} x"] {
            std::fs::write(&file, broken).unwrap();
            assert!(seed(&file, Utf8Path::new("/w")).is_err(), "{broken}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
        }
    }

    fn read(file: &Utf8Path) -> String {
        std::fs::read_to_string(file).unwrap()
    }

    #[test]
    fn an_element_comes_to_those_that_are_there_once() {
        let (_dir, file) = place();
        let add = |folder: &str| {
            write(&Preparation::Element {
                file: file.clone(),
                path: vec!["trustedFolders".to_owned()],
                value: serde_json::Value::from(folder).to_string(),
            })
        };
        add("/w").unwrap();
        let value: serde_json::Value = serde_json::from_str(&read(&file)).unwrap();
        assert_eq!(value["trustedFolders"], serde_json::json!(["/w"]));
        std::fs::write(
            &file,
            r#"{"n": 1.50, "trustedFolders": ["/a",  "/b"], "z": 12345678901234567890123}"#,
        )
        .unwrap();
        add("/w").unwrap();
        add("/w").unwrap();
        let new = read(&file);
        assert!(
            new.contains("\"n\": 1.50") && new.contains("12345678901234567890123"),
            "{new}"
        );
        let value: serde_json::Value = serde_json::from_str(&new).unwrap();
        assert_eq!(value["trustedFolders"], serde_json::json!(["/a", "/b", "/w"]));
        // Comments at the beginning stay.
        std::fs::write(&file, "// One.\n// Two.\n{\"a\": 1}\n").unwrap();
        add("/w").unwrap();
        assert!(
            read(&file).starts_with("// One.\n// Two.\n{\n\"a\": 1,\n"),
            "{}",
            read(&file)
        );
        for broken in ["{} // no", r#"{"trustedFolders": 7}"#] {
            std::fs::write(&file, broken).unwrap();
            assert!(add("/w").is_err());
            assert_eq!(read(&file), broken);
        }
    }

    /// What was said of a session's own folder goes; a person's word about what it lies in stays, and is told of.
    #[test]
    fn what_is_trusted_for_another_reason_is_told_of_and_stays() {
        let (_dir, file) = place();
        let distrust = |file: &Utf8Path, said: Trusted| {
            write(&Preparation::Untrusted {
                file: file.to_owned(),
                said,
                own: vec!["/data/worktrees/web-1".into()],
                repo: "/home/me/web".into(),
            })
        };
        let list = || distrust(&file, Trusted::List("trustedFolders".to_owned()));
        list().unwrap();
        assert!(!file.exists());
        for (text, left) in [
            (r#"{"n": 1.50}"#, None),
            (
                r#"{"trustedFolders": ["/home/me/website", "/data/worktrees/web-10"]}"#,
                None,
            ),
            (
                "// Its own.\n{\"n\": 1.50, \"trustedFolders\": [\"/a\", \"/data/worktrees/web-1\"]}",
                Some("// Its own.\n{\n\"n\": 1.50,\n\"trustedFolders\": [\"/a\"]\n}"),
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            list().unwrap();
            assert_eq!(read(&file), left.unwrap_or(text));
        }
        for folder in ["/", "/home/me", "/home/me/web", "/data/worktrees"] {
            let text = serde_json::json!({"trustedFolders": ["/data/worktrees/web-1", folder]}).to_string();
            std::fs::write(&file, &text).unwrap();
            let why = list().unwrap_err().to_string();
            assert!(why.contains(&format!("`{folder}`")), "{why}");
            assert_eq!(read(&file), text);
        }
        std::fs::write(&file, "{ not json").unwrap();
        assert!(list().is_err());
        std::fs::write(&file, "// Its own.\n").unwrap();
        list().unwrap();
        // A link to what it lies in, and a project that is a worktree itself.
        let place = file.parent().unwrap();
        let main = place.join("code/main");
        std::fs::create_dir_all(main.join(".git/worktrees/side")).unwrap();
        std::fs::write(main.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(main.join(".git/worktrees/side/commondir"), "../..\n").unwrap();
        let side = place.join("side");
        std::fs::create_dir(&side).unwrap();
        std::fs::write(side.join(".git"), format!("gitdir: {main}/.git/worktrees/side\n")).unwrap();
        std::os::unix::fs::symlink(place.join("code"), place.join("link")).unwrap();
        for (folder, is_trusted) in [
            (main.clone(), true),
            (place.join("link"), true),
            (place.join("other"), false),
        ] {
            let text = serde_json::json!({"trustedFolders": [folder]}).to_string();
            std::fs::write(&file, text).unwrap();
            let done = write(&Preparation::Untrusted {
                file: file.clone(),
                said: Trusted::List("trustedFolders".to_owned()),
                own: vec!["/data/worktrees/web-1".into()],
                repo: side.clone(),
            });
            assert_eq!(done.is_err(), is_trusted, "{folder}");
        }
        // Where nobody knows where it keeps its things.
        let nowhere = Preparation::NoFile { file: "x/y".into() };
        assert!(write(&nowhere).is_err());

        let file = file.with_extension("toml");
        let tables = || distrust(&file, Trusted::Tables("folders".to_owned()));
        tables().unwrap();
        let entry = |folder: &str, trusted: bool| format!("[folders.\"{folder}\"]\ntrusted = {trusted}\n");
        for fine in [
            String::new(),
            entry("/home/me", true),
            entry("/home/me/web", false),
        ] {
            std::fs::write(&file, fine).unwrap();
            tables().unwrap();
        }
        for bad in [entry("/home/me/web", true), "[folders".to_owned()] {
            std::fs::write(&file, bad).unwrap();
            assert!(tables().is_err());
        }
    }

    /// Its agent, which holds no lock, writes between our reading and our writing.
    #[test]
    fn what_is_written_meanwhile_is_not_lost() {
        let (_dir, file) = place();
        std::fs::write(&file, "one").unwrap();
        let round = std::cell::Cell::new(0);
        let change = |text: &str| {
            round.set(round.get() + 1);
            if round.get() == 1 {
                std::fs::write(&file, "two").unwrap();
            }
            Ok(Some(format!("{text} and ours")))
        };
        edit(&file, false, "", change).unwrap();
        assert_eq!((read(&file).as_str(), round.get()), ("two and ours", 2));
        // One that goes on and on is left as it is.
        let restless = |text: &str| {
            round.set(round.get() + 1);
            std::fs::write(&file, round.get().to_string()).unwrap();
            Ok(Some(format!("{text} and ours")))
        };
        assert!(edit(&file, false, "", restless).is_err());
        assert_eq!(read(&file), round.get().to_string());
        let beside = std::fs::read_dir(file.parent().unwrap()).unwrap();
        assert_eq!(beside.count(), 1, "no draft stays");
    }

    /// In every order and twice: what somebody wrote is there to the byte after the last of ours has gone.
    #[test]
    fn blocks_come_and_go_and_leave_what_was_there() {
        let (_dir, file) = place();
        let ours = |name: &str| Preparation::Block {
            file: file.clone(),
            name: name.to_owned(),
            text: format!("[[hooks]]\nevent = \"{name}\"\n"),
        };
        let (one, two) = (ours("one"), ours("two"));
        for theirs in [
            "",
            "# mine\nmodel = \"x\"\n\n[[hooks]]\nevent = \"Stop\"\ncommand = \"mine\"\n",
            "model = 'x' # no line end",
            "a = 1\r\n",
        ] {
            for order in [[&one, &two], [&two, &one]] {
                std::fs::write(&file, theirs).unwrap();
                for what in order.iter().chain(&order) {
                    write(what).unwrap();
                }
                let document: toml_edit::DocumentMut = read(&file).parse().unwrap();
                let hooks = document["hooks"].as_array_of_tables().unwrap();
                assert_eq!(hooks.len(), 2 + usize::from(theirs.contains("hooks")));
                for what in [order[0], order[0], order[1]] {
                    unwrite(what).unwrap();
                }
                assert_eq!(read(&file), theirs);
            }
            // In the middle of what is written after it.
            write(&one).unwrap();
            let after = format!("{}[more]\nb = 2\n", read(&file));
            std::fs::write(&file, after).unwrap();
            unwrite(&one).unwrap();
            let line_end = if theirs.is_empty() || theirs.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            assert_eq!(read(&file), format!("{theirs}{line_end}[more]\nb = 2\n"));
        }
        // A name that begins like another is another.
        std::fs::write(&file, "").unwrap();
        let (web, api) = (ours("web"), ours("web-api"));
        write(&api).unwrap();
        write(&web).unwrap();
        unwrite(&web).unwrap();
        assert!(read(&file).contains("\"web-api\"") && !read(&file).contains("\"web\""));
        for broken in ["hooks = []\n", "= 3\n"] {
            std::fs::write(&file, broken).unwrap();
            assert!(write(&one).is_err(), "{broken}");
            assert_eq!(read(&file), broken);
        }
    }

    #[test]
    fn a_file_of_ours_goes_only_while_it_says_what_we_wrote() {
        let (dir, _) = place();
        let file = Utf8PathBuf::from_path_buf(dir.path().join("deep/er/ao.json")).unwrap();
        let ours = Preparation::File {
            file: file.clone(),
            text: "{}".to_owned(),
        };
        write(&ours).unwrap();
        write(&ours).unwrap();
        assert_eq!(read(&file), "{}");
        unwrite(&ours).unwrap();
        unwrite(&ours).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "somebody's").unwrap();
        unwrite(&ours).unwrap();
        assert_eq!(read(&file), "somebody's");
    }

    #[test]
    fn a_link_stays_one() {
        let (dir, file) = place();
        let real = Utf8PathBuf::from_path_buf(dir.path().join("dotfiles.json")).unwrap();
        std::fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        seed(&file, Utf8Path::new("/w")).unwrap();
        assert!(std::fs::symlink_metadata(&file).unwrap().is_symlink());
        assert!(
            std::fs::read_to_string(&real)
                .unwrap()
                .contains("hasTrustDialogAccepted")
        );
    }

    #[test]
    fn the_lock_is_waited_for_and_one_that_is_nobodys_is_taken() {
        let (_dir, file) = place();
        let lock = Lock::take(&file).unwrap();
        let refused = seed(&file, Utf8Path::new("/w")).unwrap_err();
        assert!(
            refused.to_string().contains("held by another program"),
            "{refused}"
        );
        std::mem::forget(lock);
        let folder = std::fs::File::open(format!("{file}.lock")).unwrap();
        let made = folder.metadata().unwrap().modified().unwrap();
        folder
            .set_modified(made - STALE - Duration::from_secs(1))
            .unwrap();
        seed(&file, Utf8Path::new("/w")).unwrap();
        assert!(file.exists());
    }
}
