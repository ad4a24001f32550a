//! From what was seen to a sample; pure, so that a table can test it.

use std::time::Duration;

use checkd_plugin_api::units::Span;
use checkd_plugin_api::{Cause, Sample};

use crate::options::{Missing, Options};

/// What one look saw.
#[derive(Debug)]
pub(crate) enum Observation {
    /// The directory was read to its end.
    Seen(Spool),
    /// The time was up after so many files.
    NotToItsEnd(Spool),
    /// There is no such directory.
    Missing,
    /// Not allowed to read it.
    Forbidden,
    /// Any other trouble, in words.
    Unreadable(String),
}

/// What waits in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spool {
    /// How many files wait.
    pub(crate) depth: u64,
    /// How long the oldest has waited; `None` when nothing waits.
    pub(crate) oldest: Option<Duration>,
}

/// Judges one look.
pub(crate) fn judge(options: &Options, observation: &Observation) -> Sample {
    let directory = &options.directory;
    match observation {
        Observation::Seen(spool) => seen(options, *spool),
        Observation::NotToItsEnd(spool) => Sample::fail(
            Cause::Timeout,
            format!(
                "more than {} files, too many to read in time, {directory}",
                spool.depth
            ),
        ),
        Observation::Missing => {
            let message = format!("there is no directory {directory}");
            match options.missing {
                Missing::Fail => Sample::fail(Cause::Wrong, message),
                Missing::Unknown => Sample::unknown(Cause::Misconfigured, message),
            }
        }
        Observation::Forbidden => Sample::unknown(
            Cause::NoPermission,
            format!("not allowed to read {directory}"),
        ),
        Observation::Unreadable(why) => Sample::unknown(
            Cause::Misconfigured,
            format!("cannot read {directory}: {why}"),
        ),
    }
}

fn seen(options: &Options, spool: Spool) -> Sample {
    let Spool { depth, oldest } = spool;
    let files = if depth == 1 { "file" } else { "files" };
    let age = oldest.unwrap_or_default();
    let too_deep = options.max_depth.filter(|max| depth > *max);
    let too_old = options.max_age.filter(|max| age > max.as_duration());
    let waits = format!("the oldest has waited for {}", rough(age));
    let sample = match (too_deep, too_old) {
        (Some(max), None) => Sample::fail(Cause::Wrong, format!("{depth} {files} over {max}")),
        (Some(max), Some(longest)) => Sample::fail(
            Cause::Wrong,
            format!("{depth} {files} over {max}, and {waits}, over {longest}"),
        ),
        (None, Some(longest)) => Sample::fail(
            Cause::Stale,
            format!("{waits}, over {longest} ({depth} {files})"),
        ),
        (None, None) if depth == 0 => Sample::pass("empty"),
        (None, None) => Sample::pass(format!("{depth} {files}, {waits}")),
    };
    let sample = match options.max_depth {
        Some(max) => sample.measure_limit("depth", depth as f64, "", max as f64),
        None => sample.measure("depth", depth as f64, ""),
    };
    match options.max_age {
        Some(max) => sample.measure_limit("age", age.as_secs_f64(), "s", max.as_secs_f64()),
        None => sample.measure("age", age.as_secs_f64(), "s"),
    }
}

/// In whole seconds, for a person.
fn rough(age: Duration) -> Span {
    Span::secs(age.as_secs())
}
