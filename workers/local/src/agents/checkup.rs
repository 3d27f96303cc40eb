//! What is to be known of an agent's program and its own files before it is trusted with work: read, never written.
//!
//! What differs between agents is data: which folder, which files have to read, and what logs it in. One that has more to ask reads
//! its files itself (`claude_code/own_files.rs`).

use std::io;

use ao_domain::port::agent::Trusted;
pub(super) use ao_domain::port::catalog::Finding;
use camino::Utf8PathBuf;
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item};

use super::sheet::Environment;
use super::{members, own_folder, value_of};

/// How an agent's installation is looked over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkup {
    /// The version whose behaviour was seen; empty where none was: then it is known from documents alone.
    pub(super) seen: &'static str,
    /// The options it is started with; its `--help` names them all.
    pub(super) options: &'static [&'static str],
    /// What its own files say, with the environment that agents inherit.
    pub(super) own_files: fn(Environment<'_>) -> Vec<Finding>,
    /// Where it remembers which folders it need not ask about, by a person's word or by ours, where it goes by that also when it is
    /// told to ask; nowhere without a home directory.
    pub(super) remembers: Option<fn(Environment<'_>) -> Option<Remembered>>,
}

/// What an agent remembers of folders it need not ask about.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    /// The file.
    pub(super) file: Utf8PathBuf,
    /// What in it says so.
    pub(super) said: Trusted,
}

/// What an agent keeps of its user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Its folder.
    pub(super) folder: At,
    /// What has to read; each is a finding.
    pub(super) records: &'static [Record],
    /// What logs it in: the first that is so counts.
    pub(super) logins: &'static [Login],
    /// What happens where none is.
    pub(super) without: &'static str,
    /// What to do then.
    pub(super) remedy: &'static str,
}

/// A place below the folder that a variable of an agent's names, else below one in the home directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// The variable.
    pub(super) variable: Option<&'static str>,
    /// The folder below the home directory.
    pub(super) home: &'static str,
    /// The way from there; empty for the folder itself.
    pub(super) file: &'static str,
}

impl At {
    /// A file in the same folder.
    pub(super) const fn file(self, file: &'static str) -> Self {
        Self { file, ..self }
    }

    /// Where that is; nowhere without a home directory.
    pub(super) fn path(&self, env: Environment<'_>) -> Option<Utf8PathBuf> {
        let folder = own_folder(env, self.variable, self.home)?;
        Some(if self.file.is_empty() {
            folder
        } else {
            folder.join(self.file)
        })
    }
}

/// Something of an agent's own that has to read; one that is not there does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// What it is about.
    pub(super) what: &'static str,
    /// Where it is.
    pub(super) at: At,
    /// What it has to be.
    pub(super) form: Form,
    /// What is so where it reads; `{}` is its path. Empty: that is no finding.
    pub(super) well: &'static str,
    /// What happens where it does not.
    pub(super) ill: &'static str,
}

/// What a record has to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// TOML.
    Toml,
    /// A JSON object in which comments may stand.
    Json,
    /// The same with comments at its beginning alone, and with this list of texts in it, if there is one: as we take it apart.
    List(&'static str),
    /// A folder that can be written.
    Folder,
    /// Nothing is looked at.
    Any,
}

/// A way in which an agent is logged in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login {
    /// What is said of it.
    pub(super) said: &'static str,
    /// What has to be so, all of it.
    pub(super) has: &'static [Has],
}

/// A sign of a login.
#[derive(Clone, Copy, Debug)]
pub(super) enum Has {
    /// This variable is set.
    Set(&'static str),
    /// Something stands at this way into a file (`*` is every member): a text, a list or an object that is not empty.
    Some(At, Form, &'static [&'static str]),
    /// This text stands there.
    Text(At, Form, &'static [&'static str], &'static str),
    /// A text stands there, and it is another than this one.
    Other(At, Form, &'static [&'static str], &'static str),
    /// The name of a variable stands there, and it is set.
    Named(At, Form, &'static [&'static str]),
    /// There is a file in this folder whose name ends so.
    Ends(At, &'static str),
}

impl Kept {
    /// What its files say.
    pub(super) fn findings(&self, env: Environment<'_>) -> Vec<Finding> {
        if self.folder.path(env).is_none() {
            return vec![no_home(self.folder.variable)];
        }
        let records = self.records.iter().filter_map(|record| record.finding(env));
        records.chain([self.login(env)]).collect()
    }

    fn login(&self, env: Environment<'_>) -> Finding {
        let is_so = |login: &&Login| login.has.iter().all(|has| has.is_so(env));
        match self.logins.iter().find(is_so) {
            Some(login) => Finding::good("login", login.said),
            None => Finding::bad(
                "login",
                format!("no login is found: {}", self.without),
                self.remedy,
            ),
        }
    }
}

/// Without a home directory nothing of an agent's own is found.
pub(super) fn no_home(variable: Option<&str>) -> Finding {
    let said = match variable {
        Some(variable) => format!("neither HOME nor {variable} is set"),
        None => "HOME is not set".to_owned(),
    };
    Finding::bad("home", said, "set HOME")
}

impl Record {
    fn finding(&self, env: Environment<'_>) -> Option<Finding> {
        let path = self.at.path(env)?;
        let bad = |said: String, remedy: String| {
            Finding::bad(self.what, format!("`{path}` {said}: {}", self.ill), remedy)
        };
        Some(match self.form.read(&path) {
            Ok(_) if self.well.is_empty() => return None,
            Ok(_) => Finding::good(self.what, self.well.replace("{}", path.as_str())),
            Err(Ill::Closed(error)) => bad(
                format!("cannot be read ({error})"),
                format!("set the rights of `{path}`"),
            ),
            Err(Ill::Says(why)) => bad(
                format!("does not read ({why})"),
                format!("set `{path}` right, or move it away"),
            ),
            Err(Ill::Kept) => bad(
                "cannot be written".to_owned(),
                format!("set the rights of `{path}`"),
            ),
            Err(Ill::NoFolder) => bad("is no folder".to_owned(), format!("move `{path}` away")),
        })
    }
}

/// Why a record is none.
enum Ill {
    Closed(io::Error),
    Says(String),
    Kept,
    NoFolder,
}

impl Form {
    /// What it says; nothing where it is not there.
    fn read(self, path: &camino::Utf8Path) -> Result<Value, Ill> {
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Value::Null),
            Err(error) => return Err(Ill::Closed(error)),
        };
        if let Self::Any = self {
            return Ok(Value::Null);
        }
        if let Self::Folder = self {
            return match (found.is_dir(), found.permissions().readonly()) {
                (false, _) => Err(Ill::NoFolder),
                (true, true) => Err(Ill::Kept),
                (true, false) => Ok(Value::Null),
            };
        }
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Ill::Says("it is no text".to_owned()));
            }
            Err(error) => return Err(Ill::Closed(error)),
        };
        let value = match self {
            Self::Toml => text
                .parse::<DocumentMut>()
                .map(|all| as_json(all.as_item()))
                .map_err(|error| error.message().to_owned()),
            Self::List(name) => members::listed(&text, name)
                .and_then(|_| Ok(serde_json::from_str(&uncommented(&text))?))
                .map_err(|error| error.to_string()),
            Self::Json | Self::Folder | Self::Any => {
                serde_json::from_str(&uncommented(&text)).map_err(|error| error.to_string())
            }
        };
        match value.map_err(Ill::Says)? {
            value @ Value::Object(_) => Ok(value),
            _ => Err(Ill::Says("it is no object".to_owned())),
        }
    }
}

impl Has {
    fn is_so(&self, env: Environment<'_>) -> bool {
        let text = |is: &dyn Fn(&str) -> bool, value: &Value| value.as_str().is_some_and(is);
        match self {
            Self::Set(name) => value_of(env, name).is_some(),
            Self::Some(at, form, way) => any(env, at, *form, way, &says_something),
            Self::Text(at, form, way, this) => {
                any(env, at, *form, way, &|value| text(&|text| text == *this, value))
            }
            Self::Other(at, form, way, usual) => any(env, at, *form, way, &|value| {
                text(&|text| !text.is_empty() && text != *usual, value)
            }),
            Self::Named(at, form, way) => any(env, at, *form, way, &|value| {
                let is_set = |name: &str| value_of(env, name).is_some();
                text(&is_set, value)
                    || value
                        .as_array()
                        .is_some_and(|all| all.iter().any(|value| text(&is_set, value)))
            }),
            Self::Ends(at, end) => at
                .path(env)
                .and_then(|folder| folder.read_dir_utf8().ok())
                .is_some_and(|entries| {
                    entries
                        .filter_map(Result::ok)
                        .any(|entry| entry.file_name().ends_with(end) && entry.path().is_file())
                }),
        }
    }
}

/// Whether `is` holds of something at `way` into a file; of one that does not read it does of nothing.
fn any(env: Environment<'_>, at: &At, form: Form, way: &[&str], is: &dyn Fn(&Value) -> bool) -> bool {
    let value = at.path(env).and_then(|path| form.read(&path).ok());
    value.is_some_and(|value| any_at(&value, way, is))
}

fn any_at(value: &Value, way: &[&str], is: &dyn Fn(&Value) -> bool) -> bool {
    match way {
        [] => is(value),
        ["*", rest @ ..] => value
            .as_object()
            .is_some_and(|all| all.values().any(|value| any_at(value, rest, is))),
        [name, rest @ ..] => value.get(name).is_some_and(|value| any_at(value, rest, is)),
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => all.iter().any(says_something),
        Value::Object(all) => all.values().any(says_something),
    }
}

/// The texts of a TOML document, and where they stand; whatever else there is counts as `true`.
fn as_json(item: &Item) -> Value {
    if let Some(text) = item.as_str() {
        return text.into();
    }
    if let Some(table) = item.as_table_like() {
        let members = table.iter().map(|(name, item)| (name.to_owned(), as_json(item)));
        return Value::Object(members.collect::<Map<_, _>>());
    }
    match item.as_array() {
        Some(list) => list
            .iter()
            .map(|value| value.as_str().map_or(Value::Null, Value::from))
            .collect(),
        None => Value::Bool(true),
    }
}

/// A JSON text without the comments in it, and without a comma that has nothing behind it.
fn uncommented(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(inner) = rest.strip_prefix("/*") {
            inner.find("*/").map_or(rest.len(), |end| end + 4)
        } else if next == '"' {
            let end = quoted(rest);
            out.push_str(&rest[..end]);
            end
        } else {
            if matches!(next, '}' | ']') && out.trim_end().ends_with(',') {
                out.truncate(out.trim_end().len() - 1);
            }
            out.push(next);
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    out
}

/// How long the quoted text is that `rest` begins with.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
pub(super) mod tests;
