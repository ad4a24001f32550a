//! `checkd notify`: tries out who is told, with or without a daemon.

use std::process::ExitCode;

use checkd_core::config::{Kinds, UnknownKinds, draft};
use checkd_core::diagnostic::{Diagnostic, Severity, nearest};
use checkd_core::plan::SinkPlan;
use clap::Subcommand;

use crate::config::{Loaded, load};
use crate::render;

use super::{FAILED, Layers, USAGE, find, paint, tell};

/// Arguments of `checkd notify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Send a test message and say what came back.
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// Which: N of `[notify.N]` [default: every one].
    #[arg(value_name = "N")]
    sink: Option<String>,
    /// The configuration [default: `$CHECKD_CONFIG`, else /etc/checkd/checkd.toml, or without root
    /// the XDG directory].
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// One more value on top, such as `notify.pager.timeout=30s`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    let Verb::Test(TestArgs { sink, config, set }) = args.verb;
    let Loaded {
        document,
        file,
        mut diagnostics,
    } = load(&Layers { file: config, set });
    // What the checks mean is of no matter here, and plugins are not asked.
    let draft = draft(&document, &Kinds::new(), UnknownKinds::Tolerate);
    diagnostics.extend(draft.diagnostics);
    diagnostics.retain(|told| told.severity == Severity::Error);
    if !diagnostics.is_empty() {
        // Where standard error is closed there is nobody to tell.
        drop(render::to_stderr(&diagnostics, &document.sources));
        return ExitCode::from(USAGE);
    }
    let all = draft.plan.notify;
    let chosen: Vec<&SinkPlan> = all
        .iter()
        .filter(|one| sink.as_ref().is_none_or(|name| *name == one.name))
        .collect();
    if chosen.is_empty() {
        tell::tell(&nobody(sink.as_deref(), &all));
        return ExitCode::from(USAGE);
    }
    let base = file.as_deref().map(find::base_of).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tell::say(&format!("error: nothing can be sent: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for sink in chosen {
        let (name, kind) = (&sink.name, sink.target.kind());
        match runtime.block_on(crate::notify::test(sink, base.clone())) {
            Ok(answer) => {
                paint::print(&format!("{name} ({kind}): {answer}\n"));
            }
            Err(why) => {
                tell::tell(
                    &Diagnostic::error("C0530", format!("`{name}` cannot be told: {why}"))
                        .note(format!("it is a sink of kind `{kind}`, tried once")),
                );
                code = ExitCode::from(FAILED);
            }
        }
    }
    runtime.shutdown_background();
    code
}

/// There is no such sink, or none at all.
fn nobody(name: Option<&str>, all: &[SinkPlan]) -> Diagnostic {
    let names: Vec<&str> = all.iter().map(|sink| sink.name.as_str()).collect();
    let Some(name) = name.filter(|_| !names.is_empty()) else {
        return Diagnostic::error("C0533", "nobody is told: there is no `[notify.N]`")
            .help("docs/notifications.md shows one of each kind");
    };
    let told = Diagnostic::error("C0533", format!("there is no `[notify.{name}]`"))
        .note(format!("sinks: {}", names.join(", ")));
    match nearest(name, names) {
        Some(near) => told.help(format!("did you mean `{near}`?")),
        None => told,
    }
}
