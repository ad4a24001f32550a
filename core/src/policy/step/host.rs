//! This machine: its stalls, and the acts that it is busy with.

use super::Turn;
use crate::event::HostFacts;
use crate::policy::host::{Change, Pool};
use crate::policy::{About, Motive, NoticeKind};
use crate::{Cause, MemberId, Sample, Span, Status};

/// A person hears of stalls at most this often.
const TOLD_EVERY: Span = Span::mins(10);

impl Turn<'_> {
    /// How late this event found us, if we had asked to be woken before.
    pub(super) fn look_at_lateness(&mut self, is_wake: bool) {
        let Some(at) = self.state.wake_at else { return };
        let late = self.now.since(at);
        if let Some(change) = self.state.host.woken(late, !is_wake, self.now) {
            self.host_changed(change);
        }
    }

    pub(super) fn host_facts(&mut self, facts: HostFacts) {
        self.state.host.cores = facts.cores.max(1);
        let (memory, disk) = (facts.memory_full, facts.io_full);
        if let Some(change) = self.state.host.pressed(memory, disk, self.now) {
            self.host_changed(change);
        }
        self.serve = true;
    }

    fn host_changed(&mut self, change: Change) {
        match change {
            Change::Begins(why) => {
                let silent =
                    (self.state.stall_told).is_some_and(|told| self.now.since(told) < TOLD_EVERY);
                if !silent {
                    self.state.stall_told = Some(self.now);
                    let text = format!("stalls ({why}): until that is over a timeout says nothing");
                    self.tell(About::Host, NoticeKind::Stall, text, None);
                }
            }
            // Whoever waited for it waits a little longer, and is told until when.
            Change::Ends => self.again.extend((0u32..).take(self.state.groups.len())),
        }
    }

    /// A timeout that this machine itself may have caused says nothing about its target.
    pub(super) fn excused(&self, sample: &Sample, interval: Span) -> Option<Sample> {
        let timeout = sample.status == Status::Fail && sample.cause == Some(Cause::Timeout);
        (timeout && self.state.host.excuses(interval, self.now)).then(|| Sample {
            status: Status::Unknown,
            cause: Some(Cause::HostStall),
            message: format!("{}; but this machine stalled", sample.message).into(),
            ..sample.clone()
        })
    }

    /// A member waits for nothing but its turn on this machine.
    pub(super) fn wait_for_host(&mut self, id: MemberId, motive: Motive) {
        if self
            .state
            .member(id)
            .is_none_or(|member| member.turn.is_some())
        {
            return;
        }
        let pool = pool(&mut self.state.host, motive);
        let ticket = pool.wait(id);
        if let Some(member) = self.member_mut(id) {
            member.turn = Some((motive, ticket));
        }
        if let Some(at) = self.state.host.next_kill().filter(|at| *at > self.now) {
            let slot = self.state.slots.host();
            self.state.schedule.set_earlier(slot, at);
        }
    }

    pub(super) fn leave_host_queue(&mut self, id: MemberId) {
        if let Some((motive, ticket)) = self.member_mut(id).and_then(|member| member.turn.take()) {
            pool(&mut self.state.host, motive).queue.remove(&ticket);
        }
    }

    /// Lets those act that waited for their turn, the longest waiting first.
    pub(super) fn serve(&mut self) {
        for motive in [Motive::Dead, Motive::Sick] {
            while self.has_turn(motive)
                && let Some((_, id)) = pool(&mut self.state.host, motive).queue.pop_first()
            {
                if let Some(member) = self.member_mut(id) {
                    member.turn = None;
                }
                self.consider(id);
            }
        }
        let waits = !self.state.host.restarts.queue.is_empty();
        if let Some(at) = self
            .state
            .host
            .next_kill()
            .filter(|at| waits && *at > self.now)
        {
            let slot = self.state.slots.host();
            self.state.schedule.set_earlier(slot, at);
        }
    }

    fn has_turn(&self, motive: Motive) -> bool {
        let host = &self.state.host;
        if motive == Motive::Sick {
            let soon = host.next_kill().is_some_and(|at| at > self.now);
            host.restarts.acting.len() < host.restarts_allowed() && !soon
        } else {
            host.starts.acting.len() < host.starts_allowed()
        }
    }
}

fn pool(host: &mut crate::policy::host::Host, motive: Motive) -> &mut Pool {
    if motive == Motive::Sick {
        &mut host.restarts
    } else {
        &mut host.starts
    }
}
