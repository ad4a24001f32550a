//! Keeps a plugin from filling the log: so many lines in a window, the rest is counted.

use std::time::{Duration, Instant};

/// So many lines are let through in [`WINDOW`].
pub(crate) const LINES: u32 = 100;

/// See [`LINES`].
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// Counts the lines of one source.
#[derive(Debug)]
pub(crate) struct Limiter {
    since: Instant,
    let_through: u32,
    held_back: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Log it.
    Log,
    /// Log it, and that so many were dropped before it.
    LogAfter(u64),
    /// Drop it.
    Drop,
}

impl Limiter {
    /// Nothing seen yet at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            let_through: 0,
            held_back: 0,
        }
    }

    /// A line at `now`.
    pub(crate) fn take(&mut self, now: Instant) -> Line {
        if now.duration_since(self.since) >= WINDOW {
            self.since = now;
            self.let_through = 0;
        }
        if self.let_through >= LINES {
            self.held_back += 1;
            return Line::Drop;
        }
        self.let_through += 1;
        match std::mem::take(&mut self.held_back) {
            0 => Line::Log,
            dropped => Line::LogAfter(dropped),
        }
    }

    /// How many lines were dropped since the last one that was let through.
    pub(crate) fn held_back(&self) -> u64 {
        self.held_back
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES, Limiter, Line, WINDOW};
    use std::time::Instant;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut limiter = Limiter::new(start);
        for _ in 0..LINES {
            assert_eq!(limiter.take(start), Line::Log);
        }
        assert_eq!(limiter.take(start), Line::Drop);
        assert_eq!(limiter.take(start), Line::Drop);
        assert_eq!(limiter.held_back(), 2);
        assert_eq!(limiter.take(start + WINDOW), Line::LogAfter(2));
        assert_eq!(limiter.take(start + WINDOW), Line::Log);
    }
}
