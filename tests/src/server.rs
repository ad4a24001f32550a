//! The log that a server writes about itself: when it started, what it was asked, when it stopped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// The log of one `docs/quick-start/server.py`, over all its lives.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Time since boot.
    pub time: Duration,
    /// Which life wrote it.
    pub pid: u32,
    /// `start`, `request`, `stop`.
    pub event: String,
    /// What was asked for.
    pub path: String,
}

impl Log {
    /// The log in this file, which need not be there yet.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
        }
    }

    /// Everything written so far.
    pub fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter_map(Line::parse).collect()
    }

    /// The pids that started, oldest first.
    pub fn starts(&self) -> Vec<u32> {
        self.lines()
            .iter()
            .filter(|l| l.event == "start")
            .map(|l| l.pid)
            .collect()
    }

    /// The times of all requests whose path begins so.
    pub fn requests(&self, path: &str) -> Vec<Duration> {
        let asked = |line: &Line| line.event == "request" && line.path.starts_with(path);
        self.lines()
            .into_iter()
            .filter(asked)
            .map(|line| line.time)
            .collect()
    }

    /// The longest time between two neighbouring requests for `path`; nothing before the second.
    pub fn longest_gap(&self, path: &str) -> Option<Duration> {
        self.requests(path)
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .max()
    }

    /// From when to when each life ran, by its first and last line; the last life may still run.
    pub fn lives(&self) -> Vec<(u32, Duration, Duration)> {
        let lines = self.lines();
        let pids: BTreeSet<u32> = lines.iter().map(|line| line.pid).collect();
        let mut spans: Vec<_> = pids
            .into_iter()
            .filter_map(|pid| {
                let mut own = lines
                    .iter()
                    .filter(|line| line.pid == pid)
                    .map(|line| line.time);
                let first = own.next()?;
                Some((pid, first, own.next_back().unwrap_or(first)))
            })
            .collect();
        spans.sort_by_key(|&(_, first, _)| first);
        spans
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        // A line that is being written just now is read the next time.
        let line: Value = serde_json::from_str(text).ok()?;
        Some(Self {
            time: Duration::try_from_secs_f64(line.get("time")?.as_f64()?).ok()?,
            pid: u32::try_from(line.get("pid")?.as_u64()?).ok()?,
            event: line.get("event")?.as_str()?.to_owned(),
            path: line
                .get("path")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        })
    }
}
