//! `sane`: nobody is killed on evidence from a machine that stands still.

use super::View;
use crate::policy::host::AFTERMATH;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let host = &view.state.host;
    let stalled = host.stalled(view.now);
    let calm = host.calm_for(view.now);
    let shaken = calm.filter(|calm| *calm < AFTERMATH);
    Reading {
        gate: GateName::Sane,
        open: stalled.is_none() && shaken.is_none(),
        compared: Comparison::Stall {
            why: stalled.map(str::to_owned),
            calm,
        },
        reopens: if stalled.is_some() {
            host.excused_until()
        } else {
            shaken.map(|calm| view.now + (AFTERMATH - calm))
        },
    }
}
