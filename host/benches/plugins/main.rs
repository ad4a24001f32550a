//! What a plugin costs: a run in process and through a worker, a worker's start and memory, and the
//! start of 200 of them.
//!
//! `cargo bench -p checkd --bench plugins` measures all and fails when a limit is not held; the words
//! `call`, `run`, `ready` and `many` after `--` choose. Each figure is the best of several short runs,
//! and each limit grows where a reference of the same kind of work, measured in the same run, takes
//! longer than on two cores with nothing else to do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may stop at a surprise, and its figures are rounded"
)]

mod memory;
#[path = "../../../tests/fixtures/noop-plugin/src/noop.rs"]
mod noop;
mod reference;
mod world;

use std::fmt::Display;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use checkd_host::plugin::Catalog;
use checkd_plugin_api::host::{Instance, Request, registered, run_blocking};
use checkd_plugin_api::{BlockingCheck as _, Context};

use world::{ASYNC, BLOCKING, CHECKD, Driver, Library};

/// A blocking run in process may cost so much more than a direct call.
const CALL_LIMIT: Duration = Duration::from_nanos(100);
/// From the begin of a run to its sample, through a worker that has nothing else to do.
const ALONE_LIMIT: Duration = Duration::from_micros(60);
/// Runs of one worker in a second, with [`IN_FLIGHT`] under way.
const RATE_LIMIT: f64 = 100_000.0;
const IN_FLIGHT: u32 = 64;
/// A worker that was started, has described itself and judged options.
const READY_LIMIT: Duration = Duration::from_millis(5);
/// What a worker has for itself, in KiB; its guard is said beside it.
const MEMORY_LIMIT: u64 = 1 << 10;
/// So many plugins, each with a worker and a check, have answered their first run.
const PLUGINS: u32 = 200;
const MANY_LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    if std::env::args().any(|word| word == reference::ECHO) {
        reference::echo();
        return ExitCode::SUCCESS;
    }
    // `cargo test --benches` says nothing and wants to see that it runs; `cargo bench` says `--bench`.
    let measured = std::env::args().any(|word| word == "--bench");
    let rounds = if measured { 10 } else { 1 };
    let library = Library::build();
    let parts: [(&str, &dyn Fn() -> bool); 4] = [
        ("call", &|| call(rounds)),
        ("run", &|| run(&library, rounds)),
        ("ready", &|| ready(&library, rounds)),
        ("many", &|| {
            many(&library, if measured { PLUGINS } else { 3 }, rounds.min(3))
        }),
    ];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| words.iter().any(|word| word == name);
    let all = !parts.iter().any(|(name, _)| named(name));
    let chosen = parts.iter().filter(|(name, _)| all || named(name));
    // Each of them has its say.
    let held: Vec<bool> = chosen.map(|(_, part)| part()).collect();
    // A single round of a test says nothing about speed.
    if !measured || held.iter().all(|held| *held) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(line: impl Display) {
    writeln!(std::io::stdout().lock(), "{line}").expect("somebody listens");
}

/// Says whether a limit is held, in a line of its own.
fn holds(held: bool, what: impl Display) -> bool {
    say(format_args!(
        "  {}: {what}",
        if held { "held" } else { "NOT HELD" }
    ));
    held
}

/// The shortest of so many.
fn best(rounds: u32, mut one: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| one()).min().expect("there is a round")
}

fn micros(span: Duration) -> String {
    format!("{:.1} µs", span.as_secs_f64() * 1e6)
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

/// What the guard against panics and the type that is not known cost a blocking check in process.
fn call(rounds: u32) -> bool {
    const CALLS: u32 = 100_000;
    let registration = registered().find(|one| one.descriptor().kind == BLOCKING);
    let made = registration.expect("it is linked in").configure("{}");
    let Ok(Instance::Blocking(mut instance)) = made else {
        unreachable!("it is a blocking check")
    };
    let cx = Context::new(Request::default(), Duration::from_secs(1));
    let mut direct = noop::Noop;
    let each = |one: &mut dyn FnMut()| {
        best(rounds * 5, || {
            let began = Instant::now();
            (0..CALLS).for_each(|_| one());
            began.elapsed()
        }) / CALLS
    };
    let direct = each(&mut || drop(black_box(direct.run(black_box(&cx)))));
    let through = each(&mut || drop(black_box(run_blocking(&mut *instance, black_box(&cx)))));
    say(format_args!(
        "a blocking check that does nothing, in process: {} ns, called directly {} ns",
        through.as_nanos(),
        direct.as_nanos()
    ));
    let more = through.saturating_sub(direct);
    holds(
        more <= CALL_LIMIT,
        format_args!(
            "{} ns more; allowed are {}",
            more.as_nanos(),
            CALL_LIMIT.as_nanos()
        ),
    )
}

/// Runs through the daemon's runner, alone and many at once.
fn run(library: &Library, rounds: u32) -> bool {
    let trip = reference::Echo::start();
    let slower = trip.slower(rounds);
    let (catalog, told) = Catalog::open_alone(Path::new(CHECKD), &[library.plugin(0)]);
    assert_eq!(told, [], "the plugin can be used");
    let worker = Driver::new(catalog, &[BLOCKING, ASYNC], IN_FLIGHT);
    let (built_in, _) = Catalog::open(&[], &[]);
    let built_in = Driver::new(built_in, &[BLOCKING, ASYNC], IN_FLIGHT);
    let mut held = true;
    for (check, what) in [(0, "blocking"), (1, "asynchronous")] {
        let in_process = best(rounds, || built_in.alone(check));
        let alone = best(rounds, || worker.alone(check));
        let rate = |driver: &Driver| {
            (0..rounds)
                .map(|_| driver.rate(check, Duration::from_millis(300)))
                .fold(0.0, f64::max)
        };
        let (in_process_rate, rate) = (rate(&built_in), rate(&worker));
        say(format_args!(
            "{what} runs that do nothing, from the runner's begin to the sample: alone {}, {IN_FLIGHT} in \
             flight {rate:.0} a second; of a built-in {}, {in_process_rate:.0} a second",
            micros(alone),
            micros(in_process),
        ));
        held &= holds(
            alone <= ALONE_LIMIT.mul_f64(slower.trip),
            format_args!(
                "alone; allowed are {}",
                micros(ALONE_LIMIT.mul_f64(slower.trip))
            ),
        );
        held &= holds(
            rate >= RATE_LIMIT / slower.lines,
            format_args!(
                "in flight; wanted are {:.0} a second",
                RATE_LIMIT / slower.lines
            ),
        );
    }
    held
}

/// One plugin, from its file to a worker that has judged options; and what that worker weighs.
fn ready(library: &Library, rounds: u32) -> bool {
    let slower = reference::start(rounds);
    let open = |number| {
        let (catalog, told) = Catalog::open_alone(Path::new(CHECKD), &[library.plugin(number)]);
        assert_eq!(told, [], "the plugin can be used");
        world::judge(&catalog, number);
        catalog
    };
    let took = best(rounds * 5, || {
        let began = Instant::now();
        let catalog = open(0);
        let took = began.elapsed();
        drop(catalog);
        took
    });
    say(format_args!(
        "a plugin of {} KiB, from its file to a worker that was started, has described itself and judged \
         options: {}",
        library.size() >> 10,
        millis(took)
    ));
    let limit = READY_LIMIT.mul_f64(slower);
    let mut held = holds(took <= limit, format_args!("allowed are {}", millis(limit)));
    // Several, so that the program's own pages are shared as beside a daemon they are.
    let several: Vec<Catalog> = (0..4).map(open).collect();
    let (worker, guard) = weigh("that is ready");
    held &= holds(
        worker <= MEMORY_LIMIT,
        format_args!(
            "{worker} KiB for itself, allowed are {MEMORY_LIMIT} KiB; its guard {guard} KiB"
        ),
    );
    drop(several);
    let several: Vec<Driver> = (0..4)
        .map(|number| Driver::of_both(open(number), number))
        .collect();
    weigh("that has run a blocking and an asynchronous check");
    drop(several);
    held
}

/// The heaviest worker that this process has, and its guard, in KiB. The copy of the library is the
/// host's, whether or not a worker maps it, and is said beside what they have for themselves.
fn weigh(what: &str) -> (u64, u64) {
    let pairs = memory::pairs();
    let (guard, worker) = pairs
        .iter()
        .max_by_key(|(guard, worker)| guard.own() + worker.own())
        .expect("there is a worker");
    say(format_args!(
        "memory of a worker {what}: {worker}; of its guard: {guard}"
    ));
    (worker.own(), guard.own())
}

/// Many plugins, each a file, a worker and a check of its own: from their files to the first sample
/// of each, the way a daemon begins.
fn many(library: &Library, plugins: u32, rounds: u32) -> bool {
    let slower = reference::start(rounds);
    let copies = library.copies(plugins);
    let mut described = Duration::MAX;
    let mut judged = Duration::MAX;
    let took = best(rounds, || {
        let began = Instant::now();
        let (catalog, told) = Catalog::open_alone(Path::new(CHECKD), &copies.plugins);
        assert_eq!(told, [], "the plugins can be used");
        described = described.min(began.elapsed());
        for number in 0..plugins {
            world::judge(&catalog, number);
        }
        judged = judged.min(began.elapsed());
        let driver = Driver::of_each(catalog, plugins);
        driver.once_each();
        let took = began.elapsed();
        drop(driver);
        took
    });
    say(format_args!(
        "{plugins} plugins: described after {}, options judged after {}, all have answered their first run \
         after {}",
        millis(described),
        millis(judged),
        millis(took),
    ));
    let limit = MANY_LIMIT.mul_f64(slower);
    holds(took <= limit, format_args!("allowed are {}", millis(limit)))
}
