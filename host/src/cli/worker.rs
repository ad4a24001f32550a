//! `checkd worker`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `checkd worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin's library.
    library: PathBuf,
}

/// Runs the verb.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments"
)]
pub fn run(args: Args) -> ExitCode {
    // What `ps -o comm`, `top` and the kernel call it: it is started as `/proc/self/exe`.
    rustix::thread::set_name(c"checkd-worker").ok();
    let error = crate::worker::serve(&args.library);
    // Nobody may be left to read it.
    let _unread = writeln!(std::io::stderr().lock(), "checkd worker: {error}");
    ExitCode::from(super::FAILED)
}
