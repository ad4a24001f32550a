//! What would help a member now, whether or not it may be done.

use std::sync::Arc;

use super::gate::View;
use super::leaf::Leaf;
use super::state::{Health, Life, Wanted};
use super::together::Together;
use super::{Motive, Step, judge};
use crate::event::Exit;
use crate::plan::RestartType;
use crate::{BLAMED_MAX, Process, Status};

/// A step with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) step: Step,
    pub(crate) motive: Motive,
    /// The checks that support it: indices into `GroupPlan::checks`.
    pub(crate) blame: Vec<u32>,
    /// The single start of a dead member that was given up.
    pub(crate) parole: bool,
}

impl Proposal {
    /// Whether nothing can be lost by it: a first start, or that of whoever was stopped only to be
    /// started with its group.
    pub(crate) fn begins(&self) -> bool {
        match self.motive {
            Motive::Begin => true,
            Motive::Together => self.step == Step::Start,
            Motive::Dead | Motive::Sick | Motive::ByHand { .. } => false,
        }
    }
}

/// The step that would help, if one would.
pub(crate) fn propose(view: &View<'_>) -> Option<Proposal> {
    let member = view.member;
    if member.attempt.is_some() {
        return None;
    }
    if let Some(asked) = &member.asked {
        // A restart was asked for, and the process died before its turn came: what is left is a start.
        let gone = asked.step == Step::Restart && member.generation.is_none();
        return Some(Proposal {
            step: if gone { Step::Start } else { asked.step },
            motive: Motive::ByHand { now: asked.now },
            blame: Vec::new(),
            parole: false,
        });
    }
    if member.wanted == Wanted::Down {
        // Whatever a person stopped and that runs all the same: its start was under way then, or it
        // could not be stopped, and is asked again after a while.
        let motive = Motive::ByHand { now: false };
        let step = Step::Stop;
        return member.generation.map(|_| Proposal {
            step,
            motive,
            blame: Vec::new(),
            parole: false,
        });
    }
    let together = view.group.together.as_ref();
    if let Some(together) = together.filter(|it| it.left.contains(&view.id.member)) {
        let step = if together.stops_first() {
            Step::Stop
        } else {
            Step::Restart
        };
        return member.generation.map(|_| Proposal {
            step,
            motive: Motive::Together,
            blame: Vec::new(),
            parole: false,
        });
    }
    // Nobody is started before the last one has stopped.
    if member.generation.is_none() && together.is_some_and(Together::stops_first) {
        return None;
    }
    let parole = match &member.ledger.given_up {
        Some(given_up) => given_up.parole.is_some_and(|at| at <= view.now),
        None => false,
    };
    if member.ledger.given_up.is_some() && !parole {
        return None;
    }
    match (member.life, &member.health) {
        (Life::Stopped, _) => {
            let motive = match member.stopped_together {
                Some(_) => Motive::Together,
                None => Motive::Begin,
            };
            Some(Proposal {
                step: Step::Start,
                motive,
                blame: Vec::new(),
                parole: false,
            })
        }
        (Life::Dead { .. }, _) => Some(Proposal {
            step: Step::Start,
            motive: Motive::Dead,
            blame: Vec::new(),
            parole,
        }),
        (Life::Starting { .. } | Life::Up { .. }, Health::Failed { .. }) => {
            let live = |check| judge::live_reading(view.group, member, check, view.now);
            let expr = &view.group_plan.live.expr;
            (expr.eval(live) == Status::Fail).then(|| {
                let blame = expr.blame(live);
                let single = blamed(view, &blame).is_ok();
                Proposal {
                    step: if single { Step::Signal } else { Step::Restart },
                    motive: Motive::Sick,
                    blame,
                    parole: false,
                }
            })
        }
        (Life::Starting { .. } | Life::Up { .. }, Health::Unproven | Health::Healthy { .. }) => {
            None
        }
    }
}

/// Why nobody gets a signal where the policy has one; nothing where it has none.
pub(crate) type NoSignal = Option<&'static str>;

/// The single processes that a signal may help, where its policy has one: all blame lies in checks that
/// name some, none is the member's own, and no signal was in vain in this incident.
///
/// In a hold there are none: whether what many have together is cured by a restart is found out by a
/// restart. And the last act that the limit allows is a restart: nobody is given up before one was tried.
pub(crate) fn blamed(view: &View<'_>, blame: &[u32]) -> Result<Arc<[Process]>, NoSignal> {
    let (policy, ledger) = (&view.group_plan.policy, &view.member.ledger);
    if policy.signal.is_none() || view.group.hold.is_some() {
        return Err(None);
    }
    if ledger.signalled_in_vain {
        return Err(Some("that of before, in this incident, did not help"));
    }
    let limit = policy.sick_restarts;
    if ledger.restarts.count(limit.window, view.now) + 1 >= limit.max {
        return Err(Some(
            "the last act that `sick_restarts` allows is a restart",
        ));
    }
    named(view, blame)
}

/// The processes that these checks name now, where each names some and none is the member's own.
pub(crate) fn named(view: &View<'_>, blame: &[u32]) -> Result<Arc<[Process]>, NoSignal> {
    const NONE: NoSignal = Some("not every check that fails names a process of it");
    let member = view.member;
    let own = member.generation.ok_or(NONE)?;
    let mut all = Vec::new();
    for &check in blame {
        // A leaf that the group shares knows nothing of this member.
        let leaf = member.leaves.get(check as usize).and_then(Option::as_ref);
        all.extend_from_slice(leaf.and_then(Leaf::blamed).ok_or(NONE)?);
    }
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return Err(NONE);
    }
    if all.len() > BLAMED_MAX {
        return Err(Some("too many processes of it are named"));
    }
    if all.iter().any(|one| one.pid == own.pid) {
        return Err(Some("its own process is named"));
    }
    Ok(all.into())
}

/// What an exit means to a member that should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It did its work; it stays down.
    Well,
    /// It failed, and stays down by its restart type.
    Left,
    /// It died; it is started again.
    Badly,
    /// It said that starting it again is useless.
    Permanently,
}

/// Judges an exit by the group's restart type and its lists of codes.
pub(crate) fn ended(policy: &crate::plan::PolicyPlan, exit: Exit) -> Ended {
    if let Exit::Code(code) = exit {
        if policy.permanent_codes.contains(&code) {
            return Ended::Permanently;
        }
        if policy.restart != RestartType::Permanent && policy.success_codes.contains(&code) {
            return Ended::Well;
        }
    }
    if policy.restart == RestartType::Temporary {
        Ended::Left
    } else {
        Ended::Badly
    }
}
