//! What people are shown: what stands now, and why, for `status` and `explain`; the host renders it as
//! text.

mod advice;
mod around;
mod gates;
mod shape;
mod summary;
mod written;

use std::sync::Arc;

pub use around::{Around, HoldReport, TogetherReport};
pub use shape::{
    Advice, AttemptReport, GateReport, GroupReport, KeeperReport, LeafReport, MemberReport,
    PluginReport, SinkReport, StatusReport, UnplannedReport, Word,
};
pub use written::{Decision, Texts, told};

use crate::plan::{Mode, Plan, Scope};
use crate::policy::gate::{self, View};
use crate::policy::propose;
use crate::policy::state::{Control, Health, Life, Phase};
use crate::policy::{Reading, State, judge, words};
use crate::{Instant, MemberId, Span, Status};

/// What stands now.
pub fn status(plan: &Plan, state: &State, now: Instant) -> StatusReport {
    let groups = (0u32..)
        .zip(&plan.groups)
        .filter_map(|(index, group_plan)| {
            let group = state.group(index)?;
            Some(GroupReport {
                name: group_plan.name.as_str().to_owned(),
                mode: group_plan.mode,
                ready: group.counts.ready >= group_plan.ready_members,
                ready_members: group.counts.ready,
                ready_needed: group_plan.ready_members,
                out: group.counts.out,
                max_out: group_plan.policy.max_out,
                around: around::of(plan, state, index, now),
                members: (0u32..)
                    .take(group.members.len())
                    .filter_map(|id| {
                        member(
                            plan,
                            state,
                            MemberId {
                                group: index,
                                member: id,
                            },
                            now,
                        )
                    })
                    .collect(),
            })
        });
    StatusReport {
        groups: groups.collect(),
        ..StatusReport::default()
    }
}

/// Why one member is as it is, with what stands around it.
pub fn explain(plan: &Plan, state: &State, id: MemberId, now: Instant) -> Option<MemberReport> {
    let around = around::of(plan, state, id.group, now);
    member(plan, state, id, now).map(|report| MemberReport { around, ..report })
}

/// Why one member is as it is.
pub fn member(plan: &Plan, state: &State, id: MemberId, now: Instant) -> Option<MemberReport> {
    let group = state.group(id.group)?;
    let view = View {
        now,
        plan,
        group_plan: plan.group(id.group)?,
        state,
        group,
        id,
        member: group.members.get(id.member as usize)?,
    };
    let (group_plan, it) = (view.group_plan, view.member);
    let alive = it.life.up_since().is_some();
    let live = judge::live(group_plan, group, it, now);
    let reading = |check| judge::live_reading(group, it, check, now);
    let blame = if alive {
        group_plan.live.expr.blame(reading)
    } else {
        Vec::new()
    };
    let proposal = propose::propose(&view);
    let readings = proposal
        .as_ref()
        .map(|proposal| gate::read_all(&view, proposal))
        .unwrap_or_default();
    let path = plan.path(id);
    let mut report = MemberReport {
        life: it.life.as_str().into(),
        life_for: match it.life {
            Life::Starting { since } | Life::Up { since } | Life::Dead { since, .. } => {
                now.since(since)
            }
            Life::Stopped => Span::ZERO,
        },
        generation: it.generation,
        last_exit: it.last_exit,
        health: it.health.as_str().into(),
        health_for: match it.health {
            Health::Healthy { since } | Health::Failed { since, .. } => now.since(since),
            Health::Unproven => Span::ZERO,
        },
        labels: labels(&view, live, &readings),
        live: if alive { live } else { Status::Unknown },
        ready: if it.ready { Status::Pass } else { Status::Fail },
        live_text: group_plan.live.text.clone(),
        blame: blame
            .iter()
            .filter_map(|check| group_plan.checks.get(*check as usize))
            .map(|check| check.name.clone())
            .collect(),
        checks: checks(&view),
        attempt: it.attempt.as_ref().map(|attempt| AttemptReport {
            step: attempt.step.as_str().into(),
            phase: match attempt.phase {
                Phase::Storing => "storing",
                Phase::Acting => "acting",
                Phase::Confirming => "confirming",
            }
            .into(),
            intent: attempt.intent.0,
            confirm_within: attempt.confirm_by.since(now),
        }),
        proposed: proposal
            .as_ref()
            .map(|proposal| proposal.step.as_str().into()),
        gates: readings
            .iter()
            .map(|reading| gates::told(reading, now))
            .collect(),
        control: match (&it.control, group_plan.mode) {
            (
                Control::Paused {
                    until, by, reason, ..
                },
                _,
            ) if *until > now => {
                format!("paused by {by} for another {}: {reason}", until.since(now)).into()
            }
            _ if maintained(&view).is_some() => {
                maintained(&view).map_or_else(Word::default, |window| {
                    format!(
                        "maintenance `{}` for another {}",
                        window.name,
                        window.until.since(now)
                    )
                    .into()
                })
            }
            (_, Mode::Observe) => "observe".into(),
            (Control::Auto | Control::Paused { .. }, Mode::Auto) => "auto".into(),
        },
        given_up: it
            .ledger
            .given_up
            .as_ref()
            .map(|given_up| given_up.why.clone()),
        futile: it.ledger.futile,
        starts_24h: it.ledger.restarts.count(DAY, now) + it.ledger.starts.count(DAY, now),
        incident: it.incident.map(|incident| incident.0),
        summary: String::new(),
        notes: notes(&view),
        around: Around::default(),
        can_do: Vec::new(),
        path,
    };
    report.summary = summary::summary(&view, live, &blame, proposal.as_ref(), &report);
    report.can_do = advice::advice(&view, &report, &readings);
    Some(report)
}

fn maintained<'a>(view: &View<'a>) -> Option<&'a crate::event::Window> {
    let window = view.group.maintenance.as_ref();
    window.filter(|window| window.until > view.now)
}

const DAY: Span = Span::mins(24 * 60);

fn notes(view: &View<'_>) -> Vec<String> {
    let (ledger, now) = (&view.member.ledger, view.now);
    let flaps = ledger.flap.flapping.then(|| {
        format!(
            "it flaps: {}% of its last samples say something else than the one before",
            ledger.flap.percent()
        )
    });
    let lately = ledger.chronic.is_some_and(|told| now.since(told) < DAY);
    let chronic = lately.then(|| {
        let starts = ledger.restarts.count(DAY, now) + ledger.starts.count(DAY, now);
        let what = words::acted(&view.group_plan.policy);
        format!("checkd {what} {starts} times in 24h; something is wrong that no restart cures")
    });
    flaps.into_iter().chain(chronic).collect()
}

fn labels(view: &View<'_>, live: Status, readings: &[Reading]) -> Vec<Word> {
    let it = view.member;
    let alive = it.life.up_since().is_some();
    let latest = judge::latest(view.group_plan, view.group, it);
    let waiting = readings.iter().any(|reading| !reading.open);
    let suspect = alive
        && latest == Status::Fail
        && live != Status::Fail
        && matches!(it.health, Health::Healthy { .. });
    let port = view.plan.member(view.id).and_then(|member| member.port);
    let now_launched = view.state.prints.launch(view.id.group, port);
    let outdated = alive && it.launched != 0 && it.launched != now_launched;
    let all = [
        (waiting, "waiting"),
        (suspect, "suspect"),
        (it.blind, "blind"),
        (alive && live == Status::Warn, "degraded"),
        (outdated, "outdated"),
        (it.ledger.given_up.is_some(), "given up"),
        (it.ledger.flap.flapping, "flapping"),
    ];
    all.into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, label)| label.into())
        .collect()
}

fn checks(view: &View<'_>) -> Vec<LeafReport> {
    let (group_plan, it) = (view.group_plan, view.member);
    (0u32..)
        .zip(&group_plan.checks)
        .filter_map(|(index, check)| {
            let leaf = view.group.leaf(it, index)?;
            let newest = leaf.newest();
            let streak = leaf.streak();
            let interval = if check.scope == Scope::Process {
                judge::interval(group_plan, check, it, leaf)
            } else {
                judge::shared_interval(check, leaf)
            };
            Some(LeafReport {
                check: check.name.clone(),
                kind: check.kind.clone(),
                debounced: leaf.live_reading(view.now),
                latest: newest.map(|newest| newest.status),
                message: newest.map_or_else(Arc::default, |newest| Arc::clone(&newest.message)),
                cause: newest
                    .and_then(|newest| newest.cause)
                    .map(|cause| cause.as_str().into()),
                age: newest.map(|newest| view.now.since(newest.at)),
                streak: streak.map_or(0, |streak| streak.count),
                streak_of: streak.map(|s| {
                    if s.failing {
                        Status::Fail
                    } else {
                        Status::Pass
                    }
                }),
                streak_span: streak.map_or(Span::ZERO, |streak| streak.span),
                fall: check.fall,
                rise: check.rise,
                interval,
            })
        })
        .collect()
}
