//! The books: counts, incidents, who waits, when to look again, what is told.

use super::Turn;
use super::decide::{LONG, reopen};
use crate::event::Effect;
use crate::id::IncidentId;
use crate::journal::Entry;
use crate::plan::{Plan, PolicyPlan};
use crate::policy::gate::{self, View};
use crate::policy::keep::Kept;
use crate::policy::propose;
use crate::policy::state::{Control, Health, Life, Member, Phase};
use crate::policy::{About, Axis, GateName, Notice, NoticeKind};
use crate::{Instant, IntentId, LeafId, MemberId, Status};

impl<'a> Turn<'a> {
    pub(super) fn view(&self, id: MemberId) -> Option<View<'_>> {
        let group = self.state.group(id.group)?;
        Some(View {
            now: self.now,
            plan: self.plan,
            group_plan: self.plan.group(id.group)?,
            state: self.state,
            group,
            id,
            member: group.members.get(id.member as usize)?,
        })
    }

    /// Fingerprint of what a process of this member would be started with now.
    pub(super) fn launch_of(&self, id: MemberId) -> u64 {
        let port = self.plan.member(id).and_then(|member| member.port);
        self.state.prints.launch(id.group, port)
    }

    pub(super) fn policy(&self, id: MemberId) -> Option<&'a PolicyPlan> {
        let plan: &'a Plan = self.plan;
        plan.group(id.group).map(|group| &group.policy)
    }

    /// Changes a member and keeps its group's counts; notes what became free.
    pub(super) fn change(&mut self, id: MemberId, apply: impl FnOnce(&mut Member)) {
        let Some(group) = self.state.groups.get_mut(id.group as usize) else {
            return;
        };
        let Some(member) = group.members.get_mut(id.member as usize) else {
            return;
        };
        self.changed.insert(id);
        let before = member.counts();
        apply(member);
        let after = member.counts();
        group.counts = group.counts.changed(before, after);
        if after.out < before.out
            || after.attempts < before.attempts
            || after.healthy > before.healthy
        {
            self.again.insert(id.group);
        }
        if after.ready != before.ready {
            let dependents = self.state.suppliers.dependents(id.group);
            self.supply.extend(dependents);
            if after.ready > before.ready {
                self.again.extend(dependents);
            }
        }
    }

    /// Whether nothing is changing about a member: its samples need no further look.
    pub(super) fn quiet(&self, id: MemberId) -> bool {
        self.state.member(id).is_some_and(|member| {
            matches!(member.health, Health::Healthy { .. })
                && member.attempt.is_none()
                && member.asked.is_none()
        })
    }

    pub(super) fn leaves_of(&self, id: MemberId) -> Vec<LeafId> {
        let Some(member) = self.state.member(id) else {
            return Vec::new();
        };
        (0u32..)
            .zip(&member.leaves)
            .filter(|(_, leaf)| leaf.is_some())
            .map(|(check, _)| LeafId {
                group: id.group,
                check,
                member: Some(id.member),
            })
            .collect()
    }

    /// Whose attempt an intent is, while it is in flight.
    pub(super) fn member_of(&self, intent: IntentId) -> Option<MemberId> {
        self.state.intents.get(&intent).copied()
    }

    pub(super) fn open_incident(&mut self, id: MemberId, why: &str) {
        if self
            .state
            .member(id)
            .is_none_or(|member| member.incident.is_some())
        {
            return;
        }
        let incident = self.state.next_incident;
        self.state.next_incident = IncidentId(incident.0 + 1);
        self.change(id, |member| member.incident = Some(incident));
        self.notify(id, NoticeKind::Incident, why.to_owned());
    }

    pub(super) fn stop_waiting(&mut self, id: MemberId) {
        if self
            .state
            .member(id)
            .is_some_and(|member| member.refusal.is_some())
        {
            self.change(id, |member| member.refusal = None);
        }
        self.remove_waiting(id);
    }

    /// Puts a member behind everybody who waits in its group, unless it waits already.
    pub(super) fn wait(&mut self, id: MemberId) {
        let Some(group) = self.state.groups.get_mut(id.group as usize) else {
            return;
        };
        let next = group
            .waiting
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        if let Some(member) = group.members.get_mut(id.member as usize)
            && member.ticket.is_none()
        {
            member.ticket = Some(next);
            group.waiting.insert(next, id.member);
        }
    }

    pub(super) fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        let group = self.state.groups.get_mut(id.group as usize)?;
        group.members.get_mut(id.member as usize)
    }

    /// Puts a member behind everybody whose act may begin as soon as the journal has answered.
    pub(super) fn come_next(&mut self, id: MemberId) {
        if let Some(member) = self.member_mut(id)
            && !std::mem::replace(&mut member.next, true)
        {
            self.state.next.push_back(id);
        }
    }

    pub(super) fn remove_waiting(&mut self, id: MemberId) {
        self.leave_host_queue(id);
        if let Some(group) = self.state.groups.get_mut(id.group as usize)
            && let Some(member) = group.members.get_mut(id.member as usize)
            && let Some(ticket) = member.ticket.take()
        {
            group.waiting.remove(&ticket);
        }
    }

    /// When the clock alone opens a gate that is closed for this member.
    pub(super) fn reopens(&self, id: MemberId) -> Option<Instant> {
        let view = self.view(id).filter(|view| view.member.refusal.is_some())?;
        reopen(&gate::read_all(&view, &propose::propose(&view)?))
    }

    /// Sets when the clock alone could change something for this member, for which a gate `reopens`.
    pub(super) fn set_look(&mut self, id: MemberId, reopens: Option<Instant>) {
        let slot = self.state.slots.member(id);
        match self.next_look(id, reopens) {
            Some(at) => self.state.schedule.set(slot, at),
            None => self.state.schedule.clear(slot),
        }
    }

    fn next_look(&self, id: MemberId, reopens: Option<Instant>) -> Option<Instant> {
        let view = self.view(id)?;
        let (policy, member) = (&view.group_plan.policy, view.member);
        let mut next: Option<Instant> = None;
        let mut look = |at: Instant| {
            if at > view.now {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        };
        reopens.into_iter().for_each(&mut look);
        if let Life::Starting { since } = member.life {
            look(since + policy.confirm_up);
            look(since + policy.startup_timeout);
        }
        let attempt = member.attempt.as_ref();
        if let Some(attempt) = attempt.filter(|it| it.phase == Phase::Confirming) {
            look(attempt.confirm_by);
            if let Health::Healthy { since } = member.health {
                look(since + policy.confirm_up);
            }
        }
        if let (Health::Healthy { since }, Some(_)) = (&member.health, member.incident) {
            look(*since + policy.backoff_reset);
        }
        if let Control::Paused { until, .. } = &member.control {
            look(*until);
        }
        let given_up = member.ledger.given_up.as_ref();
        (given_up.and_then(|given_up| given_up.parole).into_iter()).for_each(&mut look);
        (0u32..)
            .zip(&view.group_plan.checks)
            .filter_map(|(check, _)| view.group.leaf(member, check)?.blind_at())
            .for_each(&mut look);
        let shaken = self.state.host.shaken_until(view.now);
        if let Some(at) = shaken.filter(|_| !member.blind && sees_nothing(&view)) {
            look(at);
        }
        if let Some(refusal) = member.refusal
            && refusal.closed.contains(GateName::Budget)
            && !refusal.told
        {
            look(refusal.since + LONG);
        }
        next
    }

    /// Hands what must outlive the daemon to the journal.
    pub(super) fn keep(&mut self, id: MemberId) {
        if let Some(kept) = self.state.keep(self.plan, id, self.now) {
            self.out.push(Effect::Keep(Kept::Member(Box::new(kept))));
        }
    }

    pub(super) fn transition(
        &mut self,
        id: MemberId,
        axis: Axis,
        from: &'static str,
        to: &'static str,
        why: String,
    ) {
        let incident = self.state.member(id).and_then(|member| member.incident);
        let (member, at) = (id, self.now);
        self.out.push(Effect::Record(Entry::Transition {
            member,
            at,
            axis,
            from,
            to,
            why,
            incident,
        }));
    }

    pub(super) fn notify(&mut self, id: MemberId, kind: NoticeKind, text: String) {
        let incident = self.state.member(id).and_then(|member| member.incident);
        self.tell(About::Member(id), kind, text, incident);
    }

    /// Tells a person something that is not only about one member.
    pub(super) fn tell(
        &mut self,
        about: About,
        kind: NoticeKind,
        text: String,
        incident: Option<IncidentId>,
    ) {
        let at = self.now;
        self.out.push(Effect::Notify(Notice {
            about,
            at,
            kind,
            text,
            incident,
        }));
    }
}

/// Whether a check of this member reads Unknown.
fn sees_nothing(view: &View<'_>) -> bool {
    let checks = (0u32..).zip(&view.group_plan.checks);
    let mut leaves = checks.filter_map(|(check, _)| view.group.leaf(view.member, check));
    leaves.any(|leaf| leaf.live_reading(view.now) == Status::Unknown)
}
