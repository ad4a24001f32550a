//! A small world on virtual time: processes that obey, fall ill and die by script, a journal that
//! stores or refuses, and a ledger of everything that the engine did. For tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compose::{Complex, Expr};
use crate::engine::Engine;
use crate::event::{Act, Command, Effect, Event, Exit};
use crate::journal::Entry;
use crate::plan::{CheckPlan, GroupPlan, Launch, MemberPlan, Mode, Plan, PolicyPlan};
use crate::policy::About;
use crate::policy::keep::{Between, Kept};
use crate::replay::{Input, Recorder};
use crate::{
    Cause, Generation, Instant, IntentId, LeafId, Measurement, MemberId, Process, Sample, Span,
    Status,
};
use crate::{CheckKind, CheckName, GroupName, MemberName};

/// A check every 10 s with the default thresholds.
pub(crate) fn check(name: &str) -> CheckPlan {
    CheckPlan::of_defaults(
        CheckName::new(name).unwrap(),
        CheckKind::new("test").unwrap(),
    )
}

/// A group `web` of `members` members with these checks, all of them in `live`.
pub(crate) fn group(members: u32, checks: &[&str], max_out: u32) -> GroupPlan {
    let leaves = (0u32..).take(checks.len()).map(Expr::Leaf).collect();
    let all = Complex {
        text: checks.join(" and "),
        expr: Expr::All(leaves),
    };
    GroupPlan {
        name: GroupName::new("web").unwrap(),
        mode: Mode::Auto,
        members: (0..members)
            .map(|index| MemberPlan {
                name: MemberName::new(&format!("web-{index}")).unwrap(),
                index,
                port: None,
            })
            .collect(),
        checks: checks.iter().map(|name| check(name)).collect(),
        live: all.clone(),
        ready: all.clone(),
        startup: all,
        ready_members: members,
        policy: PolicyPlan {
            max_out,
            ..PolicyPlan::of_defaults(members)
        },
        launch: Launch::default(),
        depends_on: Vec::new(),
    }
}

/// The world: what really is, beside what the engine believes.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a test")]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    /// What a run of check `c` on member `m` says: by default Pass.
    pub(crate) says: BTreeMap<LeafId, (Status, Option<Cause>)>,
    /// Whom a failing run of check `c` on member `m` blames.
    pub(crate) blames: BTreeMap<LeafId, Vec<Process>>,
    /// Members whose illness a restart cures.
    pub(crate) cured_by_restart: bool,
    /// Members whose illness the end of who is blamed cures.
    pub(crate) cured_by_signal: bool,
    /// Why a signal leads to no end.
    pub(crate) cannot_signal: Option<String>,
    /// Members that die so long after their start.
    pub(crate) dies_after: BTreeMap<MemberId, (Span, i32)>,
    /// The journal refuses intents.
    pub(crate) journal_down: bool,
    /// Acts do not reach the manager.
    pub(crate) unheard: bool,
    /// What the next daemon is told ahead of its first wake-up.
    pub(crate) before_first_wake: Option<Event>,
    /// Every wake-up comes so late.
    pub(crate) lag: Span,
    /// The manager cannot start anything.
    pub(crate) cannot_start: bool,
    /// Everything that happened, a line each: `12.3s web-1 restart: …`.
    pub(crate) ledger: Vec<String>,
    /// Everything that the engine wanted, when somebody asks for it.
    pub(crate) tape: Option<Vec<(Instant, Effect)>>,
    /// What the engine is told, with where it began, when somebody asks for it.
    pub(crate) told: Option<(Engine, Recorder, Vec<Input>)>,
    /// Every entry that went to the journal.
    pub(crate) entries: Vec<(Instant, Entry)>,
    /// Acts that were carried out.
    pub(crate) acts: Vec<(Instant, Act)>,
    /// The ports that runs were told.
    pub(crate) ports: BTreeSet<Option<u16>>,
    /// What the engine wants to outlive it.
    pub(crate) kept: BTreeMap<String, Kept>,
    /// The same as it was when the journal last stored an intent: what a crash may leave.
    durable: (BTreeMap<String, Kept>, usize),
    /// Intents that the journal stored.
    stored: BTreeSet<IntentId>,
    /// Acts that somebody began to carry out, and whether they came to their end.
    begun: BTreeMap<IntentId, bool>,
    /// Intents that the journal refused.
    pub(crate) refused: BTreeSet<IntentId>,
    /// Members that are down by our hand at this moment: the truth, not the engine's count.
    pub(crate) down: BTreeMap<MemberId, bool>,
    /// The largest number of them at once, and how many there were at each kill.
    pub(crate) most_down: usize,
    running: BTreeMap<MemberId, Generation>,
    next_pid: u32,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    wake_at: Option<Instant>,
}

impl World {
    pub(crate) fn new(groups: Vec<GroupPlan>) -> Self {
        let plan = Arc::new(Plan {
            groups,
            ..Plan::default()
        });
        let now = Instant(1_000_000);
        let mut world = Self {
            engine: Engine::new(plan, 7, IntentId(1), now),
            now,
            says: BTreeMap::new(),
            blames: BTreeMap::new(),
            cured_by_restart: true,
            cured_by_signal: true,
            cannot_signal: None,
            dies_after: BTreeMap::new(),
            journal_down: false,
            unheard: false,
            before_first_wake: None,
            lag: Span::ZERO,
            cannot_start: false,
            ledger: Vec::new(),
            tape: None,
            told: None,
            entries: Vec::new(),
            acts: Vec::new(),
            ports: BTreeSet::new(),
            kept: BTreeMap::new(),
            durable: (BTreeMap::new(), 0),
            stored: BTreeSet::new(),
            begun: BTreeMap::new(),
            refused: BTreeSet::new(),
            down: BTreeMap::new(),
            most_down: 0,
            running: BTreeMap::new(),
            next_pid: 100,
            queue: BTreeMap::new(),
            queued: 0,
            wake_at: None,
        };
        world.event(&Event::Wake);
        world
    }

    /// When the engine asked to be woken.
    pub(crate) const fn next_wake(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Member `member` of the first group.
    pub(crate) fn id(member: u32) -> MemberId {
        MemberId { group: 0, member }
    }

    /// From now on check `check` of member `member` says this.
    pub(crate) fn say(&mut self, member: u32, check: u32, status: Status) {
        let cause = (status != Status::Pass).then_some(Cause::Wrong);
        let leaf = LeafId {
            group: 0,
            check,
            member: Some(member),
        };
        self.says.insert(leaf, (status, cause));
    }

    /// Its process ends now.
    pub(crate) fn die(&mut self, id: MemberId, exit: Exit) {
        if let Some(generation) = self.running.remove(&id) {
            self.event(&Event::Exited {
                member: id,
                generation,
                exit,
            });
        }
    }

    /// A person asks.
    pub(crate) fn command(&mut self, member: u32, command: Command) -> Result<String, String> {
        self.command_by("ada", member, command)
    }

    pub(crate) fn command_by(
        &mut self,
        by: &str,
        member: u32,
        command: Command,
    ) -> Result<String, String> {
        let member = Self::id(member);
        let event = Event::Command {
            id: 1,
            by: by.to_owned(),
            member,
            command,
        };
        let out = self.step(&event);
        let answer = out.iter().find_map(|effect| {
            if let Effect::Answer { answer, .. } = effect {
                Some(answer.clone())
            } else {
                None
            }
        });
        self.effects(out);
        answer.unwrap()
    }

    pub(crate) fn generation(&self, id: MemberId) -> Option<Generation> {
        self.running.get(&id).copied()
    }

    /// Lets `span` pass.
    pub(crate) fn pass(&mut self, span: Span) {
        let end = self.now + span;
        let mut turns = 0_u64;
        loop {
            turns += 1;
            let most = 2_000 + 20 * span.0 / 1_000;
            assert!(turns < most, "the engine spins: {turns} turns in {span}");
            let queued = self.queue.keys().next().copied();
            let next = match (queued, self.wake_at) {
                (Some((at, _)), Some(wake)) if at <= wake + self.lag => at,
                (_, Some(wake)) => wake + self.lag,
                (Some((at, _)), None) => at,
                (None, None) => break,
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if let Some(key) = queued.filter(|(at, _)| *at == next) {
                let event = self.queue.remove(&key).unwrap();
                self.arrive(&event);
            } else {
                self.wake_at = None;
                self.event(&Event::Wake);
            }
        }
        self.now = end;
    }

    /// The daemon ends in order, and another begins so long afterwards.
    pub(crate) fn end_for(&mut self, away: Span) {
        if let Some(kept) = self.engine.keep(Self::id(0), self.now) {
            self.kept
                .insert(kept.path.clone(), Kept::Member(Box::new(kept)));
        }
        self.now += away;
        self.crash(false);
    }

    /// The daemon, or the whole machine, does nothing at all for `span`.
    pub(crate) fn freeze(&mut self, span: Span) {
        self.now += span;
    }

    /// From now on check `check` of member `member` of the first group times out.
    pub(crate) fn time_out(&mut self, member: u32, check: u32) {
        let leaf = LeafId {
            group: 0,
            check,
            member: Some(member),
        };
        self.says.insert(leaf, (Status::Fail, Some(Cause::Timeout)));
    }

    /// The daemon is killed at this instant, and another begins; processes, and whoever carries out
    /// acts, go on. With `lossy` the journal has lost what came after the last stored intent.
    pub(crate) fn crash(&mut self, lossy: bool) {
        if lossy {
            let (kept, entries) = self.durable.clone();
            self.kept = kept;
            self.entries.truncate(entries);
        }
        // What the journal holds without an outcome; whether the daemon heard of it or not.
        let (mut open, mut first) = (BTreeMap::new(), 1);
        for (_, entry) in &self.entries {
            if let Entry::Outcome { intent, .. } = entry {
                open.remove(intent);
            }
            if let Entry::Intent { intent, act, .. } = entry {
                first = first.max(intent.0 + 1);
                // The manager knows what it began, and a signal is not its.
                let signal = matches!(act, Act::Signal { .. });
                if !self.refused.contains(intent) {
                    open.insert(*intent, !signal && self.begun.contains_key(intent));
                }
            }
        }
        first = first.max(self.stored.last().map_or(1, |last| last.0 + 1));
        // What was on its way to the dead daemon is lost; what the manager has yet to do is not.
        self.queue.retain(|_, event| {
            matches!(
                event,
                Event::Exited { .. } | Event::Started { .. } | Event::Done { .. }
            )
        });
        // Numbers that the journal never stored are given again.
        self.refused.retain(|intent| intent.0 < first);
        let plan = Arc::clone(self.engine.plan());
        self.engine = Engine::new(Arc::clone(&plan), 7, IntentId(first), self.now);
        self.wake_at = None;
        let kept: Vec<Kept> = self.kept.values().cloned().collect();
        self.engine
            .restore(&kept, &Between::SameBoot { open }, self.now);
        for member in plan.members() {
            let was = self
                .kept
                .get(&plan.path(member))
                .and_then(|kept| kept.member()?.generation);
            let is = self.running.get(&member).copied();
            if let Some(generation) = was.filter(|_| was != is) {
                self.event(&Event::Exited {
                    member,
                    generation,
                    exit: Exit::Lost,
                });
            }
            if let Some(generation) = is {
                self.event(&Event::Started {
                    member,
                    generation,
                    adopted: true,
                });
            }
        }
        if let Some(told) = self.before_first_wake.take() {
            self.event(&told);
        }
        self.event(&Event::Wake);
    }

    /// The machine is started again, so long after: nothing of it lives.
    pub(crate) fn reboot(&mut self, away: Span) {
        self.running.clear();
        self.queue.clear();
        self.begun.clear();
        self.now += away;
        let first = self.stored.last().map_or(1, |last| last.0 + 1);
        let plan = Arc::clone(self.engine.plan());
        self.engine = Engine::new(plan, 7, IntentId(first), self.now);
        self.wake_at = None;
        let kept: Vec<Kept> = self.kept.values().cloned().collect();
        self.engine
            .restore(&kept, &Between::Reboot { away }, self.now);
        self.event(&Event::Wake);
    }

    /// The same daemon takes another configuration.
    pub(crate) fn reload(&mut self, groups: Vec<GroupPlan>) -> Vec<(String, Generation)> {
        let plan = Arc::new(Plan {
            groups,
            ..Plan::default()
        });
        let gone = self.engine.reload(plan, self.now);
        self.event(&Event::Wake);
        gone
    }

    fn later(&mut self, ms: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + Span(ms), self.queued), event);
    }

    /// What was queued has come: the world changes with it.
    fn arrive(&mut self, event: &Event) {
        if let Event::IntentStored(intent) = event {
            self.stored.insert(*intent);
            self.durable = (self.kept.clone(), self.entries.len());
        }
        if let Event::Done { intent, .. } = event {
            self.begun.insert(*intent, true);
        }
        if let Event::Exited {
            member, generation, ..
        } = event
        {
            if self.running.get(member) != Some(generation) {
                return;
            }
            self.running.remove(member);
        }
        if let Event::Started {
            member, generation, ..
        } = event
        {
            self.running.insert(*member, *generation);
            self.down.remove(member);
            if let Some((after, code)) = self.dies_after.get(member).copied() {
                let (member, generation) = (*member, *generation);
                let exit = Exit::Code(code);
                self.later(
                    after.0,
                    Event::Exited {
                        member,
                        generation,
                        exit,
                    },
                );
            }
        }
        self.event(event);
    }

    /// From now on what the engine is told is written down, as the journal does it.
    pub(crate) fn write_down(&mut self) {
        let recorder = Recorder::beside(&self.engine);
        self.told = Some((self.engine.clone(), recorder, Vec::new()));
    }

    fn step(&mut self, event: &Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.engine.step(event, self.now, &mut out);
        if let Some((_, recorder, inputs)) = &mut self.told {
            let input = recorder.take(event, self.now, &out);
            let leaf = if let Event::Sample { leaf, .. } = event {
                Some(*leaf)
            } else {
                None
            };
            let passes = || {
                Some(Input::Passes {
                    leaf: leaf?,
                    first: self.now,
                    last: self.now,
                    count: 1,
                })
            };
            inputs.extend(input.or_else(passes));
        }
        out
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let out = self.step(event);
        self.effects(out);
    }

    fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Some(tape) = &mut self.tape {
                tape.push((self.now, effect.clone()));
            }
            match effect {
                Effect::Record(entry) => self.record(entry),
                Effect::Do(..) if self.unheard => {}
                Effect::Do(intent, act) => self.act(intent, &act),
                Effect::Run(run) => {
                    self.ports.insert(run.port);
                    let (status, cause) = self
                        .says
                        .get(&run.leaf)
                        .copied()
                        .unwrap_or((Status::Pass, None));
                    let sample = Sample {
                        status,
                        cause,
                        message: Arc::from(if status == Status::Pass {
                            ""
                        } else {
                            "scripted"
                        }),
                        measurements: if status == Status::Fail {
                            self.blamed_by(run.leaf)
                        } else {
                            Vec::new()
                        },
                        at: self.now + Span(3),
                        took: Span(3),
                        generation: run.generation,
                    };
                    self.later(
                        3,
                        Event::Sample {
                            leaf: run.leaf,
                            sample,
                        },
                    );
                }
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Notify(notice) => {
                    let plan = self.engine.plan();
                    let who = match notice.about {
                        About::Member(id) => plan.member(id).unwrap().name.to_string(),
                        About::Group(group) => plan.group(group).unwrap().name.to_string(),
                        About::Host => "host".to_owned(),
                    };
                    self.tell(&format!("{who} {}", notice.text));
                }
                Effect::Keep(kept) => {
                    self.kept.insert(kept.path().to_owned(), kept);
                }
                Effect::Answer { .. } => {}
            }
        }
    }

    fn record(&mut self, entry: Entry) {
        if let Entry::Intent { intent, .. } = &entry {
            let event = if self.journal_down {
                self.refused.insert(*intent);
                Event::IntentRefused {
                    intent: *intent,
                    reason: "disk full".to_owned(),
                }
            } else {
                Event::IntentStored(*intent)
            };
            self.later(1, event);
        }
        if let Entry::Group { group, to, why, .. } = &entry {
            let name = self.engine.plan().group_name(*group).to_owned();
            self.tell(&format!("{name} is {to}: {why}"));
        }
        if let Entry::Decision {
            intent: None,
            member,
            explanation,
            step,
            ..
        } = &entry
        {
            let closed: Vec<_> = explanation
                .readings
                .iter()
                .filter(|reading| !reading.open)
                .map(|reading| format!("{}: {}", reading.gate, reading.compared))
                .collect();
            let name = self.engine.plan().member(*member).unwrap().name.clone();
            let step = step.as_str();
            self.tell(&format!("{name} no {step}: {}", closed.join("; ")));
        }
        self.entries.push((self.now, entry));
    }

    fn act(&mut self, intent: IntentId, act: &Act) {
        // The keeper knows every act by its intent: what was begun goes on, what is done is said.
        match self.begun.get(&intent) {
            Some(true) => {
                return self.later(
                    1,
                    Event::Done {
                        intent,
                        result: Ok(()),
                    },
                );
            }
            Some(false) => return,
            None => drop(self.begun.insert(intent, false)),
        }
        self.acts.push((self.now, act.clone()));
        let (member, kill, start) = match *act {
            Act::Signal { member, .. } => {
                let result = self.cannot_signal.clone().map_or(Ok(()), Err);
                if self.cured_by_signal && result.is_ok() {
                    self.cure(member);
                }
                return self.later(100, Event::Done { intent, result });
            }
            Act::Start { member } => (member, None, true),
            Act::Restart {
                member, generation, ..
            } => (member, Some(generation), true),
            Act::Stop { member, generation } => (member, Some(generation), false),
        };
        if let Some(generation) = kill {
            assert_eq!(
                self.running.get(&member),
                Some(&generation),
                "I3: only the life it judged"
            );
            if start {
                self.down.insert(member, true);
                self.most_down = self.most_down.max(self.down.len());
                if self.cured_by_restart {
                    self.cure(member);
                }
            }
            self.later(
                100,
                Event::Exited {
                    member,
                    generation,
                    exit: Exit::Signal(15),
                },
            );
        }
        if !start {
            self.later(
                110,
                Event::Done {
                    intent,
                    result: Ok(()),
                },
            );
        } else if self.cannot_start {
            let result = Err("no such file: /srv/web".to_owned());
            self.later(110, Event::Done { intent, result });
        } else {
            self.next_pid += 1;
            let generation = Generation {
                boot: 1,
                pid: self.next_pid,
                start: self.now.0,
            };
            self.later(
                150,
                Event::Started {
                    member,
                    generation,
                    adopted: false,
                },
            );
            self.later(
                151,
                Event::Done {
                    intent,
                    result: Ok(()),
                },
            );
        }
    }

    fn cure(&mut self, member: MemberId) {
        let own = |leaf: &LeafId| (leaf.group, leaf.member) == (member.group, Some(member.member));
        self.says.retain(|leaf, _| !own(leaf));
    }

    /// From now on check `check` of a member fails and blames this process of it.
    pub(crate) fn blame(&mut self, member: u32, check: u32, pid: u32) {
        self.say(member, check, Status::Fail);
        let leaf = LeafId {
            group: 0,
            check,
            member: Some(member),
        };
        let start = 5;
        self.blames.insert(leaf, vec![Process { pid, start }]);
    }

    fn blamed_by(&self, leaf: LeafId) -> Vec<Measurement> {
        let blamed = self.blames.get(&leaf).into_iter().flatten();
        let one = |process: &Process| Measurement {
            name: Arc::from("blamed"),
            value: f64::from(process.pid),
            unit: Arc::from("pid"),
            limit: u32::try_from(process.start).ok().map(f64::from),
        };
        blamed.map(one).collect()
    }

    /// Signals that were sent.
    pub(crate) fn signals(&self) -> usize {
        let signals = self.acts.iter();
        signals
            .filter(|(_, act)| matches!(act, Act::Signal { .. }))
            .count()
    }

    fn tell(&mut self, what: &str) {
        let at = self.now.since(Instant(1_000_000));
        self.ledger
            .push(format!("{:>5} {what}", format!("{}s", at.0 / 1_000)));
    }

    /// What happened since the last call.
    pub(crate) fn happened(&mut self) -> String {
        std::mem::take(&mut self.ledger).join("\n")
    }

    /// Restarts that were carried out.
    pub(crate) fn restarts(&self) -> usize {
        self.acts
            .iter()
            .filter(|(_, act)| matches!(act, Act::Restart { .. }))
            .count()
    }

    /// Starts that were carried out.
    pub(crate) fn starts(&self) -> usize {
        self.acts
            .iter()
            .filter(|(_, act)| matches!(act, Act::Start { .. }))
            .count()
    }

    pub(crate) fn health(&self, member: u32) -> String {
        self.engine
            .explain(Self::id(member), self.now)
            .unwrap()
            .health
            .into_owned()
    }

    pub(crate) fn life(&self, member: u32) -> String {
        self.engine
            .explain(Self::id(member), self.now)
            .unwrap()
            .life
            .into_owned()
    }
}
