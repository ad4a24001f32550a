//! One leaf of the complex checks: samples in, debounced readings out.
//!
//! A leaf keeps one streak, read twice: `live` reads it with `fall` and `min_fail_span`, `ready` with
//! `ready_fall`. Warn counts as true. Unknown lengthens no streak and breaks none; enough of it in a
//! row makes the reading Unknown until somebody can look again (policy.md sections 0 and 1).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::likeness::Likeness;
use crate::plan::CheckPlan;
use crate::{Cause, Instant, Process, Sample, Span, Status};

/// So many Unknown in a row make the leaf read Unknown (policy.md P3).
pub const BLIND_AFTER: u32 = 5;
/// So long without anything but Unknown does too (policy.md P3).
pub const BLIND_SPAN: Span = Span::mins(2);

/// What one leaf knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Leaf {
    /// Whether the current streak is of Fails; `None` before the first definite sample.
    #[serde(skip_serializing_if = "is_default")]
    failing: Option<bool>,
    /// Length of the current streak.
    #[serde(skip_serializing_if = "is_default")]
    count: u32,
    /// When the current streak began.
    #[serde(skip_serializing_if = "is_default")]
    first: Instant,
    /// Its newest sample.
    #[serde(skip_serializing_if = "is_default")]
    last: Instant,
    /// Whether the last definite sample was a Warn.
    #[serde(skip_serializing_if = "is_default")]
    warned: bool,
    /// What `live` settled on; `None` before the first verdict.
    #[serde(skip_serializing_if = "is_default")]
    live: Option<bool>,
    /// What `ready` settled on.
    #[serde(skip_serializing_if = "is_default")]
    ready: Option<bool>,
    /// The last 64 definite samples, newest in bit 0; a set bit is a Fail.
    #[serde(skip_serializing_if = "is_default")]
    ring: u64,
    /// Unknown samples since the last definite one.
    #[serde(skip_serializing_if = "is_default")]
    unknown: u32,
    /// When they began.
    #[serde(skip_serializing_if = "is_default")]
    unknown_since: Instant,
    /// The newest sample of any kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Newest>,
    /// Whom the newest Fail blames, while `live` has not settled on a pass since.
    #[serde(skip_serializing_if = "Option::is_none")]
    blamed: Option<Arc<[Process]>>,
}

/// What is kept of the newest sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Newest {
    /// What it says.
    pub status: Status,
    /// Why.
    pub cause: Option<Cause>,
    /// Its message.
    pub message: Arc<str>,
    /// When its run ended.
    pub at: Instant,
}

/// What says nothing is not kept: thousands of these are written when thousands fail.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The current streak, for people and for gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    /// Of what.
    pub failing: bool,
    /// How many.
    pub count: u32,
    /// From the first to the last.
    pub span: Span,
}

impl Leaf {
    /// Takes a sample. True when a reading changed.
    pub fn take(&mut self, check: &CheckPlan, sample: &Sample) -> bool {
        let before = (self.live_reading(sample.at), self.ready_reading(sample.at));
        self.newest = Some(Newest {
            status: sample.status,
            cause: sample.cause,
            message: Arc::clone(&sample.message),
            at: sample.at,
        });
        match sample.status {
            Status::Unknown => {
                if self.unknown == 0 {
                    self.unknown_since = sample.at;
                }
                self.unknown = self.unknown.saturating_add(1);
            }
            Status::Pass | Status::Warn | Status::Fail => {
                self.definite(check, sample.status, sample.at);
                if sample.status == Status::Fail {
                    self.blamed = sample.blamed();
                } else if self.live == Some(true) {
                    self.blamed = None;
                }
            }
        }
        before != (self.live_reading(sample.at), self.ready_reading(sample.at))
    }

    fn definite(&mut self, check: &CheckPlan, status: Status, at: Instant) {
        let fails = status == Status::Fail;
        self.unknown = 0;
        self.warned = status == Status::Warn;
        self.ring = self.ring << 1 | u64::from(fails);
        if self.failing == Some(fails) {
            self.count = self.count.saturating_add(1);
        } else {
            self.failing = Some(fails);
            self.count = 1;
            self.first = at;
        }
        self.last = at;

        let often = check.n_of_m.is_some_and(|rule| {
            let kept = if rule.m >= 64 {
                u64::MAX
            } else {
                (1 << rule.m) - 1
            };
            (self.ring & kept).count_ones() >= rule.n
        });
        if fails {
            let long = at.since(self.first) >= check.min_fail_span;
            if (self.count >= check.fall && long) || often {
                self.live = Some(false);
            }
            if self.count >= check.ready_fall || often {
                self.ready = Some(false);
            }
        } else if self.count >= check.rise && !often {
            self.live = Some(true);
            self.ready = Some(true);
        }
    }

    /// Whom the newest Fail blames.
    pub(crate) fn blamed(&self) -> Option<&[Process]> {
        self.blamed.as_deref()
    }

    /// What `live` and `startup` read.
    pub fn live_reading(&self, now: Instant) -> Status {
        self.reading(self.live, now)
    }

    /// What `ready` reads.
    pub fn ready_reading(&self, now: Instant) -> Status {
        self.reading(self.ready, now)
    }

    fn reading(&self, settled: Option<bool>, now: Instant) -> Status {
        match settled {
            _ if self.blind(now) => Status::Unknown,
            None => Status::Unknown,
            Some(false) => Status::Fail,
            Some(true) if self.warned => Status::Warn,
            Some(true) => Status::Pass,
        }
    }

    /// Whether only Unknown was heard for too long.
    pub fn blind(&self, now: Instant) -> bool {
        self.unknown >= BLIND_AFTER
            || (self.unknown > 0 && now.since(self.unknown_since) >= BLIND_SPAN)
    }

    /// When the leaf turns blind by time alone.
    pub fn blind_at(&self) -> Option<Instant> {
        (self.unknown > 0 && self.unknown < BLIND_AFTER).then(|| self.unknown_since + BLIND_SPAN)
    }

    /// Whether something is changing: the next runs come at the fast interval.
    pub fn open(&self) -> bool {
        self.live != Some(true) || self.ready != Some(true) || self.failing == Some(true)
    }

    /// Whether another pass changes nothing but how many there were.
    pub fn settled(&self) -> bool {
        !self.open() && self.unknown == 0
    }

    /// What the newest sample alone says; Unknown before the first.
    pub fn latest(&self) -> Status {
        self.newest
            .as_ref()
            .map_or(Status::Unknown, |newest| newest.status)
    }

    /// When a definite sample last agreed with what `live` reads; `None` when the last one did not.
    ///
    /// A member that passed once and needs to pass twice still reads Fail, and is no longer one that
    /// anybody has evidence against.
    pub fn evidence(&self) -> Option<Instant> {
        (self.failing? != self.live?).then_some(self.last)
    }

    /// The newest sample.
    pub fn newest(&self) -> Option<&Newest> {
        self.newest.as_ref()
    }

    /// What of it bears on what comes.
    pub(super) fn likeness(&self, check: &CheckPlan, to: &mut Likeness) {
        let Self {
            failing,
            count,
            first,
            last,
            warned,
            live,
            ready,
            ring,
            unknown,
            unknown_since,
            newest,
            blamed,
        } = self;
        let most = check.fall.max(check.ready_fall).max(check.rise);
        to.is((failing, (*count).min(most), warned, live, ready));
        if *failing == Some(true) {
            to.time(*first, check.min_fail_span);
        }
        to.time(*last, check.interval * 2 + check.timeout);
        if let Some(rule) = check.n_of_m {
            to.is(ring << 64_u32.saturating_sub(rule.m).min(63));
        }
        to.is((*unknown).min(BLIND_AFTER));
        if *unknown > 0 {
            to.time(*unknown_since, BLIND_SPAN);
        }
        to.is(newest.as_ref().map(|newest| newest.status));
        to.is(blamed.as_ref().map(|blamed| blamed.len()));
    }

    /// The current streak.
    pub fn streak(&self) -> Option<Streak> {
        let failing = self.failing?;
        Some(Streak {
            failing,
            count: self.count,
            span: self.last.since(self.first),
        })
    }
}

#[cfg(test)]
mod tests;
