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
        Some(!says_nothing(&call))
    }

    /// CPU time used so far.
    fn cpu(&self) -> Option<Duration> {
        let schedstat = fs::read_to_string(self.0.join("schedstat")).ok()?;
        let nanos = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    }
}

/// Whether a thread in this system call (a line of `/proc/…/syscall`) waits for a clock, for a
/// thread of this process, for its memory, or for whoever reads its output: that says nothing about
/// a target.
fn says_nothing(call: &str) -> bool {
    let mut words = call.split_ascii_whitespace();
    let (number, first) = (words.next(), words.next());
    match number.and_then(|number| number.parse().ok()).and_then(of) {
        Some(Call::OfItself) => true,
        Some(Call::Write) => matches!(first, Some("0x1" | "0x2")),
        // `-1`: it waits outside of a call, for a page of memory; the machine may be short of it.
        None => matches!(number, Some("running" | "-1")),
    }
}

/// The system calls that matter here.
enum Call {
    /// `futex`, `nanosleep`, `clock_nanosleep`, `futex_waitv`, `futex_wait`.
    OfItself,
    /// `write`, `writev`.
    Write,
}

fn of(number: u32) -> Option<Call> {
    if cfg!(target_arch = "x86_64") {
        match number {
            202 | 35 | 230 | 449 | 455 => Some(Call::OfItself),
            1 | 20 => Some(Call::Write),
            _ => None,
        }
    } else if cfg!(target_arch = "aarch64") {
        match number {
            98 | 101 | 115 | 449 | 455 => Some(Call::OfItself),
            64 | 66 => Some(Call::Write),
            _ => None,
        }
    } else {
        None
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

#[cfg(test)]
mod tests {
    use super::says_nothing;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_call_that_waits_for_itself_says_nothing_about_a_target() {
        for (line, nothing) in [
            ("0 0x3 0x7f 0x40 0x0 0x0 0x0 0x7ffc 0x7f69\n", false), // read
            ("45 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffc 0x7f69\n", false), // recvfrom
            ("1 0x5 0x7f 0x1 0x0 0x0 0x0 0x7ffc 0x7f69\n", false),  // write to a socket
            ("1 0x1 0x7f 0x1 0x0 0x0 0x0 0x7ffc 0x7f69\n", true),   // write to its output
            ("230 0x0 0x0 0x7f 0x7f 0x0 0x0 0x7ffc 0x7f69\n", true), // clock_nanosleep
            ("202 0x7f 0x80 0x2 0x0 0x0 0x0 0x7ffc 0x7f69\n", true), // futex
            ("-1 0x7ffc 0x7f69\n", true),
            ("running\n", true),
            ("", false),
        ] {
            assert_eq!(says_nothing(line), nothing, "{line}");
        }
    }
}
