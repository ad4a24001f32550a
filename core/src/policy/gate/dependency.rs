//! `dependency`: a member is first started when the groups that its own depends on are ready.
//!
//! Only the first start waits. A member that died is started again whatever its dependencies say:
//! starting costs nothing, and a start order is not a health rule.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let missing = view.group_plan.depends_on.iter().find_map(|&index| {
        let (plan, group) = (view.plan.group(index)?, view.state.group(index)?);
        (group.ready < plan.ready_members).then_some((plan, group.ready))
    });
    Reading {
        gate: GateName::Dependency,
        open: missing.is_none(),
        compared: Comparison::Dependency {
            group: missing.map(|(plan, _)| plan.name.clone()),
            ready: missing.map_or(0, |(_, ready)| ready),
            needed: missing.map_or(0, |(plan, _)| plan.ready_members),
        },
        reopens: None,
    }
}
