//! `host_rate`: only so many acts at once on one machine, whatever the groups may spare.
//!
//! Starts and restarts are counted apart: starting a dead member gives capacity back, and must not
//! wait behind somebody who takes its time to stop.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Motive, Reading};

pub(super) fn read(view: &View<'_>, proposal: &Proposal) -> Reading {
    let host = &view.state.host;
    let sick = proposal.motive == Motive::Sick;
    let (pool, allowed) = if sick {
        (&host.restarts, host.restarts_allowed())
    } else {
        (&host.starts, host.starts_allowed())
    };
    let next = host.next_kill().filter(|at| sick && *at > view.now);
    let acting = pool.acting.len();
    Reading {
        gate: GateName::HostRate,
        open: acting < allowed && next.is_none(),
        compared: Comparison::Rate {
            acting: u32::try_from(acting).unwrap_or(u32::MAX),
            allowed: u32::try_from(allowed).unwrap_or(u32::MAX),
            next_in: next.map(|at| at.since(view.now)),
        },
        reopens: next.filter(|_| acting < allowed),
    }
}
