//! Which intents have started a process, on disk: a keeper that comes after one that was killed starts
//! nobody twice, even if the process has ended meanwhile.
//!
//! The new process writes its line itself, just before its program begins, so there is a line exactly
//! where there was a process. It is not synced: a killed keeper loses nothing that way, and a machine
//! that lost its power has no process left, and no act that goes on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use checkd_core::IntentId;

use super::{note, plain};

/// The file, in the state directory.
const FILE: &str = "keeper.starts";
/// It is written anew when so much was added.
const ADDED_MAX: usize = 64 << 10;
/// So many intents are kept then, the newest: far more than can be open at once.
const KEPT: usize = 16_384;
/// No file of ours is longer.
const LENGTH_MAX: u64 = 4 << 20;

/// The starts that are on disk.
#[derive(Debug)]
pub(super) struct Started {
    path: PathBuf,
    /// Nothing when it cannot be used: then this is remembered as long as we live.
    file: RefCell<Option<File>>,
    /// What stands in it and may be asked for again.
    open: RefCell<BTreeSet<IntentId>>,
    added: Cell<usize>,
}

impl Started {
    /// Reads what the keeper before left.
    pub(super) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let (file, open) = match read(&path) {
            Ok((file, open)) => (Some(file), open),
            Err(error) => {
                note(&format!("{}: {}", path.display(), plain(&error)));
                (None, BTreeSet::new())
            }
        };
        let started = Self {
            path,
            file: RefCell::new(file),
            open: RefCell::new(open),
            added: Cell::new(0),
        };
        started.shorten();
        started
    }

    /// Whether a process was started for it.
    pub(super) fn contains(&self, intent: IntentId) -> bool {
        self.open.borrow().contains(&intent)
    }

    /// The highest intent in it.
    pub(super) fn highest(&self) -> IntentId {
        self.open.borrow().last().copied().unwrap_or_default()
    }

    /// What the new process writes, and where.
    pub(super) fn line(&self, intent: IntentId) -> Option<(File, String)> {
        let file = self.file.borrow().as_ref()?.try_clone().ok()?;
        Some((file, format!("{}\n", intent.0)))
    }

    /// A process runs for it.
    pub(super) fn add(&self, intent: IntentId) {
        self.open.borrow_mut().insert(intent);
        self.added.set(self.added.get() + 1);
        if self.added.get() > ADDED_MAX / 8 {
            self.shorten();
        }
    }

    /// Nobody asks for these any more.
    pub(super) fn forget(&self, intents: &[IntentId]) {
        let mut open = self.open.borrow_mut();
        for intent in intents {
            open.remove(intent);
        }
    }

    /// Leaves out what nobody asks for. Nobody writes meanwhile: a new process has written before we
    /// go on.
    fn shorten(&self) {
        self.added.set(0);
        if self.file.borrow().is_none() {
            return;
        }
        let mut open = self.open.borrow_mut();
        while open.len() > KEPT {
            open.pop_first();
        }
        let mut text = String::new();
        for intent in open.iter() {
            text.push_str(&format!("{}\n", intent.0));
        }
        let new = self.path.with_extension("new");
        let written = || -> io::Result<File> {
            let mut file = opener()
                .create(true)
                .truncate(true)
                .write(true)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&new, &self.path)?;
            opener().append(true).open(&self.path)
        };
        match written() {
            Ok(file) => drop(self.file.replace(Some(file))),
            // The old one goes on.
            Err(error) => note(&format!("{}: {}", new.display(), plain(&error))),
        }
    }
}

fn opener() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn read(path: &Path) -> io::Result<(File, BTreeSet<IntentId>)> {
    let file = opener().create(true).read(true).append(true).open(path)?;
    let mut text = Vec::new();
    (&file).take(LENGTH_MAX).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // Of a line that is none nothing is known.
    let intents = text
        .lines()
        .filter_map(|line| line.parse().ok().map(IntentId));
    Ok((file, intents.collect()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use checkd_core::IntentId;

    use super::Started;

    #[test]
    fn what_was_started_is_known_to_the_next_until_it_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let first = Started::open(state.path());
        for number in [7, 9] {
            let (mut file, line) = first.line(IntentId(number)).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
        let second = Started::open(state.path());
        assert!(second.contains(IntentId(7)) && !second.contains(IntentId(8)));
        assert_eq!(second.highest(), IntentId(9));
        second.forget(&[IntentId(7)]);
        assert!(!second.contains(IntentId(7)));
        second.shorten();
        let third = Started::open(state.path());
        assert!(!third.contains(IntentId(7)) && third.contains(IntentId(9)));
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_no_hindrance() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join(super::FILE), b"\xff\n12\nnonsense\n-1\n").unwrap();
        assert_eq!(Started::open(state.path()).highest(), IntentId(12));
        let closed = Started::open(&state.path().join("nowhere"));
        assert!(closed.line(IntentId(1)).is_none() && !closed.contains(IntentId(1)));
    }
}
