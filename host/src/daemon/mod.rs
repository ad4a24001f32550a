//! One loop owns the engine; everything else sends it events.
//!
//! The loop never waits for a disk, a plugin or a process: it takes what happened, steps the engine,
//! and hands each effect to whoever carries it out.

mod calendar;
mod difference;
pub(crate) use self::calendar::zone;
mod log;
mod reload;
mod systemd;
mod talk;
mod unplanned;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use checkd_core::diagnostic::Diagnostic;
use checkd_core::engine::{Act, Command, Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::{OnExit, Plan, Scope};
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::policy::{About, Notice, NoticeKind};
use checkd_core::report::{MemberReport, PluginReport, StatusReport, UnplannedReport};
use checkd_core::{Generation, Instant, IntentId, MemberId, Span};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{oneshot, watch};

use crate::api;
use crate::cli::Layers;
use crate::evidence::{Desk, Subject};
use crate::journal::{Journal, Past, Scribe};
use crate::manager::Manager;
use crate::notify::Notifier;
use crate::plugin::{Catalog, Standing};
use crate::points::Point;
use crate::runner::Runner;
use crate::state_dir::{self, StateDir};
use crate::wall::Both;
use talk::Talk;
use watcher::Watcher;

/// So many events are taken before the timer and the signals are looked at again.
const BURST: usize = 1_024;
/// And for so long at most: a signal or a person must be heard soon.
const BURST_TIME: Duration = Duration::from_millis(5);
/// How long acts in flight may still take when the daemon ends and its members are stopped.
const LAST_ACTS: Duration = Duration::from_secs(30);

/// And how long what did not stop may take to be killed.
const LAST_KILLS: Duration = Duration::from_secs(20);

/// What began so shortly before the end may have reached nobody.
const LAST_RUNS: Span = Span::millis(100);

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

/// What the control socket asks of the loop.
#[derive(Debug)]
pub enum Question {
    /// Whether the loop turns.
    Alive(oneshot::Sender<()>),
    /// What stands now.
    Status(oneshot::Sender<StatusReport>),
    /// Why one member is as it is.
    Explain(MemberId, oneshot::Sender<Option<MemberReport>>),
    /// A person wants something.
    Command {
        /// Who.
        by: String,
        /// About which member.
        member: MemberId,
        /// What.
        command: Command,
        /// What will happen, or why it will not.
        answer: oneshot::Sender<Result<String, String>>,
    },
    /// A person wants a process stopped that is in no configuration any more.
    Evict {
        /// Who.
        by: String,
        /// `group/member`, as it was called.
        path: String,
        /// What will happen; nothing when no such process runs.
        answer: oneshot::Sender<Option<Result<String, String>>>,
    },
    /// Take the configuration as it is now.
    Reload {
        /// Who asks.
        by: String,
        /// Restart members whose process was started with other settings.
        restart: bool,
        /// Take a configuration that leaves most members out, and so stop them.
        force: bool,
        /// What became of it, as text; `Err` when nothing was changed.
        answer: oneshot::Sender<Result<String, NotTaken>>,
    },
}

/// Why a configuration was not taken, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// There is something wrong with it.
    Wrong(String),
    /// It cannot be now.
    Later(String),
}

/// A question, and the plan that its members are of.
pub type Asked = (Arc<Plan>, Question);

/// How the loop was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Leave,
    Stop,
    /// Members live on, and are another daemon's.
    Ousted,
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

    /// Maintenance windows begin and end by the clock on the wall.
    fn look_at_calendar(&mut self) {
        let plan = Arc::clone(&self.plan);
        for event in self.calendar.look(&plan, jiff::Timestamp::now()) {
            self.step(&event);
        }
    }

    /// A keeper that hangs is told once, to whoever watches and to whoever does not.
    fn look_at_keeper(&mut self) {
        let hangs = self.manager.keeper_hangs();
        let before = std::mem::replace(&mut self.keeper_hangs, hangs.is_some());
        match hangs {
            Some(told) if !before => {
                self.talk.line(&crate::cli::tell::text(&told));
                let notice = Notice {
                    about: About::Host,
                    at: crate::clock::now(),
                    kind: NoticeKind::Stall,
                    text: format!("{}; no member is started or stopped", told.message),
                    incident: None,
                };
                let wall = Both::read().wall_ms(notice.at);
                self.notifier.tell(&notice, &self.plan, wall);
                self.journal.hurry();
            }
            None if before => self.talk.own("the keeper answers again"),
            Some(_) | None => {}
        }
    }

    fn quarantined(&self) -> Vec<PluginReport> {
        let all = self.runner.standings().into_iter();
        let quarantined = all.filter_map(|(name, standing)| match standing {
            Standing::Quarantined(quarantined) => Some(PluginReport {
                name: name.to_string(),
                quarantined,
            }),
            Standing::Open | Standing::Good => None,
        });
        quarantined.collect()
    }

    /// A plugin that is quarantined is told once, to whoever watches and to whoever does not, and so is
    /// the end of that.
    fn look_at_plugins(&mut self) {
        let standings: BTreeMap<Arc<str>, Standing> = self.runner.standings().into_iter().collect();
        let mut told = Vec::new();
        for (name, now) in &standings {
            let before = self.plugins.get(name);
            match (before, now) {
                (Some(Standing::Quarantined(_)), Standing::Quarantined(_)) => {}
                (_, Standing::Quarantined(why)) => {
                    let text = format!("its checks are unknown; {why}");
                    told.push((Arc::clone(name), NoticeKind::Quarantined, text, true));
                }
                // A daemon before this one may have told of a quarantine.
                (None | Some(Standing::Open | Standing::Quarantined(_)), Standing::Good) => {
                    let loud = matches!(before, Some(Standing::Quarantined(_)));
                    let text = "a run came back: its checks say again how it is".to_owned();
                    told.push((Arc::clone(name), NoticeKind::Released, text, loud));
                }
                (_, Standing::Good | Standing::Open) => {}
            }
        }
        for (name, before) in &self.plugins {
            if matches!(before, Standing::Quarantined(_)) && !standings.contains_key(name) {
                let text = "it is used no more".to_owned();
                told.push((Arc::clone(name), NoticeKind::Released, text, true));
            }
        }
        let wall = Both::read().wall_ms(crate::clock::now());
        for (name, kind, text, loud) in told {
            if loud {
                self.talk
                    .about(wall, &format!("plugin {name}"), &text, Some(kind));
            }
            self.notifier.tell_of_plugin(&name, kind, &text, wall);
        }
        self.plugins = standings;
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

    /// What is not seen yet is not seen any more, and who was looked at is left to the next daemon.
    fn look_no_more(&mut self) {
        for look in std::mem::take(&mut self.looks).into_values() {
            if let Look::UnderWay(looking) = look {
                looking.abort();
            }
        }
    }

    fn answer(&mut self, question: Question) {
        let now = crate::clock::now();
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            Question::Status(answer) => {
                let mut report = self.engine.status(now);
                report.notify = self.notifier.report();
                report.unplanned = self.manager.unplanned();
                report.keeper = self.manager.keeper_report();
                report.plugins = self.quarantined();
                drop(answer.send(report));
            }
            Question::Explain(member, answer) => {
                let mut report = self.engine.explain(member, now);
                if let Some(report) = &mut report {
                    self.runner.advise(report);
                    let keeper = self.manager.keeper_report();
                    let notes = keeper.into_iter().flat_map(|keeper| keeper.notes);
                    report
                        .notes
                        .extend(notes.map(|note| format!("the keeper: {note}")));
                }
                drop(answer.send(report));
            }
            Question::Evict { answer, .. } if answer.is_closed() => {}
            Question::Evict { by, path, answer } => drop(answer.send(self.evict(&path, by))),
            Question::Reload {
                by,
                restart,
                force,
                answer,
            } => self.reload(by, restart, force, Some(answer)),
            // Whoever asked was told that nobody answers, and has gone: it must not happen later.
            Question::Command { answer, .. } if answer.is_closed() => {}
            Question::Command {
                by,
                member,
                command,
                answer,
            } => {
                if command == Command::Stop {
                    self.evidence.hurry(&self.plan.path(member));
                }
                let id = self.next_answer;
                self.next_answer += 1;
                self.answers.insert(id, answer);
                self.step(&Event::Command {
                    id,
                    by,
                    member,
                    command,
                });
            }
        }
    }

    /// Members live on: the keeper brings acts in flight to their end, and tells the next daemon. Members
    /// stop: all of them are stopped, and acts in flight are waited for. A second signal hurries.
    async fn last_acts(
        &mut self,
        end: End,
        events: &mut UnboundedReceiver<Event>,
        signals: &mut Signals,
    ) {
        // Of what comes now not all is decided by the engine.
        self.journal.end_segment();
        self.look_no_more();
        let not_begun = self.manager.no_more_starts();
        self.acting.retain(|intent| !not_begun.contains(intent));
        if end != End::Stop {
            self.keep_when();
            // While we waited nobody would be checked.
            while let Ok(event) = events.try_recv() {
                self.note(end, &event);
            }
            return;
        }
        let running = self.manager.running();
        self.talk.own(&format!(
            "stopping {running} member{}; a second signal kills",
            if running == 1 { "" } else { "s" }
        ));
        let manager = self.manager.clone();
        let work = manager.stop_all();
        tokio::pin!(work);
        let patience = tokio::time::sleep(LAST_ACTS);
        tokio::pin!(patience);
        let (mut worked, mut hurried) = (false, false);
        while !worked || !self.acting.is_empty() {
            tokio::select! {
                failed = &mut work, if !worked => {
                    worked = true;
                    for (path, why) in failed {
                        self.talk.own(&format!("{path} did not stop: {why}"));
                    }
                }
                Some(event) = events.recv() => self.note(end, &event),
                () = &mut patience, if worked => break,
                _ = signals.term.recv() => { hurried = true; break; }
                _ = signals.interrupt.recv() => { hurried = true; break; }
            }
        }
        if hurried {
            self.talk
                .own("killing what is left; another signal ends checkd whatever is left");
        }
        // An act that was in flight may have started a member after it was looked for.
        let mut rounds = 0;
        while self.manager.running() > 0 && rounds < 2 {
            rounds += 1;
            // A keeper that hangs answers nobody.
            tokio::select! {
                () = self.manager.kill_all() => {}
                () = tokio::time::sleep(LAST_KILLS) => break,
                _ = signals.term.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        while let Ok(event) = events.try_recv() {
            self.note(end, &event);
        }
    }

    /// Notes when this daemon ended: the next one makes up for the runs that are due until it is there.
    fn keep_when(&mut self) {
        let now = crate::clock::now();
        let due = self
            .wake_at
            .map_or(now, |at| Instant(at.0.saturating_sub(1)));
        let at = Instant(now.0.saturating_sub(LAST_RUNS.0)).min(due);
        let first = self.plan.members().next();
        if let Some(kept) = first.and_then(|id| self.engine.keep(id, at)) {
            self.journal.keep(Kept::Member(Box::new(kept)));
        }
    }

    /// What the next daemon must know, though this one does nothing any more: what became of acts
    /// in flight, and who was stopped.
    fn note(&mut self, end: End, event: &Event) {
        self.remember(event);
        // No intent comes any more, and the keeper hears of this when the journal is closed.
        self.manager.noted(event);
        if let (End::Stop, Event::Exited { member, .. }) = (end, event) {
            // To the engine this would be a death.
            if let Some(kept) = self.engine.keep(*member, crate::clock::now()) {
                self.journal.keep(Kept::Member(Box::new(kept.stopped())));
            }
            return;
        }
        if end == End::Stop {
            return;
        }
        let mut effects = Vec::new();
        self.engine.step(event, crate::clock::now(), &mut effects);
        for effect in effects {
            match effect {
                // Nobody would hear that it is stored, so it is not written down as if.
                Effect::Record(Entry::Intent { .. } | Entry::Decision { .. })
                | Effect::Run(_)
                | Effect::WakeAt(_) => {}
                // What is stored already the keeper does without us.
                Effect::Do(..)
                | Effect::Record(_)
                | Effect::Keep(_)
                | Effect::Notify(_)
                | Effect::Answer { .. } => self.carry_out(effect),
            }
        }
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

    async fn finish(mut self, end: End) -> ExitCode {
        self.note_ends();
        self.notifier.end().await;
        while let Ok(said) = self.notify_says.try_recv() {
            self.talk.line(&said);
        }
        let running = self.manager.running();
        let s = if running == 1 { "" } else { "s" };
        match (end, running) {
            (End::Leave | End::Ousted, 0) => self.talk.own("ended; no member was running"),
            (End::Leave, n) => self.talk.own(&format!(
                "ended; {n} member{s} live on, and the next `checkd run` takes them over"
            )),
            (End::Ousted, n) => self.talk.own(&format!("ended; {n} member{s} live on")),
            (End::Stop, 0) => self.talk.own("ended; every member is stopped"),
            (End::Stop, n) => self
                .talk
                .own(&format!("ended; {n} member{s} could not be stopped")),
        }
        self.journal.close();
        self.talk.end();
        if end == End::Ousted || (end == End::Stop && running > 0) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl From<OnExit> for End {
    fn from(on_exit: OnExit) -> Self {
        match on_exit {
            OnExit::Leave => Self::Leave,
            OnExit::Stop => Self::Stop,
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

/// What lies between the daemon before and this one.
fn between(past: &Past, begun: &BTreeMap<IntentId, bool>) -> Between {
    match past.rebooted {
        Some(away) => Between::Reboot { away },
        // What the keeper has begun goes on, or is over, and its end is told. What it never heard of
        // is withdrawn, and decided anew on fresh evidence.
        None => Between::SameBoot {
            open: past
                .open
                .iter()
                .map(|intent| (*intent, begun.contains_key(intent)))
                .collect(),
        },
    }
}

/// A process that the engine still counts on, and of which the journal knows that it is not the
/// member's last one, is gone.
fn forget_the_gone(plan: &Plan, past: &Past, manager: &Manager, events: &UnboundedSender<Event>) {
    let ids: BTreeMap<String, MemberId> = plan.members().map(|id| (plan.path(id), id)).collect();
    for kept in past.kept.iter().filter_map(Kept::member) {
        if let (Some(&id), Some(generation)) = (ids.get(&kept.path), kept.generation)
            && !past.lives.contains(&(id, generation))
            && !manager.knows(&kept.path, generation)
        {
            lost(events, id, generation);
        }
    }
}

fn lost(events: &UnboundedSender<Event>, member: MemberId, generation: Generation) {
    let exit = checkd_core::engine::Exit::Lost;
    // The loop has not begun yet, so it is there to hear it.
    drop(events.send(Event::Exited {
        member,
        generation,
        exit,
    }));
}

/// Takes over what still runs of the daemon before, and says what ended meanwhile.
async fn adopt(
    talk: &Talk,
    plan: &Plan,
    manager: &Manager,
    events: &UnboundedSender<Event>,
    past: &Past,
) {
    for what in &past.interrupted {
        talk.own(&format!(
            "the daemon before ended during an act ({what}); looking at what is"
        ));
    }
    for &(id, generation) in &past.lives {
        let (who, pid) = (plan.path(id), generation.pid);
        if manager.adopt(id, generation).await {
            let text = format!("still runs as pid {pid}; taken over");
            talk.about(Both::read().now_ms(), &who, &text, None);
        } else {
            // What the keeper saw it has told.
            let exit = manager.exit_of(generation);
            if exit.is_none() {
                lost(events, id, generation);
            }
            let text = match exit {
                Some(exit) => format!("{exit} while no checkd ran (it was pid {pid})"),
                None if runs(generation) => {
                    format!("pid {pid} is kept by another checkd; left alone")
                }
                None => format!("ended while no checkd ran (it was pid {pid})"),
            };
            talk.about(Both::read().now_ms(), &who, &text, None);
        }
    }
    // What the keeper started, and the daemon before did not live to note.
    for (id, generation) in manager.lives() {
        if !past.lives.contains(&(id, generation)) {
            let text = format!("runs as pid {}; taken over", generation.pid);
            talk.about(Both::read().now_ms(), &plan.path(id), &text, None);
        }
    }
    for UnplannedReport { path, pid, .. } in manager.unplanned() {
        talk.own(&format!(
            "{path} runs as pid {pid} and is not in the configuration any more; it is left alone, \
             `checkd stop {path}` ends it"
        ));
    }
}

/// Whether this very process runs.
fn runs(generation: Generation) -> bool {
    let row = crate::keeper::processes::row(generation.pid);
    generation.boot == crate::keeper::processes::boot_id()
        && row.is_some_and(|row| row.start == generation.start && !row.zombie)
}

/// What matters once, at the start.
fn announce(
    talk: &Talk,
    plan: &Plan,
    source: &str,
    changed: &[String],
    state: &StateDir,
    control: &Path,
) {
    talk.line(&format!(
        "checkd {}, configured by {source}",
        env!("CARGO_PKG_VERSION")
    ));
    talk.line(&format!("  state    {}", state.path().display()));
    talk.line(&format!("  control  {}", control.display()));
    for group in &plan.groups {
        let n = group.members.len();
        let members = match (group.members.first(), group.members.last()) {
            (Some(first), Some(last)) if n > 1 => {
                format!("{n} members, {} … {}", first.name, last.name)
            }
            (Some(only), _) => format!("1 member, {}", only.name),
            _ => "no members".to_owned(),
        };
        let observed = match group.mode {
            checkd_core::plan::Mode::Auto => "",
            checkd_core::plan::Mode::Observe => "; observed only, nothing is restarted",
        };
        talk.line(&format!("  group    {}: {members}{observed}", group.name));
        for check in &group.checks {
            let scope = match check.scope {
                Scope::Process => "",
                Scope::Host => ", of the host",
                Scope::Dependency => ", of a dependency",
            };
            talk.line(&format!(
                "           {} ({}{scope}) every {}, fails after {} in a row",
                check.name, check.kind, check.interval, check.fall
            ));
        }
        if group.checks.is_empty() {
            talk.line("           no checks: only a process that ends is seen");
            continue;
        }
        talk.line(&format!("           live = {}", group.live.text));
        if group.ready.text != group.live.text {
            talk.line(&format!("           ready = {}", group.ready.text));
        }
    }
    for sink in &plan.notify {
        let (name, kind) = (&sink.name, sink.target.kind());
        let events = sink.events.join(", ");
        talk.line(&format!("  notify   {name} ({kind}): {events}"));
    }
    if !changed.is_empty() {
        talk.line("  changed from the defaults");
        for line in changed {
            talk.line(&format!("           {line}"));
        }
    }
    talk.line("");
}
