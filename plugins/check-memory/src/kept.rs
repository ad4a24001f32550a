//! Files that stay open between runs, but only so many that everybody else has room too.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use procfs::process::{LimitValue, Process};

/// A file that stays open between runs.
#[derive(Debug)]
pub(crate) struct Kept {
    file: File,
    room: &'static Room,
}

/// How many files may stay open in this process.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    most: fn() -> usize,
}

/// A quarter of the descriptors that this process may have. With more checks than that the others
/// open their file anew in each run, which is slower and takes nothing away from anybody.
pub(crate) static ROOM: Room = Room::new(a_quarter);

fn a_quarter() -> usize {
    static QUARTER: OnceLock<usize> = OnceLock::new();
    *QUARTER.get_or_init(|| {
        let limits = Process::myself().and_then(|process| process.limits());
        match limits.map(|limits| limits.max_open_files.soft_limit) {
            Ok(LimitValue::Value(most)) => usize::try_from(most / 4).unwrap_or(usize::MAX),
            Ok(LimitValue::Unlimited) => usize::MAX,
            Err(_) => 256,
        }
    })
}

impl Room {
    pub(crate) const fn new(most: fn() -> usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            most,
        }
    }

    /// Keeps a file open, if there is room.
    pub(crate) fn keep(&'static self, file: File) -> Option<Kept> {
        let more = |taken| (taken < (self.most)()).then(|| taken + 1);
        let order = Ordering::Relaxed;
        match self.taken.fetch_update(order, order, more) {
            Ok(_) => Some(Kept { file, room: self }),
            Err(_) => None,
        }
    }
}

impl Kept {
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
