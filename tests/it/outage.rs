//! An outage that is not the members' fault, and a hang that is: eight gunicorn members that share a
//! Redis, under checkd and under supervisord with `supervisor_checks`, on the same two faults.
//!
//! First Redis stands still for a while and goes on, which no restart of a member can mend; then all
//! eight deadlock, which nothing but a restart can mend. Both are judged by the members' own logs.
//! `CHECKD_OUTAGE=long` takes the real times, which are checkd's defaults, and about a quarter of an
//! hour; without it all times are shorter alike.

use std::fs;
use std::time::Duration;

use checkd_tests::{Checkd, eventually, root};

mod shop;
mod supervisors;

use shop::{Shop, Tally};

/// How many members there are, and how many of them may be out at once: checkd's quarter.
const MEMBERS: u16 = 8;
const MAX_OUT: usize = 2;

/// All durations of this test, in seconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// How long Redis stands still.
    outage: u64,
    /// After its return everybody must be well within this.
    well_within: u64,
    /// How long the shop waits for Redis, in milliseconds.
    patience_ms: u64,
    /// What checkd waits, see the configuration reference: its defaults, or less.
    interval: u64,
    timeout: u64,
    min_fail_span: u64,
    canary_after: u64,
    confirm_up: u64,
    settle: u64,
    /// Both wait so long for a member that is told to stop.
    stop: u64,
    /// The options of `supervisor_complex_check`'s HTTP check; its ticks come every five seconds
    /// in any case.
    rival_timeout: u64,
    rival_retries: u64,
}

/// Two minutes without Redis. checkd's values are its defaults, its rival's those of its README.
const LONG: Times = Times {
    outage: 120,
    well_within: 15,
    patience_ms: 1_000,
    interval: 10,
    timeout: 5,
    min_fail_span: 15,
    canary_after: 60,
    confirm_up: 10,
    settle: 30,
    stop: 10,
    rival_timeout: 15,
    rival_retries: 3,
};

/// A fifth of that where a busy machine can still keep it.
const SHORT: Times = Times {
    outage: 24,
    well_within: 15,
    patience_ms: 300,
    interval: 2,
    timeout: 1,
    min_fail_span: 3,
    canary_after: 12,
    confirm_up: 2,
    settle: 6,
    stop: 3,
    rival_timeout: 3,
    rival_retries: 1,
};

#[test]
fn an_outage_of_redis_and_a_deadlock_of_all_beside_supervisord() {
    let long = std::env::var("CHECKD_OUTAGE").is_ok_and(|value| value == "long");
    let times = if long { LONG } else { SHORT };

    let ours = under_checkd(times);
    let theirs = under_supervisord(times);
    let table = table(times, &ours, &theirs);
    keep("table.md", &table);
    assert!(
        ours.outage.restarts < theirs.outage.restarts,
        "checkd restarted no less in an outage that no restart mends:\n{table}"
    );
}

/// What one of them did about both faults.
struct Report {
    outage: Tally,
    wedge: Tally,
}

fn under_checkd(times: Times) -> Report {
    let mut shop = Shop::open(Checkd::prepare(&supervisors::configuration(times)));
    shop.place.run();
    let checkd = &shop.place;
    let paths: Vec<String> = (0..MEMBERS).map(|n| format!("shop/shop-{n}")).collect();
    wait_healthy(checkd, Duration::from_mins(3));

    let in_time = Duration::from_secs(times.well_within);
    let outage = shop.outage(
        times,
        || look(checkd, "outage"),
        |since| wait_healthy(checkd, in_time.saturating_sub(since)),
    );
    assert!(
        outage.well_after <= in_time,
        "well only {:?} after the return of Redis:\n{}",
        outage.well_after,
        checkd.talk()
    );
    let canaries: Vec<String> = restarts(checkd, &paths)
        .into_iter()
        .filter(|why| why.contains("canary"))
        .collect();
    assert_eq!(
        outage.restarts,
        canaries.len(),
        "more than the canaries {canaries:?} were restarted:\n{}",
        checkd.talk()
    );
    assert!(
        !canaries.is_empty(),
        "a hold without a way out:\n{}",
        checkd.talk()
    );

    let over = "not held any more";
    eventually("the hold is over", Duration::from_mins(2), || {
        checkd.talk().contains(over).then_some(())
    });
    let before = restarts(checkd, &paths).len();
    let wedge = shop.wedge(|| look(checkd, "deadlock"));
    wait_healthy(checkd, Duration::from_mins(3));
    look(checkd, "after");
    assert_eq!(
        restarts(checkd, &paths).len() - before,
        usize::from(MEMBERS),
        "each of them needs one restart, and one is enough:\n{}",
        checkd.talk()
    );
    assert_eq!(wedge.restarts, usize::from(MEMBERS), "so say the members");
    assert!(
        wedge.most_down <= MAX_OUT,
        "{} were down by our hand at once:\n{}",
        wedge.most_down,
        checkd.talk()
    );
    Report { outage, wedge }
}

fn under_supervisord(times: Times) -> Report {
    let shop = Shop::open(Checkd::prepare(""));
    let _supervisord = supervisors::supervisord(&shop.place, times);
    shop.wait_well();
    Report {
        outage: shop.outage(times, || (), |_| ()),
        wedge: shop.wedge(|| ()),
    }
}

/// Waits until checkd calls all members healthy.
fn wait_healthy(checkd: &Checkd, limit: Duration) {
    eventually("checkd finds all members healthy", limit, || {
        let status = checkd.status()?;
        let members = status["groups"][0]["members"].as_array()?;
        members
            .iter()
            .all(|it| it["health"] == "healthy")
            .then_some(())
    });
}

/// Why each restart so far was made, by the journal.
fn restarts(checkd: &Checkd, paths: &[String]) -> Vec<String> {
    let acts = paths.iter().flat_map(|path| checkd.acts(path));
    acts.filter(|(act, _)| act == "restart")
        .map(|(_, why)| why)
        .collect()
}

/// Keeps what a person sees just now in target/outage, beside the table.
fn look(checkd: &Checkd, when: &str) {
    let mut text = checkd.talk();
    for verb in [
        &["status"][..],
        &["explain", "shop/shop-3"],
        &["history", "shop/shop-3"],
    ] {
        let output = checkd
            .verb(verb)
            .env("COLUMNS", "80")
            .output()
            .expect("checkd starts");
        let shown = String::from_utf8_lossy(&output.stdout);
        text += &format!("$ checkd {}\n{shown}", verb.join(" "));
    }
    keep(&format!("{when}.txt"), &text);
}

fn keep(name: &str, text: &str) {
    let directory = root().join("target/outage");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join(name), text).expect("it is written");
}

/// Both, side by side, as the documentation shows it.
fn table(times: Times, ours: &Report, theirs: &Report) -> String {
    let row = |what: &str, of: &dyn Fn(&Report) -> String| {
        format!("| {what} | {} | {} |\n", of(ours), of(theirs))
    };
    let seconds = |span: Duration| format!("{:.0} s", span.as_secs_f64());
    [
        "| | checkd | supervisord with supervisor_checks |\n|---|---|---|\n".to_owned(),
        row(
            &format!("Redis away for {} s: restarts", times.outage),
            &|it| it.outage.restarts.to_string(),
        ),
        row("down at once by the supervisor's hand, at most", &|it| {
            it.outage.most_down.to_string()
        }),
        row("all answer so long after its return", &|it| {
            seconds(it.outage.well_after)
        }),
        row("all eight deadlocked: restarts", &|it| {
            it.wedge.restarts.to_string()
        }),
        row("down at once by the supervisor's hand, at most", &|it| {
            it.wedge.most_down.to_string()
        }),
        row("all answer so long after the fault", &|it| {
            seconds(it.wedge.well_after)
        }),
    ]
    .concat()
}
