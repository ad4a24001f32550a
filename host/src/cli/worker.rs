//! `checkd worker`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser as _;

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

/// A command line whose verb is this one, known before any other is looked at.
#[derive(Debug, clap::Parser)]
#[command(name = "checkd worker")]
struct Alone {
    #[command(flatten)]
    args: Args,
}

/// The arguments, when the command line names this verb. To know all verbs with their options takes
/// longer than all else that a worker does before it opens its library, and memory that it keeps.
pub(super) fn alone() -> Option<Result<Args, clap::Error>> {
    let mut words = std::env::args_os().skip(1).peekable();
    words.peek().filter(|verb| *verb == "worker")?;
    Some(Alone::try_parse_from(words).map(|alone| alone.args))
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
