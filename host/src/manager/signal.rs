//! A signal to single processes of a member: the ladder's step before a restart.
//!
//! The daemon sends it itself and not the keeper, for nothing of it must outlive a daemon: who was named
//! is named by pid and start time, so that what is sent twice reaches the same process or nobody. A
//! handle is opened first, then looked at whom it means and whose descendant that is, and only through
//! the handle is anything sent: between the look and the signal a pid cannot become another's.

use checkd_core::{Generation, Process, Span};
use rustix::process::Signal;

use crate::keeper::processes::{self, Handle, Row};

/// A family tree deeper than this is none.
const DEPTH_MAX: usize = 64;

/// What is sent, and how long its end may take.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The name of the signal, without `SIG`.
    pub(super) name: String,
    pub(super) signal: Signal,
    pub(super) patience: Span,
}

/// Sends it to all of them, and waits until all have ended. Whoever is gone already has ended.
///
/// # Errors
/// One line for a person. When one of them is not the member's, nobody got a signal.
pub(super) async fn send(main: Generation, all: &[Process], order: &Order) -> Result<(), String> {
    let mut handles = Vec::new();
    for &process in all {
        let Some(handle) = Handle::open(process.pid, process.start) else {
            if lives(process) {
                return Err(format!("process {} cannot be watched", process.pid));
            }
            continue;
        };
        belongs(main, process)?;
        handles.push((process.pid, handle));
    }
    for (pid, handle) in &handles {
        tracing::info!(pid, signal = order.name, "a blamed process gets a signal");
        (handle.signal(order.signal)).map_err(|why| format!("process {pid}: {why}"))?;
    }
    let until = tokio::time::Instant::now() + order.patience.as_duration();
    for (pid, handle) in &handles {
        let ended = tokio::time::timeout_at(until, handle.ended()).await;
        ended.map_err(|_| {
            let (within, name) = (order.patience, &order.name);
            format!("process {pid} did not end within {within} of SIG{name}")
        })?;
    }
    Ok(())
}

fn lives(process: Process) -> bool {
    processes::row(process.pid).is_some_and(|row| row.start == process.start && !row.zombie)
}

/// Whether it descends from the member's own process, and is not that itself.
fn belongs(main: Generation, process: Process) -> Result<(), String> {
    let pid = process.pid;
    if pid == main.pid {
        return Err(format!(
            "process {pid} is the member's own, which a restart ends"
        ));
    }
    let strange = || {
        format!(
            "process {pid} is no descendant of the member's own process {}: nobody got a signal",
            main.pid
        )
    };
    let mut row = processes::row(pid).ok_or_else(strange)?;
    for _ in 0..DEPTH_MAX {
        let parent = processes::row(row.parent).ok_or_else(strange)?;
        // Who began after its child is not its parent: the pid went to another one meanwhile.
        if parent.start > row.start {
            return Err(strange());
        }
        if is(&parent, main) {
            return Ok(());
        }
        row = parent;
    }
    Err(strange())
}

const fn is(row: &Row, main: Generation) -> bool {
    row.pid == main.pid && row.start == main.start
}

#[cfg(test)]
mod tests;
