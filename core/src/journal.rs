//! What one journal entry is: the value. How it is stored is the host's.

use serde::Serialize;

use crate::event::{Act, Command};
use crate::id::IncidentId;
use crate::policy::{Axis, Explanation, Step};
use crate::{Instant, IntentId, LeafId, MemberId, Sample};

/// One thing worth keeping.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "entry")]
pub enum Entry {
    /// A run that was not a Pass, changed the engine's state, or came while something was open about
    /// its leaf or a member that it speaks to (`runs`).
    Run {
        /// Of which leaf.
        leaf: LeafId,
        /// What it said.
        sample: Sample,
    },
    /// A run that passed and changed nothing, of a settled leaf; storage may fold many into one row
    /// (`runs`), and a replay needs no more of them than that.
    Steady {
        /// Of which leaf.
        leaf: LeafId,
        /// When it ended.
        at: Instant,
    },
    /// A member moved along one of its axes (`transitions`).
    Transition {
        /// Which member.
        member: MemberId,
        /// When.
        at: Instant,
        /// Which axis.
        axis: Axis,
        /// The word for where it was.
        from: &'static str,
        /// The word for where it is.
        to: &'static str,
        /// For a person: `ping failed 5 times in 20s (connection refused)`.
        why: String,
        /// The incident that it belongs to.
        incident: Option<IncidentId>,
    },
    /// A group is held, or free again; or it is restarted as a whole, or done with that
    /// (`transitions`, without a member).
    Group {
        /// Which group, by its index in the plan.
        group: u32,
        /// When.
        at: Instant,
        /// Along which axis: `hold`, `together`.
        axis: &'static str,
        /// What it was: `free`, `held`; `single`, `together`.
        from: &'static str,
        /// What it is.
        to: &'static str,
        /// For a person.
        why: String,
    },
    /// An act was decided, or refused with its gates (`decisions`).
    Decision {
        /// About which member.
        member: MemberId,
        /// When.
        at: Instant,
        /// What was proposed.
        step: Step,
        /// The verdict, each gate and its numbers.
        explanation: Explanation,
        /// Set when it became an intent.
        intent: Option<IntentId>,
        /// The incident that it belongs to.
        incident: Option<IncidentId>,
    },
    /// What is about to be done; stored durably before it is (`actions`).
    Intent {
        /// Its number.
        intent: IntentId,
        /// When it was decided.
        at: Instant,
        /// What.
        act: Act,
        /// Why, one line for a person.
        why: String,
        /// The incident that it belongs to.
        incident: Option<IncidentId>,
    },
    /// What became of an intent (`actions`).
    Outcome {
        /// Whose.
        intent: IntentId,
        /// When.
        at: Instant,
        /// What became of it.
        outcome: Outcome,
        /// One line for a person.
        detail: String,
    },
    /// A person did something (`operators`).
    Operator {
        /// About which member.
        member: MemberId,
        /// When.
        at: Instant,
        /// Who.
        by: String,
        /// What.
        command: Command,
    },
}

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Startup passed afterwards: the act helped.
    Effective,
    /// Time was up and the expression still Fail, or the new process died: it did not help.
    Futile,
    /// Time was up and nobody could tell.
    Unproven,
    /// It could not be carried out.
    Failed,
    /// It was not needed any more when its intent was stored; nothing was done.
    Withdrawn,
    /// A person wanted something else before it was judged, or the configuration lost the member.
    Superseded,
}

impl Outcome {
    /// The word in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::Futile => "futile",
            Self::Unproven => "unproven",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
        }
    }
}
