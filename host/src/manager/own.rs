//! Children of checkd: the embedded default manager. It starts, watches, signals and kills; it
//! decides nothing.
//!
//! Everything here is asked for and answered as a message would be (start, stop, kill, list, exits),
//! so a keeper process can come to stand behind the same calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use checkd_core::engine::{Event, Exit};
use checkd_core::plan::{GroupPlan, MemberPlan};
use checkd_core::{Generation, MemberId};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::launch::Request;
use super::processes::{self, Handle};

/// How long a process may take to vanish after SIGKILL before we say that it does not. Only a
/// process in uninterruptible sleep takes longer than an instant.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// The processes that this daemon supervises itself.
#[derive(Clone, Debug)]
pub(super) struct Own {
    boot: u128,
    output_dir: PathBuf,
    table: Arc<Mutex<Table>>,
}

/// Who runs, under the names of the plan in force.
#[derive(Debug)]
struct Table {
    lives: BTreeMap<MemberId, Arc<Life>>,
    events: UnboundedSender<Event>,
    /// Counts reloads, and by how much each moved whom; what was begun before finds its member so.
    moved: Vec<BTreeMap<MemberId, MemberId>>,
}

/// One process of one member, from its start until its exit was seen.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) generation: Generation,
    handle: Handle,
    ended: watch::Sender<bool>,
    /// Descendants that were seen; they are still its own after they left its process group.
    known: Mutex<BTreeSet<(u32, u64)>>,
}

impl Own {
    pub(super) fn new(output_dir: PathBuf, events: UnboundedSender<Event>) -> Self {
        Self {
            boot: processes::boot_id(),
            output_dir,
            table: Arc::new(Mutex::new(Table {
                lives: BTreeMap::new(),
                events,
                moved: Vec::new(),
            })),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members have other ids from now on, and events go elsewhere. Who has none is of no plan any
    /// more, and tells nobody of its exit.
    pub(super) fn rename(
        &self,
        moved: BTreeMap<MemberId, MemberId>,
        events: UnboundedSender<Event>,
    ) {
        let mut table = self.table();
        let lives = std::mem::take(&mut table.lives);
        table.lives = lives
            .into_iter()
            .filter_map(|(id, life)| Some((*moved.get(&id)?, life)))
            .collect();
        table.events = events;
        table.moved.push(moved);
    }

    /// Who runs now.
    pub(super) fn list(&self) -> Vec<(MemberId, Arc<Life>)> {
        self.table()
            .lives
            .iter()
            .map(|(id, life)| (*id, Arc::clone(life)))
            .collect()
    }

    /// The life of a member, while it lasts.
    pub(super) fn life(&self, member: MemberId) -> Option<Arc<Life>> {
        self.table().lives.get(&member).map(Arc::clone)
    }

    /// Starts a member that has no process. `Event::Started` is sent before this returns.
    pub(super) async fn start(
        &self,
        id: MemberId,
        group: &GroupPlan,
        member: &MemberPlan,
    ) -> Result<(), String> {
        if let Some(life) = self.life(id) {
            return Err(format!("it already runs as pid {}", life.generation.pid));
        }
        let request = Request::new(group, member, &self.output_dir)?;
        let reloads = self.table().moved.len();
        // A spawn waits for the exec, and that for a disk: not on the runtime's threads.
        let pid = tokio::task::spawn_blocking(move || request.spawn())
            .await
            .map_err(|_| "the start was broken off".to_owned())??;
        // What cannot be watched must not run: it would hold the port, and be started once more.
        let watched = Handle::of_child(pid)
            .ok_or("cannot watch the new process (pidfd_open)")
            .and_then(|handle| {
                let generation = processes::generation_of(self.boot, pid);
                Ok((
                    handle,
                    generation.ok_or("cannot read the new process in /proc")?,
                ))
            });
        let (handle, generation) = match watched {
            Ok(watched) => watched,
            Err(why) => {
                processes::kill_child(pid);
                return Err(format!(
                    "{why}, so it was killed again; are there descriptors left?"
                ));
            }
        };
        self.watch(id, reloads, generation, handle, false);
        Ok(())
    }

    /// Takes over a process that ran before this daemon did. False when it is gone, or its pid is
    /// another process now.
    pub(super) fn adopt(&self, id: MemberId, generation: Generation) -> bool {
        if generation.boot != self.boot {
            return false;
        }
        let Some(handle) = Handle::open(generation.pid, generation.start) else {
            return false;
        };
        let reloads = self.table().moved.len();
        self.watch(id, reloads, generation, handle, true);
        true
    }

    /// What runs by its own marks: names of group and member, oldest first.
    pub(super) fn marked(&self) -> Vec<([String; 2], Generation)> {
        let mark = super::launch::mark(&self.output_dir);
        processes::marked(self.boot, &mark, super::launch::NAMES)
    }

    /// `id` is the member's as it was after so many `reloads`.
    fn watch(
        &self,
        id: MemberId,
        reloads: usize,
        generation: Generation,
        handle: Handle,
        adopted: bool,
    ) {
        let (ended, _) = watch::channel(false);
        let life = Arc::new(Life {
            generation,
            handle,
            ended,
            known: Mutex::default(),
        });
        {
            let mut table = self.table();
            if let Some(member) = table.find(id, reloads) {
                table.lives.insert(member, Arc::clone(&life));
                table.send(Event::Started {
                    member,
                    generation,
                    adopted,
                });
            }
        }
        let own = self.clone();
        tokio::spawn(async move {
            life.handle.ended().await;
            // The rest of the tree goes before the leader is reaped: until then the kernel gives
            // its pid, and so its process group, to nobody else.
            let another =
                processes::row(generation.pid).is_some_and(|r| r.start != generation.start);
            if !another {
                processes::kill_rest(generation.pid, &life.known(), KILL_PATIENCE).await;
            }
            let exit = life.reap();
            let mut table = own.table();
            if let Some(member) = table.find(id, reloads) {
                table.lives.remove(&member);
                table.send(Event::Exited {
                    member,
                    generation,
                    exit,
                });
            }
            drop(table);
            life.ended.send_replace(true);
        });
    }
}

impl Table {
    /// What a member that was `id` after so many `reloads` is called now.
    fn find(&self, id: MemberId, reloads: usize) -> Option<MemberId> {
        let mut id = id;
        for moved in self.moved.iter().skip(reloads) {
            id = *moved.get(&id)?;
        }
        Some(id)
    }

    fn send(&self, event: Event) {
        // Nobody listens only when the daemon is ending.
        if self.events.send(event).is_err() {
            tracing::debug!("an event came after the loop had ended");
        }
    }
}

impl Life {
    fn known(&self) -> BTreeSet<(u32, u64)> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the exit was seen and sent.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Asks it to stop; after `patience` kills its whole tree. `Event::Exited` was sent when this
    /// returns well.
    ///
    /// # Errors
    /// It cannot be signalled, or is still there after SIGKILL.
    pub(super) async fn stop(&self, signal: Signal, patience: Duration) -> Result<(), String> {
        let pid = self.generation.pid;
        let rest = processes::tree(pid, &self.known());
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(rest.iter().map(|r| (r.pid, r.start)));
        self.handle
            .signal(signal)
            .map_err(|why| format!("cannot stop pid {pid}: {why}"))?;
        // A stopped process takes no signal but this one; a frozen member shall end well too.
        self.handle
            .signal(Signal::CONT)
            .map_err(|why| format!("cannot stop pid {pid}: {why}"))?;
        for row in rest.iter().filter(|r| r.group == pid) {
            if let Some(handle) = Handle::open(row.pid, row.start) {
                // Those that refuse are killed with the tree.
                drop(
                    handle
                        .signal(signal)
                        .and_then(|()| handle.signal(Signal::CONT)),
                );
            }
        }
        if tokio::time::timeout(patience, self.ended()).await.is_ok() {
            return Ok(());
        }
        self.kill().await
    }

    /// Kills its whole tree at once.
    ///
    /// # Errors
    /// It is still there after SIGKILL.
    pub(super) async fn kill(&self) -> Result<(), String> {
        let pid = self.generation.pid;
        self.handle
            .signal(Signal::KILL)
            .map_err(|why| format!("cannot kill pid {pid}: {why}"))?;
        // Twice the patience: the watcher first kills what is left of the tree.
        tokio::time::timeout(KILL_PATIENCE * 2, self.ended())
            .await
            .map_err(|_| {
                format!(
                    "pid {pid} is still there {}s after SIGKILL; it probably waits for a disk or a \
                 network file system",
                    KILL_PATIENCE.as_secs() * 2
                )
            })
    }

    /// How it ended; the code is known only of our own children.
    fn reap(&self) -> Exit {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.handle.fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Lost,
            },
            _ => Exit::Lost,
        }
    }
}
