//! What is noted of processes that no configuration in force names: by their paths, for they have no id.

use checkd_core::Generation;
use checkd_core::engine::Exit;
use rusqlite::params;
use tokio::sync::watch;

use super::rows::{Rows, i64_of};
use super::{Journal, Message, Stored, Written};

/// One thing that is noted of such a process.
#[derive(Debug)]
pub(super) enum Unplanned {
    /// Its life is over.
    Ended(String, Generation, Exit),
    /// A person has it stopped.
    Evicted {
        path: String,
        by: String,
        told: watch::Sender<Written>,
    },
}

impl Journal {
    /// Remembers that a life is over whose member no plan has any more.
    pub fn ended(&self, path: String, generation: Generation, exit: Exit) {
        let ended = Unplanned::Ended(path, generation, exit);
        self.send(Message::Unplanned(ended));
    }

    /// Notes that a person has a process stopped whose member no plan has any more. Tells when it is on
    /// the disk; nothing when the queue is full.
    pub fn evicted(&self, path: String, by: String) -> Option<Stored> {
        let (told, stored) = watch::channel(None);
        let evicted = Unplanned::Evicted { path, by, told };
        self.queue.send(Message::Unplanned(evicted)).ok()?;
        self.changed();
        Some(Stored(stored))
    }
}

/// Tells whoever waits for something of a batch that it is on the disk.
pub(super) fn tell(batch: &[Message]) {
    for message in batch {
        if let Message::Unplanned(Unplanned::Evicted { told, .. }) = message {
            told.send_replace(Some(Ok(())));
        }
    }
}

impl Rows<'_> {
    pub(super) fn unplanned(&mut self, what: &Unplanned) -> rusqlite::Result<()> {
        match what {
            Unplanned::Ended(path, generation, exit) => {
                let (group, member) = path.split_once('/').unwrap_or((path, ""));
                self.life_over((group, member), *generation, *exit)
            }
            Unplanned::Evicted { path, by, .. } => {
                let (group, member) = path.split_once('/').unwrap_or((path, ""));
                let at = crate::clock::now();
                let seq = self.next_seq();
                let sql =
                    "INSERT INTO operator (seq, daemon, group_name, member, by, command, detail,
                    at_ms, wall_ms) VALUES (?,?,?,?,?,'stop','{\"command\":\"stop\"}',?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    seq,
                    self.daemon,
                    group,
                    member,
                    by,
                    i64_of(at.0),
                    self.both.wall_ms(at),
                ])?;
                Ok(())
            }
        }
    }
}
