//! `intensity`: not more automatic starts than the limit, in any sliding window.
//!
//! When this gate is closed the ladder is spent, and the member is given up; a dead one gets a single
//! start at each parole.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Motive, Reading};

pub(super) fn read(view: &View<'_>, proposal: &Proposal) -> Reading {
    let (policy, ledger) = (&view.group_plan.policy, &view.member.ledger);
    let (limit, window) = if proposal.motive == Motive::Sick {
        (policy.sick_restarts, &ledger.restarts)
    } else {
        (policy.dead_starts, &ledger.starts)
    };
    Reading {
        gate: GateName::Intensity,
        open: proposal.parole || window.opens_at(limit, view.now).is_none(),
        compared: Comparison::Count {
            found: window.count(limit.window, view.now),
            allowed: limit.max,
            window: limit.window,
        },
        reopens: None,
    }
}
