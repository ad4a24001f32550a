//! What an author writes, and what checkd sees of it: the public surface from outside.

use std::time::{Duration, Instant};

use checkd_plugin_api::host::{self, BlockingPool, Live, Registration, Request};
use checkd_plugin_api::{Cause, Context, Sample, Scope, Status};

fn find(kind: &str) -> &'static Registration {
    host::registered()
        .find(|r| r.descriptor().kind == kind)
        .unwrap()
}

fn runs(kind: &str, options: &str, timeout: Duration, times: usize) -> Vec<(Sample, Duration)> {
    let pool = BlockingPool::new(4, 4);
    let mut live = Live::configure(find(kind), options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    (0..times)
        .map(|_| {
            let request = Request {
                group: "shop".to_owned(),
                ..Request::default()
            };
            let begin = Instant::now();
            let sample = runtime.block_on(live.run(&Context::new(request, timeout), &pool));
            (sample, begin.elapsed())
        })
        .collect()
}

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_mins(1);

#[test]
fn a_check_is_known_by_its_facts() {
    let facts = host::describe("plugin", "1.2.3");
    let kinds: Vec<&str> = facts.kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(kinds, ["awaited", "holding"]);
    let awaited = &facts.kinds[0];
    assert_eq!(awaited.scope, Scope::Host);
    assert!(!awaited.blocking && facts.kinds[1].blocking);
    assert_eq!(awaited.options["properties"]["space"]["default"], "1MiB");
    assert_eq!(
        awaited.options["properties"]["space"]["description"],
        "A limit."
    );
    assert_eq!(awaited.options["additionalProperties"], false);
    // Whole in itself, so that it can be put into the schema of a whole configuration.
    let text = awaited.options.to_string();
    assert!(!text.contains("\"$"), "{text}");
    assert!(awaited.package.starts_with("checkd-plugin-api 1."));
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(
        serde_json::from_str::<host::PluginFacts>(&json).unwrap(),
        facts
    );
}

#[test]
fn memory_lives_in_the_instance() {
    for kind in ["awaited", "holding"] {
        let runs = runs(kind, r#"{"mode": "count"}"#, LONG, 3);
        let counts: Vec<f64> = runs.iter().map(|(s, _)| s.measurements[0].value).collect();
        assert_eq!(counts, [1.0, 2.0, 3.0], "{kind}");
    }
}

#[test]
fn a_panic_is_unknown_and_says_what_it_said() {
    for kind in ["awaited", "holding"] {
        for (sample, _) in runs(kind, r#"{"mode": "panic"}"#, LONG, 2) {
            assert_eq!(
                (sample.status, sample.cause),
                (Status::Unknown, Some(Cause::Crashed))
            );
            assert_eq!(sample.message, "the check panicked: no shop");
        }
    }
}

#[test]
fn a_silent_target_is_a_fail_however_naive_the_check() {
    for kind in ["awaited", "holding"] {
        for (sample, took) in runs(kind, r#"{"mode": "wait"}"#, SHORT, 2) {
            assert_eq!(
                sample,
                Sample::fail(Cause::Timeout, "no answer within 150ms"),
                "{kind}"
            );
            assert!(took >= SHORT, "{kind}: {took:?}");
        }
    }
}

#[test]
fn a_check_that_is_busy_with_itself_is_never_a_fail() {
    for mode in ["spin", "sleep"] {
        for (sample, took) in runs("holding", &format!(r#"{{"mode": "{mode}"}}"#), SHORT, 1) {
            assert_eq!(
                (sample.status, sample.cause),
                (Status::Unknown, Some(Cause::Overran))
            );
            assert!(took >= SHORT + Duration::from_secs(1), "{mode}: {took:?}");
        }
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let options =
        r#"{"spce": "1MiB", "port": 0, "wait": 30, "share": "half", "token": 5, "mode": "x"}"#;
    let problems = find("awaited").configure(options).map(|_| ()).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "`spce`: unknown option; options: `mode`, `port`, `share`, `space`, `token`, `wait` \
             (did you mean `space`?)",
            "`mode`: unknown variant `x`, expected one of `count`, `wait`, `ask`, `hold`, `panic`, `spin`, `sleep`",
            "`port`: `0` is no port: 1 to 65535",
            "`share`: `half` is no share: write it like `\"25%\"`",
            "`token`: invalid type: integer `5`, expected `{ file = … }` or `{ env = … }`",
            "`wait`: `30` has no unit: write `\"30s\"` for seconds or `\"30ms\"`",
        ]
    );
    for (options, told) in [
        ("{}", "`mode`: is required"),
        (
            "[]",
            "the options are no table: invalid type: sequence, expected a map at line 1 column 0",
        ),
        (
            r#"{"mode": "count", "share": "5%", "token": ""}"#,
            "`share`: needs `wait`; `token`: is empty",
        ),
    ] {
        let problems = find("awaited").configure(options).map(|_| ()).unwrap_err();
        assert_eq!(problems.to_string(), told);
    }
}
