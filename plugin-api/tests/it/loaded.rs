//! The same checks, loaded from a shared library and called as a host calls them.

use std::time::{Duration, Instant};

use checkd_abi::VERSION;
use checkd_plugin_api::host::PluginFacts;
use checkd_plugin_api::{Cause, Sample, Status};

use crate::door::{Loaded, load};

const KINDS: [&str; 2] = ["awaited", "holding"];
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_mins(1);

#[test]
fn it_describes_itself() {
    let facts = (load().describe())();
    let facts: PluginFacts = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts.name, "checkd-plugin-api");
    assert_eq!(
        facts
            .kinds
            .iter()
            .map(|k| k.kind.as_str())
            .collect::<Vec<_>>(),
        KINDS
    );
    assert_eq!(load().version().as_str(), VERSION);
}

#[test]
fn it_answers_each_run_once() {
    let loaded = Loaded::new();
    for kind in KINDS {
        let instance = loaded.configure(kind, "count");
        for n in 1..=3_u32 {
            loaded.submit(instance, u64::from(n), LONG);
            let (from, run, sample) = loaded.answer();
            assert_eq!(
                (from, run, sample.status),
                (instance, n.into(), Status::Pass)
            );
            assert!(
                (sample.measurements[0].value - f64::from(n)).abs() < 0.1,
                "{kind}"
            );
        }
        (loaded.plugin.release())(instance);
        loaded.submit(instance, 9, LONG);
    }
    assert_eq!(loaded.more(), None);
}

#[test]
fn mistakes_come_back_as_problems() {
    let loaded = Loaded::new();
    let problems = loaded.try_configure("awaited", r#"{"mode": "count", "port": 0, "a": 1}"#);
    let options: Vec<String> = problems
        .unwrap_err()
        .into_iter()
        .map(|problem| problem.option)
        .collect();
    assert_eq!(options, ["a", "port"]);
    let problems = loaded.try_configure("holding", "{").unwrap_err();
    assert!(
        problems.to_string().starts_with("the options are no table"),
        "{problems}"
    );
    let problems = loaded.try_configure("other", "{}").unwrap_err();
    assert_eq!(problems.to_string(), "the plugin has no kind `other`");
    let instance = loaded.configure("awaited", "count");
    (loaded.plugin.submit())(instance, 1, "no json".into(), 1_000);
    let (_, _, sample) = loaded.answer();
    assert_eq!(sample.cause, Some(Cause::Misconfigured), "{sample:?}");
}

#[test]
fn a_panic_costs_one_run() {
    let loaded = Loaded::new();
    for kind in KINDS {
        let instance = loaded.configure(kind, "panic");
        for run in 0..3 {
            loaded.submit(instance, run, LONG);
            let (_, _, sample) = loaded.answer();
            assert_eq!(
                sample,
                Sample::unknown(Cause::Crashed, "the check panicked: no shop")
            );
        }
    }
    assert_eq!(loaded.more(), None);
}

#[test]
fn a_silent_target_is_a_fail_however_naive_the_check() {
    let loaded = Loaded::new();
    for kind in KINDS {
        let instance = loaded.configure(kind, "wait");
        for run in 0..2 {
            let begin = Instant::now();
            loaded.submit(instance, run, SHORT);
            let (_, _, sample) = loaded.answer();
            assert_eq!(
                sample,
                Sample::fail(Cause::Timeout, "no answer within 150ms")
            );
            assert!(begin.elapsed() >= SHORT, "{kind}");
        }
    }
}

#[test]
fn a_check_that_is_busy_with_itself_is_never_a_fail() {
    let loaded = Loaded::new();
    let instance = loaded.configure("holding", "spin");
    loaded.submit(instance, 1, SHORT);
    let (_, _, sample) = loaded.answer();
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Unknown, Some(Cause::Overran))
    );
    assert_eq!(loaded.more(), None);
}

#[test]
fn one_run_at_a_time_and_a_cancel_makes_room() {
    let loaded = Loaded::new();
    for kind in KINDS {
        let instance = loaded.configure(kind, "wait");
        loaded.submit(instance, 1, LONG);
        loaded.submit(instance, 2, LONG);
        let (_, run, sample) = loaded.answer();
        assert_eq!(
            (run, sample.cause),
            (2, Some(Cause::Overran)),
            "{kind}: {sample:?}"
        );
        (loaded.plugin.cancel())(instance, 7);
        (loaded.plugin.cancel())(instance, 1);
        let (_, run, sample) = loaded.answer();
        assert_eq!(
            (run, sample),
            (1, Sample::unknown(Cause::Overran, "the run was cancelled"))
        );
        loaded.submit(instance, 3, SHORT);
        let (_, run, sample) = loaded.answer();
        assert_eq!((run, sample.status), (3, Status::Fail), "{kind}");
        loaded.submit(instance, 4, LONG);
        (loaded.plugin.release())(instance);
        assert_eq!(loaded.answer().1, 4);
    }
    assert_eq!(loaded.more(), None);
}

/// The compiler of a plugin, on the tests' plugin; what it says.
fn compile(strategy: &str) -> std::process::Output {
    let tests = std::env::current_exe().unwrap();
    let libraries = tests.parent().unwrap();
    // Cargo may have left several of them; the newest is the one that these tests are linked with.
    let newest = std::fs::read_dir(libraries)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let ours = name.starts_with("libcheckd_plugin_api-")
                && path.extension().is_some_and(|end| end == "rlib");
            Some((path.metadata().ok()?.modified().ok()?, path.clone())).filter(|_| ours)
        })
        .max();
    let (_, library) = newest.unwrap();
    // Not /dev/null: the compiler renames its output into place, and root may replace a device.
    let output = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::process::Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .arg("-o")
        .arg(output.join(format!("bare-{strategy}.rmeta")))
        .arg(format!("-Cpanic={strategy}"))
        .arg(format!("-Ldependency={}", libraries.display()))
        .arg(format!("--extern=checkd_plugin_api={}", library.display()))
        .arg("-")
        .env("CARGO_PKG_NAME", "acme")
        .env("CARGO_PKG_VERSION", "1.0.0")
        .stdin(
            std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/bare.rs")).unwrap(),
        )
        .output()
        .unwrap()
}

#[test]
fn a_plugin_that_aborts_on_panic_does_not_compile() {
    let abort = compile("abort");
    let told = String::from_utf8_lossy(&abort.stderr);
    assert!(!abort.status.success(), "{told}");
    assert!(
        told.contains("must not be built with `panic = \"abort\"`"),
        "{told}"
    );
    let unwind = compile("unwind");
    assert!(
        unwind.status.success(),
        "{}",
        String::from_utf8_lossy(&unwind.stderr)
    );
}
