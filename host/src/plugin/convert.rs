//! Between the plugins' types and core's: the one file that names both.

use checkd_core::{Cause, Sample, Status};
use checkd_plugin_api as api;

use super::protocol::{KindText, MEASUREMENTS_MAX, Problem, SampleText, TEXT_MAX, Target, bounded};
use super::secrets::{self, cleared};
pub(crate) use super::text::{When, facts, unknown};
use super::text::{cause_for, measurement, sample};

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
        let (mut sample, wrong) = match self {
            Self::Linked(said) => (built_in(&said, when), None),
            Self::Text(text) => sample(text, when),
        };
        if secrets::are_in(&sample.message) {
            sample.message = cleared(sample.message.to_string()).into();
        }
        for one in &mut sample.measurements {
            if secrets::are_in(&one.unit) {
                one.unit = cleared(one.unit.to_string()).into();
            }
        }
        (sample, wrong.map(cleared))
    }
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
