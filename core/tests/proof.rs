//! Storms of random incidents in which the invariants of docs/policy.md hold, a few seconds of them,
//! every incident of a few steps in small groups, and every scenario that once broke one, for ever.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans are for the library; a test reads its files"
)]

#[path = "../proof/mod.rs"]
mod proof;

use std::collections::BTreeMap;
use std::path::Path;

use proof::arena::arenas;
use proof::explore::explore;
use proof::storm::{Seen, Storm};

/// So many events in each ordinary test run.
const EVENTS: u64 = 50_000;

#[test]
fn no_storm_breaks_an_invariant() {
    let mut all = Seen::default();
    let mut seed = 7_000;
    while all.events < EVENTS {
        let storm = Storm::random(seed);
        match storm.run() {
            Ok(one) => all.add(&one),
            Err(broken) => {
                let smaller = storm.shrunk(&broken);
                let broken = smaller.run().err().unwrap_or(broken);
                panic!(
                    "put this into core/scenarios/NAME.storm:\n{}",
                    smaller.to_text(&broken)
                );
            }
        }
        seed += 1;
    }
    for (number, looked) in (1..).zip(all.looked) {
        assert!(looked > 0, "nothing looked at I{number}: {:?}", all.looked);
    }
}

/// So many steps in each ordinary test run.
const DEPTH: u32 = 3;

#[test]
fn no_short_incident_breaks_an_invariant() {
    let mut met = BTreeMap::new();
    let arenas: Vec<_> = [2, 3].into_iter().flat_map(arenas).collect();
    for arena in &arenas {
        match explore(arena, DEPTH, u64::MAX) {
            Ok(found) => {
                assert_eq!(found.depth, DEPTH, "{}: {found:?}", arena.name);
                met.extend(found.met);
            }
            Err((broken, storm)) => {
                let smaller = storm.shrunk(&broken);
                let broken = smaller.run().err().unwrap_or(broken);
                panic!(
                    "put this into core/scenarios/NAME.storm:\n{}",
                    smaller.to_text(&broken)
                );
            }
        }
    }
    // Each gate held somebody up, and each arena is where it is meant to be.
    for word in [
        "fresh",
        "journal",
        "control",
        "sane",
        "settle",
        "dependency",
        "hold",
        "backoff",
        "budget",
        "host_rate",
        "held",
        "free",
        "together",
        "single",
        "given up",
        "paused",
        "stopped",
        "signal",
        "signal effective",
        "signal in vain",
    ] {
        assert!(met.contains_key(word), "never met: {word}; {met:?}");
    }
}

#[test]
fn what_once_broke_an_invariant_does_not_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no scenario in {}", folder.display());
    for file in files {
        let storm = Storm::from_text(&std::fs::read_to_string(&file).unwrap());
        let storm = storm.unwrap_or_else(|line| panic!("{}: {line}", file.display()));
        if let Err(broken) = storm.run() {
            panic!("{}: {broken}", file.display());
        }
    }
}

#[test]
fn a_storm_is_the_same_when_it_is_written_and_read() {
    for seed in 0..50 {
        let storm = Storm::random(seed);
        let text = storm.to_text("I0: nothing");
        assert_eq!(Storm::from_text(&text), Ok(storm), "{text}");
    }
}
