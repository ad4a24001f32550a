//! Process managers: who is in a group, and how to start, stop and signal them.
//!
//! The own manager is a client of the keeper (`crate::keeper`), which is the members' parent.

pub(crate) mod launch;
mod leaving;
mod link;
mod placeholders;
mod pulse;
mod secrets;
mod signal;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use checkd_core::diagnostic::Diagnostic;
use checkd_core::engine::{Act, Event, Exit};
use checkd_core::plan::{GroupPlan, MemberPlan, Plan};
use checkd_core::report::{KeeperReport, UnplannedReport};
use checkd_core::{Generation, IntentId, MemberId};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;

use crate::keeper::protocol::{Living, Order, Spec, Stop, Verb, signal_named};

pub(crate) use crate::keeper::plain;
pub use crate::keeper::processes::boot_id;
pub(crate) use launch::has_user;

/// How long the end of the daemon waits for orders that are being written.
const LAST_ORDERS: Duration = Duration::from_secs(2);

/// Carries out acts; what it sees comes back as events.
#[derive(Clone, Debug)]
pub struct Manager {
    link: link::Link,
    output_dir: PathBuf,
    tags: Arc<AtomicU64>,
    /// Shared by everybody who has an order that is not with the link yet.
    handing: Arc<RwLock<()>>,
    /// Who is being stopped because no configuration names it any more.
    leaving: Arc<leaving::Leaving>,
    starts: Arc<Starts>,
    readers: secrets::Readers,
}

/// Thousands of starts are described to the keeper so many at a time: each carries a whole
/// environment.
const STARTS: usize = 64;

/// Starts that wait until others are done.
#[derive(Debug)]
struct Starts {
    room: Semaphore,
    waiting: Mutex<BTreeSet<IntentId>>,
}

impl Starts {
    fn waiting(&self) -> MutexGuard<'_, BTreeSet<IntentId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manager {
    /// The manager of every member of `plan`. Connects to the keeper of `state_dir`, which is started
    /// where there is none. Events are held back until [`Manager::announce`].
    ///
    /// # Errors
    /// There is no keeper (C0520). Nothing was started.
    pub async fn open(
        plan: Arc<Plan>,
        state_dir: &Path,
        events: UnboundedSender<Event>,
    ) -> Result<Self, Diagnostic> {
        let link = link::Link::open(plan, state_dir.to_owned(), events).await;
        let link = link.map_err(|(why, deaf)| {
            let log = state_dir.join("keeper.log");
            Diagnostic::error("C0520", format!("the keeper cannot be used: {why}"))
                .note("the keeper is the small process that is the parent of all members")
                .note("nothing was started and nothing was stopped")
                .help(match deaf {
                    Some(pid) => pulse::way_out(pid),
                    None => format!("look into `{}`", log.display()),
                })
        })?;
        Ok(Self {
            link,
            output_dir: state_dir.join("output"),
            // Another daemon's tags are others.
            tags: Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32)),
            handing: Arc::default(),
            leaving: Arc::default(),
            starts: Arc::new(Starts {
                room: Semaphore::new(STARTS),
                waiting: Mutex::default(),
            }),
            readers: secrets::Readers::default(),
        })
    }

    /// Lets events go: first what the keeper remembers, `Exited` for each end that no daemon
    /// acknowledged, `Started { adopted: true }` for each member that lives, `Done` for each act that
    /// came to its end.
    pub fn announce(&self) {
        self.link.announce();
    }

    /// Whether the keeper tells of this life: it goes on, or its end was not acknowledged.
    pub fn knows(&self, path: &str, generation: Generation) -> bool {
        let lives = self
            .link
            .life(path)
            .is_some_and(|l| l.generation == generation);
        lives || self.link.exit_of(generation).is_some()
    }

    /// Whether a life that the journal knows goes on. One that the keeper does not know is adopted by
    /// its generation; `Event::Started` is sent for it.
    pub async fn adopt(&self, member: MemberId, generation: Generation) -> bool {
        let path = self.link.plan().path(member);
        match self.link.life(&path) {
            Some(living) => living.generation == generation,
            None => self.link.adopt(path, generation).await,
        }
    }

    /// How a life ended that ended while no daemon was there, if the keeper knows.
    pub fn exit_of(&self, generation: Generation) -> Option<Exit> {
        self.link.exit_of(generation)
    }

    /// Which intents the keeper has begun, and whether each has come to its end. One that is here may
    /// be handed to [`Manager::carry_out`] again: it is not done twice, and its end is told.
    pub fn begun(&self) -> BTreeMap<IntentId, bool> {
        self.link.begun()
    }

    /// The highest intent that the keeper has seen: a journal that begins anew numbers on from here.
    pub fn highest_intent(&self) -> IntentId {
        self.link.highest()
    }

    /// A warning when the keeper could not become this program and goes on as the one that it is
    /// (C0521).
    pub fn stays(&self) -> Option<Diagnostic> {
        let why = self.link.stays()?;
        let told = Diagnostic::warning("C0521", "the keeper stays at the build before")
            .note(why)
            .note("it goes on as it is: nothing was stopped, and members are started, stopped and watched as ever")
            .help("once the new program is whole, start checkd again: the keeper is asked each time");
        Some(told)
    }

    /// What is wrong with the keeper, in sentences; nothing when all is well.
    pub fn keeper_report(&self) -> Option<KeeperReport> {
        let pid = self.keeper();
        let mut notes = Vec::new();
        if let Some(why) = self.link.missing() {
            notes.push(format!(
                "there is none, so no member is started or stopped: {why} (C0520)"
            ));
        }
        if let Some(silent) = self.link.silent() {
            notes.push(format!(
                "pid {pid} has not answered for {silent}: no member is started or stopped, and no end of \
                 one is seen (C0522)"
            ));
        }
        if let Some(why) = self.link.stays() {
            notes.push(format!(
                "pid {pid} stays at the build before: {why} (C0521)"
            ));
        }
        (!notes.is_empty()).then_some(KeeperReport { pid, notes })
    }

    /// An error when the keeper hangs (C0522).
    pub fn keeper_hangs(&self) -> Option<Diagnostic> {
        let silent = self.link.silent()?;
        Some(pulse::hangs(self.keeper(), silent))
    }

    /// The keeper's process id; 1 when it is the first process of a container.
    pub fn keeper(&self) -> u32 {
        self.link.keeper()
    }

    /// The journal holds what was told so far: the keeper may forget it.
    pub fn acknowledge(&self, stored: IntentId) {
        self.link.acknowledge(Some(stored));
    }

    /// The loop has handed this event to the journal.
    pub fn noted(&self, event: &Event) {
        self.link.noted(event);
    }

    /// The loop has handed this intent to the journal.
    pub fn seal(&self, intent: IntentId) {
        self.link.seal(intent);
    }

    /// The last word to the keeper, after the journal was closed. It has every order then, and needs no
    /// daemon to carry it out.
    pub async fn end(&self) {
        // A secret may be on a file system that does not answer.
        drop(tokio::time::timeout(LAST_ORDERS, self.handing.write()).await);
        self.link.acknowledge(None);
        self.link.end().await;
    }

    /// The members of the plan that live.
    pub fn lives(&self) -> Vec<(MemberId, Generation)> {
        let plan = self.link.plan();
        let lives: BTreeMap<String, Living> = self.link.lives().into_iter().collect();
        let life = |id| Some((id, lives.get(&plan.path(id))?.generation));
        plan.members().filter_map(life).collect()
    }

    /// Carries out one act in the background. `Exited` and `Started` come first, then `Done`.
    pub fn carry_out(&self, intent: IntentId, act: Act) {
        let manager = self.clone();
        let plan = self.link.plan();
        if let Act::Signal {
            member,
            generation,
            processes,
            ..
        } = act
        {
            tokio::spawn(async move {
                let result = match signal_of(&plan, member) {
                    Ok(order) => signal::send(generation, &processes, &order).await,
                    Err(why) => Err(why),
                };
                manager.link.send(Event::Done { intent, result });
            });
            return;
        }
        // Only `end` locks it against us, and then there is nobody left to ask.
        let handing = Arc::clone(&self.handing).try_read_owned();
        let member = act.member();
        let start = matches!(act, Act::Start { .. });
        if start {
            self.starts.waiting().insert(intent);
        }
        tokio::spawn(async move {
            let path = plan.path(member);
            // Named again while it is being stopped because it was not named.
            manager.leaving.gone(&path).await;
            let _room = if start {
                let room = manager.starts.room.acquire().await;
                if !manager.starts.waiting().remove(&intent) {
                    // The daemon ends: the next one decides whether it is still wanted.
                    return;
                }
                room.ok()
            } else {
                None
            };
            let handed = manager
                .order(&plan, Some(intent), act)
                .await
                .map(|order| manager.link.hand(order));
            drop(handing);
            let result = match handed {
                Ok(answer) => answer.await,
                Err(why) => Err(why),
            };
            // The configuration changed while it was being started.
            if let Some(living) = manager.link.life(&path)
                && !manager.link.plans(&path)
            {
                manager.leave(&plan, member, living.generation).await;
            }
            manager.link.send(Event::Done { intent, result });
        });
    }

    /// Tells the loop, under the names of the plan in force.
    pub(crate) fn tell(&self, event: Event) {
        self.link.send(event);
    }

    /// Begins no start any more of those that wait for others; gives their intents, of which nothing
    /// will be heard.
    pub fn no_more_starts(&self) -> BTreeSet<IntentId> {
        let waiting = std::mem::take(&mut *self.starts.waiting());
        self.starts.room.close();
        waiting
    }

    async fn order(
        &self,
        plan: &Arc<Plan>,
        intent: Option<IntentId>,
        act: Act,
    ) -> Result<Order, String> {
        let (id, generation, verb) = match act {
            Act::Signal { .. } => return Err("no keeper sends a signal to one process".to_owned()),
            Act::Start { member } => (member, None, Verb::Start),
            Act::Stop { member, generation } => (member, Some(generation), Verb::Stop),
            Act::Restart {
                member, generation, ..
            } => (member, Some(generation), Verb::Restart),
        };
        let launch = &planned(plan, id)?.0.launch;
        signal_named(&launch.stop_signal)?;
        let spec = match verb {
            Verb::Start | Verb::Restart => Some(self.spec(plan, id).await?),
            Verb::Stop | Verb::Kill => None,
        };
        Ok(Order {
            intent,
            tag: self.tag(),
            verb,
            path: plan.path(id),
            generation,
            stop: Some(Stop {
                signal: launch.stop_signal.clone(),
                patience_ms: launch.stop_timeout.as_millis(),
            }),
            spec,
        })
    }

    async fn spec(&self, plan: &Arc<Plan>, id: MemberId) -> Result<Spec, String> {
        let (plan, output_dir) = (Arc::clone(plan), self.output_dir.clone());
        let reads = secrets::asked(&planned(&plan, id)?.0.launch);
        let read = move |reading: &secrets::Reading| {
            let (group, member) = planned(&plan, id)?;
            launch::spec(group, member, &output_dir, reading)
        };
        if reads {
            self.readers.take(read).await
        } else {
            read(&secrets::Reading::default())
        }
    }

    fn tag(&self) -> u64 {
        self.tags.fetch_add(1, Ordering::Relaxed)
    }

    /// Stops every member that runs, dependents before what they depend on, and what is in no plan any
    /// more first. Returns who would not stop, and why.
    pub async fn stop_all(&self) -> Vec<(String, String)> {
        let plan = self.link.plan();
        let mut failed = Vec::new();
        for UnplannedReport { path, .. } in self.unplanned() {
            let Some(order) = self.stop_unplanned(&path) else {
                continue;
            };
            if let Err(why) = self.link.act(order).await {
                failed.push((path, why));
            }
        }
        for layer in stop_order(&plan) {
            let mut stops = JoinSet::new();
            for (member, generation) in self.lives() {
                if layer.contains(&member.group) {
                    let manager = self.clone();
                    let plan = Arc::clone(&plan);
                    stops.spawn(async move {
                        let path = plan.path(member);
                        let stop = Act::Stop { member, generation };
                        let result = match manager.order(&plan, None, stop).await {
                            Ok(order) => manager.link.act(order).await,
                            Err(why) => Err(why),
                        };
                        (path, result)
                    });
                }
            }
            while let Some(done) = stops.join_next().await {
                if let Ok((path, Err(why))) = done {
                    failed.push((path, why));
                }
            }
        }
        failed
    }

    fn by_hand(&self, verb: Verb, path: &str, living: &Living, stop: Option<Stop>) -> Order {
        Order {
            intent: None,
            tag: self.tag(),
            verb,
            path: path.to_owned(),
            generation: Some(living.generation),
            stop,
            spec: None,
        }
    }

    /// Kills every member that runs, at once.
    pub async fn kill_all(&self) {
        let mut kills = JoinSet::new();
        for (path, living) in self.link.lives() {
            let manager = self.clone();
            let order = self.by_hand(Verb::Kill, &path, &living, None);
            kills.spawn(async move { manager.link.act(order).await });
        }
        kills.join_all().await;
    }

    /// How many members run.
    pub fn running(&self) -> usize {
        self.link.lives().len()
    }
}

fn planned(plan: &Plan, id: MemberId) -> Result<(&GroupPlan, &MemberPlan), String> {
    let group = plan.group(id.group);
    let found = group.and_then(|g| Some((g, g.members.get(id.member as usize)?)));
    found.ok_or_else(|| "it is not in the configuration".to_owned())
}

/// What the blamed processes of a member get.
fn signal_of(plan: &Plan, id: MemberId) -> Result<signal::Order, String> {
    let (group, _) = planned(plan, id)?;
    let name = group.policy.signal.clone();
    let name = name.ok_or("its group sends no signals any more")?;
    Ok(signal::Order {
        signal: signal_named(&name)?,
        name,
        patience: group.launch.stop_timeout,
    })
}

/// The file that a member's output goes to.
pub(crate) fn output_file(plan: &Plan, id: MemberId, output_dir: &Path) -> Option<PathBuf> {
    launch::output_path(plan.group(id.group)?, plan.member(id)?, output_dir).ok()
}

/// The values of the secrets that a member is started with.
///
/// # Errors
/// One line for a person: which cannot be read.
pub(crate) fn secrets(plan: &Plan, id: MemberId) -> Result<Vec<String>, String> {
    let (group, member) = planned(plan, id)?;
    launch::secrets(group, member)
}

/// The file that a member's output goes to, and its last lines, each of at most 200 characters.
pub fn last_output(plan: &Plan, id: MemberId, output_dir: &Path) -> Option<(PathBuf, Vec<String>)> {
    use std::io::{Read, Seek, SeekFrom};
    /// So much of the end is read; and so many lines of it are shown.
    const TAIL: u64 = 4_096;
    const LINES: usize = 4;
    let group = plan.group(id.group)?;
    let path = launch::output_path(group, plan.member(id)?, output_dir).ok()?;
    let mut file = std::fs::File::open(&path).ok()?;
    // A terminal or a pipe as output has no end to read.
    let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    file.seek(SeekFrom::Start(meta.len().saturating_sub(TAIL)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LINES));
    let shown = shown.map(|line| line.chars().take(200).collect()).collect();
    Some((path, shown))
}

/// Groups in layers: everything in a layer may stop together, after the layers before it.
fn stop_order(plan: &Plan) -> Vec<Vec<u32>> {
    let mut left: Vec<u32> = (0u32..).take(plan.groups.len()).collect();
    let mut layers = Vec::new();
    while !left.is_empty() {
        let needed = |group: u32| {
            left.iter().any(|&other| {
                other != group
                    && plan
                        .group(other)
                        .is_some_and(|g| g.depends_on.contains(&group))
            })
        };
        let (mut now, mut later): (Vec<u32>, Vec<u32>) = left.iter().partition(|&&g| !needed(g));
        // A cycle is refused by validation; should one come here, everything stops together.
        if now.is_empty() {
            now.append(&mut later);
        }
        layers.push(now);
        left = later;
    }
    layers
}
