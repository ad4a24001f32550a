//! What is over: `explain --at` and `history`, with a daemon and without.

use checkd_tests::{Checkd, Signal, eventually, signal};
use serde_json::Value;

const CONFIG: &str = r#"
[defaults]
interval = "200ms"
timeout = "150ms"

[group.web]
command = [$SERVER, "--slow-start", "1.5"]
processes = 2
ports = { base = $BASE }
stop_timeout = "1s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
fall = 2
min_fail_span = "200ms"
confirm_up = "200ms"
settle = "0s"
"#;

/// A moment is named to the second, and the server listens only after more than one: that it answers
/// again is not in the second of its restart.
///
/// The time at which checkd began the last restart of `web/web-0`, as the journal writes it.
fn restarted_at(checkd: &Checkd) -> (String, i64) {
    let answer = checkd.ask(["history", "web/web-0", "--json"]);
    let history: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    let rows = history["rows"].as_array().expect("rows");
    let begun = rows
        .iter()
        .rfind(|row| row["what"] == "action" && row["word"] == "restart")
        .expect("it was restarted");
    let time = begun["time"].as_str().expect("a time").to_owned();
    (time, begun["wall_ms"].as_i64().expect("a number"))
}

#[test]
fn a_moment_is_explained_alike_with_a_daemon_and_without() {
    let mut checkd = Checkd::start(CONFIG);
    let old = checkd.wait_health("web/web-0", "healthy");
    signal(old, Signal::STOP);
    checkd.wait_replaced("web/web-0", old);
    let (time, _) = restarted_at(&checkd);

    let explain = |checkd: &Checkd, at: &str| {
        let answer = checkd.ask(["explain", "web/web-0", "--at", at]);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        answer
    };
    let running = explain(&checkd, &time);
    for words in [
        "web/web-0  at ",
        "health  failed",
        "What its checks had said",
        "ping  fail",
        "restart was decided",
        "budget      open",
        "restart begins",
        "What came after",
    ] {
        assert!(
            running.stdout.contains(words),
            "{words}:\n{}",
            running.stdout
        );
    }
    assert!(running.stderr.is_empty(), "{}", running.stderr);

    let history = checkd.ask(["history", "web/web-0", "--json"]).stdout;
    checkd.end(Signal::KILL);
    let alone = explain(&checkd, &time);
    assert_eq!(alone.stdout, running.stdout, "other without a daemon");
    assert!(
        alone
            .stderr
            .contains("no daemon answers; this is from its journal"),
        "{}",
        alone.stderr
    );
    let json = checkd.ask(["explain", "web/web-0", "--at", &time, "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["members"][0]["path"], "web/web-0");
    assert_eq!(json["members"][0]["decision"]["word"], "restart");

    let answer = checkd.ask(["history", "web/web-0", "--json"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.stdout, history, "another history without a daemon");

    // Before everything there was nothing, and that is said.
    let before = explain(&checkd, "2001-01-01 12:00");
    assert!(before.stdout.contains("holds nothing"), "{}", before.stdout);
    for (arguments, code, words) in [
        (
            ["explain", "web/web0", "--at", "-1m"],
            2,
            "did you mean `web/web-0`?",
        ),
        (["explain", "web", "--at", "noon"], 2, "is no moment"),
        (
            ["explain", "web", "--at", "2999-01-01 00:00"],
            2,
            "has not come yet",
        ),
    ] {
        let answer = checkd.ask(arguments);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        assert!(answer.stderr.contains(words), "{answer:?}");
    }
}

#[test]
fn without_a_daemon_and_a_journal_that_is_said() {
    let checkd = Checkd::prepare(CONFIG);
    let answer = checkd.ask(["history"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("error[C0514]"), "{answer:?}");
    assert!(answer.stderr.contains("journal.db"), "{answer:?}");

    std::fs::create_dir(checkd.state_dir()).expect("a directory");
    std::fs::write(checkd.state_dir().join("journal.db"), "no journal").expect("a file");
    let answer = checkd.ask(["history"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("error[C0514]"), "{answer:?}");

    // A daemon that was named and is not there is not replaced by another one's journal.
    let answer = checkd.ask(["history", "--control", "/no/such.sock"]);
    assert!(answer.stderr.contains("error[C0506]"), "{answer:?}");
}

#[test]
fn what_is_only_observed_is_reported_and_left_alone() {
    let observed = CONFIG.replace("processes = 2", "processes = 2\nmode = \"observe\"");
    let checkd = Checkd::start(&observed);
    let old = checkd.wait_health("web/web-0", "healthy");
    let none = checkd.ask(["history", "--would"]);
    assert_eq!(none.stdout, "checkd would have done nothing\n");
    signal(old, Signal::STOP);
    checkd.wait_health("web/web-0", "failed");
    signal(old, Signal::CONT);
    checkd.wait_health("web/web-0", "healthy");
    assert_eq!(checkd.member_pid("web/web-0"), Some(old), "left alone");

    // What the daemon shows at once is in the journal a moment later.
    let limit = std::time::Duration::from_mins(1);
    let told = eventually("its recovery is in the journal", limit, || {
        let told = checkd.ask(["history", "--would", "--json"]).stdout;
        let told: Value = serde_json::from_str(&told).ok()?;
        told[0]["recovered_after"].is_number().then_some(told)
    });
    let would = told.as_array().expect("a list");
    assert_eq!(would.len(), 1, "{told:#}");
    assert_eq!(would[0]["path"], "web/web-0");
    assert_eq!(would[0]["step"], "restart");
    assert_eq!(would[0]["acts"], true);
    let text = checkd.ask(["history", "web/*", "--would"]).stdout;
    assert!(
        text.contains("would have restarted a member once"),
        "{text}"
    );
    assert!(text.contains("by itself"), "{text}");
}
