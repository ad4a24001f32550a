//! A daemon's loop with everything around it but the journal made up.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use checkd_core::compose::{Complex, Expr};
use checkd_core::engine::Engine;
use checkd_core::event::{Act, Command, Effect, Event, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::{CheckPlan, GroupPlan, Launch, MemberPlan, Mode, Plan, PolicyPlan};
use checkd_core::{
    Cause, CheckKind, CheckName, Generation, GroupName, Instant, IntentId, LeafId, Measurement,
    MemberName, Sample, Span, Status,
};
use checkd_host::journal::{Journal, Scribe};
use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How the checks fail: each one in a stretch of time of this length, in one of so many.
#[derive(Clone, Copy)]
pub(crate) struct Trouble {
    pub(crate) stretch: Span,
    pub(crate) one_of: u64,
}

/// `members` members in groups of 50, with `checks` checks each; all of them must pass.
pub(crate) fn plan(members: u32, checks: u32, interval: Span) -> Arc<Plan> {
    let names = (0..checks).map(|check| CheckName::new(&format!("check-{check}")).unwrap());
    let kind = CheckKind::new("http").unwrap();
    let checks: Vec<CheckPlan> = names
        .map(|name| CheckPlan {
            interval,
            fast_interval: interval,
            ..CheckPlan::of_defaults(name, kind.clone())
        })
        .collect();
    let live = Complex {
        text: "every check passes".to_owned(),
        expr: Expr::All((0u32..).take(checks.len()).map(Expr::Leaf).collect()),
    };
    let group = |group: u32| GroupPlan {
        name: GroupName::new(&format!("group-{group}")).unwrap(),
        mode: Mode::Auto,
        members: (0..50)
            .map(|index| MemberPlan {
                name: MemberName::new(&format!("group-{group}-{index}")).unwrap(),
                index,
                port: None,
            })
            .collect(),
        checks: checks.clone(),
        live: live.clone(),
        ready: live.clone(),
        startup: live.clone(),
        ready_members: 50,
        policy: PolicyPlan::of_defaults(50),
        launch: Launch::of_defaults(vec!["server".to_owned()]),
        depends_on: Vec::new(),
    };
    Arc::new(Plan {
        groups: (0..members / 50).map(group).collect(),
        ..Plan::default()
    })
}

/// The loop.
pub(crate) struct World {
    plan: Arc<Plan>,
    engine: Engine,
    journal: Option<Journal>,
    scribe: Option<Scribe>,
    pub(crate) events: UnboundedReceiver<Event>,
    /// What the runner and the keeper would say next.
    pub(crate) heard: VecDeque<Event>,
    effects: Vec<Effect>,
    pub(crate) wake_at: Option<Instant>,
    trouble: Trouble,
    /// The words of the measurement that each sample brings.
    latency: Arc<str>,
    seconds: Arc<str>,
    pids: u32,
    pub(crate) samples: u64,
    pub(crate) rows: u64,
    /// Each call of the journal.
    pub(crate) calls: Vec<u32>,
    /// From the record of an intent to its answer.
    pub(crate) intended: VecDeque<(IntentId, Clock)>,
    pub(crate) answers: Vec<u32>,
    refused: u64,
}

impl World {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        journal: Option<&Path>,
        trouble: Trouble,
        now: Instant,
    ) -> Self {
        let (sender, events) = unbounded_channel();
        let journal = journal.map(|path| {
            let opened = Journal::open(path, Arc::clone(plan), sender);
            let (journal, _, warning) = opened.expect("a new journal");
            assert!(warning.is_none());
            journal
        });
        let engine = Engine::new(Arc::clone(plan), 7, IntentId(1), now);
        let scribe = journal
            .as_ref()
            .map(|journal| Scribe::begin(journal, &engine, "daemon started", now));
        let mut world = Self {
            plan: Arc::clone(plan),
            engine,
            journal,
            scribe,
            events,
            heard: VecDeque::new(),
            effects: Vec::new(),
            wake_at: None,
            trouble,
            latency: Arc::from("latency"),
            seconds: Arc::from("s"),
            pids: 1,
            samples: 0,
            rows: 0,
            calls: Vec::new(),
            intended: VecDeque::new(),
            answers: Vec::new(),
            refused: 0,
        };
        for member in plan.members() {
            let generation = world.generation();
            let adopted = true;
            world.heard.push_back(Event::Started {
                member,
                generation,
                adopted,
            });
        }
        world.heard.push_back(Event::Wake);
        world
    }

    fn generation(&mut self) -> Generation {
        self.pids += 1;
        Generation {
            boot: 1,
            pid: self.pids,
            start: 1,
        }
    }

    /// Takes everything that is there.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.heard.push_back(Event::Wake);
        }
        while let Some(event) = self
            .heard
            .pop_front()
            .or_else(|| self.events.try_recv().ok())
        {
            self.step(&event, now);
        }
    }

    /// What `Daemon::step` does with one event.
    fn step(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started {
                member, generation, ..
            } => {
                let (member, generation) = (*member, *generation);
                self.tell(|journal| journal.started(member, generation));
            }
            Event::Exited {
                member,
                generation,
                exit,
            } => {
                let (member, generation, exit) = (*member, *generation, *exit);
                self.tell(|journal| journal.exited(member, generation, exit));
            }
            Event::IntentStored(stored) => {
                while let Some((intent, began)) = self.intended.pop_front() {
                    self.answers.push(micros(began.elapsed()));
                    if intent == *stored {
                        break;
                    }
                }
            }
            Event::IntentRefused { .. } => self.refused += 1,
            Event::Sample { .. } => self.samples += 1,
            Event::Wake
            | Event::Done { .. }
            | Event::Command { .. }
            | Event::Host(_)
            | Event::Maintenance { .. } => {}
        }
        let mut effects = std::mem::take(&mut self.effects);
        self.engine.step(event, now, &mut effects);
        if let (Some(scribe), Some(journal)) = (&mut self.scribe, &self.journal) {
            let began = Clock::now();
            scribe.took(journal, event, now, &mut effects);
            self.calls.push(micros(began.elapsed()));
        }
        for effect in effects.drain(..) {
            self.carry_out(effect, now);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::Record(entry) => {
                if let Entry::Intent { intent, .. } = &entry {
                    self.intended.push_back((*intent, Clock::now()));
                    if self.journal.is_none() {
                        self.heard.push_back(Event::IntentStored(*intent));
                    }
                }
                self.rows += u64::from(!matches!(entry, Entry::Steady { .. }));
                self.tell(|journal| journal.record(entry));
            }
            Effect::Keep(kept) => self.tell(|journal| journal.keep(kept)),
            Effect::Run(run) => {
                let sample = self.sample(run.leaf, run.generation, now);
                self.heard.push_back(Event::Sample {
                    leaf: run.leaf,
                    sample,
                });
            }
            Effect::WakeAt(at) => self.wake_at = Some(at),
            Effect::Do(intent, act) => self.act(intent, &act),
            Effect::Notify(_) | Effect::Answer { .. } => {}
        }
    }

    fn tell(&mut self, what: impl FnOnce(&Journal)) {
        if let Some(journal) = &self.journal {
            let began = Clock::now();
            what(journal);
            self.calls.push(micros(began.elapsed()));
        }
    }

    fn sample(&self, leaf: LeafId, generation: Option<Generation>, at: Instant) -> Sample {
        let place = u64::from(leaf.group) << 32 | u64::from(leaf.member.unwrap_or(0)) << 8;
        let stretch = at.0 / self.trouble.stretch.0;
        let mixed = (place | u64::from(leaf.check)).wrapping_add(stretch << 40);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb);
        let fails = (mixed >> 20).is_multiple_of(self.trouble.one_of);
        let measured = Measurement {
            name: Arc::clone(&self.latency),
            value: 0.0042,
            unit: Arc::clone(&self.seconds),
            limit: None,
        };
        Sample {
            status: if fails { Status::Fail } else { Status::Pass },
            cause: fails.then_some(Cause::Timeout),
            message: if fails {
                Arc::from("no answer within 5s from http://127.0.0.1:8100/ping")
            } else {
                Arc::from("200 OK in 4.2ms")
            },
            measurements: vec![measured],
            at,
            took: Span(4),
            generation,
        }
    }

    fn act(&mut self, intent: IntentId, act: &Act) {
        let (member, ended) = match *act {
            Act::Signal { .. } => {
                let result = Ok(());
                return self.heard.push_back(Event::Done { intent, result });
            }
            Act::Restart {
                member, generation, ..
            }
            | Act::Stop { member, generation } => (member, Some(generation)),
            Act::Start { member } => (member, None),
        };
        if let Some(generation) = ended {
            let exit = Exit::Signal(15);
            self.heard.push_back(Event::Exited {
                member,
                generation,
                exit,
            });
        }
        if !matches!(act, Act::Stop { .. }) {
            let generation = self.generation();
            let adopted = false;
            self.heard.push_back(Event::Started {
                member,
                generation,
                adopted,
            });
        }
        let result = Ok(());
        self.heard.push_back(Event::Done { intent, result });
    }

    /// A person restarts the member with this number, whatever else is going on.
    pub(crate) fn restart(&mut self, number: usize) {
        let members = self.plan.members().count();
        let member = self.plan.members().nth(number % members);
        self.heard.push_back(Event::Command {
            id: 0,
            by: "uid 0 (root)".to_owned(),
            member: member.expect("it is within"),
            command: Command::Restart { now: true },
        });
    }

    /// How many commits there were, and how many of them waited for the disk.
    pub(crate) fn commits(&self) -> (u64, u64) {
        self.journal
            .as_ref()
            .map_or((0, 0), checkd_host::journal::Journal::commits)
    }

    /// Ends the journal and compares what it holds with what was handed to it.
    pub(crate) fn end(mut self, path: &Path) -> Connection {
        let journal = self.journal.take().expect("it was measured");
        let lost = journal.lost();
        journal.close();
        assert_eq!(
            (lost, self.refused),
            (0, 0),
            "entries lost, intents refused"
        );
        let connection = Connection::open(path).expect("a journal");
        let count = |sql: &str| -> u64 {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
            u64::try_from(count).unwrap()
        };
        let held = count("SELECT sum(count) FROM run");
        assert_eq!(held, self.samples, "each sample stands in the journal");
        connection
    }
}

pub(crate) fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}
