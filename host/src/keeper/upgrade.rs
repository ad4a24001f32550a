//! Going on as another program in place: the process stays, so children stay children.
//!
//! What the keeper knows goes into a file in memory, what it holds open stays open, and the program
//! is replaced. Should that fail, everything stands as before.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkd_core::IntentId;
use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};

use super::protocol::{Gone, Living, Order, Output};
use crate::points::Point;

/// Everything that the next program must know. A field that is added has a default: an older keeper
/// does not write it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The lock of the state directory.
    pub(super) lock: RawFd,
    /// The socket that listens.
    pub(super) listener: RawFd,
    /// Who lives.
    pub(super) lives: Vec<Remembered>,
    /// Acts, begun or ended.
    pub(super) acts: Vec<Act>,
    /// Ends that were not acknowledged.
    pub(super) exits: Vec<Gone>,
    /// No intent up to this one is done any more, unless it is among `acts`.
    pub(super) forgotten: IntentId,
    /// The highest intent that was ever seen.
    pub(super) highest: IntentId,
    /// As the first process of a container: the daemon.
    #[serde(default)]
    pub(super) daemon: Option<u32>,
    /// What our socket is on its file system.
    #[serde(default)]
    pub(super) socket: Option<(u64, u64)>,
}

/// A living member.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) living: Living,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) known: Vec<(u32, u64)>,
    pub(super) output: Option<Output>,
    /// Our end of its pipe.
    pub(super) pipe: Option<RawFd>,
}

/// An act.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Act {
    pub(super) order: Order,
    /// It was asked to stop and may take until then, in milliseconds since boot.
    pub(super) stops_until: Option<u64>,
    /// It came to its end, well or not.
    pub(super) ended: bool,
    /// The journal holds its outcome.
    #[serde(default)]
    pub(super) acknowledged: bool,
    pub(super) error: Option<String>,
    /// It was told to stop for good meanwhile: what is left of the act is not done.
    #[serde(default)]
    pub(super) overruled: bool,
}

impl Act {
    /// One that is about to begin.
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            stops_until: None,
            ended: false,
            acknowledged: false,
            error: None,
            overruled: false,
        }
    }
}

/// Lets a descriptor live on over the replacement, or not.
pub(super) fn inherit(fd: BorrowedFd<'_>, over: bool) -> io::Result<()> {
    let flags = if over {
        FdFlags::empty()
    } else {
        FdFlags::CLOEXEC
    };
    Ok(rustix::io::fcntl_setfd(fd, flags)?)
}

/// Whether the kernel would take it: what it refuses, the C library hands to a shell, which would be
/// the end of us.
fn fits(program: &Path) -> io::Result<()> {
    // Kind, class, type and machine.
    let head = |path: &Path| -> io::Result<[u8; 64]> {
        let mut head = [0; 64];
        std::fs::File::open(path)?.read_exact(&mut head)?;
        Ok(head)
    };
    let strange = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no program of this machine",
        )
    };
    let own = head(Path::new("/proc/self/exe"))?;
    let short = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    let other = head(program).map_err(|e| if short(&e) { strange() } else { e })?;
    if own.get(..20) == other.get(..20) {
        Ok(())
    } else {
        Err(strange())
    }
}

/// Becomes `program`. Returns only when that failed.
pub(super) fn become_program(
    program: &Path,
    state_dir: &Path,
    rest: &[std::ffi::OsString],
    memory: &Memory,
) -> io::Error {
    let written = || -> io::Result<std::fs::File> {
        let file = rustix::fs::memfd_create("checkd-keeper", MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(file);
        serde_json::to_writer(&file, memory)?;
        file.flush()?;
        file.seek(SeekFrom::Start(0))?;
        inherit(file.as_fd(), true)?;
        Ok(file)
    };
    if let Err(error) = fits(program) {
        return error;
    }
    let file = match written() {
        Ok(file) => file,
        Err(error) => return error,
    };
    let mut command = Command::new(program);
    command
        .arg0("checkd")
        .arg("keeper")
        .arg("--resume")
        .arg(file.as_raw_fd().to_string())
        .arg(state_dir)
        .args(rest);
    // It raises the limit itself, and must know what members begin with.
    crate::open_files::as_found(&mut command);
    Point::KeeperHandedOver.pass();
    let error = command.exec();
    crate::open_files::raise_soft();
    error
}

/// What the program before left in `fd`.
///
/// # Errors
/// It is not there, or was written by a program that we do not understand.
pub(super) fn recall(fd: RawFd) -> io::Result<Memory> {
    let mut text = Vec::new();
    let file = taken(fd).ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::File::from(file).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// A descriptor that the program before left open.
#[expect(
    unsafe_code,
    reason = "an inherited descriptor is known by its number only"
)]
pub(super) fn taken(fd: RawFd) -> Option<OwnedFd> {
    // Not one of the three that everybody has, and really open.
    if fd < 3 || std::fs::metadata(format!("/proc/self/fd/{fd}")).is_err() {
        return None;
    }
    // SAFETY: it is open, and the program before left it to us: each number is taken once, before
    // anything else of this program opens one.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    inherit(owned.as_fd(), false).ok()?;
    Some(owned)
}
