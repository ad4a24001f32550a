//! How a verb finds the daemon: by `--control`, by the environment, by the configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::config::{Document, Table, Value};
use checkd_core::diagnostic::{Diagnostic, Severity};

use crate::api::client::{Control, Failure};
use crate::api::selector::Unknown;
use crate::config::Loaded;
use crate::journal::Reader;
use crate::state_dir;

use super::{Daemon, FAILED, Layers, USAGE, tell};

/// The codes of refusals that are the user's to mend.
const OF_USAGE: [&str; 2] = ["C0507", "C0510"];

/// Where a verb looks.
#[derive(Debug)]
pub(crate) struct Place {
    /// The control socket of the daemon that is meant.
    pub(crate) control: Control,
    /// What the configuration says; nothing when the socket was named, for then a configuration may
    /// be another daemon's.
    pub(crate) home: Option<Home>,
}

/// What a configuration says about files.
#[derive(Debug)]
pub(crate) struct Home {
    /// The state directory.
    pub(crate) state: PathBuf,
    /// The merged tree; empty where it cannot be read.
    pub(crate) document: Document,
}

/// The control socket of the daemon that is meant, from any directory.
pub(crate) fn control(daemon: &Daemon) -> Control {
    place(daemon).control
}

/// Where the daemon that is meant listens, and where it keeps its files, from any directory.
pub(crate) fn place(daemon: &Daemon) -> Place {
    let named = |path: PathBuf, chosen_by: &str| Place {
        control: Control {
            path,
            chosen_by: chosen_by.to_owned(),
        },
        home: None,
    };
    if let Some(path) = &daemon.control {
        return named(path.clone(), "`--control`");
    }
    if let Some(path) = std::env::var_os("CHECKD_CONTROL").filter(|path| !path.is_empty()) {
        return named(path.into(), "$CHECKD_CONTROL");
    }
    by_configuration()
}

/// The same by the configuration alone, so that its files are known.
pub(crate) fn by_configuration() -> Place {
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
    let (state, path) = files_of(file.as_deref(), &document);
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
    Place {
        control: Control { path, chosen_by },
        home: Some(Home { state, document }),
    }
}

/// The state directory and the control socket of a configuration.
pub(crate) fn files_of(file: Option<&Path>, document: &Document) -> (PathBuf, PathBuf) {
    let base = file.map(base_of).unwrap_or_default();
    let text = |key: &str| text_at(document, &["daemon", key]);
    let state = state_dir::path_of(text("state_dir"), &base);
    let control = state_dir::control_of(text("control"), &state, &base);
    (state, control)
}

/// The directory that relative paths of a configuration are seen from: where its file is.
pub(crate) fn base_of(file: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    here.join(file).parent().map_or(here, Path::to_path_buf)
}

/// A text of the document, by its path.
pub(crate) fn text_at<'a>(document: &'a Document, path: &[&str]) -> Option<&'a str> {
    let (last, tables) = path.split_last()?;
    let find = |table: &'a Table, key: &str| {
        table
            .entries
            .iter()
            .find(|(name, _, _)| name == key)
            .map(|(_, _, node)| &node.value)
    };
    let mut table = &document.root;
    for key in tables {
        let Value::Table(inner) = find(table, key)? else {
            return None;
        };
        table = inner;
    }
    let Value::Text(text) = find(table, last)? else {
        return None;
    };
    Some(text)
}

/// Whether nobody listens at all, so that the journal is nobody's.
pub(crate) fn nobody(failure: &Failure) -> bool {
    matches!(failure, Failure::Silent(told) if told.code == "C0506")
}

/// The journal of the daemon that does not answer, to be read without it.
///
/// # Errors
/// What to end with, told: another daemon's socket was named, or the journal cannot be read.
pub(crate) fn journal(place: &Place, failure: &Failure) -> Result<Reader, ExitCode> {
    let Some(home) = place.home.as_ref().filter(|_| nobody(failure)) else {
        return Err(no_answer(failure));
    };
    let path = home.state.join("journal.db");
    let reader = Reader::new(path.clone());
    if let Err(why) = reader.usable() {
        let told = of_unreadable(&path, &why)
            .note(format!(
                "no daemon answers at `{}`",
                place.control.path.display()
            ))
            .note(format!("both were chosen by {}", place.control.chosen_by));
        tell::tell(&told);
        return Err(ExitCode::from(FAILED));
    }
    tell::say(&format!(
        "no daemon answers; this is from its journal `{}`",
        path.display()
    ));
    Ok(reader)
}

/// Tells that a selector names nothing, and gives the exit code for it.
pub(crate) fn names_nothing(unknown: Unknown) -> ExitCode {
    let told = Diagnostic::error("C0507", unknown.message).note(unknown.note);
    tell::tell(&match unknown.help {
        Some(help) => told.help(help),
        None => told,
    });
    ExitCode::from(USAGE)
}

/// What to tell of a journal that cannot be read.
pub(crate) fn of_unreadable(path: &Path, why: &str) -> Diagnostic {
    let file = path.display();
    let told = Diagnostic::error("C0514", format!("journal `{file}` cannot be read: {why}"));
    told.help(if path.exists() {
        format!(
            "when it is damaged, the next `checkd run` sets it aside and begins another; \
             `sqlite3 {file} .recover` gets out of it what can still be read"
        )
    } else {
        "name the state directory that the daemon uses, or its configuration with \
         `CHECKD_CONFIG`"
            .to_owned()
    })
}

/// Tells that the journal could not be read after all, and gives the exit code for it.
pub(crate) fn unreadable(path: &Path, why: &str) -> ExitCode {
    tell::tell(&of_unreadable(path, why));
    ExitCode::from(FAILED)
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
