//! 1,000 groups of 100 members, half of them dead and half of them sick at once: what it takes to
//! decide all that, to explain it, and to put it into words for the journal; and what a member weighs.
//!
//! `cargo bench -p checkd-core --bench scale` fails when a limit is not held; two numbers after `--` are
//! another count of groups and of members in each.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and may stop at a surprise"
)]

#[path = "../scale/mod.rs"]
mod scale;

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use scale::flood::{self, Flood};
use scale::heap;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap;

/// All of 100,000 members must be decided, explained and written down in this, on one core.
const TIME_LIMIT: Duration = Duration::from_secs(1);
/// So many bytes may a member take in the engine, its share of the plan included; and a group as much
/// again.
const BYTES_LIMIT: u64 = 2_048;
/// What [`reference`] takes on a core that has nothing else to do. Where it takes longer, because the
/// machine is slower or its cores are shared, all the rest may take longer by as much.
const REFERENCE: Duration = Duration::from_millis(80);

fn main() -> ExitCode {
    let words = std::env::args().filter_map(|word| word.parse().ok());
    let words: Vec<u32> = words.collect();
    // `cargo test --benches` wants to see that it runs; `cargo bench` says `--bench`.
    let measured = std::env::args().any(|word| word == "--bench");
    let shapes = match words.as_slice() {
        [groups, members] => vec![(*groups, *members)],
        _ if measured => vec![(1_000, 100), (1, 20_000), (20_000, 1)],
        _ => vec![(10, 100)],
    };
    let mut held = true;
    for (groups, members) in shapes {
        held &= strike(groups, members);
    }
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").unwrap();
}

/// Processor time of this thread: what else the machine does is none of it.
fn spent() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let began = spent();
    let result = what();
    (spent().saturating_sub(began), result)
}

/// Work of the same kind, and always the same: small allocations, trees and text.
fn reference() -> Duration {
    let text =
        r#"{"gate":"budget","open":false,"compared":{"out":25,"who":["web/web-1","web/web-2"]}}"#;
    timed(|| {
        for _ in 0..REFERENCE_ROUNDS {
            let value: serde_json::Value = serde_json::from_str(black_box(text)).unwrap();
            black_box(value.to_string());
        }
    })
    .0
}
const REFERENCE_ROUNDS: u32 = 100_000;

fn strike(groups: u32, members: u32) -> bool {
    let count = u64::from(groups) * u64::from(members);
    let each = |bytes: i64| u64::try_from(bytes).unwrap() / count;
    let seconds = |span: Duration| span.as_secs_f64();
    heap::counting(true);
    let start = heap::counts().live;
    let plan = flood::plan(groups, members);
    let planned = heap::counts().live - start;
    let mut flood = Flood::of_healthy_members(&plan);
    let warm = heap::counts().live - start;
    flood.sicken();
    let sick = heap::counts().live - start;
    let blow = flood.blow();
    flood.strike(blow);
    let most = (heap::counts().live - start).max(sick).max(warm);
    drop(flood);

    // Once more, by the clock alone.
    heap::counting(false);
    let mut flood = Flood::of_healthy_members(&plan);
    let (sickened, over) = timed(|| flood.sicken());
    let before = reference();
    let blow = flood.blow();
    let (struck, ()) = timed(|| flood.strike(blow));
    let (explained, bytes) = timed(|| flood.explain());
    let after = reference();

    let seen = &flood.seen;
    let slower = (seconds(before.min(after)) / seconds(REFERENCE)).max(1.0);
    let allowed = seconds(TIME_LIMIT) * slower * (count as f64 / 100_000.0);
    let took = seconds(struck + explained);
    let in_time = took < allowed;
    let bytes_allowed = BYTES_LIMIT + BYTES_LIMIT / u64::from(members);
    let in_space = each(most) <= bytes_allowed;
    let word = |held: bool| if held { "held" } else { "NOT HELD" };
    say(&format!(
        "{groups} groups of {members} members with {} checks each, half dead and half sick at once",
        flood::CHECKS
    ));
    say(&format!(
        "  decided and written as {} rows ({} MiB) in {:.2} s: {} events, {} acts and refusals",
        seen.rows,
        seen.bytes >> 20,
        seconds(struck),
        seen.events,
        seen.decisions,
    ));
    say(&format!(
        "  explained in {:.2} s ({} bytes each)",
        seconds(explained),
        bytes / count
    ));
    say(&format!(
        "  the runs that failed before, over {}: {:.2} s",
        over,
        seconds(sickened)
    ));
    say(&format!(
        "  {}: {took:.2} s of one core, allowed are {allowed:.2} s; the reference takes {} ms, {} ms on a \
         core of its own",
        word(in_time),
        before.min(after).as_millis(),
        REFERENCE.as_millis(),
    ));
    say(&format!(
        "  {}: a member takes {} bytes at most, allowed are {bytes_allowed}; {} when all is well, {} of them \
         its plan",
        word(in_space),
        each(most),
        each(warm),
        each(planned),
    ));
    in_time && in_space
}
