//! Whatever a plugin says becomes a sample and facts that core may rely on.

use serde_json::json;

use super::*;

fn when() -> When {
    When {
        at: Instant(1_000),
        took: Span(5),
        generation: None,
    }
}

fn told(text: Value) -> (Sample, Option<String>) {
    sample(serde_json::from_value(text).unwrap(), when())
}

#[test]
fn a_cause_goes_with_its_status() {
    for (status, cause, kept, faulty) in [
        ("pass", None, None, false),
        ("pass", Some("wrong"), None, true),
        ("fail", Some("refused"), Some(Cause::Refused), false),
        ("fail", None, Some(Cause::Wrong), false),
        ("fail", Some("crashed"), Some(Cause::Wrong), true),
        ("fail", Some("bored"), Some(Cause::Wrong), true),
        ("warn", Some("stale"), Some(Cause::Stale), false),
        (
            "unknown",
            Some("no_permission"),
            Some(Cause::NoPermission),
            false,
        ),
        ("unknown", Some("timeout"), Some(Cause::Misconfigured), true),
        ("unknown", None, Some(Cause::Misconfigured), false),
    ] {
        let (sample, fault) = told(json!({ "status": status, "cause": cause }));
        assert_eq!(sample.status.as_str(), status);
        assert_eq!(
            (sample.cause, fault.is_some()),
            (kept, faulty),
            "{status} {cause:?}"
        );
    }
}

#[test]
fn a_status_that_is_none_is_unknown() {
    for status in ["", "PASS", "ok", "0"] {
        let (sample, fault) = told(json!({ "status": status }));
        assert_eq!(
            (sample.status, sample.cause),
            (Status::Unknown, Some(Cause::Crashed))
        );
        assert!(fault.is_some());
    }
}

#[test]
fn numbers_that_are_none_and_names_that_are_none_are_dropped() {
    let (sample, fault) = told(json!({
        "status": "pass",
        "measurements": [
            { "name": "rss", "value": 12, "unit": "B", "limit": 20 },
            { "name": "nan", "value": null },
            { "name": "Bad Name", "value": 1 },
            { "name": "unit", "value": 1, "unit": "\n" },
        ],
    }));
    let names: Vec<&str> = sample.measurements.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["rss"]);
    assert_eq!(fault.as_deref(), Some("3 of 4 measurements dropped"));
}

#[test]
fn a_flood_is_cut() {
    let many: Vec<Value> = (0..500)
        .map(|_| json!({ "name": "a", "value": 1 }))
        .collect();
    let text = json!({ "status": "fail", "message": "x\n".repeat(100_000), "measurements": many });
    let (sample, _) = told(text);
    assert_eq!(sample.measurements.len(), MEASUREMENTS_MAX);
    assert!(sample.message.len() <= TEXT_MAX && !sample.message.contains('\n'));
}

#[test]
fn a_kind_that_cannot_be_used_says_why() {
    let kind = |kind: &str, scope: &str, options: Value| KindText {
        kind: kind.into(),
        scope: scope.into(),
        options,
        ..KindText::default()
    };
    assert!(facts(&kind("demo", "", Value::Null), "x").is_ok());
    assert!(
        facts(
            &kind("demo", "host", json!({ "properties": { "a": {} } })),
            "x"
        )
        .is_ok()
    );
    for (text, why) in [
        (kind("Demo", "", Value::Null), "is not named"),
        (kind("", "", Value::Null), "is not named"),
        (
            kind("demo", "world", Value::Null),
            "allowed: process, host, dependency",
        ),
        (kind("demo", "", json!([])), "no JSON Schema"),
        (
            kind("demo", "", json!({ "properties": 3 })),
            "no JSON Schema",
        ),
        (
            kind("demo", "", json!({ "properties": { "timeout": {} } })),
            "an option `timeout`",
        ),
    ] {
        let told = facts(&text, "x").unwrap_err();
        assert!(told.contains(why), "{told}");
    }
}
