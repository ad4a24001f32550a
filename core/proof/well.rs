//! I9: with the faults removed everybody is well in bounded time, or is rightly left to a person.

use std::sync::Arc;

use checkd_core::plan::{Mode, Plan};
use checkd_core::report::MemberReport;
use checkd_core::{MemberId, Span};

use super::watch::Broken;
use super::world::World;

/// Faults are over for at most this long until everybody is well: the longest wait of all is the
/// parole of a dead member, an hour, then its start; sick ones wait for their window and the canary.
const WELL_WITHIN: Span = Span::mins(240);

/// What nobody hears of is tried again after this: a journal that takes intents again.
const RETRY: Span = Span::secs(11);

/// Lets the world be kind from here on. How long it took until everybody was well.
pub(crate) fn get_well(world: &mut World) -> Result<Span, Broken> {
    let begin = world.now;
    world.calm()?;
    world.pass(RETRY)?;
    for id in Arc::clone(world.plan()).members() {
        let report = world.engine.explain(id, world.now);
        idle(&report.ok_or("I9: a member of the plan has no report")?)?;
    }
    world.pass(Span::mins(1))?;
    world.start_stopped()?;
    let mut ill = Vec::new();
    while world.now < begin + WELL_WITHIN {
        world.pass(Span::mins(1))?;
        world.watch.look(9);
        let plan = Arc::clone(world.plan());
        ill.clear();
        for id in plan.members() {
            let report = world.engine.explain(id, world.now);
            let report = report.ok_or("I9: a member of the plan has no report")?;
            if !well(world, &plan, id, &report) {
                idle(&report)?;
                ill.push(report);
            }
        }
        if ill.is_empty() {
            return Ok(world.now.since(begin));
        }
    }
    let says = |report: &MemberReport| {
        let gates: Vec<_> = report.gates.iter().filter(|gate| !gate.open).collect();
        format!(
            "{} is {}, {}: {} {gates:?}",
            report.path, report.life, report.health, report.summary
        )
    };
    Err(format!(
        "I9: {:?}",
        ill.iter().map(says).collect::<Vec<_>>()
    ))
}

/// Whoever may be helped is being helped, and whoever is not says what it waits for.
fn idle(report: &MemberReport) -> Result<(), Broken> {
    let may = report.proposed.is_some() && report.gates.iter().all(|gate| gate.open);
    if may && report.attempt.is_none() {
        return Err(format!(
            "I9: {} may be helped and is not: {}",
            report.path, report.summary
        ));
    }
    if report.summary.is_empty() {
        return Err(format!(
            "I9: {} does not say what it waits for",
            report.path
        ));
    }
    Ok(())
}

fn well(world: &World, plan: &Plan, id: MemberId, report: &MemberReport) -> bool {
    let Some(group) = plan.group(id.group) else {
        return false;
    };
    let useless = |report: &MemberReport| {
        (report.given_up.as_ref()).is_some_and(|why| why.contains("useless"))
    };
    let left = |id: MemberId, report: &MemberReport| report.given_up.is_some() && world.wedged(id);
    let permanently = useless(report);
    // Whoever is sick and ready all the same is not taken from the few that a person wants to stay,
    // when another one is left to a person.
    let others = (0u32..).take(group.members.len());
    let kept_up = group.policy.min_up > 0
        && report.ready.passes()
        && others
            .map(|member| MemberId { member, ..id })
            .filter_map(|other| Some((other, world.engine.explain(other, world.now)?)))
            .any(|(id, other)| useless(&other) || left(id, &other));
    let supplied = group.depends_on.iter().all(|need| {
        let status = world.engine.status(world.now);
        (status.groups.get(*need as usize)).is_none_or(|group| group.ready)
    });
    report.health == "healthy"
        || permanently
        || kept_up
        || group.mode == Mode::Observe
        || !supplied
        || left(id, report)
}
