//! What the daemon before left in the journal.

use std::collections::{BTreeMap, BTreeSet};

use checkd_core::plan::Plan;
use checkd_core::policy::keep::Kept;
use checkd_core::{Generation, IntentId, MemberId, Span};
use rusqlite::Connection;

use super::Past;

impl Past {
    /// Reads it, for a daemon of the boot `boot`.
    pub(super) fn read(
        connection: &Connection,
        plan: &Plan,
        boot: &str,
        now_ms: i64,
    ) -> rusqlite::Result<Self> {
        let last: Option<i64> =
            connection.query_row("SELECT max(intent) FROM action", [], |r| r.get(0))?;
        let lives = read_lives(connection, plan)?;
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
        let (kept, rebooted) = read_kept(connection, boot, now_ms)?;
        let next = last
            .and_then(|n| u64::try_from(n).ok())
            .map_or(1, |n| n + 1);
        Ok(Self {
            next_intent: IntentId(next),
            lives,
            interrupted,
            open,
            kept,
            rebooted,
        })
    }
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
