//! Runs checks under a deadline; one run in flight per check and member.

mod doors;
mod hand;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use checkd_core::engine::{Event, Run};
use checkd_core::plan::{CheckPlan, Plan};
use checkd_core::report::{Advice, MemberReport};
use checkd_core::{Cause, CheckKind, Generation, Instant, LeafId, MemberId, Sample, Span, Status};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock;
use crate::plugin::catalog::{Door, Offer};
use crate::plugin::client::Trouble;
use crate::plugin::convert::{When, unknown};
use crate::plugin::{Catalog, Standing, Target, Unavailable};

use doors::{Doors, Ready};
pub use hand::{Hand, Held};

/// So many runs that do not hold a thread are in flight at once.
const IN_FLIGHT_MAX: usize = 1_024;

/// Plugins that could not be loaded are tried again so often, when one of their checks is due.
const TRY_AGAIN: Span = Span::secs(10);

/// So many missing plugins are named with each check that nobody offers.
const MISSING_TOLD: usize = 3;

/// A run that is over this much after its last deadline says that the machine stood still.
const STALL: Span = Span::secs(5);

/// Carries out [`Effect::Run`](checkd_core::engine::Effect::Run): each run comes back as one
/// [`Event::Sample`], whatever happens to it.
///
/// Runs go on threads of its own, so a daemon's loop is never held up by a check.
#[derive(Debug)]
pub struct Runner {
    inner: Arc<Inner>,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Inner {
    catalog: Arc<Catalog>,
    plan: Arc<Plan>,
    events: UnboundedSender<Event>,
    doors: Doors,
    leaves: Mutex<HashMap<LeafId, Leaf>>,
    places: Semaphore,
    trying_again: AtomicBool,
    tried_again: Mutex<Option<Instant>>,
    begun: AtomicU64,
    in_flight: AtomicU64,
    skipped: AtomicU64,
    late: AtomicU64,
}

/// What is kept of a leaf between its runs.
#[derive(Debug, Default)]
struct Leaf {
    state: State,
    /// Its instance, and the life that it was configured for.
    kept: Option<(Option<Generation>, Ready)>,
    /// Why its last run could not look, when that was told.
    told: Option<Cause>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    Running,
    /// Its run was given up at this instant, and has not ended.
    Stuck(Instant),
}

/// What the runner counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs begun.
    pub begun: u64,
    /// Runs in flight now.
    pub in_flight: u64,
    /// Runs not begun because the one before was still in flight.
    pub skipped: u64,
    /// Runs that had to wait for their turn.
    pub late: u64,
}

impl Runner {
    /// What its checks are made of.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog)
    }

    /// A runner for the checks of `plan`. The catalog's workers that judged options are ended.
    ///
    /// # Errors
    /// The machine gives no threads.
    pub fn new(
        catalog: Arc<Catalog>,
        plan: Arc<Plan>,
        events: UnboundedSender<Event>,
    ) -> std::io::Result<Self> {
        catalog.rest();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("runs")
            .enable_all()
            .build()?;
        let inner = Arc::new(Inner {
            catalog,
            plan,
            events,
            doors: Doors::new(),
            leaves: Mutex::default(),
            places: Semaphore::new(IN_FLIGHT_MAX),
            trying_again: AtomicBool::new(false),
            tried_again: Mutex::new(None),
            begun: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            late: AtomicU64::new(0),
        });
        Ok(Self {
            inner,
            runtime: Some(runtime),
        })
    }

    /// Begins a run, and never blocks. A leaf whose last run is still in flight is not begun again:
    /// that is counted. A leaf whose last run was given up and still hangs is Unknown(overran) at
    /// once.
    pub fn begin(&self, run: Run) {
        let kept = {
            let mut leaves = self.inner.leaves();
            let leaf = leaves.entry(run.leaf).or_default();
            match leaf.state {
                State::Running => {
                    self.inner.skipped.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                State::Stuck(since) => {
                    drop(leaves);
                    self.inner.skipped.fetch_add(1, Ordering::Relaxed);
                    let now = clock::now();
                    let told = format!("a run given up {} ago still hangs", now.since(since));
                    let when = When {
                        at: now,
                        took: Span::ZERO,
                        generation: run.generation,
                    };
                    self.inner
                        .send(run.leaf, unknown(Cause::Overran, &told, when));
                    return;
                }
                State::Idle => {
                    leaf.state = State::Running;
                    leaf.kept.take()
                }
            }
        };
        self.inner.begun.fetch_add(1, Ordering::Relaxed);
        self.inner.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some(runtime) = &self.runtime {
            let inner = Arc::clone(&self.inner);
            runtime.spawn(async move { inner.run(run, kept).await });
        }
    }

    /// Forgets what is kept of a member that is gone: its instances are dropped.
    pub fn forget(&self, member: MemberId) {
        let mut forgotten = Vec::new();
        let mut leaves = self.inner.leaves();
        for (id, leaf) in leaves.iter_mut() {
            if id.group == member.group && id.member == Some(member.member) {
                forgotten.extend(leaf.kept.take());
            }
        }
        drop(leaves);
        if let (Some(runtime), false) = (&self.runtime, forgotten.is_empty()) {
            runtime.spawn_blocking(move || drop(forgotten));
        }
    }

    /// Adds what a person can do about the plugins of its checks: look at one that is quarantined, and,
    /// where nobody offers a kind, at those that could not be loaded.
    pub fn advise(&self, report: &mut MemberReport) {
        let mut advice = self.quarantined(report);
        let cause = Cause::PluginUnavailable.as_str();
        let catalog = &self.inner.catalog;
        let nobody_offers = report.checks.iter().any(|leaf| {
            leaf.cause.as_deref() == Some(cause) && catalog.offer(&leaf.kind).is_none()
        });
        let missing = catalog.missing().into_iter().filter(|_| nobody_offers);
        advice.extend(missing.take(MISSING_TOLD).map(|plugin| {
            Advice {
                // A command is known by the configuration that names it.
                command: plugin.file.map_or_else(
                    || "checkd plugin list".to_owned(),
                    |file| format!("checkd plugin inspect {}", quoted(&file)),
                ),
                does: format!(
                    "says why this plugin cannot be used; it is tried again every {TRY_AGAIN}, and \
                 needs no restart of checkd"
                )
                .into(),
            }
        }));
        report.can_do.splice(0..0, advice);
    }

    fn quarantined(&self, report: &MemberReport) -> Vec<Advice> {
        let held = (self.standings().into_iter())
            .filter(|(_, standing)| matches!(standing, Standing::Quarantined(_)));
        let held: BTreeSet<Arc<str>> = held.map(|(name, _)| name).collect();
        let kinds: BTreeSet<&CheckKind> = report.checks.iter().map(|leaf| &leaf.kind).collect();
        let offers = (kinds.into_iter()).filter_map(|kind| self.inner.catalog.offer(kind));
        let names: BTreeSet<String> = offers.map(|offer| offer.plugin.name.clone()).collect();
        let held = (names.into_iter()).filter(|name| held.contains(name.as_str()));
        let advice = held.map(|name| Advice {
            command: format!("checkd plugin inspect {name}"),
            does:
                "shows the plugin that is quarantined because its worker broke; when it is mended, \
                   `checkd reload` takes it at once"
                    .into(),
        });
        advice.collect()
    }

    /// How every plugin is that has a worker, by its name.
    pub fn standings(&self) -> Vec<(Arc<str>, Standing)> {
        self.inner.doors.standings()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        Counts {
            begun: self.inner.begun.load(Ordering::Relaxed),
            in_flight: self.inner.in_flight.load(Ordering::Relaxed),
            skipped: self.inner.skipped.load(Ordering::Relaxed),
            late: self.inner.late.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // A check that hangs must not hold the daemon's end up.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>, run: Run, kept: Option<(Option<Generation>, Ready)>) {
        let (sample, ready, stuck) = self.one(run, kept).await;
        {
            let mut leaves = self.leaves();
            let leaf = leaves.entry(run.leaf).or_default();
            leaf.kept = ready.map(|ready| (run.generation, ready));
            leaf.state = match stuck {
                Some(_) => State::Stuck(sample.at),
                None => State::Idle,
            };
            self.tell(run.leaf, leaf, &sample);
        }
        if let Some(going) = stuck {
            let inner = Arc::clone(&self);
            tokio::spawn(async move {
                let _whatever_it_says = going.await;
                if let Entry::Occupied(mut leaf) = inner.leaves().entry(run.leaf) {
                    leaf.get_mut().state = State::Idle;
                }
            });
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.send(run.leaf, sample);
    }

    /// One run, from its place in the queue to its sample.
    async fn one(
        self: &Arc<Self>,
        run: Run,
        kept: Option<(Option<Generation>, Ready)>,
    ) -> (Sample, Option<Ready>, Option<tokio::task::JoinHandle<()>>) {
        let mut began = clock::now();
        let when = |began: Instant| {
            let at = clock::now();
            When {
                at,
                took: at.since(began),
                generation: run.generation,
            }
        };
        let Some((check, target)) = self.about(run) else {
            let told = "the plan has no such check";
            return (unknown(Cause::Misconfigured, told, when(began)), None, None);
        };
        let Some(offer) = self.catalog.offer(&check.kind) else {
            self.try_again();
            let told = self.nobody_offers(&check.kind);
            return (
                unknown(Cause::PluginUnavailable, &told, when(began)),
                None,
                None,
            );
        };
        let blocking = offer.blocking.then(|| self.doors.blocking(&offer));
        let place = blocking.as_deref().unwrap_or(&self.places);
        let _place = self.place(place).await;
        began = clock::now();
        let limit = check.timeout.as_duration();
        let still_good = kept
            .filter(|(generation, ready)| *generation == run.generation && ready.is_good())
            .map(|(_, ready)| ready);
        let ready = match still_good {
            Some(ready) => Ok(ready),
            None => {
                self.doors
                    .configure(&offer, run.leaf, &check.options, target, limit)
                    .await
            }
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(trouble) => return (trouble_sample(&offer, trouble, when(began)), None, None),
        };
        // What a worker needs to start is not the target's.
        began = clock::now();
        let ended = self.doors.run(run.leaf, ready, limit).await;
        let when = when(began);
        let sample = match ended.said {
            Ok(said) => {
                let (sample, fault) = said.sample(when);
                if let Some(fault) = fault {
                    let plugin = &*offer.plugin.name;
                    let kind = check.kind.as_str();
                    tracing::warn!(plugin, kind, fault, "plugin's sample was put right");
                }
                sample
            }
            Err(trouble) => trouble_sample(&offer, trouble, when),
        };
        (stalled(sample, check.timeout), ended.ready, ended.stuck)
    }

    /// Why there is nobody to run a kind: which plugins are missing.
    fn nobody_offers(&self, kind: &CheckKind) -> String {
        let mut told = format!("no plugin that is loaded offers the kind `{kind}`");
        let missing = self.catalog.missing();
        for plugin in missing.iter().take(MISSING_TOLD) {
            let Unavailable { origin, why, .. } = plugin;
            told.push_str(&format!("; plugin `{origin}` cannot be used: {why}"));
        }
        if missing.len() > MISSING_TOLD {
            told.push_str(&format!("; and {} more", missing.len() - MISSING_TOLD));
        }
        if !missing.is_empty() {
            told.push_str(&format!("; tried again every {TRY_AGAIN}"));
        }
        told
    }

    /// The check of a run, and what it is about.
    fn about(&self, run: Run) -> Option<(&CheckPlan, Target)> {
        let check = self.plan.check(run.leaf)?;
        let group = self.plan.group(run.leaf.group)?;
        let member = match run.leaf.member {
            Some(member) => Some(self.plan.member(MemberId {
                group: run.leaf.group,
                member,
            })?),
            None => None,
        };
        let target = Target {
            group: group.name.as_str().to_owned(),
            member: member.map(|member| member.name.as_str().to_owned()),
            index: member.map(|member| member.index),
            pid: run.generation.map(|generation| generation.pid),
            port: run.port,
        };
        Some((check, target))
    }

    /// Waits for a place, and counts it when there was none at once.
    async fn place<'a>(&self, places: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        if let Ok(place) = places.try_acquire() {
            return Some(place);
        }
        self.late.fetch_add(1, Ordering::Relaxed);
        // It is never closed.
        places.acquire().await.ok()
    }

    /// Tries plugins again that could not be loaded, now and then.
    fn try_again(self: &Arc<Self>) {
        let now = clock::now();
        let mut tried = self
            .tried_again
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = tried.is_none_or(|then| now.since(then) >= TRY_AGAIN);
        if due && self.catalog.is_incomplete() && !self.trying_again.swap(true, Ordering::AcqRel) {
            *tried = Some(now);
            let inner = Arc::clone(self);
            tokio::task::spawn_blocking(move || {
                inner.catalog.try_again();
                inner.trying_again.store(false, Ordering::Release);
            });
        }
    }

    /// Tells the log once that a leaf cannot look, and once that it can again.
    fn tell(&self, id: LeafId, leaf: &mut Leaf, sample: &Sample) {
        let cause = sample.cause.filter(|_| sample.status == Status::Unknown);
        if cause == leaf.told {
            return;
        }
        leaf.told = cause;
        let check = self.plan.leaf_path(id);
        let Some(cause) = cause else {
            tracing::info!(check, "check can look again");
            return;
        };
        let (code, cause) = (code_of(cause), cause.as_str());
        let why = &*sample.message;
        tracing::warn!(
            code,
            check,
            cause,
            why,
            "check could not look: unknown, and nothing is restarted because of it"
        );
    }

    fn send(&self, leaf: LeafId, sample: Sample) {
        // The loop is gone: nothing that a run says is heard any more.
        let _nobody_listens = self.events.send(Event::Sample { leaf, sample });
    }

    fn leaves(&self) -> MutexGuard<'_, HashMap<LeafId, Leaf>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// The sample of a run that has none. It names the plugin: whoever reads it did not load it by kind.
fn trouble_sample(offer: &Offer, trouble: Trouble, when: When) -> Sample {
    let (cause, why) = match trouble {
        Trouble::Unavailable(why) => (Cause::PluginUnavailable, why),
        Trouble::Crashed(why) => (Cause::Crashed, why),
        Trouble::Overran(why) => (Cause::Overran, why),
        // Its own words about the options.
        Trouble::Misconfigured(problems) => {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return unknown(Cause::Misconfigured, &told.join("; "), when);
        }
    };
    match offer.plugin.door {
        Door::Linked => unknown(cause, &why, when),
        Door::Library(_) | Door::Worker(_) => {
            let plugin = &offer.plugin.name;
            unknown(cause, &format!("plugin `{plugin}`: {why}"), when)
        }
    }
}

/// A run that took longer by the boot clock than any deadline allows was asleep with the machine:
/// that a target was silent then says nothing about it.
fn stalled(sample: Sample, limit: Span) -> Sample {
    if sample.status != Status::Fail || sample.took.as_millis() <= (limit + STALL).as_millis() {
        return sample;
    }
    let told = format!(
        "took {} with a timeout of {limit}: this host stood still",
        sample.took
    );
    let when = When {
        at: sample.at,
        took: sample.took,
        generation: sample.generation,
    };
    unknown(Cause::HostStall, &told, when)
}

/// The code of what is told about a leaf that cannot look.
fn code_of(cause: Cause) -> &'static str {
    match cause {
        Cause::PluginUnavailable => "C0301",
        Cause::Misconfigured | Cause::NoPermission => "C0302",
        Cause::Overran => "C0303",
        Cause::Crashed
        | Cause::HostStall
        | Cause::Timeout
        | Cause::Refused
        | Cause::Wrong
        | Cause::Stale => "C0304",
    }
}

#[cfg(test)]
mod tests;
