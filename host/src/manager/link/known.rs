//! What is known of the keeper and its members, and who hears of them.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use checkd_core::engine::Event;
use checkd_core::plan::Plan;
use checkd_core::{Generation, IntentId, MemberId};
use tokio::sync::mpsc::UnboundedSender;

use crate::keeper;
use crate::keeper::protocol::{Gone, List, Living, Output};
use crate::manager::launch;
use crate::manager::pulse::Pulse;

/// What is known of the keeper.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) lives: BTreeMap<String, Living>,
    /// Ends that happened while no daemon was there.
    pub(super) exits: Vec<Gone>,
    pub(super) begun: BTreeMap<IntentId, bool>,
    pub(super) highest: IntentId,
    pub(super) keeper: u32,
    /// Whether it answers.
    pub(super) pulse: Pulse,
    /// One that did not even greet us.
    pub(super) deaf: Option<u32>,
    /// Why there is none.
    pub(super) missing: Option<String>,
    /// Why it stays another build than we are.
    pub(super) stays: Option<String>,
    /// The pipes of members' output, held open so that what is in them stays should the keeper be
    /// killed as their last writer ends: the next keeper finds it there.
    pub(super) pipes: BTreeMap<String, OwnedFd>,
    /// Ends of lives that the loop was told of, and that are not yet acknowledged.
    pub(super) told: Vec<Generation>,
    /// Of members that no plan has any more: the loop asks for them.
    pub(super) unplanned: Vec<Gone>,
    /// What the loop has handed to the journal.
    pub(super) noted: Ends,
    /// And what it handed over ahead of an intent: it is on the disk when the intent is.
    pub(super) sealed: BTreeMap<IntentId, Ends>,
}

/// Lives and acts that are over.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) exits: Vec<Generation>,
    pub(super) acts: Vec<IntentId>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ears: Mutex<Ears>,
    pub(super) state_dir: PathBuf,
    pub(super) known: Mutex<Known>,
}

/// Who hears of members, and under which names.
#[derive(Debug)]
pub(super) struct Ears {
    pub(super) plan: Arc<Plan>,
    pub(super) events: UnboundedSender<Event>,
    /// What is not to be heard yet.
    pub(super) held: Option<Vec<Event>>,
}

impl Shared {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the output of a member goes, by the plan in force.
    pub(super) fn output(&self, path: &str) -> Option<Output> {
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
    pub(super) fn silent(&self) -> Vec<String> {
        let known = self.known();
        let silent = known
            .pipes
            .keys()
            .filter(|path| !known.lives.contains_key(*path));
        silent.cloned().collect()
    }

    /// Takes over what a list says about acts; who was thought to live until now.
    pub(super) fn recall(&self, list: &List) -> BTreeMap<String, Living> {
        let mut known = self.known();
        known.highest = list.highest;
        known.begun = list
            .acts
            .iter()
            .map(|act| (act.intent, act.ended))
            .collect();
        known.lives.clone()
    }

    pub(super) fn started(&self, living: Living, adopted: bool) {
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

    pub(super) fn exited(&self, gone: &Gone) {
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
}

impl Ears {
    pub(super) fn member(&self, path: &str) -> Option<MemberId> {
        let (group, member) = path.split_once('/')?;
        self.plan.find(group, member)
    }

    pub(super) fn send(&mut self, event: Event) {
        if let Some(held) = &mut self.held {
            held.push(event);
        } else if self.events.send(event).is_err() {
            // Nobody listens only when the daemon is ending.
            tracing::debug!("an event came after the loop had ended");
        }
    }
}
