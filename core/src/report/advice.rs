//! What a person can type about a member.

use super::{Advice, MemberReport};
use crate::plan::GroupPlan;
use crate::policy::gate::View;
use crate::policy::state::{Health, Wanted};
use crate::policy::{Comparison, GateName, Missing, Reading};

/// Where what closes a gate can be looked at.
fn look_there(plan: &GroupPlan, reading: &Reading) -> Option<Advice> {
    let compared = &reading.compared;
    let own = plan.name.as_str();
    let (selector, does) = if let Comparison::Budget { who, .. } = compared {
        let first = who.first()?.as_str();
        ([own, "/", first], "shows why that one is out")
    } else if let Comparison::Hold { canary, .. } = compared {
        let does = "shows how the restart that is tried is getting on";
        ([own, "/", canary.as_ref()?.as_str()], does)
    } else if let Comparison::Dependency {
        missing: Some(Missing::Group { group, .. }),
    } = compared
    {
        let does = "shows what is wrong with what it needs";
        (["'", group.as_str(), "/*'"], does)
    } else {
        return None;
    };
    let [group, slash, member] = selector;
    Some(to_type(["explain ", group, slash, member], does))
}

/// A command and what it does.
fn to_type<const N: usize>(words: [&str; N], does: &'static str) -> Advice {
    let words = words.as_slice();
    let mut command =
        String::with_capacity("checkd ".len() + words.iter().map(|word| word.len()).sum::<usize>());
    command.push_str("checkd ");
    command.extend(words.iter().copied());
    Advice {
        command,
        does: does.into(),
    }
}

/// What a person can type now, the most likely first.
pub(super) fn advice(view: &View<'_>, report: &MemberReport, readings: &[Reading]) -> Vec<Advice> {
    let it = view.member;
    let path = &report.path;
    let mut all = Vec::with_capacity(4);
    for reading in readings.iter().filter(|reading| !reading.open) {
        all.extend(look_there(view.group_plan, reading));
    }
    if it.ledger.given_up.is_some() {
        all.push(to_type(
            ["reset ", path],
            if it.generation.is_some() && view.group_plan.policy.signal.is_some() {
                "forgets what was tried: whatever would help is done when every gate is open, and \
                 again until that helps or it is given up again"
            } else if it.generation.is_some() {
                "forgets what was tried: it is restarted when every gate is open, and again until \
                 that helps or it is given up again"
            } else {
                "forgets what was tried: it is started when every gate is open, and again until \
                 that helps or it is given up again"
            },
        ));
    }
    if view.group.hold.is_some() && view.group.supplied {
        all.push(to_type(
            ["reset ", view.group_plan.name.as_str()],
            "ends the hold: whoever is sick is restarted, no more at once than the budget allows",
        ));
    }
    if report.control.starts_with("paused") {
        all.push(to_type(["resume ", path], "lets checkd act on it again"));
    }
    let in_trouble = !matches!(it.health, Health::Healthy { .. }) || it.blind;
    if it.attempt.is_none() && it.wanted == Wanted::Up && in_trouble {
        let does = if view.state.refused.is_some() {
            "restarts it as soon as the journal can be written, past every other gate"
        } else if it.ledger.given_up.is_some() {
            "tries it once more, at once, past every gate"
        } else if it.generation.is_none() {
            "starts it at once, past every gate"
        } else if readings
            .iter()
            .any(|it| it.gate == GateName::Dependency && !it.open)
        {
            "restarts it at once, past every gate; what it needs is still not there then"
        } else if view.group.hold.is_some() {
            "restarts it at once, past every gate; in a hold that seldom helps"
        } else if readings
            .iter()
            .any(|it| it.gate == GateName::Budget && !it.open)
        {
            "restarts it at once, past every gate: then one more is out"
        } else {
            "restarts it at once, past every gate"
        };
        all.push(to_type(["restart --now ", path], does));
        if report.control == "auto" && report.given_up.is_none() {
            all.push(to_type(
                ["pause ", path, " --for 1h --reason \"…\""],
                "keeps checkd from acting while you look",
            ));
        }
    }
    if report.outdated() {
        all.push(to_type(
            ["reload --restart"],
            "replaces all that is outdated, through the budget",
        ));
    }
    if it.wanted == Wanted::Down {
        all.push(to_type(["start ", path], "starts it and wants it up"));
    }
    all.push(to_type(["history ", path], "shows what happened before"));
    all
}
