//! What was told to the engine of one plan, as the engine of another one hears it.

use checkd_core::engine::Event;
use checkd_core::plan::Plan;
use checkd_core::replay::Input;
use checkd_core::{Instant, LeafId, MemberId, Sample, Span, Status};

/// From one plan to another: members and checks are known by their names.
pub(super) struct Names {
    from: Plan,
    to: Plan,
}

impl Names {
    pub(super) fn new(from: &Plan, to: &Plan) -> Self {
        let mut to = to.clone();
        // The samples are those of the history, whatever the check would have looked at.
        let mut from = from.clone();
        for check in (from.groups.iter_mut().chain(&mut to.groups)).flat_map(|it| &mut it.checks) {
            check.options.clear();
        }
        Self { from, to }
    }

    pub(super) fn member(&self, id: MemberId) -> Option<MemberId> {
        let group = self.from.group(id.group)?.name.as_str();
        self.to.find(group, self.from.member(id)?.name.as_str())
    }

    fn leaf(&self, leaf: LeafId) -> Option<LeafId> {
        let sample = Sample {
            status: Status::Pass,
            cause: None,
            message: "".into(),
            measurements: Vec::new(),
            at: Instant(0),
            took: Span::ZERO,
            generation: None,
        };
        match (Event::Sample { leaf, sample }).rebased(&self.from, &self.to)? {
            Event::Sample { leaf, .. } => Some(leaf),
            Event::Wake
            | Event::Started { .. }
            | Event::Exited { .. }
            | Event::IntentStored(_)
            | Event::IntentRefused { .. }
            | Event::Done { .. }
            | Event::Host(_)
            | Event::Maintenance { .. }
            | Event::Command { .. } => None,
        }
    }

    /// What the other engine hears of it.
    pub(super) fn input(&self, input: &Input) -> Option<Input> {
        Some(match input {
            Input::Passes {
                leaf,
                first,
                last,
                count,
            } => Input::Passes {
                leaf: self.leaf(*leaf)?,
                first: *first,
                last: *last,
                count: *count,
            },
            Input::Event { at, asked, event } => Input::Event {
                at: *at,
                asked: *asked,
                event: event.clone().rebased(&self.from, &self.to)?,
            },
        })
    }
}
