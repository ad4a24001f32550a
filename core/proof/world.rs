//! A world on virtual time that is as bad as it gets: processes fall ill, hang and die, the journal
//! is slow or refuses, the machine stands still, the daemon is killed at any event.

use std::collections::BTreeMap;
use std::sync::Arc;

use checkd_core::engine::{Act, Command, Effect, Engine, Event, Exit, HostFacts, Window};
use checkd_core::journal::Entry;
use checkd_core::plan::{Plan, Scope};
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::{Cause, Generation, Instant, IntentId, LeafId, MemberId, Sample, Span, Status};

use super::blow::{Blow, Verb};
use super::chance::Chance;
use super::tape::Tape;
use super::watch::{Broken, Watch, rename};

/// When every world begins.
const BEGIN: Instant = Instant(1_000_000);

/// What really is with a member.
#[derive(Clone, Debug, Default)]
struct Truth {
    running: Option<Generation>,
    /// Checks that only a new process passes again.
    wedged: Vec<u32>,
    /// Each of its processes ends after so long.
    dies_after: Option<u64>,
}

/// What is on its way.
#[derive(Clone, Debug)]
struct Item {
    event: Event,
    /// It is lost when the daemon dies; what the manager does goes on.
    of_daemon: bool,
}

/// The world.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) watch: Watch,
    tape: Tape,
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
    kept: BTreeMap<String, Kept>,
    durable: BTreeMap<String, Kept>,
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
    pub(crate) fn new(plans: Vec<Arc<Plan>>, seed: u64) -> Result<Self, Broken> {
        let plan = plans.first().map(Arc::clone).unwrap_or_default();
        let mut world = Self {
            engine: Engine::new(Arc::clone(&plan), seed, IntentId(1), BEGIN),
            watch: Watch::new(BEGIN),
            tape: Tape::new(Arc::clone(&plan), seed, IntentId(1), BEGIN),
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

    /// Whether only a restart would cure it.
    pub(crate) fn wedged(&self, id: MemberId) -> bool {
        self.truth.get(&id).is_some_and(|it| !it.wedged.is_empty())
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

    fn later(&mut self, ms: u64, event: Event, of_daemon: bool) {
        self.queued += 1;
        let key = (self.now + Span(ms), self.queued);
        self.queue.insert(key, Item { event, of_daemon });
    }

    /// What was on its way has come: the world changes with it.
    fn arrive(&mut self, event: &Event) -> Result<(), Broken> {
        match event {
            Event::IntentStored(intent) => {
                self.last_intent = *intent;
                self.watch.stored(*intent);
                self.durable = self.kept.clone();
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
            }
            Event::Started {
                member, generation, ..
            } => {
                self.watch.lives(*member);
                let incurable = self.incurable;
                let truth = self.truth.entry(*member).or_default();
                truth.running = Some(*generation);
                if !incurable {
                    truth.wedged.clear();
                }
                if let Some(after) = truth.dies_after {
                    let exit = Event::Exited {
                        member: *member,
                        generation: *generation,
                        exit: Exit::Code(1),
                    };
                    self.later(after * 1_000, exit, false);
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
        self.tape.took(event, self.now, &out);
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
                    if let Entry::Intent { intent, .. } = entry {
                        let event = if self.journal_down {
                            let reason = "disk full".to_owned();
                            Event::IntentRefused { intent, reason }
                        } else {
                            Event::IntentStored(intent)
                        };
                        self.later(self.journal_takes, event, true);
                    }
                }
                Effect::Do(intent, _) if self.unheard => {
                    let result = Err("the manager did not answer".to_owned());
                    self.later(5_000, Event::Done { intent, result }, true);
                }
                Effect::Do(intent, act) => self.act(intent, act)?,
                Effect::Run(run) => {
                    let (status, cause) = self.answer(run.leaf);
                    let took = 1 + self.chance.below(40);
                    let sample = Sample {
                        status,
                        cause,
                        message: Arc::from(""),
                        measurements: Vec::new(),
                        at: self.now + Span(took),
                        took: Span(took),
                        generation: run.generation,
                    };
                    let leaf = run.leaf;
                    self.later(took, Event::Sample { leaf, sample }, true);
                }
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Keep(kept) => drop(self.kept.insert(kept.path().to_owned(), kept)),
                Effect::Notify(_) | Effect::Answer { .. } => {}
            }
        }
        Ok(())
    }

    /// What a run of a check says now.
    fn answer(&self, leaf: LeafId) -> (Status, Option<Cause>) {
        let id = leaf.member.map(|member| MemberId {
            group: leaf.group,
            member,
        });
        let wedged = id.and_then(|id| self.truth.get(&id));
        if wedged.is_some_and(|truth| truth.wedged.contains(&leaf.check)) {
            return (Status::Fail, Some(Cause::Wrong));
        }
        let said = self.says.get(&leaf).copied();
        said.unwrap_or((Status::Pass, None))
    }

    /// The manager: it knows every act by its intent, and does none twice.
    fn act(&mut self, intent: IntentId, act: Act) -> Result<(), Broken> {
        let truth = &self.truth;
        let running = |id: MemberId| truth.get(&id).and_then(|truth| truth.running);
        self.watch
            .act(&self.plan, &self.engine, (intent, act), running, self.now)?;
        match self.begun.get(&intent) {
            Some(true) => {
                let result = Ok(());
                self.later(1, Event::Done { intent, result }, false);
                return Ok(());
            }
            Some(false) => return Ok(()),
            None => drop(self.begun.insert(intent, false)),
        }
        let (member, stops, starts) = match act {
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
            self.later(at, event, false);
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
            self.later(at, event, false);
        }
        self.later(at + 1, Event::Done { intent, result }, false);
        Ok(())
    }

    /// The daemon is killed, and another begins.
    fn crash(&mut self, lossy: bool) -> Result<(), Broken> {
        self.watch.crashed(lossy, self.now);
        if lossy {
            self.kept = self.durable.clone();
        }
        let open = self.watch.open();
        self.queue.retain(|_, item| !item.of_daemon);
        let first = IntentId(self.watch.last_intent().0 + 1);
        let seed = self.chance.draw();
        self.engine = Engine::new(Arc::clone(&self.plan), seed, first, self.now);
        self.wake_at = None;
        let kept: Vec<Kept> = self.kept.values().cloned().collect();
        let between = Between::SameBoot { open };
        self.replay()?;
        self.engine.restore(&kept, &between, self.now);
        self.tape = Tape::new(Arc::clone(&self.plan), seed, first, self.now);
        self.tape.restored(kept, between);
        let plan = Arc::clone(&self.plan);
        for member in plan.members() {
            let kept = self.kept.get(&plan.path(member));
            let was = kept.and_then(|kept| kept.member()?.generation);
            let is = self.running(member);
            if let Some(generation) = was.filter(|_| was != is) {
                let exit = Exit::Lost;
                self.event(&Event::Exited {
                    member,
                    generation,
                    exit,
                })?;
            }
            if let Some(generation) = is {
                self.event(&Event::Started {
                    member,
                    generation,
                    adopted: true,
                })?;
            }
        }
        self.host(0)?;
        self.event(&Event::Wake)
    }

    /// I6: another engine that is told the same decides the same.
    pub(crate) fn replay(&mut self) -> Result<(), Broken> {
        self.watch.look(6);
        self.tape.replay()
    }

    fn host(&mut self, memory_full: u8) -> Result<(), Broken> {
        self.event(&Event::Host(HostFacts {
            cores: 4,
            memory_full,
            io_full: 0,
        }))
    }

    fn reload(&mut self, number: u64) -> Result<(), Broken> {
        let plans = &self.plans;
        let number = usize::try_from(number).unwrap_or(0) % plans.len().max(1);
        let Some(next) = plans.get(number).map(Arc::clone) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut self.plan, Arc::clone(&next));
        for entry in self.engine.leaving(&next, self.now) {
            self.watch.entry(&before, &entry, self.now)?;
        }
        self.watch.reload(&before, &next, self.now);
        let name = |id: MemberId| {
            let group = before.group(id.group)?.name.as_str();
            next.find(group, before.member(id)?.name.as_str())
        };
        self.truth = rename(&mut self.truth, name);
        self.says.clear();
        let queue = std::mem::take(&mut self.queue).into_iter();
        self.queue = queue
            .filter_map(|(key, Item { event, of_daemon })| {
                let event = event.rebased(&before, &next)?;
                Some((key, Item { event, of_daemon }))
            })
            .collect();
        self.last_sample = None;
        self.wake_at = None;
        let wanted: Vec<String> = next.members().map(|id| next.path(id)).collect();
        let groups: Vec<&str> = next.groups.iter().map(|it| it.name.as_str()).collect();
        let known = |path: &String| wanted.contains(path) || groups.contains(&path.as_str());
        self.kept.retain(|path, _| known(path));
        self.durable.retain(|path, _| known(path));
        self.tape.reloaded(&next, self.now);
        drop(self.engine.reload(next, self.now));
        self.event(&Event::Wake)
    }

    fn command(&mut self, member: MemberId, command: Command) -> Result<(), Broken> {
        if command == Command::Reset {
            self.watch.reset(member);
        }
        let by = "ada".to_owned();
        self.event(&Event::Command {
            id: 1,
            by,
            member,
            command,
        })
    }

    /// All faults are over; `wedged` processes stay so.
    pub(crate) fn calm(&mut self, stay_wedged: bool) -> Result<(), Broken> {
        self.incurable = false;
        self.cannot_start = false;
        self.journal_down = false;
        self.journal_takes = 1;
        self.unheard = false;
        self.lag = Span::ZERO;
        self.says.clear();
        self.crash_in = None;
        for truth in self.truth.values_mut() {
            truth.dies_after = None;
            if !stay_wedged {
                truth.wedged.clear();
            }
        }
        self.host(0)
    }

    /// Whoever was stopped, or ended well, is wanted again.
    pub(crate) fn start_stopped(&mut self) -> Result<(), Broken> {
        let plan = Arc::clone(&self.plan);
        for id in plan.members() {
            let report = self.engine.explain(id, self.now);
            if report.is_some_and(|report| report.life == "stopped") {
                self.command(id, Command::Start)?;
            }
        }
        Ok(())
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn say(&mut self, group: u32, member: Option<u32>, check: u32, says: (Status, Option<Cause>)) {
        let leaf = LeafId {
            group,
            check,
            member,
        };
        let shared = self.plan.check(leaf).map(|it| it.scope != Scope::Process);
        let member = member.filter(|_| shared == Some(false));
        let leaf = LeafId { member, ..leaf };
        self.says.insert(leaf, says);
    }

    /// Something happens.
    pub(crate) fn strike(&mut self, blow: &Blow) -> Result<(), Broken> {
        self.pass(Span::secs(blow.wait))?;
        let many = u32::try_from(self.plan.groups.len()).unwrap_or(1);
        let group = blow.group % many.max(1);
        let Some(plan) = self.plan.group(group) else {
            return Ok(());
        };
        let size = u32::try_from(plan.members.len()).unwrap_or(1).max(1);
        let checks = u32::try_from(plan.checks.len()).unwrap_or(1).max(1);
        let member = blow.member % size;
        let id = MemberId { group, member };
        let check = u32::try_from(blow.number).unwrap_or(0) % checks;
        let seconds = Span::secs(blow.number);
        let wrong = (Status::Fail, Some(Cause::Wrong));
        let unknown = (Status::Unknown, Some(Cause::NoPermission));
        match blow.verb {
            Verb::Passes => self.say(group, Some(member), check, (Status::Pass, None)),
            Verb::Fails => self.say(group, Some(member), check, wrong),
            Verb::TimesOut => {
                let late = (Status::Fail, Some(Cause::Timeout));
                self.say(group, Some(member), check, late);
            }
            Verb::Warns => self.say(group, Some(member), check, (Status::Warn, None)),
            Verb::Unknown => self.say(group, Some(member), check, unknown),
            Verb::AllPass | Verb::AllFail | Verb::AllUnknown => {
                let says = match blow.verb {
                    Verb::AllPass => (Status::Pass, None),
                    Verb::AllFail => wrong,
                    _ => unknown,
                };
                for member in 0..size {
                    self.say(group, Some(member), check, says);
                }
            }
            Verb::Wedges => self.truth.entry(id).or_default().wedged.push(check),
            Verb::AllWedge => {
                for member in 0..size {
                    let id = MemberId { group, member };
                    self.truth.entry(id).or_default().wedged.push(check);
                }
            }
            Verb::Incurable => self.incurable = true,
            Verb::Curable => self.incurable = false,
            Verb::Dies => {
                if let Some(generation) = self.running(id) {
                    let exit = Exit::Code(i32::try_from(blow.number).unwrap_or(1));
                    self.arrive(&Event::Exited {
                        member: id,
                        generation,
                        exit,
                    })?;
                }
            }
            Verb::Loops => self.truth.entry(id).or_default().dies_after = Some(blow.number),
            Verb::Holds => self.truth.entry(id).or_default().dies_after = None,
            Verb::JournalDown => self.journal_down = true,
            Verb::JournalSlow => {
                self.journal_down = false;
                self.journal_takes = seconds.0;
            }
            Verb::JournalWell => {
                self.journal_down = false;
                self.journal_takes = 1;
            }
            Verb::CannotStart => self.cannot_start = true,
            Verb::CanStart => self.cannot_start = false,
            Verb::Lags => self.lag = Span(blow.number),
            Verb::LagsNot => self.lag = Span::ZERO,
            Verb::Freezes => self.now += seconds,
            Verb::Presses => self.host(u8::try_from(blow.number).unwrap_or(0))?,
            Verb::Unheard => self.unheard = true,
            Verb::Heard => self.unheard = false,
            Verb::Crash => self.crash(false)?,
            Verb::CrashSoon => self.crash_in = Some((blow.number, false)),
            Verb::CrashLossy => self.crash_in = Some((blow.number, true)),
            Verb::Reload => self.reload(blow.number)?,
            Verb::Restart => self.command(id, Command::Restart { now: false })?,
            Verb::RestartNow => self.command(id, Command::Restart { now: true })?,
            Verb::Start => self.command(id, Command::Start)?,
            Verb::Stop => self.command(id, Command::Stop)?,
            Verb::Pause => {
                let until = self.now + Span::mins(blow.number);
                let reason = "to look".to_owned();
                let force = true;
                self.command(
                    id,
                    Command::Pause {
                        until,
                        reason,
                        force,
                    },
                )?;
            }
            Verb::Maintenance => {
                let window = Window {
                    name: "night".to_owned(),
                    reason: None,
                    until: self.now + Span::mins(blow.number),
                };
                self.watch.leave_alone(group, window.until);
                let window = Some(window);
                self.event(&Event::Maintenance { group, window })?;
            }
            Verb::Resume => self.command(id, Command::Resume { force: true })?,
            Verb::Reset => self.command(id, Command::Reset)?,
            Verb::StartedTwice
            | Verb::ExitedStranger
            | Verb::DoneStranger
            | Verb::DoneTwice
            | Verb::StoredStranger
            | Verb::StoredTwice
            | Verb::RefusedTwice
            | Verb::SampleStranger
            | Verb::SampleNowhere
            | Verb::SampleTwice => self.noise(blow.verb, id, check)?,
        }
        Ok(())
    }

    /// Events that no host should send; the engine must not be moved by them.
    fn noise(&mut self, verb: Verb, id: MemberId, check: u32) -> Result<(), Broken> {
        let stranger = Generation {
            boot: 9,
            pid: 9,
            start: 9,
        };
        let sample = |generation| Sample {
            status: Status::Fail,
            cause: Some(Cause::Wrong),
            message: Arc::from("of another life"),
            measurements: Vec::new(),
            at: self.now,
            took: Span(1),
            generation,
        };
        let far = IntentId(1_000_000);
        let event = match verb {
            Verb::StartedTwice => match self.running(id) {
                Some(generation) => Event::Started {
                    member: id,
                    generation,
                    adopted: false,
                },
                None => return Ok(()),
            },
            Verb::ExitedStranger => Event::Exited {
                member: id,
                generation: stranger,
                exit: Exit::Code(1),
            },
            Verb::DoneStranger => Event::Done {
                intent: far,
                result: Err("whose".to_owned()),
            },
            Verb::DoneTwice => {
                if self.begun.get(&self.last_intent) != Some(&true) {
                    return Ok(());
                }
                Event::Done {
                    intent: self.last_intent,
                    result: Err("late".to_owned()),
                }
            }
            Verb::StoredStranger => Event::IntentStored(far),
            Verb::StoredTwice => Event::IntentStored(self.last_intent),
            Verb::RefusedTwice => Event::IntentRefused {
                intent: self.last_intent,
                reason: "late".to_owned(),
            },
            Verb::SampleStranger => Event::Sample {
                leaf: LeafId {
                    group: id.group,
                    check,
                    member: Some(id.member),
                },
                sample: sample(Some(stranger)),
            },
            Verb::SampleNowhere => Event::Sample {
                leaf: LeafId {
                    group: id.group,
                    check: check + 90,
                    member: None,
                },
                sample: sample(None),
            },
            _ => match self.last_sample.clone() {
                Some(event) => return self.arrive(&event),
                None => return Ok(()),
            },
        };
        self.event(&event)
    }
}
