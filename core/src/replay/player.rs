//! An engine that is told a history: what is written down of it, and what follows by itself.

use std::collections::BTreeMap;

use super::Input;
use crate::engine::Engine;
use crate::event::{Effect, Event};
use crate::policy::host::STILL;
use crate::{Instant, LeafId, MemberId, Sample, Span, Status};

pub(super) struct Player<'a> {
    pub(super) engine: &'a mut Engine,
    /// Wake-ups that were asked for and had not come by then: until then there was none.
    slept: BTreeMap<Instant, Instant>,
    now: Instant,
    wake_at: Option<Instant>,
    effects: Vec<Effect>,
    /// By the time of the next one.
    passes: BTreeMap<(Instant, usize), Passing>,
}

/// What is not written down and comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Wake(Instant),
    Pass(Instant),
}

impl Due {
    pub(super) const fn at(self) -> Instant {
        match self {
            Self::Wake(at) | Self::Pass(at) => at,
        }
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

fn slept(input: &Input) -> Option<(Instant, Instant)> {
    match input {
        Input::Event { at, asked, .. } => Some(((*asked)?, *at)),
        Input::Passes { .. } => None,
    }
}

impl<'a> Player<'a> {
    /// Tells `engine` what is in `inputs`, when it is asked to.
    pub(super) fn new<'b>(
        engine: &'a mut Engine,
        inputs: impl IntoIterator<Item = &'b Input> + Clone,
    ) -> Self {
        let mut player = Self {
            slept: inputs.clone().into_iter().filter_map(slept).collect(),
            now: Instant::default(),
            wake_at: engine.wake_at(),
            engine,
            effects: Vec::new(),
            passes: BTreeMap::new(),
        };
        for (place, input) in inputs.into_iter().enumerate() {
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
        player
    }

    /// When it was told something last.
    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    /// What is not written down of the time until the event at `end`, if there is anything left.
    pub(super) fn due(&self, end: Instant) -> Option<Due> {
        let awake = |at: &Instant| *at < end && self.slept_through(*at).is_none();
        let wake = self.wake_at.map(|at| at.max(self.now)).filter(awake);
        let pass = self.passes.first_key_value().map(|((at, _), _)| *at);
        match (wake, pass.filter(|at| *at <= end)) {
            (Some(wake), pass) if pass.is_none_or(|pass| wake <= pass) => Some(Due::Wake(wake)),
            (_, pass) => pass.map(Due::Pass),
        }
    }

    /// Goes on to what is due.
    pub(super) fn take(&mut self, due: Due, heard: &mut impl FnMut(Instant, &Effect)) {
        match due {
            Due::Wake(at) => self.tell(&Event::Wake, at, heard),
            Due::Pass(at) => self.pass(at, heard),
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

    fn pass(&mut self, at: Instant, heard: &mut impl FnMut(Instant, &Effect)) {
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

    /// Tells the engine an event.
    pub(super) fn tell(
        &mut self,
        event: &Event,
        at: Instant,
        heard: &mut impl FnMut(Instant, &Effect),
    ) {
        if matches!(event, Event::Wake) {
            self.wake_at = None;
        }
        // Time never goes back, whatever was late.
        self.now = self.now.max(at);
        self.step(
            |engine, now, effects| engine.step(event, now, effects),
            heard,
        );
    }

    /// Has the engine do something else than take an event.
    pub(super) fn step(
        &mut self,
        does: impl FnOnce(&mut Engine, Instant, &mut Vec<Effect>),
        heard: &mut impl FnMut(Instant, &Effect),
    ) {
        does(self.engine, self.now, &mut self.effects);
        for effect in self.effects.drain(..) {
            if let Effect::WakeAt(at) = &effect {
                self.wake_at = Some(*at);
            }
            heard(self.now, &effect);
        }
    }
}
