//! What people are shown: the state as values with names, for `status` and `explain`.
//!
//! Serialised, these are the stable JSON of `--json` and of the API; the host renders them as text.

use serde::{Deserialize, Serialize};

use crate::engine::Exit;
use crate::plan::{Mode, Plan};
use crate::policy::State;
use crate::{Generation, Instant, MemberId, Span, Status};

/// `checkd status --json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StatusReport {
    /// Every group, in the plan's order.
    pub groups: Vec<GroupReport>,
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
    /// Its members.
    pub members: Vec<MemberReport>,
}

/// One member: what it is, why, and what it waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberReport {
    /// `web/web-3`.
    pub path: String,
    /// `stopped`, `starting`, `up`, `dead`.
    pub life: String,
    /// Since when, as time before `now`.
    pub life_for: Span,
    /// The process, while there is one.
    pub generation: Option<Generation>,
    /// How the last process ended.
    pub last_exit: Option<Exit>,
    /// `unproven`, `healthy`, `failed`.
    pub health: String,
    /// Since when, as time before `now`.
    pub health_for: Span,
    /// Derived labels: `waiting`, `suspect`, `blind`, `degraded`.
    pub labels: Vec<String>,
    /// What `live` says, on the debounced leaves.
    pub live: Status,
    /// What `ready` says.
    pub ready: Status,
    /// `live` as written.
    pub live_text: String,
    /// The checks that support `live`, by name.
    pub blame: Vec<String>,
    /// Every leaf.
    pub checks: Vec<LeafReport>,
    /// `acting`, `confirming`, with the step; nothing when idle.
    pub attempt: Option<AttemptReport>,
    /// What would help now: `start`, `restart`.
    pub proposed: Option<String>,
    /// Every gate of the proposal, as read now.
    pub gates: Vec<GateReport>,
    /// `auto`, `observe`, `paused by … for …: …`.
    pub control: String,
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
    /// What a person can type, with what it would do.
    pub can_do: Vec<Advice>,
}

/// One leaf.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeafReport {
    /// The check's name.
    pub check: String,
    /// Its kind.
    pub kind: String,
    /// What `live` reads.
    pub debounced: Status,
    /// What the newest sample says.
    pub latest: Option<Status>,
    /// Its message.
    pub message: String,
    /// Its cause.
    pub cause: Option<String>,
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
    pub step: String,
    /// `storing`, `acting`, `confirming`.
    pub phase: String,
    /// Its intent.
    pub intent: u64,
    /// Time left until it is judged.
    pub confirm_within: Span,
}

/// One gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateReport {
    /// Its name.
    pub gate: String,
    /// Whether it lets the step pass.
    pub open: bool,
    /// The numbers, as a sentence: `1 member out (web-1), 1 allowed`.
    pub numbers: String,
    /// Time until it opens by itself, where known.
    pub opens_in: Option<Span>,
    /// What would open it.
    pub opens_when: String,
}

/// One thing that a person can type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// The command.
    pub command: String,
    /// What it does.
    pub does: String,
}

/// What stands now.
pub fn status(plan: &Plan, state: &State, now: Instant) -> StatusReport {
    let _ = (plan, state, now);
    StatusReport::default()
}

/// Why one member is as it is.
pub fn member(plan: &Plan, state: &State, id: MemberId, now: Instant) -> Option<MemberReport> {
    let _ = (plan, state, id, now);
    None
}
