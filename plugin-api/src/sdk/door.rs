//! The one call shape (configure, submit, cancel, release, shutdown) over instances of whatever kinds.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::answer::{Answer, Pledge, Sink};
use super::runtime::Runtime;
use crate::host::run::guarded;
use crate::host::{BlockingPool, Configured, Instance, Job, Request, gone};
use crate::{Cause, Context, Problems, Sample, panics};

/// How many blocking runs a plugin works on at once, and how many may hang besides them.
const THREADS: usize = 16;

/// Makes a bare instance of a kind, by its name, of options as JSON; or says all that is wrong with
/// them. It is called again when a run has lost its instance.
pub type Maker = dyn Fn(&str, &str) -> Result<Instance, Problems> + Send + Sync;

/// All that a loaded plugin holds: its instances, their runs, its threads.
///
/// The functions are those of `checkd_abi::Plugin`, and keep its promises; no lock is held while an
/// author's code runs, except that `configure` and `release` run it on the calling thread.
pub struct Door {
    make: Arc<Maker>,
    state: Arc<Mutex<State>>,
    /// How many runtimes hang in a check that does not give their thread back.
    hanging: Arc<AtomicUsize>,
}

struct State {
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
    /// `None` before the first asynchronous run, and after a check has lost it.
    runtime: Option<Runtime>,
    /// `None` after the shutdown.
    pool: Option<Arc<BlockingPool>>,
}

/// A configured check of the host's.
struct Slot {
    make: Arc<Maker>,
    kind: Box<str>,
    options: Box<str>,
    sink: Sink,
    use_: Mutex<Use>,
}

#[derive(Default)]
struct Use {
    /// `None` while a run has it, and after a run has lost it.
    instance: Option<Instance>,
    flight: Option<Flight>,
}

/// A run under way.
struct Flight {
    answer: Arc<Answer>,
    means: Means,
}

/// By which means a run is ended.
enum Means {
    /// Not begun yet.
    None,
    Task(AbortHandle),
    Pool(Arc<BlockingPool>, u64),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No author's code runs under a lock, so a poisoned one holds whole values.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    /// A door over the instances that `make` makes.
    #[must_use]
    pub fn new(make: Arc<Maker>) -> Self {
        let pool = Some(Arc::new(BlockingPool::new(THREADS, THREADS)));
        let state = State {
            next: 1,
            slots: BTreeMap::new(),
            runtime: None,
            pool,
        };
        Self {
            make,
            state: Arc::new(Mutex::new(state)),
            hanging: Arc::default(),
        }
    }

    /// Makes an instance of a kind; its answers go to `sink`.
    pub fn configure(&self, kind: &str, options: &str, sink: Sink) -> Configured {
        let refuse = |message: String| Configured::Problems(Problems::one("", message));
        if lock(&self.state).pool.is_none() {
            return refuse("the plugin was shut down".to_owned());
        }
        let instance = match (self.make)(kind, options) {
            Ok(instance) => instance,
            Err(problems) => return Configured::Problems(problems),
        };
        let use_ = Mutex::new(Use {
            instance: Some(instance),
            flight: None,
        });
        let slot = Slot {
            make: Arc::clone(&self.make),
            kind: kind.into(),
            options: options.into(),
            sink,
            use_,
        };
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.slots.insert(number, Arc::new(slot));
        Configured::Instance(number)
    }

    /// Begins a run; its answer comes once, from any thread.
    pub fn submit(&self, number: u64, run: u64, request: &str, timeout: u64) {
        let (slot, pool) = {
            let state = lock(&self.state);
            (state.slots.get(&number).cloned(), state.pool.clone())
        };
        let (Some(slot), Some(pool)) = (slot, pool) else {
            return;
        };
        let answer = Arc::new(Answer::new(slot.sink, number, run));
        let request = match serde_json::from_str::<Request>(request) {
            Ok(request) => request,
            Err(error) => {
                let message = format!("the request cannot be read: {error}");
                return answer.give(&Sample::unknown(Cause::Misconfigured, message).sealed());
            }
        };
        let cx = Context::new(request, Duration::from_millis(timeout));
        let instance = match slot.begin(&answer) {
            Ok(instance) => instance,
            Err(sample) => return answer.give(&sample),
        };
        let pledge = Pledge(Arc::clone(&answer));
        let means = match instance {
            Instance::Async(mut instance) => {
                let begun = self.observed(&slot, &pool, &answer, &cx);
                let (handle, holds, id) = match begun {
                    Ok(begun) => begun,
                    Err(sample) => {
                        slot.end(&answer, Some(Instance::Async(instance)));
                        return answer.give(&sample);
                    }
                };
                let (slot, watch) = (Arc::clone(&slot), Watch { pool, id });
                let task = handle.spawn(async move {
                    let ended = taking_turns(guarded(&mut *instance, &cx), &holds).await;
                    drop(watch);
                    let instance = if ended.panicked {
                        panics::discard(instance);
                        None
                    } else {
                        Some(Instance::Async(instance))
                    };
                    slot.end(&pledge.0, instance);
                    pledge.0.give(&ended.sample);
                });
                Means::Task(task.abort_handle())
            }
            Instance::Blocking(instance) => {
                let slot = Arc::clone(&slot);
                let job = Job::new(instance, cx, move |(sample, instance)| {
                    slot.end(&pledge.0, instance.map(Instance::Blocking));
                    pledge.0.give(&sample);
                });
                let id = pool.submit(job);
                Means::Pool(pool, id)
            }
        };
        slot.under_way(&answer, means);
    }

    /// Gives a run up: it is answered now, unless it has been.
    pub fn cancel(&self, number: u64, run: u64) {
        let slot = lock(&self.state).slots.get(&number).cloned();
        if let Some(slot) = slot {
            slot.cancel(|answer| answer.run() == run);
        }
    }

    /// Forgets an instance; a run under way is answered now.
    pub fn release(&self, number: u64) {
        let slot = lock(&self.state).slots.remove(&number);
        if let Some(slot) = slot {
            self.retire(&slot);
        }
    }

    /// Forgets all instances and ends the threads, waiting at most so many milliseconds.
    pub fn shutdown(&self, timeout: u64) {
        let (slots, pool) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.slots), state.pool.take())
        };
        for slot in slots.into_values() {
            self.retire(&slot);
        }
        drop(pool);
        let runtime = lock(&self.state).runtime.take();
        if let Some(runtime) = runtime {
            runtime.shut_down(Duration::from_millis(timeout));
        }
    }

    /// Ends the run of a slot that is no longer in the table, and drops its instance.
    fn retire(&self, slot: &Slot) {
        slot.cancel(|_| true);
        let instance = lock(&slot.use_).instance.take();
        // What an asynchronous check holds may want its runtime when it is dropped.
        let state = lock(&self.state);
        let handle = state
            .runtime
            .as_ref()
            .map(|runtime| runtime.handle().clone());
        drop(state);
        let _inside = handle.as_ref().map(Handle::enter);
        panics::discard(instance);
    }

    /// The runtime for an asynchronous run, and the watch over it: what to spawn on, what says
    /// whether the run holds the thread, and the number of the watch.
    fn observed(
        &self,
        slot: &Arc<Slot>,
        pool: &BlockingPool,
        answer: &Arc<Answer>,
        cx: &Context,
    ) -> Result<(Handle, Arc<AtomicBool>, u64), Sample> {
        let stall = |error: std::io::Error| {
            let message = format!("cannot start a thread: {error}");
            Sample::unknown(Cause::HostStall, message).sealed()
        };
        let hanging = self.hanging.load(Ordering::Acquire);
        if hanging >= THREADS {
            let message = format!("{hanging} earlier runs hang in threads that cannot be ended");
            return Err(Sample::unknown(Cause::Overran, message));
        }
        let (handle, thread, mark) = {
            let mut state = lock(&self.state);
            if state.pool.is_none() {
                let message = "the plugin was shut down";
                return Err(Sample::unknown(Cause::PluginUnavailable, message));
            }
            let runtime = match state.runtime.take() {
                Some(runtime) => runtime,
                None => Runtime::start(&self.hanging).map_err(stall)?,
            };
            let runtime = state.runtime.insert(runtime);
            (
                runtime.handle().clone(),
                runtime.thread(),
                Arc::clone(runtime.mark()),
            )
        };
        let holds = Arc::new(AtomicBool::new(false));
        let (slot, answer, held) = (Arc::clone(slot), Arc::clone(answer), Arc::clone(&holds));
        let (state, hanging) = (Arc::clone(&self.state), Arc::clone(&self.hanging));
        let give_up = move |(sample, _): crate::host::Answer| {
            // A run that blocks the thread takes the runtime with it: the next run gets another.
            if held.load(Ordering::Acquire) {
                let ours = |runtime: &mut Runtime| Arc::ptr_eq(runtime.mark(), &mark);
                let lost = lock(&state).runtime.take_if(ours);
                if let Some(runtime) = lost {
                    runtime.lose(&hanging);
                }
            }
            slot.end(&answer, None);
            answer.give(&sample);
        };
        let id = pool
            .observe(thread, cx.clone(), Arc::clone(&holds), give_up)
            .map_err(stall)?;
        Ok((handle, holds, id))
    }
}

/// The watch over a task; ends with it.
struct Watch {
    pool: Arc<BlockingPool>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pool.give_up(self.id);
    }
}

/// Polls `run`, and says in `holds` when it does.
async fn taking_turns<F: Future>(run: F, holds: &AtomicBool) -> F::Output {
    let mut run = pin!(run);
    std::future::poll_fn(|task| {
        holds.store(true, Ordering::Release);
        let polled = run.as_mut().poll(task);
        holds.store(false, Ordering::Release);
        polled
    })
    .await
}

impl Slot {
    /// Takes the instance for a run, or says why there can be none.
    fn begin(&self, answer: &Arc<Answer>) -> Result<Instance, Sample> {
        let mut now = lock(&self.use_);
        if now.flight.is_some() {
            let message = "the run before this one has not come back";
            return Err(Sample::unknown(Cause::Overran, message));
        }
        now.flight = Some(Flight {
            answer: Arc::clone(answer),
            means: Means::None,
        });
        let instance = now.instance.take();
        drop(now);
        match instance {
            Some(instance) => Ok(instance),
            None => (self.make)(&self.kind, &self.options).map_err(|problems| {
                self.end(answer, None);
                gone(&problems)
            }),
        }
    }

    /// Says how the run can be ended, unless it has ended meanwhile; one that was cancelled
    /// meanwhile is ended now.
    fn under_way(&self, answer: &Arc<Answer>, means: Means) {
        let mut now = lock(&self.use_);
        match &mut now.flight {
            Some(flight) if Arc::ptr_eq(&flight.answer, answer) => flight.means = means,
            _ => {
                drop(now);
                means.end();
            }
        }
    }

    /// Gives the instance back, unless the run was cancelled.
    fn end(&self, answer: &Arc<Answer>, instance: Option<Instance>) {
        let mut now = lock(&self.use_);
        if now
            .flight
            .as_ref()
            .is_some_and(|flight| Arc::ptr_eq(&flight.answer, answer))
        {
            now.flight = None;
            now.instance = instance;
        } else {
            drop(now);
            panics::discard(instance);
        }
    }

    fn cancel(&self, which: impl FnOnce(&Answer) -> bool) {
        let mut now = lock(&self.use_);
        let Some(flight) = now.flight.take_if(|flight| which(&flight.answer)) else {
            return;
        };
        drop(now);
        flight
            .answer
            .give(&Sample::unknown(Cause::Overran, "the run was cancelled"));
        flight.means.end();
    }
}

impl Means {
    /// Ends a run; does nothing to one that has come back.
    fn end(self) {
        match self {
            Self::None => {}
            // A task that holds the thread is not ended by this: its watch goes on.
            Self::Task(task) => task.abort(),
            Self::Pool(pool, id) => pool.give_up(id),
        }
    }
}
