//! Arguments to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    checkd_host::cli::main()
}
