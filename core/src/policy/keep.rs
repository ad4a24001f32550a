//! What outlives an engine: by names, so that it fits a plan that was changed meanwhile.
//!
//! Two lives end in this file and begin again from it: a daemon that was killed or upgraded, and a
//! configuration that was reloaded. A member is known by its path, a leaf by its check's name and by
//! what it checks: a leaf whose check was changed begins anew, every other one keeps its counters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Motive;
use super::hold::Hold;
use super::leaf::Leaf;
use super::prints;
use super::state::{Asked, Attempt, Control, Health, Ledger, Life, Member, Phase, State, Wanted};
use super::together::Together;
use crate::event::{Exit, Window};
use crate::id::IncidentId;
use crate::plan::{GroupPlan, Plan};
use crate::{CheckName, Generation, Instant, IntentId, MemberId, Span};

/// A daemon that was away for longer does not know what happened meanwhile: streaks begin anew
/// (policy.md section 6).
pub const GAP: Span = Span::mins(15);

/// What is kept of one member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptMember {
    /// `web/web-1`.
    pub path: String,
    /// When this was so.
    pub at: Instant,
    /// The process it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Fingerprint of what it was started with.
    launched: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    wanted: Wanted,
    life: Life,
    health: Health,
    ready: bool,
    /// By check name: the fingerprint of the check, and its leaf.
    #[serde(with = "by_name")]
    leaves: Vec<(CheckName, (u64, Leaf))>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<Attempt>,
    ledger: Ledger,
    control: Control,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incident: Option<IncidentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_exit: Option<Exit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cannot_start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blind_told: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped_together: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
}

/// What is kept of a group: that it is held or in maintenance, and what was tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptGroup {
    /// Its name.
    pub group: String,
    /// When this was so.
    pub at: Instant,
    hold: Option<Hold>,
    #[serde(default)]
    together: Option<Together>,
    #[serde(default)]
    together_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    together_why: String,
    supplied: bool,
    /// The maintenance window that the journal says it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maintenance: Option<String>,
}

/// What must outlive the daemon of one member or of one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    /// Of a member.
    Member(Box<KeptMember>),
    /// Of a group.
    Group(KeptGroup),
}

/// A list of pairs as a map.
mod by_name {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{CheckName, Leaf};

    type Leaves = Vec<(CheckName, (u64, Leaf))>;

    pub(super) fn serialize<S: Serializer>(leaves: &Leaves, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(leaves.iter().map(|(name, leaf)| (name, leaf)))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Leaves, D::Error> {
        let map = BTreeMap::<CheckName, (u64, Leaf)>::deserialize(from)?;
        Ok(map.into_iter().collect())
    }
}

impl Kept {
    /// By what it is known: `web/web-1`, or `web`.
    pub fn path(&self) -> &str {
        match self {
            Self::Member(kept) => &kept.path,
            Self::Group(kept) => &kept.group,
        }
    }

    /// When this was so.
    pub const fn at(&self) -> Instant {
        match self {
            Self::Member(kept) => kept.at,
            Self::Group(kept) => kept.at,
        }
    }

    /// What is kept of a member, when it is of one.
    pub const fn member(&self) -> Option<&KeptMember> {
        match self {
            Self::Member(kept) => Some(kept),
            Self::Group(_) => None,
        }
    }
}

/// What lies between two engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Between {
    /// The daemon ended and another began, on the same boot.
    ///
    /// `open` are the intents that the journal holds without an outcome, and whether their acts were
    /// begun: what was not begun is decided anew on fresh evidence, what was begun is carried on.
    SameBoot {
        /// Intent, and whether somebody began to carry it out.
        open: BTreeMap<IntentId, bool>,
    },
    /// The machine was started again: no process of then lives, and instants of then mean nothing.
    Reboot {
        /// Wall time from what was kept until now; a pause goes on through a reboot.
        away: Span,
    },
    /// Nothing: the same daemon took a new configuration.
    Reload,
}

impl KeptMember {
    /// The same member after it was stopped in good order because the daemon ends: the next daemon
    /// starts it, and has no death to wonder about.
    #[must_use]
    pub fn stopped(self) -> Self {
        Self {
            generation: None,
            life: Life::Stopped,
            health: Health::Unproven,
            ready: false,
            leaves: Vec::new(),
            attempt: None,
            asked: None,
            incident: None,
            trouble: None,
            stopped_together: None,
            ..self
        }
    }
}

impl State {
    /// What must be kept of one member.
    pub(crate) fn keep(&self, plan: &Plan, id: MemberId, now: Instant) -> Option<KeptMember> {
        let group_plan = plan.group(id.group)?;
        let member = self.member(id)?;
        let prints = self.prints.checks(id.group);
        let leaves = (group_plan.checks.iter().zip(prints))
            .zip(&member.leaves)
            .filter_map(|((check, print), leaf)| {
                Some((check.name.clone(), (*print, leaf.clone()?)))
            });
        Some(KeptMember {
            path: plan.path(id),
            at: now,
            generation: member.generation,
            launched: member.launched,
            port: member.port,
            wanted: member.wanted,
            life: member.life,
            health: member.health.clone(),
            ready: member.ready,
            leaves: leaves.collect(),
            attempt: member.attempt.clone(),
            ledger: member.ledger.clone(),
            control: member.control.clone(),
            asked: member.asked.clone(),
            incident: member.incident,
            last_exit: member.last_exit,
            cannot_start: member.cannot_start.clone(),
            trouble: member.trouble,
            blind_told: member.blind_told,
            stopped_together: member.stopped_together,
            stopped_by: member.stopped_by.clone(),
        })
    }

    /// What must be kept of one group.
    pub(crate) fn keep_group(&self, plan: &Plan, index: u32, now: Instant) -> Option<KeptGroup> {
        let group = self.group(index)?;
        Some(KeptGroup {
            group: plan.group(index)?.name.as_str().to_owned(),
            at: now,
            hold: group.hold.clone(),
            together: group.together.clone(),
            together_at: group.together_at,
            together_why: group.together_why.clone(),
            supplied: group.supplied,
            maintenance: group.maintenance.as_ref().map(|window| window.name.clone()),
        })
    }

    /// Puts back what was kept, before the first `Wake`.
    ///
    /// Except for a reload, the caller then says of each member that had a process whether it still
    /// lives: `Started` with `adopted`, or `Exited`.
    pub(crate) fn restore(&mut self, plan: &Plan, kept: &[Kept], between: &Between, now: Instant) {
        let by_path: BTreeMap<&str, &Kept> = kept.iter().map(|kept| (kept.path(), kept)).collect();
        if let Between::SameBoot { .. } = between {
            self.away_since = kept.iter().map(Kept::at).max();
        }
        let rebooted = matches!(between, Between::Reboot { .. });
        for (group_plan, group) in plan.groups.iter().zip(&mut self.groups) {
            let Some(Kept::Group(kept)) = by_path.get(group_plan.name.as_str()) else {
                continue;
            };
            // Whoever keeps the calendar says how long it is open yet; until then it is over.
            group.maintenance = kept.maintenance.clone().map(|name| Window {
                name,
                reason: None,
                until: now,
            });
            if !rebooted {
                group.hold.clone_from(&kept.hold);
                group.together = kept.together.clone().and_then(|together| {
                    together.under(group_plan.policy.strategy, group_plan.members.len())
                });
                group.together_at = kept.together_at;
                group.together_why.clone_from(&kept.together_why);
                group.supplied = kept.supplied;
            }
        }
        for id in plan.members() {
            let path = plan.path(id);
            let (Some(group_plan), Some(Kept::Member(kept))) =
                (plan.group(id.group), by_path.get(path.as_str()))
            else {
                continue;
            };
            let Some(group) = self.groups.get_mut(id.group as usize) else {
                continue;
            };
            let Some(member) = group.members.get_mut(id.member as usize) else {
                continue;
            };
            match between {
                Between::SameBoot { open } => {
                    put_back(member, group_plan, kept, now);
                    resume(member, kept, open, now);
                }
                Between::Reload => {
                    put_back(member, group_plan, kept, now);
                    member.attempt.clone_from(&kept.attempt);
                }
                // A pause was given a time, and holds through it. A stop by hand holds until somebody
                // says otherwise: whoever stopped it because its data are broken relies on that.
                Between::Reboot { away } => {
                    member.control = after_reboot(kept, *away, now);
                    member.stopped_by.clone_from(&kept.stopped_by);
                    if kept.stopped_by.is_some() {
                        member.wanted = Wanted::Down;
                    }
                }
            }
            if let Some(attempt) = &member.attempt {
                self.intents.insert(attempt.intent, id);
                let pool = match attempt.motive {
                    Motive::Sick => Some(&mut self.host.restarts),
                    Motive::Dead => Some(&mut self.host.starts),
                    Motive::Begin | Motive::Together | Motive::ByHand { .. } => None,
                };
                if let Some(pool) = pool.filter(|_| attempt.phase != Phase::Confirming) {
                    pool.acting.insert(attempt.intent);
                }
            }
            if let Some(incident) = member.incident {
                self.next_incident = self.next_incident.max(IncidentId(incident.0 + 1));
            }
        }
        for group in &mut self.groups {
            group.recount();
            for (index, member) in (0u32..).zip(&group.members) {
                if let Some(since) = member.trouble {
                    group.troubles.begin(index, since);
                }
            }
        }
    }

    /// What belongs to the daemon and not to a member goes on through a reload.
    pub(crate) fn go_on_from(&mut self, old: &mut Self) {
        self.reloaded = true;
        self.chance = old.chance.clone();
        self.refused = old.refused.take();
        self.host.go_on_from(std::mem::take(&mut old.host));
        self.stall_told = old.stall_told;
        self.unanswered = std::mem::take(&mut old.unanswered);
        self.next_incident = self.next_incident.max(old.next_incident);
    }

    /// Puts back what the groups of a reloaded configuration have as a whole: the shared leaves whose
    /// checks are the same, and the window that they are in. Whoever keeps the calendar tells its end.
    pub(crate) fn take_shared(&mut self, plan: &Plan, old: &mut Self, old_plan: &Plan) {
        let mut before: BTreeMap<&str, _> = (old_plan.groups.iter().zip(&mut old.groups))
            .map(|(plan, group)| (plan.name.as_str(), (plan, group)))
            .collect();
        for (group_plan, group) in plan.groups.iter().zip(&mut self.groups) {
            let Some((was_plan, was)) = before.remove(group_plan.name.as_str()) else {
                continue;
            };
            group.maintenance = was.maintenance.take();
            for (check, leaf) in group_plan.checks.iter().zip(&mut group.shared) {
                let same = was_plan
                    .checks
                    .iter()
                    .zip(&mut was.shared)
                    .find(|(old, _)| {
                        old.name == check.name && prints::of_check(old) == prints::of_check(check)
                    });
                if let (Some(leaf), Some((_, Some(before)))) = (leaf.as_mut(), same) {
                    *leaf = std::mem::take(before);
                }
            }
        }
    }
}

fn put_back(member: &mut Member, group_plan: &GroupPlan, kept: &KeptMember, now: Instant) {
    let recent = now.since(kept.at) <= GAP;
    member.generation = kept.generation;
    member.launched = kept.launched;
    member.port = kept.port;
    member.wanted = kept.wanted;
    member.life = kept.life;
    member.ready = kept.ready && recent;
    member.ledger = kept.ledger.copied();
    member.control = kept.control.clone();
    member.asked.clone_from(&kept.asked);
    member.incident = kept.incident;
    member.last_exit = kept.last_exit;
    member.cannot_start.clone_from(&kept.cannot_start);
    member.trouble = kept.trouble;
    member.blind_told = kept.blind_told;
    member.stopped_together = kept.stopped_together;
    member.stopped_by.clone_from(&kept.stopped_by);
    let mut all_kept = true;
    for (check, leaf) in group_plan.checks.iter().zip(&mut member.leaves) {
        let mut leaves = kept.leaves.iter();
        let before = (leaves.find(|(name, _)| *name == check.name)).map(|(_, leaf)| leaf);
        let same = before.filter(|(print, _)| recent && *print == prints::of_check(check));
        match (leaf, same) {
            (Some(leaf), Some((_, before))) => *leaf = before.clone(),
            (Some(_), None) => all_kept = false,
            (None, _) => {}
        }
    }
    // Health stands on the leaves: with new ones a failed member has to fail again.
    member.health = match &kept.health {
        Health::Failed { .. } if !all_kept => Health::Unproven,
        Health::Unproven | Health::Healthy { .. } | Health::Failed { .. } => kept.health.clone(),
    };
}

/// An attempt of the daemon before: over, carried on, or (in phase `Storing`, where no answer will
/// come any more) withdrawn at the first wake-up.
fn resume(member: &mut Member, kept: &KeptMember, open: &BTreeMap<IntentId, bool>, now: Instant) {
    let open = |attempt: &Attempt| open.get(&attempt.intent).copied();
    let Some((attempt, begun)) = kept.attempt.as_ref().and_then(|a| Some((a, open(a)?))) else {
        member.attempt = None;
        return;
    };
    member.attempt = Some(attempt.clone());
    match attempt.phase {
        // That it was let go, and with that its count, had not reached the disk.
        Phase::Storing if begun => member.let_go(now),
        Phase::Acting if !begun => member.take_back(now),
        Phase::Storing | Phase::Acting | Phase::Confirming => {}
    }
}

fn after_reboot(kept: &KeptMember, away: Span, now: Instant) -> Control {
    match &kept.control {
        Control::Auto => Control::Auto,
        Control::Paused {
            until, by, reason, ..
        } => Control::Paused {
            since: now,
            until: now + (until.since(kept.at) - away),
            by: by.clone(),
            reason: reason.clone(),
        },
    }
}

#[cfg(test)]
mod tests;
