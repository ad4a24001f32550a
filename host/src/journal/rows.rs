//! From a message to its rows, within the transaction of its batch.

use std::collections::{BTreeMap, BTreeSet};

use checkd_core::engine::{Act, Command, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::policy::keep::Kept;
use checkd_core::report;
use checkd_core::{Generation, Instant, IntentId, LeafId, MemberId, Sample};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::queue::Passes;
use crate::wall::Both;

/// A row of `run` that counts steady passes.
#[derive(Clone, Copy, Debug)]
struct Fold {
    row: i64,
    passes: Passes,
    /// Whether the row does not say so yet.
    changed: bool,
}

/// The rows that count steady passes, and what they were before the transaction that is under way.
#[derive(Debug, Default)]
pub(super) struct Folds {
    rows: BTreeMap<LeafId, Fold>,
    before: Vec<(LeafId, Option<Fold>)>,
    /// Those that are to be brought up to date.
    folding: Vec<LeafId>,
}

impl Folds {
    /// Whether rows wait to be brought up to date.
    pub(super) fn is_folding(&self) -> bool {
        !self.folding.is_empty()
    }

    /// All rows are to say what they count.
    pub(super) fn begin_to_fold(&mut self) {
        let changed = self.rows.iter().filter(|(_, fold)| fold.changed);
        self.folding = changed.map(|(leaf, _)| *leaf).collect();
    }

    /// Ends a transaction.
    pub(super) fn settle(&mut self, committed: bool) {
        let before = std::mem::take(&mut self.before);
        if committed {
            return;
        }
        for (leaf, fold) in before.into_iter().rev() {
            self.put(leaf, fold);
        }
        // Some of it may not have been written.
        self.begin_to_fold();
    }

    fn set(&mut self, leaf: LeafId, fold: Option<Fold>) {
        let before = self.put(leaf, fold);
        self.before.push((leaf, before));
    }

    fn put(&mut self, leaf: LeafId, fold: Option<Fold>) -> Option<Fold> {
        match fold {
            Some(fold) => self.rows.insert(leaf, fold),
            None => self.rows.remove(&leaf),
        }
    }
}

/// The rows of one batch.
pub(super) struct Rows<'a> {
    pub(super) all: &'a Connection,
    pub(super) plan: &'a Plan,
    pub(super) texts: &'a mut report::Texts,
    pub(super) steady: &'a mut Folds,
    pub(super) daemon: i64,
    pub(super) seq: &'a mut i64,
    pub(super) both: Both,
}

impl<'a> Rows<'a> {
    fn names(&self, id: MemberId) -> (&'a str, &'a str) {
        let plan = self.plan;
        let group = plan.group(id.group).map_or("?", |g| g.name.as_str());
        let member = plan.member(id).map_or("?", |m| m.name.as_str());
        (group, member)
    }

    pub(super) fn next_seq(&mut self) -> i64 {
        *self.seq += 1;
        *self.seq
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        let seq = self.next_seq();
        match entry {
            Entry::Run { leaf, .. } => self.close_fold(*leaf)?,
            Entry::Transition { member, .. }
            | Entry::Decision { member, .. }
            | Entry::Operator { member, .. } => self.close_folds_of(*member)?,
            Entry::Group { group, .. } => self.close_folds_in(*group, &[None])?,
            Entry::Steady { .. } | Entry::Intent { .. } | Entry::Outcome { .. } => {}
        }
        match entry {
            Entry::Run { leaf, sample } => self.run(*leaf, sample),
            Entry::Steady { leaf, at } => self.steady(*leaf, Passes::one(*at)),
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
                    axis.as_str(),
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
                let written = self.texts.decision(explanation).map_err(unsaid)?;
                let sql =
                    "INSERT INTO decision (seq, daemon, group_name, member, step, verdict, because,
                    closed, explanation, intent, incident, at_ms, wall_ms)
                    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
                self.all.prepare_cached(sql)?.execute(params![
                    seq,
                    self.daemon,
                    group,
                    member,
                    step.as_str(),
                    explanation.verdict.as_str(),
                    explanation.because,
                    written.closed,
                    written.explanation,
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
                    Act::Signal {
                        member, generation, ..
                    } => (*member, Some(generation.pid), "signal"),
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

    /// Counts passes that changed nothing in the row of the passes before them.
    pub(super) fn steady(&mut self, leaf: LeafId, passes: Passes) -> rusqlite::Result<()> {
        let before = self.steady.rows.get(&leaf).copied();
        let fold = if let Some(mut fold) = before
            && fold.passes.go_on_with(&passes)
        {
            fold.passes.add(passes);
            fold.changed = true;
            fold
        } else {
            self.close_fold(leaf)?;
            self.next_seq();
            self.insert_run(leaf, "pass", None, "", None, None, None, passes.first)?;
            Fold {
                row: self.all.last_insert_rowid(),
                passes,
                changed: passes.count > 1,
            }
        };
        self.steady.set(leaf, Some(fold));
        Ok(())
    }

    /// Somebody is told of what the checks of a member said: when the last passes of each came stands in
    /// the words, so those after it are counted by themselves.
    fn close_folds_of(&mut self, member: MemberId) -> rusqlite::Result<()> {
        self.close_folds_in(member.group, &[Some(member.member), None])
    }

    fn close_folds_in(&mut self, group: u32, members: &[Option<u32>]) -> rusqlite::Result<()> {
        let checks = self.plan.group(group).map_or(0, |plan| plan.checks.len());
        for check in (0u32..).take(checks) {
            for &member in members {
                self.close_fold(LeafId {
                    group,
                    check,
                    member,
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn close_all_folds(&mut self) -> rusqlite::Result<()> {
        let leaves: Vec<LeafId> = self.steady.rows.keys().copied().collect();
        leaves
            .into_iter()
            .try_for_each(|leaf| self.close_fold(leaf))
    }

    fn close_fold(&mut self, leaf: LeafId) -> rusqlite::Result<()> {
        let Some(fold) = self.steady.rows.get(&leaf).copied() else {
            return Ok(());
        };
        self.steady.set(leaf, None);
        if fold.changed {
            self.store_fold(fold)?;
        }
        Ok(())
    }

    /// Brings so many rows up to date.
    pub(super) fn fold(&mut self, most: usize) -> rusqlite::Result<()> {
        let left = self.steady.folding.len().saturating_sub(most);
        for leaf in self.steady.folding.split_off(left) {
            let Some(mut fold) = self.steady.rows.get(&leaf).copied() else {
                continue;
            };
            if fold.changed {
                self.store_fold(fold)?;
                fold.changed = false;
                self.steady.set(leaf, Some(fold));
            }
        }
        Ok(())
    }

    fn store_fold(&self, fold: Fold) -> rusqlite::Result<()> {
        let sql = "UPDATE run SET at_ms = ?, wall_ms = ?, count = ?, largest_gap_ms = ?
            WHERE id = ?";
        let passes = fold.passes;
        self.all.prepare_cached(sql)?.execute(params![
            i64_of(passes.last.0),
            self.both.wall_ms(passes.last),
            i64_of(passes.count),
            i64_of(passes.largest_gap),
            fold.row,
        ])?;
        Ok(())
    }

    pub(super) fn started(&self, member: MemberId, generation: Generation) -> rusqlite::Result<()> {
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

    pub(super) fn interrupted(&self, intents: &BTreeSet<IntentId>) -> rusqlite::Result<()> {
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

    pub(super) fn keep(&mut self, kept: &Kept, boot: &str) -> rusqlite::Result<()> {
        let sql = "INSERT INTO kept (path, boot, wall_ms, value) VALUES (?, ?, ?, ?)
            ON CONFLICT (path) DO UPDATE SET
              boot = excluded.boot, wall_ms = excluded.wall_ms, value = excluded.value";
        let value = self.texts.kept(kept).map_err(unsaid)?;
        let wall_ms = self.both.wall_ms(kept.at());
        self.all
            .prepare_cached(sql)?
            .execute(params![kept.path(), boot, wall_ms, value])?;
        Ok(())
    }

    pub(super) fn exited(
        &self,
        member: MemberId,
        generation: Generation,
        exit: Exit,
    ) -> rusqlite::Result<()> {
        let (group, member) = self.names(member);
        self.life_over((group, member), generation, exit)
    }

    pub(super) fn life_over(
        &self,
        (group, member): (&str, &str),
        generation: Generation,
        exit: Exit,
    ) -> rusqlite::Result<()> {
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

/// What has no text cannot be stored.
fn unsaid(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// SQLite's integers are signed; nothing that we count comes near the difference.
pub(super) fn i64_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
