//! The life of an act: its intent is stored, it is done, it is judged.

use super::{Turn, act};
use crate::event::{Effect, Exit};
use crate::journal::{Entry, Outcome};
use crate::policy::propose::{self, Proposal};
use crate::policy::state::{Attempt, Control, Life, Member, Phase, Refused, Wanted};
use crate::policy::{About, Motive, NoticeKind, Step, gate, judge};
use crate::{IntentId, MemberId, Span, Status};

/// So many automatic starts in a [`DAY`] are chronic (policy.md section 3).
const CHRONIC: u32 = 12;
/// Whoever could not be stopped is asked to again after this: not at once, for that would never end.
const STOP_AGAIN: Span = Span::secs(10);
const DAY: Span = Span::mins(24 * 60);

impl Turn<'_> {
    pub(super) fn stored(&mut self, intent: IntentId) {
        let refused = self.state.refused.take();
        if let Some(refused) = refused.filter(|refused| refused.told) {
            let text = format!(
                "the journal takes intents again after {}",
                self.now.since(refused.since)
            );
            self.tell(About::Host, NoticeKind::Recovered, text, None);
        }
        self.state.unanswered.remove(&intent);
        let Some(id) = self.member_of(intent) else {
            return;
        };
        let Some(attempt) = self
            .state
            .member(id)
            .and_then(|member| member.attempt.clone())
        else {
            return;
        };
        if attempt.phase != Phase::Storing {
            return;
        }
        if let Some(reason) = self.overtaken(id, &attempt) {
            // What a person asked for is done already; asking the journal again would never end.
            if matches!(attempt.motive, Motive::ByHand { .. }) {
                self.change(id, |member| member.asked = None);
            }
            self.conclude(id, Outcome::Withdrawn, reason);
            self.had_its_turn(id, true);
            self.consider(id);
            return;
        }
        // What is still wanted waits for the gate, and whose turn it is keeps it.
        if let Some(reason) = self.closed_meanwhile(id, &attempt) {
            self.conclude(id, Outcome::Withdrawn, &reason);
            self.consider(id);
            return;
        }
        let now = self.now;
        self.change(id, |member| member.let_go(now));
        self.look_at_chronic(id);
        // Told now and not when it was decided: at a full disk it would never happen.
        if attempt.motive != Motive::Begin {
            let text = format!("{}: {}", attempt.step.as_str(), attempt.why);
            let kind = match attempt.step {
                Step::Signal => NoticeKind::Signalling,
                Step::Start | Step::Restart => NoticeKind::Acting,
                Step::Stop => NoticeKind::Stopping,
            };
            self.notify(id, kind, text);
        }
        if attempt.motive == Motive::Sick {
            self.killed(id);
        }
        let incident = self.state.member(id).and_then(|member| member.incident);
        let act = act(id, &attempt, incident);
        self.out.push(Effect::Do(intent, act));
    }

    /// Many starts in a day, each of which helped: no limit stops that, and somebody should know.
    fn look_at_chronic(&mut self, id: MemberId) {
        let Some(ledger) = self.state.member(id).map(|member| &member.ledger) else {
            return;
        };
        let starts = ledger.restarts.count(DAY, self.now) + ledger.starts.count(DAY, self.now);
        let told = ledger
            .chronic
            .is_some_and(|told| self.now.since(told) < DAY);
        // Whoever was given up is told of already, and what its rare starts are for.
        if starts >= CHRONIC && !told && ledger.given_up.is_none() {
            let now = self.now;
            self.change(id, |member| member.ledger.chronic = Some(now));
            let text = match self.policy(id).and_then(|policy| policy.signal.as_ref()) {
                None => format!(
                    "was started {starts} times in 24h by checkd; something is wrong that no restart cures"
                ),
                Some(_) => format!(
                    "checkd started it or sent it a signal {starts} times in 24h; something is wrong that no restart cures"
                ),
            };
            self.notify(id, NoticeKind::Chronic, text);
        }
    }

    /// The gate that closed since an act was decided whose intent was just stored.
    fn closed_meanwhile(&self, id: MemberId, attempt: &Attempt) -> Option<String> {
        let view = self.view(id)?;
        let proposal = Proposal {
            step: attempt.step,
            motive: attempt.motive,
            blame: self.because(id).0,
            parole: attempt.motive == Motive::Dead && view.member.ledger.given_up.is_some(),
        };
        let closed = gate::closed_meanwhile(&view, &proposal)?;
        Some(format!(
            "the gate {} closed meanwhile: {}",
            closed.gate, closed.compared
        ))
    }

    /// What happened to the member itself since an act was decided.
    fn overtaken(&self, id: MemberId, attempt: &Attempt) -> Option<&'static str> {
        let (group_plan, group) = (self.plan.group(id.group)?, self.state.group(id.group)?);
        let member = self.state.member(id)?;
        let paused = matches!(&member.control, Control::Paused { until, .. } if *until > self.now);
        if paused && !matches!(attempt.motive, Motive::ByHand { .. }) {
            return Some("it was paused meanwhile");
        }
        match attempt.step {
            Step::Start => {
                if member.generation.is_some() {
                    Some("it runs again")
                } else if member.wanted == Wanted::Down {
                    Some("it is not wanted any more")
                } else {
                    None
                }
            }
            Step::Signal | Step::Restart | Step::Stop => {
                if member.generation != attempt.generation {
                    return Some("that process is gone");
                }
                let sick = attempt.motive == Motive::Sick;
                let fails = judge::live(group_plan, group, member, self.now) == Status::Fail;
                if sick && !fails {
                    return Some("it recovered by itself");
                }
                let processes = attempt.processes.as_deref()?;
                let named = propose::named(&self.view(id)?, &self.because(id).0);
                let still = |one| named.as_ref().is_ok_and(|named| named.contains(one));
                (!processes.iter().all(still)).then_some("its checks blame others now")
            }
        }
    }

    pub(super) fn refused(&mut self, intent: IntentId, reason: &str) {
        self.state.unanswered.remove(&intent);
        let attempt =
            (self.member_of(intent)).and_then(|id| self.state.member(id)?.attempt.as_ref());
        // It was stored, and its act is under way: whatever this answer is, it comes too late.
        if attempt.is_some_and(|attempt| attempt.phase != Phase::Storing) {
            return;
        }
        let before = self.state.refused.take();
        let since = before.as_ref().map_or(self.now, |before| before.since);
        let mut told = before.is_some_and(|before| before.told);
        // A queue that is full for a moment is no news.
        if !told && self.now.since(since) >= gate::journal::RETRY {
            told = true;
            let text = format!(
                "the journal cannot be written ({reason}): nobody is started or restarted until it can"
            );
            self.tell(About::Host, NoticeKind::Unwritten, text, None);
        }
        self.state.refused = Some(Refused {
            at: self.now,
            since,
            told,
            reason: reason.to_owned(),
        });
        let Some(id) = self.member_of(intent) else {
            return;
        };
        self.state.intents.remove(&intent);
        self.serve |= self.state.host.release(intent);
        self.change(id, |member| member.attempt = None);
        self.canary_judged(id, intent, Outcome::Withdrawn, false);
        self.consider(id);
    }

    pub(super) fn done(&mut self, intent: IntentId, result: &Result<(), String>) {
        let Some(id) = self.member_of(intent) else {
            return;
        };
        let Some(member) = self.state.member(id) else {
            return;
        };
        let Some(attempt) = member.attempt.clone() else {
            return;
        };
        if attempt.phase != Phase::Acting {
            return;
        }
        let from = member.life.as_str();
        let alive = member.generation.is_some();
        match (attempt.step, result) {
            (Step::Signal, Ok(())) => self.signalled(id, intent),
            (Step::Signal, Err(why)) => self.conclude(id, Outcome::Failed, why),
            (Step::Stop, Ok(())) if !alive => self.conclude(id, Outcome::Effective, "stopped"),
            (Step::Stop, result) => {
                let reason = result
                    .as_ref()
                    .err()
                    .map_or("it still runs", String::as_str);
                let now = self.now;
                self.change(id, |member| {
                    member.ledger.wait_began = now;
                    member.ledger.not_before = now + STOP_AGAIN;
                });
                self.conclude(id, Outcome::Failed, reason);
            }
            (Step::Start | Step::Restart, result) => {
                let reason = result
                    .as_ref()
                    .err()
                    .map_or("no process was seen", String::as_str);
                self.conclude(id, Outcome::Failed, reason);
                if !alive {
                    let (exit, since) = (Exit::NotStarted, self.now);
                    self.change(id, |member| {
                        member.life = Life::Dead { exit, since };
                        member.last_exit = Some(exit);
                        member.cannot_start = Some(reason.to_owned());
                    });
                    self.tell_of_end(id, exit, from, reason);
                    self.died(id, exit, reason);
                }
            }
        }
        self.consider(id);
    }

    /// The blamed processes have ended: from now on it is judged whether that helped.
    fn signalled(&mut self, id: MemberId, intent: IntentId) {
        let Some(policy) = self.policy(id) else {
            return;
        };
        self.serve |= self.state.host.release(intent);
        let by = self.now + policy.startup_timeout;
        self.change(id, |member| {
            if let Some(attempt) = &mut member.attempt {
                attempt.phase = Phase::Confirming;
                attempt.confirm_by = by;
            }
        });
        // What a person asked for meanwhile need not wait for that.
        let waits = |member: &Member| member.asked.is_some() || member.wanted == Wanted::Down;
        if self.state.member(id).is_some_and(waits) {
            self.give_way(id);
        }
    }

    /// An attempt is over.
    pub(super) fn conclude(&mut self, id: MemberId, outcome: Outcome, detail: &str) {
        let Some(attempt) = self
            .state
            .member(id)
            .and_then(|member| member.attempt.clone())
        else {
            return;
        };
        let Some(policy) = self.policy(id) else {
            return;
        };
        let now = self.now;
        let mut chance = self.state.chance.clone();
        self.state.intents.remove(&attempt.intent);
        self.serve |= self.state.host.release(attempt.intent);
        let tried = !matches!(outcome, Outcome::Withdrawn);
        let useless = matches!(outcome, Outcome::Futile | Outcome::Failed);
        // A restart that did not help, or a start after which it lives and fails; a death has a ladder
        // of its own.
        let sick = attempt.motive == Motive::Sick
            || (self.state.member(id)).is_some_and(|member| member.generation.is_some());
        self.change(id, |member| {
            member.attempt = None;
            let ledger = &mut member.ledger;
            if useless && attempt.step == Step::Signal {
                ledger.signalled_in_vain = true;
            } else if useless && sick && !matches!(attempt.motive, Motive::ByHand { .. }) {
                ledger.futile = ledger.futile.saturating_add(1);
            }
            if tried && attempt.motive == Motive::Sick {
                ledger.wait_began = now;
                ledger.not_before = now + policy.sick_backoff.drawn(ledger.sick, &mut chance);
            }
        });
        self.state.chance = chance;
        self.out.push(Effect::Record(Entry::Outcome {
            intent: attempt.intent,
            at: now,
            outcome,
            detail: detail.to_owned(),
        }));
        let by_hand = attempt.step == Step::Restart
            && matches!(attempt.motive, Motive::ByHand { .. })
            && (self.state.member(id)).is_some_and(|member| member.incident.is_some());
        self.canary_judged(id, attempt.intent, outcome, by_hand);
        if tried && attempt.motive == Motive::Together {
            self.had_its_turn(id, !useless);
        }
        let rolls = attempt.step == Step::Restart;
        if useless && rolls && attempt.motive == (Motive::ByHand { now: false }) {
            self.end_roll(id);
        }
        // Of the first trouble the incident itself is the news.
        if useless && (self.state.member(id)).is_some_and(|member| member.incident.is_some()) {
            let step = attempt.step.as_str();
            let kind = match attempt.step {
                Step::Signal => NoticeKind::SignalledInVain,
                Step::Start | Step::Restart | Step::Stop => NoticeKind::Futile,
            };
            self.notify(id, kind, format!("{step} did not help: {detail}"));
        }
        if outcome == Outcome::Futile && attempt.motive == Motive::Sick && rolls {
            self.in_vain(id);
        }
    }
}
