//! Going on as another program in place: the process stays, so children stay children.
//!
//! What the keeper knows goes into a file in memory, what it holds open stays open, and the program
//! is replaced. Should that fail, everything stands as before.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use checkd_core::IntentId;
use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

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
        File::open(path)?.read_exact(&mut head)?;
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

/// What a program says that read the memory and lost nothing of it.
const GOES_ON: &str = "checkd keeper goes on";
/// So long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file in memory that holds what the next program must know.
fn written(memory: &Memory) -> io::Result<File> {
    let file = rustix::fs::memfd_create("checkd-keeper", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    serde_json::to_writer(&file, memory)?;
    file.flush()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// A program that is asked whether it can go on, in a process beside ours.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) pid: u32,
    answer: Receiver,
}

/// Begins to ask.
///
/// # Errors
/// It cannot even begin.
pub(super) fn begin_trial(program: &Path, state_dir: &Path, memory: &Memory) -> io::Result<Trial> {
    fits(program)?;
    let mut command = Command::new(program);
    command
        .arg0("checkd")
        .args(["keeper", "--try"])
        .arg(state_dir)
        .stdin(written(memory)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    // Whoever reaps our children reaps it.
    let answer = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Trial {
        pid: child.id(),
        answer: Receiver::from_owned_fd(answer.into())?,
    })
}

impl Trial {
    /// Waits for the answer.
    ///
    /// # Errors
    /// It cannot go on, or did not say that it can.
    pub(super) async fn judge(self) -> io::Result<()> {
        let mut text = String::new();
        let mut answer = self.answer.take(4096);
        let read = tokio::time::timeout(PATIENCE, answer.read_to_string(&mut text)).await;
        let why = match read {
            Ok(Ok(_)) if text.trim_end() == GOES_ON => return Ok(()),
            Ok(Ok(0)) => "tried, it ended without a word that it can go on".to_owned(),
            Ok(Ok(_)) => format!(
                "tried, it says: {}",
                text.lines().next().unwrap_or_default()
            ),
            Ok(Err(_)) => "tried, it says what is no text".to_owned(),
            Err(_) => format!("tried, it says nothing within {}s", PATIENCE.as_secs()),
        };
        Err(io::Error::other(why))
    }
}

/// As the program that is tried: whether the memory on standard input is understood, all of it.
pub fn try_out() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let answer = match understood(&text) {
        Ok(()) => GOES_ON.to_owned(),
        Err(why) => why,
    };
    writeln!(io::stdout().lock(), "{answer}")
}

fn understood(text: &[u8]) -> Result<(), String> {
    let told = |error: serde_json::Error| format!("cannot read what the keeper knows: {error}");
    let given: Value = serde_json::from_slice(text).map_err(told)?;
    let memory: Memory = serde_json::from_slice(text).map_err(told)?;
    let kept = serde_json::to_value(memory).map_err(told)?;
    match lost(&given, &kept) {
        Some(key) => Err(format!(
            "does not know `{key}`, which the keeper that runs must not lose"
        )),
        None => Ok(()),
    }
}

/// What of `given` is not in `kept`; what was added has a default.
fn lost(given: &Value, kept: &Value) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            given.iter().find_map(|(key, value)| match kept.get(key) {
                Some(kept) => lost(value, kept),
                None => Some(key.clone()),
            })
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            given.iter().zip(kept).find_map(|(g, k)| lost(g, k))
        }
        _ => (given != kept).then(|| given.to_string()),
    }
}

/// Becomes `program`. Returns only when that failed.
pub(super) fn become_program(
    program: &Path,
    state_dir: &Path,
    rest: &[std::ffi::OsString],
    memory: &Memory,
) -> io::Error {
    if let Err(error) = fits(program) {
        return error;
    }
    let file = written(memory).and_then(|file| {
        inherit(file.as_fd(), true)?;
        Ok(file)
    });
    let file = match file {
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
    // Until the new program hears signals they wait: their default is to end us.
    hold_signals(true);
    Point::KeeperHandedOver.pass();
    let error = command.exec();
    hold_signals(false);
    crate::open_files::raise_soft();
    error
}

/// Holds signals back that would end us before we hear them, or lets them come; a replaced program
/// leaves them as they are.
#[expect(unsafe_code, reason = "neither std nor rustix offers the signal mask")]
pub(super) fn hold_signals(hold: bool) {
    let how = if hold {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: the set is made empty before it is used, lives on this stack, and none of the calls
    // keeps a pointer to it; the numbers are those of signals, so the calls cannot fail.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// What the program before left in `fd`.
///
/// # Errors
/// It is not there, or was written by a program that we do not understand.
pub(super) fn recall(fd: RawFd) -> io::Result<Memory> {
    let mut text = Vec::new();
    let file = taken(fd).ok_or(io::ErrorKind::InvalidInput)?;
    File::from(file).read_to_end(&mut text)?;
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

#[cfg(test)]
mod tests {
    use super::understood;

    const MEMORY: &str = r#"{"lock":4,"listener":5,"lives":[],"acts":[],"exits":[],"forgotten":0,
        "highest":3,"daemon":null"#;

    #[test]
    fn only_who_understands_all_of_the_memory_goes_on() {
        assert_eq!(understood(format!("{MEMORY}}}").as_bytes()), Ok(()));
        // What an older keeper does not write has a default.
        let older = MEMORY.replace(r#","daemon":null"#, "");
        assert!(
            understood(format!("{older}}}").as_bytes()).is_ok(),
            "{older}"
        );
        let newer = format!(r#"{MEMORY},"watches":[1]}}"#);
        let told = understood(newer.as_bytes()).unwrap_err();
        assert!(told.contains("does not know `watches`"), "{told}");
        assert!(understood(b"{}").is_err() && understood(b"").is_err());
    }
}
