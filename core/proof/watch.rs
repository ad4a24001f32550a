//! The invariants of docs/policy.md, judged on what really was done and seen, and not on what the
//! engine counts.

mod acts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checkd_core::engine::{Act, Engine};
use checkd_core::id::IncidentId;
use checkd_core::journal::{Entry, Outcome};
use checkd_core::plan::Plan;
use checkd_core::policy::Motive;
use checkd_core::{Instant, IntentId, LeafId, MemberId, Process, Sample, Span, Status};

/// An invariant that does not hold, with what shows it.
pub(crate) type Broken = String;

/// An intent that was recorded and has no outcome.
#[derive(Clone, Debug)]
struct Open {
    member: MemberId,
    act: Act,
    motive: Motive,
    at: Instant,
    incident: Option<IncidentId>,
}

/// What the entries said; it is lost with them.
#[derive(Clone, Debug, Default)]
struct Book {
    open: BTreeMap<IntentId, Open>,
    /// Intents with an outcome.
    ended: BTreeMap<IntentId, Outcome>,
    /// Which groups are held, since when, and how long a canary was to wait then.
    held: BTreeMap<u32, (Instant, Span)>,
    /// In which incident of a member a signal was last in vain.
    in_vain: BTreeMap<MemberId, Option<IncidentId>>,
}

/// What a leaf really said of one life.
#[derive(Clone, Debug, Default)]
struct Said {
    fails: u32,
    last: Option<(Instant, Status)>,
    /// Whom its newest Fail blames.
    blamed: Option<Arc<[Process]>>,
}

/// Looks at everything that happens.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    book: Book,
    durable: Book,
    stored: BTreeSet<IntentId>,
    refused: BTreeSet<IntentId>,
    /// Intents whose acts somebody began to carry out.
    begun: BTreeSet<IntentId>,
    /// Whose act is being carried out.
    acting: BTreeMap<MemberId, IntentId>,
    said: BTreeMap<LeafId, Said>,
    /// Until when a group is left alone.
    alone: BTreeMap<u32, Instant>,
    kills: BTreeMap<MemberId, Vec<Instant>>,
    starts: BTreeMap<MemberId, Vec<Instant>>,
    /// When the daemon last began.
    began: Instant,
    /// When the plan was last changed: thresholds and waits may be of the one before.
    reloaded: Option<Instant>,
    motive: Motive,
    /// What happened that an exploration is for, as words: gates that held somebody up, holds, …
    pub(crate) met: BTreeSet<&'static str>,
    /// How often each invariant was looked at: I1 to I10, from 0.
    pub(crate) looked: [u64; 10],
}

impl Watch {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            book: Book::default(),
            durable: Book::default(),
            stored: BTreeSet::new(),
            refused: BTreeSet::new(),
            begun: BTreeSet::new(),
            acting: BTreeMap::new(),
            said: BTreeMap::new(),
            alone: BTreeMap::new(),
            kills: BTreeMap::new(),
            starts: BTreeMap::new(),
            began,
            reloaded: None,
            motive: Motive::Begin,
            met: BTreeSet::new(),
            looked: [0; 10],
        }
    }

    pub(crate) fn look(&mut self, number: usize) {
        if let Some(count) = self.looked.get_mut(number - 1) {
            *count += 1;
        }
    }

    /// The highest intent that the journal may know.
    pub(crate) fn last_intent(&self) -> IntentId {
        let open = self.book.open.keys().next_back();
        let ended = self.book.ended.keys().next_back();
        let last = self.stored.last().max(open).max(ended);
        last.copied().unwrap_or(IntentId(0))
    }

    /// Intents that the journal holds without an outcome, and whether they were begun.
    pub(crate) fn open(&self) -> BTreeMap<IntentId, bool> {
        let open = self.book.open.keys();
        let open = open.filter(|intent| !self.refused.contains(intent));
        // The manager knows what it began, and a signal is not its.
        let known = |intent: &IntentId| {
            let signal = (self.book.open.get(intent))
                .is_some_and(|open| matches!(open.act, Act::Signal { .. }));
            !signal && self.begun.contains(intent)
        };
        open.map(|intent| (*intent, known(intent))).collect()
    }

    pub(crate) fn crashed(&mut self, lossy: bool, now: Instant) {
        if lossy {
            self.book = self.durable.clone();
        }
        // What the journal refused it holds nowhere.
        for book in [&mut self.book, &mut self.durable] {
            book.open.retain(|intent, _| !self.refused.contains(intent));
        }
        // Numbers that the journal never held are given again.
        let last = self.last_intent();
        self.refused.retain(|intent| *intent <= last);
        self.began = now;
        // Who waited for the end of its processes is gone.
        let signal = |intent: &IntentId| {
            let open = self.book.open.get(intent);
            open.is_none_or(|open| matches!(open.act, Act::Signal { .. }))
        };
        self.acting.retain(|_, intent| !signal(intent));
        // The host tells the new daemon; here nobody does.
        self.alone.clear();
    }

    /// The plan is another one: members are known by their names.
    pub(crate) fn reload(&mut self, from: &Plan, to: &Plan, now: Instant) {
        self.reloaded = Some(now);
        let id = |id: MemberId| {
            to.find(
                from.group(id.group)?.name.as_str(),
                from.member(id)?.name.as_str(),
            )
        };
        self.acting = rename(&mut self.acting, id);
        self.kills = rename(&mut self.kills, id);
        self.starts = rename(&mut self.starts, id);
        self.said.clear();
        self.alone.clear();
        for book in [&mut self.book, &mut self.durable] {
            let held = std::mem::take(&mut book.held).into_iter();
            book.held = held
                .filter_map(|(group, held)| {
                    let name = from.group(group)?.name.as_str();
                    Some((to.find_group(name)?.0, held))
                })
                .collect();
            book.open.retain(|_, open| match id(open.member) {
                Some(new) => {
                    open.member = new;
                    open.act = match open.act.clone() {
                        Act::Signal {
                            generation,
                            processes,
                            evidence,
                            ..
                        } => Act::Signal {
                            member: new,
                            generation,
                            processes,
                            evidence,
                        },
                        Act::Start { .. } => Act::Start { member: new },
                        Act::Restart {
                            generation,
                            evidence,
                            ..
                        } => Act::Restart {
                            member: new,
                            generation,
                            evidence,
                        },
                        Act::Stop { generation, .. } => Act::Stop {
                            member: new,
                            generation,
                        },
                    };
                    true
                }
                None => false,
            });
        }
    }

    pub(crate) fn leave_alone(&mut self, group: u32, until: Instant) {
        self.alone.insert(group, until);
    }

    pub(crate) fn stored(&mut self, intent: IntentId) {
        self.stored.insert(intent);
        self.durable = self.book.clone();
    }

    pub(crate) fn refuse(&mut self, intent: IntentId) {
        self.refused.insert(intent);
    }

    /// A sample reached the engine.
    pub(crate) fn sample(&mut self, leaf: LeafId, sample: &Sample, now: Instant) {
        if sample.status == Status::Unknown {
            return;
        }
        let said = self.said.entry(leaf).or_default();
        said.fails += u32::from(sample.status == Status::Fail);
        said.last = Some((now, sample.status));
        if sample.status == Status::Fail {
            said.blamed = sample.blamed();
        }
    }

    /// A new life begins: nothing was said about it, and what began it is done but for the word.
    pub(crate) fn lives(&mut self, member: MemberId) {
        self.acting.remove(&member);
        let own = |leaf: &LeafId| (leaf.group, leaf.member) == (member.group, Some(member.member));
        self.said.retain(|leaf, _| !own(leaf));
    }

    pub(crate) fn reset(&mut self, member: MemberId) {
        self.kills.remove(&member);
        self.book.in_vain.remove(&member);
        self.starts.remove(&member);
    }

    /// The manager is done with an act.
    pub(crate) fn done(&mut self, intent: IntentId) {
        self.acting.retain(|_, of| *of != intent);
    }

    /// The engine recorded something.
    pub(crate) fn entry(&mut self, plan: &Plan, entry: &Entry, now: Instant) -> Result<(), Broken> {
        match entry {
            Entry::Decision {
                member,
                explanation,
                intent: Some(intent),
                ..
            } => {
                self.motive = explanation.motive;
                self.look(4);
                let closed = explanation.readings.iter().find(|reading| !reading.open);
                if let Some(closed) = closed {
                    return Err(format!(
                        "I4: {intent:?} with the gate {} closed",
                        closed.gate
                    ));
                }
                if self.motive == Motive::Sick && explanation.verdict != Status::Fail {
                    return Err(format!("I4: {member:?} while {:?}", explanation.verdict));
                }
            }
            Entry::Intent {
                intent,
                act,
                incident,
                ..
            } => {
                let open = Open {
                    member: member_of(act),
                    act: act.clone(),
                    motive: self.motive,
                    at: now,
                    incident: *incident,
                };
                let signal = matches!(act, Act::Signal { .. });
                if signal && self.book.in_vain.get(&open.member) == Some(incident) {
                    return Err(format!(
                        "the ladder: {intent:?} is a signal, and one was in vain in {incident:?}"
                    ));
                }
                self.look(1);
                let refused = &self.refused;
                let other = self
                    .book
                    .open
                    .iter()
                    .find(|(other, it)| it.member == open.member && !refused.contains(other));
                if let Some((other, _)) = other {
                    return Err(format!(
                        "I1: {intent:?} beside {other:?} on {:?}",
                        open.member
                    ));
                }
                let group = open.member.group;
                let held = self.book.held.get(&group).filter(|(since, _)| *since < now);
                if self.motive == Motive::Sick && held.is_some() {
                    let mut open = self.book.open.iter();
                    let beside = open.find(|(other, it)| {
                        it.member.group == group && !self.refused.contains(other)
                    });
                    if let Some((other, _)) = beside {
                        return Err(format!("I7: {intent:?} beside {other:?} in a hold"));
                    }
                }
                self.look(5);
                let again = self.book.ended.contains_key(intent) || self.stored.contains(intent);
                if again || self.book.open.insert(*intent, open).is_some() {
                    return Err(format!("I5: {intent:?} twice"));
                }
            }
            Entry::Outcome {
                intent, outcome, ..
            } => {
                self.look(5);
                let Some(open) = self.book.open.remove(intent) else {
                    return Err(format!("I5: an outcome of {intent:?}, which is not open"));
                };
                let signal = matches!(open.act, Act::Signal { .. });
                let begun = self.begun.contains(intent);
                if signal && matches!(outcome, Outcome::Futile | Outcome::Failed) {
                    self.book.in_vain.insert(open.member, open.incident);
                    self.met.insert("signal in vain");
                }
                if signal && *outcome == Outcome::Effective {
                    self.met.insert("signal effective");
                }
                // What a daemon that died saw of a signal nobody knows; it counts no more.
                if *outcome == Outcome::Withdrawn && begun && signal {
                    _ = self.kills.get_mut(&open.member).and_then(Vec::pop);
                } else if *outcome == Outcome::Withdrawn && begun {
                    return Err(format!("I5: {intent:?} was carried out and is withdrawn"));
                }
                let judged = matches!(
                    outcome,
                    Outcome::Effective | Outcome::Futile | Outcome::Unproven
                );
                if judged && !self.begun.contains(intent) {
                    return Err(format!(
                        "I5: {intent:?} was not carried out and is {outcome:?}"
                    ));
                }
                self.book.ended.insert(*intent, *outcome);
            }
            Entry::Group { group, to, .. } => {
                self.met.insert(to);
                let wait = plan
                    .group(*group)
                    .map_or(Span::ZERO, |group| group.policy.canary_after);
                match *to {
                    "held" => {
                        self.book.held.insert(*group, (now, wait));
                    }
                    "free" => drop(self.book.held.remove(group)),
                    _ => {}
                }
            }
            Entry::Transition { to, .. } => drop(self.met.insert(to)),
            Entry::Decision { explanation, .. } => {
                let closed = (explanation.readings.iter()).filter(|reading| !reading.open);
                self.met.extend(closed.map(|reading| reading.gate.as_str()));
            }
            Entry::Run { .. } | Entry::Steady { .. } | Entry::Operator { .. } => {}
        }
        Ok(())
    }

    /// Everything is over: no act is without its outcome.
    pub(crate) fn over(&mut self, engine: &Engine) -> Result<(), Broken> {
        self.look(5);
        let attempts = engine.attempts();
        for (intent, open) in &self.book.open {
            if !attempts.contains(intent) && !self.refused.contains(intent) {
                return Err(format!("I5: {intent:?} has no outcome: {open:?}"));
            }
        }
        Ok(())
    }
}

pub(crate) fn member_of(act: &Act) -> MemberId {
    act.member()
}

/// The same by other names.
pub(crate) fn rename<T>(
    map: &mut BTreeMap<MemberId, T>,
    name: impl Fn(MemberId) -> Option<MemberId>,
) -> BTreeMap<MemberId, T> {
    let old = std::mem::take(map).into_iter();
    old.filter_map(|(id, value)| Some((name(id)?, value)))
        .collect()
}
