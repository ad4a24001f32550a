//! A world on virtual time that is as bad as it gets: processes fall ill, hang and die, the journal
//! is slow or refuses, the machine stands still, the daemon is killed at any event.

mod daemon;
mod step;
mod strike;

use std::collections::BTreeMap;
use std::sync::Arc;

use checkd_core::engine::{Act, Effect, Engine, Event, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::policy::keep::Kept;
use checkd_core::{
    Cause, Generation, Instant, IntentId, LeafId, Measurement, MemberId, Process, Sample, Span,
    Status,
};

use super::chance::Chance;
use super::tape::Tape;
use super::watch::{Broken, Watch, member_of};

/// When every world begins.
const BEGIN: Instant = Instant(1_000_000);

/// What really is with a member.
#[derive(Clone, Debug, Default)]
struct Truth {
    running: Option<Generation>,
    /// Checks that only a new process passes again.
    wedged: Vec<u32>,
    /// Its workers that are stuck, each with the check that blames it.
    stuck: Vec<(u32, Process)>,
    /// Each of its processes ends after so long.
    dies_after: Option<u64>,
}

/// What is on its way.
#[derive(Clone, Debug)]
struct Item {
    event: Event,
    /// It is lost when the daemon dies; what the manager does goes on.
    of_daemon: bool,
    /// Whom it is about, as far as somebody is to be helped.
    member: Option<MemberId>,
}

/// How time passes between blows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// By itself.
    Flowing,
    /// Nothing comes and no time passes but by a blow that says so; checks answer at once.
    StepByStep,
}

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) watch: Watch,
    /// Kept while time flows; steps are too many to be told twice.
    tape: Option<Tape>,
    pace: Pace,
    pub(crate) now: Instant,
    /// Events that the engine took.
    pub(crate) events: u64,
    plan: Arc<Plan>,
    plans: Vec<Arc<Plan>>,
    chance: Chance,
    truth: BTreeMap<MemberId, Truth>,
    says: BTreeMap<LeafId, (Status, Option<Cause>)>,
    incurable: bool,
    cannot_start: bool,
    journal_down: bool,
    journal_takes: u64,
    unheard: bool,
    lag: Span,
    kept: BTreeMap<String, Arc<Kept>>,
    durable: BTreeMap<String, Arc<Kept>>,
    /// What the engine was like when the journal last stored an intent.
    durable_likeness: u64,
    /// How often something was decided.
    decided: u64,
    /// Acts that the manager began, and whether they came to their end.
    begun: BTreeMap<IntentId, bool>,
    /// The newest of what once was true, to be said again.
    last_sample: Option<Event>,
    last_intent: IntentId,
    next_pid: u32,
    queue: BTreeMap<(Instant, u64), Item>,
    queued: u64,
    wake_at: Option<Instant>,
    /// Wake-ups at this same instant.
    spins: u64,
    /// The daemon dies after so many events.
    crash_in: Option<(u64, bool)>,
}

impl World {
    pub(crate) fn new(plans: Vec<Arc<Plan>>, seed: u64, pace: Pace) -> Result<Self, Broken> {
        let plan = plans.first().map(Arc::clone).unwrap_or_default();
        let mut world = Self {
            engine: Engine::new(Arc::clone(&plan), seed, IntentId(1), BEGIN),
            watch: Watch::new(BEGIN),
            tape: (pace == Pace::Flowing)
                .then(|| Tape::new(Arc::clone(&plan), seed, IntentId(1), BEGIN)),
            pace,
            now: BEGIN,
            events: 0,
            plan,
            plans,
            chance: Chance(seed),
            truth: BTreeMap::new(),
            says: BTreeMap::new(),
            incurable: false,
            cannot_start: false,
            journal_down: false,
            journal_takes: 1,
            unheard: false,
            lag: Span::ZERO,
            kept: BTreeMap::new(),
            durable: BTreeMap::new(),
            durable_likeness: 0,
            decided: 0,
            begun: BTreeMap::new(),
            last_sample: None,
            last_intent: IntentId(0),
            next_pid: 100,
            queue: BTreeMap::new(),
            queued: 0,
            wake_at: None,
            spins: 0,
            crash_in: None,
        };
        world.host(0)?;
        world.event(&Event::Wake)?;
        Ok(world)
    }

    fn running(&self, id: MemberId) -> Option<Generation> {
        self.truth.get(&id).and_then(|truth| truth.running)
    }

    /// Whether only a restart, or the end of a worker, would cure it.
    pub(crate) fn wedged(&self, id: MemberId) -> bool {
        let truth = self.truth.get(&id);
        truth.is_some_and(|it| !it.wedged.is_empty() || !it.stuck.is_empty())
    }

    /// Lets `span` pass.
    pub(crate) fn pass(&mut self, span: Span) -> Result<(), Broken> {
        let end = self.now + span;
        loop {
            let queued = self.queue.first_key_value().map(|(key, _)| *key);
            let wake = self.wake_at.map(|at| at + self.lag);
            let next = match (queued, wake) {
                (Some((at, _)), Some(wake)) => at.min(wake),
                (Some((at, _)), None) => at,
                (None, Some(wake)) => wake,
                (None, None) => break,
            };
            if next > end {
                break;
            }
            if next > self.now {
                self.spins = 0;
            }
            self.spins += 1;
            if self.spins > 10_000 {
                return Err(format!("the engine spins at {:?}", self.now));
            }
            self.now = self.now.max(next);
            if let Some(key) = queued.filter(|(at, _)| *at <= next)
                && let Some(item) = self.queue.remove(&key)
            {
                self.arrive(&item.event)?;
            } else {
                self.wake_at = None;
                self.event(&Event::Wake)?;
            }
        }
        self.now = end.max(self.now);
        Ok(())
    }

    fn later(&mut self, ms: u64, event: Event, of_daemon: bool, member: Option<MemberId>) {
        self.queued += 1;
        let key = (self.now + Span(ms), self.queued);
        let item = Item {
            event,
            of_daemon,
            member,
        };
        self.queue.insert(key, item);
    }

    /// What was on its way has come: the world changes with it.
    fn arrive(&mut self, event: &Event) -> Result<(), Broken> {
        match event {
            Event::IntentStored(intent) => {
                self.last_intent = *intent;
                self.watch.stored(*intent);
                self.durable = self.kept.clone();
                if self.pace == Pace::StepByStep {
                    self.durable_likeness = self.engine.likeness(self.now);
                }
            }
            Event::IntentRefused { intent, .. } => self.watch.refuse(*intent),
            Event::Done { intent, .. } => {
                self.begun.insert(*intent, true);
                self.watch.done(*intent);
            }
            Event::Exited {
                member, generation, ..
            } => {
                let truth = self.truth.entry(*member).or_default();
                if truth.running != Some(*generation) {
                    return Ok(());
                }
                truth.running = None;
                truth.stuck.clear();
            }
            Event::Started {
                member, generation, ..
            } => {
                self.watch.lives(*member);
                let incurable = self.incurable;
                let truth = self.truth.entry(*member).or_default();
                truth.running = Some(*generation);
                let stuck = std::mem::take(&mut truth.stuck);
                if incurable {
                    truth.wedged.extend(stuck.iter().map(|(check, _)| *check));
                } else {
                    truth.wedged.clear();
                }
                if let Some(after) = truth.dies_after {
                    let exit = Event::Exited {
                        member: *member,
                        generation: *generation,
                        exit: Exit::Code(1),
                    };
                    self.later(after * 1_000, exit, false, Some(*member));
                }
            }
            Event::Sample { leaf, sample } => {
                let id = leaf.member.map(|member| MemberId {
                    group: leaf.group,
                    member,
                });
                let own = id.is_none_or(|id| self.running(id) == sample.generation);
                if own {
                    self.watch.sample(*leaf, sample, self.now);
                }
                self.last_sample = Some(event.clone());
            }
            Event::Wake | Event::Host(_) | Event::Command { .. } | Event::Maintenance { .. } => {}
        }
        self.event(event)
    }

    fn event(&mut self, event: &Event) -> Result<(), Broken> {
        let mut out = Vec::new();
        self.engine.step(event, self.now, &mut out);
        self.events += 1;
        if let Some(tape) = &mut self.tape {
            tape.took(event, self.now, &out, &self.engine);
        }
        self.effects(out)?;
        match self.crash_in {
            Some((0, lossy)) => {
                self.crash_in = None;
                self.crash(lossy)
            }
            Some((left, lossy)) => {
                self.crash_in = Some((left - 1, lossy));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn effects(&mut self, effects: Vec<Effect>) -> Result<(), Broken> {
        for effect in effects {
            match effect {
                Effect::Record(entry) => {
                    self.watch.entry(&self.plan, &entry, self.now)?;
                    self.decided +=
                        u64::from(!matches!(entry, Entry::Run { .. } | Entry::Steady { .. }));
                    if let Entry::Intent { intent, act, .. } = entry {
                        let event = if self.journal_down {
                            let reason = "disk full".to_owned();
                            Event::IntentRefused { intent, reason }
                        } else {
                            Event::IntentStored(intent)
                        };
                        self.later(self.journal_takes, event, true, Some(member_of(&act)));
                    }
                }
                Effect::Do(intent, act) if self.unheard => {
                    let result = Err("the manager did not answer".to_owned());
                    let done = Event::Done { intent, result };
                    self.later(5_000, done, true, Some(member_of(&act)));
                }
                Effect::Do(intent, act) => self.act(intent, act)?,
                Effect::Run(run) => {
                    let (status, cause) = self.answer(run.leaf);
                    let took = match self.pace {
                        Pace::Flowing => 1 + self.chance.below(40),
                        Pace::StepByStep => 0,
                    };
                    let sample = Sample {
                        status,
                        cause,
                        message: Arc::from(""),
                        measurements: self.blame(run.leaf),
                        at: self.now + Span(took),
                        took: Span(took),
                        generation: run.generation,
                    };
                    let leaf = run.leaf;
                    self.later(took, Event::Sample { leaf, sample }, true, None);
                }
                Effect::WakeAt(at) => self.set_wake(at)?,
                Effect::Keep(kept) => {
                    self.kept.insert(kept.path().to_owned(), Arc::new(kept));
                }
                Effect::Notify(_) | Effect::Answer { .. } => {}
            }
        }
        Ok(())
    }

    /// Step by step nobody is ever late, and nothing but a mistake is due in the past.
    fn set_wake(&mut self, at: Instant) -> Result<(), Broken> {
        if self.pace == Pace::StepByStep && at < self.now {
            return Err(format!("at {:?} it asks to be woken at {at:?}", self.now));
        }
        self.wake_at = Some(at);
        Ok(())
    }

    /// What a run of a check says now.
    fn answer(&self, leaf: LeafId) -> (Status, Option<Cause>) {
        let id = leaf.member.map(|member| MemberId {
            group: leaf.group,
            member,
        });
        let wedged = id.and_then(|id| self.truth.get(&id));
        let fails = |truth: &Truth| {
            let stuck = truth.stuck.iter().any(|(check, _)| *check == leaf.check);
            stuck || truth.wedged.contains(&leaf.check)
        };
        if wedged.is_some_and(fails) {
            return (Status::Fail, Some(Cause::Wrong));
        }
        let said = self.says.get(&leaf).copied();
        said.unwrap_or((Status::Pass, None))
    }

    /// Whom a run of a check blames now.
    fn blame(&self, leaf: LeafId) -> Vec<Measurement> {
        let id = leaf.member.map(|member| MemberId {
            group: leaf.group,
            member,
        });
        let stuck = id.and_then(|id| self.truth.get(&id));
        let stuck = stuck.into_iter().flat_map(|truth| &truth.stuck);
        let of_it = stuck.filter(|(check, _)| *check == leaf.check);
        let one = |(_, process): &(u32, Process)| Measurement {
            name: Arc::from("blamed"),
            value: f64::from(process.pid),
            unit: Arc::from("pid"),
            limit: u32::try_from(process.start).ok().map(f64::from),
        };
        of_it.map(one).collect()
    }

    /// A worker gets stuck.
    fn stick(&mut self, id: MemberId, check: u32) {
        self.next_pid += 1;
        let process = Process {
            pid: self.next_pid,
            start: self.now.0,
        };
        self.truth
            .entry(id)
            .or_default()
            .stuck
            .push((check, process));
    }

    /// Workers get a signal, which may not end them; and those that replace them may be no better. Who
    /// waits for their end is the daemon itself.
    fn signal(&mut self, intent: IntentId, member: MemberId, processes: &[Process]) {
        let ends = self.pace == Pace::StepByStep || self.chance.percent(80);
        let result = if ends {
            let truth = self.truth.entry(member).or_default();
            let of_them = |(_, process): &(u32, Process)| processes.contains(process);
            let again: Vec<u32> = (truth.stuck.iter().filter(|it| of_them(it)))
                .map(|(check, _)| *check)
                .collect();
            truth.stuck.retain(|it| !of_them(it));
            if self.incurable {
                for check in again {
                    self.stick(member, check);
                }
            }
            Ok(())
        } else {
            Err("process 7 did not end within 10s of SIGTERM".to_owned())
        };
        let at = self.chance.one(&[1, 10, 3_000, 9_000], 100);
        self.later(at, Event::Done { intent, result }, true, Some(member));
    }

    /// The manager: it knows every act by its intent, and does none twice.
    fn act(&mut self, intent: IntentId, act: Act) -> Result<(), Broken> {
        let truth = &self.truth;
        let running = |id: MemberId| truth.get(&id).and_then(|truth| truth.running);
        self.watch.act(
            &self.plan,
            &self.engine,
            (intent, act.clone()),
            running,
            self.now,
        )?;
        match self.begun.get(&intent) {
            Some(true) => {
                let result = Ok(());
                let member = Some(member_of(&act));
                self.later(1, Event::Done { intent, result }, false, member);
                return Ok(());
            }
            Some(false) => return Ok(()),
            None => drop(self.begun.insert(intent, false)),
        }
        let (member, stops, starts) = match act {
            Act::Signal {
                member, processes, ..
            } => {
                self.signal(intent, member, &processes);
                return Ok(());
            }
            Act::Start { member } => (member, None, true),
            Act::Restart {
                member, generation, ..
            } => (member, Some(generation), true),
            Act::Stop { member, generation } => (member, Some(generation), false),
        };
        let mut at = 1 + self.chance.below(50);
        if let Some(generation) = stops {
            at += self.chance.one(&[10, 100, 3_000, 9_000], 100);
            let exit = Exit::Signal(15);
            let event = Event::Exited {
                member,
                generation,
                exit,
            };
            self.later(at, event, false, Some(member));
        }
        let mut result = Ok(());
        if starts && self.cannot_start {
            result = Err("no such file".to_owned());
        } else if starts {
            self.next_pid += 1;
            let generation = Generation {
                boot: 1,
                pid: self.next_pid,
                start: self.now.0,
            };
            at += 20 + self.chance.below(400);
            let event = Event::Started {
                member,
                generation,
                adopted: false,
            };
            self.later(at, event, false, Some(member));
        }
        let done = Event::Done { intent, result };
        self.later(at + 1, done, false, Some(member));
        Ok(())
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}
