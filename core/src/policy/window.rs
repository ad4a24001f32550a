//! How often something happened lately: a sliding window, OTP's `add_restart` (never a tumbling one,
//! through whose boundary twice the limit fits).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::likeness::Likeness;
use crate::plan::Limit;
use crate::{Instant, Span};

/// So many instants are kept at most; no limit is larger (the configuration refuses it).
pub(crate) const LIMIT_MAX: u32 = 64;

/// The newest instants at which something happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SlidingWindow {
    times: VecDeque<Instant>,
}

impl SlidingWindow {
    /// It happened at `now`.
    pub(crate) fn add(&mut self, now: Instant) {
        if self.times.len() >= LIMIT_MAX as usize {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }

    /// The newest of them did not happen after all.
    pub(crate) fn take_back(&mut self) {
        self.times.pop_back();
    }

    /// What of it bears on what comes: as long as it counts under `limit`.
    pub(super) fn likeness(&self, limit: Limit, to: &mut Likeness) {
        let Self { times } = self;
        to.is(times.len());
        for at in times {
            to.time(*at, limit.window);
        }
    }

    /// How often it happened in the `span` that ends at `now`.
    pub(crate) fn count(&self, span: Span, now: Instant) -> u32 {
        let recent = self
            .times
            .iter()
            .rev()
            .take_while(|at| now.since(**at) < span)
            .count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// When so many fall out of the window that one more fits under `limit`; `None` when one fits
    /// now.
    pub(crate) fn opens_at(&self, limit: Limit, now: Instant) -> Option<Instant> {
        let found = self.count(limit.window, now);
        let surplus = found.checked_sub(limit.max)?;
        let oldest = self.times.len().checked_sub(found as usize)? + surplus as usize;
        self.times.get(oldest).map(|at| *at + limit.window)
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
