//! Many members under one keeper: how long they take to start and to stop, and what they cost.

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::processes::{children, parent};
use crate::{Checkd, Signal, eventually};

/// Whatever a limit says: after so long the machine is to blame.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often the members are counted while they start.
const LOOK: Duration = Duration::from_millis(50);

/// What was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// From the start of the daemon until the keeper has a process of every member.
    pub started: Duration,
    /// From then until every member has proved itself by both its checks.
    pub proved: Duration,
    /// Proportional share of memory, in KiB: pages that the two processes share (they are one
    /// program) are counted once.
    pub daemon_pss: u64,
    /// The same of the keeper.
    pub keeper_pss: u64,
    /// The largest resident memory that the daemon ever had, in KiB.
    pub daemon_peak: u64,
    /// The same of the keeper.
    pub keeper_peak: u64,
    /// Processor time that the daemon took for each second while its members were healthy.
    pub daemon_load: f64,
    /// From the signal until the daemon has ended, and every member before it.
    pub stopped: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib.div_ceil(1024);
        write!(
            f,
            "started in {:.1} s, proved {:.1} s later; memory {} MiB (daemon {}, keeper {}), at most {} and {} \
             resident; the daemon takes {:.1} % of a processor; stopped in {:.1} s",
            self.started.as_secs_f64(),
            self.proved.as_secs_f64(),
            mib(self.daemon_pss + self.keeper_pss),
            mib(self.daemon_pss),
            mib(self.keeper_pss),
            mib(self.daemon_peak),
            mib(self.keeper_peak),
            self.daemon_load * 100.0,
            self.stopped.as_secs_f64(),
        )
    }
}

/// Starts `members` members with two checks each, every `interval` (whole seconds), waits until they are
/// healthy, and stops them.
///
/// # Panics
/// When one of them does not start, or is left behind.
pub fn many(members: usize, interval: Duration) -> Figures {
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = door.local_addr().expect("it has a port").port();
    thread::spawn(move || {
        for visitor in door.incoming() {
            drop(visitor);
        }
    });
    let mut checkd = Checkd::prepare(&format!(
        r#"
on_exit = "stop"

[defaults]
interval = "{}s"
timeout = "1s"

[group.many]
command = ["sleep", "100000"]
processes = {members}

[group.many.checks.memory]
kind = "memory"
max_rss = "512MiB"

[group.many.checks.door]
kind = "tcp"
host = "127.0.0.1"
port = {port}

[group.many.policy]
confirm_up = "1s"
"#,
        interval.as_secs()
    ));
    let began = Instant::now();
    checkd.run();
    // Asking for the status of thousands takes longer than starting one of them: the first member tells
    // who the keeper is, and then its children are counted.
    let first = eventually("the first member runs", PATIENCE, || {
        let status = checkd.status()?;
        let members = status.get("groups")?.get(0)?.get("members")?.as_array()?;
        let pid = members
            .iter()
            .find_map(|it| it.get("generation")?.get("pid")?.as_u64())?;
        u32::try_from(pid).ok()
    });
    let keeper = parent(first).expect("it runs");
    while running(keeper) < members {
        assert!(began.elapsed() < PATIENCE, "{} run", running(keeper));
        thread::sleep(LOOK);
    }
    let started = began.elapsed();
    all(&checkd, members, |member| {
        (member.get("health")? == "healthy").then_some(())
    });
    let proved = began.elapsed().saturating_sub(started);

    let daemon = checkd.pid();
    assert_eq!(children(keeper).len(), members, "all are the keeper's");
    let (before, since) = (ticks(daemon), Instant::now());
    // Every check has run before memory is read.
    thread::sleep(interval * 2);
    let load = (ticks(daemon) - before) / since.elapsed().as_secs_f64();
    let (daemon_pss, keeper_pss) = (pss(daemon), pss(keeper));
    let (daemon_peak, keeper_peak) = (peak(daemon), peak(keeper));

    let began = Instant::now();
    assert_eq!(checkd.end(Signal::TERM), Some(0), "{}", checkd.talk());
    let stopped = began.elapsed();
    assert!(children(keeper).is_empty(), "a member was left behind");
    Figures {
        started,
        proved,
        daemon_pss,
        keeper_pss,
        daemon_peak,
        keeper_peak,
        daemon_load: load,
        stopped,
    }
}

/// Waits until every member has something.
fn all<T>(checkd: &Checkd, members: usize, what: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    eventually("every member is so far", PATIENCE, || {
        let status = checkd.status()?;
        let group = status.get("groups")?.get(0)?;
        let found: Vec<T> = group
            .get("members")?
            .as_array()?
            .iter()
            .filter_map(&what)
            .collect();
        (found.len() == members).then_some(found)
    })
}

/// How many children a process has; the kernel lists them by thread.
fn running(keeper: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{keeper}/task")).expect("it runs");
    let children = threads.map(|thread| thread.expect("a thread").path().join("children"));
    let lists = children.map(|path| fs::read_to_string(path).unwrap_or_default());
    lists.map(|list| list.split_whitespace().count()).sum()
}

fn pss(pid: u32) -> u64 {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn peak(pid: u32) -> u64 {
    kib(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn kib(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).expect("it runs");
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{path} has no {key}"))
}

/// Seconds of processor time so far.
fn ticks(pid: u32) -> f64 {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs") {
        let path = thread.expect("a thread").path().join("schedstat");
        // One that ends meanwhile counts no more.
        let text = fs::read_to_string(path).unwrap_or_default();
        nanos += text
            .split_whitespace()
            .next()
            .and_then(|ran| ran.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Duration::from_nanos(nanos).as_secs_f64()
}
