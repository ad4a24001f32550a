//! This machine, as far as it bears on decisions: whether it stands still, and what it is busy with.
//!
//! A check that timed out while this machine stood still says nothing about its target. What measures
//! that best is our own loop: it sleeps nearly always and needs next to nothing, so when it is late,
//! everybody is. Processor pressure says less: it is high on every machine that is merely busy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::likeness::Likeness;
use crate::{Instant, IntentId, MemberId, Span};

/// A wake-up that is later than this is late.
pub(crate) const LATE: Span = Span::millis(500);
/// So many late ones in a row are a stall.
pub(crate) const LATE_TIMES: u32 = 3;
/// One that is later than this is a stall by itself: a suspend, a stopped process, a frozen machine.
pub(crate) const STILL: Span = Span::secs(5);
/// So much of the last ten seconds nobody at all got on, in percent, for want of memory or of a disk:
/// the machine stalls.
pub(crate) const PRESSURE: u8 = 40;
/// What lasts longer than this is how this machine is, and no excuse any more: otherwise a member
/// that brings the machine to its knees could never be restarted.
pub(crate) const EXCUSED: Span = Span::mins(5);
/// After a stall everybody gets this long to catch up.
pub(crate) const AFTERMATH: Span = Span::secs(10);
/// Kills of sick members on one machine are at least this far apart.
pub(crate) const KILL_GAP: Span = Span::secs(1);

/// What stands about the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Host {
    /// Processor cores that we may use.
    pub(crate) cores: u32,
    /// Wake-ups in a row that were late.
    late: u32,
    lag: Option<Stall>,
    pressure: Option<Stall>,
    /// When the last stall was over.
    over: Option<Instant>,
    pub(crate) starts: Pool,
    pub(crate) restarts: Pool,
    /// When the last sick member was killed.
    pub(crate) last_kill: Option<Instant>,
}

/// A stall in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stall {
    since: Instant,
    why: String,
}

/// Acts of one kind: those under way, and who waits for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// Decided and not yet carried out.
    pub(crate) acting: BTreeSet<IntentId>,
    /// Who waits for nothing else, the longest waiting first.
    pub(crate) queue: BTreeMap<u64, MemberId>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Begins(String),
    Ends,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            cores: 2,
            late: 0,
            lag: None,
            pressure: None,
            over: None,
            starts: Pool::default(),
            restarts: Pool::default(),
            last_kill: None,
        }
    }
}

impl Host {
    /// A wake-up came `late` at `now`; `still` when something other than a wake-up came, which shows
    /// only that nothing was done for so long.
    pub(crate) fn woken(&mut self, late: Span, only_still: bool, now: Instant) -> Option<Change> {
        let before = self.stalled(now).is_some();
        if late >= STILL {
            self.begin_lag(now, format!("nothing ran here for {late}"));
            self.late = 0;
        } else if only_still {
            return None;
        } else if late >= LATE {
            self.late = self.late.saturating_add(1);
            if self.late >= LATE_TIMES {
                self.begin_lag(now, format!("checkd itself wakes up {late} late"));
            }
        } else {
            self.late = 0;
            if self.lag.take().is_some() {
                self.over = Some(now);
            }
        }
        self.change(before, now)
    }

    /// The machine's pressure, in percent of the last ten seconds.
    pub(crate) fn pressed(&mut self, memory: u8, disk: u8, now: Instant) -> Option<Change> {
        let before = self.stalled(now).is_some();
        let why = if memory >= PRESSURE {
            Some(format!(
                "for {memory}% of the last 10s nobody had memory to go on"
            ))
        } else if disk >= PRESSURE {
            Some(format!(
                "for {disk}% of the last 10s everybody waited for a disk"
            ))
        } else {
            None
        };
        match why {
            Some(why) => {
                let since = self.pressure.take().map_or(now, |stall| stall.since);
                self.pressure = Some(Stall { since, why });
            }
            None if self.pressure.take().is_some() => self.over = Some(now),
            None => {}
        }
        self.change(before, now)
    }

    fn begin_lag(&mut self, now: Instant, why: String) {
        let since = self.lag.take().map_or(now, |stall| stall.since);
        self.lag = Some(Stall { since, why });
    }

    fn change(&self, before: bool, now: Instant) -> Option<Change> {
        match (before, self.stalled(now)) {
            (false, Some(why)) => Some(Change::Begins(why.to_owned())),
            (true, None) => Some(Change::Ends),
            (true, Some(_)) | (false, None) => None,
        }
    }

    /// Why the machine counts as stalled, when it does.
    pub(crate) fn stalled(&self, now: Instant) -> Option<&str> {
        [&self.lag, &self.pressure]
            .into_iter()
            .flatten()
            .find(|stall| now.since(stall.since) < EXCUSED)
            .map(|stall| stall.why.as_str())
    }

    /// When what stalls now counts no longer, whatever happens.
    pub(crate) fn excused_until(&self) -> Option<Instant> {
        let stalls = [&self.lag, &self.pressure].into_iter().flatten();
        stalls.map(|stall| stall.since + EXCUSED).max()
    }

    /// How long ago the last stall was over.
    pub(crate) fn calm_for(&self, now: Instant) -> Option<Span> {
        self.over.map(|over| now.since(over))
    }

    /// Until when nothing is believed that this machine itself may have caused: it stalls, or everybody
    /// catches up. A stall may be over earlier.
    pub(crate) fn shaken_until(&self, now: Instant) -> Option<Instant> {
        if self.stalled(now).is_some() {
            return self.excused_until();
        }
        let caught_up = self.over.map(|over| over + AFTERMATH);
        caught_up.filter(|at| *at > now)
    }

    /// Whether a run that ends now may have timed out because of a stall: in it, or `after` it.
    pub(crate) fn excuses(&self, after: Span, now: Instant) -> bool {
        self.stalled(now).is_some() || self.calm_for(now).is_some_and(|calm| calm <= after)
    }

    /// How many sick members may be stopped and started at once: it costs capacity, and a process
    /// that boots takes a core.
    pub(crate) fn restarts_allowed(&self) -> usize {
        (self.cores as usize / 2).max(1)
    }

    /// How many dead members may be started at once: it gives capacity back, and a start is under way
    /// only until its process runs.
    pub(crate) fn starts_allowed(&self) -> usize {
        (self.cores as usize * 2).max(4)
    }

    /// When the next sick member may be killed.
    pub(crate) fn next_kill(&self) -> Option<Instant> {
        self.last_kill.map(|last| last + KILL_GAP)
    }

    /// An act is not under way any more.
    pub(crate) fn release(&mut self, intent: IntentId) -> bool {
        self.starts.acting.remove(&intent) | self.restarts.acting.remove(&intent)
    }

    /// What of it bears on what comes.
    pub(super) fn likeness(&self, to: &mut Likeness) {
        let Self {
            cores,
            late,
            lag,
            pressure,
            over,
            starts,
            restarts,
            last_kill,
        } = self;
        to.is((cores, (*late).min(LATE_TIMES)));
        for stall in [lag, pressure] {
            to.maybe(stall.as_ref().map(|it| it.since), EXCUSED);
        }
        to.maybe(*over, AFTERMATH);
        to.maybe(*last_kill, KILL_GAP);
        for Pool { acting, queue } in [starts, restarts] {
            for intent in acting {
                to.intent(*intent);
            }
            to.is((acting.len(), queue.values().collect::<Vec<_>>()));
        }
    }

    /// What goes on through a reload.
    pub(crate) fn go_on_from(&mut self, old: Self) {
        self.cores = old.cores;
        self.late = old.late;
        self.lag = old.lag;
        self.pressure = old.pressure;
        self.over = old.over;
        self.last_kill = old.last_kill;
    }
}

impl Pool {
    /// Puts a member behind everybody who waits.
    pub(crate) fn wait(&mut self, id: MemberId) -> u64 {
        let ticket = self.queue.last_key_value().map_or(0, |(last, _)| last + 1);
        self.queue.insert(ticket, id);
        ticket
    }
}

#[cfg(test)]
mod tests;
