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

/// As much of a line as anybody may know: some show a part of a key.
fn told(line: &str) -> &str {
    const KEY: &str = "API_KEY:";
    line.find(KEY).map_or(line, |at| &line[..at + KEY.len()])
}

/// What stands behind a bar, without what a program shows beside it.
fn cut_beside(begins: Begins, line: &str) -> &str {
    const GAP: &str = "            ";
    match begins {
        Begins::Bar => line.split(GAP).next().unwrap_or_default(),
        Begins::Line(_) | Begins::Margin | Begins::Foot => line,
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
        Begins::Line(words) => {
            let begin = (0..foot).find(|row| lines.begins(*row, words))?;
            (begin..foot).find(|row| lines.is_rule(*row))?
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
        Begins::Line(words) => above(&|row| lines.is_rule(row) || lines.begins(row, words)).unwrap_or(0),
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
mod tests {
    use ao_domain::port::runtime::Size;

    use super::super::sheet::Sheet;
    use super::super::{claude_code, codex, copilot, grok, kimi, opencode, qwen};
    use super::{Dialog, Screen, Shows, shows};

    fn lines(text: &str) -> Vec<String> {
        text.lines()
            .map(|line| line.replace("----", &"\u{2500}".repeat(60)))
            .collect()
    }

    fn screen(lines: &[String]) -> Screen {
        Screen {
            lines: lines.to_vec(),
            cursor: (0, 0),
            size: Size { cols: 120, rows: 40 },
            bracketed_paste: true,
            title: None,
            lit: Vec::new(),
        }
    }

    /// What Claude Code's rules see.
    fn seen(lines: &[String]) -> Shows {
        shows(&claude_code::SHEET.screen.unwrap(), &screen(lines))
    }

    fn dialog(lines: &[String]) -> Option<Dialog> {
        seen(lines).dialog
    }

    /// As it was on the screen of the real program.
    #[test]
    fn dialogs_are_read_with_their_choices() {
        let write = lines(
            "● Write(a.txt)\n----\n Create file\n a.txt\n╌╌╌╌╌╌╌╌\n 1 hi\n╌╌╌╌╌╌╌╌\n Do you want to create a.txt?\n ❯ 1. Yes\n   \
             2. Yes, and switch to accept edits for this session (shift+tab)\n   3. No\n\n Esc to cancel · Tab to amend",
        );
        let found = dialog(&write).unwrap();
        assert_eq!(
            found.text,
            ["Create file", "a.txt", "1 hi", "Do you want to create a.txt?"]
        );
        let labels: Vec<_> = found
            .choices
            .iter()
            .map(|choice| (choice.key.as_str(), choice.label.as_str()))
            .collect();
        assert_eq!(
            labels,
            [
                ("1", "Yes"),
                (
                    "2",
                    "Yes, and switch to accept edits for this session (shift+tab)"
                ),
                ("3", "No")
            ]
        );
        let question = lines(
            "----\n ☐ Stub\n\nwhich colour?\n\n  1. One\n     first\n❯ 2. Two\n     second\n  3. Type something.\n----\n  4. Chat about this\n\n\
             Enter to select · ↑/↓ to navigate · Esc to cancel",
        );
        let found = dialog(&question).unwrap();
        assert_eq!(found.text, ["☐ Stub", "which colour?"]);
        let labels: Vec<_> = found.choices.iter().map(|choice| choice.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "One (first)",
                "Two (second)",
                "Type something.",
                "Chat about this"
            ]
        );
    }

    /// Several can be ticked and are sent off by what has no number; and in a small window the last line is wrapped.
    #[test]
    fn what_one_key_does_not_answer_has_no_choices_and_a_narrow_window_has_a_dialog() {
        let several = lines(
            "----\n ☐ Sizes\n\nwhich sizes?\n\n❯ 1. [ ] Small\n  2. [✔] Large\n  Submit\n\nEnter to select · Esc to cancel",
        );
        let found = dialog(&several).unwrap();
        assert_eq!((found.text.len(), found.choices.len()), (2, 0));
        let narrow = lines(" ❯ 1. Yes\n   2. No\n\n Enter to select ·\n ↑/↓ to navigate ·\n Esc to cancel");
        let found = dialog(&narrow).unwrap();
        assert_eq!(found.choices.len(), 2);
        assert_eq!(found.lines[..2], ["1. Yes", "2. No"]);
    }

    #[test]
    fn what_an_agent_writes_is_no_dialog() {
        for text in [
            // As a file that it shows would have it.
            "● Read(doc.md)\n  ❯ 1. Yes\n    2. No\n\n  Esc to cancel\n----\n❯ \n----\n  esc to interrupt",
            "● A list:\n  1. One\n  2. Two\n----\n❯ \n----\n  ⏸ manual mode on · ? for shortcuts",
            "● Press Esc to cancel\n  1. One\n----\n❯ 1. x\n----\n  esc to interrupt",
            "",
            "Esc to cancel",
            "  2. Two\n ❯ 3. Three\n Esc to cancel",
        ] {
            assert_eq!(dialog(&lines(text)), None, "{text}");
        }
    }

    /// As the real programs ask in a home in which nobody has set them up.
    #[test]
    fn what_is_asked_at_a_first_start_is_read() {
        let read = |sheet: &Sheet, text: &str| shows(&sheet.screen.unwrap(), &screen(&lines(text))).dialog;
        let labels = |dialog: &Dialog| -> Vec<String> {
            let choices = dialog.choices.iter();
            choices
                .map(|choice| format!("{} {}", choice.key, choice.label))
                .collect()
        };
        let sample = "\u{254c}".repeat(40);
        let theme = format!(
            "Welcome to Claude Code\n\n Let's get started.\n\n Choose the text style that looks best with your terminal\n To change this \
             later, run /theme\n\n ❯ \u{2714} Auto (match terminal)\n     Dark mode\n     Light mode\n\n {sample}\n  1  function greet() \
             {{\n  2 -  console.log(\"Hello\");\n {sample}\n  Syntax theme: Monokai (ctrl+t to disable)\n"
        );
        let found = read(&claude_code::SHEET, &theme).unwrap();
        assert_eq!(
            found.text,
            [
                "Choose the text style that looks best with your terminal",
                "To change this later, run /theme"
            ]
        );
        assert_eq!(
            labels(&found),
            ["1 \u{2714} Auto (match terminal)", "2 Dark mode", "3 Light mode"]
        );
        assert_eq!(found.press("3").unwrap().0, "\u{1b}[B\u{1b}[B");
        let moved = theme
            .replace("❯ \u{2714}", "  \u{2714}")
            .replace("    Dark", "❯   Dark");
        let moved = moved
            .replace(" ❯   Dark", "❯   Dark")
            .replace("❯   Dark", " ❯   Dark");
        assert_eq!(
            read(&claude_code::SHEET, &moved).unwrap().menu.unwrap().at,
            1,
            "{moved}"
        );
        // It shows with its sample what the colour under the cursor is shown with.
        let other = theme.replace("Monokai", "GitHub");
        assert!(read(&claude_code::SHEET, &other).unwrap().is(&found));
        let notes = " Security notes:\n\n 1. Claude can make mistakes.\n    You're responsible.\n 2. Only use it with code you \
                     trust\n\n Press Enter to continue\n";
        let found = read(&claude_code::SHEET, notes).unwrap();
        assert_eq!(found.text[0], "Security notes:");
        assert_eq!(labels(&found), ["1 Press Enter to continue"]);
        let (keys, moves) = found.press("1").unwrap();
        assert_eq!(
            (keys.as_str(), moves.unwrap().to),
            ("", "Press Enter to continue")
        );
        let key = "----\n  Detected a custom API key in your environment\n\n  ANTHROPIC_API_KEY: sk-ant-...cdef\n\n  Do you want to use this API \
                   key?\n\n    Yes\n  ❯ No (recommended)\n\n  Enter to confirm · Esc to cancel\n";
        let found = read(&claude_code::SHEET, key).unwrap();
        assert_eq!(labels(&found), ["1 Yes", "2 No (recommended)"]);
        assert!(found.text.contains(&"ANTHROPIC_API_KEY:".to_owned()));
        assert!(!format!("{found:?}").contains("cdef"), "{found:?}");
        let codex = "  Welcome to Codex, OpenAI's command-line coding agent\n\n  Sign in another way\n\n> 1. Use an OpenAI API key\n     Pay for \
                     what you use\n\n  2. Use Amazon Bedrock\n\n  Press enter to continue\n  Press esc to go back\n";
        let found = read(&codex::SHEET, codex).unwrap();
        assert_eq!(found.text[1], "Sign in another way");
        assert_eq!(
            labels(&found),
            [
                "1 Use an OpenAI API key (Pay for what you use)",
                "2 Use Amazon Bedrock"
            ]
        );
        // What a person types there is nobody's business.
        let codex = "  Welcome to Codex\n\n> Use your own OpenAI API key for usage-based billing\n\n  Paste or type your API key below.\n\n\
                     \u{256d}API key\u{2500}\u{2500}\u{256e}\n\u{2502}sk-secret\u{2502}\n\u{2570}\u{2500}\u{2500}\u{256f}\n  Press enter to save\n  \
                     Press esc to go back\n\nAPI key cannot be empty\n";
        let found = read(&codex::SHEET, codex).unwrap();
        assert_eq!(
            found.text,
            [
                "> Use your own OpenAI API key for usage-based billing",
                "Paste or type your API key below."
            ]
        );
        assert_eq!(
            (found.choices.len(), format!("{found:?}").contains("secret")),
            (0, false)
        );
        let unknown = codex.replace("> Use", "  Use");
        assert_eq!(read(&codex::SHEET, &unknown), None);
        for (corner, other) in [("\u{256d}API", "  \u{256d}API"), ("\u{256d}API", "\u{250c}API")] {
            let unknown = codex.replace(corner, other);
            let found = read(&codex::SHEET, &unknown);
            assert!(!format!("{found:?}").contains("secret"), "{found:?}");
        }
        let framed = |line: &str| format!("  \u{2502} {line:<40} \u{2502}\n");
        let qwen: String = [
            "Connect a Provider",
            "",
            "› Alibaba ModelStudio",
            "  Official recommended setup",
            "",
            "  Without a word",
            "",
            "  Custom Provider",
            "  Manually connect a local server",
            "",
            "────────",
            "",
            "Terms of Services and Privacy Notice:",
            "https://example.com/",
        ]
        .map(framed)
        .concat();
        let found = read(&qwen::SHEET, &qwen).unwrap();
        assert_eq!(found.text, ["Connect a Provider"]);
        assert_eq!(
            labels(&found),
            ["1 Alibaba ModelStudio", "2 Without a word", "3 Custom Provider"]
        );
        let grok = "   ao/web-1 worktree\n        \u{2800}\u{28c0}\u{28c0}\n\n      error sending request for url\n\n     Login with \
                    Grok              l\n     Quit                         q\n\n  \u{256d}\u{2500}\u{256e}\n  \u{2502} ❯ Type a \
                    message... \u{2502}\n  \u{2570}\u{2500} Grok 4.6 (high) \u{2500}\u{256f}\n    Grok Build  1.0.41\n";
        let found = read(&grok::SHEET, grok).unwrap();
        assert_eq!(found.text, ["error sending request for url"]);
        assert_eq!(labels(&found), ["l Login with Grok", "q Quit"]);
        let plain = grok.replace("      error sending request for url\n", "");
        assert_eq!(read(&grok::SHEET, &plain).unwrap().text, ["ao/web-1 worktree"]);
        // What its model writes as keys, and its menu once it is logged in.
        let keys = grok.replace("Login with Grok ", "Save the file   ");
        assert_eq!(read(&grok::SHEET, &keys), None);
        let welcome = grok
            .replace("Login with Grok              l", "Resume session      ctrl+r")
            .replace("q\n", "ctrl+q\n");
        assert_eq!(read(&grok::SHEET, &welcome), None);
        let copilot = " ● Tip: /app\n\nPlease use /login to sign in to use Copilot\n\n /w [⎇ wt]\n╻▄▄\n❯\n╹▀▀▀▀\n Interactive · / commands\n";
        let found = read(&copilot::SHEET, copilot).unwrap();
        assert_eq!(
            (found.text.as_slice(), found.choices.len()),
            (&["Please use /login to sign in to use Copilot".to_owned()][..], 0)
        );
        let again = copilot.replace(
            "Please use /login to sign in to use Copilot",
            "Use /login to re-authenticate.",
        );
        assert!(read(&copilot::SHEET, &again).is_some());
        // What its model says is farther in.
        let said = copilot.replace("\nPlease", "\n   Please");
        assert_eq!(read(&copilot::SHEET, &said), None);
        let kimi = " │  ▐█▛█▛█▌  Welcome to Kimi Code! │\n │  ▐█████▌  Run /login or /provider to get started. │\n │ │\n │  Directory: /w │\n │  \
                    Session: │\n │  Model: not set │\n │  Version: 2.1.0 │\n   No session yet\n MCP: none\n a word of warning\n ╭──╮\n │ >  │\n \
                    ╰──╯\n /w  ask Kimi\n context: 0%\n";
        let found = read(&kimi::SHEET, kimi).unwrap();
        assert_eq!(
            (found.text.as_slice(), found.choices.len()),
            (&["Run /login or /provider to get started.".to_owned()][..], 0)
        );
        let said = kimi.replace("▐█████▌  Run", "● Run");
        assert_eq!(read(&kimi::SHEET, &said), None);
        let qwen: String = [
            "Custom Provider · Step 2/7 · Base URL",
            "",
            "sk-secret",
            "",
            "Enter to submit, Esc to go back",
        ]
        .map(framed)
        .concat();
        let found = read(&qwen::SHEET, &qwen).unwrap();
        assert_eq!(found.text, ["Enter to submit, Esc to go back"]);
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }

    /// As they were on the screens of the real programs: a pause that is counted down, and one whose whole stands there.
    #[test]
    fn a_wait_for_another_try_is_read_with_its_pause() {
        let read = |sheet: &Sheet, text: &str| {
            let retry = shows(&sheet.screen.unwrap(), &screen(&lines(text))).retry;
            retry.map(|retry| (retry.said, retry.pause.map(|pause| pause.as_secs())))
        };
        let box_of =
            |line: &str| format!("❯ hello\n{line}\n  ⎿  If it persists\n----\n❯ \n----\n  esc to interrupt");
        for (sheet, line, said, pause) in [
            (
                &claude_code::SHEET,
                "✻ 529 stub error 529 · retrying in 2s · attempt 3/10",
                "529 stub error 529, attempt 3/10",
                Some(2),
            ),
            (
                &claude_code::SHEET,
                "✻ 529 Overloaded · retrying in 1m 5s · attempt 9/10",
                "529 Overloaded, attempt 9/10",
                Some(65),
            ),
            (
                &opencode::SHEET,
                "   ⬝⬝⬝■■■ stub error 529 [retrying in 6s attempt #3]      esc interrupt",
                "stub error 529, attempt #3",
                Some(6),
            ),
            (
                &opencode::SHEET,
                "   ⬝⬝⬝■■■ stub error 529 [retrying in 2 weeks attempt #3]",
                "stub error 529, attempt #3",
                None,
            ),
            (
                &kimi::SHEET,
                "  🌓 Retrying (5/10) · APIProviderOverloadedError · in 5s",
                "Retrying (5/10) · APIProviderOverloadedError",
                Some(5),
            ),
            (
                &qwen::SHEET,
                "  ✕ [API Error: 429 slow down] (Retrying in 55s… (attempt 1/10))\n  ↻ Retrying in 55 seconds… (attempt 1/10)",
                "Retrying, attempt 1/10",
                Some(55),
            ),
            // How long they have waited.
            (
                &codex::SHEET,
                "• Reconnecting... waiting for network (47s • esc to interrupt)",
                "Reconnecting... waiting for network",
                None,
            ),
            (
                &grok::SHEET,
                "    ⠧ Server error (529) | Retrying (attempt 2)... 1.3s              3.0s ⇣2.26k [stop]",
                "Server error (529) | Retrying (attempt 2)",
                None,
            ),
        ] {
            assert_eq!(
                read(sheet, &box_of(line)),
                Some((said.to_owned(), pause)),
                "{line}"
            );
        }
        assert_eq!(read(&claude_code::SHEET, &box_of("● retrying in vain")), None);
        // Its words elsewhere in the line, and nothing that could be told.
        for line in [
            "• see (Reconnecting...)",
            "• (Reconnecting...)",
            "接続 (Reconnecting...)",
        ] {
            assert_eq!(read(&codex::SHEET, &box_of(line)), None, "{line}");
        }
        assert_eq!(
            read(&claude_code::SHEET, &box_of("✻ · retrying in 2s · attempt 3/10")),
            None
        );
        for far in [
            "99999999999999999999s",
            "18446744073709551615h",
            "18446744073709551615s 1s",
            "25h",
        ] {
            let line = format!("✻ 529 · retrying in {far} · attempt 1/10");
            assert_eq!(
                read(&claude_code::SHEET, &box_of(&line)).map(|(_, pause)| pause),
                Some(None),
                "{far}"
            );
        }
    }

    /// As it was on the screen of the real program, and as a narrow window has it.
    #[test]
    fn the_question_of_trust_has_choices_without_numbers() {
        let asked = lines(
            "----\n Accessing workspace:\n\n /w\n\n Quick safety check: Is this a project you created?\n\n Security guide\n\n \
             ❯ No, exit\n   Yes, I trust\n     this folder\n\n Enter to confirm · Esc to cancel\n",
        );
        let found = dialog(&asked).unwrap();
        assert_eq!(
            found.text,
            [
                "Accessing workspace:",
                "/w",
                "Quick safety check: Is this a project you created?",
                "Security guide"
            ]
        );
        let labels: Vec<_> = found
            .choices
            .iter()
            .map(|choice| (choice.key.as_str(), choice.label.as_str()))
            .collect();
        assert_eq!(labels, [("1", "No, exit"), ("2", "Yes, I trust this folder")]);
        let (keys, moves) = found.press("2").unwrap();
        let moves = moves.unwrap();
        assert_eq!(
            (keys.as_str(), moves.from, moves.to),
            ("\u{1b}[B", "No, exit", "Yes, I trust this folder")
        );
        assert_eq!(found.press("1").unwrap().0, "");
        assert!(found.press("3").is_none());
        for no in [
            " ❯ No, exit\n\n Enter to confirm · Esc to cancel",
            " ❯ No\n ❯ Yes\n\n Enter to confirm · Esc to cancel",
            "   No\n   Yes\n\n Enter to confirm · Esc to cancel",
            " ❯ No\n\n   Yes\n\n Enter to confirm · Esc to cancel",
        ] {
            assert_eq!(dialog(&lines(no)), None, "{no}");
        }
    }

    /// As the others draw theirs; each with the rules that are its own.
    #[test]
    fn each_agent_s_dialogs_are_read_by_its_rules() {
        let read = |sheet: &Sheet, text: &str, lit: &[(u16, &str)]| {
            let shown = Screen {
                lit: lit
                    .iter()
                    .map(|(row, piece)| (*row, (*piece).to_owned()))
                    .collect(),
                ..screen(&lines(text))
            };
            shows(&sheet.screen.unwrap(), &shown).dialog
        };
        let labels = |dialog: &Dialog| -> Vec<String> {
            dialog
                .choices
                .iter()
                .map(|choice| format!("{} {}", choice.key, choice.label))
                .collect()
        };
        let codex = "• Running touch x\n\n  Would you like to run the following command?\n\n  $ touch x\n\n› 1. Yes, proceed (y)\n  2. No (esc)\n\n  \
                     Press enter to confirm or esc to cancel\n";
        let found = read(&codex::SHEET, codex, &[]).unwrap();
        assert_eq!(
            found.text,
            ["Would you like to run the following command?", "$ touch x"]
        );
        assert_eq!(labels(&found), ["1 Yes, proceed (y)", "2 No (esc)"]);
        let qwen = "  ◆︎ Working on it.\n  ? Shell touch x\n     touch x\n\n   Allow execution of: 'touch'?\n\n   › 1. Yes, allow once\n     2. No \
                    (esc)\n\n  ⠏ Waiting for user confirmation...";
        let found = read(&qwen::SHEET, qwen, &[]).unwrap();
        assert_eq!(
            found.text,
            ["? Shell touch x", "touch x", "Allow execution of: 'touch'?"]
        );
        assert_eq!(labels(&found), ["1 Yes, allow once", "2 No (esc)"]);
        let kimi = "● Working on it.\n  ▶ Run this command?\n  $ touch x\n  ▶ 1. Approve once\n    2. Reject\n  ↑/↓ select · 1/2 choose · ↵ \
                    confirm\n stub thinking\n context: 1%";
        let found = read(&kimi::SHEET, kimi, &[]).unwrap();
        assert_eq!(found.text, ["▶ Run this command?", "$ touch x"]);
        assert_eq!(labels(&found), ["1 Approve once", "2 Reject"]);
        let kimi = "----\n  Trust this folder?\n  ↑↓ navigate · Enter select · Esc exit\n  /w\n   ❯ Trust this folder\n     Enable what it \
                    brings.\n\n     Don't trust\n     Exit Kimi Code.\n----";
        let found = read(&kimi::SHEET, kimi, &[]).unwrap();
        assert_eq!(labels(&found), ["1 Trust this folder", "2 Don't trust"]);
        let grok = "     ◆ Run\n  ┃\n  ┃  Allow Edit to x?\n  ┃\n  ┃  1 (●) Yes, always\n  ┃  2 (○) Yes\n  ┃\n  1/2:select  │  Tab:next";
        let found = read(&grok::SHEET, grok, &[]).unwrap();
        assert_eq!(found.text, ["Allow Edit to x?"]);
        assert_eq!(labels(&found), ["1 Yes, always", "2 Yes"]);
        let copilot = "│ Do you want to run this command?            │\n│ ❯ 1. Yes                          │\n│   2. No (Esc to stop)  \
                       │\n│ ↑/↓ to navigate · enter to select · esc to cancel │\n╰──╯";
        assert_eq!(
            labels(&read(&copilot::SHEET, copilot, &[]).unwrap()),
            ["1 Yes", "2 No (Esc to stop)"]
        );
        let copilot =
            "----\n which?\n Answer:\n   One\n ❯ Two\n ↑/↓ select · enter accept · esc cancel\n----";
        let found = read(&copilot::SHEET, copilot, &[]).unwrap();
        assert_eq!(labels(&found), ["1 One", "2 Two"]);
        assert_eq!(found.press("1").unwrap().0, "\u{1b}[A");
        let opencode = "     ▣  Build\n  ┃\n  ┃  △ Permission required\n  ┃  $ touch x\n  ┃\n  ┃   Allow once   Allow always   Reject          ctrl+f \
                        fullscreen  ⇆ select  enter confirm\n  ┃";
        let found = read(&opencode::SHEET, opencode, &[(5, "Allow once")]).unwrap();
        assert_eq!(found.text, ["△ Permission required", "$ touch x"]);
        assert_eq!(labels(&found), ["1 Allow once", "2 Allow always", "3 Reject"]);
        assert_eq!(found.press("3").unwrap().0, "\u{1b}[C\u{1b}[C");
        assert!(
            read(&opencode::SHEET, opencode, &[]).is_none(),
            "nobody knows what Enter takes"
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

        /// Whatever an agent shows: a reader reads it or not, and a dialog has something on the screen and few choices.
        #[test]
        fn no_screen_stops_a_reader(rows in proptest::collection::vec("[ 1-3a\u{276f}\u{203a}\u{2502}\u{2503}\u{256d}\u{2500}\u{25b6}\u{2192}\u{25cb}\u{25cf}()\\[\\].]{0,12}", 0..14), lit in 0_u16..14) {
            const FEET: [&str; 9] = [
                "Enter to confirm", "enter continue", "Enter: Select", "Don't trust (esc)", "enter to select",
                "1/4:select  ", "No, quit   n", "a   b   enter confirm", "\u{2191} choose",
            ];
            for sheet in super::super::SHEETS {
                let Some(rules) = &sheet.screen else { continue };
                for foot in FEET {
                    let lines: Vec<String> = rows.iter().cloned().chain([foot.to_owned()]).chain(rows.first().cloned()).collect();
                    let shown = Screen { lit: vec![(lit, "a".to_owned())], ..screen(&lines) };
                    if let Some(dialog) = shows(rules, &shown).dialog {
                        proptest::prop_assert!(!dialog.lines.is_empty() && dialog.choices.len() < 10);
                    }
                }
            }
        }
    }
}
