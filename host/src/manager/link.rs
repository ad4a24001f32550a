//! The daemon's side of the keeper: finds it or starts it, asks it, and takes what it tells.
//!
//! One task owns the connection. When it breaks, the task connects again, to the same keeper or to
//! another, compares what is with what was, and asks again for every act that has no answer: each is
//! carried out once, however often it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use checkd_core::engine::{Event, Exit};
use checkd_core::plan::Plan;
use checkd_core::{Generation, IntentId, MemberId, Span};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::launch::{self, NOT_INHERITED};
use super::pulse::{self, Pulse};
use crate::keeper::protocol::{
    Gone, Lines, List, Living, MESSAGE_MAX, Message, Order, Output, PROTOCOL, REQUEST_MAX, Request,
    line,
};
use crate::keeper::{self, SOCKET, plain};
use crate::points::Point;

/// How long a keeper may take to answer at all: long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether a keeper that was started listens.
const LOOK: Duration = Duration::from_millis(5);
/// How long between two attempts to get a keeper back.
const AGAIN: Duration = Duration::from_secs(1);
/// A keeper's log that is larger is begun anew.
const LOG_MAX: u64 = 1 << 20;

/// What the link is asked for.
#[derive(Debug)]
enum Ask {
    Act(Box<Order>, oneshot::Sender<Result<(), String>>),
    Adopt(String, Generation, oneshot::Sender<bool>),
    Request(Request),
    End(oneshot::Sender<()>),
}

/// What is known of the keeper.
#[derive(Debug, Default)]
struct Known {
    lives: BTreeMap<String, Living>,
    /// Ends that happened while no daemon was there.
    exits: Vec<Gone>,
    begun: BTreeMap<IntentId, bool>,
    highest: IntentId,
    keeper: u32,
    /// Whether it answers.
    pulse: Pulse,
    /// One that did not even greet us.
    deaf: Option<u32>,
    /// Why there is none.
    missing: Option<String>,
    /// Why it stays another build than we are.
    stays: Option<String>,
    /// The pipes of members' output, held open so that what is in them stays should the keeper be
    /// killed as their last writer ends: the next keeper finds it there.
    pipes: BTreeMap<String, OwnedFd>,
    /// Ends of lives that the loop was told of, and that are not yet acknowledged.
    told: Vec<Generation>,
    /// Of members that no plan has any more: the loop asks for them.
    unplanned: Vec<Gone>,
    /// What the loop has handed to the journal.
    noted: Ends,
    /// And what it handed over ahead of an intent: it is on the disk when the intent is.
    sealed: BTreeMap<IntentId, Ends>,
}

/// Lives and acts that are over.
#[derive(Debug, Default)]
struct Ends {
    exits: Vec<Generation>,
    acts: Vec<IntentId>,
}

/// Asks the keeper.
#[derive(Clone, Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    asks: UnboundedSender<Ask>,
}

#[derive(Debug)]
struct Shared {
    ears: Mutex<Ears>,
    state_dir: PathBuf,
    known: Mutex<Known>,
}

/// Who hears of members, and under which names.
#[derive(Debug)]
struct Ears {
    plan: Arc<Plan>,
    events: UnboundedSender<Event>,
    /// What is not to be heard yet.
    held: Option<Vec<Event>>,
}

struct Connection {
    /// Who listens at the other end.
    pid: Option<u32>,
    lines: Lines<OwnedReadHalf>,
    /// Written by a task of its own: while we write, the keeper may be writing to us.
    writer: UnboundedSender<Vec<u8>>,
    writing: JoinHandle<()>,
}

impl Link {
    /// Connects to the keeper of `state_dir`, started where there is none. What it knows has been sent
    /// as events when this returns.
    ///
    /// # Errors
    /// For a person: why there is no keeper, and the process of one that does not answer.
    pub(super) async fn open(
        plan: Arc<Plan>,
        state_dir: PathBuf,
        events: UnboundedSender<Event>,
    ) -> Result<Self, (String, Option<u32>)> {
        let (asks, questions) = unbounded_channel();
        let shared = Arc::new(Shared {
            ears: Mutex::new(Ears {
                plan,
                events,
                held: Some(Vec::new()),
            }),
            state_dir,
            known: Mutex::default(),
        });
        let deaf = |why| (why, shared.known().deaf);
        let (connection, list) = shared.connect().await.map_err(deaf)?;
        shared.known().exits.clone_from(&list.exits);
        let task = Task {
            shared: Arc::clone(&shared),
            pending: BTreeMap::new(),
            adopting: Vec::new(),
            ended: None,
        };
        let connection = task.begin(connection, list, true).await.map_err(deaf)?;
        tokio::spawn(task.serve(connection, questions));
        Ok(Self { shared, asks })
    }

    /// Who lives, by path.
    pub(super) fn lives(&self) -> Vec<(String, Living)> {
        let known = self.shared.known();
        known
            .lives
            .iter()
            .map(|(path, living)| (path.clone(), living.clone()))
            .collect()
    }

    /// The life of a member.
    pub(super) fn life(&self, path: &str) -> Option<Living> {
        self.shared.known().lives.get(path).cloned()
    }

    /// How a life ended that ended while no daemon was there.
    pub(super) fn exit_of(&self, generation: Generation) -> Option<Exit> {
        let known = self.shared.known();
        let gone = known
            .exits
            .iter()
            .find(|gone| gone.generation == generation)?;
        Some(gone.exit)
    }

    pub(super) fn begun(&self) -> BTreeMap<IntentId, bool> {
        self.shared.known().begun.clone()
    }

    pub(super) fn highest(&self) -> IntentId {
        self.shared.known().highest
    }

    pub(super) fn keeper(&self) -> u32 {
        self.shared.known().keeper
    }

    /// Why the keeper stays another build than we are, when it does.
    pub(super) fn stays(&self) -> Option<String> {
        self.shared.known().stays.clone()
    }

    /// For how long the keeper has not answered, when that is long.
    pub(super) fn silent(&self) -> Option<Span> {
        self.shared.known().pulse.silent(Instant::now())
    }

    /// Why there is no keeper, when there is none.
    pub(super) fn missing(&self) -> Option<String> {
        self.shared.known().missing.clone()
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.shared.ears().plan)
    }

    /// Whether the plan in force has a member of this path.
    pub(super) fn plans(&self, path: &str) -> bool {
        self.shared.ears().member(path).is_some()
    }

    /// Members have the ids of this plan from now on, and events go elsewhere.
    pub(super) fn reload(&self, plan: Arc<Plan>, events: UnboundedSender<Event>) {
        let mut ears = self.shared.ears();
        (ears.plan, ears.events) = (plan, events);
        drop(ears);
        for path in self.shared.silent() {
            if !self.plans(&path) {
                self.shared.known().pipes.remove(&path);
            }
        }
        // Output may go elsewhere.
        for (path, _) in self.lives() {
            if let Some(output) = self.shared.output(&path) {
                self.request(Request::Output { path, output });
            }
        }
    }

    /// Lets go what was held back, and holds nothing back any more.
    pub(super) fn announce(&self) {
        let mut ears = self.shared.ears();
        for event in ears.held.take().unwrap_or_default() {
            ears.send(event);
        }
    }

    pub(super) fn send(&self, event: Event) {
        self.shared.ears().send(event);
    }

    /// Has an act carried out, to its end.
    ///
    /// # Errors
    /// For a person: why it could not be.
    pub(super) async fn act(&self, order: Order) -> Result<(), String> {
        self.hand(order).await
    }

    /// The same; the order is on its way when this returns, whether anybody waits for its end or not.
    pub(super) fn hand(&self, order: Order) -> impl Future<Output = Result<(), String>> + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = self.asks.send(Ask::Act(Box::new(order), answer));
        async move {
            let lost = || Err("checkd is ending".to_owned());
            if sent.is_err() {
                return lost();
            }
            answered.await.unwrap_or_else(|_| lost())
        }
    }

    pub(super) async fn adopt(&self, path: String, generation: Generation) -> bool {
        let (answer, answered) = oneshot::channel();
        let sent = self.asks.send(Ask::Adopt(path, generation, answer));
        sent.is_ok() && answered.await.unwrap_or(false)
    }

    /// The loop has handed this to the journal, if it is the end of a life or of an act.
    pub(super) fn noted(&self, event: &Event) {
        let mut known = self.shared.known();
        if let Event::Exited { generation, .. } = event {
            known.noted.exits.push(*generation);
        }
        if let Event::Done { intent, .. } = event {
            known.noted.acts.push(*intent);
        }
    }

    /// Ends of members that no plan has, which are now handed to the journal.
    pub(super) fn unplanned_ends(&self) -> Vec<Gone> {
        let mut known = self.shared.known();
        let ends = std::mem::take(&mut known.unplanned);
        let generations = ends.iter().map(|gone| gone.generation);
        known.noted.exits.extend(generations);
        ends
    }

    /// What was handed to the journal so far is ahead of this intent.
    pub(super) fn seal(&self, intent: IntentId) {
        let mut known = self.shared.known();
        let noted = std::mem::take(&mut known.noted);
        known.sealed.insert(intent, noted);
    }

    /// What was handed over ahead of this intent is in the journal; without one, all that was. What the
    /// loop has yet to hear of is not: a keeper that forgot it would be the last who knew.
    pub(super) fn acknowledge(&self, stored: Option<IntentId>) {
        let mut known = self.shared.known();
        let last = stored.unwrap_or(IntentId(u64::MAX));
        let rest = known.sealed.split_off(&IntentId(last.0.saturating_add(1)));
        let over = std::mem::replace(&mut known.sealed, rest).into_values();
        let mut over: Vec<Ends> = over.collect();
        if stored.is_none() {
            over.push(std::mem::take(&mut known.noted));
        }
        let exits: Vec<Generation> = over.iter().flat_map(|it| &it.exits).copied().collect();
        let acts: Vec<IntentId> = over.iter().flat_map(|it| &it.acts).copied().collect();
        known.told.retain(|exit| !exits.contains(exit));
        drop(known);
        if !exits.is_empty() || !acts.is_empty() {
            Point::DaemonAcknowledging.pass();
            self.request(Request::Ack { exits, acts });
        }
    }

    /// Sends what is not answered.
    pub(super) fn request(&self, request: Request) {
        if self.asks.send(Ask::Request(request)).is_err() {
            tracing::debug!("the keeper's link has ended");
        }
    }

    /// Says what is left to say and lets the keeper go.
    pub(super) async fn end(&self) {
        let (answer, answered) = oneshot::channel();
        let patience = match self.silent() {
            Some(_) => AGAIN,
            None => PATIENCE,
        };
        if self.asks.send(Ask::End(answer)).is_ok() {
            drop(tokio::time::timeout(patience, answered).await);
        }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the output of a member goes, by the plan in force.
    fn output(&self, path: &str) -> Option<Output> {
        let ears = self.ears();
        let id = ears.member(path)?;
        let directory = self.state_dir.join("output");
        launch::output(
            ears.plan.group(id.group)?,
            ears.plan.member(id)?,
            &directory,
        )
        .ok()
    }

    /// Who has a pipe and no life.
    fn silent(&self) -> Vec<String> {
        let known = self.known();
        let silent = known
            .pipes
            .keys()
            .filter(|path| !known.lives.contains_key(*path));
        silent.cloned().collect()
    }

    /// Takes over what a list says about acts; who was thought to live until now.
    fn recall(&self, list: &List) -> BTreeMap<String, Living> {
        let mut known = self.known();
        known.highest = list.highest;
        known.begun = list
            .acts
            .iter()
            .map(|act| (act.intent, act.ended))
            .collect();
        known.lives.clone()
    }

    fn started(&self, living: Living, adopted: bool) {
        let (path, generation) = (living.path.clone(), living.generation);
        // Opened anew: somebody may have taken the one before away.
        let pipe = self
            .output(&path)
            .and_then(|output| keeper::open_pipe(&output.pipe).ok());
        let mut known = self.known();
        known.lives.insert(path.clone(), living);
        if let Some(pipe) = pipe {
            known.pipes.insert(path.clone(), pipe);
        }
        drop(known);
        let mut ears = self.ears();
        if let Some(member) = ears.member(&path) {
            ears.send(Event::Started {
                member,
                generation,
                adopted,
            });
        }
    }

    fn exited(&self, gone: &Gone) {
        if gone.left > 0 {
            tracing::warn!(
                member = gone.path,
                processes = gone.left,
                "its first process ended by itself and left others behind, which were killed; if it goes \
                 into the background by itself, keep it in the foreground"
            );
        }
        let planned = self.ears().member(&gone.path).is_some();
        let mut known = self.known();
        if known
            .lives
            .get(&gone.path)
            .is_some_and(|living| living.generation == gone.generation)
        {
            known.lives.remove(&gone.path);
        }
        known.told.push(gone.generation);
        if !planned {
            known.pipes.remove(&gone.path);
            known.unplanned.push(gone.clone());
        }
        drop(known);
        let mut ears = self.ears();
        if let Some(member) = ears.member(&gone.path) {
            ears.send(Event::Exited {
                member,
                generation: gone.generation,
                exit: gone.exit,
            });
        }
    }

    /// A keeper that speaks our protocol, and what it knows. Starts one, or has an older one go on as
    /// this program.
    async fn connect(&self) -> Result<(Connection, List), String> {
        let mut upgraded = false;
        let mut refused: Option<String> = None;
        loop {
            let mut connection = self.reach().await?;
            connection.write(&Request::Hello { protocol: PROTOCOL })?;
            let (build, pid) = match connection.read().await {
                Ok(Some(Message::Hello { build, pid, .. })) => (build, pid),
                Ok(Some(Message::Refused { why })) if upgraded => {
                    let why = refused.unwrap_or(why);
                    return Err(format!("the keeper that runs refuses us: {why}"));
                }
                // It speaks another protocol: it is asked, in the one line that never changes.
                Ok(Some(_)) => {
                    upgraded = true;
                    let mut connection = self.reach().await?;
                    connection.write(&Self::upgrade())?;
                    // It answers when it cannot; when it can, its end of the connection closes.
                    if let Ok(Some(Message::Refused { why })) = connection.read().await {
                        refused = Some(why);
                    }
                    continue;
                }
                // It ended just now, or was killed.
                Ok(None) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(why) => {
                    let mut known = self.known();
                    known.deaf = connection.pid;
                    let who = connection.pid.map(|pid| format!(" (pid {pid})"));
                    let who = who.unwrap_or_default();
                    return Err(format!("the keeper{who} does not answer: {why}"));
                }
            };
            if build != keeper::build() && !upgraded {
                upgraded = true;
                connection.write(&Self::upgrade())?;
                match connection.read().await {
                    Ok(Some(Message::Refused { why })) => {
                        refused = Some(why);
                    }
                    // Its end of the connection closed when it became another program.
                    Ok(None) => {}
                    other => tracing::debug!(?other, "the keeper said something else"),
                }
                continue;
            }
            {
                let mut known = self.known();
                known.keeper = pid;
                known.stays = refused.take().filter(|_| build != keeper::build());
            }
            connection.write(&Request::List)?;
            loop {
                match connection.read().await? {
                    Some(Message::Listed(list)) => return Ok((connection, list)),
                    // Told before the list, and so in it.
                    Some(_) => {}
                    None => break,
                }
            }
        }
    }

    fn upgrade() -> Request {
        Request::Upgrade {
            program: PathBuf::from(format!("/proc/{}/exe", std::process::id())),
        }
    }

    /// A connection to whoever listens; a keeper is started where nobody does.
    async fn reach(&self) -> Result<Connection, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut started: Option<tokio::process::Child> = None;
        loop {
            let (_directory, path) = keeper::below(&self.state_dir, SOCKET).map_err(|e| {
                format!("cannot open `{}`: {}", self.state_dir.display(), plain(&e))
            })?;
            let error = match UnixStream::connect(&path).await {
                Ok(stream) => {
                    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
                    let (reader, writer) = stream.into_split();
                    let (lines_out, queue) = unbounded_channel();
                    return Ok(Connection {
                        pid: pid.and_then(|pid| u32::try_from(pid).ok()),
                        lines: Lines::new(reader, MESSAGE_MAX),
                        writer: lines_out,
                        writing: tokio::spawn(write_all(writer, queue)),
                    });
                }
                Err(error) => error,
            };
            let nobody = [
                io::ErrorKind::NotFound,
                io::ErrorKind::ConnectionRefused,
                io::ErrorKind::ConnectionReset,
            ];
            if !nobody.contains(&error.kind()) {
                return Err(format!("cannot connect to it: {}", plain(&error)));
            }
            if Instant::now() > deadline {
                return Err(format!("it does not listen: {}", plain(&error)));
            }
            match &mut started {
                None => started = Some(self.start()?),
                Some(child) => {
                    // Another one may hold the lock, about to listen or about to end.
                    if child.try_wait().ok().flatten().is_some() {
                        tokio::time::sleep(LOOK * 4).await;
                        started = None;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn start(&self) -> Result<tokio::process::Child, String> {
        let log = self.state_dir.join("keeper.log");
        let large = std::fs::metadata(&log).is_ok_and(|meta| meta.len() > LOG_MAX);
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .and_then(|file| {
                if large {
                    file.set_len(0)?;
                }
                Ok((file.try_clone()?, file))
            });
        let (out, err) =
            open.map_err(|e| format!("cannot write `{}`: {}", log.display(), plain(&e)))?;
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command
            .arg0("checkd")
            .arg("keeper")
            .arg(&self.state_dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        crate::open_files::as_found(command.as_std_mut());
        // Dropped it lives on, and is reaped should it end before us.
        command
            .spawn()
            .map_err(|e| format!("cannot start it: {}", plain(&e)))
    }
}

impl Ears {
    fn member(&self, path: &str) -> Option<MemberId> {
        let (group, member) = path.split_once('/')?;
        self.plan.find(group, member)
    }

    fn send(&mut self, event: Event) {
        if let Some(held) = &mut self.held {
            held.push(event);
        } else if self.events.send(event).is_err() {
            // Nobody listens only when the daemon is ending.
            tracing::debug!("an event came after the loop had ended");
        }
    }
}

impl Connection {
    fn write(&self, request: &Request) -> Result<(), String> {
        self.put(line(request, REQUEST_MAX)?);
        Ok(())
    }

    fn put(&self, line: Vec<u8>) {
        if self.writer.send(line).is_err() {
            // The reader sees the end of the connection too, and acts on it.
            tracing::debug!("the keeper's connection has broken");
        }
    }

    /// One message, soon; nothing when the keeper is gone.
    async fn read(&mut self) -> Result<Option<Message>, String> {
        match tokio::time::timeout(PATIENCE, self.next()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Ok(Err(error)) => Err(plain(&error)),
            Err(_) => Err(format!("nothing within {}s", PATIENCE.as_secs())),
        }
    }

    async fn next(&mut self) -> io::Result<Option<Message>> {
        let Some(line) = self.lines.next().await? else {
            return Ok(None);
        };
        let message = serde_json::from_slice(&line)?;
        Ok(Some(message))
    }
}

async fn write_all(mut writer: OwnedWriteHalf, mut queue: UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if let Err(error) = writer.write_all(&line).await {
            tracing::debug!(%error, "the keeper's connection has broken");
            return;
        }
        Point::DaemonLineSent.pass();
    }
    // All is said.
    if let Err(error) = writer.shutdown().await {
        tracing::debug!(%error, "the keeper was gone first");
    }
}

struct Task {
    shared: Arc<Shared>,
    pending: BTreeMap<u64, (Order, oneshot::Sender<Result<(), String>>)>,
    adopting: Vec<(String, Generation, oneshot::Sender<bool>)>,
    /// Who waits for the last word to be said.
    ended: Option<oneshot::Sender<()>>,
}

impl Task {
    /// Compares what is with what was, and asks again for what has no answer.
    async fn begin(
        &self,
        mut connection: Connection,
        list: List,
        first: bool,
    ) -> Result<Connection, String> {
        let shared = &self.shared;
        let before = shared.recall(&list);
        for what in &list.remarks {
            tracing::warn!(what, "the keeper has something to say");
        }
        let lives: BTreeSet<(&str, Generation)> = list
            .members
            .iter()
            .map(|living| (living.path.as_str(), living.generation))
            .collect();
        for gone in &list.exits {
            let told = shared.known().told.contains(&gone.generation);
            if !told {
                shared.exited(gone);
            }
        }
        for (path, living) in &before {
            if lives.contains(&(path.as_str(), living.generation)) {
                continue;
            }
            if list
                .exits
                .iter()
                .any(|gone| gone.generation == living.generation)
            {
                continue;
            }
            // Only a keeper that did not start it does not know it.
            let (path, generation) = (path.clone(), living.generation);
            let output = self.shared.output(&path);
            let adopt = Request::Adopt {
                path: path.clone(),
                generation,
                output,
            };
            connection.write(&adopt)?;
            let well = loop {
                match connection.read().await? {
                    Some(Message::Adopted { well, .. }) => break well,
                    Some(other) => self.early(other),
                    None => return Err("the keeper went away".to_owned()),
                }
            };
            if !well {
                let exit = Exit::Lost;
                shared.exited(&Gone {
                    path,
                    generation,
                    exit,
                    left: 0,
                });
            }
        }
        for living in list.members {
            if let Some(output) = self.shared.output(&living.path) {
                let path = living.path.clone();
                let request = Request::Output { path, output };
                connection.write(&request)?;
            }
            let same = before
                .get(&living.path)
                .is_some_and(|known| known.generation == living.generation);
            if !same {
                shared.started(living, true);
            }
        }
        for path in shared.silent() {
            // Its last words may be in the pipe still: the keeper before was killed.
            if let Some(output) = shared.output(&path) {
                connection.write(&Request::Output { path, output })?;
            }
        }
        if first {
            // Acts of the daemon before that came to their end.
            for act in list.acts.into_iter().filter(|act| act.ended) {
                let (intent, result) = (act.intent, act.error.map_or(Ok(()), Err));
                shared.ears().send(Event::Done { intent, result });
            }
        } else {
            for (order, _) in self.pending.values() {
                let request = Request::Act(Box::new(order.clone()));
                connection.write(&request)?;
            }
        }
        Ok(connection)
    }

    fn early(&self, message: Message) {
        match message {
            Message::Started(living) => {
                let adopted = living.adopted;
                let known = self.shared.known().lives.get(&living.path).cloned();
                if known.is_none_or(|known| known.generation != living.generation) {
                    self.shared.started(living, adopted);
                }
            }
            Message::Exited(gone) => self.shared.exited(&gone),
            Message::Refused { why } => tracing::warn!(why, "the keeper did not follow"),
            Message::Done {
                intent: Some(intent),
                error,
                ..
            } => {
                // One that we wait for is asked for again, and answered again.
                if !self
                    .pending
                    .values()
                    .any(|(order, _)| order.intent == Some(intent))
                {
                    self.shared.known().begun.insert(intent, true);
                    let result = error.map_or(Ok(()), Err);
                    self.shared.ears().send(Event::Done { intent, result });
                }
            }
            Message::Pong
            | Message::Hello { .. }
            | Message::Listed(_)
            | Message::Done { .. }
            | Message::Adopted { .. } => {}
        }
    }

    async fn serve(mut self, mut connection: Connection, mut asks: UnboundedReceiver<Ask>) {
        let mut beat = tokio::time::interval(pulse::EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.ended.is_none() {
            let told = tokio::select! {
                biased;
                message = connection.next() => match message {
                    Ok(Some(message)) => {
                        self.shared.known().pulse.heard();
                        self.take(message);
                        Ok(())
                    }
                    Ok(None) => Err("its connection closed".to_owned()),
                    Err(error) => Err(plain(&error)),
                },
                ask = asks.recv() => match ask {
                    Some(ask) => {
                        self.ask(&connection, ask);
                        Ok(())
                    }
                    None => return,
                },
                _ = beat.tick() => {
                    if self.shared.known().pulse.ask(Instant::now()) {
                        Self::request(&connection, &Request::Ping);
                    }
                    Ok(())
                }
            };
            if let Err(why) = told {
                match self.again(&why).await {
                    Some(new) => connection = new,
                    None => return,
                }
            }
        }
        drop(connection.writer);
        if connection.writing.await.is_err() {
            tracing::debug!("the writer to the keeper ended badly");
        }
        if let Some(answer) = self.ended.take() {
            // Whoever waits may have gone.
            answer.send(()).ok();
        }
    }

    /// The connection broke: gets another one.
    async fn again(&mut self, why: &str) -> Option<Connection> {
        for (_, _, answer) in self.adopting.drain(..) {
            answer.send(false).ok();
        }
        let keeper = self.shared.known().keeper;
        self.shared.known().pulse.heard();
        let mut told = false;
        let begin = Instant::now();
        loop {
            let connected = match self.shared.connect().await {
                Ok((connection, list)) => self.begin(connection, list, false).await,
                Err(why) => Err(why),
            };
            match connected {
                Ok(connection) => {
                    self.shared.known().missing = None;
                    let now = self.shared.known().keeper;
                    if now == keeper {
                        tracing::info!(why, "connected to the keeper again");
                    } else {
                        let members = self.shared.known().lives.len();
                        tracing::warn!(
                            why,
                            keeper = now,
                            members,
                            "the keeper was killed; another one has taken over what runs, and will not \
                             know the exit codes of these members"
                        );
                    }
                    return Some(connection);
                }
                Err(why) => {
                    self.shared.known().missing = Some(why.clone());
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            why,
                            "there is no keeper; no member can be started or stopped"
                        );
                    }
                    if begin.elapsed() > PATIENCE {
                        for (_, (_, answer)) in std::mem::take(&mut self.pending) {
                            drop(answer.send(Err(format!("there is no keeper: {why}"))));
                        }
                    }
                }
            }
            if self.shared.ears().events.is_closed() {
                return None;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn take(&mut self, message: Message) {
        Point::DaemonAnswerRead.pass();
        match message {
            Message::Done { intent, tag, error } => {
                let result = error.map_or(Ok(()), Err);
                if let Some(intent) = intent {
                    let mut known = self.shared.known();
                    known.begun.insert(intent, true);
                    known.highest = known.highest.max(intent);
                }
                let mine = |order: &Order| match intent {
                    Some(_) => order.intent == intent,
                    None => order.tag == tag,
                };
                let found = self.pending.iter().find(|(_, (order, _))| mine(order));
                let found = found.map(|(&tag, _)| tag);
                match (found.and_then(|tag| self.pending.remove(&tag)), intent) {
                    (Some((_, answer)), _) => drop(answer.send(result)),
                    // An act of the daemon before.
                    (None, Some(intent)) => self.shared.ears().send(Event::Done { intent, result }),
                    (None, None) => {}
                }
            }
            Message::Adopted {
                path,
                generation,
                well,
            } => {
                let asked = |(p, g, _): &(String, Generation, _)| *p == path && *g == generation;
                if let Some(at) = self.adopting.iter().position(asked) {
                    let (_, _, answer) = self.adopting.swap_remove(at);
                    answer.send(well).ok();
                }
            }
            Message::Pong
            | Message::Hello { .. }
            | Message::Listed(_)
            | Message::Started(_)
            | Message::Exited(_)
            | Message::Refused { .. } => self.early(message),
        }
    }

    fn ask(&mut self, connection: &Connection, ask: Ask) {
        match ask {
            Ask::Act(order, answer) => {
                let request = Request::Act(order.clone());
                match line(&request, REQUEST_MAX) {
                    Ok(line) => {
                        self.pending.insert(order.tag, (*order, answer));
                        connection.put(line);
                        Point::DaemonOrderQueued.pass();
                    }
                    Err(why) => {
                        drop(answer.send(Err(format!("its start cannot be described: {why}"))));
                    }
                }
            }
            Ask::Adopt(path, generation, answer) => {
                let output = self.shared.output(&path);
                let request = Request::Adopt {
                    path: path.clone(),
                    generation,
                    output,
                };
                self.adopting.push((path, generation, answer));
                Self::request(connection, &request);
            }
            Ask::Request(request) => Self::request(connection, &request),
            Ask::End(answer) => self.ended = Some(answer),
        }
    }

    fn request(connection: &Connection, request: &Request) {
        if let Err(why) = connection.write(request) {
            tracing::warn!(why, "something cannot be asked of the keeper");
        }
    }
}
