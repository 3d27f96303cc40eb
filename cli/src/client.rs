//! One HTTP/1.1 connection per question, to a server that was checked to be ours first.
//!
//! Nothing is sent before three things are known: the run file is ours and 0600, the process it names runs (number,
//! start time and boot), and the socket that answers on its port belongs to this user. So a stranger who took the
//! port learns neither the token nor a prompt.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use ao_api::wire::{ErrorBody, Event};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::env::Places;
use crate::error::CliError;
use crate::presence::{self, Trace};
use crate::run_file::RunFile;

/// How long any call may take: twice the daemon's own patience by default, so that it answers first.
const CALL: Duration = Duration::from_secs(120);
/// How long a connection on this machine may take to come up and to be accepted; below a probe's time, so that a
/// daemon that does not accept is told from one that does not answer.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest answer that is read: a thousand sessions are about one megabyte.
const LONGEST: usize = 64 * 1024 * 1024;

/// A daemon that was found. Every call makes a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    run: RunFile,
    session: Option<String>,
}

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    headers: Vec<(HeaderName, String)>,
    within: Duration,
}

impl Ask {
    /// Asks for `path`, which is complete and encoded.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into())
    }

    /// Asks for a change.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path.into())
    }

    /// Asks for a change of what is there.
    pub(crate) fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path.into())
    }

    /// Asks that something be as it is given.
    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path.into())
    }

    /// Asks for a removal.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path.into())
    }

    fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            body: None,
            headers: Vec::new(),
            within: CALL,
        }
    }

    /// With `body` as JSON.
    #[must_use]
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body =
            Some(serde_json::to_vec(body).expect("what we send are plain structs, which JSON can hold"));
        self
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }

    /// To be answered within `limit`.
    #[must_use]
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    fn named(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Bytes,
}

impl Daemon {
    /// The daemon of the run file.
    ///
    /// # Errors
    /// When there is none, or the run file is not to be believed.
    pub(crate) fn find(places: &Places, session: Option<String>) -> Result<Self, CliError> {
        match presence::trace(&places.run_file)? {
            Trace::None => Err(CliError::NoDaemon),
            Trace::Cold { why, .. } => Err(CliError::Stale { why }),
            Trace::Original { pid, port } => Err(CliError::Original {
                pid,
                port,
                run_file: places.run_file.clone(),
            }),
            Trace::Warm(run) => Ok(Self::of(run, session)),
        }
    }

    /// The daemon that wrote `run`; `session` is the one we are called from.
    pub(crate) fn of(run: RunFile, session: Option<String>) -> Self {
        Self { run, session }
    }

    /// Its run file.
    pub(crate) fn run(&self) -> &RunFile {
        &self.run
    }

    /// Asks and reads the answer as `T`.
    ///
    /// # Errors
    /// When it cannot be reached, says no, or says what is not understood. Dropping the future loses the answer, not
    /// what was asked.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, CliError> {
        self.fetch_with_status(ask).await.map(|(_, answer)| answer)
    }

    /// [`Self::fetch`], with the HTTP status of the answer.
    ///
    /// # Errors
    /// As of [`Self::fetch`].
    pub(crate) async fn fetch_with_status<T: DeserializeOwned>(
        &self,
        ask: Ask,
    ) -> Result<(u16, T), CliError> {
        let asked = ask.named();
        let answer = self.ask(ask).await?;
        if !(200..300).contains(&answer.status) {
            return Err(refused(&answer));
        }
        let said =
            serde_json::from_slice(&answer.body).map_err(|source| CliError::Answer { asked, source })?;
        Ok((answer.status, said))
    }

    /// Asks and takes whatever answer comes.
    ///
    /// # Errors
    /// When there is none. Dropping the future loses the answer, not what was asked.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, CliError> {
        let within = ask.within;
        let exchange = async {
            let (mut sender, connection) = self.connect().await?;
            let request = self.request(ask);
            let asked = async move {
                let response = sender.send_request(request).await;
                let answer = read(response).await;
                drop(sender); // lets the connection end
                answer
            };
            let (answer, _) = tokio::join!(asked, connection);
            answer
        };
        tokio::time::timeout(within, exchange)
            .await
            .unwrap_or(Err(CliError::TimedOut { within }))
    }

    /// The number of the newest change.
    ///
    /// # Errors
    /// When the daemon cannot be asked, or does not say.
    pub(crate) async fn head(&self) -> Result<i64, CliError> {
        // A cursor from beyond every log is refused, and the refusal names the newest.
        let answer = self
            .ask(Ask::get(format!("/api/v1/events?after={}", i64::MAX)))
            .await?;
        let error = refused(&answer);
        match &error {
            CliError::Refused { body, .. } => body
                .details
                .get("head")
                .and_then(serde_json::Value::as_i64)
                .ok_or(error),
            _ => Err(error),
        }
    }

    /// Follows what changes from `after` on.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub(crate) async fn events(&self, after: i64) -> Result<Events, CliError> {
        let (mut sender, connection) = self.connect().await?;
        let mut connection: Connection = Box::pin(connection);
        let request = self.request(Ask::get(format!("/api/v1/events?after={after}")));
        let response = tokio::select! {
            response = sender.send_request(request) => response.map_err(|source| CliError::Broken { source })?,
            ended = &mut connection => {
                return Err(match ended.err() {
                    Some(source) => CliError::Broken { source },
                    None => self.unreachable(io::ErrorKind::ConnectionAborted.into()),
                });
            }
        };
        if !response.status().is_success() {
            let (answer, _) = tokio::join!(read(Ok(response)), async {
                drop(sender);
                connection.await
            });
            return Err(refused(&answer?));
        }
        Ok(Events {
            connection: Some(connection),
            _sender: sender,
            body: response.into_body(),
            read: Vec::new(),
        })
    }

    async fn connect(
        &self,
    ) -> Result<
        (
            SendRequest<Full<Bytes>>,
            http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
        ),
        CliError,
    > {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, self.run.port));
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(server))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| self.unreachable(source))?;
        // Nothing has been sent by now.
        tokio::time::timeout(CONNECT, is_ours(&stream, server))
            .await
            .unwrap_or_else(|_| {
                let late = io::Error::new(io::ErrorKind::TimedOut, "it does not accept connections");
                Err(self.unreachable(late))
            })?;
        http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| CliError::Broken { source })
    }

    fn unreachable(&self, source: io::Error) -> CliError {
        CliError::Unreachable {
            pid: self.run.pid,
            port: self.run.port,
            source,
        }
    }

    fn request(&self, ask: Ask) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(ask.body.clone().unwrap_or_default())));
        *request.method_mut() = ask.method;
        *request.uri_mut() = ask
            .path
            .parse()
            .expect("paths are put together from constants and encoded ids");
        let headers = request.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            // A value from the environment may hold what no header can: then it is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::HOST, &format!("127.0.0.1:{}", self.run.port));
        set(
            header::AUTHORIZATION,
            &format!("Bearer {}", self.run.token.reveal()),
        );
        if ask.body.is_some() {
            set(header::CONTENT_TYPE, "application/json");
        }
        if let Some(session) = &self.session {
            set(HeaderName::from_static("ao-session"), session);
        }
        for (name, value) in ask.headers {
            set(name, &value);
        }
        request
    }
}

/// Refuses a server that is not this user's. A connection belongs to nobody until its server has accepted it, so this
/// waits for that. Cancel safe.
#[cfg(target_os = "linux")]
async fn is_ours(stream: &TcpStream, server: SocketAddr) -> Result<(), CliError> {
    let port = server.port();
    let unknown = |source| CliError::UnknownServer { port, source };
    let here = stream.local_addr().map_err(unknown)?;
    let mut pause = Duration::from_millis(1);
    let uid = loop {
        match ao_api::peer::uid_of(server, here).map_err(unknown)? {
            Some(uid) => break uid,
            None => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    if uid == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(CliError::ForeignServer { port, uid })
    }
}

/// Elsewhere the kernel is not asked: the run file and its process have to do.
#[cfg(not(target_os = "linux"))]
async fn is_ours(_: &TcpStream, _: SocketAddr) -> Result<(), CliError> {
    Ok(())
}

async fn read(response: hyper::Result<Response<Incoming>>) -> Result<Answer, CliError> {
    let response = response.map_err(|source| CliError::Broken { source })?;
    let status = response.status().as_u16();
    match Limited::new(response.into_body(), LONGEST).collect().await {
        Ok(body) => Ok(Answer {
            status,
            body: body.to_bytes(),
        }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(source) => CliError::Broken { source: *source },
            Err(error) => CliError::Answer {
                asked: "an answer that is too long".to_owned(),
                source: serde_json::Error::io(io::Error::other(error)),
            },
        }),
    }
}

fn refused(answer: &Answer) -> CliError {
    let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| ErrorBody {
        error: String::new(),
        code: String::new(),
        message: String::new(),
        request_id: String::new(),
        details: serde_json::Map::new(),
    });
    CliError::Refused {
        status: answer.status,
        body: Box::new(body),
        hint: None,
    }
}

/// `segment` as one part of a path.
pub(crate) fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Changes as they come.
pub(crate) struct Events {
    connection: Option<Connection>,
    /// Kept only because dropping it would end the connection.
    _sender: SendRequest<Full<Bytes>>,
    body: Incoming,
    read: Vec<u8>,
}

impl Events {
    /// The next change; `None` when the stream ended, for whatever reason: look, and open a new one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = event_of(&self.frame().await?) {
                return Some(event);
            }
        }
    }

    /// The next change, or the number that the log begins after, where it does not reach back to what was asked for; `None`
    /// when the stream ended. Cancel safe.
    pub(crate) async fn next_or_reset(&mut self) -> Option<Result<Event, i64>> {
        loop {
            let frame = self.frame().await?;
            if let Some(event) = event_of(&frame) {
                return Some(Ok(event));
            }
            if let Some(floor) = reset_of(&frame) {
                return Some(Err(floor));
            }
        }
    }

    /// Resolves when something was said, whatever; `None` when the stream ended. Cancel safe.
    pub(crate) async fn anything(&mut self) -> Option<()> {
        while self.frame().await?.starts_with(b":") {}
        Some(())
    }

    /// Drops what was said and not asked for yet.
    pub(crate) fn forget(&mut self) {
        while take_frame(&mut self.read).is_some() {}
    }

    async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = take_frame(&mut self.read) {
                return Some(frame);
            }
            let frame = match &mut self.connection {
                Some(connection) => tokio::select! {
                    biased;
                    frame = self.body.frame() => frame,
                    _ = connection => {
                        self.connection = None;
                        continue;
                    }
                },
                None => self.body.frame().await,
            };
            if let Ok(data) = frame?.ok()?.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

/// Takes everything up to the next blank line out of `read`.
fn take_frame(read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = read.windows(2).position(|pair| pair == b"\n\n")?;
    let rest = read.split_off(end + 2);
    Some(std::mem::replace(read, rest))
}

/// The event in a frame; comments, `bye` and `reset` have none.
fn event_of(frame: &[u8]) -> Option<Event> {
    serde_json::from_str(&data_of(frame)?).ok()
}

/// The number that the log begins after, in a `reset`.
fn reset_of(frame: &[u8]) -> Option<i64> {
    let data: serde_json::Value = serde_json::from_str(&data_of(frame)?).ok()?;
    data.get("head")?;
    data.get("floor")?.as_i64()
}

fn data_of(frame: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(frame).ok()?;
    let data: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim_start)
        .collect();
    Some(data.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_encoded() {
        assert_eq!(encoded("my.app-1"), "my.app-1");
        assert_eq!(encoded("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
    }

    #[test]
    fn frames_are_taken_whole_and_comments_are_none() {
        let event = r#"{"seq":7,"projectId":"web","type":"session_updated","payload":{},"createdAt":"2026-06-24T12:00:00.000Z"}"#;
        let mut read =
            format!(": beat\n\nid: 7\nevent: session_updated\ndata: {event}\n\nid: 8\nda").into_bytes();
        let beat = take_frame(&mut read).unwrap();
        assert_eq!(event_of(&beat), None);
        let frame = take_frame(&mut read).unwrap();
        assert_eq!(event_of(&frame).unwrap().seq, 7);
        assert_eq!(take_frame(&mut read), None);
        assert_eq!(read, b"id: 8\nda");
    }
}
