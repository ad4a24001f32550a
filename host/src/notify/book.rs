//! Who is to be told what: each sink's queue, what it was told already, and when its next message is
//! due. No disk, no network and no clock: time is handed in, and what must be stored is handed out.

use std::collections::BTreeSet;

use checkd_core::news::Role;
use checkd_core::plan::SinkPlan;
use checkd_core::report::SinkReport;
use checkd_core::{Instant, Span};
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::news::News;
use super::pace::Failing;

/// So much may wait for one sink, in pieces and in bytes; the oldest goes first.
pub(super) const QUEUE_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;
/// One request to an Alertmanager has at most so many alerts.
const ALERTS_MAX: usize = 500;
/// News without an incident about the same is told again after so long.
const REPEAT: Span = Span::mins(60);
/// Alertmanager forgets an alert that is not repeated.
pub(super) const RESEND: Span = Span::mins(1);
/// What was told and never ended is forgotten after so long.
const TOLD_KEPT_MS: i64 = 30 * 86_400_000;

/// News that waits for a sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Counts up over all sinks.
    pub(crate) id: i64,
    /// What happened.
    pub(crate) news: News,
    /// What it ends, of what this sink was told.
    pub(crate) ends: Vec<News>,
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// This waits for this sink.
    Add(String, Waiting),
    /// What waits for this sink, up to this id, is done with.
    Remove(String, i64),
    /// This sink was told of it.
    Told(String, News),
    /// What this sink was told about this, one event or all, is over.
    Forget(String, String, Option<String>),
    /// There is no such sink any more.
    Gone(String),
}

/// What a person should hear about a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It fails since now.
    Fails {
        sink: String,
        why: String,
        waiting: usize,
    },
    /// It works again.
    Works {
        sink: String,
        since_ms: i64,
        sent: usize,
    },
    /// So much news was dropped: for want of room, or of time.
    Dropped {
        sink: String,
        count: u64,
        why: &'static str,
    },
}

/// What goes out as one message.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// To whom.
    pub(crate) sink: SinkPlan,
    /// The news, oldest first.
    pub(crate) rows: Vec<Waiting>,
    /// So much older news was dropped.
    pub(crate) dropped: u64,
    /// What is wrong now, of what this sink was told.
    pub(crate) firing: Vec<News>,
}

/// All sinks.
#[derive(Debug, Default)]
pub(super) struct Book {
    desks: Vec<Desk>,
    next_id: i64,
    changes: Vec<Change>,
    said: Vec<Said>,
}

impl Book {
    /// What was stored. Whoever is not among `sinks` is forgotten.
    pub(super) fn open(
        sinks: &[SinkPlan],
        waiting: Vec<(String, Waiting)>,
        told: Vec<(String, News)>,
        now: Instant,
        wall_ms: i64,
    ) -> Self {
        let mut book = Self {
            desks: sinks.iter().cloned().map(Desk::new).collect(),
            next_id: waiting.iter().map(|(_, one)| one.id + 1).max().unwrap_or(1),
            ..Self::default()
        };
        let mut gone = BTreeSet::new();
        for (sink, one) in waiting {
            match book.desk(&sink) {
                Some(desk) => desk.put(before(now, wall_ms, one.news.at_ms), one),
                None => drop(gone.insert(sink)),
            }
        }
        for (sink, news) in told {
            match book.desk(&sink) {
                Some(_) if wall_ms - news.at_ms > TOLD_KEPT_MS => {
                    let forget = Change::Forget(sink, news.about(), Some(news.event));
                    book.changes.push(forget);
                }
                Some(desk) => {
                    desk.told.insert((news.about(), news.event.clone()), news);
                    if desk.repeats() {
                        desk.resend_at = Some(now);
                    }
                }
                None => drop(gone.insert(sink)),
            }
        }
        book.changes.extend(gone.into_iter().map(Change::Gone));
        book
    }

    /// Other sinks; those of the same name keep what waits for them. `exists` says whether something
    /// that was told about is there still.
    pub(super) fn reload(&mut self, sinks: &[SinkPlan], exists: impl Fn(&News) -> bool) {
        let mut old = std::mem::take(&mut self.desks);
        for plan in sinks {
            let found = old.iter().position(|desk| desk.plan.name == plan.name);
            let mut desk = match found {
                Some(at) => old.swap_remove(at),
                None => Desk::new(plan.clone()),
            };
            if desk.plan != *plan {
                desk.pace.at_once();
                desk.plan = plan.clone();
            }
            if !desk.repeats() {
                desk.resend_at = None;
            }
            let over: Vec<(String, String)> = desk
                .told
                .iter()
                .filter(|(_, news)| !exists(news))
                .map(|(key, _)| key.clone())
                .collect();
            for key in over {
                desk.told.remove(&key);
                let (about, event) = key;
                self.changes
                    .push(Change::Forget(plan.name.clone(), about, Some(event)));
            }
            self.desks.push(desk);
        }
        self.changes
            .extend(old.into_iter().map(|desk| Change::Gone(desk.plan.name)));
    }

    fn desk(&mut self, name: &str) -> Option<&mut Desk> {
        self.desks.iter_mut().find(|one| one.plan.name == name)
    }

    /// Something happened.
    pub(super) fn take(&mut self, news: &News, now: Instant) {
        let about = news.about();
        for desk in &mut self.desks {
            let sink = &desk.plan.name;
            let mut ends = Vec::new();
            let wanted = desk.wants(news);
            match news.role {
                Role::Step if wanted => {}
                Role::Problem => {
                    // What was told of another incident is over, though nobody saw its end.
                    let stale: Vec<(String, String)> = desk
                        .told
                        .range((about.clone(), String::new())..)
                        .take_while(|((whom, _), _)| *whom == about)
                        .filter(|(_, told)| news.incident.is_some() && told.incident.is_some())
                        .filter(|(_, told)| told.incident != news.incident)
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in stale {
                        desk.told.remove(&key);
                        let forget = Change::Forget(sink.clone(), key.0, Some(key.1));
                        self.changes.push(forget);
                    }
                    let key = (about.clone(), news.event.clone());
                    let again = desk.told.get(&key).is_some_and(|told| {
                        news.incident.is_some()
                            || news.at_ms - told.at_ms < i64::try_from(REPEAT.0).unwrap_or(0)
                    });
                    if !wanted || again {
                        continue;
                    }
                    desk.told.insert(key, news.clone());
                    if desk.repeats() && desk.resend_at.is_none() {
                        desk.resend_at = Some(now + RESEND);
                    }
                    self.changes.push(Change::Told(sink.clone(), news.clone()));
                }
                Role::End => {
                    let over: Vec<(String, String)> = desk
                        .told
                        .range((about.clone(), String::new())..)
                        .take_while(|((whom, _), _)| *whom == about)
                        .map(|(key, _)| key.clone())
                        .collect();
                    ends.extend(over.iter().filter_map(|key| desk.told.remove(key)));
                    if ends.is_empty() {
                        continue;
                    }
                    let forget = Change::Forget(sink.clone(), about.clone(), None);
                    self.changes.push(forget);
                    // An alert must end, whether anybody wants to read of it or not.
                    if !wanted && !desk.repeats() {
                        continue;
                    }
                }
                Role::Step => continue,
            }
            let waiting = Waiting {
                id: self.next_id,
                news: news.clone(),
                ends,
            };
            self.next_id += 1;
            self.changes
                .push(Change::Add(sink.clone(), waiting.clone()));
            desk.put(now, waiting);
            let mut dropped = 0;
            while desk.queue.len() > QUEUE_MAX || desk.bytes > BYTES_MAX {
                let Some(id) = desk.pop() else { break };
                dropped += 1;
                self.changes
                    .push(Change::Remove(desk.plan.name.clone(), id));
            }
            if dropped > 0 {
                if desk.dropped == 0 {
                    self.said.push(Said::Dropped {
                        sink: desk.plan.name.clone(),
                        count: dropped,
                        why: "more waited for it than is kept",
                    });
                }
                desk.dropped += dropped;
            }
        }
    }

    /// News that never arrived here because too much happened at once.
    pub(super) fn lost(&mut self, count: u64) {
        for desk in &mut self.desks {
            desk.dropped += count;
            self.said.push(Said::Dropped {
                sink: desk.plan.name.clone(),
                count,
                why: "too much happened at once",
            });
        }
    }

    /// When something is to be done next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.desks.iter().filter_map(Desk::due).min()
    }

    /// What is to be sent now. With `all` also what would be collected a little longer and was never
    /// tried: the daemon is ending.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<Batch> {
        self.expire(now);
        let mut batches = Vec::new();
        for desk in &mut self.desks {
            let fresh = all
                && !desk.queue.is_empty()
                && !desk.pace.is_sending()
                && desk.pace.failing().is_none();
            if !fresh && desk.due().is_none_or(|at| at > now) {
                continue;
            }
            desk.pace.begin();
            let most = if desk.repeats() {
                ALERTS_MAX
            } else {
                QUEUE_MAX
            };
            let rows = desk.queue.iter().take(most);
            let again = desk.resend_at.is_some_and(|at| at <= now);
            if again {
                desk.resend_at = Some(now + RESEND);
            }
            batches.push(Batch {
                sink: desk.plan.clone(),
                rows: rows.map(|(_, waiting)| waiting.clone()).collect(),
                dropped: desk.dropped,
                firing: if again {
                    desk.told.values().cloned().collect()
                } else {
                    Vec::new()
                },
            });
        }
        batches
    }

    fn expire(&mut self, now: Instant) {
        for desk in &mut self.desks {
            if desk.pace.is_sending() {
                continue;
            }
            let mut count = 0;
            let mut last = None;
            while let Some((since, _)) = desk.queue.front() {
                if now.since(*since) <= desk.plan.retry_for {
                    break;
                }
                last = desk.pop().or(last);
                count += 1;
            }
            if let Some(last) = last {
                desk.dropped += count;
                let sink = desk.plan.name.clone();
                self.changes.push(Change::Remove(sink.clone(), last));
                self.said.push(Said::Dropped {
                    sink,
                    count,
                    why: "it could not be sent for so long as `retry_for` says",
                });
            }
        }
    }

    /// A batch was taken.
    pub(super) fn sent(&mut self, batch: &Batch, now: Instant) {
        let Some(desk) = self
            .desks
            .iter_mut()
            .find(|one| one.plan.name == batch.sink.name)
        else {
            return;
        };
        let before = desk.pace.sent(now);
        desk.dropped = desk.dropped.saturating_sub(batch.dropped);
        if let Some(last) = batch.rows.last() {
            while desk.queue.front().is_some_and(|(_, one)| one.id <= last.id) {
                desk.pop();
            }
            self.changes
                .push(Change::Remove(desk.plan.name.clone(), last.id));
        }
        if let Some(Failing { since_ms, .. }) = before {
            self.said.push(Said::Works {
                sink: desk.plan.name.clone(),
                since_ms,
                sent: batch.rows.len(),
            });
        }
    }

    /// A batch was not taken.
    pub(super) fn failed(
        &mut self,
        batch: &Batch,
        why: &str,
        now: Instant,
        wall_ms: i64,
        chance: u64,
    ) {
        let Some(desk) = self.desk(&batch.sink.name) else {
            return;
        };
        let changed = desk.plan != batch.sink;
        let new = desk.pace.failed(now, wall_ms, why.to_owned(), chance);
        if changed {
            // It failed under a configuration that is no more.
            desk.pace.at_once();
        }
        if !batch.firing.is_empty() {
            // The alerts themselves are late now.
            desk.resend_at = Some(now);
        }
        if new {
            let said = Said::Fails {
                sink: desk.plan.name.clone(),
                why: why.to_owned(),
                waiting: desk.queue.len(),
            };
            self.said.push(said);
        }
    }

    /// How the sinks are.
    pub(super) fn report(&self) -> Vec<SinkReport> {
        let report = |desk: &Desk| SinkReport {
            name: desk.plan.name.clone(),
            kind: desk.plan.target.kind().to_owned(),
            waiting: desk.queue.len() as u64,
            dropped: desk.dropped,
            failing_since_ms: desk.pace.failing().map(|failing| failing.since_ms),
            failing: desk.pace.failing().map(|failing| failing.why.clone()),
        };
        self.desks.iter().map(report).collect()
    }

    /// Whether something is on its way.
    pub(super) fn sends(&self) -> bool {
        self.desks.iter().any(|desk| desk.pace.is_sending())
    }

    /// What is to be stored since the last time.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Everything that should be stored.
    pub(super) fn everything(&self) -> Vec<Change> {
        let of = |desk: &Desk| {
            let name = desk.plan.name.clone();
            let waiting = desk.queue.iter().map(|(_, one)| one.clone());
            let waiting: Vec<Change> = waiting.map(|one| Change::Add(name.clone(), one)).collect();
            let told = desk.told.values().cloned();
            let told: Vec<Change> = told.map(|news| Change::Told(name.clone(), news)).collect();
            [waiting, told].concat()
        };
        self.desks.iter().flat_map(of).collect()
    }

    /// What a person should hear since the last time.
    pub(super) fn said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }
}

/// The moment at which the clock on the wall showed `at_ms`.
fn before(now: Instant, wall_ms: i64, at_ms: i64) -> Instant {
    let ago = u64::try_from(wall_ms.saturating_sub(at_ms)).unwrap_or(0);
    Instant(now.0.saturating_sub(ago))
}

#[cfg(test)]
mod tests;
