//! What another configuration would have done about the same history.
//!
//! Beside the engine that acted stands one under the other configuration that only observes: it is told the
//! same, but for the ends of members by our own hand, and what it would do is held against what was done.
//! What came after an act is what came in truth; so each act is seen by itself, and no chain of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checkd_core::engine::{Act, Command, Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::{Mode, Plan};
use checkd_core::policy::{Axis, GateName, Motive, Step};
use checkd_core::replay::{self, Input};
use checkd_core::{Instant, IntentId, LeafId, MemberId, Sample, Span, Status};
use serde::Serialize;

use super::Asked;
use crate::journal::{Segment, Segments};

/// Acts that come no further apart than this are the same.
const SAME: Span = Span::secs(1);

/// What would have been otherwise.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Otherwise {
    /// So many acts would have been the same.
    pub(crate) same: usize,
    /// Those that would not.
    pub(crate) acts: Vec<Other>,
    /// Why nothing can be said of a segment, one line each.
    pub(crate) cannot: Vec<String>,
}

/// An act that only one of the two decided, or both at different times.
#[derive(Debug, Serialize)]
pub(crate) struct Other {
    /// `web/web-3`.
    pub(crate) path: String,
    /// `restart`, `start`.
    pub(crate) step: &'static str,
    /// When it was decided, in milliseconds since 1970; nothing when it was not.
    pub(crate) was_ms: Option<i64>,
    /// When it would have been; nothing when it would not, as far as the history tells.
    pub(crate) would_ms: Option<i64>,
    /// Why, in the words of the one that decided first.
    pub(crate) because: String,
}

impl Other {
    /// When it is first spoken of.
    pub(crate) fn first_ms(&self) -> i64 {
        let times = self.was_ms.into_iter().chain(self.would_ms);
        times.min().unwrap_or(0)
    }
}

/// Looks at one segment under `plan`.
///
/// # Errors
/// The journal cannot be read; SQLite's words.
pub(crate) fn otherwise(
    journal: &Segments,
    segment: &Segment,
    asked: &Asked,
    plan: &Plan,
    all: &mut Otherwise,
) -> Result<(), String> {
    let told = journal.told(segment)?;
    let engine = match told.begin.as_ref().map(Engine::read) {
        Some(Ok(engine)) => engine,
        Some(Err(why)) => {
            all.cannot.push(why);
            return Ok(());
        }
        None => {
            all.cannot
                .push("it has too many members to be written down".to_owned());
            return Ok(());
        }
    };
    let mut inputs = told.inputs;
    inputs.extend(journal.passes(segment, engine.plan())?);
    let ledger = Ledger::of(&engine, &inputs, plan, segment.at);
    for other in ledger.settled(&mut all.same) {
        let wall = |at: Option<Instant>| at.map(|at| segment.wall_of(at));
        let other = Other {
            path: plan.path(other.member),
            step: other.step.as_str(),
            was_ms: wall(other.was),
            would_ms: wall(other.would),
            because: other.because,
        };
        let wanted = asked.members.as_ref();
        if wanted.is_none_or(|wanted| wanted.contains(&other.path))
            && other.first_ms() >= asked.since_ms
        {
            all.acts.push(other);
        }
    }
    Ok(())
}

/// What happened to members, under the plan in question.
#[derive(Debug, Default)]
struct Ledger {
    by_member: BTreeMap<MemberId, Vec<(Instant, What)>>,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// It was decided.
    Was(Step, String),
    /// It would have been.
    Would(Step, String),
    /// Its process ended.
    Ended,
    /// It began, or is well: what was wrong before is over.
    Over,
}

/// An act that one of the two decided.
struct Decided {
    member: MemberId,
    step: Step,
    was: Option<Instant>,
    would: Option<Instant>,
    because: String,
}

impl Ledger {
    fn of(engine: &Engine, inputs: &[Input], other: &Plan, began: Instant) -> Self {
        let mut ledger = Self::default();
        let from = Arc::clone(engine.plan());
        let names = Names::new(&from, other);

        // The one that acted: what it did, and whom it ended by that.
        let mut acting: BTreeMap<MemberId, Vec<(IntentId, Instant)>> = BTreeMap::new();
        let mut acted = engine.clone();
        replay::replay(&mut acted, inputs, |at, effect| match effect {
            Effect::Do(intent, Act::Restart { member, .. } | Act::Stop { member, .. }) => {
                acting.entry(*member).or_default().push((*intent, at));
            }
            Effect::Record(Entry::Decision {
                member,
                step,
                explanation,
                intent: Some(_),
                ..
            }) if matches!(explanation.motive, Motive::Sick | Motive::Dead) => {
                let what = What::Was(*step, explanation.because.clone());
                ledger.add(names.member(*member), at, what);
            }
            Effect::Record(_)
            | Effect::Do(..)
            | Effect::Run(_)
            | Effect::Keep(_)
            | Effect::WakeAt(_)
            | Effect::Notify(_)
            | Effect::Answer { .. } => {}
        });

        // The one that would have.
        let mut plan = other.clone();
        for group in &mut plan.groups {
            group.mode = Mode::Observe;
        }
        let mut engine = engine.clone();
        engine.reload(Arc::new(plan), began);
        let known = engine.attempts();
        let done: BTreeMap<IntentId, usize> = (inputs.iter().enumerate())
            .filter_map(|(index, input)| match input {
                Input::Event {
                    event: Event::Done { intent, .. },
                    ..
                } => Some((*intent, index)),
                Input::Event { .. } | Input::Passes { .. } => None,
            })
            .collect();
        // An end is part of an act of ours that had begun, and is told to be done later.
        let ours = |member: MemberId, at: Instant, index: usize| {
            let of: Option<&Vec<(IntentId, Instant)>> = acting.get(&member);
            of.into_iter().flatten().any(|(intent, begun)| {
                *begun <= at && done.get(intent).is_some_and(|done| *done > index)
            })
        };
        let mut heard = vec![Input::Event {
            at: began,
            asked: None,
            event: Event::Wake,
        }];
        for (index, input) in inputs.iter().enumerate() {
            if let Input::Event {
                event: Event::Exited { member, .. },
                at,
                ..
            } = input
                && ours(*member, *at, index)
            {
                continue;
            }
            let rebased = names.input(input, &known);
            if let Some(Input::Event { at, event, .. }) = &rebased {
                match event {
                    Event::Started { member, .. } => ledger.add(Some(*member), *at, What::Over),
                    Event::Exited { member, .. } => ledger.add(Some(*member), *at, What::Ended),
                    Event::Wake
                    | Event::Sample { .. }
                    | Event::IntentStored(_)
                    | Event::IntentRefused { .. }
                    | Event::Done { .. }
                    | Event::Host(_)
                    | Event::Maintenance { .. }
                    | Event::Command { .. } => {}
                }
            }
            heard.extend(rebased);
        }
        replay::answered(&mut engine, &heard, |at, effect| {
            ledger.would(at, effect);
            // It only begins whom nobody ever started; that was done, and how it went is told.
            match effect {
                Effect::Record(Entry::Intent { intent, .. }) => Some(Event::IntentStored(*intent)),
                Effect::Record(_)
                | Effect::Do(..)
                | Effect::Run(_)
                | Effect::Keep(_)
                | Effect::WakeAt(_)
                | Effect::Notify(_)
                | Effect::Answer { .. } => None,
            }
        });
        ledger
    }

    /// Notes what the engine that only observes says.
    fn would(&mut self, at: Instant, effect: &Effect) {
        match effect {
            Effect::Record(Entry::Decision {
                member,
                step,
                explanation,
                intent: None,
                ..
            }) if matches!(explanation.motive, Motive::Sick | Motive::Dead) => {
                let closed = explanation.readings.iter().filter(|reading| !reading.open);
                // Nothing but that it only observes is in its way.
                if closed.map(|reading| reading.gate).eq([GateName::Control]) {
                    let what = What::Would(*step, explanation.because.clone());
                    self.add(Some(*member), at, what);
                }
            }
            Effect::Record(Entry::Transition {
                member,
                axis: Axis::Health,
                to: "healthy",
                ..
            }) => self.add(Some(*member), at, What::Over),
            Effect::Record(_)
            | Effect::Do(..)
            | Effect::Run(_)
            | Effect::Keep(_)
            | Effect::WakeAt(_)
            | Effect::Notify(_)
            | Effect::Answer { .. } => {}
        }
    }

    fn add(&mut self, member: Option<MemberId>, at: Instant, what: What) {
        if let Some(member) = member {
            self.by_member.entry(member).or_default().push((at, what));
        }
    }

    /// What one of the two decided and the other did not, or not then, in the order of time.
    fn settled(self, same: &mut usize) -> Vec<Decided> {
        let mut all = Vec::new();
        for (member, mut happened) in self.by_member {
            happened.sort_by_key(|(at, _)| *at);
            let mut open: Vec<Decided> = Vec::new();
            let mut ended = None;
            for (at, what) in happened {
                let (step, because, acted) = match what {
                    What::Ended => {
                        ended = Some(at);
                        continue;
                    }
                    What::Over => {
                        settle(&mut open, ended.take(), &mut all, same);
                        continue;
                    }
                    What::Was(step, because) => (step, because, true),
                    What::Would(step, because) => (step, because, false),
                };
                let place = open.iter().position(|act| act.step == step);
                let place = place.unwrap_or_else(|| {
                    open.push(Decided {
                        member,
                        step,
                        was: None,
                        would: None,
                        because,
                    });
                    open.len() - 1
                });
                if let Some(act) = open.get_mut(place) {
                    let which = if acted { &mut act.was } else { &mut act.would };
                    which.get_or_insert(at);
                }
            }
            settle(&mut open, ended, &mut all, same);
        }
        all.sort_by_key(|act| act.was.into_iter().chain(act.would).min());
        all
    }
}

/// What was decided about one trouble of a member, which is over.
fn settle(
    open: &mut Vec<Decided>,
    ended: Option<Instant>,
    all: &mut Vec<Decided>,
    same: &mut usize,
) {
    for act in open.drain(..) {
        let apart = act.was.zip(act.would).map(|(was, would)| {
            let apart = Span(was.0.abs_diff(would.0));
            // The wait of a member that died is drawn from its upper half.
            let drawn = ended.map_or(Span::ZERO, |ended| was.since(ended) / 2);
            apart <= SAME + drawn
        });
        if apart == Some(true) {
            *same += 1;
        } else {
            all.push(act);
        }
    }
}

/// From one plan to another: members and checks are known by their names.
struct Names {
    from: Plan,
    to: Plan,
}

impl Names {
    fn new(from: &Plan, to: &Plan) -> Self {
        let mut to = to.clone();
        // The samples are those of the history, whatever the check would have looked at.
        let mut from = from.clone();
        for check in (from.groups.iter_mut().chain(&mut to.groups)).flat_map(|it| &mut it.checks) {
            check.options.clear();
        }
        Self { from, to }
    }

    fn member(&self, id: MemberId) -> Option<MemberId> {
        let group = self.from.group(id.group)?.name.as_str();
        self.to.find(group, self.from.member(id)?.name.as_str())
    }

    fn leaf(&self, leaf: LeafId) -> Option<LeafId> {
        let sample = Sample {
            status: Status::Pass,
            cause: None,
            message: "".into(),
            measurements: Vec::new(),
            at: Instant(0),
            took: Span::ZERO,
            generation: None,
        };
        match (Event::Sample { leaf, sample }).rebased(&self.from, &self.to)? {
            Event::Sample { leaf, .. } => Some(leaf),
            Event::Wake
            | Event::Started { .. }
            | Event::Exited { .. }
            | Event::IntentStored(_)
            | Event::IntentRefused { .. }
            | Event::Done { .. }
            | Event::Host(_)
            | Event::Maintenance { .. }
            | Event::Command { .. } => None,
        }
    }

    /// What the other engine hears of it: of acts only those that it knows, of people what keeps
    /// automatic acts away.
    fn input(&self, input: &Input, known: &BTreeSet<IntentId>) -> Option<Input> {
        match input {
            Input::Passes {
                leaf,
                first,
                last,
                count,
            } => Some(Input::Passes {
                leaf: self.leaf(*leaf)?,
                first: *first,
                last: *last,
                count: *count,
            }),
            Input::Event { at, asked, event } => {
                match event {
                    Event::IntentStored(intent)
                    | Event::IntentRefused { intent, .. }
                    | Event::Done { intent, .. }
                        if !known.contains(intent) =>
                    {
                        return None;
                    }
                    Event::Command {
                        command: Command::Restart { .. } | Command::Start | Command::Stop,
                        ..
                    } => return None,
                    Event::Wake
                    | Event::Sample { .. }
                    | Event::Started { .. }
                    | Event::Exited { .. }
                    | Event::IntentStored(_)
                    | Event::IntentRefused { .. }
                    | Event::Done { .. }
                    | Event::Host(_)
                    | Event::Maintenance { .. }
                    | Event::Command { .. } => {}
                }
                Some(Input::Event {
                    at: *at,
                    asked: *asked,
                    event: event.clone().rebased(&self.from, &self.to)?,
                })
            }
        }
    }
}
