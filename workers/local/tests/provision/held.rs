//! A worktree with nothing in it but what we put there holds nothing; what an agent made of that is held.

use std::fs;

use ao_domain::port::worktrees::Removal;

use crate::ready::{GONE, Ready, is_there, text};
use crate::world::contents;

/// A project with a file, a folder with files, and a folder that is linked.
async fn ready(name: &str) -> Ready {
    let ready = Ready::new(name);
    ready.in_project(".gitignore", ".env\nconfig/\nnode_modules/\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project(".worktreeinclude", ".env\nconfig/\n");
    ready.in_project(".env", "SECRET=1");
    ready.in_project("config/a", "a");
    ready.in_project("config/b", "b");
    ready.in_project("node_modules/x/index.js", "x");
    ready.world.make(1).await;
    let furnished = ready.furnish(1, &["node_modules"]).await;
    assert_eq!((furnished.copied.files, furnished.linked.len()), (3, 1));
    ready
}

#[tokio::test]
async fn one_that_has_only_ours_goes_and_the_project_stays_whole() {
    let ready = ready("ours").await;
    assert_eq!(ready.world.weighed(1).await, Vec::<String>::new());
    let before = contents(&ready.world.repo);
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert_eq!(contents(&ready.world.repo), before);
    assert_eq!(text(ready.world.repo.join("node_modules/x/index.js")), "x");
    ready.nothing_left(1);
}

#[tokio::test]
async fn one_that_has_only_ours_is_discarded_without_a_rescue() {
    let ready = ready("discard").await;
    assert_eq!(ready.world.discard(1).await.unwrap(), GONE);
    assert!(is_there(ready.world.repo.join("node_modules/x/index.js")));
    ready.nothing_left(1);
}

#[tokio::test]
async fn it_is_still_ours_when_the_exclude_file_says_nothing_any_more() {
    let ready = ready("forgotten").await;
    fs::write(ready.world.repo.join(".git/info/exclude"), "").unwrap();
    assert_eq!(
        ready.world.run(&ready.path(1), &["status", "--porcelain"]),
        "?? node_modules"
    );
    assert_eq!(ready.world.weighed(1).await, Vec::<String>::new());
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn what_an_agent_changed_is_held_and_the_rest_is_not() {
    let ready = ready("changed").await;
    let path = ready.path(1);
    let check = async |expected: &[&str]| {
        assert_eq!(ready.world.weighed(1).await, expected);
        assert!(expected.is_empty() || matches!(ready.world.remove(1).await.unwrap(), Removal::Kept(_)));
    };
    fs::write(path.join(".env"), "SECRET=2").unwrap();
    check(&["1 ignored file (.env)"]).await;
    fs::write(path.join(".env"), "SECRET=1").unwrap();
    check(&[]).await;
    fs::write(path.join("config/new"), "new").unwrap();
    check(&["1 ignored file (config/new)"]).await;
    fs::write(path.join("config/a"), "other").unwrap();
    check(&["2 ignored files (config/a, config/new)"]).await;
    ready.world.init(&path.join("config/nested"));
    check(&["1 ignored file (config/)"]).await;
    fs::remove_dir_all(path.join("config")).unwrap();
    check(&[]).await;
    // In the place of a copy, a link of somebody else; in the place of a link, a file or another link.
    fs::remove_file(path.join(".env")).unwrap();
    std::os::unix::fs::symlink("a.txt", path.join(".env")).unwrap();
    check(&["1 ignored file (.env)"]).await;
    fs::remove_file(path.join(".env")).unwrap();
    fs::remove_file(path.join("node_modules")).unwrap();
    fs::write(path.join("node_modules"), "mine").unwrap();
    check(&["1 ignored file (node_modules)"]).await;
    fs::remove_file(path.join("node_modules")).unwrap();
    std::os::unix::fs::symlink("/elsewhere", path.join("node_modules")).unwrap();
    check(&["1 ignored file (node_modules)"]).await;
    fs::remove_file(path.join("node_modules")).unwrap();
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn only_what_is_not_ours_is_rescued() {
    let ready = ready("rescued").await;
    ready.in_tree(1, "config/new", "new");
    ready.in_tree(1, "made", "made");
    let Removal::Removed { rescue: Some(rescue) } = ready.world.discard(1).await.unwrap() else {
        panic!("it held something");
    };
    let saved = ready
        .world
        .run(&ready.world.repo, &["ls-tree", "-r", "--name-only", &rescue]);
    assert_eq!(saved, ".gitignore\na.txt\nconfig/new\nmade");
    assert!(is_there(ready.world.repo.join("node_modules/x/index.js")));
    assert!(!is_there(ready.path(1)) && !ready.world.branch_exists("ao/web-1"));
}

#[tokio::test]
async fn a_session_that_comes_back_is_made_ready_anew() {
    let ready = ready("again").await;
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    ready.world.make(1).await;
    // Nothing of the worktree that is gone is known any more.
    ready.in_tree(1, ".env", "SECRET=1");
    assert_eq!(ready.world.weighed(1).await, ["1 ignored file (.env)"]);
    let furnished = ready.furnish(1, &["node_modules"]).await;
    assert_eq!((furnished.copied.files, furnished.linked.len()), (2, 1));
}
