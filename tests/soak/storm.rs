//! Ten plugins in one host, half of them crashing at random, a thousand runs a second: what the healthy
//! ones feel of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use checkd_core::{CheckKind, Status};
use checkd_host::plugin::{Catalog, Target};
use checkd_host::runner::Hand;
use serde_json::Map;

/// So many plugins are healthy, and so many crash.
pub(crate) const EACH: usize = 5;
/// Runs of one plugin in a second: a thousand of all ten.
const RATE: u32 = 100;
/// One run in so many of a crashing plugin ends its worker.
const CRASH_ONE_IN: u64 = 50;
const LIMIT: Duration = Duration::from_secs(10);

/// What a storm cost.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// How long each run of a healthy plugin took, from when it was due; sorted.
    pub(crate) delays: Vec<Duration>,
    /// Runs of a healthy plugin that were no pass.
    pub(crate) unhealthy: u64,
    /// Runs that ended a worker.
    pub(crate) crashes: u64,
    /// Anonymous memory of this process in KiB after a tenth of the time, and at the end.
    pub(crate) memory: (u64, u64),
}

impl Storm {
    /// So many thousandths of the delays are at most this.
    pub(crate) fn at(&self, thousandths: usize) -> Duration {
        let last = self.delays.len().saturating_sub(1);
        let index = (self.delays.len() * thousandths / 1000).min(last);
        self.delays.get(index).copied().unwrap_or_default()
    }
}

/// Runs the healthy plugins for `length`, with or without the crashing ones beside them. Every plugin is
/// a worker of the library at `plugin`, started by `checkd`. Chance comes from a fixed seed.
pub(crate) fn storm(checkd: &Path, plugin: &Path, crashing: bool, length: Duration) -> Storm {
    let stop = AtomicBool::new(false);
    let mut all = Storm::default();
    thread::scope(|scope| {
        let stop = &stop;
        let healthy: Vec<_> = (0..EACH)
            .map(|_| scope.spawn(move || drive(checkd, plugin, None, length)))
            .collect();
        let crashers: Vec<_> = (0..EACH)
            .filter(|_| crashing)
            .map(|number| scope.spawn(move || drive(checkd, plugin, Some(number as u64), length)))
            .collect();
        let memory = scope.spawn(move || {
            thread::sleep(length / 10);
            let early = memory();
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            (early, self::memory())
        });
        for one in healthy {
            let one = one.join().expect("a driver does not panic");
            all.delays.extend(one.delays);
            all.unhealthy += one.unhealthy;
        }
        for one in crashers {
            all.crashes += one.join().expect("a driver does not panic").crashes;
        }
        stop.store(true, Ordering::Relaxed);
        all.memory = memory.join().expect("it only looks");
    });
    all.delays.sort_unstable();
    all
}

/// One plugin under its share of the load.
fn drive(checkd: &Path, plugin: &Path, seed: Option<u64>, length: Duration) -> Storm {
    let plan = PluginPlan {
        name: "storm".to_owned(),
        source: PluginSource::Library(plugin.to_string_lossy().into_owned()),
        sha256: None,
        isolation: Isolation::Process,
        confine: ConfinePlan::default(),
    };
    let (catalog, told) = Catalog::open_with(checkd, &[plan], &[]);
    assert_eq!(told, [], "the plugin cannot be used");
    catalog.rest();
    let hand = Hand::new(Arc::new(catalog)).expect("there are threads");
    let hold = |kind| {
        let kind = CheckKind::new(kind).expect("a kind's name");
        hand.hold(&kind, Map::new(), Target::default())
            .expect("it is offered")
    };
    let mut passes = hold("hostile_nothing");
    let mut storm = Storm::default();
    let mut chance = seed.map(|seed| seed + 1);
    // The first run starts the worker.
    passes.run(LIMIT * 10);
    let began = Instant::now();
    for number in 0.. {
        let due = began + Duration::from_secs(1) * number / RATE;
        if due.duration_since(began) >= length {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if let Some(chance) = &mut chance {
            // A check of its own each time: the same one again would be held back.
            if random(chance).is_multiple_of(CRASH_ONE_IN) {
                hold("hostile_exit").run(LIMIT);
                storm.crashes += 1;
                continue;
            }
        }
        let sample = passes.run(LIMIT);
        storm.delays.push(due.elapsed());
        storm.unhealthy += u64::from(sample.status != Status::Pass);
    }
    storm
}

/// The next of a fixed sequence (xorshift).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Anonymous memory of this process in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// Whatever still runs below this process.
pub(crate) fn left_behind() -> Vec<u32> {
    let mut found = checkd_tests::children(std::process::id());
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(checkd_tests::children(pid));
        next += 1;
    }
    found
}
