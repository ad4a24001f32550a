//! One run's result: a status, its cause, a message for a person, and measurements.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Generation, Instant, Span};

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
