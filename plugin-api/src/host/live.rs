//! One configured check that can be run again and again, whatever happens to its runs.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::pool::Job;
use super::run::guarded;
use super::{BlockingPool, Instance, Registration};
use crate::{Cause, Context, Problems, Sample, panics};

/// One configured check. Its instance may be lost (a panic, a thread that hangs): the next run
/// configures a fresh one, whose memory is empty.
pub struct Live {
    registration: &'static Registration,
    options: Arc<str>,
    instance: Option<Instance>,
}

impl Live {
    /// Configures a check of these options (a JSON object, placeholders and secrets already
    /// replaced).
    pub fn configure(registration: &'static Registration, options: &str) -> Result<Self, Problems> {
        let instance = Some(registration.configure(options)?);
        Ok(Self {
            registration,
            options: options.into(),
            instance,
        })
    }

    /// The kind that it is of.
    pub const fn registration(&self) -> &'static Registration {
        self.registration
    }

    /// One run: an asynchronous check is awaited here, a blocking one goes to `pool`. Exactly one
    /// sample comes back: at the latest at the deadline when the target is silent, one second after
    /// it when the check itself hangs. Needs a tokio runtime with time.
    ///
    /// When the future is dropped the run is given up, and so is its instance.
    pub async fn run(&mut self, cx: &Context, pool: &BlockingPool) -> Sample {
        match self.take() {
            Err(problems) => gone(&problems),
            Ok(Instance::Async(mut instance)) => {
                let ended = guarded(&mut *instance, cx).await;
                if ended.panicked {
                    panics::discard(instance);
                } else {
                    self.instance = Some(Instance::Async(instance));
                }
                ended.sample
            }
            Ok(Instance::Blocking(instance)) => {
                let (sender, receiver) = oneshot::channel();
                let id = pool.submit(Job::new(instance, cx.clone(), move |answer| {
                    // An error says that nobody waits any more.
                    drop(sender.send(answer));
                }));
                let _given_up_on_drop = GiveUp { pool, id };
                let Ok((sample, instance)) = receiver.await else {
                    return Sample::unknown(Cause::Overran, "the pool of threads was shut down");
                };
                self.instance = instance.map(Instance::Blocking);
                sample
            }
        }
    }

    /// The instance, or a fresh one when it was lost.
    pub(crate) fn take(&mut self) -> Result<Instance, Problems> {
        match self.instance.take() {
            Some(instance) => Ok(instance),
            None => self.registration.configure(&self.options),
        }
    }
}

/// Gives a run up when its future is dropped; does nothing to one that has answered.
struct GiveUp<'a> {
    pool: &'a BlockingPool,
    id: u64,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.pool.give_up(self.id);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            panics::discard(instance);
        }
    }
}

/// The sample of a check that accepted its options once and refuses them now.
pub(crate) fn gone(problems: &Problems) -> Sample {
    let message = format!("the check refuses options that it took before: {problems}");
    Sample::unknown(Cause::Misconfigured, message).sealed()
}
