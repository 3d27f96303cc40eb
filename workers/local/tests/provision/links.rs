//! What a project shares is linked, and no link is made through another or leads out.

use std::fs;
use std::os::unix::fs::symlink;

use ao_domain::InvalidSharedPath;
use ao_domain::port::provision::ProvisionError;
use ao_domain::port::upkeep::Upkeep as _;
use ao_domain::port::worktrees::WorktreeError;

use crate::ready::{GONE, Ready, is_there, left_out, text};

#[tokio::test]
async fn what_is_shared_is_linked_once_and_the_rest_is_named() {
    let ready = Ready::new("links");
    ready.in_project("node_modules/x/index.js", "x");
    ready.in_project("cache/a", "a");
    ready.in_project("logs/old", "old");
    let path = ready.world.make(1).await;
    ready.in_tree(1, "logs/mine", "mine");
    let links = [
        "./node_modules/",
        "packages//web/cache",
        "cache",
        "logs",
        "a.txt",
        "node_modules",
    ];
    let once = ready.furnish(1, &links).await;
    assert_eq!(once.linked, ["node_modules", "cache"]);
    assert_eq!(
        left_out(&once),
        [
            "packages/web/cache: it is not in the project",
            "logs: the worktree has something there already",
            "a.txt: git tracks it",
        ]
    );
    assert_eq!(
        fs::read_link(path.join("cache")).unwrap(),
        ready.world.repo.join("cache")
    );
    assert_eq!(text(path.join("node_modules/x/index.js")), "x");
    assert_eq!(text(path.join("logs/mine")), "mine");
    assert_eq!(ready.furnish(1, &links).await, once, "it is safe to repeat");
    assert_eq!(ready.tail(9).await[0], "ao: linked node_modules");
}

#[tokio::test]
async fn folders_above_a_link_are_made() {
    let ready = Ready::new("above");
    ready.in_project("packages/web/node_modules/x", "x");
    ready.world.make(1).await;
    ready.furnish(1, &["packages/web/node_modules"]).await;
    assert_eq!(text(ready.path(1).join("packages/web/node_modules/x")), "x");
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert_eq!(text(ready.world.repo.join("packages/web/node_modules/x")), "x");
}

#[tokio::test]
async fn a_path_that_may_not_be_linked_is_refused_before_anything_is_done() {
    let ready = Ready::new("refused");
    ready.in_project("cache/a", "a");
    ready.world.make(1).await;
    for (link, why) in [
        ("/etc", InvalidSharedPath::Absolute),
        ("cache/../../x", InvalidSharedPath::Upwards),
        (".", InvalidSharedPath::Empty),
        (".git/hooks", InvalidSharedPath::Git),
        ("a\nb", InvalidSharedPath::Control),
    ] {
        let error = ready.try_furnish(1, &["cache", link]).await.unwrap_err();
        assert!(
            matches!(&error, ProvisionError::InvalidLink { path, source } if path == link && *source == why),
            "{link:?}: {error:?}"
        );
    }
    assert!(!is_there(ready.path(1).join("cache")));
}

#[tokio::test]
async fn a_link_that_leads_out_of_the_project_is_refused() {
    let ready = Ready::new("out");
    ready.world.write("outside/secret", "secret");
    ready.in_project("cache/a", "a");
    ready.link_in_project("out", "../outside");
    ready.link_in_project("deep/out", "/etc");
    ready.link_in_project("hooks", ".git/hooks");
    ready.link_in_project("inside", "cache");
    ready.link_in_project("nowhere", "missing");
    ready.world.make(1).await;
    for link in ["out", "out/secret", "deep/out", "hooks"] {
        let error = ready.try_furnish(1, &["cache", link]).await.unwrap_err();
        assert!(
            matches!(&error, ProvisionError::LeadsOut { path, .. } if path == link),
            "{link}: {error:?}"
        );
        assert!(!is_there(ready.path(1).join("cache")), "nothing was done");
    }
    let furnished = ready.furnish(1, &["inside", "nowhere"]).await;
    assert_eq!(furnished.linked, ["inside"]);
    assert_eq!(left_out(&furnished), ["nowhere: it is not in the project"]);
    assert_eq!(text(ready.path(1).join("inside/a")), "a");
}

#[tokio::test]
async fn nothing_is_written_through_a_link_in_the_worktree() {
    let ready = Ready::new("through");
    fs::create_dir_all(ready.world.dir.join("outside")).unwrap();
    ready.in_project("sub/cache/a", "a");
    ready.in_project(".env", "SECRET=1");
    ready.in_project("sub/.env", "SECRET=2");
    ready.in_project(".worktreeinclude", ".env\n");
    let path = ready.world.make(1).await;
    // As an agent, or a branch that has a link there, would.
    std::os::unix::fs::symlink(ready.world.dir.join("outside"), path.join("sub")).unwrap();
    let error = ready.try_furnish(1, &["sub/cache"]).await.unwrap_err();
    assert!(matches!(error, ProvisionError::NoFolder { .. }), "{error:?}");
    let furnished = ready.furnish(1, &[]).await;
    assert_eq!(furnished.copied.files, 1);
    assert_eq!(
        left_out(&furnished),
        ["sub/.env: its folder is a link, or no folder"]
    );
    assert_eq!(fs::read_dir(ready.world.dir.join("outside")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_git_tracks_is_not_linked_even_where_it_is_not_checked_out() {
    let ready = Ready::new("sparse");
    ready.in_project("vendor/x", "x");
    ready.world.commit(&ready.world.repo, "vendor");
    let path = ready.world.make(1).await;
    ready
        .world
        .run(&path, &["sparse-checkout", "set", "--no-cone", "/*", "!/vendor/"]);
    assert!(!is_there(path.join("vendor")));
    let furnished = ready.furnish(1, &["vendor"]).await;
    assert_eq!(left_out(&furnished), ["vendor: git tracks it"]);
    assert!(!is_there(path.join("vendor")));
}

#[tokio::test]
async fn only_a_worktree_of_the_session_is_made_ready() {
    let ready = Ready::new("foreign");
    ready.in_project("cache/a", "a");
    let error = ready.try_furnish(1, &["cache"]).await.unwrap_err();
    assert!(
        matches!(error, ProvisionError::Worktree(WorktreeError::NoSuchPath { .. })),
        "{error:?}"
    );
    ready.in_tree(1, "mine", "mine");
    for error in [
        ready.try_furnish(1, &["cache"]).await.unwrap_err(),
        ready.run("touch ran").await.unwrap_err(),
    ] {
        assert!(
            matches!(error, ProvisionError::Worktree(WorktreeError::NotOurs { .. })),
            "{error:?}"
        );
    }
    assert_eq!(fs::read_dir(ready.path(1)).unwrap().count(), 1);
}

#[tokio::test]
async fn links_follow_a_project_that_moved_from_every_step_it_can_be_cut_at() {
    for cut in ["nowhere", "written down", "linked"] {
        let mut ready = Ready::new(&format!("followed {cut}"));
        ready.in_project("cache/a", "a");
        ready.in_project("packages/web/node_modules/x", "x");
        ready.in_project("mine/a", "a");
        let path = ready.world.make(1).await;
        let links = ["cache", "packages/web/node_modules", "mine"];
        assert_eq!(ready.furnish(1, &links).await.linked.len(), 3);
        fs::remove_file(path.join("mine")).unwrap();
        symlink("elsewhere", path.join("mine")).unwrap();
        let owner = ready.world.owner(1);
        let to = ready.world.dir.join("moved");
        fs::rename(&ready.world.repo, &to).unwrap();
        if cut != "nowhere" {
            let furnished = ready.world.data.join("work/web-1/furnished");
            let line = format!("link\0cache\0{to}/cache\0");
            fs::write(&furnished, text(&furnished) + &line).unwrap();
        }
        if cut == "linked" {
            fs::remove_file(path.join("cache")).unwrap();
            symlink(to.join("cache"), path.join("cache")).unwrap();
        }
        ready.world.git.relocate(&owner, &to).await.unwrap();
        ready.world.repo = to;
        for link in &links[..2] {
            let leads = fs::read_link(path.join(link)).unwrap();
            assert_eq!(leads, ready.world.repo.join(link), "{cut}");
        }
        assert_eq!(
            fs::read_link(path.join("mine")).unwrap().to_str(),
            Some("elsewhere")
        );
        assert_eq!(
            ready.world.weighed(1).await,
            ["1 ignored file (mine)"],
            "{cut}: the others are ours"
        );
        fs::remove_file(path.join("mine")).unwrap();
        assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
        assert_eq!(text(ready.world.repo.join("cache/a")), "a");
    }
}
