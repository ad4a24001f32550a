//! The gates: may the step be done now? Predicates, nothing else; one file each.
//!
//! All gates that apply are read, also when an earlier one is closed, so that a refusal shows a person
//! everything that stands in the way, with the numbers.

mod backoff;
mod budget;
mod control;
pub(crate) mod dependency;
pub(crate) mod fresh;
pub(crate) mod hold;
mod host_rate;
mod intensity;
pub(crate) mod journal;
mod sane;
mod settle;

use super::propose::Proposal;
use super::state::{Group, Member, State};
use super::{GateName, Motive, Reading, Step};
use crate::plan::{GroupPlan, Plan};
use crate::{Instant, MemberId};

/// What a gate may look at.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Instant,
    pub(crate) plan: &'a Plan,
    pub(crate) group_plan: &'a GroupPlan,
    pub(crate) state: &'a State,
    pub(crate) group: &'a Group,
    pub(crate) id: MemberId,
    pub(crate) member: &'a Member,
}

struct Gate {
    name: GateName,
    applies: fn(&Proposal) -> bool,
    read: fn(&View<'_>, &Proposal) -> Reading,
}

/// In the order in which they are shown. Which motive passes which gate is the table of policy.md
/// section 3; a person's wish passes `journal`, and the budget unless told `--now`.
const GATES: [Gate; 11] = [
    Gate {
        name: GateName::Fresh,
        applies: sick,
        read: fresh::read,
    },
    Gate {
        name: GateName::Journal,
        applies: always,
        read: journal::read,
    },
    Gate {
        name: GateName::Control,
        applies: automatic,
        read: control::read,
    },
    Gate {
        name: GateName::Sane,
        applies: sick_or_together,
        read: sane::read,
    },
    Gate {
        name: GateName::Settle,
        applies: sick_or_together,
        read: settle::read,
    },
    Gate {
        name: GateName::Dependency,
        applies: begin_or_sick,
        read: dependency::read,
    },
    Gate {
        name: GateName::Hold,
        applies: sick,
        read: hold::read,
    },
    Gate {
        name: GateName::Intensity,
        applies: dead_or_sick,
        read: intensity::read,
    },
    Gate {
        name: GateName::Backoff,
        applies: again,
        read: backoff::read,
    },
    Gate {
        name: GateName::Budget,
        applies: budgeted,
        read: budget::read,
    },
    Gate {
        name: GateName::HostRate,
        applies: dead_or_sick,
        read: host_rate::read,
    },
];

const fn always(_: &Proposal) -> bool {
    true
}
fn begin_or_sick(proposal: &Proposal) -> bool {
    proposal.motive == Motive::Begin || sick_or_together(proposal)
}
const fn sick(proposal: &Proposal) -> bool {
    matches!(proposal.motive, Motive::Sick)
}
/// Whoever was stopped with its group waits for nothing: it served before.
fn sick_or_together(proposal: &Proposal) -> bool {
    matches!(proposal.motive, Motive::Sick | Motive::Together) && proposal.step != Step::Start
}
const fn dead_or_sick(proposal: &Proposal) -> bool {
    matches!(proposal.motive, Motive::Dead | Motive::Sick)
}
/// Whoever asks for the first time is asked for at once.
const fn again(proposal: &Proposal) -> bool {
    dead_or_sick(proposal)
        || matches!(
            (proposal.step, proposal.motive),
            (Step::Stop, Motive::ByHand { now: false })
        )
}
const fn automatic(proposal: &Proposal) -> bool {
    !matches!(proposal.motive, Motive::ByHand { .. })
}
/// Whatever takes a running process away; a start costs no capacity. How much of a member's capacity its
/// blamed processes are nobody here knows: a signal counts as the whole member.
const fn budgeted(proposal: &Proposal) -> bool {
    matches!(proposal.step, Step::Restart | Step::Signal)
        && matches!(
            proposal.motive,
            Motive::Sick | Motive::Together | Motive::ByHand { now: false }
        )
}

/// The first gate that closed between the decision and the moment in which its intent is stored.
///
/// A journal on a bad disk takes seconds to answer, in which a neighbour may die, a hold may begin or
/// this machine stand still. The turn on this machine the member has already, and the journal has
/// just answered.
pub(crate) fn closed_meanwhile(view: &View<'_>, proposal: &Proposal) -> Option<Reading> {
    let has = |name| matches!(name, GateName::HostRate | GateName::Journal);
    let mut gates = (GATES.iter()).filter(|gate| !has(gate.name) && (gate.applies)(proposal));
    gates.find_map(|gate| Some((gate.read)(view, proposal)).filter(|reading| !reading.open))
}

/// Reads every gate that the proposal must pass.
pub(crate) fn read_all(view: &View<'_>, proposal: &Proposal) -> Vec<Reading> {
    let gates = || GATES.iter().filter(|gate| (gate.applies)(proposal));
    let mut readings = Vec::with_capacity(gates().count());
    readings.extend(gates().map(|gate| {
        let reading = (gate.read)(view, proposal);
        debug_assert_eq!(reading.gate, gate.name);
        reading
    }));
    readings
}
