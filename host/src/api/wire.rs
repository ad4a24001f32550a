//! What goes over the control socket, both ways: the stable JSON of `--json`.

use checkd_core::report::{MemberReport, StatusReport};
use serde::{Deserialize, Serialize};

use crate::journal::{Moment, Row};

/// `GET /api/v1/status`. With `seen`, which is the `version` of an answer before, and `wait_ms`, the
/// answer comes when something is different, or after that time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watched {
    /// Of this state: another one has another number.
    pub version: u64,
    /// What stands.
    #[serde(flatten)]
    pub report: StatusReport,
}

/// `GET /api/v1/explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explained {
    /// When this was so, RFC 3339.
    pub time: String,
    /// Each member that was asked about.
    pub members: Vec<ExplainedMember>,
}

/// One member: what is, and what led to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainedMember {
    /// What is.
    #[serde(flatten)]
    pub report: MemberReport,
    /// From the journal, oldest first: the open incident, or the last one.
    pub events: Vec<Row>,
    /// The file that its standard output and error go to, once there is one.
    pub output: Option<String>,
    /// The last lines of it.
    pub last_output: Vec<String>,
}

/// `GET /api/v1/explain` with `at_ms`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainedAt {
    /// The moment, RFC 3339.
    pub time: String,
    /// Each member that was asked about.
    pub members: Vec<Moment>,
}

/// `GET /api/v1/history`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// Oldest first.
    pub rows: Vec<Row>,
    /// True when there was more than was asked for.
    pub truncated: bool,
}

/// Body of `POST /api/v1/{verb}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Which members.
    pub select: String,
    /// `restart`: all at once, past the budget.
    pub now: bool,
    /// `pause`, `resume`: over another person's pause.
    pub force: bool,
    /// `pause`: for how long.
    pub for_ms: Option<u64>,
    /// `pause`: why.
    pub reason: Option<String>,
}

/// Body of `POST /api/v1/reload`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReloadOrder {
    /// Restart members that run with other settings than the new ones.
    pub restart: bool,
    /// Take a configuration that leaves most members out, and so stop them.
    pub force: bool,
}

/// Answer of `POST /api/v1/reload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// False when nothing was changed.
    pub ok: bool,
    /// What is different now, or every mistake that was found.
    pub text: String,
    /// The configuration was not even judged: the same may be taken later.
    #[serde(default)]
    pub later: bool,
}

/// Answer of `POST /api/v1/{verb}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answers {
    /// One for each member.
    pub answers: Vec<Answer>,
}

/// What will happen with one member, or why it will not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// `web/web-3`.
    pub member: String,
    /// Whether it was taken.
    pub ok: bool,
    /// For the person.
    pub text: String,
}

/// Any answer that is not 2xx.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// `C0506`.
    pub code: String,
    /// What is wrong.
    pub error: String,
    /// Facts.
    pub notes: Vec<String>,
    /// One thing to do.
    pub help: Option<String>,
}
