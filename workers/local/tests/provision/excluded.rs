//! What we put into a worktree is not shown by git and not added by it, and the person's exclude file stays theirs.

use std::fs;

use ao_domain::port::upkeep::Upkeep as _;
use ao_domain::port::worktrees::Worktrees as _;
use camino::Utf8PathBuf;

use crate::ready::{GONE, Ready, is_there, left_out, text};

fn exclude(ready: &Ready) -> Utf8PathBuf {
    ready.world.repo.join(".git/info/exclude")
}

/// The lines that name something.
fn lines(ready: &Ready) -> Vec<String> {
    let text = fs::read_to_string(exclude(ready)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_link_that_no_ignore_line_covers_is_neither_shown_nor_added() {
    let ready = Ready::new("shown");
    ready.in_project(".gitignore", "node_modules/\n.env\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project("node_modules/x", "x");
    ready.in_project("odd [a] *b", "x");
    ready.in_project(".env", "SECRET=1");
    let path = ready.world.make(1).await;
    let theirs = fs::read(exclude(&ready)).unwrap();
    ready.furnish(1, &["node_modules", "odd [a] *b", ".env"]).await;
    assert_eq!(ready.world.run(&path, &["status", "--porcelain"]), "");
    ready.world.run(&path, &["add", "-A"]);
    assert_eq!(ready.world.run(&path, &["status", "--porcelain"]), "");
    assert_eq!(
        lines(&ready),
        ["/node_modules", "/odd \\[a] \\*b"],
        "what is ignored needs no line"
    );
    assert_eq!(ready.world.weighed(1).await, Vec::<String>::new());
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert_eq!(fs::read(exclude(&ready)).unwrap(), theirs);
}

#[tokio::test]
async fn the_lines_of_one_session_stay_when_another_goes() {
    let ready = Ready::new("two");
    fs::write(exclude(&ready), "*.mine\nno line feed").unwrap();
    ready.in_project("cache/a", "a");
    ready.in_project("other/a", "a");
    let (one, two) = (ready.world.make(1).await, ready.world.make(2).await);
    ready.furnish(1, &["cache", "other"]).await;
    ready.furnish(2, &["cache"]).await; // ignored by the other's line: it needs its own all the same
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert!(!is_there(&one));
    assert_eq!(lines(&ready), ["/cache", "*.mine", "no line feed"]);
    assert_eq!(ready.world.run(&two, &["status", "--porcelain"]), "");
    ready.furnish(2, &["cache"]).await;
    assert_eq!(lines(&ready), ["/cache", "*.mine", "no line feed"]);
    assert_eq!(ready.world.remove(2).await.unwrap(), GONE);
    assert_eq!(text(exclude(&ready)), "*.mine\nno line feed");
}

#[tokio::test]
async fn twelve_sessions_and_a_person_write_the_file_at_once() {
    let ready = Ready::new("many");
    ready.in_project("cache/a", "a");
    for num in 1..=12 {
        ready.world.make(num).await;
    }
    let furnished = (1..=12).map(|num| ready.furnish(num, &["cache"]));
    futures_util::future::join_all(furnished).await;
    assert_eq!(lines(&ready).len(), 12);
    fs::write(exclude(&ready), format!("{}mine\n", text(exclude(&ready)))).unwrap();
    let removed = (1..=12).map(|num| ready.world.remove(num));
    for removed in futures_util::future::join_all(removed).await {
        assert_eq!(removed.unwrap(), GONE);
    }
    assert_eq!(lines(&ready), ["mine"]);
    assert_eq!(
        fs::read_dir(ready.world.repo.join(".git/info")).unwrap().count(),
        1
    );
}

#[tokio::test]
async fn a_copy_that_the_branch_does_not_ignore_is_not_shown_and_one_that_no_line_can_name_is_not_made() {
    let ready = Ready::new("branch");
    let start = ready.world.run(&ready.world.repo, &["rev-parse", "HEAD"]);
    ready.in_project(".gitignore", "*.key\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project(".worktreeinclude", "*.key\n");
    ready.in_project("a.key", "a");
    ready.in_project("b\n.key", "b");
    let mut plan = ready.world.plan(1);
    plan.base = start;
    ready.world.git.create(&plan).await.unwrap();
    let furnished = ready.furnish(1, &[]).await;
    assert_eq!(
        left_out(&furnished),
        ["b\n.key: git would show it in the worktree, and it cannot be excluded"]
    );
    assert_eq!(text(ready.path(1).join("a.key")), "a");
    assert_eq!(ready.world.run(&ready.path(1), &["status", "--porcelain"]), "");
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert_eq!(lines(&ready), Vec::<String>::new());
}

#[tokio::test]
async fn an_exclude_file_kept_elsewhere_is_written_there_and_a_missing_one_is_made() {
    let ready = Ready::new("elsewhere");
    ready.in_project("cache/a", "a");
    ready.world.make(1).await;
    fs::remove_dir_all(ready.world.repo.join(".git/info")).unwrap();
    ready.furnish(1, &["cache"]).await;
    assert_eq!(lines(&ready), ["/cache"]);
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert!(!is_there(exclude(&ready)), "it had nothing but our lines");

    ready.world.write("dotfiles/exclude", "mine\n");
    let kept = ready.world.dir.join("dotfiles/exclude");
    std::os::unix::fs::symlink(&kept, exclude(&ready)).unwrap();
    ready.world.make(1).await;
    ready.furnish(1, &["cache"]).await;
    assert_eq!(lines(&ready), ["/cache", "mine"]);
    assert_eq!(fs::read_link(exclude(&ready)).unwrap(), kept);
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert_eq!(text(&kept), "mine\n");
}

#[tokio::test]
async fn the_lines_of_a_worktree_that_is_gone_go_with_the_next_change() {
    let ready = Ready::new("left");
    fs::write(exclude(&ready), "").unwrap();
    ready.in_project("cache/a", "a");
    ready.world.make(1).await;
    ready.furnish(1, &["cache"]).await;
    let foreign = "# ao begin /elsewhere/web-9 (links and copies of ours; goes with this worktree)\n/x\n# ao end /elsewhere/web-9\n";
    fs::write(exclude(&ready), format!("{}{foreign}", text(exclude(&ready)))).unwrap();
    // As when the data directory was lost.
    fs::remove_dir_all(ready.path(1)).unwrap();
    fs::remove_dir_all(ready.world.dir.join("data/work")).unwrap();
    ready.world.run(&ready.world.repo, &["worktree", "prune"]);
    ready.world.make(2).await;
    ready.furnish(2, &["cache"]).await;
    assert_eq!(ready.world.remove(2).await.unwrap(), GONE);
    assert_eq!(text(exclude(&ready)), foreign, "another data directory's stay");
}

#[tokio::test]
async fn the_lines_of_a_worktree_follow_it_when_the_data_directory_moves() {
    for away in [false, true] {
        let ready = Ready::new(&format!("follow {away}"));
        ready.in_project("cache/a", "a");
        ready.world.make(1).await;
        let theirs = text(exclude(&ready));
        ready.furnish(1, &["cache"]).await;
        let to = ready.world.dir.join("moved");
        fs::rename(&ready.world.data, &to).unwrap();
        let world = ready.world.with_data(&to);
        let from = ready.world.data.join("worktrees");
        if away {
            // Then it is told by whoever uses the worktree next.
            let repo = world.dir.join("away");
            fs::rename(&world.repo, &repo).unwrap();
            assert!(world.git.rebase(&from).await.unwrap()[0].failed.is_some());
            fs::rename(&repo, &world.repo).unwrap();
        } else {
            assert!(world.git.rebase(&from).await.unwrap()[0].failed.is_none());
        }
        assert_eq!(world.weighed(1).await, Vec::<String>::new());
        assert_eq!(lines(&ready), ["/cache"]);
        assert!(text(exclude(&ready)).contains(&format!("# ao end {}\n", world.owner(1).path)));
        assert_eq!(world.remove(1).await.unwrap(), GONE);
        assert_eq!(text(exclude(&ready)), theirs, "away {away}");
    }
}
