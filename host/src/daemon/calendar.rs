//! Maintenance windows: the calendar that the engine does not have.
//!
//! The engine counts in boot time and is told when a window begins for a group and how long it is open
//! at most; that it is over it is told too, so a clock that is set during a window is followed.

use std::collections::{BTreeMap, BTreeSet};

use checkd_core::Span;
use checkd_core::engine::{Event, Window};
use checkd_core::plan::{MaintenancePlan, Plan};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// What the engine was last told of each group.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    told: BTreeMap<String, (String, Timestamp)>,
}

impl Calendar {
    /// What has changed since it was last asked.
    pub(super) fn look(&mut self, plan: &Plan, now: Timestamp) -> Vec<Event> {
        let boot = crate::clock::now();
        let mut events = Vec::new();
        for (group, group_plan) in (0u32..).zip(&plan.groups) {
            let name = group_plan.name.as_str();
            let of_group = plan
                .maintenance
                .iter()
                .filter(|window| window.is_for(&group_plan.name));
            // Of several that are open the one that ends last.
            let open = of_group
                .filter_map(|window| Some((window, open_until(window, now)?)))
                .max_by_key(|(_, until)| *until);
            let is = open.map(|(window, until)| (window.name.clone(), until));
            if self.told.get(name) == is.as_ref() {
                continue;
            }
            match &is {
                Some(is) => drop(self.told.insert(name.to_owned(), is.clone())),
                None => drop(self.told.remove(name)),
            }
            let window = open.map(|(window, until)| {
                let left = until.as_millisecond().saturating_sub(now.as_millisecond());
                Window {
                    name: window.name.clone(),
                    reason: window.reason.clone(),
                    until: boot + Span(u64::try_from(left).unwrap_or(0)),
                }
            });
            events.push(Event::Maintenance { group, window });
        }
        events
    }

    /// Another plan is in force: a group that it has not is forgotten, for should it come back it is
    /// another one.
    pub(super) fn follow(&mut self, plan: &Plan) {
        let names = plan.groups.iter().map(|group| group.name.as_str());
        let names: BTreeSet<&str> = names.collect();
        self.told.retain(|name, _| names.contains(name.as_str()));
    }
}

/// The time zone that a window is written in.
///
/// # Errors
/// One line for a person.
pub(crate) fn zone(window: &MaintenancePlan) -> Result<TimeZone, String> {
    match &window.timezone {
        None => Ok(TimeZone::system()),
        Some(name) => {
            TimeZone::get(name).map_err(|_| format!("this machine knows no time zone `{name}`"))
        }
    }
}

/// When the window is over, when it is open now. One without a time zone that is known is never open.
fn open_until(window: &MaintenancePlan, now: Timestamp) -> Option<Timestamp> {
    let zone = zone(window).ok()?;
    let today: Zoned = now.to_zoned(zone.clone());
    // It may have begun yesterday.
    [today.date().yesterday().ok()?, today.date()]
        .into_iter()
        .filter(|day| window.on(day.weekday().to_monday_zero_offset().unsigned_abs()))
        .filter_map(|day| {
            let begin = instant(day, window.from, &zone)?;
            let last = if window.to > window.from {
                day
            } else {
                day.tomorrow().ok()?
            };
            let end = instant(last, window.to, &zone)?;
            (begin <= now && now < end).then_some(end)
        })
        .max()
}

/// A minute of a day. In the hour that a clock skips, the minute after it; in one that comes twice,
/// the first.
fn instant(day: Date, minutes: u16, zone: &TimeZone) -> Option<Timestamp> {
    let midnight: DateTime = day.at(0, 0, 0, 0);
    let at = midnight.checked_add(i64::from(minutes).minutes()).ok()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use checkd_core::plan::MaintenancePlan;
    use jiff::Timestamp;

    use super::open_until;

    fn window(days: [bool; 7], from: u16, to: u16) -> MaintenancePlan {
        MaintenancePlan {
            name: "night".to_owned(),
            groups: None,
            days,
            from,
            to,
            timezone: Some("Europe/Berlin".to_owned()),
            reason: None,
        }
    }

    #[test]
    fn a_window_is_open_from_its_minute_to_its_minute() {
        const ALL: [bool; 7] = [true; 7];
        // Friday is day 4.
        let friday = std::array::from_fn(|day| day == 4);
        // 2026-11-20 is a Friday, and Berlin is an hour ahead; 2026-03-29 has no 02:30 there.
        for (days, from, to, now, until) in [
            (ALL, 120, 270, "2026-11-20T00:59:59Z", None),
            (
                ALL,
                120,
                270,
                "2026-11-20T01:00:00Z",
                Some("2026-11-20T03:30:00Z"),
            ),
            (
                ALL,
                120,
                270,
                "2026-11-20T03:29:59Z",
                Some("2026-11-20T03:30:00Z"),
            ),
            (ALL, 120, 270, "2026-11-20T03:30:00Z", None),
            // Over midnight, and named by the day on which it begins.
            (
                friday,
                1380,
                60,
                "2026-11-20T22:30:00Z",
                Some("2026-11-21T00:00:00Z"),
            ),
            (
                friday,
                1380,
                60,
                "2026-11-20T23:30:00Z",
                Some("2026-11-21T00:00:00Z"),
            ),
            (friday, 1380, 60, "2026-11-21T22:30:00Z", None),
            // A whole day.
            (
                friday,
                0,
                1440,
                "2026-11-20T12:00:00Z",
                Some("2026-11-20T23:00:00Z"),
            ),
            // The clock skips an hour: the window begins when that minute would have been.
            (ALL, 150, 240, "2026-03-29T01:15:00Z", None),
            (
                ALL,
                150,
                240,
                "2026-03-29T01:30:00Z",
                Some("2026-03-29T02:00:00Z"),
            ),
        ] {
            let now: Timestamp = now.parse().unwrap();
            let until: Option<Timestamp> = until.map(|until| until.parse().unwrap());
            assert_eq!(open_until(&window(days, from, to), now), until, "{now}");
        }
    }
}
