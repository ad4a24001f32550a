//! Numbers for the schedule: which slot is a leaf, which a member, which a group.

use crate::plan::{Plan, Scope};
use crate::{LeafId, MemberId};

/// Numbers all that the schedule knows densely: for each group its leaves, its members, itself; then
/// the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    /// First slot of each group, and one past the last group's.
    starts: Vec<u32>,
    groups: Vec<GroupSlots>,
}

#[derive(Clone, Debug)]
struct GroupSlots {
    /// First slot of each check, relative to the group; then that of the members, and the group's.
    checks: Vec<u32>,
    shared: Vec<bool>,
}

/// What a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Leaf(LeafId),
    Member(MemberId),
    Group(u32),
    Host,
}

impl Slots {
    pub(crate) fn new(plan: &Plan) -> Self {
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
            checks.extend([offset, offset + members]);
            next += offset + members + 1;
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.host() as usize + 1
    }

    /// The slot of the machine: the last one.
    pub(crate) fn host(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
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
        let members = group.and_then(|g| g.checks.iter().nth_back(1));
        let start = self.starts.get(id.group as usize);
        match (start, members) {
            (Some(start), Some(members)) => start + members + id.member,
            _ => u32::MAX,
        }
    }

    /// The slot of a group itself: its last one.
    pub(crate) fn group(&self, group: u32) -> u32 {
        match self.starts.get(group as usize + 1) {
            Some(next) => next - 1,
            None => u32::MAX,
        }
    }

    /// What `slot` stands for.
    pub(crate) fn what(&self, slot: u32) -> Option<Slot> {
        if slot == self.host() {
            return Some(Slot::Host);
        }
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
        match slots.checks.len() - check {
            1 => return Some(Slot::Group(group)),
            2 => {
                let member = rest;
                return Some(Slot::Member(MemberId { group, member }));
            }
            _ => {}
        }
        let member = (!slots.shared.get(check)?).then_some(rest);
        Some(Slot::Leaf(LeafId {
            group,
            check: u32::try_from(check).ok()?,
            member,
        }))
    }
}
