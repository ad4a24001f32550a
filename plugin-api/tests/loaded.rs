//! The same checks, loaded from a shared library and called as a host calls them.

#![expect(unsafe_code, reason = "a shared library is opened here")]

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use abi_stable::library::AbiHeaderRef;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::std_types::RStr;
use checkd_abi::{Host, HostRef, PluginRef, ROOT_SYMBOL, VERSION};
use checkd_plugin_api::host::{Configured, PluginFacts};
use checkd_plugin_api::{Cause, Problems, Sample, Status};

fn load() -> PluginRef {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(std::path::Path::parent).unwrap();
    let path = target.join("examples/libtested_plugin.so");
    // SAFETY: our own library, which no test overwrites.
    let header = unsafe {
        let library = libloading::Library::new(path.to_str().unwrap()).unwrap();
        let header = *library.get::<AbiHeaderRef>(ROOT_SYMBOL.as_bytes()).unwrap();
        std::mem::forget(library);
        header
    };
    checkd_abi::root(header.upgrade().unwrap()).unwrap()
}

type Seen = (u64, u64, Sample);

extern "C" fn sink(user: usize, instance: u64, run: u64, sample: RStr<'_>) {
    // SAFETY: `user` is the sender that `Loaded` leaked.
    let sender = unsafe { &*(user as *const Sender<Seen>) };
    sender
        .send((
            instance,
            run,
            serde_json::from_str(sample.as_str()).unwrap(),
        ))
        .ok();
}

const TABLE: &WithMetadata<Host> = &WithMetadata::new(Host {
    version: RStr::from_str(VERSION),
    sink,
});
const HOST: HostRef = HostRef(TABLE.static_as_prefix());

struct Loaded {
    plugin: PluginRef,
    user: usize,
    seen: Receiver<Seen>,
}

const SOON: Duration = Duration::from_secs(20);

impl Loaded {
    fn new() -> Self {
        let (sender, seen) = channel::<Seen>();
        let user = std::ptr::from_ref(Box::leak(Box::new(sender))) as usize;
        Self {
            plugin: load(),
            user,
            seen,
        }
    }
    fn try_configure(&self, kind: &str, options: &str) -> Result<u64, Problems> {
        let reply = (self.plugin.configure())(kind.into(), options.into(), HOST, self.user);
        match serde_json::from_str(&reply).unwrap() {
            Configured::Instance(number) => Ok(number),
            Configured::Problems(problems) => Err(problems),
        }
    }
    fn configure(&self, kind: &str, mode: &str) -> u64 {
        self.try_configure(kind, &format!(r#"{{"mode": "{mode}"}}"#))
            .unwrap()
    }
    fn submit(&self, instance: u64, run: u64, timeout: Duration) {
        let timeout = u64::try_from(timeout.as_millis()).unwrap();
        (self.plugin.submit())(instance, run, r#"{"group": "shop"}"#.into(), timeout);
    }
    fn answer(&self) -> Seen {
        self.seen.recv_timeout(SOON).unwrap()
    }
    /// That every sender of an answer is gone would end the wait at once; they are not, so this is
    /// a short look.
    fn nothing_more(&self) {
        let more = self.seen.recv_timeout(Duration::from_millis(50));
        assert_eq!(more, Err(RecvTimeoutError::Timeout));
    }
}

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
    loaded.nothing_more();
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
    loaded.nothing_more();
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
    loaded.nothing_more();
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
    loaded.nothing_more();
}
