//! What another engine did, taken over by this one, which has another plan: for a replay that asks at each
//! moment what this plan would do if all that was done had been done by it.

use super::Turn;
use crate::event::Effect;
use crate::journal::Outcome;
use crate::plan::Plan;
use crate::policy::Motive;
use crate::policy::state::{Attempt, Control, Phase, State};
use crate::{Instant, IntentId, MemberId, Span};

/// Whoever is let be is not decided about again until that is taken back: longer than a history is.
const LET_BE: Span = Span::mins(60 * 24 * 365);

/// What this engine is to share with the one that it follows.
#[derive(Clone, Debug)]
pub(crate) enum Follow {
    /// That one has decided this, or lets it go now.
    Act(MemberId, Attempt),
    /// That one does not do what this one has decided about a member.
    LetBe(MemberId),
    /// What this one would do is asked anew. With since when and until when that one waits.
    Again(MemberId, Instant, Instant),
}

/// Takes over one thing at `now`, and appends what follows from it to `out`.
pub(crate) fn follow(
    plan: &Plan,
    state: &mut State,
    what: &Follow,
    now: Instant,
    out: &mut Vec<Effect>,
) {
    let mut turn = Turn::new(plan, state, now, out);
    match what {
        Follow::Act(id, attempt) => turn.act_too(*id, attempt),
        Follow::LetBe(id) => turn.let_be(*id),
        Follow::Again(id, since, until) => turn.ask_again(*id, *since, *until),
    }
    turn.finish();
}

impl Turn<'_> {
    fn act_too(&mut self, id: MemberId, theirs: &Attempt) {
        let mine = (self.state.member(id)).and_then(|member| member.attempt.clone());
        let same = mine.as_ref().is_some_and(|mine| {
            mine.phase != Phase::Confirming
                && (mine.step, mine.generation) == (theirs.step, theirs.generation)
        });
        match mine {
            Some(mine) if same => self.renumber(id, mine.intent, theirs),
            Some(_) => {
                self.conclude(id, Outcome::Superseded, "another act was done");
                self.take_up(id, theirs);
            }
            None => self.take_up(id, theirs),
        }
        let now = self.now;
        let storing = (self.state.member(id)).is_some_and(|member| {
            let attempt = member.attempt.as_ref();
            attempt.is_some_and(|attempt| attempt.phase == Phase::Storing)
        });
        if theirs.phase == Phase::Acting && storing {
            self.state.unanswered.remove(&theirs.intent);
            self.change(id, |member| member.let_go(now));
            if theirs.motive == Motive::Sick {
                self.killed(id);
            }
        }
    }

    /// What both decided is known by one number.
    fn renumber(&mut self, id: MemberId, mine: IntentId, theirs: &Attempt) {
        let intent = theirs.intent;
        if mine == intent {
            return;
        }
        self.state.intents.remove(&mine);
        self.state.intents.insert(intent, id);
        if self.state.unanswered.remove(&mine) {
            self.state.unanswered.insert(intent);
        }
        let host = &mut self.state.host;
        for pool in [&mut host.starts, &mut host.restarts] {
            if pool.acting.remove(&mine) {
                pool.acting.insert(intent);
            }
        }
        let hold = (self.group_mut(id.group)).and_then(|group| group.hold.as_mut());
        if let Some(canary) = hold.and_then(|hold| hold.canary.as_mut())
            && *canary == mine
        {
            *canary = intent;
        }
        self.change(id, |member| {
            if let Some(attempt) = &mut member.attempt {
                attempt.intent = intent;
            }
        });
    }

    fn take_up(&mut self, id: MemberId, theirs: &Attempt) {
        let attempt = Attempt {
            phase: Phase::Storing,
            ..theirs.clone()
        };
        let intent = attempt.intent;
        self.state.intents.insert(intent, id);
        self.state.unanswered.insert(intent);
        self.change(id, |member| {
            member.attempt = Some(attempt);
            member.refusal = None;
            // It was tried once more.
            (member.ledger.given_up).take_if(|given_up| given_up.parole.is_none());
        });
        self.remove_waiting(id);
        match theirs.motive {
            Motive::Sick => {
                self.state.host.restarts.acting.insert(intent);
                let hold = (self.state.group(id.group)).and_then(|group| group.hold.as_ref());
                if hold.is_some_and(|hold| hold.canary.is_none()) {
                    self.canary(id, intent);
                }
            }
            Motive::Dead => drop(self.state.host.starts.acting.insert(intent)),
            Motive::Begin | Motive::Together | Motive::ByHand { .. } => {}
        }
    }

    fn let_be(&mut self, id: MemberId) {
        let attempt = (self.state.member(id)).and_then(|member| member.attempt.clone());
        let Some(attempt) = attempt.filter(|attempt| attempt.phase != Phase::Confirming) else {
            return;
        };
        let now = self.now;
        self.state.unanswered.remove(&attempt.intent);
        self.change(id, |member| {
            if attempt.phase == Phase::Acting {
                member.take_back(now);
            }
            member.ledger.wait_began = now;
            member.ledger.not_before = now + LET_BE;
            match attempt.motive {
                Motive::Sick | Motive::Dead => {}
                // Backoff is nothing to them.
                Motive::Begin | Motive::Together => {
                    member.control = Control::Paused {
                        since: now,
                        until: now + LET_BE,
                        by: String::new(),
                        reason: String::new(),
                    };
                }
                Motive::ByHand { .. } => member.asked = None,
            }
        });
        self.conclude(id, Outcome::Withdrawn, "it was not done");
    }

    fn ask_again(&mut self, id: MemberId, since: Instant, until: Instant) {
        self.change(id, |member| {
            member.ledger.wait_began = since;
            member.ledger.not_before = until;
            if matches!(&member.control, Control::Paused { by, .. } if by.is_empty()) {
                member.control = Control::Auto;
            }
        });
        let reopens = self.reopens(id);
        self.set_look(id, reopens);
    }
}
