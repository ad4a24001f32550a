//! What a reload changed, in the words that a person is answered with.

use std::collections::BTreeMap;

use checkd_core::diagnostic::Place;
use checkd_core::plan::{CheckPlan, GroupPlan, Plan};

/// What is said when nothing differs.
pub(super) const SAME: &str = "nothing in it differs from before";

/// So many names are said; of more only the number.
const NAMES: usize = 3;

/// A setting of a group, as text that differs when it does.
type Setting = fn(&Plan, &GroupPlan) -> String;

/// `2 members gone, 3 checks changed, policy of web changed`.
///
/// `gone` processes are stopped because of it, and these plugins are other files than before.
pub(super) fn difference(old: &Plan, new: &Plan, gone: usize, rebuilt: &[String]) -> String {
    let members = |plan: &Plan| named(plan.members().map(|id| (plan.path(id), &())));
    let checks = |plan: &Plan| {
        let all = plan.groups.iter().flat_map(|group| {
            let checks = group.checks.iter();
            checks.map(move |check| {
                // The place in the file is no setting.
                let check = CheckPlan {
                    place: Place::default(),
                    ..check.clone()
                };
                (format!("{}:{}", group.name, check.name), check)
            })
        });
        named(all)
    };
    let mut parts = Vec::new();
    parts.extend(Changes::new(&members(old), &members(new)).counted("member"));
    parts.extend(Changes::new(&checks(old), &checks(new)).counted("check"));
    let settings: [(&str, Setting); 6] = [
        ("mode", |_, group| format!("{:?}", group.mode)),
        ("policy", |_, group| format!("{:?}", group.policy)),
        ("live, ready or startup", |_, group| {
            let all = [&group.live, &group.ready, &group.startup];
            format!("{:?}", all.map(|it| &it.text))
        }),
        ("command or other settings", |_, group| {
            format!("{:?}", group.launch)
        }),
        ("ready_members", |_, group| group.ready_members.to_string()),
        ("depends_on", |plan, group| {
            let names = group.depends_on.iter().map(|&on| plan.group_name(on));
            format!("{:?}", names.collect::<Vec<_>>())
        }),
    ];
    for (what, of) in settings {
        let all = |plan: &Plan| {
            let groups = plan.groups.iter();
            named(groups.map(|group| (group.name.to_string(), of(plan, group))))
        };
        let changed = Changes::new(&all(old), &all(new)).changed;
        if !changed.is_empty() {
            parts.push(format!("{what} of {} changed", listed(&changed, "group")));
        }
    }
    let windows = |plan: &Plan| {
        named(
            plan.maintenance
                .iter()
                .map(|it| (it.name.clone(), it.clone())),
        )
    };
    parts.extend(Changes::new(&windows(old), &windows(new)).counted("maintenance window"));
    let sinks = |plan: &Plan| named(plan.notify.iter().map(|it| (it.name.clone(), it.clone())));
    parts.extend(Changes::new(&sinks(old), &sinks(new)).counted("sink"));
    let plugins = |plan: &Plan| named(plan.plugins.iter().map(|it| (it.name.clone(), it.clone())));
    parts.extend(Changes::new(&plugins(old), &plugins(new)).counted("plugin"));
    let (was, is) = (&old.daemon, &new.daemon);
    for (key, differs) in [
        ("on_exit", was.on_exit != is.on_exit),
        ("journal_keep", was.journal_keep != is.journal_keep),
        (
            "journal_max_size",
            was.journal_max_size != is.journal_max_size,
        ),
    ] {
        if differs {
            parts.push(format!("`{key}` changed"));
        }
    }
    if !rebuilt.is_empty() {
        let names: Vec<String> = rebuilt.iter().map(|name| format!("`{name}`")).collect();
        let s = if names.len() == 1 { "" } else { "s" };
        parts.push(format!("plugin{s} {} rebuilt", names.join(", ")));
    }
    if gone > 0 {
        let s = if gone == 1 { " is" } else { "es are" };
        parts.push(format!("{gone} running process{s} stopped"));
    }
    if parts.is_empty() {
        SAME.to_owned()
    } else {
        parts.join(", ")
    }
}

fn named<T>(all: impl Iterator<Item = (String, T)>) -> BTreeMap<String, T> {
    all.collect()
}

/// `web, db` or `7 groups`.
fn listed(names: &[String], what: &str) -> String {
    if names.len() <= NAMES {
        names.join(", ")
    } else {
        format!("{} {what}s", names.len())
    }
}

/// Names that came, went, or stand for something else.
struct Changes {
    new: usize,
    gone: usize,
    changed: Vec<String>,
}

impl Changes {
    fn new<T: PartialEq>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) -> Self {
        let differs = |name: &String, is: &T| before.get(name).is_some_and(|was| was != is);
        Self {
            new: after
                .keys()
                .filter(|name| !before.contains_key(*name))
                .count(),
            gone: before
                .keys()
                .filter(|name| !after.contains_key(*name))
                .count(),
            changed: (after.iter())
                .filter(|(name, is)| differs(name, is))
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }

    fn counted(&self, what: &str) -> impl Iterator<Item = String> {
        let all = [
            (self.new, "new"),
            (self.gone, "gone"),
            (self.changed.len(), "changed"),
        ];
        let all = all.into_iter().filter(|(n, _)| *n > 0);
        all.map(move |(n, how)| format!("{n} {what}{} {how}", if n == 1 { "" } else { "s" }))
    }
}

#[cfg(test)]
mod tests;
