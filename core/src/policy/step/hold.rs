//! What many members have together: trouble, holds and canaries, dependencies that go and come.

use serde::{Deserialize, Serialize};

use super::Turn;
use crate::config::defaults::HOLD_LEAST;
use crate::event::{Effect, Window};
use crate::journal::{Entry, Outcome};
use crate::plan::{GroupPlan, Plan, Scope};
use crate::policy::gate::{self, dependency};
use crate::policy::hold::{self, Hold};
use crate::policy::keep::Kept;
use crate::policy::likeness::Likeness;
use crate::policy::state::{Group, Health, Member};
use crate::policy::{About, GateName, NoticeKind, judge, words};
use crate::{Instant, IntentId, MemberId, Span, Status};

/// When a dependency is there again its dependents are tried within this long, not all at once.
const SPREAD: Span = Span::secs(10);

impl Turn<'_> {
    /// Notes whether a member is suspect or failed, and whether too many are.
    pub(super) fn look_for_trouble(&mut self, id: MemberId) {
        let now = self.now;
        let Some(view) = self.view(id) else { return };
        let was = view.member.trouble;
        let is = in_trouble(view.group_plan, view.group, view.member);
        if was.is_some() == is {
            return;
        }
        self.change(id, |member| member.trouble = is.then_some(now));
        let Some(group) = self.group_mut(id.group) else {
            return;
        };
        match was {
            Some(since) => group.troubles.end(id.member, since),
            None => group.troubles.begin(id.member, now),
        }
        let together = group.troubles.together(now);
        let (members, troubled) = (group.size(), group.counts.troubled);
        if is {
            let least = self.policy(id).map_or(u32::MAX, |policy| policy.hold_at);
            if together >= least {
                let span = hold::TOGETHER;
                let why = format!("{together} of {members} members turned bad within {span}");
                self.enter_hold(id.group, &why);
            }
        }
        self.note_calm(id.group, hold::calm(troubled, members));
    }

    /// A member has failed for good: what stands behind it may have failed with it, and a hold that
    /// was only a suspicion is told.
    pub(super) fn failed_together(&mut self, id: MemberId) {
        self.look_for_trouble(id);
        let now = self.now;
        let sets = self.state.suppliers.of(id.group).to_vec();
        let half = (self.state.group(id.group))
            .is_some_and(|group| group.counts.troubled * 2 >= group.size());
        if half {
            for set in sets {
                let Some(other) = self.state.suppliers.failed(set, id.group, now) else {
                    continue;
                };
                let (mine, theirs) = (self.plan.group_name(id.group), self.plan.group_name(other));
                let why = format!("{mine} and {theirs} need the same and failed together");
                self.enter_hold(id.group, &why);
                self.enter_hold(other, &why);
            }
        }
        self.tell_of_hold(id.group);
    }

    /// A sick member is restarted, or processes of it get a signal.
    pub(super) fn killed(&mut self, id: MemberId) {
        let now = self.now;
        let Some(group) = self.group_mut(id.group) else {
            return;
        };
        let (kills, members) = (group.troubles.killed(now), group.size());
        let acts = (self.policy(id)).map_or_else(String::new, |it| words::acts(it, "restarts"));
        // Who set `hold_at` above the number of members wants no hold for what members do.
        let off = (self.policy(id)).is_none_or(|policy| policy.hold_at > members.max(HOLD_LEAST));
        let Some(group) = self.group_mut(id.group).filter(|_| !off) else {
            return;
        };
        if kills > members.max(hold::KILLS) {
            group.troubles.forget_kills();
            let span = hold::KILLS_SPAN;
            self.enter_hold(id.group, &format!("{kills} {acts} within {span}"));
        }
    }

    fn enter_hold(&mut self, index: u32, why: &str) {
        let now = self.now;
        let Some(wait) = self
            .plan
            .group(index)
            .map(|group| group.policy.canary_after)
        else {
            return;
        };
        let Some(group) = self.group_mut(index).filter(|group| group.hold.is_none()) else {
            return;
        };
        group.hold = Some(Hold {
            since: now,
            why: why.into(),
            canary_at: now + wait,
            canary: None,
            futile: 0,
            told: false,
        });
        let (troubled, members) = (group.counts.troubled, group.size());
        self.group_changed(index, "hold", "free", "held", why);
        self.note_calm(index, hold::calm(troubled, members));
        self.tell_of_hold(index);
    }

    /// A hold is news when somebody has failed; suspicion alone is not.
    fn tell_of_hold(&mut self, index: u32) {
        let (now, name) = (self.now, About::Group(index));
        let Some(group) = self.group_mut(index) else {
            return;
        };
        let supplied = group.supplied;
        let failed = (group.members.iter()).any(|it| matches!(it.health, Health::Failed { .. }));
        let Some(hold) = group.hold.as_mut().filter(|hold| failed && !hold.told) else {
            return;
        };
        hold.told = true;
        let text = gate::hold::beginning(&hold.why, hold.canary_at.since(now), supplied);
        self.tell(name, NoticeKind::Hold, text, None);
        self.keep_group(index);
    }

    fn leave_hold(&mut self, index: u32, why: &str) {
        let Some(hold) = self.group_mut(index).and_then(|group| group.hold.take()) else {
            return;
        };
        self.group_changed(index, "hold", "held", "free", why);
        if hold.told {
            let text = format!("not held any more: {why}");
            self.tell(About::Group(index), NoticeKind::Thaw, text, None);
        }
        self.again.insert(index);
    }

    /// A person wants its members restarted as if they had not failed together. While what they need
    /// is missing it goes on, for it is that which keeps them.
    pub(super) fn hold_ended_by(&mut self, index: u32, by: &str) {
        let supplied = (self.state.group(index)).is_some_and(|group| group.supplied);
        if !self.is_held(index) || !supplied {
            return;
        }
        self.leave_hold(index, &format!("ended by {by}"));
        if let Some(group) = self.group_mut(index) {
            group.troubles.known();
        }
    }

    /// Whether a group is held just now.
    pub(super) fn is_held(&self, index: u32) -> bool {
        (self.state.group(index)).is_some_and(|group| group.hold.is_some())
    }

    /// The one restart that a hold lets through has its intent.
    pub(super) fn canary(&mut self, id: MemberId, intent: IntentId) {
        if let Some(hold) = self
            .group_mut(id.group)
            .and_then(|group| group.hold.as_mut())
        {
            hold.canary = Some(intent);
            self.keep_group(id.group);
        }
    }

    /// What a canary says about restarting.
    pub(super) fn canary_judged(
        &mut self,
        id: MemberId,
        intent: IntentId,
        outcome: Outcome,
        by_hand: bool,
    ) {
        let now = self.now;
        let wait = (self.policy(id)).map_or(Span::ZERO, |policy| policy.canary_after);
        let name = self
            .plan
            .member(id)
            .map_or("?", |member| member.name.as_str());
        let hold = self
            .group_mut(id.group)
            .and_then(|group| group.hold.as_mut());
        let Some(hold) = hold else { return };
        if hold.canary != Some(intent) {
            // What a person found to help need not be found again.
            if by_hand && outcome == Outcome::Effective {
                self.leave_hold(id.group, &format!("the restart of {name} by hand helped"));
            }
            return;
        }
        hold.canary = None;
        match outcome {
            Outcome::Effective => {
                self.leave_hold(id.group, &format!("the restart of {name} helped"));
                return;
            }
            Outcome::Futile | Outcome::Failed => {
                hold.futile = hold.futile.saturating_add(1);
                hold.canary_at = now + hold::AGAIN.wait(hold.futile);
                let text = gate::hold::again(name, hold.futile);
                self.tell(About::Group(id.group), NoticeKind::Hold, text, None);
            }
            Outcome::Unproven | Outcome::Withdrawn | Outcome::Superseded => {
                hold.canary_at = now + wait;
            }
        }
        self.keep_group(id.group);
        self.again.insert(id.group);
    }

    /// Few enough are in trouble, or not any more; a hold ends when that has lasted.
    fn note_calm(&mut self, index: u32, calm: bool) {
        let now = self.now;
        let slot = self.state.slots.group(index);
        let Some(group) = self.group_mut(index) else {
            return;
        };
        group.troubles.calm = calm.then(|| group.troubles.calm.unwrap_or(now));
        if let (Some(since), Some(_)) = (group.troubles.calm, &group.hold) {
            // Whoever is woken for what is long over takes itself for late, and the machine for stalled.
            let at = (since + hold::CALM).max(now);
            self.state.schedule.set_earlier(slot, at);
        }
    }

    /// A hold of the daemon before goes on. A canary of which nothing is known any more is one that
    /// said nothing.
    pub(super) fn resume_hold(&mut self, index: u32) {
        let Some((plan, group)) = self.plan.group(index).zip(self.state.group(index)) else {
            return;
        };
        let lost = (group.hold.as_ref().and_then(|hold| hold.canary))
            .filter(|intent| !self.state.intents.contains_key(intent));
        let (is_calm, at) = (
            hold::calm(group.counts.troubled, group.size()),
            self.now + plan.policy.canary_after,
        );
        if lost.is_some()
            && let Some(hold) = self.group_mut(index).and_then(|group| group.hold.as_mut())
        {
            hold.canary = None;
            hold.canary_at = hold.canary_at.max(at);
            self.keep_group(index);
        }
        self.note_calm(index, is_calm);
        self.look_at_group(index);
    }

    /// The time of a group has come.
    pub(super) fn look_at_group(&mut self, index: u32) {
        let now = self.now;
        let until =
            (self.state.group(index)).and_then(|group| Some(group.together.as_ref()?.until));
        match until {
            Some(until) if until <= now => self.end_together(index, "its time is over"),
            Some(until) => {
                let slot = self.state.slots.group(index);
                self.state.schedule.set_earlier(slot, until);
            }
            None => {}
        }
        let Some(group) = self.state.group(index) else {
            return;
        };
        let Some(since) = group.troubles.calm.filter(|_| group.hold.is_some()) else {
            return;
        };
        if !group.supplied || now.since(since) < hold::CALM {
            let slot = self.state.slots.group(index);
            let at = (since + hold::CALM).max(now + Span::secs(1));
            self.state.schedule.set_earlier(slot, at);
            return;
        }
        let (troubled, members) = (group.counts.troubled, group.size());
        let span = hold::CALM;
        let why = format!("{troubled} of {members} members in trouble for {span}");
        self.leave_hold(index, &why);
    }

    /// Something that a group depends on may have gone or come.
    pub(super) fn look_at_supply(&mut self, index: u32) {
        let (plan, now) = (self.plan, self.now);
        let Some((group_plan, group)) = plan.group(index).zip(self.state.group(index)) else {
            return;
        };
        let missing = dependency::missing(plan, self.state, group_plan, group, now);
        let (was, is) = (group.supplied, missing.is_none());
        if was == is {
            return;
        }
        if let Some(group) = self.group_mut(index) {
            group.supplied = is;
        }
        match missing {
            Some(missing) => self.enter_hold(index, &missing.what()),
            None => self.supplied_again(index, group_plan.policy.canary_after),
        }
    }

    /// What it needs is there: its members get the time to find out by themselves, and whoever waits
    /// to be started need not wait long.
    fn supplied_again(&mut self, index: u32, canary_after: Span) {
        let now = self.now;
        if let Some(hold) = self.group_mut(index).and_then(|group| group.hold.as_mut()) {
            hold.canary_at = hold.canary_at.max(now + canary_after);
            self.keep_group(index);
        }
        let members = self.state.group(index).map_or(0, Group::size);
        for member in 0..members {
            let id = MemberId {
                group: index,
                member,
            };
            let waits = (self.state.member(id))
                .is_some_and(|member| member.ledger.not_before > now + SPREAD);
            if waits {
                let soon = now + Span(self.state.chance.draw() % SPREAD.0);
                self.change(id, |member| {
                    member.ledger.wait_began = now;
                    member.ledger.not_before = soon;
                });
                let reopens = self.reopens(id);
                self.set_look(id, reopens);
            }
        }
        self.again.insert(index);
    }

    /// A maintenance window begins, changes or ends.
    pub(super) fn maintenance(&mut self, index: u32, window: Option<Window>) {
        let now = self.now;
        let Some(group) = self.group_mut(index) else {
            return;
        };
        let was = std::mem::replace(&mut group.maintenance, window);
        let open = |window: &Option<Window>| window.as_ref().is_some_and(|it| it.until > now);
        let is = group.maintenance.clone();
        let from = was.as_ref().map_or("auto", |_| "maintenance");
        match (&was, &is) {
            (Some(was), Some(window)) if was.name == window.name => {}
            (_, Some(window)) if window.until > now => {
                let left = window.until.since(now);
                let mut why = format!("`{}` for {left}", window.name);
                if let Some(reason) = &window.reason {
                    why.push_str(": ");
                    why.push_str(reason);
                }
                self.group_changed(index, "maintenance", from, "maintenance", &why);
            }
            (Some(_), None) => self.maintenance_ended(index),
            _ => {}
        }
        // It may end before the time that was said, when the configuration is another one.
        let over = open(&was) && is.is_none();
        let members = (self.state.group(index).filter(|_| over)).map_or(0, Group::size);
        for member in 0..members {
            let id = MemberId {
                group: index,
                member,
            };
            let refusal = self.state.member(id).and_then(|member| member.refusal);
            if refusal.is_some_and(|refusal| refusal.closed.contains(GateName::Control)) {
                self.wait(id);
            }
        }
        self.again.insert(index);
    }

    fn maintenance_ended(&mut self, index: u32) {
        self.group_changed(index, "maintenance", "maintenance", "auto", "it is over");
    }

    /// A window of the daemon before of which nobody said that it is still open.
    pub(super) fn resume_maintenance(&mut self, index: u32) {
        let now = self.now;
        let Some(group) = self.group_mut(index) else {
            return;
        };
        if group.maintenance.take_if(|it| it.until <= now).is_some() {
            self.maintenance_ended(index);
        }
    }

    pub(super) fn group_changed(
        &mut self,
        group: u32,
        axis: &'static str,
        from: &'static str,
        to: &'static str,
        why: &str,
    ) {
        let (at, why) = (self.now, why.to_owned());
        let entry = Entry::Group {
            group,
            at,
            axis,
            from,
            to,
            why,
        };
        self.out.push(Effect::Record(entry));
        self.keep_group(group);
    }

    pub(super) fn keep_group(&mut self, index: u32) {
        if let Some(kept) = self.state.keep_group(self.plan, index, self.now) {
            self.out.push(Effect::Keep(Kept::Group(kept)));
        }
    }

    pub(super) fn group_mut(&mut self, index: u32) -> Option<&mut Group> {
        self.state.groups.get_mut(index as usize)
    }
}

/// Suspect or failed, alive, and not given up. Whoever has not been healthy yet in this life is not
/// suspect: it may still be starting.
fn in_trouble(plan: &GroupPlan, group: &Group, member: &Member) -> bool {
    if member.life.up_since().is_none() || member.ledger.given_up.is_some() {
        return false;
    }
    match member.health {
        Health::Failed { .. } => true,
        Health::Healthy { .. } => judge::latest(plan, group, member) == Status::Fail,
        Health::Unproven => false,
    }
}

/// Which groups need the same, and which of them failed last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Suppliers {
    /// For each group the sets that it is in.
    sets: Vec<Vec<u32>>,
    /// For each set who failed last.
    last: Vec<Option<(Instant, u32)>>,
    /// By what others depend on: for each group those that do.
    dependents: std::collections::BTreeMap<u32, Vec<u32>>,
}

impl Suppliers {
    /// Two groups need the same when both depend on one group, or both ask the same of the same kind
    /// in a check of scope `dependency`.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut numbers = std::collections::BTreeMap::new();
        let mut sets = Vec::new();
        for group in &plan.groups {
            let on = group
                .depends_on
                .iter()
                .map(|index| format!("group {index}"));
            let checks = (group.checks.iter()).filter(|check| check.scope == Scope::Dependency);
            let checks = checks.map(|check| {
                let options = serde_json::Value::Object(check.options.clone());
                format!("{} {options}", check.kind)
            });
            let mut mine: Vec<u32> = Vec::new();
            for key in on.chain(checks) {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                mine.push(*numbers.entry(key).or_insert(next));
            }
            sets.push(mine);
        }
        let last = vec![None; numbers.len()];
        let mut dependents = std::collections::BTreeMap::<u32, Vec<u32>>::new();
        for (index, group) in (0u32..).zip(&plan.groups) {
            for on in &group.depends_on {
                dependents.entry(*on).or_default().push(index);
            }
        }
        Self {
            sets,
            last,
            dependents,
        }
    }

    /// The groups that depend on this one.
    pub(super) fn dependents(&self, group: u32) -> &[u32] {
        self.dependents.get(&group).map_or(&[], Vec::as_slice)
    }

    /// What of it bears on what comes.
    pub(crate) fn likeness(&self, to: &mut Likeness) {
        let Self {
            sets: _,
            last,
            dependents: _,
        } = self;
        for last in last {
            to.is(last.map(|(_, group)| group));
            to.maybe(last.map(|(at, _)| at), hold::SHARED);
        }
    }

    fn of(&self, group: u32) -> &[u32] {
        self.sets.get(group as usize).map_or(&[], Vec::as_slice)
    }

    /// Group `group` of `set` fails at `now`. Which other one just did too?
    fn failed(&mut self, set: u32, group: u32, now: Instant) -> Option<u32> {
        let last = self.last.get_mut(set as usize)?;
        let (at, other) = last.replace((now, group))?;
        (other != group && now.since(at) <= hold::SHARED).then_some(other)
    }
}
