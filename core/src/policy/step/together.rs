//! Restarting a group as a whole.

use super::Turn;
use crate::MemberId;
use crate::plan::Strategy;
use crate::policy::state::{Control, Member, Wanted};
use crate::policy::together::{EVERY, PATIENCE, Together, WITNESSES};
use crate::policy::{About, NoticeKind};

impl Turn<'_> {
    /// A restart of a sick member did not help: is it time for the whole group?
    pub(super) fn in_vain(&mut self, id: MemberId) {
        let Some((plan, group)) = self.plan.group(id.group).zip(self.state.group(id.group)) else {
            return;
        };
        let strategy = plan.policy.strategy;
        let lately = (group.together_at).is_some_and(|at| self.now.since(at) < EVERY);
        if strategy == Strategy::OneForOne || group.together.is_some() || lately {
            return;
        }
        let in_vain = |member: &Member| member.ledger.futile > 0 && member.incident.is_some();
        let witnesses = (0u32..)
            .zip(&group.members)
            .filter(|(_, member)| in_vain(member));
        let witnesses: Vec<u32> = witnesses.map(|(index, _)| index).collect();
        if witnesses.len() < WITNESSES as usize {
            return;
        }
        let first = match strategy {
            Strategy::RestForOne => witnesses.first().copied().unwrap_or(0),
            Strategy::OneForOne | Strategy::OneForAll | Strategy::Rolling => 0,
        };
        let can = |member: &Member| {
            member.generation.is_some()
                && member.wanted == Wanted::Up
                && member.control == Control::Auto
        };
        let left = (0u32..)
            .zip(&group.members)
            .filter(|(index, it)| *index >= first && can(it));
        let left: std::collections::BTreeSet<u32> = left.map(|(index, _)| index).collect();
        let wait = match strategy {
            Strategy::Rolling => EVERY,
            Strategy::OneForOne | Strategy::OneForAll | Strategy::RestForOne => {
                plan.launch.stop_timeout + PATIENCE
            }
        };
        let (many, until) = (left.len(), self.now + wait);
        let why = format!(
            "restarts of {} members did not help; {many} are restarted together ({})",
            witnesses.len(),
            strategy.as_str()
        );
        let now = self.now;
        if let Some(group) = self.group_mut(id.group) {
            group.together = Some(Together {
                strategy,
                left: left.clone(),
                until,
            });
            group.together_at = Some(now);
        }
        self.group_changed(id.group, "together", "single", "together", &why);
        self.tell(About::Group(id.group), NoticeKind::Acting, why, None);
        let slot = self.state.slots.group(id.group);
        self.state.schedule.set_earlier(slot, until);
        for member in left {
            self.consider(MemberId { member, ..id });
        }
    }

    /// Whoever was to be restarted with the others has had its turn, or has none any more.
    pub(super) fn had_its_turn(&mut self, id: MemberId) {
        let together = self
            .group_mut(id.group)
            .and_then(|group| group.together.as_mut());
        let Some(together) = together.filter(|it| it.left.contains(&id.member)) else {
            return;
        };
        together.left.remove(&id.member);
        if together.left.is_empty() {
            self.end_together(id.group, "all had their turn");
        } else {
            self.keep_group(id.group);
        }
    }

    pub(super) fn end_together(&mut self, index: u32, why: &str) {
        let Some(group) = self.group_mut(index) else {
            return;
        };
        if group.together.take().is_none() {
            return;
        }
        self.group_changed(index, "together", "together", "single", why);
        let members = self
            .state
            .group(index)
            .map_or(0, crate::policy::state::Group::size);
        for member in 0..members {
            self.consider(MemberId {
                group: index,
                member,
            });
        }
    }
}
