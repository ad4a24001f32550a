//! `[maintenance.N]`: when checkd leaves groups alone.

use super::keys;
use super::notify::groups;
use super::policy::SELDOM_MEANT;
use super::read::Reader;
use super::section::{MISSING, Of, Section};
use super::{Table, units};
use crate::diagnostic::{Diagnostic, Place};
use crate::plan::{DAYS, MaintenancePlan};

/// A time of day that is none, or a window without a length.
const TIME: &str = "C0130";
/// In minutes.
const DAY: u16 = 24 * 60;

pub(super) fn windows<'a>(
    reader: &mut Reader<'a>,
    table: Option<&'a Table>,
    groups: Option<&'a Table>,
) -> Vec<MaintenancePlan> {
    // A group with a mistake is a group all the same.
    let written: Vec<&str> = groups
        .map_or(&[][..], |groups| groups.entries.as_slice())
        .iter()
        .map(|(name, _, _)| name.as_str())
        .collect();
    let named = reader.named(table, "maintenance window", crate::id::NAME_MAX);
    let mut windows: Vec<MaintenancePlan> = named
        .into_iter()
        .filter_map(|(name, at, table)| window(reader, name, at, table, &written))
        .collect();
    windows.sort_by(|a, b| a.name.cmp(&b.name));
    windows
}

fn window<'a>(
    reader: &mut Reader<'a>,
    name: &'a str,
    at: Place,
    table: &'a Table,
    written: &[&str],
) -> Option<MaintenancePlan> {
    let of = Of::Maintenance(name);
    let section = Section::open(Some(table), keys::MAINTENANCE, of, &mut reader.out);
    let groups = groups(reader, &section, written);
    let from = time(reader, &section, "from", at);
    let to = time(reader, &section, "to", at);
    let (from, to) = (from?, to?);
    if from == to {
        let place = section.place("to").unwrap_or(at);
        reader.out.push(
            Diagnostic::error(TIME, format!("maintenance `{name}` has no length"))
                .at(place, "the time at which it begins")
                .note("where `to` is not later than `from` the window ends on the next day")
                .help("for a whole day write `from = \"00:00\"` and `to = \"24:00\"`"),
        );
        return None;
    }
    let days = section.choices("days");
    let on = |day: &&str| days.as_ref().is_none_or(|days| days.contains(day));
    if to.saturating_sub(from) == DAY && DAYS.iter().all(&on) {
        reader.out.push(
            Diagnostic::warning(SELDOM_MEANT, format!("maintenance `{name}` never ends"))
                .at(at, "the whole of each day")
                .note("no sick member is ever restarted in it, and no dead one started again")
                .help("for a group that is only watched write `mode = \"observe\"` in it"),
        );
    }
    Some(MaintenancePlan {
        name: name.to_owned(),
        groups,
        days: DAYS.each_ref().map(on),
        from,
        to,
        timezone: section.text("timezone").map(str::to_owned),
        reason: section.text("reason").map(str::to_owned),
    })
}

/// Minutes since midnight.
fn time(reader: &mut Reader<'_>, section: &Section<'_>, key: &str, at: Place) -> Option<u16> {
    let Some(node) = section.node(key) else {
        reader.out.push(
            Diagnostic::error(MISSING, format!("`{key}` is missing"))
                .at(at, format!("in {}", section.of))
                .help(format!("add `{key} = \"02:00\"`")),
        );
        return None;
    };
    let text = section.text(key)?;
    let minutes = units::time_of_day(text);
    if minutes.is_none() {
        reader.out.push(
            Diagnostic::error(
                TIME,
                format!("`{key}` is a time of day, and `{text}` is none"),
            )
            .at(node.place, format!("in {}", section.of))
            .note("hours and minutes from \"00:00\" to \"24:00\""),
        );
    }
    minutes
}
