//! Named points at which a test may cut the program off.
//!
//! Off by default: without the feature `fault`, [`step!`](crate::step) is exactly the awaited expression, and no point's name is
//! in the binary. With it, every point passed is written to the file named by `AO_FAULT_LOG` (once a process), and the
//! file named by `AO_FAULT_PLAN` may hold one line, `<point> <kill|panic|hang>` or `<point> <n> <kill|panic|hang>` (n: at the
//! n-th hit of the plan's point in this process, from 1). A plan is removed before it is carried out, so it strikes once,
//! however often the program is started again. What is carried out is first written, as `<point> <deed>`, to the file named by
//! `AO_FAULT_DEEDS`: a point that was passed was not yet cut.
//!
//! What hangs is found by a deadline, which is as long as the slowest machine needs. In a test build a variable may say that one is no
//! longer than so many milliseconds ([`at_most`]), `AO_FAULT_HEARTBEAT` that of every worker's heartbeat: a test need not wait for it,
//! and every other rule is as it was.

/// Awaits an expression between two crash points: `step!("spawn.worktree", future)` passes `spawn.worktree.before`, awaits the
/// future, and passes `spawn.worktree.after`. Without the feature `fault` it is `future.await`.
#[cfg(not(feature = "fault"))]
#[macro_export]
macro_rules! step {
    ($name:literal, $future:expr $(,)?) => {
        ($future).await
    };
}

/// Awaits an expression between two crash points: `step!("spawn.worktree", future)` passes `spawn.worktree.before`, awaits the
/// future, and passes `spawn.worktree.after`. Without the feature `fault` it is `future.await`.
#[cfg(feature = "fault")]
#[macro_export]
macro_rules! step {
    ($name:literal, $future:expr $(,)?) => {{
        $crate::fault::hit(concat!($name, ".before")).await;
        let output = ($future).await;
        $crate::fault::hit(concat!($name, ".after")).await;
        output
    }};
}

#[cfg(feature = "fault")]
pub use hits::{at_most, hit};

/// `deadline`, or what `variable` says in a test build, if that is shorter. Without the feature `fault` it is `deadline`.
#[cfg(not(feature = "fault"))]
pub fn at_most(_variable: &str, deadline: std::time::Duration) -> std::time::Duration {
    deadline
}

#[cfg(feature = "fault")]
mod hits {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    /// How often each point was passed by this process.
    static HITS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    #[derive(Clone, Copy)]
    enum Deed {
        Kill,
        Panic,
        Hang,
    }

    struct Plan<'a> {
        point: &'a str,
        /// At which hit of the point.
        at: u64,
        deed: Deed,
    }

    impl Deed {
        fn as_str(self) -> &'static str {
            match self {
                Deed::Kill => "kill",
                Deed::Panic => "panic",
                Deed::Hang => "hang",
            }
        }
    }

    impl Plan<'_> {
        fn read(line: &str) -> Option<Plan<'_>> {
            let words: Vec<_> = line.split_whitespace().collect();
            let (point, at, deed) = match words[..] {
                [point, deed] => (point, None, deed),
                [point, at, deed] => (point, Some(at.parse().ok()?), deed),
                _ => return None,
            };
            let deed = match deed {
                "kill" => Deed::Kill,
                "panic" => Deed::Panic,
                "hang" => Deed::Hang,
                _ => return None,
            };
            Some(Plan {
                point,
                at: at.unwrap_or(0),
                deed,
            })
        }
    }

    /// Passes the crash point `name`: writes it down, and kills this process, panics or never returns if the plan says so.
    /// Blocks for two small file operations; tests only.
    ///
    /// # Panics
    ///
    /// When the plan says so, and when log or plan cannot be used: a test that believes it cut something must have done so.
    pub async fn hit(name: &'static str) {
        let times = {
            let mut hits = HITS.lock().unwrap_or_else(PoisonError::into_inner);
            let times = hits.entry(name).or_insert(0);
            *times += 1;
            *times
        };
        if times == 1
            && let Some(log) = named_by("AO_FAULT_LOG")
        {
            append(&log, name);
        }
        let deed = named_by("AO_FAULT_PLAN").and_then(|plan| take(&plan, name, times));
        if let Some(deed) = deed
            && let Some(deeds) = named_by("AO_FAULT_DEEDS")
        {
            append(&deeds, &format!("{name} {}", deed.as_str()));
        }
        match deed {
            None => {}
            Some(Deed::Kill) => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                    .expect("a process may kill itself");
                // The signal may take a moment; nothing of ours must run in it.
                std::future::pending::<()>().await;
            }
            Some(Deed::Panic) => panic!("fault at {name}"),
            Some(Deed::Hang) => std::future::pending().await,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a point is reached from anywhere, and only in test builds"
    )]
    fn named_by(variable: &str) -> Option<OsString> {
        std::env::var_os(variable)
    }

    /// `deadline`, or the milliseconds that `variable` says, if that is shorter.
    ///
    /// # Panics
    ///
    /// When it says no number: a test that believes it has shortened something must have done so.
    pub fn at_most(variable: &str, deadline: Duration) -> Duration {
        let Some(text) = named_by(variable) else {
            return deadline;
        };
        let millis = text.to_str().and_then(|text| text.parse().ok());
        let millis = millis.unwrap_or_else(|| panic!("{variable} is no number: {}", text.display()));
        deadline.min(Duration::from_millis(millis))
    }

    fn append(log: &OsString, line: &str) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .expect("the file named by AO_FAULT_LOG or AO_FAULT_DEEDS can be opened");
        // One write, so that lines of several processes do not mix.
        file.write_all(format!("{line}\n").as_bytes())
            .expect("the file named by AO_FAULT_LOG or AO_FAULT_DEEDS can be written");
    }

    /// The plan's deed, if it is for this hit. The file is gone then.
    fn take(plan: &OsString, name: &str, times: u64) -> Option<Deed> {
        let text = match std::fs::read_to_string(plan) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("the file named by AO_FAULT_PLAN cannot be read: {error}"),
        };
        let plan_read = Plan::read(&text).unwrap_or_else(|| panic!("no plan: {text:?}"));
        if plan_read.point != name || (plan_read.at != 0 && plan_read.at != times) {
            return None;
        }
        // Only who removes the plan carries it out.
        std::fs::remove_file(plan).ok().map(|()| plan_read.deed)
    }
}
