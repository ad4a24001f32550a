//! One run's answer: a status, its cause, a line for a person, and what was measured.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What one run says.
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

/// Why a sample is not a Pass: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The target did not answer in the time that the check allows: Fail.
    Timeout,
    /// The target refused: Fail.
    Refused,
    /// The target answered, and wrongly: Fail or Warn.
    Wrong,
    /// A passive kind heard nothing for longer than it may, or what it looks at is too old: Fail.
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
    /// The check cannot look with these options, or does not know yet: Unknown.
    Misconfigured,
}

/// One number that a run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurement {
    /// What was measured, `[a-z][a-z0-9_]*`.
    pub name: Cow<'static, str>,
    /// Its value, finite.
    pub value: f64,
    /// Its unit in the notation of monitoring plugins (`s`, `B`, `%`), or empty.
    #[serde(default)]
    pub unit: Cow<'static, str>,
    /// The limit that the check judged against, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// The answer of one run. As JSON it is what crosses the border of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sample {
    /// What the run says.
    pub status: Status,
    /// Why it is not a Pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// For a person, one line: `connection refused, 127.0.0.1:8082`.
    #[serde(default)]
    pub message: String,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Measurement>,
}

/// The longest message in bytes that leaves a run; the rest is cut.
const MESSAGE_MAX: usize = 1_024;
/// The most measurements that leave a run; the rest is cut.
const MEASUREMENTS_MAX: usize = 64;
/// The longest name or unit of a measurement in bytes.
const WORD_MAX: usize = 64;

impl Sample {
    /// As it should be: `Sample::pass("12 files")`.
    #[must_use]
    pub fn pass(message: impl Into<String>) -> Self {
        Self::new(Status::Pass, None, message.into())
    }
    /// Works, and a person should look.
    #[must_use]
    pub fn warn(cause: Cause, message: impl Into<String>) -> Self {
        Self::new(Status::Warn, Some(cause), message.into())
    }
    /// The target is silent, refuses or answers wrongly.
    #[must_use]
    pub fn fail(cause: Cause, message: impl Into<String>) -> Self {
        Self::new(Status::Fail, Some(cause), message.into())
    }
    /// Nobody could look.
    #[must_use]
    pub fn unknown(cause: Cause, message: impl Into<String>) -> Self {
        Self::new(Status::Unknown, Some(cause), message.into())
    }

    fn new(status: Status, cause: Option<Cause>, message: String) -> Self {
        Self {
            status,
            cause,
            message,
            measurements: Vec::new(),
        }
    }

    /// Adds a number: `.measure("rss", 123.0, "B")`.
    #[must_use]
    pub fn measure(
        self,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.add(name.into(), value, unit.into(), None)
    }

    /// Adds a number and the limit that it was judged against.
    #[must_use]
    pub fn measure_limit(
        self,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: impl Into<Cow<'static, str>>,
        limit: f64,
    ) -> Self {
        self.add(name.into(), value, unit.into(), Some(limit))
    }

    /// Names a process of the member as the one at fault: `.blame(4711, start)`, of at most eight.
    ///
    /// A group with `signal` in its policy sends it that signal before it restarts the member. `start` is
    /// the process's start time, field 22 of `/proc/PID/stat`, read before it was judged: so no other
    /// process is ever meant. It travels as the measurement `blamed` in `pid`.
    #[must_use]
    pub fn blame(self, pid: u32, start: u64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "no machine has run for 2^53 ticks"
        )]
        let start = start as f64;
        self.measure_limit("blamed", f64::from(pid), "pid", start)
    }

    fn add(
        mut self,
        name: Cow<'static, str>,
        value: f64,
        unit: Cow<'static, str>,
        limit: Option<f64>,
    ) -> Self {
        self.measurements.push(Measurement {
            name,
            value,
            unit,
            limit,
        });
        self
    }

    /// Makes the sample fit to leave the run: one bounded line without control characters, a
    /// bounded number of finite measurements. What had to go is named in the message.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        let mut dropped = Vec::new();
        self.measurements.retain(|m| {
            let fits = m.value.is_finite() && m.limit.is_none_or(f64::is_finite) && word(&m.name);
            let fits = fits && m.unit.len() <= WORD_MAX && !m.unit.chars().any(char::is_control);
            if !fits && dropped.len() < 4 {
                dropped.push(cut(m.name.to_string(), WORD_MAX));
            }
            fits
        });
        self.measurements.truncate(MEASUREMENTS_MAX);
        if self.message.chars().any(char::is_control) {
            self.message = self
                .message
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
        }
        self.message = cut(self.message, MESSAGE_MAX);
        if !dropped.is_empty() {
            self.message.push_str(UNFIT);
            let names: String = dropped
                .join(", ")
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            self.message.push_str(&names);
            self.message.push(')');
        }
        self
    }
}

/// Stands in the message of a sample that lost measurements; the contract suite looks for it.
pub(crate) const UNFIT: &str = " (no usable number: ";

fn word(name: &str) -> bool {
    name.len() <= WORD_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
    text
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
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Cause {
    /// The name that stands in JSON.
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
    use super::{Cause, MEASUREMENTS_MAX, MESSAGE_MAX, Sample};

    #[test]
    fn a_sample_is_bounded_when_it_leaves_the_run() {
        let long = "é".repeat(MESSAGE_MAX);
        let mut sample = Sample::fail(Cause::Wrong, format!("a\nb\u{1b}[2J{long}"));
        for _ in 0..MEASUREMENTS_MAX + 5 {
            sample = sample.measure("n", 1.0, "");
        }
        let sealed = sample.sealed();
        assert!(sealed.message.len() <= MESSAGE_MAX);
        assert!(sealed.message.starts_with("a b [2Jé") && sealed.message.ends_with('…'));
        assert_eq!(sealed.measurements.len(), MEASUREMENTS_MAX);
    }

    #[test]
    fn what_is_no_number_is_dropped_and_named() {
        let sample = Sample::pass("fine")
            .measure("good", 1.0, "B")
            .measure("lost", f64::NAN, "")
            .measure_limit("bounded", 1.0, "", f64::INFINITY)
            .measure("Bad Name", 1.0, "");
        let sealed = sample.sealed();
        assert_eq!(sealed.measurements.len(), 1);
        assert_eq!(
            sealed.message,
            "fine (no usable number: lost, bounded, Bad Name)"
        );
    }

    #[test]
    fn whom_it_blames_travels_as_a_measurement() {
        let sample = Sample::fail(Cause::Wrong, "stuck").blame(4711, 123_456_789_012);
        let json = serde_json::to_string(&sample.sealed()).unwrap();
        let measured = r#"[{"name":"blamed","value":4711.0,"unit":"pid","limit":123456789012.0}]"#;
        assert!(json.contains(measured), "{json}");
    }

    #[test]
    fn as_json_it_says_what_there_is() {
        let sample = Sample::fail(Cause::NoPermission, "m").measure_limit("n", 1.5, "%", 2.0);
        let json = r#"{"status":"fail","cause":"no_permission","message":"m","measurements":[{"name":"n","value":1.5,"unit":"%","limit":2.0}]}"#;
        assert_eq!(serde_json::to_string(&sample).unwrap(), json);
        assert_eq!(serde_json::from_str::<Sample>(json).unwrap(), sample);
        let short = r#"{"status":"pass"}"#;
        assert_eq!(
            serde_json::from_str::<Sample>(short).unwrap(),
            Sample::pass("")
        );
    }
}
