//! A decision as the journal keeps it: by names, with the sentences that a person reads.

use std::borrow::Cow;

use serde::Serialize;

use crate::plan::Plan;
use crate::policy::{Comparison, Explanation, GateName, Motive, Reading, words};
use crate::{Instant, MemberId, Span, Status};

/// What stands in the journal of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The gates that were closed, with their numbers, as a sentence.
    pub closed: String,
    /// JSON: the verdict and every gate, members by their names.
    pub explanation: String,
}

/// Writes a decision down.
pub fn decision(plan: &Plan, explanation: &Explanation) -> Decision {
    let mut closed = String::new();
    let readings = explanation.readings.iter().map(|reading| {
        let numbers = words::numbers(plan, reading);
        if !reading.open {
            let and = if closed.is_empty() { "" } else { " and " };
            closed.extend([and, reading.gate.as_str(), " (", &numbers, ")"]);
        }
        Read::new(plan, reading, numbers)
    });
    let written = Written {
        verdict: explanation.verdict,
        because: &explanation.because,
        motive: explanation.motive,
        readings: readings.collect(),
    };
    Decision {
        explanation: json(&written),
        closed,
    }
}

/// Most are shorter than this: no text is moved again and again while it grows.
const USUAL: usize = 2_048;

fn json(value: &impl Serialize) -> String {
    let mut text = Vec::with_capacity(USUAL);
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// An [`Explanation`] as it is read under any plan: an index means nothing once the plan has changed.
#[derive(Serialize)]
struct Written<'a> {
    verdict: Status,
    because: &'a str,
    motive: Motive,
    readings: Vec<Read<'a>>,
}

#[derive(Serialize)]
struct Read<'a> {
    gate: GateName,
    open: bool,
    compared: Compared<'a>,
    reopens: Option<Instant>,
    numbers: Cow<'a, str>,
}

/// A [`Comparison`] with the names of members.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Compared<'a> {
    Hold {
        why: Option<&'a str>,
        held_for: Option<Span>,
        troubled: u32,
        members: u32,
        canary_in: Option<Span>,
        unsupplied: bool,
        canary: Option<String>,
    },
    Budget {
        out: u32,
        max_out: u32,
        who: Vec<String>,
        up: u32,
        min_up: u32,
    },
    #[serde(untagged)]
    Other(&'a Comparison),
}

impl<'a> Read<'a> {
    fn new(plan: &Plan, reading: &'a Reading, numbers: Cow<'a, str>) -> Self {
        let path = |id: &MemberId| plan.path(*id);
        let compared = match &reading.compared {
            Comparison::Hold {
                why,
                held_for,
                troubled,
                members,
                canary_in,
                unsupplied,
                canary,
            } => Compared::Hold {
                why: why.as_deref(),
                held_for: *held_for,
                troubled: *troubled,
                members: *members,
                canary_in: *canary_in,
                unsupplied: *unsupplied,
                canary: canary.as_ref().map(path),
            },
            Comparison::Budget {
                out,
                max_out,
                who,
                up,
                min_up,
            } => Compared::Budget {
                out: *out,
                max_out: *max_out,
                who: who.iter().map(path).collect(),
                up: *up,
                min_up: *min_up,
            },
            // Nobody else is named in one.
            other @ (Comparison::Age { .. }
            | Comparison::Stored { .. }
            | Comparison::Control { .. }
            | Comparison::Until { .. }
            | Comparison::Count { .. }
            | Comparison::Dependency { .. }
            | Comparison::Stall { .. }
            | Comparison::Rate { .. }) => Compared::Other(other),
        };
        Self {
            gate: reading.gate,
            open: reading.open,
            compared,
            reopens: reading.reopens,
            numbers,
        }
    }
}
