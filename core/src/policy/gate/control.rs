//! `control`: nobody paused the member, and its group is not only observed.
//!
//! In `observe` everything is decided and recorded as in `auto`, and nothing is done. The first start
//! of a member that nobody ever started is not a decision about its health, so it passes `observe`.

use super::View;
use crate::plan::Mode;
use crate::policy::propose::Proposal;
use crate::policy::state::Control;
use crate::policy::{Comparison, GateName, Motive, Reading};

pub(super) fn read(view: &View<'_>, proposal: &Proposal) -> Reading {
    let (open, state, reopens) = match (&view.member.control, view.group_plan.mode) {
        (
            Control::Paused {
                until, by, reason, ..
            },
            _,
        ) if *until > view.now => {
            let left = until.since(view.now);
            (
                false,
                format!("paused by {by} for another {left}: {reason}"),
                Some(*until),
            )
        }
        (_, Mode::Observe) => (proposal.motive == Motive::Begin, "observe".to_owned(), None),
        (Control::Auto | Control::Paused { .. }, Mode::Auto) => (true, "auto".to_owned(), None),
    };
    Reading {
        gate: GateName::Control,
        open,
        compared: Comparison::Control { state },
        reopens,
    }
}
