//! What an engine was told, as little of it as it takes to decide everything again.
//!
//! Most of what a daemon's loop hears changes nothing: passes of healthy members, wake-ups at which runs
//! begin, facts of the machine that are as before. Of those only a count of the passes is needed; all else
//! is told again word for word. What the engine asked for by itself is not needed at all, for the same
//! engine asks for it again.

mod beginning;
mod beside;
mod player;
mod short;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::event::{Effect, Event, HostFacts};
use crate::journal::Entry;
use crate::policy::host::LATE;
use crate::schedule::GRAIN;
use crate::{Instant, IntentId, LeafId, MemberId, Sample};

pub use beginning::Written;
pub use beside::{Said, beside};
use player::Player;
pub use short::{Lives, Short};

/// One thing that an engine was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An event that mattered.
    Event {
        /// When the engine took it.
        at: Instant,
        /// When the engine had wanted to be woken, if it was not by then.
        asked: Option<Instant>,
        /// What it was.
        event: Event,
    },
    /// So many passes of a settled check, which changed nothing ([`Entry::Steady`]).
    Passes {
        /// Of which leaf.
        leaf: LeafId,
        /// When the first of them ended.
        first: Instant,
        /// And the last.
        last: Instant,
        /// How many there were.
        count: u64,
    },
}

impl Input {
    /// Whether a pass at `at` is one more of these: it came after as long a time as each of them did.
    pub fn goes_on(&self, at: Instant) -> bool {
        let Self::Passes {
            first, last, count, ..
        } = self
        else {
            return false;
        };
        goes_on((*first, *last, *count), at)
    }
}

/// Whether a pass at `at` is one more of so many between a first and a last one: it came after as long a
/// time as each of them did.
pub fn goes_on((first, last, count): (Instant, Instant, u64), at: Instant) -> bool {
    let Some(gaps) = count.checked_sub(1).filter(|gaps| *gaps > 0) else {
        return true;
    };
    let usual = last.since(first).0 / gaps;
    usual.abs_diff(at.since(last).0) < LATE.0
}

/// Sorts out, beside an engine, what must be written down of what it is told.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    woken: bool,
    wake_at: Option<Instant>,
    host: Option<HostFacts>,
    written: Newest,
}

impl Recorder {
    /// Beside an engine that has done something already: what comes now is told to one that begins as
    /// this one is.
    pub fn beside(engine: &Engine) -> Self {
        Self {
            wake_at: engine.wake_at(),
            ..Self::default()
        }
    }

    /// The input to be written down of an event that the engine took at `now` and answered with
    /// `effects`; `None` when it can be done without.
    pub fn take(&mut self, event: &Event, now: Instant, effects: &[Effect]) -> Option<Input> {
        let asked = self.wake_at.filter(|at| *at <= now);
        if matches!(event, Event::Wake) {
            self.wake_at = None;
        }
        for effect in effects {
            if let Effect::WakeAt(at) = effect {
                self.wake_at = Some(*at);
            }
        }
        // Within a grain of the schedule it is the same whenever a wake-up comes. Later than that it finds
        // more due than it was asked for; and lateness itself is told to the engine by whatever is late.
        let patience = if matches!(event, Event::Wake) {
            GRAIN
        } else {
            LATE
        };
        let late = asked.is_some_and(|at| now.since(at) >= patience);
        let news = match event {
            // The passes of a loop that stood still were heard long after they ended. One that ended
            // before an event that is written down, and was heard after it, would be told before it.
            Event::Sample { leaf, sample } => {
                now.since(sample.at) >= LATE || self.written.bears_on(*leaf, sample.at)
            }
            Event::Wake => !std::mem::replace(&mut self.woken, true),
            Event::Host(facts) => self.host.replace(*facts) != Some(*facts),
            Event::Started { .. }
            | Event::Exited { .. }
            | Event::IntentStored(_)
            | Event::IntentRefused { .. }
            | Event::Done { .. }
            | Event::Maintenance { .. }
            | Event::Command { .. } => true,
        };
        let needed = late || news || effects.iter().any(|effect| !idle(effect));
        if needed {
            self.written.note(event, now);
        }
        self.written.answered(event, effects);
        needed.then(|| Input::Event {
            at: now,
            asked,
            event: without_measurements(event),
        })
    }
}

/// When the newest of the events was taken that are written down.
#[derive(Clone, Debug, Default)]
struct Newest {
    of_any: Option<Instant>,
    /// Of those that are not about one member alone.
    of_all: Option<Instant>,
    of: BTreeMap<MemberId, Instant>,
    /// Whose the intents are that are under way.
    intents: BTreeMap<IntentId, MemberId>,
}

impl Newest {
    fn note(&mut self, event: &Event, now: Instant) {
        self.of_any = Some(now);
        match self.about(event) {
            Some(member) => drop(self.of.insert(member, now)),
            None => self.of_all = Some(now),
        }
    }

    /// The member that an event is about, when it is known to be about one alone.
    fn about(&self, event: &Event) -> Option<MemberId> {
        match event {
            Event::Sample { leaf, .. } => member_of(*leaf),
            Event::Started { member, .. }
            | Event::Exited { member, .. }
            | Event::Command { member, .. } => Some(*member),
            Event::IntentStored(intent)
            | Event::IntentRefused { intent, .. }
            | Event::Done { intent, .. } => self.intents.get(intent).copied(),
            Event::Wake | Event::Host(_) | Event::Maintenance { .. } => None,
        }
    }

    /// What was answered to an event: an intent begins, or is over.
    fn answered(&mut self, event: &Event, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Record(Entry::Intent { intent, act, .. }) = effect {
                self.intents.insert(*intent, act.member());
            }
        }
        if let Event::IntentRefused { intent, .. } | Event::Done { intent, .. } = event {
            self.intents.remove(intent);
        }
    }

    /// Whether something is written down that was taken when a pass ended, or later, and before it was
    /// heard. What is about other members alone is none of a pass's business: it changed nothing but its
    /// own leaf.
    fn bears_on(&self, leaf: LeafId, ended: Instant) -> bool {
        let newest = match member_of(leaf) {
            Some(member) => self.of_all.max(self.of.get(&member).copied()),
            None => self.of_any,
        };
        newest.is_some_and(|at| ended <= at)
    }
}

/// The member that a leaf is of, when it is of one.
const fn member_of(leaf: LeafId) -> Option<MemberId> {
    match leaf.member {
        Some(member) => Some(MemberId {
            group: leaf.group,
            member,
        }),
        None => None,
    }
}

/// Nothing is decided by what a check measured, which it has judged itself, but by whom it blames.
fn without_measurements(event: &Event) -> Event {
    let Event::Sample { leaf, sample } = event else {
        return event.clone();
    };
    Event::Sample {
        leaf: *leaf,
        sample: Sample {
            status: sample.status,
            cause: sample.cause,
            message: Arc::clone(&sample.message),
            measurements: sample
                .measurements
                .iter()
                .filter(|one| one.blames().is_some())
                .cloned()
                .collect(),
            at: sample.at,
            took: sample.took,
            generation: sample.generation,
        },
    }
}

/// What follows from an event without anything having changed.
fn idle(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Run(_) | Effect::WakeAt(_) | Effect::Record(Entry::Steady { .. })
    )
}

/// Tells `engine`, which begins as the other one did, the same again, and hands on what it answers.
///
/// Events are in the order in which they were taken; where passes stand among them is of no account.
pub fn replay(engine: &mut Engine, inputs: &[Input], mut heard: impl FnMut(Instant, &Effect)) {
    let mut player = Player::new(engine, inputs);
    for input in inputs {
        if let Input::Event { at, event, .. } = input {
            while let Some(due) = player.due(*at) {
                player.take(due, &mut heard);
            }
            player.tell(event, *at, &mut heard);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Input, Recorder, replay};
    use crate::engine::Engine;
    use crate::event::{Effect, Event};
    use crate::journal::Entry;
    use crate::plan::Plan;
    use crate::policy::sim::{World, group};
    use crate::{Generation, Instant, IntentId, Sample, Span, Status};

    /// An hour of a healthy member with two checks, told to an engine.
    fn hour(engine: &mut Engine) -> (Vec<Input>, Vec<(Instant, String)>, usize) {
        let (mut recorder, mut inputs, mut seen) = (Recorder::default(), Vec::new(), Vec::new());
        let (mut told, mut now) = (0, Instant(1_000_000));
        let generation = Generation {
            boot: 1,
            pid: 7,
            start: 1,
        };
        let adopted = Event::Started {
            member: World::id(0),
            generation,
            adopted: true,
        };
        let mut heard = vec![adopted, Event::Wake];
        let (end, mut wake_at) = (now + Span::mins(60), None);
        while now < end {
            for event in std::mem::take(&mut heard) {
                let mut effects = Vec::new();
                engine.step(&event, now, &mut effects);
                told += 1;
                inputs.extend(recorder.take(&event, now, &effects));
                for effect in effects {
                    if let Effect::WakeAt(at) = effect {
                        wake_at = Some(at);
                    }
                    if let Effect::Record(entry) = &effect
                        && !matches!(entry, Entry::Steady { .. })
                    {
                        seen.push((now, format!("{entry:?}")));
                    }
                    if let Effect::Run(run) = effect {
                        let sample = Sample {
                            status: Status::Pass,
                            cause: None,
                            message: "".into(),
                            measurements: Vec::new(),
                            at: now,
                            took: Span(3),
                            generation: run.generation,
                        };
                        let leaf = run.leaf;
                        heard.push(Event::Sample { leaf, sample });
                    }
                }
            }
            if heard.is_empty() {
                now = wake_at.take().unwrap().max(now);
                heard.push(Event::Wake);
            }
        }
        (inputs, seen, told)
    }

    #[test]
    fn of_a_healthy_hour_next_to_nothing_is_written_down_and_all_of_it_follows() {
        let plan = Arc::new(Plan {
            groups: vec![group(1, &["ping", "memory"], 1)],
            ..Plan::default()
        });
        let engine = || Engine::new(Arc::clone(&plan), 7, IntentId(1), Instant(1_000_000));
        let (inputs, seen, told) = hour(&mut engine());
        assert!(told > 1_400, "{told} events in an hour");
        assert!(inputs.len() < 15, "{} of them: {inputs:#?}", inputs.len());
        let mut again = Vec::new();
        replay(&mut engine(), &inputs, |now, effect| {
            if let Effect::Record(entry) = effect
                && !matches!(entry, Entry::Steady { .. })
            {
                again.push((now, format!("{entry:?}")));
            }
        });
        assert_eq!(again, seen);
    }
}
