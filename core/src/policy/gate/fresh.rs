//! `fresh`: a kill needs evidence that is new, and about the life that would be killed.
//!
//! Closed when the newest supporting sample is older than twice the interval in force plus the
//! timeout, and when the newest one speaks for the member: it may be on its way to recovery.
//! That it is of this generation needs no look here: leaves are emptied when a generation begins, and
//! samples of another one never enter them.
//!
//! What a daemon before this one saw is no evidence: it may have been taken back since, and the sample
//! that did so lost with that daemon.

use super::View;
use crate::Span;
use crate::plan::CheckPlan;
use crate::policy::propose::Proposal;
use crate::policy::{Comparison, GateName, Reading, judge};

pub(super) fn read(view: &View<'_>, proposal: &Proposal) -> Reading {
    let newest = newest(view, &proposal.blame);
    Reading {
        gate: GateName::Fresh,
        open: newest.is_some_and(|(age, allowed)| age <= allowed),
        compared: Comparison::Age {
            found: newest.map(|(age, _)| age),
            allowed: newest.map_or(Span::ZERO, |(_, allowed)| allowed),
        },
        reopens: None,
    }
}

/// How old the newest sample is that supports a fail of these checks, and how old it may be.
pub(crate) fn newest(view: &View<'_>, blame: &[u32]) -> Option<(Span, Span)> {
    let supporting = blame.iter().filter_map(|&check| {
        let plan = view.group_plan.checks.get(check as usize)?;
        let leaf = view.group.leaf(view.member, check)?;
        Some((view.now.since(leaf.evidence()?), allowed(view, plan, check)))
    });
    // The freshest relative to what its own check allows.
    supporting.min_by_key(|(age, allowed)| age.0.saturating_sub(allowed.0))
}

fn allowed(view: &View<'_>, check: &CheckPlan, index: u32) -> Span {
    let interval = view
        .group
        .leaf(view.member, index)
        .map_or(check.interval, |leaf| {
            judge::interval(view.group_plan, check, view.member, leaf)
        });
    let own = view.now.since(view.state.began);
    (interval * 2 + check.timeout).min(own)
}
