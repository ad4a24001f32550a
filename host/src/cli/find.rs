//! How a verb finds the daemon: by `--control`, by the environment, by the configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::api::client::{Control, Failure};
use crate::state_dir;

use super::{Daemon, FAILED, USAGE, tell};

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
    let file = config_path();
    let (base, table) = (base_of(&file), daemon_table(&file));
    let text = |key: &str| {
        let variable = format!("CHECKD__DAEMON__{}", key.to_uppercase());
        let from_env = std::env::var(variable)
            .ok()
            .filter(|value| !value.is_empty());
        from_env.or_else(|| Some(table.as_ref()?.get(key)?.as_str()?.to_owned()))
    };
    let state = state_dir::path_of(text("state_dir").as_deref(), &base);
    let path = state_dir::control_of(text("control").as_deref(), &state, &base);
    let chosen_by = match &table {
        Some(_) => format!("the configuration `{}`", file.display()),
        None => format!(
            "the defaults, for there is no configuration at `{}`",
            file.display()
        ),
    };
    named(path, chosen_by)
}

/// The configuration that is meant when none is named.
pub(crate) fn config_path() -> PathBuf {
    if let Some(path) = std::env::var_os("CHECKD_CONFIG").filter(|path| !path.is_empty()) {
        return path.into();
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/etc/checkd/checkd.toml");
    }
    let below_home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    std::env::var_os("XDG_CONFIG_HOME")
        .filter(|path| Path::new(path).is_absolute())
        .map(PathBuf::from)
        .or_else(below_home)
        .unwrap_or_else(|| PathBuf::from("/etc"))
        .join("checkd/checkd.toml")
}

/// The directory that relative paths of a configuration are seen from: where its file is.
pub(crate) fn base_of(file: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    here.join(file).parent().map_or(here, Path::to_path_buf)
}

/// `[daemon]` of the file. A mistake elsewhere in it is no reason not to find the daemon.
fn daemon_table(file: &Path) -> Option<toml::Table> {
    let text = std::fs::read_to_string(file).ok()?;
    let root: toml::Table = text.parse().ok()?;
    Some(
        root.get("daemon")
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default(),
    )
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
