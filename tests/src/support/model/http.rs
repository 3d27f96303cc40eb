//! The little of HTTP that agents speak to a model: whole requests in, an object or a stream of events out.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

/// One request: method, path without its query, body. `None` at the connection's end.
pub(super) fn request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece)?;
        body.extend_from_slice(&piece[..size]);
        chunked = size > 0;
    }
    Ok(Some((method, path, body)))
}

pub(super) fn whole(stream: &TcpStream, status: u16, value: &Value) -> io::Result<()> {
    with_headers(stream, status, "", value)
}

pub(super) fn with_headers(mut stream: &TcpStream, status: u16, more: &str, value: &Value) -> io::Result<()> {
    let text = value.to_string();
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 {status} stub\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n{text}"
    )
}

/// A stream of events.
pub(super) struct Stream<'a>(&'a TcpStream);

impl<'a> Stream<'a> {
    pub(super) fn begin(mut stream: &'a TcpStream) -> io::Result<Self> {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        Ok(Self(stream))
    }

    /// An event; one with a name says so.
    pub(super) fn event(&mut self, name: Option<&str>, data: &str) -> io::Result<()> {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        let text = format!("{name}data: {data}\n\n");
        write!(self.0, "{:x}\r\n{text}\r\n", text.len())
    }

    pub(super) fn end(self) -> io::Result<()> {
        let mut stream = self.0;
        stream.write_all(b"0\r\n\r\n")
    }
}
