//! What a reload changed, in the words that a person is answered with.

use std::collections::BTreeMap;

use checkd_core::diagnostic::Place;
use checkd_core::plan::{CheckPlan, GroupPlan, Plan, PolicyPlan};

/// What is said when nothing differs.
pub(super) const SAME: &str = "nothing in it differs from before";

/// So many names are said; of more only the number.
const NAMES: usize = 3;

/// A setting of a group, as text that differs when it does.
type Setting = fn(&Plan, &GroupPlan) -> String;

/// Whether a setting of a group is another one than before.
type Differs = fn(&GroupPlan, &GroupPlan) -> bool;

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
    let settings: [(&str, Setting); 8] = [
        ("mode", |_, group| format!("{:?}", group.mode)),
        ("restart", |_, group| format!("{:?}", group.policy.restart)),
        ("success_codes", |_, group| {
            format!("{:?}", group.policy.success_codes)
        }),
        ("permanent_codes", |_, group| {
            format!("{:?}", group.policy.permanent_codes)
        }),
        ("evidence_command", |_, group| {
            format!("{:?}", group.policy.evidence_command)
        }),
        ("live, ready or startup", |_, group| {
            let all = [&group.live, &group.ready, &group.startup];
            format!("{:?}", all.map(|it| &it.text))
        }),
        ("command or other settings", |_, group| {
            format!("{:?}", group.launch)
        }),
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
    let of_pairs: [(&str, Differs); 3] = [
        ("policy", policy_differs),
        ("ready_members", |was, is| {
            let all = |group: &GroupPlan| group.ready_members as usize == group.members.len();
            was.ready_members != is.ready_members && !(all(was) && all(is))
        }),
        ("ports", |was, is| {
            let mut pairs = was.members.iter().zip(&is.members);
            pairs.any(|(was, is)| was.port != is.port)
        }),
    ];
    for (what, differs) in of_pairs {
        let changed = (new.groups.iter()).filter(|is| {
            let was = old.find_group(is.name.as_str());
            was.is_some_and(|(_, was)| differs(was, is))
        });
        let changed: Vec<String> = changed.map(|group| group.name.to_string()).collect();
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

/// Of the policy what stands in the group's own table of that name. Where as many as follow from the number of
/// members are allowed before and now, that is no setting.
fn policy_differs(was: &GroupPlan, is: &GroupPlan) -> bool {
    let by_itself = |group: &GroupPlan| {
        PolicyPlan::of_defaults(u32::try_from(group.members.len()).unwrap_or(u32::MAX))
    };
    let (mut before, after) = (was.policy.clone(), &is.policy);
    let (old, new) = (by_itself(was), by_itself(is));
    if (before.max_out, after.max_out) == (old.max_out, new.max_out) {
        before.max_out = after.max_out;
    }
    if (before.hold_at, after.hold_at) == (old.hold_at, new.hold_at) {
        before.hold_at = after.hold_at;
    }
    let before = PolicyPlan {
        restart: after.restart,
        success_codes: after.success_codes.clone(),
        permanent_codes: after.permanent_codes.clone(),
        evidence_command: after.evidence_command.clone(),
        ..before
    };
    before != *after
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
