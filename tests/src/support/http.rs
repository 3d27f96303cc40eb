//! The least HTTP a test needs: one blocking connection, kept open, with every header under the test's control.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The envelope's code; empty when there is none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection to the daemon.
pub struct Http {
    port: u16,
    stream: BufReader<TcpStream>,
}

impl Http {
    /// Connects to `127.0.0.1:port`; every later read fails after `patience`.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(port: u16, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            port,
            stream: BufReader::new(stream),
        })
    }

    /// Sends exactly these headers, `Host` included if the test wants one, and reads the whole answer; of an answer that
    /// is a stream only the head, for it has no end.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP.
    pub fn raw(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        self.send(method, path, headers, body)?;
        self.read_answer()
    }

    /// Sends what [`Http::raw`] does and waits for nothing: a client that goes on waiting, or leaves when this is dropped.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)
    }

    /// A request as plain `curl` would send it.
    ///
    /// # Errors
    /// As [`Http::raw`].
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let host = format!("127.0.0.1:{}", self.port);
        let mut headers = vec![("Host", host.as_str()), ("Accept", "*/*")];
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        self.raw(method, path, &headers, body.as_bytes())
    }

    /// Sends a GET and leaves the answer's body to be read line by line by [`Http::line`].
    ///
    /// # Errors
    /// As [`Http::raw`].
    pub fn stream(&mut self, path: &str) -> io::Result<u16> {
        self.stream_after(path, None)
    }

    /// [`Http::stream`], as by a browser that comes back and knows the events up to `last`.
    ///
    /// # Errors
    /// As [`Http::raw`].
    pub fn stream_after(&mut self, path: &str, last: Option<i64>) -> io::Result<u16> {
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{last}\r\n",
            self.port
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        Ok(self.read_head()?.0)
    }

    /// The next line of a stream, without its end; chunk sizes are passed over. `None` at the end.
    ///
    /// # Errors
    /// When nothing comes within the connection's patience.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let status = self
            .line()?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| bad("no status"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?.ok_or_else(|| bad("headers without an end"))?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| bad("a header without a colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.read_head()?;
        let header = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        let mut body = Vec::new();
        if header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Ok(Answer {
                status,
                headers,
                body,
            });
        }
        if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = self.line()?.unwrap_or_default();
                let size = usize::from_str_radix(size.trim(), 16)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a chunk"))?;
                let mut chunk = vec![0; size + 2];
                self.stream.read_exact(&mut chunk)?;
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = header("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}
