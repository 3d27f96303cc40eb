use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A home in which programs can be put.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    /// Puts `script` in the place of `program`, as a new file.
    fn put(&self, program: &str, script: &str) {
        let (file, draft) = (self.path().join(program), self.path().join("draft"));
        std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(draft, file).unwrap();
    }

    fn catalog(&self) -> AgentCatalog {
        let env = [
            ("HOME", self.path().as_str()),
            ("PATH", "/usr/bin:/bin"),
            ("MARK", "seen"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        AgentCatalog::new(self.path().as_std_path().as_os_str(), &env)
    }

    /// How often `asked` was written to by the programs.
    fn asked(&self) -> usize {
        let text = std::fs::read_to_string(self.path().join("asked")).unwrap_or_default();
        text.lines().count()
    }
}

async fn codex(catalog: &AgentCatalog) -> Installation {
    catalog.one("codex").await.unwrap().installation.unwrap()
}

fn finding<'a>(found: &'a Installation, what: &str) -> &'a Finding {
    found
        .findings
        .iter()
        .find(|finding| finding.what == what)
        .unwrap()
}

#[tokio::test]
async fn what_a_program_says_holds_while_it_is_the_same_file() {
    let home = Home::new();
    let script = |version: &str| format!("echo x >> \"$HOME/asked\"; echo codex-cli {version}");
    home.put("codex", &script("0.169.0"));
    let catalog = home.catalog();
    for _ in 0..3 {
        let found = codex(&catalog).await;
        assert_eq!(
            (found.version.as_deref(), found.standing),
            (Some("0.169.0"), Standing::Verified)
        );
    }
    assert_eq!(home.asked(), 2, "its version and its help");
    // As large as before, and as old: what a package manager leaves.
    let before = std::fs::metadata(home.path().join("codex"))
        .unwrap()
        .modified()
        .unwrap();
    home.put("codex", &script("0.168.9"));
    let file = std::fs::File::options()
        .append(true)
        .open(home.path().join("codex"))
        .unwrap();
    file.set_modified(before).unwrap();
    drop(file);
    assert_eq!(codex(&catalog).await.standing, Standing::Older);
    assert!(home.asked() > 2);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_asks_the_program() {
    let home = Home::new();
    home.put("codex", "echo x >> \"$HOME/asked\"; echo codex-cli 0.169.0");
    let catalog = home.catalog();
    join_all((0..8).map(|_| codex(&catalog))).await;
    assert_eq!(home.asked(), 2, "its version and its help");
}

#[tokio::test]
async fn versions_are_compared_by_their_numbers() {
    for (version, standing) in [
        ("0.169.0", Standing::Verified),
        ("0.99.9", Standing::Older),
        ("0.169.1", Standing::Newer),
        ("0.1690.0", Standing::Newer),
        ("1.0", Standing::Newer),
        ("0.169.0-alpha.3", Standing::Newer),
    ] {
        assert_eq!(against(version, "0.169.0"), standing, "{version}");
    }
}

#[tokio::test]
async fn a_program_that_does_not_start_says_why() {
    let home = Home::new();
    for (script, said) in [
        ("exit 3", "it does not start: exit status: 3"),
        (
            "echo at home; echo 'Error: needs Node 22' >&2; exit 1",
            "exit status: 1: Error: needs Node 22",
        ),
        ("kill -9 $$", "signal: 9"),
        ("yes", "it prints more than 256 kB"),
        ("yes >&2", "it prints more than 256 kB"),
    ] {
        home.put("codex", script);
        let found = codex(&home.catalog()).await;
        assert_eq!(
            (found.standing, found.version.as_deref()),
            (Standing::Broken, None),
            "{script}"
        );
        let finding = finding(&found, "program");
        assert!(finding.said.contains(said), "{script}: {finding:?}");
        assert!(
            finding.remedy.as_deref().unwrap().contains("codex --version"),
            "{finding:?}"
        );
    }
    home.put("codex", "printf '\\033]0;owned\\007 \\377 hello\\n'");
    let found = codex(&home.catalog()).await;
    assert_eq!(found.standing, Standing::Unknown);
    let said = &finding(&found, "program").said;
    assert!(
        said.contains("names no version") && !said.contains('\u{1b}'),
        "{said:?}"
    );
}

/// Also what it has started, and what of that keeps its output open.
#[tokio::test]
async fn nothing_of_a_program_is_left_running() {
    let home = Home::new();
    home.put(
        "codex",
        "sleep 1000 & echo $! > \"$HOME/rest\"; echo codex-cli 0.169.0",
    );
    assert_eq!(codex(&home.catalog()).await.standing, Standing::Verified);
    let rest = || std::fs::read_to_string(home.path().join("rest")).unwrap();
    gone(rest().trim()).await;
    // Whoever asked goes away while it hangs.
    home.put(
        "codex",
        "echo $$ > \"$HOME/draft\"; mv \"$HOME/draft\" \"$HOME/hangs\"; exec sleep 1000",
    );
    let hangs = home.path().join("hangs");
    let catalog = home.catalog();
    tokio::select! {
        found = codex(&catalog) => panic!("{found:?}"),
        () = until(|| hangs.exists()) => {}
    }
    gone(std::fs::read_to_string(&hangs).unwrap().trim()).await;
}

async fn until(is: impl Fn() -> bool) {
    let waited = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await; // nothing tells
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited)
        .await
        .expect("it happens soon");
}

async fn gone(pid: &str) {
    let pid: u32 = pid.parse().unwrap();
    until(|| crate::process::identify(pid).unwrap().is_none()).await;
}

#[tokio::test]
async fn one_that_hangs_has_a_deadline_and_delays_no_other() {
    let home = Home::new();
    home.put("codex", "exec sleep 1000");
    home.put("grok", "echo grok 1.0.41");
    let catalog = home.catalog();
    let begun = Instant::now();
    let all = catalog.all().await;
    let of = |id: &str| {
        all.iter()
            .find(|entry| entry.id == id)
            .unwrap()
            .installation
            .clone()
            .unwrap()
    };
    assert_eq!(of("codex").standing, Standing::Broken);
    assert_eq!(
        finding(&of("codex"), "program").said,
        "it does not start: it did not end within 10 s"
    );
    assert_eq!(of("grok").standing, Standing::Verified);
    assert_eq!(of("qwen").standing, Standing::Missing);
    assert!(begun.elapsed() < Duration::from_secs(20));
    // Known for a moment: a list costs nothing the second time.
    let again = Instant::now();
    assert_eq!(codex(&catalog).await.standing, Standing::Broken);
    assert!(again.elapsed() < Duration::from_secs(3));
}

/// It sees what agents see, and reads nothing.
#[tokio::test]
async fn a_program_is_asked_in_the_environment_of_agents() {
    let home = Home::new();
    home.put(
        "codex",
        "test \"$MARK\" = seen && test \"$PWD\" = / && ! read line && echo codex-cli 0.169.0",
    );
    assert_eq!(codex(&home.catalog()).await.standing, Standing::Verified);
}

/// What Codex is started with.
const ALL_OPTIONS: &str = "--no-daemon --dangerously-bypass-hook-trust --ask-for-approval --sandbox --model --config --approve-for-me \
     --dangerously-bypass-approvals-and-sandbox";

#[tokio::test]
async fn options_are_looked_for_in_help() {
    let home = Home::new();
    let help = "--no-daemon --dangerously-bypass-hook-trust --ask-for-approval --sandbox --model --config";
    let script =
        |help: &str| format!("case $1 in --version) echo codex-cli 0.169.0;; *) echo '{help}';; esac");
    home.put("codex", &script(help));
    let found = codex(&home.catalog()).await;
    let options = finding(&found, "options");
    assert_eq!(
        options.said,
        "does not know --approve-for-me, --dangerously-bypass-approvals-and-sandbox"
    );
    assert_eq!(options.remedy.as_deref(), Some("install version 0.169.0"));
    home.put("codex", &script(ALL_OPTIONS));
    let found = codex(&home.catalog()).await;
    assert_eq!(finding(&found, "options").remedy, None);
    assert!(
        finding(&found, "login").remedy.is_some(),
        "its own files are looked at, too"
    );
}

/// A machine that has other things to do makes one slow: that is no option that it does not know, and not so for long.
#[tokio::test]
async fn one_whose_help_says_nothing_is_asked_again_soon() {
    let home = Home::new();
    let script = "echo x >> \"$HOME/asked\"; case $1 in --version) echo codex-cli 0.169.0;; *) exit 3;; esac";
    home.put("codex", script);
    let catalog = home.catalog();
    let after = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        codex(&catalog).await
    };
    let found = codex(&catalog).await;
    assert_eq!(found.standing, Standing::Verified);
    let said = finding(&found, "program");
    assert!(
        said.said.contains("its `--help` says nothing: exit status: 3"),
        "{said:?}"
    );
    assert!(
        said.remedy.as_deref().unwrap().ends_with("/codex --help"),
        "{said:?}"
    );
    after(BAD.as_secs() - 5).await;
    assert_eq!(home.asked(), 2);
    after(5).await;
    assert_eq!(home.asked(), 4);
    // What is well holds for longer.
    home.put(
        "codex",
        &format!("case $1 in --help) echo '{ALL_OPTIONS}'; exit;; esac; {script}"),
    );
    after(0).await;
    let asked = home.asked();
    after(BAD.as_secs()).await;
    assert_eq!(home.asked(), asked);
    after(GOOD.as_secs()).await;
    assert!(home.asked() > asked);
}

/// What is said of each agent is what its sheet says: a change of it is seen here.
#[tokio::test]
async fn what_each_agent_can_do() {
    let lines: Vec<String> = SHEETS
        .iter()
        .map(|sheet| {
            let can = abilities(sheet);
            let modes: Vec<&str> = can.permission_modes.iter().map(|mode| mode.as_str()).collect();
            let has = [
                ("interactive", can.interactive),
                ("messages", can.takes_messages),
                ("queues", can.queues_messages),
                ("model", can.model),
                ("resume", can.resume),
                ("hooks", can.reports),
                ("record", can.own_record),
                ("dialogs", can.answers_dialogs),
            ];
            let has: Vec<&str> = has
                .into_iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| name)
                .collect();
            let (id, by) = (sheet.description.id, can.prompt);
            format!("{id}: {}; {by}; {}\n", has.join(" "), modes.join(" "))
        })
        .collect();
    expect_test::expect![[r#"
        claude-code: interactive messages queues model resume hooks record dialogs; argument; default accept-edits auto bypass-permissions
        codex: interactive messages model resume hooks record dialogs; argument; default accept-edits auto bypass-permissions
        opencode: interactive messages queues model resume hooks dialogs; argument; default accept-edits bypass-permissions
        grok: interactive messages model resume hooks record dialogs; argument; default accept-edits auto bypass-permissions
        qwen: interactive messages model resume hooks record dialogs; argument; default accept-edits auto bypass-permissions
        copilot: interactive messages model resume hooks record dialogs; argument; default accept-edits bypass-permissions
        kimi: interactive messages model resume hooks record dialogs; first-message; default accept-edits auto bypass-permissions
        cursor: interactive model resume hooks; argument; default bypass-permissions
        shell: ; command; default
    "#]].assert_eq(&lines.concat());
    assert!(
        SHEETS
            .iter()
            .all(|sheet| sheet.checkup.is_some() == matches!(sheet.argv, Argv::Made { .. }))
    );
}
