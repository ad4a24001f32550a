//! The daemon is killed, replayed, and reloaded.

use std::sync::Arc;

use checkd_core::engine::{Engine, Event, Exit};
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::{IntentId, MemberId};

use super::{Item, World};
use crate::proof::tape::Tape;
use crate::proof::watch::{Broken, rename};

impl World {
    /// The daemon is killed, and another begins.
    pub(super) fn crash(&mut self, lossy: bool) -> Result<(), Broken> {
        self.watch.crashed(lossy, self.now);
        if lossy {
            self.kept = self.durable.clone();
        }
        let open = self.watch.open();
        self.queue.retain(|_, item| !item.of_daemon);
        let first = IntentId(self.watch.last_intent().0 + 1);
        let seed = self.chance.draw();
        self.engine = Engine::new(Arc::clone(&self.plan), seed, first, self.now);
        self.wake_at = None;
        let kept: Vec<Kept> = self.kept.values().map(|kept| Kept::clone(kept)).collect();
        let between = Between::SameBoot { open };
        self.replay()?;
        self.engine.restore(&kept, &between, self.now);
        if let Some(tape) = &mut self.tape {
            *tape = Tape::new(Arc::clone(&self.plan), seed, first, self.now);
            tape.restored(kept, between);
        }
        let plan = Arc::clone(&self.plan);
        for member in plan.members() {
            let kept = self.kept.get(&plan.path(member));
            let was = kept.and_then(|kept| kept.member()?.generation);
            let is = self.running(member);
            if let Some(generation) = was.filter(|_| was != is) {
                let exit = Exit::Lost;
                self.event(&Event::Exited {
                    member,
                    generation,
                    exit,
                })?;
            }
            if let Some(generation) = is {
                self.event(&Event::Started {
                    member,
                    generation,
                    adopted: true,
                })?;
            }
        }
        self.host(0)?;
        self.event(&Event::Wake)
    }

    /// I6: another engine that is told the same decides the same.
    pub(crate) fn replay(&mut self) -> Result<(), Broken> {
        let Some(tape) = &self.tape else {
            return Ok(());
        };
        self.watch.look(6);
        tape.replay()
    }

    pub(super) fn reload(&mut self, number: u64) -> Result<(), Broken> {
        let plans = &self.plans;
        let number = usize::try_from(number).unwrap_or(0) % plans.len().max(1);
        let Some(next) = plans.get(number).map(Arc::clone) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut self.plan, Arc::clone(&next));
        for entry in self.engine.leaving(&next, self.now) {
            self.watch.entry(&before, &entry, self.now)?;
        }
        self.watch.reload(&before, &next, self.now);
        let name = |id: MemberId| {
            let group = before.group(id.group)?.name.as_str();
            next.find(group, before.member(id)?.name.as_str())
        };
        self.truth = rename(&mut self.truth, name);
        self.says.clear();
        let queue = std::mem::take(&mut self.queue).into_iter();
        self.queue = queue
            .filter_map(|(key, item)| {
                let member = item.member.and_then(name);
                let event = item.event.rebased(&before, &next)?;
                let of_daemon = item.of_daemon;
                Some((
                    key,
                    Item {
                        event,
                        of_daemon,
                        member,
                    },
                ))
            })
            .collect();
        self.last_sample = None;
        self.wake_at = None;
        let wanted: Vec<String> = next.members().map(|id| next.path(id)).collect();
        let groups: Vec<&str> = next.groups.iter().map(|it| it.name.as_str()).collect();
        let known = |path: &String| wanted.contains(path) || groups.contains(&path.as_str());
        self.kept.retain(|path, _| known(path));
        self.durable.retain(|path, _| known(path));
        drop(self.engine.reload(Arc::clone(&next), self.now));
        if let Some(tape) = &mut self.tape {
            tape.reloaded(&next, self.now, &self.engine);
        }
        self.event(&Event::Wake)
    }
}
