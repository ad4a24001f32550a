//! `hold`: what many members have together is seldom cured by restarting them.
//!
//! While its group is held a sick member is restarted only as the canary: alone, and when its time has
//! come. A group too small to be held is helped one member at a time, the next one only when the last
//! restart has helped.

use std::sync::Arc;

use super::View;
use crate::config::defaults;
use crate::policy::hold::{self, Hold};
use crate::policy::propose::Proposal;
use crate::policy::state::{Control, Health, Member};
use crate::policy::{Comparison, GateName, Reading};

pub(super) fn read(view: &View<'_>, _: &Proposal) -> Reading {
    match &view.group.hold {
        Some(hold) => held(view, hold),
        None => alone(view),
    }
}

fn held(view: &View<'_>, hold: &Hold) -> Reading {
    let (plan, state) = (view.plan, view.state);
    let unsupplied =
        super::dependency::missing(plan, state, view.group_plan, view.group, view.now).is_some();
    let due = hold.canary_at <= view.now && !unsupplied;
    let canary_at = Some(hold.canary_at).filter(|at| !unsupplied && *at > view.now);
    let alone = hold.canary.is_none() && view.group.counts.attempts == 0;
    let open = due && (alone || is_canary(view, hold));
    Reading {
        gate: GateName::Hold,
        open,
        compared: Comparison::Hold {
            why: Some(Arc::clone(&hold.why)),
            held_for: Some(view.now.since(hold.since)),
            troubled: view.group.counts.troubled,
            members: view.group.size(),
            canary_in: canary_at.map(|at| at.since(view.now)),
            unsupplied,
            canary: hold
                .canary
                .and_then(|intent| view.plan.member(*view.state.intents.get(&intent)?))
                .map(|member| member.name.clone()),
        },
        reopens: canary_at,
    }
}

/// Whether this member is the canary already: its gates are read again when its intent is stored.
fn is_canary(view: &View<'_>, hold: &Hold) -> bool {
    let own = view.member.attempt.as_ref().map(|attempt| attempt.intent);
    own.is_some() && own == hold.canary
}

/// One at a time; and whoever fell ill first is helped first, until it is well or given up.
fn alone(view: &View<'_>) -> Reading {
    let small = view.group.size() < defaults::HOLD_LEAST;
    let mine = view.member.incident;
    let first = |(index, other): (u32, &Member)| {
        index != view.id.member && other.attempt.is_some()
            || matches!(other.health, Health::Failed { .. })
                && other.control == Control::Auto
                && other.ledger.futile > 0
                && other.ledger.given_up.is_none()
                && other.incident < mine
    };
    let blocked = small && (0u32..).zip(&view.group.members).any(first);
    Reading {
        gate: GateName::Hold,
        open: !blocked,
        compared: Comparison::Hold {
            why: blocked.then(|| "a restart of the other member has not helped yet".into()),
            held_for: None,
            troubled: view.group.counts.troubled,
            members: view.group.size(),
            canary_in: None,
            unsupplied: false,
            canary: None,
        },
        reopens: None,
    }
}

/// What a person is told when a hold begins.
pub(crate) fn beginning(why: &str, wait: crate::Span, supplied: bool) -> String {
    if supplied {
        format!(
            "held: {why}; no sick member is restarted but one, in {wait}, to see whether that helps"
        )
    } else {
        format!("held: {why}; no sick member is restarted before what it needs is there again")
    }
}

/// Why a canary is restarted: a reader must not take it for what the hold was to prevent.
pub(crate) fn canary(because: &str) -> String {
    format!("{because}; as the canary of the hold, alone, to see whether that helps")
}

/// What a person is told when the canary did not help.
pub(crate) fn again(canary: &str, futile: u32) -> String {
    let wait = hold::AGAIN.wait(futile);
    format!("still held: the restart of {canary} did not help; the next one in {wait}")
}
