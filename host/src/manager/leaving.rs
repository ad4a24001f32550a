//! Members that a reload takes away, and what is left of them: their processes are stopped once the
//! journal says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use checkd_core::engine::{Act, Event};
use checkd_core::plan::Plan;
use checkd_core::report::UnplannedReport;
use checkd_core::{Generation, MemberId};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::Manager;
use crate::journal::Stored;
use crate::keeper::protocol::{Gone, Order, Stop, Verb};

/// How a process is stopped whose own settings stand nowhere any more.
const SIGNAL: &str = "TERM";
const PATIENCE_MS: u64 = 10_000;

/// Who is being stopped because no configuration names it any more.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    paths: watch::Sender<BTreeSet<String>>,
    /// Whether the newest reload is on the disk.
    stored: Mutex<Option<Stored>>,
}

impl Leaving {
    /// Until this member is not being stopped any more.
    pub(super) async fn gone(&self, path: &str) {
        let mut paths = self.paths.subscribe();
        // The sender is ours, so it is there.
        drop(paths.wait_for(|all| !all.contains(path)).await);
    }

    /// False when it was there before.
    fn add(&self, path: &str) -> bool {
        self.paths
            .send_if_modified(|all| all.insert(path.to_owned()))
    }

    fn has(&self, path: &str) -> bool {
        self.paths.borrow().contains(path)
    }

    fn remove(&self, path: &str) {
        self.paths.send_if_modified(|all| all.remove(path));
    }

    /// Until what the newest reload noted is on the disk.
    async fn noted(&self) -> Result<(), String> {
        match self.newest() {
            Some(stored) => stored.wait().await,
            None => Ok(()),
        }
    }

    fn newest(&self) -> Option<Stored> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.clone()
    }
}

impl Manager {
    /// Goes on under another plan: events speak of its members from now on. Processes of members that
    /// are not in it any more are stopped in the background, as the plan says that they were started
    /// by, once `stored` says that their end is noted: a daemon that comes after must not find a
    /// process ended that nothing speaks of. Returns how many; one whose start is under way is stopped
    /// when it runs.
    pub fn reload(
        &mut self,
        plan: Arc<Plan>,
        events: UnboundedSender<Event>,
        stored: Stored,
    ) -> usize {
        let before = self.link.plan();
        let planned: BTreeSet<String> = plan.members().map(|id| plan.path(id)).collect();
        let newest = &self.leaving.stored;
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
        self.link.reload(plan, events);
        // Looked at after the link went over: whoever starts now finds itself out of the plan.
        let lives = self.link.lives().into_iter();
        let gone: Vec<_> = lives
            .filter(|(path, _)| !planned.contains(path))
            .filter_map(|(path, living)| {
                let (group, member) = path.split_once('/')?;
                Some((before.find(group, member)?, living.generation))
            })
            .collect();
        for &(member, generation) in &gone {
            drop(tokio::spawn(self.leave(&before, member, generation)));
        }
        gone.len()
    }

    /// Stops a life that is in the plan `before` and in the one in force no more. It counts as leaving
    /// when this returns.
    pub(super) fn leave(
        &self,
        before: &Arc<Plan>,
        member: MemberId,
        generation: Generation,
    ) -> impl Future<Output = ()> + use<> {
        let path = before.path(member);
        let first = self.leaving.add(&path);
        let (manager, before) = (self.clone(), Arc::clone(before));
        // The daemon ends after its orders; only its end locks it against us.
        let handing = Arc::clone(&self.handing).try_read_owned();
        async move {
            let stop = Act::Stop { member, generation };
            let order = match manager.leaving.noted().await {
                Ok(()) => manager.order(&before, None, stop).await,
                Err(why) => Err(why),
            };
            let handed = order.map(|order| manager.link.hand(order));
            drop(handing);
            let stopped = match handed {
                Ok(answer) => answer.await,
                Err(why) => Err(why),
            };
            if first {
                manager.leaving.remove(&path);
            }
            if let Err(why) = stopped {
                not_stopped(&path, &why);
            }
        }
    }

    /// What runs and is not in the plan: members of an earlier configuration.
    pub fn unplanned(&self) -> Vec<UnplannedReport> {
        let plan = self.link.plan();
        let planned: BTreeSet<String> = plan.members().map(|id| plan.path(id)).collect();
        let lives = self.link.lives().into_iter();
        lives
            .filter(|(path, _)| !planned.contains(path))
            .map(|(path, living)| UnplannedReport {
                stopping: self.leaving.has(&path),
                pid: living.generation.pid,
                path,
            })
            .collect()
    }

    /// How such lives ended since this was asked the last time; the caller hands them to the journal.
    pub(crate) fn unplanned_ends(&self) -> Vec<Gone> {
        self.link.unplanned_ends()
    }

    /// The order to stop such a process; nothing when it is gone.
    pub(super) fn stop_unplanned(&self, path: &str) -> Option<Order> {
        let living = self.link.life(path)?;
        let stop = Stop {
            signal: SIGNAL.to_owned(),
            patience_ms: PATIENCE_MS,
        };
        Some(self.by_hand(Verb::Stop, path, &living, Some(stop)))
    }

    /// Stops such a process because a person wants it, once that is `stored`.
    pub fn evict(&self, path: &str, stored: Stored) {
        let first = self.leaving.add(path);
        let (manager, path) = (self.clone(), path.to_owned());
        let handing = Arc::clone(&self.handing).try_read_owned();
        tokio::spawn(async move {
            let handed = stored
                .wait()
                .await
                .map(|()| manager.stop_unplanned(&path).map(|o| manager.link.hand(o)));
            drop(handing);
            let stopped = match handed {
                Ok(Some(answer)) => answer.await,
                Ok(None) => Ok(()),
                Err(why) => Err(why),
            };
            if first {
                manager.leaving.remove(&path);
            }
            if let Err(why) = stopped {
                not_stopped(&path, &why);
            }
        });
    }
}

fn not_stopped(member: &str, why: &str) {
    tracing::error!(
        member,
        why,
        "a member that is gone from the configuration did not stop; `checkd stop` tries again"
    );
}
