//! The restart policy engine: what would help, and whether it may be done now.
//!
//! [`step()`] is the whole of it: an event at a time, never a clock. What it does with an event:
//! a sample enters its leaf ([`leaf`]); leaves make verdicts (`judge`); a verdict moves the member
//! along its axes (`state`); what would help is proposed (`propose`); every gate is read (`gate`);
//! and the step is taken or the refusal is recorded (`step`). What outlives the daemon is in [`keep`].
//!
//! Modules in reading order:

mod flap;

pub mod leaf;

pub(crate) mod judge;

mod window;

mod backoff;

pub(crate) mod hold;

pub(crate) mod host;

mod slots;

pub(crate) mod prints;

pub(crate) mod together;

pub(crate) mod state;

pub(crate) mod propose;

pub(crate) mod gate;

pub(crate) mod words;

pub mod keep;

mod likeness;

mod step;

#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;
use crate::{CheckName, GroupName, Instant, MemberId, MemberName, Span, Status};

use self::leaf::is_default;
pub use self::state::State;
pub use self::step::step;
pub(crate) use self::step::{Follow, follow};
pub(crate) use self::window::LIMIT_MAX;

/// What would help a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It has no process: start one. Costs no capacity.
    Start,
    /// It lives and its `live` is Fail, for which its checks blame single processes of it: these get a
    /// signal, and it is left to the member to replace them.
    Signal,
    /// It lives and its `live` is Fail: stop and start it. May cost capacity and may be wrong.
    Restart,
    /// A person wants it stopped.
    Stop,
}

impl Step {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

/// Why a step is proposed; decides which gates it must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "motive")]
pub enum Motive {
    /// It was never started, and it should run.
    Begin,
    /// It died.
    Dead,
    /// It lives, and `live` is Fail.
    Sick,
    /// Its whole group is restarted.
    Together,
    /// A person asked for it.
    ByHand {
        /// Past the budget.
        now: bool,
    },
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

impl Axis {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Health => "health",
            Self::Attempt => "attempt",
            Self::Control => "control",
        }
    }
}

/// The gates, in the order in which they are read and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateName {
    /// The evidence is new and about this life.
    Fresh,
    /// The last intent could be stored.
    Journal,
    /// Nobody paused it, and it is not only observed.
    Control,
    /// This machine does not stand still.
    Sane,
    /// The daemon has been up long enough to kill.
    Settle,
    /// The groups that this one depends on are ready.
    Dependency,
    /// Not too many failed together.
    Hold,
    /// Not too many starts already.
    Intensity,
    /// The wait after the last attempt is over.
    Backoff,
    /// Few enough members are out.
    Budget,
    /// Few enough acts are under way on this machine.
    HostRate,
}

/// The numbers that a gate compared; displayed as a sentence.
///
/// Members are named and not numbered: the journal is read under another plan than it was written under.
/// What is not there is not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Comparison {
    /// Age of the newest supporting sample.
    Age {
        /// How old it is; `None`: there is none of this life.
        #[serde(skip_serializing_if = "Option::is_none")]
        found: Option<Span>,
        /// How old it may be.
        allowed: Span,
    },
    /// Whether the journal takes intents.
    Stored {
        /// Why the last one was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// Who controls the member.
    Control {
        /// `auto`, `observe`, `paused by … until …: …`.
        state: Cow<'static, str>,
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
        /// So many are allowed
        allowed: u32,
        /// in this window.
        window: Span,
    },
    /// What the group needs and is not there.
    Dependency {
        /// The first such thing; `None` when open.
        #[serde(skip_serializing_if = "Option::is_none")]
        missing: Option<Missing>,
    },
    /// Whether this machine stands still.
    Stall {
        /// Why it counts as stalled; `None` when it does not.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// How long ago the last stall was over.
        #[serde(skip_serializing_if = "Option::is_none")]
        calm: Option<Span>,
    },
    /// Acts that are under way on this machine.
    Rate {
        /// So many of this kind now.
        acting: u32,
        /// So many at once are allowed.
        allowed: u32,
        /// Until the next kill may be, when the last one was just now.
        #[serde(skip_serializing_if = "Option::is_none")]
        next_in: Option<Span>,
    },
    /// Members that are in trouble together.
    Hold {
        /// Why the group is held, or waits for the other member; `None` when it is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<Arc<str>>,
        /// For how long it has been held; `None` when it is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        held_for: Option<Span>,
        /// So many are suspect or failed
        troubled: u32,
        /// of so many.
        members: u32,
        /// Until one is restarted to see whether that helps; `None`: any moment, or not held.
        #[serde(skip_serializing_if = "Option::is_none")]
        canary_in: Option<Span>,
        /// What the group needs is not there: before it is, nobody is restarted to see that.
        #[serde(default, skip_serializing_if = "is_default")]
        unsupplied: bool,
        /// Whose restart is being judged.
        #[serde(skip_serializing_if = "Option::is_none")]
        canary: Option<MemberName>,
    },
    /// Members that are down by our hand.
    Budget {
        /// So many are out now.
        out: u32,
        /// So many may be.
        max_out: u32,
        /// Which, when closed; not all when there are many.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        who: Vec<MemberName>,
        /// So many others are ready.
        up: u32,
        /// So many must stay so; zero when this member is not ready itself.
        min_up: u32,
    },
}

/// Something that a group needs and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "missing")]
pub enum Missing {
    /// A group has too few members ready.
    Group {
        /// Its name.
        group: GroupName,
        /// So many of its members are ready.
        ready: u32,
        /// So many must be.
        needed: u32,
    },
    /// A check of scope `dependency` fails.
    Check {
        /// Its name.
        check: CheckName,
        /// `database failed 5 times in 20s (connection refused)`.
        says: String,
    },
}

impl Missing {
    /// What is missing, without the numbers, which change.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Group { group, .. } => format!("group {group} is not ready"),
            Self::Check { check, .. } => format!("the dependency {check} fails"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group {
                group,
                ready,
                needed,
            } => write!(
                f,
                "group {group} has {ready} members ready, {needed} needed"
            ),
            Self::Check { says, .. } => write!(f, "the dependency {says}"),
        }
    }
}

/// A set of gates, as bits in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct GateSet(u16);

impl GateSet {
    /// The closed ones among `readings`.
    fn closed(readings: &[Reading]) -> Self {
        let closed = readings.iter().filter(|reading| !reading.open);
        Self(closed.fold(0, |set, reading| set | 1 << reading.gate as u16))
    }

    /// This one alone.
    const fn only(gate: GateName) -> Self {
        Self(1 << gate as u16)
    }

    /// All but this one.
    const fn without(self, gate: GateName) -> Self {
        Self(self.0 & !(1 << gate as u16))
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn contains(self, gate: GateName) -> bool {
        self.0 & (1 << gate as u16) != 0
    }
}

/// What one gate read. Written down is only that a gate is closed: most are open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Which gate.
    pub gate: GateName,
    /// Whether it lets the step pass.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub open: bool,
    /// The numbers.
    pub compared: Comparison,
    /// When it opens by itself, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopens: Option<Instant>,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so serde asks")]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// Why something is done or not done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What `live` says on the debounced leaves.
    pub verdict: Status,
    /// One line for a person: the leaves that support it.
    pub because: String,
    /// Why the step is proposed.
    pub motive: Motive,
    /// Every gate, read.
    pub readings: Vec<Reading>,
}

/// Something that a person wants to hear about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// About whom.
    pub about: About,
    /// When.
    pub at: Instant,
    /// What kind of news.
    pub kind: NoticeKind,
    /// One line.
    pub text: String,
    /// The incident that it belongs to.
    pub incident: Option<IncidentId>,
}

/// Whom news is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// One member.
    Member(MemberId),
    /// A whole group, by its index in the plan.
    Group(u32),
    /// This machine.
    Host,
}

/// The kinds of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A member failed or died.
    Incident,
    /// An act is carried out that ends with a process.
    Acting,
    /// Single processes of a member get a signal.
    Signalling,
    /// One that ends without.
    Stopping,
    /// A member became healthy.
    Recovered,
    /// An attempt did not help.
    Futile,
    /// Nor did a signal.
    SignalledInVain,
    /// The ladder is spent: a person is needed.
    GivenUp,
    /// Nobody can tell whether a member lives.
    Blind,
    /// A group is held, or still is after a restart that did not help.
    Hold,
    /// It is not held any more.
    Thaw,
    /// This machine stands still.
    Stall,
    /// Nothing can be done, for nothing can be written down first.
    Unwritten,
    /// A sick member has waited long for its turn in the budget.
    Waiting,
    /// A member goes back and forth.
    Flapping,
    /// A member was started again and again all day, and each time it helped.
    Chronic,
    /// A plugin's worker died again and again: its checks say nothing.
    Quarantined,
    /// A run of that plugin came back.
    Released,
}

impl GateName {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Journal => "journal",
            Self::Control => "control",
            Self::Sane => "sane",
            Self::Settle => "settle",
            Self::Dependency => "dependency",
            Self::Hold => "hold",
            Self::Intensity => "intensity",
            Self::Backoff => "backoff",
            Self::Budget => "budget",
            Self::HostRate => "host_rate",
        }
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
