//! Reads the sources and fails where they break a rule that no compiler knows.

mod sources;

use std::collections::BTreeSet;
use std::fs;

use expect_test::expect_file;
use sources::{Source, root, sources};

/// Crates and the ones of ours they may use: the map of `docs/architecture.md`.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("supervisor", "ao-supervisor", &[]),
    ("workers/domain", "ao-domain", &[]),
    ("workers/derive", "ao-derive", &["ao-domain"]),
    ("migrations", "ao-migrations", &[]),
    (
        "workers/facts",
        "ao-facts",
        &["ao-domain", "ao-migrations", "ao-supervisor"],
    ),
    (
        "workers/observe",
        "ao-observe",
        &["ao-supervisor", "ao-domain", "ao-facts"],
    ),
    (
        "workers/act",
        "ao-act",
        &["ao-supervisor", "ao-domain", "ao-facts", "ao-derive"],
    ),
    ("workers/local", "ao-local", &["ao-domain"]),
    ("workers/github", "ao-github", &["ao-domain"]),
    (
        "api",
        "ao-api",
        &["ao-supervisor", "ao-domain", "ao-facts", "ao-derive"],
    ),
    (
        "workers",
        "ao-workers",
        &[
            "ao-supervisor",
            "ao-domain",
            "ao-facts",
            "ao-derive",
            "ao-observe",
            "ao-act",
            "ao-local",
            "ao-github",
        ],
    ),
    (
        "cli",
        "ao",
        &[
            "ao-api",
            "ao-domain",
            "ao-facts",
            "ao-github",
            "ao-local",
            "ao-supervisor",
            "ao-workers",
        ],
    ),
];

#[test]
fn no_crate_uses_another_than_the_map_says() {
    for (folder, name, may) in EDGES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{folder} is not {name}"
        );
        let shipped = manifest.split("[dev-dependencies]").next().unwrap();
        let used: BTreeSet<&str> = shipped
            .lines()
            .filter(|line| line.starts_with("ao-") || line.starts_with("ao."))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .collect();
        for other in used {
            assert!(
                may.contains(&other),
                "{name} uses {other}: a new edge is a design change, see docs/adr"
            );
        }
    }
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let count = members.lines().filter(|line| line.starts_with("    \"")).count();
    assert!(count > EDGES.len(), "every member but `tests` has a row here");
}

#[test]
fn the_top_level_is_what_was_agreed() {
    let tracked: BTreeSet<String> = git_files()
        .iter()
        .filter_map(|file| file.split_once('/'))
        .map(|(top, _)| top.to_owned())
        .collect();
    let visible: Vec<&str> = tracked
        .iter()
        .map(String::as_str)
        .filter(|top| !top.starts_with('.'))
        .collect();
    assert_eq!(
        visible,
        [
            "api",
            "cli",
            "docs",
            "migrations",
            "supervisor",
            "tests",
            "workers"
        ]
    );
}

/// A call that changes or asks the outside, or writes a row, can be cut before and after: it stands in `step!`.
#[test]
fn every_call_to_a_port_or_a_writer_has_its_crash_points() {
    const PORTS_AND_WRITERS: &[&str] = &[
        "worktrees.",
        "provisioner.",
        "upkeep.",
        "runtime.",
        "spool.",
        "writer.",
        "outcomes.",
        "self.parts.seen.",
        "agents.",
        "forge.",
        "line.",
    ];
    // Waiting changes nothing, and the others look at what is in memory.
    const HARMLESS: &[&str] = &[
        "changed(",
        "get(",
        "runtimes.get(",
        "repository(",
        "source(",
        "credentials(",
        "clone(",
        "take(",
        "is_some(",
        "is_none(",
        "ids(",
    ];
    let mut calls = 0;
    for source in sources(&["workers/observe/src", "workers/act/src"]) {
        for (number, statement) in source.statements() {
            for (at, name) in PORTS_AND_WRITERS
                .iter()
                .flat_map(|name| statement.match_indices(name))
            {
                let before = &statement[..at];
                let call = &statement[at + name.len()..];
                let is_call = call
                    .find('(')
                    .is_some_and(|open| call[..open].chars().all(|c| c.is_alphanumeric() || c == '_'));
                let whole_word =
                    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') || before.ends_with("self.");
                if !is_call || !whole_word || HARMLESS.iter().any(|harmless| call.starts_with(harmless)) {
                    continue;
                }
                calls += 1;
                let named_first = ["let written =", "let announced =", "let asked ="]
                    .iter()
                    .any(|name| before.trim_start().starts_with(name));
                assert!(
                    before.contains("step!(") || named_first,
                    "{}:{number}: `{name}{}` has no crash point: wrap it in step!",
                    source.path,
                    call.lines().next().unwrap_or_default(),
                );
            }
        }
    }
    assert!(calls >= 15, "the scan finds only {calls} calls: it is broken");
}

/// Another forge can be added beside the one there is: what is kept, concluded, looked for and done has no word of it.
#[test]
fn no_forge_is_named_where_facts_are_kept_and_judged() {
    const WORDS: &[&str] = &[
        "github",
        "gitlab",
        "graphql",
        "octocrab",
        "gh auth",
        "gh pr",
        "api/v3",
        "/repos/",
        "check_run",
        "check-run",
        "checkrun",
        "checksuite",
        "statuscheckrollup",
        "actions/runs",
        "actions/jobs",
        "etag",
        "x-ratelimit",
    ];
    let sources = sources(&[
        "workers/domain/src",
        "workers/derive/src",
        "workers/observe/src",
        "workers/act/src",
    ]);
    assert!(
        sources.len() > 40,
        "the scan finds only {} files: it is broken",
        sources.len()
    );
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            let line = line.to_lowercase();
            for word in WORDS {
                assert!(
                    !line.contains(word),
                    "{}:{}: `{word}` belongs to one forge: it stays in its adapter",
                    source.path,
                    number + 1
                );
            }
        }
    }
}

/// Another agent is a file of its own and its line: nothing else knows one by its name, and each file has its line.
#[test]
fn no_agent_is_named_outside_of_its_own_file() {
    const AGENTS: &str = "workers/local/src/agents/";
    // Which one there is where nobody says.
    const DEFAULT: &str = "cli/src/env.rs";
    let all = sources(&[
        "workers",
        "api/src",
        "cli/src",
        "supervisor/src",
        "migrations/src",
    ]);
    let own: Vec<(&str, &str)> = all
        .iter()
        .filter(|source| source.path.starts_with(AGENTS) && source.text.contains("const SHEET: Sheet"))
        .filter_map(|source| {
            let (_, id) = source.text.split_once("const ID: &str = \"")?;
            Some((source.path.as_str(), id.split_once('"')?.0))
        })
        .collect();
    assert!(own.len() >= 8, "the scan finds only {own:?}: it is broken");
    let listed = all
        .iter()
        .find(|source| source.path == format!("{AGENTS}mod.rs"))
        .unwrap();
    for (path, id) in &own {
        let stem = path.trim_start_matches(AGENTS).trim_end_matches(".rs");
        assert!(listed.text.contains(&format!("        mod {stem};\n")), "{path}");
        let word = format!("\"{id}\"");
        for source in &all {
            let is_test = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
            if is_test || source.path == *path || source.path == DEFAULT {
                continue;
            }
            let text = source.text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(
                !text.contains(&word),
                "{}: {word} is known to {path} alone",
                source.path
            );
        }
    }
}

/// `docs/crash-points.md` names each point where a test kills the daemon.
#[test]
fn the_crash_points_are_the_ones_in_the_docs() {
    let mut page = "# Crash points\n\nEvery call in `observe` and `act` to a port or a writer, and every intent the API writes, can be cut before and after \
                    it. A test build\nkills, panics or hangs there (`ao_supervisor::step!`); a release holds none of these names. Printed by \
                    `tests/tidy` (`just gen`).\n\n| point | where |\n|---|---|\n"
        .to_owned();
    for (point, path) in points() {
        page += &format!("| `{point}.before`, `{point}.after` | `{path}` |\n");
    }
    page += "\n## The original's crash table\n\nEach moment after which the original was left half-done, and the point that is that moment here.\n\n\
             | killed after | point |\n|---|---|\n";
    let names: BTreeSet<String> = points().into_iter().map(|(point, _)| point).collect();
    for (row, point) in ROWS {
        let (name, _side) = point.rsplit_once('.').unwrap();
        assert!(names.contains(name), "{row}: there is no point {point}");
        page += &format!("| {row} | `{point}` |\n");
    }
    for row in NO_SUCH_MOMENT {
        page +=
            &format!("| {row} | no such moment: nothing is saved or removed at a stop; `s_17`, `s_16` |\n");
    }
    expect_file!["../../docs/crash-points.md"].assert_eq(&page);
    let spawn = names.iter().filter(|name| name.starts_with("spawn.")).count() * 2;
    assert!(spawn >= 10, "only {spawn} points for spawn");
}

/// What the original left half-done, and where that moment is here.
const ROWS: &[(&str, &str)] = &[
    ("row inserted", "intent.spawn.after"),
    ("worktree added", "spawn.worktree.after"),
    ("hooks written", "spawn.ready.after"),
    ("runtime created", "spawn.runtime.after"),
    ("handle recorded, reply not sent", "spawn.to_live.after"),
    ("kill: marked terminated", "stop.to_stopping.after"),
    ("kill: runtime destroyed", "stop.runtime.after"),
    ("restore: runtime created", "spawn.runtime.after"),
    ("nudge pasted, not recorded", "outbox.type.after"),
    ("pull request's row written, nudge pending", "pull.seen.after"),
    ("reaper sweep half done", "sweep.look.after"),
    ("observer between two pull requests", "nudge.queued.after"),
];

/// The original saved worktrees at a shutdown, marked them and removed them. Here a stop does none of it, so those moments do not exist.
const NO_SUCH_MOMENT: [&str; 2] = [
    "shutdown save: marker written, not terminated",
    "shutdown save: terminated, worktree not removed",
];

/// Every crash point in the sources, in order, with the file it stands in.
fn points() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for source in sources(&["api/src", "workers/observe/src", "workers/act/src"]) {
        for (_, rest) in source
            .text
            .match_indices("step!(")
            .map(|(at, _)| source.text.split_at(at + "step!(".len()))
        {
            let name = rest
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            if let Some(name) = name.filter(|name| name.contains('.')) {
                found.push((name.to_owned(), source.path.clone()));
            }
        }
    }
    found.sort();
    let names: Vec<&String> = found.iter().map(|(name, _)| name).collect();
    for pair in names.windows(2) {
        assert_ne!(
            pair[0], pair[1],
            "two places share one crash point: a test could not tell them apart"
        );
    }
    found
}

/// The header of a worker is its contract, read before its code.
#[test]
fn every_worker_says_what_it_reads_writes_and_survives() {
    let mut workers = 0;
    for source in sources(&["workers/observe/src", "workers/act/src"]) {
        if !source.text.contains("impl Child for") {
            continue;
        }
        workers += 1;
        let header: String = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        for word in ["Facts", "Messages", "Acts", "Crash", "Ends"] {
            assert!(
                header.contains(&format!("//! {word} ")),
                "{}: its header does not say `{word}`",
                source.path
            );
        }
    }
    assert!(
        workers >= 3,
        "the scan finds only {workers} workers: it is broken"
    );
}

/// A path that `docs/architecture.md` sends a reader to is there.
#[test]
fn the_architecture_page_points_at_files_that_exist() {
    points_at_files_that_exist("docs/architecture.md", 10);
}

/// The same of the pages that say how a thing is done.
#[test]
fn the_howtos_point_at_files_that_exist() {
    let pages = git_files();
    let pages = pages.iter().filter(|file| file.starts_with("docs/howto/"));
    let mut found = 0;
    for page in pages {
        found += 1;
        points_at_files_that_exist(page, 3);
    }
    assert!(found > 0, "no page was found: the scan is broken");
}

/// What a page has in code that looks like a path of ours; `NAME` stands for whatever its reader calls it.
fn points_at_files_that_exist(page: &str, least: usize) {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut paths = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let looks_like_a_path =
            word.contains('/') && word.contains('.') && !word.contains([' ', '<', '*', '{', ':']);
        if looks_like_a_path && !word.starts_with('/') && !word.contains("NAME") {
            paths += 1;
            assert!(
                root().join(word).exists(),
                "{page} names `{word}`, which is not there"
            );
        }
    }
    assert!(
        paths >= least,
        "only {paths} paths were found in {page}: the scan is broken"
    );
}

/// Each row of `docs/evidence.md` names a test or a command that is there.
#[test]
fn the_evidence_is_there() {
    let page = fs::read_to_string(root().join("docs/evidence.md")).unwrap();
    let all: String = sources(&["supervisor", "workers", "migrations", "api", "cli", "tests"])
        .iter()
        .map(|s| s.text.as_str())
        .collect();
    let mut rows = 0;
    for row in page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Behaviour |"))
    {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(
            cells.len(),
            3,
            "three cells: behaviour, what shows it, the change under which it fails: {row}"
        );
        assert!(cells.iter().all(|cell| cell.len() > 3), "an empty cell: {row}");
        let shown: Vec<&str> = cells[1].split('`').skip(1).step_by(2).collect();
        assert!(!shown.is_empty(), "names nothing that can be run: {row}");
        for name in shown {
            let test = all.contains(&format!("fn {name}("));
            let command = name
                .split_whitespace()
                .next()
                .is_some_and(|file| root().join(file).exists());
            assert!(
                test || command,
                "`{name}` is neither a test nor a committed command: {row}"
            );
            rows += 1;
        }
    }
    assert!(rows >= 20, "only {rows} pieces of evidence");
}

/// A merged migration is never edited: its text is the schema of databases that are out there.
#[test]
fn no_merged_migration_was_edited() {
    let mut page = String::new();
    let mut files: Vec<_> = fs::read_dir(root().join("migrations/src"))
        .unwrap()
        .filter_map(Result::ok)
        .map(|e| e.path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == "sql"))
    {
        let text = fs::read(file).unwrap();
        // FNV-1a: a fingerprint against mistakes, not against malice.
        let print = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        page += &format!("{print:016x}  {}\n", file.file_name().unwrap().to_string_lossy());
    }
    expect_file!["migrations.prints"].assert_eq(&page);
}

fn git_files() -> Vec<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "only git knows which files are the project's"
    )]
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(root())
        .args(["ls-files", "-z"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .map(str::to_owned)
        .collect()
}

/// The sources themselves are read as text by several rules.
#[test]
fn a_statement_is_read_whole() {
    let source = Source {
        path: "x.rs".to_owned(),
        text: "fn f() {\n    let a = step!(\n        \"x.y\",\n        self.writer.write(1)\n    )?;\n    g();\n}\n".to_owned(),
    };
    let statements: Vec<String> = source.statements().map(|(_, text)| text).collect();
    assert!(
        statements
            .iter()
            .any(|text| text.contains("step!(") && text.contains("self.writer.write(1)"))
    );
}
