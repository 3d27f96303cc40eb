//! What goes to the program's keyboard, and in which order: one writer for answers, people and messages.
//!
//! A message is typed as a whole: its text (in paste brackets where the program asked for them), a pause, then Enter
//! by itself. Keys of attached people wait meanwhile, so that neither ends up inside the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between text and Enter. Agents take keys that come faster than a person's for a paste, and an Enter right after
/// one for a line of it; 120 ms is the longest such window known.
pub(super) const PAUSE: Duration = Duration::from_millis(150);

/// What may wait for a program that does not read; more is dropped, as a terminal drops keys.
const LIMIT: usize = 1024 * 1024;

/// Who asked for a message: a number the loop gives to connections.
pub(super) type Asker = u64;

#[derive(Debug)]
enum Step {
    /// The text is being taken by the program.
    Text,
    /// It was; Enter follows at this time.
    Pause(Instant),
    /// Enter is being taken.
    Enter,
}

#[derive(Debug)]
struct Job {
    asker: Asker,
    step: Step,
}

/// Bytes on their way to the program.
#[derive(Debug, Default)]
pub(super) struct Typing {
    ready: VecDeque<u8>,
    held: Vec<u8>,
    job: Option<Job>,
    waiting: VecDeque<(Asker, String)>,
}

impl Typing {
    /// What the terminal answers to the program's questions.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }

    /// Keys of an attached person.
    pub(super) fn keys(&mut self, bytes: &[u8]) {
        if self.job.is_none() {
            self.push(bytes);
        } else if self.held.len() + bytes.len() <= LIMIT {
            self.held.extend_from_slice(bytes);
        }
    }

    /// A message, typed after those before it. `false`: too much is waiting already, nothing was taken.
    pub(super) fn message(&mut self, asker: Asker, text: String) -> bool {
        let waiting: usize = self.waiting.iter().map(|(_, text)| text.len()).sum();
        if waiting + text.len() > LIMIT {
            return false;
        }
        self.waiting.push_back((asker, text));
        true
    }

    /// The asker has left: what of theirs was not begun is not typed any more.
    pub(super) fn forget(&mut self, asker: Asker) {
        self.waiting.retain(|(who, _)| *who != asker);
    }

    /// Moves on as far as it goes without the program reading; gives the asker whose message is whole.
    pub(super) fn advance(&mut self, now: Instant, bracketed: impl FnOnce() -> bool) -> Option<Asker> {
        match &self.job {
            None => {
                if self.ready.is_empty()
                    && let Some((asker, text)) = self.waiting.pop_front()
                {
                    let typed = typed(&text, bracketed());
                    self.ready.extend(typed);
                    self.job = Some(Job {
                        asker,
                        step: Step::Text,
                    });
                }
            }
            Some(Job { asker, step }) => match step {
                Step::Text if self.ready.is_empty() => {
                    self.job = Some(Job {
                        asker: *asker,
                        step: Step::Pause(now + PAUSE),
                    });
                }
                Step::Pause(until) if now >= *until && self.ready.is_empty() => {
                    let asker = *asker;
                    self.ready.push_back(b'\r');
                    self.job = Some(Job {
                        asker,
                        step: Step::Enter,
                    });
                }
                Step::Enter if self.ready.is_empty() => {
                    let asker = *asker;
                    self.job = None;
                    let held = std::mem::take(&mut self.held);
                    self.push(&held);
                    return Some(asker);
                }
                Step::Text | Step::Pause(_) | Step::Enter => {}
            },
        }
        None
    }

    /// When [`Self::advance`] has something to do even if the program reads nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.job {
            Some(Job {
                step: Step::Pause(until),
                ..
            }) => Some(until),
            _ => None,
        }
    }

    /// The bytes to write next.
    pub(super) fn next(&self) -> &[u8] {
        self.ready.as_slices().0
    }

    /// So many of them were written.
    pub(super) fn written(&mut self, count: usize) {
        self.ready.drain(..count);
        if self.ready.is_empty() {
            self.ready = VecDeque::new(); // an idle holder keeps no buffer
        }
    }

    /// The program is gone: everything is dropped; gives the askers whose messages were not typed to the end.
    pub(super) fn clear(&mut self) -> Vec<Asker> {
        let all = std::mem::take(self);
        all.job
            .map(|job| job.asker)
            .into_iter()
            .chain(all.waiting.into_iter().map(|(asker, _)| asker))
            .collect()
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.ready.len() + bytes.len() <= LIMIT {
            self.ready.extend(bytes);
        }
    }
}

/// The text as it is typed: no control character but line feed and tab (so that nothing in it can end the paste,
/// press a key or ask the terminal), in brackets where the program knows them.
fn typed(text: &str, bracketed: bool) -> Vec<u8> {
    let clean: String = text
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
        .collect();
    if bracketed && !clean.is_empty() {
        [b"\x1b[200~", clean.as_bytes(), b"\x1b[201~"].concat()
    } else {
        clean.into_bytes()
    }
}

/// Takes the answers of a viewer's terminal out of what it sends: the holder alone answers the program, and a second
/// answer would be read as keys.
#[derive(Debug, Default)]
pub(super) struct Answers {
    held: Vec<u8>,
}

/// The longest answer looked for; what is longer is no answer.
const LONGEST_ANSWER: usize = 4 * 1024;

impl Answers {
    /// The keys in `bytes`. An answer that has begun and not ended is held until the rest has come.
    pub(super) fn drop_from(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut keys = Vec::with_capacity(all.len());
        let mut rest = &all[..];
        while let Some(escape) = rest.iter().position(|byte| *byte == 0x1b) {
            keys.extend_from_slice(&rest[..escape]);
            rest = &rest[escape..];
            match sequence(rest) {
                Sequence::Key(length) => {
                    keys.extend_from_slice(&rest[..length]);
                    rest = &rest[length..];
                }
                Sequence::Answer(length) => rest = &rest[length..],
                Sequence::Begun if rest.len() > LONGEST_ANSWER => {
                    keys.push(rest[0]);
                    rest = &rest[1..];
                }
                Sequence::Begun => {
                    self.held = rest.to_vec();
                    rest = &[];
                }
            }
        }
        keys.extend_from_slice(rest);
        keys
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Sequence {
    Key(usize),
    Answer(usize),
    Begun,
}

/// What the sequence at the beginning of `bytes` (an escape) is.
fn sequence(bytes: &[u8]) -> Sequence {
    match bytes.get(1) {
        Some(b'[') => {
            let is_parameter = |byte: &u8| matches!(byte, 0x20..=0x3f);
            let parameters = &bytes[2..];
            let Some(end) = parameters.iter().position(|byte| !is_parameter(byte)) else {
                // Alt-[ is these two bytes alone; no key has parameters and no end.
                return if parameters.is_empty() {
                    Sequence::Key(2)
                } else {
                    Sequence::Begun
                };
            };
            let length = end + 3;
            if is_answer(&parameters[..end], parameters[end]) {
                Sequence::Answer(length)
            } else {
                Sequence::Key(length)
            }
        }
        // OSC and DCS: no key sends them (Alt-] and Alt-P are two bytes and nothing behind).
        Some(b']' | b'P') if bytes.len() > 2 => {
            let body = &bytes[2..];
            if bytes[1] == b']' && !body[0].is_ascii_digit() {
                return Sequence::Key(2);
            }
            if bytes[1] == b'P' && !matches!(body[0], b'0' | b'1' | b'>' | b'!') {
                return Sequence::Key(2);
            }
            let bell = body.iter().position(|byte| *byte == 0x07).map(|at| at + 3);
            let string = body
                .windows(2)
                .position(|pair| pair == b"\x1b\\")
                .map(|at| at + 4);
            match (bell, string) {
                (Some(a), Some(b)) => Sequence::Answer(a.min(b)),
                (Some(end), None) | (None, Some(end)) => Sequence::Answer(end),
                (None, None) => Sequence::Begun,
            }
        }
        Some(_) => Sequence::Key(2),
        None => Sequence::Key(1),
    }
}

/// Whether a CSI with these parameters and this last byte is a terminal's answer.
fn is_answer(parameters: &[u8], last: u8) -> bool {
    let first = parameters.first().copied();
    let private = first.is_some_and(|byte| matches!(byte, b'?' | b'>' | b'='));
    match last {
        // Device attributes; no key ends in `c` with parameters.
        b'c' => private || first.is_some_and(|byte| byte.is_ascii_digit()),
        // Cursor position. F3 with a modifier is `1 ; modifier R` and is taken for it: the lesser evil.
        b'R' => private || parameters.contains(&b';'),
        b'n' => !parameters.is_empty(),
        // Mode reports end in `$ y`; keyboard flags are `? flags u`.
        b'y' => parameters.last() == Some(&b'$'),
        b'u' => first == Some(b'?'),
        // Sizes: `4 ; height ; width t` and the like.
        b't' => parameters.contains(&b';'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes all that is ready, as a program that reads would let it.
    fn drain(typing: &mut Typing) -> Vec<u8> {
        let mut written = Vec::new();
        while !typing.next().is_empty() {
            let next = typing.next().to_vec();
            typing.written(next.len());
            written.extend(next);
        }
        written
    }

    #[test]
    fn a_message_is_text_pause_enter_and_keys_come_after() {
        let mut typing = Typing::default();
        let start = Instant::now();
        assert!(typing.message(1, "one\ntwo".to_owned()));
        assert_eq!(typing.advance(start, || true), None);
        assert_eq!(drain(&mut typing), b"\x1b[200~one\ntwo\x1b[201~");
        typing.keys(b"x");
        assert_eq!(typing.advance(start, || true), None);
        assert_eq!(typing.due(), Some(start + PAUSE));
        assert_eq!(
            typing.advance(start + PAUSE - Duration::from_millis(1), || true),
            None
        );
        assert_eq!(drain(&mut typing), b"");
        typing.advance(start + PAUSE, || true);
        assert_eq!(drain(&mut typing), b"\r");
        assert_eq!(typing.advance(start + PAUSE, || true), Some(1));
        assert_eq!(drain(&mut typing), b"x");
    }

    #[test]
    fn nothing_in_a_text_can_end_the_paste_or_press_a_key() {
        assert_eq!(
            typed("a\x1b[201~rm\r\nb\rc\x07\u{9b}1A\td", true),
            b"\x1b[200~a[201~rm\nb\nc1A\td\x1b[201~"
        );
        assert_eq!(typed("\x03", true), b"");
        assert_eq!(typed("a\nb", false), b"a\nb");
    }

    #[test]
    fn who_leaves_is_forgotten_unless_begun() {
        let mut typing = Typing::default();
        let now = Instant::now();
        typing.message(1, "first".to_owned());
        typing.message(2, "second".to_owned());
        typing.advance(now, || false);
        typing.forget(1);
        typing.forget(2);
        assert_eq!(drain(&mut typing), b"first");
        typing.advance(now, || false);
        typing.advance(now + PAUSE, || false);
        assert_eq!(drain(&mut typing), b"\r");
        assert_eq!(typing.advance(now + PAUSE, || false), Some(1));
        typing.advance(now + PAUSE, || false);
        assert_eq!(drain(&mut typing), b"");
    }

    #[test]
    fn answers_of_a_viewers_terminal_are_no_keys() {
        for answer in [
            "\x1b[?62;22c",
            "\x1b[>41;354;0c",
            "\x1b[12;40R",
            "\x1b[?12;40R",
            "\x1b[0n",
            "\x1b[?997;1n",
            "\x1b[?2004;1$y",
            "\x1b[?1u",
            "\x1b[8;50;220t",
            "\x1b]11;rgb:0000/0000/0000\x07",
            "\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
            "\x1bP>|XTerm(388)\x1b\\",
            "\x1bP1+r544e=787465726d\x1b\\",
        ] {
            let text = format!("a{answer}b");
            assert_eq!(Answers::default().drop_from(text.as_bytes()), b"ab", "{answer:?}");
            // Read in two parts, wherever the cut is once it cannot be a key any more.
            for cut in 4..text.len() {
                let mut parts = Answers::default();
                let first = parts.drop_from(&text.as_bytes()[..cut]);
                let second = parts.drop_from(&text.as_bytes()[cut..]);
                assert_eq!([first, second].concat(), b"ab", "{answer:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn keys_are_keys() {
        for key in [
            "\x1b",
            "\x1b[A",
            "\x1bOP",
            "\x1b[1;5C",
            "\x1b[3~",
            "\x1b[15;2~",
            "\x1b[<64;10;5M",
            "\x1b[<0;1;1m",
            "\x1b[I",
            "\x1b[97;5u",
            "\x1b[27;5;92~",
            "\x1b[200~pasted\x1b[201~",
            "\x1bx",
            "\x1b[",
            "\x1b]",
            "\x1bP",
            "\x1b]x",
            "gr\u{fc}n\r",
        ] {
            assert_eq!(
                Answers::default().drop_from(key.as_bytes()),
                key.as_bytes(),
                "{key:?}"
            );
        }
    }
}
