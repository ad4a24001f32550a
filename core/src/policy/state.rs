//! What the engine knows: three axes a member, a ledger, and counts a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backoff::Chance;
use super::leaf::Leaf;
use super::window::SlidingWindow;
use super::{GateSet, Motive, Step};
use crate::event::Exit;
use crate::id::IncidentId;
use crate::plan::{GroupPlan, Plan, Scope};
use crate::schedule::Schedule;
use crate::{Generation, Instant, IntentId, LeafId, MemberId, Span};

/// Waits of a dead member that was given up: one start after each, the last one again and again
/// (policy.md section 2).
pub(crate) const PAROLE: [Span; 5] = [
    Span::mins(5),
    Span::mins(10),
    Span::mins(20),
    Span::mins(40),
    Span::mins(60),
];

/// All mutable state.
#[derive(Debug)]
pub struct State {
    /// When this engine began.
    pub(crate) began: Instant,
    /// Whether the first `Wake` was seen; before it members may be adopted, and nothing is decided.
    pub(crate) awake: bool,
    /// Whether it goes on from an engine of the same daemon: what that one had begun goes on too.
    pub(crate) reloaded: bool,
    pub(crate) chance: Chance,
    pub(crate) next_intent: IntentId,
    pub(crate) next_incident: IncidentId,
    /// The journal refused the last intent.
    pub(crate) refused: Option<Refused>,
    pub(crate) groups: Vec<Group>,
    /// Whose attempt an intent in flight is.
    pub(crate) intents: BTreeMap<IntentId, MemberId>,
    pub(crate) schedule: Schedule,
    pub(crate) slots: Slots,
    /// What the host was last told to wake for.
    pub(crate) wake_at: Option<Instant>,
}

/// The journal could not store an intent.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) at: Instant,
    pub(crate) reason: String,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) members: Vec<Member>,
    /// Leaves of scope `host` and `dependency`, by check; the other checks' places stay empty.
    pub(crate) shared: Vec<Option<Leaf>>,
    /// Members that are out by our hand (see [`Member::out`]); kept incrementally.
    pub(crate) out: u32,
    /// Members that are ready; kept incrementally.
    pub(crate) ready: u32,
    /// Members that are up and healthy; kept incrementally.
    pub(crate) healthy: u32,
    /// Members with a proposal and a closed gate, the longest waiting first.
    pub(crate) waiting: BTreeMap<u64, u32>,
}

/// One member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) wanted: Wanted,
    pub(crate) generation: Option<Generation>,
    pub(crate) life: Life,
    pub(crate) health: Health,
    /// Whether `ready` said so last; Unknown keeps the last answer.
    pub(crate) ready: bool,
    /// What `live` said last, to tell when somebody turns blind.
    pub(crate) blind: bool,
    /// Leaves of scope `process`, by check; the other checks' places stay empty.
    pub(crate) leaves: Vec<Option<Leaf>>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) ledger: Ledger,
    pub(crate) control: Control,
    /// What a person asked for and is not yet done.
    pub(crate) asked: Option<Asked>,
    pub(crate) incident: Option<IncidentId>,
    /// Its place among those that wait in its group.
    pub(crate) ticket: Option<u64>,
    /// The gates that were closed when a refusal was last recorded.
    pub(crate) refusal: Option<(Step, GateSet)>,
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
pub(crate) struct Ledger {
    /// Automatic restarts while sick.
    pub(crate) restarts: SlidingWindow,
    /// Automatic starts after it died.
    pub(crate) starts: SlidingWindow,
    /// Restarts of this incident that did not help.
    pub(crate) futile: u32,
    /// Deaths in a row, for the backoff.
    pub(crate) deaths: u32,
    /// Sick restarts in a row, for the backoff.
    pub(crate) sick: u32,
    pub(crate) not_before: Instant,
    /// The wait that `not_before` ends.
    pub(crate) wait_began: Instant,
    pub(crate) given_up: Option<GivenUp>,
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
    fn new(group: &GroupPlan) -> Self {
        Self {
            wanted: Wanted::Up,
            generation: None,
            life: Life::Stopped,
            health: Health::Unproven,
            ready: false,
            blind: false,
            leaves: group
                .checks
                .iter()
                .map(|check| (check.scope == Scope::Process).then(Leaf::default))
                .collect(),
            attempt: None,
            ledger: Ledger::default(),
            control: Control::Auto,
            asked: None,
            incident: None,
            ticket: None,
            refusal: None,
            last_exit: None,
            cannot_start: None,
            launched: 0,
            port: None,
        }
    }

    /// Out, ready, healthy: what it adds to its group's counts.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        let healthy = matches!(self.health, Health::Healthy { .. }) && self.generation.is_some();
        (
            u32::from(self.out()),
            u32::from(self.ready),
            u32::from(healthy),
        )
    }

    /// Out by our hand: an attempt is in flight, or it is dead and an automatic start is coming.
    ///
    /// Members that were given up or stopped by hand are not out, so that they cannot block the
    /// budget for ever (policy.md section 3).
    pub(crate) fn out(&self) -> bool {
        self.attempt.is_some()
            || (matches!(self.life, Life::Dead { .. })
                && self.wanted == Wanted::Up
                && self.ledger.given_up.is_none())
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
            chance: Chance::new(seed),
            next_intent: first_intent,
            next_incident: IncidentId(first_intent.0),
            refused: None,
            groups: plan.groups.iter().map(Group::new).collect(),
            intents: BTreeMap::new(),
            schedule: Schedule::new(slots.len()),
            slots,
            wake_at: None,
        }
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
            out: 0,
            ready: 0,
            healthy: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// Counts all members anew.
    pub(crate) fn recount(&mut self) {
        let counts = self.members.iter().map(Member::counts);
        (self.out, self.ready, self.healthy) = counts.fold((0, 0, 0), |sum, one| {
            (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2)
        });
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

/// Numbers leaves and members densely for the schedule: for each group its leaves, then its members.
#[derive(Debug)]
pub(crate) struct Slots {
    /// First slot of each group, and one past the last group's.
    starts: Vec<u32>,
    groups: Vec<GroupSlots>,
}

#[derive(Debug)]
struct GroupSlots {
    /// First slot of each check, relative to the group; then that of the members.
    checks: Vec<u32>,
    shared: Vec<bool>,
}

/// What a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Leaf(LeafId),
    Member(MemberId),
}

impl Slots {
    fn new(plan: &Plan) -> Self {
        let mut starts = vec![0];
        let mut groups = Vec::new();
        let mut next = 0_u32;
        for group in &plan.groups {
            let members = u32::try_from(group.members.len()).unwrap_or(u32::MAX);
            let mut checks = Vec::with_capacity(group.checks.len() + 1);
            let mut offset = 0_u32;
            for check in &group.checks {
                checks.push(offset);
                offset += if check.scope == Scope::Process {
                    members
                } else {
                    1
                };
            }
            checks.push(offset);
            next += offset + members;
            starts.push(next);
            let shared = group
                .checks
                .iter()
                .map(|check| check.scope != Scope::Process)
                .collect();
            groups.push(GroupSlots { checks, shared });
        }
        Self { starts, groups }
    }

    fn len(&self) -> usize {
        self.starts.last().map_or(0, |end| *end as usize)
    }

    /// The slot of a leaf.
    pub(crate) fn leaf(&self, id: LeafId) -> u32 {
        let group = self.groups.get(id.group as usize);
        let check = group.and_then(|g| g.checks.get(id.check as usize));
        let start = self.starts.get(id.group as usize);
        match (start, check) {
            (Some(start), Some(check)) => start + check + id.member.unwrap_or(0),
            _ => u32::MAX,
        }
    }

    /// The slot of a member.
    pub(crate) fn member(&self, id: MemberId) -> u32 {
        let group = self.groups.get(id.group as usize);
        let members = group.and_then(|g| g.checks.last());
        let start = self.starts.get(id.group as usize);
        match (start, members) {
            (Some(start), Some(members)) => start + members + id.member,
            _ => u32::MAX,
        }
    }

    /// What `slot` stands for.
    pub(crate) fn what(&self, slot: u32) -> Option<Slot> {
        let group = self
            .starts
            .partition_point(|start| *start <= slot)
            .checked_sub(1)?;
        let offset = slot - self.starts.get(group)?;
        let slots = self.groups.get(group)?;
        let group = u32::try_from(group).ok()?;
        let check = slots
            .checks
            .partition_point(|start| *start <= offset)
            .checked_sub(1)?;
        let rest = offset - slots.checks.get(check)?;
        if check + 1 == slots.checks.len() {
            return Some(Slot::Member(MemberId {
                group,
                member: rest,
            }));
        }
        let member = (!slots.shared.get(check)?).then_some(rest);
        Some(Slot::Leaf(LeafId {
            group,
            check: u32::try_from(check).ok()?,
            member,
        }))
    }
}
