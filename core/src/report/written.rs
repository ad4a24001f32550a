//! What the journal keeps as text, and as it is told again.
//!
//! What follows from the rest is not written down: a decision is written while thousands fail, and read
//! by one person later.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json;
use crate::policy::keep::Kept;
use crate::policy::{Comparison, Explanation, Motive, Reading};

/// Writes one text after the other, each in the place of the one before.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    closed: String,
    json: Vec<u8>,
}

/// What stands in the journal of one decision, beside its verdict and what supports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The gates that were closed, with their numbers, as a sentence.
    pub closed: &'a str,
    /// JSON: the motive and every gate with what it compared.
    pub explanation: &'a str,
}

/// See [`Decision::explanation`].
#[derive(Serialize)]
struct Written<'a> {
    motive: Motive,
    readings: &'a [Reading],
}

impl Texts {
    /// Writes a decision down.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn decision(&mut self, explanation: &Explanation) -> serde_json::Result<Decision<'_>> {
        self.closed.clear();
        for reading in explanation.readings.iter().filter(|reading| !reading.open) {
            let and = if self.closed.is_empty() { "" } else { " and " };
            let (gate, numbers) = (reading.gate.as_str(), &reading.compared);
            // A text takes all that is written to it.
            _ = write!(self.closed, "{and}{gate} ({numbers})");
        }
        let written = Written {
            motive: explanation.motive,
            readings: &explanation.readings,
        };
        Ok(Decision {
            explanation: json::write(&mut self.json, &written)?,
            closed: &self.closed,
        })
    }

    /// Writes down what must outlive the daemon.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn kept(&mut self, kept: &Kept) -> serde_json::Result<&str> {
        json::write(&mut self.json, kept)
    }
}

/// Completes a [`Decision::explanation`] by what follows from it: of each gate whether it was open, and
/// its numbers as a sentence. One that an older checkd wrote has both.
pub fn told(explanation: &mut Value) {
    let readings = explanation
        .get_mut("readings")
        .and_then(Value::as_array_mut);
    let readings = readings.into_iter().flatten();
    for reading in readings.filter_map(Value::as_object_mut) {
        reading.entry("open").or_insert(Value::Bool(true));
        let compared = reading.get("compared").map(Comparison::deserialize);
        if let Some(Ok(compared)) = compared {
            let numbers = reading.entry("numbers");
            numbers.or_insert_with(|| compared.to_string().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::{Texts, told};
    use crate::policy::{Comparison, Explanation, GateName, Missing, Motive, Reading};
    use crate::{CheckName, GroupName, Instant, MemberName, Span, Status};

    /// One of each, as open as it gets and as closed.
    fn comparisons() -> Vec<Comparison> {
        let name = |text: &str| MemberName::new(text).unwrap();
        let why = || Some("too many".to_owned());
        let span = Some(Span::secs(3));
        let allowed = Span::secs(20);
        let budget = |who: &[&str]| Comparison::Budget {
            out: 9,
            max_out: 2,
            who: who.iter().map(|text| name(text)).collect(),
            up: 1,
            min_up: 2,
        };
        let hold =
            |why: Option<Arc<str>>, held_for, canary_in, unsupplied, canary| Comparison::Hold {
                why,
                held_for,
                troubled: 3,
                members: 4,
                canary_in,
                unsupplied,
                canary,
            };
        let too_many = || Some("too many".into());
        let needs = Missing::Group {
            group: GroupName::new("db").unwrap(),
            ready: 0,
            needed: 1,
        };
        let checks = Missing::Check {
            check: CheckName::new("redis").unwrap(),
            says: "redis failed twice in 10s".to_owned(),
        };
        vec![
            Comparison::Age {
                found: None,
                allowed,
            },
            Comparison::Age {
                found: span,
                allowed,
            },
            Comparison::Stored { refused: None },
            Comparison::Stored { refused: why() },
            Comparison::Control {
                state: "auto".into(),
            },
            Comparison::Control {
                state: "paused by \"ops\": why".to_owned().into(),
            },
            Comparison::Until {
                remaining: Span::ZERO,
                of: Span::ZERO,
            },
            Comparison::Until {
                remaining: Span::secs(3),
                of: Span::secs(9),
            },
            Comparison::Count {
                found: 1,
                allowed: 4,
                window: Span::mins(60),
            },
            Comparison::Dependency { missing: None },
            Comparison::Dependency {
                missing: Some(needs),
            },
            Comparison::Dependency {
                missing: Some(checks),
            },
            Comparison::Stall {
                why: None,
                calm: None,
            },
            Comparison::Stall {
                why: why(),
                calm: span,
            },
            Comparison::Rate {
                acting: 1,
                allowed: 2,
                next_in: None,
            },
            Comparison::Rate {
                acting: 2,
                allowed: 2,
                next_in: span,
            },
            hold(None, None, None, false, None),
            hold(too_many(), None, None, false, None),
            hold(too_many(), span, None, true, None),
            hold(too_many(), span, span, false, Some(name("web-1"))),
            budget(&[]),
            budget(&["web-1", "web-2"]),
        ]
    }

    #[test]
    fn what_is_not_written_down_follows_from_what_is() {
        let mut texts = Texts::default();
        for compared in comparisons() {
            for (open, reopens) in [(true, None), (false, Some(Instant(7)))] {
                let reading = Reading {
                    gate: GateName::Fresh,
                    open,
                    compared: compared.clone(),
                    reopens,
                };
                let explanation = Explanation {
                    verdict: Status::Fail,
                    because: "ping failed".to_owned(),
                    motive: Motive::Sick,
                    readings: vec![reading.clone()],
                };
                let written = texts.decision(&explanation).unwrap();
                let closed = format!("fresh ({compared})");
                assert_eq!(written.closed, if open { "" } else { closed.as_str() });
                let mut json: Value = serde_json::from_str(written.explanation).unwrap();
                let read: Reading = serde_json::from_value(json["readings"][0].clone()).unwrap();
                assert_eq!(read, reading, "{}", written.explanation);
                told(&mut json);
                assert_eq!(json["readings"][0]["open"], open);
                assert_eq!(json["readings"][0]["numbers"], compared.to_string());
            }
        }
    }
}
