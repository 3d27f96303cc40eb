//! One client of the holder: its frames in, its frames out, never waited for.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::answers::Answers;
use super::typing::Asker;
use crate::runtimes::holder::wire::{Decoder, Frame, MAX_FROM_CLIENT, Scrollback, WireError};

/// What may wait for a viewer that does not read. Beyond it the waiting output is dropped, and a snapshot takes its
/// place as soon as the viewer reads again.
const VIEWER_QUEUE: usize = 1024 * 1024;

/// What may wait in answers for a client that asks and does not read.
const ANSWER_QUEUE: usize = 4 * crate::runtimes::holder::wire::MAX_FROM_HOLDER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Belongs to an answer; never dropped.
    Answer,
    /// What the terminal shows; a snapshot can stand for it.
    Show,
}

/// Whether a client sees the terminal.
#[derive(Debug)]
enum View {
    None,
    /// Gets a snapshot as soon as its queue is empty.
    Stale(Scrollback),
    Live,
}

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: Asker,
    stream: UnixStream,
    decoder: Decoder,
    queue: VecDeque<(Kind, Rc<[u8]>)>,
    queued: usize,
    /// How much of the first frame in the queue was written.
    written: usize,
    view: View,
    pub(super) greeted: bool,
    pub(super) answers: Answers,
    /// Nothing more is read; closed when all is written.
    leaving: bool,
    broken: bool,
}

impl Connection {
    pub(super) fn new(id: Asker, stream: UnixStream) -> Self {
        Self {
            id,
            stream,
            decoder: Decoder::new(MAX_FROM_CLIENT),
            queue: VecDeque::new(),
            queued: 0,
            written: 0,
            view: View::None,
            greeted: false,
            answers: Answers::default(),
            leaving: false,
            broken: false,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.broken || (self.leaving && self.queue.is_empty())
    }

    pub(super) fn is_viewer(&self) -> bool {
        !matches!(self.view, View::None)
    }

    /// Nothing it says counts any more; what waits for it is still written.
    pub(super) fn close(&mut self) {
        self.leaving = true;
    }

    /// Reads what is there; one bounded portion, so that no client keeps the others waiting.
    pub(super) fn read(&mut self, buffer: &mut [u8]) {
        match self.stream.read(buffer) {
            Ok(0) => self.broken = true,
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if is_later(&error) => {}
            Err(_) => self.broken = true,
        }
    }

    /// The next whole frame of those read.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        if self.leaving || self.broken {
            return Ok(None);
        }
        self.decoder.next_frame()
    }

    /// Sends an answer.
    pub(super) fn answer(&mut self, frame: &Frame) {
        if self.queued > ANSWER_QUEUE {
            self.broken = true; // asks and asks and never reads
        } else {
            self.push(Kind::Answer, frame.encode().into());
        }
    }

    /// Sends what the program wrote, encoded once for all viewers.
    pub(super) fn output(&mut self, frame: &Rc<[u8]>) {
        if !matches!(self.view, View::Live) {
            return;
        }
        if self.queued + frame.len() > VIEWER_QUEUE {
            self.wants_snapshot(Scrollback::Leave);
        } else {
            self.push(Kind::Show, Rc::clone(frame));
        }
    }

    /// Makes the client a viewer, or an outdated one: what waits for it is dropped, a snapshot comes instead.
    pub(super) fn wants_snapshot(&mut self, scrollback: Scrollback) {
        let begun = usize::from(self.written > 0);
        let mut at = 0;
        self.queue.retain(|(kind, _)| {
            at += 1;
            at <= begun || *kind == Kind::Answer // a frame that was begun has to end, or the next is not found
        });
        self.queued = self.queue.iter().map(|(_, frame)| frame.len()).sum();
        self.view = View::Stale(scrollback);
    }

    /// Which snapshot to make now.
    pub(super) fn snapshot_due(&self) -> Option<Scrollback> {
        match self.view {
            View::Stale(scrollback) if self.queue.is_empty() => Some(scrollback),
            _ => None,
        }
    }

    /// Sends the frames of a snapshot; output follows from now on.
    pub(super) fn snapshot(&mut self, frames: impl IntoIterator<Item = Frame>) {
        for frame in frames {
            self.push(Kind::Show, frame.encode().into());
        }
        self.view = View::Live;
    }

    /// Writes as much as the client takes now.
    pub(super) fn write(&mut self) {
        while let Some((_, frame)) = self.queue.front() {
            match self.stream.write(&frame[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_later(&error) => return,
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
            if self.written == frame.len() {
                self.queued -= frame.len();
                self.written = 0;
                self.queue.pop_front();
            }
        }
    }

    fn push(&mut self, kind: Kind, frame: Rc<[u8]>) {
        self.queued += frame.len();
        self.queue.push_back((kind, frame));
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtimes::holder::wire::MAX_FROM_HOLDER;

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Connection::new(1, ours), theirs)
    }

    #[test]
    fn a_viewer_that_does_not_read_gets_a_snapshot_in_place_of_its_queue() {
        let (mut connection, mut theirs) = pair();
        connection.wants_snapshot(Scrollback::Leave);
        assert_eq!(connection.snapshot_due(), Some(Scrollback::Leave));
        connection.snapshot([Frame::Live(0)]);
        let output: Rc<[u8]> = Frame::Output(vec![b'x'; 64 * 1024]).encode().into();
        let mut sent = 0;
        while !matches!(connection.view, View::Stale(_)) {
            connection.output(&output);
            connection.write();
            sent += 1;
            assert!(sent < 1_000, "the queue never filled");
        }
        connection.answer(&Frame::Done);
        assert!(connection.queued < 2 * output.len(), "the queue was dropped");
        // The viewer reads again: whole frames until the answer, then its snapshot is due.
        let mut decoder = Decoder::new(MAX_FROM_HOLDER);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            connection.write();
            let count = theirs.read(&mut buffer).unwrap();
            decoder.push(&buffer[..count]);
            let mut last = None;
            while let Some(frame) = decoder.next_frame().unwrap() {
                last = Some(frame);
            }
            if last == Some(Frame::Done) {
                break;
            }
        }
        assert_eq!(connection.snapshot_due(), Some(Scrollback::Leave));
    }
}
