//! What a confined worker may reach: `allow` in the words of the kernel.
//!
//! Files, other programs and signals are Landlock's, sockets and what reaches into the machine or into
//! other processes are seccomp's. A kernel without one of them confines less: [`lacks`] says what.

mod calls;
mod paths;
mod rights;

use std::ffi::OsString;
use std::path::Path;

use checkd_core::plan::Grant;
use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};

use crate::manager::plain;

/// The newest Landlock whose every right we know; an older kernel gives what it has.
const KNOWN: ABI = ABI::V6;

/// Files and programs as they will be for a worker.
pub(super) struct Sandbox {
    files: RulesetCreated,
    network: bool,
    exec: bool,
    command: bool,
}

impl Sandbox {
    /// Looks every path up, while this process may still see it. `command` is what the process
    /// becomes, when it is not `checkd worker` itself.
    pub(super) fn prepare(allow: &[Grant], command: Option<&[OsString]>) -> Result<Self, String> {
        let exec = allow.contains(&Grant::Exec);
        let network = allow.contains(&Grant::Network);
        let run = if exec {
            AccessFs::Execute.into()
        } else {
            landlock::BitFlags::EMPTY
        };
        let read = AccessFs::ReadFile | AccessFs::ReadDir | run;
        let write = AccessFs::from_all(KNOWN) & !AccessFs::Execute | run;
        let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        let mut files = Files::begin().map_err(|error| cannot(&error))?;
        for path in paths::SYSTEM {
            files.add(path, read)?;
        }
        for path in paths::DEVICES {
            files.add(path, device)?;
        }
        if network && let Some(directory) = paths::resolver() {
            files.add(directory, read)?;
        }
        for path in command.map(paths::programs).unwrap_or_default() {
            files.add(path, AccessFs::ReadFile | AccessFs::Execute)?;
        }
        for path in command
            .unwrap_or_default()
            .iter()
            .filter(|word| Path::new(word).is_file())
        {
            files.add(path, AccessFs::ReadFile.into())?;
        }
        for grant in allow {
            let (path, access) = match grant {
                Grant::Network | Grant::Exec => continue,
                Grant::Read(path) => (path, read),
                Grant::Write(path) => (path, write),
            };
            if !files.add(path, access)? {
                return Err(format!("`allow` names `{grant}`, and there is no `{path}`"));
            }
        }
        Ok(Self {
            files: files.0,
            network,
            exec,
            command: command.is_some(),
        })
    }

    /// Confines this thread and whatever it starts from now on. It must have no privileges to gain.
    pub(super) fn enter(self) -> Result<(), String> {
        self.files.restrict_self().map_err(|error| cannot(&error))?;
        rights::give_up(self.network)
            .map_err(|error| format!("it cannot give rights up: {}", plain(&error.into())))?;
        calls::refuse(self.network, self.exec, self.command)
    }
}

struct Files(RulesetCreated);

impl Files {
    /// Rules that name all that can be ruled, and allow nothing yet.
    fn begin() -> Result<Self, RulesetError> {
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::Signal)?
            .create()?;
        Ok(Self(rules))
    }

    /// Allows `access` to a file, or to all below a directory; false when it is not there.
    fn add(
        &mut self,
        path: impl AsRef<Path>,
        access: landlock::BitFlags<AccessFs>,
    ) -> Result<bool, String> {
        let path = path.as_ref();
        let opened = match PathFd::new(path) {
            Ok(opened) => opened,
            Err(PathFdError::OpenCall { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(false);
            }
            Err(PathFdError::OpenCall { source, .. }) => {
                return Err(format!("`{}`: {}", path.display(), plain(&source)));
            }
            Err(other) => return Err(other.to_string()),
        };
        (&mut self.0)
            .add_rule(PathBeneath::new(opened, access))
            .map_err(|error| cannot(&error))?;
        Ok(true)
    }
}

fn cannot(error: &RulesetError) -> String {
    format!("it cannot be confined: {error}")
}

/// What a confined worker may do on this machine all the same, for its kernel cannot refuse it.
pub(super) fn lacks() -> Vec<&'static str> {
    let mut lacks = Vec::new();
    match calls::landlock_version() {
        0 => lacks.push("it reads, writes, starts and signals whatever its user may"),
        version => {
            if version < 3 {
                lacks.push("it may cut files off that it may not write");
            }
            if version < 6 {
                lacks.push("it may signal other processes of its user");
            }
        }
    }
    if !calls::seccomp() {
        lacks.push("it may open sockets");
    }
    lacks
}

#[cfg(test)]
mod tests;
