//! One event at a time: every transition of the state machine stands in this folder.
//!
//! One file a subject: what the world says (`events`), what verdicts mean (`verdicts`), what many
//! have together (`hold`, `together`), this machine (`host`), what is done about it (`decide`), the life of an act (`acts`), a person's
//! wishes (`by_hand`), what another engine did (`follow`), and the books.

mod acts;
mod books;
mod by_hand;
mod decide;
mod events;
mod follow;
mod hold;
mod host;
mod together;
mod verdicts;

pub(crate) use self::decide::LONG;
pub(crate) use self::follow::{Follow, follow};
pub(crate) use self::hold::Suppliers;

use std::collections::BTreeSet;

use super::leaf::Leaf;
use super::state::{Attempt, Member, PORTION, State};
use super::{GateName, Motive, Step};
use crate::event::{Act, Effect, Event};
use crate::id::IncidentId;
use crate::plan::Plan;
use crate::{Instant, MemberId};

/// Takes one event at `now` and appends what must be done to `out`.
pub fn step(plan: &Plan, state: &mut State, event: &Event, now: Instant, out: &mut Vec<Effect>) {
    let mut turn = Turn::new(plan, state, now, out);
    turn.look_at_lateness(matches!(event, Event::Wake));
    match event {
        Event::Wake => turn.wake(),
        Event::Sample { leaf, sample } => turn.sample(*leaf, sample),
        Event::Started {
            member,
            generation,
            adopted,
        } => {
            turn.started(*member, *generation, *adopted);
        }
        Event::Exited {
            member,
            generation,
            exit,
        } => turn.exited(*member, *generation, *exit),
        Event::IntentStored(intent) => turn.stored(*intent),
        Event::IntentRefused { intent, reason } => turn.refused(*intent, reason),
        Event::Done { intent, result } => turn.done(*intent, result),
        Event::Command {
            id,
            by,
            member,
            command,
        } => turn.command(*id, by, *member, command),
        Event::Host(facts) => turn.host_facts(*facts),
        Event::Maintenance { group, window } => turn.maintenance(*group, window.clone()),
    }
    turn.finish();
}

/// One call of [`step`].
struct Turn<'a> {
    plan: &'a Plan,
    state: &'a mut State,
    now: Instant,
    out: &'a mut Vec<Effect>,
    /// Groups in which something became free: whoever waits there is looked at again.
    again: BTreeSet<u32>,
    /// Groups of which something that they need may have gone or come.
    supply: BTreeSet<u32>,
    /// Members of which something changed that must outlive the daemon.
    changed: BTreeSet<MemberId>,
    /// An act on this machine has ended: whoever waits for a turn is looked at.
    serve: bool,
}

impl<'a> Turn<'a> {
    fn new(plan: &'a Plan, state: &'a mut State, now: Instant, out: &'a mut Vec<Effect>) -> Self {
        Self {
            plan,
            state,
            now,
            out,
            again: BTreeSet::new(),
            supply: BTreeSet::new(),
            changed: BTreeSet::new(),
            serve: false,
        }
    }
}

impl Turn<'_> {
    /// After the event: whoever waited for what became free is looked at, the longest waiting first,
    /// and whoever waited for the journal; then the host is told when to wake us.
    fn finish(&mut self) {
        loop {
            if let Some(group) = self.supply.pop_first() {
                self.look_at_supply(group);
            } else if let Some(group) = self.again.pop_first() {
                self.look_at_waiting(group);
            } else if std::mem::take(&mut self.serve) {
                self.serve();
            } else if self.state.unanswered.len() < PORTION
                && let Some(id) = self.state.next.pop_front()
            {
                if let Some(member) = self.member_mut(id) {
                    member.next = false;
                }
                self.consider(id);
            } else {
                break;
            }
        }
        while let Some(id) = self.changed.pop_first() {
            self.keep(id);
        }
        #[cfg(debug_assertions)]
        self.recount();
        let next = self.state.schedule.next_due();
        if next != self.state.wake_at
            && let Some(at) = next
        {
            self.state.wake_at = next;
            self.out.push(Effect::WakeAt(at));
        }
    }

    fn look_at_waiting(&mut self, group: u32) {
        let waiting = self.state.group(group).map(|group| group.waiting.clone());
        for member in waiting.unwrap_or_default().into_values() {
            let id = MemberId { group, member };
            if !self.still_blocked(id) {
                self.consider(id);
            }
        }
    }

    /// Whether a member waits for the budget, and the budget is spent again: then nothing about it
    /// can have changed, and thousands of others need not be looked at for one place.
    fn still_blocked(&self, id: MemberId) -> bool {
        let policy = self.policy(id).map(|policy| policy.max_out);
        let out = self.state.group(id.group).map(|group| group.counts.out);
        self.state.member(id).is_some_and(|member| {
            let others = out.map(|out| out.saturating_sub(u32::from(member.out())));
            member
                .refusal
                .is_some_and(|refusal| refusal.closed.contains(GateName::Budget))
                && others >= policy
        })
    }

    /// The incremental counts against the sum over all members.
    #[cfg(debug_assertions)]
    fn recount(&self) {
        for group in self
            .state
            .groups
            .iter()
            .filter(|group| group.members.len() <= 16)
        {
            debug_assert_eq!(group.sum(), group.counts);
        }
    }
}

fn act(member: MemberId, attempt: &Attempt, incident: Option<IncidentId>) -> Act {
    match (attempt.step, attempt.generation) {
        (Step::Signal, Some(generation)) => Act::Signal {
            member,
            generation,
            processes: attempt.processes.clone().unwrap_or_default(),
            evidence: incident,
        },
        (Step::Restart, Some(generation)) => Act::Restart {
            member,
            generation,
            // Whoever is restarted by hand or with its group need not be sick.
            evidence: incident.filter(|_| attempt.motive == Motive::Sick),
        },
        (Step::Stop, Some(generation)) => Act::Stop { member, generation },
        (Step::Start | Step::Signal | Step::Restart | Step::Stop, _) => Act::Start { member },
    }
}

impl Member {
    fn forget_leaves(&mut self) {
        for leaf in self.leaves.iter_mut().flatten() {
            *leaf = Leaf::default();
        }
    }
}
