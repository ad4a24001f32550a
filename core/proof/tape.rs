//! What one engine was told and what it answered, from its beginning to its end.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use checkd_core::engine::{Effect, Engine, Event};
use checkd_core::plan::Plan;
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::{Instant, IntentId};

use super::watch::Broken;

/// The tape of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    begin: (Arc<Plan>, u64, IntentId, Instant),
    restored: Option<(Vec<Kept>, Between)>,
    told: Vec<(Instant, Told)>,
}

#[derive(Clone, Debug)]
enum Told {
    /// With the sum of everything that was answered.
    Event(Event, u64),
    Reload(Arc<Plan>),
}

impl Tape {
    pub(crate) const fn new(plan: Arc<Plan>, seed: u64, first: IntentId, now: Instant) -> Self {
        Self {
            begin: (plan, seed, first, now),
            restored: None,
            told: Vec::new(),
        }
    }

    pub(crate) fn restored(&mut self, kept: Vec<Kept>, between: Between) {
        self.restored = Some((kept, between));
    }

    pub(crate) fn took(&mut self, event: &Event, now: Instant, answered: &[Effect]) {
        self.told
            .push((now, Told::Event(event.clone(), sum(answered))));
    }

    pub(crate) fn reloaded(&mut self, next: &Arc<Plan>, now: Instant) {
        self.told.push((now, Told::Reload(Arc::clone(next))));
    }

    /// Tells another engine the same.
    pub(crate) fn replay(&self) -> Result<(), Broken> {
        let (plan, seed, first, began) = &self.begin;
        let mut engine = Engine::new(Arc::clone(plan), *seed, *first, *began);
        if let Some((kept, between)) = &self.restored {
            engine.restore(kept, between, *began);
        }
        for (now, told) in &self.told {
            match told {
                Told::Reload(next) => drop(engine.reload(Arc::clone(next), *now)),
                Told::Event(event, answered) => {
                    let mut out = Vec::new();
                    engine.step(event, *now, &mut out);
                    if sum(&out) != *answered {
                        return Err(format!(
                            "I6: told {event:?} at {now:?} again, it answers {out:?}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A sum of all that was decided; what is to be kept follows from it.
fn sum(effects: &[Effect]) -> u64 {
    let mut sum = Sum(DefaultHasher::new());
    for effect in effects {
        if !matches!(effect, Effect::Keep(_)) {
            let _ = write!(sum, "{effect:?}");
        }
    }
    sum.0.finish()
}

struct Sum(DefaultHasher);

impl Write for Sum {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
