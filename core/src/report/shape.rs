//! What people are shown, as values with names: the stable JSON of `--json` and of the API.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Around;
use crate::event::Exit;
use crate::plan::Mode;
use crate::{CheckKind, CheckName, Generation, Span, Status};

/// A text that is the same for most: it is there already, and copied only where it is not.
pub type Word = Cow<'static, str>;

/// `checkd status --json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StatusReport {
    /// Every group, in the plan's order.
    pub groups: Vec<GroupReport>,
    /// Every sink of news that is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<SinkReport>,
    /// Processes of an earlier configuration, which nobody looks after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unplanned: Vec<UnplannedReport>,
    /// The parent of all members, when there is something to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<KeeperReport>,
    /// Plugins that are quarantined: their checks are unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginReport>,
}

/// A plugin that is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginReport {
    /// Its name.
    pub name: String,
    /// Since when, and why.
    pub quarantined: String,
}

/// A process that runs and that the configuration does not name any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplannedReport {
    /// `web/web-3`, as it was called.
    pub path: String,
    /// Its process.
    pub pid: u32,
    /// Whether it has been told to stop.
    pub stopping: bool,
}

/// What is wrong with the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperReport {
    /// Its process.
    pub pid: u32,
    /// Each a sentence.
    pub notes: Vec<String>,
}

/// One sink of news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// `webhook`, `command`, `smtp`, `alertmanager`.
    pub kind: String,
    /// So much news waits for it.
    pub waiting: u64,
    /// So much was dropped since the last message that it took.
    pub dropped: u64,
    /// Since when it fails, in milliseconds since 1970.
    pub failing_since_ms: Option<i64>,
    /// Why, when it fails.
    pub failing: Option<String>,
}

/// One group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// Auto or observe.
    pub mode: Mode,
    /// Whether enough members are ready.
    pub ready: bool,
    /// How many members are ready.
    pub ready_members: u32,
    /// How many must be.
    pub ready_needed: u32,
    /// How many members are out by our hand.
    pub out: u32,
    /// How many may be.
    pub max_out: u32,
    /// What bears on all its members: a hold, something that they need, a stall of this machine.
    #[serde(default, skip_serializing_if = "Around::is_empty")]
    pub around: Around,
    /// Its members.
    pub members: Vec<MemberReport>,
}

/// One member: what it is, why, and what it waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberReport {
    /// `web/web-3`.
    pub path: String,
    /// `stopped`, `starting`, `up`, `dead`.
    pub life: Word,
    /// Since when, as time before `now`.
    pub life_for: Span,
    /// The process, while there is one.
    pub generation: Option<Generation>,
    /// How the last process ended.
    pub last_exit: Option<Exit>,
    /// `unproven`, `healthy`, `failed`.
    pub health: Word,
    /// Since when, as time before `now`.
    pub health_for: Span,
    /// Derived labels: `waiting`, `suspect`, `blind`, `degraded`, `outdated`, `given up`,
    /// `flapping`.
    pub labels: Vec<Word>,
    /// What `live` says, on the debounced leaves.
    pub live: Status,
    /// What `ready` says.
    pub ready: Status,
    /// `live` as written.
    pub live_text: String,
    /// The checks that support `live`, by name.
    pub blame: Vec<CheckName>,
    /// Every leaf.
    pub checks: Vec<LeafReport>,
    /// `acting`, `confirming`, with the step; nothing when idle.
    pub attempt: Option<AttemptReport>,
    /// What would help now: `start`, `restart`.
    pub proposed: Option<Word>,
    /// Every gate of the proposal, as read now.
    pub gates: Vec<GateReport>,
    /// `auto`, `observe`, `paused by … for …: …`.
    pub control: Word,
    /// Why it was given up.
    pub given_up: Option<String>,
    /// Automatic restarts of this incident that did not help.
    pub futile: u32,
    /// Starts of this member by checkd in the last 24 h.
    pub starts_24h: u32,
    /// The open incident.
    pub incident: Option<u64>,
    /// One sentence: what checkd does or waits for now.
    pub summary: String,
    /// What is remarkable about it and holds nothing up: it flaps, it is started all day. Each a
    /// sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What bears on it from around it. In a status it is said of the group, and not here.
    #[serde(default, skip_serializing_if = "Around::is_empty")]
    pub around: Around,
    /// What a person can type, with what it would do.
    pub can_do: Vec<Advice>,
}

/// One leaf.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeafReport {
    /// The check's name.
    pub check: CheckName,
    /// Its kind.
    pub kind: CheckKind,
    /// What `live` reads.
    pub debounced: Status,
    /// What the newest sample says.
    pub latest: Option<Status>,
    /// Its message.
    pub message: Arc<str>,
    /// Its cause.
    pub cause: Option<Word>,
    /// Age of the newest sample.
    pub age: Option<Span>,
    /// Current streak: how many, of what, how long.
    pub streak: u32,
    /// Of what the streak is.
    pub streak_of: Option<Status>,
    /// From the first to the last of the streak.
    pub streak_span: Span,
    /// The `fall` in force.
    pub fall: u32,
    /// The `rise` in force.
    pub rise: u32,
    /// The interval in force now.
    pub interval: Span,
}

/// An attempt in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptReport {
    /// `start`, `restart`, `stop`.
    pub step: Word,
    /// `storing`, `acting`, `confirming`.
    pub phase: Word,
    /// Its intent.
    pub intent: u64,
    /// Time left until it is judged.
    pub confirm_within: Span,
}

/// One gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateReport {
    /// Its name.
    pub gate: Word,
    /// Whether it lets the step pass.
    pub open: bool,
    /// The numbers, as a sentence: `1 member out (web-1), 1 allowed`.
    pub numbers: String,
    /// Time until it opens by itself, where known.
    pub opens_in: Option<Span>,
    /// What would open it.
    pub opens_when: Word,
}

/// One thing that a person can type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// The command.
    pub command: String,
    /// What it does.
    pub does: Word,
}

impl MemberReport {
    /// Whether its process was started with other settings than the plan has now.
    pub fn outdated(&self) -> bool {
        self.labels.iter().any(|label| label == "outdated")
    }
}
