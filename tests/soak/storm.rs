//! Ten plugins in one host, half of them crashing at random, a thousand runs a second: what the healthy
//! ones feel of it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use checkd_core::{CheckKind, Status};
use checkd_host::plugin::{Catalog, Target};
use checkd_host::runner::Hand;
use serde_json::Map;

/// So many plugins, of which every other one crashes.
const PLUGINS: u32 = 10;
/// Runs of one plugin in a second: a thousand of all ten.
const RATE: u32 = 100;
/// One run in so many of a crashing plugin ends its worker.
const CRASH_ONE_IN: u64 = 50;
const LIMIT: Duration = Duration::from_secs(10);

/// The crashing plugins rest in every other slice: whatever else the machine does meanwhile, both
/// kinds of slices have it.
const SLICE: Duration = Duration::from_secs(2);
/// The beginning of a slice is not counted: what was begun in the slice before may be going on.
const TURN: Duration = Duration::from_millis(500);

/// What a storm cost.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// How long runs of healthy plugins took while the crashing ones rested.
    pub(crate) calm: Delays,
    /// How long they took beside the crashing ones.
    pub(crate) stormy: Delays,
    /// Runs of a healthy plugin that were no pass.
    pub(crate) unhealthy: u64,
    /// Runs that ended a worker.
    pub(crate) crashes: u64,
    /// Anonymous memory of this process in KiB after a tenth of the time, and at the end.
    pub(crate) memory: (u64, u64),
}

/// How long runs took, each from when it was due; sorted.
#[derive(Debug, Default)]
pub(crate) struct Delays(Vec<Duration>);

impl Delays {
    /// So many ten-thousandths of them are at most this.
    pub(crate) fn at(&self, share: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let index = (self.0.len() * share / 10_000).min(last);
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Runs ten plugins in one host for `length`, half of them crashing in every other slice of the time.
/// Every plugin is a worker of the library at `plugin`, started by `checkd`. Chance comes from a fixed
/// seed.
pub(crate) fn storm(checkd: &Path, plugin: &Path, length: Duration) -> Storm {
    let stop = AtomicBool::new(false);
    let mut all = Storm::default();
    let host = Hand::new(Arc::default()).expect("there are threads");
    let start = (Barrier::new(PLUGINS as usize), OnceLock::new());
    thread::scope(|scope| {
        let (stop, start) = (&stop, &start);
        let drivers: Vec<_> = (0..PLUGINS)
            .map(|place| {
                let hand = host.beside(catalog(checkd, plugin));
                scope.spawn(move || drive(&hand, place, start, length))
            })
            .collect();
        let memory = scope.spawn(move || {
            thread::sleep(length / 10);
            let early = memory();
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            (early, self::memory())
        });
        for one in drivers {
            let one = one.join().expect("a driver does not panic");
            all.calm.0.extend(one.calm.0);
            all.stormy.0.extend(one.stormy.0);
            all.unhealthy += one.unhealthy;
            all.crashes += one.crashes;
        }
        stop.store(true, Ordering::Relaxed);
        all.memory = memory.join().expect("it only looks");
    });
    all.calm.0.sort_unstable();
    all.stormy.0.sort_unstable();
    all
}

fn catalog(checkd: &Path, plugin: &Path) -> Arc<Catalog> {
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
    Arc::new(catalog)
}

/// One plugin under its share of the load, from when all of them are there.
fn drive(hand: &Hand, place: u32, start: &(Barrier, OnceLock<Instant>), length: Duration) -> Storm {
    let hold = |kind| {
        let kind = CheckKind::new(kind).expect("a kind's name");
        hand.hold(&kind, Map::new(), Target::default())
            .expect("it is offered")
    };
    let mut passes = hold("hostile_nothing");
    let mut storm = Storm::default();
    // The first run starts the worker.
    passes.run(LIMIT * 10);
    start.0.wait();
    let began = *start.1.get_or_init(Instant::now);
    let (crashing, mut chance) = (place % 2 == 1, u64::from(place));
    for number in 0.. {
        // No two plugins are due at the same instant.
        let after = Duration::from_secs(1) * (number * PLUGINS + place) / (RATE * PLUGINS);
        if after >= length {
            break;
        }
        let calm = (after.as_nanos() / SLICE.as_nanos()).is_multiple_of(2);
        if crashing && calm {
            continue;
        }
        let due = began + after;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A check of its own each time: the same one again would be held back.
        if crashing && random(&mut chance).is_multiple_of(CRASH_ONE_IN) {
            hold("hostile_exit").run(LIMIT);
            storm.crashes += 1;
            continue;
        }
        let sample = passes.run(LIMIT);
        let took = due.elapsed();
        if crashing {
            continue;
        }
        storm.unhealthy += u64::from(sample.status != Status::Pass);
        let counts = after.as_nanos() % SLICE.as_nanos() >= TURN.as_nanos();
        match calm {
            _ if !counts => {}
            true => storm.calm.0.push(took),
            false => storm.stormy.0.push(took),
        }
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
