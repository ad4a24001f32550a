//! The writer thread: batches of entries, one commit each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use checkd_core::engine::{Act, Command, Event, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::policy::keep::Kept;
use checkd_core::report;
use checkd_core::{Generation, Instant, IntentId, LeafId, MemberId, Sample, Span};
use rusqlite::{Connection, Transaction, params};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::rescue::Place;
use super::{Message, Past, open};
use crate::points::Point;
use crate::wall::Both;

/// So many entries are committed together at most.
const BATCH: usize = 512;
/// How long what comes together is gathered before it is written.
const GATHER: Duration = Duration::from_millis(2);
/// How long a folded row may lag behind what it counts.
const FOLD_LAG: Duration = Duration::from_secs(5);
/// How often old rows are removed.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// So many rows are removed at once.
const PORTION: usize = 1_024;
/// How long runs are kept when `journal_keep` says nothing; decisions are kept
/// `DECISIONS_KEEP_TIMES` as long.
const KEEP_MS: u64 = 7 * 86_400_000;
const DECISIONS_KEEP_TIMES: u64 = 12;
/// So large may the write-ahead log become while old rows are removed.
const WAL_MAX: u64 = 4 << 20;
/// How large the journal may grow when `journal_max_size` says nothing: weeks of a thousand checks, and
/// a bound for the day on which thousands of them fail every few seconds.
const MAX_SIZE: u64 = 1 << 30;

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
    swept_at: Option<Instant>,
    /// A clock that began at the newest row of the daemon before.
    lived: Both,
    /// Whether there are old rows left to remove.
    sweeping: bool,
    /// What was found when the file was looked through.
    damage: Option<String>,
    failing: bool,
    /// Lives and what is kept of members, of batches that could not be written: the next daemon must
    /// know them, so they are tried again with the next batch. At most three of a member.
    unwritten: Vec<Message>,
}

/// A row of `run` that counts steady passes.
#[derive(Clone, Copy, Debug)]
struct Fold {
    row: i64,
    last: Instant,
    count: u64,
    largest_gap: u64,
    changed: bool,
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
        let both = Both::read();
        let steady_clock = Both::counted_from(newest_row(&connection)?.unwrap_or(both.now_ms()));
        let boot = format!("{:032x}", crate::manager::boot_id());
        let last: Option<i64> =
            connection.query_row("SELECT max(intent) FROM action", [], |r| r.get(0))?;
        let lives = read_lives(&connection, &plan)?;
        let interrupted = connection
            .prepare("SELECT group_name || '/' || member || ': ' || act FROM action WHERE outcome IS NULL")?
            .query_map([], |r| r.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        let open = connection
            .prepare("SELECT intent FROM action WHERE outcome IS NULL")?
            .query_map([], |r| r.get(0))?
            .filter_map(|intent| {
                intent
                    .map(|n: i64| u64::try_from(n).ok().map(IntentId))
                    .transpose()
            })
            .collect::<rusqlite::Result<BTreeSet<IntentId>>>()?;
        let (kept, rebooted) = read_kept(&connection, &boot, both.now_ms())?;
        // After all that is read: a file that is damaged is set aside as it is.
        let (daemon, unwritable) = match note_daemon(&connection, &boot) {
            Ok(daemon) => (Some(daemon), None),
            Err(error) if open::passes(&error) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let next = last
            .and_then(|n| u64::try_from(n).ok())
            .map_or(1, |n| n + 1);
        let past = Past {
            next_intent: IntentId(next),
            lives,
            interrupted,
            open,
            kept,
            rebooted,
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
            swept_at: None,
            lived: steady_clock,
            sweeping: false,
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
            let patience = if self.sweeping {
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
            self.commit(batch, !going || switch.is_some());
            if let Some(Message::Switch(plan, events)) = switch {
                // Members of the old plan are known here by its ids; what is kept, by their names.
                self.unwritten
                    .retain(|message| matches!(message, Message::Keep(_)));
                // Rows that count steady passes are known by ids of the old plan.
                self.steady.clear();
                (self.plan, self.events) = (plan, events);
                // It may keep less.
                self.swept_at = None;
            }
            self.sweep();
        }
    }

    fn commit(&mut self, batch: Vec<Message>, last: bool) {
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
            return;
        }
        match self.attempt(&batch, fold, !intents.is_empty()) {
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

    /// Removes old rows, a portion at a time: what is to be written waits for no more than that.
    fn sweep(&mut self) {
        let now = crate::clock::now();
        if !self.sweeping {
            if self
                .swept_at
                .is_some_and(|at| now.since(at).as_duration() < SWEEP_EVERY)
            {
                return;
            }
            self.swept_at = Some(now);
        }
        let more = self
            .sweep_portion()
            .and_then(|more| self.give_back(more).map(|()| more));
        self.sweeping = more.unwrap_or_else(|error| {
            tracing::warn!(
                reason = open::words(&error),
                "old journal rows cannot be removed"
            );
            false
        });
    }

    /// Whether there may be more. Runs go before decisions.
    fn sweep_portion(&self) -> rusqlite::Result<bool> {
        let keep = self.plan.daemon.journal_keep.map_or(KEEP_MS, |span| span.0);
        // A clock that jumped ahead makes nothing older: only time that was lived through does.
        let today = (Both::read().now_ms()).min(self.lived.wall_ms(crate::clock::now()));
        // The newest action stays: the numbering of intents goes on from it.
        let tables = [
            ("run", "id", "", 1),
            ("transition", "id", "", DECISIONS_KEEP_TIMES),
            ("decision", "id", "", DECISIONS_KEEP_TIMES),
            ("operator", "id", "", DECISIONS_KEEP_TIMES),
            (
                "action",
                "intent",
                "AND intent < (SELECT max(intent) FROM action)",
                DECISIONS_KEEP_TIMES,
            ),
        ];
        for (table, id, unless, times) in tables {
            let age = i64::try_from(keep.saturating_mul(times)).unwrap_or(i64::MAX);
            let sql = format!(
                "DELETE FROM {table} WHERE {id} IN
                 (SELECT {id} FROM {table} WHERE wall_ms < ? {unless} LIMIT {PORTION})"
            );
            if self.connection.execute(&sql, [today.saturating_sub(age)])? > 0 {
                return Ok(true);
            }
        }
        self.shrink()
    }

    /// Gives the pages of removed rows back to the file system, and what was written to remove them. A
    /// journal that an older checkd began has no room to give: its free pages are used again.
    fn give_back(&self, more: bool) -> rusqlite::Result<()> {
        // A statement that gives rows is stepped to its end, or it frees one page.
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        if more && !open::wal_is_larger(&self.connection, WAL_MAX) {
            return Ok(());
        }
        // A reader keeps the log from being emptied; the next portion tries again, entries do not wait.
        self.connection.busy_timeout(Duration::ZERO)?;
        let emptied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(open::PATIENCE)?;
        emptied
    }

    /// Removes a portion of the oldest runs if the file is larger than `journal_max_size`. Whether
    /// there may be more.
    fn shrink(&self) -> rusqlite::Result<bool> {
        let max = self.plan.daemon.journal_max_size.unwrap_or(MAX_SIZE);
        let pragma = |name: &str| -> rusqlite::Result<u64> {
            let value: i64 = self
                .connection
                .pragma_query_value(None, name, |r| r.get(0))?;
            Ok(u64::try_from(value).unwrap_or(0))
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        if pages.saturating_mul(pragma("page_size")?) <= max {
            return Ok(false);
        }
        let sql =
            format!("DELETE FROM run WHERE id IN (SELECT id FROM run ORDER BY id LIMIT {PORTION})");
        Ok(self.connection.execute(&sql, [])? > 0)
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

/// When the newest row was written that says what happened.
fn newest_row(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max(newest) FROM (SELECT max(wall_ms) AS newest FROM run
               UNION ALL SELECT max(wall_ms) FROM transition
               UNION ALL SELECT max(wall_ms) FROM action)";
    connection.query_row(sql, [], |row| row.get(0))
}

/// What the engine before kept, and how long ago that was when it was on another boot. What cannot be
/// read (of another version) is passed over: the member begins anew.
fn read_kept(
    connection: &Connection,
    boot: &str,
    now_ms: i64,
) -> rusqlite::Result<(Vec<Kept>, Option<Span>)> {
    let mut statement = connection.prepare("SELECT boot, wall_ms, value FROM kept")?;
    let mut rows = statement.query([])?;
    let (mut kept, mut newest, mut same_boot) = (Vec::new(), 0_i64, true);
    while let Some(row) = rows.next()? {
        let (of, wall_ms, value): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        same_boot &= of == boot;
        newest = newest.max(wall_ms);
        match serde_json::from_str(&value) {
            Ok(one) => kept.push(one),
            Err(error) => tracing::warn!(%error, "what was kept of a member cannot be read"),
        }
    }
    let away = u64::try_from(now_ms.saturating_sub(newest)).unwrap_or(0);
    Ok((kept, (!same_boot).then_some(Span(away))))
}

/// The last known life of every member of the plan that was not seen to end.
fn read_lives(
    connection: &Connection,
    plan: &Plan,
) -> rusqlite::Result<Vec<(MemberId, Generation)>> {
    let ids: BTreeMap<String, MemberId> = plan.members().map(|id| (plan.path(id), id)).collect();
    let sql = "SELECT group_name || '/' || member, boot, pid, start FROM life
               WHERE ended_wall_ms IS NULL";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut lives = Vec::new();
    while let Some(row) = rows.next()? {
        let (path, boot): (String, String) = (row.get(0)?, row.get(1)?);
        let (pid, start): (u32, i64) = (row.get(2)?, row.get(3)?);
        if let Some(&id) = ids.get(&path)
            && let Ok(boot) = u128::from_str_radix(&boot, 16)
            && let Ok(start) = u64::try_from(start)
        {
            lives.push((id, Generation { boot, pid, start }));
        }
    }
    Ok(lives)
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

/// The rows of one batch.
struct Rows<'a> {
    all: &'a Transaction<'a>,
    plan: &'a Plan,
    steady: &'a mut BTreeMap<LeafId, Fold>,
    daemon: i64,
    seq: &'a mut i64,
    both: Both,
}

impl Rows<'_> {
    fn names(&self, id: MemberId) -> (String, String) {
        let group = self.plan.group(id.group).map_or("?", |g| g.name.as_str());
        let member = self.plan.member(id).map_or("?", |m| m.name.as_str());
        (group.to_owned(), member.to_owned())
    }

    fn next_seq(&mut self) -> i64 {
        *self.seq += 1;
        *self.seq
    }

    fn entry(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        let seq = self.next_seq();
        match entry {
            Entry::Run { leaf, sample } => {
                self.close_fold(*leaf)?;
                self.run(*leaf, sample)
            }
            Entry::Steady { leaf, at } => self.steady(*leaf, *at),
            Entry::Transition {
                member,
                at,
                axis,
                from,
                to,
                why,
                incident,
            } => {
                let (group, member) = self.names(*member);
                let sql =
                    "INSERT INTO transition (seq, daemon, group_name, member, axis, from_word,
                    to_word, why, incident, at_ms, wall_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    seq,
                    self.daemon,
                    group,
                    member,
                    word(axis),
                    from,
                    to,
                    why,
                    incident.map(|i| i64_of(i.0)),
                    i64_of(at.0),
                    self.both.wall_ms(*at),
                ])?;
                Ok(())
            }
            Entry::Group {
                group,
                at,
                axis,
                from,
                to,
                why,
            } => {
                let sql =
                    "INSERT INTO transition (seq, daemon, group_name, member, axis, from_word,
                    to_word, why, incident, at_ms, wall_ms) VALUES (?,?,?,'',?,?,?,?,NULL,?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    seq,
                    self.daemon,
                    self.plan.group_name(*group),
                    axis,
                    from,
                    to,
                    why,
                    i64_of(at.0),
                    self.both.wall_ms(*at),
                ])?;
                Ok(())
            }
            Entry::Decision {
                member,
                at,
                step,
                explanation,
                intent,
                incident,
            } => {
                let (group, member) = self.names(*member);
                let mut json = serde_json::to_value(explanation).unwrap_or(Value::Null);
                name_members(&mut json, self.plan);
                let numbers: Vec<String> = explanation
                    .readings
                    .iter()
                    .map(|r| report::numbers(self.plan, r))
                    .collect();
                if let Some(readings) = json.get_mut("readings").and_then(Value::as_array_mut) {
                    for (reading, numbers) in readings.iter_mut().zip(&numbers) {
                        if let Some(reading) = reading.as_object_mut() {
                            reading.insert("numbers".to_owned(), Value::from(numbers.as_str()));
                        }
                    }
                }
                let closed: Vec<String> = explanation
                    .readings
                    .iter()
                    .zip(&numbers)
                    .filter(|(reading, _)| !reading.open)
                    .map(|(reading, numbers)| format!("{} ({numbers})", reading.gate))
                    .collect();
                let sql =
                    "INSERT INTO decision (seq, daemon, group_name, member, step, verdict, because,
                    closed, explanation, intent, incident, at_ms, wall_ms)
                    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    seq,
                    self.daemon,
                    group,
                    member,
                    word(step),
                    explanation.verdict.as_str(),
                    explanation.because,
                    closed.join(" and "),
                    json.to_string(),
                    intent.map(|i| i64_of(i.0)),
                    incident.map(|i| i64_of(i.0)),
                    i64_of(at.0),
                    self.both.wall_ms(*at),
                ])?;
                Ok(())
            }
            Entry::Intent {
                intent,
                at,
                act,
                why,
                incident,
            } => {
                let (id, pid, act) = match act {
                    Act::Start { member } => (*member, None, "start"),
                    Act::Restart {
                        member, generation, ..
                    } => (*member, Some(generation.pid), "restart"),
                    Act::Stop { member, generation } => (*member, Some(generation.pid), "stop"),
                };
                let (group, member) = self.names(id);
                let sql =
                    "INSERT INTO action (intent, seq, daemon, group_name, member, act, pid, why,
                    incident, at_ms, wall_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    i64_of(intent.0),
                    seq,
                    self.daemon,
                    group,
                    member,
                    act,
                    pid,
                    why,
                    incident.map(|i| i64_of(i.0)),
                    i64_of(at.0),
                    self.both.wall_ms(*at),
                ])?;
                Ok(())
            }
            Entry::Outcome {
                intent,
                at,
                outcome,
                detail,
            } => {
                let sql = "UPDATE action SET outcome = ?, detail = ?, outcome_at_ms = ?,
                    outcome_wall_ms = ?, outcome_seq = ? WHERE intent = ?";
                self.all.prepare_cached(sql)?.execute(params![
                    outcome.as_str(),
                    detail,
                    i64_of(at.0),
                    self.both.wall_ms(*at),
                    seq,
                    i64_of(intent.0),
                ])?;
                Ok(())
            }
            Entry::Operator {
                member,
                at,
                by,
                command,
            } => {
                let (group, member) = self.names(*member);
                let mut json = serde_json::to_value(command).unwrap_or(Value::Null);
                // An end in boot time means nothing after the next boot; a length does.
                if let (Command::Pause { until, .. }, Some(map)) = (command, json.as_object_mut()) {
                    map.remove("until");
                    map.insert("for_ms".to_owned(), Value::from(until.since(*at).0));
                }
                let name = json
                    .get("command")
                    .and_then(Value::as_str)
                    .unwrap_or("?")
                    .to_owned();
                let sql =
                    "INSERT INTO operator (seq, daemon, group_name, member, by, command, detail,
                    at_ms, wall_ms) VALUES (?,?,?,?,?,?,?,?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    seq,
                    self.daemon,
                    group,
                    member,
                    by,
                    name,
                    json.to_string(),
                    i64_of(at.0),
                    self.both.wall_ms(*at),
                ])?;
                Ok(())
            }
        }
    }

    fn run(&mut self, leaf: LeafId, sample: &Sample) -> rusqlite::Result<()> {
        let measured = (!sample.measurements.is_empty())
            .then(|| serde_json::to_string(&sample.measurements).unwrap_or_default());
        self.insert_run(
            leaf,
            sample.status.as_str(),
            sample.cause.map(checkd_core::Cause::as_str),
            &sample.message,
            measured.as_deref(),
            Some(sample.took.0),
            sample.generation.map(|g| g.pid),
            sample.at,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    fn insert_run(
        &mut self,
        leaf: LeafId,
        status: &str,
        cause: Option<&str>,
        message: &str,
        measured: Option<&str>,
        took: Option<u64>,
        pid: Option<u32>,
        at: Instant,
    ) -> rusqlite::Result<()> {
        let group = self.plan.group(leaf.group);
        let member = leaf.member.and_then(|m| group?.members.get(m as usize));
        let check = self.plan.check(leaf).map_or("?", |c| c.name.as_str());
        let seq = *self.seq;
        let sql =
            "INSERT INTO run (seq, daemon, group_name, member, check_name, status, cause, message,
            measured, took_ms, pid, at_ms, wall_ms, first_at_ms)
            VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
        self.all.prepare_cached(sql)?.execute(params![
            seq,
            self.daemon,
            group.map_or("?", |g| g.name.as_str()),
            member.map(|m| m.name.as_str()),
            check,
            status,
            cause,
            message,
            measured,
            took.map(i64_of),
            pid,
            i64_of(at.0),
            self.both.wall_ms(at),
            i64_of(at.0),
        ])?;
        Ok(())
    }

    /// Counts a pass that changed nothing in the row of the passes before it.
    fn steady(&mut self, leaf: LeafId, at: Instant) -> rusqlite::Result<()> {
        if let Some(fold) = self.steady.get_mut(&leaf) {
            fold.largest_gap = fold.largest_gap.max(at.since(fold.last).0);
            fold.last = at;
            fold.count += 1;
            fold.changed = true;
            return Ok(());
        }
        self.insert_run(leaf, "pass", None, "", None, None, None, at)?;
        let row = self.all.last_insert_rowid();
        let fold = Fold {
            row,
            last: at,
            count: 1,
            largest_gap: 0,
            changed: false,
        };
        self.steady.insert(leaf, fold);
        Ok(())
    }

    fn close_fold(&mut self, leaf: LeafId) -> rusqlite::Result<()> {
        match self.steady.remove(&leaf) {
            Some(fold) if fold.changed => self.store_fold(fold),
            _ => Ok(()),
        }
    }

    fn fold(&mut self) -> rusqlite::Result<()> {
        let changed: Vec<Fold> = self
            .steady
            .values()
            .filter(|f| f.changed)
            .copied()
            .collect();
        for fold in changed {
            self.store_fold(fold)?;
        }
        for fold in self.steady.values_mut() {
            fold.changed = false;
        }
        Ok(())
    }

    fn store_fold(&self, fold: Fold) -> rusqlite::Result<()> {
        let sql = "UPDATE run SET at_ms = ?, wall_ms = ?, count = ?, largest_gap_ms = ?
            WHERE id = ?";
        self.all.prepare_cached(sql)?.execute(params![
            i64_of(fold.last.0),
            self.both.wall_ms(fold.last),
            i64_of(fold.count),
            i64_of(fold.largest_gap),
            fold.row,
        ])?;
        Ok(())
    }

    fn started(&self, member: MemberId, generation: Generation) -> rusqlite::Result<()> {
        let (group, member) = self.names(member);
        let sql = "INSERT OR REPLACE INTO life (group_name, member, boot, pid, start, wall_ms)
            VALUES (?,?,?,?,?,?)";
        self.all.prepare_cached(sql)?.execute(params![
            group,
            member,
            format!("{:032x}", generation.boot),
            generation.pid,
            i64_of(generation.start),
            self.both.now_ms(),
        ])?;
        Ok(())
    }

    fn interrupted(&self, intents: &BTreeSet<IntentId>) -> rusqlite::Result<()> {
        let sql = "UPDATE action SET outcome = 'interrupted', outcome_wall_ms = ?,
               detail = 'checkd ended before it knew what became of it'
             WHERE intent = ? AND outcome IS NULL";
        for intent in intents {
            self.all
                .prepare_cached(sql)?
                .execute(params![self.both.now_ms(), i64_of(intent.0)])?;
        }
        Ok(())
    }

    fn keep(&self, kept: &Kept, boot: &str) -> rusqlite::Result<()> {
        let sql = "INSERT INTO kept (path, boot, wall_ms, value) VALUES (?, ?, ?, ?)
            ON CONFLICT (path) DO UPDATE SET
              boot = excluded.boot, wall_ms = excluded.wall_ms, value = excluded.value";
        let value = serde_json::to_string(kept)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let wall_ms = self.both.wall_ms(kept.at());
        self.all
            .prepare_cached(sql)?
            .execute(params![kept.path(), boot, wall_ms, value])?;
        Ok(())
    }

    fn exited(&self, member: MemberId, generation: Generation, exit: Exit) -> rusqlite::Result<()> {
        let (group, member) = self.names(member);
        let sql = "UPDATE life SET ended_wall_ms = ?, exit = ?
            WHERE group_name = ? AND member = ? AND pid = ? AND start = ?";
        self.all.prepare_cached(sql)?.execute(params![
            self.both.now_ms(),
            exit.to_string(),
            group,
            member,
            generation.pid,
            i64_of(generation.start),
        ])?;
        Ok(())
    }
}

/// The word that serde gives to a plain enum.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => "?".to_owned(),
    }
}

/// SQLite's integers are signed; nothing that we count comes near the difference.
fn i64_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Puts names in the place of member ids: an index means nothing once the plan has changed.
fn name_members(json: &mut Value, plan: &Plan) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(|item| name_members(item, plan)),
        Value::Object(map) => {
            let index = |key: &str| map.get(key)?.as_u64().and_then(|n| u32::try_from(n).ok());
            if map.len() == 2
                && let (Some(group), Some(member)) = (index("group"), index("member"))
            {
                *json = Value::String(plan.path(MemberId { group, member }));
                return;
            }
            map.values_mut().for_each(|value| name_members(value, plan));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
