//! What stays below a worker's guard: told when a process outlives the one that started it, and too
//! much when there are too many.
//!
//! A run that leaves a process behind harms nobody else at once, for all of it ends with the worker;
//! but each run may leave one, and a worker may live for months.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// A process whose parent has ended is left behind when it still runs so long after it was first
/// seen. A tool that puts itself into the background to end its work is none.
const STAYS: Duration = Duration::from_secs(5);

/// So many processes may stay behind in one life of a worker; at one more it is replaced.
const BEHIND_MAX: usize = 16;

/// So many processes may be below a worker at once, whoever their parent is; at one more it is
/// replaced.
const BELOW_MAX: usize = 512;

/// What a guard says to its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The first process of this worker's life stays behind.
    Behind(String),
    /// There are too many, in the words of why a worker was killed.
    TooMany(String),
}

impl Said {
    /// As a line of the host's stream to the guard.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Behind(what) => format!("behind {what}\n"),
            Self::TooMany(why) => format!("too-many {why}\n"),
        }
    }

    /// Reads [`line`](Self::line).
    pub(super) fn read(line: &str) -> Option<Self> {
        let (word, text) = line.trim_end().split_once(' ')?;
        match word {
            "behind" => Some(Self::Behind(text.into())),
            "too-many" => Some(Self::TooMany(text.into())),
            _ => None,
        }
    }
}

/// The orphans that a guard has taken in, and since when.
#[derive(Debug)]
pub(super) struct Leftovers {
    worker: Pid,
    since: HashMap<Pid, Instant>,
    told: bool,
}

impl Leftovers {
    /// Of the worker that is this process's child. Every other child is an orphan.
    pub(super) fn new(worker: Pid) -> Self {
        Self {
            worker,
            since: HashMap::new(),
            told: false,
        }
    }

    /// Looks at what is below this process. What is too many is said at each look.
    ///
    /// Where the kernel does not list children (`CONFIG_PROC_CHILDREN`, which distributions set),
    /// there is nothing to see.
    pub(super) fn look(&mut self, now: Instant) -> Option<Said> {
        let children = children("self");
        let orphans: Vec<Pid> = children
            .iter()
            .copied()
            .filter(|&pid| pid != self.worker)
            .collect();
        self.since.retain(|pid, _| orphans.contains(pid));
        for &pid in &orphans {
            self.since.entry(pid).or_insert(now);
        }
        let mut behind = self
            .since
            .iter()
            .filter(|&(_, &since)| now.saturating_duration_since(since) >= STAYS);
        let first = behind.next().map(|(&pid, _)| pid);
        let count = usize::from(first.is_some()) + behind.count();
        if count > BEHIND_MAX {
            let why = format!("{count} processes stayed behind, {BEHIND_MAX} may");
            return Some(Said::TooMany(why));
        }
        if below(children) > BELOW_MAX {
            let why = format!("it had more than {BELOW_MAX} processes below it");
            return Some(Said::TooMany(why));
        }
        let first = first.filter(|_| !self.told)?;
        self.told = true;
        Some(Said::Behind(named(first)))
    }
}

/// How many processes are below this one, whose children are `children`, without the worker itself;
/// counted no further than is needed to see that they are too many.
fn below(children: Vec<Pid>) -> usize {
    let mut next = children;
    let mut count = 0;
    while let Some(pid) = next.pop() {
        count += 1;
        if count > BELOW_MAX + 1 {
            break;
        }
        next.extend(self::children(&pid.as_raw_pid().to_string()));
    }
    count.saturating_sub(1)
}

/// How many processes are below `pid`, counted no further than is needed to see that they are too many.
pub(super) fn below_of(pid: u32) -> usize {
    below(children(&pid.to_string()))
}

/// The children of a process, of all its threads.
fn children(of: &str) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else {
        return Vec::new();
    };
    let lists = threads.filter_map(|thread| {
        // One that has ended meanwhile has none.
        fs::read_to_string(thread.ok()?.path().join("children")).ok()
    });
    let pids = lists.flat_map(|list| {
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.filter_map(Pid::from_raw).collect::<Vec<Pid>>()
    });
    pids.collect()
}

/// `process 123 (sleep)`.
fn named(pid: Pid) -> String {
    let pid = pid.as_raw_pid();
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name);
    // Whoever runs chose it.
    let name: String = name.trim_end().chars().map(plain).collect();
    format!("process {pid} ({name})")
}

fn plain(c: char) -> char {
    if c.is_control() { '?' } else { c }
}
