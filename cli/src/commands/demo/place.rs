//! The demo's scratch directory, and everything that runs in it. Dropped, all of it is gone, whatever happened before.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::agent::{OLD_PRICES, ROUNDING, Role};
use super::{DemoError, processes};
use crate::env::{Env, Places};
use crate::error::CliError;
use ao_domain::shell_word;

/// The data directory within the demo's.
pub(super) const DATA: &str = "data";

/// The agents' journals, beside the data directory.
const JOURNALS: &str = "journals";

/// Says that a directory is a demo's, and so may be removed with all that is in it.
const SIGN: &str = "this-is-an-ao-demo";

/// How long one command may take: git on a small repository and `ao`, whose own deadlines are shorter.
const COMMAND: Duration = Duration::from_secs(20);

/// How much of the daemon's log is shown when the demo fails, in lines.
const LAST_WORDS: usize = 6;

/// Where the agent `role` writes down what it does.
pub(super) fn journal(data_dir: &Utf8Path, role: Role) -> Utf8PathBuf {
    data_dir
        .with_file_name(JOURNALS)
        .join(format!("{}.jsonl", role.as_str()))
}

/// What makes git know who commits, without anybody's configuration. `.invalid` is nobody's domain.
pub(super) fn identity(name: &str) -> [String; 4] {
    [
        "-c".to_owned(),
        format!("user.name={name}"),
        "-c".to_owned(),
        format!("user.email={name}@demo.invalid"),
    ]
}

/// A commit as people write it.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// A demo's directory.
pub(super) struct Place {
    dir: Utf8PathBuf,
    path: OsString,
    /// This program, by the name it had at the start: a build that replaces it meanwhile does not matter then.
    program: PathBuf,
    /// Whether it outlives this value.
    kept: bool,
}

impl Place {
    /// Makes a directory of its own for the user only, with a sign that it is a demo's.
    ///
    /// # Errors
    /// When it cannot be made; then nothing is left of it.
    pub(super) fn make(env: &Env) -> Result<Self, CliError> {
        let temp = Utf8PathBuf::try_from(std::env::temp_dir()).map_err(|error| {
            failed("reading the name of", "the temporary directory")(error.into_io_error())
        })?;
        let temp = temp
            .canonicalize_utf8()
            .map_err(failed("looking for the temporary directory", &temp))?;
        let mut number = [0_u8; 4];
        getrandom::fill(&mut number)
            .map_err(|error| failed("asking for a random number", "the system")(io::Error::other(error)))?;
        let number: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let dir = temp.join(format!("ao-demo-{number}"));
        let make = |dir: &Utf8Path| fs::DirBuilder::new().mode(0o700).create(dir);
        let program = own_program()?;
        make(&dir).map_err(failed("making the demo's directory", &dir))?;
        let place = Self {
            dir,
            path: env.path(),
            program,
            kept: false,
        };
        let sign = place.dir.join(SIGN);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&sign)
            .and_then(|mut file| writeln!(file, "{}", place.how_to_clean()))
            .map_err(failed("signing the demo's directory", &sign))?;
        for folder in [place.home(), place.repo(), place.dir.join(JOURNALS)] {
            make(&folder).map_err(failed("making a directory", &folder))?;
        }
        Ok(place)
    }

    /// The demo that was kept in `dir`.
    ///
    /// # Errors
    /// When `dir` is not a demo's directory, or not this user's. Nothing was touched.
    pub(super) fn find(dir: &Utf8Path, env: &Env) -> Result<Self, CliError> {
        let no = |why: &str| DemoError::NotADemo {
            dir: dir.to_owned(),
            why: why.to_owned(),
        };
        let dir = dir.canonicalize_utf8().map_err(|error| no(&error.to_string()))?;
        let sign = fs::symlink_metadata(dir.join(SIGN)).map_err(|_| no("it holds no sign of one"))?;
        if !sign.is_file() || sign.uid() != rustix::process::geteuid().as_raw() {
            return Err(no("its sign is not a file of yours").into());
        }
        Ok(Self {
            dir,
            path: env.path(),
            program: own_program()?,
            kept: false,
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// The agents' repository.
    pub(super) fn repo(&self) -> Utf8PathBuf {
        self.dir.join("shop")
    }

    /// Where its daemon is found.
    pub(super) fn places(&self) -> Places {
        Places {
            run_file: self.dir.join("running.json"),
            data_dir: self.dir.join(DATA),
        }
    }

    fn home(&self) -> Utf8PathBuf {
        self.dir.join("home")
    }

    fn bin(&self) -> Utf8PathBuf {
        self.dir.join(DATA).join("bin")
    }

    /// From now on it stays when this value goes.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// The line that removes it.
    pub(super) fn how_to_clean(&self) -> String {
        format!("ao demo --clean {}", shell_word(self.dir.as_str()))
    }

    /// What a shell has to be told to look around in it; `ao` is found by the stable link.
    pub(super) fn exports(&self) -> Vec<(&'static str, String)> {
        let places = self.places();
        vec![
            ("AO_DATA_DIR", shell_word(places.data_dir.as_str())),
            ("AO_RUN_FILE", shell_word(places.run_file.as_str())),
            ("AO_PORT", "0".to_owned()),
            ("PATH", format!("{}:\"$PATH\"", shell_word(self.bin().as_str()))),
        ]
    }

    /// The whole environment of everything that the demo starts: nothing of the person's but PATH.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let places = self.places();
        let mut path = OsString::from(self.bin().as_str());
        path.push(":");
        path.push(&self.path);
        vec![
            ("PATH", path),
            ("HOME", self.home().as_str().into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("NO_COLOR", "1".into()),
            ("AO_DATA_DIR", places.data_dir.as_str().into()),
            ("AO_RUN_FILE", places.run_file.as_str().into()),
            ("AO_PORT", "0".into()),
            ("AO_CHAOS", "1".into()),
            (processes::MARK, self.dir.as_str().into()),
        ]
    }

    /// Makes the repository that the agents work on, and returns how many commits it has.
    ///
    /// # Errors
    /// When git is missing or refuses.
    pub(super) async fn make_repository(&self) -> Result<usize, CliError> {
        let files = [
            ("README.md", "# A shop\n", "Begin"),
            (ROUNDING, "currency,places,round\n", "List how prices are rounded"),
            (OLD_PRICES, "tea,3.20\nbread,2.90\n", "Add the prices"),
        ];
        self.git(&["init", "--quiet", "--initial-branch=main"]).await?;
        for (name, text, subject) in files {
            let file = self.repo().join(name);
            fs::write(&file, text).map_err(failed("writing a file of the repository", &file))?;
            self.git(&["add", "--all"]).await?;
            self.git(&["commit", "--quiet", "-m", subject]).await?;
        }
        Ok(files.len())
    }

    /// Runs `git words` in the repository and gives what it printed.
    ///
    /// # Errors
    /// When git is missing, fails or takes too long. Dropping the future ends it.
    pub(super) async fn git(&self, words: &[&str]) -> Result<String, CliError> {
        let identity = identity("demo");
        let all: Vec<&str> = identity
            .iter()
            .map(String::as_str)
            .chain(words.iter().copied())
            .collect();
        self.run("git", "git", &all, words).await
    }

    /// Runs this same program as `ao words` and gives what it printed.
    ///
    /// # Errors
    /// When it fails or takes too long. Dropping the future ends it; what it asked of the daemon goes on.
    pub(super) async fn ao(&self, words: &[&str]) -> Result<String, CliError> {
        self.run("ao", &self.program, words, words).await
    }

    async fn run(
        &self,
        name: &str,
        program: impl Into<OsString>,
        words: &[&str],
        shown: &[&str],
    ) -> Result<String, CliError> {
        let line = format!("{name} {}", shown.join(" "));
        let not = |said: String| DemoError::Command {
            line: line.clone(),
            said,
        };
        let program = program.into();
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo does what a person would type; it ends with its directory"
        )]
        let mut command = tokio::process::Command::new(program);
        command
            .args(words)
            .env_clear()
            .envs(self.environment())
            .current_dir(self.repo())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = match tokio::time::timeout(COMMAND, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound && name == "git" => {
                return Err(DemoError::NoGit.into());
            }
            Ok(Err(error)) => return Err(not(error.to_string()).into()),
            Err(_) => return Err(not(format!("no end within {COMMAND:?}")).into()),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let said = if said.is_empty() {
                output.status.to_string()
            } else {
                said
            };
            return Err(not(said).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// The last lines of the daemon's log, for when it is to blame.
    pub(super) fn last_words(&self) -> Vec<String> {
        let log = fs::read_to_string(self.places().log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    /// Ends whatever still runs in it, removes it, and returns how many processes were ended. Blocks. Safe to repeat.
    ///
    /// # Errors
    /// When something does not end or cannot be removed; it stays then, and can be cleaned up later.
    pub(super) fn clear(&mut self) -> Result<usize, CliError> {
        let ended =
            processes::end_all(&self.dir).map_err(failed("ending the demo's processes", &self.dir))?;
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("removing the demo's directory", &self.dir)(error))
            }
            _ => {
                self.kept = true; // there is nothing left to do for `drop`
                Ok(ended)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            // On the way out of a panic or an error that has been told: a second one would only hide it.
            let _ = self.clear();
        }
    }
}

fn own_program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(failed("finding this program", "ao"))
}

pub(super) fn failed(
    doing: &'static str,
    path: impl Into<Utf8PathBuf>,
) -> impl FnOnce(io::Error) -> CliError {
    let path = path.into();
    move |source| CliError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Child;

    use super::*;
    use crate::scratch::Scratch;

    /// A process that carries a demo's mark, as everything that a demo starts does.
    fn marked(dir: &Utf8Path) -> Child {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs a process of its own to end"
        )]
        std::process::Command::new("sleep")
            .arg("1000")
            .env(processes::MARK, dir.as_str())
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_place_takes_everything_with_it_in_a_panic_too() {
        let place = Place::make(&Env::of_process()).unwrap();
        let dir = place.dir().to_owned();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let (mut ours, mut other) = (marked(&dir), marked(&dir.with_file_name("another")));
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _place = place;
            panic!("in the middle of the story");
        }));
        assert!(played.is_err() && !dir.exists());
        let status = ours.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert!(other.try_wait().unwrap().is_none(), "it belongs to another demo");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn only_a_demo_is_found_and_a_kept_one_stays() {
        let env = Env::of_process();
        let dir = Scratch::new();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(
            Place::find(dir.path(), &env),
            Err(CliError::Demo(DemoError::NotADemo { .. }))
        ));
        std::os::unix::fs::symlink("thesis.txt", dir.path().join(SIGN)).unwrap();
        assert!(Place::find(dir.path(), &env).is_err(), "the sign is a link");
        assert!(dir.path().join("thesis.txt").exists());
        let mut place = Place::make(&env).unwrap();
        let kept = place.dir().to_owned();
        place.keep();
        drop(place);
        assert!(kept.exists());
        assert_eq!(Place::find(&kept, &env).unwrap().clear().unwrap(), 0);
        assert!(!kept.exists());
    }
}
