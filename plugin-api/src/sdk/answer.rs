//! The one answer of a run, whoever gives it first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use checkd_abi::HostRef;

use crate::{Cause, Sample};

/// Where the answers of an instance go.
#[derive(Clone, Copy)]
pub struct Sink {
    /// The host's table.
    pub host: HostRef,
    /// What the host wants back.
    pub user: usize,
}

/// The answer of one run; given once.
pub(super) struct Answer {
    sink: Sink,
    instance: u64,
    run: u64,
    given: AtomicBool,
}

impl Answer {
    pub(super) const fn new(sink: Sink, instance: u64, run: u64) -> Self {
        Self {
            sink,
            instance,
            run,
            given: AtomicBool::new(false),
        }
    }

    /// The number by which the host knows the run.
    pub(super) const fn run(&self) -> u64 {
        self.run
    }

    /// Answers, unless somebody has.
    pub(super) fn give(&self, sample: &Sample) {
        if self.given.swap(true, Ordering::AcqRel) {
            return;
        }
        // A sample of ours has nothing that JSON cannot say; an empty text is the host's to refuse.
        let json = serde_json::to_string(sample).unwrap_or_default();
        (self.sink.host.sink())(
            self.sink.user,
            self.instance,
            self.run,
            json.as_str().into(),
        );
    }
}

/// Answers for a run that is dropped without an answer, so that there is one on every path.
pub(super) struct Pledge(pub(super) Arc<Answer>);

impl Drop for Pledge {
    fn drop(&mut self) {
        self.0
            .give(&Sample::unknown(Cause::Overran, "the run was given up"));
    }
}
