//! Files that git changes on their way in and out: large files kept elsewhere, line endings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_domain::port::worktrees::{Removal, WorktreeError, Worktrees as _};

use crate::world::{World, bring_back, contents, rescued};

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// A repository with a pointer in `big.bin`.
fn with_pointer(name: &str) -> World {
    let world = World::new(name);
    world.write(
        "repo/.gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    );
    world.write("repo/big.bin", POINTER);
    world.commit(&world.repo, "large");
    world
}

#[tokio::test]
async fn a_pointer_without_its_program_is_a_file_like_any_other() {
    let world = with_pointer("pointer plain");
    let path = world.make(1).await;
    assert_eq!(fs::read_to_string(path.join("big.bin")).unwrap(), POINTER);
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    fs::write(path.join("big.bin"), b"\0the real thing").unwrap();
    fs::write(path.join("new.bin"), b"\0new").unwrap();
    assert_eq!(
        world.weighed(1).await,
        ["1 modified file (big.bin)", "1 untracked file (new.bin)"]
    );
    let before = contents(&path);
    let rescue = rescued(&world, 1).await;
    assert_eq!(contents(&bring_back(&world, 1, &rescue)), before);
    world.make(2).await;
    assert_eq!(world.remove(2).await.unwrap(), Removal::Removed { rescue: None });
}

#[tokio::test]
async fn a_filter_that_is_required_and_missing_is_named_and_leaves_nothing() {
    let world = with_pointer("pointer required");
    let config = |key: &str, value: &str| world.run(&world.repo, &["config", key, value]);
    let path = world.make(2).await;
    config("filter.lfs.clean", "no-such-program clean -- %f");
    config("filter.lfs.smudge", "no-such-program smudge -- %f");
    config("filter.lfs.required", "true");
    let error = world.git.create(&world.plan(1)).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Git { .. }), "{error}");
    assert!(error.to_string().contains("smudge filter lfs failed"), "{error}");
    assert_eq!(world.remove(1).await.unwrap(), Removal::Absent);
    assert_eq!(world.registered(), 1);
    assert!(!world.branch_exists("ao/web-1"));
    assert_eq!(world.left_over(), ["web-2", "web-2"]);
    // Nor is anything taken that could not be saved.
    fs::write(path.join("big.bin"), b"\0the real thing").unwrap();
    let before = contents(&path);
    world.discard(2).await.unwrap_err();
    assert_eq!(contents(&path), before);
    config("filter.lfs.required", "false");
    let rescue = rescued(&world, 2).await;
    let back = bring_back(&world, 2, &rescue);
    assert_eq!(contents(&back), before);
}

#[tokio::test]
async fn large_files_kept_elsewhere_are_not_changes_and_come_back_whole() {
    let world = World::new("pointer program");
    // In place of git-lfs: what is committed is the name of a file in a store.
    world.write(
        "home/store",
        "#!/bin/sh\ncd \"$HOME\" || exit 1\nif [ \"$1\" = clean ]; then\n cat >in.$$; name=$(git hash-object in.$$)\n \
         mv in.$$ \"object.$name\"; echo \"pointer $name\"\nelse\n read -r _ name; cat \"object.$name\"\nfi\n",
    );
    let store = world.dir.join("home/store");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    for (key, value) in [
        ("filter.lfs.clean", format!("'{store}' clean")),
        ("filter.lfs.smudge", format!("'{store}' smudge")),
        ("filter.lfs.required", "true".to_owned()),
    ] {
        world.run(&world.repo, &["config", key, &value]);
    }
    world.write(
        "repo/.gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    );
    world.write("repo/big.bin", "the real thing\n");
    world.commit(&world.repo, "large");
    let committed = world.run(&world.repo, &["show", "HEAD:big.bin"]);
    assert!(committed.starts_with("pointer "), "{committed}");

    let path = world.make(1).await;
    assert_eq!(
        fs::read_to_string(path.join("big.bin")).unwrap(),
        "the real thing\n"
    );
    // Touched, it is compared by what is in it.
    fs::write(path.join("big.bin"), "the real thing\n").unwrap();
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    fs::write(path.join("big.bin"), "another\n").unwrap();
    fs::write(path.join("new.bin"), "new\n").unwrap();
    assert_eq!(
        world.weighed(1).await,
        ["1 modified file (big.bin)", "1 untracked file (new.bin)"]
    );
    let before = contents(&path);
    let rescue = rescued(&world, 1).await;
    assert_eq!(contents(&bring_back(&world, 1, &rescue)), before);
    world.make(2).await;
    assert_eq!(world.remove(2).await.unwrap(), Removal::Removed { rescue: None });
}

#[tokio::test]
async fn line_endings_are_no_changes_and_are_saved_as_they_are() {
    for setting in ["true", "input"] {
        let world = World::new(&format!("autocrlf {setting}"));
        world.write("repo/b.txt", "one\r\ntwo\n");
        world.write("repo/c.txt", "one\ntwo\n");
        world.commit(&world.repo, "mixed");
        world.run(&world.repo, &["config", "core.autocrlf", setting]);
        let path = world.make(1).await;
        assert_eq!(world.weighed(1).await, Vec::<String>::new(), "{setting}");
        fs::write(path.join("a.txt"), "one\r\ntwo\nthree\r\n").unwrap();
        fs::write(path.join("new.txt"), "\rone\r\n\n").unwrap();
        fs::write(path.join(".env"), "A=1\r\nB=2\n").unwrap();
        let before = contents(&path);
        let rescue = rescued(&world, 1).await;
        assert_eq!(contents(&bring_back(&world, 1, &rescue)), before, "{setting}");
        world.make(2).await;
        assert_eq!(world.remove(2).await.unwrap(), Removal::Removed { rescue: None });
    }
}
