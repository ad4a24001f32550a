//! `settle`: a daemon that has just begun knows too little to kill.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let settle = view.group_plan.policy.settle;
    let end = view.state.began + settle;
    let open = end <= view.now;
    Reading {
        gate: GateName::Settle,
        open,
        compared: Comparison::Until {
            remaining: end.since(view.now),
            of: settle,
        },
        reopens: (!open).then_some(end),
    }
}
