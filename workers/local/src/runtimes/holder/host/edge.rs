//! Where in the byte stream the program is between two sequences, and the little a screen engine keeps to itself.
//!
//! A viewer that joins gets a snapshot and then the bytes that follow. If the program was in the middle of an escape
//! sequence or a character at that moment, the rest of it would be shown as text. So the bytes of an unfinished
//! sequence are kept here and sent after the snapshot. The scroll region and the shifted character set are noted on
//! the way, because the engine does not tell them.

/// An unfinished sequence longer than this (an image, a clipboard) is not repeated for a viewer that joins in it.
const UNFINISHED_LIMIT: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    Utf8 { missing: u8 },
    Escape,
    Intermediate,
    Csi,
    Osc,
    Text,
}

/// Follows the bytes a program writes.
#[derive(Debug)]
pub(super) struct Edge {
    state: State,
    unfinished: Vec<u8>,
    /// Whether the sequence is longer than is kept.
    overlong: bool,
    region: Option<(u16, Option<u16>)>,
    shifted: bool,
}

impl Edge {
    pub(super) fn new() -> Self {
        Self {
            state: State::Ground,
            unfinished: Vec::new(),
            overlong: false,
            region: None,
            shifted: false,
        }
    }

    /// The bytes since the last whole sequence or character.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// The scroll region as the program set it: first and last row from 1; `None` is the whole screen.
    pub(super) fn region(&self) -> Option<(u16, Option<u16>)> {
        self.region
    }

    /// Whether the second character set is in use (after SO).
    pub(super) fn is_shifted(&self) -> bool {
        self.shifted
    }

    /// A new size makes the scroll region the whole screen.
    pub(super) fn resized(&mut self) {
        self.region = None;
    }

    /// Takes what the program wrote. Says whether a sequence in it may ask for the alternate screen.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut alternate = false;
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if self.state == State::Ground && matches!(byte, 0x20..=0x7e) {
                let plain = after.iter().position(|byte| !matches!(byte, 0x20..=0x7e));
                rest = plain.map_or(&[][..], |at| &after[at..]);
                continue;
            }
            alternate |= self.state == State::Csi && *byte == b'h' && self.may_ask_for_alternate();
            self.byte(*byte);
            rest = after;
        }
        alternate
    }

    /// Whether what stands before the `h` could be `CSI ? 1049`, among other modes, with leading zeros, or with
    /// control characters inside, which are carried out without ending the sequence. Never wrongly no.
    fn may_ask_for_alternate(&self) -> bool {
        let mut parameters = self.unfinished.iter().filter(|byte| matches!(byte, 0x30..=0x3f));
        let mut last = [0; 4];
        let named = |byte: &u8| {
            last.rotate_left(1);
            last[3] = *byte;
            last == *b"1049"
        };
        self.overlong || (parameters.next() == Some(&b'?') && parameters.any(named))
    }

    fn byte(&mut self, byte: u8) {
        if let State::Utf8 { missing } = self.state {
            if matches!(byte, 0x80..=0xbf) {
                self.enter(
                    if missing == 1 {
                        State::Ground
                    } else {
                        State::Utf8 { missing: missing - 1 }
                    },
                    byte,
                );
                return;
            }
            self.enter(State::Ground, byte); // a broken character ends where the next one begins
        }
        let next = match (self.state, byte) {
            (_, 0x18 | 0x1a) => State::Ground,
            (_, 0x1b) => {
                self.unfinished.clear();
                self.overlong = false;
                State::Escape
            }
            (State::Ground | State::Utf8 { .. }, _) => self.ground(byte),
            (State::Escape, b'[') => State::Csi,
            (State::Escape, b']') => State::Osc,
            (State::Escape, b'P' | b'X' | b'^' | b'_') => State::Text,
            (State::Escape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
            (State::Escape, b'c') => {
                self.region = None;
                self.shifted = false;
                State::Ground
            }
            (State::Escape | State::Intermediate, 0x30..=0x7e) => State::Ground,
            (State::Csi, 0x40..=0x7e) => {
                if byte == b'r' {
                    self.note_region();
                }
                State::Ground
            }
            (State::Osc, 0x07) => State::Ground,
            (state, _) => state,
        };
        self.enter(next, byte);
    }

    fn ground(&mut self, byte: u8) -> State {
        match byte {
            0x0e => self.shifted = true,
            0x0f => self.shifted = false,
            0xc2..=0xdf => return State::Utf8 { missing: 1 },
            0xe0..=0xef => return State::Utf8 { missing: 2 },
            0xf0..=0xf4 => return State::Utf8 { missing: 3 },
            _ => {}
        }
        State::Ground
    }

    fn enter(&mut self, next: State, byte: u8) {
        self.state = next;
        if next == State::Ground {
            self.unfinished = Vec::new(); // holds no memory between sequences
            self.overlong = false;
        } else if self.overlong || self.unfinished.len() == UNFINISHED_LIMIT {
            self.unfinished = Vec::new();
            self.overlong = true;
        } else {
            self.unfinished.push(byte);
        }
    }

    /// `CSI top ; bottom r`, without a private marker.
    fn note_region(&mut self) {
        let Some(Ok(parameters)) = self.unfinished.get(2..).map(std::str::from_utf8) else {
            return;
        };
        let mut numbers = parameters.split(';').map(|number| match number {
            "" => Ok(0),
            digits => digits.parse::<u16>(),
        });
        let (Ok(top), Ok(bottom)) = (numbers.next().unwrap_or(Ok(0)), numbers.next().unwrap_or(Ok(0))) else {
            return;
        };
        let (top, bottom) = (top.max(1), (bottom > 0).then_some(bottom));
        if bottom.is_none_or(|bottom| top < bottom) {
            self.region = (top > 1 || bottom.is_some()).then_some((top, bottom));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bytes: &[u8]) -> Edge {
        let mut edge = Edge::new();
        edge.feed(bytes);
        edge
    }

    #[test]
    fn whole_sequences_leave_nothing() {
        for bytes in [
            &b"plain"[..],
            b"\x1b[1;31mred\x1b[0m",
            b"\x1b]0;title\x07x",
            b"\x1b]0;title\x1b\\x",
            b"\x1bP+q544e\x1b\\",
            b"\x1b(0lqk\x1b(B",
            "gr\u{fc}n \u{6f22} \u{1f600}".as_bytes(),
            b"\xff\xc3x",
            b"\x1b[12\x18x",
        ] {
            assert_eq!(after(bytes).unfinished(), b"", "{bytes:?}");
        }
    }

    #[test]
    fn what_is_unfinished_is_kept() {
        for (bytes, kept) in [
            (&b"x\x1b"[..], &b"\x1b"[..]),
            (b"x\x1b[38;5;2", b"\x1b[38;5;2"),
            (b"\x1b]0;ti", b"\x1b]0;ti"),
            (b"\x1b]0;ti\x1b", b"\x1b"),
            (b"a\xf0\x9f\x98", b"\xf0\x9f\x98"),
            (b"\x1b(", b"\x1b("),
        ] {
            assert_eq!(after(bytes).unfinished(), kept, "{bytes:?}");
        }
    }

    #[test]
    fn of_one_that_is_too_long_nothing_is_kept() {
        let mut long = b"\x1b]52;c;".to_vec();
        long.resize(UNFINISHED_LIMIT + 10, b'A');
        assert_eq!(after(&long).unfinished(), b"");
        long.extend_from_slice(b"\x07x\x1b[1");
        assert_eq!(after(&long).unfinished(), b"\x1b[1");
    }

    #[test]
    fn what_may_ask_for_the_alternate_screen_is_told() {
        for (bytes, asks) in [
            (&b"x\x1b[?1049hy"[..], true),
            (b"\x1b[?25;1049h", true),
            (b"\x1b[?\x0710\x0049h", true),
            (b"\x1b[?001049h", true),
            (b"\x1b[?1049l\x1b[?2004h\x1b[1049h\x1b]?1049h\x07", false),
            (b"\x1b[?104\x18?1049h", false),
        ] {
            assert_eq!(Edge::new().feed(bytes), asks, "{bytes:?}");
        }
        let mut long = b"\x1b[?".to_vec();
        long.resize(UNFINISHED_LIMIT + 10, b'0');
        long.extend_from_slice(b"1049h");
        assert!(Edge::new().feed(&long));
    }

    #[test]
    fn the_scroll_region_is_followed() {
        assert_eq!(after(b"\x1b[3;10r").region(), Some((3, Some(10))));
        assert_eq!(after(b"\x1b[3r").region(), Some((3, None)));
        assert_eq!(after(b"\x1b[3;10r\x1b[9;2r").region(), Some((3, Some(10))));
        assert_eq!(after(b"\x1b[3;10r\x1b[r").region(), None);
        assert_eq!(after(b"\x1b[3;10r\x1bc").region(), None);
        assert_eq!(after(b"\x1b[3;10r\x1b[?1r").region(), Some((3, Some(10))));
    }
}
