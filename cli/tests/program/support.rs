//! A world of its own for one test: a directory, the program under test, and a stand-in for the daemon.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ao::run_file::{RunFile, Token};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

/// The longest a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of a test's own, and the environment that leads there. Gone with everything in it when dropped.
pub(crate) struct World {
    dir: Utf8PathBuf,
    env: BTreeMap<String, String>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let temp = Utf8PathBuf::from_path_buf(std::env::temp_dir()).expect("the temporary folder is UTF-8");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = temp.join(format!("ao-cli-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(dir.join("home")).expect("the temporary folder is writable");
        let env = [
            ("HOME", dir.join("home").into_string()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("AO_DATA_DIR", dir.join("data").into_string()),
            ("AO_RUN_FILE", dir.join("running.json").into_string()),
            ("AO_PORT", "0".to_owned()),
        ];
        Self {
            env: env
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            dir,
        }
    }

    pub(crate) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    pub(crate) fn data(&self) -> Utf8PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn run_file(&self) -> Utf8PathBuf {
        self.dir.join("running.json")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// `ao arguments` in this world's environment and in nothing of the caller's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "a test starts the program under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_ao"));
        command
            .args(arguments)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        command
    }

    /// Runs `ao arguments` to its end.
    pub(crate) fn ao(&self, arguments: &[&str]) -> Said {
        self.command(arguments)
            .output()
            .expect("the program under test can be started")
            .into()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What the stand-in answers with.
pub(crate) enum Reply {
    Json(u16, Value),
    /// A stream of events that stays open: one frame per state that is published after `published`.
    Stream,
}

/// Serves what `answers` says under this very process's name, and keeps what it was asked.
pub(crate) struct StandIn {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    asked: Mutex<Vec<Asked>>,
    changed: Condvar,
}

impl StandIn {
    /// Listens, and writes the run file of `world` so that it leads here.
    pub(crate) fn serve(world: &World, answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            changed: Condvar::new(),
        });
        let (kept, answers) = (Arc::clone(&shared), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answers) = (Arc::clone(&kept), Arc::clone(&answers));
                std::thread::spawn(move || answer(&stream, &kept, answers.as_ref()));
            }
        });
        run_file(port)
            .write(&world.run_file())
            .expect("the world is writable");
        Self { port, shared }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no test thread panicked").clone()
    }

    /// The request whose line begins with `line`, once it has been made.
    pub(crate) fn until_asked(&self, line: &str) -> Asked {
        let end = Instant::now() + PATIENCE;
        let mut asked = self.shared.asked.lock().expect("no test thread panicked");
        loop {
            if let Some(found) = asked.iter().find(|asked| asked.line.starts_with(line)) {
                return found.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nobody asked `{line}`: {asked:#?}");
            asked = self
                .shared
                .changed
                .wait_timeout(asked, left)
                .expect("no test thread panicked")
                .0;
        }
    }
}

/// A run file that names this process and `port`.
pub(crate) fn run_file(port: u16) -> RunFile {
    let me = ao_local::process::identify(std::process::id())
        .expect("the kernel tells")
        .expect("this process runs");
    RunFile {
        pid: me.pid,
        port,
        started_at: ao_local::clock::now(),
        started: me.started,
        boot: me.boot,
        token: Token::new("the-token".to_owned()),
        data_dir: "/nowhere".into(),
        version: "9.9.9".to_owned(),
    }
}

fn answer(stream: &TcpStream, shared: &Shared, answers: &(impl Fn(&Asked) -> Reply + ?Sized)) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader) {
        shared
            .asked
            .lock()
            .expect("no test thread panicked")
            .push(asked.clone());
        shared.changed.notify_all();
        let mut writer = stream;
        match answers(&asked) {
            Reply::Json(status, body) => {
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                if writer.write_all(format!("{head}{body}").as_bytes()).is_err() {
                    return;
                }
            }
            Reply::Stream => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                let event = json!({"seq": 6, "projectId": "web", "sessionId": "web-1", "type": "session_updated",
                    "payload": {}, "createdAt": "2026-06-24T12:00:00.000Z"});
                let mut write = |text: &str| writer.write_all(text.as_bytes()).is_ok();
                let mut alive = write(head);
                // An event whenever the session was looked at: there is always news, and none is sent unasked.
                while alive {
                    let frame = format!("id: 6\nevent: session_updated\ndata: {event}\n\n");
                    alive = write(&format!("{:x}\r\n{frame}\r\n", frame.len()));
                    let asked = shared.asked.lock().expect("no test thread panicked");
                    let known = asked.len();
                    let (asked, waited) = shared
                        .changed
                        .wait_timeout_while(asked, PATIENCE, |asked| asked.len() == known)
                        .expect("no test thread panicked");
                    drop(asked);
                    alive = alive && !waited.timed_out();
                }
                return;
            }
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0_usize);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
