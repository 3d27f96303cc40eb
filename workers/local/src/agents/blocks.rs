//! Lines of ours in a TOML text of somebody else's, between two that say whose they are.

use std::io;

/// The lines that a block of ours stands between.
fn marks(name: &str) -> (String, String) {
    (format!("{BEGIN}{name}"), format!("# <<< ao: {name}"))
}

/// Where a block of ours stands, and what stands in it. Whole lines are compared: a name may begin like another.
fn block<'a>(text: &'a str, name: &str) -> Option<(std::ops::Range<usize>, &'a str)> {
    let (begin, end) = marks(name);
    let mut at = 0;
    let mut first = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        match first {
            None if bare == begin || bare.strip_prefix(begin.as_str()) == Some(JOINED) => {
                first = Some((at, at + line.len(), bare != begin));
            }
            Some((start, inner, is_joined)) if bare == end => {
                let after = at + line.len();
                // The end of a line that was not there is ours, too, as long as nothing was written behind it.
                let is_ours = is_joined && after == text.len() && text[..start].ends_with('\n');
                return Some((start - usize::from(is_ours)..after, &text[inner..at]));
            }
            _ => {}
        }
        at += line.len();
    }
    None
}

/// How the beginning of one of ours begins.
const BEGIN: &str = "# >>> ao: ";

/// What stands behind a beginning before which the end of a line was added.
const JOINED: &str = " (line end added)";

/// A TOML text with a block of ours at its end. What it makes has to read: a table that is there already would be there twice.
pub(super) fn with_block(text: &str, name: &str, inner: &str) -> io::Result<Option<String>> {
    if block(text, name).is_some_and(|(_, known)| known == inner) {
        return Ok(None);
    }
    let text = without_block(text, name).unwrap_or_else(|| text.to_owned());
    let (begin, end) = marks(name);
    let joined = !text.is_empty() && !text.ends_with('\n');
    let (line_end, word) = if joined { ("\n", JOINED) } else { ("", "") };
    let new = format!("{text}{line_end}{begin}{word}\n{inner}{end}\n");
    new.parse::<toml_edit::DocumentMut>().map_err(|error| {
        io::Error::other(format!(
            "with our hooks in it it would not read: {}",
            error.message()
        ))
    })?;
    Ok(Some(new))
}

/// The text without that block; `None` where there is none.
pub(super) fn without_block(text: &str, name: &str) -> Option<String> {
    let (place, _) = block(text, name)?;
    let (before, rest) = (&text[..place.start], &text[place.end..]);
    let is_joined = text[place]
        .lines()
        .next()
        .is_some_and(|line| line.ends_with(JOINED));
    // The end of a line that was added before this one stands before the next one of ours then.
    match rest.split_once('\n') {
        Some((next, more)) if is_joined && next.starts_with(BEGIN) && !next.ends_with(JOINED) => {
            Some(format!("{before}{next}{JOINED}\n{more}"))
        }
        _ => Some(format!("{before}{rest}")),
    }
}
