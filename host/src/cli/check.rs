//! `checkd check`.

use std::process::ExitCode;

/// Arguments of `checkd check`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(super::FAILED)
}
