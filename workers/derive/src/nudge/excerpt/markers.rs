//! By what a telling line of a log is known.
//!
//! To teach it a tool: find the line of its output that no passing run has, and add a row where tools of its kind stand. The
//! first row that fits a line counts, so the particular stands above the general.

use After::{Lines, ToBlank};
use Sign::{Ends, Fails, Holds, Is, Named, Starts, StartsEnds, StartsHolds};

/// From this weight on a line says by itself what is wrong. Where there is none, the last lines are shown as well.
pub(super) const CLEAR: u8 = 70;

/// By what a line is known. Its indentation does not count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// This is all of it.
    Is(&'static str),
    /// It starts with this.
    Starts(&'static str),
    /// It ends with this.
    Ends(&'static str),
    /// This is somewhere in it.
    Holds(&'static str),
    /// It starts with the first and ends with the second.
    StartsEnds(&'static str, &'static str),
    /// It starts with the first, and the second is somewhere in it.
    StartsHolds(&'static str, &'static str),
    /// Its first word ends with this: `ValueError: …`, `java.io.IOException: …`.
    Named(&'static str),
    /// It counts what failed, and it is not none: `3 failed`.
    Fails(&'static str, &'static str),
}

/// How much of what follows belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    /// So many lines.
    Lines(usize),
    /// The lines up to a blank one, at most so many.
    ToBlank(usize),
}

impl After {
    /// At most so many lines.
    pub(super) fn most(self) -> usize {
        let (Lines(most) | ToBlank(most)) = self;
        most
    }
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Marker {
    sign: Sign,
    /// How much such a line tells, up to 100.
    pub(super) weight: u8,
    /// How many lines before it belong to it.
    pub(super) before: usize,
    /// And after it.
    pub(super) after: After,
}

const fn row(sign: Sign, weight: u8, before: usize, after: After) -> Marker {
    Marker {
        sign,
        weight,
        before,
        after,
    }
}

/// Lines that look like a failure and are none.
const FINE: [Sign; 14] = [
    Ends("... ok"),
    Ends("... ignored"),
    Starts("✓"),
    Starts("√"),
    Starts("✔"),
    Starts("--- PASS"),
    Starts("PASS "),
    Holds(" PASSED"),
    Starts("ok "),
    Starts("warning:"),
    Starts("warning["),
    Holds(": warning: "),
    Holds(": warning TS"),
    Starts("##[warning]"),
];

/// Lines at which what belongs to a marker is over: traces into the tool itself, and what a program logged before.
const ENDS: [Sign; 8] = [
    Is("stack backtrace:"),
    Starts("note: run with `RUST_BACKTRACE"),
    StartsHolds("-----", " Captured "), // pytest
    Starts("=== RUN "),                 // go
    Is("FAIL"),
    Starts("FAIL "), // jest
    Starts("PASS "),
    Starts("##[group]"),
];

/// What failures look like. Details weigh most, summaries nearly as much (they are short), then names, then ends of programs.
pub(super) const MARKERS: [Marker; 86] = [
    // Summaries: one line each, which say how much failed.
    row(Starts("test result: FAILED"), 95, 0, Lines(0)),
    row(Starts("error: could not compile"), 95, 0, Lines(0)),
    row(Starts("error: test failed"), 60, 0, Lines(0)),
    row(StartsHolds("error: ", " target failed"), 60, 0, Lines(0)),
    row(StartsHolds("error: ", " targets failed"), 60, 0, Lines(0)),
    row(Fails("=", " failed"), 95, 0, Lines(0)), // pytest
    row(Fails("=", " error"), 95, 0, Lines(0)),
    row(Fails("Tests:", " failed"), 95, 0, Lines(0)), // jest
    row(Fails("Test Suites:", " failed"), 90, 0, Lines(0)),
    row(Starts("FAIL\t"), 95, 0, Lines(0)),                 // go
    row(StartsHolds("Found ", " error"), 90, 12, Lines(0)), // ruff, mypy, tsc
    row(StartsHolds("✖ ", " problem"), 90, 8, Lines(0)),    // eslint
    row(Ends(" failing"), 90, 0, Lines(12)),                // mocha
    row(StartsHolds("[ERROR] Tests run:", "Fail"), 90, 0, Lines(0)), // maven
    row(Starts("FAILED ("), 90, 0, Lines(0)),               // unittest
    // Compilers and linkers.
    row(Starts("error[E"), 100, 0, ToBlank(14)),
    row(Starts("error: "), 95, 0, ToBlank(10)),
    row(Holds(": fatal error: "), 100, 1, Lines(3)),
    row(Holds(": error: "), 100, 1, Lines(3)),
    row(Holds("error TS"), 100, 0, ToBlank(3)),
    row(Holds("): error "), 100, 0, Lines(0)), // C#, msvc
    row(Holds(": undefined reference to "), 95, 1, Lines(0)),
    row(Starts("e: file:"), 100, 0, Lines(0)), // kotlin
    row(Starts("# "), 30, 0, Lines(3)),        // go: the package whose errors follow
    row(StartsHolds("./", ".go:"), 95, 0, Lines(0)),
    row(Starts("CMake Error"), 100, 0, ToBlank(8)),
    row(Holds("syntax error"), 90, 1, Lines(2)),
    row(Holds("SyntaxError: "), 100, 4, Lines(2)),
    row(Holds("  error  "), 90, 1, Lines(0)),          // eslint
    row(Starts("Diff in "), 90, 0, Lines(8)),          // rustfmt
    row(Starts("Code style issues"), 90, 6, Lines(0)), // prettier
    // Assertions, panics and other details of failing tests.
    row(Holds("panicked at "), 100, 0, ToBlank(8)),
    row(StartsEnds("---- ", " ----"), 90, 0, Lines(0)), // cargo test
    row(StartsEnds("____", "____"), 90, 0, Lines(0)),   // pytest
    row(Starts("E   "), 100, 3, Lines(2)),
    row(Is("● Console"), 1, 0, Lines(0)),
    row(Starts("● "), 100, 0, Lines(45)),         // jest
    row(Starts("--- FAIL: "), 90, 0, ToBlank(6)), // go
    row(Starts("panic: "), 100, 0, Lines(8)),
    row(Starts("fatal error: "), 100, 0, Lines(6)),
    row(Holds("AssertionFailedError"), 100, 1, Lines(4)), // junit
    row(Holds("AssertionError"), 100, 3, Lines(6)),
    row(Holds(" but was:"), 100, 2, Lines(2)),
    row(Holds("Failed asserting that"), 100, 1, Lines(4)), // phpunit
    row(Ends(": Failure"), 100, 0, Lines(6)),              // googletest
    row(Starts("[  FAILED  ]"), 80, 0, Lines(0)),
    row(Starts("not ok "), 95, 0, Lines(8)), // TAP
    row(Is("Failures:"), 95, 0, Lines(12)),  // rspec
    row(StartsHolds("Assertion ", " failed"), 100, 0, Lines(2)),
    row(Holds(": Assertion `"), 100, 0, Lines(2)), // assert(3)
    row(Holds("runtime error: "), 95, 0, Lines(6)),
    row(Holds("ERROR: AddressSanitizer"), 100, 0, Lines(10)),
    row(Starts("terminate called"), 100, 0, Lines(2)),
    // Exceptions and their traces.
    row(Starts("Exception in thread"), 100, 0, Lines(6)),
    row(Starts("Caused by:"), 90, 0, Lines(3)),
    row(Named("Error:"), 95, 6, Lines(4)),
    row(Named("Exception:"), 95, 4, Lines(4)),
    row(Starts("Traceback (most recent"), 80, 0, Lines(4)),
    row(Holds("Fatal error: "), 95, 0, Lines(4)),
    row(Starts("Uncaught "), 95, 1, Lines(4)),
    row(Is("* What went wrong:"), 95, 0, ToBlank(6)), // gradle
    // Names of what failed.
    row(Starts("FAILED: "), 90, 0, Lines(4)), // ninja
    row(Starts("FAILED "), 80, 0, Lines(0)),  // pytest
    row(StartsEnds("test ", "... FAILED"), 70, 0, Lines(0)),
    row(Ends(" FAILED"), 80, 0, Lines(5)), // gradle
    row(Holds(" FAILED "), 60, 0, Lines(0)),
    row(Starts("FAIL "), 80, 0, Lines(1)), // jest, vitest, nextest
    row(Starts("✕"), 60, 0, Lines(0)),
    row(Starts("✗"), 60, 0, Lines(0)),
    row(Starts("ERROR "), 70, 0, Lines(1)),
    row(Starts("ERROR: "), 80, 0, Lines(2)),
    row(Starts("[ERROR] "), 70, 0, Lines(0)), // maven
    // The shell, the system, the clock.
    row(Holds(": command not found"), 95, 1, Lines(0)),
    row(Holds("No space left on device"), 100, 1, Lines(0)),
    row(Holds("Segmentation fault"), 95, 6, Lines(0)),
    row(Holds("SIGSEGV"), 95, 4, Lines(2)),
    row(Holds("ut of memory"), 95, 4, Lines(1)),
    row(Ends("Killed"), 90, 6, Lines(0)),
    row(Holds("timed out"), 80, 4, Lines(1)),
    row(Holds("exceeded the maximum execution time"), 95, 8, Lines(0)),
    row(Starts("fatal: "), 90, 1, Lines(1)), // git
    row(Holds(": *** ["), 85, 1, Lines(0)),  // make
    row(Holds("No such file or directory"), 75, 1, Lines(0)),
    row(Holds("ermission denied"), 75, 1, Lines(0)),
    // How it ended: says that, not why; what stands before may say why.
    row(Starts("npm ERR!"), 50, 4, Lines(4)),
    row(Starts("##[error]"), 65, 12, Lines(0)),
];

/// The row for a line, if there is one.
pub(super) fn found_in(line: &str) -> Option<usize> {
    let line = line.trim_start();
    let kind = MARKERS.iter().position(|marker| marker.sign.is_of(line))?;
    (!FINE.iter().any(|fine| fine.is_of(line))).then_some(kind)
}

/// Whether a line says that the step it stands in failed, or was ended.
pub(super) fn ends_a_step(line: &str) -> bool {
    const HOW: [&str; 4] = [
        "Process completed with exit code ",
        "The operation was canceled",
        " timed out after ",
        " exceeded the maximum execution time",
    ];
    line.strip_prefix("##[error]")
        .is_some_and(|what| HOW.iter().any(|how| what.contains(how)))
}

/// Whether what belongs to a marker ends before this line.
pub(super) fn ends_a_window(line: &str) -> bool {
    ENDS.iter().any(|end| end.is_of(line.trim_start()))
}

impl Sign {
    /// Whether a line without indentation has it.
    fn is_of(self, line: &str) -> bool {
        match self {
            Is(text) => line == text,
            Starts(text) => line.starts_with(text),
            Ends(text) => line.ends_with(text),
            Holds(text) => line.contains(text),
            StartsEnds(start, end) => {
                line.len() >= start.len() + end.len() && line.starts_with(start) && line.ends_with(end)
            }
            StartsHolds(start, text) => line.strip_prefix(start).is_some_and(|rest| rest.contains(text)),
            Named(end) => line.split(' ').next().is_some_and(|word| word.ends_with(end)),
            Fails(start, text) => {
                line.starts_with(start)
                    && line.split_once(text).is_some_and(|(count, _)| {
                        let before = count.trim_end_matches(|c: char| c.is_ascii_digit());
                        count[before.len()..].bytes().any(|digit| digit != b'0')
                    })
            }
        }
    }
}
