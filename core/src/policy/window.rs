//! How often something happened lately: a sliding window, OTP's `add_restart` (never a tumbling one,
//! through whose boundary twice the limit fits).

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::likeness::Likeness;
use crate::plan::Limit;
use crate::{Instant, Span};

/// So many instants are kept at most; no limit is larger (the configuration refuses it).
pub(crate) const LIMIT_MAX: u32 = 64;

/// The newest instants at which something happened, none of them more than 49 days before the newest.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct SlidingWindow {
    times: Times,
}

/// A hundred thousand members have two windows each: an instant is the milliseconds after a first one.
#[derive(Clone, Debug, Default)]
struct Times {
    first: Instant,
    after: VecDeque<u32>,
}

impl Times {
    fn push(&mut self, at: Instant) {
        if self.after.is_empty() {
            self.first = at;
        }
        while self.after.len() >= LIMIT_MAX as usize {
            self.after.pop_front();
        }
        let Ok(after) = u32::try_from(at.since(self.first).0) else {
            let times: Vec<Instant> = self.iter().collect();
            self.after.clear();
            let fits = |time: &&Instant| u32::try_from(at.since(**time).0).is_ok();
            for time in times.iter().filter(fits).chain([&at]) {
                self.push(*time);
            }
            return;
        };
        self.after.push_back(after);
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = Instant> + ExactSizeIterator {
        (self.after.iter()).map(|after| self.first + Span(u64::from(*after)))
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut times = Self::default();
        for at in Vec::<Instant>::deserialize(from)? {
            times.push(at);
        }
        Ok(times)
    }
}

impl SlidingWindow {
    /// It happened at `now`.
    pub(crate) fn add(&mut self, now: Instant) {
        self.times.push(now);
    }

    /// The newest of them did not happen after all.
    pub(crate) fn take_back(&mut self) {
        self.times.after.pop_back();
    }

    /// What of it bears on what comes: as long as it counts under `limit`.
    pub(super) fn likeness(&self, limit: Limit, to: &mut Likeness) {
        let Self { times } = self;
        to.is(times.after.len());
        for at in times.iter() {
            to.time(at, limit.window);
        }
    }

    /// How often it happened in the `span` that ends at `now`.
    pub(crate) fn count(&self, span: Span, now: Instant) -> u32 {
        let recent = (self.times.iter().rev())
            .take_while(|at| now.since(*at) < span)
            .count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// When so many fall out of the window that one more fits under `limit`; `None` when one fits
    /// now.
    pub(crate) fn opens_at(&self, limit: Limit, now: Instant) -> Option<Instant> {
        let found = self.count(limit.window, now);
        let surplus = found.checked_sub(limit.max)?;
        let oldest = self.times.iter().len().checked_sub(found as usize)? + surplus as usize;
        self.times.iter().nth(oldest).map(|at| at + limit.window)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::SlidingWindow;
    use crate::plan::Limit;
    use crate::{Instant, Span};

    #[test]
    fn the_window_slides() {
        let mut window = SlidingWindow::default();
        let limit = Limit {
            max: 2,
            window: Span::secs(10),
        };
        window.add(Instant(1_000));
        assert_eq!(window.opens_at(limit, Instant(1_000)), None);
        window.add(Instant(9_000));
        assert_eq!(window.count(limit.window, Instant(9_000)), 2);
        assert_eq!(
            window.opens_at(limit, Instant(9_000)),
            Some(Instant(11_000))
        );
        assert_eq!(
            window.count(limit.window, Instant(11_000)),
            1,
            "ten seconds later it is out"
        );
    }

    #[test]
    fn instants_far_apart_and_a_full_window_are_remembered_as_they_were() {
        let days = |days: u64| Instant(days * 86_400_000);
        let mut window = SlidingWindow::default();
        for day in [1, 2, 40, 60, 61, 200] {
            window.add(days(day));
        }
        let text = serde_json::to_string(&window).unwrap();
        assert_eq!(text, format!(r#"{{"times":[{}]}}"#, days(200).0));
        for hour in 1..=100 {
            window.add(days(200) + Span::mins(60 * hour));
        }
        let day = Span::mins(24 * 60);
        let end = days(200) + Span::mins(60 * 100);
        assert_eq!(window.count(day, end), 24);
        assert_eq!(window.count(Span(u64::MAX), end), 64);
        let text = serde_json::to_string(&window).unwrap();
        let read: SlidingWindow = serde_json::from_str(&text).unwrap();
        assert_eq!(read.count(day, end), 24);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        window.take_back();
        assert_eq!(window.count(day, end), 23);
    }

    proptest! {
        /// Whoever adds only while the window is open never exceeds the limit in any window.
        #[test]
        fn no_window_holds_more_than_the_limit(
            gaps in prop::collection::vec(0..4_000_u64, 1..200), max in 1..8_u32
        ) {
            let limit = Limit { max, window: Span::secs(10) };
            let (mut window, mut now, mut added) = (SlidingWindow::default(), Instant(0), Vec::new());
            for gap in gaps {
                now += Span(gap);
                if window.opens_at(limit, now).is_none() {
                    window.add(now);
                    added.push(now);
                }
            }
            for end in &added {
                let inside = added.iter().filter(|at| **at <= *end && end.since(**at) < limit.window);
                prop_assert!(inside.count() <= max as usize);
            }
        }
    }
}
