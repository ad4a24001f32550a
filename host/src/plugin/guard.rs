//! The guard of a worker: a process between the host and the worker that lets nothing of it live on.
//!
//! A process group ends at `setsid`, and a process that forks twice is nobody's child. So a worker's
//! parent is a small copy of `checkd worker` that takes all orphans below it (a subreaper): when the
//! worker ends, however it ends, or when the host wants it to or is gone, the guard kills whatever is
//! left below it, and then ends the way the worker did.
//!
//! The host holds the other end of the guard's standard error: at its end everything ends. The guard
//! says there what stays below it, a line each time; the host judges it.

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process,
    set_child_subreaper, set_parent_process_death_signal, setrlimit, wait,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdout};

use super::leftover::Leftovers;

/// What does not die by SIGKILL within this hangs in the kernel; nobody waits longer for it.
const SWEEP: Duration = Duration::from_secs(2);

/// So often a guard looks at what is below it.
const LOOK: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Puts a guard between the host and this process: returns in the new process, which is the worker,
/// with its guard. Does nothing when no host holds the other end of standard error.
///
/// Must be called while this process has one thread.
pub(crate) fn enter() -> io::Result<Option<Pid>> {
    if socket_domain(stderr()).ok() != Some(AddressFamily::UNIX) {
        return Ok(None);
    }
    let host = fcntl_dupfd_cloexec(stderr(), 3)?;
    dup2_stderr(stdout())?;
    let guard_pid = getpid();
    set_child_subreaper(Some(guard_pid))?;
    match copy()? {
        None => Ok(Some(guard_pid)),
        Some(worker) => guard(worker, host),
    }
}

/// Lets this process end with its guard, which [`enter`] returned. A change of user undoes it.
pub(crate) fn end_with(guard: Pid) -> io::Result<()> {
    // The guard's first thread made us and lives as long as the guard: "the thread that made it" is
    // the whole guard here.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(guard) {
        return Ok(());
    }
    Err(io::Error::other("its guard is gone"))
}

// Of the C library, which std links anyway.
#[expect(unsafe_code, reason = "std and rustix offer neither")]
unsafe extern "C" {
    fn fork() -> i32;
    fn signal(number: i32, handler: usize) -> usize;
}

/// What the kernel does by itself at a signal.
const SIG_DFL: usize = 0;

/// A copy of this process; `None` in the copy.
fn copy() -> io::Result<Option<Pid>> {
    // SAFETY: this process has one thread, so the copy is as whole as this one: no lock is held by a
    // thread that the copy lacks.
    #[expect(unsafe_code, reason = "std and rustix do not fork")]
    let pid = unsafe { fork() };
    match pid {
        ..0 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => Ok(Pid::from_raw(pid)),
    }
}

fn guard(worker: Pid, host: OwnedFd) -> ! {
    // The stream and the output are the worker's: they must end with it.
    if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
        let _as_good_as_it_gets = dup2_stdin(&nothing)
            .and_then(|()| dup2_stdout(&nothing))
            .and_then(|()| dup2_stderr(&nothing));
    }
    let watch = thread::Builder::new()
        .name("guard-watch".into())
        .stack_size(64 << 10)
        .spawn(move || {
            let mut host = UnixStream::from(host);
            let mut leftovers = Leftovers::new(worker);
            loop {
                let mut fds = [PollFd::from_borrowed_fd(host.as_fd(), PollFlags::RDHUP)];
                match poll(&mut fds, Some(&LOOK)) {
                    Ok(0) => {}
                    Err(Errno::INTR) => continue,
                    Ok(_) | Err(_) => break,
                }
                if let Some(said) = leftovers.look(Instant::now()) {
                    // A host that is gone is noticed above.
                    let _unheard = host.write_all(said.line().as_bytes());
                }
            }
            let _gone_already = kill_process(worker, Signal::KILL);
        });
    if watch.is_err() {
        let _gone_already = kill_process(worker, Signal::KILL);
    }
    let ended = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == worker => break Some(status),
            // An orphan that was taken in, and has ended by itself.
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break None,
        }
    };
    sweep();
    end_as(ended)
}

/// Kills whatever is left below this process. What a killed one leaves behind comes to us in turn.
fn sweep() {
    let until = Instant::now() + SWEEP;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            Ok(None) => {}
            Err(_) => return,
        }
        if Instant::now() >= until {
            return;
        }
        for child in children() {
            let _gone_already = kill_process(child, Signal::KILL);
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// The children of this process. None of them is reaped but by the caller, so no pid is another's.
fn children() -> Vec<Pid> {
    let Ok(all) = procfs::process::all_processes() else {
        return Vec::new();
    };
    let ours = getpid().as_raw_pid();
    all.filter_map(|process| {
        let stat = process.ok()?.stat().ok()?;
        (stat.ppid == ours).then(|| Pid::from_raw(stat.pid))?
    })
    .collect()
}

/// Ends this process as its worker ended.
fn end_as(ended: Option<WaitStatus>) -> ! {
    let killed = ended.and_then(WaitStatus::terminating_signal);
    if let Some(number) = killed {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _core_or_not = setrlimit(Resource::Core, none);
        #[expect(
            unsafe_code,
            reason = "the runtime handles some signals and ignores one"
        )]
        // SAFETY: no handler is installed, only what the runtime installed is taken away.
        unsafe {
            signal(number, SIG_DFL);
        }
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ends_here = kill_process(getpid(), signal);
        }
    }
    let code = ended.and_then(WaitStatus::exit_status);
    #[expect(clippy::exit, reason = "this process has nothing left but its code")]
    std::process::exit(code.or(killed.map(|number| 128 + number)).unwrap_or(1))
}
