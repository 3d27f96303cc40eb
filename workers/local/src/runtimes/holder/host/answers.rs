//! What a viewer's terminal sends that no person pressed.

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
