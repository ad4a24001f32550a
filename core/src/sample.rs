//! One run's result: a status, its cause, a message for a person, and measurements.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Generation, Instant, Process, Span};

/// What one run, a leaf or a complex check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Pass,
    /// Works, and a person should look; counts as true.
    Warn,
    /// The target is silent, refuses or answers wrongly.
    Fail,
    /// Nobody could look; restarts nothing.
    Unknown,
}

/// Why a sample is not a Pass: a closed list (plugins.md section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The target did not answer in the time that the check allows: Fail.
    Timeout,
    /// The target refused: Fail.
    Refused,
    /// The target answered, and wrongly: Fail or Warn.
    Wrong,
    /// A passive kind heard nothing for longer than it may: Fail.
    Stale,
    /// The check itself did not come back after its deadline: Unknown.
    Overran,
    /// The check panicked or its worker died: Unknown.
    Crashed,
    /// The plugin that offers the kind is not loaded: Unknown.
    PluginUnavailable,
    /// This host stalled, so the run says nothing about the target: Unknown.
    HostStall,
    /// The check may not look: Unknown.
    NoPermission,
    /// The check cannot look with these options: Unknown.
    Misconfigured,
}

/// One number that a run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured, `[a-z][a-z0-9_]*`.
    pub name: Arc<str>,
    /// Its value, always finite.
    pub value: f64,
    /// Its unit in the notation of monitoring plugins (`s`, `B`, `%`), or empty.
    pub unit: Arc<str>,
    /// The limit that the check judged against, where there is one.
    pub limit: Option<f64>,
}

/// So many processes one sample may blame; who blames more blames the member as a whole.
pub const BLAMED_MAX: usize = 8;

impl Measurement {
    /// The process that it names as the one at fault, when it is a measurement of that kind: `blamed`
    /// in `pid`, its value the process and its limit that process's start time
    /// (`docs/decisions/0014-a-check-blames-a-process-by-a-measurement.md`).
    pub fn blames(&self) -> Option<Process> {
        if &*self.name != "blamed" || &*self.unit != "pid" {
            return None;
        }
        let pid = u32::try_from(whole(self.value)?).ok()?;
        let start = whole(self.limit?)?;
        (pid > 1).then_some(Process { pid, start })
    }
}

/// A whole number that a `f64` holds exactly.
fn whole(value: f64) -> Option<u64> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    let fits = value.fract() == 0.0 && (0.0..MOST).contains(&value);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, not negative and below 2^53"
    )]
    fits.then_some(value as u64)
}

/// The result of one run of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What the run says.
    pub status: Status,
    /// Why it is not a Pass.
    pub cause: Option<Cause>,
    /// For a person, one line: `connection refused, 127.0.0.1:8082`.
    pub message: Arc<str>,
    /// What was measured.
    pub measurements: Vec<Measurement>,
    /// When the run ended.
    pub at: Instant,
    /// How long it took.
    pub took: Span,
    /// The life of the process that it is about; `None` for scope `host` and `dependency`.
    pub generation: Option<Generation>,
}

impl Sample {
    /// The processes of the member that it blames, each once, by their pids; `None` when it blames none
    /// of them, or too many.
    pub fn blamed(&self) -> Option<Arc<[Process]>> {
        let mut all: Vec<Process> = self
            .measurements
            .iter()
            .filter_map(Measurement::blames)
            .collect();
        all.sort_unstable();
        all.dedup();
        (!all.is_empty() && all.len() <= BLAMED_MAX).then(|| all.into())
    }
}

impl Status {
    /// `pass`, `warn`, `fail`, `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
    /// Whether composition takes it as true.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Pass | Self::Warn)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Cause {
    /// The name that stands in JSON, the journal and the worker protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Overran => "overran",
            Self::Crashed => "crashed",
            Self::PluginUnavailable => "plugin_unavailable",
            Self::HostStall => "host_stall",
            Self::NoPermission => "no_permission",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{BLAMED_MAX, Cause, Measurement, Sample, Status};
    use crate::{Instant, Process, Span};

    fn measured(all: &[(&str, f64, &str, Option<f64>)]) -> Sample {
        let one = |&(name, value, unit, limit): &(&str, f64, &str, Option<f64>)| Measurement {
            name: name.into(),
            value,
            unit: unit.into(),
            limit,
        };
        Sample {
            status: Status::Fail,
            cause: Some(Cause::Wrong),
            message: "".into(),
            measurements: all.iter().map(one).collect(),
            at: Instant(1),
            took: Span(1),
            generation: None,
        }
    }

    #[test]
    fn only_what_names_a_process_in_full_blames_it() {
        let start = Some(77.0);
        for (name, value, unit, limit) in [
            ("blamed", 4711.0, "pid", None),
            ("blamed", 4711.0, "", start),
            ("blame", 4711.0, "pid", start),
            ("blamed", 4711.5, "pid", start),
            ("blamed", -1.0, "pid", start),
            ("blamed", 0.0, "pid", start),
            ("blamed", 1.0, "pid", start),
            ("blamed", 1e300, "pid", start),
            ("blamed", f64::NAN, "pid", start),
            ("blamed", 4711.0, "pid", Some(-3.0)),
            ("blamed", 4_294_967_296.0, "pid", start),
        ] {
            let sample = measured(&[(name, value, unit, limit)]);
            assert_eq!(sample.blamed(), None, "{name} {value} {unit} {limit:?}");
        }
    }

    #[test]
    fn each_is_blamed_once_and_too_many_are_none() {
        let one = |pid: u32| ("blamed", f64::from(pid), "pid", Some(77.0));
        let sample = measured(&[one(9), one(8), one(9), ("rss", 5.0, "B", None)]);
        let both = [8, 9].map(|pid| Process { pid, start: 77 });
        assert_eq!(sample.blamed().as_deref(), Some(&both[..]));
        let many: Vec<_> = (2..).map(one).take(BLAMED_MAX + 1).collect();
        assert_eq!(measured(&many).blamed(), None);
        assert!(measured(&many[1..]).blamed().is_some());
    }
}
