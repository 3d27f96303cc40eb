//! Messages too long to be typed, as files below the data directory.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use ao_domain::SessionId;
use ao_domain::port::PortFuture;
use ao_domain::port::letters::{LetterError, Letters, letter};
use camino::{Utf8Path, Utf8PathBuf};

/// Below one folder, a folder for each session.
#[derive(Clone, Debug)]
pub struct LetterFiles {
    root: Utf8PathBuf,
}

impl LetterFiles {
    /// Below `root`, which is made when it is needed.
    pub fn new(root: Utf8PathBuf) -> Self {
        Self { root }
    }
}

impl Letters for LetterFiles {
    fn folder(&self, session: &SessionId) -> Utf8PathBuf {
        self.root.join(session.as_str())
    }

    fn put<'a>(
        &'a self,
        session: &'a SessionId,
        id: u64,
        text: &'a str,
    ) -> PortFuture<'a, Result<Utf8PathBuf, LetterError>> {
        Box::pin(async move {
            let path = letter(&self.folder(session), id);
            let (to, text) = (path.clone(), text.to_owned());
            let written = tokio::task::spawn_blocking(move || write(&to, &text)).await;
            match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => Ok(path),
                Err(source) => Err(LetterError { path, source }),
            }
        })
    }
}

fn write(path: &Utf8Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_message_lies_in_a_file_of_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("messages");
        let letters = LetterFiles::new(root.clone());
        let session: SessionId = "web-1".parse().unwrap();
        for text in ["first\n\u{e4}", "again"] {
            let path = letters.put(&session, 7, text).await.unwrap();
            assert_eq!(path, root.join("web-1/7.md"));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(letters.folder(&session)).unwrap().count(), 1);
        fs::remove_dir_all(&root).unwrap();
        fs::write(&root, "").unwrap();
        let error = letters.put(&session, 7, "x").await.unwrap_err();
        assert_eq!(error.path, root.join("web-1/7.md"));
    }
}
