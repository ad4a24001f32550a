//! A plugin that breaks costs nobody else anything: each way to break, judged by the other targets'
//! own request logs.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a surprise fails the test"
)]

use std::fs;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, eventually, library, signal};

/// From one run of a check to the next: long enough that a tenth of it is more than a busy machine's
/// own hiccups.
const INTERVAL: Duration = Duration::from_secs(2);

/// How many further runs of the other checks are looked at after the plugin has broken.
const RUNS: usize = 5;

/// One group whose only trouble is the hostile check, and one that has nothing to do with it; in both,
/// `ping` must go on as if nothing were.
fn config(kind: &str) -> String {
    let plugin = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    format!(
        r#"
[plugin.hostile]
path = "{}"

[defaults]
interval = "2s"
fast_interval = "2s"
timeout = "500ms"

[group.web]
command = [$SERVER]
processes = 2
ports = {{ base = $BASE }}

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{{port}}/ping"

[group.web.checks.bad]
kind = "{kind}"

[group.web.health]
live = "ping and bad"
startup = "ping"

[group.web.policy]
fall = 2
min_fail_span = "500ms"
confirm_up = "1s"
settle = "0s"
"#,
        plugin.display()
    )
}

/// Runs `kind` beside `ping` for a while, and holds what a broken plugin must not cost.
#[track_caller]
fn costs_nobody_else_anything(kind: &str, cause: &str, reason: &str) {
    let checkd = Checkd::start(&config(kind));
    let members = ["web/web-0", "web/web-1"];
    for path in members {
        // Between two deaths its worker may just be starting; sooner or later the reason is told.
        checkd.wait(path, &format!("says `{reason}` of {kind}"), |member| {
            let leaves = member["checks"].as_array()?;
            let leaf = leaves.iter().find(|leaf| leaf["check"] == "bad")?;
            let says = leaf["message"].as_str()?.contains(reason);
            (leaf["latest"] == "unknown" && leaf["cause"] == cause && says).then_some(())
        });
    }

    // From here on the plugin breaks again and again, and nobody else may notice.
    let broken = ["web-0", "web-1"].map(|member| checkd.log(member).requests("/ping").len());
    let logs = ["web-0", "web-1"].map(|member| checkd.log(member));
    eventually("the other checks go on", Duration::from_mins(1), || {
        let went_on = logs
            .iter()
            .zip(broken)
            .all(|(log, n)| log.requests("/ping").len() > n + RUNS);
        went_on.then_some(())
    });
    for (log, path) in logs.iter().zip(members) {
        let gap = log.longest_gap("/ping").expect("there are many requests");
        assert!(
            gap <= INTERVAL.mul_f64(1.1),
            "{path} was not asked for {gap:?} beside {kind}"
        );
        assert_eq!(
            log.starts().len(),
            1,
            "{path} was restarted because of {kind}"
        );
        let member = checkd.member(path).expect("the daemon still answers");
        assert_ne!(
            member["live"], "fail",
            "{path} failed because of {kind}: {member:#}"
        );
        let leaves = member["checks"].as_array().expect("a member has checks");
        let ping = leaves
            .iter()
            .find(|leaf| leaf["check"] == "ping")
            .expect("ping is one of them");
        assert_eq!(ping["latest"], "pass", "{path} beside {kind}: {ping:#}");
    }
}

#[test]
fn a_panic() {
    costs_nobody_else_anything("hostile_panic", "crashed", "panic");
}

#[test]
fn a_segmentation_fault() {
    costs_nobody_else_anything("hostile_segfault", "crashed", "SIGSEGV");
}

#[test]
fn a_stack_overflow() {
    costs_nobody_else_anything("hostile_overflow", "crashed", "SIG");
}

#[test]
fn an_exit() {
    costs_nobody_else_anything("hostile_exit", "crashed", "exit");
}

#[test]
fn an_endless_loop() {
    costs_nobody_else_anything("hostile_loop", "overran", "500ms");
}

#[test]
fn an_endless_loop_that_holds_the_runtime_of_its_plugin() {
    costs_nobody_else_anything("hostile_async_loop", "overran", "500ms");
}

#[test]
fn a_check_that_prints_is_not_taken_at_its_word() {
    // It writes what looks like protocol lines to its standard output, and then passes.
    let checkd = Checkd::start(&config("hostile_print"));
    for path in ["web/web-0", "web/web-1"] {
        let leaf = checkd.wait_check(path, "bad", "pass");
        assert_ne!(
            leaf["message"], "forged",
            "a printed line was taken as a sample: {leaf:#}"
        );
        checkd.wait_health(path, "healthy");
    }
}

#[test]
fn a_library_that_is_overwritten_while_it_is_in_use() {
    // As a careless `cp` does it: the same file, other bytes, while a worker has it mapped.
    let original = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    let mut checkd = Checkd::prepare("");
    let copy = checkd.dir().join("libhostile_plugins.so");
    fs::copy(&original, &copy).expect("the library is copied");
    let config = config("hostile_print");
    let config = config.replace(&original.display().to_string(), &copy.display().to_string());
    checkd.write_config(&config);
    checkd.run();
    let first = ["web/web-0", "web/web-1"].map(|path| checkd.wait_health(path, "healthy"));

    fs::write(&copy, b"no library any more").expect("the library is overwritten");

    let log = checkd.log("web-0");
    let before = log.requests("/ping").len();
    eventually("the other checks go on", Duration::from_mins(1), || {
        (log.requests("/ping").len() > before + RUNS).then_some(())
    });
    let gap = log.longest_gap("/ping").expect("there are many requests");
    assert!(
        gap <= INTERVAL.mul_f64(1.1),
        "web-0 was not asked for {gap:?}"
    );
    for (path, pid) in ["web/web-0", "web/web-1"].into_iter().zip(first) {
        assert_eq!(checkd.member_pid(path), Some(pid), "{path} was restarted");
    }
    // The image in use is one of our own, so the check itself goes on too.
    checkd.wait_check("web/web-0", "bad", "pass");
}

#[test]
fn a_frozen_target_fails_through_a_naive_blocking_check() {
    // The plugin connects and reads without any timeout of its own.
    let checkd = Checkd::start(
        &config("hostile_naive")
            .replace(
                "kind = \"hostile_naive\"",
                "kind = \"hostile_naive\"\nport = \"{port}\"",
            )
            .replace("live = \"ping and bad\"", "live = \"bad\""),
    );
    let frozen = checkd.wait_health("web/web-0", "healthy");
    let other = checkd.wait_health("web/web-1", "healthy");
    signal(frozen, Signal::STOP);
    let leaf = checkd.wait_check("web/web-0", "bad", "fail");
    assert_eq!(leaf["cause"], "timeout", "{leaf:#}");
    checkd.wait_replaced("web/web-0", frozen);
    assert_eq!(
        checkd.log("web-1").starts(),
        [other],
        "the other one was restarted"
    );
}
