//! `checkd restart`, `start`, `stop`, `pause`, `resume`, `reset`: what a person asks for by hand.

use std::process::ExitCode;

/// Arguments of the verbs that only select.
#[derive(Debug, clap::Args)]
pub struct SelectArgs {}
/// Arguments of `checkd restart`.
#[derive(Debug, clap::Args)]
pub struct RestartArgs {}
/// Arguments of `checkd pause`.
#[derive(Debug, clap::Args)]
pub struct PauseArgs {}
/// Arguments of `checkd resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {}

/// `checkd restart`.
pub fn restart(_args: RestartArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
/// `checkd start`.
pub fn start(_args: SelectArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
/// `checkd stop`.
pub fn stop(_args: SelectArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
/// `checkd pause`.
pub fn pause(_args: PauseArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
/// `checkd resume`.
pub fn resume(_args: ResumeArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
/// `checkd reset`.
pub fn reset(_args: SelectArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
