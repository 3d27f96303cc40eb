//! What cannot be tested here is said, not passed over.

use std::io::Write as _;

/// Says that the test `name` shows nothing on this machine, and why: on its own output, and as a line of the file named by
/// `AO_NOT_TESTED`, which `tests/run` prints last and which fails it in CI. Without that variable only the output has it.
///
/// # Panics
///
/// When the file cannot be written: a test that shows nothing must not look like one that passed.
pub fn not_tested(name: &str, why: &str) {
    println!("NOT TESTED: {name}: {why}");
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says where the untested is collected"
    )]
    let Some(file) = std::env::var_os("AO_NOT_TESTED") else {
        return;
    };
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("the file named by AO_NOT_TESTED can be opened");
    // One write, so that lines of several processes do not mix.
    file.write_all(format!("{name}: {why}\n").as_bytes())
        .expect("the file named by AO_NOT_TESTED can be written");
}
