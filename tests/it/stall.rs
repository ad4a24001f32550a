//! A machine that stands still: nobody is restarted for what only that explains, and whoever hangs
//! is restarted all the same afterwards.
//!
//! `CHECKD_STALL=long` stops checkd for twenty seconds, as a suspended machine would; without it the
//! stop is as much longer than the five seconds from which a stall counts as a busy machine needs.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, never, parent, signal, state};

/// Everything that would keep back a restart is off but for the look at the machine itself: two bad
/// answers within a quarter of a second, and all members may be restarted at once.
const NERVOUS: &str = r#"
[defaults]
interval = "500ms"
timeout = "400ms"

[group.web]
command = [$SERVER]
processes = 4
ports = { base = $BASE }
stop_timeout = "2s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
fall = 2
min_fail_span = "250ms"
max_out = 4
hold_at = 5
confirm_up = "1s"
settle = "0s"
"#;

const PATHS: [&str; 4] = ["web/web-0", "web/web-1", "web/web-2", "web/web-3"];

/// How long checkd stands still.
fn still() -> Duration {
    let long = std::env::var("CHECKD_STALL").is_ok_and(|value| value == "long");
    Duration::from_secs(if long { 20 } else { 8 })
}

/// Children that take all cores, until they are dropped.
struct Spinners(Vec<Child>);

impl Spinners {
    fn on_all_cores() -> Self {
        let cores = available_parallelism().map_or(2, usize::from);
        let spin = || {
            Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .expect("sh starts")
        };
        Self((0..cores).map(|_| spin()).collect())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn healthy(checkd: &Checkd) -> [u32; 4] {
    PATHS.map(|path| checkd.wait_health(path, "healthy"))
}

/// Lets them stand still for as long as the test says.
fn stop(who: &[u32]) {
    for &pid in who {
        signal(pid, Signal::STOP);
    }
    eventually("they stand still", Duration::from_secs(20), || {
        who.iter().all(|&pid| state(pid) == Some('T')).then_some(())
    });
    never("somebody goes on by itself", still(), || {
        who.iter().find(|&&pid| state(pid) != Some('T'))
    });
}

fn go_on(who: &[u32]) {
    for &pid in who {
        signal(pid, Signal::CONT);
    }
}

/// Holds that nobody was restarted, by the members' own logs and by the kernel.
#[track_caller]
fn nobody_was_restarted(checkd: &Checkd, pids: [u32; 4]) {
    for (path, pid) in PATHS.iter().zip(pids) {
        let name = path.trim_start_matches("web/");
        let starts = checkd.log(name).starts();
        assert_eq!(starts, [pid], "{path} was restarted:\n{}", checkd.talk());
        assert!(alive(pid), "{path} is gone:\n{}", checkd.talk());
        assert_eq!(checkd.acts(path).len(), 1, "{path}:\n{}", checkd.talk());
    }
}

/// Whether the journal holds a run of this member's check that was excused.
fn excused(checkd: &Checkd, path: &str) -> bool {
    let answer = checkd.ask(["history", &format!("{path}:ping"), "--json"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    answer.stdout.contains("host_stall")
}

/// Whoever really hangs is restarted, once, and nobody else is.
fn a_frozen_member_is_restarted(checkd: &Checkd, pids: [u32; 4]) {
    signal(pids[2], Signal::STOP);
    let replaced = checkd.wait_replaced(PATHS[2], pids[2]);
    assert_eq!(checkd.log("web-2").starts(), [pids[2], replaced]);
    for index in [0, 1, 3] {
        let name = format!("web-{index}");
        assert_eq!(checkd.log(&name).starts(), [pids[index]], "{name}");
    }
}

fn told(checkd: &Checkd) -> usize {
    checkd.talk().matches("nothing ran here for").count()
}

#[test]
fn taken_cores_and_a_stopped_checkd_restart_nobody() {
    let checkd = Checkd::start(NERVOUS);
    let pids = healthy(&checkd);

    let spinners = Spinners::on_all_cores();
    never("a member was restarted", Duration::from_secs(3), || {
        pids.iter().find(|&&pid| !alive(pid))
    });
    stop(&[checkd.pid()]);
    go_on(&[checkd.pid()]);
    eventually("the stall is told", Duration::from_secs(20), || {
        (told(&checkd) == 1).then_some(())
    });
    // Long enough for all that was due to come to a decision.
    never("a member was restarted", Duration::from_secs(3), || {
        pids.iter().find(|&&pid| !alive(pid))
    });
    drop(spinners);

    assert_eq!(healthy(&checkd), pids);
    nobody_was_restarted(&checkd, pids);
    a_frozen_member_is_restarted(&checkd, pids);
    assert_eq!(told(&checkd), 1, "{}", checkd.talk());
}

#[test]
fn members_that_wake_up_later_than_checkd_are_excused() {
    let checkd = Checkd::start(NERVOUS);
    let pids = healthy(&checkd);

    // The daemon first: it sees nobody stop.
    let all = [&[checkd.pid()], &pids[..]].concat();
    stop(&all);
    go_on(&[checkd.pid()]);
    // What was asked just now times out, for whoever is asked stands still yet.
    eventually("a timeout is excused", Duration::from_secs(20), || {
        PATHS
            .iter()
            .any(|path| excused(&checkd, path))
            .then_some(())
    });
    go_on(&pids);

    assert_eq!(healthy(&checkd), pids);
    never("a member was restarted", Duration::from_secs(2), || {
        pids.iter().find(|&&pid| !alive(pid))
    });
    nobody_was_restarted(&checkd, pids);
    assert_eq!(told(&checkd), 1, "{}", checkd.talk());
    a_frozen_member_is_restarted(&checkd, pids);
}

#[test]
fn a_stopped_keeper_restarts_nobody_and_acts_once_when_it_goes_on() {
    let checkd = Checkd::start(NERVOUS);
    let pids = healthy(&checkd);
    let keeper = parent(pids[0]).expect("they have a parent");

    stop(&[keeper]);
    assert_eq!(healthy(&checkd), pids, "checks go on without the keeper");
    nobody_was_restarted(&checkd, pids);
    // Somebody hangs while nobody can act on it.
    signal(pids[2], Signal::STOP);
    eventually("the restart is decided", Duration::from_secs(30), || {
        (checkd.acts(PATHS[2]).len() == 2).then_some(())
    });
    go_on(&[keeper]);
    let replaced = checkd.wait_replaced(PATHS[2], pids[2]);
    assert_eq!(checkd.log("web-2").starts(), [pids[2], replaced]);
    assert_eq!(parent(replaced), Some(keeper), "it is the same keeper");
    for index in [0, 1, 3] {
        let name = format!("web-{index}");
        assert_eq!(checkd.log(&name).starts(), [pids[index]], "{name}");
    }
}

#[test]
fn everything_stopped_and_continued_restarts_nobody() {
    let checkd = Checkd::start(NERVOUS);
    let pids = healthy(&checkd);
    let keeper = parent(pids[0]).expect("they have a parent");

    let all = [&[checkd.pid(), keeper], &pids[..]].concat();
    stop(&all);
    go_on(&all);
    eventually("the stall is told", Duration::from_secs(20), || {
        (told(&checkd) == 1).then_some(())
    });
    never("a member was restarted", Duration::from_secs(3), || {
        pids.iter().find(|&&pid| !alive(pid))
    });
    assert_eq!(healthy(&checkd), pids);
    nobody_was_restarted(&checkd, pids);
    a_frozen_member_is_restarted(&checkd, pids);
}
