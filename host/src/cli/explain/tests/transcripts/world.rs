//! A machine by script: the real engine and the real journal on virtual time, processes and targets
//! that do as they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use checkd_core::engine::{Act, Effect, Engine, Event, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::{GroupPlan, Plan};
use checkd_core::{Cause, Generation, Instant, IntentId, LeafId, MemberId, Sample, Span, Status};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::api::of_incident;
use crate::api::wire::ExplainedMember;
use crate::cli::explain::render_at;
use crate::cli::paint::Paper;
use crate::journal::{Filter, Journal};
use crate::wall::{self, Both};

/// When the stories begin, on the clock of whoever reads them.
const BEGIN: &str = "2026-03-10 14:02:00";

pub(super) struct World {
    engine: Engine,
    journal: Journal,
    answers: UnboundedReceiver<Event>,
    directory: tempfile::TempDir,
    start: Instant,
    now: Instant,
    /// What runs of a check say of a target that is not well.
    pub(super) ill: BTreeMap<LeafId, (Cause, &'static str)>,
    /// Members that exit with this code so long after their start.
    pub(super) dies_after: BTreeMap<MemberId, (Span, i32)>,
    running: BTreeMap<MemberId, Generation>,
    pids: u32,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    wake_at: Option<Instant>,
    /// When something was recorded.
    moments: Vec<Instant>,
}

impl World {
    pub(super) fn new(group: GroupPlan) -> Self {
        let plan = Arc::new(Plan {
            groups: vec![group],
            ..Plan::default()
        });
        let directory = tempfile::tempdir().unwrap();
        let (events, answers) = unbounded_channel();
        let path = directory.path().join("journal.db");
        let (journal, _, _) = Journal::open(&path, Arc::clone(&plan), events).unwrap();
        // On a whole hour, so that every check falls on the same second in each run of this test.
        let hour = Span::mins(60);
        let start = Instant(crate::clock::now().0.next_multiple_of(hour.0)) + hour;
        let mut world = Self {
            engine: Engine::new(plan, 7, IntentId(1), start),
            journal,
            answers,
            directory,
            start,
            now: start,
            ill: BTreeMap::new(),
            dies_after: BTreeMap::new(),
            running: BTreeMap::new(),
            pids: 4_100,
            queue: BTreeMap::new(),
            queued: 0,
            wake_at: None,
            moments: Vec::new(),
        };
        world.event(&Event::Wake);
        world
    }

    pub(super) fn member(member: u32) -> MemberId {
        MemberId { group: 0, member }
    }

    /// The leaf of check `check`; of one that the group shares without a member.
    pub(super) fn leaf(check: u32, member: Option<u32>) -> LeafId {
        LeafId {
            group: 0,
            check,
            member,
        }
    }

    /// Its process ends by itself.
    pub(super) fn die(&mut self, member: MemberId, code: i32) {
        let generation = self.running[&member];
        self.later(
            Span::ZERO,
            Event::Exited {
                member,
                generation,
                exit: Exit::Code(code),
            },
        );
    }

    pub(super) fn pass(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let queued = self.queue.keys().next().copied();
            let next = queued
                .map(|(at, _)| at)
                .into_iter()
                .chain(self.wake_at)
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if let Some(key) = queued.filter(|(at, _)| *at <= next) {
                let event = self.queue.remove(&key).unwrap();
                self.arrive(&event);
            } else {
                self.wake_at = None;
                self.event(&Event::Wake);
            }
        }
        self.now = end;
    }

    fn later(&mut self, span: Span, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + span, self.queued), event);
    }

    fn arrive(&mut self, event: &Event) {
        match event {
            Event::Exited {
                member, generation, ..
            } => {
                if self.running.get(member) != Some(generation) {
                    return;
                }
                self.running.remove(member);
            }
            Event::Started {
                member, generation, ..
            } => {
                let (member, generation) = (*member, *generation);
                self.running.insert(member, generation);
                if let Some((after, code)) = self.dies_after.get(&member).copied() {
                    let exit = Exit::Code(code);
                    self.later(
                        after,
                        Event::Exited {
                            member,
                            generation,
                            exit,
                        },
                    );
                }
            }
            Event::Wake
            | Event::Sample { .. }
            | Event::IntentStored(_)
            | Event::IntentRefused { .. }
            | Event::Done { .. }
            | Event::Host(_)
            | Event::Maintenance { .. }
            | Event::Command { .. } => {}
        }
        self.event(event);
    }

    fn event(&mut self, event: &Event) {
        let mut out = Vec::new();
        self.engine.step(event, self.now, &mut out);
        for effect in out {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Record(entry) => {
                self.moments.push(self.now);
                let intent = matches!(entry, Entry::Intent { .. });
                self.journal.record(entry);
                if intent {
                    let stored = self.answers.blocking_recv().unwrap();
                    self.later(Span(2), stored);
                }
            }
            Effect::Keep(kept) => self.journal.keep(kept),
            Effect::WakeAt(at) => self.wake_at = Some(at),
            Effect::Do(intent, act) => self.act(intent, &act),
            Effect::Run(run) => {
                let ill = self.ill.get(&run.leaf);
                let sample = Sample {
                    status: if ill.is_some() {
                        Status::Fail
                    } else {
                        Status::Pass
                    },
                    cause: ill.map(|(cause, _)| *cause),
                    message: Arc::from(ill.map_or("", |(_, message)| *message)),
                    measurements: Vec::new(),
                    at: self.now + Span(3),
                    took: Span(3),
                    generation: run.generation,
                };
                let leaf = run.leaf;
                self.later(Span(3), Event::Sample { leaf, sample });
            }
            Effect::Notify(_) | Effect::Answer { .. } => {}
        }
    }

    fn act(&mut self, intent: IntentId, act: &Act) {
        let (member, kill, start) = match *act {
            Act::Signal { .. } => {
                let result = Ok(());
                return self.later(Span(160), Event::Done { intent, result });
            }
            Act::Start { member } => (member, None, true),
            Act::Restart {
                member, generation, ..
            } => (member, Some(generation), true),
            Act::Stop { member, generation } => (member, Some(generation), false),
        };
        if let Some(generation) = kill {
            let exit = Exit::Signal(15);
            self.later(
                Span(120),
                Event::Exited {
                    member,
                    generation,
                    exit,
                },
            );
        }
        if start {
            self.pids += 7;
            let generation = Generation {
                boot: 1,
                pid: self.pids,
                start: self.now.0,
            };
            let adopted = false;
            self.later(
                Span(150),
                Event::Started {
                    member,
                    generation,
                    adopted,
                },
            );
        }
        let result = Ok(());
        self.later(Span(160), Event::Done { intent, result });
    }

    /// What `checkd explain` shows of it now.
    pub(super) fn explain(self, member: u32, last_output: &[&str]) -> String {
        let id = Self::member(member);
        let report = self.engine.explain(id, self.now).unwrap();
        let reader = self.journal.reader();
        self.journal.close();
        let filter = Filter {
            members: Some(vec![report.path.clone()]),
            limit: 200,
            ..Filter::default()
        };
        let mut events = of_incident(reader.rows(&filter).unwrap(), report.incident);
        drop(self.directory);
        // The journal knows the clock on the wall of this run of the test; the page has its own.
        let both = Both::read();
        let begin = wall::parse_moment(BEGIN).unwrap();
        let shown = |at: Instant| begin + i64::try_from(at.since(self.start).0).unwrap();
        for row in &mut events {
            let nearest = self
                .moments
                .iter()
                .min_by_key(|at| (both.wall_ms(**at) - row.wall_ms).abs());
            row.wall_ms = shown(*nearest.unwrap());
        }
        let output = (!last_output.is_empty())
            .then(|| format!("/var/lib/checkd/output/{}.log", report.path));
        let explained = ExplainedMember {
            report,
            events,
            output,
            last_output: last_output.iter().map(|line| (*line).to_owned()).collect(),
        };
        render_at(&explained, shown(self.now), Paper::plain())
    }
}
