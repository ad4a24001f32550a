//! Between the plugins' types and core's: the one file that names both.
//!
//! What comes from a plugin is bounded and put right here: after this a sample obeys core's rules,
//! whatever the plugin said.

use std::sync::Arc;

use checkd_core::config::{KindFacts, keys};
use checkd_core::plan::Scope;
use checkd_core::{Cause, CheckKind, Generation, Instant, Measurement, Sample, Span, Status};
use checkd_plugin_api as api;
use serde_json::Value;

use super::protocol::{KindText, MEASUREMENTS_MAX, Problem, SampleText, TEXT_MAX, Target, bounded};

/// The longest name or unit of a measurement.
const WORD_MAX: usize = 64;

/// When a run ended, how long it took, and which life it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub(crate) at: Instant,
    pub(crate) took: Span,
    pub(crate) generation: Option<Generation>,
}

/// What a run said, through whichever door.
#[derive(Debug)]
pub(crate) enum Said {
    /// A built-in's sample.
    Linked(api::Sample),
    /// A sample that crossed a border.
    Text(SampleText),
}

impl Said {
    /// The sample for the engine. The second value says what was wrong with it.
    pub(crate) fn sample(self, when: When) -> (Sample, Option<String>) {
        match self {
            Self::Linked(said) => (built_in(&said, when), None),
            Self::Text(text) => sample(text, when),
        }
    }
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
fn sample(text: SampleText, when: When) -> (Sample, Option<String>) {
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

/// The sample of a built-in.
fn built_in(sample: &api::Sample, when: When) -> Sample {
    let status = match sample.status {
        api::Status::Pass => Status::Pass,
        api::Status::Warn => Status::Warn,
        api::Status::Fail => Status::Fail,
        api::Status::Unknown => Status::Unknown,
    };
    let cause = sample.cause.map(|cause| match cause {
        api::Cause::Timeout => Cause::Timeout,
        api::Cause::Refused => Cause::Refused,
        api::Cause::Wrong => Cause::Wrong,
        api::Cause::Stale => Cause::Stale,
        api::Cause::Overran => Cause::Overran,
        api::Cause::Crashed => Cause::Crashed,
        api::Cause::PluginUnavailable => Cause::PluginUnavailable,
        api::Cause::HostStall => Cause::HostStall,
        api::Cause::NoPermission => Cause::NoPermission,
        api::Cause::Misconfigured => Cause::Misconfigured,
    });
    let measurements = sample
        .measurements
        .iter()
        .filter(|one| one.value.is_finite())
        .filter_map(|one| {
            measurement(
                &one.name,
                one.value,
                &one.unit,
                one.limit.filter(|l| l.is_finite()),
            )
        })
        .take(MEASUREMENTS_MAX)
        .collect();
    Sample {
        status,
        cause: cause_for(status, cause),
        message: bounded(&sample.message, TEXT_MAX).into(),
        measurements,
        at: when.at,
        took: when.took,
        generation: when.generation,
    }
}

/// The request of a built-in's context.
pub(crate) fn request(target: &Target) -> api::host::Request {
    api::host::Request {
        group: target.group.clone(),
        member: target.member.clone(),
        index: target.index,
        pid: target.pid,
        port: target.port,
    }
}

/// The problems of a built-in.
pub(crate) fn problems(problems: &api::Problems) -> Vec<Problem> {
    let told = problems.iter().map(|problem| {
        let option = Some(problem.option.clone()).filter(|option| !option.is_empty());
        Problem {
            option,
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    });
    told.collect()
}

/// What a built-in says about itself, in the words of the protocol.
pub(crate) fn registration(registration: &api::host::Registration) -> KindText {
    let facts = registration.facts();
    let scope = match facts.scope {
        api::Scope::Process => "process",
        api::Scope::Host => "host",
        api::Scope::Dependency => "dependency",
    };
    KindText {
        kind: facts.kind,
        summary: facts.summary,
        scope: scope.into(),
        passive: facts.passive,
        blocking: facts.blocking,
        options: facts.options,
        example: facts.example,
        package: facts.package,
    }
}

/// What core needs to know about a kind, or why the kind cannot be used.
pub(crate) fn facts(text: &KindText, origin: &str) -> Result<KindFacts, String> {
    let kind = CheckKind::new(&text.kind).ok_or_else(|| {
        format!(
            "kind `{}` is not named `[a-z][a-z0-9_-]*`",
            bounded(&text.kind, 80)
        )
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
        Value::Object(schema) if schema.get("properties").is_none_or(Value::is_object) => {
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
fn cause_for(status: Status, cause: Option<Cause>) -> Option<Cause> {
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
fn measurement(name: &str, value: f64, unit: &str, limit: Option<f64>) -> Option<Measurement> {
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

#[cfg(test)]
mod tests;
