//! `checkd wait`: reached, not reached, and over a restart of the daemon.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, eventually};

/// `ready` wants somebody on the port after the members' own.
const CONFIG: &str = r#"
[defaults]
interval = "200ms"
timeout = "150ms"

[group.web]
command = [$SERVER]
processes = 2
ports = { base = $BASE }
stop_timeout = "2s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.checks.door]
kind = "tcp"
port = $DOOR

[group.web.health]
live = "ping"
ready = "ping and door"

[group.web.policy]
confirm_up = "200ms"
settle = "0s"
"#;

fn start() -> Checkd {
    let mut checkd = Checkd::prepare("");
    let config = CONFIG.replace("$DOOR", &checkd.port(5).to_string());
    checkd.write_config(&config);
    checkd.run();
    checkd
}

#[test]
fn a_wait_ends_when_the_goal_is_reached_and_says_what_it_lacks_when_not() {
    let checkd = start();
    let answer = checkd.ask(["wait", "web", "--for", "live"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stdout.is_empty() && answer.stderr.is_empty());

    let answer = checkd.ask(["wait", "web", "--for", "ready", "--timeout", "300ms"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    for words in [
        "error[C0512]: `web` is not ready after 300ms: 0 of 2 members are",
        "`web/web-0`: `door` is ",
        "`web/web-1`: `door` is ",
        "checkd explain web/web-0",
    ] {
        assert!(answer.stderr.contains(words), "{words}: {}", answer.stderr);
    }

    // Somebody opens the door while it waits.
    let waiting = checkd
        .verb(["wait", "web", "--for", "ready"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("checkd starts");
    let _door = TcpListener::bind(("127.0.0.1", checkd.port(5))).expect("the port is free");
    let output = waiting.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");

    let answer = checkd.ask(["wait", "web", "--for", "stopped", "--timeout", "100ms"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(
        answer.stderr.contains("nobody asked for its stop"),
        "{answer:?}"
    );
    assert_eq!(checkd.ask(["stop", "web/web-1"]).code, Some(0));
    let answer = checkd.ask(["wait", "web/web-1", "--for", "stopped"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(checkd.member_pid("web/web-1"), None);
    let answer = checkd.ask(["wait", "web", "--for", "live", "--timeout", "0s"]);
    assert!(
        answer.stderr.contains("`web/web-1`: stopped, as wanted"),
        "{answer:?}"
    );

    // A restart that is under way or due is waited for.
    assert_eq!(checkd.ask(["start", "web/web-1"]).code, Some(0));
    let answer = checkd.ask(["wait", "web", "--for", "ready"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let before = ["web/web-0", "web/web-1"].map(|m| checkd.member_pid(m));
    assert_eq!(checkd.ask(["restart", "web"]).code, Some(0));
    let answer = checkd.ask(["wait", "web", "--for", "ready"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let after = ["web/web-0", "web/web-1"].map(|m| checkd.member_pid(m));
    assert!(
        before.iter().zip(after).all(|(old, new)| *old != new),
        "{before:?} {after:?}"
    );
}

#[test]
fn a_wait_outlives_a_restart_of_the_daemon_and_uses_no_processor_meanwhile() {
    let mut checkd = start();
    let mut waiting = checkd
        .verb(["wait", "web", "--for", "ready", "--timeout", "2m"])
        .spawn()
        .expect("checkd starts");
    checkd.wait_health("web/web-0", "healthy");
    checkd.end(Signal::KILL);
    checkd.run();
    checkd.wait_health("web/web-0", "healthy");
    let began = Instant::now();
    let before = ticks(waiting.id());
    while began.elapsed() < Duration::from_secs(2) {
        assert!(waiting.try_wait().expect("it is ours").is_none());
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = ticks(waiting.id()) - before;
    assert!(used <= 10, "it used {used} hundredths of a second in two");
    let _door = TcpListener::bind(("127.0.0.1", checkd.port(5))).expect("the port is free");
    let status = eventually("the wait ends", Duration::from_mins(1), || {
        waiting.try_wait().ok().flatten()
    });
    assert!(status.success(), "{status}");
}

/// Processor time of a process, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').collect())
        .unwrap_or_default();
    fields[11..=12]
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

#[test]
fn a_wait_for_what_is_not_there_is_refused_at_once() {
    let mut checkd = start();
    for (selector, code, words) in [
        ("wbe", 2, "did you mean `web`?"),
        ("web/web-0:ping", 2, "names a check"),
    ] {
        let answer = checkd.ask(["wait", selector, "--for", "ready"]);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        assert!(answer.stderr.contains(words), "{answer:?}");
    }
    checkd.end(Signal::TERM);
    let answer = checkd.ask(["wait", "web", "--for", "ready"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("no daemon"), "{answer:?}");
}
