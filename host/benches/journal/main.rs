//! What the journal takes, through the engine and the calls that the daemon's loop makes: 20,000
//! samples a second for a minute, the same while its disk stalls, a day of 1,000 checks, and the start
//! on a journal of 1 GiB.
//!
//! `cargo bench -p checkd --bench journal` runs all four and fails when a limit is not held; a number
//! after `--` is the length of the first one in seconds, and the words `load`, `stall`, `day` and `open`
//! choose. `CHECKD_BENCH_DIR` is where the journal
//! lies: the disk matters, and a directory in memory has none.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may stop at a surprise, and its figures are rounded"
)]

mod world;

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Clock};

use checkd_core::Span;
use checkd_core::plan::Plan;
use checkd_host::clock;
use checkd_host::journal::Journal;
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::unbounded_channel;
use world::{Trouble, World, micros, plan};

/// The loop may wait so long for the journal.
const WAIT_LIMIT: Duration = Duration::from_millis(10);
/// So long nothing can be written in the run with a stall, and so long that run is.
const STALL: Duration = Duration::from_secs(4);
const STALLED: Span = Span::secs(12);
/// A day of 1,000 checks may take so much.
const DAY_LIMIT: u64 = 50 << 20;
/// A daemon that starts may wait so long for its journal, however large that is.
const OPEN_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let seconds = std::env::args().find_map(|word| word.parse().ok());
    // `cargo test --benches` says nothing and wants to see that it runs; `cargo bench` says `--bench`.
    let measured = std::env::args().any(|word| word == "--bench");
    let seconds = seconds.unwrap_or(if measured { 60 } else { 2 });
    let directory = match std::env::var_os("CHECKD_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    };
    let directory = directory.expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let mib = if measured { 1024 } else { 32 };
    let (stalled, stall) = if measured {
        (STALLED, STALL)
    } else {
        (Span::secs(2), Duration::from_secs(1))
    };
    let parts: [(&str, &dyn Fn() -> bool); 4] = [
        ("load", &|| load(&at("load.db"), Span::secs(seconds), None)),
        ("stall", &|| load(&at("stall.db"), stalled, Some(stall))),
        ("day", &|| day(&at("day.db"))),
        ("open", &|| open(&at("large.db"), mib)),
    ];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| words.iter().any(|word| word == name);
    let all = !parts.iter().any(|(name, _)| named(name));
    let chosen = parts.iter().filter(|(name, _)| all || named(name));
    // Each of them has its say.
    let held: Vec<bool> = chosen.map(|(_, part)| part()).collect();
    if held.iter().all(|held| *held) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("somebody listens");
}

/// How the turns of a loop went.
#[derive(Default)]
struct Turns {
    /// By the clock.
    wall: Vec<u32>,
    /// Without the time in which this thread ran, or could have and the machine ran something else.
    blocked: Vec<u32>,
    behind: Duration,
}

/// Turns a loop at the pace of its own schedule.
fn turns(world: &mut World, length: Span, restart_every: Span) -> Turns {
    let mut schedstat = fs::File::open("/proc/thread-self/schedstat").expect("this is Linux");
    let mut turns = Turns::default();
    let end = clock::now() + length;
    let (mut next_restart, mut number) = (clock::now() + restart_every, 0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    runtime.block_on(async {
        loop {
            let now = clock::now();
            if now >= end {
                break;
            }
            if now >= next_restart {
                next_restart += restart_every;
                number += 1;
                world.restart(number);
            }
            let behind = world.wake_at.map_or(Span::ZERO, |at| now.since(at));
            turns.behind = turns.behind.max(behind.as_duration());
            let (wall, cpu, queued) = (Clock::now(), cpu_time(), queued(&mut schedstat));
            world.turn(now);
            let (wall, ran) = (wall.elapsed(), cpu_time().saturating_sub(cpu));
            let queued = self::queued(&mut schedstat).saturating_sub(queued);
            turns.wall.push(micros(wall));
            let blocked = wall.saturating_sub(ran).saturating_sub(queued);
            turns.blocked.push(micros(blocked));
            let until = world
                .wake_at
                .map_or(Span::ZERO, |at| at.since(clock::now()));
            tokio::select! {
                biased;
                Some(event) = world.events.recv() => world.heard.push_back(event),
                () = tokio::time::sleep(until.as_duration()) => {}
            }
        }
    });
    turns
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// How long this thread has waited for a processor so far.
fn queued(schedstat: &mut fs::File) -> Duration {
    let mut text = String::new();
    schedstat.rewind().unwrap();
    schedstat.read_to_string(&mut text).unwrap();
    let nanos = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}

/// `median 3 µs, 99.9 % 40 µs, longest 1.2 ms`.
fn spread(micros: &mut [u32]) -> String {
    micros.sort_unstable();
    let at = |share: usize| {
        let index = (micros.len() * share / 1_000).min(micros.len().saturating_sub(1));
        micros.get(index).copied().unwrap_or(0)
    };
    let text = |micros: u32| match micros {
        0..10_000 => format!("{micros} µs"),
        _ => format!("{} ms", micros / 1_000),
    };
    format!(
        "median {}, 99.9 % {}, longest {}",
        text(at(500)),
        text(at(999)),
        text(at(1_000))
    )
}

fn longest(micros: &[u32]) -> Duration {
    Duration::from_micros(micros.iter().copied().max().unwrap_or(0).into())
}

/// What this process has written, and the processor time of all its threads.
fn spent() -> (u64, Duration) {
    let io = fs::read_to_string("/proc/self/io").expect("this is Linux");
    let bytes = io
        .lines()
        .find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
        .expect("it counts");
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap();
    (
        bytes,
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap()),
    )
}

/// Keeps everybody else from writing, in the middle of a run.
fn hold(path: PathBuf, length: Span, stall: Duration) -> JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(length.as_duration() / 3);
        let other = Connection::open(path).expect("a journal");
        other.busy_timeout(Duration::from_mins(1)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        thread::sleep(stall);
        other.execute_batch("ROLLBACK").unwrap();
    })
}

/// 20,000 samples a second, first without a journal and then with one, whose disk may stall.
fn load(path: &Path, length: Span, stall: Option<Duration>) -> bool {
    let plan = plan(1_000, 20, Span::secs(1));
    let restart_every = Span::millis(100);
    let trouble = Trouble {
        stretch: Span::secs(2),
        one_of: 50,
    };
    let mut without = World::new(&plan, None, trouble, clock::now());
    let mut base = turns(&mut without, length, restart_every);
    let (bytes, cpu) = spent();
    let mut world = World::new(&plan, Some(path), trouble, clock::now());
    let holder = stall.map(|stall| hold(path.to_owned(), length, stall));
    let mut with = turns(&mut world, length, restart_every);
    if let Some(holder) = holder {
        holder.join().expect("it holds and lets go");
    }
    let (commits, synced) = world.commits();
    let seconds = length.as_duration().as_secs_f64();
    say(&format!(
        "journal under load{}: {} samples in {seconds} s ({:.0} a second), {} entries that are more than a \
         steady pass, {} intents",
        stall.map_or_else(String::new, |stall| {
            format!(" whose disk stalls for {} s", stall.as_secs())
        }),
        world.samples,
        world.samples as f64 / seconds,
        world.rows,
        world.answers.len(),
    ));
    let noise = longest(&base.blocked);
    let waited = longest(&with.blocked);
    let (mut calls, mut answers) = (
        std::mem::take(&mut world.calls),
        std::mem::take(&mut world.answers),
    );
    say(&format!("  a call of the journal  {}", spread(&mut calls)));
    say(&format!(
        "  the loop waits         {}",
        spread(&mut with.blocked)
    ));
    say(&format!(
        "    without a journal    {}",
        spread(&mut base.blocked)
    ));
    say(&format!(
        "  a turn of the loop     {}",
        spread(&mut with.wall)
    ));
    say(&format!(
        "    without a journal    {}",
        spread(&mut base.wall)
    ));
    say(&format!(
        "  behind its schedule at most {} ms, without a journal {} ms",
        with.behind.as_millis(),
        base.behind.as_millis()
    ));
    say(&format!(
        "  an intent is stored in {}",
        spread(&mut answers)
    ));
    let (samples, rate) = (world.samples, world.samples as f64 / seconds);
    drop(world.end(path));
    let (bytes_after, cpu_after) = spent();
    say(&format!(
        "  written {} MiB in {commits} commits, of which {synced} waited for the disk; processor {:.1} s, \
         file {} MiB, nothing lost of {samples}",
        (bytes_after - bytes) >> 20,
        cpu_after.saturating_sub(cpu).as_secs_f64(),
        fs::metadata(path).unwrap().len() >> 20,
    ));
    let allowed = WAIT_LIMIT + noise;
    let held = waited <= allowed && rate > 19_000.0;
    say(&format!(
        "  {}: the loop waited {} ms at most; allowed are {} ms, and the {} ms that it waits without a \
         journal",
        if held { "held" } else { "NOT HELD" },
        waited.as_millis(),
        WAIT_LIMIT.as_millis(),
        noise.as_millis(),
    ));
    held
}

/// A day of 1,000 checks at 10 s, as fast as it goes.
fn day(path: &Path) -> bool {
    let plan = plan(250, 4, Span::secs(10));
    let restart_every = Span::secs(50);
    let trouble = Trouble {
        stretch: Span::secs(30),
        one_of: 250,
    };
    let began = Clock::now();
    let mut now = clock::now();
    let end = now + Span::mins(24 * 60);
    let mut world = World::new(&plan, Some(path), trouble, now);
    let (mut next_restart, mut number) = (now + restart_every, 0);
    while now < end {
        if now >= next_restart {
            next_restart += restart_every;
            number += 1;
            world.restart(number);
            world.turn(now);
            // The writer sets the pace: what came before an intent is written when it is stored.
            while !world.intended.is_empty() {
                let event = world.events.blocking_recv().expect("the journal answers");
                world.heard.push_back(event);
                world.turn(now);
            }
        }
        world.turn(now);
        now = world
            .wake_at
            .map_or(end, |at| at.max(now))
            .min(next_restart);
    }
    let (samples, rows, intents) = (world.samples, world.rows, world.answers.len());
    let connection = world.end(path);
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("nobody else has it open");
    drop(connection);
    let size = fs::metadata(path).unwrap().len();
    let held = size < DAY_LIMIT;
    say(&format!(
        "a day of 1,000 checks at 10 s, in {:.0} s: {samples} samples, {rows} entries that are more than a \
         steady pass, {intents} restarts",
        began.elapsed().as_secs_f64()
    ));
    say(&format!(
        "  {}: the file has {:.1} MiB; allowed are {} MiB",
        if held { "held" } else { "NOT HELD" },
        size as f64 / f64::from(1 << 20),
        DAY_LIMIT >> 20
    ));
    held
}

/// The start of a daemon on a journal of so many MiB.
fn open(path: &Path, mib: u64) -> bool {
    let start = || {
        let (sender, events) = unbounded_channel();
        let plan = Arc::new(Plan::default());
        let (journal, _, warning) = Journal::open(path, plan, sender).expect("a journal");
        assert!(warning.is_none());
        (journal, events)
    };
    start().0.close();
    let large = Connection::open(path).expect("a journal");
    large.pragma_update(None, "synchronous", "OFF").unwrap();
    // A hundred thousand of the runs of a bad day; the last of them are of today.
    let sql =
        "INSERT INTO run (seq, daemon, group_name, member, check_name, status, cause, message,
          measured, took_ms, pid, at_ms, wall_ms, first_at_ms)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        SELECT i, 1, 'group-' || i % 20, 'group-' || i % 20 || '-' || i % 50, 'check-' || i % 4,
          'fail', 'timeout', 'no answer within 5s from http://127.0.0.1:8100/ping',
          '[{\"name\":\"latency\",\"value\":0.0042,\"unit\":\"s\",\"limit\":null}]', 4, 4711,
          i, unixepoch() * 1000, i FROM n";
    while fs::metadata(path).unwrap().len() < mib << 20 {
        large.execute(sql, []).unwrap();
        large
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    }
    let began = Clock::now();
    let said: String = large
        .query_row("PRAGMA quick_check", [], |row| row.get(0))
        .unwrap();
    let whole = began.elapsed();
    assert_eq!(said, "ok");
    drop(large);
    let began = Clock::now();
    let (journal, events) = start();
    let opened = began.elapsed();
    let began = Clock::now();
    journal.close();
    let closed = began.elapsed();
    drop(events);
    let held = opened < OPEN_LIMIT && closed < OPEN_LIMIT;
    say(&format!(
        "a journal of {mib} MiB is open after {} ms and closed after {} ms; to look through it takes {:.1} s\n  \
         {}: {} ms each are allowed",
        opened.as_millis(),
        closed.as_millis(),
        whole.as_secs_f64(),
        if held { "held" } else { "NOT HELD" },
        OPEN_LIMIT.as_millis(),
    ));
    held
}
