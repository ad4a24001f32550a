//! Reading the journal back: for `history`, and for the incident in `explain`.

use std::path::{Path, PathBuf};

use checkd_core::report;
use rusqlite::{ToSql, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::open;

/// Reads the journal's file; the daemon may be writing it meanwhile.
#[derive(Clone, Debug)]
pub struct Reader {
    path: PathBuf,
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of these members, as `GROUP/MEMBER`; rows of shared checks are of their group. `None`:
    /// of all.
    pub members: Option<Vec<String>>,
    /// Only of this check.
    pub check: Option<String>,
    /// Not before this, in milliseconds since 1970.
    pub since_ms: i64,
    /// Not after this.
    pub until_ms: Option<i64>,
    /// The newest so many.
    pub limit: u32,
    /// Runs as well.
    pub runs: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// RFC 3339, UTC.
    pub time: String,
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// Its group.
    pub group: String,
    /// Its member; nothing for a check that the group shares.
    pub member: Option<String>,
    /// The check, for a run.
    pub check: Option<String>,
    /// `run`, `transition`, `decision`, `action`, `outcome`, `operator`, `evidence`.
    pub what: String,
    /// The word that matters: a status, a new state, a step, an outcome, a command.
    pub word: String,
    /// One line for a person.
    pub text: String,
    /// The incident that it belongs to.
    pub incident: Option<i64>,
    /// The intent that it belongs to.
    pub intent: Option<i64>,
    /// Everything else that is stored, such as the gates of a decision.
    pub detail: Value,
}

/// The columns of every part: wall, seq, group, member, check, what, word, text, incident, intent,
/// detail.
pub(super) const PARTS: [&str; 5] = [
    "SELECT wall_ms, seq, group_name, nullif(member, ''), NULL, 'transition', to_word,
        axis || ': ' || from_word || ' → ' || to_word || CASE why WHEN '' THEN '' ELSE ', ' || why END,
        incident, NULL, json_object('axis', axis, 'from', from_word, 'to', to_word, 'why', why)
     FROM transition WHERE wall_ms >= ?1",
    DECISIONS,
    ACTIONS,
    "SELECT outcome_wall_ms, outcome_seq, group_name, member, NULL, 'outcome', outcome, detail,
        incident, intent, json_object('act', act)
     FROM action WHERE outcome_wall_ms >= ?1",
    "SELECT wall_ms, seq, group_name, member, NULL, 'operator', command, by,
        NULL, NULL, json(detail)
     FROM operator WHERE wall_ms >= ?1",
];
pub(super) const DECISIONS: &str =
    "SELECT wall_ms, seq, group_name, member, NULL, 'decision', step, because,
        incident, intent, json_object('closed', closed, 'explanation',
            json_set(explanation, '$.verdict', verdict, '$.because', because))
     FROM decision WHERE wall_ms >= ?1";
pub(super) const ACTIONS: &str =
    "SELECT wall_ms, seq, group_name, member, NULL, 'action', act, why,
        incident, intent, json_object('pid', pid)
     FROM action WHERE wall_ms >= ?1";
pub(super) const RUNS: &str =
    "SELECT wall_ms, seq, group_name, member, check_name, 'run', status, message,
        NULL, NULL, json_object('cause', cause, 'took_ms', took_ms, 'pid', pid, 'count', count,
        'largest_gap_ms', largest_gap_ms, 'span_ms', at_ms - first_at_ms,
        'measured', json(measured))
     FROM run WHERE wall_ms >= ?1";

impl Reader {
    /// A reader of the journal at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn open(&self) -> rusqlite::Result<rusqlite::Connection> {
        open::open_to_read(&self.path)
    }

    /// Whether the file is a journal that this program can read, for who reads it without a daemon.
    ///
    /// # Errors
    /// One line: what it is instead.
    pub fn usable(&self) -> Result<(), String> {
        open::readable(&self.path)
    }

    /// Every member that the journal knows, as `GROUP/MEMBER`.
    ///
    /// # Errors
    /// The file cannot be read; SQLite's words.
    pub fn members(&self) -> Result<Vec<String>, String> {
        let members = |connection: rusqlite::Connection| {
            connection
                .prepare(
                    // Who never ran has no life, and a history all the same.
                    "SELECT DISTINCT group_name || '/' || member FROM (
                       SELECT group_name, member FROM life
                       UNION SELECT group_name, member FROM transition WHERE member <> ''
                       UNION SELECT group_name, member FROM action
                       UNION SELECT group_name, member FROM operator WHERE member <> '')
                     ORDER BY 1",
                )?
                .query_map([], |r| r.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()
        };
        self.open().and_then(members).map_err(|e| open::unread(&e))
    }

    /// The newest rows that `filter` lets pass, oldest first.
    ///
    /// # Errors
    /// The file cannot be read; SQLite's words.
    pub fn rows(&self, filter: &Filter) -> Result<Vec<Row>, String> {
        let mut rows = self.query(filter).map_err(|e| open::unread(&e))?;
        // Evidence is in the files, and nowhere else: what was removed is not told of.
        if filter.check.is_none()
            && let Some(state_dir) = self.path.parent()
        {
            let kept = crate::evidence::rows(&crate::evidence::root(state_dir), filter);
            if !kept.is_empty() {
                rows.extend(kept);
                rows.sort_by_key(|row| row.wall_ms);
                let many = rows.len().saturating_sub(filter.limit as usize);
                rows.drain(..many);
            }
        }
        Ok(rows)
    }

    fn query(&self, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
        let connection = self.open()?;
        let mut parts: Vec<&str> = Vec::new();
        if filter.runs {
            parts.push(RUNS);
        }
        if filter.check.is_none() {
            parts.extend(PARTS);
        }
        let mut arguments: Vec<Box<dyn ToSql>> = vec![Box::new(filter.since_ms)];
        let mut narrow = String::new();
        if let Some(members) = &filter.members {
            arguments.push(Box::new(serde_json::to_string(members).unwrap_or_default()));
            // What happened to a group happened to each of its members.
            narrow.push_str(
                " AND (group_name || '/' || ifnull(member, '') IN (SELECT value FROM json_each(?2))
                    OR ifnull(member, '') = '' AND EXISTS (SELECT 1 FROM json_each(?2)
                        WHERE substr(value, 1, length(group_name) + 1) = group_name || '/'))",
            );
        }
        if let Some(check) = &filter.check {
            arguments.push(Box::new(check.clone()));
            narrow.push_str(&format!(" AND check_name = ?{}", arguments.len()));
        }
        let sql: Vec<String> = parts.iter().map(|part| format!("{part}{narrow}")).collect();
        // By its first column, for an outcome has a time of its own.
        let mut until = String::new();
        if let Some(until_ms) = filter.until_ms {
            arguments.push(Box::new(until_ms));
            until = format!("WHERE wall_ms <= ?{} ", arguments.len());
        }
        arguments.push(Box::new(filter.limit));
        let sql = format!(
            "SELECT * FROM ({}) {until}ORDER BY 1 DESC, 2 DESC LIMIT ?{}",
            sql.join(" UNION ALL "),
            arguments.len()
        );
        let mut rows = connection
            .prepare(&sql)?
            .query_map(params_from_iter(arguments.iter()), |r| row(r, 0))?
            .collect::<rusqlite::Result<Vec<Row>>>()?;
        rows.reverse();
        Ok(rows)
    }

    /// When the newest life of a member began, in milliseconds since 1970.
    ///
    /// # Errors
    /// The file cannot be read; SQLite's words.
    pub fn lives(&self, group: &str, member: &str) -> Result<Option<i64>, String> {
        use rusqlite::OptionalExtension;
        open::open_to_read(&self.path)
            .and_then(|connection| {
                let sql = "SELECT wall_ms FROM life WHERE group_name = ? AND member = ?";
                connection
                    .query_row(sql, [group, member], |r| r.get(0))
                    .optional()
            })
            .map_err(|e| open::unread(&e))
    }
}

/// The columns of a part, of which the first is column `from`.
pub(super) fn row(r: &rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Row> {
    let wall_ms = r.get(from)?;
    let detail: Option<String> = r.get(from + 10)?;
    let detail = detail.and_then(|text| serde_json::from_str(&text).ok());
    let mut detail: Value = detail.unwrap_or_default();
    if let Some(explanation) = detail.get_mut("explanation") {
        report::told(explanation);
    }
    Ok(Row {
        time: crate::wall::rfc3339(wall_ms),
        wall_ms,
        group: r.get(from + 2)?,
        member: r.get(from + 3)?,
        check: r.get(from + 4)?,
        what: r.get(from + 5)?,
        word: r.get(from + 6)?,
        text: r.get::<_, Option<String>>(from + 7)?.unwrap_or_default(),
        incident: r.get(from + 8)?,
        intent: r.get(from + 9)?,
        detail,
    })
}

impl Row {
    /// `web/web-3`, `web/web-3:ping`, or `web:database` for a shared check.
    pub fn path(&self) -> String {
        let mut path = self.group.clone();
        if let Some(member) = &self.member {
            path.push('/');
            path.push_str(member);
        }
        if let Some(check) = &self.check {
            path.push(':');
            path.push_str(check);
        }
        path
    }
}
