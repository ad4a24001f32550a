//! What is due at `now`, and when to wake next: dense slots on one heap.
//!
//! A slot is a leaf (its next run) or a member (its next look at the clock); the engine numbers them
//! from 0. Setting a slot again replaces its time, so a slot is never due twice for one setting.
//!
//! Due times are rounded up to [`GRAIN`]: a wake-up costs more than a check, so runs that are due
//! within one grain share it. Each keeps its own phase, so there is no herd, and a late wake-up finds
//! each slot due once, so there is no burst to catch up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::{Instant, Span};

/// Due times are multiples of this (architecture.md section 7: slots of 20 ms).
pub const GRAIN: Span = Span::millis(20);

/// Never due.
const NEVER: Instant = Instant(u64::MAX);

/// The times of all slots.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Due", into = "Due")]
pub struct Schedule {
    due: Vec<Instant>,
    heap: BinaryHeap<Reverse<(Instant, u32)>>,
}

/// A schedule as it is written down: for each slot when it is due, if it is set.
#[derive(Serialize, Deserialize)]
struct Due(Vec<Option<Instant>>);

impl From<Schedule> for Due {
    fn from(schedule: Schedule) -> Self {
        let due = schedule.due.into_iter();
        Self(due.map(|at| (at != NEVER).then_some(at)).collect())
    }
}

impl From<Due> for Schedule {
    fn from(due: Due) -> Self {
        let due = due.0.into_iter().map(|at| at.unwrap_or(NEVER)).collect();
        let mut schedule = Self {
            due,
            heap: BinaryHeap::new(),
        };
        schedule.heap = schedule.set_slots();
        schedule
    }
}

impl Schedule {
    /// `slots` slots, none of them set.
    pub fn new(slots: usize) -> Self {
        Self {
            due: vec![NEVER; slots],
            heap: BinaryHeap::with_capacity(slots),
        }
    }

    /// Makes `slot` due at the grain at or after `at`, instead of whenever it was due before.
    pub fn set(&mut self, slot: u32, at: Instant) {
        let at = Instant(at.0.div_ceil(GRAIN.0).saturating_mul(GRAIN.0));
        if let Some(due) = self.due.get_mut(slot as usize)
            && *due != at
        {
            *due = at;
            self.heap.push(Reverse((at, slot)));
            self.shrink();
        }
    }

    /// Makes `slot` due at `at` unless it is due earlier.
    pub fn set_earlier(&mut self, slot: u32, at: Instant) {
        if self.due.get(slot as usize).is_some_and(|due| at < *due) {
            self.set(slot, at);
        }
    }

    /// Makes `slot` due never.
    pub fn clear(&mut self, slot: u32) {
        if let Some(due) = self.due.get_mut(slot as usize) {
            *due = NEVER;
        }
    }

    /// Takes the next slot that is due at `now`, with the time at which it was; it is cleared.
    pub fn pop(&mut self, now: Instant) -> Option<(u32, Instant)> {
        while let Some(&Reverse((at, slot))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            if let Some(due) = self.due.get_mut(slot as usize)
                && *due == at
            {
                *due = NEVER;
                return Some((slot, at));
            }
        }
        None
    }

    /// When the next slot is due.
    pub fn next_due(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, slot))) = self.heap.peek() {
            if self.due.get(slot as usize) == Some(&at) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// When `slot` is due, if it is set.
    pub(crate) fn due(&self, slot: u32) -> Option<Instant> {
        let due = self.due.get(slot as usize).copied();
        due.filter(|at| *at != NEVER)
    }

    /// Entries that were replaced stay in the heap until they surface; when they are more than the
    /// rest, the heap is made anew, so memory is bounded by the number of slots.
    fn shrink(&mut self) {
        if self.heap.len() > 64 + 2 * self.due.len() {
            self.heap = self.set_slots();
        }
    }

    fn set_slots(&self) -> BinaryHeap<Reverse<(Instant, u32)>> {
        let slots = 0u32..;
        slots
            .zip(&self.due)
            .filter(|&(_, &at)| at != NEVER)
            .map(|(slot, &at)| Reverse((at, slot)))
            .collect()
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}

/// The first instant after `now` on the grid `k · interval + phase`.
///
/// `phase` is any number; a stable hash of the leaf's path keeps each leaf at its own place, through
/// restarts of the daemon too.
pub fn next_on_grid(now: Instant, interval: Span, phase: u64) -> Instant {
    let interval = interval.0.max(GRAIN.0);
    let offset = phase % interval;
    let since = now.0.saturating_sub(offset) % interval;
    if now.0 < offset {
        return Instant(offset);
    }
    Instant(now.0.saturating_add(interval - since))
}

/// A stable hash of the texts that name a leaf.
pub fn phase([group, member, check]: [&str; 3]) -> u64 {
    Hash::default()
        .part(group)
        .part(member)
        .part(check)
        .finish()
}

/// A stable hash (FNV-1a, then mixed) of texts, one after the other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// With one more text.
    #[must_use]
    pub(crate) fn part(self, text: &str) -> Self {
        let bytes = text.bytes().chain([0]);
        Self(bytes.fold(self.0, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The hash of all of them.
    pub(crate) const fn finish(self) -> u64 {
        let hash = self.0 ^ self.0 >> 32;
        hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }
}

#[cfg(test)]
mod tests;
