//! What `/proc` says about processes, and handles that can never mean another process.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

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
fn table() -> Vec<Row> {
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

/// Everything that belongs to the process `leader`, itself left out: its process group, its
/// descendants, and the descendants of `known`, which were seen to be its descendants before. As it
/// stood at some moment after `since`: many who ask at once share one look at the process table.
pub(crate) fn tree(leader: u32, known: &BTreeSet<(u32, u64)>, since: Instant) -> Vec<Row> {
    thread_local! {
        static NEWEST: RefCell<Option<(Instant, Rc<Vec<Row>>)>> = const { RefCell::new(None) };
    }
    let shared = NEWEST.with_borrow_mut(|newest| {
        if let Some((at, rows)) = newest
            && *at > since
        {
            return Rc::clone(rows);
        }
        let at = Instant::now();
        let rows = Rc::new(table());
        *newest = Some((at, Rc::clone(&rows)));
        rows
    });
    tree_in(&shared, leader, known)
}

fn tree_in(table: &[Row], leader: u32, known: &BTreeSet<(u32, u64)>) -> Vec<Row> {
    let mut members: BTreeSet<u32> = table
        .iter()
        .filter(|r| r.pid == leader || r.group == leader || known.contains(&(r.pid, r.start)))
        .map(|r| r.pid)
        .collect();
    // A child may stand before its parent in the table, so go on until nothing is added.
    loop {
        let more: Vec<u32> = table
            .iter()
            .filter(|r| members.contains(&r.parent) && !members.contains(&r.pid))
            .map(|r| r.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        members.extend(more);
    }
    let own = std::process::id();
    table
        .iter()
        .filter(|r| members.contains(&r.pid) && r.pid != leader && r.pid != own && !r.zombie)
        .copied()
        .collect()
}

/// A handle of one process: a signal through it reaches that process or nobody.
#[derive(Debug)]
pub(crate) struct Handle {
    pidfd: AsyncFd<OwnedFd>,
}

impl Handle {
    /// Opens the process `pid` that began at `start`; `None` when it is gone or is another one now.
    pub(crate) fn open(pid: u32, start: u64) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()?;
        // Read after opening: the pid cannot have gone to another process in between unseen.
        let found = row(pid)?;
        if found.start != start || found.zombie {
            return None;
        }
        Self::new(pidfd)
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

/// Kills everything that belongs to `leader` but the leader itself, and waits for it, until nothing
/// is left or `patience` is over.
pub(crate) async fn kill_rest(
    leader: u32,
    known: &BTreeSet<(u32, u64)>,
    mut since: Instant,
    patience: Duration,
) {
    let sweep = async {
        // What forks while it is being killed is found in the next round.
        loop {
            let rest = tree(leader, known, since);
            let handles: Vec<Handle> = rest
                .iter()
                .filter_map(|r| Handle::open(r.pid, r.start))
                .collect();
            if handles.is_empty() {
                break;
            }
            let refused = handles
                .iter()
                .any(|handle| handle.signal(Signal::KILL).is_err());
            if refused {
                break;
            }
            for handle in &handles {
                handle.ended().await;
            }
            since = Instant::now();
        }
    };
    if tokio::time::timeout(patience, sweep).await.is_err() {
        super::note(&format!("processes of pid {leader} outlived SIGKILL"));
    }
}

/// Leaders of process groups whose environment holds `mark` (`NAME=value`), oldest first, with the
/// values of `names` in it: what a daemon started and did not live to note. What a process has as
/// environment is what it was started with.
pub(crate) fn marked<const N: usize>(
    boot: u128,
    mark: &str,
    names: [&str; N],
) -> Vec<([Option<String>; N], Generation)> {
    let mut rows: Vec<Row> = table()
        .into_iter()
        .filter(|row| row.pid == row.group && !row.zombie)
        .collect();
    // A descendant may lead a group of its own and has inherited the marks: its elder is meant.
    rows.sort_by_key(|row| (row.start, row.pid));
    let marked = rows.into_iter().filter_map(|row| {
        let environment = std::fs::read(format!("/proc/{}/environ", row.pid)).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let value = |name: &str| {
            let mut values = environment
                .split('\0')
                .filter_map(|entry| entry.split_once('='));
            values
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        environment.split('\0').find(|entry| *entry == mark)?;
        let generation = Generation {
            boot,
            pid: row.pid,
            start: row.start,
        };
        Some((names.map(value), generation))
    });
    marked.collect()
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

#[cfg(test)]
mod tests {
    use super::{Row, tree_in};
    use std::collections::BTreeSet;

    fn row(pid: u32, parent: u32, group: u32) -> Row {
        Row {
            pid,
            parent,
            group,
            start: u64::from(pid),
            zombie: false,
        }
    }

    #[test]
    fn a_tree_is_the_group_the_descendants_and_what_was_known() {
        let table = [
            row(101, 100, 100), // a worker, before its parent in the table
            row(103, 102, 103), // grandchild in a session of its own
            row(102, 100, 100),
            row(100, 1, 100),
            row(104, 1, 100), // orphan that kept the process group
            row(105, 1, 105), // orphan that left it, seen earlier
            row(106, 1, 106), // its pid was seen earlier, but this is another process
            row(200, 1, 200), // a stranger
        ];
        let known = BTreeSet::from([(105, 105), (106, 7)]);
        let mut pids: Vec<u32> = tree_in(&table, 100, &known).iter().map(|r| r.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [101, 102, 103, 104, 105]);
    }
}
