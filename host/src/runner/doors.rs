//! Through which door a run goes: a call, a library's table, or a worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use checkd_core::LeafId;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::plugin::catalog::{Door, Offer};
use crate::plugin::client::{
    Client, Instance as InWorker, OVERRUN, Standing, Trouble, Wanted, millis,
    overran as told_overran,
};
use crate::plugin::convert::Said;
use crate::plugin::linked::{BLOCKING_MAX, BuiltIn, Pool};
use crate::plugin::loader::Instance as InLibrary;
use crate::plugin::options;
use crate::plugin::protocol::{Problem, Target};

/// The pool of built-ins tells itself that a run overran; this much later we do.
const MARGIN: Duration = Duration::from_millis(250);

/// How long dropping a run that hangs may be waited for before its leaf counts as stuck.
const CANCEL: Duration = Duration::from_millis(250);

/// Every door, with what it shares between runs.
#[derive(Debug)]
pub(crate) struct Doors {
    /// By the plugin's origin.
    clients: Mutex<HashMap<String, Arc<Client>>>,
    /// Blocking runs of a plugin, by its origin.
    blocking: Mutex<HashMap<String, Arc<Semaphore>>>,
    pool: Pool,
    runs: std::sync::atomic::AtomicU64,
}

/// An instance that can be run.
#[derive(Debug)]
pub(crate) struct Ready {
    target: Target,
    how: How,
}

#[derive(Debug)]
enum How {
    Linked(Box<BuiltIn>),
    Library(InLibrary),
    Worker(Arc<Client>, InWorker),
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) said: Result<Said, Trouble>,
    /// The instance, when it can be used again.
    pub(crate) ready: Option<Ready>,
    /// A run that is over for us and goes on by itself: the leaf is stuck until it ends.
    pub(crate) stuck: Option<JoinHandle<()>>,
}

impl Ready {
    /// False when it must be configured anew.
    pub(crate) fn is_good(&self) -> bool {
        match &self.how {
            How::Linked(_) | How::Library(_) => true,
            How::Worker(_, instance) => instance.is_good(),
        }
    }
}

impl Doors {
    pub(crate) fn new() -> Self {
        Self {
            clients: Mutex::default(),
            blocking: Mutex::default(),
            pool: Pool::new(),
            runs: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// How every plugin is that has a worker.
    pub(crate) fn standings(&self) -> Vec<(Arc<str>, Standing)> {
        let all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().map(|client| client.standing()).collect()
    }

    /// The places for blocking runs of the plugin that offers a kind.
    pub(crate) fn blocking(&self, offer: &Offer) -> Arc<Semaphore> {
        let mut all = self.blocking.lock().unwrap_or_else(PoisonError::into_inner);
        let places = all
            .entry(offer.plugin.origin.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(BLOCKING_MAX)));
        Arc::clone(places)
    }

    /// Makes an instance of a kind for a leaf, its placeholders and secrets resolved.
    pub(crate) async fn configure(
        &self,
        offer: &Arc<Offer>,
        leaf: LeafId,
        options: &Map<String, Value>,
        target: Target,
        patience: Duration,
    ) -> Result<Ready, Trouble> {
        let (facts, written, about) = (Arc::clone(offer), options.clone(), target.clone());
        // Secrets are files.
        let resolved = blocking(move || options::resolve(&facts.facts, &written, &about)).await?;
        let how = match (&offer.plugin.door, offer.linked) {
            (Door::Linked, Some(linked)) => {
                let made = blocking(move || BuiltIn::configure(linked, &resolved)).await?;
                How::Linked(Box::new(made))
            }
            (Door::Linked, None) => {
                return Err(Trouble::Unavailable("the kind is not linked in".into()));
            }
            (Door::Library(library), _) => {
                let (library, kind) = (Arc::clone(library), offer.facts.kind.clone());
                let about = target.clone();
                let made =
                    blocking(move || library.configure(kind.as_str(), &resolved, &about)).await?;
                How::Library(made)
            }
            (Door::Worker(launch), _) => {
                let client = {
                    let mut all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
                    let client = all
                        .entry(offer.plugin.origin.clone())
                        .or_insert_with(|| Arc::new(Client::new(launch.clone())));
                    Arc::clone(client)
                };
                let kind = offer.facts.kind.as_str().to_owned();
                let wanted = Wanted {
                    leaf,
                    kind,
                    options: resolved,
                    target: target.clone(),
                };
                let made = client.configure(wanted, patience).await?;
                How::Worker(client, made)
            }
        };
        Ok(Ready { target, how })
    }

    /// One run; comes back at the latest a little after the plugin's deadline.
    pub(crate) async fn run(&self, leaf: LeafId, ready: Ready, limit: Duration) -> Ended {
        let Ready { target, how } = ready;
        match how {
            How::Linked(built_in) => self.run_linked(built_in, target, limit).await,
            How::Library(instance) => self.run_library(instance, target, limit).await,
            How::Worker(client, instance) => {
                let said = client.run(leaf, &instance, limit).await.map(Said::Text);
                let kept = said.is_ok().then_some(Ready {
                    target,
                    how: How::Worker(client, instance),
                });
                Ended {
                    said,
                    ready: kept,
                    stuck: None,
                }
            }
        }
    }

    async fn run_linked(
        &self,
        mut built_in: Box<BuiltIn>,
        target: Target,
        limit: Duration,
    ) -> Ended {
        let pool = self.pool.clone();
        // A task of its own, so that one that does not yield holds only its own thread up.
        let mut run = tokio::spawn(async move {
            let said = built_in.run(&target, limit, &pool).await;
            (
                said,
                Ready {
                    target,
                    how: How::Linked(built_in),
                },
            )
        });
        match timeout(limit + OVERRUN + MARGIN, &mut run).await {
            Ok(Ok((said, ready))) => Ended {
                said: Ok(Said::Linked(said)),
                ready: Some(ready),
                stuck: None,
            },
            Ok(Err(_)) => Ended {
                said: Err(Trouble::Crashed("panicked outside of its run".into())),
                ready: None,
                stuck: None,
            },
            Err(_) => {
                run.abort();
                let waited = tokio::spawn(async move {
                    let _whatever_it_says = run.await;
                });
                overran(waited, limit).await
            }
        }
    }

    async fn run_library(&self, instance: InLibrary, target: Target, limit: Duration) -> Ended {
        let number = self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let timeout_ms = millis(limit);
        instance.submit(number, timeout_ms, move |said| {
            let _nobody_waits = answer.send(said);
        });
        match timeout(limit + OVERRUN + MARGIN, answered).await {
            Ok(Ok(said)) => {
                let said = said.map(Said::Text).map_err(Trouble::Crashed);
                Ended {
                    said,
                    ready: Some(Ready {
                        target,
                        how: How::Library(instance),
                    }),
                    stuck: None,
                }
            }
            Ok(Err(_)) => Ended {
                said: Err(Trouble::Crashed("the plugin forgot the run".into())),
                ready: None,
                stuck: None,
            },
            Err(_) => {
                instance.cancel(number);
                // Its drop runs the author's code.
                overran(tokio::task::spawn_blocking(move || drop(instance)), limit).await
            }
        }
    }
}

/// Waits a moment for a run that overran to end.
async fn overran(mut going: JoinHandle<()>, limit: Duration) -> Ended {
    let ended = timeout(CANCEL, &mut going).await.is_ok();
    Ended {
        said: Err(Trouble::Overran(told_overran(limit))),
        ready: None,
        stuck: (!ended).then_some(going),
    }
}

/// Runs what may block, or may run an author's code, off the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Vec<Problem>> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Trouble::Misconfigured),
        Err(_) => Err(Trouble::Crashed("panicked when it was configured".into())),
    }
}
