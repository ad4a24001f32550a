//! What is kept for how long, and how much room it takes.

use std::time::Duration;

use checkd_core::Instant;
use checkd_core::plan::Plan;
use rusqlite::Connection;

use super::open;
use crate::wall::Both;

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

/// Removes old rows, a portion at a time.
#[derive(Debug)]
pub(super) struct Sweep {
    swept_at: Option<Instant>,
    /// A clock that began at the newest row of the daemon before.
    lived: Both,
    /// Whether there are old rows left to remove.
    more: bool,
}

impl Sweep {
    /// Of the journal that is open.
    pub(super) fn begin(connection: &Connection) -> rusqlite::Result<Self> {
        let newest = newest_row(connection)?.unwrap_or_else(|| Both::read().now_ms());
        Ok(Self {
            swept_at: None,
            lived: Both::counted_from(newest),
            more: false,
        })
    }

    /// Whether there is more to remove at once.
    pub(super) fn is_due(&self) -> bool {
        self.more
    }

    /// The plan has changed: it may keep less.
    pub(super) fn again(&mut self) {
        self.swept_at = None;
    }

    /// Removes a portion, if it is time: what is to be written waits for no more than that. Whether
    /// anything may have been removed.
    pub(super) fn portion(&mut self, connection: &Connection, plan: &Plan) -> bool {
        let now = crate::clock::now();
        if !self.more {
            if self
                .swept_at
                .is_some_and(|at| now.since(at).as_duration() < SWEEP_EVERY)
            {
                return false;
            }
            self.swept_at = Some(now);
        }
        let more = self
            .remove(connection, plan)
            .and_then(|more| give_back(connection, more).map(|()| more));
        self.more = more.unwrap_or_else(|error| {
            tracing::warn!(
                reason = open::words(&error),
                "old journal rows cannot be removed"
            );
            false
        });
        true
    }

    /// Whether there may be more. Runs go before decisions.
    fn remove(&self, connection: &Connection, plan: &Plan) -> rusqlite::Result<bool> {
        let keep = plan.daemon.journal_keep.map_or(KEEP_MS, |span| span.0);
        // A clock that jumped ahead makes nothing older: only time that was lived through does.
        let today = (Both::read().now_ms()).min(self.lived.wall_ms(crate::clock::now()));
        let old = |times: u64| {
            let age = i64::try_from(keep.saturating_mul(times)).unwrap_or(i64::MAX);
            today.saturating_sub(age)
        };
        // Ahead of the runs: without passes of its own a segment would be replayed wrongly.
        if remove_segments(connection, old(1))? {
            return Ok(true);
        }
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
            let sql = format!(
                "DELETE FROM {table} WHERE {id} IN
                 (SELECT {id} FROM {table} WHERE wall_ms < ? {unless} LIMIT {PORTION})"
            );
            if connection.execute(&sql, [old(times)])? > 0 {
                return Ok(true);
            }
        }
        shrink(connection, plan)
    }
}

/// Gives the pages of removed rows back to the file system, and what was written to remove them. A
/// journal that an older checkd began has no room to give: its free pages are used again.
fn give_back(connection: &Connection, more: bool) -> rusqlite::Result<()> {
    // A statement that gives rows is stepped to its end, or it frees one page.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    if more && !open::wal_is_larger(connection, WAL_MAX) {
        return Ok(());
    }
    // A reader keeps the log from being emptied; the next portion tries again, entries do not wait.
    connection.busy_timeout(Duration::ZERO)?;
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(open::PATIENCE)?;
    emptied
}

/// Removes segments that began before that, and a portion of what belongs to none: those that begin
/// later, at the latest a day after, can be replayed by themselves. Whether there may be more.
fn remove_segments(connection: &Connection, before: i64) -> rusqlite::Result<bool> {
    let removed = connection.execute("DELETE FROM segment WHERE wall_ms < ?", [before])?;
    // The newest one may be on its way, and what belongs to it in front of it in no case.
    let sql = format!(
        "DELETE FROM input WHERE (segment, seq) IN
         (SELECT segment, seq FROM input
          WHERE segment < (SELECT ifnull(min(id), 1 << 62) FROM segment) LIMIT {PORTION})"
    );
    let inputs = connection.execute(&sql, [])?;
    if removed > 0 {
        let sql = "DELETE FROM plan WHERE print NOT IN (SELECT plan FROM segment)";
        connection.execute(sql, [])?;
    }
    Ok(removed > 0 || inputs > 0)
}

/// Removes a portion of what is oldest, runs or what the engine was told, if the file is larger than
/// `journal_max_size`. Whether there may be more.
fn shrink(connection: &Connection, plan: &Plan) -> rusqlite::Result<bool> {
    let max = plan.daemon.journal_max_size.unwrap_or(MAX_SIZE);
    let pragma = |name: &str| -> rusqlite::Result<u64> {
        let value: i64 = connection.pragma_query_value(None, name, |r| r.get(0))?;
        Ok(u64::try_from(value).unwrap_or(0))
    };
    let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    if pages.saturating_mul(pragma("page_size")?) <= max {
        return Ok(false);
    }
    if remove_segments(connection, i64::MIN)? {
        return Ok(true);
    }
    // When the last of the oldest runs was, and when the oldest segment began that another one follows.
    let of = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let runs = of(&format!(
        "SELECT max(wall_ms) FROM (SELECT wall_ms FROM run ORDER BY id LIMIT {PORTION})"
    ))?;
    let segment = of("SELECT min(wall_ms) FROM segment WHERE id < (SELECT max(id) FROM segment)")?;
    if let Some(began) = segment
        && runs.is_none_or(|last| began <= last)
    {
        remove_segments(connection, began.saturating_add(1))?;
        return Ok(true);
    }
    let Some(last) = runs else {
        return Ok(false);
    };
    // A segment that needs one of them cannot be replayed any more.
    remove_segments(connection, last.saturating_add(1))?;
    let sql =
        format!("DELETE FROM run WHERE id IN (SELECT id FROM run ORDER BY id LIMIT {PORTION})");
    Ok(connection.execute(&sql, [])? > 0)
}

/// When the newest row was written that says what happened.
fn newest_row(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max(newest) FROM (SELECT max(wall_ms) AS newest FROM run
               UNION ALL SELECT max(wall_ms) FROM transition
               UNION ALL SELECT max(wall_ms) FROM action)";
    connection.query_row(sql, [], |row| row.get(0))
}
