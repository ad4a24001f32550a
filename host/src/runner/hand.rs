//! Runs by hand: one check without a plan, through the same doors as the daemon's runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use checkd_core::{Cause, CheckKind, Instant, LeafId, Sample, Span};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::doors::{Doors, Ready};
use super::trouble_sample;
use crate::clock;
use crate::plugin::catalog::Offer;
use crate::plugin::convert::{When, unknown};
use crate::plugin::{Catalog, Target};

/// Runs checks one by one, for `checkd check` and for tests.
#[derive(Debug)]
pub struct Hand {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalog: Arc<Catalog>,
    doors: Doors,
    leaves: AtomicU32,
    /// Taken when it is dropped.
    runtime: Option<Arc<Runtime>>,
}

/// One check that can be run again and again.
#[derive(Debug)]
pub struct Held {
    hand: Arc<Inner>,
    leaf: LeafId,
    offer: Arc<Offer>,
    options: Map<String, Value>,
    target: Target,
    ready: Option<Ready>,
}

impl Hand {
    /// Runs checks of the kinds in `catalog`.
    ///
    /// # Errors
    /// The machine gives no threads.
    pub fn new(catalog: Arc<Catalog>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self::on(Some(Arc::new(runtime)), catalog))
    }

    /// Runs checks of the kinds in another catalog on the same threads.
    #[must_use]
    pub fn beside(&self, catalog: Arc<Catalog>) -> Self {
        Self::on(self.inner.runtime.clone(), catalog)
    }

    fn on(runtime: Option<Arc<Runtime>>, catalog: Arc<Catalog>) -> Self {
        let (doors, leaves) = (Doors::new(), AtomicU32::new(0));
        let inner = Inner {
            catalog,
            doors,
            leaves,
            runtime,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// A check of a kind; `None` when nobody offers it. Nothing is configured before its first run.
    pub fn hold(
        &self,
        kind: &CheckKind,
        options: Map<String, Value>,
        target: Target,
    ) -> Option<Held> {
        let offer = self.inner.catalog.offer(kind)?;
        let check = self.inner.leaves.fetch_add(1, Ordering::Relaxed);
        Some(Held {
            hand: Arc::clone(&self.inner),
            leaf: LeafId {
                group: 0,
                check,
                member: None,
            },
            offer,
            options,
            target,
            ready: None,
        })
    }
}

impl Held {
    /// One run. Blocks. What goes wrong is an Unknown with its reason.
    pub fn run(&mut self, limit: Duration) -> Sample {
        let hand = Arc::clone(&self.hand);
        match &hand.runtime {
            Some(runtime) => runtime.block_on(self.once(&hand.doors, limit)),
            None => unknown(Cause::HostStall, "there are no threads", when(clock::now())),
        }
    }

    async fn once(&mut self, doors: &Doors, limit: Duration) -> Sample {
        let mut began = clock::now();
        let ready = if let Some(ready) = self.ready.take().filter(Ready::is_good) {
            Ok(ready)
        } else {
            let target = self.target.clone();
            doors
                .configure(&self.offer, self.leaf, &self.options, target, limit)
                .await
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(trouble) => return trouble_sample(&self.offer, trouble, when(began)),
        };
        began = clock::now();
        let ended = doors.run(self.leaf, ready, limit).await;
        self.ready = ended.ready;
        match ended.said {
            Ok(said) => said.sample(when(began)).0,
            Err(trouble) => trouble_sample(&self.offer, trouble, when(began)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A check that hangs must not hold its caller up.
        if let Some(runtime) = self.runtime.take().and_then(Arc::into_inner) {
            runtime.shutdown_background();
        }
    }
}

/// Now, and how long it took since `began`.
fn when(began: Instant) -> When {
    let at = clock::now();
    let took: Span = at.since(began);
    When {
        at,
        took,
        generation: None,
    }
}
