//! What was so at a moment that is over: each axis of a member, each check, the last decision, what was
//! under way, and what happened around it.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::read::{Filter, Reader, Row};
use super::{open, read};

/// So much of what happened before is told, and of what came after.
const BEFORE: u32 = 12;
const AFTER: u32 = 6;
/// What came after is of interest for so long.
const AFTER_MS: i64 = 60_000;

/// One member at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// `web/web-3`.
    pub path: String,
    /// Where it stood on each axis that it had moved along: life, health, attempt, control; and where
    /// its group did: hold, together.
    pub axes: Vec<Standing>,
    /// Of each check the run that was the newest then.
    pub checks: Vec<Row>,
    /// The newest decision: whether it acted, and every gate with its numbers.
    pub decision: Option<Row>,
    /// Acts that were under way: an intent, and no outcome yet.
    pub under_way: Vec<Row>,
    /// What happened last, oldest first.
    pub before: Vec<Row>,
    /// What happened in the minute after.
    pub after: Vec<Row>,
}

/// A place on an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// `life`, `health`, `attempt`, `control`; of the group `hold`, `together`.
    pub axis: String,
    /// `up`, `healthy`, `idle`, `auto`.
    pub word: String,
    /// What moved it there.
    pub why: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

impl Reader {
    /// What was so of `group/member` at `at_ms` milliseconds since 1970; of one check alone when it is
    /// named.
    ///
    /// # Errors
    /// The file cannot be read; SQLite's words.
    pub fn moment(
        &self,
        group: &str,
        member: &str,
        check: Option<&str>,
        at_ms: i64,
    ) -> Result<Moment, String> {
        let path = format!("{group}/{member}");
        let around = Filter {
            members: Some(vec![path.clone(), format!("{group}/")]),
            ..Filter::default()
        };
        let before = self.rows(&Filter {
            until_ms: Some(at_ms),
            limit: BEFORE,
            ..around.clone()
        })?;
        let mut after = self.rows(&Filter {
            since_ms: at_ms.saturating_add(1),
            until_ms: Some(at_ms.saturating_add(AFTER_MS)),
            limit: u32::MAX,
            ..around
        })?;
        after.truncate(AFTER as usize);
        let stand = |connection: &Connection| -> rusqlite::Result<Moment> {
            Ok(Moment {
                path,
                axes: axes(connection, group, member, at_ms)?,
                checks: checks(connection, group, member, check, at_ms)?,
                decision: decision(connection, group, member, at_ms)?,
                under_way: under_way(connection, group, member, at_ms)?,
                before,
                after,
            })
        };
        self.open()
            .and_then(|connection| stand(&connection))
            .map_err(|e| open::words(&e))
    }
}

fn axes(
    connection: &Connection,
    group: &str,
    member: &str,
    at_ms: i64,
) -> rusqlite::Result<Vec<Standing>> {
    // Of the columns beside max() SQLite gives those of the row that has it.
    let sql = "SELECT axis, to_word, why, wall_ms, max(id) FROM transition
        WHERE group_name = ?1 AND member IN (?2, '') AND wall_ms <= ?3
        GROUP BY axis
        ORDER BY CASE axis WHEN 'life' THEN 0 WHEN 'health' THEN 1 WHEN 'attempt' THEN 2
            WHEN 'control' THEN 3 WHEN 'hold' THEN 4 ELSE 5 END";
    connection
        .prepare(sql)?
        .query_map(params![group, member, at_ms], |r| {
            Ok(Standing {
                axis: r.get(0)?,
                word: r.get(1)?,
                why: r.get(2)?,
                since_ms: r.get(3)?,
            })
        })?
        .collect()
}

fn checks(
    connection: &Connection,
    group: &str,
    member: &str,
    check: Option<&str>,
    at_ms: i64,
) -> rusqlite::Result<Vec<Row>> {
    // A row that counts steady passes speaks for the whole of its stretch.
    let sql = format!(
        "SELECT max(id), {} AND group_name = ?2 AND (member = ?3 OR member IS NULL)
            AND (?4 IS NULL OR check_name = ?4) AND wall_ms - (at_ms - first_at_ms) <= ?5
         GROUP BY check_name ORDER BY check_name",
        read::RUNS.trim_start_matches("SELECT ")
    );
    connection
        .prepare(&sql)?
        .query_map(params![0, group, member, check, at_ms], |r| read::row(r, 1))?
        .collect()
}

fn decision(
    connection: &Connection,
    group: &str,
    member: &str,
    at_ms: i64,
) -> rusqlite::Result<Option<Row>> {
    let sql = format!(
        "{} AND group_name = ?2 AND member = ?3 AND wall_ms <= ?4 ORDER BY id DESC LIMIT 1",
        read::DECISIONS
    );
    connection
        .prepare(&sql)?
        .query_row(params![0, group, member, at_ms], |r| read::row(r, 0))
        .optional()
}

fn under_way(
    connection: &Connection,
    group: &str,
    member: &str,
    at_ms: i64,
) -> rusqlite::Result<Vec<Row>> {
    let sql = format!(
        "{} AND group_name = ?2 AND member = ?3 AND wall_ms <= ?4
            AND (outcome_wall_ms IS NULL OR outcome_wall_ms > ?4) ORDER BY intent",
        read::ACTIONS
    );
    connection
        .prepare(&sql)?
        .query_map(params![0, group, member, at_ms], |r| read::row(r, 0))?
        .collect()
}
