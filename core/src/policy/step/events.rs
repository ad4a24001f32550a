//! What the world says: time, samples, starts and exits.

use super::{Turn, act};
use crate::event::{Effect, Exit, Run};
use crate::journal::{Entry, Outcome};
use crate::plan::Scope;
use crate::policy::propose::{self, Ended};
use crate::policy::slots::Slot;
use crate::policy::state::{Asked, Group, Health, Life, Phase, Wanted};
use crate::policy::{Axis, Motive, Step, judge};
use crate::{Generation, Instant, LeafId, MemberId, Sample, Span, Status, schedule};

impl Turn<'_> {
    pub(super) fn wake(&mut self) {
        self.state.wake_at = None;
        if !self.state.awake {
            self.state.awake = true;
            self.begin();
        }
        while let Some((slot, due)) = self.state.schedule.pop(self.now) {
            match self.state.slots.what(slot) {
                Some(Slot::Leaf(leaf)) => self.run(leaf, due),
                Some(Slot::Member(member)) => self.consider(member),
                Some(Slot::Group(group)) => self.look_at_group(group),
                Some(Slot::Host) => self.serve = true,
                None => {}
            }
        }
    }

    /// The first wake-up: shared leaves begin, and everybody who is wanted and not there is started.
    pub(super) fn begin(&mut self) {
        let plan = self.plan;
        for (group, group_plan) in (0u32..).zip(&plan.groups) {
            for (check, check_plan) in (0u32..).zip(&group_plan.checks) {
                if check_plan.scope != Scope::Process {
                    self.take_up_run(LeafId {
                        group,
                        check,
                        member: None,
                    });
                }
            }
        }
        self.supply.extend((0u32..).take(plan.groups.len()));
        for group in (0u32..).take(plan.groups.len()) {
            self.resume_maintenance(group);
        }
        for id in plan.members() {
            self.resume(id);
            self.consider(id);
        }
        for group in (0u32..).take(plan.groups.len()) {
            self.resume_hold(group);
        }
    }

    /// What the daemon before left of a member is taken up.
    fn resume(&mut self, id: MemberId) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let attempt = member.attempt.clone();
        if member.generation.is_some() {
            for leaf in self.leaves_of(id) {
                self.take_up_run(leaf);
            }
        }
        match attempt {
            Some(attempt) if attempt.phase == Phase::Storing && !self.state.reloaded => {
                // No keeper remembers a signal.
                let detail = if attempt.step == Step::Signal {
                    "checkd ended before it was seen what became of it"
                } else {
                    "checkd ended before it was carried out"
                };
                self.conclude(id, Outcome::Withdrawn, detail);
                // Evidence is looked at anew; a person who was told yes is not asked again.
                if let Motive::ByHand { now } = attempt.motive {
                    let by = attempt.why.trim_start_matches("by hand: ").to_owned();
                    let step = attempt.step;
                    self.change(id, |member| {
                        member.asked.get_or_insert(Asked { step, now, by });
                    });
                }
            }
            // Whoever carries out acts knows each by its intent, and does none twice.
            Some(attempt) if attempt.phase == Phase::Acting && !self.state.reloaded => {
                // It has begun: what was to be seen of it was looked at before.
                let act = act(id, &attempt, None);
                self.out.push(Effect::Do(attempt.intent, act));
            }
            Some(_) | None => {}
        }
    }

    /// A leaf is due: it is run, and its next run is set.
    pub(super) fn run(&mut self, leaf: LeafId, due: Instant) {
        let (mut generation, mut port) = (None, None);
        if let Some(member) = leaf.member {
            let id = MemberId {
                group: leaf.group,
                member,
            };
            let Some(member) = self.state.member(id).filter(|m| m.generation.is_some()) else {
                return;
            };
            let planned = self.plan.member(id).and_then(|member| member.port);
            (generation, port) = (member.generation, member.port.or(planned));
        }
        self.out.push(Effect::Run(Run {
            leaf,
            generation,
            port,
            due,
        }));
        self.set_run(leaf);
    }

    /// Sets the next run of a leaf, by the interval in force, unless it is due earlier.
    pub(super) fn set_run(&mut self, leaf: LeafId) {
        if let Some(at) = self.next_run(leaf) {
            let slot = self.state.slots.leaf(leaf);
            self.state.schedule.set_earlier(slot, at);
        }
    }

    /// Sets the next run of a leaf that another daemon ran before us. One that was due while nobody was
    /// here is made up for, as late as we are: at the pace at which they were missed, not in a herd.
    fn take_up_run(&mut self, leaf: LeafId) {
        self.set_run(leaf);
        let (Some(since), Some((interval, phase))) = (self.state.away_since, self.rhythm(leaf))
        else {
            return;
        };
        let next = schedule::next_on_grid(self.now, interval, phase);
        let missed = Instant(next.0.saturating_sub(interval.0));
        if missed > since && missed <= self.now {
            let slot = self.state.slots.leaf(leaf);
            let late = missed + self.now.since(since);
            self.state.schedule.set_earlier(slot, late);
        }
    }

    pub(super) fn next_run(&self, leaf: LeafId) -> Option<Instant> {
        let (interval, phase) = self.rhythm(leaf)?;
        Some(schedule::next_on_grid(self.now, interval, phase))
    }

    /// How often a leaf is run now, and its place in the interval.
    fn rhythm(&self, leaf: LeafId) -> Option<(Span, u64)> {
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
        Some((interval, phase))
    }

    pub(super) fn sample(&mut self, leaf: LeafId, sample: &Sample) {
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
        let excused = self.excused(sample, check.interval);
        let sample = excused.as_ref().unwrap_or(sample);
        // A shared leaf speaks to every member of its group.
        let members = match leaf.member {
            Some(member) => member..member + 1,
            None => 0..self.state.group(leaf.group).map_or(0, Group::size),
        };
        let ids = members.map(|member| MemberId {
            group: leaf.group,
            member,
        });
        let all_quiet = ids.clone().all(|id| self.quiet(id));
        let Some(state) = self.state.leaf_mut(leaf) else {
            return;
        };
        let settled = state.settled() && all_quiet;
        let before = state.latest();
        let changed = state.take(check, sample);
        let turned = before != state.latest();
        if changed || sample.status != Status::Pass || !settled {
            self.record_run(leaf, sample);
        } else {
            self.out.push(Effect::Record(Entry::Steady {
                leaf,
                at: sample.at,
            }));
        }
        if (changed || sample.status != Status::Pass)
            && let Some(member) = leaf.member
        {
            self.changed.insert(MemberId {
                group: leaf.group,
                member,
            });
        }
        if let Some(member) = leaf.member {
            let group = leaf.group;
            self.look_at_flapping(MemberId { group, member }, sample.status);
        }
        if changed && check.scope == Scope::Dependency {
            self.look_at_supply(leaf.group);
        }
        let telling = changed || turned || sample.status == Status::Unknown;
        for id in ids {
            if telling || !self.quiet(id) {
                self.consider(id);
            }
        }
        self.set_run(leaf);
    }

    pub(super) fn record_run(&mut self, leaf: LeafId, sample: &Sample) {
        self.out.push(Effect::Record(Entry::Run {
            leaf,
            sample: sample.clone(),
        }));
    }

    pub(super) fn started(&mut self, id: MemberId, generation: Generation, adopted: bool) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        if member.generation == Some(generation) {
            return;
        }
        let timeout = self
            .policy(id)
            .map_or(Span::ZERO, |policy| policy.startup_timeout);
        // Of a stranger nobody knows what it was started with.
        let ours = !adopted || member.attempt.is_some();
        let port = self.plan.member(id).and_then(|member| member.port);
        let launched = if ours { self.launch_of(id) } else { 0 };
        // The processes that got a signal were of another life.
        let stale = (member.attempt.as_ref())
            .is_some_and(|it| it.step == Step::Signal && it.phase != Phase::Storing);
        if stale {
            self.conclude(id, Outcome::Superseded, "another process began");
        }
        let Some(member) = self.state.member(id) else {
            return;
        };
        if let Some(attempt) = &member.attempt {
            let intent = attempt.intent;
            self.serve |= self.state.host.release(intent);
        }
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (now, from) = (self.now, member.life.as_str());
        self.change(id, |member| {
            member.generation = Some(generation);
            member.life = Life::Starting { since: now };
            member.health = Health::Unproven;
            member.ready = false;
            member.blind = false;
            member.forget_leaves();
            member.stopped_together = None;
            member.launched = launched;
            member.port = port;
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

    pub(super) fn exited(&mut self, id: MemberId, generation: Generation, exit: Exit) {
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
            attempt.phase == Phase::Acting
                && attempt.generation == Some(generation)
                && attempt.step != Step::Signal
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
            (Some(Step::Stop), attempt) => {
                let together = attempt.is_some_and(|it| it.motive == Motive::Together);
                if together {
                    // Being started with the others is a new try, also for who was given up.
                    self.change(id, |member| {
                        member.ledger.given_up = None;
                        member.stopped_together = Some(now);
                    });
                }
                let whose = if together {
                    "with its whole group"
                } else {
                    "by hand"
                };
                let why = format!("{whose}{}", self.how_it_was_stopped(id, exit));
                self.transition(id, Axis::Life, from, "stopped", why);
            }
            (Some(_), _) => {
                let why = format!("by our hand{}", self.how_it_was_stopped(id, exit));
                self.transition(id, Axis::Life, from, "dead", why);
            }
            (None, Some(attempt)) => {
                self.tell_of_end(id, exit, from, &why);
                match attempt.phase {
                    Phase::Confirming if self.ended_well(id, exit) => {
                        self.conclude(id, Outcome::Effective, &why);
                    }
                    Phase::Confirming => self.conclude(id, Outcome::Futile, &why),
                    Phase::Storing => self.conclude(id, Outcome::Withdrawn, &why),
                    Phase::Acting if attempt.step == Step::Signal => {
                        self.conclude(id, Outcome::Futile, &why);
                    }
                    // A start that is being acted on has no generation yet: this was another one.
                    Phase::Acting => {}
                }
                self.died(id, exit, &why);
            }
            (None, None) => {
                self.tell_of_end(id, exit, from, &why);
                self.died(id, exit, &why);
            }
        }
        if expected.is_none() {
            self.had_its_turn(id, true);
        }
        self.consider(id);
    }

    /// Goes on after who stopped a member, when asking was not enough.
    fn how_it_was_stopped(&self, id: MemberId, exit: Exit) -> String {
        const SIGKILL: i32 = 9;
        let launch = self.plan.group(id.group).map(|group| &group.launch);
        match launch.filter(|launch| launch.stop_signal != "KILL") {
            Some(launch) if exit == Exit::Signal(SIGKILL) => format!(
                ": SIG{} did not end it within {}, SIGKILL did",
                launch.stop_signal, launch.stop_timeout
            ),
            _ => String::new(),
        }
    }

    /// Whether an exit says that the member did what it was started for.
    fn ended_well(&self, id: MemberId, exit: Exit) -> bool {
        self.policy(id)
            .is_some_and(|policy| propose::ended(policy, exit) == Ended::Well)
    }

    /// What it means to a member that it ended so.
    fn ended(&self, id: MemberId, exit: Exit) -> Ended {
        let wanted = self.state.member(id).map(|member| member.wanted);
        match self.policy(id) {
            Some(policy) if wanted != Some(Wanted::Down) => propose::ended(policy, exit),
            Some(_) | None => Ended::Well,
        }
    }

    /// Records that a member ended by itself: ahead of what became of its attempt by that.
    pub(super) fn tell_of_end(&mut self, id: MemberId, exit: Exit, from: &'static str, why: &str) {
        let to = match self.ended(id, exit) {
            Ended::Well | Ended::Left => "stopped",
            Ended::Badly | Ended::Permanently => "dead",
        };
        self.transition(id, Axis::Life, from, to, why.to_owned());
    }

    /// A member ended by itself, which was told.
    pub(super) fn died(&mut self, id: MemberId, exit: Exit, why: &str) {
        let Some(policy) = self.policy(id) else {
            return;
        };
        let now = self.now;
        match self.ended(id, exit) {
            ended @ (Ended::Well | Ended::Left) => {
                if ended == Ended::Left {
                    self.open_incident(id, why);
                }
                self.change(id, |member| {
                    member.life = Life::Stopped;
                    member.wanted = Wanted::Down;
                    member.asked = None;
                });
            }
            Ended::Permanently => {
                self.open_incident(id, why);
                self.give_up(
                    id,
                    &format!("it {exit}, which says that starting it is useless"),
                    None,
                );
            }
            Ended::Badly => {
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
}
