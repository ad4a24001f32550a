//! The plugin's own runtime: one thread, started by the first run of an asynchronous check.
//!
//! A library has its own copy of tokio, so the host's runtime cannot drive its futures.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime on a thread of its own.
pub(super) struct Runtime {
    handle: Handle,
    /// Says how long the end may take.
    end: oneshot::Sender<Duration>,
    /// Closes when the thread is about to end.
    ended: mpsc::Receiver<()>,
}

impl Runtime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, order) = oneshot::channel();
        let (alive, ended) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("check-runtime".to_owned())
            .spawn(move || {
                let patience = runtime.block_on(order).unwrap_or_default();
                // Dropping a runtime would wait for blocking tasks without an end.
                runtime.shutdown_timeout(patience);
                drop(alive);
            })?;
        Ok(Self { handle, end, ended })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Drops every task and waits for the thread, at most so long.
    pub(super) fn shut_down(self, patience: Duration) {
        if self.end.send(patience).is_ok() {
            // Closed is the good end; a thread that a check does not give back is left behind.
            self.ended.recv_timeout(patience).ok();
        }
    }
}
