//! The table of what each real agent did: `tests/real/table.rs` writes its lines, `matrix` prints it, `docs/agents.md` has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The steps, in the order to show them.
pub const STEPS: &[&str] = &[
    "starts without a dialog in the user's own project",
    "takes a prompt that begins with a dash",
    "a hostile prompt of 100 kB arrives whole, and a zero byte is refused",
    "is told its role and its project's rules",
    "asks nothing where it may do everything",
    "uses a tool",
    "id, title and last message are those of its own record",
    "which tool it uses is told while it does",
    "what it calls the conversation is shown",
    "leaves nothing of ours in the worktree",
    "a dialog is seen, with its text and its choices",
    "a message is held while it is open, and not typed",
    "an answer closes it",
    "the message is delivered then, and accepted",
    "a question of its model is answered",
    "messages of one line and of many arrive whole",
    "one of 20 kB arrives by a file that it reads without asking",
    "one that is sent while it works is done after that",
    "a line that a person made a command is left alone",
    "an interrupt ends the turn",
    "the reason that it gives for it is told",
    "an error of the API ends the turn, and is named",
    "an error that it tries again after is named, with when it does",
    "a quota wall is named, with its end or with when it is tried again",
    "nothing is typed before, and delivery goes on after",
    "one that was killed has ended, with its signal",
    "killed and restored, it goes on with the same conversation",
    "a hundred kills of the daemon while a message is typed lose and double nothing",
    "asks at its first start, where nobody has set it up, and an answer closes that",
    "asks whether a stranger's code is trusted, and an answer closes that",
    "asks about it also where a person trusts the repository",
];

/// The table as Markdown, of the lines `agent<TAB>version<TAB>step<TAB>how`. A step with two lines has both: it was passed only
/// where each says `yes`.
pub fn printed(lines: &str) -> String {
    let mut agents: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for line in lines.lines() {
        let mut parts = line.split('\t');
        if let (Some(agent), Some(version), Some(step), Some(how)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            let hows = agents
                .entry((agent, version))
                .or_default()
                .entry(step)
                .or_default();
            if !hows.contains(&how) {
                hows.push(how);
            }
        }
    }
    let mut notes: Vec<String> = Vec::new();
    let mut table = String::from("| |");
    for (agent, version) in agents.keys() {
        let _ = write!(table, " {agent} {version} |");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(agents.len()));
    for step in STEPS {
        let _ = write!(table, "\n| {step} |");
        for steps in agents.values() {
            let cell = match steps.get(step).map(Vec::as_slice) {
                None => "\u{2013}".to_owned(),
                Some(["yes"]) => "yes".to_owned(),
                Some(hows) => {
                    let why = hows.join("; ");
                    let number = notes.iter().position(|known| *known == why).unwrap_or_else(|| {
                        notes.push(why);
                        notes.len() - 1
                    });
                    format!("no ({})", number + 1)
                }
            };
            let _ = write!(table, " {cell} |");
        }
    }
    table.push('\n');
    for (n, note) in notes.iter().enumerate() {
        let _ = write!(table, "\n{}. {note}", n + 1);
    }
    if !notes.is_empty() {
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_passed_is_not_shown_as_passed() {
        let table = printed(
            "b\t2\tuses a tool\tyes\na\t1\tuses a tool\tit has none: nothing is used\na\t1\tan answer closes it\tyes\n",
        );
        assert!(table.starts_with("| | a 1 | b 2 |\n|---|---|---|\n"), "{table}");
        assert!(table.contains("| uses a tool | no (1) | yes |"), "{table}");
        assert!(
            table.contains("| an answer closes it | yes | \u{2013} |"),
            "{table}"
        );
        assert!(table.ends_with("\n1. it has none: nothing is used\n"), "{table}");
    }
}
