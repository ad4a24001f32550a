//! What is judged when an act is carried out: on what evidence, beside whom, how often.

use checkd_core::engine::{Act, Engine};
use checkd_core::plan::{CheckPlan, Plan, Scope};
use checkd_core::policy::Motive;
use checkd_core::{Generation, Instant, IntentId, LeafId, MemberId, Process, Span, Status};

use super::{Broken, Open, Said, Watch, member_of};

impl Watch {
    /// The engine wants an act carried out. False when somebody began to long ago.
    pub(crate) fn act(
        &mut self,
        plan: &Plan,
        engine: &Engine,
        (intent, act): (IntentId, Act),
        running: impl Fn(MemberId) -> Option<Generation>,
        now: Instant,
    ) -> Result<bool, Broken> {
        let member = member_of(&act);
        self.look(5);
        if !self.stored.contains(&intent) {
            return Err(format!("I5: {intent:?} is done and was not stored"));
        }
        let Some(open) = self.book.open.get(&intent).cloned() else {
            return Err(format!("I5: {intent:?} is done and is not open"));
        };
        if bare(open.act.clone()) != bare(act.clone()) {
            return Err(format!("I5: {act:?} is done, {:?} was stored", open.act));
        }
        if !self.begun.insert(intent) {
            return Ok(false);
        }
        self.look(1);
        if let Some(other) = self.acting.insert(member, intent) {
            return Err(format!(
                "I1: {intent:?} while {other:?} is carried out on {member:?}"
            ));
        }
        self.look(3);
        match act {
            Act::Start { .. } => {
                if let Some(generation) = running(member) {
                    return Err(format!(
                        "I3: {member:?} is started and runs: {generation:?}"
                    ));
                }
            }
            Act::Signal { generation, .. }
            | Act::Restart { generation, .. }
            | Act::Stop { generation, .. } => {
                if running(member) != Some(generation) {
                    return Err(format!("I3: {member:?} is not {generation:?}"));
                }
            }
        }
        if let Act::Signal { processes, .. } = &act {
            self.signal(plan, member, processes, now)?;
        }
        match open.motive {
            Motive::Sick => {
                self.not_alone(member, now)?;
                self.budget(plan, engine, member, &running, now)?;
                self.sick(plan, intent, &open, now)?;
            }
            Motive::Dead => {
                self.not_alone(member, now)?;
                self.dead(plan, engine, &open, now)?;
            }
            Motive::Together => {
                self.not_alone(member, now)?;
                // Who was stopped with its group waits for nothing.
                if !matches!(act, Act::Start { .. }) {
                    self.not_settling(plan, intent, &open)?;
                }
                if matches!(act, Act::Restart { .. }) {
                    self.budget(plan, engine, member, &running, now)?;
                }
            }
            Motive::ByHand { now: false } if matches!(act, Act::Restart { .. }) => {
                self.budget(plan, engine, member, &running, now)?;
            }
            Motive::Begin | Motive::ByHand { .. } => {}
        }
        Ok(true)
    }

    /// I3: a signal goes to processes that the newest Fails of this life blame, where that is wanted; and
    /// I7: not in a hold, whose canary is a restart.
    fn signal(
        &mut self,
        plan: &Plan,
        member: MemberId,
        processes: &[Process],
        now: Instant,
    ) -> Result<(), Broken> {
        self.met.insert("signal");
        // What was said before, and what was wanted then, is forgotten here and not by the engine.
        if (self.reloaded).is_some_and(|at| now.since(at) < Span::mins(10)) {
            return Ok(());
        }
        let wanted = plan
            .group(member.group)
            .map(|it| it.policy.signal.is_some());
        if wanted != Some(true) || processes.is_empty() {
            return Err(format!("I3: {member:?} gets a signal unasked"));
        }
        let own = |leaf: &LeafId| (leaf.group, leaf.member) == (member.group, Some(member.member));
        let said = self.said.iter().filter(|(leaf, _)| own(leaf));
        let blamed: Vec<Process> = said
            .flat_map(|(_, said)| said.blamed.iter().flat_map(|it| it.iter().copied()))
            .collect();
        if !processes.iter().all(|it| blamed.contains(it)) {
            return Err(format!(
                "I3: {processes:?} of {member:?} get a signal, {blamed:?} are blamed"
            ));
        }
        let held = self.book.held.get(&member.group);
        if held.is_some_and(|(since, _)| *since < now) {
            return Err(format!("I7: {member:?} gets a signal in a hold"));
        }
        Ok(())
    }

    /// I10: what the daemon before did not begin is not carried on, and a new one waits.
    fn not_settling(&mut self, plan: &Plan, intent: IntentId, open: &Open) -> Result<(), Broken> {
        self.look(10);
        let settle = plan.group(open.member.group).map(|it| it.policy.settle);
        let began = self.began;
        // What was decided before a reload went by the settle time of then.
        let of_then = self.reloaded.is_some_and(|at| open.at <= at);
        if !of_then && settle.is_some_and(|settle| open.at < began + settle) {
            return Err(format!(
                "I10: {intent:?} is decided at {:?}, the daemon began at {began:?}",
                open.at
            ));
        }
        Ok(())
    }

    /// I4: in a maintenance window nothing is done of ourselves.
    fn not_alone(&mut self, member: MemberId, now: Instant) -> Result<(), Broken> {
        self.look(4);
        let alone = self.alone.get(&member.group);
        if alone.is_some_and(|until| now < *until) {
            return Err(format!(
                "I4: {member:?} is acted on, its group is left alone"
            ));
        }
        Ok(())
    }

    /// I2: whatever takes a running process away leaves as many as it must.
    fn budget(
        &mut self,
        plan: &Plan,
        engine: &Engine,
        member: MemberId,
        running: &impl Fn(MemberId) -> Option<Generation>,
        now: Instant,
    ) -> Result<(), Broken> {
        let Some(group) = plan.group(member.group) else {
            return Err(format!("I3: {member:?} is not in the plan"));
        };
        self.look(2);
        let others = (0u32..).take(group.members.len());
        let others = others.map(|other| MemberId {
            member: other,
            ..member
        });
        let out = |other: &MemberId| {
            let begun = self.book.open.iter().any(|(other_intent, it)| {
                it.member == *other && !self.refused.contains(other_intent)
            });
            begun
                || running(*other).is_none()
                    && engine.explain(*other, now).is_some_and(|it| {
                        let paused = it.control.starts_with("paused");
                        it.life == "dead" && it.given_up.is_none() && !paused
                    })
        };
        let out: Vec<MemberId> = others.filter(|it| *it != member).filter(out).collect();
        if out.len() >= group.policy.max_out as usize {
            return Err(format!("I2: {member:?} is killed while {out:?} are out"));
        }
        Ok(())
    }

    fn sick(
        &mut self,
        plan: &Plan,
        intent: IntentId,
        open: &Open,
        now: Instant,
    ) -> Result<(), Broken> {
        self.not_settling(plan, intent, open)?;
        let member = open.member;
        let Some(group) = plan.group(member.group) else {
            return Err(format!("I3: {member:?} is not in the plan"));
        };
        self.evidence(plan, member, now)?;
        self.look(7);
        // The restart that is one too many is carried out, and the hold begins with it.
        let held = self.book.held.get(&member.group).copied();
        if let Some((since, wait)) = held.filter(|(since, _)| *since < now) {
            let beside = self.book.open.iter().find(|(other, it)| {
                **other != intent
                    && it.member.group == member.group
                    && it.motive == Motive::Sick
                    && !self.refused.contains(other)
            });
            if let Some((other, _)) = beside {
                return Err(format!("I7: {intent:?} beside {other:?} in a hold"));
            }
            if now < since + wait && self.reloaded.is_none_or(|at| at < since) {
                return Err(format!("I7: {intent:?} at {now:?}, held since {since:?}"));
            }
        }
        self.look(8);
        let (limit, kills) = (
            group.policy.sick_restarts,
            self.kills.entry(member).or_default(),
        );
        kills.push(now);
        let recent = kills.iter().filter(|at| now.since(**at) < limit.window);
        let recent = recent.count();
        if recent > limit.max as usize {
            return Err(format!(
                "I8: {recent} restarts of {member:?} within {}",
                limit.window
            ));
        }
        Ok(())
    }

    fn dead(
        &mut self,
        plan: &Plan,
        engine: &Engine,
        open: &Open,
        now: Instant,
    ) -> Result<(), Broken> {
        self.look(8);
        let member = open.member;
        let Some(limit) = plan.group(member.group).map(|it| it.policy.dead_starts) else {
            return Ok(());
        };
        let starts = self.starts.entry(member).or_default();
        let last = starts.last().copied();
        starts.push(now);
        let given_up = engine.explain(member, now).and_then(|it| it.given_up);
        if given_up.is_some() {
            // One at each parole, and those are at least five minutes apart.
            return match last {
                Some(last) if now.since(last) < Span::mins(5) => Err(format!(
                    "I8: {member:?} on parole, started at {last:?} and {now:?}"
                )),
                _ => Ok(()),
            };
        }
        // It was decided by the limits of then, and died all the same.
        if self.reloaded.is_some_and(|at| open.at <= at) {
            return Ok(());
        }
        let recent = starts.iter().filter(|at| now.since(**at) < limit.window);
        let recent = recent.count();
        if recent > limit.max as usize {
            return Err(format!(
                "I8: {recent} starts of {member:?} within {}: {starts:?}",
                limit.window
            ));
        }
        Ok(())
    }

    /// I3 and I4: a sick member is killed on Fails that its own life has seen, the newest of them now.
    fn evidence(&mut self, plan: &Plan, member: MemberId, now: Instant) -> Result<(), Broken> {
        let Some(group) = plan.group(member.group) else {
            return Ok(());
        };
        // What was said before is forgotten here, and not by the engine.
        if (self.reloaded).is_some_and(|at| now.since(at) < Span::mins(10)) {
            return Ok(());
        }
        // An expression that turns a pass round has its evidence in passes.
        let turned = ["not", "when"]
            .iter()
            .any(|word| group.live.text.contains(word));
        let mut enough = false;
        for check in group.live.expr.leaves() {
            let Some(check_plan) = group.checks.get(check as usize) else {
                continue;
            };
            let leaf = LeafId {
                group: member.group,
                check,
                member: (check_plan.scope == Scope::Process).then_some(member.member),
            };
            let Some(said) = self.said.get(&leaf) else {
                continue;
            };
            enough |= speaks(check_plan, said, turned || self.reloaded.is_some(), now);
        }
        self.look(3);
        self.look(4);
        if !enough {
            return Err(format!(
                "I4: nothing that {member:?} said speaks for its kill at {now:?}: {:?}",
                self.said
            ));
        }
        Ok(())
    }
}

fn speaks(check: &CheckPlan, said: &Said, turned: bool, now: Instant) -> bool {
    let Some((at, status)) = said.last else {
        return false;
    };
    let needed = check
        .n_of_m
        .map_or(check.fall, |rule| rule.n.min(check.fall));
    let fresh = now.since(at) <= check.interval * 2 + check.timeout;
    fresh && (turned || status == Status::Fail && said.fails >= needed)
}

/// What is done to the member; what is kept of it before that follows from its incident, which a person
/// may end meanwhile.
fn bare(act: Act) -> Act {
    match act {
        Act::Restart {
            member, generation, ..
        } => Act::Restart {
            member,
            generation,
            evidence: None,
        },
        Act::Signal {
            member,
            generation,
            processes,
            ..
        } => Act::Signal {
            member,
            generation,
            processes,
            evidence: None,
        },
        Act::Start { .. } | Act::Stop { .. } => act,
    }
}
