//! One question to a holder, asked from the daemon: connect, greet, ask, read the answer.

use std::io;
use std::time::Duration;

use ao_domain::port::runtime::RuntimeError;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::family;
use super::files::{LockState, RunDir};
use super::wire::{Decoder, Frame, Hello, LOOKS, MAX_FROM_HOLDER, Status};

/// How often a socket that is not there is tried again; the holder makes it anew when it is told.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A greeted connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    decoder: Decoder,
    /// What the holder can do beyond version 1.
    features: Vec<String>,
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The holder is gone: its lock is free.
    Gone,
    /// It has its lock and said nothing in time, or the connection broke.
    Silent(Option<io::Error>),
    /// It said what it should not.
    Nonsense(String),
    /// It cannot do that yet; nothing was asked.
    TooOld,
}

impl Trouble {
    /// For a caller to whom a holder that is gone is no answer either.
    pub(super) fn into_error(self, doing: &'static str) -> RuntimeError {
        match self {
            Self::Gone => RuntimeError::NoAnswer { doing, source: None },
            Self::Silent(source) => RuntimeError::NoAnswer { doing, source },
            Self::Nonsense(what) => RuntimeError::Protocol(what),
            Self::TooOld => RuntimeError::TooOld,
        }
    }
}

impl Link {
    /// Reaches the holder within `patience`. A socket that is missing while the lock is held is asked for.
    ///
    /// Cancel safe.
    pub(super) async fn reach(dir: &RunDir, patience: Duration) -> Result<Self, Trouble> {
        let until = Instant::now() + patience;
        let mut told = false;
        loop {
            let error = match tokio::time::timeout_at(until, Self::once(dir)).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            if let Ok(LockState::Free) = dir.lock_state() {
                return Err(Trouble::Gone);
            }
            if let Some(error) = &error
                && error.kind() == io::ErrorKind::InvalidData
            {
                return Err(Trouble::Nonsense(error.to_string()));
            }
            if Instant::now() + TRY_AGAIN >= until {
                return Err(Trouble::Silent(error));
            }
            if !told && let Ok((Some(holder), _)) = dir.named() {
                family::signal_process(&holder, Signal::USR1);
                told = true;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn once(dir: &RunDir) -> io::Result<Self> {
        let (held_open, path) = dir.socket()?;
        let stream = UnixStream::connect(&path).await?;
        drop(held_open); // the path goes through it
        let mut link = Self {
            stream,
            decoder: Decoder::new(MAX_FROM_HOLDER),
            features: Vec::new(),
        };
        link.say(&Frame::Hello(Hello::ours())).await?;
        match link.hear().await? {
            Frame::Welcome(hello) => {
                link.features = hello.features;
                Ok(link)
            }
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no welcome but {other:?}"),
            )),
        }
    }

    pub(super) async fn say(&mut self, frame: &Frame) -> io::Result<()> {
        self.stream.write_all(&frame.encode()).await
    }

    pub(super) async fn hear(&mut self) -> io::Result<Frame> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let next = self
                .decoder
                .next_frame()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some(frame) = next {
                return Ok(frame);
            }
            match self.stream.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }
}

/// Asks one thing. `reach` bounds the way there, `answer` the answer.
///
/// Dropped after the question was sent, nobody knows whether it was done.
pub(super) async fn ask(
    dir: &RunDir,
    question: &Frame,
    reach: Duration,
    answer: Duration,
) -> Result<Frame, Trouble> {
    let mut link = Link::reach(dir, reach).await?;
    if question.needs_looks() && !link.features.iter().any(|feature| feature == LOOKS) {
        return Err(Trouble::TooOld);
    }
    let heard = tokio::time::timeout(answer, async {
        link.say(question).await?;
        link.hear().await
    })
    .await;
    match heard {
        Ok(Ok(frame)) => Ok(frame),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Trouble::Nonsense(error.to_string()))
        }
        Ok(Err(error)) => Err(match dir.lock_state() {
            Ok(LockState::Free) => Trouble::Gone,
            _ => Trouble::Silent(Some(error)),
        }),
        Err(_) => Err(Trouble::Silent(None)),
    }
}

/// How the run stands, within `patience` in all.
pub(super) async fn status(dir: &RunDir, patience: Duration) -> Result<Status, Trouble> {
    let asked = tokio::time::timeout(patience, ask(dir, &Frame::Status, patience, patience)).await;
    match asked {
        Ok(Ok(Frame::StatusIs(status))) => Ok(status),
        Ok(Ok(other)) => Err(Trouble::Nonsense(format!("no status but {other:?}"))),
        Ok(Err(trouble)) => Err(trouble),
        Err(_) => Err(Trouble::Silent(None)),
    }
}
