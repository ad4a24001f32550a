//! A group that is restarted as a whole: the ladder's step beyond single restarts, and only where a
//! person allowed it (`strategy`, `allow_group_restart`).
//!
//! It is for members that share something a restart of one of them cannot mend. Two of them must have
//! shown that, by a restart that did not help.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::plan::Strategy;
use crate::{Instant, Span};

/// So many members must have been restarted in vain.
pub(crate) const WITNESSES: u32 = 2;
/// A group is restarted as a whole at most once in this time.
pub(crate) const EVERY: Span = Span::mins(60);
/// Members that are to stop together get this long beyond their `stop_timeout`; then the others are
/// started again without waiting for whoever is left.
pub(crate) const PATIENCE: Span = Span::secs(60);

/// A restart of many members under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Together {
    pub(crate) strategy: Strategy,
    /// Whose turn is still to come: by index.
    pub(crate) left: BTreeSet<u32>,
    /// When it is over, whoever is left.
    pub(crate) until: Instant,
}

impl Together {
    /// The same under a configuration that may be another one: who is gone holds up nobody, and what is
    /// not wanted so any more is over.
    pub(crate) fn under(mut self, strategy: Strategy, members: usize) -> Option<Self> {
        self.left.retain(|index| (*index as usize) < members);
        (self.strategy == strategy && !self.left.is_empty()).then_some(self)
    }

    /// Whether all stop before the first is started again.
    pub(crate) const fn stops_first(&self) -> bool {
        !matches!(self.strategy, Strategy::Rolling)
    }
}
