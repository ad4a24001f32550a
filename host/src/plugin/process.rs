//! A worker as a process: how it is started, what it prints, how it ended.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::confine::Confine;
use super::image::Image;
use super::limiter::{Limiter, Line};
use super::protocol::bounded;
use super::secrets::cleared;

/// How long a worker that closed its stream may take to end by itself, so that we learn how.
const ENDING: Duration = Duration::from_millis(500);

/// How long a guard may take to end a worker and whatever that started.
const SWEEPING: Timespec = Timespec {
    tv_sec: 3,
    tv_nsec: 0,
};

/// The longest line of output that is kept.
const OUTPUT_LINE_MAX: usize = 1 << 10;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The plugin's name, for the log.
    pub(crate) plugin: Arc<str>,
    /// Program and arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Where it is started; `None`: where we are.
    directory: Option<String>,
    /// Kept as long as a worker may be started on it.
    image: Option<Arc<Image>>,
    /// Whether a guard comes before it, for it is `checkd worker`.
    guarded: bool,
    /// What it may reach, for a person; `None`: whatever its user may.
    reach: Option<String>,
    /// What it may take, for a person; `None`: what checkd was started with.
    pub(super) bounds: Option<String>,
}

impl Launch {
    /// `program worker LIBRARY`.
    pub(crate) fn library(plugin: &str, program: &Path, image: Image, confine: &Confine) -> Self {
        let mut arguments = worker(program, confine);
        arguments.extend(["--".into(), image.path().into()]);
        Self {
            plugin: plugin.into(),
            arguments,
            directory: None,
            image: Some(Arc::new(image)),
            guarded: true,
            reach: confine.reach(),
            bounds: confine.bounds(),
        }
    }

    /// `program worker --command WORDS`: a program that speaks the protocol itself.
    pub(crate) fn command(
        plugin: &str,
        program: &Path,
        command: &[String],
        directory: Option<&str>,
        confine: &Confine,
    ) -> Self {
        // The program of unit tests is no checkd.
        if cfg!(test) {
            return Self::bare(plugin, command, directory);
        }
        let mut arguments = worker(program, confine);
        arguments.extend(["--command".into(), "--".into()]);
        arguments.extend(command.iter().map(OsString::from));
        Self {
            plugin: plugin.into(),
            arguments,
            directory: directory.map(str::to_owned),
            image: None,
            guarded: true,
            reach: confine.reach(),
            bounds: confine.bounds(),
        }
    }

    /// A program that speaks the protocol itself, without a guard before it: for tests of what lies
    /// above it.
    pub(crate) fn bare(plugin: &str, command: &[String], directory: Option<&str>) -> Self {
        Self {
            plugin: plugin.into(),
            arguments: command.iter().map(OsString::from).collect(),
            directory: directory.map(str::to_owned),
            image: None,
            guarded: false,
            reach: None,
            bounds: None,
        }
    }

    /// `trouble`, with what it is confined to, when it is: that may be the reason.
    pub(crate) fn with_reach(&self, trouble: String) -> String {
        match &self.reach {
            Some(reach) => format!("{trouble}; its worker {reach}"),
            None => trouble,
        }
    }

    /// As [`with_reach`](Self::with_reach), of one that did not even begin: it may have been given too
    /// little for that.
    pub(crate) fn with_all(&self, trouble: String) -> String {
        let trouble = self.with_reach(trouble);
        match &self.bounds {
            Some(bounds) => format!("{trouble}; its worker {bounds}"),
            None => trouble,
        }
    }

    /// Whether it is a worker for a library, not a program of its own.
    pub(crate) fn is_library(&self) -> bool {
        self.image.is_some()
    }

    /// Starts it: its standard input is the other end of the stream, its output goes to the log.
    ///
    /// It leads a process group of its own, so a Ctrl-C at the daemon's terminal is not for it. Its
    /// guard sees to it that what it started dies with it.
    pub(crate) fn start(&self) -> io::Result<(Process, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let (output, printer) = io::pipe()?;
        let (guard, leash) = if self.guarded {
            let (ours, theirs) = UnixStream::pair()?;
            (Some(ours), Some(theirs))
        } else {
            (None, None)
        };
        let errors = match leash {
            Some(leash) => OwnedFd::from(leash),
            None => printer.try_clone()?.into(),
        };
        let mut words = self.arguments.iter();
        let program = words
            .next()
            .ok_or_else(|| io::Error::other("the command is empty"))?;
        let directory = self.directory.as_deref();
        let program = match program.to_str() {
            Some(word) if !self.guarded => super::program::program(word, directory),
            _ => program.into(),
        };
        let mut command = Command::new(program);
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        if self.guarded {
            // What a person who lists processes looks for.
            command.arg0(format!("checkd: plugin {}", self.plugin));
        }
        let child = command
            .args(words)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(printer)
            .stderr(errors)
            .process_group(0)
            .spawn()?;
        let last = Arc::new(Mutex::new(LastLine::default()));
        let plugin = Arc::clone(&self.plugin);
        let kept = Arc::clone(&last);
        // One small thread a worker: it blocks on a pipe, and ends with the last process that
        // holds the pipe open.
        std::thread::Builder::new()
            .name("worker-output".into())
            .stack_size(128 << 10)
            .spawn(move || log_output(&plugin, output, &kept))?;
        Ok((
            Process {
                pid: child.id(),
                child: Mutex::new(Some(child)),
                guard,
                last,
            },
            ours,
        ))
    }
}

/// The words that make a program a guarded and confined worker.
fn worker(program: &Path, confine: &Confine) -> Vec<OsString> {
    let confine = confine.argument().into();
    vec![program.into(), "worker".into(), "--confine".into(), confine]
}

/// A started worker. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    /// `None` once it was reaped: from then on its pid may be another's.
    child: Mutex<Option<Child>>,
    /// The other end is the guard's: at its end it ends the worker, and whatever that started; and it
    /// says there what stays below it.
    guard: Option<UnixStream>,
    last: Arc<Mutex<LastLine>>,
}

/// The last line that a worker printed and that holds a word.
#[derive(Debug, Default)]
struct LastLine {
    text: String,
    /// True at the end of the output.
    ended: bool,
}

impl Process {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The stream on which its guard says what stays below it; `None` when it has none.
    pub(super) fn hears(&self) -> Option<UnixStream> {
        self.guard.as_ref()?.try_clone().ok()
    }

    /// Kills it and what it started. Its stream ends.
    pub(crate) fn kill(&self) {
        if self.leave_to_guard() {
            return;
        }
        if let Some(child) = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            kill_group(child);
        }
    }

    /// Whether it ends by itself within `limit`. Blocks.
    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // One that cannot be opened is there no more.
        let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return true;
        };
        let wait = Timespec::try_from(limit).ok();
        matches!(
            poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], wait.as_ref()),
            Ok(1)
        )
    }

    /// Waits until it has ended, and says how, for a person. Blocks; one that closed its stream and
    /// lives on is killed.
    pub(crate) fn ending(&self) -> String {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(ENDING.subsec_nanos()),
            };
            let _nothing_if_it_fails = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&wait));
        }
        let child = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut child) = child else {
            return "ended".into();
        };
        // Looked at without reaping: until `wait` below its pid, and so its group, cannot be
        // another's. A group that is empty is no error for us.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let lived_on = pid.is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), options), Ok(None)));
        self.finish(&mut child);
        let ending = match child.wait() {
            Ok(_) if lived_on => "closed its stream and was killed".into(),
            Ok(status) => how(status),
            Err(error) => format!("ended ({error})"),
        };
        match self.last_line() {
            line if line.is_empty() => ending,
            line => format!("{ending}; its last output: {line}"),
        }
    }

    /// Lets the guard, where there is one, end the worker and whatever that started.
    fn leave_to_guard(&self) -> bool {
        let leash = self.guard.as_ref();
        leash.is_some_and(|leash| leash.shutdown(Shutdown::Both).is_ok())
    }

    /// Ends a child that was not reaped yet with whatever it started. Blocks.
    fn finish(&self, child: &mut Child) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            && self.leave_to_guard()
        {
            let _nothing_if_it_fails =
                poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&SWEEPING));
        }
        // A guard that was stopped or killed ends nobody.
        kill_group(child);
    }

    /// The last line that it printed; waits a moment for the pipe to be read to its end.
    pub(crate) fn last_line(&self) -> String {
        let until = Instant::now() + Duration::from_millis(100);
        loop {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.ended || Instant::now() >= until {
                return last.text.clone();
            }
            drop(last);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self
            .child
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut child) = child {
            self.finish(&mut child);
            // After SIGKILL this is over at once; without it a zombie would stay.
            let _reaped = child.wait();
        }
    }
}

/// Kills a child that was not reaped yet, with its group.
fn kill_group(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _gone_already = kill_process_group(pid, Signal::KILL);
    }
    let _gone_already = child.kill();
}

/// `ended by SIGSEGV`, `exited with code 3`.
fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("ended by {}", signal_name(signal)),
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended".into(),
    }
}

/// `SIGSEGV` for 11.
fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    name.into()
}

/// Logs what a worker prints, line by line, with the plugin's name.
fn log_output(plugin: &str, output: PipeReader, last: &Mutex<LastLine>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let mut limiter = Limiter::new(Instant::now());
    loop {
        let goes_on = read_output(&mut output, &mut line);
        let text = cleared(bounded(&String::from_utf8_lossy(&line), OUTPUT_LINE_MAX));
        if !text.is_empty() {
            let verdict = limiter.take(Instant::now());
            if let Line::LogAfter(lines) = verdict {
                tracing::warn!(plugin, lines, "plugin output was too much to log");
            }
            if verdict != Line::Drop {
                tracing::info!(plugin, line = text, "plugin output");
            }
            // `{` or `---` at the end of a long output says nothing to a person.
            if text.chars().any(char::is_alphabetic) {
                last.lock().unwrap_or_else(PoisonError::into_inner).text = text;
            }
        }
        if !goes_on {
            break;
        }
    }
    if limiter.held_back() > 0 {
        tracing::warn!(
            plugin,
            lines = limiter.held_back(),
            "plugin output was too much to log"
        );
    }
    last.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}

/// Reads one line of any length and keeps its beginning; false at the end.
fn read_output(output: &mut impl BufRead, line: &mut Vec<u8>) -> bool {
    line.clear();
    loop {
        let seen = match output.fill_buf() {
            Ok([]) => return false,
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return false,
        };
        let end = seen.iter().position(|&byte| byte == b'\n');
        let part = seen.get(..end.unwrap_or(seen.len())).unwrap_or_default();
        let room = OUTPUT_LINE_MAX.saturating_sub(line.len());
        line.extend_from_slice(part.get(..room).unwrap_or(part));
        let used = end.map_or(seen.len(), |end| end + 1);
        output.consume(used);
        if end.is_some() {
            return true;
        }
    }
}

#[cfg(test)]
mod tests;
