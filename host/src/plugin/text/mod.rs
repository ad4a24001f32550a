//! What crossed a border as text, as core's types: nothing in it was trusted before, and after this
//! it obeys core's rules, whatever the plugin said.
//!
//! Like [`protocol`](super::protocol) it knows nothing else of the host, so that `fuzz/` can hold both
//! to that without the rest.

use std::sync::Arc;

use checkd_core::config::{KindFacts, keys};
use checkd_core::plan::Scope;
use checkd_core::{Cause, CheckKind, Generation, Instant, Measurement, Sample, Span, Status};
use serde_json::Value;

use super::protocol::{KindText, MEASUREMENTS_MAX, SampleText, TEXT_MAX, bounded};

/// The longest name of a kind, and the longest name or unit of a measurement.
const WORD_MAX: usize = 64;

/// When a run ended, how long it took, and which life it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub(crate) at: Instant,
    pub(crate) took: Span,
    pub(crate) generation: Option<Generation>,
}

/// A sample that the host itself makes: nobody could look.
pub(crate) fn unknown(cause: Cause, message: &str, when: When) -> Sample {
    Sample {
        status: Status::Unknown,
        cause: Some(cause),
        message: bounded(message, TEXT_MAX).into(),
        measurements: Vec::new(),
        at: when.at,
        took: when.took,
        generation: when.generation,
    }
}

/// A sample that crossed a border as text. The second value says what was wrong with it.
pub(crate) fn sample(text: SampleText, when: When) -> (Sample, Option<String>) {
    let SampleText {
        status,
        cause,
        message,
        measurements,
    } = text;
    let Some(status) = status_of(&status) else {
        let told = format!(
            "status `{}` is none of pass, warn, fail, unknown",
            bounded(&status, 32)
        );
        return (unknown(Cause::Crashed, &told, when), Some(told));
    };
    let mut faults = Vec::new();
    let cause = match cause.as_deref() {
        None => cause_for(status, None),
        Some(word) => {
            let known = CAUSES.into_iter().find(|cause| cause.as_str() == word);
            let fitting = cause_for(status, known);
            if known.is_none() || fitting != known {
                faults.push(format!(
                    "cause `{}` does not go with {status}",
                    bounded(word, 32)
                ));
            }
            fitting
        }
    };
    let told = measurements.len();
    let measurements: Vec<Measurement> = measurements
        .into_iter()
        .filter_map(|one| {
            let value = one.value.filter(|value| value.is_finite())?;
            let limit = one.limit.filter(|limit| limit.is_finite());
            measurement(&one.name, value, &one.unit, limit)
        })
        .take(MEASUREMENTS_MAX)
        .collect();
    if measurements.len() < told {
        faults.push(format!(
            "{} of {told} measurements dropped",
            told - measurements.len()
        ));
    }
    let sample = Sample {
        status,
        cause,
        message: bounded(&message, TEXT_MAX).into(),
        measurements,
        at: when.at,
        took: when.took,
        generation: when.generation,
    };
    (sample, (!faults.is_empty()).then(|| faults.join("; ")))
}

/// What core needs to know about a kind, or why the kind cannot be used.
pub(crate) fn facts(text: &KindText, origin: &str) -> Result<KindFacts, String> {
    let kind = CheckKind::new(&text.kind).ok_or_else(|| match text.kind.len() {
        0..=WORD_MAX => format!(
            "kind `{}` is not named `[a-z][a-z0-9_-]*`",
            bounded(&text.kind, 80)
        ),
        long => format!(
            "kind `{}` has a name of {long} bytes, {WORD_MAX} are allowed",
            bounded(&text.kind, 32)
        ),
    })?;
    let scope = match text.scope.as_str() {
        "" | "process" => Scope::Process,
        "host" => Scope::Host,
        "dependency" => Scope::Dependency,
        other => {
            let other = bounded(other, 32);
            return Err(format!(
                "kind `{kind}` has scope `{other}`; allowed: process, host, dependency"
            ));
        }
    };
    let options = match &text.options {
        Value::Null => serde_json::json!({ "type": "object", "properties": {} }),
        Value::Object(schema)
            if schema.get("properties").is_none_or(Value::is_object)
                && schema.get("type").is_none_or(|word| word == "object") =>
        {
            text.options.clone()
        }
        Value::Object(_)
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => {
            return Err(format!(
                "kind `{kind}` has options that are no JSON Schema of an object"
            ));
        }
    };
    options::judge(&options).map_err(|why| format!("kind `{kind}`: {why}"))?;
    let claims = |key: &&str| {
        options
            .get("properties")
            .is_some_and(|all| all.get(key).is_some())
    };
    if let Some(key) = keys::CHECK.iter().map(|key| key.name).find(claims) {
        return Err(format!(
            "kind `{kind}` has an option `{key}`, which is a key of checkd itself"
        ));
    }
    Ok(KindFacts {
        kind,
        scope,
        passive: text.passive,
        options,
        origin: origin.into(),
    })
}

const CAUSES: [Cause; 10] = [
    Cause::Timeout,
    Cause::Refused,
    Cause::Wrong,
    Cause::Stale,
    Cause::Overran,
    Cause::Crashed,
    Cause::PluginUnavailable,
    Cause::HostStall,
    Cause::NoPermission,
    Cause::Misconfigured,
];

fn status_of(word: &str) -> Option<Status> {
    [Status::Pass, Status::Warn, Status::Fail, Status::Unknown]
        .into_iter()
        .find(|status| status.as_str() == word)
}

/// The cause that goes with a status: none for a pass, the target's for a warn or fail, ours for an
/// unknown.
pub(crate) fn cause_for(status: Status, cause: Option<Cause>) -> Option<Cause> {
    let targets = |cause: &Cause| {
        matches!(
            cause,
            Cause::Timeout | Cause::Refused | Cause::Wrong | Cause::Stale
        )
    };
    match status {
        Status::Pass => None,
        Status::Warn | Status::Fail => Some(cause.filter(targets).unwrap_or(Cause::Wrong)),
        Status::Unknown => Some(
            cause
                .filter(|cause| !targets(cause))
                .unwrap_or(Cause::Misconfigured),
        ),
    }
}

/// A measurement with a usable name and unit.
pub(crate) fn measurement(
    name: &str,
    value: f64,
    unit: &str,
    limit: Option<f64>,
) -> Option<Measurement> {
    let fits = name.len() <= WORD_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && unit.len() <= WORD_MAX
        && !unit.chars().any(char::is_control);
    fits.then(|| Measurement {
        name: Arc::from(name),
        value,
        unit: Arc::from(unit),
        limit,
    })
}

mod options;

#[cfg(test)]
mod tests;
