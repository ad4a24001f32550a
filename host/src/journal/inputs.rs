//! What the engine is told on its way to the disk: ahead of what it decides because of that.

use checkd_core::engine::{Engine, Event};
use checkd_core::replay::{Input, Short};
use checkd_core::{Instant, Measurement};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::rows::{Rows, i64_of};
use super::{Journal, Message};
use crate::plugin::program::hex;

/// An engine with more members is not written down: to do that would keep intents from the disk.
pub(super) const MOST: usize = 20_000;

/// Where a segment begins.
#[derive(Debug)]
pub(super) struct Begin {
    /// The engine as it is then; none when it has too many members.
    engine: Option<Engine>,
    at: Instant,
    why: &'static str,
}

/// Makes the tables, where they are not there yet.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("inputs.sql"))
}

impl Journal {
    /// A segment begins here: what is told to `engine` from now on follows, with what it decides.
    pub(super) fn begin_segment(&self, engine: &Engine, why: &'static str, now: Instant) {
        let few = engine.plan().members().count() <= MOST;
        self.send(Message::Begin(Box::new(Begin {
            engine: few.then(|| engine.clone()),
            at: now,
            why,
        })));
    }

    /// What comes now does not follow from what the engine was told.
    pub fn end_segment(&self) {
        self.send(Message::End);
    }

    /// Stores an input, ahead of what the engine answered to it.
    pub(super) fn input(&self, input: Short) {
        self.send(Message::Input(Box::new(input)));
    }
}

impl Rows<'_> {
    /// Begins a segment; gives its number.
    pub(super) fn begin(&mut self, begin: &Begin) -> rusqlite::Result<i64> {
        self.close_all_folds()?;
        let seq = self.next_seq();
        let written = begin.engine.as_ref().map(Engine::written).transpose();
        let written = written.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        let (plan, state) = match written {
            Some(written) => (written.plan, Some(written.state)),
            None => (String::new(), None),
        };
        let print = print_of(&plan);
        let sql = "UPDATE segment SET end_seq = ? WHERE daemon = ? AND end_seq IS NULL";
        self.all
            .prepare_cached(sql)?
            .execute(params![seq, self.daemon])?;
        let sql = "INSERT OR IGNORE INTO plan (print, value) VALUES (?, ?)";
        self.all
            .prepare_cached(sql)?
            .execute(params![print, plan])?;
        let sql = "INSERT INTO segment (daemon, seq, why, at_ms, wall_ms, plan, state)
            VALUES (?,?,?,?,?,?,?)";
        self.all.prepare_cached(sql)?.execute(params![
            self.daemon,
            seq,
            begin.why,
            i64_of(begin.at.0),
            self.both.wall_ms(begin.at),
            print,
            state,
        ])?;
        Ok(self.all.last_insert_rowid())
    }

    pub(super) fn input(&mut self, segment: Option<i64>, input: &Short) -> rusqlite::Result<()> {
        let seq = self.next_seq();
        let Some(segment) = segment else {
            return Ok(());
        };
        let value = serde_json::to_string(input)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let sql = "INSERT INTO input (segment, seq, value) VALUES (?,?,?)";
        self.all
            .prepare_cached(sql)?
            .execute(params![segment, seq, value])?;
        Ok(())
    }

    pub(super) fn end_segment(&mut self, segment: Option<i64>) -> rusqlite::Result<()> {
        let seq = self.next_seq();
        let sql = "UPDATE segment SET end_seq = ? WHERE id = ?";
        self.all
            .prepare_cached(sql)?
            .execute(params![seq, segment])?;
        Ok(())
    }

    /// Something was lost after `seq`: what stands behind that in this segment and in those after it
    /// may not be all.
    pub(super) fn lost(&self, seq: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE segment SET lost_seq = max(seq, ?1)
            WHERE daemon = ?2 AND ifnull(end_seq, ?1 + 1) > ?1 AND lost_seq IS NULL";
        self.all
            .prepare_cached(sql)?
            .execute(params![seq, self.daemon])?;
        Ok(())
    }
}

/// Whether a segment is still there, as far as can be told.
pub(super) fn has(connection: &Connection, segment: i64) -> bool {
    let sql = "SELECT count(*) FROM segment WHERE id = ?";
    let found = connection.query_row(sql, [segment], |row| row.get::<_, i64>(0));
    found.map_or(true, |found| found > 0)
}

/// By what a plan is known.
pub(super) fn print_of(plan: &str) -> String {
    hex(&Sha256::digest(plan.as_bytes()))
}

/// About how much memory an input takes beside itself.
pub(super) fn heap_of(input: &Short) -> usize {
    match input {
        Short::Sample {
            message, measured, ..
        } => message.len() + measured.len() * size_of::<Measurement>(),
        Short::Whole(Input::Event { event, .. }) => match event {
            Event::Sample { sample, .. } => sample.message.len(),
            Event::IntentRefused { reason, .. } => reason.len(),
            Event::Command { by, .. } => by.len(),
            Event::Wake
            | Event::Started { .. }
            | Event::Exited { .. }
            | Event::IntentStored(_)
            | Event::Done { .. }
            | Event::Host(_)
            | Event::Maintenance { .. } => 64,
        },
        Short::Whole(Input::Passes { .. }) => 0,
    }
}
