//! What a person asks for.

use super::Turn;
use crate::MemberId;
use crate::event::{Command, Effect};
use crate::journal::{Entry, Outcome};
use crate::policy::state::{Asked, Control, Ledger, Life, Phase, Wanted};
use crate::policy::{Axis, NoticeKind, Step};

impl Turn<'_> {
    pub(super) fn command(&mut self, answer_id: u64, by: &str, id: MemberId, command: &Command) {
        let answer = self.obey(id, by, command);
        if answer.is_ok() {
            self.out.push(Effect::Record(Entry::Operator {
                member: id,
                at: self.now,
                by: by.to_owned(),
                command: command.clone(),
            }));
            self.consider(id);
        }
        let answer = answer.map(|()| self.taken(id, command));
        self.out.push(Effect::Answer {
            id: answer_id,
            answer,
        });
    }

    pub(super) fn obey(&mut self, id: MemberId, by: &str, command: &Command) -> Result<(), String> {
        let Some(member) = self.state.member(id) else {
            return Err("there is no such member".to_owned());
        };
        let paused = matches!(&member.control, Control::Paused { until, .. } if *until > self.now);
        let others_pause = match &member.control {
            Control::Paused {
                until,
                by: owner,
                reason,
                ..
            } if *until > self.now => {
                let left = until.since(self.now);
                (owner != by).then(|| format!("{owner} paused it for another {left}: {reason}"))
            }
            Control::Paused { .. } | Control::Auto => None,
        };
        // What the manager is at goes to its end; what is only stored or judged gives way.
        let acting = member
            .attempt
            .as_ref()
            .filter(|attempt| attempt.phase == Phase::Acting);
        let busy = acting.map(|attempt| attempt.step.as_str());
        let idle = member.attempt.is_none();
        let roll = (member.asked.as_ref()).is_some_and(|it| it.step == Step::Restart && !it.now);
        let told = member.incident.is_some() || member.blind_told.is_some();
        let in_trouble = member.trouble.is_some();
        let (alive, wanted) = (member.generation.is_some(), member.wanted);
        let now = self.now;
        let ask = |step, at_once| Asked {
            step,
            now: at_once,
            by: by.to_owned(),
        };
        match command {
            Command::Restart { .. } | Command::Start | Command::Stop | Command::Reset
                if others_pause.is_some() =>
            {
                let pause = others_pause.unwrap_or_default();
                return Err(format!("{pause}; `checkd resume --force` ends that"));
            }
            Command::Restart { now: at_once } => {
                if let Some(step) = busy {
                    return Err(format!("a {step} is under way"));
                }
                self.give_way(id);
                let step = if alive { Step::Restart } else { Step::Start };
                let asked = ask(step, *at_once);
                self.change(id, |member| {
                    member.wanted = Wanted::Up;
                    member.stopped_by = None;
                    member.asked = Some(asked);
                    // Whoever asks wants it tried, and looked at as often as any other.
                    member.ledger.given_up = None;
                });
            }
            Command::Start => {
                if alive && wanted == Wanted::Up {
                    return Err("it runs already".to_owned());
                }
                let asked = (!alive && idle).then(|| ask(Step::Start, true));
                self.change(id, |member| {
                    member.wanted = Wanted::Up;
                    member.stopped_by = None;
                    member.asked = asked;
                    member.ledger.given_up = None;
                });
            }
            Command::Stop => {
                if let Some(step) = busy.filter(|step| *step == "stop") {
                    return Err(format!("a {step} is under way"));
                }
                self.give_way(id);
                let asked = alive.then(|| ask(Step::Stop, true));
                let from = self
                    .state
                    .member(id)
                    .map_or("", |member| member.life.as_str());
                self.change(id, |member| {
                    member.wanted = Wanted::Down;
                    member.stopped_by = Some(by.to_owned());
                    member.stopped_together = None;
                    member.asked = asked;
                    member.ledger.given_up = None;
                    // It does not wait for what was tried before.
                    member.ledger.not_before = now;
                    if !alive && member.attempt.is_none() {
                        member.life = Life::Stopped;
                    }
                });
                // Whatever was told of it is in this person's hands now.
                if told {
                    self.change(id, |member| member.blind_told = None);
                    self.notify(id, NoticeKind::Recovered, format!("stopped by {by}"));
                }
                let down = (self.state.member(id)).is_some_and(|it| it.life == Life::Stopped);
                if down && from == "dead" {
                    self.transition(id, Axis::Life, from, "stopped", format!("by {by}"));
                }
            }
            Command::Pause {
                until,
                reason,
                force,
            } => {
                if let Some(pause) = others_pause.filter(|_| !force) {
                    return Err(format!("{pause}; `--force` replaces that pause"));
                }
                let (until, by, reason) = (*until, by.to_owned(), reason.clone());
                self.transition(
                    id,
                    Axis::Control,
                    if paused { "paused" } else { "auto" },
                    "paused",
                    format!("by {by}: {reason}"),
                );
                // The later word holds: it is taken out of a roll that has not come to it.
                if idle && roll {
                    self.stop_waiting(id);
                }
                self.change(id, |member| {
                    if idle && roll {
                        member.asked = None;
                    }
                    member.control = Control::Paused {
                        since: now,
                        until,
                        by,
                        reason,
                    };
                });
            }
            Command::Resume { force } => {
                if !paused {
                    return Err("it is not paused".to_owned());
                }
                if let Some(pause) = others_pause.filter(|_| !force) {
                    return Err(format!("{pause}; `--force` ends it all the same"));
                }
                self.transition(id, Axis::Control, "paused", "auto", format!("by {by}"));
                self.change(id, |member| member.control = Control::Auto);
            }
            Command::Reset => {
                // Whoever was given up is not what the group is held for.
                if in_trouble {
                    self.hold_ended_by(id.group, by);
                }
                self.change(id, |member| member.ledger = Ledger::default());
                for leaf in self.leaves_of(id) {
                    self.set_run(leaf);
                }
            }
        }
        Ok(())
    }

    /// A pause whose time is over ends by itself.
    pub(super) fn end_pause(&mut self, id: MemberId) {
        let control = self.state.member(id).map(|member| &member.control);
        if let Some(Control::Paused { until, .. }) = control
            && *until <= self.now
        {
            let why = "the time of the pause is over".to_owned();
            self.transition(id, Axis::Control, "paused", "auto", why);
            self.change(id, |member| member.control = Control::Auto);
        }
    }

    /// What was begun for it gives way to what a person wants.
    pub(super) fn give_way(&mut self, id: MemberId) {
        if self.supersede(id, "by hand") {
            self.had_its_turn(id, true);
        }
    }

    /// An attempt that nobody is carrying out gives way. Whether it was not even stored yet.
    pub(super) fn supersede(&mut self, id: MemberId, why: &str) -> bool {
        let attempt = self
            .state
            .member(id)
            .and_then(|member| member.attempt.as_ref());
        match attempt.map(|attempt| attempt.phase) {
            Some(Phase::Storing) => {
                self.conclude(id, Outcome::Withdrawn, why);
                return true;
            }
            Some(Phase::Confirming) => self.conclude(id, Outcome::Superseded, why),
            Some(Phase::Acting) | None => {}
        }
        false
    }

    /// The answer to a person: what was done at once, and what happens now.
    fn taken(&self, id: MemberId, command: &Command) -> String {
        let now = crate::report::member(self.plan, self.state, id, self.now)
            .map_or_else(String::new, |report| report.summary);
        let taken = match command {
            Command::Pause { until, reason, .. } => {
                format!("paused for {}: {reason}", until.since(self.now))
            }
            Command::Resume { .. } => format!("resumed; {now}"),
            Command::Reset => format!("its attempts are forgotten; {now}"),
            Command::Restart { .. } | Command::Start | Command::Stop => now,
        };
        if self.state.refused.is_some() {
            format!(
                "{taken} (the journal cannot be written: should checkd end now, the next one does not know of it)"
            )
        } else {
            taken
        }
    }
}
