//! What another plan decides at each moment of a history, as if all that was done until then had been done
//! under it.
//!
//! Two engines are told the same: one under the plan of then, which decides what was decided, and one under
//! the other. Whenever one of them decides, it is looked at what the other one does at the same moment, and
//! then the other one is made to share what was done in truth: an act that it would not have begun is in its
//! books and in its budget all the same, and one that only it would have begun is not. So each decision is
//! seen by itself, with all that limits it, and under the same plan both decide the same to the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Input;
use super::player::{Due, Player};
use crate::engine::Engine;
use crate::event::{Effect, Event};
use crate::journal::Entry;
use crate::plan::{GroupPlan, Plan};
use crate::policy::state::{Attempt, Health};
use crate::policy::{Follow, follow};
use crate::{Generation, Instant, IntentId, MemberId};

/// So many acts are let be in one step; there are fewer members than that.
const MOST: usize = 1_000_000;

/// What is said in such a replay.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// By the engine under the plan of then.
    Then(&'a Effect),
    /// By the one under the other plan.
    Other(&'a Effect),
    /// An act of then is not one of the other plan, which says why; the member is known as it is there.
    Not(MemberId, &'a str),
}

const fn said_then(effect: &Effect) -> Said<'_> {
    Said::Then(effect)
}

const fn said_other(effect: &Effect) -> Said<'_> {
    Said::Other(effect)
}

/// Tells both engines what was told to the first: `inputs` as they were, and as the other one hears them.
/// `members` is who is who.
pub fn beside(
    mut then: Engine,
    other: Arc<Plan>,
    began: Instant,
    inputs: &[(Input, Option<Input>)],
    members: &BTreeMap<MemberId, MemberId>,
    mut heard: impl FnMut(Instant, Said<'_>),
) {
    let (mut engine, to_wake) = then.under(other, began);
    let mut pair = Pair {
        then: Player::new(&mut then, inputs.iter().map(|(input, _)| input)),
        other: Player::new(&mut engine, inputs.iter().filter_map(|(_, it)| it.as_ref())),
        members,
        was: Decided::default(),
        would: Decided::default(),
        let_be: BTreeMap::new(),
    };
    if to_wake {
        pair.tell_other(&Event::Wake, began, &mut heard);
        pair.share(&mut heard);
    }
    for (input, others) in inputs {
        let Input::Event { at, event, .. } = input else {
            continue;
        };
        pair.go_on_until(*at, &mut heard);
        (pair.then).tell(event, *at, &mut pair.was.noting(&mut heard, said_then));
        if let Some(Input::Event { event, .. }) = others {
            pair.tell_other(event, *at, &mut heard);
        }
        pair.share(&mut heard);
    }
}

impl Engine {
    /// This engine as it would go on under another plan, and whether it is to be woken for that: where more
    /// differs than settings, it takes it as a new configuration.
    fn under(&self, plan: Arc<Plan>, now: Instant) -> (Self, bool) {
        let shape = |group: &GroupPlan| {
            let members: Vec<_> = group.members.iter().map(|it| it.name.clone()).collect();
            let checks = group.checks.iter();
            let checks: Vec<_> = checks.map(|it| (it.name.clone(), it.scope)).collect();
            let needs = group.depends_on.clone();
            (group.name.clone(), members, checks, needs)
        };
        let shapes = |plan: &Plan| plan.groups.iter().map(shape).collect::<Vec<_>>();
        if shapes(self.plan()) == shapes(&plan) {
            return (Self::of(plan, self.state().clone()), false);
        }
        let mut engine = self.clone();
        engine.reload(plan, now);
        (engine, self.state().awake)
    }

    fn follow(&mut self, what: &Follow, now: Instant, out: &mut Vec<Effect>) {
        let plan = Arc::clone(self.plan());
        follow(&plan, self.state_mut(), what, now, out);
    }

    /// Both draw the same waits from here on, give the same numbers, and know when somebody was killed last.
    fn draw_as(&mut self, then: &Self) {
        let (state, then) = (self.state_mut(), then.state());
        state.chance = then.chance.clone();
        state.next_intent = then.next_intent;
        state.host.last_kill = then.host.last_kill;
    }

    fn attempt(&self, id: MemberId) -> Option<&Attempt> {
        self.state().member(id)?.attempt.as_ref()
    }
}

/// What one engine decided in one step, and what it let go.
#[derive(Debug, Default)]
struct Decided {
    intents: BTreeSet<(MemberId, IntentId)>,
    acts: BTreeSet<(MemberId, IntentId)>,
}

impl Decided {
    fn noting<'a>(
        &'a mut self,
        heard: &'a mut impl FnMut(Instant, Said<'_>),
        whose: fn(&Effect) -> Said<'_>,
    ) -> impl FnMut(Instant, &Effect) + 'a {
        move |at, effect| {
            match effect {
                Effect::Record(Entry::Intent { intent, act, .. }) => {
                    self.intents.insert((act.member(), *intent));
                }
                Effect::Do(intent, act) => {
                    self.acts.insert((act.member(), *intent));
                }
                Effect::Record(_)
                | Effect::Run(_)
                | Effect::Keep(_)
                | Effect::WakeAt(_)
                | Effect::Notify(_)
                | Effect::Answer { .. } => {}
            }
            heard(at, whose(effect));
        }
    }
}

struct Pair<'a> {
    then: Player<'a>,
    other: Player<'a>,
    members: &'a BTreeMap<MemberId, MemberId>,
    was: Decided,
    would: Decided,
    /// Whom only the other one would have acted upon, as it is known there: as it was known then, and the
    /// life that it had.
    let_be: BTreeMap<MemberId, (MemberId, Option<Generation>)>,
}

impl Pair<'_> {
    /// Whatever is not written down of the time until the next event.
    fn go_on_until(&mut self, end: Instant, heard: &mut impl FnMut(Instant, Said<'_>)) {
        loop {
            let (then, other) = (self.then.due(end), self.other.due(end));
            let Some(first) = then.into_iter().chain(other).map(Due::at).min() else {
                return;
            };
            if let Some(due) = then.filter(|due| due.at() == first) {
                (self.then).take(due, &mut self.was.noting(heard, said_then));
            }
            if let Some(due) = other.filter(|due| due.at() == first) {
                (self.other).take(due, &mut self.would.noting(heard, said_other));
            }
            self.share(heard);
        }
    }

    fn tell_other(
        &mut self,
        event: &Event,
        at: Instant,
        heard: &mut impl FnMut(Instant, Said<'_>),
    ) {
        (self.other).tell(event, at, &mut self.would.noting(heard, said_other));
    }

    fn follow(&mut self, what: &Follow, heard: &mut impl FnMut(Instant, Said<'_>)) {
        (self.other).step(
            |engine, now, out| engine.follow(what, now, out),
            &mut self.would.noting(heard, said_other),
        );
    }

    /// Has the other one share what the one of then did in this step.
    fn share(&mut self, heard: &mut impl FnMut(Instant, Said<'_>)) {
        let was = std::mem::take(&mut self.was);
        for (then, intent) in was.intents.iter().chain(&was.acts) {
            let Some(id) = self.members.get(then).copied() else {
                continue;
            };
            let attempt = self.then.engine.attempt(*then);
            let Some(attempt) = attempt.filter(|it| it.intent == *intent).cloned() else {
                continue;
            };
            let mine = self.other.engine.attempt(id);
            let same = mine.is_some_and(|mine| {
                (mine.step, mine.generation) == (attempt.step, attempt.generation)
            });
            let known = mine
                .is_some_and(|mine| (mine.intent, mine.phase) == (attempt.intent, attempt.phase));
            self.would.intents.retain(|(member, _)| *member != id);
            self.would.acts.retain(|(member, _)| *member != id);
            if same && known {
                continue;
            }
            if !same {
                let now = self.then.now();
                let why = self.other.engine.explain(id, now);
                let why = why.map(|it| match it.attempt {
                    Some(attempt) => format!("a {} is decided", attempt.step),
                    None => it.summary,
                });
                heard(now, Said::Not(id, &why.unwrap_or_default()));
            }
            self.ask_again(id, heard);
            self.follow(&Follow::Act(id, attempt), heard);
            self.would.intents.retain(|(member, _)| *member != id);
        }
        // Whoever is looked at again because of that may be decided about.
        for _ in 0..MOST {
            let next = (self.would.intents.pop_first()).or_else(|| self.would.acts.pop_first());
            let Some((id, _)) = next else { break };
            let life = self.other.engine.generation(id);
            let then = self.members.iter().find(|(_, other)| **other == id);
            self.let_be
                .insert(id, (then.map_or(id, |(then, _)| *then), life));
            self.follow(&Follow::LetBe(id), heard);
        }
        let over = |(id, (_, life)): (&MemberId, &(MemberId, Option<Generation>))| {
            let other = &self.other.engine;
            let healthy = (other.state().member(*id))
                .is_some_and(|it| matches!(it.health, Health::Healthy { .. }));
            (healthy || other.generation(*id) != *life).then_some(*id)
        };
        let over: Vec<MemberId> = self.let_be.iter().filter_map(over).collect();
        for id in over {
            self.ask_again(id, heard);
        }
        self.other.engine.draw_as(self.then.engine);
    }

    /// What the other one would do about a member that was let be is asked anew.
    fn ask_again(&mut self, id: MemberId, heard: &mut impl FnMut(Instant, Said<'_>)) {
        let Some((then, _)) = self.let_be.remove(&id) else {
            return;
        };
        if let Some(member) = self.then.engine.state().member(then) {
            let (since, until) = (member.ledger.wait_began, member.ledger.not_before);
            self.follow(&Follow::Again(id, since, until), heard);
        }
    }
}

#[cfg(test)]
mod tests;
