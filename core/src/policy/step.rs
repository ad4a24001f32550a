//! One event at a time: every transition of the state machine stands here.

use std::collections::BTreeSet;

use super::gate::{self, View};
use super::propose::{self, Ended, Proposal};
use super::state::{
    Asked, Attempt, Control, GivenUp, Group, Health, Life, Member, Phase, Refused, Slot, State,
    Wanted,
};
use super::{
    Axis, Explanation, GateName, GateSet, Motive, Notice, NoticeKind, Reading, Step, judge, words,
};
use crate::engine::{Act, Command, Effect, Event, Exit, Run};
use crate::id::IncidentId;
use crate::journal::{Entry, Outcome};
use crate::plan::{GroupPlan, Plan};
use crate::schedule;
use crate::{Generation, Instant, IntentId, LeafId, MemberId, Sample, Span, Status};

/// Waits of a dead member that was given up: one start after each (policy.md section 2).
const PAROLE: [Span; 5] = [
    Span::mins(5),
    Span::mins(10),
    Span::mins(20),
    Span::mins(40),
    Span::mins(60),
];

/// Takes one event at `now` and appends what must be done to `out`.
pub fn step(plan: &Plan, state: &mut State, event: &Event, now: Instant, out: &mut Vec<Effect>) {
    let mut turn = Turn {
        plan,
        state,
        now,
        out,
        again: BTreeSet::new(),
    };
    match event {
        Event::Wake => turn.wake(),
        Event::Sample { leaf, sample } => turn.sample(*leaf, sample),
        Event::Started {
            member,
            generation,
            adopted,
        } => {
            turn.started(*member, *generation, *adopted);
        }
        Event::Exited {
            member,
            generation,
            exit,
        } => turn.exited(*member, *generation, *exit),
        Event::IntentStored(intent) => turn.stored(*intent),
        Event::IntentRefused { intent, reason } => turn.refused(*intent, reason),
        Event::Done { intent, result } => turn.done(*intent, result),
        Event::Command {
            id,
            by,
            member,
            command,
        } => turn.command(*id, by, *member, command),
    }
    turn.finish();
}

/// One call of [`step`].
struct Turn<'a> {
    plan: &'a Plan,
    state: &'a mut State,
    now: Instant,
    out: &'a mut Vec<Effect>,
    /// Groups in which something became free: whoever waits there is looked at again.
    again: BTreeSet<u32>,
}

impl<'a> Turn<'a> {
    // ---- events ----------------------------------------------------------------------------

    fn wake(&mut self) {
        self.state.wake_at = None;
        if !self.state.awake {
            self.state.awake = true;
            self.begin();
        }
        while let Some((slot, due)) = self.state.schedule.pop(self.now) {
            match self.state.slots.what(slot) {
                Some(Slot::Leaf(leaf)) => self.run(leaf, due),
                Some(Slot::Member(member)) => self.consider(member),
                None => {}
            }
        }
    }

    /// The first wake-up: shared leaves begin, and everybody who is wanted and not there is started.
    fn begin(&mut self) {
        let plan = self.plan;
        for (group, group_plan) in (0u32..).zip(&plan.groups) {
            for (check, check_plan) in (0u32..).zip(&group_plan.checks) {
                if check_plan.scope != crate::plan::Scope::Process {
                    self.set_run(LeafId {
                        group,
                        check,
                        member: None,
                    });
                }
            }
        }
        for id in plan.members() {
            self.consider(id);
        }
    }

    /// A leaf is due: it is run, and its next run is set.
    fn run(&mut self, leaf: LeafId, due: Instant) {
        let generation = match leaf.member {
            None => None,
            Some(member) => {
                let id = MemberId {
                    group: leaf.group,
                    member,
                };
                match self.state.member(id).and_then(|member| member.generation) {
                    Some(generation) => Some(generation),
                    None => return,
                }
            }
        };
        self.out.push(Effect::Run(Run {
            leaf,
            generation,
            due,
        }));
        self.set_run(leaf);
    }

    /// Sets the next run of a leaf, by the interval in force, unless it is due earlier.
    fn set_run(&mut self, leaf: LeafId) {
        if let Some(at) = self.next_run(leaf) {
            let slot = self.state.slots.leaf(leaf);
            self.state.schedule.set_earlier(slot, at);
        }
    }

    fn next_run(&self, leaf: LeafId) -> Option<Instant> {
        let group_plan = self.plan.group(leaf.group)?;
        let check = group_plan.checks.get(leaf.check as usize)?;
        let state = self.state.leaf(leaf)?;
        let (interval, member_name) = match leaf.member {
            None => (judge::shared_interval(check, state), ""),
            Some(member) => {
                let id = MemberId {
                    group: leaf.group,
                    member,
                };
                let interval = judge::interval(group_plan, check, self.state.member(id)?, state);
                (interval, self.plan.member(id)?.name.as_str())
            }
        };
        let phase = schedule::phase([group_plan.name.as_str(), member_name, check.name.as_str()]);
        Some(schedule::next_on_grid(self.now, interval, phase))
    }

    fn sample(&mut self, leaf: LeafId, sample: &Sample) {
        let plan = self.plan;
        let Some(check) = plan.check(leaf) else {
            return;
        };
        if let Some(member) = leaf.member {
            let id = MemberId {
                group: leaf.group,
                member,
            };
            let current = self.state.member(id).and_then(|member| member.generation);
            // Of another life of the member: recorded and discarded (policy.md P2).
            if current.is_none() || current != sample.generation {
                self.record_run(leaf, sample);
                return;
            }
        }
        let Some(state) = self.state.leaf_mut(leaf) else {
            return;
        };
        let changed = state.take(check, sample);
        if changed || sample.status != Status::Pass {
            self.record_run(leaf, sample);
        } else {
            self.out.push(Effect::Record(Entry::Steady {
                leaf,
                at: sample.at,
            }));
        }
        let telling = changed || sample.status == Status::Unknown;
        // A shared leaf speaks to every member of its group.
        let members = match leaf.member {
            Some(member) => member..member + 1,
            None => 0..self.state.group(leaf.group).map_or(0, Group::size),
        };
        for member in members {
            let id = MemberId {
                group: leaf.group,
                member,
            };
            if telling || !self.quiet(id) {
                self.consider(id);
            }
        }
        self.set_run(leaf);
    }

    fn record_run(&mut self, leaf: LeafId, sample: &Sample) {
        self.out.push(Effect::Record(Entry::Run {
            leaf,
            sample: sample.clone(),
        }));
    }

    fn started(&mut self, id: MemberId, generation: Generation, adopted: bool) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        if member.generation == Some(generation) {
            return;
        }
        let timeout = self
            .policy(id)
            .map_or(Span::ZERO, |policy| policy.startup_timeout);
        let (now, from) = (self.now, member.life.as_str());
        self.change(id, |member| {
            member.generation = Some(generation);
            member.life = Life::Starting { since: now };
            member.health = Health::Unproven;
            member.ready = false;
            member.blind = false;
            member.forget_leaves();
            if let Some(attempt) = &mut member.attempt
                && attempt.phase == Phase::Acting
            {
                attempt.phase = Phase::Confirming;
                attempt.confirm_by = now + timeout;
            }
        });
        let why = if adopted {
            format!("adopted, pid {}", generation.pid)
        } else {
            format!("pid {}", generation.pid)
        };
        self.transition(id, Axis::Life, from, "starting", why);
        for leaf in self.leaves_of(id) {
            let slot = self.state.slots.leaf(leaf);
            self.state.schedule.clear(slot);
            self.set_run(leaf);
        }
        self.consider(id);
    }

    fn exited(&mut self, id: MemberId, generation: Generation, exit: Exit) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        if member.generation != Some(generation) {
            return;
        }
        let up_for = member
            .life
            .up_since()
            .map_or(Span::ZERO, |since| self.now.since(since));
        let from = member.life.as_str();
        let attempt = member.attempt.clone();
        let expected = attempt.as_ref().filter(|attempt| {
            attempt.phase == Phase::Acting && attempt.generation == Some(generation)
        });
        let expected = expected.map(|attempt| attempt.step);
        for leaf in self.leaves_of(id) {
            let slot = self.state.slots.leaf(leaf);
            self.state.schedule.clear(slot);
        }
        let now = self.now;
        let stays_down = expected == Some(Step::Stop);
        self.change(id, |member| {
            member.generation = None;
            member.last_exit = Some(exit);
            member.life = if stays_down {
                Life::Stopped
            } else {
                Life::Dead { exit, since: now }
            };
            member.health = Health::Unproven;
            member.ready = false;
            member.blind = false;
            member.forget_leaves();
        });
        let why = format!("{exit} after {up_for}");
        match (expected, attempt) {
            (Some(Step::Stop), _) => {
                self.transition(id, Axis::Life, from, "stopped", "by hand".to_owned());
            }
            (Some(_), _) => self.transition(id, Axis::Life, from, "dead", "by our hand".to_owned()),
            (None, Some(attempt)) => {
                match attempt.phase {
                    Phase::Confirming => self.conclude(id, Outcome::Futile, &why),
                    Phase::Storing => self.conclude(id, Outcome::Withdrawn, &why),
                    // A start that is being acted on has no generation yet: this was another one.
                    Phase::Acting => {}
                }
                self.died(id, exit, from, &why);
            }
            (None, None) => self.died(id, exit, from, &why),
        }
        self.consider(id);
    }

    /// A member ended by itself.
    fn died(&mut self, id: MemberId, exit: Exit, from: &'static str, why: &str) {
        let Some(policy) = self.policy(id) else {
            return;
        };
        let wanted = self.state.member(id).map(|member| member.wanted);
        let ended = if wanted == Some(Wanted::Down) {
            Ended::Well
        } else {
            propose::ended(policy, exit)
        };
        let now = self.now;
        match ended {
            Ended::Well => {
                self.change(id, |member| {
                    member.life = Life::Stopped;
                    member.wanted = Wanted::Down;
                    member.asked = None;
                });
                self.transition(id, Axis::Life, from, "stopped", why.to_owned());
            }
            Ended::Permanently => {
                self.transition(id, Axis::Life, from, "dead", why.to_owned());
                self.open_incident(id, why);
                self.give_up(
                    id,
                    &format!("it {exit}, which says that starting it is useless"),
                    None,
                );
            }
            Ended::Badly => {
                self.transition(id, Axis::Life, from, "dead", why.to_owned());
                self.open_incident(id, why);
                let mut chance = self.state.chance.clone();
                self.change(id, |member| {
                    let ledger = &mut member.ledger;
                    // Given up as sick: it was left running and checked; now it can be started.
                    if let Some(given_up) = &ledger.given_up
                        && given_up.parole.is_none()
                        && given_up.paroles == 0
                    {
                        ledger.given_up = None;
                    }
                    ledger.deaths = ledger.deaths.saturating_add(1);
                    ledger.wait_began = now;
                    ledger.not_before = now + policy.dead_backoff.drawn(ledger.deaths, &mut chance);
                });
                self.state.chance = chance;
            }
        }
    }

    fn stored(&mut self, intent: IntentId) {
        self.state.refused = None;
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
        if let Some(reason) = self.not_needed(id, &attempt) {
            self.conclude(id, Outcome::Withdrawn, reason);
            self.consider(id);
            return;
        }
        let now = self.now;
        self.change(id, |member| {
            if let Some(attempt) = &mut member.attempt {
                attempt.phase = Phase::Acting;
            }
            member.asked = None;
            let ledger = &mut member.ledger;
            match attempt.motive {
                Motive::Sick => {
                    ledger.restarts.add(now);
                    ledger.sick = ledger.sick.saturating_add(1);
                }
                Motive::Dead => {
                    ledger.starts.add(now);
                    if let Some(given_up) = &mut ledger.given_up {
                        let wait = PAROLE.get(given_up.paroles as usize + 1);
                        given_up.paroles = given_up.paroles.saturating_add(1);
                        given_up.parole = Some(now + wait.copied().unwrap_or(Span::mins(60)));
                    }
                }
                Motive::Begin | Motive::ByHand { .. } => {}
            }
        });
        let act = act(id, &attempt);
        self.out.push(Effect::Do(intent, act));
    }

    /// Why an act whose intent was just stored must not be done any more.
    fn not_needed(&self, id: MemberId, attempt: &Attempt) -> Option<&'static str> {
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
            Step::Restart | Step::Stop => {
                if member.generation != attempt.generation {
                    return Some("that process is gone");
                }
                let sick = attempt.motive == Motive::Sick;
                let fails = judge::live(group_plan, group, member, self.now) == Status::Fail;
                (sick && !fails).then_some("it recovered by itself")
            }
        }
    }

    fn refused(&mut self, intent: IntentId, reason: &str) {
        self.state.refused = Some(Refused {
            at: self.now,
            reason: reason.to_owned(),
        });
        let Some(id) = self.member_of(intent) else {
            return;
        };
        self.state.intents.remove(&intent);
        self.change(id, |member| member.attempt = None);
        self.consider(id);
    }

    fn done(&mut self, intent: IntentId, result: &Result<(), String>) {
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
            (Step::Stop, Ok(())) => self.conclude(id, Outcome::Effective, "stopped"),
            (Step::Stop, Err(reason)) => self.conclude(id, Outcome::Failed, reason),
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
                    });
                    self.died(id, exit, from, reason);
                }
            }
        }
        self.consider(id);
    }

    fn command(&mut self, answer_id: u64, by: &str, id: MemberId, command: &Command) {
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
        let answer = answer.map(|()| self.what_now(id));
        self.out.push(Effect::Answer {
            id: answer_id,
            answer,
        });
    }

    fn obey(&mut self, id: MemberId, by: &str, command: &Command) -> Result<(), String> {
        let Some(member) = self.state.member(id) else {
            return Err("there is no such member".to_owned());
        };
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
        let busy = member.attempt.as_ref().map(|attempt| attempt.step.as_str());
        let (alive, wanted) = (member.generation.is_some(), member.wanted);
        let now = self.now;
        let ask = |step, at_once| Asked {
            step,
            now: at_once,
            by: by.to_owned(),
        };
        match command {
            Command::Restart { now: at_once } => {
                if let Some(pause) = others_pause {
                    return Err(format!("{pause}; `checkd resume --force` ends that"));
                }
                if let Some(step) = busy {
                    return Err(format!("a {step} is under way"));
                }
                let step = if alive { Step::Restart } else { Step::Start };
                let asked = ask(step, *at_once);
                self.change(id, |member| {
                    member.wanted = Wanted::Up;
                    member.asked = Some(asked);
                });
            }
            Command::Start => {
                if alive && wanted == Wanted::Up {
                    return Err("it runs already".to_owned());
                }
                let asked = (!alive && busy.is_none()).then(|| ask(Step::Start, true));
                self.change(id, |member| {
                    member.wanted = Wanted::Up;
                    member.asked = asked;
                });
            }
            Command::Stop => {
                if let Some(step) = busy.filter(|step| *step == "stop") {
                    return Err(format!("a {step} is under way"));
                }
                let asked = alive.then(|| ask(Step::Stop, true));
                let from = self
                    .state
                    .member(id)
                    .map_or("", |member| member.life.as_str());
                self.change(id, |member| {
                    member.wanted = Wanted::Down;
                    member.asked = asked;
                    if !alive && member.attempt.is_none() {
                        member.life = Life::Stopped;
                    }
                });
                if !alive && from == "dead" {
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
                    "auto",
                    "paused",
                    format!("by {by}: {reason}"),
                );
                self.change(id, |member| {
                    member.control = Control::Paused {
                        since: now,
                        until,
                        by,
                        reason,
                    };
                });
            }
            Command::Resume { force } => {
                if let Some(pause) = others_pause.filter(|_| !force) {
                    return Err(format!("{pause}; `--force` ends it all the same"));
                }
                self.transition(id, Axis::Control, "paused", "auto", format!("by {by}"));
                self.change(id, |member| member.control = Control::Auto);
            }
            Command::Reset => {
                self.change(id, |member| member.ledger = super::state::Ledger::default());
                for leaf in self.leaves_of(id) {
                    self.set_run(leaf);
                }
            }
        }
        Ok(())
    }

    /// The answer to a person: what happens now.
    fn what_now(&self, id: MemberId) -> String {
        crate::report::member(self.plan, self.state, id, self.now)
            .map_or_else(String::new, |report| report.summary)
    }

    // ---- judging ---------------------------------------------------------------------------

    /// Looks at a member again: verdicts, transitions, proposal, gates, next look.
    fn consider(&mut self, id: MemberId) {
        if !self.state.awake {
            return;
        }
        self.judge(id);
        self.decide(id);
        self.set_look(id);
    }

    /// Moves a member along its axes by what its leaves say.
    fn judge(&mut self, id: MemberId) {
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
        let is_blind = live == Status::Unknown && !starting;
        if (is_ready, is_blind) != (was_ready, was_blind) {
            self.change(id, |member| {
                member.ready = is_ready;
                member.blind = is_blind;
            });
        }
        if is_blind && !was_blind {
            let text = self.blind_text(id);
            self.notify(id, NoticeKind::Blind, text);
        }

        match health {
            Health::Unproven if startup.passes() && up_for >= policy.confirm_up => {
                self.up(id, since);
                self.healthy(
                    id,
                    &format!("`{}` passes, up for {up_for}", group_plan.startup.text),
                );
                self.conclude(id, Outcome::Effective, &format!("healthy after {up_for}"));
            }
            Health::Unproven if starting && up_for >= policy.startup_timeout => {
                self.up(id, since);
                let text = &group_plan.startup.text;
                if startup == Status::Fail {
                    let why = format!("`{text}` still fails {up_for} after the start");
                    self.failed(id, &why);
                    self.conclude(id, Outcome::Futile, &why);
                } else {
                    let why = format!("`{text}` is still unknown {up_for} after the start");
                    self.conclude(id, Outcome::Unproven, &why);
                }
            }
            Health::Unproven if !starting && live == Status::Fail => self.failed_now(id),
            Health::Healthy { .. } if live == Status::Fail => self.failed_now(id),
            Health::Healthy { since } if self.now.since(since) >= policy.backoff_reset => {
                self.forgive(id);
            }
            Health::Failed { since, .. } if live.passes() => {
                let after = self.now.since(since);
                self.healthy(id, &format!("self-healed after {after}"));
            }
            Health::Unproven | Health::Healthy { .. } | Health::Failed { .. } => {}
        }
    }

    fn verdicts(&self, id: MemberId) -> Option<(Status, Status, Status)> {
        let (plan, group) = (self.plan.group(id.group)?, self.state.group(id.group)?);
        let member = self.state.member(id)?;
        Some((
            judge::live(plan, group, member, self.now),
            judge::startup(plan, group, member, self.now),
            judge::ready(plan, group, member, self.now),
        ))
    }

    fn up(&mut self, id: MemberId, since: Instant) {
        let from = self
            .state
            .member(id)
            .map_or("", |member| member.life.as_str());
        self.change(id, |member| member.life = Life::Up { since });
        if from != "up" {
            self.transition(id, Axis::Life, from, "up", String::new());
        }
    }

    fn healthy(&mut self, id: MemberId, why: &str) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (now, from) = (self.now, member.health.as_str());
        let troubled = member.incident.is_some();
        self.change(id, |member| {
            member.health = Health::Healthy { since: now };
            member.ledger.given_up = None;
        });
        self.transition(id, Axis::Health, from, "healthy", why.to_owned());
        if troubled {
            self.notify(id, NoticeKind::Recovered, format!("healthy again: {why}"));
        }
    }

    /// `live` has just turned Fail.
    fn failed_now(&mut self, id: MemberId) {
        let why = self.because(id).1;
        self.failed(id, &why);
    }

    fn failed(&mut self, id: MemberId, why: &str) {
        let blame = self.because(id).0;
        let (now, from) = (
            self.now,
            self.state.member(id).map_or("", |m| m.health.as_str()),
        );
        self.change(id, |member| {
            member.health = Health::Failed { since: now, blame }
        });
        self.open_incident(id, why);
        self.transition(id, Axis::Health, from, "failed", why.to_owned());
        for leaf in self.leaves_of(id) {
            self.set_run(leaf);
        }
    }

    /// Healthy for long enough: backoff, futile restarts and the incident are over.
    fn forgive(&mut self, id: MemberId) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let ledger = &member.ledger;
        if member.incident.is_none() && ledger.deaths == 0 && ledger.sick == 0 && ledger.futile == 0
        {
            return;
        }
        self.change(id, |member| {
            member.incident = None;
            let ledger = &mut member.ledger;
            (ledger.deaths, ledger.sick, ledger.futile) = (0, 0, 0);
            ledger.given_up = None;
        });
    }

    // ---- deciding --------------------------------------------------------------------------

    /// Proposes, reads the gates, and acts or records the refusal.
    fn decide(&mut self, id: MemberId) {
        let (proposal, readings) = {
            let Some(view) = self.view(id) else { return };
            match propose::propose(&view) {
                None => {
                    self.stop_waiting(id);
                    return;
                }
                Some(proposal) => {
                    let readings = gate::read_all(&view, &proposal);
                    (proposal, readings)
                }
            }
        };
        let closed = GateSet::closed(&readings);
        if self.ladder_spent(id, &proposal, closed) {
            return;
        }
        if closed.is_empty() {
            self.intend(id, &proposal, readings);
        } else {
            self.refuse(id, &proposal, readings, closed);
        }
    }

    /// Gives up when what would help has been tried often enough.
    fn ladder_spent(&mut self, id: MemberId, proposal: &Proposal, closed: GateSet) -> bool {
        let (Some(policy), Some(member)) = (self.policy(id), self.state.member(id)) else {
            return false;
        };
        let futile = member.ledger.futile;
        let spent = closed.contains(GateName::Intensity);
        let why = match proposal.motive {
            Motive::Sick if futile >= policy.futile_max => {
                format!("{futile} restarts of this incident did not help; it is left running")
            }
            Motive::Sick if spent => {
                let limit = policy.sick_restarts;
                format!(
                    "{} restarts in {} did not last; it is left running",
                    limit.max, limit.window
                )
            }
            Motive::Dead if spent => {
                let limit = policy.dead_starts;
                format!("{} starts in {} did not last", limit.max, limit.window)
            }
            Motive::Begin | Motive::Dead | Motive::Sick | Motive::ByHand { .. } => return false,
        };
        let parole = (proposal.motive == Motive::Dead)
            .then(|| self.now + PAROLE.first().copied().unwrap_or(Span::mins(5)));
        self.give_up(id, &why, parole);
        true
    }

    fn give_up(&mut self, id: MemberId, why: &str, parole: Option<Instant>) {
        let since = self.now;
        let given_up = GivenUp {
            why: why.to_owned(),
            since,
            parole,
            paroles: 0,
        };
        self.change(id, |member| member.ledger.given_up = Some(given_up));
        self.stop_waiting(id);
        self.transition(id, Axis::Attempt, "trying", "given up", why.to_owned());
        self.notify(id, NoticeKind::GivenUp, format!("gave up: {why}"));
    }

    fn intend(&mut self, id: MemberId, proposal: &Proposal, readings: Vec<Reading>) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let generation = member.generation.filter(|_| proposal.step != Step::Start);
        let (incident, asked) = (member.incident, member.asked.clone());
        let intent = self.state.next_intent;
        self.state.next_intent = IntentId(intent.0 + 1);
        let attempt = Attempt {
            step: proposal.step,
            motive: proposal.motive,
            intent,
            phase: Phase::Storing,
            confirm_by: self.now,
            generation,
        };
        let act = act(id, &attempt);
        self.state.intents.insert(intent, id);
        self.change(id, |member| {
            member.attempt = Some(attempt);
            member.refusal = None;
        });
        self.remove_waiting(id);
        let explanation = self.explanation(id, proposal, readings);
        let why = match asked {
            Some(asked) => format!("by hand: {}", asked.by),
            None => explanation.because.clone(),
        };
        self.out.push(Effect::Record(Entry::Decision {
            member: id,
            at: self.now,
            step: proposal.step,
            explanation,
            intent: Some(intent),
            incident,
        }));
        self.out.push(Effect::Record(Entry::Intent {
            intent,
            at: self.now,
            act,
            why: why.clone(),
            incident,
        }));
        if proposal.motive != Motive::Begin {
            self.notify(
                id,
                NoticeKind::Acting,
                format!("{}: {why}", proposal.step.as_str()),
            );
        }
    }

    /// A refusal is recorded when its set of closed gates changes, not at each look.
    fn refuse(
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
        if let Some(group) = self.state.groups.get_mut(id.group as usize)
            && !group.waiting.contains(&id.member)
        {
            group.waiting.push_back(id.member);
        }
        if told == Some((proposal.step, closed)) {
            return;
        }
        self.change(id, |member| member.refusal = Some((proposal.step, closed)));
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

    fn explanation(
        &self,
        id: MemberId,
        proposal: &Proposal,
        readings: Vec<Reading>,
    ) -> Explanation {
        let verdict = self
            .verdicts(id)
            .map_or(Status::Unknown, |(live, _, _)| live);
        let because = match proposal.motive {
            Motive::Begin => "it was not started yet".to_owned(),
            Motive::ByHand { .. } => "by hand".to_owned(),
            Motive::Sick => self.because(id).1,
            Motive::Dead => self
                .state
                .member(id)
                .and_then(|member| member.last_exit)
                .map_or_else(
                    || "it has no process".to_owned(),
                    |exit| format!("it {exit}"),
                ),
        };
        Explanation {
            verdict,
            because,
            motive: proposal.motive,
            readings,
        }
    }

    /// The checks that support the present verdict, as indices and as words.
    fn because(&self, id: MemberId) -> (Vec<u32>, String) {
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

    fn blind_text(&self, id: MemberId) -> String {
        let (_, text) = self.because(id);
        format!("nobody can tell whether it lives: {text}; nothing is restarted because of it")
    }

    /// An attempt is over.
    fn conclude(&mut self, id: MemberId, outcome: Outcome, detail: &str) {
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
        let tried = !matches!(outcome, Outcome::Withdrawn);
        let useless = matches!(outcome, Outcome::Futile | Outcome::Failed);
        self.change(id, |member| {
            member.attempt = None;
            let ledger = &mut member.ledger;
            if useless && !matches!(attempt.motive, Motive::ByHand { .. }) {
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
        if useless {
            let step = attempt.step.as_str();
            self.notify(
                id,
                NoticeKind::Futile,
                format!("{step} did not help: {detail}"),
            );
        }
    }

    // ---- bookkeeping -----------------------------------------------------------------------

    fn view(&self, id: MemberId) -> Option<View<'_>> {
        let group = self.state.group(id.group)?;
        Some(View {
            now: self.now,
            plan: self.plan,
            group_plan: self.plan.group(id.group)?,
            state: self.state,
            group,
            id,
            member: group.members.get(id.member as usize)?,
        })
    }

    fn policy(&self, id: MemberId) -> Option<&'a crate::plan::PolicyPlan> {
        let plan: &'a Plan = self.plan;
        plan.group(id.group)
            .map(|group: &'a GroupPlan| &group.policy)
    }

    /// Changes a member and keeps its group's counts; notes what became free.
    fn change(&mut self, id: MemberId, apply: impl FnOnce(&mut Member)) {
        let plan = self.plan;
        let Some(group) = self.state.groups.get_mut(id.group as usize) else {
            return;
        };
        let Some(member) = group.members.get_mut(id.member as usize) else {
            return;
        };
        let before = counts(member);
        apply(member);
        let after = counts(member);
        group.out = group.out + after.0 - before.0;
        group.ready = group.ready + after.1 - before.1;
        group.healthy = group.healthy + after.2 - before.2;
        if after.0 < before.0 || after.2 > before.2 {
            self.again.insert(id.group);
        }
        if after.1 > before.1 {
            let dependents = (0u32..).zip(&plan.groups);
            let dependents = dependents.filter(|(_, group)| group.depends_on.contains(&id.group));
            self.again.extend(dependents.map(|(index, _)| index));
        }
    }

    /// Whether nothing is changing about a member: its samples need no further look.
    fn quiet(&self, id: MemberId) -> bool {
        self.state.member(id).is_some_and(|member| {
            matches!(member.health, Health::Healthy { .. })
                && member.attempt.is_none()
                && member.asked.is_none()
        })
    }

    fn leaves_of(&self, id: MemberId) -> Vec<LeafId> {
        let Some(member) = self.state.member(id) else {
            return Vec::new();
        };
        (0u32..)
            .zip(&member.leaves)
            .filter(|(_, leaf)| leaf.is_some())
            .map(|(check, _)| LeafId {
                group: id.group,
                check,
                member: Some(id.member),
            })
            .collect()
    }

    /// Whose attempt an intent is, while it is in flight.
    fn member_of(&self, intent: IntentId) -> Option<MemberId> {
        self.state.intents.get(&intent).copied()
    }

    fn open_incident(&mut self, id: MemberId, why: &str) {
        if self
            .state
            .member(id)
            .is_none_or(|member| member.incident.is_some())
        {
            return;
        }
        let incident = self.state.next_incident;
        self.state.next_incident = IncidentId(incident.0 + 1);
        self.change(id, |member| member.incident = Some(incident));
        self.notify(id, NoticeKind::Incident, why.to_owned());
    }

    fn stop_waiting(&mut self, id: MemberId) {
        if self
            .state
            .member(id)
            .is_some_and(|member| member.refusal.is_some())
        {
            self.change(id, |member| member.refusal = None);
        }
        self.remove_waiting(id);
    }

    fn remove_waiting(&mut self, id: MemberId) {
        if let Some(group) = self.state.groups.get_mut(id.group as usize)
            && !group.waiting.is_empty()
        {
            group.waiting.retain(|member| *member != id.member);
        }
    }

    /// Sets when the clock alone could change something for this member.
    fn set_look(&mut self, id: MemberId) {
        let slot = self.state.slots.member(id);
        match self.next_look(id) {
            Some(at) => self.state.schedule.set(slot, at),
            None => self.state.schedule.clear(slot),
        }
    }

    fn next_look(&self, id: MemberId) -> Option<Instant> {
        let view = self.view(id)?;
        let (policy, member) = (&view.group_plan.policy, view.member);
        let mut looks: Vec<Instant> = Vec::new();
        if let Life::Starting { since } = member.life {
            looks.extend([since + policy.confirm_up, since + policy.startup_timeout]);
        }
        if let (Health::Healthy { since }, Some(_)) = (&member.health, member.incident) {
            looks.push(*since + policy.backoff_reset);
        }
        if let Control::Paused { until, .. } = &member.control {
            looks.push(*until);
        }
        looks.extend(
            member
                .ledger
                .given_up
                .as_ref()
                .and_then(|given_up| given_up.parole),
        );
        looks.extend(
            (0u32..)
                .zip(&view.group_plan.checks)
                .filter_map(|(check, _)| view.group.leaf(member, check)?.blind_at()),
        );
        if member.refusal.is_some()
            && let Some(proposal) = propose::propose(&view)
        {
            let readings = gate::read_all(&view, &proposal);
            looks.extend(readings.iter().filter_map(|reading| reading.reopens));
        }
        looks.into_iter().filter(|at| *at > self.now).min()
    }

    fn transition(
        &mut self,
        id: MemberId,
        axis: Axis,
        from: &'static str,
        to: &'static str,
        why: String,
    ) {
        let incident = self.state.member(id).and_then(|member| member.incident);
        let (member, at) = (id, self.now);
        self.out.push(Effect::Record(Entry::Transition {
            member,
            at,
            axis,
            from,
            to,
            why,
            incident,
        }));
    }

    fn notify(&mut self, id: MemberId, kind: NoticeKind, text: String) {
        let incident = self.state.member(id).and_then(|member| member.incident);
        let at = self.now;
        self.out.push(Effect::Notify(Notice {
            member: id,
            at,
            kind,
            text,
            incident,
        }));
    }

    /// After the event: whoever waited for what became free is looked at, the longest waiting first;
    /// then the host is told when to wake us.
    fn finish(&mut self) {
        while let Some(group) = self.again.pop_first() {
            let waiting = self.state.group(group).map(|group| group.waiting.clone());
            for member in waiting.unwrap_or_default() {
                self.consider(MemberId { group, member });
            }
        }
        #[cfg(debug_assertions)]
        self.recount();
        let next = self.state.schedule.next_due();
        if next != self.state.wake_at
            && let Some(at) = next
        {
            self.state.wake_at = next;
            self.out.push(Effect::WakeAt(at));
        }
    }

    /// The incremental counts against the sum over all members.
    #[cfg(debug_assertions)]
    fn recount(&self) {
        for group in self
            .state
            .groups
            .iter()
            .filter(|group| group.members.len() <= 16)
        {
            let sum = group
                .members
                .iter()
                .map(counts)
                .fold((0, 0, 0), |sum, one| {
                    (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2)
                });
            debug_assert_eq!(sum, (group.out, group.ready, group.healthy));
        }
    }
}

/// Out, ready, healthy: what a member adds to its group's counts.
fn counts(member: &Member) -> (u32, u32, u32) {
    let healthy = matches!(member.health, Health::Healthy { .. }) && member.generation.is_some();
    (
        u32::from(member.out()),
        u32::from(member.ready),
        u32::from(healthy),
    )
}

fn act(member: MemberId, attempt: &Attempt) -> Act {
    match (attempt.step, attempt.generation) {
        (Step::Restart, Some(generation)) => Act::Restart { member, generation },
        (Step::Stop, Some(generation)) => Act::Stop { member, generation },
        (Step::Start | Step::Restart | Step::Stop, _) => Act::Start { member },
    }
}

impl Member {
    fn forget_leaves(&mut self) {
        for leaf in self.leaves.iter_mut().flatten() {
            *leaf = super::leaf::Leaf::default();
        }
    }
}
