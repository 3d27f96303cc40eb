//! What Claude Code shows on its screen and tells by no hook, as version 2.1.330 draws it.

use ao_domain::port::agent::Shows;
use ao_domain::port::runtime::Screen;
use ao_domain::{Choice, Dialog};

/// Longest text of a dialog kept, in lines: what it is about stands at its end.
const LINES_MAX: usize = 40;

/// Before the choice that Enter would take.
const CURSOR: char = '\u{276f}';

pub(super) fn shows(screen: &Screen) -> Shows {
    Shows {
        dialog: dialog(&screen.lines),
        delay: delay(&screen.lines),
    }
}

/// Numbered choices, one of them under the cursor, and below them a line that says how to leave, with nothing behind it: what looks
/// like one and is not the last thing on the screen was written by somebody.
fn dialog(lines: &[String]) -> Option<Dialog> {
    let last = lines.iter().rposition(|line| !line.trim().is_empty())?;
    // In a narrow window the line is wrapped.
    let foot = (last.saturating_sub(2)..=last).find(|row| {
        let line = &lines[*row];
        line.trim_start().starts_with("Esc to cancel")
            || line.trim_start().starts_with("Enter to")
            || line.contains("\u{b7} Esc to cancel")
    })?;
    let says_how = lines[foot..=last].join(" ");
    if !says_how.contains("Esc to cancel") && !says_how.contains("Enter to") {
        return None;
    }
    let (first, choices) = numbered(lines, foot).or_else(|| unnumbered(lines, foot))?;
    let begin = lines[..first]
        .iter()
        .rposition(|line| is_rule(line))
        .map_or(0, |rule| rule + 1);
    let is_shown = |line: &&String| {
        !line.trim().is_empty() && !is_rule(line) && !line.trim().chars().all(|c| c == '\u{254c}')
    };
    let text: Vec<String> = lines[begin..first]
        .iter()
        .filter(is_shown)
        .map(|line| line.trim().to_owned())
        .collect();
    let all = lines[begin..=last].iter().filter(is_shown);
    let all = all.map(|line| line.trim().trim_start_matches(CURSOR).trim_start().to_owned());
    Some(Dialog {
        text: text[text.len().saturating_sub(LINES_MAX)..].to_vec(),
        choices,
        lines: all.collect(),
    })
}

/// Where the list begins that ends above `foot`, and its choices, each of which its number takes.
fn numbered(lines: &[String], foot: usize) -> Option<(usize, Vec<Choice>)> {
    // The last line that begins a list begins this one.
    let first = lines[..foot]
        .iter()
        .rposition(|line| choice(line).is_some_and(|(_, number, _)| number == 1))?;
    let (mut choices, mut is_marked): (Vec<Choice>, bool) = (Vec::new(), false);
    for line in &lines[first..foot] {
        match choice(line) {
            Some((marked, number, label)) if number == choices.len() + 1 => {
                is_marked |= marked;
                choices.push(Choice {
                    key: number.to_string(),
                    label: label.to_owned(),
                    keys: None,
                });
            }
            _ if is_rule(line) || line.trim().is_empty() => {}
            // What explains a choice stands below it.
            _ => {
                let last = choices.last_mut()?;
                last.label = format!("{} ({})", last.label, line.trim());
            }
        }
    }
    if !is_marked {
        return None;
    }
    // Several can be ticked, and are sent off by something that has no number.
    if choices.iter().any(|choice| choice.label.starts_with('[')) {
        choices.clear();
    }
    Some((first, choices))
}

/// The same of a list without numbers, as that of the question whether a folder is trusted: what stands in one column, one line of it
/// under the cursor. Its lines are counted here, and one is taken by going to the first, down to it, and pressing Enter: that takes the
/// same one wherever the cursor stands by then.
fn unnumbered(lines: &[String], foot: usize) -> Option<(usize, Vec<Choice>)> {
    let end = lines[..foot].iter().rposition(|line| !line.trim().is_empty())? + 1;
    let marked = |line: &String| line.trim_start().starts_with(CURSOR);
    let cursor = lines[..end].iter().rposition(marked)?;
    let label_at = |line: &str| {
        let label = line.trim_start().trim_start_matches(CURSOR).trim_start();
        line.chars().count() - label.chars().count()
    };
    let column = label_at(&lines[cursor]);
    let is_part = |line: &String| !line.trim().is_empty() && label_at(line) >= column;
    let first = lines[..cursor]
        .iter()
        .rposition(|line| !is_part(line))
        .map_or(0, |row| row + 1);
    if !lines[cursor..end].iter().all(is_part)
        || lines[first..end].iter().filter(|line| marked(line)).count() != 1
    {
        return None;
    }
    let mut choices: Vec<Choice> = Vec::new();
    for line in &lines[first..end] {
        let label = line.trim_start().trim_start_matches(CURSOR).trim();
        // In a narrow window it goes on below.
        if label_at(line) > column {
            let last = choices.last_mut()?;
            last.label = format!("{} {label}", last.label);
            continue;
        }
        let down = "\u{1b}[B".repeat(choices.len());
        choices.push(Choice {
            key: (choices.len() + 1).to_string(),
            label: label.to_owned(),
            keys: Some(format!("\u{1b}[H{down}\r")),
        });
    }
    (2..10).contains(&choices.len()).then_some((first, choices))
}

/// Whether it is under the cursor, its number, and what it says.
fn choice(line: &str) -> Option<(bool, usize, &str)> {
    let line = line.trim_start();
    let (is_marked, line) = match line.strip_prefix(CURSOR) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, line),
    };
    let (number, label) = line.split_once(". ")?;
    // One digit: the key that takes it.
    let number = number.parse().ok().filter(|number| (1..10).contains(number))?;
    Some((is_marked, number, label.trim()))
}

fn is_rule(line: &str) -> bool {
    line.starts_with("\u{2500}\u{2500}\u{2500}") && line.ends_with('\u{2500}')
}

/// `529 Overloaded · retrying in 2s · attempt 3/10`, above the line that takes a text.
fn delay(lines: &[String]) -> Option<String> {
    let line = lines
        .iter()
        .rev()
        .find(|line| line.contains(" \u{b7} retrying in "))?;
    let (said, rest) = line.split_once(" \u{b7} retrying in ")?;
    let said = said.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let attempt = rest.split_once(" \u{b7} ").map(|(_, attempt)| attempt.trim())?;
    attempt
        .starts_with("attempt ")
        .then(|| format!("{said}, {attempt}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines()
            .map(|line| line.replace("----", &"\u{2500}".repeat(60)))
            .collect()
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
        let choices: Vec<_> = found
            .choices
            .iter()
            .map(|choice| {
                (
                    choice.key.as_str(),
                    choice.label.as_str(),
                    choice.keys.as_deref().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            choices,
            [
                ("1", "No, exit", "\u{1b}[H\r"),
                ("2", "Yes, I trust this folder", "\u{1b}[H\u{1b}[B\r")
            ]
        );
        for no in [
            " ❯ No, exit\n\n Enter to confirm · Esc to cancel",
            " ❯ No\n ❯ Yes\n\n Enter to confirm · Esc to cancel",
            "   No\n   Yes\n\n Enter to confirm · Esc to cancel",
            " ❯ No\n\n   Yes\n\n Enter to confirm · Esc to cancel",
        ] {
            assert_eq!(dialog(&lines(no)), None, "{no}");
        }
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

    #[test]
    fn a_wait_for_another_try_is_read_without_its_seconds() {
        let shown = lines(
            "❯ hello\n✻ 529 stub error 529 · retrying in 2s · attempt 3/10\n  ⎿  If it persists\n----\n❯ \n----\n  esc to interrupt",
        );
        assert_eq!(delay(&shown).as_deref(), Some("529 stub error 529, attempt 3/10"));
        assert_eq!(delay(&lines("● retrying in vain\n----\n❯ \n----")), None);
    }
}
