//! Maintenance windows: who is left alone, until when, and what still is done.

use std::time::Duration;

use checkd_tests::{Checkd, Signal, eventually, never, signal};
use serde_json::Value;

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

/// Who reads later what was so must find when the group was not in maintenance any more.
#[test]
fn a_window_that_ends_while_no_daemon_runs_has_an_end_in_the_journal() {
    const ALL_DAY: &str = r#"
[maintenance.all]
from = "00:00"
to = "24:00"
timezone = "UTC"
"#;
    let axis = |checkd: &Checkd| {
        let answer = checkd.ask(["history", "web", "--json"]);
        let history: Value = serde_json::from_str(&answer.stdout).expect("JSON");
        let rows = history["rows"].as_array().expect("rows").clone();
        let of_axis = rows
            .iter()
            .filter(|row| row["detail"]["axis"] == "maintenance");
        let words = of_axis.map(|row| row["detail"]["to"].as_str().unwrap_or("").to_owned());
        words.collect::<Vec<_>>()
    };
    let in_maintenance = |checkd: &Checkd| {
        eventually("it begins", Duration::from_mins(1), || {
            (axis(checkd) == ["maintenance"]).then_some(())
        });
    };
    let mut checkd = Checkd::start(&format!("{CONFIG}{ALL_DAY}"));
    checkd.wait_health("web/web-0", "healthy");
    in_maintenance(&checkd);
    // It is open still: it goes on.
    checkd.end(Signal::KILL);
    checkd.run();
    checkd.wait_health("web/web-0", "healthy");
    in_maintenance(&checkd);
    checkd.end(Signal::KILL);
    checkd.write_config(CONFIG);
    checkd.run();
    eventually("it ends", Duration::from_mins(1), || {
        (axis(&checkd) == ["maintenance", "auto"]).then_some(())
    });
}
