//! Writes down, beside an engine, what it takes to decide everything again.

use checkd_core::engine::{Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::replay::{Lives, Recorder};
use checkd_core::{Instant, Span};

use super::Journal;

/// After so long what the engine knows is written down anew: a replay can begin there when what was before
/// is not kept any more.
const STRETCH: Span = Span::mins(24 * 60);
/// Or after so many inputs.
const INPUTS: u64 = 100_000;
/// But not more often, whatever happens.
const LEAST: Span = Span::mins(10);

/// Goes with one engine and one journal.
#[derive(Debug)]
pub struct Scribe {
    recorder: Recorder,
    lives: Lives,
    began: Instant,
    inputs: u64,
    /// How long what it takes to replay is kept at most.
    keep: Span,
}

impl Scribe {
    /// Begins when the engine does, or when it has taken another configuration, as `why` says.
    pub fn begin(journal: &Journal, engine: &Engine, why: &'static str, now: Instant) -> Self {
        let keep = engine.plan().daemon.journal_keep;
        journal.begin_segment(engine, why, now);
        Self {
            recorder: Recorder::beside(engine),
            lives: Lives::default(),
            began: now,
            inputs: 0,
            keep: keep.unwrap_or(STRETCH),
        }
    }

    /// Takes down what the engine was told, and answered with `effects`. To be called before any of them
    /// is carried out.
    pub fn took(&mut self, journal: &Journal, event: &Event, now: Instant, effects: &mut [Effect]) {
        let Some(input) = self.recorder.take(event, now, effects) else {
            return;
        };
        // It is told by itself, so it does not count among those that are not.
        if let Event::Sample { leaf, sample } = event {
            for effect in effects {
                if let Effect::Record(Entry::Steady { .. }) = effect {
                    *effect = Effect::Record(Entry::Run {
                        leaf: *leaf,
                        sample: sample.clone(),
                    });
                }
            }
        }
        self.inputs += 1;
        journal.input(self.lives.shorten(input));
    }

    /// Begins a segment where it is time, or where the journal has lost something of this one.
    pub fn go_on(&mut self, journal: &Journal, engine: &Engine, now: Instant) {
        let age = now.since(self.began);
        // Half of a shorter life of rows, so that there always is a segment that is whole.
        let old = age >= STRETCH.min(self.keep / 2).max(LEAST);
        // The journal says so once.
        if age >= LEAST && (old || self.inputs >= INPUTS || journal.wants_beginning()) {
            *self = Self::begin(journal, engine, "goes on", now);
        }
    }
}
