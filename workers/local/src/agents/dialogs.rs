//! What an agent shows on its screen and tells by no hook: dialogs, and waits in the middle of its work.

use std::time::Duration;

use ao_domain::port::agent::{Retry, Shows};
use ao_domain::port::runtime::Screen;
use ao_domain::{Choice, Dialog, Menu};

use super::sheet::{Begins, Choices, DelayRules, DialogRules, ScreenRules, Stands};
use super::wall;

/// Longest text of a dialog kept, in lines: what it is about stands at its end.
const LINES_MAX: usize = 40;

/// What has so many lines that look like choices is no dialog.
const CHOICES_MAX: usize = 10;

/// Longest pause between two tries that is believed.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How many lines the foot of a dialog takes in a narrow window.
const FOOT_MAX: usize = 3;

/// What stands left and right of what is in a frame, behind a bar or beside a scroll bar.
const SIDES: [char; 4] = ['\u{2502}', '\u{2503}', '\u{2588}', '\u{2506}'];

/// The upper corner of a frame.
const CORNER: char = '\u{256d}';

/// What stands before what is taken now, in a list.
const TICK: char = '\u{2714}';

/// The bar that a dialog may stand behind.
const BAR: char = '\u{2503}';

pub(super) fn shows(rules: &ScreenRules, screen: &Screen) -> Shows {
    Shows {
        dialog: rules.dialogs.iter().find_map(|rules| dialog(rules, screen)),
        retry: rules.delay.and_then(|rules| retry(rules, &screen.lines)),
    }
}

/// Choices, and below them a line that says how to take one, with nothing behind it but what is always there: what looks like one
/// and is not the last thing on the screen was written by somebody.
fn dialog(rules: &DialogRules, screen: &Screen) -> Option<Dialog> {
    let lines = Lines(&screen.lines);
    let shown = lines.shown();
    let behind = shown.len().saturating_sub(rules.below + FOOT_MAX);
    let foot = shown[behind..]
        .iter()
        .copied()
        .find(|row| lines.is_foot(*row, rules.foot))?;
    if matches!(rules.choices, Choices::Typed)
        && !rules.foot.iter().any(|word| lines.inside(foot).starts_with(word))
    {
        return None;
    }
    let last = foot_end(rules, &lines, &shown, foot)?;
    let found = match rules.choices {
        Choices::Numbered(cursors) => numbered(cursors, &lines, foot)?,
        Choices::Listed {
            mark,
            explained,
            stands,
        } => listed(mark, explained, stands, &lines, foot)?,
        Choices::Keyed(first) => keyed(first, &lines, foot)?,
        Choices::Buttons => buttons(screen, &lines, foot)?,
        Choices::Enter => entered(rules.foot, &lines, foot)?,
        Choices::Typed => typed(rules.begins, &lines, foot)?,
    };
    let begin = beginning(rules.begins, &lines, found.first);
    if let Begins::Only(words) = rules.begins
        && !lines.begins(begin, words)
    {
        return None;
    }
    let is_said = |row: &usize| lines.says(*row);
    let text: Vec<String> = (begin..found.first)
        .filter(is_said)
        .map(|row| told(cut_beside(rules.begins, undrawn(lines.inside(row)).trim())).to_owned())
        .collect();
    let end = match rules.choices {
        // What stands between a list and its foot may change with the cursor.
        Choices::Typed
        | Choices::Listed {
            stands: Stands::Apart,
            ..
        } => found.end,
        _ => last.max(found.end),
    };
    let is_told = |row: &usize| told(lines.inside(*row)) == lines.inside(*row);
    let all = (begin..=end).filter(is_said).filter(is_told);
    Some(Dialog {
        text: text[text.len().saturating_sub(LINES_MAX)..].to_vec(),
        choices: found.choices,
        lines: all.map(|row| bare(lines.inside(row)).to_owned()).collect(),
        menu: found.menu,
    })
}

/// A line without the picture that it begins with.
fn undrawn(line: &str) -> &str {
    line.trim_start_matches(is_drawn)
}

/// As much of a line as anybody may know: a part of a key that it shows goes. Nothing else does: what a person decides about stands there
/// whole.
fn told(line: &str) -> &str {
    const KEY: &str = "API_KEY:";
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_masked = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let Some((name, key)) = line.split_once(KEY) else {
        return line;
    };
    let key = key.trim();
    if name.trim().chars().all(is_name) && key.contains("...") && key.chars().all(is_masked) {
        &line[..name.len() + KEY.len()]
    } else {
        line
    }
}

/// What stands behind a bar, without what a program shows beside it.
fn cut_beside(begins: Begins, line: &str) -> &str {
    const GAP: &str = "            ";
    match begins {
        Begins::Bar => line.split(GAP).next().unwrap_or_default(),
        Begins::Line(_) | Begins::Only(_) | Begins::Margin | Begins::Foot => line,
    }
}

/// The last line of the foot: in a narrow window it is wrapped. `None` where more stands below it than may.
fn foot_end(rules: &DialogRules, lines: &Lines<'_>, shown: &[usize], foot: usize) -> Option<usize> {
    let below: Vec<usize> = shown
        .iter()
        .copied()
        .filter(|row| *row > foot && lines.says(*row))
        .collect();
    if below.len() <= rules.below {
        return Some(foot);
    }
    // Its own last lines begin like what they go on with.
    let rest = below.len() - rules.below;
    let is_wrapped = rest < FOOT_MAX && below[..rest].windows(2).all(|rows| rows[1] == rows[0] + 1);
    (is_wrapped && below[0] == foot + 1).then(|| below[rest - 1])
}

struct Found {
    /// The row of the first choice.
    first: usize,
    /// The last row of the last one.
    end: usize,
    choices: Vec<Choice>,
    menu: Option<Menu>,
}

fn numbered(cursors: &[char], lines: &Lines<'_>, foot: usize) -> Option<Found> {
    // The last line that begins a list begins this one.
    let first =
        (0..=foot).rfind(|row| choice(cursors, lines.inside(*row)).is_some_and(|(_, key, _)| key == '1'))?;
    let (mut choices, mut is_marked): (Vec<Choice>, bool) = (Vec::new(), cursors.is_empty());
    // Where nothing says how to take one, the last of them is the foot.
    let end = foot + usize::from(choice(cursors, lines.inside(foot)).is_some());
    for row in first..end {
        match choice(cursors, lines.inside(row)) {
            Some((marked, key, label))
                if key
                    .to_digit(10)
                    .is_none_or(|digit| digit as usize == choices.len() + 1) =>
            {
                is_marked |= marked;
                choices.push(Choice {
                    key: key.to_string(),
                    label: label.to_owned(),
                });
            }
            _ if !lines.says(row) => {}
            // What explains a choice stands below it.
            _ => {
                let last = choices.last_mut()?;
                last.label = format!("{} ({})", last.label, lines.inside(row).trim());
            }
        }
    }
    if !is_marked || choices.len() >= CHOICES_MAX {
        return None;
    }
    // Several can be ticked, and are sent off by something that has no number.
    if choices.iter().any(|choice| choice.label.starts_with('[')) {
        choices.clear();
    }
    Some(Found {
        first,
        end: foot,
        choices,
        menu: None,
    })
}

/// Whether it is under the cursor, its key, and what it says: `1. Yes`, `[1] Yes`, `1 (\u{25cb}) Yes`.
fn choice<'a>(cursors: &[char], line: &'a str) -> Option<(bool, char, &'a str)> {
    let line = line.trim_start();
    let (is_marked, line) = match line.strip_prefix(cursors) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, line),
    };
    let bracketed = line.strip_prefix('[');
    let key = bracketed.unwrap_or(line).chars().next()?;
    let rest = &bracketed.unwrap_or(line)[key.len_utf8()..];
    let is_digit = ('1'..='9').contains(&key);
    let label = match bracketed {
        Some(_) => rest.strip_prefix("] "),
        None => rest.strip_prefix(". "),
    };
    let label = label.filter(|_| is_digit).or_else(|| {
        let radio = rest
            .strip_prefix(" (\u{25cb}) ")
            .or_else(|| rest.strip_prefix(" (\u{25cf}) "));
        radio.filter(|_| key.is_ascii_alphanumeric())
    })?;
    Some((is_marked, key, label.trim()))
}

/// The choices around the one behind the mark, each beginning in its column.
fn listed(mark: &str, explained: bool, stands: Stands, lines: &Lines<'_>, foot: usize) -> Option<Found> {
    let place = match stands {
        Stands::Below => foot + 1..lines.0.len(),
        Stands::Above | Stands::Apart => 0..foot,
    };
    let is_marked = |row: usize| lines.inside(row).trim_start().starts_with(mark);
    let cursor = place.clone().rfind(|row| is_marked(*row))?;
    let label = |row: usize| {
        let line = lines.inside(row).trim_start();
        line.strip_prefix(mark).unwrap_or(line).trim().to_owned()
    };
    // Where it begins, behind the mark as without one.
    let column = |row: usize| {
        let line = lines.inside(row);
        let said = line.trim_start().strip_prefix(mark).unwrap_or(line);
        let said = said.trim_start_matches(|c: char| c.is_whitespace() || c == TICK);
        line.chars().count() - said.chars().count()
    };
    let inner = column(cursor);
    let belongs = |row: usize| lines.says(row) && column(row) >= inner;
    // Where each is explained, an empty line may stand before the next.
    let gap = if explained { 2 } else { 1 };
    let mut first = cursor;
    while let Some(row) = (1..=gap)
        .filter_map(|step| first.checked_sub(step))
        .find(|row| *row >= place.start && belongs(*row))
    {
        first = row;
    }
    let mut end = cursor + 1;
    while let Some(row) = (end..end + gap).find(|row| *row < place.end && belongs(*row)) {
        end = row + 1;
    }
    let (mut choices, mut at): (Vec<Choice>, _) = (Vec::new(), 0);
    let mut is_explanation = false;
    for row in first..end {
        if !lines.says(row) {
            is_explanation = false; // not each has one
            continue;
        }
        // An explanation stands in the column of its choice, what is wrapped goes on farther in.
        if is_explanation || column(row) > inner {
            is_explanation = false;
            let last = choices.last_mut()?;
            if !explained {
                last.label = format!("{} {}", last.label, label(row));
            }
            continue;
        }
        if row == cursor {
            at = choices.len();
        }
        choices.push(Choice {
            key: (choices.len() + 1).to_string(),
            label: label(row),
        });
        is_explanation = explained;
    }
    let is_one_list =
        (first..end).filter(|row| is_marked(*row)).count() == 1 && (2..CHOICES_MAX).contains(&choices.len());
    // Nothing stands between a list and the line that says how to take one of it.
    let is_beside = stands != Stands::Above || (end..foot).all(|row| !lines.says(row));
    (is_one_list && is_beside).then(|| Found {
        first,
        end: end - 1,
        choices,
        menu: Some(Menu {
            mark: mark.to_owned(),
            at,
            on: "\u{1b}[B".to_owned(),
            back: "\u{1b}[A".to_owned(),
        }),
    })
}

/// Lines with the key at their end, far from what they say; the foot is the last of them.
fn keyed(begins: &str, lines: &Lines<'_>, foot: usize) -> Option<Found> {
    let choice = |row: usize| {
        let (label, key) = lines.inside(row).trim().rsplit_once("   ")?;
        let is_key = key.len() == 1 && key.starts_with(|c: char| c.is_ascii_alphanumeric());
        is_key.then(|| Choice {
            key: key.to_owned(),
            label: label.trim().to_owned(),
        })
    };
    let mut choices = Vec::new();
    let mut first = foot;
    for row in (0..=foot).rev() {
        match choice(row) {
            Some(choice) => {
                first = row;
                choices.push(choice);
            }
            None if lines.says(row) => break,
            None => {}
        }
    }
    choices.reverse();
    if !choices
        .first()
        .is_some_and(|choice: &Choice| choice.label.starts_with(begins))
    {
        return None;
    }
    (2..CHOICES_MAX).contains(&choices.len()).then_some(Found {
        first,
        end: foot,
        choices,
        menu: None,
    })
}

/// Words beside each other, three blanks apart, one of which stands out; what says how to take one comes last.
fn buttons(screen: &Screen, lines: &Lines<'_>, foot: usize) -> Option<Found> {
    let row = u16::try_from(foot).ok()?;
    let lit = screen
        .lit
        .iter()
        .find(|(at, _)| *at == row)
        .map(|(_, piece)| piece.as_str())?;
    let words = lines
        .inside(foot)
        .split("   ")
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let labels: Vec<&str> = words.take_while(|word| !word.contains("  ")).collect();
    let at = labels.iter().position(|label| *label == lit)?;
    if labels.len() >= CHOICES_MAX {
        return None;
    }
    let choices = labels.iter().enumerate().map(|(n, label)| Choice {
        key: (n + 1).to_string(),
        label: (*label).to_owned(),
    });
    Some(Found {
        first: foot,
        end: foot,
        choices: choices.collect(),
        menu: Some(Menu {
            mark: String::new(),
            at,
            on: "\u{1b}[C".to_owned(),
            back: "\u{1b}[D".to_owned(),
        }),
    })
}

/// One choice, which is the foot: Enter takes it.
fn entered(words: &[&str], lines: &Lines<'_>, foot: usize) -> Option<Found> {
    let label = lines.inside(foot).trim();
    let mark = words.iter().find(|word| label.starts_with(**word))?;
    Some(Found {
        first: foot,
        end: foot,
        choices: vec![Choice {
            key: "1".to_owned(),
            label: label.to_owned(),
        }],
        menu: Some(Menu {
            mark: (*mark).to_owned(),
            at: 0,
            on: String::new(),
            back: String::new(),
        }),
    })
}

/// No choice at all. What belongs to it ends where something can be typed, or with its foot where that is elsewhere.
fn typed(begins: Begins, lines: &Lines<'_>, foot: usize) -> Option<Found> {
    let first = match begins {
        Begins::Foot => foot + 1,
        Begins::Line(words) | Begins::Only(words) => {
            let begin = (0..foot).find(|row| lines.begins(*row, words))?;
            let is_edge = |row: &usize| lines.is_rule(*row) || lines.0[*row].trim_start().starts_with(CORNER);
            (begin..foot).find(is_edge)?
        }
        Begins::Bar | Begins::Margin => return None,
    };
    Some(Found {
        first,
        end: first.saturating_sub(1),
        choices: Vec::new(),
        menu: None,
    })
}

/// The row that the text of a dialog begins with, above the row of its first choice.
fn beginning(begins: Begins, lines: &Lines<'_>, first: usize) -> usize {
    let above = |is_end: &dyn Fn(usize) -> bool| (0..first).rev().find(|row| is_end(*row));
    match begins {
        Begins::Line(words) | Begins::Only(words) => {
            above(&|row| lines.is_rule(row) || lines.begins(row, words)).unwrap_or(0)
        }
        Begins::Foot => first.saturating_sub(1),
        Begins::Bar => above(&|row| !lines.0[row].trim_start().starts_with(BAR)).map_or(0, |row| row + 1),
        Begins::Margin => {
            above(&|row| !lines.0[row].is_empty() && !lines.0[row].starts_with(' ')).map_or(0, |row| row + 1)
        }
    }
}

/// A screen, line by line.
struct Lines<'a>(&'a [String]);

impl Lines<'_> {
    /// What a row says, without what it is framed with.
    fn inside(&self, row: usize) -> &str {
        let line = self.0[row].trim_end_matches(|c: char| c.is_whitespace() || SIDES.contains(&c));
        let frame = line.trim_start();
        match frame.strip_prefix(SIDES) {
            Some(inside) => inside.trim_start_matches(SIDES),
            None => line,
        }
    }

    /// Whether it says anything: a rule and the edge of a frame do not.
    fn says(&self, row: usize) -> bool {
        let line = self.inside(row).trim();
        !line.is_empty() && !self.is_rule(row) && line.chars().any(|c| !is_drawn(c))
    }

    fn shown(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|row| self.says(*row)).collect()
    }

    fn is_rule(&self, row: usize) -> bool {
        let line = self.inside(row).trim();
        (line.starts_with("\u{2500}\u{2500}\u{2500}") && line.ends_with('\u{2500}'))
            || self.0[row].starts_with(CORNER)
    }

    fn begins(&self, row: usize, words: &[&str]) -> bool {
        let line = self.inside(row).trim_start();
        words.iter().any(|word| line.starts_with(word))
    }

    fn is_foot(&self, row: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.inside(row).contains(word))
    }
}

/// A line, a corner, a block, dots of a picture.
fn is_drawn(c: char) -> bool {
    ('\u{2500}'..='\u{259f}').contains(&c) || ('\u{2800}'..='\u{28ff}').contains(&c) || c.is_whitespace()
}

/// A line without the cursor in front of it.
fn bare(line: &str) -> &str {
    const CURSORS: [char; 4] = ['\u{276f}', '\u{203a}', '\u{25b6}', '\u{2192}'];
    line.trim().trim_start_matches(CURSORS).trim_start()
}

/// `529 Overloaded · retrying in 2s · attempt 3/10`, above or below the line that takes a text.
fn retry(rules: DelayRules, lines: &[String]) -> Option<Retry> {
    let (before, rest) = lines.iter().rev().find_map(|line| {
        let (before, rest) = line.split_once(rules.waits)?;
        let place = if rules.attempt.is_empty() { before } else { line };
        place.contains(rules.has).then_some((before, rest))
    })?;
    let before = before
        .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .trim_end();
    if before.is_empty() {
        return None;
    }
    let said = if rules.attempt.is_empty() {
        before.to_owned()
    } else {
        let attempt = &rest[rest.find(rules.attempt)?..];
        let end = attempt
            .find([']', ')', '\u{b7}'])
            .or_else(|| attempt.find("  "))
            .unwrap_or(attempt.len());
        format!("{before}, {}", attempt[..end].trim_end())
    };
    let pause = rules.tells.then(|| wall::duration(rest)).flatten();
    // What is said in days is no pause between two tries.
    let pause = pause.filter(|pause| *pause <= PAUSE_MAX);
    Some(Retry { said, pause })
}

#[cfg(test)]
mod tests;
