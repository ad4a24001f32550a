//! Real peers under supervision: gunicorn with its workers, and Python's own HTTP server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, children, eventually, never, root, signal, venv};

/// What both groups have in common. The timeouts are generous, since a busy machine is not a hang.
const POLICY: &str = r#"
fall = 2
min_fail_span = "500ms"
confirm_up = "1s"
settle = "0s"
startup_timeout = "60s"
"#;

fn gunicorn() -> String {
    let app = root().join("tests/peers");
    format!(
        r#"
[defaults]
interval = "1s"
timeout = "500ms"

[group.shop]
command = ["{gunicorn}", "app:app", "--chdir", "{app}", "--bind", "127.0.0.1:{{port}}", "--workers", "4", "--no-control-socket"]
processes = 1
ports = {{ base = $BASE }}
stop_timeout = "3s"
environment = {{ START_DELAY = "4", HOME = "$DIR", PYTHONDONTWRITEBYTECODE = "1" }}

[group.shop.checks.ping]
kind = "http"
url = "http://127.0.0.1:{{port}}/"

[group.shop.checks.memory]
kind = "memory"
max_rss = "400MiB"
cumulative = true

[group.shop.policy]
{POLICY}
"#,
        gunicorn = venv("gunicorn").display(),
        app = app.display(),
    )
}

/// Waits until the master has its four workers, and gives all five pids.
fn tree(master: u32) -> Vec<u32> {
    eventually("gunicorn has four workers", Duration::from_mins(1), || {
        let mut pids = children(master);
        pids.push(master);
        (pids.len() == 5).then_some(pids)
    })
}

fn gone(what: &str, pids: &[u32]) {
    eventually(what, Duration::from_secs(20), || {
        pids.iter().all(|&pid| !alive(pid)).then_some(())
    });
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .expect("the server answers");
    text
}

#[test]
fn gunicorn_with_four_workers() {
    let checkd = Checkd::start(&gunicorn());
    let path = "shop/shop-0";

    // Slow start: the workers import the application for four seconds, and nobody loses patience.
    let first = checkd.wait(path, "has a process", |member| {
        u32::try_from(member.get("generation")?.get("pid")?.as_u64()?).ok()
    });
    assert_eq!(
        checkd.wait_health(path, "healthy"),
        first,
        "killed while it was starting"
    );

    // A hang: the master and all its workers, frozen. The whole tree is replaced.
    let frozen = tree(first);
    for &pid in &frozen {
        signal(pid, Signal::STOP);
    }
    let second = checkd.wait_replaced(path, first);
    gone("the frozen tree is gone", &frozen);

    // A crash: the master is killed and leaves its workers behind, which hold the port.
    let orphaned = tree(second);
    signal(second, Signal::KILL);
    let third = checkd.wait_replaced(path, second);
    gone("the orphaned workers are gone", &orphaned);

    // A leak in one worker counts for the whole tree.
    let leaking = tree(third);
    assert!(get(checkd.port(0), "/grow/500000000").contains("200 OK"));
    checkd.wait_replaced(path, third);
    gone("the leaking tree is gone", &leaking);

    let why = [
        ("start", "not started"),
        ("restart", "ping"),
        ("start", "SIGKILL"),
        ("restart", "memory"),
    ];
    did(&checkd, path, &why);
}

/// Holds that checkd did exactly this to a member, and for these reasons.
#[track_caller]
fn did(checkd: &Checkd, path: &str, expected: &[(&str, &str)]) {
    let acts = checkd.acts(path);
    let same = acts.len() == expected.len()
        && acts
            .iter()
            .zip(expected)
            .all(|(found, (act, reason))| found.0 == *act && found.1.contains(reason));
    assert!(
        same,
        "checkd did {acts:#?} to {path}, expected {expected:?}"
    );
}

const HTTP_SERVER: &str = r#"
[defaults]
interval = "1s"
timeout = "500ms"

[group.files]
command = ["python3", "-u", "-m", "http.server", "{port}", "--bind", "127.0.0.1", "--directory", "$DIR"]
processes = 4
ports = { base = $BASE }
stop_timeout = "2s"
environment = { PYTHONPATH = "$PEERS", START_DELAY = "3", LEAK_BYTES = "300000000", PYTHONDONTWRITEBYTECODE = "1" }

[group.files.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/checkd.toml"

[group.files.checks.memory]
kind = "memory"
max_rss = "200MiB"

[group.files.policy]
"#;

#[test]
fn four_http_servers_of_python() {
    let peers = root().join("tests/peers").display().to_string();
    let checkd = Checkd::start(&format!("{HTTP_SERVER}{POLICY}").replace("$PEERS", &peers));
    let paths = [
        "files/files-0",
        "files/files-1",
        "files/files-2",
        "files/files-3",
    ];

    // Slow start: three seconds before any of them listens.
    let started = paths.map(|path| {
        checkd.wait(path, "has a process", |member| {
            u32::try_from(member.get("generation")?.get("pid")?.as_u64()?).ok()
        })
    });
    let first = paths.map(|path| checkd.wait_health(path, "healthy"));
    assert_eq!(first, started, "killed while they were starting");

    // A hang, a crash and a leak, each of one member, all at once.
    signal(first[0], Signal::STOP);
    signal(first[1], Signal::KILL);
    signal(first[2], Signal::USR1);
    for index in 0..3 {
        checkd.wait_replaced(paths[index], first[index]);
        assert!(
            !alive(first[index]),
            "the old process of {} still runs",
            paths[index]
        );
    }
    let begin = ("start", "not started");
    did(&checkd, paths[0], &[begin, ("restart", "ping")]);
    did(&checkd, paths[1], &[begin, ("start", "SIGKILL")]);
    did(&checkd, paths[2], &[begin, ("restart", "memory")]);
    did(&checkd, paths[3], &[begin]);
    let kept = checkd.member_pid(paths[3]);
    assert_eq!(kept, Some(first[3]), "the healthy one was replaced");
    never(
        "the healthy one was replaced",
        Duration::from_secs(2),
        || (!alive(first[3])).then_some(first[3]),
    );
}
