//! `journal`: nothing is done that could not be written down first.
//!
//! Closed when the last intent could not be stored. It opens again after [`RETRY`] to try once more,
//! so a disk that was full for a while locks nothing for ever.

use super::View;
use crate::Span;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading};

/// How long after a refusal the journal is tried again.
pub(crate) const RETRY: Span = Span::secs(10);

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    let refused = view.state.refused.as_ref();
    let reopens = refused.map(|refused| refused.at + RETRY);
    let open = reopens.is_none_or(|at| at <= view.now);
    Reading {
        gate: GateName::Journal,
        open,
        compared: Comparison::Stored {
            refused: refused.map(|refused| refused.reason.clone()),
        },
        reopens: reopens.filter(|_| !open),
    }
}
