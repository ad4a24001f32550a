//! `sane`: nobody is killed on evidence from a machine that stands still.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let host = &view.state.host;
    let shaken = host.shaken_until(view.now);
    Reading {
        gate: GateName::Sane,
        open: shaken.is_none(),
        compared: Comparison::Stall {
            why: host.stalled(view.now).map(str::to_owned),
            calm: host.calm_for(view.now),
        },
        reopens: shaken,
    }
}
