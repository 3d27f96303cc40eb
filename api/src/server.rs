//! Accepting connections, and who owns them.
//!
//! The daemon binds the listener before its tree starts. Several acceptors, each a child of the tree, wait on
//! that one listener: while one hangs or is started again, the next connection goes to another, and nobody
//! notices. What they accept they hand to [`Connections`], which the daemon made and which outlives every
//! acceptor, so that the end of an acceptor cuts no client.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use ao_supervisor::{ChildSpec, Context, Crash, Done, Restart};
use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::PeerUid;

/// How often an acceptor gives a sign of life: half of this, and it counts as hung past it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Asks whose process has the other end: [`crate::peer::uid_of`], or what a test puts in its place.
pub type UidOf = fn(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>>;

/// How much of us a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of our own user at a time; one more is closed at once.
    pub connections: usize,
    /// Connections of other users, or of nobody knows whom, at a time. They are few, so that no other user
    /// can take all.
    pub strangers: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a client may take nothing of an answer before it is cut off. This is what ends a slow reader
    /// of events.
    pub stall: Duration,
}

impl Limits {
    /// For a daemon on a person's machine.
    pub fn usual() -> Self {
        Self {
            connections: 512,
            strangers: 32,
            head: Duration::from_secs(10),
            stall: Duration::from_secs(20),
        }
    }
}

/// All open connections. Cheap to clone; all clones are one. Made by the daemon, before the tree.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    tasks: TaskTracker,
    draining: CancellationToken,
    cut: CancellationToken,
    ours: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    limits: Limits,
    uid: u32,
    uid_of: UidOf,
}

impl Connections {
    /// None yet. `uid` is our own user.
    pub fn new(uid: u32, uid_of: UidOf, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            ours: Arc::new(Semaphore::new(limits.connections)),
            strangers: Arc::new(Semaphore::new(limits.strangers)),
            limits,
            uid,
            uid_of,
        }))
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.tasks.len()
    }

    /// Lets requests that are under way be answered, for at most `within`, closes what is idle, then cuts off
    /// the rest and answers how many those were. Connections that come later are closed at once. To be called
    /// when the tree has stopped, or at least after [`crate::Stage::stop`], which is what ends event streams.
    ///
    /// Cancel safe: dropping it leaves the drain begun.
    pub async fn drain(&self, within: Duration) -> usize {
        self.0.tasks.close();
        self.0.draining.cancel();
        if tokio::time::timeout(within, self.0.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.open();
        self.0.cut.cancel();
        self.0.tasks.wait().await;
        left
    }

    /// Serves one connection in a task of its own.
    fn serve(&self, stream: TcpStream, router: Router) {
        if self.0.draining.is_cancelled() {
            return;
        }
        let peer = self.who(&stream);
        let places = if peer == Some(self.0.uid) {
            &self.0.ours
        } else {
            &self.0.strangers
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(peer, "too many connections at a time, closed a new one");
            return;
        };
        let inner = self.0.clone();
        self.0
            .tasks
            .spawn(async move { inner.converse(stream, router, PeerUid(peer), place).await });
    }

    fn who(&self, stream: &TcpStream) -> Option<u32> {
        let asked = stream
            .peer_addr()
            .and_then(|theirs| Ok((theirs, stream.local_addr()?)));
        match asked.and_then(|(theirs, ours)| (self.0.uid_of)(theirs, ours)) {
            Ok(uid) => uid,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not ask who connected, will want a token"
                );
                None
            }
        }
    }
}

impl Inner {
    async fn converse(&self, stream: TcpStream, router: Router, peer: PeerUid, _place: OwnedSemaphorePermit) {
        // Answers are written whole and events must not wait for one another.
        let _ = stream.set_nodelay(true);
        let routes = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            routes.call(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            // Answers of some thousand sessions fit; more than that for one slow client is memory taken from
            // others.
            .max_buf_size(256 * 1024)
            .serve_connection(TokioIo::new(Impatient::new(stream, self.limits.stall)), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            () = self.cut.cancelled() => return,
            ended = connection.as_mut() => ended,
            () = self.draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    () = self.cut.cancelled() => return,
                    ended = connection => ended,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
    }
}

/// Children named `api 1` to `api <count>`, all waiting on `listener` and serving `router`.
pub fn acceptors(
    listener: &Arc<TcpListener>,
    router: &Router,
    connections: &Connections,
    count: usize,
) -> Vec<ChildSpec> {
    let one = |number: usize| {
        let (listener, router, connections) = (listener.clone(), router.clone(), connections.clone());
        let start = move |ctx: Context| accept(ctx, listener.clone(), router.clone(), connections.clone());
        ChildSpec::new(format!("api {number}"), start)
            .kind("api")
            .restart(Restart::Permanent)
            .heartbeat(HEARTBEAT)
    };
    (1..=count).map(one).collect()
}

async fn accept(
    ctx: Context,
    listener: Arc<TcpListener>,
    router: Router,
    connections: Connections,
) -> Result<Done, Crash> {
    /// For want of a file descriptor, say: a client that leaves gives one back.
    const BREATH: Duration = Duration::from_millis(100);
    ctx.ready();
    loop {
        let accepted = tokio::select! {
            biased;
            () = ctx.stopping() => return Ok(Done),
            accepted = ctx.beating(listener.accept()) => accepted,
        };
        match accepted {
            // From here to the hand-over nothing is awaited: no connection is in between when this child ends.
            Ok((stream, _)) => connections.serve(stream, router.clone()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not accept a connection"
                );
                ctx.within(BREATH * 2, tokio::time::sleep(BREATH)).await?;
            }
        }
    }
}

/// A stream whose writes fail when the other side has taken nothing for a while. hyper asks for no more of an
/// answer while a write waits, so nothing piles up behind a slow reader; this is what ends it.
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    overdue: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            overdue: None,
        }
    }

    fn judge<T>(&mut self, cx: &mut Poller<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.overdue = None;
            return written;
        }
        let overdue = self
            .overdue
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        overdue
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Poller<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
