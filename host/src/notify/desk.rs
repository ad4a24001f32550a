//! One sink's desk: what waits on it, what it was told, and when it is looked at next.

use std::collections::{BTreeMap, VecDeque};

use checkd_core::Instant;
use checkd_core::plan::{SinkPlan, Target};

use super::book::Waiting;
use super::news::News;
use super::pace::Pace;

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) plan: SinkPlan,
    pub(super) queue: VecDeque<(Instant, Waiting)>,
    pub(super) bytes: usize,
    /// By whom it is about, and the event.
    pub(super) told: BTreeMap<(String, String), News>,
    pub(super) pace: Pace,
    pub(super) dropped: u64,
    pub(super) resend_at: Option<Instant>,
}

impl Desk {
    pub(super) fn new(plan: SinkPlan) -> Self {
        Self {
            plan,
            queue: VecDeque::new(),
            bytes: 0,
            told: BTreeMap::new(),
            pace: Pace::default(),
            dropped: 0,
            resend_at: None,
        }
    }

    pub(super) fn repeats(&self) -> bool {
        matches!(self.plan.target, Target::Alertmanager(_))
    }

    pub(super) fn wants(&self, news: &News) -> bool {
        let of_its_groups = match (&self.plan.groups, &news.group) {
            (Some(groups), Some(group)) => groups.iter().any(|one| one.as_str() == group),
            _ => true,
        };
        of_its_groups && self.plan.events.contains(&news.event)
    }

    pub(super) fn put(&mut self, now: Instant, waiting: Waiting) {
        self.bytes += waiting.news.size();
        self.queue.push_back((now, waiting));
    }

    pub(super) fn pop(&mut self) -> Option<i64> {
        let (_, waiting) = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(waiting.news.size());
        Some(waiting.id)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let message = self
            .queue
            .front()
            .and_then(|(since, _)| self.pace.due(&self.plan, *since));
        let again = self.resend_at.filter(|_| !self.told.is_empty());
        let again = again.and_then(|at| self.pace.again(at));
        match (message, again) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }
}
