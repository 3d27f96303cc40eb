//! Whether a line says where: `src/lib.rs:12`, `shape.c(12,4)`, `File "shop.py", line 12`.

/// Parts of paths that nobody mends: libraries, and the tools themselves.
const FOREIGN: [&str; 5] = [
    "/rustc/",
    "/.cargo/registry/",
    "node_modules/",
    "node:internal/",
    "site-packages/",
];

/// Whether `line` names a line of a file that may be the project's own.
pub(super) fn names_one(line: &str) -> bool {
    if is_foreign(line) {
        return false;
    }
    let numbered = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    line.split_once("\", line ")
        .is_some_and(|(_, rest)| numbered(rest))
        || line.split_whitespace().any(|word| {
            word.match_indices([':', '('])
                .any(|(at, _)| numbered(&word[at + 1..]) && is_file(&word[..at]))
        })
}

/// Whether `line` names a file that is not the project's.
pub(super) fn is_foreign(line: &str) -> bool {
    FOREIGN.iter().any(|foreign| line.contains(foreign))
}

/// Whether `name` ends like a file's: `lib.rs`, but neither `10.0.0.1` nor `now`.
fn is_file(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, kind)| {
        stem.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ']'))
            && kind.starts_with(|c: char| c.is_ascii_alphabetic())
            && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}
