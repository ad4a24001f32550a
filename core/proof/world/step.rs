//! Going step by step: what may come next, and when two worlds are as good as the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use checkd_core::engine::Event;
use checkd_core::policy::keep::GAP;
use checkd_core::{LeafId, MemberId, Span, Status};

use super::World;
use crate::proof::blow::{Blow, Verb};
use crate::proof::watch::Broken;

/// Nothing is decided for so long: nothing will be, before something else happens.
const QUIET: Span = Span::mins(20);

impl World {
    /// Whether a blow would change anything that is not the engine's to say.
    pub(crate) fn can(&self, blow: &Blow) -> bool {
        let id = MemberId {
            group: blow.group,
            member: blow.member,
        };
        match blow.verb {
            Verb::Comes | Verb::Balks | Verb::Goes => {
                self.queue.values().any(|item| item.member == Some(id))
            }
            Verb::Dies => self.running(id).is_some(),
            Verb::Passes | Verb::Fails | Verb::Unknown => {
                let checks = self.plan.group(blow.group).map_or(1, |it| it.checks.len());
                let check =
                    u32::try_from(blow.number).unwrap_or(0) % u32::try_from(checks).unwrap_or(1);
                let own = LeafId {
                    group: blow.group,
                    check,
                    member: Some(blow.member),
                };
                let says = |leaf| self.says.get(&leaf).map_or(Status::Pass, |says| says.0);
                let shared = LeafId {
                    member: None,
                    ..own
                };
                let is = if self
                    .plan
                    .check(own)
                    .is_some_and(|it| it.scope != checkd_core::plan::Scope::Process)
                {
                    says(shared)
                } else {
                    says(own)
                };
                let to = match blow.verb {
                    Verb::Passes => Status::Pass,
                    Verb::Fails => Status::Fail,
                    _ => Status::Unknown,
                };
                is != to
            }
            Verb::Sticks => {
                let truth = self.truth.get(&id);
                self.running(id).is_some() && truth.is_none_or(|truth| truth.stuck.is_empty())
            }
            Verb::Wakes | Verb::Waits => self.wake_at.is_some(),
            _ => true,
        }
    }

    /// Checks answer at once.
    pub(super) fn answers(&mut self) -> Result<(), Broken> {
        loop {
            let sample = |event: &Event| matches!(event, Event::Sample { .. });
            let next = self.queue.iter().find(|(_, item)| sample(&item.event));
            let Some(key) = next.map(|(key, _)| *key) else {
                return Ok(());
            };
            if let Some(item) = self.queue.remove(&key) {
                self.arrive(&item.event)?;
            }
        }
    }

    /// Time goes to the next wake-up.
    pub(super) fn wakes(&mut self) -> Result<(), Broken> {
        if let Some(at) = self.wake_at.take() {
            self.now = self.now.max(at);
            self.event(&Event::Wake)?;
            self.answers()?;
        }
        Ok(())
    }

    /// Time goes on until something is decided.
    pub(super) fn waits(&mut self) -> Result<(), Broken> {
        let (decided, end) = (self.decided, self.now + QUIET);
        while self.decided == decided && self.now < end && self.wake_at.is_some() {
            self.wakes()?;
        }
        Ok(())
    }

    /// What is on its way for the member comes.
    pub(super) fn comes(&mut self, id: MemberId) -> Result<(), Broken> {
        match self.first_of(id) {
            Some(event) => self.arrive(&event),
            None => Ok(()),
        }
    }

    /// All that is on its way for the member comes, and what comes of that.
    pub(super) fn goes(&mut self, id: MemberId) -> Result<(), Broken> {
        while let Some(event) = self.first_of(id) {
            self.arrive(&event)?;
            self.answers()?;
        }
        Ok(())
    }

    /// The journal refuses, or the manager cannot go on.
    pub(super) fn balks(&mut self, id: MemberId) -> Result<(), Broken> {
        let reason = "it cannot be".to_owned();
        let mut first = self.first_of(id);
        while let Some(event) = first {
            match event {
                Event::IntentStored(intent) => {
                    return self.arrive(&Event::IntentRefused { intent, reason });
                }
                Event::Done { intent, .. } => {
                    let result = Err(reason);
                    return self.arrive(&Event::Done { intent, result });
                }
                _ => first = self.first_of(id),
            }
        }
        Ok(())
    }

    fn first_of(&mut self, id: MemberId) -> Option<Event> {
        let mut queue = self.queue.iter();
        let key = *queue.find(|(_, item)| item.member == Some(id))?.0;
        self.queue.remove(&key).map(|item| item.event)
    }

    /// A number of all that bears on what can come. What the watch remembers does not count.
    pub(crate) fn likeness(&self, loses: bool) -> u64 {
        let mut sum = DefaultHasher::new();
        self.engine.likeness(self.now).hash(&mut sum);
        for (id, truth) in &self.truth {
            (id, truth.running.is_some(), &truth.wedged).hash(&mut sum);
            let stuck = truth.stuck.iter().map(|(check, _)| check);
            stuck.collect::<Vec<_>>().hash(&mut sum);
        }
        for (leaf, (status, _)) in &self.says {
            if *status != Status::Pass {
                (leaf, status).hash(&mut sum);
            }
        }
        for id in self.plan.members() {
            for item in self.queue.values().filter(|item| item.member == Some(id)) {
                (id, discriminant(&item.event)).hash(&mut sum);
            }
        }
        let old = |kept: &_| self.now.since(checkd_core::policy::keep::Kept::at(kept)) > GAP;
        for kept in self.kept.values() {
            old(kept).hash(&mut sum);
        }
        if loses {
            self.durable_likeness.hash(&mut sum);
        }
        sum.finish()
    }
}
