//! Plugins that break, through a worker of the host: each run is Unknown with its reason, and other
//! checks of the very same plugin go on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use checkd_core::{Cause, CheckKind, Sample, Status};
use checkd_host::plugin::{Catalog, Target};
use checkd_host::runner::{Hand, Held};
use checkd_tests::{alive, checkd_binary, eventually, library};
use serde_json::{Map, Value, json};

const LIMIT: Duration = Duration::from_millis(400);

fn hostile(isolation: Isolation) -> PluginPlan {
    let path = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    PluginPlan {
        name: "hostile".to_owned(),
        source: PluginSource::Library(path.to_string_lossy().into_owned()),
        sha256: None,
        isolation,
        confine: ConfinePlan::default(),
    }
}

fn hand(isolation: Isolation) -> Hand {
    let (catalog, told) = Catalog::open_with(checkd_binary(), &[hostile(isolation)], &[]);
    assert_eq!(told, []);
    Hand::new(Arc::new(catalog)).expect("there are threads")
}

fn hold(hand: &Hand, kind: &str, options: Value) -> Held {
    let Value::Object(options) = options else {
        panic!("options are a table")
    };
    let kind = CheckKind::new(kind).expect("a kind's name");
    hand.hold(&kind, options, Target::default())
        .unwrap_or_else(|| panic!("nobody offers `{kind}`"))
}

#[track_caller]
fn says(sample: &Sample, status: Status, cause: Option<Cause>, word: &str) {
    assert_eq!((sample.status, sample.cause), (status, cause), "{sample:?}");
    assert!(sample.message.contains(word), "{sample:?}");
}

#[test]
fn each_way_to_break_is_unknown_with_its_reason_and_the_next_check_passes() {
    let hand = hand(Isolation::Process);
    let mut other = hold(&hand, "hostile_print", json!({}));
    for (kind, cause, word) in [
        ("hostile_panic", Cause::Crashed, "hostile on purpose"),
        ("hostile_segfault", Cause::Crashed, "SIGSEGV"),
        ("hostile_overflow", Cause::Crashed, "SIG"),
        ("hostile_exit", Cause::Crashed, "exited with code 3"),
        ("hostile_loop", Cause::Overran, "400ms"),
        ("hostile_async_loop", Cause::Overran, "400ms"),
    ] {
        let sample = hold(&hand, kind, json!({})).run(LIMIT);
        says(&sample, Status::Unknown, Some(cause), word);
        // It prints what looks like the protocol, which is nobody's sample.
        says(&other.run(LIMIT * 5), Status::Pass, None, "printed a lot");
    }
}

#[test]
fn a_check_that_loops_again_and_again_is_held_back_and_burns_no_processor() {
    let hand = hand(Isolation::Process);
    let mut looping = hold(&hand, "hostile_loop", json!({}));
    for _ in 0..2 {
        says(
            &looping.run(LIMIT),
            Status::Unknown,
            Some(Cause::Overran),
            "400ms",
        );
        // The run after an overrun gets a new worker once the old one was found to hang.
        std::thread::sleep(Duration::from_millis(1_200));
    }
    let held = looping.run(LIMIT);
    says(&held, Status::Unknown, Some(Cause::Overran), "held back");
    assert!(held.took.as_duration() < LIMIT, "it was run: {held:?}");
}

#[test]
fn a_naive_check_of_a_silent_target_fails_through_both_doors_of_a_library() {
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = silent.local_addr().expect("it has an address").port();
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let hand = hand(isolation);
        let mut naive = hold(&hand, "hostile_naive", json!({ "port": port }));
        for _ in 0..2 {
            let sample = naive.run(LIMIT);
            says(&sample, Status::Fail, Some(Cause::Timeout), "400ms");
        }
    }
}

#[test]
fn a_panic_in_process_costs_one_run() {
    let hand = hand(Isolation::InProcess);
    for _ in 0..2 {
        let sample = hold(&hand, "hostile_panic", json!({})).run(LIMIT);
        says(
            &sample,
            Status::Unknown,
            Some(Cause::Crashed),
            "hostile on purpose",
        );
    }
    // Nobody listens there: the port was ours a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("there is a port")
        .port();
    let refused = hold(&hand, "hostile_naive", json!({ "port": port })).run(LIMIT);
    says(&refused, Status::Fail, Some(Cause::Refused), "refused");
}

#[test]
fn a_pin_that_does_not_fit_keeps_the_plugin_out() {
    let plugin = PluginPlan {
        sha256: Some("5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef".to_owned()),
        ..hostile(Isolation::Process)
    };
    let (catalog, told) = Catalog::open_with(checkd_binary(), &[plugin], &[]);
    let codes: Vec<&str> = told.iter().map(|told| told.code).collect();
    assert_eq!(codes, ["C0210"]);
    assert_eq!(catalog.unavailable().len(), 1);
    assert!(
        catalog
            .kinds()
            .contains_key(&CheckKind::new("http").expect("a name"))
    );
}

#[test]
fn a_plugin_that_comes_later_is_found_when_it_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("libhostile.so");
    let plugin = PluginPlan {
        source: PluginSource::Library(path.to_string_lossy().into_owned()),
        ..hostile(Isolation::Process)
    };
    let (catalog, told) = Catalog::open_with(checkd_binary(), &[plugin], &[]);
    assert_eq!(told.len(), 1);
    let catalog = Arc::new(catalog);
    let hand = Hand::new(Arc::clone(&catalog)).expect("there are threads");
    let kind = CheckKind::new("hostile_print").expect("a name");
    assert!(hand.hold(&kind, Map::new(), Target::default()).is_none());
    let built = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    std::fs::copy(built, &path).expect("it is copied");
    catalog.try_again();
    let mut held = hand
        .hold(&kind, Map::new(), Target::default())
        .expect("it is offered now");
    says(&held.run(LIMIT * 5), Status::Pass, None, "printed a lot");
}

#[test]
fn a_worker_dies_with_its_host_also_while_its_plugin_loops() {
    // The host is this command; it is killed while the plugin's configure thread and runs go on.
    let plugin = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    let mut host = Command::new(checkd_binary())
        .args(["check", "hostile_async_loop", "--timeout", "1h", "--plugin"])
        .arg(&plugin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("checkd starts");
    let worker = eventually(
        "a worker burns the processor",
        Duration::from_secs(20),
        || {
            // Between them is the worker's guard.
            let guards = children_of(host.id()).into_iter();
            guards.flat_map(children_of).find(|&pid| runs(pid))
        },
    );
    host.kill().expect("it is killed");
    host.wait().expect("it has ended");
    eventually("the worker is gone", Duration::from_secs(20), || {
        (!Path::new(&format!("/proc/{worker}")).exists()).then_some(())
    });
}

#[test]
fn what_a_plugin_leaves_behind_ends_with_its_worker() {
    // Ended by us, and by itself.
    for crashes in [false, true] {
        let hand = hand(Isolation::Process);
        let forked = hold(&hand, "hostile_fork", json!({})).run(LIMIT * 5);
        says(&forked, Status::Pass, None, " ");
        let threads = hold(&hand, "hostile_threads", json!({})).run(LIMIT * 5);
        says(&threads, Status::Pass, None, "");
        let mut left: Vec<u32> = forked
            .message
            .split(' ')
            .map(|pid| pid.parse().expect("a pid"))
            .collect();
        assert!(left.iter().all(|&pid| alive(pid)), "{left:?}");
        left.push(threads.message.parse().expect("a pid"));
        assert_eq!(left.first(), left.last(), "both are in one worker");
        if crashes {
            let sample = hold(&hand, "hostile_exit", json!({})).run(LIMIT * 5);
            says(&sample, Status::Unknown, Some(Cause::Crashed), "code 3");
        } else {
            drop(hand);
        }
        eventually("nothing is left", Duration::from_secs(20), || {
            left.iter().all(|&pid| !alive(pid)).then_some(())
        });
    }
}

#[test]
fn what_a_plugin_leaves_behind_ends_with_its_killed_host() {
    let plugin = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    let mut host = Command::new(checkd_binary())
        .args(["check", "hostile_fork_loop", "--timeout", "1h", "--plugin"])
        .arg(&plugin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("checkd starts");
    let left = eventually("a process is left", Duration::from_secs(20), || {
        let guard = children_of(host.id()).into_iter().next()?;
        let worker = children_of(guard).into_iter().next()?;
        let child = children_of(worker).into_iter().next()?;
        Some([guard, worker, child])
    });
    host.kill().expect("it is killed");
    host.wait().expect("it has ended");
    eventually("both are gone", Duration::from_secs(20), || {
        left.iter().all(|&pid| !alive(pid)).then_some(())
    });
}

/// The children of a process, of all its threads.
fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let lists = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Whether one of its threads has used a noticeable time of the processor: it loops.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let ticks = behind
        .split_whitespace()
        .nth(11)
        .and_then(|ticks| ticks.parse::<u64>().ok());
    ticks.is_some_and(|ticks| ticks >= 20)
}

#[test]
fn a_library_that_is_overwritten_goes_on_as_it_was_described() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("libhostile.so");
    let built = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    std::fs::copy(built, &path).expect("it is copied");
    let plugin = PluginPlan {
        source: PluginSource::Library(path.to_string_lossy().into_owned()),
        ..hostile(Isolation::Process)
    };
    let (catalog, told) = Catalog::open_with(checkd_binary(), &[plugin], &[]);
    assert_eq!(told, []);
    let hand = Hand::new(Arc::new(catalog)).expect("there are threads");
    let mut prints = hold(&hand, "hostile_print", json!({}));
    says(&prints.run(LIMIT * 5), Status::Pass, None, "printed");
    std::fs::write(&path, b"no library any more").expect("it is overwritten");
    says(&prints.run(LIMIT * 5), Status::Pass, None, "printed");
    // A new worker gets the same library.
    says(
        &hold(&hand, "hostile_exit", json!({})).run(LIMIT * 5),
        Status::Unknown,
        Some(Cause::Crashed),
        "exited with code 3",
    );
    says(&prints.run(LIMIT * 5), Status::Pass, None, "printed");
}
