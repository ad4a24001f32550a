//! Each kind of change is named.

use checkd_core::plan::{MaintenancePlan, Mode, OnExit, Plan, PolicyPlan, RestartType};
use checkd_core::{GroupName, Span};

use super::{SAME, difference};
use crate::manager::tests::{check, plan};

fn groups(names: &[&str]) -> Plan {
    let mut all = Plan::default();
    for name in names {
        let mut group = plan(&["sleep", "60"], 2).groups.remove(0);
        group.name = GroupName::new(name).unwrap();
        group.checks.push(check("port"));
        all.groups.push(group);
    }
    all
}

fn window() -> MaintenancePlan {
    MaintenancePlan {
        name: "nightly".to_owned(),
        groups: None,
        days: [true; 7],
        from: 60,
        to: 120,
        timezone: None,
        reason: None,
    }
}

#[test]
fn every_change_has_its_words() {
    type Change = fn(&mut Plan);
    let cases: [(Change, &str); 15] = [
        (|_| {}, SAME),
        // Where a check is written in the file is no setting.
        (|plan| plan.groups[0].checks[0].place.start = 99, SAME),
        (|plan| plan.groups[0].checks[0].fall = 9, "1 check changed"),
        (
            |plan| plan.groups[0].policy.max_out = 2,
            "policy of web changed",
        ),
        (
            |plan| {
                for group in &mut plan.groups {
                    group.policy.settle = Span::mins(1);
                }
            },
            "policy of 4 groups changed",
        ),
        (
            |plan| {
                plan.groups[1].mode = Mode::Observe;
                plan.groups[0].live.text = "any(port)".to_owned();
            },
            "mode of db changed, live, ready or startup of web changed",
        ),
        (
            |plan| plan.groups[0].launch.stop_timeout = Span::secs(1),
            "command or other settings of web changed",
        ),
        (
            |plan| plan.groups[0].policy.restart = RestartType::Temporary,
            "restart of web changed",
        ),
        (
            |plan| plan.groups[0].policy.success_codes = vec![0, 3],
            "success_codes of web changed",
        ),
        (
            |plan| plan.groups[1].members[1].port = Some(8080),
            "ports of db changed",
        ),
        // What follows from how many there are is told by that.
        (
            |plan| {
                let group = &mut plan.groups[0];
                group.members.pop();
                group.ready_members = 1;
                group.policy = PolicyPlan::of_defaults(1);
            },
            "1 member gone",
        ),
        (
            |plan| plan.groups[0].depends_on = vec![1],
            "depends_on of web changed",
        ),
        (
            |plan| plan.maintenance.push(window()),
            "1 maintenance window new",
        ),
        (
            |plan| plan.daemon.on_exit = OnExit::Stop,
            "`on_exit` changed",
        ),
        // Groups that only moved are the same, and so is what depends on them.
        (|plan| plan.groups.reverse(), SAME),
    ];
    for (change, words) in cases {
        let old = groups(&["web", "db", "mail", "jobs"]);
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(difference(&old, &new, 0, &[]), words);
    }
}

#[test]
fn what_came_and_went_is_counted_with_what_is_done_about_it() {
    let (old, mut new) = (groups(&["web", "db"]), groups(&["web", "mail"]));
    new.groups[0].members.pop();
    assert_eq!(
        difference(&old, &new, 3, &["acme".to_owned()]),
        "2 members new, 3 members gone, 1 check new, 1 check gone, plugin `acme` rebuilt, \
         3 running processes are stopped"
    );
}
