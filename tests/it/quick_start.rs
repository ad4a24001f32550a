//! The README's first command does what it promises, within its minute.

use std::process::{Command, Stdio};

use checkd_tests::root;

#[test]
fn the_quick_start_ends_well_within_a_minute() {
    let output = Command::new(root().join("docs/quick-start/run"))
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("the quick start runs");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{talk}", output.status);
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
    // Its own count begins after the build.
    let seconds = talk
        .rsplit_once("all as promised, in ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(
        seconds.is_some_and(|took| took <= 60),
        "it took {seconds:?} s:\n{talk}"
    );
}
