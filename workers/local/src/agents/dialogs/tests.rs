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
        // What somebody has typed and not sent.
        "● Done.\n----\n❯ 1. revert\n  2. fix it\n  3. Go back to the old parser\n----\n  ? for shortcuts",
        "● Done.\n\n Select login method:\n----\n❯ 1. revert\n  2. fix it\n  3. 3rd-party platform\n----",
        "  2. Two\n ❯ 3. Three\n Esc to cancel",
    ] {
        assert_eq!(dialog(&lines(text)), None, "{text}");
    }
}

/// How one logs in to Claude Code, as it asks where the servers of its maker answer.
#[test]
fn how_one_logs_in_is_read_and_the_code_is_not() {
    let labels = |dialog: &Dialog| -> Vec<String> {
        let choices = dialog.choices.iter();
        choices
            .map(|choice| format!("{} {}", choice.key, choice.label))
            .collect()
    };
    let login = "Welcome to Claude Code\n\n.......█ █   █ █.......\n\n Claude Code can be used with your Claude subscription or billed \
                 based on API usage.\n\n Select login method:\n\n ❯ 1. Claude account with subscription \u{b7} Individual, Team\n   \
                 2. Anthropic Console account \u{b7} API usage billing\n   3. 3rd-party platform \u{b7} Bedrock\n";
    let found = dialog(&lines(login)).unwrap();
    assert_eq!(found.text, ["Select login method:"]);
    assert_eq!(
        labels(&found),
        [
            "1 Claude account with subscription \u{b7} Individual, Team",
            "2 Anthropic Console account \u{b7} API usage billing",
            "3 3rd-party platform \u{b7} Bedrock"
        ]
    );
    let account = "......\n\n Anthropic Console account\n\n How do you want to sign in?\n\n ❯ 1. Sign in with your Console account\n   \
                   2. Create an API key\n   3. Go back\n";
    let found = dialog(&lines(account)).unwrap();
    assert_eq!(
        found.text,
        ["Anthropic Console account", "How do you want to sign in?"]
    );
    assert_eq!(
        labels(&found),
        [
            "1 Sign in with your Console account",
            "2 Create an API key",
            "3 Go back"
        ]
    );
    let platform = "......\n\n Using 3rd-party platforms\n\n ❯ 1. Amazon Bedrock\n   2. Microsoft Foundry\n   3. Google Vertex AI\n   \
                    4. Go back\n\n Foundry: https://code.claude.com/docs\n";
    let found = dialog(&lines(platform)).unwrap();
    assert_eq!(found.text, ["Using 3rd-party platforms"]);
    assert_eq!(found.choices.len(), 4);
    let frame = "\u{256d}----\u{256e}\n\u{2502} SECRET \u{2502}\n\u{2570}----\u{256f}";
    for foot in [
        "Esc to go back",
        "Esc to clear",
        "Esc to continue without logging in",
    ] {
        let code = format!(
            "......\n\n Browser didn't open? Use the URL below to sign in (c to copy)\n\nhttps://claude.ai/oauth/authorize?code=true\n\n \
             Paste code here if prompted\n {frame}\n\n {foot}\n"
        );
        let found = dialog(&lines(&code)).unwrap();
        assert_eq!(found.text.len(), 3, "{found:?}");
        assert!(
            found.choices.is_empty() && found.text[2] == "Paste code here if prompted",
            "{found:?}"
        );
        assert!(!format!("{found:?}").contains("SECRET"), "{found:?}");
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
    // What is to be decided about is told whole, whatever is in it.
    for asked in [
        "echo API_KEY: x; rm -rf /",
        "MY_API_KEY: ...;rm",
        "API_KEY: secret",
    ] {
        let text = format!("----\n {asked}\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel");
        let found = read(&claude_code::SHEET, &text).unwrap();
        assert_eq!(found.text[0], asked);
    }
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
    let copilot = "----\n which?\n Answer:\n   One\n ❯ Two\n ↑/↓ select · enter accept · esc cancel\n----";
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
        const FEET: [&str; 12] = [
            "Enter to confirm", "enter continue", "Enter: Select", "Don't trust (esc)", "enter to select",
            " 3. 3rd-party platform", " 3. Go back", " Esc to go back", "1/4:select  ", "No, quit   n", "a   b   enter confirm", "\u{2191} choose",
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
