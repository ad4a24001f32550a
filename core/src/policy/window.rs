//! How often something happened lately: a sliding window, OTP's `add_restart` (never a tumbling one,
//! through whose boundary twice the limit fits).

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::likeness::Likeness;
use crate::plan::Limit;
use crate::{Instant, Span, json};

/// So many instants are kept at most; no limit is larger (the configuration refuses it).
pub(crate) const LIMIT_MAX: u32 = 64;

/// The newest instants at which something happened, none of them more than 49 days before the newest.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlidingWindow {
    times: Times,
}

/// A hundred thousand members have two windows each, which are kept again and again and seldom change:
/// an instant is the milliseconds after a first one, and a clone shares them.
#[derive(Clone, Debug, Default)]
struct Times {
    first: Instant,
    after: Arc<[u32]>,
}

impl Times {
    /// Of these instants, the oldest first, those that are kept.
    fn of(times: &[Instant]) -> Self {
        let newest = times.last().copied().unwrap_or_default();
        let near = |at: &&Instant| u32::try_from(newest.since(**at).0).is_ok();
        let surplus = times.len().saturating_sub(LIMIT_MAX as usize);
        let times = times.iter().skip(surplus).filter(near);
        let first = times.clone().next().copied().unwrap_or_default();
        let after = |at: &Instant| u32::try_from(at.since(first).0).unwrap_or(u32::MAX);
        Self {
            first,
            after: times.map(after).collect(),
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = Instant> + ExactSizeIterator {
        (self.after.iter()).map(|after| self.first + Span(u64::from(*after)))
    }
}

/// As words of four bytes: the first instant is two, then comes how long after it each is.
impl Serialize for SlidingWindow {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Times { first, after } = &self.times;
        let mut bytes = [[0; 4]; 2 + LIMIT_MAX as usize];
        let first = first.0.to_be_bytes();
        let words = after.iter().map(|after| after.to_be_bytes());
        let words = first.as_chunks().0.iter().copied().chain(words);
        for (place, word) in bytes.iter_mut().zip(words) {
            *place = word;
        }
        let used = if after.is_empty() { 0 } else { 2 + after.len() };
        let bytes = bytes.get(..used).unwrap_or_default();
        to.serialize_bytes(bytes.as_flattened())
    }
}

impl<'de> Deserialize<'de> for SlidingWindow {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            #[serde(deserialize_with = "json::bytes")]
            Words(Vec<u8>),
            /// An older checkd wrote every instant as a number.
            Instants { times: Vec<Instant> },
        }
        let instants = match Written::deserialize(from)? {
            Written::Instants { times } => times,
            Written::Words(bytes) => {
                let words = bytes.as_chunks().0.iter().copied();
                let mut words = words.map(|word| u64::from(u32::from_be_bytes(word)));
                let first = words.next().unwrap_or(0) << 32 | words.next().unwrap_or(0);
                words.map(|after| Instant(first) + Span(after)).collect()
            }
        };
        let times = Times::of(&instants);
        Ok(Self { times })
    }
}

impl SlidingWindow {
    /// It happened at `now`.
    pub(crate) fn add(&mut self, now: Instant) {
        let times: Vec<Instant> = self.times.iter().chain([now]).collect();
        self.times = Times::of(&times);
    }

    /// The same in memory of its own.
    pub(super) fn copied(&self) -> Self {
        let Times { first, after } = &self.times;
        let (first, after) = (*first, after.to_vec().into());
        Self {
            times: Times { first, after },
        }
    }

    /// The newest of them did not happen after all.
    pub(crate) fn take_back(&mut self) {
        let times: Vec<Instant> = self.times.iter().collect();
        if let Some((_, before)) = times.split_last() {
            self.times = Times::of(before);
        }
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
    use crate::{Instant, Span, json};

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

    fn text(window: &SlidingWindow) -> String {
        json::write(&mut Vec::new(), window).unwrap().to_owned()
    }

    #[test]
    fn instants_far_apart_and_a_full_window_are_remembered_as_they_were() {
        let days = |days: u64| Instant(days * 86_400_000);
        let mut window = SlidingWindow::default();
        for day in [1, 2, 40, 60, 61, 200] {
            window.add(days(day));
        }
        assert_eq!(text(&window), format!(r#""{:016x}00000000""#, days(200).0));
        for hour in 1..=100 {
            window.add(days(200) + Span::mins(60 * hour));
        }
        let day = Span::mins(24 * 60);
        let end = days(200) + Span::mins(60 * 100);
        assert_eq!(window.count(day, end), 24);
        assert_eq!(window.count(Span(u64::MAX), end), 64);
        let again: SlidingWindow = serde_json::from_str(&text(&window)).unwrap();
        assert_eq!(again.count(day, end), 24);
        assert_eq!(text(&again), text(&window));
        let times: Vec<Instant> = window.times.iter().collect();
        let old = serde_json::json!({ "times": times }).to_string();
        let again: SlidingWindow = serde_json::from_str(&old).unwrap();
        assert_eq!(text(&again), text(&window), "as it was once written");
        let list = serde_json::to_string(&window).unwrap();
        let again: SlidingWindow = serde_json::from_str(&list).unwrap();
        assert_eq!(text(&again), text(&window), "as another writer put it");
        for broken in [r#""012""#, r#""none of these are""#, "[1,2000]", "{}"] {
            assert!(
                serde_json::from_str::<SlidingWindow>(broken).is_err(),
                "{broken}"
            );
        }
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
