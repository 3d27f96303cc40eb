//! Files that agents write themselves, followed line by line.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ao_domain::port::PortFuture;
use ao_domain::port::transcript::{Follow, TranscriptError, Transcripts};
use camino::{Utf8Path, Utf8PathBuf};
use notify::Watcher as _;
use tokio::sync::Notify;

use crate::lines::{self, Lines};

/// How much one read takes in.
const PIECE: u64 = 1024 * 1024;

/// Longest line: more is passed over, for nothing of what is looked for is so long.
const LINE_MAX: u64 = 16 * 1024 * 1024;

/// How often to look when nothing was heard: a file that is not there yet is not watched, and notifications can be lost.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// Follows files with one watcher for all of them.
#[derive(Clone, Default)]
pub struct FileTranscripts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    /// Made for the first one. `None` too where the system gives none: then the slow poll alone remains.
    watcher: Option<notify::RecommendedWatcher>,
    wakes: Arc<Mutex<HashMap<PathBuf, Arc<Notify>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Watches `file`, if it is there. `false`: it is not watched.
    fn watch(&self, file: &Utf8Path, wake: &Arc<Notify>) -> bool {
        let mut followed = lock(&self.followed);
        let wakes = followed.wakes.clone();
        if followed.watcher.is_none() {
            let heard = wakes.clone();
            let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let Ok(event) = event else { return };
                if event.kind.is_access() {
                    return;
                }
                for path in &event.paths {
                    if let Some(wake) = lock(&heard).get(path) {
                        wake.notify_one(); // keeps one permit when nobody waits: no wake-up is lost
                    }
                }
            });
            followed.watcher = made.ok();
        }
        let Some(watcher) = followed.watcher.as_mut() else {
            return false;
        };
        lock(&wakes).insert(file.as_std_path().to_owned(), wake.clone());
        let watched = watcher.watch(file.as_std_path(), notify::RecursiveMode::NonRecursive);
        if watched.is_err() {
            lock(&wakes).remove(file.as_std_path());
        }
        watched.is_ok()
    }

    fn forget(&self, file: &Utf8Path) {
        let mut followed = lock(&self.followed);
        lock(&followed.wakes).remove(file.as_std_path());
        if let Some(watcher) = followed.watcher.as_mut() {
            let _ = watcher.unwatch(file.as_std_path()); // it may be gone
        }
    }
}

impl Transcripts for FileTranscripts {
    fn follow(&self, file: &Utf8Path) -> Box<dyn Follow> {
        Box::new(Following {
            shared: self.0.clone(),
            file: file.to_owned(),
            wake: Arc::new(Notify::new()),
            is_watched: false,
            offset: 0,
        })
    }
}

struct Following {
    shared: Arc<Shared>,
    file: Utf8PathBuf,
    wake: Arc<Notify>,
    is_watched: bool,
    offset: u64,
}

impl Follow for Following {
    fn lines(&mut self) -> PortFuture<'_, Result<Vec<String>, TranscriptError>> {
        Box::pin(async {
            loop {
                if !self.is_watched {
                    // Before the look, so that nothing falls in between.
                    self.is_watched = self.shared.watch(&self.file, &self.wake);
                }
                let (file, offset) = (self.file.clone(), self.offset);
                let read = tokio::task::spawn_blocking(move || piece(&file, offset)).await;
                let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
                let (lines, next) = read.map_err(|source| TranscriptError {
                    path: self.file.to_string(),
                    source,
                })?;
                let is_news = next != self.offset;
                self.offset = next;
                if !lines.is_empty() {
                    return Ok(lines);
                }
                if !is_news {
                    // The answer is the same either way: look.
                    let _ = tokio::time::timeout(SLOW_POLL, self.wake.notified()).await;
                }
            }
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if self.is_watched {
            self.shared.forget(&self.file);
        }
    }
}

/// Whole lines from `offset` on, and where the next ones begin.
fn piece(file: &Utf8Path, offset: u64) -> io::Result<(Vec<String>, u64)> {
    // Shorter than it was: it is another one.
    let is_new = std::fs::metadata(file).map_or(true, |found| found.len() < offset);
    let offset = if is_new { 0 } else { offset };
    let Some(Lines { lines, next }) = lines::read(file, offset, PIECE, LINE_MAX)? else {
        return Ok((Vec::new(), 0));
    };
    let lines = lines.into_iter().filter_map(|line| String::from_utf8(line).ok());
    Ok((lines.collect(), next))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn add(file: &Utf8Path, text: &str) {
        let mut open = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        open.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn whole_lines_come_once_and_in_order_however_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(dir.path().join("t.jsonl")).unwrap();
        let mut follow = FileTranscripts::default().follow(&file);
        // It is not there yet; whoever waits and goes away loses nothing.
        assert!(
            tokio::time::timeout(Duration::from_millis(50), follow.lines())
                .await
                .is_err()
        );
        add(&file, "one\ntwo\nthr");
        assert_eq!(follow.lines().await.unwrap(), ["one", "two"]);
        add(&file, "ee\n\n");
        assert_eq!(follow.lines().await.unwrap(), ["three"]);
        let long = "x".repeat(3 * usize::try_from(PIECE).unwrap());
        add(&file, &format!("{long}\nend\n"));
        let lines = follow.lines().await.unwrap();
        assert_eq!((lines[0].len(), lines[1].as_str()), (long.len(), "end"));
        // Written anew and shorter.
        std::fs::write(&file, "again\n").unwrap();
        assert_eq!(follow.lines().await.unwrap(), ["again"]);
    }
}
