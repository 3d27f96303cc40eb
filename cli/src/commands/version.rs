//! `ao version`.

use serde::Serialize;

use crate::error::CliError;
use crate::render::Out;

/// Print the version
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao version\n  ao version --json")]
pub(crate) struct VersionArgs {}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

pub(crate) fn run(out: &mut Out) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if out.is_json() {
        out.object(&Version { version })
    } else {
        out.line(version)
    }
}
