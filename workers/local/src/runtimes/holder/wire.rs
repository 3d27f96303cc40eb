//! What a holder and its clients say to each other: frames over any byte stream.
//!
//! A frame is four bytes of length (big-endian, counting what follows), one byte of type and a body: JSON for calls
//! and answers, plain bytes for what is typed and shown. Both sides begin with a hello. The rules that let an agent
//! outlive an upgrade of `ao`: a type that is not known is skipped, a JSON field that is not known is ignored, and
//! nothing that was ever released changes its meaning (`tests/fixtures/wire-v1.txt` holds the bytes of version 1).
//!
//! A client asks one thing at a time on a connection and waits for its answer; an attached client gets output frames
//! in between. The holder answers a call it will not do with [`Frame::Refused`].

use ao_domain::port::runtime::{self, Place, Prompt, Screen, Size, Withheld};
use ao_domain::{Exit, ProcessId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version this program speaks; raised only when a hello can no longer be understood, which is never planned.
pub const VERSION: u32 = 1;

/// The feature of a holder that looks at its screen before it types, and remembers names. One that does not say so would type
/// without a look.
pub const LOOKS: &str = "looks";

/// The longest body a client may send: a message of this length is far beyond what any agent reads.
pub const MAX_FROM_CLIENT: usize = 1024 * 1024;

/// The longest body a holder may send: a thousand full lines as plain text, with room.
pub const MAX_FROM_HOLDER: usize = 8 * 1024 * 1024;

/// How many bytes of a snapshot or of output go into one frame.
pub const CHUNK: usize = 32 * 1024;

/// The first frame of both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version the sender speaks.
    pub version: u32,
    /// What the sender can do beyond version 1.
    #[serde(default)]
    pub features: Vec<String>,
    /// The sender's build, for people.
    #[serde(default)]
    pub build: String,
}

impl Hello {
    /// What this program says of itself.
    pub fn ours() -> Self {
        Self {
            version: VERSION,
            features: vec![LOOKS.to_owned()],
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What becomes of the lines above the screen when a client attaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scrollback {
    /// The client's own are left alone, the holder's are not sent: a repaint.
    #[default]
    Leave,
    /// The holder's are added to the client's own: a person's terminal, which had a life before.
    Append,
    /// The client's own are cleared, then the holder's are sent: a terminal that shows nothing else.
    Replace,
}

/// Wants to see the terminal from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The client's columns; 0, as of a terminal that has no size, leaves the agent's terminal as large as it is.
    pub cols: u16,
    /// The client's rows; the same.
    pub rows: u16,
    /// What to send of the lines above.
    #[serde(default)]
    pub scrollback: Scrollback,
}

impl Attach {
    /// Columns and rows of a client that has no size.
    pub const NO_SIZE: (u16, u16) = (0, 0);
}

/// A size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cells {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// How the run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The holder itself.
    pub holder: ProcessId,
    /// The agent.
    pub agent: ProcessId,
    /// How the agent ended, once it has.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// How many clients are attached.
    #[serde(default)]
    pub viewers: u32,
    /// Whether a fault of the screen engine lost a part of what should be on the screen.
    #[serde(default)]
    pub incomplete: bool,
}

/// What the terminal shows, as it is sent and as it is kept in an exit record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The visible lines, without trailing blanks.
    pub lines: Vec<String>,
    /// The cursor's column and row, from 0.
    pub cursor: (u16, u16),
    /// Columns and rows.
    pub size: (u16, u16),
    /// Whether the program asked for bracketed paste.
    #[serde(default)]
    pub bracketed_paste: bool,
    /// The title it set.
    #[serde(default)]
    pub title: Option<String>,
    /// What stands out by its background alone, with its row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lit: Vec<(u16, String)>,
}

impl From<Shown> for Screen {
    fn from(shown: Shown) -> Self {
        Self {
            lines: shown.lines,
            cursor: shown.cursor,
            size: Size {
                cols: shown.size.0,
                rows: shown.size.1,
            },
            bracketed_paste: shown.bracketed_paste,
            title: shown.title,
            lit: shown.lit,
        }
    }
}

/// A text to be typed and sent off with Enter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The text.
    pub text: String,
    /// Its name: what was typed under it is not typed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What has to be on the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Line>,
}

/// Where a program takes a text, as [`Prompt`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What stands at the beginning of its first line.
    pub mark: String,
    /// The keys that take the text away.
    pub clear: String,
    /// What is above it has in it when the beginning is out of sight.
    pub above: String,
    /// How the sign begins that stands for a long text.
    pub folded: String,
    /// Where it takes it. (A holder that does not know the word looks between rules, finds none, and types nothing.)
    #[serde(default, skip_serializing_if = "is_default")]
    pub place: Place,
    /// How words of its own begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// What it calls its line while that takes something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<String>,
    /// What it may have put there by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_back: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&Prompt> for Line {
    fn from(prompt: &Prompt) -> Self {
        Self {
            mark: prompt.mark.clone(),
            clear: prompt.clear.clone(),
            above: prompt.above.clone(),
            folded: prompt.folded.clone(),
            place: prompt.place,
            hints: prompt.hints.clone(),
            modes: prompt.modes.clone(),
            given_back: prompt.given_back.clone(),
        }
    }
}

/// Keys to be pressed on a screen that shows certain lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Press {
    /// Its name: what was pressed under it is not pressed again.
    pub id: String,
    /// The keys.
    pub keys: String,
    /// What has to be on the screen.
    pub showing: Vec<String>,
    /// What must not be on the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Line>,
    /// The way the keys go where they move a cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Moves>,
}

/// A way through a list whose cursor the keys move, as [`runtime::Moves`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// What stands before the choice under the cursor; empty where that stands out by its background.
    pub mark: String,
    /// The choice under the cursor when the keys are pressed.
    pub from: String,
    /// The choice under the cursor when Enter is.
    pub to: String,
}

impl From<runtime::Moves<'_>> for Moves {
    fn from(moves: runtime::Moves<'_>) -> Self {
        Self {
            mark: moves.mark.to_owned(),
            from: moves.from.to_owned(),
            to: moves.to.to_owned(),
        }
    }
}

/// Why a holder will not do what it was asked. The agent is untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A word for programs: `ended`, `running`, `full`, or one of [`WITHHELD`].
    pub code: String,
    /// A sentence for people.
    pub text: String,
    /// How the agent ended, where that is the reason.
    #[serde(default)]
    pub exit: Option<Exit>,
}

/// The words for what was not typed.
pub const WITHHELD: [(&str, Withheld); 6] = [
    ("no_prompt", Withheld::NoPrompt),
    ("occupied", Withheld::Occupied),
    ("person", Withheld::Person),
    ("not_shown", Withheld::NotShown),
    ("covered", Withheld::Covered),
    ("changed", Withheld::Changed),
];

impl From<Withheld> for Refusal {
    fn from(why: Withheld) -> Self {
        let word = WITHHELD.iter().find(|(_, known)| *known == why);
        Self {
            code: word.map_or("", |(word, _)| word).to_owned(),
            text: why.to_string(),
            exit: None,
        }
    }
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Client: the first frame.
    Hello(Hello),
    /// Client: how does the run stand? Answered by [`Frame::StatusIs`].
    Status,
    /// Client: show me the terminal. Answered by [`Frame::Attached`], the snapshot, [`Frame::Live`], then output.
    Attach(Attach),
    /// Client: keys of an attached person; no answer.
    Input(Vec<u8>),
    /// Client: type this text and press Enter. Answered by [`Frame::Done`] once both are written.
    Message(Box<Message>),
    /// Client: what does the terminal show? Answered by [`Frame::ScreenIs`].
    Screen,
    /// Client: the last so many lines. Answered by [`Frame::TailIs`].
    Tail(u32),
    /// Client: make the terminal this large. Answered by [`Frame::Done`].
    Resize(Cells),
    /// Client: end the agent, asking for so many milliseconds first. Answered by [`Frame::Ended`].
    Kill(u64),
    /// Client: end yourself; the agent has to have ended. Answered by [`Frame::Done`].
    Bye,
    /// Client: press these keys, if the screen shows what they are for. Answered by [`Frame::Done`] once they are written.
    Press(Box<Press>),
    /// Client: would a text be taken now? Answered by [`Frame::Done`], or refused with one of [`WITHHELD`].
    Takes(Box<Line>),
    /// Holder: its first frame.
    Welcome(Hello),
    /// Holder: how the run stands.
    StatusIs(Status),
    /// Holder: a snapshot of this size follows.
    Attached(Cells),
    /// Holder: a part of the snapshot, to be written to the client's terminal.
    Snapshot(Vec<u8>),
    /// Holder: the snapshot is whole; this many bytes the program had written by then.
    Live(u64),
    /// Holder: what the program wrote.
    Output(Vec<u8>),
    /// Holder: done.
    Done,
    /// Holder: what the terminal shows.
    ScreenIs(Shown),
    /// Holder: lines of scrollback and screen.
    TailIs(Vec<String>),
    /// Holder: the agent has ended; to all that are attached, and to who asked for its end.
    Ended(Exit),
    /// Holder: will not be done.
    Refused(Refusal),
    /// A type of a later version; skipped.
    Unknown(u8),
}

/// What cannot be a frame. The connection is of no further use; nothing else is touched.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The length is zero or beyond what this side may send.
    #[error("a frame of {0} bytes is not allowed")]
    Length(usize),
    /// The body is not what its type says.
    #[error("the body of frame type {kind:#04x} is not understood")]
    Body {
        /// Which type.
        kind: u8,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct LinesBody {
    lines: u32,
}
#[derive(Serialize, Deserialize)]
struct GraceBody {
    grace_ms: u64,
}
#[derive(Serialize, Deserialize)]
struct SeqBody {
    seq: u64,
}
#[derive(Serialize, Deserialize)]
struct TailBody {
    lines: Vec<String>,
}
#[derive(Serialize, Deserialize)]
struct ExitBody {
    exit: Exit,
}

impl Frame {
    /// Whether a holder without [`LOOKS`] would do something else than it is asked.
    pub fn needs_looks(&self) -> bool {
        match self {
            Self::Message(message) => message.id.is_some() || message.prompt.is_some(),
            Self::Press(_) | Self::Takes(_) => true,
            _ => false,
        }
    }

    /// The frame as bytes, length included.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Hello(hello) => (0x01, json(hello)),
            Self::Status => (0x02, Vec::new()),
            Self::Attach(attach) => (0x03, json(attach)),
            Self::Input(bytes) => return with_header(0x04, bytes),
            Self::Message(message) => (0x05, json(message)),
            Self::Screen => (0x06, Vec::new()),
            Self::Tail(lines) => (0x07, json(&LinesBody { lines: *lines })),
            Self::Resize(size) => (0x08, json(size)),
            Self::Kill(grace_ms) => (0x09, json(&GraceBody { grace_ms: *grace_ms })),
            Self::Bye => (0x0a, Vec::new()),
            Self::Press(press) => (0x0b, json(press)),
            Self::Takes(line) => (0x0c, json(line)),
            Self::Welcome(hello) => (0x81, json(hello)),
            Self::StatusIs(status) => (0x82, json(status)),
            Self::Attached(size) => (0x83, json(size)),
            Self::Snapshot(bytes) => return with_header(0x84, bytes),
            Self::Live(seq) => (0x85, json(&SeqBody { seq: *seq })),
            Self::Output(bytes) => return with_header(0x86, bytes),
            Self::Done => (0x87, Vec::new()),
            Self::ScreenIs(shown) => (0x88, json(shown)),
            Self::TailIs(lines) => (0x89, json(&TailBody { lines: lines.clone() })),
            Self::Ended(exit) => (0x8a, json(&ExitBody { exit: *exit })),
            Self::Refused(refusal) => (0x8b, json(refusal)),
            Self::Unknown(kind) => (*kind, Vec::new()),
        };
        with_header(kind, &body)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, WireError> {
        fn read<T: DeserializeOwned>(kind: u8, body: &[u8]) -> Result<T, WireError> {
            serde_json::from_slice(body).map_err(|source| WireError::Body { kind, source })
        }
        Ok(match kind {
            0x01 => Self::Hello(read(kind, body)?),
            0x02 => Self::Status,
            0x03 => Self::Attach(read(kind, body)?),
            0x04 => Self::Input(body.to_vec()),
            0x05 => Self::Message(read(kind, body)?),
            0x06 => Self::Screen,
            0x07 => Self::Tail(read::<LinesBody>(kind, body)?.lines),
            0x08 => Self::Resize(read(kind, body)?),
            0x09 => Self::Kill(read::<GraceBody>(kind, body)?.grace_ms),
            0x0a => Self::Bye,
            0x0b => Self::Press(read(kind, body)?),
            0x0c => Self::Takes(read(kind, body)?),
            0x81 => Self::Welcome(read(kind, body)?),
            0x82 => Self::StatusIs(read(kind, body)?),
            0x83 => Self::Attached(read(kind, body)?),
            0x84 => Self::Snapshot(body.to_vec()),
            0x85 => Self::Live(read::<SeqBody>(kind, body)?.seq),
            0x86 => Self::Output(body.to_vec()),
            0x87 => Self::Done,
            0x88 => Self::ScreenIs(read(kind, body)?),
            0x89 => Self::TailIs(read::<TailBody>(kind, body)?.lines),
            0x8a => Self::Ended(read::<ExitBody>(kind, body)?.exit),
            0x8b => Self::Refused(read(kind, body)?),
            other => Self::Unknown(other),
        })
    }
}

fn json<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("frame bodies have string keys only")
}

fn with_header(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + body.len());
    let length = u32::try_from(body.len() + 1).expect("bodies are bounded well below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
    bytes
}

/// Takes bytes as they come and gives frames. Holds at most one unfinished frame.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    held: Vec<u8>,
}

impl Decoder {
    /// For frames whose body has at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Vec::new(),
        }
    }

    /// Adds bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole frame, unknown types skipped.
    ///
    /// # Errors
    /// When what came is no frame; every later call says so too.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let Some(header) = self.held.first_chunk::<4>() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
            if length == 0 || length > self.limit + 1 {
                return Err(WireError::Length(length));
            }
            let Some(body) = self.held.get(5..4 + length) else {
                return Ok(None);
            };
            let frame = Frame::decode(self.held[4], body)?;
            self.held.drain(..4 + length);
            if self.held.is_empty() {
                self.held = Vec::new(); // an idle connection keeps no buffer
            }
            if !matches!(frame, Frame::Unknown(_)) {
                return Ok(Some(frame));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> ProcessId {
        ProcessId {
            pid,
            started: 4_242,
            boot: "6d1c7f0e-0000-4000-8000-000000000000".to_owned(),
        }
    }

    fn hello() -> Hello {
        Hello {
            version: 1,
            features: vec!["later".to_owned()],
            build: "0.1.0".to_owned(),
        }
    }

    fn line() -> Line {
        Line {
            mark: ">".to_owned(),
            clear: "\u{15}".to_owned(),
            above: "more".to_owned(),
            folded: "[Pasted".to_owned(),
            place: Place::Rules,
            hints: Vec::new(),
            modes: Vec::new(),
            given_back: None,
        }
    }

    /// Every frame of version 1, by the name its line in the fixture has.
    fn version_1() -> Vec<(&'static str, Frame)> {
        vec![
            ("hello", Frame::Hello(hello())),
            ("status", Frame::Status),
            (
                "attach",
                Frame::Attach(Attach {
                    cols: 220,
                    rows: 50,
                    scrollback: Scrollback::Append,
                }),
            ),
            ("input", Frame::Input(b"\x1b[A\x03".to_vec())),
            (
                "message",
                Frame::Message(Box::new(Message {
                    text: "one\ntwo \u{e4}".to_owned(),
                    ..Message::default()
                })),
            ),
            (
                "message_looked_for",
                Frame::Message(Box::new(Message {
                    text: "one".to_owned(),
                    id: Some("m1.1".to_owned()),
                    prompt: Some(line()),
                })),
            ),
            ("takes", Frame::Takes(Box::new(line()))),
            (
                "press",
                Frame::Press(Box::new(Press {
                    id: "m2.1".to_owned(),
                    keys: "1".to_owned(),
                    showing: vec!["> 1. Yes".to_owned()],
                    prompt: Some(line()),
                    moves: None,
                })),
            ),
            ("screen", Frame::Screen),
            ("tail", Frame::Tail(200)),
            ("resize", Frame::Resize(Cells { cols: 80, rows: 24 })),
            ("kill", Frame::Kill(5_000)),
            ("bye", Frame::Bye),
            ("welcome", Frame::Welcome(hello())),
            (
                "status_is",
                Frame::StatusIs(Status {
                    holder: process(10),
                    agent: process(11),
                    exit: Some(Exit::Signal(15)),
                    viewers: 2,
                    incomplete: true,
                }),
            ),
            ("attached", Frame::Attached(Cells { cols: 80, rows: 24 })),
            ("snapshot", Frame::Snapshot(b"\x1b[H".to_vec())),
            ("live", Frame::Live(77)),
            ("output", Frame::Output(b"a\r\n".to_vec())),
            ("done", Frame::Done),
            (
                "screen_is",
                Frame::ScreenIs(Shown {
                    lines: vec!["$ ls".to_owned(), String::new()],
                    cursor: (4, 0),
                    size: (80, 2),
                    bracketed_paste: true,
                    title: Some("t".to_owned()),
                    lit: Vec::new(),
                }),
            ),
            ("tail_is", Frame::TailIs(vec!["a".to_owned()])),
            ("ended", Frame::Ended(Exit::Code(3))),
            (
                "refused",
                Frame::Refused(Refusal {
                    code: "ended".to_owned(),
                    text: "the agent has ended".to_owned(),
                    exit: Some(Exit::Code(0)),
                }),
            ),
        ]
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn version_1_is_written_as_it_was_released() {
        let written: String = version_1()
            .iter()
            .map(|(name, frame)| format!("{name} {}\n", hex(&frame.encode())))
            .collect();
        assert_eq!(include_str!("../../../tests/fixtures/wire-v1.txt"), written);
    }

    #[test]
    fn version_1_is_read_byte_by_byte() {
        for (name, frame) in version_1() {
            let mut decoder = Decoder::new(MAX_FROM_HOLDER);
            let bytes = frame.encode();
            let (last, before) = bytes.split_last().expect("a frame has a header");
            for byte in before {
                decoder.push(&[*byte]);
                assert!(decoder.next_frame().unwrap().is_none(), "{name} came early");
            }
            decoder.push(&[*last]);
            assert_eq!(decoder.next_frame().unwrap(), Some(frame), "{name}");
        }
    }

    #[test]
    fn later_versions_are_understood_as_far_as_they_go() {
        let mut decoder = Decoder::new(MAX_FROM_CLIENT);
        decoder.push(&with_header(0x6f, b"something new"));
        decoder.push(&with_header(0x08, br#"{"cols":80,"rows":24,"pixels":[8,16]}"#));
        assert_eq!(
            decoder.next_frame().unwrap(),
            Some(Frame::Resize(Cells { cols: 80, rows: 24 }))
        );
    }

    #[test]
    fn garbage_is_refused_before_it_is_kept() {
        let mut decoder = Decoder::new(MAX_FROM_CLIENT);
        decoder.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(decoder.next_frame(), Err(WireError::Length(_))));
        let mut decoder = Decoder::new(MAX_FROM_CLIENT);
        decoder.push(&with_header(0x08, b"{"));
        assert!(matches!(
            decoder.next_frame(),
            Err(WireError::Body { kind: 0x08, .. })
        ));
        let mut decoder = Decoder::new(MAX_FROM_CLIENT);
        decoder.push(&0_u32.to_be_bytes());
        assert!(matches!(decoder.next_frame(), Err(WireError::Length(0))));
    }
}
