//! `checkd keeper`: started by the daemon itself.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::keeper::{self, Setup};

/// Arguments of `checkd keeper`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The state directory.
    state_dir: PathBuf,
    /// Go on where the program before left off.
    #[arg(long, value_name = "DESCRIPTOR")]
    resume: Option<RawFd>,
    /// Only say whether this program can go on with what another knows, given on standard input.
    #[arg(long = "try")]
    only_try: bool,
    /// The daemon to run, as the first process of a container.
    #[arg(last = true)]
    daemon: Vec<OsString>,
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    if args.only_try {
        // Whoever asked has gone, and so has the question.
        drop(keeper::try_out());
        return ExitCode::SUCCESS;
    }
    if args.resume.is_none() && args.daemon.is_empty() {
        // A session of its own: no terminal's signals. It fails where we lead one already.
        rustix::process::setsid().ok();
    }
    let setup = Setup {
        state_dir: args.state_dir,
        resume: args.resume,
        daemon: args.daemon,
        alone: true,
    };
    match keeper::run(setup) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nobody may be left to read it.
            drop(writeln!(std::io::stderr().lock(), "checkd keeper: {error}"));
            ExitCode::from(super::FAILED)
        }
    }
}
