//! Maintenance windows: who is left alone, until when, and what still is done.

use std::time::Duration;

use checkd_tests::{Checkd, Signal, eventually, never, signal};

const CONFIG: &str = r#"
[defaults]
interval = "300ms"
timeout = "150ms"

[group.web]
command = [$SERVER]
processes = 2
ports = { base = $BASE }
stop_timeout = "2s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
fall = 2
min_fail_span = "150ms"
confirm_up = "200ms"
settle = "0s"
"#;

/// Two windows that between them are always open.
const WINDOWS: &str = r#"
[maintenance.day]
from = "00:00"
to = "12:00"
timezone = "UTC"
reason = "the disks are changed"

[maintenance.night]
from = "12:00"
to = "24:00"
timezone = "UTC"
reason = "the disks are changed"
"#;

#[test]
fn in_a_window_a_sick_member_is_left_alone_and_after_it_is_not() {
    let checkd = Checkd::start(&format!("{CONFIG}{WINDOWS}"));
    let pid = checkd.wait_health("web/web-0", "healthy");
    checkd.wait_health("web/web-1", "healthy");
    signal(pid, Signal::STOP);
    let told = eventually("it waits for the window", Duration::from_mins(1), || {
        let answer = checkd.ask(["explain", "web/web-0"]).unwrapped();
        answer.contains("maintenance `").then_some(answer)
    });
    assert!(told.contains("the disks are changed"), "{told}");
    never("it was restarted", Duration::from_secs(2), || {
        (checkd.log("web-0").starts().len() > 1).then_some(())
    });

    // A person's order is done, also now.
    let second = checkd.wait_health("web/web-1", "healthy");
    assert_eq!(checkd.ask(["restart", "web/web-1"]).code, Some(0));
    checkd.wait_replaced("web/web-1", second);

    // The windows are taken out of the configuration.
    checkd.write_config(CONFIG);
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    checkd.wait_replaced("web/web-0", pid);
}
