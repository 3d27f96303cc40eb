//! The repository that a remote's URL names.

/// Longest name of an owner or a repository that is taken for one. GitHub's own are shorter.
const NAME_MAX: usize = 200;

/// Host, and owner and name, of a remote such as `git@github.com:acme/web.git`; `None` where it has another form.
pub(crate) fn parse(remote: &str) -> Option<(&str, String)> {
    let (server, path) = match remote.split_once("://") {
        Some(("https" | "ssh" | "git", rest)) => rest.split_once('/')?,
        Some(_) => return None,
        None => {
            let (server, path) = remote.split_once(':')?;
            (server, path.strip_prefix('/').unwrap_or(path))
        }
    };
    let host = server.rsplit_once('@').map_or(server, |(_, host)| host);
    let host = match host.split_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) => return None,
        None => host,
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (owner, name) = names(path)?;
    crate::host::is_name(host).then(|| (host, format!("{owner}/{name}")))
}

/// Owner and name of a repository, where `path` is the two: what they are made of needs no escaping in an address.
pub(crate) fn names(path: &str) -> Option<(&str, &str)> {
    let (owner, name) = path.split_once('/')?;
    let is_plain = |text: &str| {
        (1..=NAME_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && text.bytes().any(|byte| byte != b'.')
    };
    (is_plain(owner) && is_plain(name)).then_some((owner, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_usual_form_names_the_same_repository() {
        for remote in [
            "https://github.com/acme/web",
            "https://github.com/acme/web.git",
            "https://github.com/acme/web/",
            "https://me:secret@github.com:443/acme/web.git",
            "https://x@y@github.com/acme/web.git",
            "ssh://git@github.com/acme/web.git",
            "ssh://git@github.com:22/acme/web.git",
            "git@github.com:acme/web.git",
            "github.com:/acme/web",
            "git://github.com/acme/web.git",
        ] {
            assert_eq!(
                parse(remote),
                Some(("github.com", "acme/web".to_owned())),
                "{remote}"
            );
        }
        assert_eq!(parse("git@h:a.b/c-d_e.git"), Some(("h", "a.b/c-d_e".to_owned())));
    }

    #[test]
    fn anything_else_names_none() {
        for remote in [
            "",
            "/srv/git/web.git",
            "../web",
            "file:///srv/web",
            "http://github.com/acme/web",
            "ftp://github.com/acme/web",
            "https://github.com",
            "https://github.com/acme",
            "https://github.com/acme/web/pulls",
            "https://github.com/acme/..",
            "https://github.com/acme/.git",
            "https://github.com/acme/we b",
            "https://github.com/acme/web?x=1",
            "https://github.com/acme/%2e%2e",
            "https://github.com:x/acme/web",
            "https:///acme/web",
            "git@github.com:acme",
            "git@:acme/web",
            "git@github.com:2222/acme/web",
        ] {
            assert_eq!(parse(remote), None, "{remote}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(
            scheme in "(https|ssh|git|file)?(://)?",
            rest in "[a-z0-9@:/.%é\\\\ -]{0,40}|\\PC{0,40}",
        ) {
            if let Some((host, path)) = parse(&format!("{scheme}{rest}")) {
                prop_assert!(crate::host::is_name(host));
                prop_assert_eq!(path.split('/').count(), 2);
            }
        }
    }
}
