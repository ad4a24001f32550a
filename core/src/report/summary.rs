//! One sentence about a member.

use super::MemberReport;
use crate::Status;
use crate::policy::gate::View;
use crate::policy::propose::Proposal;
use crate::policy::state::{Health, Life, Phase, Wanted};
use crate::policy::{Motive, words};

/// One sentence: what checkd does or waits for now.
pub(super) fn summary(
    view: &View<'_>,
    live: Status,
    blame: &[u32],
    proposal: Option<&Proposal>,
    report: &MemberReport,
) -> String {
    let it = view.member;
    if let Some(attempt) = &it.attempt {
        let step = attempt.step.as_str();
        let refused = view.state.refused.as_ref();
        return match (attempt.phase, refused) {
            (Phase::Storing, Some(refused)) => format!(
                "{step} begins, when its intent is in the journal, which did not take the last one ({})",
                refused.reason
            ),
            (Phase::Storing, None) if attempt.motive == Motive::Sick => format!(
                "{step} begins, as soon as its intent is in the journal and what it looks like is kept"
            ),
            (Phase::Storing, None) => {
                format!("{step} begins, as soon as its intent is in the journal")
            }
            (Phase::Acting, _) => match &attempt.processes {
                Some(processes) => format!(
                    "signal is under way: waits up to {} for the end of {}",
                    view.group_plan.launch.stop_timeout,
                    words::processes(processes)
                ),
                None => format!("{step} is under way"),
            },
            (Phase::Confirming, _) => {
                let left = attempt.confirm_by.since(view.now);
                if let Some(processes) = &attempt.processes {
                    let (ended, live) = (words::processes(processes), &view.group_plan.live.text);
                    return format!("{ended} ended; waits up to {left} for `{live}`");
                }
                format!(
                    "{step}ed; waits up to {left} for `{}`",
                    view.group_plan.startup.text
                )
            }
        };
    }
    if let Some(proposal) = proposal {
        let step = proposal.step.as_str();
        let mut text = match it.life {
            Life::Dead { .. } => words::sentence(&format_args!("{}; ", words::ending(it))),
            Life::Stopped | Life::Starting { .. } | Life::Up { .. } => String::new(),
        };
        let mut before = [step, " waits for "];
        for gate in report.gates.iter().filter(|gate| !gate.open) {
            text.extend(before);
            text.extend([&gate.gate, " (", &gate.numbers, ")"]);
            before = [" and ", ""];
        }
        if report.gates.iter().all(|gate| gate.open) {
            text.extend(["will ", step]);
        }
        return text;
    }
    let given_up = it.ledger.given_up.as_ref();
    if let Some(given_up) = given_up.filter(|_| it.wanted == Wanted::Up) {
        let again = given_up.parole.map_or(String::new(), |at| {
            format!("; one more start in {}", at.since(view.now))
        });
        let next = if given_up.parole.is_some() {
            again
        } else if it.life.up_since().is_some() {
            "; nothing is done to it until it is well, dies, or is reset".to_owned()
        } else {
            "; nothing is done to it until a person does".to_owned()
        };
        return format!("given up: {}{next}", given_up.why);
    }
    match (it.life, &it.health) {
        (Life::Stopped, _) if it.wanted == Wanted::Down => match it.last_exit {
            Some(exit) if it.stopped_by.is_none() => format!(
                "ended by itself ({exit}); not started again, as `restart = \"{}\"` says",
                view.group_plan.policy.restart.as_str()
            ),
            Some(_) | None => "stopped, as wanted".to_owned(),
        },
        (Life::Stopped, _) if it.stopped_together.is_some() => {
            let left = view
                .group
                .together
                .iter()
                .flat_map(|together| &together.left);
            let left = left.filter_map(|index| view.group_plan.members.get(*index as usize));
            let left: Vec<&str> = left.map(|member| member.name.as_str()).collect();
            format!(
                "stopped with its whole group; started as soon as {} stopped too",
                match left.as_slice() {
                    [one] => format!("{one} has"),
                    many => format!("the last {} have", many.len()),
                }
            )
        }
        (Life::Stopped, _) => "not started yet".to_owned(),
        (Life::Dead { .. }, _) => format!("dead: {}", words::ending(it)),
        (_, Health::Healthy { .. }) if it.blind => {
            format!(
                "nobody can tell: `{}` is unknown",
                view.group_plan.live.text
            )
        }
        (_, Health::Healthy { .. }) if report.labels.iter().any(|label| label == "suspect") => {
            "suspect: the newest samples fail, not yet often enough".to_owned()
        }
        (_, Health::Healthy { .. }) if live == Status::Warn => {
            format!(
                "healthy, with a warning: {}",
                words::warnings(view.group_plan, view.group, it)
            )
        }
        (_, Health::Healthy { .. }) if report.outdated() => {
            "healthy; outdated: it runs with the settings of before a reload".to_owned()
        }
        (_, Health::Healthy { .. }) => "healthy; nothing to do".to_owned(),
        (_, Health::Unproven) => {
            format!(
                "runs; `{}` {}",
                view.group_plan.startup.text,
                words::verdict(live)
            )
        }
        (_, Health::Failed { .. }) => {
            let text = words::blame(view.group_plan, view.group, it, blame);
            format!(
                "failed; `{}` {}: {text}",
                view.group_plan.live.text,
                words::verdict(live)
            )
        }
    }
}
