//! When two states are as good as the same: what of each field bears on what comes.
//!
//! Every struct is taken apart by name, so that a new field does not compile before somebody has said
//! how it counts. What only has its place in words and news does not: texts, ports, fingerprints of
//! launches, the label of who flaps.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Step;
use super::hold::Hold;
use super::state::{
    Asked, Attempt, Control, GivenUp, Group, Health, Ledger, Life, Member, Phase, Refusal, State,
};
use super::step::LONG;
use super::together::{self, Together};
use crate::event::Window;
use crate::id::IncidentId;
use crate::plan::{GroupPlan, Plan};
use crate::{Generation, Instant, IntentId, LeafId, Span};

/// Waits in a row and futile attempts beyond this change no wait any more.
const ROW: u32 = 8;

/// A sum of everything that counts.
pub(crate) struct Likeness {
    sum: DefaultHasher,
    now: Instant,
    /// In the order in which they were met: what they are called does not count.
    intents: Vec<IntentId>,
    generations: Vec<Generation>,
}

impl Likeness {
    pub(super) fn is(&mut self, what: impl Hash) {
        what.hash(&mut self.sum);
    }

    /// An instant, as long ago or as far off as it is; all that is longer ago than `matters` is the
    /// same. Beyond eight seconds it counts to within a quarter of itself.
    pub(super) fn time(&mut self, at: Instant, matters: Span) {
        let ago = self.now.since(at).min(matters);
        let ahead = at.since(self.now);
        self.is((rough(ago), rough(ahead)));
    }

    pub(super) fn maybe(&mut self, at: Option<Instant>, matters: Span) {
        self.is(at.is_some());
        if let Some(at) = at {
            self.time(at, matters);
        }
    }

    pub(super) fn intent(&mut self, intent: IntentId) {
        let place = place(&mut self.intents, intent);
        self.is(place);
    }

    fn generation(&mut self, generation: Option<Generation>) {
        let place = generation.map(|it| place(&mut self.generations, it));
        self.is(place);
    }
}

/// Seconds, rounded up, of which only the three highest bits count.
const fn rough(span: Span) -> u64 {
    let seconds = span.0.div_ceil(1_000);
    let Some(bits) = seconds.checked_ilog2() else {
        return 0;
    };
    let low = bits.saturating_sub(2);
    seconds >> low << low
}

fn place<T: PartialEq>(known: &mut Vec<T>, one: T) -> usize {
    if let Some(place) = known.iter().position(|it| *it == one) {
        return place;
    }
    known.push(one);
    known.len() - 1
}

impl State {
    pub(crate) fn likeness(&self, plan: &Plan, now: Instant) -> u64 {
        let Self {
            began,
            awake,
            reloaded,
            away_since,
            chance: _,
            next_intent: _,
            next_incident: _,
            refused,
            groups,
            intents: _,
            unanswered,
            next,
            schedule,
            slots,
            prints: _,
            suppliers,
            host,
            stall_told: _,
            wake_at: _,
        } = self;
        let mut to = Likeness {
            sum: DefaultHasher::new(),
            now,
            intents: Vec::new(),
            generations: Vec::new(),
        };
        let settle = plan.groups.iter().map(|group| group.policy.settle).max();
        to.time(*began, settle.unwrap_or(Span::ZERO));
        to.is((awake, reloaded, next));
        if !awake {
            to.maybe(*away_since, super::keep::GAP);
        }
        let retry = super::gate::journal::RETRY;
        to.maybe(refused.as_ref().map(|it| it.at), retry);
        for (plan, group) in plan.groups.iter().zip(groups) {
            group.likeness(plan, &mut to);
        }
        to.is(unanswered.len());
        for intent in unanswered {
            to.intent(*intent);
        }
        // Runs come in their order; when exactly does not count.
        let mut due = Vec::new();
        for (group, plan) in (0u32..).zip(&plan.groups) {
            for check in (0u32..).take(plan.checks.len()) {
                let members = (0u32..).take(plan.members.len()).map(Some);
                for member in members.chain([None]) {
                    let leaf = LeafId {
                        group,
                        check,
                        member,
                    };
                    if self.leaf(leaf).is_some() {
                        due.extend(schedule.due(slots.leaf(leaf)).map(|at| (at, leaf)));
                    }
                }
            }
        }
        due.sort_unstable();
        to.is(due.iter().map(|(_, leaf)| leaf).collect::<Vec<_>>());
        suppliers.likeness(&mut to);
        host.likeness(&mut to);
        to.sum.finish()
    }
}

impl Group {
    fn likeness(&self, plan: &GroupPlan, to: &mut Likeness) {
        let Self {
            members,
            shared,
            counts: _,
            troubles,
            hold,
            maintenance,
            together,
            together_at,
            together_why: _,
            supplied,
            waiting,
        } = self;
        for member in members {
            member.likeness(plan, to);
        }
        // Of incidents only who was first counts.
        let mut order: Vec<(Option<IncidentId>, usize)> =
            (members.iter().map(|it| it.incident).zip(0..)).collect();
        order.sort_unstable();
        to.is(order.iter().map(|(_, index)| index).collect::<Vec<_>>());
        for (check, leaf) in plan.checks.iter().zip(shared) {
            if let Some(leaf) = leaf {
                leaf.likeness(check, to);
            }
        }
        troubles.likeness(to);
        to.is(hold.is_some());
        if let Some(Hold {
            since: _,
            why: _,
            canary_at,
            canary,
            futile,
            told,
        }) = hold
        {
            to.time(*canary_at, Span::ZERO);
            to.is((canary.is_some(), (*futile).min(ROW), told));
            if let Some(intent) = canary {
                to.intent(*intent);
            }
        }
        to.is(maintenance.is_some());
        if let Some(Window {
            name: _,
            reason: _,
            until,
        }) = maintenance
        {
            to.time(*until, Span::ZERO);
        }
        to.is(together.is_some());
        if let Some(Together {
            strategy: _,
            left,
            until,
        }) = together
        {
            to.is(left);
            to.time(*until, Span::ZERO);
        }
        to.maybe(*together_at, together::EVERY);
        to.is((supplied, waiting.values().collect::<Vec<_>>()));
    }
}

impl Member {
    fn likeness(&self, plan: &GroupPlan, to: &mut Likeness) {
        let Self {
            wanted,
            generation,
            life,
            health,
            ready,
            blind,
            trouble,
            leaves,
            attempt,
            ledger,
            control,
            asked,
            stopped_by,
            incident,
            ticket,
            turn,
            next,
            refusal,
            last_exit,
            cannot_start: _,
            launched: _,
            port: _,
            blind_told: _,
            stopped_together,
        } = self;
        let policy = &plan.policy;
        to.is((*wanted as u8, ready, blind, stopped_by.is_some()));
        to.is((incident.is_some(), ticket.is_some(), turn.is_some(), next));
        to.is((last_exit.is_some(), stopped_together.is_some()));
        to.generation(*generation);
        to.is(life.as_str());
        match life {
            Life::Starting { since } => to.time(*since, policy.startup_timeout),
            Life::Up { since } => to.time(*since, policy.confirm_up),
            Life::Dead { .. } | Life::Stopped => {}
        }
        to.is(health.as_str());
        if let Health::Healthy { since } = health {
            to.time(*since, policy.backoff_reset);
        }
        to.is(trouble.is_some());
        for (check, leaf) in plan.checks.iter().zip(leaves) {
            if let Some(leaf) = leaf {
                leaf.likeness(check, to);
            }
        }
        to.is(attempt.is_some());
        if let Some(Attempt {
            step,
            motive,
            intent,
            why: _,
            phase,
            confirm_by,
            generation,
            processes: _,
        }) = attempt
        {
            to.is((step, motive, *phase as u8));
            // A start is judged by the age of its process.
            if (*step, *phase) == (Step::Signal, Phase::Confirming) {
                to.time(*confirm_by, Span::ZERO);
            }
            to.intent(*intent);
            to.generation(*generation);
        }
        ledger.likeness(plan, to);
        match control {
            Control::Auto => to.is(0),
            Control::Paused {
                since: _,
                until,
                by: _,
                reason: _,
            } => to.time(*until, Span::ZERO),
        }
        to.is(asked.is_some());
        if let Some(Asked { step, now, by: _ }) = asked {
            to.is((step, now));
        }
        to.is(refusal.is_some());
        if let Some(Refusal {
            step,
            closed,
            since,
            told,
        }) = refusal
        {
            to.is((step, closed, told));
            to.time(*since, LONG);
        }
    }
}

impl Ledger {
    fn likeness(&self, plan: &GroupPlan, to: &mut Likeness) {
        let Self {
            restarts,
            starts,
            futile,
            signalled_in_vain,
            deaths,
            sick,
            not_before,
            wait_began: _,
            given_up,
            chronic,
            flap: _,
        } = self;
        restarts.likeness(plan.policy.sick_restarts, to);
        starts.likeness(plan.policy.dead_starts, to);
        let futile = (*futile).min(plan.policy.futile_max);
        to.is((futile, (*deaths).min(ROW), (*sick).min(ROW)));
        to.is(signalled_in_vain);
        to.time(*not_before, Span::ZERO);
        to.is((given_up.is_some(), chronic.is_some()));
        if let Some(GivenUp {
            why: _,
            since: _,
            parole,
            paroles,
        }) = given_up
        {
            to.maybe(*parole, Span::ZERO);
            to.is((*paroles).min(ROW));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rough;
    use crate::Span;

    #[test]
    fn a_time_counts_the_less_exactly_the_further_away_it_is() {
        for (ms, counts) in [
            (0, 0),
            (1, 1),
            (1_000, 1),
            (7_000, 7),
            (7_001, 8),
            (9_000, 8),
            (15_000, 14),
            (59_000, 56),
            (60_000, 56),
            (64_000, 64),
            (3_600_000, 3_584),
        ] {
            assert_eq!(rough(Span(ms)), counts, "{ms}");
        }
    }
}
