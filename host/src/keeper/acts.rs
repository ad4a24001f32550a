//! Acts, each carried out once however often it is asked for, and to its end without the daemon.

use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use checkd_core::{Generation, IntentId};
use rustix::process::Signal;

use super::life::Life;
use super::output::{self, Tap};
use super::processes::{self, Handle};
use super::protocol::{Begun, Gone, List, Living, Message, Order, Spec, Verb, Word, signal_named};
use super::upgrade::Act;
use crate::points::Point;

use super::{ACTS_KEPT, ACTS_MAX, EXITS_MAX, INTENT, Keeper, MARK, NAMES, cgroup};

impl Keeper {
    /// Carries an order out, or answers as the first time.
    pub(super) fn take(&self, order: Order) {
        Point::KeeperOrderRead.pass();
        let Some(intent) = order.intent else {
            let act = Act::new(order);
            self.overrule(&act.order.path);
            let mut unnumbered = self.0.unnumbered.borrow_mut();
            // Asked for once more: it goes on, and its end is told.
            if unnumbered.insert(act.order.tag, act.clone()).is_none() {
                drop(unnumbered);
                self.begin(act);
            }
            return;
        };
        let known = self.0.acts.borrow().get(&intent).cloned();
        let refusal = match known {
            Some(act) if act.order.verb != order.verb || act.order.path != order.path => {
                format!("intent {} was another act", intent.0)
            }
            Some(act) if act.ended => {
                self.done(&order, act.error);
                return;
            }
            // It goes on, and its end is told.
            Some(_) => return,
            None if intent <= self.0.forgotten.get() => {
                format!("intent {} was carried out long ago", intent.0)
            }
            None => {
                self.0.highest.set(self.0.highest.get().max(intent));
                let act = Act::new(order);
                self.0.acts.borrow_mut().insert(intent, act.clone());
                Point::KeeperOrderRemembered.pass();
                self.begin(act);
                return;
            }
        };
        self.done(&order, Some(refusal));
    }

    /// What the daemon asks for without an intent is to stop for good: nothing that is under way for
    /// this member starts it any more.
    fn overrule(&self, path: &str) {
        for act in self.0.acts.borrow_mut().values_mut() {
            act.overruled |= !act.ended && act.order.path == path;
        }
    }

    /// Begins an act, or goes on with one that the program before began.
    pub(super) fn begin(&self, act: Act) {
        let keeper = self.clone();
        self.0.going.set(self.0.going.get() + 1);
        tokio::task::spawn_local(async move {
            let error = keeper.carry_out(&act).await.err();
            Point::KeeperActEnded.pass();
            keeper.0.going.set(keeper.0.going.get().saturating_sub(1));
            if let Some(intent) = act.order.intent {
                let mut acts = keeper.0.acts.borrow_mut();
                if let Some(known) = acts.get_mut(&intent) {
                    known.ended = true;
                    known.error.clone_from(&error);
                    // What is needed to carry it out may be large and secret.
                    known.order.spec = None;
                }
            } else {
                keeper.0.unnumbered.borrow_mut().remove(&act.order.tag);
            }
            keeper.forget();
            keeper.done(&act.order, error);
            Point::KeeperDoneTold.pass();
            keeper.0.less.notify_one();
        });
    }

    fn done(&self, order: &Order, error: Option<String>) {
        self.tell(&Message::Done {
            intent: order.intent,
            tag: order.tag,
            error,
        });
    }

    async fn carry_out(&self, act: &Act) -> Result<(), String> {
        let order = &act.order;
        match order.verb {
            Verb::Start => self.start(order),
            Verb::Stop => self.stop(act).await,
            Verb::Restart => {
                // Stop failed, start anyway: two of them would share a port.
                self.stop(act).await?;
                self.start(order)
            }
            Verb::Kill => match self.life(&order.path) {
                Some(life) if Some(life.generation) == order.generation => life.kill().await,
                _ => Ok(()),
            },
        }
    }

    async fn stop(&self, act: &Act) -> Result<(), String> {
        let order = &act.order;
        let generation = order
            .generation
            .ok_or("it does not say which life to stop")?;
        let how = order.stop.as_ref().ok_or("it does not say how to stop")?;
        let life = match self.life(&order.path) {
            Some(life) if life.generation == generation => life,
            // What was to be stopped has stopped, and this very act has started the next.
            Some(life) if life.intent.is_some() && life.intent == order.intent => return Ok(()),
            Some(life) => {
                return Err(format!(
                    "pid {} is gone; it runs as pid {} now, which was left alone",
                    generation.pid, life.generation.pid
                ));
            }
            // What was to be stopped has stopped.
            None => return Ok(()),
        };
        let now = crate::clock::now().0;
        let until = if let Some(until) = act.stops_until {
            until
        } else {
            life.ask_to_stop(signal_named(&how.signal)?)?;
            Point::KeeperStopSent.pass();
            let until = now.saturating_add(how.patience_ms);
            let (mut acts, mut unnumbered) =
                (self.0.acts.borrow_mut(), self.0.unnumbered.borrow_mut());
            let known = match order.intent {
                Some(intent) => acts.get_mut(&intent),
                None => unnumbered.get_mut(&order.tag),
            };
            if let Some(act) = known {
                act.stops_until = Some(until);
            }
            until
        };
        let patience = Duration::from_millis(until.saturating_sub(now));
        life.stop_within(patience).await
    }

    fn start(&self, order: &Order) -> Result<(), String> {
        let overruled = order
            .intent
            .and_then(|intent| self.0.acts.borrow().get(&intent).map(|act| act.overruled));
        if overruled == Some(true) {
            return Err("it was told to stop for good meanwhile".to_owned());
        }
        if let Some(life) = self.life(&order.path) {
            if life.intent.is_some() && life.intent == order.intent {
                return Ok(());
            }
            return Err(format!("it already runs as pid {}", life.generation.pid));
        }
        if order
            .intent
            .is_some_and(|intent| self.0.started.contains(intent))
        {
            return Err(
                "it was started by a keeper that was killed, and has ended; nobody saw how"
                    .to_owned(),
            );
        }
        let spec = order.spec.as_ref().ok_or("it does not say how to start")?;
        let mut spec: Spec = spec.clone();
        if let Some(intent) = order.intent {
            let words = (INTENT.to_owned(), intent.0.to_string());
            spec.environment
                .push((Word::Text(words.0), Word::Text(words.1)));
        }
        let ends = output::open(&spec.output, spec.account.as_ref().map(|a| a.uid))?;
        let tap = match ends.ours {
            Some(pipe) => Some(
                Tap::begin(pipe, spec.output.clone())
                    .ok_or("cannot watch the pipe of its output")?,
            ),
            None => None,
        };
        let (cgroup, door) = self.cgroup(&order.path).unzip();
        Point::KeeperSpawning.pass();
        let note = order.intent.and_then(|intent| self.0.started.line(intent));
        let pid = spec.spawn(ends.member, door, note).inspect_err(|_| {
            if let Some(path) = &cgroup {
                cgroup::remove(path);
            }
        })?;
        Point::KeeperSpawned.pass();
        if let Some(intent) = order.intent {
            self.0.started.add(intent, pid);
        }
        // What cannot be watched must not run: it would hold the port, and be started once more.
        let watched = Handle::of_child(pid)
            .ok_or("cannot watch the new process (pidfd_open)")
            .and_then(|handle| {
                let generation = processes::generation_of(self.0.boot, pid);
                Ok((
                    handle,
                    generation.ok_or("cannot read the new process in /proc")?,
                ))
            });
        let (handle, generation) = watched.map_err(|why| {
            processes::kill_child(pid);
            format!("{why}, so it was killed again; are there descriptors left?")
        })?;
        let living = Living {
            path: order.path.clone(),
            generation,
            intent: order.intent,
            adopted: false,
        };
        let mut life = Life::new(living, handle);
        let inside = cgroup::of(pid, &name_of(&order.path));
        life.cgroup = cgroup.filter(|path| {
            let inside = inside.as_ref() == Some(path);
            if !inside {
                // The door was closed: an empty one says nothing about the tree.
                cgroup::remove(path);
            }
            inside
        });
        life.tap.replace(tap);
        life.output.replace(Some(spec.output));
        self.watch(life);
        Point::KeeperWatched.pass();
        Ok(())
    }

    fn cgroup(&self, path: &str) -> Option<(PathBuf, File)> {
        let home = self.0.cgroups.as_ref()?;
        cgroup::make(home, &name_of(path))
    }

    /// Looks after a life to its end.
    pub(super) fn watch(&self, mut life: Life) {
        life.marks = self.marks(&life);
        let life = Rc::new(life);
        let mut lives = self.0.lives.borrow_mut();
        lives.insert(life.path.clone(), Rc::clone(&life));
        drop(lives);
        self.tell(&Message::Started(life.living()));
        let keeper = self.clone();
        tokio::task::spawn_local(async move {
            let (exit, left) = life.wait().await;
            keeper.0.lives.borrow_mut().remove(&life.path);
            if let Some(intent) = life.intent {
                keeper.0.started.over(intent);
            }
            let gone = Gone {
                path: life.path.clone(),
                generation: life.generation,
                exit,
                left,
            };
            let mut exits = keeper.0.exits.borrow_mut();
            exits.push_back(gone.clone());
            if exits.len() > EXITS_MAX {
                exits.pop_front();
            }
            drop(exits);
            keeper.tell(&Message::Exited(gone));
            Point::KeeperExitTold.pass();
            life.told();
            keeper.0.less.notify_one();
        });
    }

    pub(super) fn mark(&self) -> String {
        format!("{MARK}={}", self.0.state_dir.join("output").display())
    }

    /// What stands in the environment of whatever this life starts, and of no other life.
    fn marks(&self, life: &Life) -> Vec<String> {
        let (Some((group, member)), Some(intent)) = (life.path.split_once('/'), life.intent) else {
            return Vec::new();
        };
        let values = [group, member, &intent.0.to_string()];
        let names = NAMES.into_iter().zip(values);
        let names = names.map(|(name, value)| format!("{name}={value}"));
        names.chain([self.mark()]).collect()
    }

    /// Asks every member to stop, and ends what is left of it after `patience`: for when no daemon is
    /// there to say how each likes it.
    pub(super) async fn stop_all(&self, patience: Duration) {
        let lives: Vec<_> = self.0.lives.borrow().values().cloned().collect();
        let stops: Vec<_> = lives
            .into_iter()
            .map(|life| {
                tokio::task::spawn_local(async move {
                    let asked = life.ask_to_stop(Signal::TERM);
                    if let Err(why) = asked.and(life.stop_within(patience).await) {
                        super::note(&format!("{}: {why}", life.path));
                    }
                })
            })
            .collect();
        for stop in stops {
            drop(stop.await);
        }
    }

    /// All that we know.
    pub(super) fn list(&self) -> List {
        let acts = self.0.acts.borrow();
        let mut begun: Vec<Begun> = acts
            .iter()
            .map(|(&intent, act)| Begun {
                intent,
                path: act.order.path.clone(),
                ended: act.ended,
                error: act.error.clone(),
            })
            .collect();
        let lives = self.0.lives.borrow();
        // A life that was found by its marks says that its act came to its end.
        for life in lives.values() {
            if let Some(intent) = life.intent
                && !acts.contains_key(&intent)
            {
                begun.push(Begun {
                    intent,
                    path: life.path.clone(),
                    ended: true,
                    error: None,
                });
            }
        }
        List {
            members: lives.values().map(|life| life.living()).collect(),
            exits: self.0.exits.borrow().iter().cloned().collect(),
            acts: begun,
            highest: self.0.highest.get(),
            remarks: self.0.remarks.take(),
        }
    }

    /// The journal holds these.
    pub(super) fn acknowledge(&self, exits: &[Generation], acts: &[IntentId]) {
        let mut kept = self.0.exits.borrow_mut();
        kept.retain(|gone| !exits.contains(&gone.generation));
        drop(kept);
        let mut known = self.0.acts.borrow_mut();
        for intent in acts {
            if let Some(act) = known.get_mut(intent)
                && act.ended
            {
                act.acknowledged = true;
            }
        }
        drop(known);
        self.0.started.forget(acts);
        self.forget();
        Point::KeeperAcknowledged.pass();
        self.0.less.notify_one();
    }

    /// Keeps the memory of acts bounded: those acknowledged long ago go first.
    fn forget(&self) {
        let mut acts = self.0.acts.borrow_mut();
        let acknowledged = acts.values().filter(|act| act.acknowledged).count();
        let mut surplus = acknowledged.saturating_sub(ACTS_KEPT);
        if acts.len() > ACTS_MAX {
            surplus = surplus.max(acts.len() - ACTS_MAX);
        }
        if surplus == 0 {
            return;
        }
        let oldest: Vec<IntentId> = acts
            .iter()
            .filter(|(_, act)| act.ended)
            .map(|(&intent, _)| intent)
            .take(surplus)
            .collect();
        for intent in oldest {
            acts.remove(&intent);
            self.0.forgotten.set(self.0.forgotten.get().max(intent));
        }
    }

    /// Whether anything is left that somebody may still ask for.
    pub(super) fn busy(&self) -> bool {
        !self.0.lives.borrow().is_empty() || self.0.going.get() > 0
    }

    /// Whether anything is remembered that no daemon knows.
    pub(super) fn remembers(&self) -> bool {
        let acts = self.0.acts.borrow();
        !self.0.exits.borrow().is_empty() || acts.values().any(|act| !act.acknowledged)
    }
}

/// A member's path as part of the name of its control group.
pub(super) fn name_of(path: &str) -> String {
    path.replace('/', ".")
}
