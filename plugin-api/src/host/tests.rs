//! The pool of threads: what its watchdog sees, and that every run is answered once.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use super::{BlockingInstance, BlockingPool, Job, Request};
use crate::{Cause, Context, Sample, Status};

/// What a check does in one run.
type Attempt = dyn FnMut(&Context) -> Sample + Send;

/// A check made of a function.
struct Run<F>(F);

impl<F: FnMut(&Context) -> Sample + Send> BlockingInstance for Run<F> {
    fn run(&mut self, cx: &Context) -> Sample {
        (self.0)(cx)
    }
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

fn submit(
    pool: &BlockingPool,
    timeout: Duration,
    run: impl FnMut(&Context) -> Sample + Send + 'static,
) -> (u64, Receiver<(Sample, bool)>) {
    let (sender, receiver) = channel();
    let cx = Context::new(Request::default(), timeout);
    let id = pool.submit(Job::new(
        Box::new(Run(run)),
        cx,
        move |(sample, instance)| {
            sender.send((sample, instance.is_some())).ok();
        },
    ));
    (id, receiver)
}

fn judged(run: impl FnMut(&Context) -> Sample + Send + 'static) -> (Sample, Duration) {
    let pool = BlockingPool::new(2, 2);
    let begin = Instant::now();
    let (_, answer) = submit(&pool, SHORT, run);
    let (sample, kept) = answer.recv_timeout(LONG).unwrap();
    assert!(!kept, "a run that was given up keeps its instance");
    (sample, begin.elapsed())
}

/// A client of a peer that takes the connection and says nothing; both live in the closure.
fn silent() -> impl FnMut(&Context) -> Sample + Send + 'static {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    move |_| {
        let _peer_stays_open = &peer;
        let mut stream = TcpStream::connect(address).unwrap();
        Sample::pass(format!("{:?}", stream.read(&mut [0])))
    }
}

#[test]
fn a_thread_that_waits_for_a_silent_peer_is_a_fail_at_the_timeout() {
    let (sample, took) = judged(silent());
    assert_eq!(
        sample,
        Sample::fail(Cause::Timeout, "no answer within 100ms")
    );
    assert!(took >= SHORT, "{took:?}");
}

#[test]
fn a_thread_that_waits_for_drop_after_drop_is_a_fail_at_the_timeout() {
    let peer = crate::testkit::DrippingPeer::new().unwrap();
    let (sample, _) = judged(move |_| {
        let mut stream = TcpStream::connect(peer.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let mut all = Vec::new();
        Sample::pass(format!("{:?}", stream.read_to_end(&mut all)))
    });
    assert_eq!(sample.cause, Some(Cause::Timeout), "{sample:?}");
}

#[test]
fn a_thread_that_waits_for_itself_is_unknown_a_second_later() {
    // A lock that is held, a sleep, a loop that sleeps, and a loop that does not.
    let lock = Arc::new(Mutex::new(()));
    let held = Arc::clone(&lock);
    let end = |cx: &Context| cx.deadline() + Duration::from_secs(2);
    let runs: [Box<Attempt>; 4] = [
        Box::new(move |_| Sample::pass(format!("{:?}", held.lock().is_ok()))),
        Box::new(move |cx| {
            std::thread::sleep(end(cx) - Instant::now());
            Sample::pass("slept")
        }),
        Box::new(move |cx| {
            while Instant::now() < end(cx) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Sample::pass("polled")
        }),
        Box::new(move |cx| {
            while Instant::now() < end(cx) {}
            Sample::pass("spun")
        }),
    ];
    let guard = lock.lock().unwrap();
    std::thread::scope(|scope| {
        for (n, run) in runs.into_iter().enumerate() {
            scope.spawn(move || {
                let (sample, took) = judged(run);
                let seen = (sample.status, sample.cause);
                assert_eq!(
                    seen,
                    (Status::Unknown, Some(Cause::Overran)),
                    "{n}: {sample:?}"
                );
                assert!(took >= SHORT + Duration::from_secs(1), "{n}: {took:?}");
            });
        }
    });
    drop(guard);
}

#[test]
fn a_run_that_no_thread_was_free_for_is_unknown_and_keeps_its_instance() {
    let pool = BlockingPool::new(1, 1);
    let (release, wait) = channel::<()>();
    let (_, first) = submit(&pool, LONG, move |_| {
        wait.recv().ok();
        Sample::pass("first")
    });
    let (_, second) = submit(&pool, SHORT, |_| Sample::pass("never"));
    let (sample, kept) = second.recv_timeout(LONG).unwrap();
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Unknown, Some(Cause::Overran))
    );
    assert!(kept, "{sample:?}");
    let (_, third) = submit(&pool, LONG, |_| Sample::pass("third"));
    drop(release);
    assert_eq!(first.recv_timeout(LONG).unwrap().0, Sample::pass("first"));
    assert_eq!(third.recv_timeout(LONG).unwrap().0, Sample::pass("third"));
}

#[test]
fn so_many_threads_may_hang_and_no_more() {
    let pool = BlockingPool::new(1, 2);
    for n in 0..2 {
        let (_, answer) = submit(&pool, SHORT, silent());
        assert_eq!(
            answer.recv_timeout(LONG).unwrap().0.cause,
            Some(Cause::Timeout),
            "{n}"
        );
    }
    assert_eq!(pool.stuck(), 2);
    let begin = Instant::now();
    let (_, answer) = submit(&pool, LONG, |_| Sample::pass("never"));
    let (sample, kept) = answer.recv_timeout(LONG).unwrap();
    assert_eq!(sample.cause, Some(Cause::Overran), "{sample:?}");
    assert_eq!(
        sample.message,
        "2 earlier runs hang in threads that cannot be ended"
    );
    assert!(kept && begin.elapsed() < LONG / 2);
}

#[test]
fn a_thread_that_comes_back_late_is_heard_by_nobody_and_makes_room() {
    let pool = BlockingPool::new(1, 1);
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let (_, answer) = submit(&pool, SHORT, move |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        Sample::pass(format!("{:?}", stream.read(&mut [0])))
    });
    assert_eq!(answer.recv_timeout(LONG).unwrap().0.status, Status::Fail);
    assert_eq!(pool.stuck(), 1);
    // The peer goes away, the thread comes back; its sender is dropped without another answer.
    drop(peer);
    assert!(answer.recv_timeout(LONG).is_err());
    let begin = Instant::now();
    while pool.stuck() > 0 {
        assert!(begin.elapsed() < LONG, "the thread did not come back");
        std::thread::yield_now();
    }
    let (_, answer) = submit(&pool, LONG, |_| Sample::pass("again"));
    assert_eq!(answer.recv_timeout(LONG).unwrap().0, Sample::pass("again"));
}

#[test]
fn a_run_that_is_given_up_is_not_answered() {
    let pool = BlockingPool::new(1, 4);
    let begun = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&begun);
    let (release, wait) = channel::<()>();
    let (running, first) = submit(&pool, LONG, move |_| {
        inside.wait();
        wait.recv().ok();
        Sample::pass("late")
    });
    begun.wait();
    let (_, third) = submit(&pool, LONG, |_| Sample::pass("third"));
    let (queued, second) = submit(&pool, LONG, |_| Sample::pass("second"));
    pool.give_up(queued);
    pool.give_up(running);
    pool.give_up(running);
    assert!(first.recv_timeout(LONG).is_err() && second.recv_timeout(LONG).is_err());
    assert_eq!(third.recv_timeout(LONG).unwrap().0, Sample::pass("third"));
    drop(release);
}

#[test]
fn a_pool_that_is_dropped_waits_for_nobody() {
    let pool = BlockingPool::new(1, 1);
    let (_, running) = submit(&pool, LONG, silent());
    let (_, queued) = submit(&pool, LONG, |_| Sample::pass("never"));
    drop(pool);
    assert!(running.recv_timeout(LONG).is_err() && queued.recv_timeout(LONG).is_err());
}
