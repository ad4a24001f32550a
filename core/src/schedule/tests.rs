//! The schedule keeps its phases and never bursts.

use proptest::prelude::*;

use super::{GRAIN, Schedule, next_on_grid, phase};
use crate::{Instant, Span};

#[test]
fn a_slot_set_again_is_due_once() {
    let mut schedule = Schedule::new(2);
    schedule.set(0, Instant(100));
    schedule.set(0, Instant(40));
    schedule.set(1, Instant(60));
    assert_eq!(schedule.next_due(), Some(Instant(40)));
    assert_eq!(schedule.pop(Instant(39)), None);
    assert_eq!(schedule.pop(Instant(1_000)), Some((0, Instant(40))));
    assert_eq!(schedule.pop(Instant(1_000)), Some((1, Instant(60))));
    assert_eq!(schedule.pop(Instant(1_000)), None);
    assert_eq!(schedule.next_due(), None);
}

#[test]
fn a_cleared_slot_is_never_due() {
    let mut schedule = Schedule::new(1);
    schedule.set(0, Instant(20));
    schedule.clear(0);
    assert_eq!(schedule.next_due(), None);
    schedule.set(0, Instant(20));
    assert_eq!(schedule.pop(Instant(20)), Some((0, Instant(20))));
}

#[test]
fn a_thousand_leaves_do_not_form_a_herd() {
    let mut per_slot = [0_u32; 10];
    for i in 0..1_000 {
        let offset = phase(["web", &format!("web-{i}"), "ping"]) % 10_000;
        per_slot[usize::try_from(offset / 1_000).unwrap()] += 1;
    }
    assert!(
        per_slot.iter().all(|n| (60..=140).contains(n)),
        "{per_slot:?}"
    );
}

proptest! {
    #[test]
    fn the_grid_is_ahead_and_never_further_than_an_interval(
        now in 0..u64::MAX / 4, interval in 20..10_000_000_u64, phase in any::<u64>()
    ) {
        let next = next_on_grid(Instant(now), Span(interval), phase);
        prop_assert!(next.0 > now || now < phase % interval);
        prop_assert!(next.0 - now.min(next.0) <= interval);
        prop_assert_eq!(next.0 % interval, phase % interval);
    }

    #[test]
    fn every_slot_comes_out_at_its_last_time_in_order(
        sets in prop::collection::vec((0..50_u32, 0..5_000_u64), 0..400)
    ) {
        let mut schedule = Schedule::new(50);
        let mut last = std::collections::BTreeMap::new();
        for (slot, at) in sets {
            schedule.set(slot, Instant(at));
            last.insert(slot, Instant(at.div_ceil(GRAIN.0) * GRAIN.0));
        }
        let mut seen = Vec::new();
        while let Some((slot, at)) = schedule.pop(Instant(10_000)) {
            prop_assert_eq!(last.remove(&slot), Some(at));
            seen.push(at);
        }
        prop_assert!(last.is_empty());
        prop_assert!(seen.is_sorted());
    }
}
