//! What the workers of this process have in memory.

use std::fmt;
use std::fs;

/// In KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    /// Written pages: its own, and its share of those that it shares.
    written: u64,
    /// Pages of files that nobody else has read.
    read: u64,
    /// What it has of the copy of the library, a file in memory.
    library: u64,
    resident: u64,
}

impl Weight {
    /// What would be free without this process.
    pub(crate) fn own(&self) -> u64 {
        self.written + self.read
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            written,
            read,
            library,
            resident,
        } = self;
        write!(f, "{written} KiB written, {read} KiB read by nobody else")?;
        if *library > 0 {
            write!(f, ", {library} KiB of the copy of its library")?;
        }
        write!(f, "; {resident} KiB in all")
    }
}

/// Each worker with its guard before it.
pub(crate) fn pairs() -> Vec<(Weight, Weight)> {
    children("self")
        .iter()
        .flat_map(|guard| {
            let workers = children(guard);
            workers
                .into_iter()
                .map(move |worker| (weight(guard), weight(&worker)))
        })
        .collect()
}

/// The processes that some thread of this one has started.
fn children(process: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|line| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            words
        })
        .collect()
}

fn weight(process: &str) -> Weight {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it lives");
    let of = |name: &str| -> u64 {
        rollup
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    };
    Weight {
        written: of("Pss_Anon"),
        read: of("Private_Clean"),
        library: of("Pss_Shmem"),
        resident: of("Rss"),
    }
}
