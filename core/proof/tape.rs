//! What one engine was told and what it answered, from its beginning to its end; and as little of it
//! as a journal needs to hold.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use checkd_core::engine::{Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::policy::{About, Notice};
use checkd_core::replay::{Input, Lives, Recorder, Short, Written, replay};
use checkd_core::{Instant, IntentId, LeafId};

use super::watch::Broken;

/// The tape of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    begin: (Arc<Plan>, u64, IntentId, Instant),
    restored: Option<(Vec<Kept>, Between)>,
    told: Vec<(Instant, Told)>,
    /// What of it a journal needs to hold: stretch by stretch, the last one is being written.
    lean: Vec<Lean>,
}

/// After so many events what the engine knows is written down anew, and a stretch begins.
const STRETCH: u64 = 400;

/// The engine that a stretch begins with, the inputs that are written down, and what was answered that
/// a person sees.
#[derive(Clone, Debug)]
struct Lean {
    begin: Result<Written, Broken>,
    recorder: Recorder,
    /// Of who writes, and of who reads.
    lives: [Lives; 2],
    events: u64,
    inputs: Vec<Input>,
    /// For each leaf the passes that are being counted.
    counted: BTreeMap<LeafId, usize>,
    answered: Vec<String>,
}

impl Lean {
    fn begin(engine: &Engine) -> Self {
        Self {
            begin: engine.written().map_err(|error| error.to_string()),
            recorder: Recorder::beside(engine),
            lives: Default::default(),
            events: 0,
            inputs: Vec::new(),
            counted: BTreeMap::new(),
            answered: Vec::new(),
        }
    }

    /// Tells another engine what is written down.
    fn replay(&self) -> Result<(), Broken> {
        let mut answered = Vec::new();
        let begin = self.begin.as_ref().map_err(Broken::clone)?;
        let mut engine = Engine::read(begin).map_err(|why| format!("I6: {why}"))?;
        replay(&mut engine, &self.inputs, |now, effect| {
            answered.extend(seen(now, effect));
        });
        for (index, was) in self.answered.iter().enumerate() {
            let is = answered.get(index).map_or("nothing", String::as_str);
            if was != is {
                return Err(format!(
                    "I6: replayed from what is written down, {is} and not {was}"
                ));
            }
        }
        match answered.get(self.answered.len()) {
            None => Ok(()),
            Some(more) => Err(format!(
                "I6: replayed from what is written down, also {more}"
            )),
        }
    }

    fn took(&mut self, event: &Event, now: Instant, answered: &[Effect]) {
        self.events += 1;
        let input = self.recorder.take(event, now, answered);
        for effect in answered {
            self.answered.extend(seen(now, effect));
            match effect {
                Effect::Record(Entry::Steady { leaf, at }) if input.is_none() => {
                    self.passed(*leaf, *at);
                }
                Effect::Record(Entry::Run { leaf, .. } | Entry::Steady { leaf, .. }) => {
                    self.counted.remove(leaf);
                }
                // The next pass is told by itself where somebody was told of those before: when the last of
                // them came stands in the words.
                Effect::Record(
                    Entry::Transition { member, .. }
                    | Entry::Decision { member, .. }
                    | Entry::Operator { member, .. },
                )
                | Effect::Notify(Notice {
                    about: About::Member(member),
                    ..
                }) => {
                    let other = |leaf: &LeafId| leaf.member.is_some_and(|it| it != member.member);
                    self.counted
                        .retain(|leaf, _| leaf.group != member.group || other(leaf));
                }
                Effect::Record(Entry::Group { group, .. })
                | Effect::Notify(Notice {
                    about: About::Group(group),
                    ..
                }) => {
                    self.counted
                        .retain(|leaf, _| leaf.group != *group || leaf.member.is_some());
                }
                _ => {}
            }
        }
        // As a journal holds it; what would not come back is missed by the replay.
        let [writes, reads] = &mut self.lives;
        let short = input.map(|input| writes.shorten(input));
        let text = short.and_then(|short| serde_json::to_string(&short).ok());
        let short = text.and_then(|text| serde_json::from_str::<Short>(&text).ok());
        self.inputs.extend(short.map(|short| reads.restore(short)));
    }

    fn passed(&mut self, leaf: LeafId, at: Instant) {
        let counted = self.counted.get(&leaf).copied();
        let input = counted.and_then(|place| self.inputs.get_mut(place));
        if let Some(passes) = input
            && passes.goes_on(at)
            && let Input::Passes { last, count, .. } = passes
        {
            (*last, *count) = (at, *count + 1);
            return;
        }
        self.counted.insert(leaf, self.inputs.len());
        self.inputs.push(Input::Passes {
            leaf,
            first: at,
            last: at,
            count: 1,
        });
    }
}

/// An answer that a person, a member or the journal gets: all that counts of a decision.
fn seen(now: Instant, effect: &Effect) -> Option<String> {
    match effect {
        Effect::Record(Entry::Steady { .. })
        | Effect::Run(_)
        | Effect::WakeAt(_)
        | Effect::Keep(_) => None,
        Effect::Record(_) | Effect::Do(..) | Effect::Notify(_) | Effect::Answer { .. } => {
            Some(format!("{now:?} {effect:?}"))
        }
    }
}

#[derive(Clone, Debug)]
enum Told {
    /// With the sum of everything that was answered.
    Event(Event, u64),
    Reload(Arc<Plan>),
}

impl Tape {
    pub(crate) fn new(plan: Arc<Plan>, seed: u64, first: IntentId, now: Instant) -> Self {
        Self {
            begin: (plan, seed, first, now),
            restored: None,
            told: Vec::new(),
            lean: Vec::new(),
        }
    }

    pub(crate) fn restored(&mut self, kept: Vec<Kept>, between: Between) {
        self.restored = Some((kept, between));
    }

    /// `engine` is as it is after the event.
    pub(crate) fn took(&mut self, event: &Event, now: Instant, out: &[Effect], engine: &Engine) {
        if self.lean.is_empty() {
            self.lean.push(Lean::begin(&self.engine()));
        }
        if let Some(lean) = self.lean.last_mut() {
            lean.took(event, now, out);
            if lean.events == STRETCH {
                self.lean.push(Lean::begin(engine));
            }
        }
        self.told.push((now, Told::Event(event.clone(), sum(out))));
    }

    /// `engine` is as it is after the reload.
    pub(crate) fn reloaded(&mut self, next: &Arc<Plan>, now: Instant, engine: &Engine) {
        self.lean.push(Lean::begin(engine));
        self.told.push((now, Told::Reload(Arc::clone(next))));
    }

    fn engine(&self) -> Engine {
        let (plan, seed, first, began) = &self.begin;
        let mut engine = Engine::new(Arc::clone(plan), *seed, *first, *began);
        if let Some((kept, between)) = &self.restored {
            engine.restore(kept, between, *began);
        }
        engine
    }

    /// Tells another engine the same.
    pub(crate) fn replay(&self) -> Result<(), Broken> {
        for lean in &self.lean {
            lean.replay()?;
        }
        let mut engine = self.engine();
        for (now, told) in &self.told {
            match told {
                Told::Reload(next) => drop(engine.reload(Arc::clone(next), *now)),
                Told::Event(event, answered) => {
                    let mut out = Vec::new();
                    engine.step(event, *now, &mut out);
                    if sum(&out) != *answered {
                        return Err(format!(
                            "I6: told {event:?} at {now:?} again, it answers {out:?}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A sum of all that was decided; what is to be kept follows from it.
fn sum(effects: &[Effect]) -> u64 {
    let mut sum = Sum(DefaultHasher::new());
    for effect in effects {
        if !matches!(effect, Effect::Keep(_)) {
            let _ = write!(sum, "{effect:?}");
        }
    }
    sum.0.finish()
}

struct Sum(DefaultHasher);

impl Write for Sum {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
