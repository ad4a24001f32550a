//! What a thread of this process is doing, as the kernel says it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Names a thread of this process.
#[derive(Clone, Debug)]
pub(crate) struct ThreadId(PathBuf);

impl ThreadId {
    /// The calling thread; `None` without a usable `/proc`.
    pub(crate) fn current() -> Option<Self> {
        let link = fs::read_link("/proc/thread-self").ok()?;
        Some(Self(PathBuf::from("/proc").join(link)))
    }

    /// Whether the thread waits in the kernel for somebody else; `None` when it cannot be seen.
    fn waits(&self) -> Option<bool> {
        let stat = fs::read_to_string(self.0.join("stat")).ok()?;
        // The name of a thread may hold anything, so the state is behind the last parenthesis.
        let state = stat.rsplit_once(") ")?.1.bytes().next()?;
        if !matches!(state, b'S' | b'D') {
            return Some(false);
        }
        // A kernel may hide this file; then the state alone must do.
        let call = fs::read_to_string(self.0.join("syscall")).unwrap_or_default();
        let number = call.split_ascii_whitespace().next();
        Some(number.is_none_or(|n| n != "running" && !n.parse().is_ok_and(waits_for_itself)))
    }

    /// CPU time used so far.
    fn cpu(&self) -> Option<Duration> {
        let schedstat = fs::read_to_string(self.0.join("schedstat")).ok()?;
        let nanos = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    }
}

/// Whether a system call waits for a clock or for a thread of this process: it says nothing about a
/// target. In their order: `futex`, `nanosleep`, `clock_nanosleep`, `futex_waitv`, `futex_wait`.
fn waits_for_itself(call: u32) -> bool {
    let shared = matches!(call, 449 | 455);
    shared
        || if cfg!(target_arch = "x86_64") {
            matches!(call, 202 | 35 | 230)
        } else if cfg!(target_arch = "aarch64") {
            matches!(call, 98 | 101 | 115)
        } else {
            false
        }
}

/// Several looks at one thread.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// How many looks there were.
    pub(crate) looks: u32,
    /// A look that did not show it waiting.
    busy: bool,
    first: Option<(Instant, Duration)>,
    used: Duration,
    over: Duration,
}

impl Evidence {
    /// Looks once.
    pub(crate) fn look(&mut self, thread: Option<&ThreadId>, now: Instant) {
        self.looks += 1;
        let seen = thread.and_then(|t| Some((t.waits()?, t.cpu())));
        let Some((true, cpu)) = seen else {
            self.busy = true;
            return;
        };
        // Where the kernel counts no CPU time per thread, the states must do.
        let Some(cpu) = cpu else { return };
        let (since, before) = *self.first.get_or_insert((now, cpu));
        self.over = now.saturating_duration_since(since);
        self.used = cpu.saturating_sub(before);
    }

    /// Whether it was seen to wait each time, and used less than a fifth of the time: a server
    /// that drips keeps a thread waiting too.
    pub(crate) fn waits(&self) -> bool {
        self.looks > 0 && !self.busy && self.used.saturating_mul(5) <= self.over
    }
}
