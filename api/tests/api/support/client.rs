//! HTTP/1.1 by hand, so that a test can send what no client library would.

use std::fmt::Write;

use ao_api::wire::ErrorBody;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

/// A request that is made up piece by piece. `PORT` in a header's value stands for the daemon's port.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// What curl would send.
pub(crate) fn request(method: &str, path: &str) -> Request {
    let host = ("host".to_owned(), "127.0.0.1:PORT".to_owned());
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: vec![host],
        body: None,
    }
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn text(&self, port: u16) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            let _ = write!(text, "content-length: {}\r\n", body.len());
        }
        text += "\r\n";
        text += self.body.as_deref().unwrap_or_default();
        text.replace("PORT", &port.to_string())
    }

    /// Over a connection of its own.
    pub(crate) async fn send(&self, port: u16) -> Answer {
        let mut line = Line::connect(port).await;
        line.ask(self).await
    }
}

/// One connection.
pub(crate) struct Line {
    port: u16,
    stream: BufReader<TcpStream>,
}

impl Line {
    pub(crate) async fn connect(port: u16) -> Self {
        Self::over(TcpSocket::new_v4().unwrap(), port).await
    }

    /// With a receive buffer as small as the system allows.
    pub(crate) async fn narrow(port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        Self::over(socket, port).await
    }

    async fn over(socket: TcpSocket, port: u16) -> Self {
        let stream = within(socket.connect(([127, 0, 0, 1], port).into()))
            .await
            .unwrap();
        Self {
            port,
            stream: BufReader::new(stream),
        }
    }

    pub(crate) async fn say(&mut self, request: &Request) {
        self.stream
            .get_mut()
            .write_all(request.text(self.port).as_bytes())
            .await
            .unwrap();
    }

    pub(crate) async fn say_raw(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Answer {
        self.say(request).await;
        within(self.answer())
            .await
            .unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    /// The next answer; `None` when the connection ends.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        answer.body = String::from_utf8(body).unwrap();
        Some(answer)
    }

    async fn head(&mut self) -> Option<Answer> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            lines.push(line.to_owned());
        }
        let status = lines.remove(0).split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.iter().map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Some(Answer {
            status,
            headers: headers.collect(),
            body: String::new(),
        })
    }

    /// Sends a chunked body of `bytes` blanks, as far as the other side takes it, and reads the answer.
    pub(crate) async fn pour(&mut self, bytes: usize) -> Answer {
        const CHUNK: usize = 16 * 1024;
        let chunk = format!("{CHUNK:x}\r\n{}\r\n", " ".repeat(CHUNK));
        for _ in 0..bytes / CHUNK {
            if self.stream.get_mut().write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        within(self.answer())
            .await
            .expect("an answer before the end of the connection")
    }

    /// Whether the other side has closed it.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        within(self.stream.read_to_end(&mut rest))
            .await
            .map_or(true, |_| true)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert!(self.body.ends_with("}\n"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The body of a refusal, in the one form there is.
    #[track_caller]
    pub(crate) fn refusal(&self) -> ErrorBody {
        assert!(self.status >= 400, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/json; charset=utf-8"),
            "{self:?}"
        );
        let body: ErrorBody =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(!body.error.is_empty() && !body.message.is_empty(), "{self:?}");
        assert_eq!(self.header("x-request-id"), Some(body.request_id.as_str()));
        assert!(
            body.request_id.len() == 32 && body.request_id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{self:?}"
        );
        body
    }

    /// Status and code of a refusal.
    #[track_caller]
    pub(crate) fn refused(&self) -> (u16, String) {
        (self.status, self.refusal().code)
    }
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<i64>,
    pub(crate) event: String,
    pub(crate) data: String,
}

impl Frame {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// An open event stream.
pub(crate) struct Stream {
    line: Line,
    text: String,
}

impl Stream {
    pub(crate) async fn open(port: u16, query: &str, headers: &[(&str, &str)]) -> Self {
        // Of the log alone: what happens in the tree is asked of the whole program.
        let joint = if query.is_empty() { '?' } else { '&' };
        let mut asked = request("GET", &format!("/api/v1/events{query}{joint}tree=false"));
        for (name, value) in headers {
            asked = asked.header(name, value);
        }
        let mut line = Line::connect(port).await;
        line.say(&asked).await;
        let head = within(line.head()).await.unwrap();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(
            head.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        assert_eq!(head.header("cache-control"), Some("no-cache"));
        Self {
            line,
            text: String::new(),
        }
    }

    /// The next event; `None` at the end. Comments and `retry` are passed over.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        within(self.frame()).await
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut frame = Frame::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => frame.id = Some(id.parse().unwrap()),
                        Some(("event", event)) => frame.event = event.to_owned(),
                        Some(("data", data)) => frame.data = data.to_owned(),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                if !frame.event.is_empty() {
                    return Some(frame);
                }
            }
            let chunk = self.chunk().await?;
            self.text += &chunk;
        }
    }

    async fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.line.stream.read_line(&mut size).await.ok()?;
        let size = usize::from_str_radix(size.trim_end(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.line.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }
}
