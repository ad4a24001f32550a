//! What waits and what was told, on disk: it outlives the daemon and the machine's restart.
//!
//! Memory is what counts and the file follows it. A disk that takes nothing keeps nobody from being
//! told: it is said once, and the whole is written when the disk takes it again.

use std::path::{Path, PathBuf};

use checkd_core::diagnostic::Diagnostic;
use rusqlite::{Connection, Transaction, params};
use serde::de::DeserializeOwned;

use super::book::{Change, Waiting};
use super::news::News;
use crate::journal::{is_damage, words};

/// `chkn`: SQLite keeps it in the file's head.
const APPLICATION_ID: i64 = 0x6368_6b6e;
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS waiting (
        id INTEGER PRIMARY KEY, sink TEXT NOT NULL, row TEXT NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS waiting_by_sink ON waiting (sink, id);
    CREATE TABLE IF NOT EXISTS told (
        sink TEXT NOT NULL, about TEXT NOT NULL, event TEXT NOT NULL, news TEXT NOT NULL,
        PRIMARY KEY (sink, about, event)) STRICT, WITHOUT ROWID;";

/// What the file held.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) waiting: Vec<(String, Waiting)>,
    pub(super) told: Vec<(String, News)>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    file: Option<Connection>,
    /// The file does not hold what it should.
    behind: bool,
}

impl Store {
    /// Opens the file, or begins one; a damaged one is renamed. The warning says what went wrong.
    pub(super) fn open(path: &Path) -> (Self, Found, Option<Diagnostic>) {
        let mut store = Self {
            path: path.to_owned(),
            file: None,
            behind: false,
        };
        let mut warning = None;
        let mut opened = open(path);
        if let Err(error) = &opened
            && is_damage(error)
        {
            let aside = path.with_extension(format!(
                "damaged-{}",
                crate::wall::compact(crate::wall::now_ms())
            ));
            let renamed = std::fs::rename(path, &aside).is_ok();
            for suffix in ["-wal", "-shm"] {
                let mut beside = path.as_os_str().to_owned();
                beside.push(suffix);
                // Of the damaged file; usually there is none.
                drop(std::fs::remove_file(beside));
            }
            warning = renamed.then(|| {
                Diagnostic::warning(
                    "C0531",
                    format!(
                        "what was to be told, `{}`, cannot be read: {}",
                        path.display(),
                        words(error)
                    ),
                )
                .note(format!("it was renamed to `{}`", aside.display()))
                .note("what waited to be sent is in it; new news is sent as ever")
            });
            opened = open(path);
        }
        match opened {
            Ok((file, found)) => {
                store.file = Some(file);
                (store, found, warning)
            }
            Err(error) => {
                store.behind = true;
                let told = store.cannot(&error);
                (store, Found::default(), Some(told))
            }
        }
    }

    /// Whether the file does not hold what it should.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Writes what changed; `everything` is asked for when the file has to catch up. A warning when
    /// it could not be written and that is new.
    pub(super) fn write(
        &mut self,
        changes: &[Change],
        everything: impl FnOnce() -> Vec<Change>,
    ) -> Option<Diagnostic> {
        if changes.is_empty() && !self.behind {
            return None;
        }
        let was_behind = self.behind;
        match self.try_write(changes, everything) {
            Ok(()) => {
                self.behind = false;
                None
            }
            Err(error) => {
                self.behind = true;
                (!was_behind).then(|| self.cannot(&error))
            }
        }
    }

    fn try_write(
        &mut self,
        changes: &[Change],
        everything: impl FnOnce() -> Vec<Change>,
    ) -> rusqlite::Result<()> {
        // A file that was removed is written to by nobody who could read it.
        if self.file.is_none() || !self.path.exists() {
            self.file = None;
            self.file = Some(open(&self.path)?.0);
            self.behind = true;
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let transaction = file.transaction()?;
        if self.behind {
            transaction.execute_batch("DELETE FROM waiting; DELETE FROM told;")?;
            apply(&transaction, &everything())?;
        } else {
            apply(&transaction, changes)?;
        }
        transaction.commit()
    }

    fn cannot(&self, error: &rusqlite::Error) -> Diagnostic {
        Diagnostic::warning(
            "C0531",
            format!(
                "cannot write down what is to be told in `{}`: {}",
                self.path.display(),
                words(error)
            ),
        )
        .note("it is sent all the same; what waits is lost if checkd ends before")
    }
}

fn open(path: &Path) -> rusqlite::Result<(Connection, Found)> {
    let file = Connection::open(path)?;
    file.busy_timeout(std::time::Duration::from_secs(2))?;
    file.pragma_update(None, "journal_mode", "WAL")?;
    // Whoever lost power wants to be told of what was before, too.
    file.pragma_update(None, "synchronous", "FULL")?;
    let found: i64 = file.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = file.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
    let version: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if tables > 0 && (found != APPLICATION_ID || version > VERSION) {
        // Another program's, or a newer checkd's: not ours to change.
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
            Some("it is not of this checkd".to_owned()),
        ));
    }
    file.pragma_update(None, "application_id", APPLICATION_ID)?;
    file.pragma_update(None, "user_version", VERSION)?;
    file.execute_batch(TABLES)?;
    let waiting = read(&file, "SELECT sink, row FROM waiting ORDER BY id")?;
    let told = read(&file, "SELECT sink, news FROM told")?;
    Ok((file, Found { waiting, told }))
}

/// Rows of a name and a JSON value; what cannot be read any more is left out.
fn read<T: DeserializeOwned>(file: &Connection, query: &str) -> rusqlite::Result<Vec<(String, T)>> {
    let mut statement = file.prepare(query)?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (sink, json) = row?;
        if let Ok(value) = serde_json::from_str(&json) {
            found.push((sink, value));
        }
    }
    Ok(found)
}

fn apply(to: &Transaction<'_>, changes: &[Change]) -> rusqlite::Result<()> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
    };
    for change in changes {
        match change {
            Change::Add(sink, waiting) => {
                let row = json(serde_json::to_string(waiting))?;
                to.prepare_cached("INSERT OR REPLACE INTO waiting VALUES (?1, ?2, ?3)")?
                    .execute(params![waiting.id, sink, row])?;
            }
            Change::Remove(sink, last) => {
                to.prepare_cached("DELETE FROM waiting WHERE sink = ?1 AND id <= ?2")?
                    .execute(params![sink, last])?;
            }
            Change::Told(sink, news) => {
                let row = json(serde_json::to_string(news))?;
                to.prepare_cached("INSERT OR REPLACE INTO told VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![sink, news.about(), news.event, row])?;
            }
            Change::Forget(sink, about, Some(event)) => {
                to.prepare_cached(
                    "DELETE FROM told WHERE sink = ?1 AND about = ?2 AND event = ?3",
                )?
                .execute(params![sink, about, event])?;
            }
            Change::Forget(sink, about, None) => {
                to.prepare_cached("DELETE FROM told WHERE sink = ?1 AND about = ?2")?
                    .execute(params![sink, about])?;
            }
            Change::Gone(sink) => {
                to.execute("DELETE FROM waiting WHERE sink = ?1", params![sink])?;
                to.execute("DELETE FROM told WHERE sink = ?1", params![sink])?;
            }
        }
    }
    Ok(())
}
