//! What 2,000 members under one keeper cost, and how fast they come and go.
//!
//! `cargo run --release -p checkd-tests --bin members` fails when a limit is not held; a number after
//! it is another count of members, for which the limits of 2,000 hold too.

#![expect(clippy::expect_used, reason = "a benchmark may stop at a surprise")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use checkd_tests::many;

/// Memory of keeper and daemon together, in KiB.
const MEMORY: u64 = 100 << 10;
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let count = std::env::args().find_map(|word| word.parse().ok());
    let count = count.unwrap_or(2_000);
    let figures = many(count, Duration::from_secs(5));
    let held = figures.started < START
        && figures.stopped < STOP
        && figures.daemon_pss + figures.keeper_pss < MEMORY;
    writeln!(
        std::io::stdout().lock(),
        "{count} members: {figures}\n  {}: started in {} s, {} MiB, stopped in {} s are allowed",
        if held { "held" } else { "NOT HELD" },
        START.as_secs(),
        MEMORY >> 10,
        STOP.as_secs(),
    )
    .expect("somebody listens");
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
