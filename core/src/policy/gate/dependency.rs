//! `dependency`: what a member needs must be there before it is started, or killed for not working.
//!
//! A first start waits for the groups that its own depends on. A sick member also waits for the checks
//! of scope `dependency`: while the database is down, restarting its clients cures nothing. A member
//! that died is started again whatever its dependencies say: starting costs nothing, and a start order
//! is not a health rule.

use super::View;
use crate::plan::{GroupPlan, Plan, Scope};
use crate::policy::propose::Proposal;
use crate::policy::state::{Group, State};
use crate::policy::{Comparison, GateName, Missing, Motive, Reading};
use crate::{Instant, Status};

pub(super) fn read(view: &View<'_>, proposal: &Proposal) -> Reading {
    let missing = if proposal.motive == Motive::Begin {
        group(view.plan, view.state, view.group_plan)
    } else {
        missing(view.plan, view.state, view.group_plan, view.group, view.now)
    };
    Reading {
        gate: GateName::Dependency,
        open: missing.is_none(),
        compared: Comparison::Dependency { missing },
        reopens: None,
    }
}

/// The first thing that a group needs and that is not there.
pub(crate) fn missing(
    plan: &Plan,
    state: &State,
    group_plan: &GroupPlan,
    of: &Group,
    now: Instant,
) -> Option<Missing> {
    group(plan, state, group_plan).or_else(|| check(group_plan, of, now))
}

fn group(plan: &Plan, state: &State, group_plan: &GroupPlan) -> Option<Missing> {
    group_plan.depends_on.iter().find_map(|&index| {
        let (needed, is) = (plan.group(index)?, state.group(index)?.counts.ready);
        (is < needed.ready_members).then(|| Missing::Group {
            group: needed.name.clone(),
            ready: is,
            needed: needed.ready_members,
        })
    })
}

/// A check of a dependency that somebody allowed in `live` is a reason to restart, so it does not
/// stand in the way of one.
fn check(group_plan: &GroupPlan, group: &Group, now: Instant) -> Option<Missing> {
    let live = &group_plan.live.expr;
    let checks = (0u32..).zip(&group_plan.checks);
    let mut needed =
        checks.filter(|(index, check)| check.scope == Scope::Dependency && !live.reads(*index));
    needed.find_map(|(index, check)| {
        let leaf = group.shared.get(index as usize)?.as_ref()?;
        (leaf.live_reading(now) == Status::Fail).then(|| Missing::Check {
            check: check.name.clone(),
            says: crate::policy::words::one_leaf(check.name.as_str(), leaf),
        })
    })
}
