//! The soak: plugins that crash at random beside healthy ones.
//!
//! `cargo test --release -p checkd-tests --test soak -- --minutes 10` fails unless the p99.9 delay of
//! the healthy plugins' runs beside the crashing ones is at most twice that of the same run while those
//! rest, memory is flat, every healthy run passes, and no process stays behind.
//!
//! Without `--minutes` it takes half a minute, of whose runs a p99.9 is the longest four, so the p99 may
//! hold in its place: on a machine that is busy with other things the p99.9 says little, and on one that
//! is idle the p99 at rest is so short that each start of a worker is seen in it. A busy machine may take
//! several attempts.

#![expect(
    clippy::expect_used,
    clippy::as_conversions,
    reason = "a benchmark may stop at a surprise"
)]

mod storm;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use checkd_tests::{checkd_binary, library};
use storm::{Delays, Storm, left_behind, storm};

/// Memory may grow by so much, in KiB, from a tenth of the time to its end.
const GROWTH: u64 = 16 << 10;

/// Enough for some crashes of each plugin.
const SHORT: Duration = Duration::from_secs(24);

/// Attempts without `--minutes`.
const ATTEMPTS: usize = 4;

/// What lives on after its worker has this long to be gone.
const GONE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let minutes: Option<f64> = std::env::args()
        .skip_while(|word| word != "--minutes")
        .nth(1)
        .and_then(|word| word.parse().ok());
    let plugin = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    let held = match minutes {
        Some(minutes) => {
            let length = Duration::from_secs_f64(minutes * 60.0);
            attempt(&plugin, length, &[9_990])
        }
        None => (0..ATTEMPTS).any(|_| attempt(&plugin, SHORT, &[9_990, 9_900])),
    };
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One storm: whether all of it held. `judged` are the shares of runs, in ten thousandths, one of whose
/// longest delays may double and not more.
fn attempt(plugin: &std::path::Path, length: Duration, judged: &[usize]) -> bool {
    let storm = storm(checkd_binary(), plugin, length);
    let until = Instant::now() + GONE;
    while !left_behind().is_empty() && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    let left = left_behind();
    let longest = |delays: &Delays, share| delays.at(share).as_secs_f64();
    let ratios =
        (judged.iter()).map(|&share| longest(&storm.stormy, share) / longest(&storm.calm, share));
    let ratio = ratios.fold(f64::INFINITY, f64::min);
    let memory = storm.memory.1 <= storm.memory.0 + GROWTH;
    let held = ratio <= 2.0 && memory && left.is_empty() && storm.unhealthy == 0;
    let Storm {
        unhealthy, crashes, ..
    } = storm;
    say("while the crashing ones rest", &storm.calm);
    say("beside the crashing ones", &storm.stormy);
    let (early, late) = storm.memory;
    writeln!(
        std::io::stdout().lock(),
        "{}: {ratio:.2} times the delay, {crashes} crashes, {unhealthy} healthy runs no pass, memory \
         {early} KiB and at the end {late} KiB, left behind {left:?}",
        if held { "held" } else { "NOT HELD" },
    )
    .expect("somebody listens");
    held
}

fn say(what: &str, delays: &Delays) {
    writeln!(
        std::io::stdout().lock(),
        "{what}: {} healthy runs; delay p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        delays.count(),
        delays.at(5_000),
        delays.at(9_900),
        delays.at(9_990),
        delays.at(10_000),
    )
    .expect("somebody listens");
}
