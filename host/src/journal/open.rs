//! Opening the journal's file: a new one, ours, or one that must not be touched.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkd_core::diagnostic::Diagnostic;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::manager::plain;
use crate::wall;

/// `chkd`: SQLite keeps it in the file's head, so a journal is told from any other database.
const APPLICATION_ID: i64 = 0x6368_6b64;
/// The version that this program writes.
const VERSION: i64 = 1;

/// How long somebody else's lock on the file is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Looking through so much takes a moment.
const SMALL: u64 = 16 << 20;

/// What a file is.
enum Found {
    /// Nothing in it yet.
    Empty,
    /// A journal of this version.
    Journal,
    /// A journal of a later version.
    Newer(i64),
    /// Something else, and what.
    Foreign(String),
}

/// Opens the journal for writing. What cannot be read as a journal is renamed, never overwritten,
/// and told in the warning that comes back.
///
/// # Errors
/// The file cannot be opened at all (C0501) or is of a newer checkd (C0503).
pub(super) fn open(path: &Path) -> Result<(Connection, Option<Diagnostic>), Diagnostic> {
    let mut warning = None;
    match look(path) {
        Ok(Found::Empty | Found::Journal) => {}
        Ok(Found::Newer(version)) => return Err(newer(path, version)),
        Ok(Found::Foreign(what)) => warning = Some(set_aside(path, &what)?.1),
        Err(error) if is_damage(&error) => {
            warning = Some(set_aside(path, &format!("is damaged ({})", words(&error)))?.1);
        }
        Err(error) => return Err(unopened(path, &error)),
    }
    let connection = begin(path).map_err(|error| unopened(path, &error))?;
    Ok((connection, warning))
}

/// Opens the journal for reading; the daemon may be writing.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    Ok(connection)
}

/// Whether the file at `path` is a journal that this program understands.
///
/// # Errors
/// One line: what it is instead.
pub(super) fn readable(path: &Path) -> Result<(), String> {
    // SQLite's words for it, "unable to open database file", say less.
    let meta = std::fs::metadata(path).map_err(|e| plain(&e))?;
    if !meta.is_file() {
        return Err("it is not a file".to_owned());
    }
    let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |r| r.get(0))
    };
    let read = |connection: Connection| {
        let application = pragma(&connection, "application_id")?;
        Ok((application, pragma(&connection, "user_version")?))
    };
    match open_to_read(path).and_then(read) {
        Err(error) => Err(words(&error)),
        Ok((application, _)) if application != APPLICATION_ID => {
            Err("it is no journal of checkd".to_owned())
        }
        Ok((_, version)) if version > VERSION => Err(format!(
            "a newer checkd wrote it (version {version}; this program knows version {VERSION})"
        )),
        Ok(_) => Ok(()),
    }
}

/// Which locks a journal is used with.
#[derive(Clone, Copy)]
enum Locks {
    /// Others read while we write. SQLite keeps the index of its log in a file that all share.
    Shared,
    /// Nobody else uses it. The index is in memory: where a disk has no room at all, even for that
    /// file, the journal can be read all the same.
    Alone,
}

impl Locks {
    /// Before anything is read: later there is a file already.
    fn set(self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Shared => Ok(()),
            Self::Alone => connection.pragma_update(None, "locking_mode", "EXCLUSIVE"),
        }
    }

    /// Does it for others to read too, and else alone.
    fn either<T>(each: impl Fn(Self) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        match each(Self::Shared) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                each(Self::Alone)
            }
            done => done,
        }
    }
}

/// Whether nobody else can read the journal meanwhile, for want of room.
pub(super) fn is_alone(connection: &Connection) -> bool {
    let mode = connection.pragma_query_value(None, "locking_mode", |row| row.get::<_, String>(0));
    mode.is_ok_and(|mode| mode == "exclusive")
}

/// Lets others read again. Where there is still no room for that nothing is lost, and it is worth
/// another try later.
pub(super) fn share(connection: &Connection) -> rusqlite::Result<()> {
    // Memory is left only where the log is left: it is folded in, and begun anew.
    for (name, value) in [
        ("journal_mode", "DELETE"),
        ("locking_mode", "NORMAL"),
        ("journal_mode", "WAL"),
    ] {
        connection.pragma_update(None, name, value)?;
        // What is asked for takes effect with the next look at the file.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    }
    Ok(())
}

fn look(path: &Path) -> rusqlite::Result<Found> {
    Locks::either(|locks| look_with(path, locks))
}

fn look_with(path: &Path, locks: Locks) -> rusqlite::Result<Found> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Empty),
        Ok(meta) if meta.is_file() && meta.len() == 0 => return Ok(Found::Empty),
        Ok(meta) if !meta.is_file() => {
            return Ok(Found::Foreign("is not a file".to_owned()));
        }
        Ok(_) | Err(_) => {}
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    locks.set(&connection)?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if application != APPLICATION_ID {
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
        return Ok(match tables {
            0 => Found::Empty,
            _ => Found::Foreign("is a database of another program".to_owned()),
        });
    }
    if version > VERSION {
        return Ok(Found::Newer(version));
    }
    if is_small(path)
        && let Some(damage) = damage(&connection)?
    {
        return Ok(Found::Foreign(format!("is damaged ({damage})")));
    }
    Ok(Found::Journal)
}

/// Whether a journal is looked through before anything else. A larger one would keep members waiting:
/// it is looked through while it is used.
pub(super) fn is_small(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.len() <= SMALL)
}

/// What is wrong with the pages of a journal, found by looking at each of them.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let said = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match said {
        Ok(said) if said == "ok" => Ok(None),
        Ok(said) => {
            // Its first line only names which of several databases is meant.
            let mut lines = said.lines().filter(|line| !line.starts_with("***"));
            Ok(Some(
                lines
                    .next()
                    .unwrap_or("its pages do not fit together")
                    .to_owned(),
            ))
        }
        Err(error) if is_damage(&error) => Ok(Some(words(&error))),
        Err(error) => Err(error),
    }
}

/// Sets aside what turned out to be damaged when it was read, and begins another.
///
/// # Errors
/// The new one cannot begin (C0501).
pub(super) fn anew(
    path: &Path,
    error: &rusqlite::Error,
) -> Result<(Connection, Diagnostic), Diagnostic> {
    let (_, warning) = set_aside(path, &format!("is damaged ({})", words(error)))?;
    let connection = begin(path).map_err(|error| unopened(path, &error))?;
    Ok((connection, warning))
}

pub(super) fn begin(path: &Path) -> rusqlite::Result<Connection> {
    Locks::either(|locks| begin_with(path, locks))
}

fn begin_with(path: &Path, locks: Locks) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    locks.set(&connection)?;
    // Only a file that is new takes it, and before anything else; any other would have to be written.
    let pages: i64 = connection.pragma_query_value(None, "page_count", |r| r.get(0))?;
    if pages == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    if application != APPLICATION_ID {
        let all = connection.transaction()?;
        all.execute_batch(include_str!("schema.sql"))?;
        all.pragma_update(None, "application_id", APPLICATION_ID)?;
        all.pragma_update(None, "user_version", VERSION)?;
        all.commit()?;
    }
    Ok(connection)
}

/// Whether the file itself is at fault.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

/// Whether it is about the room, the file system or somebody else's lock, and not about the file: it
/// may be over the next time.
pub(super) fn passes(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
        )
    )
}

/// Whether the write-ahead log of a journal takes more than so many bytes.
pub(super) fn wal_is_larger(connection: &Connection, bytes: u64) -> bool {
    let wal = connection.path().map(|path| format!("{path}-wal"));
    wal.and_then(|wal| std::fs::metadata(wal).ok())
        .is_some_and(|meta| meta.len() > bytes)
}

/// SQLite's own words, without Rust's.
pub(crate) fn words(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqliteFailure(_, Some(text)) = error {
        return text.clone();
    }
    error.to_string()
}

/// Why a reader gets nothing.
pub(super) fn unread(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "it is locked, by a program that holds it, or by its writer because the disk has no room \
             at all; `df` shows that"
                .to_owned()
        }
        _ => words(error),
    }
}

/// Renames what cannot be read as a journal; gives its new name, and what is to be told.
///
/// # Errors
/// It cannot be renamed.
pub(super) fn set_aside(path: &Path, what: &str) -> Result<(PathBuf, Diagnostic), Diagnostic> {
    let stamp = wall::compact(wall::now_ms());
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(&format!(".set-aside-{stamp}"));
    std::fs::rename(path, &aside).map_err(|e| {
        cannot(
            path,
            &format!("it {what}, and cannot be renamed: {}", plain(&e)),
        )
    })?;
    // The write-ahead log belongs to the old file; where there is none there is nothing to move.
    for suffix in ["-wal", "-shm"] {
        drop(std::fs::rename(
            with(suffix),
            with(&format!(".set-aside-{stamp}{suffix}")),
        ));
    }
    let told = Diagnostic::warning("C0504", format!("journal `{}` {what}", path.display()))
        .note(format!(
            "it was renamed to `{}`; nothing in it was changed",
            aside.display()
        ))
        .note("a new journal begins: what happened before is not in `history` and `explain`")
        .note("members that still run are looked for by what stands in their environment");
    Ok((aside, told))
}

fn newer(path: &Path, version: i64) -> Diagnostic {
    Diagnostic::error(
        "C0503",
        format!("journal `{}` was written by a newer checkd", path.display()),
    )
    .note(format!(
        "its version is {version}; this program knows version {VERSION}"
    ))
    .note("nothing was started and nothing was changed")
    .help("run the newer checkd, or move the file away to begin a new journal")
}

/// A journal that can be read and not be written: we go on without acts.
pub(super) fn unwritable(path: &Path, error: &rusqlite::Error) -> Diagnostic {
    let told = Diagnostic::warning(
        "C0501",
        format!(
            "journal `{}` cannot be written: {}",
            path.display(),
            words(error)
        ),
    )
    .note("no act is carried out unless its intent is stored first")
    .note("members that run are taken over and checked")
    .note("nobody is started or restarted until it can be written");
    helped(told, path, error)
}

/// A journal that cannot be opened.
pub(super) fn unopened(path: &Path, error: &rusqlite::Error) -> Diagnostic {
    helped(cannot(path, &words(error)), path, error)
}

/// The one thing to do about it, where we are sure.
fn helped(told: Diagnostic, path: &Path, error: &rusqlite::Error) -> Diagnostic {
    let directory = path.parent().unwrap_or(path).display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            told.help("another program, such as `sqlite3`, holds it: end its transaction")
        }
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => told.help(format!(
            "`df {directory}` shows the room; old output may go: `output/GROUP/MEMBER.log.N` in it"
        )),
        _ => told,
    }
}

fn cannot(path: &Path, why: &str) -> Diagnostic {
    Diagnostic::error(
        "C0501",
        format!("journal `{}` cannot be opened: {why}", path.display()),
    )
    .note("no act is carried out unless its intent is stored first")
    .note("nothing was started and nothing was changed; members that run live on, unchecked")
}
