//! Names that a shell, a terminal or a parser would take apart: of files and of branches.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use ao_domain::port::worktrees::{Removal, Worktrees as _};
use camino::Utf8Path;

use crate::world::{World, bring_back, contents, rescued};

/// Legal in a file system, each the name of somebody's file.
const NAMES: [&[u8]; 16] = [
    b"line\nbreak",
    b"-rf",
    b"--all",
    b"not \xff\xfe utf-8",
    b"two words",
    b" lead and trail ",
    b"it's \"quoted\"",
    b"$(touch x) `y`",
    b"..data",
    b"...",
    b"a..b",
    b":(top)x",
    b"!x",
    b"#x",
    b"*?[a]\\",
    b"tab\there\x1b[31m",
];

fn all_at(folder: &Utf8Path) -> Vec<PathBuf> {
    NAMES
        .iter()
        .map(|name| folder.as_std_path().join(OsStr::from_bytes(name)))
        .collect()
}

#[tokio::test]
async fn files_of_any_name_are_seen_kept_and_brought_back() {
    let world = World::new("names of files");
    for folder in ["", "tracked", "-o"] {
        fs::create_dir_all(world.repo.join(folder)).unwrap();
        for path in all_at(&world.repo.join(folder)) {
            fs::write(path, "as committed\n").unwrap();
        }
    }
    world.commit(&world.repo, "names");
    let path = world.make(1).await;
    assert_eq!(contents(&path), contents(&world.repo));
    assert_eq!(world.weighed(1).await, Vec::<String>::new());

    for file in all_at(&path.join("tracked")) {
        fs::write(file, "changed\n").unwrap();
    }
    for file in all_at(&path) {
        let mut told = world.command("git", &path);
        told.args(["update-index", "--assume-unchanged", "--"])
            .arg(file.file_name().unwrap());
        assert!(told.status().unwrap().success());
        fs::write(file, "nobody is to look\n").unwrap();
    }
    fs::create_dir(path.join("cache")).unwrap(); // ignored
    // Ignored, and to git a word of its own where it is not told otherwise.
    world.write("repo/.git/info/exclude", ":*exclude*\n");
    fs::write(path.join(":(exclude)cache"), "ignored\n").unwrap();
    for folder in ["new", "cache"] {
        fs::create_dir_all(path.join(folder)).unwrap();
        for file in all_at(&path.join(folder)) {
            fs::write(file, "new\n").unwrap();
        }
    }
    let weighed = world.weighed(1).await;
    assert_eq!(weighed.len(), 3, "{weighed:?}");
    for (found, expected) in
        weighed
            .iter()
            .zip(["32 modified files", "16 untracked files", "2 ignored files"])
    {
        assert!(found.starts_with(expected), "{weighed:?}");
    }
    let before = contents(&path);
    assert!(matches!(world.remove(1).await.unwrap(), Removal::Kept(_)));
    assert_eq!(contents(&path), before);
    let rescue = rescued(&world, 1).await;
    assert_eq!(contents(&bring_back(&world, 1, &rescue)), before);
}

#[tokio::test]
async fn branches_of_any_legal_name_are_made_weighed_and_dropped() {
    let world = World::new("names of branches");
    let names = [
        "ao/ä/ünï",
        "a@b",
        "x{y}",
        "it's",
        "a\"b",
        "semi;colon",
        "$(x)",
        "#7",
        "a,b+c=d",
        "%41",
        "a.b.c",
        "!no",
        "(a|b)&c",
        "refs",
        "origin/main",
        "heads/main",
        "HEAD2",
        "a-b/-c",
        "1234567",
        "<tag>",
    ];
    for (num, name) in (1..).zip(names) {
        let mut plan = world.plan(num);
        plan.owner.branch = name.to_owned();
        world.git.create(&plan).await.unwrap();
        let path = &plan.owner.path;
        assert_eq!(
            world.run(path, &["symbolic-ref", "HEAD"]),
            format!("refs/heads/{name}")
        );
        assert_eq!(
            world.git.weigh(&plan.owner).await.unwrap(),
            Some(Vec::new()),
            "{name}"
        );
        world.commit(path, "work");
        let weighed = world.git.weigh(&plan.owner).await.unwrap().unwrap();
        assert_eq!(weighed[0].to_string(), format!("1 commit only on {name}"));
        world.run(path, &["reset", "-q", "--hard", "main"]);
        let removed = world.git.remove(&plan.owner, false, &[]).await.unwrap();
        assert_eq!(removed, Removal::Removed { rescue: None }, "{name}");
        assert!(!world.branch_exists(name), "{name}");
    }
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn names_that_differ_in_case_alone_are_two_files() {
    for ignorecase in ["false", "true"] {
        let world = World::new(&format!("names case {ignorecase}"));
        world.write("repo/Read.me", "one\n");
        world.write("repo/Other", "other\n");
        world.commit(&world.repo, "capitals");
        world.run(&world.repo, &["config", "core.ignorecase", ignorecase]);
        let path = world.make(1).await;
        // Renamed in case alone; and a second file whose name git was told to be the same.
        fs::rename(path.join("Read.me"), path.join("read.me")).unwrap();
        fs::write(path.join("A.TXT"), "another\n").unwrap();
        let expected = ["1 modified file (Read.me)", "2 untracked files (A.TXT, read.me)"];
        assert_eq!(world.weighed(1).await, expected, "ignorecase {ignorecase}");
        world.run(&path, &["mv", "Other", "other"]);
        let before = contents(&path);
        let rescue = rescued(&world, 1).await;
        assert_eq!(
            contents(&bring_back(&world, 1, &rescue)),
            before,
            "ignorecase {ignorecase}"
        );
        // The second file alone: nothing else keeps it.
        let path = world.make(2).await;
        fs::write(path.join("A.TXT"), "another\n").unwrap();
        assert_eq!(
            world.weighed(2).await,
            ["1 untracked file (A.TXT)"],
            "ignorecase {ignorecase}"
        );
        // Committed, a rename in case alone is a change like any other.
        fs::remove_file(path.join("A.TXT")).unwrap();
        world.run(&path, &["mv", "a.txt", "A.txt"]);
        world.commit(&path, "renamed");
        assert_eq!(world.weighed(2).await, ["1 commit only on ao/web-2"]);
    }
}
