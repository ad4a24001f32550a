//! One process of one member, from its start until its exit was seen: stopping, killing, reaping.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use checkd_core::engine::Exit;
use checkd_core::{Generation, IntentId};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

use crate::points::Point;

use super::cgroup;
use super::family::{self, Family};
use super::memory;
use super::output::Tap;
use super::processes::{self, Handle};
use super::protocol::{Living, Output};

/// How long a process may take to vanish after SIGKILL before we say that it does not. Only a
/// process in uninterruptible sleep takes longer than an instant.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// What happens within so long is looked at together.
const TOGETHER: Duration = Duration::from_millis(2);

/// One life.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) path: String,
    pub(super) generation: Generation,
    pub(super) intent: Option<IntentId>,
    pub(super) adopted: bool,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) tap: RefCell<Option<Tap>>,
    pub(super) output: RefCell<Option<Output>>,
    /// What stands in the environment of whatever it starts; empty when that is not known.
    pub(super) marks: Vec<String>,
    /// Who is the parent of its orphans.
    reaper: u32,
    /// It was asked to end, so that it leaves others behind is no wonder.
    asked: Cell<bool>,
    handle: Handle,
    ended: watch::Sender<bool>,
    /// Descendants that were seen; they are still its own after they left its process group.
    known: RefCell<BTreeSet<(u32, u64)>>,
}

impl Life {
    pub(super) fn new(living: Living, handle: Handle) -> Self {
        let (ended, _) = watch::channel(false);
        let Generation { pid, start, .. } = living.generation;
        family::leads((pid, start), true);
        let parent = processes::row(pid).map(|row| row.parent);
        Self {
            marks: Vec::new(),
            reaper: parent.unwrap_or_else(std::process::id),
            asked: Cell::new(false),
            path: living.path,
            generation: living.generation,
            intent: living.intent,
            adopted: living.adopted,
            cgroup: None,
            tap: RefCell::default(),
            output: RefCell::default(),
            handle,
            ended,
            known: RefCell::default(),
        }
    }

    pub(super) fn living(&self) -> Living {
        Living {
            path: self.path.clone(),
            generation: self.generation,
            intent: self.intent,
            adopted: self.adopted,
        }
    }

    pub(super) fn known(&self) -> BTreeSet<(u32, u64)> {
        self.known.borrow().clone()
    }

    pub(super) fn remember(&self, seen: impl IntoIterator<Item = (u32, u64)>) {
        self.known.borrow_mut().extend(seen);
    }

    fn family(&self) -> Family {
        let Generation { pid, start, .. } = self.generation;
        Family {
            leader: (pid, start),
            known: self.known(),
            reaper: self.reaper,
            marks: self.marks.clone(),
        }
    }

    /// Waits for its end, ends the rest of its tree, and reaps it. How many it left behind when it
    /// ended by itself, and were killed.
    pub(super) async fn wait(&self) -> (Exit, u32) {
        self.handle.ended().await;
        Point::KeeperEndSeen.pass();
        // The rest of the tree goes before the leader is reaped: until then the kernel gives its
        // pid, and so its process group, to nobody else.
        let pid = self.generation.pid;
        let since = Instant::now();
        let left = if let Some(cgroup) = &self.cgroup {
            let left = cgroup::rows(cgroup, pid).len();
            cgroup::kill(cgroup, 1_000);
            u32::try_from(left).unwrap_or(u32::MAX)
        } else {
            // Those that ended at the same moment share one look at the process table.
            tokio::time::sleep(TOGETHER).await;
            self.family().kill_rest(since, KILL_PATIENCE).await
        };
        Point::KeeperTreeGone.pass();
        if let Some(tap) = self.tap.take() {
            tap.drain();
        }
        Point::KeeperDrained.pass();
        // Looked at first and reaped last: a keeper that becomes another program while it asks the
        // kernel finds the end still there.
        let killed = self.end(WaitIdOptions::NOWAIT) == Exit::Signal(Signal::KILL.as_raw());
        let short =
            killed && !self.asked.get() && memory::was_short(pid, self.cgroup.as_deref()).await;
        let end = self.end(WaitIdOptions::empty());
        let exit = if short { Exit::OutOfMemory } else { end };
        Point::KeeperReaped.pass();
        if let Some(cgroup) = &self.cgroup {
            cgroup::remove(cgroup);
        }
        (exit, if self.asked.get() { 0 } else { left })
    }

    /// Everybody who waits for its end may go on.
    pub(super) fn told(&self) {
        self.ended.send_replace(true);
    }

    /// Waits until the exit was seen and told.
    async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Sends its first process one signal.
    ///
    /// # Errors
    /// We may not.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), String> {
        self.handle.signal(signal)
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub(super) fn ask_to_stop(&self, signal: Signal) -> Result<(), String> {
        let pid = self.generation.pid;
        let rest = if let Some(cgroup) = &self.cgroup {
            cgroup::rows(cgroup, pid)
        } else {
            let since = Instant::now().checked_sub(TOGETHER * 10);
            self.family().rest(since.unwrap_or_else(Instant::now))
        };
        self.asked.set(true);
        self.remember(rest.iter().map(|r| (r.pid, r.start)));
        self.handle
            .signal(signal)
            .map_err(|why| format!("cannot stop pid {pid}: {why}"))?;
        // A stopped process takes no signal but this one; a frozen member shall end well too.
        self.handle
            .signal(Signal::CONT)
            .map_err(|why| format!("cannot stop pid {pid}: {why}"))?;
        for row in rest.iter().filter(|r| r.group == pid) {
            if let Some(handle) = Handle::open(row.pid, row.start) {
                // Those that refuse are killed with the tree.
                drop(
                    handle
                        .signal(signal)
                        .and_then(|()| handle.signal(Signal::CONT)),
                );
            }
        }
        Ok(())
    }

    /// Waits for the end of what was asked to stop; after `patience` kills its whole tree.
    ///
    /// # Errors
    /// It is still there after SIGKILL.
    pub(super) async fn stop_within(&self, patience: Duration) -> Result<(), String> {
        if tokio::time::timeout(patience, self.ended()).await.is_ok() {
            return Ok(());
        }
        self.kill().await
    }

    /// Kills its whole tree at once.
    ///
    /// # Errors
    /// It is still there after SIGKILL.
    pub(super) async fn kill(&self) -> Result<(), String> {
        let pid = self.generation.pid;
        self.asked.set(true);
        self.handle
            .signal(Signal::KILL)
            .map_err(|why| format!("cannot kill pid {pid}: {why}"))?;
        // Twice the patience: the watcher first kills what is left of the tree.
        tokio::time::timeout(KILL_PATIENCE * 2, self.ended())
            .await
            .map_err(|_| {
                format!(
                    "pid {pid} is still there {}s after SIGKILL; it probably waits for a disk or a \
                 network file system",
                    KILL_PATIENCE.as_secs() * 2
                )
            })
    }

    /// How it ended; the code is known only of our own children. It is reaped unless `how` says that it
    /// is only looked at.
    fn end(&self, how: WaitIdOptions) -> Exit {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | how;
        match rustix::process::waitid(WaitId::PidFd(self.handle.fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Lost,
            },
            _ => Exit::Lost,
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Generation { pid, start, .. } = self.generation;
        family::leads((pid, start), false);
    }
}
