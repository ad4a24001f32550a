//! `checkd run`: the daemon, in the foreground.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use checkd_core::config::changed;
use checkd_core::plan::Mode;

use crate::config::{Configured, Purpose, configure};
use crate::daemon::{self, Setup};
use crate::keeper;
use crate::plugin::Catalog;
use crate::render;
use crate::state_dir;

use super::{FAILED, Layers, USAGE, find, tell};

/// Arguments of `checkd run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    layers: Layers,
    /// Only record what would be done: nothing is restarted. Members are still started.
    #[arg(long)]
    observe: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    let Args { layers, observe } = args;
    let Configured {
        plan,
        catalog,
        document,
        diagnostics,
        file,
    } = configure(&layers, Purpose::Run);
    let first = std::process::id() == 1;
    if !first || plan.is_none() {
        // Where standard error is closed there is nobody to tell.
        drop(render::to_stderr(&diagnostics, &document.sources));
    }
    let Some(mut plan) = plan else {
        tell::say("checkd did not start; nothing was changed");
        return ExitCode::from(USAGE);
    };
    if observe {
        for group in &mut plan.groups {
            group.mode = Mode::Observe;
        }
    }
    let file = file.unwrap_or_else(|| PathBuf::from("checkd.toml"));
    if first {
        drop(catalog);
        let configured = plan.daemon.state_dir.as_deref();
        return keep(state_dir::path_of(configured, &find::base_of(&file)));
    }
    let setup = Setup {
        base: find::base_of(&file),
        source: file.display().to_string(),
        plan: Arc::new(plan),
        catalog: Arc::new(catalog.unwrap_or_else(|| Catalog::open(&[], &[]).0)),
        layers,
        observe,
        changed: changed(&document)
            .into_iter()
            .map(|c| format!("{} = {} (default: {})", c.path, c.value, c.default))
            .collect(),
    };
    match daemon::run(setup) {
        Ok(code) => code,
        Err(told) => {
            tell::tell(&told);
            // A full disk, a lock that is held, a busy machine: trying again may help, and whoever
            // runs us tries again unless it hears that the configuration is wrong.
            ExitCode::from(FAILED)
        }
    }
}

/// As the first process of a container we are the keeper, and the daemon is our child: whatever
/// becomes of it, members keep their parent, and orphans are reaped.
fn keep(state_dir: PathBuf) -> ExitCode {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&state_dir);
    let mut daemon = vec![OsString::from("/proc/self/exe")];
    daemon.extend(std::env::args_os().skip(1));
    let kept = made.and_then(|()| {
        keeper::run(keeper::Setup {
            state_dir,
            resume: None,
            daemon,
            alone: true,
        })
    });
    match kept {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tell::say(&format!(
                "checkd cannot keep members as the first process: {error}"
            ));
            ExitCode::from(FAILED)
        }
    }
}
