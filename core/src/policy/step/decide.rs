//! From a proposal to an act or a refusal, and to giving up.

use super::{Turn, act};
use crate::event::Effect;
use crate::journal::Entry;
use crate::policy::gate;
use crate::policy::propose::{self, Proposal};
use crate::policy::state::{Attempt, GivenUp, PAROLE, PORTION, Phase, Refusal, Wanted};
use crate::policy::{
    Axis, Explanation, GateName, GateSet, Motive, NoticeKind, Reading, Step, judge, words,
};
use crate::{Instant, IntentId, MemberId, Process, Span, Status};

/// Whoever waits longer than this for the budget is news: something else must be wrong.
pub(crate) const LONG: Span = Span::mins(5);

impl Turn<'_> {
    /// Proposes, reads the gates, and acts or records the refusal. Gives when the clock alone opens a
    /// gate that is closed.
    pub(super) fn decide(&mut self, id: MemberId) -> Option<Instant> {
        // It was stopped by hand while its start was under way, and now it runs.
        let unwanted = (self.state.member(id))
            .filter(|member| member.wanted == Wanted::Down && member.asked.is_none())
            .and_then(|member| member.attempt.as_ref());
        if unwanted.is_some_and(|attempt| attempt.step != Step::Stop) {
            self.give_way(id);
        }
        let (proposal, readings) = {
            let view = self.view(id)?;
            match propose::propose(&view) {
                None => {
                    self.stop_waiting(id);
                    return None;
                }
                Some(proposal) => {
                    let readings = gate::read_all(&view, &proposal);
                    (proposal, readings)
                }
            }
        };
        let closed = GateSet::closed(&readings);
        if self.ladder_spent(id, &proposal, closed) {
            return None;
        }
        if closed.is_empty() {
            if self.state.unanswered.len() < PORTION {
                self.intend(id, &proposal, readings);
            } else {
                self.stop_waiting(id);
                self.come_next(id);
            }
            None
        } else {
            let reopens = reopen(&readings);
            self.refuse(id, &proposal, readings, closed);
            // The others are down already and wait for it, so it is left as it is.
            let stop = (proposal.step, proposal.motive) == (Step::Stop, Motive::Together);
            if stop && closed != GateSet::only(GateName::Journal) {
                self.had_its_turn(id, true);
                return self.decide(id);
            }
            reopens
        }
    }

    /// Gives up when what would help has been tried often enough.
    pub(super) fn ladder_spent(
        &mut self,
        id: MemberId,
        proposal: &Proposal,
        closed: GateSet,
    ) -> bool {
        let (Some(policy), Some(member)) = (self.policy(id), self.state.member(id)) else {
            return false;
        };
        let futile = member.ledger.futile;
        let spent = closed.contains(GateName::Intensity);
        let why = match proposal.motive {
            Motive::Sick if futile >= policy.futile_max => {
                format!("{futile} attempts of this incident did not help; it is left running")
            }
            Motive::Sick if spent => {
                let limit = policy.sick_restarts;
                let restarts = if policy.sick_restarts.max == 1 {
                    "restart"
                } else {
                    "restarts"
                };
                let acts = words::acts(policy, restarts);
                format!(
                    "{} {acts} in {} did not last; it is left running",
                    limit.max, limit.window
                )
            }
            Motive::Dead if spent => {
                let limit = policy.dead_starts;
                format!("{} starts in {} did not last", limit.max, limit.window)
            }
            Motive::Begin
            | Motive::Dead
            | Motive::Sick
            | Motive::Together
            | Motive::ByHand { .. } => return false,
        };
        let parole = (proposal.motive == Motive::Dead)
            .then(|| self.now + PAROLE.first().copied().unwrap_or(Span::mins(5)));
        self.give_up(id, &why, parole);
        true
    }

    pub(super) fn give_up(&mut self, id: MemberId, why: &str, parole: Option<Instant>) {
        let since = self.now;
        let again = parole.map_or_else(String::new, |at| {
            format!("; one more start in {}", at.since(since))
        });
        let given_up = GivenUp {
            why: why.to_owned(),
            since,
            parole,
            paroles: 0,
        };
        self.change(id, |member| member.ledger.given_up = Some(given_up));
        self.stop_waiting(id);
        self.transition(
            id,
            Axis::Attempt,
            "trying",
            "given up",
            format!("{why}{again}"),
        );
        // Whoever waited for it to be well need not wait any more.
        self.again.insert(id.group);
        self.notify(id, NoticeKind::GivenUp, format!("gave up: {why}"));
    }

    pub(super) fn intend(&mut self, id: MemberId, proposal: &Proposal, readings: Vec<Reading>) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let generation = member.generation.filter(|_| proposal.step != Step::Start);
        let (incident, asked) = (member.incident, member.asked.clone());
        let processes = (proposal.step == Step::Signal)
            .then(|| propose::blamed(&self.view(id)?, &proposal.blame).ok())
            .flatten();
        let explanation = self.explanation(id, proposal, readings);
        let why = match asked {
            None if proposal.step == Step::Signal => {
                self.why_a_signal(id, processes.as_deref(), &explanation.because)
            }
            Some(asked) => format!("by hand: {}", asked.by),
            None if proposal.motive == Motive::Sick && self.is_held(id.group) => {
                gate::hold::canary(&explanation.because)
            }
            None => explanation.because.clone(),
        };
        let intent = self.state.next_intent;
        self.state.next_intent = IntentId(intent.0 + 1);
        let attempt = Attempt {
            step: proposal.step,
            motive: proposal.motive,
            intent,
            why: why.clone(),
            phase: Phase::Storing,
            confirm_by: self.now,
            generation,
            processes,
        };
        let act = act(id, &attempt, incident);
        self.state.intents.insert(intent, id);
        self.state.unanswered.insert(intent);
        self.change(id, |member| {
            member.attempt = Some(attempt);
            member.refusal = None;
        });
        self.remove_waiting(id);
        match proposal.motive {
            Motive::Sick => {
                self.state.host.last_kill = Some(self.now);
                self.state.host.restarts.acting.insert(intent);
                self.canary(id, intent);
            }
            Motive::Dead => drop(self.state.host.starts.acting.insert(intent)),
            Motive::Begin | Motive::Together | Motive::ByHand { .. } => {}
        }
        self.out.push(Effect::Record(Entry::Decision {
            member: id,
            at: self.now,
            step: proposal.step,
            explanation,
            intent: Some(intent),
            incident,
        }));
        // In one transaction with the intent: whoever finds the intent finds the attempt.
        self.keep(id);
        self.out.push(Effect::Record(Entry::Intent {
            intent,
            at: self.now,
            act,
            why,
            incident,
        }));
    }

    /// What its checks say; where its policy has a signal, also why it is restarted all the same.
    fn why_sick(&self, id: MemberId, proposal: &Proposal) -> String {
        let because = self.because(id).1;
        let view = self.view(id).filter(|_| proposal.step == Step::Restart);
        let signal = view.map(|view| propose::blamed(&view, &proposal.blame));
        match signal {
            Some(Err(Some(why))) => format!("{because}; no signal: {why}"),
            Some(Ok(_) | Err(None)) | None => because,
        }
    }

    /// `SIGTERM to process 4711: stuck failed 5 times in 20s (…)`.
    fn why_a_signal(&self, id: MemberId, processes: Option<&[Process]>, because: &str) -> String {
        let signal = self.policy(id).and_then(|policy| policy.signal.as_deref());
        let to = words::processes(processes.unwrap_or_default());
        format!("SIG{} to {to}: {because}", signal.unwrap_or("?"))
    }

    /// A refusal is recorded when its set of closed gates changes, not at each look.
    pub(super) fn refuse(
        &mut self,
        id: MemberId,
        proposal: &Proposal,
        readings: Vec<Reading>,
        closed: GateSet,
    ) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (told, incident) = (member.refusal, member.incident);
        // Whoever waits for the clock, for itself or for its turn is not looked at for what others of
        // its group do: of thousands that cannot start, each would be looked at for each. The end of a
        // stall is news to whoever is sick.
        let others = [
            GateName::Fresh,
            GateName::Sane,
            GateName::Settle,
            GateName::Dependency,
            GateName::Hold,
            GateName::Budget,
        ];
        if others.into_iter().any(|gate| closed.contains(gate)) {
            self.wait(id);
        }
        if closed == GateSet::only(GateName::HostRate) {
            self.wait_for_host(id, proposal.motive);
        }
        // A turn on this machine comes within seconds; beside anything else it is not worth a record.
        let closed = if closed == GateSet::only(GateName::HostRate) {
            closed
        } else {
            closed.without(GateName::HostRate)
        };
        let (now, step) = (self.now, proposal.step);
        let since = told.map_or(now, |refusal| refusal.since);
        let long = now.since(since) >= LONG && closed.contains(GateName::Budget);
        let mut refusal = Refusal {
            step,
            closed,
            since,
            told: told.is_some_and(|refusal| refusal.told),
        };
        if long && !refusal.told {
            refusal.told = true;
            let budget = readings
                .iter()
                .find(|reading| reading.gate == GateName::Budget);
            let numbers = budget.map_or_else(String::new, |budget| budget.compared.to_string());
            let text = format!("has waited {LONG} for the budget: {numbers}");
            self.notify(id, NoticeKind::Waiting, text);
        }
        if told == Some(refusal) {
            return;
        }
        self.change(id, |member| member.refusal = Some(refusal));
        if told.is_some_and(|told| (told.step, told.closed) == (step, closed)) {
            return;
        }
        let explanation = self.explanation(id, proposal, readings);
        self.out.push(Effect::Record(Entry::Decision {
            member: id,
            at: self.now,
            step: proposal.step,
            explanation,
            intent: None,
            incident,
        }));
    }

    pub(super) fn explanation(
        &self,
        id: MemberId,
        proposal: &Proposal,
        readings: Vec<Reading>,
    ) -> Explanation {
        let verdict = self.view(id).map_or(Status::Unknown, |view| {
            judge::live(view.group_plan, view.group, view.member, view.now)
        });
        let because = match proposal.motive {
            Motive::Begin => "it was not started yet".to_owned(),
            Motive::ByHand { .. } => "by hand".to_owned(),
            Motive::Together => {
                let how = if proposal.begins() {
                    "it was stopped with its whole group"
                } else {
                    "its group is restarted as a whole"
                };
                let why = (self.state.group(id.group)).map(|group| group.together_why.as_str());
                match why.filter(|why| !why.is_empty()) {
                    Some(why) => format!("{how}: {why}"),
                    None => how.to_owned(),
                }
            }
            Motive::Sick => self.why_sick(id, proposal),
            Motive::Dead => {
                let how = (self.state.member(id)).map_or_else(String::new, words::ending);
                if proposal.parole {
                    format!("{how}; it was given up, and is tried now and then")
                } else {
                    how
                }
            }
        };
        Explanation {
            verdict,
            because,
            motive: proposal.motive,
            readings,
        }
    }
}

/// When the first of these gates opens by itself. For its turn on this machine a member waits in a
/// queue, and not by the clock.
pub(super) fn reopen(readings: &[Reading]) -> Option<Instant> {
    let timed = (readings.iter()).filter(|reading| reading.gate != GateName::HostRate);
    timed.filter_map(|reading| reading.reopens).min()
}
