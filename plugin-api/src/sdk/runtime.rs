//! The plugin's own runtime: one thread, started by the first run of an asynchronous check.
//!
//! A library has its own copy of tokio, so the host's runtime cannot drive its futures.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::host::ThreadId;

/// A runtime on a thread of its own.
pub(super) struct Runtime {
    handle: Handle,
    thread: Option<ThreadId>,
    /// Set when a check holds the thread and does not give it back.
    lost: Arc<AtomicBool>,
    /// Says how long the end may take.
    end: oneshot::Sender<Duration>,
    /// Closes when the thread is about to end.
    ended: mpsc::Receiver<()>,
}

impl Runtime {
    /// `hanging` counts the runtimes that were [lost](Self::lose) and whose threads are still there.
    pub(super) fn start(hanging: &Arc<AtomicUsize>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, order) = oneshot::channel();
        let (alive, ended) = mpsc::channel::<()>();
        let (name, named) = mpsc::channel();
        let lost = Arc::new(AtomicBool::new(false));
        let (of_thread, hanging) = (Arc::clone(&lost), Arc::clone(hanging));
        thread::Builder::new()
            .name("check-runtime".to_owned())
            .spawn(move || {
                // An error says that nobody wants to know.
                name.send(ThreadId::current()).ok();
                let patience = runtime.block_on(order).unwrap_or_default();
                // Dropping a runtime would wait for blocking tasks without an end.
                runtime.shutdown_timeout(patience);
                if of_thread.load(Ordering::Acquire) {
                    hanging.fetch_sub(1, Ordering::AcqRel);
                }
                drop(alive);
            })?;
        let thread = named.recv().ok().flatten();
        Ok(Self {
            handle,
            thread,
            lost,
            end,
            ended,
        })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The thread that drives the runs.
    pub(super) fn thread(&self) -> Option<ThreadId> {
        self.thread.clone()
    }

    /// By what this runtime is told from the one that takes its place.
    pub(super) const fn mark(&self) -> &Arc<AtomicBool> {
        &self.lost
    }

    /// Leaves the thread behind; when it comes back it drops its tasks and ends.
    pub(super) fn lose(self, hanging: &AtomicUsize) {
        hanging.fetch_add(1, Ordering::AcqRel);
        self.lost.store(true, Ordering::Release);
    }

    /// Drops every task and waits for the thread, at most so long.
    pub(super) fn shut_down(self, patience: Duration) {
        if self.end.send(patience).is_ok() {
            // Closed is the good end; a thread that a check does not give back is left behind.
            self.ended.recv_timeout(patience).ok();
        }
    }
}
