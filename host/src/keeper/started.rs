//! Which intents have started a process, on disk: a keeper that comes after one that was killed starts
//! nobody twice, even if the process has ended meanwhile.
//!
//! The new process writes its line itself, just before its program begins, so there is a line exactly
//! where there was a process. It is not synced: a killed keeper loses nothing that way, and a machine
//! that lost its power has no process left, and no act that goes on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
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
    /// As which process those began that were not seen to end.
    pids: RefCell<BTreeMap<IntentId, u32>>,
    added: Cell<usize>,
}

impl Started {
    /// Reads what the keeper before left.
    pub(super) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let (file, begun) = match read(&path) {
            Ok((file, begun)) => (Some(file), begun),
            Err(error) => {
                note(&format!("{}: {}", path.display(), plain(&error)));
                (None, BTreeMap::new())
            }
        };
        let pids = begun
            .iter()
            .filter_map(|(&intent, pid)| Some((intent, (*pid)?)));
        let started = Self {
            path,
            file: RefCell::new(file),
            pids: RefCell::new(pids.collect()),
            open: RefCell::new(begun.into_keys().collect()),
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

    /// Where the new process writes its line.
    pub(super) fn line(&self, intent: IntentId) -> Option<Line> {
        let file = self.file.borrow().as_ref()?.try_clone().ok()?;
        Some(Line { file, intent })
    }

    /// As which process it began, where that is known and its end is not.
    pub(super) fn pid(&self, intent: IntentId) -> Option<u32> {
        self.pids.borrow().get(&intent).copied()
    }

    /// All of these.
    pub(super) fn all_pids(&self) -> Vec<u32> {
        self.pids.borrow().values().copied().collect()
    }

    /// Its process was seen to end.
    pub(super) fn over(&self, intent: IntentId) {
        self.pids.borrow_mut().remove(&intent);
    }

    /// This process runs for it.
    pub(super) fn add(&self, intent: IntentId, pid: u32) {
        self.open.borrow_mut().insert(intent);
        self.pids.borrow_mut().insert(intent, pid);
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

    /// Writes the file again, which was removed.
    pub(super) fn settle_again(&self) {
        if self.file.borrow().is_none() {
            let file = opener().create(true).append(true).open(&self.path);
            self.file.replace(file.ok());
        }
        self.shorten();
    }

    /// Leaves out what nobody asks for and what has ended. Nobody writes meanwhile: a new process has written before we
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
        let mut pids = self.pids.borrow_mut();
        while pids.len() > KEPT {
            pids.pop_first();
        }
        let mut text = String::new();
        for intent in open.iter().chain(pids.keys()).collect::<BTreeSet<_>>() {
            text.push_str(&format!("{}", intent.0));
            if let Some(pid) = pids.get(intent) {
                text.push_str(&format!(" {pid}"));
            }
            text.push('\n');
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

/// What a new process writes of itself.
#[derive(Debug)]
pub(super) struct Line {
    file: File,
    intent: IntentId,
}

impl Line {
    /// Written by the new process, between fork and exec: allocates nothing, takes no lock. On a full
    /// disk nothing is remembered, and it is started all the same.
    pub(super) fn write(&self) {
        let mut text = [0_u8; 48];
        let room = text.len();
        let mut rest = text.as_mut_slice();
        // It begins with an end of line: one before it may have been cut off.
        if writeln!(rest, "\n{} {}", self.intent.0, std::process::id()).is_ok() {
            let length = room - rest.len();
            rustix::io::write(&self.file, text.get(..length).unwrap_or_default()).ok();
        }
    }
}

fn opener() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn read(path: &Path) -> io::Result<(File, BTreeMap<IntentId, Option<u32>>)> {
    let file = opener().create(true).read(true).append(true).open(path)?;
    let mut text = Vec::new();
    (&file).take(LENGTH_MAX).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // Of a line that is none nothing is known.
    let begun = text.lines().filter_map(|line| {
        let (intent, pid) = match line.split_once(' ') {
            Some((intent, pid)) => (intent, pid.parse().ok()),
            None => (line, None),
        };
        Some((IntentId(intent.parse().ok()?), pid))
    });
    Ok((file, begun.collect()))
}

#[cfg(test)]
mod tests {
    use checkd_core::IntentId;

    use super::Started;

    #[test]
    fn what_was_started_is_known_to_the_next_until_it_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let first = Started::open(state.path());
        for number in [7, 9] {
            first.line(IntentId(number)).unwrap().write();
        }
        let second = Started::open(state.path());
        assert!(second.contains(IntentId(7)) && !second.contains(IntentId(8)));
        assert_eq!(second.highest(), IntentId(9));
        second.forget(&[IntentId(7)]);
        assert!(!second.contains(IntentId(7)));
        second.shorten();
        let third = Started::open(state.path());
        assert!(third.contains(IntentId(9)));
        // As which process it began is known until that ended, whoever asks for it.
        let us = std::process::id();
        assert_eq!(third.pid(IntentId(7)), Some(us));
        third.over(IntentId(7));
        third.forget(&[IntentId(7)]);
        third.shorten();
        let fourth = Started::open(state.path());
        assert_eq!(fourth.pid(IntentId(7)), None);
        assert!(!fourth.contains(IntentId(7)));
        assert_eq!(fourth.pid(IntentId(9)), Some(us));
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_no_hindrance() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(
            state.path().join(super::FILE),
            b"\xff\n12\n3 x\n4 77\n4\nnonsense\n-1\n 5",
        )
        .unwrap();
        let odd = Started::open(state.path());
        assert_eq!(odd.highest(), IntentId(12));
        assert_eq!((odd.pid(IntentId(3)), odd.pid(IntentId(12))), (None, None));
        let closed = Started::open(&state.path().join("nowhere"));
        assert!(closed.line(IntentId(1)).is_none() && !closed.contains(IntentId(1)));
    }
}
