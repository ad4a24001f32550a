//! `checkd validate`.

use std::process::ExitCode;

/// Arguments of `checkd validate`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(super::FAILED)
}
