//! `control`: nobody paused the member, and its group is not only observed.
//!
//! In `observe` everything is decided and recorded as in `auto`, and nothing is done. The first start
//! of a member that nobody ever started is not a decision about its health, so it passes `observe`.

use std::borrow::Cow;

use super::View;
use crate::Span;
use crate::event::Window;
use crate::plan::Mode;
use crate::policy::propose::Proposal;
use crate::policy::state::Control;
use crate::policy::{Comparison, GateName, Reading};

/// The window that leaves it alone. The first start passes: a machine that is started again in a window
/// serves when it is over.
fn maintained<'a>(view: &View<'a>, proposal: &Proposal) -> Option<&'a Window> {
    let window = view.group.maintenance.as_ref();
    window.filter(|it| it.until > view.now && !proposal.begins())
}

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
                format!("paused by {by} for another {left}: {reason}").into(),
                Some(*until),
            )
        }
        _ if maintained(view, proposal).is_some() => {
            let window = maintained(view, proposal);
            let (name, left) =
                window.map_or(("", Span::ZERO), |it| (&it.name, it.until.since(view.now)));
            let reason = window.and_then(|it| it.reason.as_deref());
            let why = reason.map_or(String::new(), |reason| format!(": {reason}"));
            (
                false,
                format!("maintenance `{name}` for another {left}{why}").into(),
                window.map(|it| it.until),
            )
        }
        (_, Mode::Observe) => (proposal.begins(), Cow::Borrowed("observe"), None),
        (Control::Auto | Control::Paused { .. }, Mode::Auto) => (true, "auto".into(), None),
    };
    Reading {
        gate: GateName::Control,
        open,
        compared: Comparison::Control { state },
        reopens,
    }
}
