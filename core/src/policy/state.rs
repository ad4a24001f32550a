//! What the engine knows: three axes a member, a ledger, and counts a group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::backoff::Chance;
use super::flap::Flap;
use super::hold::{Hold, Troubles};
use super::host::Host;
use super::leaf::{Leaf, is_default};
use super::prints::Prints;
use super::slots::Slots;
use super::step::Suppliers;
use super::together::Together;
use super::window::SlidingWindow;
use super::{GateSet, Motive, Step};
use crate::event::{Exit, Window};
use crate::id::IncidentId;
use crate::plan::{GroupPlan, Plan, Scope};
use crate::schedule::Schedule;
use crate::{Generation, Instant, IntentId, LeafId, MemberId, Process, Span};

/// Waits of a dead member that was given up: one start after each, the last one again and again
/// (policy.md section 2).
pub(crate) const PAROLE: [Span; 5] = [
    Span::mins(5),
    Span::mins(10),
    Span::mins(20),
    Span::mins(40),
    Span::mins(60),
];

/// So many intents are handed to the journal at once: thousands of members that start together
/// fill no queue, and nobody else's samples and acts wait behind all of them.
pub(crate) const PORTION: usize = 512;

/// All mutable state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// When this engine began.
    pub(crate) began: Instant,
    /// Whether the first `Wake` was seen; before it members may be adopted, and nothing is decided.
    pub(crate) awake: bool,
    /// Whether it goes on from an engine of the same daemon: what that one had begun goes on too.
    pub(crate) reloaded: bool,
    /// Until when another daemon is known to have been at work: whom it would have checked since then
    /// waits already.
    pub(crate) away_since: Option<Instant>,
    pub(crate) chance: Chance,
    pub(crate) next_intent: IntentId,
    pub(crate) next_incident: IncidentId,
    /// The journal refused the last intent.
    pub(crate) refused: Option<Refused>,
    pub(crate) groups: Vec<Group>,
    /// Whose attempt an intent in flight is.
    pub(crate) intents: BTreeMap<IntentId, MemberId>,
    /// Intents that the journal has not answered; at most [`PORTION`].
    pub(crate) unanswered: BTreeSet<IntentId>,
    /// Members whose act may begin as soon as the journal has answered others, in their order.
    pub(crate) next: VecDeque<MemberId>,
    pub(crate) schedule: Schedule,
    /// Follows from the plan.
    #[serde(skip)]
    pub(crate) slots: Slots,
    pub(crate) prints: Prints,
    /// Which groups need the same.
    pub(crate) suppliers: Suppliers,
    /// This machine.
    pub(crate) host: Host,
    /// When a person was last told that it stalls.
    pub(crate) stall_told: Option<Instant>,
    /// What the host was last told to wake for.
    pub(crate) wake_at: Option<Instant>,
}

/// The journal could not store an intent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) at: Instant,
    /// The first of those in a row.
    pub(crate) since: Instant,
    /// Whether somebody was told.
    pub(crate) told: bool,
    pub(crate) reason: String,
}

/// One group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) members: Vec<Member>,
    /// Leaves of scope `host` and `dependency`, by check; the other checks' places stay empty.
    pub(crate) shared: Vec<Option<Leaf>>,
    /// Sums over the members, kept incrementally.
    pub(crate) counts: Counts,
    /// Who turned bad lately.
    pub(crate) troubles: Troubles,
    /// Too many failed together: no sick member is restarted but one.
    pub(crate) hold: Option<Hold>,
    /// It is left alone for a while.
    pub(crate) maintenance: Option<Window>,
    /// It is restarted as a whole.
    pub(crate) together: Option<Together>,
    /// When that last began.
    pub(crate) together_at: Option<Instant>,
    /// And why.
    #[serde(default)]
    pub(crate) together_why: String,
    /// Whether all that it depends on was there when last looked at.
    pub(crate) supplied: bool,
    /// Members with a proposal that a gate holds up which other members open, the longest waiting
    /// first.
    pub(crate) waiting: BTreeMap<u64, u32>,
}

/// What a group knows of its members as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Out by our hand (see [`Member::out`]).
    pub(crate) out: u32,
    /// Ready.
    pub(crate) ready: u32,
    /// Up and healthy.
    pub(crate) healthy: u32,
    /// With an attempt in flight.
    pub(crate) attempts: u32,
    /// In trouble (see [`Member::trouble`]).
    pub(crate) troubled: u32,
}

impl Counts {
    /// The same with what one member adds taken out and put in again.
    #[must_use]
    pub(crate) const fn changed(self, before: Self, after: Self) -> Self {
        Self {
            out: self.out + after.out - before.out,
            ready: self.ready + after.ready - before.ready,
            healthy: self.healthy + after.healthy - before.healthy,
            attempts: self.attempts + after.attempts - before.attempts,
            troubled: self.troubled + after.troubled - before.troubled,
        }
    }
}

/// One member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) wanted: Wanted,
    pub(crate) generation: Option<Generation>,
    pub(crate) life: Life,
    pub(crate) health: Health,
    /// Whether `ready` said so last; Unknown keeps the last answer.
    pub(crate) ready: bool,
    /// Whether nobody could tell how it is when it was last looked at, whatever this machine does.
    pub(crate) blind: bool,
    /// When somebody was told that it is blind, and not yet that it is not any more.
    pub(crate) blind_told: Option<Instant>,
    /// Since when it is suspect or failed, while somebody might still help it: what a hold counts.
    pub(crate) trouble: Option<Instant>,
    /// Leaves of scope `process`, by check; the other checks' places stay empty.
    pub(crate) leaves: Vec<Option<Leaf>>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) ledger: Ledger,
    pub(crate) control: Control,
    /// What a person asked for and is not yet done.
    pub(crate) asked: Option<Asked>,
    /// When it was stopped with its whole group, until it is started again.
    pub(crate) stopped_together: Option<Instant>,
    /// Who stopped it by hand, while that holds.
    pub(crate) stopped_by: Option<String>,
    pub(crate) incident: Option<IncidentId>,
    /// Its place among those that wait in its group.
    pub(crate) ticket: Option<u64>,
    /// Its place among those that wait for nothing but their turn on this machine.
    pub(crate) turn: Option<(Motive, u64)>,
    /// Whether it is in [`State::next`].
    pub(crate) next: bool,
    /// What would help it, and may not be done.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) last_exit: Option<Exit>,
    /// Why its last start led to no process.
    pub(crate) cannot_start: Option<String>,
    /// Fingerprint of what its process was started with; 0 when that is not known.
    pub(crate) launched: u64,
    /// What `{port}` stood for when its process began.
    pub(crate) port: Option<u16>,
}

/// Whether it should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    Up,
    Down,
}

/// Does it run?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// Not running, and that is right.
    Stopped,
    /// It runs; nobody has proved yet that the start succeeded.
    Starting {
        /// When its exec was seen.
        since: Instant,
    },
    /// It runs.
    Up {
        /// When its exec was seen.
        since: Instant,
    },
    /// Not running, and it should.
    Dead {
        /// How it ended.
        exit: Exit,
        /// When.
        since: Instant,
    },
}

/// Does it do its work?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Health {
    /// Nobody knows yet.
    Unproven,
    /// It does.
    Healthy {
        /// Since when, without a break.
        since: Instant,
    },
    /// It does not.
    Failed {
        /// Since when.
        since: Instant,
    },
}

/// A proposal before closed gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) step: Step,
    /// The gates that were closed when it was last recorded.
    pub(crate) closed: GateSet,
    /// Since when something is in the way.
    pub(crate) since: Instant,
    /// Whether a person was told that it takes long.
    pub(crate) told: bool,
}

/// An act in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) step: Step,
    pub(crate) motive: Motive,
    pub(crate) intent: IntentId,
    /// One line for a person.
    #[serde(default)]
    pub(crate) why: String,
    pub(crate) phase: Phase,
    /// When it is judged at the latest; moves when the process starts.
    pub(crate) confirm_by: Instant,
    /// Which life it acts on; `None` for a start.
    pub(crate) generation: Option<Generation>,
    /// Which of its processes get a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<Arc<[Process]>>,
}

/// How far an act is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Its intent is on the way to the journal.
    Storing,
    /// The manager is at it.
    Acting,
    /// The process runs; does it work?
    Confirming,
}

/// What happened to a member lately; outlives its generations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ledger {
    /// Automatic restarts while sick, and signals.
    pub(crate) restarts: SlidingWindow,
    /// Automatic starts after it died.
    pub(crate) starts: SlidingWindow,
    /// Restarts of this incident that did not help.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) futile: u32,
    /// A signal of this incident did not help.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) signalled_in_vain: bool,
    /// Deaths in a row, for the backoff.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) deaths: u32,
    /// Sick restarts and signals in a row, for the backoff.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) sick: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) not_before: Instant,
    /// The wait that `not_before` ends.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) wait_began: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) given_up: Option<GivenUp>,
    /// When a person was last told that it is started all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chronic: Option<Instant>,
    /// Whether it goes back and forth.
    pub(crate) flap: Flap,
}

/// The ladder is spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenUp {
    pub(crate) why: String,
    pub(crate) since: Instant,
    /// When one more start of a dead member is tried; `None`: never without a person.
    pub(crate) parole: Option<Instant>,
    /// Paroles so far.
    pub(crate) paroles: u32,
}

/// Who decides about a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Control {
    Auto,
    Paused {
        since: Instant,
        until: Instant,
        by: String,
        reason: String,
    },
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) step: Step,
    pub(crate) now: bool,
    pub(crate) by: String,
}

impl Life {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting { .. } => "starting",
            Self::Up { .. } => "up",
            Self::Dead { .. } => "dead",
        }
    }

    /// When its process was seen to start, while there is one.
    pub(crate) const fn up_since(self) -> Option<Instant> {
        match self {
            Self::Starting { since } | Self::Up { since } => Some(since),
            Self::Stopped | Self::Dead { .. } => None,
        }
    }
}

impl Ledger {
    /// The same in memory of its own. Windows that are shared with what was read from the journal would
    /// lie scattered among what is given back of that, and keep thousands of holes apart.
    pub(crate) fn copied(&self) -> Self {
        Self {
            restarts: self.restarts.copied(),
            starts: self.starts.copied(),
            ..self.clone()
        }
    }
}

impl Health {
    /// The word for it.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Healthy { .. } => "healthy",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Member {
    /// A person wants it to run: it is tried, and looked at as often as any other.
    pub(crate) fn want_up(&mut self, asked: Option<Asked>) {
        self.wanted = Wanted::Up;
        self.stopped_by = None;
        self.asked = asked;
        self.ledger.given_up = None;
    }

    /// The intent of its attempt is stored: the act is let go, and counts from now on.
    pub(crate) fn let_go(&mut self, now: Instant) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        attempt.phase = Phase::Acting;
        self.asked = None;
        let ledger = &mut self.ledger;
        match attempt.motive {
            Motive::Sick => {
                ledger.restarts.add(now);
                ledger.sick = ledger.sick.saturating_add(1);
            }
            Motive::Dead => {
                ledger.starts.add(now);
                if let Some(given_up) = &mut ledger.given_up {
                    let wait = PAROLE.get(given_up.paroles as usize + 1);
                    given_up.paroles = given_up.paroles.saturating_add(1);
                    given_up.parole = Some(now + wait.copied().unwrap_or(Span::mins(60)));
                }
            }
            Motive::Begin | Motive::Together | Motive::ByHand { .. } => {}
        }
    }

    /// Nobody has heard of the act: it is taken back, and does not count.
    pub(crate) fn take_back(&mut self, now: Instant) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        attempt.phase = Phase::Storing;
        let ledger = &mut self.ledger;
        match attempt.motive {
            Motive::Sick => {
                ledger.restarts.take_back();
                ledger.sick = ledger.sick.saturating_sub(1);
            }
            Motive::Dead => {
                ledger.starts.take_back();
                if let Some(given_up) = &mut ledger.given_up {
                    given_up.paroles = given_up.paroles.saturating_sub(1);
                    given_up.parole = Some(now);
                }
            }
            Motive::Begin | Motive::Together | Motive::ByHand { .. } => {}
        }
    }

    fn new(group: &GroupPlan) -> Self {
        Self {
            wanted: Wanted::Up,
            generation: None,
            life: Life::Stopped,
            health: Health::Unproven,
            ready: false,
            blind: false,
            blind_told: None,
            stopped_together: None,
            trouble: None,
            leaves: group
                .checks
                .iter()
                .map(|check| (check.scope == Scope::Process).then(Leaf::default))
                .collect(),
            attempt: None,
            ledger: Ledger::default(),
            control: Control::Auto,
            asked: None,
            stopped_by: None,
            incident: None,
            ticket: None,
            turn: None,
            next: false,
            refusal: None,
            last_exit: None,
            cannot_start: None,
            launched: 0,
            port: None,
        }
    }

    /// What it adds to its group's counts.
    pub(crate) fn counts(&self) -> Counts {
        let healthy = matches!(self.health, Health::Healthy { .. }) && self.generation.is_some();
        Counts {
            out: u32::from(self.out()),
            ready: u32::from(self.ready),
            healthy: u32::from(healthy),
            attempts: u32::from(self.attempt.is_some()),
            troubled: u32::from(self.trouble.is_some()),
        }
    }

    /// Out by our hand: an attempt is in flight, or it is dead and an automatic start is coming.
    ///
    /// Members that were given up, paused or stopped by hand are not out: no start of theirs is coming
    /// that would end it, so they would block the budget for ever (policy.md section 3).
    pub(crate) fn out(&self) -> bool {
        self.attempt.is_some()
            || (matches!(self.life, Life::Dead { .. })
                && self.wanted == Wanted::Up
                && self.control == Control::Auto
                && self.ledger.given_up.is_none())
            || (self.stopped_together.is_some() && self.wanted == Wanted::Up)
    }
}

impl State {
    /// The state of a daemon that begins at `now`.
    pub fn new(plan: &Plan, seed: u64, first_intent: IntentId, now: Instant) -> Self {
        let slots = Slots::new(plan);
        Self {
            began: now,
            awake: false,
            reloaded: false,
            away_since: None,
            chance: Chance::new(seed),
            next_intent: first_intent,
            next_incident: IncidentId(first_intent.0),
            refused: None,
            groups: plan.groups.iter().map(Group::new).collect(),
            intents: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            next: VecDeque::new(),
            schedule: Schedule::new(slots.len()),
            slots,
            prints: Prints::new(plan),
            suppliers: Suppliers::new(plan),
            host: Host::default(),
            stall_told: None,
            wake_at: None,
        }
    }

    /// Whether a state that was written down is one of this plan; what follows from the plan is filled in.
    pub(crate) fn fits(&mut self, plan: &Plan) -> bool {
        self.slots = Slots::new(plan);
        for group in &mut self.groups {
            group.recount();
        }
        let fits = |(group, plan): (&Group, &GroupPlan)| {
            let new = Group::new(plan);
            let places = |leaves: &[Option<Leaf>]| -> Vec<bool> {
                leaves.iter().map(Option::is_some).collect()
            };
            let members = group.members.iter().zip(&new.members);
            group.members.len() == new.members.len()
                && places(&group.shared) == places(&new.shared)
                && members.fold(true, |all, (member, new)| {
                    all && places(&member.leaves) == places(&new.leaves)
                })
        };
        self.schedule.len() == self.slots.len()
            && self.groups.len() == plan.groups.len()
            && self.groups.iter().zip(&plan.groups).all(fits)
    }

    pub(crate) fn group(&self, index: u32) -> Option<&Group> {
        self.groups.get(index as usize)
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<&Member> {
        self.group(id.group)?.members.get(id.member as usize)
    }

    pub(crate) fn leaf(&self, id: LeafId) -> Option<&Leaf> {
        let group = self.group(id.group)?;
        let leaves = match id.member {
            Some(member) => &group.members.get(member as usize)?.leaves,
            None => &group.shared,
        };
        leaves.get(id.check as usize)?.as_ref()
    }

    pub(crate) fn leaf_mut(&mut self, id: LeafId) -> Option<&mut Leaf> {
        let group = self.groups.get_mut(id.group as usize)?;
        let leaves = match id.member {
            Some(member) => &mut group.members.get_mut(member as usize)?.leaves,
            None => &mut group.shared,
        };
        leaves.get_mut(id.check as usize)?.as_mut()
    }
}

impl Group {
    fn new(plan: &GroupPlan) -> Self {
        Self {
            members: plan.members.iter().map(|_| Member::new(plan)).collect(),
            shared: plan
                .checks
                .iter()
                .map(|check| (check.scope != Scope::Process).then(Leaf::default))
                .collect(),
            counts: Counts::default(),
            troubles: Troubles::default(),
            hold: None,
            maintenance: None,
            together: None,
            together_at: None,
            together_why: String::new(),
            supplied: false,
            waiting: BTreeMap::new(),
        }
    }

    /// Counts all members anew.
    pub(crate) fn recount(&mut self) {
        self.counts = self.sum();
    }

    /// The sum over all members: what the counts must be.
    pub(crate) fn sum(&self) -> Counts {
        let counts = self.members.iter().map(Member::counts);
        counts.fold(Counts::default(), |sum, one| {
            sum.changed(Counts::default(), one)
        })
    }

    /// How many members it has.
    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// The leaf of check `check` as `member` sees it.
    pub(crate) fn leaf<'a>(&'a self, member: &'a Member, check: u32) -> Option<&'a Leaf> {
        let own = member.leaves.get(check as usize)?.as_ref();
        own.or_else(|| self.shared.get(check as usize)?.as_ref())
    }
}
