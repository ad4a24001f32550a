//! The writer thread: batches of entries, one commit each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use checkd_core::engine::Event;
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::{Instant, IntentId, LeafId};
use rusqlite::{Connection, params};
use tokio::sync::mpsc::UnboundedSender;

use super::rescue::Place;
use super::rows::{Fold, Rows};
use super::sweep::Sweep;
use super::{Message, Past, open};
use crate::points::Point;
use crate::wall::Both;

/// So many entries are committed together at most.
const BATCH: usize = 512;
/// How long what comes together is gathered before it is written.
const GATHER: Duration = Duration::from_millis(2);
/// How long a folded row may lag behind what it counts.
const FOLD_LAG: Duration = Duration::from_secs(5);
/// The points of an intent, a life and an outcome on their way to the disk.
const WRITTEN: [Point; 3] = [
    Point::DaemonIntentWritten,
    Point::DaemonLifeWritten,
    Point::DaemonOutcomeWritten,
];
/// And once they are there.
const COMMITTED: [Point; 3] = [
    Point::DaemonIntentCommitted,
    Point::DaemonLifeCommitted,
    Point::DaemonOutcomeCommitted,
];

pub(super) struct Writer {
    place: Place,
    connection: Connection,
    plan: Arc<Plan>,
    events: UnboundedSender<Event>,
    /// The row of this daemon; none while there was no room for it.
    daemon: Option<i64>,
    boot: String,
    seq: i64,
    durable: bool,
    steady: BTreeMap<LeafId, Fold>,
    folded_at: Instant,
    sweep: Sweep,
    /// What was found when the file was looked through.
    damage: Option<String>,
    failing: bool,
    /// Lives and what is kept of members, of batches that could not be written: the next daemon must
    /// know them, so they are tried again with the next batch. At most three of a member.
    unwritten: Vec<Message>,
}

impl Writer {
    /// Notes this daemon, and reads what the one before left. A file that can be read and not be
    /// written for now is no reason to leave members alone: what keeps it comes back, and
    /// every intent is refused until it can be written.
    pub(super) fn begin(
        path: &Path,
        connection: Connection,
        plan: Arc<Plan>,
        events: UnboundedSender<Event>,
    ) -> rusqlite::Result<(Self, Past, Option<rusqlite::Error>)> {
        let sweep = Sweep::begin(&connection)?;
        let boot = format!("{:032x}", crate::manager::boot_id());
        let past = Past::read(&connection, &plan, &boot, Both::read().now_ms())?;
        // After all that is read: a file that is damaged is set aside as it is.
        let (daemon, unwritable) = match note_daemon(&connection, &boot) {
            Ok(daemon) => (Some(daemon), None),
            Err(error) if open::passes(&error) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let writer = Self {
            place: Place::of(path),
            connection,
            plan,
            events,
            daemon,
            boot,
            seq: 0,
            durable: true,
            steady: BTreeMap::new(),
            folded_at: crate::clock::now(),
            sweep,
            damage: None,
            failing: unwritable.is_some(),
            unwritten: Vec::new(),
        };
        Ok((writer, past, unwritable))
    }

    /// Writes until `Message::End` comes or nobody can send any more.
    pub(super) fn serve(&mut self, messages: &Receiver<Message>) {
        let mut going = true;
        while going {
            let mut batch = std::mem::take(&mut self.unwritten);
            let patience = if self.sweep.is_due() {
                Duration::ZERO
            } else {
                FOLD_LAG
            };
            match messages.recv_timeout(patience) {
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => going = false,
                Ok(Message::Damaged(damage)) => self.damage = Some(damage),
                Ok(message) => {
                    batch.push(message);
                    // Whoever sends one sends more: one commit for all of them, and one wake-up.
                    std::thread::sleep(GATHER);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            while going && batch.len() < BATCH {
                // What comes after a switch is of another plan, and so of another batch.
                if batch
                    .last()
                    .is_some_and(|last| matches!(last, Message::Switch(..)))
                {
                    break;
                }
                match messages.try_recv() {
                    Ok(Message::End) => going = false,
                    Ok(Message::Damaged(damage)) => self.damage = Some(damage),
                    Ok(message) => batch.push(message),
                    Err(_) => break,
                }
            }
            let switch = batch.pop_if(|last| matches!(last, Message::Switch(..)));
            let written = self.commit(batch, !going || switch.is_some(), switch.is_some());
            if let Some(Message::Switch(plan, events, told)) = switch {
                told.send_replace(Some(written));
                // Members of the old plan are known here by its ids; what is kept, by their names.
                self.unwritten
                    .retain(|message| matches!(message, Message::Keep(_)));
                // Rows that count steady passes are known by ids of the old plan.
                self.steady.clear();
                (self.plan, self.events) = (plan, events);
                self.sweep.again();
            }
            self.sweep.portion(&self.connection, &self.plan);
        }
    }

    /// Writes a batch and answers its intents. `durable`: it survives the machine, as one with intents
    /// does.
    fn commit(&mut self, batch: Vec<Message>, last: bool, durable: bool) -> Result<(), String> {
        let intents: Vec<IntentId> = batch
            .iter()
            .filter_map(|message| {
                let Message::Entry(Entry::Intent { intent, .. }) = message else {
                    return None;
                };
                Some(*intent)
            })
            .collect();
        let now = crate::clock::now();
        let fold = last || now.since(self.folded_at).as_duration() >= FOLD_LAG;
        let folds = fold && self.steady.values().any(|f| f.changed);
        // Nor may a journal that was removed wait for something to happen: should this process end
        // before, all of it is lost.
        if batch.is_empty() && !folds && self.damage.is_none() && self.place.holds() {
            // Part of what a switch waits for may have been in a batch before.
            return if self.failing {
                Err("the journal cannot be written".to_owned())
            } else {
                Ok(())
            };
        }
        let written = self.attempt(&batch, fold, durable || !intents.is_empty());
        match &written {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::warn!("the journal takes entries again");
                }
                if fold {
                    self.folded_at = now;
                }
                pass(&batch, COMMITTED);
                for intent in intents {
                    self.send(Event::IntentStored(intent));
                }
            }
            Err(reason) => {
                // Rows of this batch are not there, so no fold may count on one.
                self.steady.clear();
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(reason, lost = batch.len(), "the journal cannot be written");
                }
                self.unwritten = still_due(batch);
                for intent in intents {
                    self.send(Event::IntentRefused {
                        intent,
                        reason: reason.clone(),
                    });
                }
            }
        }
        written
    }

    fn send(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("the journal answered after the loop had ended");
        }
    }

    /// Writes a batch; to a journal that is put in its place again first, when it is lost.
    fn attempt(&mut self, batch: &[Message], fold: bool, durable: bool) -> Result<(), String> {
        if !self.place.holds() {
            self.connection = self.place.restore(&self.connection)?;
            self.durable = true;
            tracing::warn!("the journal was removed; all of it was written to its place again");
        }
        let reason = match self.damage.take() {
            Some(found) => found,
            None => match self.write(batch, fold, durable) {
                Ok(()) => return Ok(()),
                Err(error) if open::is_damage(&error) => open::words(&error),
                Err(error) => return Err(open::words(&error)),
            },
        };
        self.connection = self.place.begin_anew(&self.connection)?;
        self.durable = true;
        self.steady.clear();
        tracing::error!(
            reason,
            "the journal was damaged and is set aside; a new one goes on"
        );
        self.write(batch, fold, durable)
            .map_err(|error| open::words(&error))
    }

    fn write(&mut self, batch: &[Message], fold: bool, durable: bool) -> rusqlite::Result<()> {
        // An intent must survive the machine; of the rest the last seconds may be lost with it.
        if durable != self.durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.durable = durable;
        }
        let all = self.connection.transaction()?;
        let daemon = match self.daemon {
            Some(daemon) => daemon,
            None => note_daemon(&all, &self.boot)?,
        };
        let mut rows = Rows {
            all: &all,
            plan: &self.plan,
            steady: &mut self.steady,
            daemon,
            seq: &mut self.seq,
            both: Both::read(),
        };
        // Of what is kept only the newest counts.
        let newest: BTreeMap<&str, usize> = batch
            .iter()
            .enumerate()
            .filter_map(|(index, message)| match message {
                Message::Keep(kept) => Some((kept.path(), index)),
                Message::Entry(_)
                | Message::Started(..)
                | Message::Exited(..)
                | Message::Interrupted(_)
                | Message::Switch(..)
                | Message::Damaged(_)
                | Message::End => None,
            })
            .collect();
        for (index, message) in batch.iter().enumerate() {
            match message {
                Message::Keep(kept) if newest.get(kept.path()) != Some(&index) => {}
                Message::Keep(kept) => rows.keep(kept, &self.boot)?,
                Message::Entry(entry) => rows.entry(entry)?,
                Message::Started(member, generation) => rows.started(*member, *generation)?,
                Message::Exited(member, generation, exit) => {
                    rows.exited(*member, *generation, *exit)?;
                }
                Message::Interrupted(intents) => rows.interrupted(intents)?,
                Message::Switch(..) | Message::Damaged(_) | Message::End => {}
            }
        }
        if fold {
            rows.fold()?;
        }
        pass(batch, WRITTEN);
        all.commit()?;
        self.daemon = Some(daemon);
        Ok(())
    }
}

/// Notes this daemon; gives the number of its row.
fn note_daemon(connection: &Connection, boot: &str) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO daemon (wall_ms, pid, boot, version) VALUES (?, ?, ?, ?)",
        params![
            Both::read().now_ms(),
            std::process::id(),
            boot,
            env!("CARGO_PKG_VERSION")
        ],
    )?;
    Ok(connection.last_insert_rowid())
}
/// Passes the points of what is in a batch.
fn pass(batch: &[Message], [intent, life, outcome]: [Point; 3]) {
    for message in batch {
        if let Message::Entry(Entry::Intent { .. }) = message {
            intent.pass();
        }
        if let Message::Started(..) | Message::Exited(..) = message {
            life.pass();
        }
        if let Message::Entry(Entry::Outcome { .. }) = message {
            outcome.pass();
        }
    }
}

/// What of a batch that could not be written must not be lost: of each member the newest of a kind.
fn still_due(batch: Vec<Message>) -> Vec<Message> {
    let mut due = BTreeMap::new();
    for (order, message) in batch.into_iter().enumerate() {
        let key = match &message {
            Message::Keep(kept) => (0, kept.path().to_owned()),
            Message::Started(id, _) => (1, format!("{id:?}")),
            Message::Exited(id, ..) => (2, format!("{id:?}")),
            Message::Entry(_)
            | Message::Interrupted(_)
            | Message::Switch(..)
            | Message::Damaged(_)
            | Message::End => continue,
        };
        due.insert(key, (order, message));
    }
    let mut due: Vec<(usize, Message)> = due.into_values().collect();
    due.sort_by_key(|(order, _)| *order);
    due.into_iter().map(|(_, message)| message).collect()
}
