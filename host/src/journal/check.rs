//! A large journal is looked through for damage while it is used.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::InterruptHandle;

use super::{Message, Queue, open};

/// A look through the whole file, in a thread of its own.
pub(super) struct Check {
    stop: InterruptHandle,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = &self.thread;
        f.debug_struct("Check")
            .field("thread", thread)
            .finish_non_exhaustive()
    }
}

impl Check {
    /// Begins to look through the journal at `path`; the writer hears of damage.
    ///
    /// # Errors
    /// One line: why it cannot be looked through.
    pub(super) fn begin(path: &Path, writer: Arc<Queue>) -> Result<Self, String> {
        let connection = open::open_to_read(path).map_err(|error| open::words(&error))?;
        let stop = connection.get_interrupt_handle();
        let thread = std::thread::Builder::new()
            .name("journal-check".to_owned())
            .spawn(move || {
                // Nothing waits for it; members and their checks do for a processor.
                if let Err(error) = rustix::process::setpriority_process(None, 19) {
                    tracing::debug!(%error, "the journal is looked through at full speed");
                }
                match open::damage(&connection) {
                    Ok(None) => tracing::info!("the journal was looked through and is whole"),
                    // The writer has ended only when the daemon has.
                    Ok(Some(damage)) => drop(writer.send(Message::Damaged(damage))),
                    Err(error) => tracing::info!(%error, "the journal was not looked through"),
                }
            })
            .map_err(|error| crate::manager::plain(&error))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, wherever it is.
    pub(super) fn end(self) {
        // Once is not enough when its query has not begun yet.
        while !self.thread.is_finished() {
            self.stop.interrupt();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
