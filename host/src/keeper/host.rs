//! The daemon as a child of the first process of a container: run, passed signals, run again.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitIdStatus};

use super::{Keeper, note, plain};

/// How long the first process waits before it runs a daemon again that ended badly.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What the first process of a container does besides: it runs the daemon.
pub(super) struct Host {
    /// Program and arguments; none when we are no first process.
    pub(super) words: Vec<OsString>,
    /// The daemon was told to end.
    pub(super) ending: bool,
    /// It has spoken to us.
    pub(super) connected: bool,
    /// Some daemon has: what is wrong now was right once, and members run.
    pub(super) served: bool,
    /// Daemons in a row that ended without speaking to us.
    pub(super) failures: u32,
    /// How it ended.
    pub(super) code: Option<u8>,
}

impl Host {
    pub(super) fn run(&mut self, keeper: &Keeper) {
        let mut words = self.words.iter();
        let Some(program) = words.next() else { return };
        self.connected = false;
        self.code = None;
        match Command::new(program).arg0("checkd").args(words).spawn() {
            Ok(child) => keeper.0.child.set(Some(child.id())),
            Err(error) => {
                note(&format!("cannot run the daemon: {}", plain(&error)));
                self.code = Some(1);
            }
        }
    }

    pub(super) fn pass(&mut self, keeper: &Keeper, signal: Signal) {
        if signal != Signal::HUP {
            self.ending = !self.words.is_empty();
        }
        let child = keeper.0.child.get().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = child.and_then(Pid::from_raw) {
            // Our child, which we have not reaped: nobody else can have its pid.
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    pub(super) fn ended(&mut self, keeper: &Keeper, status: &WaitIdStatus) {
        keeper.0.child.set(None);
        self.code = Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => u8::try_from(code).unwrap_or(1),
            (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(1),
            (None, None) => 1,
        });
    }

    /// The exit code, when the daemon ended and shall not run again: it was told to end, or no daemon
    /// ever came to speak to us, so its configuration or its state directory is wrong.
    pub(super) fn over(&self) -> Option<u8> {
        self.code.filter(|_| self.ending || !self.served)
    }

    /// Whether the daemon is to be run again.
    pub(super) fn waits(&self) -> bool {
        self.code.is_some() && !self.ending && self.served
    }

    /// How long until then: longer each time that it does not come up, for a mistake in a file that
    /// nobody asked to load must not end the members that run.
    pub(super) fn wait(&mut self) -> Duration {
        self.failures = if self.connected {
            0
        } else {
            self.failures.saturating_add(1)
        };
        let wait = (AGAIN * (1 << self.failures.min(6))).min(Duration::from_mins(1));
        if !self.connected {
            note(&format!(
                "the daemon ended before it came up (exit code {}); members run on, and it is tried \
                 again in {}s",
                self.code.unwrap_or(1),
                wait.as_secs()
            ));
        }
        wait
    }
}
