//! `checkd worker`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `checkd worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it may take and be, as the daemon says it.
    #[arg(long, default_value = "{}")]
    confine: String,
    /// The words are a program that speaks the worker protocol itself, and its arguments.
    #[arg(long)]
    command: bool,
    /// The plugin's library.
    #[arg(required = true, trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Runs the verb.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments"
)]
pub fn run(args: Args) -> ExitCode {
    // What `ps -o comm`, `top` and the kernel call it: it is started as `/proc/self/exe`.
    rustix::thread::set_name(c"checkd-worker").ok();
    let error = crate::worker::serve(&args.confine, args.command, &args.words);
    // Nobody may be left to read it.
    let _unread = writeln!(std::io::stderr().lock(), "checkd worker: {error}");
    ExitCode::from(super::FAILED)
}
