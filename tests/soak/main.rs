//! The soak: plugins that crash at random beside healthy ones.
//!
//! `cargo test --release -p checkd-tests --test soak -- --minutes 10` fails unless the p99.9 delay of
//! the healthy plugins' runs is at most twice that of the same run without the crashing ones, memory is
//! flat, every healthy run passes, and no process stays behind. Without `--minutes` it takes some
//! seconds, and the delays may be those of a machine that is busy with other tests.

#![expect(
    clippy::expect_used,
    clippy::as_conversions,
    reason = "a benchmark may stop at a surprise"
)]

mod storm;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use checkd_tests::{checkd_binary, library};
use storm::{Storm, left_behind, storm};

/// Memory may grow by so much, in KiB, from the first minute to the last.
const GROWTH: u64 = 16 << 10;

/// Long enough for some crashes of each plugin.
const SHORT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let minutes: Option<f64> = std::env::args()
        .skip_while(|word| word != "--minutes")
        .nth(1)
        .and_then(|word| word.parse().ok());
    let length = minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(minutes * 60.0));
    let plugin = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    let calm = storm(checkd_binary(), &plugin, false, length);
    say("without the crashing ones", &calm);
    let stormy = storm(checkd_binary(), &plugin, true, length);
    say("beside the crashing ones", &stormy);
    thread::sleep(Duration::from_secs(1));
    let left = left_behind();
    let delays = match minutes {
        Some(_) => stormy.at(999) <= calm.at(999) * 2,
        None => stormy.at(500) <= calm.at(500) * 10 + Duration::from_millis(50),
    };
    let memory = stormy.memory.1 <= stormy.memory.0 + GROWTH;
    let held = delays && memory && left.is_empty() && stormy.unhealthy == 0;
    writeln!(
        std::io::stdout().lock(),
        "{}: delays as they must be: {delays}, memory flat: {memory}, left behind: {left:?}",
        if held { "held" } else { "NOT HELD" },
    )
    .expect("somebody listens");
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(what: &str, storm: &Storm) {
    writeln!(
        std::io::stdout().lock(),
        "{what}: {} healthy runs, {} of them no pass, {} crashes; delay p50 {:?}, p99 {:?}, p99.9 \
         {:?}, longest {:?}; memory {} KiB, at the end {} KiB",
        storm.delays.len(),
        storm.unhealthy,
        storm.crashes,
        storm.at(500),
        storm.at(990),
        storm.at(999),
        storm.at(1000),
        storm.memory.0,
        storm.memory.1,
    )
    .expect("somebody listens");
}
