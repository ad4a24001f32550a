//! A journal that is lost under the daemon: its file was removed, or its pages are damaged.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rustix::fs::FlockOperation;

use super::open;
use crate::manager::plain;

/// What of a damaged journal is worth carrying over, each as far as it can be read: who lives, what is
/// kept of each member, and what was done. Runs are left behind.
const CARRIED: [&str; 7] = [
    "daemon",
    "life",
    "kept",
    "action",
    "decision",
    "transition",
    "operator",
];

/// Where the journal is, and which file was opened there.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: Option<(u64, u64)>,
    /// Who may look into the directory.
    mode: Option<Permissions>,
    /// That of a directory that was made again: the first one's went with it.
    lock: Option<File>,
    /// Another checkd has the directory, or had it meanwhile: what is there is its own.
    ousted: Arc<AtomicBool>,
}

impl Place {
    /// The journal at `path`, which is open.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: identity(path),
            mode: path
                .parent()
                .and_then(|directory| std::fs::metadata(directory).ok())
                .map(|facts| facts.permissions()),
            lock: None,
            ousted: Arc::default(),
        }
    }

    /// Tells whether the place is another's by now.
    pub(super) fn ousted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ousted)
    }

    /// Whether the file that is written is the one at its path: what is stored anywhere else is lost
    /// with this process.
    pub(super) fn holds(&self) -> bool {
        let found = identity(&self.path);
        found.is_some() && found == self.file
    }

    /// Writes the whole journal to its place again, from what is still open.
    ///
    /// # Errors
    /// One line: what keeps it from there.
    pub(super) fn restore(&mut self, lost: &Connection) -> Result<Connection, String> {
        let gone = |why: String| format!("its file was removed, and cannot be made again: {why}");
        self.restored(lost).map_err(gone)
    }

    fn restored(&mut self, lost: &Connection) -> Result<Connection, String> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .and_then(|()| match &self.mode {
                // Whoever writes output may have made it before us, for others to read.
                Some(mode) => std::fs::set_permissions(directory, mode.clone()),
                None => Ok(()),
            })
            .map_err(|e| plain(&e))?;
        let lock = match take(&directory.join("lock"), self.lock.as_ref())? {
            Lock::Anew(lock) => Some(lock),
            Lock::Held => None,
            Lock::Anothers => {
                self.ousted.store(true, Ordering::Relaxed);
                return Err("another checkd took the directory".to_owned());
            }
        };
        if self.path.exists() {
            // A lock that was not ours until now says whose directory this was.
            self.ousted.fetch_or(lock.is_some(), Ordering::Relaxed);
            return Err("another file is in its place".to_owned());
        }
        // Whole, and then in its place in one step.
        let mut fresh = self.path.clone().into_os_string();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        // Left by an attempt that found no room.
        drop(std::fs::remove_file(&fresh));
        lost.execute("VACUUM INTO ?", [fresh.to_string_lossy()])
            .map_err(|e| open::words(&e))?;
        File::open(&fresh)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&fresh, &self.path))
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(|e| plain(&e))?;
        let connection = open::begin(&self.path).map_err(|e| open::words(&e))?;
        forsake(lost);
        self.file = identity(&self.path);
        if lock.is_some() {
            self.lock = lock;
        }
        Ok(connection)
    }

    /// Sets the damaged file aside and begins another, with what can still be read.
    ///
    /// # Errors
    /// One line: what keeps the new one from its place.
    pub(super) fn begin_anew(&mut self, damaged: &Connection) -> Result<Connection, String> {
        forsake(damaged);
        let (aside, _) = open::set_aside(&self.path, "is damaged").map_err(|told| told.message)?;
        let connection = open::begin(&self.path).map_err(|e| open::words(&e))?;
        self.file = identity(&self.path);
        carry_over(&connection, &aside);
        Ok(connection)
    }
}

/// Keeps `connection` from tidying up at its end: it would do so by names that are another file's by
/// now.
fn forsake(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "the journal before is closed as if it were in its place");
    }
}

fn carry_over(connection: &Connection, aside: &Path) {
    let mut name = String::from("file:");
    for byte in aside.as_os_str().as_encoded_bytes() {
        match byte {
            b'%' | b'?' | b'#' => name.push_str(&format!("%{byte:02x}")),
            _ => name.push(char::from(*byte)),
        }
    }
    name.push_str("?mode=ro");
    let attached = connection.execute("ATTACH ? AS damaged", [name]);
    if let Err(error) = attached {
        tracing::warn!(%error, "nothing of the damaged journal can be read");
        return;
    }
    for table in CARRIED {
        let sql = format!("INSERT OR IGNORE INTO {table} SELECT * FROM damaged.{table}");
        if let Err(error) = connection.execute(&sql, []) {
            tracing::warn!(table, %error, "a part of the damaged journal is lost");
        }
    }
    if let Err(error) = connection.execute("DETACH damaged", []) {
        tracing::debug!(%error, "the damaged journal stays open");
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Whose the lock of the directory is.
enum Lock {
    /// It is the one that is held.
    Held,
    /// It is another file, and ours from now on.
    Anew(File),
    /// It is another file, and another checkd's.
    Anothers,
}

/// Takes the lock of the directory where it is another file than the one that is held.
fn take(path: &Path, held: Option<&File>) -> Result<Lock, String> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| plain(&e))?;
    let same = |held: &File| {
        let (Ok(one), Ok(other)) = (held.metadata(), file.metadata()) else {
            return false;
        };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    if held.is_some_and(same) {
        return Ok(Lock::Held);
    }
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // For the person whose second daemon is refused.
            drop(
                file.set_len(0)
                    .and_then(|()| writeln!(&file, "{}", std::process::id())),
            );
            Ok(Lock::Anew(file))
        }
        // By this very process, when only the journal was removed and the lock is as it was.
        Err(rustix::io::Errno::WOULDBLOCK) if holder(path) == Some(std::process::id()) => {
            Ok(Lock::Held)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Lock::Anothers),
        Err(error) => Err(plain(&error.into())),
    }
}

/// Whose pid is in the lock.
fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
