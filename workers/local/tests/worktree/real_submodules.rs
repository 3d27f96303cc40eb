//! Submodules: what is inside them has a history of its own, and goes only when all of it is elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_domain::port::worktrees::Removal;
use camino::{Utf8Path, Utf8PathBuf};

use crate::world::{World, rescued, said};

const ALLOW: [&str; 2] = ["-c", "protocol.file.allow=always"];

fn add(world: &World, to: &Utf8Path, library: &Utf8Path, at: &str) {
    let args = ["submodule", "--quiet", "add", library.as_str(), at];
    world.run(to, &[&ALLOW[..], &args].concat());
    world.commit(to, "with a submodule");
}

/// A repository with the submodule `lib/outer`, which has the submodule `inner`, and a worktree with both.
async fn nested(name: &str) -> (World, Utf8PathBuf) {
    let world = World::new(name);
    let (inner, outer) = (world.dir.join("inner"), world.dir.join("outer"));
    for library in [&inner, &outer] {
        world.init(library);
        fs::write(library.join("l.txt"), "l\n").unwrap();
        fs::write(library.join(".gitignore"), ".env\ntarget/\n").unwrap();
        world.commit(library, "library");
    }
    add(&world, &outer, &inner, "inner");
    add(&world, &world.repo, &outer, "lib/outer");
    let path = world.make(1).await;
    let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
    world.run(&path, &[&ALLOW[..], &update].concat());
    (world, path)
}

async fn held(world: &World) {
    for discard in [false, true] {
        let removal = if discard {
            world.discard(1).await
        } else {
            world.remove(1).await
        };
        let Removal::Kept(holdings) = removal.unwrap() else {
            panic!("something in a submodule is lost");
        };
        assert_eq!(
            said(&holdings),
            ["changed submodule lib/outer"],
            "discard {discard}"
        );
    }
}

#[tokio::test]
async fn what_is_in_a_submodule_and_in_one_inside_it_is_held() {
    let (world, path) = nested("submodules").await;
    let outer = path.join("lib/outer");
    for sub in [outer.clone(), outer.join("inner")] {
        fs::write(sub.join("l.txt"), "changed\n").unwrap();
        held(&world).await;
        world.run(&sub, &["checkout", "-q", "l.txt"]);

        fs::write(sub.join("new"), "new\n").unwrap();
        held(&world).await;
        fs::remove_file(sub.join("new")).unwrap();

        fs::write(sub.join(".env"), "SECRET=1").unwrap();
        held(&world).await;
        fs::remove_file(sub.join(".env")).unwrap();
        fs::create_dir(sub.join("target")).unwrap();
        fs::write(sub.join("target/x"), "built").unwrap();

        world.run(&sub, &["checkout", "-q", "-b", "mine"]);
        let commit = world.commit(&sub, "nowhere else");
        world.run(&sub, &["checkout", "-q", "--detach", "HEAD~1"]);
        held(&world).await;
        world.run(&sub, &["push", "-q", "origin", "mine"]);
        // Put away, not committed.
        fs::write(sub.join("l.txt"), "stashed\n").unwrap();
        world.run(&sub, &["stash", "-q"]);
        held(&world).await;
        world.run(&sub, &["stash", "drop", "-q"]);
        assert!(!commit.is_empty());
    }
    assert!(outer.join("inner/target/x").exists());
    rescued(&world, 1).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_submodule_without_files_is_no_reason_to_stay() {
    let world = World::new("submodules none");
    let library = world.dir.join("library");
    world.init(&library);
    world.commit(&library, "library");
    add(&world, &world.repo, &library, "lib");
    let path = world.make(1).await;
    assert!(path.join("lib").is_dir());
    assert_eq!(world.weighed(1).await, Vec::<String>::new());
    fs::write(path.join("lib/stray"), "in its place\n").unwrap();
    assert!(
        matches!(world.remove(1).await.unwrap(), Removal::Kept(_)),
        "a file in its place"
    );
    fs::remove_file(path.join("lib/stray")).unwrap();
    assert_eq!(world.remove(1).await.unwrap(), Removal::Removed { rescue: None });
    assert_eq!(world.registered(), 0);
}

#[tokio::test]
async fn settings_inside_a_submodule_have_no_say() {
    let (world, path) = nested("submodules hooks").await;
    world.write("hook", "#!/bin/sh\ntouch \"$HOME/ran\"\n");
    let hook = world.dir.join("hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let outer = path.join("lib/outer");
    world.run(&outer, &["config", "core.fsmonitor", &format!("'{hook}'")]);
    world.weighed(1).await;
    assert!(matches!(world.discard(1).await.unwrap(), Removal::Removed { .. }));
    assert!(!world.dir.join("home/ran").exists());
}

#[tokio::test]
async fn the_history_of_a_submodule_without_files_is_held_beside_one_that_has_some() {
    for away in ["deinit", "removed", "other name"] {
        let world = World::new(&format!("submodules {away}"));
        let library = world.dir.join("library");
        world.init(&library);
        world.commit(&library, "library");
        for name in ["one", "two"] {
            add(&world, &world.repo, &library, name);
        }
        let path = world.make(1).await;
        let update = ["submodule", "--quiet", "update", "--init"];
        world.run(&path, &[&ALLOW[..], &update].concat());
        let two = path.join("two");
        world.run(&two, &["checkout", "-q", "-b", "mine"]);
        let commit = world.commit(&two, "nowhere else");
        world.run(&two, &["checkout", "-q", "--detach", "HEAD~1"]);
        match away {
            "deinit" => world.run(&path, &["submodule", "--quiet", "deinit", "two"]),
            "removed" => {
                world.run(&path, &["rm", "-q", "two"]);
                world.commit(&path, "without it")
            }
            // Where it was lies another now, under its own name.
            _ => {
                world.run(&path, &["rm", "-q", "two"]);
                world.run(&path, &["mv", "one", "two"]);
                world.commit(&path, "without it")
            }
        };
        let Removal::Kept(holdings) = world.discard(1).await.unwrap() else {
            panic!("{away}: a commit of a submodule is lost");
        };
        assert_eq!(said(&holdings), ["changed submodule two"], "{away}");
        let kept = world.repo.join(".git/worktrees/web-1/modules/two");
        world.run(&kept, &["--work-tree=.", "push", "-q", "origin", "mine"]);
        assert_eq!(world.run(&library, &["rev-parse", "mine"]), commit, "{away}");
        assert!(
            matches!(world.discard(1).await.unwrap(), Removal::Removed { .. }),
            "{away}"
        );
    }
}
