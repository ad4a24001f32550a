//! When a sink's next message goes out: after what happens together was collected, not too soon after
//! the last one, and after a growing wait when sending fails.

use checkd_core::plan::SinkPlan;
use checkd_core::{Instant, Span};

/// The first wait after a failure; it doubles.
const BACKOFF_BASE: Span = Span::secs(5);
/// The longest wait.
const BACKOFF_CAP: Span = Span::mins(5);

/// A failure that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    /// Since when, in milliseconds since 1970.
    pub(super) since_ms: i64,
    /// Why, in the words of the last attempt.
    pub(super) why: String,
}

/// The timing of one sink.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sending: bool,
    last_sent: Option<Instant>,
    failures: u32,
    retry_at: Option<Instant>,
    failing: Option<Failing>,
}

impl Pace {
    /// When the next message is due, when the oldest news waits since `oldest`; nothing while one is
    /// on its way.
    pub(super) fn due(&self, plan: &SinkPlan, oldest: Instant) -> Option<Instant> {
        if self.sending {
            return None;
        }
        if let Some(at) = self.retry_at {
            return Some(at);
        }
        let collected = oldest + plan.collect;
        let apart = self.last_sent.map(|last| last + plan.min_interval);
        Some(apart.map_or(collected, |apart| apart.max(collected)))
    }

    /// When what was sent before is sent again, where that is wanted at `at`.
    pub(super) fn again(&self, at: Instant) -> Option<Instant> {
        if self.sending {
            return None;
        }
        Some(self.retry_at.map_or(at, |retry_at| retry_at.max(at)))
    }

    /// Since when it fails, and why.
    pub(super) fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref()
    }

    pub(super) fn is_sending(&self) -> bool {
        self.sending
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self) {
        self.sending = true;
    }

    /// It was taken. What failed before, if it did.
    pub(super) fn sent(&mut self, now: Instant) -> Option<Failing> {
        self.sending = false;
        self.last_sent = Some(now);
        self.failures = 0;
        self.retry_at = None;
        self.failing.take()
    }

    /// It was not. True when that is new. `chance` spreads the wait over its upper half, so that many
    /// hosts do not come back at once.
    pub(super) fn failed(&mut self, now: Instant, wall_ms: i64, why: String, chance: u64) -> bool {
        self.sending = false;
        let doubled = BACKOFF_BASE.0 << self.failures.min(16);
        let wait = doubled.min(BACKOFF_CAP.0);
        let half = wait / 2;
        self.retry_at = Some(now + Span::millis(half + chance % half.max(1)));
        self.failures = self.failures.saturating_add(1);
        let new = self.failing.is_none();
        let since_ms = self.failing.as_ref().map_or(wall_ms, |f| f.since_ms);
        self.failing = Some(Failing { since_ms, why });
        new
    }

    /// Another configuration: whatever was wrong may be mended.
    pub(super) fn at_once(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }
}
