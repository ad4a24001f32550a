//! A gate as a person reads it: its numbers as a sentence, and what would open it.

use super::{GateReport, Word};
use crate::Instant;
use crate::policy::{Comparison, GateName, Missing, Reading, words};

pub(super) fn told(reading: &Reading, now: Instant) -> GateReport {
    let opens_when: Word = if reading.open {
        Word::default()
    } else if reading.gate == GateName::Hold && !alone(reading) {
        "for all when a restart has helped, or when few enough are in trouble".into()
    } else if let Some(at) = reading.reopens {
        format!("by itself in {}", at.since(now)).into()
    } else {
        match reading.gate {
            GateName::Fresh => "with the next run that still fails".into(),
            GateName::Journal => "when the journal can be written again".into(),
            GateName::Control => {
                "when its group has mode = \"auto\" and checkd runs without --observe".into()
            }
            GateName::Sane => "when this machine runs again".into(),
            GateName::HostRate => "when an act on this machine has ended".into(),
            GateName::Settle => "when the daemon has been up long enough".into(),
            GateName::Dependency if by_check(reading) => "when that check passes again".into(),
            GateName::Dependency => "when enough of them are ready".into(),
            GateName::Hold => "when it has helped or was given up".into(),
            GateName::Intensity => "by `checkd reset`".into(),
            GateName::Backoff => "when the wait is over".into(),
            GateName::Budget => "when a member that is out is healthy again or given up".into(),
        }
    };
    GateReport {
        gate: reading.gate.as_str().into(),
        open: reading.open,
        numbers: words::sentence(&reading.compared),
        opens_in: reading.reopens.map(|at| at.since(now)),
        opens_when,
    }
}

/// Whether a check says that something is missing, and not the state of another group.
const fn by_check(reading: &Reading) -> bool {
    matches!(
        reading.compared,
        Comparison::Dependency {
            missing: Some(Missing::Check { .. })
        }
    )
}

/// Whether it is the gate of a group too small to be held.
const fn alone(reading: &Reading) -> bool {
    matches!(reading.compared, Comparison::Hold { held_for: None, .. })
}
