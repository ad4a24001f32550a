//! Secrets that plugins were given: what a plugin says is cleared of them before anybody reads it.
//!
//! The host reads every secret itself (`options`), so it knows what must not come back. An exception
//! with a connection string in it is the everyday case; a plugin that wants to give a secret away can
//! still do so in other words.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use super::protocol::{Problem, Tell};

/// Shorter ones would be found in words that say nothing of them.
const LEAST: usize = 4;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// The longest first, for one may be a part of another.
static KNOWN: RwLock<BTreeSet<(Reverse<usize>, String)>> = RwLock::new(BTreeSet::new());

/// Notes a secret that a plugin is given. Of one with several lines each counts, for what is printed
/// comes line by line.
pub(super) fn learn(secret: &str) {
    let lines = secret.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| line.len() >= LEAST).collect();
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for line in lines {
        known.insert((Reverse(line.len()), line.to_owned()));
    }
}

/// Whether there is a secret in the text.
pub(super) fn are_in(text: &str) -> bool {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known
        .iter()
        .any(|(_, secret)| text.contains(secret.as_str()))
}

/// The text without any secret in it.
pub(crate) fn cleared(mut text: String) -> String {
    for (_, secret) in KNOWN.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), HIDDEN);
        }
    }
    text
}

/// The message without any secret in what a person may read of it. Samples are cleared where they
/// become those of the host, whichever door they came through.
pub(super) fn cleared_tell(tell: Tell) -> Tell {
    match tell {
        Tell::Configured { instance, problems } => Tell::Configured {
            instance,
            problems: problems.into_iter().map(cleared_problem).collect(),
        },
        Tell::Log { level, message } => Tell::Log {
            level,
            message: cleared(message),
        },
        Tell::Error {
            code,
            message,
            notes,
            help,
        } => Tell::Error {
            code,
            message: cleared(message),
            notes: notes.into_iter().map(cleared).collect(),
            help: help.map(cleared),
        },
        Tell::Hello { .. } | Tell::Described { .. } | Tell::Sample { .. } => tell,
    }
}

/// A mistake in options without any secret in it.
pub(super) fn cleared_problem(problem: Problem) -> Problem {
    Problem {
        option: problem.option,
        message: cleared(problem.message),
        help: problem.help.map(cleared),
    }
}

#[cfg(test)]
mod tests {
    use checkd_core::{Instant, Span};

    use super::super::convert::{Said, When};
    use super::super::protocol::SampleText;
    use super::{cleared, learn};

    #[test]
    fn nor_in_a_sample() {
        learn("tiger-and-lion");
        let said: SampleText = serde_json::from_value(serde_json::json!({
            "status": "fail",
            "message": "no tiger-and-lion",
            "measurements": [{ "name": "left", "value": 1, "unit": "of tiger-and-lion" }],
        }))
        .unwrap();
        let when = When {
            at: Instant(0),
            took: Span::ZERO,
            generation: None,
        };
        let (sample, _) = Said::Text(said).sample(when);
        let read = format!("{sample:?}");
        assert!(!read.contains("tiger") && read.contains("of ***"), "{read}");
    }

    #[test]
    fn what_was_given_does_not_come_back() {
        learn("hunter-two");
        learn("hunter-two-and-more");
        learn("first line\n  second line  \n\nabc\n");
        for (said, read) in [
            (
                "no route to db://u:hunter-two@host",
                "no route to db://u:***@host",
            ),
            ("hunter-two-and-more", "***"),
            ("second line, then abc", "***, then abc"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(cleared(said.to_owned()), read);
        }
    }
}
