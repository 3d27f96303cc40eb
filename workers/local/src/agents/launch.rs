//! A description and a request make a command line.

use std::io::BufRead as _;

use ao_domain::port::agent::{AgentError, HookPlace, LaunchRequest, Preparation};
use ao_domain::{PermissionMode, SessionId};
use camino::Utf8Path;
use uuid::Uuid;

use super::notes;
use super::sheet::{Argv, Own, Sheet, Word};

/// Ours, so that no other program makes the same ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d21_c4e0_5b3f_4c8e_9a67_1f0e_83c2_d5ab);

/// Longest word that a program can be given, in bytes: Linux's `MAX_ARG_STRLEN`, without the zero at its end.
pub(super) const WORD_MAX: usize = 128 * 1024 - 1;

/// Refuses what no program can be given.
///
/// # Errors
/// [`AgentError::NotText`] where the prompt, the role, the model or a word of the command holds a zero byte.
pub(super) fn must_be_text(request: &LaunchRequest<'_>) -> Result<(), AgentError> {
    let texts = [
        ("prompt", request.prompt),
        ("role", request.role),
        ("model", request.model),
    ];
    let words = request
        .command
        .iter()
        .map(|word| ("command", Some(word.as_str())));
    for (what, text) in texts.into_iter().chain(words) {
        if text.is_some_and(|text| text.contains('\0')) {
            return Err(AgentError::NotText { what });
        }
    }
    Ok(())
}

/// The arguments that `words` describe.
pub(super) fn arguments(words: &[Word], own: Option<&Own>, request: &LaunchRequest<'_>) -> Vec<String> {
    let goes_on = request.native_id.filter(|id| match own {
        Some(own) => {
            notes::file(&own.file, id, request.env).is_some_and(|file| holds_words(&file, own.spoke))
        }
        None => true,
    });
    let mut argv: Vec<String> = Vec::new();
    for word in words {
        let (option, value) = match word {
            Word::Always(words) => {
                argv.extend(words.iter().map(|word| (*word).to_owned()));
                continue;
            }
            Word::Settings(option, texts) => {
                argv.extend(texts(request).into_iter().flat_map(|text| optioned(option, text)));
                continue;
            }
            Word::Mode(modes) => {
                let words = modes[place_of(request.permissions)].unwrap_or_default();
                argv.extend(words.iter().map(|word| (*word).to_owned()));
                continue;
            }
            Word::Model(option) => (option, request.model.map(str::to_owned)),
            Word::Role(option) => (option, request.role.map(str::to_owned)),
            Word::Resumed(option) => (option, goes_on.map(str::to_owned)),
            // Not one that is known: an agent may refuse an id that it has a file of, although nothing that could go on is in there.
            Word::Begun(option) => (option, goes_on.is_none().then(|| fresh_id(request.secret))),
            Word::Prompt(option) => {
                let asked = request.prompt.filter(|_| goes_on.is_none());
                (option, asked.map(str::to_owned))
            }
            Word::PromptWithRole(option) => {
                let asked = request.prompt.filter(|_| goes_on.is_none());
                (
                    option,
                    asked.map(|prompt| ao_domain::with_role(request.role, prompt)),
                )
            }
        };
        if let Some(value) = value {
            argv.extend(optioned(option, value));
        }
    }
    argv
}

/// An option and its value: two words, or one where the option ends in `=`.
fn optioned(option: &str, value: String) -> Vec<String> {
    if option.ends_with('=') {
        vec![format!("{option}{value}")]
    } else {
        vec![option.to_owned(), value]
    }
}

/// Whether one of `words` stands for that mode.
pub(super) fn offers(words: &[Word], mode: PermissionMode) -> bool {
    words
        .iter()
        .all(|word| !matches!(word, Word::Mode(modes) if modes[place_of(mode)].is_none()))
}

/// Where a mode stands in [`Word::Mode`].
fn place_of(mode: PermissionMode) -> usize {
    match mode {
        PermissionMode::Default => 0,
        PermissionMode::AcceptEdits => 1,
        PermissionMode::Auto => 2,
        PermissionMode::BypassPermissions => 3,
    }
}

/// An id that no conversation has yet: of this launch and no other, and it does not give the secret away.
fn fresh_id(secret: &str) -> String {
    Uuid::new_v5(&NAMESPACE, secret.as_bytes()).to_string()
}

/// Whether a line of `file` has `spoke` in it.
fn holds_words(file: &Utf8Path, spoke: &str) -> bool {
    let Ok(file) = std::fs::File::open(file) else {
        return false;
    };
    let mut lines = std::io::BufReader::new(file);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        if line.windows(spoke.len()).any(|part| part == spoke.as_bytes()) {
            return true;
        }
        line.clear();
    }
    false
}

/// What an agent's launches leave in its own settings for as long as there are sessions: files, blocks and entries of ours, but not
/// what lies in our own folders, nor that somebody's folder is trusted.
pub(super) fn hooks(sheet: &Sheet, place: &HookPlace<'_>) -> Vec<Preparation> {
    let Argv::Made { before, .. } = &sheet.argv else {
        return Vec::new();
    };
    let none: SessionId = "none-1".parse().expect("it is an id");
    let any = LaunchRequest {
        session: &none,
        prompt: None,
        command: &[],
        worktree: Utf8Path::new("/"),
        repo: Utf8Path::new("/"),
        secret: "",
        native_id: None,
        model: None,
        permissions: PermissionMode::Default,
        role: None,
        ao: place.ao,
        messages: place.files,
        files: place.files,
        trusted: false,
        env: place.env,
    };
    let mut hooks = before(&any);
    hooks.retain(|what| {
        matches!(
            what,
            Preparation::File { .. } | Preparation::Block { .. } | Preparation::Entries { .. }
        ) && !what.file().starts_with(place.files)
    });
    hooks
}
