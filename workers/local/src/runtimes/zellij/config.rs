//! What zellij is told: our own config in place of the user's, and a layout of one pane with the launcher in it.

use std::fmt::Write as _;

/// The config of every session of ours. The options of the command line are no substitute: given with the command
/// that creates a session in the background, zellij drops them (its issue 5023).
///
/// Every key but the one that leaves belongs to the agent (`ao attach` leaves by another, which zellij cannot be told of: it hands
/// Ctrl with a sign on as it comes). Nothing is written down from which zellij would start the
/// pane's command by itself, nothing floats above the pane and takes its keys, and nothing is offered to a browser. No plugin is
/// loaded: nobody would see it, and it costs as much memory again as the server.
pub(super) const CONFIG: &str = r#"// Written by ao, and written anew for every run.
default_mode "locked"
keybinds clear-defaults=true {
    locked {
        bind "Ctrl q" { Detach; }
    }
}
session_serialization false
show_startup_tips false
show_release_notes false
pane_frames false
mouse_mode true
advanced_mouse_actions false
support_kitty_keyboard_protocol false
scroll_buffer_size 1000
on_force_close "detach"
web_server false
web_sharing "disabled"
load_plugins {
}
"#;

/// A layout of one pane that runs `words` and goes when they have ended: zellij would hold it open and start the
/// command again at Enter.
pub(super) fn layout(words: &[&str]) -> String {
    let mut text = String::from("layout {\n    pane");
    if let Some((command, arguments)) = words.split_first() {
        let _ = write!(text, " command={}", quoted(command)); // to a string: cannot fail
        text.push_str(" close_on_exit=true borderless=true {\n        args");
        for argument in arguments {
            let _ = write!(text, " {}", quoted(argument));
        }
        text.push_str("\n    }");
    }
    text.push_str("\n}\n");
    text
}

/// A string of KDL (its version 1, which zellij reads): what is special there, and what would not be seen by whoever
/// looks at the file, is escaped in the way KDL and no other language has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c)); // to a string: cannot fail
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_one_pane_with_words() {
        expect_test::expect![[r#"
            layout {
                pane command="/opt/a \"b\"/ao" close_on_exit=true borderless=true {
                    args "run-agent" "/d\\e/\u{a0}\u{feff}\u{1b}\u{a}ü" ""
                }
            }
        "#]]
        .assert_eq(&layout(&[
            "/opt/a \"b\"/ao",
            "run-agent",
            "/d\\e/\u{a0}\u{feff}\u{1b}\nü",
            "",
        ]));
    }
}
