//! As much of HTTP/1.1 as a client of GitHub uses.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::check::Log;

/// A request as it came in.
pub(super) struct Heard {
    pub(super) method: String,
    /// The path with its query.
    pub(super) target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Heard {
    /// Reads the next one; `None` at the connection's end.
    pub(super) fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut heard = Self {
            method,
            target,
            headers,
            body: Vec::new(),
        };
        if heard
            .header("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
        {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                let mut piece = vec![0; size + 2];
                reader.read_exact(&mut piece)?;
                heard.body.extend_from_slice(&piece[..size]);
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = heard.header("content-length") {
            heard.body = vec![0; length.parse().map_err(io::Error::other)?];
            reader.read_exact(&mut heard.body)?;
        }
        Ok(Some(heard))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The token that it was sent with.
    pub(super) fn token(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        let is_known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
        is_known.then_some(token.trim())
    }

    /// The path without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A value of the query, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(known, _)| *known == name)?.1;
        Some(decoded(&value.replace('+', " ")))
    }
}

/// Text with its `%20`s turned back.
pub(super) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is sent back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// A reply's body.
pub(super) enum Body {
    Bytes(Vec<u8>),
    /// Made as it is sent.
    Log(Log),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Log(log) => log.len(),
        }
    }
}

impl Reply {
    pub(super) fn of(status: u16, kind: &str, body: Body) -> Self {
        Self {
            status,
            headers: vec![("content-type", kind.to_owned())],
            body,
        }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        let bytes = Body::Bytes(value.to_string().into_bytes());
        Self::of(status, "application/json; charset=utf-8", bytes)
    }

    pub(super) fn html(status: u16, text: &str) -> Self {
        Self::of(
            status,
            "text/html; charset=utf-8",
            Body::Bytes(text.as_bytes().to_vec()),
        )
    }

    /// GitHub's way of saying no.
    pub(super) fn refusal(status: u16, message: &str) -> Self {
        let documentation = "https://docs.github.com/rest";
        let body = serde_json::json!({
            "message": message, "documentation_url": documentation, "status": status.to_string(),
        });
        Self::json(status, &body)
    }

    pub(super) fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Sends it whole.
    pub(super) fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(self.head().as_bytes())?;
        match &self.body {
            _ if self.status == 304 => Ok(()),
            Body::Bytes(bytes) => stream.write_all(bytes),
            Body::Log(log) => {
                stream.write_all(log.head.as_bytes())?;
                if !log.filler.is_empty() {
                    // Many of them at a time: one write per line would take minutes.
                    let together = (65_536 / log.filler.len() as u64).clamp(1, log.times.max(1));
                    let block = log.filler.repeat(usize::try_from(together).unwrap_or(1));
                    for _ in 0..log.times / together {
                        stream.write_all(block.as_bytes())?;
                    }
                    for _ in 0..log.times % together {
                        stream.write_all(log.filler.as_bytes())?;
                    }
                }
                stream.write_all(log.tail.as_bytes())
            }
        }
    }

    /// Sends its head and half of its body.
    pub(super) fn send_half(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(self.head().as_bytes())?;
        match &self.body {
            Body::Bytes(bytes) => stream.write_all(&bytes[..bytes.len() / 2]),
            Body::Log(log) => stream.write_all(log.head.as_bytes()),
        }
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.status != 304 {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        head + "\r\n"
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
