//! How verdicts move a member along its axes.

use super::Turn;
use crate::compose::Complex;
use crate::journal::Outcome;
use crate::policy::gate;
use crate::policy::host::AFTERMATH;
use crate::policy::state::{Health, Life, Phase};
use crate::policy::{Axis, NoticeKind, Step, judge, words};
use crate::{Instant, MemberId, Status};

impl Turn<'_> {
    /// Looks at a member again: verdicts, transitions, proposal, gates, next look.
    pub(super) fn consider(&mut self, id: MemberId) {
        if !self.state.awake {
            return;
        }
        self.end_pause(id);
        self.judge(id);
        self.look_for_trouble(id);
        let reopens = self.decide(id);
        self.set_look(id, reopens);
    }

    /// Moves a member along its axes by what its leaves say.
    pub(super) fn judge(&mut self, id: MemberId) {
        let plan = self.plan;
        let Some(group_plan) = plan.group(id.group) else {
            return;
        };
        let Some((live, startup, ready)) = self.verdicts(id) else {
            return;
        };
        let Some(member) = self.state.member(id) else {
            return;
        };
        let Some(since) = member.life.up_since() else {
            return;
        };
        // The manager is at it: what this process says does not count any more.
        if member
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.phase == Phase::Acting)
        {
            return;
        }
        let policy = &group_plan.policy;
        let (health, starting) = (
            member.health.clone(),
            matches!(member.life, Life::Starting { .. }),
        );
        let (was_ready, was_blind) = (member.ready, member.blind);
        let up_for = self.now.since(since);

        let is_ready = match ready {
            Status::Pass | Status::Warn => true,
            Status::Fail => false,
            Status::Unknown => was_ready,
        };
        // While this machine itself may be the reason, somebody looks again first.
        let shaken = || self.state.host.shaken_until(self.now).is_some();
        let is_blind = live == Status::Unknown && !starting && (was_blind || !shaken());
        if (is_ready, is_blind) != (was_ready, was_blind) {
            self.change(id, |member| {
                member.ready = is_ready;
                member.blind = is_blind;
            });
        }
        if is_blind && !was_blind {
            let text = self.blind_text(id);
            let now = self.now;
            self.change(id, |member| member.blind_told = Some(now));
            self.notify(id, NoticeKind::Blind, text);
        } else if matches!(health, Health::Healthy { .. }) && live.passes() {
            self.sees_again(id);
        }

        match health {
            Health::Unproven if startup.passes() && up_for >= policy.confirm_up => {
                self.up(id, since);
                self.healthy(
                    id,
                    &format!("`{}` passes, up for {up_for}", group_plan.startup.text),
                );
                self.confirm(id, Outcome::Effective, &format!("healthy after {up_for}"));
            }
            Health::Unproven if starting && up_for >= policy.startup_timeout => {
                self.up(id, since);
                let text = &group_plan.startup.text;
                if startup == Status::Fail && self.stall_hides(id, &group_plan.startup) {
                    let why = format!(
                        "nobody saw whether `{text}` passes {up_for} after the start: this machine stalled"
                    );
                    self.confirm(id, Outcome::Unproven, &why);
                } else if startup == Status::Fail {
                    let why = format!("`{text}` still fails {up_for} after the start");
                    self.failed(id, &why);
                    self.confirm(id, Outcome::Futile, &why);
                } else {
                    let why = format!("`{text}` is still unknown {up_for} after the start");
                    self.confirm(id, Outcome::Unproven, &why);
                }
            }
            Health::Unproven if !starting && live == Status::Fail => self.failed_now(id),
            Health::Healthy { since } if live == Status::Fail => {
                self.failed_now(id);
                if self.signal_judged(id).is_some() {
                    let (text, after) = (&group_plan.live.text, self.now.since(since));
                    self.confirm(
                        id,
                        Outcome::Futile,
                        &format!("`{text}` fails again after {after}"),
                    );
                }
            }
            Health::Healthy { since } if self.now.since(since) >= policy.backoff_reset => {
                self.forgive(id);
            }
            Health::Failed { since, .. } if live.passes() => {
                let after = self.now.since(since);
                if self.signal_judged(id).is_some() {
                    self.healthy(id, &format!("`{}` passes again", group_plan.live.text));
                } else {
                    self.healthy(id, &format!("self-healed after {after}"));
                }
            }
            Health::Unproven | Health::Healthy { .. } | Health::Failed { .. } => {}
        }
        self.judge_signal(id, live);
    }

    /// When the signal that is being confirmed is judged at the latest.
    fn signal_judged(&self, id: MemberId) -> Option<Instant> {
        let attempt = self.state.member(id)?.attempt.as_ref()?;
        let confirms = (attempt.step, attempt.phase) == (Step::Signal, Phase::Confirming);
        confirms.then_some(attempt.confirm_by)
    }

    /// A signal is judged by `live`, which must pass for as long as after a start: the member goes on, so
    /// nothing of it starts.
    fn judge_signal(&mut self, id: MemberId, live: Status) {
        let (Some(by), Some(view)) = (self.signal_judged(id), self.view(id)) else {
            return;
        };
        let plan = view.group_plan;
        let (text, timeout) = (&plan.live.text, plan.policy.startup_timeout);
        let healthy = match view.member.health {
            Health::Healthy { since } => Some(self.now.since(since)),
            Health::Unproven | Health::Failed { .. } => None,
        };
        let suspect = judge::latest(plan, view.group, view.member) == Status::Fail;
        let waits = match healthy {
            Some(healthy) => healthy < plan.policy.confirm_up || suspect,
            None => self.now < by,
        };
        if waits {
            return;
        }
        let (outcome, why) = if let Some(healthy) = healthy {
            (Outcome::Effective, format!("healthy for {healthy}"))
        } else if live == Status::Fail && !self.stall_hides(id, &plan.live) {
            let why = format!("`{text}` still fails {timeout} after it");
            (Outcome::Futile, why)
        } else if live == Status::Fail {
            let why = format!("nobody saw whether `{text}` passes after it: this machine stalled");
            (Outcome::Unproven, why)
        } else {
            let why = format!("`{text}` is still unknown {timeout} after it");
            (Outcome::Unproven, why)
        };
        self.confirm(id, outcome, &why);
    }

    /// Whether what fails is only what was seen before this machine stalled.
    fn stall_hides(&self, id: MemberId, what: &Complex) -> bool {
        let Some(view) = self.view(id) else {
            return false;
        };
        let blame = (what.expr)
            .blame(|check| judge::live_reading(view.group, view.member, check, self.now));
        let fresh = gate::fresh::newest(&view, &blame).is_some_and(|(age, allowed)| age <= allowed);
        !fresh && self.state.host.excuses(AFTERMATH, self.now)
    }

    /// What is being confirmed is judged. What is only decided is another act, and goes on.
    fn confirm(&mut self, id: MemberId, outcome: Outcome, why: &str) {
        let attempt = (self.state.member(id)).and_then(|member| member.attempt.as_ref());
        if attempt.is_some_and(|attempt| attempt.phase == Phase::Confirming) {
            self.conclude(id, outcome, why);
        }
    }

    pub(super) fn verdicts(&self, id: MemberId) -> Option<(Status, Status, Status)> {
        let (plan, group) = (self.plan.group(id.group)?, self.state.group(id.group)?);
        let member = self.state.member(id)?;
        Some((
            judge::live(plan, group, member, self.now),
            judge::startup(plan, group, member, self.now),
            judge::ready(plan, group, member, self.now),
        ))
    }

    /// Whether a member goes back and forth. A sample that changes nothing costs a shift and a look.
    pub(super) fn look_at_flapping(&mut self, id: MemberId, status: Status) {
        let Some(view) = self.view(id) else { return };
        let healthy = matches!(view.member.health, Health::Healthy { .. });
        let fails = match status {
            Status::Unknown => return,
            // Of a healthy member that passes there is nothing to compose.
            Status::Pass if healthy && view.member.trouble.is_none() => false,
            Status::Pass | Status::Warn | Status::Fail => {
                judge::latest(view.group_plan, view.group, view.member) == Status::Fail
            }
        };
        let Some(member) = self.member_mut(id) else {
            return;
        };
        if member.ledger.flap.take(fails) {
            let percent = member.ledger.flap.percent();
            let text = format!(
                "flaps: {percent}% of its last samples say something else than the one before"
            );
            self.notify(id, NoticeKind::Flapping, text);
        }
    }

    pub(super) fn up(&mut self, id: MemberId, since: Instant) {
        let from = self
            .state
            .member(id)
            .map_or("", |member| member.life.as_str());
        self.change(id, |member| member.life = Life::Up { since });
        if from != "up" {
            self.transition(id, Axis::Life, from, "up", String::new());
        }
    }

    pub(super) fn healthy(&mut self, id: MemberId, why: &str) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (now, from) = (self.now, member.health.as_str());
        let troubled = member.incident.is_some() || member.blind_told.is_some();
        self.change(id, |member| {
            member.blind_told = None;
            member.health = Health::Healthy { since: now };
            member.ledger.given_up = None;
        });
        self.transition(id, Axis::Health, from, "healthy", why.to_owned());
        if troubled {
            self.notify(id, NoticeKind::Recovered, format!("healthy again: {why}"));
        }
    }

    /// `live` has just turned Fail.
    pub(super) fn failed_now(&mut self, id: MemberId) {
        let why = self.because(id).1;
        self.failed(id, &why);
    }

    pub(super) fn failed(&mut self, id: MemberId, why: &str) {
        let (now, from) = (
            self.now,
            self.state.member(id).map_or("", |m| m.health.as_str()),
        );
        self.change(id, |member| member.health = Health::Failed { since: now });
        self.open_incident(id, why);
        self.transition(id, Axis::Health, from, "failed", why.to_owned());
        self.failed_together(id);
        for leaf in self.leaves_of(id) {
            self.set_run(leaf);
        }
    }

    /// Healthy for long enough: backoff, futile restarts and the incident are over.
    pub(super) fn forgive(&mut self, id: MemberId) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let ledger = &member.ledger;
        let tried = ledger.futile > 0 || ledger.signalled_in_vain;
        if member.incident.is_none() && ledger.deaths == 0 && ledger.sick == 0 && !tried {
            return;
        }
        self.change(id, |member| {
            member.incident = None;
            let ledger = &mut member.ledger;
            (ledger.deaths, ledger.sick, ledger.futile) = (0, 0, 0);
            ledger.signalled_in_vain = false;
            ledger.given_up = None;
        });
    }

    /// The checks that support the present verdict, as indices and as words.
    pub(super) fn because(&self, id: MemberId) -> (Vec<u32>, String) {
        let Some(view) = self.view(id) else {
            return (Vec::new(), String::new());
        };
        let (plan, group, member) = (view.group_plan, view.group, view.member);
        let blame = plan
            .live
            .expr
            .blame(|check| judge::live_reading(group, member, check, self.now));
        let text = words::blame(plan, group, member, &blame);
        (blame, text)
    }

    /// It was blind, and stayed what it was meanwhile.
    fn sees_again(&mut self, id: MemberId) {
        let told = self.state.member(id).and_then(|member| member.blind_told);
        if let Some(told) = told {
            self.change(id, |member| member.blind_told = None);
            let text = format!("can be judged again after {}", self.now.since(told));
            self.notify(id, NoticeKind::Recovered, text);
        }
    }

    pub(super) fn blind_text(&self, id: MemberId) -> String {
        let (_, text) = self.because(id);
        format!("nobody can tell whether it lives: {text}; nothing is restarted because of it")
    }
}
