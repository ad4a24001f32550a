//! Members that a reload takes away: their processes are stopped once the journal says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use checkd_core::engine::{Act, Event};
use checkd_core::plan::Plan;
use checkd_core::{Generation, MemberId};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::Manager;
use crate::journal::Stored;

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
                tracing::error!(
                    member = path,
                    why,
                    "a member that is gone from the configuration did not stop"
                );
            }
        }
    }
}
