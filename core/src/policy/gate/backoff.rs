//! `backoff`: the wait after the last attempt is over.

use super::View;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let ledger = &view.member.ledger;
    let open = ledger.not_before <= view.now;
    Reading {
        gate: GateName::Backoff,
        open,
        compared: Comparison::Until {
            remaining: ledger.not_before.since(view.now),
            of: ledger.not_before.since(ledger.wait_began),
        },
        reopens: (!open).then_some(ledger.not_before),
    }
}
