//! What an engine was told, as little of it as it takes to decide everything again.
//!
//! Most of what a daemon's loop hears changes nothing: passes of healthy members, wake-ups at which runs
//! begin, facts of the machine that are as before. Of those only a count of the passes is needed; all else
//! is told again word for word. What the engine asked for by itself is not needed at all, for the same
//! engine asks for it again.

mod beginning;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::event::{Effect, Event, HostFacts};
use crate::journal::Entry;
use crate::policy::host::{LATE, STILL};
use crate::schedule::GRAIN;
use crate::{Instant, LeafId, MemberId, Sample, Span, Status};

pub use beginning::Written;

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
    /// When the last event was taken that is written down.
    written: Option<Instant>,
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
            Event::Sample { sample, .. } => {
                now.since(sample.at) >= LATE || self.written.is_some_and(|at| sample.at <= at)
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
            self.written = Some(now);
        }
        needed.then(|| Input::Event {
            at: now,
            asked,
            event: without_measurements(event),
        })
    }
}

/// Nothing is decided by what a check measured; it has judged that itself.
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
            measurements: Vec::new(),
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
    answered(engine, inputs, |at, effect| {
        heard(at, effect);
        None
    });
}

/// The same for an engine that may decide otherwise than the one that was told: what `heard` answers to an
/// effect it is told at once.
pub fn answered(
    engine: &mut Engine,
    inputs: &[Input],
    mut heard: impl FnMut(Instant, &Effect) -> Option<Event>,
) {
    // A wake-up that was asked for and had not come by then: until then there was none.
    let slept: BTreeMap<Instant, Instant> = inputs.iter().filter_map(slept).collect();
    let mut player = Player {
        engine,
        slept,
        now: Instant::default(),
        wake_at: None,
        effects: Vec::new(),
        passes: BTreeMap::new(),
    };
    player.wake_at = player.engine.wake_at();
    for (place, input) in inputs.iter().enumerate() {
        if let Input::Passes {
            leaf,
            first,
            last,
            count,
        } = input
        {
            player.passes.insert(
                (player.heard(*first), place),
                Passing {
                    leaf: *leaf,
                    first: *first,
                    length: last.since(*first),
                    count: *count,
                    done: 0,
                },
            );
        }
    }
    for input in inputs {
        if let Input::Event { at, event, .. } = input {
            player.go_on_until(*at, &mut heard);
            player.tell(event, *at, &mut heard);
        }
    }
}

fn slept(input: &Input) -> Option<(Instant, Instant)> {
    match input {
        Input::Event { at, asked, .. } => Some(((*asked)?, *at)),
        Input::Passes { .. } => None,
    }
}

/// Passes on their way to the engine: evenly between the first and the last, which are as they were.
struct Passing {
    leaf: LeafId,
    first: Instant,
    length: Span,
    count: u64,
    done: u64,
}

struct Player<'a> {
    engine: &'a mut Engine,
    slept: BTreeMap<Instant, Instant>,
    now: Instant,
    wake_at: Option<Instant>,
    effects: Vec<Effect>,
    /// By the time of the next one.
    passes: BTreeMap<(Instant, usize), Passing>,
}

impl Player<'_> {
    /// Whatever is not written down of the time until the next event.
    fn go_on_until(
        &mut self,
        end: Instant,
        heard: &mut impl FnMut(Instant, &Effect) -> Option<Event>,
    ) {
        loop {
            let awake = |at: &Instant| *at < end && self.slept_through(*at).is_none();
            let wake = self.wake_at.map(|at| at.max(self.now)).filter(awake);
            let pass = self.passes.first_key_value().map(|((at, _), _)| *at);
            match (wake, pass.filter(|at| *at <= end)) {
                (Some(wake), pass) if pass.is_none_or(|pass| wake <= pass) => {
                    self.tell(&Event::Wake, wake, heard);
                }
                (_, Some(pass)) => self.pass(pass, heard),
                (_, None) => return,
            }
        }
    }

    /// Until when the loop slept that did at this moment.
    fn slept_through(&self, at: Instant) -> Option<(Instant, Instant)> {
        let (asked, woken) = self.slept.range(..=at).next_back()?;
        (*woken > at).then_some((*asked, *woken))
    }

    /// When a pass was heard that ended at this moment: where the loop stood still, after what it did
    /// first, which is written down.
    fn heard(&self, at: Instant) -> Instant {
        match self.slept_through(at) {
            Some((asked, woken)) if woken.since(asked) >= STILL => woken + Span::millis(1),
            Some(_) | None => at,
        }
    }

    fn pass(&mut self, at: Instant, heard: &mut impl FnMut(Instant, &Effect) -> Option<Event>) {
        let Some(((_, place), mut passing)) = self.passes.pop_first() else {
            return;
        };
        let leaf = passing.leaf;
        let generation = leaf.member.and_then(|member| {
            self.engine.generation(MemberId {
                group: leaf.group,
                member,
            })
        });
        let sample = Sample {
            status: Status::Pass,
            cause: None,
            message: "".into(),
            measurements: Vec::new(),
            at,
            took: Span::ZERO,
            generation,
        };
        self.tell(&Event::Sample { leaf, sample }, at, heard);
        passing.done += 1;
        if passing.done < passing.count {
            let share = passing.length.0 * passing.done / (passing.count - 1);
            let next = passing.first + Span(share);
            self.passes.insert((self.heard(next), place), passing);
        }
    }

    fn tell(
        &mut self,
        event: &Event,
        at: Instant,
        heard: &mut impl FnMut(Instant, &Effect) -> Option<Event>,
    ) {
        if matches!(event, Event::Wake) {
            self.wake_at = None;
        }
        // Time never goes back, whatever was late.
        self.now = self.now.max(at);
        let at = self.now;
        self.engine.step(event, at, &mut self.effects);
        let mut answers = Vec::new();
        for effect in self.effects.drain(..) {
            if let Effect::WakeAt(at) = &effect {
                self.wake_at = Some(*at);
            }
            answers.extend(heard(at, &effect));
        }
        for answer in answers {
            self.tell(&answer, at, heard);
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
