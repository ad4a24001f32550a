//! The restart policy engine: what would help, and whether it may be done now.

use std::fmt;

use serde::Serialize;

use crate::engine::{Effect, Event};
use crate::id::IncidentId;
use crate::plan::Plan;
use crate::{Instant, IntentId, MemberId, Span, Status};

/// What would help a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It has no process: start one. Costs no capacity.
    Start,
    /// It lives and its `live` is Fail: stop and start it. May cost capacity and may be wrong.
    Restart,
    /// A person wants it stopped.
    Stop,
}

/// The three axes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Stopped, starting, up, dead.
    Life,
    /// Unproven, healthy, failed.
    Health,
    /// Acting, confirming, none; given up.
    Attempt,
    /// Auto, observe, paused.
    Control,
}

/// The gates, in the order in which they are read and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateName {
    /// The evidence is new and about this life.
    Fresh,
    /// The last intent could be stored.
    Journal,
    /// Nobody paused it, and it is not only observed.
    Control,
    /// The daemon has been up long enough to kill.
    Settle,
    /// Not too many starts already.
    Intensity,
    /// The wait after the last attempt is over.
    Backoff,
    /// Few enough members are out.
    Budget,
}

/// The numbers that a gate compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Comparison {
    /// Age of the newest supporting sample.
    Age {
        /// How old it is; `None`: there is none of this life.
        found: Option<Span>,
        /// How old it may be.
        allowed: Span,
    },
    /// Whether the journal takes intents.
    Stored {
        /// Why the last one was refused.
        refused: Option<String>,
    },
    /// Who controls the member.
    Control {
        /// `auto`, `observe`, `paused by … until …: …`.
        state: String,
    },
    /// Time until something.
    Until {
        /// How long it has to go; zero when open.
        remaining: Span,
        /// The whole wait.
        of: Span,
    },
    /// A count against a limit.
    Count {
        /// So many now.
        found: u32,
        /// So many are allowed.
        allowed: u32,
        /// In this window, where there is one.
        window: Option<Span>,
        /// Which members are counted, where that helps.
        who: Vec<MemberId>,
    },
}

/// What one gate read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Which gate.
    pub gate: GateName,
    /// Whether it lets the step pass.
    pub open: bool,
    /// The numbers.
    pub compared: Comparison,
    /// When it opens by itself, where that is known.
    pub reopens: Option<Instant>,
}

/// Why something is done or not done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What `live` says on the debounced leaves.
    pub verdict: Status,
    /// One line for a person: the leaves that support it.
    pub because: String,
    /// What would help, if anything.
    pub step: Option<Step>,
    /// Every gate, read.
    pub readings: Vec<Reading>,
}

/// Something that a person wants to hear about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// About which member.
    pub member: MemberId,
    /// When.
    pub at: Instant,
    /// What kind of news.
    pub kind: NoticeKind,
    /// One line.
    pub text: String,
    /// The incident that it belongs to.
    pub incident: Option<IncidentId>,
}

/// The kinds of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A member failed or died.
    Incident,
    /// An act is carried out.
    Acting,
    /// A member became healthy.
    Recovered,
    /// The ladder is spent: a person is needed.
    GivenUp,
    /// Nobody can tell whether a member lives.
    Blind,
}

/// All mutable state of the policy.
#[derive(Debug)]
pub struct State {
    _private: (),
}

impl State {
    /// The state of a daemon that has just begun.
    pub fn new(plan: &Plan, seed: u64, first_intent: IntentId, now: Instant) -> Self {
        let _ = (plan, seed, first_intent, now);
        Self { _private: () }
    }
}

/// Takes one event at `now`.
pub fn step(plan: &Plan, state: &mut State, event: &Event, now: Instant, out: &mut Vec<Effect>) {
    let _ = (plan, state, event, now, out);
}

impl GateName {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Journal => "journal",
            Self::Control => "control",
            Self::Settle => "settle",
            Self::Intensity => "intensity",
            Self::Backoff => "backoff",
            Self::Budget => "budget",
        }
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
