//! One file per verb: its arguments, and what it does with them.
//!
//! Exit codes: 0 done, 1 the operation failed, 2 usage or configuration; `check` alone answers
//! 0 pass, 1 warn, 2 fail, 3 unknown. Data on standard output, talk on standard error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod by_hand;
pub mod check;
pub mod explain;
pub(crate) mod find;
pub mod history;
pub mod keeper;
pub mod kinds;
pub mod logs;
pub mod notify;
pub(crate) mod paint;
pub mod plugin;
pub mod replay;
pub mod run;
pub mod schema;
pub mod status;
mod story;
pub mod tell;
pub mod validate;
pub mod wait;
pub mod worker;

/// The operation failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;

/// Checks processes, restarts what needs it, and says why.
#[derive(Debug, Parser)]
#[command(
    name = "checkd",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground.
    Run(run::Args),
    /// Show every mistake in a configuration at once.
    Validate(validate::Args),
    /// Run one check once, without a daemon.
    Check(check::Args),
    /// List what can be checked, or describe one kind.
    Kinds(kinds::Args),
    /// Begin a plugin, or look at plugins.
    Plugin(plugin::Args),
    /// Show groups and members, their verdicts, and what each waits for.
    Status(status::Args),
    /// Say why a member was restarted, or why it was not.
    Explain(explain::Args),
    /// Show what happened, from the journal.
    History(history::Args),
    /// Decide everything in the journal again, and say whether the same comes out.
    Replay(replay::Args),
    /// Show what a member wrote, and go on with what it writes.
    Logs(logs::Args),
    /// Try out who is told when a person is needed.
    Notify(notify::Args),
    /// Wait until members are ready, live or stopped: for deploy scripts.
    Wait(wait::Args),
    /// Restart members, rolling through the budget.
    Restart(by_hand::RestartArgs),
    /// Start members and want them up.
    Start(by_hand::SelectArgs),
    /// Stop members and want them down.
    Stop(by_hand::SelectArgs),
    /// Keep checkd from acting on members for a while.
    Pause(by_hand::PauseArgs),
    /// End a pause.
    Resume(by_hand::ResumeArgs),
    /// Take the configuration and the plugins as they are now.
    Reload(by_hand::ReloadArgs),
    /// Forget failed attempts, so that a member that was given up is tried again. The hold of a group
    /// ends when one of those is named that it is held for; not one for want of what it depends on.
    Reset(by_hand::SelectArgs),
    /// Print a JSON Schema of the configuration for editors.
    Schema(schema::Args),
    /// Serve one plugin library over standard input; started by checkd itself.
    #[command(hide = true)]
    Worker(worker::Args),
    /// Be the parent of members; started by checkd itself.
    #[command(hide = true)]
    Keeper(keeper::Args),
}

/// How a verb finds the daemon.
#[derive(Debug, clap::Args)]
pub struct Daemon {
    /// The daemon's control socket [default: `$CHECKD_CONTROL`, else by the configuration].
    #[arg(long, value_name = "PATH", global = true)]
    pub control: Option<PathBuf>,
}

/// What to read as configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct Layers {
    /// The configuration [default: `$CHECKD_CONFIG`, else /etc/checkd/checkd.toml, or without root
    /// the XDG directory].
    pub file: Option<PathBuf>,
    /// One more value on top, such as `group.shop.policy.fall=3`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs the verb that the arguments name.
pub fn main() -> ExitCode {
    if let Some(args) = worker::alone() {
        return match args {
            Ok(args) => worker::run(args),
            Err(told) => usage(&told),
        };
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return usage(&told),
    };
    let code = verb(arguments.verb);
    if paint::lost() {
        return ExitCode::from(FAILED);
    }
    code
}

fn verb(verb: Verb) -> ExitCode {
    match verb {
        Verb::Run(args) => run::run(args),
        Verb::Validate(args) => validate::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Kinds(args) => kinds::run(args),
        Verb::Plugin(args) => plugin::run(args),
        Verb::Status(args) => status::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::History(args) => history::run(args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Logs(args) => logs::run(args),
        Verb::Notify(args) => notify::run(args),
        Verb::Wait(args) => wait::run(args),
        Verb::Restart(args) => by_hand::restart(args),
        Verb::Start(args) => by_hand::start(args),
        Verb::Stop(args) => by_hand::stop(args),
        Verb::Pause(args) => by_hand::pause(args),
        Verb::Resume(args) => by_hand::resume(args),
        Verb::Reload(args) => by_hand::reload(&args),
        Verb::Reset(args) => by_hand::reset(args),
        Verb::Schema(args) => schema::run(args),
        Verb::Worker(args) => worker::run(args),
        Verb::Keeper(args) => keeper::run(args),
    }
}

/// Tells what is wrong with the arguments, or the help that was asked for.
fn usage(told: &clap::Error) -> ExitCode {
    // Where nobody reads it, the exit code says it.
    drop(told.print());
    if !told.use_stderr() {
        return ExitCode::SUCCESS;
    }
    // To a monitoring, 2 is a failed target.
    let of_check = std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == "check");
    ExitCode::from(if of_check { check::UNKNOWN } else { USAGE })
}
