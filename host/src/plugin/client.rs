//! The client of a worker for runs: many in flight, each under its deadline; a worker that dies is
//! started again.
//!
//! A worker's death costs the runs that were in it, and as little else as possible:
//!
//! - it is started again after 0.1 s, doubling to 30 s until a run succeeds;
//! - a leaf whose runs end workers again and again is held back for a growing time of its own, so
//!   the other leaves of the plugin find a worker that lives;
//! - a worker that does not answer a cancel is retired: the next runs get a new one, and the old one
//!   is killed as soon as its other runs have ended.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use checkd_core::{Cause, LeafId, Span, Status};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::leftover::Said;
use super::limiter::{Limiter, Line};
use super::probe::{ANSWER, CHATTER_MAX, HELLO, log};
use super::process::{Launch, Process};
use super::protocol::{
    Ask, LINE_MAX, PROBLEMS_MAX, Problem, SampleText, TEXT_MAX, Target, Tell, VERSIONS, bounded,
    gather, line, parse, parse_tell, run_of,
};
use super::secrets::{cleared, cleared_tell};
use crate::wall;

/// After the target's deadline the plugin has so long to come back.
pub(crate) const OVERRUN: Duration = Duration::from_secs(1);

/// A worker may take so long to answer a cancel.
const CANCEL: Duration = Duration::from_secs(1);

/// The first wait before a dead worker is started again; doubles to [`RESTART_MAX`].
const RESTART: Duration = Duration::from_millis(100);

/// See [`RESTART`].
const RESTART_MAX: Duration = Duration::from_secs(30);

/// The wait of a leaf that ended a worker for the second time in a row; doubles to [`HOLD_MAX`].
const HOLD: Duration = Duration::from_secs(1);

/// See [`HOLD`].
const HOLD_MAX: Duration = Duration::from_mins(5);

/// After so many deaths in a row without a sample the plugin is quarantined: tried again every
/// [`RESTART_MAX`], and told as an error.
const QUARANTINE: u32 = 6;

/// A worker that says more than so many lines too many for the log, within one window of the
/// [`Limiter`], is killed: reading on would cost the processor of every other check.
const FLOOD: u64 = 10_000;

/// So many retired workers may wait for their last runs; one more is killed at once.
const RETIRED_MAX: usize = 4;

/// So many requests that wait are written at once.
const AT_ONCE: usize = 64;

/// Why a run has no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The plugin cannot be started.
    Unavailable(String),
    /// Its worker died under the run, or has just died and is not back yet.
    Crashed(String),
    /// It did not come back after its deadline.
    Overran(String),
    /// The kind refuses the options.
    Misconfigured(Vec<Problem>),
}

impl Trouble {
    /// What happened, for the log.
    fn text(&self) -> String {
        match self {
            Self::Unavailable(why) | Self::Crashed(why) | Self::Overran(why) => why.clone(),
            Self::Misconfigured(problems) => {
                let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
                told.join("; ")
            }
        }
    }
}

/// What a leaf wants an instance of.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) leaf: LeafId,
    pub(crate) kind: String,
    pub(crate) options: Map<String, Value>,
    pub(crate) target: Target,
}

/// One plugin's worker.
#[derive(Debug)]
pub(crate) struct Client {
    launch: Launch,
    slot: tokio::sync::Mutex<Slot>,
    strikes: Mutex<HashMap<LeafId, Strike>>,
    quarantine: Mutex<Option<Quarantine>>,
    /// A run has come back.
    worked: AtomicBool,
}

/// How a plugin is, to whoever is told of quarantines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No run has come back yet.
    Open,
    /// Runs come back.
    Good,
    /// Its worker died again and again: since when, and why, for a person.
    Quarantined(String),
}

/// A plugin whose worker died [`QUARANTINE`] times in a row, until a run succeeds.
#[derive(Debug)]
struct Quarantine {
    since_ms: i64,
    deaths: u32,
    /// How the last worker died, or why it could not be started.
    why: String,
    /// When it is tried again.
    until: Instant,
}

impl Quarantine {
    fn text(&self) -> String {
        let since = wall::time_of_day(self.since_ms);
        let Self { deaths, why, .. } = self;
        format!("quarantined since {since}: its worker failed {deaths} times in a row, last: {why}")
    }
}

/// The worker in use, and when the next may be started.
#[derive(Debug, Default)]
struct Slot {
    current: Option<Arc<Worker>>,
    retired: Vec<Arc<Worker>>,
    /// Deaths in a row without a sample between.
    deaths: u32,
    not_before: Option<Instant>,
    /// How the last one died, or why it could not be started.
    why: String,
    /// Whether `why` is that it could not be started.
    unavailable: bool,
    started: u64,
}

/// A leaf that ended a worker, so many times in a row.
#[derive(Debug)]
struct Strike {
    times: u32,
    until: Instant,
    /// What its last run was.
    last: Trouble,
}

/// One life of the worker process.
#[derive(Debug)]
struct Worker {
    number: u64,
    process: Process,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    table: Mutex<Table>,
}

/// What a worker owes.
#[derive(Debug, Default)]
struct Table {
    last: u64,
    instances: HashMap<u64, (LeafId, oneshot::Sender<Vec<Problem>>)>,
    runs: HashMap<u64, (LeafId, oneshot::Sender<SampleText>)>,
    /// Runs that are over for us and not for the worker.
    overran: HashMap<u64, GivenUp>,
    /// Faults of which nobody can say whose answer they should have been, and the last of them.
    faults: u64,
    fault: String,
    /// No new runs; to be killed when `runs` is empty.
    retiring: bool,
    /// A sample came: the worker works.
    proven: bool,
    /// Why it is killed for what its guard said.
    killed: Option<String>,
    /// How it ended.
    ended: Option<String>,
}

/// What we know of a run that we gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GivenUp {
    /// Its worker was told, and has not answered.
    Told,
    /// Its worker has answered that it still hangs in there.
    Hangs,
}

/// An instance in a worker. Dropping it drops it there.
#[derive(Debug)]
pub(crate) struct Instance {
    worker: Arc<Worker>,
    number: u64,
}

impl Instance {
    /// False when its worker is gone or going: configure a new one.
    pub(crate) fn is_good(&self) -> bool {
        let table = self.worker.table();
        table.ended.is_none() && !table.retiring
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.worker.send(&Ask::Drop {
            instance: self.number,
        });
    }
}

impl Client {
    /// A client that has not started its worker yet.
    pub(crate) fn new(launch: Launch) -> Self {
        Self {
            launch,
            slot: tokio::sync::Mutex::default(),
            strikes: Mutex::default(),
            quarantine: Mutex::default(),
            worked: AtomicBool::new(false),
        }
    }

    /// The plugin's name, and how it is.
    pub(crate) fn standing(&self) -> (Arc<str>, Standing) {
        let standing = match &*self.quarantine() {
            Some(quarantine) => Standing::Quarantined(quarantine.text()),
            None if self.worked.load(Ordering::Relaxed) => Standing::Good,
            None => Standing::Open,
        };
        (Arc::clone(&self.launch.plugin), standing)
    }

    /// Makes an instance. Waits at most `patience` for the time when a dead worker is started again,
    /// and as long as a start may take for one that is starting.
    pub(crate) async fn configure(
        self: &Arc<Self>,
        wanted: Wanted,
        patience: Duration,
    ) -> Result<Instance, Trouble> {
        let leaf = wanted.leaf;
        let made = self.make(wanted, patience).await;
        made.map_err(|trouble| self.in_quarantine(leaf, trouble))
    }

    async fn make(
        self: &Arc<Self>,
        wanted: Wanted,
        patience: Duration,
    ) -> Result<Instance, Trouble> {
        self.held_back(wanted.leaf)?;
        // A task of its own: one that starts slower than this run can wait is there for the next.
        let until = Instant::now() + patience;
        let starting = tokio::spawn(Arc::clone(self).worker(until));
        let worker = match timeout(patience + HELLO, starting).await {
            Ok(Ok(worker)) => worker?,
            Ok(Err(_)) => return Err(Trouble::Crashed("starting its worker panicked".into())),
            Err(_) => {
                let told = "its worker is still starting".into();
                return Err(Trouble::Unavailable(told));
            }
        };
        let (answer, answered) = oneshot::channel();
        let (number, faults) = {
            let mut table = worker.table();
            (table.expect_instance(wanted.leaf, answer), table.faults)
        };
        let asked = worker.send(&Ask::Configure {
            instance: number,
            kind: wanted.kind,
            options: wanted.options,
            target: wanted.target,
        });
        if !asked {
            worker.table().instances.remove(&number);
            return Err(too_large());
        }
        match timeout(ANSWER, answered).await {
            Ok(Ok(problems)) if problems.is_empty() => Ok(Instance { worker, number }),
            Ok(Ok(problems)) => Err(Trouble::Misconfigured(problems)),
            Ok(Err(_)) => Err(Trouble::Crashed(worker.how_it_ended())),
            Err(_) => {
                worker.table().instances.remove(&number);
                let seconds = ANSWER.as_secs();
                let told = format!("could not be configured within {seconds} s");
                let trouble = Trouble::Overran(self.with_fault(told, &worker, faults));
                self.strike(wanted.leaf, trouble.clone());
                self.retire(&worker).await;
                Err(trouble)
            }
        }
    }

    /// Runs an instance once.
    pub(crate) async fn run(
        self: &Arc<Self>,
        leaf: LeafId,
        instance: &Instance,
        limit: Duration,
    ) -> Result<SampleText, Trouble> {
        let ran = self.run_once(leaf, instance, limit).await;
        ran.map_err(|trouble| self.in_quarantine(leaf, trouble))
    }

    async fn run_once(
        self: &Arc<Self>,
        leaf: LeafId,
        instance: &Instance,
        limit: Duration,
    ) -> Result<SampleText, Trouble> {
        self.held_back(leaf)?;
        let worker = &instance.worker;
        let (answer, mut answered) = oneshot::channel();
        let (run, faults) = {
            let mut table = worker.table();
            (table.expect_run(leaf, answer), table.faults)
        };
        let timeout_ms = millis(limit);
        if !worker.send(&Ask::Submit {
            run,
            instance: instance.number,
            timeout_ms,
        }) {
            worker.table().runs.remove(&run);
            return Err(too_large());
        }
        match timeout(limit + OVERRUN, &mut answered).await {
            // It says itself that the run hangs in there: only a new worker is free of it.
            Ok(Ok(sample)) if says_overran(&sample) => {
                self.strike(leaf, Trouble::Overran(bounded(&sample.message, TEXT_MAX)));
                self.retire(worker).await;
                Ok(sample)
            }
            Ok(Ok(mut sample)) => {
                self.strikes().remove(&leaf);
                self.worked.store(true, Ordering::Relaxed);
                if self.quarantine().take().is_some() {
                    let plugin = &*self.launch.plugin;
                    tracing::info!(plugin, "plugin is quarantined no more: a run succeeded");
                }
                if was_refused(&sample) {
                    sample.message = self.launch.with_reach(sample.message);
                }
                Ok(sample)
            }
            Ok(Err(_)) => Err(Trouble::Crashed(worker.how_it_ended())),
            Err(_) => {
                // The answer may have come between the timer and this line: then it is the answer.
                if !worker.table().overrun(run) {
                    if let Ok(sample) = answered.try_recv() {
                        return Ok(sample);
                    }
                    return Err(Trouble::Crashed(worker.how_it_ended()));
                }
                worker.kill_if_done();
                worker.send(&Ask::Cancel { run });
                let trouble = Trouble::Overran(self.with_fault(overran(limit), worker, faults));
                let (client, worker) = (Arc::clone(self), Arc::clone(worker));
                let told = trouble.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(CANCEL).await;
                    if worker.table().still_there(run) {
                        client.strike(leaf, told);
                        client.retire(&worker).await;
                    }
                });
                Err(trouble)
            }
        }
    }

    /// Why an answer did not come, with what the worker has said since then that is none: perhaps it
    /// was the answer.
    fn with_fault(&self, why: String, worker: &Worker, before: u64) -> String {
        let table = worker.table();
        if table.faults == before {
            return why;
        }
        let (plugin, fault) = (&self.launch.plugin, &table.fault);
        format!("{why}; plugin `{plugin}` broke the protocol: {fault}")
    }

    /// The worker in use; starts one when there is none and its time has come by `until`.
    async fn worker(self: Arc<Self>, until: Instant) -> Result<Arc<Worker>, Trouble> {
        loop {
            let mut slot = self.slot.lock().await;
            if let Some(worker) = &slot.current {
                return Ok(Arc::clone(worker));
            }
            match slot.not_before {
                Some(then) if then > until => return Err(slot.trouble(then)),
                Some(then) if then > Instant::now() => {
                    drop(slot);
                    tokio::time::sleep_until(then).await;
                }
                _ => return self.start(&mut slot).await,
            }
        }
    }

    /// Starts a worker and says hello.
    async fn start(self: &Arc<Self>, slot: &mut Slot) -> Result<Arc<Worker>, Trouble> {
        slot.started += 1;
        let plugin = &*self.launch.plugin;
        match self.hello(slot.started).await {
            Ok(worker) => {
                let (pid, number) = (worker.process.pid(), slot.started);
                tracing::debug!(plugin, pid, number, "worker started");
                slot.current = Some(Arc::clone(&worker));
                slot.unavailable = false;
                Ok(worker)
            }
            Err(why) => {
                slot.unavailable = true;
                let then = slot.died(plugin, why);
                self.note_death(slot, then);
                Err(slot.trouble(then))
            }
        }
    }

    async fn hello(self: &Arc<Self>, number: u64) -> Result<Arc<Worker>, String> {
        // Off the runtime: the caller of `spawn` stands still until the new process runs its program,
        // and that may take long on a busy machine. The runs of every other plugin would wait for it.
        let client = Arc::clone(self);
        let started = tokio::task::spawn_blocking(move || client.launch.start());
        let (process, stream) = started
            .await
            .map_err(|_| "cannot be started: that panicked".to_owned())?
            .map_err(|error| format!("cannot be started: {error}"))?;
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream))
            .map_err(|error| format!("cannot be started: {error}"))?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut buffer = Vec::new();
        let hello = line(&Ask::Hello {
            versions: VERSIONS.to_vec(),
        })
        .unwrap_or_default();
        let answer = async {
            // When it has ended already, reading says so.
            let _ended = writer.write_all(&hello).await;
            for _ in 0..CHATTER_MAX {
                if !read_line(&mut reader, &mut buffer)
                    .await
                    .map_err(|e| e.to_string())?
                {
                    return Ok(None);
                }
                match parse::<Tell>(&buffer).map(cleared_tell)? {
                    Tell::Log { level, message } => log(&self.launch.plugin, &level, &message),
                    answer @ (Tell::Hello { .. }
                    | Tell::Described { .. }
                    | Tell::Configured { .. }
                    | Tell::Sample { .. }
                    | Tell::Error { .. }) => return Ok(Some(answer)),
                }
            }
            Err(format!("sent {CHATTER_MAX} lines without saying hello"))
        };
        let answer: Result<Option<Tell>, String> = timeout(HELLO, answer)
            .await
            .unwrap_or_else(|_| Err(format!("did not say hello within {} s", HELLO.as_secs())));
        match answer? {
            Some(Tell::Hello { version, .. }) if VERSIONS.contains(&version) => {}
            Some(Tell::Hello { version, .. }) => {
                return Err(format!("speaks version {version} of the worker protocol"));
            }
            Some(Tell::Error { message, notes, .. }) => {
                let told = notes.first().unwrap_or(&message);
                return Err(bounded(told, TEXT_MAX));
            }
            Some(_) => return Err("answered something else than hello".into()),
            None => {
                let ending = tokio::task::spawn_blocking(move || process.ending()).await;
                let ending = ending.unwrap_or_else(|_| "ended".into());
                return Err(self.launch.with_all(ending));
            }
        }
        let (requests, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        let worker = Arc::new(Worker {
            number,
            process,
            requests,
            table: Mutex::default(),
        });
        tokio::spawn(async move {
            let mut requests = Vec::new();
            while queue.recv_many(&mut requests, AT_ONCE).await > 0 {
                // Runs that are due together go together: writing wakes the worker, which costs more
                // than all else of a quick run.
                tokio::task::yield_now().await;
                while requests.len() < AT_ONCE
                    && let Ok(request) = queue.try_recv()
                {
                    requests.push(request);
                }
                // A worker that is gone is noticed by the reader.
                if writer.write_all(&requests.concat()).await.is_err() {
                    break;
                }
                requests.clear();
            }
        });
        if let Some(guard) = worker.process.hears()
            && guard.set_nonblocking(true).is_ok()
            && let Ok(guard) = UnixStream::from_std(guard)
        {
            tokio::spawn(Arc::clone(self).hear(Arc::clone(&worker), guard));
        }
        tokio::spawn(Arc::clone(self).listen(Arc::clone(&worker), reader));
        Ok(worker)
    }

    /// Takes what the guard of a worker says until its end.
    async fn hear(self: Arc<Self>, worker: Arc<Worker>, guard: UnixStream) {
        let plugin = &*self.launch.plugin;
        let mut guard = BufReader::new(guard);
        let mut line = Vec::new();
        while let Ok(true) = read_line(&mut guard, &mut line).await {
            match Said::read(&bounded(&String::from_utf8_lossy(&line), TEXT_MAX)) {
                Some(Said::Behind(what)) => tracing::warn!(
                    code = "C0307",
                    plugin,
                    what,
                    "a run of the plugin left a process behind; it ends with the plugin's worker"
                ),
                Some(Said::TooMany(why)) => {
                    worker.table().killed = Some(why);
                    worker.process.kill();
                }
                None => {}
            }
        }
    }

    /// Takes what a worker says until its end, and then tells everyone who waits.
    async fn listen(self: Arc<Self>, worker: Arc<Worker>, mut reader: BufReader<OwnedReadHalf>) {
        let plugin = &*self.launch.plugin;
        let mut faults = Limiter::new(std::time::Instant::now());
        let mut line = Vec::new();
        // Why we ended it, when it was us.
        let mut broke = None;
        while broke.is_none() {
            match read_line(&mut reader, &mut line).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    broke = Some(error.to_string());
                    continue;
                }
            }
            let told = match parse_tell(&line) {
                Ok(tell) => worker.take(cleared_tell(tell)),
                Err(fault) => Err(worker.take_broken(plugin, run_of(&line), cleared(fault))),
            };
            let (level, text) = match told {
                Ok(None) => continue,
                Ok(Some((level, text))) => (level, text),
                Err(fault) => ("fault".into(), fault),
            };
            let verdict = faults.take(std::time::Instant::now());
            if let Line::LogAfter(lines) = verdict {
                tracing::warn!(plugin, lines, "plugin said too much to log");
            }
            match (verdict, level.as_str()) {
                (Line::Drop, _) => {
                    if faults.held_back() > FLOOD {
                        broke = Some(format!("it said {FLOOD} lines that nobody asked for"));
                    }
                }
                (_, "fault") => tracing::warn!(plugin, fault = text, "plugin broke the protocol"),
                (_, level) => log(plugin, level, &text),
            }
        }
        if faults.held_back() > 0 {
            let lines = faults.held_back();
            tracing::warn!(plugin, lines, "plugin said too much to log");
        }
        if let Some(broke) = &broke {
            tracing::warn!(plugin, broke, "worker broke the protocol; it is killed");
            worker.process.kill();
        }
        let dying = Arc::clone(&worker);
        let ending = tokio::task::spawn_blocking(move || dying.process.ending()).await;
        let broke = broke.or_else(|| worker.table().killed.take());
        let why = match (broke, ending) {
            (Some(broke), _) => format!("was killed: {broke}"),
            (None, Ok(ending)) => self.launch.with_reach(ending),
            (None, Err(_)) => "ended".into(),
        };
        let (leaves, retiring, proven) = worker.table().end(&why);
        let mut slot = self.slot.lock().await;
        slot.retired.retain(|old| old.number != worker.number);
        if slot
            .current
            .as_ref()
            .is_some_and(|current| current.number == worker.number)
        {
            slot.current = None;
            if proven {
                slot.deaths = 0;
            }
            let then = slot.died(plugin, why.clone());
            self.note_death(&slot, then);
        }
        drop(slot);
        if !retiring {
            for leaf in leaves {
                self.strike(leaf, Trouble::Crashed(format!("its worker {why}")));
            }
        }
        // Only now, so that whoever asks again finds the new state.
        worker.table().release();
    }

    /// Lets no new run into `worker`, and kills it when its other runs have ended.
    async fn retire(&self, worker: &Arc<Worker>) {
        let mut slot = self.slot.lock().await;
        if slot
            .current
            .as_ref()
            .is_some_and(|current| current.number == worker.number)
        {
            slot.current = None;
        }
        if !worker.table().retiring {
            worker.table().retiring = true;
            slot.retired.push(Arc::clone(worker));
            if slot.retired.len() > RETIRED_MAX {
                slot.retired.remove(0).process.kill();
            }
        }
        worker.kill_if_done();
    }

    /// Notes that a run of `leaf` ended a worker, and how.
    fn strike(&self, leaf: LeafId, last: Trouble) {
        let mut strikes = self.strikes();
        let now = Instant::now();
        let times = strikes.get(&leaf).map_or(0, |strike| strike.times);
        let strike = strikes.entry(leaf).insert_entry(Strike {
            times: times.saturating_add(1),
            until: now,
            last,
        });
        let strike = strike.into_mut();
        let hold = match strike.times {
            1 => Duration::ZERO,
            times => doubled(HOLD, times - 2, HOLD_MAX),
        };
        strike.until = now + hold;
        if strike.times > 1 {
            tracing::warn!(
                code = "C0306",
                plugin = &*self.launch.plugin,
                why = strike.last.text(),
                times = strike.times,
                hold_ms = millis(hold),
                "check broke its worker again; it is held back, so that other checks go on"
            );
        }
    }

    /// Refuses a leaf that is held back, in the words of its last run.
    fn held_back(&self, leaf: LeafId) -> Result<(), Trouble> {
        let strikes = self.strikes();
        let Some(strike) = strikes
            .get(&leaf)
            .filter(|strike| strike.until > Instant::now())
        else {
            return Ok(());
        };
        let seconds = (strike.until - Instant::now()).as_secs() + 1;
        let times = strike.times;
        let held =
            format!("its worker broke {times} times in a row, held back for {seconds} s more");
        Err(match &strike.last {
            Trouble::Overran(why) => Trouble::Overran(format!("{why}; {held}")),
            Trouble::Crashed(why) | Trouble::Unavailable(why) => {
                Trouble::Crashed(format!("{why}; {held}"))
            }
            Trouble::Misconfigured(_) => Trouble::Crashed(held),
        })
    }

    /// Begins the quarantine, or goes on with it, when there were deaths enough.
    fn note_death(&self, slot: &Slot, until: Instant) {
        if slot.deaths < QUARANTINE {
            return;
        }
        let mut quarantine = self.quarantine();
        let since_ms = match &*quarantine {
            Some(begun) => begun.since_ms,
            None => wall::now_ms(),
        };
        *quarantine = Some(Quarantine {
            since_ms,
            deaths: slot.deaths,
            why: slot.why.clone(),
            until,
        });
    }

    /// `trouble` of a leaf in the words of the plugin's quarantine, when it is in one: that is what a
    /// person who reads it must know.
    fn in_quarantine(&self, leaf: LeafId, trouble: Trouble) -> Trouble {
        let quarantine = self.quarantine();
        let Some(quarantine) = &*quarantine else {
            return trouble;
        };
        let until = quarantine.until;
        let held = self.strikes().get(&leaf).map_or(until, |held| held.until);
        let next = held.max(until);
        let seconds = next.saturating_duration_since(Instant::now()).as_secs() + 1;
        let told = format!("{}; tried again in {seconds} s", quarantine.text());
        match trouble {
            Trouble::Crashed(_) => Trouble::Crashed(told),
            Trouble::Unavailable(_) => Trouble::Unavailable(told),
            other @ (Trouble::Overran(_) | Trouble::Misconfigured(_)) => other,
        }
    }

    fn quarantine(&self) -> MutexGuard<'_, Option<Quarantine>> {
        self.quarantine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self) -> MutexGuard<'_, HashMap<LeafId, Strike>> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Notes a death and returns when the next worker may be started.
    fn died(&mut self, plugin: &str, why: String) -> Instant {
        self.deaths = self.deaths.saturating_add(1);
        let wait = doubled(RESTART, self.deaths - 1, RESTART_MAX);
        let wait_ms = millis(wait);
        if self.deaths == QUARANTINE {
            tracing::error!(
                code = "C0305",
                plugin,
                deaths = self.deaths,
                why,
                "plugin is quarantined: its worker died again and again; it is tried again later"
            );
        } else {
            tracing::warn!(
                code = "C0304",
                plugin,
                deaths = self.deaths,
                wait_ms,
                why,
                "worker died; it starts again"
            );
        }
        self.why = why;
        let then = Instant::now()
            + if self.deaths >= QUARANTINE {
                RESTART_MAX
            } else {
                wait
            };
        self.not_before = Some(then);
        then
    }

    fn trouble(&self, then: Instant) -> Trouble {
        let seconds = then.saturating_duration_since(Instant::now()).as_secs() + 1;
        let why = &self.why;
        if self.unavailable {
            Trouble::Unavailable(format!("{why}; tried again in {seconds} s"))
        } else {
            Trouble::Crashed(format!("its worker {why}; it starts again in {seconds} s"))
        }
    }
}

impl Worker {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request; false when it is too long for a line. A worker that is gone is noticed by
    /// whoever waits for the answer.
    fn send(&self, ask: &Ask) -> bool {
        line(ask).is_some_and(|bytes| {
            let _gone = self.requests.send(bytes);
            true
        })
    }

    /// Takes one message. `Some`: level and text of a line for the log. `Err`: a fault.
    fn take(&self, tell: Tell) -> Result<Option<(String, String)>, String> {
        match tell {
            Tell::Sample { run, sample } => {
                self.table().sample(run, sample)?;
                self.kill_if_done();
                Ok(None)
            }
            Tell::Configured {
                instance,
                mut problems,
            } => {
                problems.truncate(PROBLEMS_MAX);
                for problem in &mut problems {
                    problem.bound();
                }
                // Locked once: a second time within this arm would wait for itself.
                let mut table = self.table();
                match table.instances.remove(&instance) {
                    Some((_, answer)) => {
                        let _nobody_waits = answer.send(problems);
                        Ok(None)
                    }
                    None => Err(table.fault(format!(
                        "told about instance {instance}, which was not asked for"
                    ))),
                }
            }
            Tell::Log { level, message } => Ok(Some((level, message))),
            Tell::Error { message, .. } => Ok(Some(("error".into(), message))),
            Tell::Hello { .. } | Tell::Described { .. } => {
                Err(self.table().fault("answered what was not asked".into()))
            }
        }
    }

    /// Takes a line that is no message, as the answer to `run` where that can be read. Returns the
    /// fault.
    fn take_broken(&self, plugin: &str, run: Option<u64>, fault: String) -> String {
        let fault = self.table().broken(plugin, run, fault);
        self.kill_if_done();
        fault
    }

    fn kill_if_done(&self) {
        let table = self.table();
        if table.retiring && table.runs.is_empty() && table.ended.is_none() {
            self.process.kill();
        }
    }

    fn how_it_ended(&self) -> String {
        match &self.table().ended {
            Some(why) => format!("its worker {why}"),
            None => "its worker ended".into(),
        }
    }
}

impl Table {
    fn expect_instance(&mut self, leaf: LeafId, answer: oneshot::Sender<Vec<Problem>>) -> u64 {
        self.last += 1;
        if self.ended.is_none() {
            self.instances.insert(self.last, (leaf, answer));
        }
        self.last
    }

    fn expect_run(&mut self, leaf: LeafId, answer: oneshot::Sender<SampleText>) -> u64 {
        self.last += 1;
        // Otherwise the sender is dropped here, and the receiver learns that nobody will answer.
        if self.ended.is_none() {
            self.runs.insert(self.last, (leaf, answer));
        }
        self.last
    }

    /// A sample came.
    fn sample(&mut self, run: u64, sample: SampleText) -> Result<(), String> {
        if let Some((_, answer)) = self.runs.remove(&run) {
            self.proven = true;
            let _nobody_waits = answer.send(sample);
            return Ok(());
        }
        if self.overran.get(&run) == Some(&GivenUp::Told) {
            if says_overran(&sample) {
                // Only a new worker is free of it.
                self.overran.insert(run, GivenUp::Hangs);
            } else {
                self.overran.remove(&run);
            }
            // An unknown is the answer to our cancel; anything else is the check's own, and too late.
            return if sample.status == Status::Unknown.as_str() {
                Ok(())
            } else {
                Err(format!(
                    "the sample of run {run} came after it overran; dropped"
                ))
            };
        }
        Err(if run == 0 || run > self.last {
            self.fault(format!(
                "a sample for run {run}, which was never asked for; dropped"
            ))
        } else {
            format!("a second sample for run {run}; dropped")
        })
    }

    /// A line came that is no message: nobody could look, and whoever waits need not wait on.
    fn broken(&mut self, plugin: &str, run: Option<u64>, fault: String) -> String {
        let Some(run) = run else {
            return self.fault(fault);
        };
        if let Some((_, answer)) = self.runs.remove(&run) {
            let _nobody_waits = answer.send(SampleText {
                status: Status::Unknown.as_str().into(),
                cause: Some(Cause::Crashed.as_str().into()),
                message: format!("plugin `{plugin}` answered what is no sample: {fault}"),
                measurements: Vec::new(),
            });
        } else if self.overran.get(&run) == Some(&GivenUp::Told) {
            self.overran.remove(&run);
        } else if run == 0 || run > self.last {
            return self.fault(fault);
        }
        fault
    }

    /// Notes a fault that may have been meant as any answer.
    fn fault(&mut self, fault: String) -> String {
        self.faults += 1;
        self.fault.clone_from(&fault);
        fault
    }

    /// Gives a run up; false when it is over already.
    fn overrun(&mut self, run: u64) -> bool {
        let given_up = self.runs.remove(&run).is_some();
        if given_up {
            self.overran.insert(run, GivenUp::Told);
        }
        given_up
    }

    /// Whether a run that was given up still occupies its worker, as far as we know.
    fn still_there(&self, run: u64) -> bool {
        self.overran.contains_key(&run)
    }

    /// The worker ended: the leaves whose calls were in it, whether it was retiring, whether it
    /// ever worked.
    fn end(&mut self, why: &str) -> (HashSet<LeafId>, bool, bool) {
        self.ended = Some(why.into());
        let runs = self.runs.values().map(|&(leaf, _)| leaf);
        let instances = self.instances.values().map(|&(leaf, _)| leaf);
        (runs.chain(instances).collect(), self.retiring, self.proven)
    }

    /// Lets everyone who waits go on.
    fn release(&mut self) {
        self.runs.clear();
        self.instances.clear();
    }
}

/// What is told about a run that did not come back.
pub(crate) fn overran(limit: Duration) -> String {
    let (limit, more) = (Span(millis(limit)), Span(millis(OVERRUN)));
    format!("did not come back within {more} after its timeout of {limit}")
}

/// Whole milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn says_overran(sample: &SampleText) -> bool {
    sample.cause.as_deref() == Some(Cause::Overran.as_str())
}

/// Whether a run may have failed because its worker is confined, and not because of its target.
fn was_refused(sample: &SampleText) -> bool {
    let no_permission = sample.cause.as_deref() == Some(Cause::NoPermission.as_str());
    let message = sample.message.to_lowercase();
    let words = ["permission denied", "not permitted", "permissionerror"];
    sample.status != "pass" && (no_permission || words.iter().any(|word| message.contains(word)))
}

fn too_large() -> Trouble {
    let message = format!("options are longer than {LINE_MAX} bytes");
    Trouble::Misconfigured(vec![Problem::of_all(message)])
}

/// `base · 2^times`, at most `max`.
fn doubled(base: Duration, times: u32, max: Duration) -> Duration {
    base.checked_mul(1 << times.min(20))
        .map_or(max, |wait| wait.min(max))
}

/// As [`protocol::read_line`](super::protocol::read_line), for a stream of the runtime.
async fn read_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    line.clear();
    loop {
        let seen = match stream.fill_buf().await {
            Ok(seen) => seen,
            // It ended before it had read all that we sent.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => &[],
            Err(error) => return Err(error),
        };
        if seen.is_empty() {
            return Ok(!line.is_empty());
        }
        let (used, ended) = gather(seen, line)?;
        stream.consume(used);
        if ended {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
