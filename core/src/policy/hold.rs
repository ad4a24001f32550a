//! A group that is held: when many fail together, restarting is usually wrong (policy.md section 5).
//!
//! A hold is entered by what turned bad *together*, so whoever was in trouble before it does not bring
//! it back; and it is left by calm, or by a canary: one member that is restarted to see whether
//! restarting helps. Without that way out a hold would be the worst policy of all where a restart cures.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::likeness::Likeness;
use crate::plan::Backoff;
use crate::{Instant, IntentId, Span};

/// What turns bad within this long turned bad together.
pub(crate) const TOGETHER: Span = Span::secs(60);
/// Groups that share a dependency and fail within this long are held together.
pub(crate) const SHARED: Span = Span::secs(30);
/// Few enough in trouble for this long, and the hold is over by itself.
pub(crate) const CALM: Span = Span::secs(30);
/// The wait after a canary that did not help.
pub(crate) const AGAIN: Backoff = Backoff {
    base: Span::mins(5),
    cap: Span::mins(30),
};
/// Restarts of sick members that a group of any size may see within [`KILLS_SPAN`]; a larger group as
/// many as it has members. More of them, and restarting is not what helps.
pub(crate) const KILLS: u32 = 10;
/// See [`KILLS`].
pub(crate) const KILLS_SPAN: Span = Span::mins(10);

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) since: Instant,
    /// Why, for a person.
    pub(crate) why: Arc<str>,
    /// When one sick member may be restarted.
    pub(crate) canary_at: Instant,
    /// The restart that was let through, until it is judged.
    pub(crate) canary: Option<IntentId>,
    /// Canaries that did not help.
    pub(crate) futile: u32,
    /// Whether a person was told: only when a member has failed, and not by suspicion.
    pub(crate) told: bool,
}

/// Who turned bad lately in a group, and how often it was acted on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Troubles {
    /// When each member that is in trouble got into it; forgotten after [`TOGETHER`].
    onsets: BTreeSet<(Instant, u32)>,
    /// When sick members were restarted; forgotten after [`KILLS_SPAN`].
    kills: VecDeque<Instant>,
    /// Since when few enough are in trouble.
    pub(crate) calm: Option<Instant>,
}

impl Troubles {
    /// A member got into trouble at `now`.
    pub(crate) fn begin(&mut self, member: u32, now: Instant) {
        while let Some(&(at, _)) = self.onsets.first()
            && now.since(at) >= TOGETHER
        {
            self.onsets.pop_first();
        }
        self.onsets.insert((now, member));
    }

    /// It is out of it again.
    pub(crate) fn end(&mut self, member: u32, since: Instant) {
        self.onsets.remove(&(since, member));
    }

    /// A person knows of all who are in trouble now: they are no reason to hold the group again.
    pub(crate) fn known(&mut self) {
        self.onsets.clear();
        self.kills.clear();
    }

    /// How many got into trouble within the last minute and still are.
    pub(crate) fn together(&self, now: Instant) -> u32 {
        let old = self
            .onsets
            .iter()
            .take_while(|(at, _)| now.since(*at) >= TOGETHER);
        u32::try_from(self.onsets.len() - old.count()).unwrap_or(u32::MAX)
    }

    /// A sick member was restarted at `now`. How often that happened lately.
    pub(crate) fn killed(&mut self, now: Instant) -> u32 {
        self.kills.push_back(now);
        while let Some(&at) = self.kills.front()
            && now.since(at) >= KILLS_SPAN
        {
            self.kills.pop_front();
        }
        u32::try_from(self.kills.len()).unwrap_or(u32::MAX)
    }

    /// What of it bears on what comes.
    pub(super) fn likeness(&self, to: &mut Likeness) {
        let Self {
            onsets,
            kills,
            calm,
        } = self;
        for (at, member) in onsets {
            to.time(*at, TOGETHER);
            to.is(member);
        }
        to.is(kills.len());
        for at in kills {
            to.time(*at, KILLS_SPAN);
        }
        to.maybe(*calm, CALM);
    }

    /// Forgets the restarts, which have led to a hold.
    pub(crate) fn forget_kills(&mut self) {
        self.kills.clear();
    }
}

/// Whether so few of `members` are in trouble that a hold may end: less than a quarter.
pub(crate) const fn calm(troubled: u32, members: u32) -> bool {
    troubled as u64 * 4 < members as u64
}

#[cfg(test)]
mod tests;
