//! What another configuration would have done about the same history.
//!
//! Two engines that only observe are told the same, but for the ends of members by our own hand: one under
//! the configuration of then, one under the other. What the one would do is held against what the other
//! would, and not against what was done, for an engine that only observes never has anybody out by its own
//! hand: under the same configuration both say the same. What came after an act is what came in truth; so
//! each act is seen by itself, and no chain of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checkd_core::engine::{Act, Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::{Mode, Plan};
use checkd_core::policy::{Axis, GateName, Motive, Step};
use checkd_core::replay::{self, Input};
use checkd_core::{Instant, IntentId, MemberId, Span};
use serde::Serialize;

use super::Asked;
use super::names::Names;
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
    /// So many acts were done to members that the other configuration does not have.
    pub(crate) gone: usize,
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
    /// When it is decided under the configuration of then, in milliseconds since 1970; nothing when it
    /// is not.
    pub(crate) was_ms: Option<i64>,
    /// When under the other one; nothing when it is not, as far as the history tells.
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
    let wall = |at: Option<Instant>| at.map(|at| segment.wall_of(at));
    let wanted = |path: &str, ms: i64| {
        let members = asked.members.as_ref();
        members.is_none_or(|members| members.contains(path)) && ms >= asked.since_ms
    };
    let other = match as_written(plan) {
        Ok(other) => other,
        Err(why) => {
            all.cannot.push(why.to_string());
            return Ok(());
        }
    };
    let from = Arc::clone(engine.plan());
    let truth = Truth::of(&engine, &inputs);
    let names = Names::new(&from, &other);
    let gone = truth.acts.iter().filter(|(member, at)| {
        names.member(*member).is_none() && wanted(&from.path(*member), segment.wall_of(*at))
    });
    all.gone += gone.count();
    let mut ledger = Ledger::default();
    for (side, under) in [(Side::Then, &*from), (Side::Other, &other)] {
        let mut heard = Heard {
            side,
            under,
            ledger: &mut ledger,
        };
        heard.all_of(&engine, &inputs, &truth, segment.at);
    }
    let members: BTreeSet<String> = other.members().map(|id| other.path(id)).collect();
    for act in ledger.settled(|path| members.contains(path)) {
        let other = Other {
            path: act.path,
            step: act.step.as_str(),
            was_ms: wall(act.was),
            would_ms: wall(act.would),
            because: act.because,
        };
        match (wanted(&other.path, other.first_ms()), act.same) {
            (true, true) => all.same += 1,
            (true, false) => all.acts.push(other),
            (false, _) => {}
        }
    }
    Ok(())
}

/// A plan as one is in the journal, so that nothing else in it can make a difference.
fn as_written(plan: &Plan) -> serde_json::Result<Plan> {
    Ok(Plan {
        groups: serde_json::from_value(serde_json::to_value(&plan.groups)?)?,
        ..Plan::default()
    })
}

/// What the engine that acted did.
struct Truth {
    /// Whom it decided to restart or to start, and when.
    acts: Vec<(MemberId, Instant)>,
    /// Whom it ended by its acts, and when those began.
    ending: BTreeMap<MemberId, Vec<(IntentId, Instant)>>,
    /// Behind which input each act was told to be done.
    done: BTreeMap<IntentId, usize>,
}

impl Truth {
    fn of(engine: &Engine, inputs: &[Input]) -> Self {
        let (mut acts, mut ending) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        replay::replay(&mut engine.clone(), inputs, |at, effect| match effect {
            Effect::Do(intent, Act::Restart { member, .. } | Act::Stop { member, .. }) => {
                ending.entry(*member).or_default().push((*intent, at));
            }
            Effect::Record(Entry::Decision {
                member,
                explanation,
                intent: Some(_),
                ..
            }) if matches!(explanation.motive, Motive::Sick | Motive::Dead) => {
                acts.push((*member, at));
            }
            Effect::Record(_)
            | Effect::Do(..)
            | Effect::Run(_)
            | Effect::Keep(_)
            | Effect::WakeAt(_)
            | Effect::Notify(_)
            | Effect::Answer { .. } => {}
        });
        let done = (inputs.iter().enumerate()).filter_map(|(index, input)| match input {
            Input::Event {
                event: Event::Done { intent, .. },
                ..
            } => Some((*intent, index)),
            Input::Event { .. } | Input::Passes { .. } => None,
        });
        Self {
            acts,
            ending,
            done: done.collect(),
        }
    }

    /// Whether the end of a member is part of an act of ours, which had begun and is told to be done later.
    fn is_ours(&self, member: MemberId, at: Instant, index: usize) -> bool {
        let of = self.ending.get(&member);
        of.into_iter().flatten().any(|(intent, begun)| {
            *begun <= at && self.done.get(intent).is_some_and(|done| *done > index)
        })
    }
}

/// Which of the two that only observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    /// The one under the configuration of then.
    Then,
    /// The one under the other.
    Other,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// It would be done.
    Act(Step, String),
    /// Its process ended.
    Ended,
    /// It began, or is well: what was wrong before is over.
    Over,
}

/// What the two engines say of each member, with the place among all that the same engine says of it: of two
/// that say the same, one always stands beside the other.
type Said = Vec<(Instant, usize, Side, What)>;

#[derive(Debug, Default)]
struct Ledger {
    by_member: BTreeMap<String, Said>,
    /// How much each of the two said of each member.
    places: BTreeMap<(String, Side), usize>,
}

/// An act that one of the two decided, or both.
struct Decided {
    path: String,
    step: Step,
    was: Option<Instant>,
    would: Option<Instant>,
    because: String,
    same: bool,
}

/// One of the two engines, and where it stands what it says.
struct Heard<'a> {
    side: Side,
    under: &'a Plan,
    ledger: &'a mut Ledger,
}

impl Heard<'_> {
    fn all_of(&mut self, engine: &Engine, inputs: &[Input], truth: &Truth, began: Instant) {
        let names = Names::new(engine.plan(), self.under);
        let mut plan = self.under.clone();
        for group in &mut plan.groups {
            group.mode = Mode::Observe;
        }
        let mut engine = engine.clone();
        engine.reload(Arc::new(plan), began);
        let known = engine.attempts();
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
                && truth.is_ours(*member, *at, index)
            {
                continue;
            }
            let rebased = names.input(input, &known);
            if let Some(Input::Event { at, event, .. }) = &rebased {
                match event {
                    Event::Started { member, .. } => self.add(*member, *at, What::Over),
                    Event::Exited { member, .. } => self.add(*member, *at, What::Ended),
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
            self.would(at, effect);
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
                let group = self.under.group(member.group);
                // Nothing but that it only observes is in its way, and its configuration would not.
                if closed.map(|reading| reading.gate).eq([GateName::Control])
                    && group.is_some_and(|group| group.mode == Mode::Auto)
                {
                    let what = What::Act(*step, explanation.because.clone());
                    self.add(*member, at, what);
                }
            }
            Effect::Record(Entry::Transition {
                member,
                axis: Axis::Health,
                to: "healthy",
                ..
            }) => self.add(*member, at, What::Over),
            Effect::Record(_)
            | Effect::Do(..)
            | Effect::Run(_)
            | Effect::Keep(_)
            | Effect::WakeAt(_)
            | Effect::Notify(_)
            | Effect::Answer { .. } => {}
        }
    }

    fn add(&mut self, member: MemberId, at: Instant, what: What) {
        let path = self.under.path(member);
        let said = self.ledger.by_member.entry(path.clone()).or_default();
        let place = self.ledger.places.entry((path, self.side)).or_default();
        said.push((at, *place, self.side, what));
        *place += 1;
    }
}

impl Ledger {
    /// What was decided about each trouble of each member that `is_there`, in the order of time.
    fn settled(self, is_there: impl Fn(&str) -> bool) -> Vec<Decided> {
        let mut all = Vec::new();
        for (path, mut said) in self.by_member {
            if !is_there(&path) {
                continue;
            }
            said.sort_by_key(|(at, place, side, _)| (*at, *place, *side));
            let mut open: Vec<Decided> = Vec::new();
            let mut ended = None;
            for (at, _, side, what) in said {
                match (side, what) {
                    (Side::Then, What::Ended | What::Over) => {}
                    (Side::Other, What::Ended) => ended = Some(at),
                    (Side::Other, What::Over) => settle(&mut open, ended.take(), &mut all),
                    (side, What::Act(step, because)) => {
                        let place = open.iter().position(|act| act.step == step);
                        let place = place.unwrap_or_else(|| {
                            open.push(Decided {
                                path: path.clone(),
                                step,
                                was: None,
                                would: None,
                                because,
                                same: false,
                            });
                            open.len() - 1
                        });
                        if let Some(act) = open.get_mut(place) {
                            let which = match side {
                                Side::Then => &mut act.was,
                                Side::Other => &mut act.would,
                            };
                            which.get_or_insert(at);
                        }
                    }
                }
            }
            settle(&mut open, ended, &mut all);
        }
        all.sort_by_key(|act| act.was.into_iter().chain(act.would).min());
        all
    }
}

/// What was decided about one trouble of a member, which is over.
fn settle(open: &mut Vec<Decided>, ended: Option<Instant>, all: &mut Vec<Decided>) {
    for mut act in open.drain(..) {
        act.same = act.was.zip(act.would).is_some_and(|(was, would)| {
            let apart = Span(was.0.abs_diff(would.0));
            // The wait of a member that died is drawn from its upper half.
            let drawn = ended.map_or(Span::ZERO, |ended| was.since(ended) / 2);
            apart <= SAME + drawn
        });
        all.push(act);
    }
}
