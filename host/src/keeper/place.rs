//! A keeper's place in its state directory: the lock and the socket, and how it comes back to them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::process::{Pid, Signal};
use tokio::net::UnixListener;

use super::{Keeper, note};

/// The lock, in the state directory.
const LOCK: &str = "keeper.lock";
/// The socket, in the state directory.
pub(crate) const SOCKET: &str = "keeper.sock";

/// The directory and a way to name files in it that fits into a socket address however long its path
/// is.
pub(crate) fn below(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let flags = i32::try_from((OFlags::PATH | OFlags::DIRECTORY).bits()).unwrap_or(0);
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, path))
}

pub(super) struct Held {
    pub(super) lock: OwnedFd,
    pub(super) listener: UnixListener,
    /// What our socket is on its file system: at its path there may be another keeper's by now.
    pub(super) socket: Option<(u64, u64)>,
}

/// What stands at a path: device and inode.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

impl Held {
    /// Takes a place in the state directory again, should ours have been removed; nothing changes where it
    /// was not.
    pub(super) fn come_back(&mut self, keeper: &Keeper, state_dir: &Path) -> io::Result<()> {
        if identity(&state_dir.join(SOCKET)) == self.socket {
            return Ok(());
        }
        let own = rustix::fs::fstat(&self.lock)?;
        let lock = if identity(&state_dir.join(LOCK)) == Some((own.st_dev, own.st_ino)) {
            // Only the socket was taken away.
            self.lock.try_clone()?
        } else {
            lock(state_dir)?
        };
        *self = listen(state_dir, lock)?;
        keeper.0.started.settle_again();
        note("the files of this keeper were removed; it has made them again");
        Ok(())
    }

    /// Nobody shall find our socket any more; another keeper's is left alone.
    pub(super) fn remove_socket(&self, state_dir: &Path) {
        let path = state_dir.join(SOCKET);
        if self.socket.is_some() && identity(&path) == self.socket {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Asks a keeper whose lock and socket were removed to come back to its place.
pub(super) fn call_back(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // A keeper hears this signal, and does nothing worse than to look at its place.
        rustix::process::kill_process(pid, Signal::HUP).ok();
    }
}

pub(super) fn begin(keeper: &Keeper, state_dir: &Path) -> io::Result<Held> {
    let lock = lock(state_dir)?;
    if let Some(pid) = keeper.homeless() {
        drop(lock);
        call_back(pid);
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "keeper {pid}, whose files were removed, still keeps members of this directory; it is \
                 asked to come back to its place, and this one ends; after `kill -KILL {pid}` another \
                 one takes its members over"
            ),
        ));
    }
    listen(state_dir, lock)
}

/// Takes the lock of a state directory.
pub(super) fn lock(state_dir: &Path) -> io::Result<OwnedFd> {
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(state_dir.join(LOCK))?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if !state_dir.join(SOCKET).exists() {
            // Its socket was taken away, and nobody finds it.
            let holder = std::io::read_to_string(&lock)?;
            holder.trim().parse().into_iter().for_each(call_back);
        }
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another keeper serves this state directory",
        ));
    }
    // For whoever finds it taken; on a full disk nobody does.
    drop(
        lock.set_len(0)
            .and_then(|()| writeln!(&lock, "{}", std::process::id())),
    );
    Ok(lock.into())
}

/// Listens in a state directory whose lock is held.
pub(super) fn listen(state_dir: &Path, lock: OwnedFd) -> io::Result<Held> {
    // Nobody can listen there: whoever did held the lock.
    let (_directory, path) = below(state_dir, SOCKET)?;
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Held {
        lock,
        listener,
        socket: identity(&path),
    })
}

/// Whether a keeper serves this state directory, other than the one that is served by us.
pub(super) fn is_served(state_dir: &Path) -> bool {
    // Whoever only looks may not keep a keeper from starting for longer than this moment.
    File::open(state_dir.join(LOCK)).is_ok_and(|lock| {
        let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
        locked == Err(rustix::io::Errno::WOULDBLOCK)
    })
}
