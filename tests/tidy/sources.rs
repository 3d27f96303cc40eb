//! The project's Rust files, without their tests.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

/// The top of the repository.
pub(crate) fn root() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lie in the repository")
        .to_owned()
}

/// A file.
pub(crate) struct Source {
    /// Relative to the repository.
    pub(crate) path: String,
    /// Its text; in `workers/{observe,act}` and `api` up to its unit tests.
    pub(crate) text: String,
}

impl Source {
    /// Pieces that end in `;`, `{` or `}` outside of brackets, without comments, with the line each ends in.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (usize, String)> {
        let mut pieces = Vec::new();
        let (mut piece, mut depth) = (String::new(), 0_i32);
        for (number, line) in self.text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for c in line.chars() {
                depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
                piece.push(c);
                if depth == 0 && matches!(c, ';' | '{' | '}' | ',') {
                    pieces.push((number + 1, std::mem::take(&mut piece)));
                }
            }
            piece.push('\n');
        }
        // A chain of calls is one line, however it is laid out.
        pieces.into_iter().map(|(line, piece)| {
            let joined = piece
                .split('\n')
                .map(str::trim)
                .fold(String::new(), |mut text, line| {
                    if !line.starts_with('.') && !text.is_empty() {
                        text.push(' ');
                    }
                    text + line
                });
            (line, joined)
        })
    }
}

/// Every Rust file under these folders of the repository, by path.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Utf8Path, found: &mut Vec<Source>) {
    for entry in folder
        .read_dir_utf8()
        .expect("the folder is there")
        .filter_map(Result::ok)
    {
        let path = entry.path();
        if path.is_dir() {
            collect(path, found);
        } else if path.extension() == Some("rs") {
            let path_in_repo = path.strip_prefix(root()).expect("it lies in the repository");
            let text = fs::read_to_string(path).expect("a source is UTF-8");
            found.push(Source {
                path: path_in_repo.to_string(),
                text,
            });
        }
    }
}
