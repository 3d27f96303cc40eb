//! The one thing of Claude Code's own that is changed: that it may work in a folder which a person gave to us.
//!
//! Without it a fresh worktree begins with a question whose first answer is "No, exit". Only `projects[FOLDER]` gets one word;
//! everything else in the file stays to the byte, numbers and order included. Claude Code writes the file as a whole while
//! it holds `FILE.lock`, a folder; we hold it too. The file may be a link: what it points to is replaced.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use ao_domain::port::agent::PrepareError;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::value::RawValue;

/// A lock that nobody has renewed for so long is nobody's (proper-lockfile's rule, by which Claude Code goes).
const STALE: Duration = Duration::from_secs(10);

/// How long to wait for it. A write takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longest file taken; the largest ones seen had a few hundred kilobytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Writes that `folder` is trusted into `config`. Safe to repeat: what is there already is not written again.
pub(super) async fn seed(config: &Utf8Path, folder: &Utf8Path) -> Result<(), PrepareError> {
    let (file, folder) = (config.to_owned(), folder.to_owned());
    let failed = |source| PrepareError {
        doing: "noting that the worktree is trusted",
        path: config.to_owned(),
        source,
    };
    let done = tokio::task::spawn_blocking(move || write(&file, &folder)).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(failed)
}

fn write(config: &Utf8Path, folder: &Utf8Path) -> io::Result<()> {
    // Its own path may be told with links in it or without.
    let mut folders = vec![folder.to_string()];
    if let Ok(real) = folder.canonicalize_utf8()
        && real != folder
    {
        folders.push(real.into_string());
    }
    let file = config.canonicalize_utf8().unwrap_or_else(|_| config.to_owned());
    let _held = Lock::take(&file)?;
    let text = match std::fs::metadata(&file) {
        Ok(found) if found.len() > LONGEST => {
            return Err(io::Error::other("it is too long to be what it should be"));
        }
        Ok(_) => std::fs::read_to_string(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
        Err(error) => return Err(error),
    };
    let mut new = text.clone();
    for folder in &folders {
        if let Some(changed) = trusted(&new, folder)? {
            new = changed;
        }
    }
    if new == text {
        return Ok(());
    }
    replace(&file, &new)
}

/// The text with that folder trusted; `None` when it is already.
fn trusted(text: &str, folder: &str) -> io::Result<Option<String>> {
    let mut all = Members::of(if text.trim().is_empty() { "{}" } else { text })?;
    let mut projects = Members::of(all.get("projects").unwrap_or("{}"))?;
    let mut project = Members::of(projects.get(folder).unwrap_or("{}"))?;
    if project.get("hasTrustDialogAccepted") == Some("true") {
        return Ok(None);
    }
    project.set("hasTrustDialogAccepted", "true".to_owned());
    projects.set(folder, project.text());
    all.set("projects", projects.text());
    Ok(Some(all.text()))
}

/// A JSON object whose values stay as they were written.
struct Members(Vec<(String, String)>);

impl Members {
    fn of(text: &str) -> io::Result<Members> {
        struct Ordered;
        impl<'de> serde::de::Visitor<'de> for Ordered {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, String)> = Vec::new();
                let mut at: HashMap<String, usize> = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Of a name that stands there twice the last one counts, as everywhere.
                    match at.get(&name) {
                        Some(known) => value.get().clone_into(&mut members[*known].1),
                        None => {
                            at.insert(name.clone(), members.len());
                            members.push((name, value.get().to_owned()));
                        }
                    }
                }
                Ok(members)
            }
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = serde::Deserializer::deserialize_map(&mut reader, Ordered)?;
        reader.end()?;
        Ok(Members(members))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(found.1.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn text(&self) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}: {value}", serde_json::Value::from(name.as_str())))
            .collect();
        format!("{{\n{}\n}}", members.join(",\n"))
    }
}

/// A new file in the place of the old one, with its rights: whoever reads sees one or the other.
fn replace(file: &Utf8Path, text: &str) -> io::Result<()> {
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
        std::fs::rename(&draft, file)
    })();
    if written.is_err() {
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
        write(&file, Utf8Path::new("/w/t \"1\"")).unwrap();
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
        write(&file, Utf8Path::new("/w/t \"1\"")).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().ino(), before);
        assert!(!file.with_extension("json.lock").exists());
    }

    #[test]
    fn no_file_is_an_empty_one_and_a_broken_one_is_left() {
        let (_dir, file) = place();
        write(&file, Utf8Path::new("/w")).unwrap();
        let value: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(value["projects"]["/w"]["hasTrustDialogAccepted"], true);
        for broken in ["{", "[1]", "{\"projects\": 7}", "{} x"] {
            std::fs::write(&file, broken).unwrap();
            assert!(write(&file, Utf8Path::new("/w")).is_err(), "{broken}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
        }
    }

    #[test]
    fn a_link_stays_one() {
        let (dir, file) = place();
        let real = Utf8PathBuf::from_path_buf(dir.path().join("dotfiles.json")).unwrap();
        std::fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        write(&file, Utf8Path::new("/w")).unwrap();
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
        let refused = write(&file, Utf8Path::new("/w")).unwrap_err();
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
        write(&file, Utf8Path::new("/w")).unwrap();
        assert!(file.exists());
    }
}
