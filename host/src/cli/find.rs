//! How a verb finds the daemon: by `--control`, by the environment, by the configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::config::{Document, Table, Value};
use checkd_core::diagnostic::Severity;

use crate::api::client::{Control, Failure};
use crate::config::Loaded;
use crate::state_dir;

use super::{Daemon, FAILED, Layers, USAGE, tell};

/// The codes of refusals that are the user's to mend.
const OF_USAGE: [&str; 2] = ["C0507", "C0510"];

/// The control socket of the daemon that is meant, from any directory.
pub(crate) fn control(daemon: &Daemon) -> Control {
    let named = |path: PathBuf, chosen_by: String| Control { path, chosen_by };
    if let Some(path) = &daemon.control {
        return named(path.clone(), "`--control`".to_owned());
    }
    if let Some(path) = std::env::var_os("CHECKD_CONTROL").filter(|path| !path.is_empty()) {
        return named(path.into(), "$CHECKD_CONTROL".to_owned());
    }
    // A mistake elsewhere in the configuration is no reason not to find the daemon.
    let layers = Layers {
        file: None,
        set: Vec::new(),
    };
    let Loaded {
        document,
        file,
        diagnostics,
    } = crate::config::load(&layers);
    let base = file.as_deref().map(base_of).unwrap_or_default();
    let text = |key: &str| daemon_text(&document, key);
    let state = state_dir::path_of(text("state_dir"), &base);
    let path = state_dir::control_of(text("control"), &state, &base);
    let broken = diagnostics
        .iter()
        .any(|told| told.severity == Severity::Error);
    let chosen_by = match &file {
        Some(file) if broken => {
            format!(
                "the defaults, for `{}` cannot be read: see `checkd validate`",
                file.display()
            )
        }
        Some(file) => format!("the configuration `{}`", file.display()),
        None => "the defaults, for there is no configuration".to_owned(),
    };
    named(path, chosen_by)
}

/// The directory that relative paths of a configuration are seen from: where its file is.
pub(crate) fn base_of(file: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    here.join(file).parent().map_or(here, Path::to_path_buf)
}

/// A text of `[daemon]`.
fn daemon_text<'a>(document: &'a Document, key: &str) -> Option<&'a str> {
    let find = |table: &'a Table, key: &str| {
        table
            .entries
            .iter()
            .find(|(name, _, _)| name == key)
            .map(|(_, _, node)| &node.value)
    };
    let Value::Table(daemon) = find(&document.root, "daemon")? else {
        return None;
    };
    let Value::Text(text) = find(daemon, key)? else {
        return None;
    };
    Some(text)
}

/// Tells why there is no answer, and gives the exit code for it.
pub(crate) fn no_answer(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Silent(told) => {
            tell::tell(told);
            ExitCode::from(FAILED)
        }
        Failure::Refused(refusal) => {
            tell::tell_refusal(refusal);
            let usage = OF_USAGE.contains(&refusal.code.as_str());
            ExitCode::from(if usage { USAGE } else { FAILED })
        }
    }
}
