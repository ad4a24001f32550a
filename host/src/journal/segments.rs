//! What the journal holds of a segment: where it begins, what the engine was told, and what it decided.

use std::collections::{BTreeMap, BTreeSet};

use checkd_core::event::{Effect, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::replay::{Input, Lives, Written};
use checkd_core::{Instant, IntentId, LeafId, report};
use rusqlite::{Connection, params};

use super::read::{self, Reader, Row};
use super::rows::{Folds, Rows};
use super::{inputs, open};
use crate::wall::Both;

/// A stretch of what one daemon's engine was told.
#[derive(Clone, Debug)]
pub struct Segment {
    id: i64,
    daemon: i64,
    seq: i64,
    plan: String,
    /// When it began, by the clock of the engine.
    pub at: Instant,
    /// The same in milliseconds since 1970.
    pub wall_ms: i64,
    /// Why: `daemon started`, `configuration taken`, `goes on`.
    pub why: String,
    /// The version of the checkd that wrote it.
    pub version: String,
    /// Behind this nothing follows from it any more; none when the daemon runs, or was killed.
    end_seq: Option<i64>,
    lost_seq: Option<i64>,
    /// When the next one of the same boot began.
    next_at: Option<Instant>,
}

/// What is written down of a segment.
#[derive(Debug)]
pub struct Told {
    /// The engine with which it begins; none when it was too large to be written down.
    pub begin: Option<Written>,
    /// What that was told. Nothing can be said of what stands behind one that cannot be read.
    pub inputs: Vec<Input>,
    /// Why not all of them could be read.
    pub garbled: Option<String>,
    /// What was decided.
    pub rows: Vec<Row>,
    /// Acts that were under way when it began: their intents stand before it.
    under_way: Vec<Action>,
}

/// A row of an act.
type Action = (i64, String, String, String, String, Option<i64>);

impl Segment {
    /// Whether the daemon ended it in good order: then nothing of what it decided may be missing.
    pub fn is_closed(&self) -> bool {
        self.end_seq.is_some() && self.lost_seq.is_none()
    }

    /// Whether the journal lost something of it.
    pub fn has_lost(&self) -> bool {
        self.lost_seq.is_some()
    }

    /// When something happened in it, in milliseconds since 1970.
    pub fn wall_of(&self, at: Instant) -> i64 {
        let ms = |at: Instant| i64::try_from(at.0).unwrap_or(i64::MAX);
        (self.wall_ms).saturating_add(ms(at).saturating_sub(ms(self.at)))
    }
}

/// A journal as it is at one moment, to be replayed.
#[derive(Debug)]
pub struct Segments {
    connection: Connection,
}

impl Reader {
    /// The journal as it is now: the daemon may be writing.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn segments(&self) -> Result<Segments, String> {
        let begin = |connection: Connection| {
            connection.execute_batch("BEGIN")?;
            Ok(Segments { connection })
        };
        self.open().and_then(begin).map_err(|e| open::words(&e))
    }
}

impl Segments {
    /// Every segment, the oldest first. None in a journal that only an older checkd wrote.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn all(&self) -> Result<Vec<Segment>, String> {
        self.read_all().map_err(|e| open::words(&e))
    }

    fn read_all(&self) -> rusqlite::Result<Vec<Segment>> {
        let table = "SELECT count(*) FROM sqlite_master WHERE name = 'segment'";
        if self
            .connection
            .query_row(table, [], |r| r.get::<_, i64>(0))?
            == 0
        {
            return Ok(Vec::new());
        }
        let sql = "SELECT segment.id, daemon, seq, plan, at_ms, segment.wall_ms, why,
              ifnull(version, '?'), end_seq, lost_seq, ifnull(boot, '?')
            FROM segment LEFT JOIN daemon ON daemon.id = segment.daemon ORDER BY segment.id";
        let mut all: Vec<(Segment, String)> = self
            .connection
            .prepare(sql)?
            .query_map([], |r| {
                let segment = Segment {
                    id: r.get(0)?,
                    daemon: r.get(1)?,
                    seq: r.get(2)?,
                    plan: r.get(3)?,
                    at: Instant(r.get::<_, i64>(4)?.unsigned_abs()),
                    wall_ms: r.get(5)?,
                    why: r.get(6)?,
                    version: r.get(7)?,
                    end_seq: r.get(8)?,
                    lost_seq: r.get(9)?,
                    next_at: None,
                };
                Ok((segment, r.get(10)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut next: Option<(Instant, String)> = None;
        for (segment, boot) in all.iter_mut().rev() {
            let same_boot = next.take().filter(|(_, of)| of == boot);
            segment.next_at = same_boot.map(|(at, _)| at);
            next = Some((segment.at, boot.clone()));
        }
        Ok(all.into_iter().map(|(segment, _)| segment).collect())
    }

    /// When the oldest decision was taken that the journal holds, in milliseconds since 1970.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn oldest_decision(&self) -> Result<Option<i64>, String> {
        let sql = "SELECT min(wall_ms) FROM decision";
        let oldest = self.connection.query_row(sql, [], |r| r.get(0));
        oldest.map_err(|e| open::words(&e))
    }

    /// What is written down of one of them.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn told(&self, segment: &Segment) -> Result<Told, String> {
        self.read(segment).map_err(|e| open::words(&e))
    }

    fn read(&self, segment: &Segment) -> rusqlite::Result<Told> {
        let all = &self.connection;
        let state: Option<String> = all.query_row(
            "SELECT state FROM segment WHERE id = ?",
            [segment.id],
            |r| r.get(0),
        )?;
        let plan = "SELECT value FROM plan WHERE print = ?";
        let plan = all
            .prepare(plan)?
            .query_map([&segment.plan], |r| r.get::<_, String>(0))?
            .next()
            .transpose()?
            .filter(|plan| inputs::print_of(plan) == segment.plan);
        let begin = state.map(|state| Written {
            plan: plan.unwrap_or_default(),
            state,
        });
        let until = segment.lost_seq.unwrap_or(i64::MAX);
        let mut until = until.min(segment.end_seq.unwrap_or(i64::MAX));
        let (mut inputs, mut lives, mut garbled) = (Vec::new(), Lives::default(), None);
        let sql = "SELECT seq, value FROM input WHERE segment = ? AND seq < ? ORDER BY seq";
        let mut statement = all.prepare(sql)?;
        let mut rows = statement.query([segment.id, until])?;
        while let Some(row) = rows.next()? {
            // Whatever somebody put there in place of a text.
            let value: Result<String, _> = row.get(1);
            let input = value
                .map_err(|e| open::words(&e))
                .and_then(|value| serde_json::from_str(&value).map_err(|e| e.to_string()));
            match input {
                Ok(short) => inputs.push(lives.restore(short)),
                Err(why) => {
                    // What follows from it and from those behind it cannot be told.
                    until = row.get(0)?;
                    garbled = Some(format!("input {until} of segment {}: {why}", segment.id));
                    break;
                }
            }
        }
        let under_way = "SELECT intent, group_name, member, act, why, incident FROM action
            WHERE (daemon < ?1 OR daemon = ?1 AND seq < ?2)
              AND outcome_seq > ?2 AND outcome_at_ms >= ?3";
        let from = i64::try_from(segment.at.0).unwrap_or(i64::MAX);
        let under_way = all
            .prepare(under_way)?
            .query_map(params![segment.daemon, segment.seq, from], |r| {
                let (group, member) = (r.get(1)?, r.get(2)?);
                Ok((r.get(0)?, group, member, r.get(3)?, r.get(4)?, r.get(5)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Told {
            begin,
            inputs,
            garbled,
            rows: decided(all, segment, until)?,
            under_way,
        })
    }

    /// The passes of a segment whose engine has this plan.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn passes(&self, segment: &Segment, plan: &Plan) -> Result<Vec<Input>, String> {
        self.read_passes(segment, plan).map_err(|e| open::words(&e))
    }

    fn read_passes(&self, segment: &Segment, plan: &Plan) -> rusqlite::Result<Vec<Input>> {
        let mut leaves: BTreeMap<(&str, Option<&str>, &str), LeafId> = BTreeMap::new();
        for (group, group_plan) in (0u32..).zip(&plan.groups) {
            for (check, check_plan) in (0u32..).zip(&group_plan.checks) {
                let members = (0u32..).zip(&group_plan.members);
                let members = members.map(|(index, it)| (Some(index), Some(it.name.as_str())));
                for (member, name) in members.chain([(None, None)]) {
                    let key = (group_plan.name.as_str(), name, check_plan.name.as_str());
                    leaves.insert(
                        key,
                        LeafId {
                            group,
                            check,
                            member,
                        },
                    );
                }
            }
        }
        // A run of its own says how long it took.
        let sql = "SELECT group_name, member, check_name, first_at_ms, at_ms, count FROM run
            WHERE daemon = ? AND seq > ? AND seq < ? AND took_ms IS NULL ORDER BY id";
        let until = segment.end_seq.unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([segment.daemon, segment.seq, until])?;
        let mut passes = Vec::new();
        while let Some(row) = rows.next()? {
            let (group, member, check): (String, Option<String>, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
            let key = (group.as_str(), member.as_deref(), check.as_str());
            if let Some(&leaf) = leaves.get(&key) {
                passes.push(Input::Passes {
                    leaf,
                    first: Instant(number(3)?),
                    last: Instant(number(4)?),
                    count: number(5)?,
                });
            }
        }
        Ok(passes)
    }
}

/// What stands between the beginning of a segment and `until`.
fn decided(all: &Connection, segment: &Segment, until: i64) -> rusqlite::Result<Vec<Row>> {
    // What a person did is told to the engine, and no answer of it.
    let parts = read::PARTS
        .iter()
        .filter(|part| !part.contains("'operator'"));
    let parts = parts.map(|part| {
        if part.starts_with("SELECT outcome_wall_ms") {
            // An outcome may be of an act that a daemon before began, on the same boot.
            part.replacen("SELECT outcome_wall_ms", "SELECT outcome_at_ms", 1)
                + " AND outcome_seq > ?3 AND outcome_seq < ?4 AND outcome_at_ms BETWEEN ?5 AND ?6
                AND daemon <= ?2
                AND (SELECT boot FROM daemon WHERE daemon.id = action.daemon)
                  = (SELECT boot FROM daemon WHERE daemon.id = ?2)"
        } else {
            part.replacen("SELECT wall_ms", "SELECT at_ms", 1)
                + " AND daemon = ?2 AND seq > ?3 AND seq < ?4"
        }
    });
    let sql = format!(
        "SELECT * FROM ({}) ORDER BY 2, 6",
        parts.collect::<Vec<_>>().join(" UNION ALL ")
    );
    let ms = |at: Instant| i64::try_from(at.0).unwrap_or(i64::MAX);
    all.prepare(&sql)?
        .query_map(
            params![
                i64::MIN,
                segment.daemon,
                segment.seq,
                until,
                ms(segment.at),
                segment.next_at.map_or(i64::MAX, ms),
            ],
            |r| read::row(r, 0),
        )?
        .collect()
}

/// A journal in memory that takes what is decided now: written by the same hand as the one on the disk, and
/// read by the same eyes.
pub struct Copy<'a> {
    all: Connection,
    plan: &'a Plan,
    refused: BTreeSet<IntentId>,
    segment: &'a Segment,
    seq: i64,
}

impl std::fmt::Debug for Copy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copy")
            .field("segment", &self.segment)
            .finish_non_exhaustive()
    }
}

impl<'a> Copy<'a> {
    /// An empty one, for what is decided under `plan`.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn new(plan: &'a Plan, segment: &'a Segment, told: &Told) -> Result<Self, String> {
        let make = || -> rusqlite::Result<Connection> {
            let all = Connection::open_in_memory()?;
            all.execute_batch(include_str!("schema.sql"))?;
            all.execute(
                "INSERT INTO daemon (id, wall_ms, pid, boot, version) VALUES (?, 0, 0, '', '')",
                [segment.daemon],
            )?;
            for (intent, group, member, act, why, incident) in &told.under_way {
                all.execute(
                    "INSERT INTO action (intent, seq, daemon, group_name, member, act, why,
                       incident, at_ms, wall_ms) VALUES (?1, -1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0)",
                    params![intent, segment.daemon, group, member, act, why, incident],
                )?;
            }
            all.execute_batch("BEGIN")?;
            Ok(all)
        };
        // What could not be stored is not there.
        let refused = told.inputs.iter().filter_map(|input| match input {
            Input::Event {
                event: Event::IntentRefused { intent, .. },
                ..
            } => Some(*intent),
            Input::Event { .. } | Input::Passes { .. } => None,
        });
        Ok(Self {
            all: make().map_err(|e| open::words(&e))?,
            plan,
            refused: refused.collect(),
            segment,
            seq: segment.seq,
        })
    }

    /// Takes what the engine answers, as the loop and the writer do.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn take(&mut self, effect: &Effect) -> Result<(), String> {
        let Effect::Record(entry) = effect else {
            return Ok(());
        };
        match entry {
            Entry::Run { .. } | Entry::Steady { .. } => return Ok(()),
            Entry::Intent { intent, .. } if self.refused.contains(intent) => return Ok(()),
            Entry::Intent { .. }
            | Entry::Transition { .. }
            | Entry::Group { .. }
            | Entry::Decision { .. }
            | Entry::Outcome { .. }
            | Entry::Operator { .. } => {}
        }
        let mut rows = Rows {
            all: &self.all,
            plan: self.plan,
            texts: &mut report::Texts::default(),
            steady: &mut Folds::default(),
            daemon: self.segment.daemon,
            seq: &mut self.seq,
            // What counts is the time of the engine.
            both: Both::counted_from(0),
        };
        rows.entry(entry).map_err(|e| open::words(&e))
    }

    /// All that was taken.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn rows(&self) -> Result<Vec<Row>, String> {
        decided(&self.all, self.segment, i64::MAX).map_err(|e| open::words(&e))
    }
}
