//! What a person asks for.

use super::Turn;
use crate::event::{Command, Effect};
use crate::id::IncidentId;
use crate::journal::{Entry, Outcome};
use crate::policy::gate::dependency;
use crate::policy::state::{Asked, Control, Ledger, Life, Member, Phase, Wanted};
use crate::policy::{Axis, NoticeKind, Step};
use crate::{Instant, MemberId};

impl Turn<'_> {
    pub(super) fn command(&mut self, answer_id: u64, by: &str, id: MemberId, command: &Command) {
        let held = self.is_held(id.group);
        let answer = self.obey(id, by, command);
        let freed = held && !self.is_held(id.group);
        if answer.is_ok() {
            self.out.push(Effect::Record(Entry::Operator {
                member: id,
                at: self.now,
                by: by.to_owned(),
                command: command.clone(),
            }));
            self.consider(id);
        }
        let answer = answer.map(|()| {
            let taken = self.taken(id, command);
            let group = self.plan.group_name(id.group);
            if freed {
                format!("the hold of {group} is over; {taken}")
            } else if *command == Command::Reset
                && let Some(missing) = self.missing(id.group).filter(|_| held)
            {
                format!("{group} stays held: {missing}; {taken}")
            } else {
                taken
            }
        });
        self.out.push(Effect::Answer {
            id: answer_id,
            answer,
        });
    }

    /// What a group needs and is not there: no person ends a hold because of that.
    fn missing(&self, index: u32) -> Option<String> {
        let (plan, group) = self.plan.group(index).zip(self.state.group(index))?;
        let missing = dependency::missing(self.plan, self.state, plan, group, self.now)?;
        Some(missing.what())
    }

    /// Does what a person asks for, as far as it can be done at once.
    ///
    /// # Errors
    /// Why not, for that person.
    pub(super) fn obey(&mut self, id: MemberId, by: &str, command: &Command) -> Result<(), String> {
        if self.state.member(id).is_none() {
            return Err("there is no such member".to_owned());
        }
        self.heed_pause(id, by, command)?;
        match command {
            Command::Restart { now } => self.ask_restart(id, by, *now),
            Command::Start => self.ask_start(id, by),
            Command::Stop => self.ask_stop(id, by),
            Command::Pause { until, reason, .. } => {
                self.pause(id, by, *until, reason);
                Ok(())
            }
            Command::Resume { .. } => self.resume_by(id, by),
            Command::Reset => {
                self.reset(id, by);
                Ok(())
            }
        }
    }

    /// No order of anybody else passes a pause.
    fn heed_pause(&self, id: MemberId, by: &str, command: &Command) -> Result<(), String> {
        let control = self.state.member(id).map(|member| &member.control);
        let Some(Control::Paused {
            until,
            by: owner,
            reason,
            ..
        }) = control
        else {
            return Ok(());
        };
        if *until <= self.now || owner == by {
            return Ok(());
        }
        let way_out = match command {
            Command::Pause { force: true, .. } | Command::Resume { force: true } => return Ok(()),
            Command::Pause { .. } => "`--force` replaces that pause",
            Command::Resume { .. } => "`--force` ends it all the same",
            Command::Restart { .. } | Command::Start | Command::Stop | Command::Reset => {
                "`checkd resume --force` ends that"
            }
        };
        let left = until.since(self.now);
        Err(format!(
            "{owner} paused it for another {left}: {reason}; {way_out}"
        ))
    }

    fn ask_restart(&mut self, id: MemberId, by: &str, now: bool) -> Result<(), String> {
        if let Some(step) = self.acting(id) {
            return Err(under_way(step));
        }
        self.give_way(id);
        self.change(id, |member| {
            let step = if member.generation.is_some() {
                Step::Restart
            } else {
                Step::Start
            };
            let by = by.to_owned();
            member.want_up(Some(Asked { step, now, by }));
        });
        Ok(())
    }

    fn ask_start(&mut self, id: MemberId, by: &str) -> Result<(), String> {
        let runs = |member: &Member| member.generation.is_some() && member.wanted == Wanted::Up;
        if self.state.member(id).is_some_and(runs) {
            return Err("it runs already".to_owned());
        }
        self.change(id, |member| {
            let rests = member.generation.is_none() && member.attempt.is_none();
            let asked = rests.then(|| Asked {
                step: Step::Start,
                now: true,
                by: by.to_owned(),
            });
            member.want_up(asked);
        });
        Ok(())
    }

    fn ask_stop(&mut self, id: MemberId, by: &str) -> Result<(), String> {
        if let Some(step @ Step::Stop) = self.acting(id) {
            return Err(under_way(step));
        }
        let told = (self.state.member(id))
            .is_some_and(|member| member.incident.is_some() || member.blind_told.is_some());
        self.give_way(id);
        let (now, from) = (self.now, self.life_of(id));
        self.change(id, |member| {
            let alive = member.generation.is_some();
            member.wanted = Wanted::Down;
            member.stopped_by = Some(by.to_owned());
            member.stopped_together = None;
            member.asked = alive.then(|| Asked {
                step: Step::Stop,
                now: true,
                by: by.to_owned(),
            });
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
        if (from, self.life_of(id)) == ("dead", "stopped") {
            self.transition(id, Axis::Life, from, "stopped", format!("by {by}"));
        }
        Ok(())
    }

    fn pause(&mut self, id: MemberId, by: &str, until: Instant, reason: &str) {
        let from = if self.is_paused(id) { "paused" } else { "auto" };
        let why = format!("by {by}: {reason}");
        self.transition(id, Axis::Control, from, "paused", why);
        // The later word holds: it is taken out of a roll that has not come to it.
        let waits_in_roll = (self.state.member(id)).is_some_and(|member| {
            let rolls = |asked: &Asked| asked.step == Step::Restart && !asked.now;
            member.attempt.is_none() && member.asked.as_ref().is_some_and(rolls)
        });
        if waits_in_roll {
            self.stop_waiting(id);
        }
        let since = self.now;
        self.change(id, |member| {
            if waits_in_roll {
                member.asked = None;
            }
            member.control = Control::Paused {
                since,
                until,
                by: by.to_owned(),
                reason: reason.to_owned(),
            };
        });
    }

    fn resume_by(&mut self, id: MemberId, by: &str) -> Result<(), String> {
        if !self.is_paused(id) {
            return Err("it is not paused".to_owned());
        }
        self.transition(id, Axis::Control, "paused", "auto", format!("by {by}"));
        self.change(id, |member| member.control = Control::Auto);
        Ok(())
    }

    fn reset(&mut self, id: MemberId, by: &str) {
        // Whoever was given up is not what the group is held for.
        if (self.state.member(id)).is_some_and(|member| member.trouble.is_some()) {
            self.hold_ended_by(id.group, by);
        }
        let was_given_up =
            (self.state.member(id)).is_some_and(|member| member.ledger.given_up.is_some());
        self.change(id, |member| member.ledger = Ledger::default());
        // People were told that it is given up: that it is once more would be nothing new of one incident.
        if was_given_up {
            let incident = self.state.next_incident;
            self.state.next_incident = IncidentId(incident.0 + 1);
            self.change(id, |member| {
                member.incident = member.incident.map(|_| incident);
            });
        }
        for leaf in self.leaves_of(id) {
            self.set_run(leaf);
        }
    }

    /// What the manager is at, which goes to its end; what is only stored or judged gives way.
    fn acting(&self, id: MemberId) -> Option<Step> {
        let attempt = self.state.member(id)?.attempt.as_ref()?;
        (attempt.phase == Phase::Acting).then_some(attempt.step)
    }

    fn is_paused(&self, id: MemberId) -> bool {
        let until = (self.state.member(id)).and_then(|member| match &member.control {
            Control::Paused { until, .. } => Some(*until),
            Control::Auto => None,
        });
        until.is_some_and(|until| until > self.now)
    }

    fn life_of(&self, id: MemberId) -> &'static str {
        (self.state.member(id)).map_or("", |member| member.life.as_str())
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

fn under_way(step: Step) -> String {
    format!("a {} is under way", step.as_str())
}
