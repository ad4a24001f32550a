//! Threads for blocking runs, and a watchdog that tells a silent target from a busy check.
//!
//! At the deadline of a run the watchdog looks at its thread [`LOOKS`] times. A thread
//! that was in a system call that can wait for somebody else each time, and used next to no CPU time,
//! waits for its target: the run is Fail(timeout) now. Any other thread gets one second more and is
//! Unknown(overran) then. Either way the thread is abandoned with its instance, its late answer is
//! thrown away, and the pool makes a new one when it needs one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::BlockingInstance;
use super::run::{guarded_blocking, overran, timed_out};
use super::thread_state::{Evidence, ThreadId};
use crate::{Cause, Context, Sample, panics};

/// What comes back from a run: its sample, and the instance when it is still fit for use.
pub(crate) type Answer = (Sample, Option<Box<dyn BlockingInstance>>);

/// How many looks make evidence.
const LOOKS: u32 = 5;
/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a check may be late when it does not wait for its target.
const GRACE: Duration = Duration::from_secs(1);
/// How long a thread without work is kept.
const IDLE: Duration = Duration::from_mins(1);

/// Threads for blocking runs. Cheap until the first run: no thread is made before.
pub struct BlockingPool {
    shared: Arc<Shared>,
}

/// A blocking run to be done.
pub(crate) struct Job {
    instance: Box<dyn BlockingInstance>,
    cx: Context,
    done: Box<dyn FnOnce(Answer) + Send>,
}

impl Job {
    /// `done` is called exactly once, from any thread.
    pub(crate) fn new(
        instance: Box<dyn BlockingInstance>,
        cx: Context,
        done: impl FnOnce(Answer) + Send + 'static,
    ) -> Self {
        Self {
            instance,
            cx,
            done: Box::new(done),
        }
    }
}

struct Shared {
    /// At most so many threads work at once.
    threads: usize,
    /// At most so many may hang besides them.
    stuck_max: usize,
    state: Mutex<State>,
    /// There is work, or the pool is closed.
    work: Condvar,
    /// The watchdog has a new deadline to keep.
    watch: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(u64, Job)>,
    /// Runs on a thread that nobody has answered yet.
    running: BTreeMap<u64, Running>,
    next: u64,
    /// Threads that work or wait for work.
    threads: usize,
    idle: usize,
    /// An idle thread was told of work and has not looked yet.
    woken: bool,
    /// Threads that were abandoned and are still there.
    stuck: usize,
    watchdog: bool,
    /// When the watchdog wakes by itself; `None`: never.
    watch_at: Option<Instant>,
    closed: bool,
}

/// A run on a thread.
struct Running {
    thread: Option<ThreadId>,
    cx: Context,
    done: Box<dyn FnOnce(Answer) + Send>,
    /// For a run on a thread that is not the pool's: whether it holds that thread just now.
    holds: Option<Arc<AtomicBool>>,
    evidence: Evidence,
    /// When the watchdog looks again.
    look: Instant,
}

impl BlockingPool {
    /// A pool of at most `threads` working threads, and at most `stuck_max` that hang besides them.
    #[must_use]
    pub fn new(threads: usize, stuck_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                threads: threads.max(1),
                stuck_max,
                state: Mutex::new(State::default()),
                work: Condvar::new(),
                watch: Condvar::new(),
            }),
        }
    }

    /// How many threads hang in runs that were given up.
    pub fn stuck(&self) -> usize {
        self.shared.lock().stuck
    }
}

impl BlockingPool {
    /// Takes a run on; `Job::done` is called exactly once, unless the pool is dropped or the run
    /// is given up before. The number names the run for [`give_up`](Self::give_up).
    pub(crate) fn submit(&self, job: Job) -> u64 {
        let mut state = self.shared.lock();
        let id = state.next;
        state.next += 1;
        if state.stuck >= self.shared.stuck_max {
            let stuck = state.stuck;
            drop(state);
            let message = format!("{stuck} earlier runs hang in threads that cannot be ended");
            refuse(job, Sample::unknown(Cause::Overran, message));
            return id;
        }
        let deadline = job.cx.deadline();
        state.queue.push_back((id, job));
        if let Err(error) = self.shared.staff(&mut state) {
            let job = state.queue.pop_back();
            drop(state);
            let message = format!("cannot start a thread: {error}");
            if let Some((_, job)) = job {
                refuse(job, Sample::unknown(Cause::HostStall, message).sealed());
            }
            return id;
        }
        // A wakeup costs more than a check: the watchdog is left alone when it wakes early enough.
        let watch = state.watch_at.is_none_or(|at| deadline < at);
        let wake = state.wake();
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
        if watch {
            self.shared.watch.notify_one();
        }
        id
    }

    /// Watches a run on a thread that is not the pool's and on which several runs take turns;
    /// `holds` says when it is this one's turn. Unless it is given up before, `done` is called: a
    /// moment after the timeout when the run holds the thread and waits for its target, a second
    /// after it otherwise.
    pub(crate) fn observe(
        &self,
        thread: Option<ThreadId>,
        cx: Context,
        holds: Arc<AtomicBool>,
        done: impl FnOnce(Answer) + Send + 'static,
    ) -> std::io::Result<u64> {
        let mut state = self.shared.lock();
        self.shared.guard(&mut state)?;
        let id = state.next;
        state.next += 1;
        // The run's own timer comes first.
        let look = cx.deadline() + PAUSE;
        let watch = state.watch_at.is_none_or(|at| look < at);
        let running = Running {
            thread,
            cx,
            done: Box::new(done),
            holds: Some(holds),
            evidence: Evidence::default(),
            look,
        };
        state.running.insert(id, running);
        drop(state);
        if watch {
            self.shared.watch.notify_one();
        }
        Ok(id)
    }

    /// Nobody wants the answer of this run any more: it is not called.
    pub(crate) fn give_up(&self, id: u64) {
        let mut state = self.shared.lock();
        let queued = state.queue.iter().position(|(n, _)| *n == id);
        let job = queued.and_then(|at| state.queue.remove(at));
        let running = state.abandon(id);
        self.shared.replace(&mut state);
        drop(state);
        // Both hold values of an author's types.
        panics::discard((job, running));
    }
}

impl Drop for BlockingPool {
    /// Ends idle threads; runs under way are given up, their threads end when they come back.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        let running = std::mem::take(&mut state.running);
        drop(state);
        self.shared.work.notify_all();
        self.shared.watch.notify_all();
        panics::discard((queue, running));
    }
}

impl State {
    /// Whether an idle thread is to be told of work. One at a time: whoever takes a run tells the next,
    /// so that of many quick runs not each wakes a thread that finds nothing left.
    fn wake(&mut self) -> bool {
        let wake = !self.woken && self.idle > 0 && !self.queue.is_empty();
        self.woken |= wake;
        wake
    }

    /// Takes a run away from its thread, which no longer counts as one of ours.
    fn abandon(&mut self, id: u64) -> Option<Running> {
        let running = self.running.remove(&id)?;
        if running.holds.is_none() {
            self.threads = self.threads.saturating_sub(1);
            self.stuck += 1;
        }
        Some(running)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No author's code runs under the lock, so a poisoned one holds whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that what is in the queue can be done and watched.
    fn staff(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        self.guard(state)?;
        if state.idle >= state.queue.len() || state.threads >= self.threads {
            return Ok(());
        }
        let shared = Arc::clone(self);
        match thread::Builder::new()
            .name("check".to_owned())
            .spawn(move || shared.work())
        {
            Ok(_) => state.threads += 1,
            Err(_) if state.threads > 0 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sees to it that there is a watchdog.
    fn guard(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        if !state.watchdog {
            let shared = Arc::clone(self);
            let builder = thread::Builder::new().name("check-watchdog".to_owned());
            builder.spawn(move || shared.watch())?;
            state.watchdog = true;
        }
        Ok(())
    }

    /// Puts a thread in the place of one that was abandoned, when there is work for it. When the
    /// system gives none, what is in the queue is late at its timeout.
    fn replace(self: &Arc<Self>, state: &mut State) {
        if !state.queue.is_empty() {
            self.staff(state).ok();
        }
    }

    /// The life of one thread.
    fn work(self: Arc<Self>) {
        let thread = ThreadId::current();
        while let Some((id, mut instance, cx)) = self.next(thread.as_ref()) {
            let ended = guarded_blocking(&mut *instance, &cx);
            let mut state = self.lock();
            let Some(running) = state.running.remove(&id) else {
                // Abandoned: somebody answered for this run, and another thread has our place.
                state.stuck = state.stuck.saturating_sub(1);
                drop(state);
                panics::discard(instance);
                return;
            };
            drop(state);
            let instance = if ended.panicked {
                panics::discard(instance);
                None
            } else {
                Some(instance)
            };
            answer(running.done, (ended.sample, instance));
        }
    }

    /// Waits for a run and takes it; `None` when this thread is not needed any more.
    fn next(&self, thread: Option<&ThreadId>) -> Option<(u64, Box<dyn BlockingInstance>, Context)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
            if let Some((id, job)) = state.queue.pop_front() {
                let Job { instance, cx, done } = job;
                let look = cx.deadline();
                let running = Running {
                    thread: thread.cloned(),
                    cx: cx.clone(),
                    done,
                    holds: None,
                    evidence: Evidence::default(),
                    look,
                };
                state.running.insert(id, running);
                let wake = state.wake();
                drop(state);
                if wake {
                    self.work.notify_one();
                }
                return Some((id, instance, cx));
            }
            state.idle += 1;
            let (woken, waited) = self
                .work
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.woken = false;
            state.idle = state.idle.saturating_sub(1);
            if waited.timed_out() && state.queue.is_empty() {
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
        }
    }

    /// The life of the watchdog.
    fn watch(self: Arc<Self>) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            let (late, verdicts) = (state.late(now), state.verdicts(now));
            if !late.is_empty() || !verdicts.is_empty() {
                self.replace(&mut state);
                drop(state);
                for job in late {
                    let message = "no thread was free for the check before its timeout";
                    refuse(job, Sample::unknown(Cause::Overran, message));
                }
                for (running, sample) in verdicts {
                    answer(running.done, (sample, None));
                }
                state = self.lock();
                continue;
            }
            let queued = state.queue.iter().map(|(_, job)| job.cx.deadline()).min();
            let next = state
                .running
                .values()
                .map(|running| running.look)
                .chain(queued)
                .min();
            state.watch_at = next;
            state = match next {
                None => self
                    .watch
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let pause = next.saturating_duration_since(now);
                    self.watch
                        .wait_timeout(state, pause)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl State {
    /// Takes the runs out of the queue whose time is up before they began.
    fn late(&mut self, now: Instant) -> Vec<Job> {
        let mut late = Vec::new();
        while let Some(at) = self
            .queue
            .iter()
            .position(|(_, job)| job.cx.deadline() <= now)
        {
            late.extend(self.queue.remove(at).map(|(_, job)| job));
        }
        late
    }

    /// Looks at every run whose time is up, and abandons those that can be judged.
    fn verdicts(&mut self, now: Instant) -> Vec<(Running, Sample)> {
        let mut judged = Vec::new();
        for (id, running) in self
            .running
            .iter_mut()
            .filter(|(_, running)| running.look <= now)
        {
            let holds = running.holds.as_ref();
            let holds = holds.is_none_or(|holds| holds.load(Ordering::Acquire));
            let thread = running.thread.as_ref().filter(|_| holds);
            running.evidence.look(thread, now);
            running.look = now + PAUSE;
            if running.evidence.looks < LOOKS {
                continue;
            }
            if std::mem::take(&mut running.evidence).waits() {
                judged.push((*id, timed_out(&running.cx)));
            } else if now >= running.cx.deadline() + GRACE {
                judged.push((*id, overran(&running.cx)));
            }
        }
        judged
            .into_iter()
            .filter_map(|(id, sample)| Some((self.abandon(id)?, sample)))
            .collect()
    }
}

/// Answers for a run that did not begin; its instance is as good as before.
fn refuse(job: Job, sample: Sample) {
    answer(job.done, (sample, Some(job.instance)));
}

fn answer(done: Box<dyn FnOnce(Answer) + Send>, answer: Answer) {
    // The receiver's trouble is not the pool's: a panic there must not end a thread of ours.
    drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        || done(answer),
    )));
}
