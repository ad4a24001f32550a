//! An awaited check that blocks the runtime's only thread. A program of its own, because the runs of
//! all other awaited checks of a plugin suffer from it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of the test functions"
)]

#[path = "it/door.rs"]
mod door;

use std::time::Duration;

use checkd_plugin_api::testkit::SilentPeer;
use checkd_plugin_api::{Cause, Sample, Status};

use door::Loaded;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_mins(1);

#[test]
fn it_costs_the_thread_and_not_the_verdict() {
    let loaded = Loaded::new();
    let bystander = loaded.configure("awaited", "wait");
    loaded.submit(bystander, 9, LONG);

    let peer = SilentPeer::new().unwrap();
    let port = peer.address().unwrap().port();
    let options = format!(r#"{{"mode": "hold", "port": {port}}}"#);
    let holding = loaded.try_configure("awaited", &options).unwrap();
    for run in 0..3 {
        loaded.submit(holding, run, SHORT);
        let (_, answered, sample) = loaded.answer();
        assert_eq!(answered, run);
        assert_eq!(
            sample,
            Sample::fail(Cause::Timeout, "no answer within 150ms")
        );
        // The next run of another check finds a thread that answers.
        let other = loaded.configure("awaited", "count");
        loaded.submit(other, run, LONG);
        assert_eq!(loaded.answer().2.status, Status::Pass);
    }

    // A cancel cannot end such a run, so it costs the thread too.
    loaded.submit(holding, 3, SHORT);
    let mut visits = 0;
    while visits < 4 {
        visits += u32::from(peer.was_visited().unwrap());
        std::thread::yield_now();
    }
    (loaded.plugin.cancel())(holding, 3);
    assert_eq!(loaded.answer().2.cause, Some(Cause::Overran));
    // Whoever came while the thread was held is nobody's fault, and whoever comes then is served.
    let other = loaded.configure("awaited", "count");
    loaded.submit(other, 4, SHORT);
    let (_, run, sample) = loaded.answer();
    assert_eq!((run, sample.cause), (4, Some(Cause::Overran)), "{sample:?}");
    loaded.submit(other, 5, LONG);
    let (_, run, sample) = loaded.answer();
    assert_eq!((run, sample.status), (5, Status::Pass), "{sample:?}");

    // The thread comes back when the peer goes, and drops what waited there: nobody's fault.
    drop(peer);
    let (_, run, sample) = loaded.answer();
    assert_eq!((run, sample.status), (9, Status::Unknown), "{sample:?}");
    assert_eq!(loaded.more(), None);
}
