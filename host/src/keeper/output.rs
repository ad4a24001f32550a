//! The output of members: out of a pipe that nobody can break, into a file that does not grow for
//! ever.
//!
//! A member holds its end of the pipe for reading too, so no death of ours can send it SIGPIPE, and
//! what it wrote stays in the pipe for the next keeper, which opens the same pipe by its path. Bytes
//! are moved by one system call (`splice`): a keeper that is killed at any instant has moved them or
//! has not, so no line is lost or doubled.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, splice, tee};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::plain;
use super::protocol::Output;

/// So much is moved before others have their turn.
const TURN: usize = 256 << 10;
/// A member that writes little is looked at so often at most: one wake-up for many lines.
const PAUSE: Duration = Duration::from_millis(5);
/// How long we wait before a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// So long a full disk may hold a member up; then its output is dropped, counted, and it goes on.
const HOLD_UP: Duration = Duration::from_secs(5);

/// What a member gets as standard output and error.
#[derive(Debug)]
pub(super) struct Ends {
    /// The member's end.
    pub(super) member: File,
    /// Ours; nothing when the member writes a device or a pipe of somebody else itself.
    pub(super) ours: Option<OwnedFd>,
}

/// Opens the way of a member's output, and its file, so that a mistake is told before the start.
///
/// # Errors
/// One line for a person.
pub(super) fn open(output: &Output, owner: Option<u32>) -> Result<Ends, String> {
    if let Some(direct) = direct(&output.path)? {
        return Ok(Ends {
            member: direct,
            ours: None,
        });
    }
    drop(open_file(&output.path)?);
    let told = |e: &io::Error| {
        format!(
            "cannot make the pipe `{}` for its output: {}",
            output.pipe.display(),
            plain(e)
        )
    };
    make_directory(&output.pipe)?;
    match rustix::fs::mkfifoat(CWD, &output.pipe, Mode::from_raw_mode(0o600)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(told(&error.into())),
    }
    let ours = open_pipe(&output.pipe).map_err(|e| told(&e))?;
    let member = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(&output.pipe)
        .map_err(|e| told(&e))?;
    if let Some(uid) = owner {
        // So that the member can open `/dev/stderr` anew.
        let uid = rustix::fs::Uid::from_raw(uid);
        rustix::fs::fchown(&member, Some(uid), None).map_err(|e| told(&e.into()))?;
    }
    Ok(Ends {
        member,
        ours: Some(ours),
    })
}

/// Moves what a life left in its pipe whose end was not seen by the keeper that it had.
pub(super) fn collect(output: Output) {
    // A device is written by the member itself.
    let special = fs::metadata(&output.path).is_ok_and(|meta| !meta.is_file());
    if !special && let Ok(pipe) = open_pipe(&output.pipe) {
        drain(&mut Log::new(output), &pipe);
    }
}

/// Moves what is left: the writers are gone.
fn drain(log: &mut Log, pipe: &OwnedFd) {
    // The pipe has an end, and nobody fills it any more; should somebody, this is bounded.
    for _ in 0..16 {
        match log.take(pipe) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    log.flush();
}

/// Our end of a pipe that is there.
pub(crate) fn open_pipe(path: &Path) -> io::Result<OwnedFd> {
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)?;
    if !pipe.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no pipe is in its place",
        ));
    }
    Ok(pipe.into())
}

/// The same pipe where its path was taken away: through a descriptor that the member writes to. Nothing
/// when it writes elsewhere.
pub(super) fn open_removed_pipe(path: &Path, pid: u32) -> io::Result<Option<OwnedFd>> {
    let mut removed = path.as_os_str().to_owned();
    removed.push(" (deleted)");
    // One of the two may lead elsewhere by now.
    let links = [1, 2].map(|fd| PathBuf::from(format!("/proc/{pid}/fd/{fd}")));
    let ours = |link: &&PathBuf| fs::read_link(link).is_ok_and(|to| to.as_os_str() == removed);
    let Some(link) = links.iter().find(ours) else {
        return Ok(None);
    };
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags(OFlags::NONBLOCK))
        .open(link)?;
    Ok(Some(pipe.into()))
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

/// What is there and is no ordinary file is opened as it is. A device may make whoever opens it wait,
/// and a terminal may take whoever leads a session: neither is for us.
fn direct(path: &Path) -> Result<Option<File>, String> {
    let Some(kind) = fs::metadata(path).ok().map(|meta| meta.file_type()) else {
        return Ok(None);
    };
    if kind.is_file() || kind.is_dir() {
        return Ok(None);
    }
    let told = |e: &io::Error| cannot("open", path, e);
    let open = |also_to_read: bool| {
        OpenOptions::new()
            .read(also_to_read)
            .append(true)
            .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY))
            .open(path)
    };
    // A pipe that is open to be read as well needs no reader to be there, now or later.
    let opened = match open(kind.is_fifo()) {
        Err(e) if kind.is_fifo() && e.kind() == io::ErrorKind::PermissionDenied => open(false),
        opened => opened,
    };
    let opened = opened.map_err(|e| {
        if kind.is_fifo() && e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) {
            format!("nobody reads the pipe `{}` for its output", path.display())
        } else {
            told(&e)
        }
    })?;
    let blocking = rustix::fs::fcntl_getfl(&opened)
        .and_then(|now| rustix::fs::fcntl_setfl(&opened, now - OFlags::NONBLOCK));
    blocking.map_err(|e| told(&e.into()))?;
    Ok(Some(opened))
}

fn make_directory(path: &Path) -> Result<(), String> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(directory)
        .map_err(|e| cannot("make the directory", directory, &e))
}

fn open_file(path: &Path) -> Result<File, String> {
    make_directory(path)?;
    // Not for appending: `splice` refuses that. We are the only writer.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o640)
        .open(path)
        .map_err(|e| cannot("open", path, &e))
}

fn cannot(what: &str, at: &Path, e: &io::Error) -> String {
    format!(
        "cannot {what} `{}` for its output: {}",
        at.display(),
        plain(e)
    )
}

/// Moves the output of one life from its pipe to its file, until it is dropped.
#[derive(Debug)]
pub(super) struct Tap {
    pipe: Rc<AsyncFd<OwnedFd>>,
    log: Rc<RefCell<Log>>,
    mover: JoinHandle<()>,
}

impl Tap {
    /// Begins to move.
    #[expect(unsafe_code, reason = "tokio offers no safe way to watch a descriptor")]
    pub(super) fn begin(pipe: OwnedFd, output: Output) -> Option<Self> {
        // SAFETY: the `AsyncFd` owns the descriptor, nothing else closes it, and an `OwnedFd` names
        // the same descriptor for as long as it lives.
        let pipe = unsafe { AsyncFd::register_with_interest(pipe, Interest::READABLE) }.ok()?;
        let pipe = Rc::new(pipe);
        let log = Rc::new(RefCell::new(Log::new(output)));
        let mover = tokio::task::spawn_local(keep_moving(Rc::clone(&pipe), Rc::clone(&log)));
        Some(Self { pipe, log, mover })
    }

    /// Where the output goes from now on.
    pub(super) fn redirect(&self, output: Output) {
        let mut log = self.log.borrow_mut();
        if log.output != output {
            *log = Log::new(output);
        }
    }

    /// Moves what is left: the writers are gone.
    pub(super) fn drain(&self) {
        drain(&mut self.log.borrow_mut(), self.pipe.get_ref());
    }

    /// Our end, for a keeper that goes on as another program.
    pub(super) fn descriptor(&self) -> RawFd {
        self.pipe.get_ref().as_raw_fd()
    }

    /// So that it is still open then.
    pub(super) fn hand_over(&self, over: bool) -> io::Result<()> {
        super::upgrade::inherit(self.pipe.get_ref().as_fd(), over)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.mover.abort();
    }
}

async fn keep_moving(pipe: Rc<AsyncFd<OwnedFd>>, log: Rc<RefCell<Log>>) {
    let mut failing_since: Option<tokio::time::Instant> = None;
    loop {
        let Ok(mut ready) = pipe.readable().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let moved = log.borrow_mut().take(pipe.get_ref());
        match moved {
            Ok(0) => {
                ready.clear_ready();
                failing_since = None;
            }
            Ok(n) => {
                failing_since = None;
                if n < TURN / 8 {
                    tokio::time::sleep(PAUSE).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                let since = *failing_since.get_or_insert_with(|| {
                    let path = log.borrow().output.path.clone();
                    super::note(&format!("{}: {}", path.display(), plain(&error)));
                    tokio::time::Instant::now()
                });
                if since.elapsed() > HOLD_UP {
                    // The member goes on at its own pace until the file is tried again.
                    let discarding = keep_discarding(&pipe, &log);
                    drop(tokio::time::timeout(AGAIN, discarding).await);
                } else {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn keep_discarding(pipe: &AsyncFd<OwnedFd>, log: &RefCell<Log>) {
    loop {
        if let Ok(mut ready) = pipe.readable().await {
            log.borrow_mut().discard(pipe.get_ref());
            ready.clear_ready();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The file of one member.
#[derive(Debug)]
struct Log {
    output: Output,
    file: Option<File>,
    /// Bytes that were dropped because the file could not be written.
    lost: u64,
    /// With time stamps: a line that has no end yet.
    open_line: bool,
    /// Whether the file was opened before.
    opened: bool,
    /// `splice` does not work with this file system.
    copies: bool,
}

impl Log {
    fn new(output: Output) -> Self {
        Self {
            copies: output.timestamps,
            output,
            file: None,
            lost: 0,
            open_line: false,
            opened: false,
        }
    }

    /// Moves once; 0 when the pipe is empty.
    fn take(&mut self, pipe: &OwnedFd) -> io::Result<usize> {
        self.rotate(pipe);
        self.reopen()?;
        self.say_lost();
        if self.copies {
            self.copy(pipe)
        } else {
            self.splice(pipe)
        }
    }

    fn splice(&mut self, pipe: &OwnedFd) -> io::Result<usize> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut end = file.metadata()?.len();
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(pipe, None, file, Some(&mut end), TURN, flags) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                self.copies = true;
                self.copy(pipe)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn copy(&mut self, pipe: &OwnedFd) -> io::Result<usize> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut bytes = [0u8; 16 << 10];
        let read = match look_into(pipe, &mut bytes) {
            Ok(n) => n,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let bytes = bytes.get(..read).unwrap_or_default();
        let stamped;
        let bytes = if self.output.timestamps {
            stamped = stamp(bytes, &mut self.open_line);
            &stamped
        } else {
            bytes
        };
        let end = file.metadata()?.len();
        let written = file.write_all_at(bytes, end);
        // Only now they leave the pipe: a keeper that is killed in between writes them twice, and
        // loses none.
        take_out(pipe, read)?;
        if let Err(error) = written {
            self.lost += read as u64;
            return Err(error);
        }
        Ok(read)
    }

    /// Opens the file when it is not open, or was taken away by somebody.
    fn reopen(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && file.metadata()?.nlink() > 0
        {
            return Ok(());
        }
        let file = open_file(&self.output.path).map_err(io::Error::other)?;
        if !self.opened {
            // What a keeper before this one wrote last may be the beginning of a line.
            self.opened = true;
            let size = file.metadata()?.len();
            self.open_line = !ends_a_line(&file, size);
        }
        self.file = Some(file);
        Ok(())
    }

    fn say_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        if let Some(file) = &self.file
            && let Ok(meta) = file.metadata()
        {
            let begun = if ends_a_line(file, meta.len()) {
                ""
            } else {
                "\n"
            };
            let lost = self.lost;
            let line = format!("{begun}checkd: {lost} bytes of output were lost here\n");
            if file.write_all_at(line.as_bytes(), meta.len()).is_ok() {
                self.lost = 0;
                let path = self.output.path.display();
                super::note(&format!("{path}: written again, {lost} bytes were lost"));
            }
        }
    }

    /// Drops what is in the pipe: a member shall not stand still for the sake of its log.
    fn discard(&mut self, pipe: &OwnedFd) {
        let mut bytes = [0u8; 16 << 10];
        while let Ok(read @ 1..) = rustix::io::read(pipe, &mut bytes) {
            self.lost += read as u64;
        }
        // Opened anew, and told there, as soon as that works.
        self.file = None;
    }

    /// Sets the file aside when it is large and more is to come, between two lines if the member lets
    /// us: one that never ends a line gets twice the size.
    fn rotate(&mut self, pipe: &OwnedFd) {
        let Some(file) = &self.file else { return };
        let Ok(size) = file.metadata().map(|meta| meta.len()) else {
            return;
        };
        if size < self.output.max_size {
            return;
        }
        let full = ends_a_line(file, size) || size >= self.output.max_size.saturating_mul(2);
        if !full || rustix::io::ioctl_fionread(pipe).unwrap_or(0) == 0 {
            return;
        }
        let old = |n: u32| {
            let mut name = self.output.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        if self.output.keep == 0 {
            drop(fs::remove_file(&self.output.path));
        } else {
            for n in (1..self.output.keep).rev() {
                drop(fs::rename(old(n), old(n + 1)));
            }
            if let Err(error) = fs::rename(&self.output.path, old(1)) {
                let path = self.output.path.display();
                super::note(&format!("{path}: cannot be set aside: {}", plain(&error)));
                return;
            }
        }
        // Fewer may be wanted than before.
        for n in self.output.keep + 1.. {
            if fs::remove_file(old(n)).is_err() {
                break;
            }
        }
        self.file = None;
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            drop(file.flush());
        }
    }
}

/// Whether a file of this size ends with the end of a line, or is empty.
fn ends_a_line(file: &File, size: u64) -> bool {
    let mut last = [0u8; 1];
    let Some(at) = size.checked_sub(1) else {
        return true;
    };
    file.read_exact_at(&mut last, at).is_ok() && last == *b"\n"
}

/// What is in the pipe, which it stays in.
fn look_into(pipe: &OwnedFd, bytes: &mut [u8]) -> Result<usize, Errno> {
    let (mirror, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let seen = tee(pipe, &into, bytes.len(), SpliceFlags::NONBLOCK)?;
    let mut all = 0;
    while all < seen {
        let Some(rest) = bytes.get_mut(all..seen) else {
            break;
        };
        match rustix::io::read(&mirror, rest)? {
            0 => break,
            n => all += n,
        }
    }
    Ok(all)
}

/// Takes out of the pipe what was seen in it.
fn take_out(pipe: &OwnedFd, count: usize) -> Result<(), Errno> {
    let mut bytes = [0u8; 16 << 10];
    let mut left = count;
    while left > 0 {
        let most = left.min(bytes.len());
        let Some(rest) = bytes.get_mut(..most) else {
            break;
        };
        match rustix::io::read(pipe, rest) {
            Ok(0) => break,
            Ok(n) => left -= n,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Puts the time before each line.
fn stamp(bytes: &[u8], open_line: &mut bool) -> Vec<u8> {
    let now = crate::wall::rfc3339(crate::wall::now_ms());
    let mut stamped = Vec::with_capacity(bytes.len() * 2);
    for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !*open_line {
            stamped.extend_from_slice(now.as_bytes());
            stamped.push(b' ');
        }
        stamped.extend_from_slice(piece);
        *open_line = !piece.ends_with(b"\n");
    }
    stamped
}
