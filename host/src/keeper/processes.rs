//! What `/proc` says about processes, and handles that can never mean another process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use checkd_core::Generation;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Process id.
    pub(crate) pid: u32,
    /// Its parent.
    pub(crate) parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Start time in clock ticks since boot.
    pub(crate) start: u64,
    /// It ended and was not reaped.
    pub(crate) zombie: bool,
}

/// This boot's id as a number, the first part of every [`Generation`].
pub fn boot_id() -> u128 {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| u128::from_str_radix(&text.trim().replace('-', ""), 16).ok())
        .unwrap_or(0)
}

/// The row of one process; `None` when it is gone or hidden from us.
pub(crate) fn row(pid: u32) -> Option<Row> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    to_row(&process.stat().ok()?)
}

/// The whole process table, as far as we may see it.
pub(super) fn table() -> Vec<Row> {
    let Ok(all) = procfs::process::all_processes() else {
        return Vec::new();
    };
    all.filter_map(|process| to_row(&process.ok()?.stat().ok()?))
        .collect()
}

fn to_row(stat: &procfs::process::Stat) -> Option<Row> {
    Some(Row {
        pid: u32::try_from(stat.pid).ok()?,
        parent: u32::try_from(stat.ppid).ok()?,
        group: u32::try_from(stat.pgrp).ok()?,
        start: stat.starttime,
        zombie: matches!(stat.state, 'Z' | 'X'),
    })
}

/// A handle of one process: a signal through it reaches that process or nobody.
#[derive(Debug)]
pub(crate) struct Handle {
    pidfd: AsyncFd<OwnedFd>,
}

impl Handle {
    /// Opens the process `pid` that began at `start`; `None` when it is gone or is another one now.
    pub(crate) fn open(pid: u32, start: u64) -> Option<Self> {
        Self::new(Self::open_bare(pid, start)?)
    }

    /// The same outside of a runtime.
    pub(crate) fn open_bare(pid: u32, start: u64) -> Option<OwnedFd> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()?;
        // Read after opening: the pid cannot have gone to another process in between unseen.
        let found = row(pid)?;
        if found.start != start || found.zombie {
            return None;
        }
        Some(pidfd)
    }

    /// Opens our own child, which we have not reaped, so its pid is still its own.
    pub(crate) fn of_child(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Self::new(rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()?)
    }

    #[expect(unsafe_code, reason = "tokio offers no safe way to watch a pidfd")]
    fn new(pidfd: OwnedFd) -> Option<Self> {
        // SAFETY: the `AsyncFd` owns the descriptor, nothing else closes it, and an `OwnedFd` names
        // the same descriptor for as long as it lives.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.ok()?;
        Some(Self { pidfd })
    }

    /// Sends a signal. A process that is gone already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        match rustix::process::pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(rustix::io::Errno::PERM) => Err("this user may not send it a signal".to_owned()),
            Err(error) => Err(std::io::Error::from(error).to_string()),
        }
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&self) {
        // An error of the reactor is not an end; there is nothing better to wait for.
        while self.pidfd.readable().await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.get_ref().as_fd()
    }
}

/// Everybody whose environment holds `mark` (`NAME=value`), oldest first, with the values of `names` in it:
/// what a keeper started, and what that started. What a process has as environment is what it was
/// started with.
pub(crate) fn marked<const N: usize>(
    mark: &str,
    names: [&str; N],
) -> Vec<([Option<String>; N], Row)> {
    let mut rows = table();
    rows.retain(|row| !row.zombie);
    rows.sort_by_key(|row| (row.start, row.pid));
    let marked = rows.into_iter().filter_map(|row| {
        let environment = std::fs::read(format!("/proc/{}/environ", row.pid)).ok()?;
        let environment = String::from_utf8_lossy(&environment);
        let value = |name: &str| {
            let mut values = environment
                .split('\0')
                .filter_map(|entry| entry.split_once('='));
            values
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        environment.split('\0').find(|entry| *entry == mark)?;
        Some((names.map(value), row))
    });
    marked.collect()
}

/// What a living process calls itself, as `ps -o comm` shows it.
pub(super) fn name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Whether this process has yet to become the program that it was made for: it is our own program still,
/// without `mark` in its environment, or in the middle, where it has no environment at all.
pub(super) fn becomes(pid: u32, mark: &str) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    if !leads(pid)
        || environment
            .split(|&b| b == 0)
            .any(|it| it == mark.as_bytes())
    {
        return false;
    }
    let program = |who: &str| std::fs::read_link(format!("/proc/{who}/exe")).ok();
    environment.is_empty()
        || program("self").is_some_and(|us| program(&pid.to_string()) == Some(us))
}

/// Whether this pid is a living process that leads a process group, as the first process of a member does.
pub(super) fn leads(pid: u32) -> bool {
    row(pid).is_some_and(|row| !row.zombie && row.group == pid)
}

/// Whether a process sees the same files as we do: in another container the same path is another state
/// directory.
pub(super) fn sees_our_files(pid: u32) -> bool {
    let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/mnt")).ok();
    of("self").is_some_and(|ours| of(&pid.to_string()) == Some(ours))
}

/// One variable of the environment that a process was started with.
pub(crate) fn variable(pid: u32, name: &str) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt as _;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|&byte| byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(std::ffi::OsStr::from_bytes(value).to_owned())
    })
}

/// The start time of a process, for its [`Generation`].
pub(crate) fn generation_of(boot: u128, pid: u32) -> Option<Generation> {
    row(pid).map(|r| Generation {
        boot,
        pid,
        start: r.start,
    })
}

/// Kills a child of ours that nobody watches, with its process group, and reaps it. Its pid cannot be
/// another's: until it is reaped the kernel gives it to nobody.
pub(crate) fn kill_child(pid: u32) {
    let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        return;
    };
    let killed = rustix::process::kill_process_group(pid, Signal::KILL)
        .and_then(|()| rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()));
    if let Err(error) = killed {
        super::note(&format!(
            "pid {} is watched by nobody and cannot be killed: {error}",
            pid.as_raw_nonzero()
        ));
    }
}
