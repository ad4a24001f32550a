//! One loop owns the engine; everything else sends it events.
//!
//! The loop never waits for a disk, a plugin or a process: it takes what happened, steps the engine,
//! and hands each effect to whoever carries it out.

mod around;
mod beginning;
mod calendar;
mod difference;
mod ending;
mod log;
mod question;
mod reload;
mod systemd;
mod talk;
mod unplanned;
mod watcher;

pub(crate) use self::calendar::zone;
pub use self::question::{Asked, NotTaken, Question};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use checkd_core::diagnostic::Diagnostic;
use checkd_core::engine::{Act, Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::policy::About;
use checkd_core::{Instant, IntentId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{oneshot, watch};

use crate::api;
use crate::cli::Layers;
use crate::evidence::{Desk, Subject};
use crate::journal::{Journal, Scribe};
use crate::manager::Manager;
use crate::notify::Notifier;
use crate::plugin::{Catalog, Standing};
use crate::points::Point;
use crate::runner::Runner;
use crate::state_dir::{self, StateDir};
use crate::wall::Both;
use beginning::{adopt, announce, between, forget_the_gone};
use ending::End;
use talk::Talk;
use watcher::Watcher;

/// So many events are taken before the timer and the signals are looked at again.
const BURST: usize = 1_024;
/// And for so long at most: a signal or a person must be heard soon.
const BURST_TIME: Duration = Duration::from_millis(5);
/// What a daemon begins with.
#[derive(Debug)]
pub struct Setup {
    /// What it was told.
    pub plan: Arc<Plan>,
    /// What can be checked.
    pub catalog: Arc<Catalog>,
    /// Where the configuration was read from, for the person.
    pub source: String,
    /// The directory that relative paths of the configuration are seen from.
    pub base: PathBuf,
    /// Every setting that differs from its default, one line each.
    pub changed: Vec<String>,
    /// What to read again when a reload is asked for.
    pub layers: Layers,
    /// Whether every group is only observed, whatever the configuration says.
    pub observe: bool,
}

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// It cannot begin: the state directory, the journal or the control socket cannot be used. Nothing
/// was started then.
pub fn run(setup: Setup) -> Result<ExitCode, Diagnostic> {
    let configured = setup.plan.daemon.state_dir.as_deref();
    let state = state_dir::path_of(configured, &setup.base);
    if let Some(control) = setup.plan.daemon.control.as_deref() {
        // One in the state directory is guarded by the lock of the directory, which says more.
        api::Server::may_bind(&state_dir::control_of(Some(control), &state, &setup.base))?;
    }
    let state = StateDir::take(&state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| {
            Diagnostic::error("C0508", format!("cannot start the daemon's threads: {e}"))
        })?;
    let code = runtime.block_on(serve(setup, &state))?;
    // Runs in flight are not waited for: nothing that they could still say is heard.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve(setup: Setup, state: &StateDir) -> Result<ExitCode, Diagnostic> {
    let Setup {
        plan,
        catalog,
        source,
        base,
        changed,
        layers,
        observe,
    } = setup;
    let width = width_of(&plan);
    log::begin(plan.daemon.log.as_deref(), width.max("checkd".len()));
    let broken = |what: &str, e: std::io::Error| {
        Diagnostic::error("C0508", format!("cannot {what}: {e}")).note("nothing was started")
    };
    let talk = Talk::begin(width).map_err(|e| broken("start a thread", e))?;
    let signals = Signals::new().map_err(|e| broken("watch for signals", e))?;
    let (sender, events) = unbounded_channel();
    let (journal, past, warning) =
        Journal::open(&state.journal(), Arc::clone(&plan), sender.clone())?;
    Point::DaemonJournalOpened.pass();
    let control = state_dir::control_of(plan.daemon.control.as_deref(), state.path(), &base);
    let (question_sender, questions) = channel(64);
    let api = api::Server::bind(&control, plan.daemon.control_group.as_deref())?;
    if let Some(warning) = warning {
        talk.line(&crate::cli::tell::text(&warning));
    }
    if let Some(warning) = crate::open_files::raise(&plan) {
        talk.line(&crate::cli::tell::text(&warning));
    }
    announce(&talk, &plan, &source, &changed, state, &control);

    let manager = Manager::open(Arc::clone(&plan), state.path(), sender.clone()).await?;
    Point::DaemonKeeperListed.pass();
    if let Some(warning) = manager.stays() {
        talk.line(&crate::cli::tell::text(&warning));
    }
    let runner = Runner::new(catalog, Arc::clone(&plan), sender.clone())
        .map_err(|e| broken("start the threads of checks", e))?;
    let began = crate::clock::now();
    let mut engine = Engine::new(
        Arc::clone(&plan),
        seed(),
        // A journal that begins anew must not give out again what the keeper remembers.
        past.next_intent
            .max(IntentId(manager.highest_intent().0 + 1)),
        began,
    );
    engine.restore(&past.kept, &between(&past, &manager.begun()), began);
    let scribe = Scribe::begin(&journal, &engine, "daemon started", began);
    let over: BTreeSet<IntentId> = past.open.difference(&engine.attempts()).copied().collect();
    Point::DaemonRestored.pass();
    journal.interrupted(over);
    forget_the_gone(&plan, &past, &manager, &sender);
    manager.announce();
    Point::DaemonAnnounced.pass();
    adopt(&talk, &plan, &manager, &sender, &past).await;
    Point::DaemonAdopted.pass();
    let mut calendar = calendar::Calendar::default();
    for event in calendar.look(&plan, jiff::Timestamp::now()) {
        drop(sender.send(event));
    }
    // The first step: without it nothing happens.
    drop(sender.send(Event::Wake));
    let (plans, plan_in_force) = watch::channel(Arc::clone(&plan));
    let (reads, read) = unbounded_channel();
    let live = api::Live {
        plan: plan_in_force,
        questions: question_sender,
        reader: journal.reader(),
        output_dir: state.output(),
        changes: journal.changes(),
    };
    let evidence = Desk::new(state.path(), live.clone());
    let (said, notify_says) = unbounded_channel();
    let mut notifier = Notifier::new(state.path(), &base, live.clone(), said);
    notifier.follow(&plan);
    let served = api.serve(live);
    let mut daemon = Daemon {
        engine,
        plan: Arc::clone(&plan),
        manager,
        runner,
        journal,
        scribe,
        talk,
        watcher: Watcher::default(),
        wake_at: None,
        acting: BTreeSet::new(),
        looks: BTreeMap::new(),
        answers: BTreeMap::new(),
        next_answer: 0,
        effects: Vec::new(),
        systemd: systemd::Systemd::find(),
        layers,
        observe,
        reading: false,
        reads,
        plans,
        evidence,
        notifier,
        calendar,
        notify_says,
        keeper_hangs: false,
        plugins: BTreeMap::new(),
    };
    let end = daemon.turn(events, questions, read, signals).await;
    served.end().await;
    let manager = daemon.manager.clone();
    let code = daemon.finish(end).await;
    manager.end().await;
    Ok(code)
}

/// Jitter needs a seed that differs from daemon to daemon, and nothing better.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

struct Daemon {
    engine: Engine,
    plan: Arc<Plan>,
    manager: Manager,
    runner: Runner,
    journal: Journal,
    /// Writes down what the engine is told.
    scribe: Scribe,
    talk: Talk,
    watcher: Watcher,
    wake_at: Option<Instant>,
    /// Acts that are being carried out.
    acting: BTreeSet<IntentId>,
    /// Intents on whose behalf a member is looked at before it is killed.
    looks: BTreeMap<IntentId, Look>,
    answers: BTreeMap<u64, oneshot::Sender<Result<String, String>>>,
    next_answer: u64,
    effects: Vec<Effect>,
    systemd: systemd::Systemd,
    layers: Layers,
    observe: bool,
    /// Whether a configuration is being read.
    reading: bool,
    /// Where a configuration that was read comes back.
    reads: UnboundedSender<reload::Read>,
    /// Tells the API which plan is in force.
    plans: watch::Sender<Arc<Plan>>,
    /// Looks at members before they are killed.
    evidence: Desk,
    /// Tells people who are not watching.
    notifier: Notifier,
    /// Which groups are left alone now.
    calendar: calendar::Calendar,
    /// What it has to say to the person who is.
    notify_says: UnboundedReceiver<String>,
    /// Whether it was told that the keeper hangs.
    keeper_hangs: bool,
    /// How the plugins were when they were last looked at.
    plugins: BTreeMap<Arc<str>, Standing>,
}

/// A look at a member before it is killed.
#[derive(Debug)]
enum Look {
    /// To be taken when the intent is stored.
    Wanted(Act),
    /// Being taken.
    UnderWay(tokio::task::JoinHandle<()>),
}

/// How wide the column of members is.
fn width_of(plan: &Plan) -> usize {
    plan.members()
        .map(|id| plan.path(id).len())
        .max()
        .unwrap_or(0)
        .min(40)
}

impl Daemon {
    async fn turn(
        &mut self,
        mut events: UnboundedReceiver<Event>,
        mut questions: Receiver<Asked>,
        mut reads: UnboundedReceiver<reload::Read>,
        mut signals: Signals,
    ) -> End {
        self.systemd.say("READY=1");
        let mut watchdog = self.systemd.watchdog.map(tokio::time::interval);
        let mut machine = tokio::time::interval(crate::machine::EVERY);
        machine.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let first = loop {
            let wake = self.until_wake();
            tokio::select! {
                biased;
                _ = signals.term.recv() => break self.plan.daemon.on_exit.into(),
                _ = signals.interrupt.recv() => break End::Stop,
                _ = signals.hangup.recv() => self.reload("SIGHUP".to_owned(), false, false, None),
                Some(read) = reads.recv() => self.take(read, &mut events),
                Some(said) = self.notify_says.recv() => self.talk.line(&said),
                Some((asked, question)) = questions.recv() => {
                    // Whoever asked about a member that is gone hears that nobody answers.
                    if let Some(question) = self.rebased(question, &asked) {
                        self.answer(question);
                    }
                }
                Some(event) = events.recv() => {
                    let began = std::time::Instant::now();
                    self.step(&event);
                    for _ in 1..BURST {
                        if began.elapsed() > BURST_TIME {
                            break;
                        }
                        let Ok(event) = events.try_recv() else { break };
                        self.step(&event);
                    }
                }
                _ = machine.tick() => {
                    self.step(&Event::Host(crate::machine::read()));
                    self.look_at_calendar();
                    self.note_ends();
                    self.look_at_keeper();
                    self.look_at_plugins();
                    self.scribe.go_on(&self.journal, &self.engine, crate::clock::now());
                    if self.journal.is_ousted() {
                        self.say_ousted();
                        break End::Ousted;
                    }
                }
                () = tokio::time::sleep(wake) => {}
                () = tick(watchdog.as_mut()) => self.systemd.say("WATCHDOG=1"),
            }
            if self.wake_at.is_some_and(|at| at <= crate::clock::now()) {
                self.wake_at = None;
                self.step(&Event::Wake);
            }
        };
        self.systemd.say("STOPPING=1");
        // As the first process of a container there is nobody who could adopt.
        let end = if self.manager.keeper() == 1 && first != End::Ousted {
            End::Stop
        } else {
            first
        };
        self.last_acts(end, &mut events, &mut signals).await;
        end
    }

    /// Our state directory was removed, and another checkd has used the one that is there now: whatever we
    /// did would be done twice.
    fn say_ousted(&self) {
        let told = Diagnostic::error("C0515", "the state directory is another checkd's by now")
            .note("it was removed while this one ran, and another one was started on its place")
            .note("this one ends; members are not touched, and are the other's")
            .help("`checkd status` asks the other; where none runs, start checkd again");
        self.talk.line(&crate::cli::tell::text(&told));
    }

    /// How long until the engine wants to be woken.
    fn until_wake(&self) -> Duration {
        let Some(at) = self.wake_at else {
            return Duration::from_hours(1);
        };
        at.since(crate::clock::now()).as_duration()
    }

    fn step(&mut self, event: &Event) {
        let outcome = matches!(
            event,
            Event::Started { .. } | Event::Exited { .. } | Event::Done { .. }
        );
        if outcome {
            Point::DaemonOutcomeHeard.pass();
        }
        self.remember(event);
        if let Event::IntentStored(stored) = event {
            Point::DaemonIntentTold.pass();
            // The journal writes in order: what was noted before is in it too.
            self.manager.acknowledge(*stored);
            if self.look_first(*stored) {
                return;
            }
        }
        let mut effects = std::mem::take(&mut self.effects);
        let now = crate::clock::now();
        self.engine.step(event, now, &mut effects);
        self.scribe.took(&self.journal, event, now, &mut effects);
        let lines = self.watcher.lines(event, &effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.manager.noted(event);
        if outcome {
            Point::DaemonOutcomeNoted.pass();
        }
        for line in lines {
            self.talk.about(
                Both::read().wall_ms(line.at),
                &self.plan.path(line.member),
                &line.text,
                line.kind,
            );
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Record(entry) => {
                let Entry::Intent { intent, act, .. } = &entry else {
                    self.journal.record(entry);
                    return;
                };
                let intent = *intent;
                if subject(act).is_some() {
                    self.looks.insert(intent, Look::Wanted(act.clone()));
                }
                Point::DaemonDecided.pass();
                self.manager.seal(intent);
                self.journal.record(entry);
                Point::DaemonIntentQueued.pass();
            }
            Effect::Do(intent, act) => {
                Point::DaemonActReleased.pass();
                self.acting.insert(intent);
                self.manager.carry_out(intent, act);
            }
            Effect::Run(run) => self.runner.begin(run),
            Effect::Keep(kept) => self.journal.keep(kept),
            Effect::WakeAt(at) => self.wake_at = Some(at),
            Effect::Notify(notice) => {
                let wall = Both::read().wall_ms(notice.at);
                let who = match notice.about {
                    About::Member(id) => self.plan.path(id),
                    About::Group(group) => self.plan.group_name(group).to_owned(),
                    About::Host => "this machine".to_owned(),
                };
                self.talk.about(wall, &who, &notice.text, Some(notice.kind));
                self.notifier.tell(&notice, &self.plan, wall);
            }
            Effect::Answer { id, answer } => {
                if let Some(waiting) = self.answers.remove(&id) {
                    // Whoever asked may have gone.
                    drop(waiting.send(answer));
                }
            }
        }
    }

    /// Looks at a member that is to be killed, and then says once more that the intent is stored: only
    /// then the engine reads the gates again, since in these seconds it may have got well, somebody may
    /// have paused it, and what it needs may have gone. False when there is nothing to wait for.
    fn look_first(&mut self, intent: IntentId) -> bool {
        let Some(Look::Wanted(act)) = self.looks.remove(&intent) else {
            return false;
        };
        let Some(subject) = subject(&act) else {
            return false;
        };
        let Some(look) = self.evidence.look(&self.plan, subject) else {
            return false;
        };
        let manager = self.manager.clone();
        let looking = tokio::spawn(async move {
            look.await;
            manager.tell(Event::IntentStored(intent));
        });
        self.looks.insert(intent, Look::UnderWay(looking));
        true
    }

    /// Notes lives and ended acts.
    fn remember(&mut self, event: &Event) {
        match event {
            Event::Started {
                member, generation, ..
            } => self.journal.started(*member, *generation),
            Event::Exited {
                member,
                generation,
                exit,
            } => {
                self.journal.exited(*member, *generation, *exit);
            }
            Event::Done { intent, .. } => {
                self.acting.remove(intent);
            }
            Event::IntentRefused { intent, .. } => {
                self.looks.remove(intent);
            }
            Event::Wake
            | Event::Host(_)
            | Event::Maintenance { .. }
            | Event::Sample { .. }
            | Event::IntentStored(_)
            | Event::Command { .. } => {}
        }
    }
}

/// Whom to look at before an act.
fn subject(act: &Act) -> Option<Subject> {
    let (member, generation, incident, blamed) = match act {
        Act::Signal {
            member,
            generation,
            processes,
            evidence,
        } => (member, generation, (*evidence)?, Arc::clone(processes)),
        Act::Restart {
            member,
            generation,
            evidence,
        } => (member, generation, (*evidence)?, Arc::default()),
        Act::Start { .. } | Act::Stop { .. } => return None,
    };
    Some(Subject {
        member: *member,
        generation: *generation,
        incident,
        blamed,
    })
}

async fn tick(interval: Option<&mut tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}
