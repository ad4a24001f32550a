//! One engine: events in, effects out; it owns all mutable state and decides everything.
//!
//! The host translates the world into [`Event`]s, calls [`Engine::step`], and carries out the
//! [`Effect`]s in their order. The life of an act:
//!
//! 1. the engine decides, and emits `Record(Entry::Intent)`;
//! 2. the host stores it durably and says `Event::IntentStored` (or `IntentRefused`);
//! 3. the engine looks again, and emits `Do` (or withdraws the intent);
//! 4. the host acts; what it sees comes back as `Exited`, `Started` and finally `Done`;
//! 5. the engine confirms: effective, futile or unproven, and records the outcome.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::journal::{Entry, Outcome};
use crate::plan::Plan;
use crate::policy::Axis;
use crate::policy::State;
use crate::policy::keep::{Between, Kept, KeptMember};
use crate::report::{MemberReport, StatusReport};
use crate::{Generation, Instant, IntentId, MemberId};

pub use crate::event::{Act, Command, Effect, Event, Exit, HostFacts, Run, Window};

/// A plan with its state. One loop owns it; a clone goes its own way, for looking at what would be.
#[derive(Clone, Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    state: State,
}

impl Engine {
    /// A new engine at `now`. `seed` feeds the jitter of backoffs; `first_intent` continues the
    /// numbering of the journal. Nothing happens before the first event: send `Started` for every
    /// member that is adopted, then `Wake`.
    pub fn new(plan: Arc<Plan>, seed: u64, first_intent: IntentId, now: Instant) -> Self {
        let state = State::new(&plan, seed, first_intent, now);
        Self { plan, state }
    }

    /// Takes up what the daemon before kept, ahead of the first `Wake`. Then say of each member that
    /// had a process (see [`KeptMember::generation`]) whether it lives: `Started` with `adopted`, or
    /// `Exited`.
    pub fn restore(&mut self, kept: &[Kept], between: &Between, now: Instant) {
        self.state.restore(&self.plan, kept, between, now);
    }

    /// What must outlive the daemon of one member, as it is now.
    pub fn keep(&self, member: MemberId, now: Instant) -> Option<KeptMember> {
        self.state.keep(&self.plan, member, now)
    }

    /// The intents of all attempts in flight.
    pub fn attempts(&self) -> BTreeSet<IntentId> {
        self.state.intents.keys().copied().collect()
    }

    /// What the journal is to hold of members that `next` does not have: written under the plan in
    /// force, ahead of [`Engine::reload`]. Nothing more is heard of them.
    pub fn leaving(&self, next: &Plan, now: Instant) -> Vec<Entry> {
        let wanted: BTreeSet<String> = next.members().map(|id| next.path(id)).collect();
        let mut entries = Vec::new();
        for id in self.plan.members() {
            let Some(member) = self.state.member(id) else {
                continue;
            };
            if wanted.contains(&self.plan.path(id)) {
                continue;
            }
            let why = "it is not in the configuration any more";
            if let Some(attempt) = &member.attempt {
                entries.push(Entry::Outcome {
                    intent: attempt.intent,
                    at: now,
                    outcome: Outcome::Superseded,
                    detail: why.to_owned(),
                });
            }
            if member.generation.is_some() || member.attempt.is_some() {
                entries.push(Entry::Transition {
                    member: id,
                    at: now,
                    axis: Axis::Life,
                    from: member.life.as_str(),
                    to: "stopped",
                    why: why.to_owned(),
                    incident: member.incident,
                });
            }
        }
        entries
    }

    /// Goes on with another plan: leaves whose check is the same keep their counters, acts in flight
    /// go on. Gives the members that are not in the new plan and still have a process; nobody looks
    /// after those any more. Send `Wake` next.
    pub fn reload(&mut self, plan: Arc<Plan>, now: Instant) -> Vec<(String, Generation)> {
        let members = (self.plan.members())
            .filter_map(|id| self.state.keep(&self.plan, id, now))
            .map(|kept| Kept::Member(Box::new(kept)));
        let groups = (0u32..).take(self.plan.groups.len());
        let groups = groups.filter_map(|index| self.state.keep_group(&self.plan, index, now));
        let kept: Vec<Kept> = members.chain(groups.map(Kept::Group)).collect();
        let mut state = State::new(&plan, 0, self.state.next_intent, self.state.began);
        state.restore(&plan, &kept, &Between::Reload, now);
        state.take_shared(&plan, &mut self.state, &self.plan);
        state.go_on_from(&mut self.state);
        self.state = state;
        self.plan = plan;
        let wanted: BTreeSet<String> = self.plan.members().map(|id| self.plan.path(id)).collect();
        kept.into_iter()
            .filter_map(|kept| match kept {
                Kept::Member(kept) => Some(*kept),
                Kept::Group(_) => None,
            })
            .filter(|kept| !wanted.contains(&kept.path))
            .filter_map(|kept| Some((kept.path, kept.generation?)))
            .collect()
    }

    /// The process that a member has.
    pub fn generation(&self, member: MemberId) -> Option<Generation> {
        self.state.member(member)?.generation
    }

    /// When it wants to be woken next.
    pub fn wake_at(&self) -> Option<Instant> {
        self.state.wake_at
    }

    /// All that it knows.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    pub(crate) const fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// An engine that knows this already.
    pub(crate) const fn of(plan: Arc<Plan>, state: State) -> Self {
        Self { plan, state }
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes one event at `now` and appends what must be done to `out`.
    pub fn step(&mut self, event: &Event, now: Instant, out: &mut Vec<Effect>) {
        crate::policy::step(&self.plan, &mut self.state, event, now, out);
    }

    /// A number of all that bears on what this engine does from `now` on: two of one plan that have
    /// the same are taken for the same by whoever explores what can happen. Times count as they are
    /// from `now`, the more roughly the further away, and counters up to where they stop to matter;
    /// words, the jitter of waits and what only makes news do not count.
    pub fn likeness(&self, now: Instant) -> u64 {
        self.state.likeness(&self.plan, now)
    }

    /// What stands now, for `status`.
    pub fn status(&self, now: Instant) -> StatusReport {
        crate::report::status(&self.plan, &self.state, now)
    }

    /// Why one member is as it is, and what it waits for, for `explain`.
    pub fn explain(&self, member: MemberId, now: Instant) -> Option<MemberReport> {
        crate::report::explain(&self.plan, &self.state, member, now)
    }
}
