//! A directory of a test's own, gone with it.

use std::sync::atomic::{AtomicU32, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Removed with everything in it when dropped.
pub(crate) struct Scratch(Utf8PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let temp =
            Utf8PathBuf::from_path_buf(std::env::temp_dir()).expect("the temporary directory is UTF-8");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = temp.join(format!("ao-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path.canonicalize_utf8().expect("it was just made"))
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
