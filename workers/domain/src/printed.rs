//! What a program printed for a terminal, as lines that may be shown on another.

use crate::foreign_text;

/// The last `lines` lines of `printed` that show something, each as it last stood (of a progress bar its last state) and cut
/// after `most` characters. Colours and other commands to a terminal are gone, and what else may act on one is spelt out.
pub fn last_lines(printed: &[u8], lines: usize, most: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(printed);
    let shown = text
        .rsplit('\n')
        .map(|line| foreign_text::in_line(as_it_stands(&plain(line)), most))
        .filter(|line| !line.trim().is_empty());
    let mut last: Vec<String> = shown.take(lines).collect();
    last.reverse();
    last
}

/// What is to be seen of a line that was written over.
fn as_it_stands(line: &str) -> &str {
    let mut states = line.rsplit('\r');
    states.find(|state| !state.trim().is_empty()).unwrap_or("")
}

/// `line` without commands to a terminal, and with what a backspace takes away taken away.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{8}' => {
                out.pop();
            }
            '\u{7}' => {}
            '\u{1b}' => skip_command(&mut chars),
            _ => out.push(c),
        }
    }
    out
}

/// Skips what belongs to an escape character.
fn skip_command(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            let _ = chars.find(|c| ('\u{40}'..='\u{7e}').contains(c)); // the letter that says which command it was
        }
        // Titles, links and the like: up to a bell, or an escape character and a backslash.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next() == Some('\\')) {
                    break;
                }
            }
        }
        Some(' '..='/') => {
            chars.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_plain_and_short() {
        let printed = b"one\n\x1b[1;31mtwo\x1b[0m\n\n10%\r20%\r\x1b[K100%\r\nfo\x08ur\x07\n\x1b]0;title\x07\x1b(Bfive\xff\n  \n";
        assert_eq!(
            last_lines(printed, 4, 100),
            ["two", "100%", "fur", "five\u{fffd}"]
        );
        assert_eq!(last_lines(&[b'x'; 500], 9, 3), ["xxx…"]);
        assert_eq!(last_lines(b"", 9, 3), Vec::<String>::new());
    }

    #[test]
    fn what_may_act_on_a_terminal_is_not_passed_on() {
        let printed = "\u{1b}]8;;http://x\u{1b}\\a\u{1b}[201~b\u{9b}2J\u{1b}P1$r\u{1b}\\c\u{202e}\u{1b}";
        assert_eq!(last_lines(printed.as_bytes(), 1, 100), ["ab<U+009B>2Jc<U+202E>"]);
    }
}
