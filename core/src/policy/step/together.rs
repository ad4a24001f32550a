//! Restarting a group as a whole.

use super::Turn;
use crate::MemberId;
use crate::plan::Strategy;
use crate::policy::propose::Proposal;
use crate::policy::state::{Control, Member, Wanted};
use crate::policy::together::{EVERY, PATIENCE, Together, WITNESSES};
use crate::policy::{About, Motive, NoticeKind, Step, gate};

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
        // Begun and then held up it would be worse than none: those who were stopped first would wait.
        let stop = Proposal {
            step: Step::Stop,
            motive: Motive::Together,
            blame: Vec::new(),
            parole: false,
        };
        if (self.view(id)).is_some_and(|view| gate::closed_meanwhile(&view, &stop).is_some()) {
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
        let reason = format!("restarts of {} members did not help", witnesses.len());
        let why = format!(
            "{reason}; {many} are restarted together ({})",
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
            group.together_why = reason;
        }
        self.group_changed(id.group, "together", "single", "together", &why);
        self.tell(About::Group(id.group), NoticeKind::Acting, why, None);
        let slot = self.state.slots.group(id.group);
        self.state.schedule.set_earlier(slot, until);
        for member in left {
            let member = MemberId { member, ..id };
            // Whoever is only being judged gives way: the others would be down until it is judged.
            if strategy != Strategy::Rolling {
                self.supersede(member, "its whole group is restarted");
            }
            self.consider(member);
        }
    }

    /// Whoever was to be restarted with the others has had its turn, or has none any more.
    ///
    /// One after the other is for finding out: the first restart that does not help ends it, or a
    /// program that does not start any more would take down one healthy member after the other.
    pub(super) fn had_its_turn(&mut self, id: MemberId, helped: bool) {
        let name = (self.plan.member(id)).map_or_else(String::new, |it| it.name.to_string());
        let together = self
            .group_mut(id.group)
            .and_then(|group| group.together.as_mut());
        let Some(together) = together.filter(|it| it.left.contains(&id.member)) else {
            return;
        };
        together.left.remove(&id.member);
        if !helped && together.strategy == Strategy::Rolling && !together.left.is_empty() {
            let many = together.left.len();
            let why = format!("the restart of {name} did not help; {many} are left as they are");
            self.tell(
                About::Group(id.group),
                NoticeKind::Futile,
                why.clone(),
                None,
            );
            self.end_together(id.group, &why);
        } else if together.left.is_empty() {
            self.end_together(id.group, "all had their turn");
        } else {
            self.keep_group(id.group);
        }
    }

    /// A restart that a person asked for did not help: whoever still waits for its turn by hand is left
    /// as it is. The budget alone would let the next one follow as soon as this one is given up, and a
    /// program that is broken on disk would take all of them down.
    pub(super) fn end_roll(&mut self, id: MemberId) {
        let Some(group) = self.state.group(id.group) else {
            return;
        };
        let waits = |member: &Member| {
            let asked = member.asked.as_ref();
            asked.is_some_and(|asked| asked.step == Step::Restart && !asked.now)
                && member.attempt.is_none()
        };
        let left = (0u32..)
            .zip(&group.members)
            .filter(|(_, member)| waits(member));
        let left: Vec<u32> = left.map(|(index, _)| index).collect();
        if left.is_empty() {
            return;
        }
        let name = self
            .plan
            .member(id)
            .map_or("?", |member| member.name.as_str());
        let many = left.len();
        let s = if many == 1 { "" } else { "s" };
        let why = format!(
            "the restart of {name} did not help, so {many} other{s} that were to follow by hand are left \
             running; ask again when it is mended"
        );
        for member in &left {
            let other = MemberId {
                member: *member,
                ..id
            };
            self.change(other, |member| member.asked = None);
            self.stop_waiting(other);
        }
        self.group_changed(id.group, "roll", "rolling", "stopped", &why);
        self.tell(About::Group(id.group), NoticeKind::Futile, why, None);
        // Somebody among them may be sick, and to be helped without being asked for.
        for member in left {
            self.consider(MemberId { member, ..id });
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
