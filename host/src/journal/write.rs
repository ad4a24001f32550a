//! The writer thread: batches of entries, one commit each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use checkd_core::engine::Event;
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::report;
use checkd_core::{Instant, IntentId};
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::mpsc::UnboundedSender;

use super::queue::{BATCH, Queue, Taken};
use super::rescue::Place;
use super::rows::{Folds, Rows};
use super::sweep::Sweep;
use super::{Message, Past, inputs, open, unplanned};
use crate::points::Point;
use crate::wall::Both;

/// How long a folded row may lag behind what it counts.
const FOLD_LAG: Duration = Duration::from_secs(5);
/// How long after a write that failed, for a reason that may pass, the next one is tried, and with how
/// much.
const AGAIN: Duration = Duration::from_millis(250);
const TRIED: usize = 256;
/// So many rows that count passes are brought up to date at once: what comes waits for no more.
const FOLDED: usize = 1_024;

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
    texts: report::Texts,
    steady: Folds,
    folded_at: Instant,
    sweep: Sweep,
    /// What was found when the file was looked through.
    damage: Option<String>,
    failing: bool,
    /// The disk was so full that nobody but us could read the file.
    alone: bool,
    /// Lives and what is kept of members, of batches that SQLite does not take, whatever time passes:
    /// the next daemon must know them, so they are tried again with the next batch. At most three of a
    /// member.
    unwritten: Vec<Message>,
    /// How much was lost when it was told last.
    lost: u64,
    /// Of what the engine was told the segment that is being written.
    segment: Option<i64>,
    /// How much was lost before the batch that is being written, and how much of that is marked.
    losing: u64,
    marked: u64,
    /// Tells the loop that another segment is to begin.
    wants_beginning: Arc<AtomicBool>,
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
            alone: open::is_alone(&connection),
            connection,
            plan,
            events,
            daemon,
            boot,
            seq: 0,
            durable: true,
            texts: report::Texts::default(),
            steady: Folds::default(),
            folded_at: crate::clock::now(),
            sweep,
            damage: None,
            failing: unwritable.is_some(),
            unwritten: Vec::new(),
            lost: 0,
            segment: None,
            losing: 0,
            marked: 0,
            wants_beginning: Arc::default(),
        };
        Ok((writer, past, unwritable))
    }

    /// Tells whether the state directory is another's by now.
    pub(super) fn ousted(&self) -> Arc<AtomicBool> {
        self.place.ousted()
    }

    /// Tells whether the next segment is to begin.
    pub(super) fn wants_beginning(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.wants_beginning)
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn serve(&mut self, queue: &Queue) {
        loop {
            let patience = if self.sweep.is_due() || self.steady.is_folding() {
                Duration::ZERO
            } else {
                FOLD_LAG
            };
            let most = match queue.to_switch() {
                // Who comes after it waits for none of what cannot be written.
                Some(switch) if self.failing => switch,
                None if self.failing => TRIED,
                Some(_) | None => BATCH,
            };
            let Taken { mut messages, last } = queue.take(patience, most);
            let kept_up = messages.len() < most;
            for message in &mut messages {
                if let Message::Damaged(damage) = message {
                    self.damage = Some(std::mem::take(damage));
                    *message = Message::Nothing;
                }
            }
            let switch = messages.pop_if(|last| matches!(last, Message::Switch(..)));
            let written = self.commit(messages, last, switch.is_some(), queue);
            let told = written.as_ref().map_err(|unwritten| unwritten.why.clone());
            let told = told.copied();
            if let Err(Unwritten { mut due, .. }) = written {
                if switch.is_none() && !queue.is_closed() {
                    queue.put_back(due);
                    std::thread::sleep(AGAIN);
                    continue;
                }
                // The old plan's ids mean nothing after a switch, and nobody waits longer at the end.
                let all = due.len();
                due.retain(|message| matches!(message, Message::Keep(_) | Message::Unplanned(_)));
                queue.lose(all - due.len());
                self.unwritten.extend(due);
                if queue.is_closed() {
                    queue.abandon();
                    return;
                }
            }
            if let Some(Message::Switch(plan, events, waits)) = switch {
                self.switch(plan, events);
                waits.send_replace(Some(told));
            }
            let lost = queue.lost();
            if kept_up && !self.failing && lost > self.lost {
                let entries = lost - std::mem::replace(&mut self.lost, lost);
                tracing::warn!(entries, "the journal keeps up again; some entries are lost");
            }
            if self.sweep.portion(&self.connection, &self.plan)
                && let Some(segment) = self.segment
                && !inputs::has(&self.connection, segment)
            {
                self.segment = None;
                self.wants_beginning.store(true, Ordering::Relaxed);
            }
            if last {
                return;
            }
        }
    }

    /// Goes on under another plan.
    fn switch(&mut self, plan: Arc<Plan>, events: UnboundedSender<Event>) {
        // Members of the old plan are known here by its ids; what is kept, by their names.
        self.unwritten
            .retain(|message| matches!(message, Message::Keep(_) | Message::Unplanned(_)));
        // Rows that count steady passes are known by ids of the old plan.
        self.steady = Folds::default();
        (self.plan, self.events) = (plan, events);
        self.sweep.again();
    }

    /// Commits a batch, and answers the intents that are in it. One that a switch ends survives the
    /// machine, as one with intents does.
    ///
    /// # Errors
    /// What is to be tried again, and why: all of it but the intents, which are refused.
    fn commit(
        &mut self,
        messages: Vec<Message>,
        last: bool,
        switches: bool,
        queue: &Queue,
    ) -> Result<(), Unwritten> {
        let now = crate::clock::now();
        let last = last || switches;
        if last || now.since(self.folded_at).as_duration() >= FOLD_LAG {
            self.steady.begin_to_fold();
            self.folded_at = now;
        }
        // Nor may a journal that was removed wait for something to happen: should this process end
        // before, all of it is lost.
        let idle = messages.is_empty() && self.unwritten.is_empty() && !self.steady.is_folding();
        if idle && self.damage.is_none() && self.place.holds() {
            // Part of what a switch waits for may have been in a batch before.
            let failed =
                (switches && self.failing).then(|| "the journal cannot be written".to_owned());
            let due = Vec::new();
            return failed.map_or(Ok(()), |why| Err(Unwritten { why, due }));
        }
        self.losing = queue.lost();
        let before = self.unwritten.len();
        let mut batch = std::mem::take(&mut self.unwritten);
        batch.extend(messages);
        let intents: Vec<IntentId> = batch.iter().filter_map(Message::intent).collect();
        let waited_for = |message: &Message| matches!(message, Message::Unplanned(_));
        let durable = switches || !intents.is_empty() || batch.iter().any(waited_for);
        let Err(failure) = self.attempt(&batch, last, durable) else {
            if std::mem::take(&mut self.failing) {
                tracing::warn!("the journal takes entries again");
            }
            queue.committed(durable);
            if self.alone {
                self.alone = open::share(&self.connection).is_err();
            }
            pass(&batch, COMMITTED);
            for intent in intents {
                self.send(Event::IntentStored(intent));
            }
            unplanned::tell(&batch);
            return Ok(());
        };
        let reason = failure.why;
        // What waits behind it is not written either, and whoever waits for it must hear that soon. Behind
        // a switch others listen.
        let behind = if failure.passes && !last {
            queue.take_intents()
        } else {
            Vec::new()
        };
        for intent in intents.into_iter().chain(behind) {
            let reason = reason.clone();
            self.send(Event::IntentRefused { intent, reason });
        }
        if failure.passes {
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(reason, "the journal cannot be written; what comes waits");
            }
            for message in &mut batch {
                if message.intent().is_some() {
                    *message = Message::Nothing;
                }
            }
            let due = batch.split_off(before);
            self.unwritten = batch;
            return Err(Unwritten { why: reason, due });
        }
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(reason, lost = batch.len(), "the journal cannot be written");
        }
        self.steady = Folds::default();
        let all = batch.len();
        self.unwritten = still_due(batch);
        queue.lose(all - self.unwritten.len());
        let due = Vec::new();
        Err(Unwritten { why: reason, due })
    }

    fn send(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("the journal answered after the loop had ended");
        }
    }

    /// Writes a batch; to a journal that is put in its place again first, when it is lost.
    fn attempt(&mut self, batch: &[Message], last: bool, durable: bool) -> Result<(), Failure> {
        if !self.place.holds() {
            let passes = |why| Failure { why, passes: true };
            self.connection = self.place.restore(&self.connection).map_err(passes)?;
            self.durable = true;
            tracing::warn!("the journal was removed; all of it was written to its place again");
        }
        let reason = match self.damage.take() {
            Some(found) => found,
            None => match self.write(batch, last, durable) {
                Ok(()) => return Ok(()),
                Err(error) if open::is_damage(&error) => open::words(&error),
                Err(error) => return Err(Failure::of(&error)),
            },
        };
        let lasts = |why| Failure { why, passes: false };
        self.connection = self.place.begin_anew(&self.connection).map_err(lasts)?;
        self.durable = true;
        self.steady = Folds::default();
        self.segment = None;
        self.wants_beginning.store(true, Ordering::Relaxed);
        tracing::error!(
            reason,
            "the journal was damaged and is set aside; a new one goes on"
        );
        self.write(batch, last, durable)
            .map_err(|error| Failure::of(&error))
    }

    fn write(&mut self, batch: &[Message], last: bool, durable: bool) -> rusqlite::Result<()> {
        let written = self.transact(batch, last, durable);
        // Rows of a batch that failed are not there, so no count may be of them.
        self.steady.settle(written.is_ok());
        written
    }

    fn transact(&mut self, batch: &[Message], last: bool, durable: bool) -> rusqlite::Result<()> {
        // An intent must survive the machine; of the rest the last seconds may be lost with it.
        if durable != self.durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.durable = durable;
        }
        let all = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let daemon = match self.daemon {
            Some(daemon) => daemon,
            None => note_daemon(&all, &self.boot)?,
        };
        let (mut segment, before) = (self.segment, self.seq);
        let mut rows = Rows {
            all: &all,
            plan: &self.plan,
            texts: &mut self.texts,
            steady: &mut self.steady,
            daemon,
            seq: &mut self.seq,
            both: Both::read(),
        };
        // Of what is kept only the newest counts.
        let kept = batch.iter().enumerate().filter_map(|(index, message)| {
            let Message::Keep(kept) = message else {
                return None;
            };
            Some((kept.path(), index))
        });
        let newest: BTreeMap<&str, usize> = kept.collect();
        for (index, message) in batch.iter().enumerate() {
            match message {
                Message::Keep(kept) if newest.get(kept.path()) != Some(&index) => {}
                Message::Keep(kept) => rows.keep(kept, &self.boot)?,
                Message::Entry(entry) => rows.entry(entry)?,
                Message::Passes(leaf, passes) => rows.steady(*leaf, *passes)?,
                Message::Started(member, generation) => rows.started(*member, *generation)?,
                Message::Exited(member, generation, exit) => {
                    rows.exited(*member, *generation, *exit)?;
                }
                Message::Input(input) => rows.input(segment, input)?,
                Message::Begin(begin) => segment = Some(rows.begin(begin)?),
                Message::End => {
                    rows.end_segment(segment)?;
                    segment = None;
                }
                Message::Unplanned(what) => rows.unplanned(what)?,
                Message::Interrupted(intents) => rows.interrupted(intents)?,
                Message::Switch(..) | Message::Damaged(_) | Message::Nothing => {}
            }
        }
        if last {
            // This batch has counted too.
            rows.steady.begin_to_fold();
        }
        let loses = self.losing != self.marked;
        if loses {
            // Where in the batch it would have been nobody knows.
            rows.lost(before)?;
        }
        rows.fold(if last { usize::MAX } else { FOLDED })?;
        pass(batch, WRITTEN);
        all.commit()?;
        self.daemon = Some(daemon);
        self.segment = segment;
        if loses {
            self.marked = self.losing;
            self.wants_beginning.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What of a batch is to be tried again, and why.
#[derive(Debug)]
struct Unwritten {
    why: String,
    due: Vec<Message>,
}

/// Why a batch was not written.
#[derive(Debug)]
struct Failure {
    /// One line for a person.
    why: String,
    /// Whether the same batch may be written later.
    passes: bool,
}

impl Failure {
    fn of(error: &rusqlite::Error) -> Self {
        Self {
            why: open::words(error),
            passes: open::passes(error),
        }
    }
}

/// Notes this daemon; gives the number of its row.
fn note_daemon(connection: &Connection, boot: &str) -> rusqlite::Result<i64> {
    inputs::prepare(connection)?;
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
        if message.intent().is_some() {
            intent.pass();
        }
        if let Message::Started(..) | Message::Exited(..) = message {
            life.pass();
        }
        if let Message::Entry(entry) = message
            && let Entry::Outcome { .. } = entry.as_ref()
        {
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
            | Message::Passes(..)
            | Message::Input(_)
            | Message::Begin(_)
            | Message::End
            | Message::Unplanned(_)
            | Message::Interrupted(_)
            | Message::Switch(..)
            | Message::Damaged(_)
            | Message::Nothing => continue,
        };
        due.insert(key, (order, message));
    }
    let mut due: Vec<(usize, Message)> = due.into_values().collect();
    due.sort_by_key(|(order, _)| *order);
    due.into_iter().map(|(_, message)| message).collect()
}
