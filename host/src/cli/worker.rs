//! `checkd worker`.

use std::process::ExitCode;

/// Arguments of `checkd worker`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> ExitCode {
    ExitCode::from(super::FAILED)
}
