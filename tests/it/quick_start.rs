//! The README's first command does what it promises, within its minute.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use checkd_tests::{checkd_binary, library, root};

#[test]
fn the_quick_start_ends_well_within_a_minute() {
    // Built before, so that only the demonstration is measured.
    checkd_binary();
    library("docs/examples/spool-check", "spool_check");
    let began = Instant::now();
    let output = Command::new(root().join("docs/quick-start/run"))
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("the quick start runs");
    let took = began.elapsed();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{talk}", output.status);
    assert!(took < Duration::from_mins(1), "it took {took:?}:\n{talk}");
    for promised in [
        "kept pid",
        "restarted: pid",
        "web/web-1",
        "web/web-2",
        "never more than one of them was down",
        "group.web.policy.max_out = 1",
        "spool failed",
        "ping failed",
    ] {
        assert!(
            talk.contains(promised),
            "`{promised}` is not shown:\n{talk}"
        );
    }
}
