//! `budget`: never more members down by our hand at once than the group can spare.
//!
//! `min_up` asks more: whoever is ready is not killed when fewer others than that would be.
//!
//! The main protection (policy.md section 9): what looks sick on many members at once is seldom cured
//! by killing many members at once.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

/// So many members are named in a reading; the count says the rest.
const NAMED: usize = 8;

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let policy = &view.group_plan.policy;
    // Itself it is out when it is dead; that must not keep it from being helped.
    let out = view
        .group
        .counts
        .out
        .saturating_sub(u32::from(view.member.out()));
    let spare = out < policy.max_out;
    // Who serves nobody is no loss: were it one, a group with too many sick members would never be
    // helped.
    let serves = view.member.ready;
    let others_up = view.group.counts.ready.saturating_sub(u32::from(serves));
    let min_up = if serves { policy.min_up } else { 0 };
    let who = (0u32..)
        .zip(&view.group.members)
        .zip(&view.group_plan.members)
        .filter(|((index, member), _)| *index != view.id.member && member.out())
        .map(|(_, plan)| plan.name.clone())
        .take(if spare { 0 } else { NAMED })
        .collect();
    Reading {
        gate: GateName::Budget,
        open: spare && others_up >= min_up,
        compared: Comparison::Budget {
            out,
            max_out: policy.max_out,
            who,
            up: others_up,
            min_up,
        },
        reopens: None,
    }
}
