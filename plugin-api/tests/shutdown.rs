//! The end of a plugin. A program of its own: the library it loads is of no use afterwards.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of the test functions"
)]

#[path = "it/door.rs"]
mod door;

use std::time::{Duration, Instant};

use checkd_plugin_api::{Cause, Status};

use door::Loaded;

#[test]
fn a_plugin_ends_in_time_whatever_its_runs_do() {
    let loaded = Loaded::new();
    let waiting = loaded.configure("awaited", "wait");
    let holding = loaded.configure("holding", "wait");
    let idle = loaded.configure("awaited", "count");
    let long = Duration::from_mins(1);
    loaded.submit(waiting, 1, long);
    loaded.submit(holding, 2, long);
    loaded.submit(idle, 3, long);
    let (_, run, sample) = loaded.answer();
    assert_eq!((run, sample.status), (3, Status::Pass));

    let begin = Instant::now();
    (loaded.plugin.shutdown())(5_000);
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    let mut answered: Vec<u64> = (0..2)
        .map(|_| {
            let (_, run, sample) = loaded.answer();
            assert_eq!(
                (sample.status, sample.cause),
                (Status::Unknown, Some(Cause::Overran))
            );
            run
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 2]);

    // Whoever calls on does no harm.
    let refused = loaded
        .try_configure("awaited", r#"{"mode": "count"}"#)
        .unwrap_err();
    assert_eq!(refused.to_string(), "the plugin was shut down");
    loaded.submit(idle, 4, long);
    (loaded.plugin.cancel())(idle, 4);
    (loaded.plugin.release())(idle);
    (loaded.plugin.shutdown())(0);
    assert_eq!(loaded.more(), None);
}
