//! The members, their past, and the day on which half of them die and half of them fall sick.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use checkd_core::compose::{Complex, Expr};
use checkd_core::engine::{Act, Effect, Engine, Event, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::{CheckPlan, GroupPlan, Launch, MemberPlan, Mode, Plan, PolicyPlan};
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::{
    Cause, CheckKind, CheckName, Generation, GroupName, Instant, IntentId, LeafId, MemberId,
    MemberName, Sample, Span, Status, report,
};

/// Checks of each member; its `live` needs them all.
pub(crate) const CHECKS: u32 = 2;
/// So many samples are remembered of a leaf: its ring is full then.
const RING: u64 = 64;
/// So many restarts and so many starts are remembered of a member.
const REMEMBERED: u64 = 64;
/// How far they lie apart: no limit is spent by them, and all of them are of the last day.
const APART: Span = Span::mins(21);
/// So many entries the writer of the journal takes at once.
const BATCH: usize = 512;
/// A process is there so long after its start was asked for.
const START_TAKES: Span = Span::secs(1);

/// `groups` groups of `members` members.
pub(crate) fn plan(groups: u32, members: u32) -> Arc<Plan> {
    let kind = CheckKind::new("http").unwrap();
    let check = |name: &str| CheckPlan::of_defaults(CheckName::new(name).unwrap(), kind.clone());
    let live = Complex {
        text: "ping and answer".to_owned(),
        expr: Expr::All((0..CHECKS).map(Expr::Leaf).collect()),
    };
    let groups = (0..groups).map(|group| GroupPlan {
        name: GroupName::new(&format!("group-{group}")).unwrap(),
        mode: Mode::Auto,
        members: (0..members)
            .map(|index| MemberPlan {
                name: MemberName::new(&format!("group-{group}-{index}")).unwrap(),
                index,
                port: u16::try_from(8_000 + index).ok(),
            })
            .collect(),
        checks: ["ping", "answer"].map(check).to_vec(),
        live: live.clone(),
        ready: live.clone(),
        startup: live.clone(),
        ready_members: members,
        policy: PolicyPlan::of_defaults(members),
        launch: Launch::of_defaults(vec!["server".to_owned(), "{port}".to_owned()]),
        depends_on: Vec::new(),
    });
    Arc::new(Plan {
        groups: groups.collect(),
        ..Plan::default()
    })
}

/// What was handed to the engine, and what of it the journal was handed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Events that were handed to the engine.
    pub(crate) events: u64,
    /// Entries of the journal, and what is kept of members, as text.
    pub(crate) rows: u64,
    /// Bytes of it.
    pub(crate) bytes: u64,
    /// Acts and refusals.
    pub(crate) decisions: u64,
}

/// What the journal is handed.
enum Message {
    Entry(Entry),
    Keep(Kept),
}

/// A daemon's loop whose world is made up.
pub(crate) struct Flood {
    plan: Arc<Plan>,
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    wake_at: Option<Instant>,
    heard: VecDeque<Event>,
    /// Starts under way, and when they are done.
    starting: VecDeque<(Instant, IntentId, MemberId)>,
    effects: Vec<Effect>,
    pids: u32,
    fine: Arc<str>,
    pub(crate) seen: Seen,
    /// Of each member whether a decision about it was recorded.
    decided: Vec<Vec<bool>>,
    /// What the journal's writer takes next.
    batch: Vec<Message>,
    texts: report::Texts,
}

impl Flood {
    /// Everybody runs, is healthy, and has a long past.
    pub(crate) fn of_healthy_members(plan: &Arc<Plan>) -> Self {
        // Later than the day in which it all happened.
        let now = Instant(Span::mins(48 * 60).0);
        let mut first = Self::new(plan, now);
        first.adopt();
        first.everybody_passes(3);
        let kept: Vec<Kept> = plan
            .members()
            .map(|id| with_a_past(&first.engine, id, first.now))
            .collect();
        let mut flood = Self::new(plan, first.now);
        drop(first);
        let open = BTreeMap::new();
        let between = Between::SameBoot { open };
        flood.engine.restore(&kept, &between, flood.now);
        drop(kept);
        flood.adopt();
        flood.everybody_passes(RING);
        let status = flood.engine.status(flood.now);
        assert!(status.groups.iter().all(|group| group.ready));
        flood.hand_over();
        flood.seen = Seen::default();
        flood
    }

    fn new(plan: &Arc<Plan>, now: Instant) -> Self {
        Self {
            plan: Arc::clone(plan),
            engine: Engine::new(Arc::clone(plan), 7, IntentId(1), now),
            now,
            wake_at: None,
            heard: VecDeque::new(),
            starting: VecDeque::new(),
            effects: Vec::new(),
            pids: 10_000_000,
            fine: Arc::from("200 OK in 4.2ms"),
            seen: Seen::default(),
            decided: Vec::new(),
            batch: Vec::new(),
            texts: report::Texts::default(),
        }
    }

    fn adopt(&mut self) {
        let plan = Arc::clone(&self.plan);
        for member in plan.members() {
            self.step(&Event::Started {
                member,
                generation: first_life(member),
                adopted: true,
            });
        }
        self.step(&Event::Wake);
    }

    fn everybody_passes(&mut self, times: u64) {
        let plan = Arc::clone(&self.plan);
        for _ in 0..times {
            for id in plan.members() {
                for check in 0..CHECKS {
                    let event = self.sample(id, check, Status::Pass);
                    self.step(&event);
                }
            }
            self.pass(Span::secs(10));
        }
    }

    /// The checks of every second member begin to fail, and are one run short of being believed.
    /// How long that takes.
    pub(crate) fn sicken(&mut self) -> Span {
        let (plan, began) = (Arc::clone(&self.plan), self.now);
        let check = &plan.groups[0].checks[0];
        for _ in 1..check.fall {
            for id in plan.members().filter(|id| !dies(*id)) {
                self.fails(id);
            }
            self.step(&Event::Wake);
            self.pass(check.fast_interval);
        }
        self.hand_over();
        self.now.since(began)
    }

    /// What is said at the moment when these turn sick and all others die.
    pub(crate) fn blow(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for member in self.plan.members() {
            if dies(member) {
                events.push(Event::Exited {
                    member,
                    generation: first_life(member),
                    exit: Exit::Code(1),
                });
            } else {
                let fails = |check| self.sample(member, check, Status::Fail);
                events.extend((0..CHECKS).map(fails));
            }
        }
        events.push(Event::Wake);
        events
    }

    /// Takes it, until all is decided.
    #[inline(never)] // a profiler is to find it by its name
    pub(crate) fn strike(&mut self, events: Vec<Event>) {
        let plan = Arc::clone(&self.plan);
        self.seen = Seen::default();
        self.decided = (plan.groups.iter())
            .map(|group| vec![false; group.members.len()])
            .collect();
        for event in events {
            self.step(&event);
        }
        self.hand_over();
        let without = self.decided.iter().flatten().filter(|it| !**it).count();
        assert_eq!(without, 0, "of so many nothing was decided");
    }

    fn fails(&mut self, id: MemberId) {
        for check in 0..CHECKS {
            let event = self.sample(id, check, Status::Fail);
            self.step(&event);
        }
    }

    /// Everybody is explained.
    #[inline(never)] // as above
    pub(crate) fn explain(&self) -> u64 {
        let reports = self.plan.members();
        let reports = reports.filter_map(|id| self.engine.explain(id, self.now));
        let bytes = reports.map(|report| {
            assert!(report.attempt.is_some() || !report.gates.is_empty());
            report.summary.len() as u64
        });
        bytes.sum()
    }

    fn sample(&self, id: MemberId, check: u32, status: Status) -> Event {
        let fails = status == Status::Fail;
        // Each refusal is a text of its own: it has a port in it.
        let message = if fails {
            Arc::from(format!(
                "connection refused, 127.0.0.1:{}",
                8_000 + id.member
            ))
        } else {
            Arc::clone(&self.fine)
        };
        let sample = Sample {
            status,
            cause: fails.then_some(Cause::Refused),
            message,
            measurements: Vec::new(),
            at: self.now,
            took: Span(4),
            generation: Some(first_life(id)),
        };
        let leaf = LeafId {
            group: id.group,
            check,
            member: Some(id.member),
        };
        Event::Sample { leaf, sample }
    }

    /// Lets time pass; the engine is woken when it wants to be.
    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let start = self.starting.front().map(|(at, ..)| *at);
            let Some(next) = self.wake_at.into_iter().chain(start).min() else {
                break;
            };
            if next > end {
                break;
            }
            self.now = next.max(self.now);
            while let Some(&(at, intent, member)) = self.starting.front()
                && at <= self.now
            {
                self.starting.pop_front();
                self.pids += 1;
                let generation = Generation {
                    pid: self.pids,
                    ..first_life(member)
                };
                self.step(&Event::Started {
                    member,
                    generation,
                    adopted: false,
                });
                let result = Ok(());
                self.step(&Event::Done { intent, result });
            }
            if self.wake_at.is_some_and(|at| at <= self.now) {
                self.wake_at = None;
                self.step(&Event::Wake);
            }
        }
        self.now = end;
    }

    fn step(&mut self, event: &Event) {
        self.take(event);
        while let Some(event) = self.heard.pop_front() {
            self.take(&event);
        }
    }

    fn take(&mut self, event: &Event) {
        let mut effects = std::mem::take(&mut self.effects);
        self.engine.step(event, self.now, &mut effects);
        self.seen.events += 1;
        for effect in effects.drain(..) {
            match effect {
                Effect::Record(entry) => {
                    if let Entry::Intent { intent, .. } = &entry {
                        self.heard.push_back(Event::IntentStored(*intent));
                    }
                    self.queue(Message::Entry(entry));
                }
                Effect::Keep(kept) => self.queue(Message::Keep(kept)),
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Do(intent, Act::Start { member } | Act::Restart { member, .. }) => {
                    (self.starting).push_back((self.now + START_TAKES, intent, member));
                }
                // The flood is all that is sampled.
                Effect::Run(_)
                | Effect::Do(_, Act::Signal { .. } | Act::Stop { .. })
                | Effect::Notify(_)
                | Effect::Answer { .. } => {}
            }
        }
        self.effects = effects;
    }

    fn queue(&mut self, message: Message) {
        self.batch.push(message);
        if self.batch.len() >= BATCH {
            self.write();
        }
    }

    /// All is written, and nothing but the engine is left.
    fn hand_over(&mut self) {
        self.write();
        self.batch = Vec::new();
        self.effects = Vec::new();
        self.texts = report::Texts::default();
    }

    /// What the journal's writer does with a batch, short of handing it to the disk: of what is kept
    /// only the newest counts.
    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let newest: BTreeMap<&str, usize> = (batch.iter().enumerate())
            .filter_map(|(index, message)| match message {
                Message::Keep(kept) => Some((kept.path(), index)),
                Message::Entry(_) => None,
            })
            .collect();
        for (index, message) in batch.iter().enumerate() {
            match message {
                Message::Keep(kept) if newest.get(kept.path()) == Some(&index) => {
                    let bytes = self.texts.kept(kept).unwrap().len();
                    self.wrote(bytes);
                }
                Message::Keep(_) => {}
                Message::Entry(entry) => self.record(entry),
            }
        }
        drop(newest);
        self.batch = batch;
        self.batch.clear();
    }

    fn record(&mut self, entry: &Entry) {
        match entry {
            Entry::Decision {
                member,
                explanation,
                ..
            } => {
                let text = self.texts.decision(explanation).unwrap();
                let bytes = explanation.because.len() + text.closed.len() + text.explanation.len();
                self.wrote(bytes);
                self.seen.decisions += 1;
                if let Some(group) = self.decided.get_mut(member.group as usize) {
                    group[member.member as usize] = true;
                }
            }
            Entry::Run { sample, .. } => {
                // No run of these measures anything, and nothing is written of that.
                assert!(sample.measurements.is_empty());
                self.wrote(sample.message.len());
            }
            Entry::Steady { .. } => self.wrote(0),
            Entry::Transition { why, .. }
            | Entry::Group { why, .. }
            | Entry::Intent { why, .. }
            | Entry::Outcome { detail: why, .. } => self.wrote(why.len()),
            Entry::Operator { .. } => {}
        }
    }

    fn wrote(&mut self, bytes: usize) {
        self.seen.rows += 1;
        self.seen.bytes += bytes as u64;
    }
}

/// Every second member dies; the others fall sick.
fn dies(id: MemberId) -> bool {
    id.member.is_multiple_of(2) == id.group.is_multiple_of(2)
}

fn first_life(id: MemberId) -> Generation {
    Generation {
        boot: 1,
        pid: 1 + id.group * 20_000 + id.member,
        start: 1,
    }
}

/// What is kept of a member that was started and restarted all day.
fn with_a_past(engine: &Engine, id: MemberId, now: Instant) -> Kept {
    let kept = engine.keep(id, now).unwrap();
    let mut json = serde_json::to_value(&kept).unwrap();
    let times: Vec<u64> = (1..=REMEMBERED)
        .rev()
        .map(|back| now.0 - back * APART.0)
        .collect();
    for ring in ["restarts", "starts"] {
        json["ledger"][ring] = serde_json::json!({ "times": times });
    }
    Kept::Member(Box::new(serde_json::from_value(json).unwrap()))
}
