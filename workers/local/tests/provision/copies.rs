//! Files that git ignores and `.worktreeinclude` names are copied, whole, once, and nothing else is.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use ao_domain::port::provision::ProvisionError;
use ao_local::worktree::Bounds;

use crate::ready::{GONE, Ready, is_there, left_out, text};
use crate::world::{World, contents};

/// Every file of the worktree that git did not check out.
fn copied(ready: &Ready) -> Vec<String> {
    let all = contents(&ready.path(1));
    let names = all.into_iter().map(|(name, _)| name);
    names
        .filter(|name| !["a.txt", ".gitignore", ".worktreeinclude"].contains(&name.as_str()))
        .collect()
}

#[tokio::test]
async fn patterns_mean_what_they_mean_to_git() {
    let ready = Ready::new("patterns");
    let ignored = "*\n!a.txt\n!.gitignore\n!*/\n!/plain\n";
    ready.in_project(".gitignore", ignored);
    ready.world.commit(&ready.world.repo, "ignores");
    for file in [
        ".env",
        ".env.local",
        ".env.test",
        "config/yes",
        "config/no",
        "sub/config/yes",
        "logs/a",
        "logs/keep",
        "#hash",
        "!bang",
        "sp ",
        "plain",
        "a/deep/x.key",
        "a/x.key",
        "a/b/deep/y.key",
        "top",
        "sub/top",
        "other",
    ] {
        ready.in_project(file, file);
    }
    ready.in_project(
        ".worktreeinclude",
        "# a comment\n\n.env*\n!.env.test\nconfig/\n!config/no\nlogs/*\n!logs/keep\n\\#hash\n\\!bang\nsp\\ \nplain\n\
         a/**/deep/*.key\n/top   \na.txt\n",
    );
    ready.world.make(1).await;
    let furnished = ready.furnish(1, &[]).await;
    // A file in a folder that is named cannot be taken out again, as in git; `plain` is not ignored, `a.txt` is tracked.
    let expected = [
        "!bang",
        "#hash",
        ".env",
        ".env.local",
        "a/b/deep/y.key",
        "a/deep/x.key",
        "config/no",
        "config/yes",
        "logs/a",
        "sp ",
        "sub/config/yes",
        "top",
    ];
    assert_eq!(copied(&ready), expected);
    assert_eq!(furnished.copied.files, expected.len());
    assert_eq!(text(ready.path(1).join("config/yes")), "config/yes");
    assert_eq!(left_out(&furnished), Vec::<String>::new());
}

#[tokio::test]
async fn without_patterns_nothing_is_copied() {
    let ready = Ready::new("none");
    ready.in_project(".env", "SECRET=1");
    ready.world.make(1).await;
    // Of the worktree it does not count: it speaks of the checkout's files.
    ready.in_tree(1, ".worktreeinclude", ".env\n");
    assert_eq!(ready.furnish(1, &[]).await.copied.files, 0);
    assert!(!is_there(ready.path(1).join(".env")));
}

#[tokio::test]
async fn odd_names_are_copied() {
    let ready = Ready::new("odd");
    ready.in_project(".worktreeinclude", "odd/\n:*\n");
    ready.in_project(".gitignore", "odd/\n:*\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    let names = [
        &b"line\nbreak"[..],
        b"-rf",
        b"not \xff utf-8",
        b" ",
        b"a\tb",
        b"quote\"",
        b":(top)x",
        b"*",
        b"r\r",
    ];
    fs::create_dir(ready.world.repo.join("odd")).unwrap();
    let odd = |top: &camino::Utf8Path, name: &[u8]| -> PathBuf {
        top.join("odd").as_std_path().join(OsStr::from_bytes(name))
    };
    for name in names {
        fs::write(odd(&ready.world.repo, name), name).unwrap();
    }
    ready.in_project(":(top)a.txt", "top");
    let path = ready.world.make(1).await;
    let furnished = ready.furnish(1, &[]).await;
    assert_eq!(
        (furnished.copied.files, left_out(&furnished)),
        (names.len() + 1, Vec::new())
    );
    for name in names {
        assert_eq!(fs::read(odd(&path, name)).unwrap(), name);
    }
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn what_is_there_and_what_is_tracked_stays() {
    let ready = Ready::new("stays");
    ready.in_project("local.conf", "theirs");
    ready.in_project("sparse.conf", "theirs");
    ready.world.run(&ready.world.repo, &["branch", "other"]);
    ready.world.commit(&ready.world.repo, "tracked there");
    ready.world.run(&ready.world.repo, &["checkout", "-q", "other"]);
    ready.in_project(".gitignore", "*.conf\n.env\n.worktreeinclude\n");
    ready.in_project(".worktreeinclude", "*.conf\n.env\n");
    for file in ["local.conf", "sparse.conf", ".env"] {
        ready.in_project(file, "checkout");
    }
    let path = ready.world.make(1).await; // on `main`, where they are tracked
    ready.world.run(
        &path,
        &["sparse-checkout", "set", "--no-cone", "/*", "!/sparse.conf"],
    );
    ready.in_tree(1, ".env", "mine");
    let furnished = ready.furnish(1, &[]).await;
    assert_eq!(furnished.copied.files, 0);
    assert_eq!(left_out(&furnished), ["sparse.conf: git tracks it"]);
    assert_eq!(
        (text(path.join("local.conf")), text(path.join(".env"))),
        ("theirs".into(), "mine".into())
    );
    assert!(!is_there(path.join("sparse.conf")));
}

#[tokio::test]
async fn links_stay_inside_and_pipes_and_repositories_are_left_out() {
    let ready = Ready::new("kinds");
    ready.world.write("outside/secret", "secret");
    ready.in_project(".gitignore", "d/\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project(".worktreeinclude", "d/\n");
    ready.in_project("d/file", "file");
    ready.link_in_project("d/inside", "../d/file");
    ready.link_in_project("d/nowhere", "missing");
    ready.link_in_project("d/absolute", "/etc/passwd");
    ready.link_in_project("d/upwards", "../../outside/secret");
    ready.link_in_project("d/git", "../.git/config");
    ready.link_in_project("d/way", "../door/secret");
    ready.link_in_project("door", "../outside");
    let fifo = ready
        .world
        .command("mkfifo", &ready.world.repo)
        .arg("d/pipe")
        .status()
        .unwrap();
    assert!(fifo.success());
    ready.world.init(&ready.world.repo.join("d/nested"));
    ready.in_project("d/nested/x", "x");
    let path = ready.world.make(1).await;
    let mut furnished = ready.furnish(1, &[]).await;
    furnished.left_out.sort_by(|a, b| a.path.cmp(&b.path));
    let out = "a link that leads out of the project";
    assert_eq!(
        left_out(&furnished),
        [
            format!("d/absolute: {out}"),
            format!("d/git: {out}"),
            "d/nested/: a repository of its own".to_owned(),
            format!("d/upwards: {out}"),
            format!("d/way: {out}"),
        ]
    );
    assert_eq!(copied(&ready), ["d/file", "d/inside", "d/nowhere"]);
    assert_eq!(
        fs::read_link(path.join("d/inside")).unwrap(),
        PathBuf::from("../d/file")
    );
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    assert_eq!(text(ready.world.dir.join("outside/secret")), "secret");
}

#[tokio::test]
async fn a_copy_has_the_permissions_and_the_time_of_its_original() {
    let ready = Ready::new("mode");
    ready.in_project(".gitignore", "secret/\nrun\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project(".worktreeinclude", "secret/\nrun\n");
    ready.in_project("secret/key", "key");
    ready.in_project("run", "#!/bin/sh\n");
    let mode = |path: &camino::Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (file, bits) in [("secret", 0o700), ("secret/key", 0o400), ("run", 0o755)] {
        fs::set_permissions(ready.world.repo.join(file), Permissions::from_mode(bits)).unwrap();
    }
    let path = ready.world.make(1).await;
    let time = fs::metadata(ready.world.repo.join("run"))
        .unwrap()
        .modified()
        .unwrap()
        - Duration::from_secs(1_000);
    fs::File::open(ready.world.repo.join("run"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    ready.furnish(1, &[]).await;
    let modes = ["secret", "secret/key", "run"].map(|file| mode(&path.join(file)));
    assert_eq!(modes, [0o700, 0o400, 0o755]);
    assert_eq!(fs::metadata(path.join("run")).unwrap().modified().unwrap(), time);
}

#[tokio::test]
async fn a_clone_is_tried_for_every_file_and_the_bytes_are_the_same() {
    let ready = Ready::new("clone");
    ready.in_project(".gitignore", "data/\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project(".worktreeinclude", "data/\n");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    ready.in_project("data/small", "small");
    ready.in_project("data/empty", "");
    fs::write(ready.world.repo.join("data/large"), &large).unwrap();
    let path = ready.world.make(1).await;
    let copied = ready.furnish(1, &[]).await.copied;
    assert_eq!((copied.files, copied.bytes), (3, 3_000_005));
    assert_eq!(fs::read(path.join("data/large")).unwrap(), large);
    assert_eq!(text(path.join("data/small")), "small");
    assert!(
        copied.cloned == 3 || copied.not_cloned.is_some(),
        "whether the file system can is found out by trying: {copied:?}"
    );
    assert_eq!(copied.cloned == 3, copied.not_cloned.is_none());
}

#[tokio::test]
async fn more_than_is_copied_is_refused_with_the_figures_before_anything_is_done() {
    let world = World::new("bounds");
    let ready = Ready::of(
        world,
        Bounds {
            files: 3,
            bytes: 1_000,
        },
    );
    ready.in_project("cache/a", "a");
    ready.in_project(".worktreeinclude", "*.log\n");
    ready.world.make(1).await;
    for (size, count, fits) in [(10, 3, true), (10, 4, false), (400, 3, false)] {
        for n in 0..4 {
            let _ = fs::remove_file(ready.world.repo.join(format!("{n}.log")));
            let _ = fs::remove_file(ready.path(1).join(format!("{n}.log")));
        }
        for n in 0..count {
            ready.in_project(&format!("{n}.log"), &"x".repeat(size));
        }
        let furnished = ready.try_furnish(1, &["cache"]).await;
        if fits {
            assert_eq!(furnished.unwrap().copied.files, count);
            fs::remove_file(ready.path(1).join("cache")).unwrap();
            continue;
        }
        let error = furnished.unwrap_err();
        let ProvisionError::TooMuch { files, bytes, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((files, bytes), (count, (size * count) as u64));
        assert!(!is_there(ready.path(1).join("0.log")) && !is_there(ready.path(1).join("cache")));
    }
}

#[tokio::test]
async fn a_cut_furnish_leaves_nothing_half_copied_and_the_next_one_finishes() {
    let ready = Ready::new("cut");
    ready.in_project(".gitignore", "data/\n.worktreeinclude\n");
    ready.world.commit(&ready.world.repo, "ignores");
    ready.in_project(".worktreeinclude", "data/\n");
    let large = vec![7_u8; 24 << 20];
    fs::create_dir(ready.world.repo.join("data")).unwrap();
    for n in 0..4 {
        fs::write(ready.world.repo.join(format!("data/{n}")), &large).unwrap();
    }
    let path = ready.world.make(1).await;
    let draft = path.with_file_name(".copying-web-1");
    let begun = async {
        while !fs::metadata(&draft).is_ok_and(|meta| meta.len() > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let is_cut = tokio::select! {
        furnished = ready.furnish(1, &[]) => {
            // Where files are cloned there is no middle.
            assert_eq!(furnished.copied.cloned, 4);
            false
        }
        () = begun => true, // drops the call
    };
    assert_eq!(
        ready.world.weighed(1).await,
        Vec::<String>::new(),
        "all that is there is ours"
    );
    let there = (0..4)
        .filter(|n| is_there(path.join(format!("data/{n}"))))
        .count();
    assert!(!is_cut || there < 4, "it stops when nobody waits any more");
    let furnished = ready.furnish(1, &[]).await;
    assert_eq!(furnished.copied.files, 4 - there);
    for n in 0..4 {
        assert!(fs::read(path.join(format!("data/{n}"))).unwrap() == large, "{n}");
    }
    assert!(!is_there(&draft));
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    ready.nothing_left(1);
}

#[tokio::test]
async fn what_a_killed_copy_left_goes_with_the_next_call() {
    let ready = Ready::new("draft");
    ready.in_project(".worktreeinclude", ".env\n");
    ready.in_project(".env", "SECRET=1");
    let path = ready.world.make(1).await;
    let draft = path.with_file_name(".copying-web-1");
    fs::write(&draft, "SEC").unwrap();
    ready.furnish(1, &[]).await;
    assert!(!is_there(&draft));
    fs::write(&draft, "SEC").unwrap();
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
    ready.nothing_left(1);
}
