//! What stands around a member and bears on it: its group is held or restarted as a whole, something
//! that it needs is not there, this machine stalls.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::policy::gate::dependency;
use crate::policy::state::{Group, Phase};
use crate::policy::{State, hold};
use crate::{Instant, Span};

/// All of it; an empty one is the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// Its group is held: too many failed together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldReport>,
    /// Its group is restarted as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<TogetherReport>,
    /// What its group needs and is not there: `group db has 0 members ready, 1 needed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Why this machine counts as stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<String>,
}

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReport {
    /// For how long.
    pub held_for: Span,
    /// Why it began.
    pub why: String,
    /// So many members are suspect or failed now
    pub troubled: u32,
    /// of so many.
    pub members: u32,
    /// It ends when fewer than this many have been so for `calm`.
    pub ends_below: u32,
    /// See `ends_below`.
    pub calm: Span,
    /// The member whose restart is being judged: `web/web-3`.
    pub canary: Option<String>,
    /// By when it is judged at the latest.
    #[serde(default)]
    pub judged_in: Option<Span>,
    /// When it does not help, the next one is restarted after this long.
    #[serde(default)]
    pub again_in: Span,
    /// Until one member is restarted; nothing when that may be now, or waits for what is missing.
    pub canary_in: Option<Span>,
    /// Restarts in this hold that did not help.
    pub futile: u32,
}

/// A restart of a whole group under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TogetherReport {
    /// `one_for_all`, `rest_for_one`, `rolling`.
    pub strategy: String,
    /// Members whose turn is still to come.
    pub left: Vec<String>,
    /// It is over in this time, whoever is left.
    pub within: Span,
}

impl Around {
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What stands around the members of a group.
pub(super) fn of(plan: &Plan, state: &State, index: u32, now: Instant) -> Around {
    let Some((group_plan, group)) = plan.group(index).zip(state.group(index)) else {
        return Around::default();
    };
    let missing = dependency::missing(plan, state, group_plan, group, now);
    let path = |member| {
        plan.path(crate::MemberId {
            group: index,
            member,
        })
    };
    Around {
        hold: hold_of(plan, state, group, missing.is_some(), now),
        together: group.together.as_ref().map(|together| TogetherReport {
            strategy: together.strategy.as_str().to_owned(),
            left: together.left.iter().map(|member| path(*member)).collect(),
            within: together.until.since(now),
        }),
        missing: missing.map(|missing| missing.to_string()),
        stall: state.host.stalled(now).map(str::to_owned),
    }
}

fn hold_of(
    plan: &Plan,
    state: &State,
    group: &Group,
    unsupplied: bool,
    now: Instant,
) -> Option<HoldReport> {
    let hold = group.hold.as_ref()?;
    let members = group.size();
    let canary = hold.canary.and_then(|intent| state.intents.get(&intent));
    let attempt = canary.and_then(|id| state.member(*id)?.attempt.as_ref());
    let judged = attempt.filter(|attempt| attempt.phase == Phase::Confirming);
    let waits = !unsupplied && hold.canary.is_none() && hold.canary_at > now;
    Some(HoldReport {
        held_for: now.since(hold.since),
        why: hold.why.as_ref().to_owned(),
        troubled: group.counts.troubled,
        members,
        ends_below: (0..=members)
            .find(|n| !hold::calm(*n, members))
            .unwrap_or(members),
        calm: hold::CALM,
        canary: canary.map(|id| plan.path(*id)),
        judged_in: judged.map(|attempt| attempt.confirm_by.since(now)),
        again_in: hold::AGAIN.wait(hold.futile + 1),
        canary_in: waits.then(|| hold.canary_at.since(now)),
        futile: hold.futile,
    })
}
