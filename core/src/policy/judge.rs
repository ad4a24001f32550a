//! From leaves to verdicts, and how often a leaf is looked at.

use super::leaf::Leaf;
use super::state::{Group, Health, Life, Member};
use crate::plan::{CheckPlan, GroupPlan};
use crate::{Instant, Span, Status};

/// What `live` reads of check `check`; Unknown when there is no such leaf.
pub(crate) fn live_reading(group: &Group, member: &Member, check: u32, now: Instant) -> Status {
    group
        .leaf(member, check)
        .map_or(Status::Unknown, |leaf| leaf.live_reading(now))
}

/// What `ready` reads of check `check`.
pub(crate) fn ready_reading(group: &Group, member: &Member, check: u32, now: Instant) -> Status {
    group
        .leaf(member, check)
        .map_or(Status::Unknown, |leaf| leaf.ready_reading(now))
}

/// `live` on the debounced leaves.
pub(crate) fn live(plan: &GroupPlan, group: &Group, member: &Member, now: Instant) -> Status {
    plan.live
        .expr
        .eval(|check| live_reading(group, member, check, now))
}

/// `startup` on the debounced leaves.
pub(crate) fn startup(plan: &GroupPlan, group: &Group, member: &Member, now: Instant) -> Status {
    plan.startup
        .expr
        .eval(|check| live_reading(group, member, check, now))
}

/// `ready` on the debounced leaves.
pub(crate) fn ready(plan: &GroupPlan, group: &Group, member: &Member, now: Instant) -> Status {
    plan.ready
        .expr
        .eval(|check| ready_reading(group, member, check, now))
}

/// `live` on the newest samples alone.
pub(crate) fn latest(plan: &GroupPlan, group: &Group, member: &Member) -> Status {
    plan.live.expr.eval(|check| {
        group
            .leaf(member, check)
            .map_or(Status::Unknown, Leaf::latest)
    })
}

/// The interval in force for a leaf of one member.
///
/// Fast while anything is open or unproven, and while the member is failed, so that recovery is seen
/// soon; slow when it was given up (policy.md section 1).
pub(crate) fn interval(plan: &GroupPlan, check: &CheckPlan, member: &Member, leaf: &Leaf) -> Span {
    let given_up = member.ledger.given_up.as_ref();
    if given_up.is_some_and(|given_up| given_up.parole.is_none()) {
        return plan.policy.down_interval.max(check.interval);
    }
    let quiet = !leaf.open()
        && matches!(member.health, Health::Healthy { .. })
        && matches!(member.life, Life::Up { .. });
    if quiet {
        check.interval
    } else {
        check.fast_interval
    }
}

/// The interval in force for a leaf that a whole group shares.
pub(crate) fn shared_interval(check: &CheckPlan, leaf: &Leaf) -> Span {
    if leaf.open() {
        check.fast_interval
    } else {
        check.interval
    }
}
