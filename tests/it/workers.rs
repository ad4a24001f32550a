//! A worker of a real gunicorn that is stuck for good: it is ended, and its master goes on.

use std::fs;
use std::thread;
use std::time::Duration;

use checkd_tests::{Checkd, alive, eventually, root, venv};
use serde_json::Value;

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_mins(3);
const MEMBER: &str = "web/web-0";

/// A gunicorn with three workers, of which a stuck one is sent `signal`. gunicorn's own watchdog, which
/// knows only that a worker is late, is off.
fn gunicorn(signal: &str) -> Checkd {
    let peers = root().join("tests/peers");
    let peers = peers.display();
    let program = venv("gunicorn");
    let program = program.display();
    let config = format!(
        r#"
on_exit = "stop"

[plugin.stuck]
command = ["python3", "{peers}/stuck.py"]

[group.web]
command = [
    "{program}", "--chdir", "{peers}", "--bind", "127.0.0.1:{{port}}", "--workers", "3",
    "--timeout", "0", "--graceful-timeout", "1", "--no-control-socket", "busy:app",
]
processes = 1
ports = {{ base = $BASE }}
stop_timeout = "2s"
environment = {{ BUSY = "$DIR/busy", PYTHONDONTWRITEBYTECODE = "1", HOME = "$DIR" }}

[group.web.checks.stuck]
kind = "stuck_workers"
place = "$DIR/busy"
interval = "1s"
fall = 3
min_fail_span = "0s"

[group.web.policy]
signal = "{signal}"
confirm_up = "1s"
settle = "1s"
"#
    );
    Checkd::start(&config)
}

/// The workers of a master.
fn workers(master: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Waits until the master has three workers and is well; gives both.
fn well(checkd: &Checkd) -> (u32, Vec<u32>) {
    let master = checkd.wait_health(MEMBER, "healthy");
    let workers = eventually("there are three workers", PATIENCE, || {
        Some(workers(master)).filter(|it| it.len() == 3)
    });
    (master, workers)
}

/// One worker never comes back from a request; gives which.
fn wedge(checkd: &Checkd) -> u32 {
    let port = checkd.port(0);
    // It gets no answer before its worker has ended.
    thread::spawn(move || {
        let sent = std::net::TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            use std::io::{Read as _, Write as _};
            stream.write_all(b"POST /wedge HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new())
        });
        drop(sent);
    });
    let busy = checkd.dir().join("busy");
    eventually("a worker is at that request", PATIENCE, || {
        let mut files = fs::read_dir(&busy).ok()?;
        files.next()?.ok()?.file_name().to_str()?.parse().ok()
    })
}

/// What a person reads, on one line.
fn told(checkd: &Checkd, verb: &str) -> String {
    let answer = checkd.ask([verb, MEMBER]);
    answer
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The evidence of whom a check blamed.
fn blamed(checkd: &Checkd) -> Option<String> {
    let incident = checkd.state_dir().join("evidence/1");
    let mut captures = fs::read_dir(incident).ok()?;
    fs::read_to_string(captures.next()?.ok()?.path().join("blamed.txt")).ok()
}

/// What was done, in order. One that was taken back because this machine stalled is there again.
fn names(acts: &[(String, String)]) -> Vec<&str> {
    let mut names: Vec<&str> = acts.iter().map(|(act, _)| act.as_str()).collect();
    names.dedup();
    names
}

#[test]
fn a_stuck_worker_is_ended_and_its_master_is_never_restarted() {
    let checkd = gunicorn("KILL");
    let (master, before) = well(&checkd);
    let stuck = wedge(&checkd);
    assert!(before.contains(&stuck), "{before:?} {stuck}");

    let after = eventually("its master has another one", PATIENCE, || {
        let now = workers(master);
        (now.len() == 3 && !now.contains(&stuck)).then_some(now)
    });
    let others = |all: &[u32]| -> Vec<u32> {
        let mut all: Vec<u32> = all
            .iter()
            .copied()
            .filter(|it| before.contains(it))
            .collect();
        all.retain(|it| *it != stuck);
        all.sort_unstable();
        all
    };
    assert_eq!(others(&after), others(&before), "nobody else was touched");
    checkd.wait(MEMBER, "is healthy and at rest", |member| {
        let rests = member.get("attempt")?.is_null();
        (rests && member.get("health")? == "healthy").then_some(())
    });
    assert_eq!(checkd.member_pid(MEMBER), Some(master));
    assert!(alive(master) && !alive(stuck));

    let acts = checkd.acts(MEMBER);
    assert_eq!(names(&acts), ["start", "signal"], "{acts:?}");
    let why = format!("SIGKILL to process {stuck}: stuck failed");
    assert!(
        acts.iter().any(|(_, text)| text.starts_with(&why)),
        "{acts:?}"
    );
    let history = told(&checkd, "history");
    for line in [
        format!("SIGKILL to process {stuck}: stuck failed"),
        "signal was effective (intent".to_owned(),
    ] {
        assert!(history.contains(&line), "{line}: {history}");
    }
    let explain = told(&checkd, "explain");
    let line = format!("Sent SIGKILL to process {stuck} at");
    assert!(
        explain.contains(&line) && explain.contains("it helped"),
        "{explain}"
    );
    let seen = blamed(&checkd).expect("what is blamed was looked at before");
    for line in [
        format!("process {stuck}: 1 threads"),
        format!("Pid:\t{stuck}"),
    ] {
        assert!(seen.contains(&line), "{line}: {seen}");
    }
    let talk = checkd.talk();
    assert!(
        talk.contains(&format!("signal: SIGKILL to process {stuck}")),
        "{talk}"
    );
}

#[test]
fn a_worker_that_ignores_the_signal_costs_its_master_a_restart() {
    let checkd = gunicorn("TERM");
    let (master, _) = well(&checkd);
    let stuck = wedge(&checkd);
    let now = checkd.wait_replaced(MEMBER, master);
    assert!(now != master && !alive(stuck));
    let acts = checkd.acts(MEMBER);
    assert_eq!(names(&acts), ["start", "signal", "restart"], "{acts:?}");
    let history = told(&checkd, "history");
    let line = format!("process {stuck} did not end within 2s of SIGTERM");
    assert!(history.contains(&line), "{line}: {history}");
    let evidence = checkd
        .member(MEMBER)
        .and_then(|it| it.get("futile").and_then(Value::as_u64));
    assert_eq!(
        evidence,
        Some(0),
        "a signal is no restart that did not help"
    );
}
