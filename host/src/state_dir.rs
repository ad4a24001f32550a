//! The state directory: one daemon owns it at a time, and everything that outlives a daemon is in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use checkd_core::diagnostic::Diagnostic;
use rustix::fs::FlockOperation;

use crate::manager::plain;

/// A state directory that this process owns until it ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Holding it open holds the lock; the kernel releases it however we end.
    _lock: File,
}

/// Where the state directory is: as configured, seen from the directory `base` of the configuration;
/// else by who runs checkd.
pub fn path_of(configured: Option<&str>, base: &Path) -> PathBuf {
    configured.map_or_else(default_path, |path| base.join(path))
}

/// `/var/lib/checkd` for root, the XDG state directory for everybody else.
fn default_path() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/checkd");
    }
    let below_home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    std::env::var_os("XDG_STATE_HOME")
        .filter(|path| Path::new(path).is_absolute())
        .map(PathBuf::from)
        .or_else(below_home)
        .unwrap_or_else(|| PathBuf::from("."))
        .join("checkd")
}

/// Where the control socket is: as configured, else in the state directory.
pub fn control_of(configured: Option<&str>, state_dir: &Path, base: &Path) -> PathBuf {
    configured.map_or_else(|| state_dir.join("control.sock"), |path| base.join(path))
}

impl StateDir {
    /// Makes the directory where it does not exist, and takes it for this process.
    ///
    /// # Errors
    /// It cannot be made or written (C0501), or another daemon owns it (C0502). Nothing was changed.
    pub fn take(path: &Path) -> Result<Self, Diagnostic> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| cannot_use(path, "cannot be made", &e))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| cannot_use(path, "cannot be written", &e))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(path, &mut lock)),
            Err(e) => return Err(cannot_use(path, "cannot be locked", &e.into())),
        }
        let noted = lock
            .set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", std::process::id()));
        match noted {
            // The lock is held all the same; the number is for the person.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            noted => noted.map_err(|e| cannot_use(path, "cannot be written", &e))?,
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// Where the output of members goes.
    pub fn output(&self) -> PathBuf {
        self.path.join("output")
    }
}

fn cannot_use(path: &Path, what: &str, error: &io::Error) -> Diagnostic {
    let told = Diagnostic::error(
        "C0501",
        format!(
            "state directory `{}` {what}: {}",
            path.display(),
            plain(error)
        ),
    )
    .note("checkd keeps its journal, its lock and the output of members there")
    .note("nothing was started and nothing was changed");
    let closed = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    if closed.contains(&error.kind()) {
        return told.help("set `state_dir` in `[daemon]` to a directory that this user can write");
    }
    if error.kind() == io::ErrorKind::StorageFull {
        let shown = path.display();
        return told.help(format!(
            "`df {shown}` shows the room; old output may go: `output/GROUP/MEMBER.log.N` in it"
        ));
    }
    told
}

fn taken(path: &Path, lock: &mut File) -> Diagnostic {
    let mut pid = String::new();
    // The number is for the person only; without it the sentence is shorter.
    let pid = match lock.take(20).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!(" (pid {})", pid.trim()),
        _ => String::new(),
    };
    Diagnostic::error(
        "C0502",
        format!(
            "another checkd{pid} already runs on state directory `{}`",
            path.display()
        ),
    )
    .note("two daemons would restart the same members; nothing was started and nothing was changed")
    .help("`checkd status` shows what it does; give a second daemon a `state_dir` of its own")
}

#[cfg(test)]
mod tests {
    use super::StateDir;

    #[test]
    fn a_second_daemon_is_refused_and_told_who_owns_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::take(&dir.path().join("new/state")).unwrap();
        let second = StateDir::take(first.path()).unwrap_err();
        assert_eq!(second.code, "C0502");
        assert!(
            second
                .message
                .contains(&format!("(pid {})", std::process::id())),
            "{second:?}"
        );
        let path = first.path().to_owned();
        drop(first);
        StateDir::take(&path).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_is_an_error_that_names_it() {
        for path in ["/proc/no/such", "/dev/null/state"] {
            let told = StateDir::take(path.as_ref()).unwrap_err();
            assert_eq!(told.code, "C0501");
            assert!(told.message.contains(path), "{told:?}");
        }
    }
}
