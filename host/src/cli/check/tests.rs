//! What a person types becomes options; what a run says becomes a line.

use checkd_core::{Cause, Instant, Measurement, Span};
use serde_json::json;

use super::*;

#[test]
fn options_are_toml_where_they_are_toml() {
    let sets = [
        "port=80",
        "url=http://[::1]:80/a?b=c",
        "max_rss=512MiB",
        "cumulative=true",
        "status=[200, 204]",
        "password={ env = \"PW\" }",
        "headers.Host=example",
        "headers.X-A = 1",
        "text=\"80\"",
        "empty=",
    ];
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    assert_eq!(
        Value::Object(options(&sets).unwrap()),
        json!({
            "port": 80,
            "url": "http://[::1]:80/a?b=c",
            "max_rss": "512MiB",
            "cumulative": true,
            "status": [200, 204],
            "password": { "env": "PW" },
            "headers": { "Host": "example", "X-A": 1 },
            "text": "80",
            "empty": "",
        })
    );
    for wrong in ["port", "=80", "a..b=1"] {
        assert!(options(&[wrong.into()]).is_err(), "{wrong}");
    }
}

#[test]
fn a_line_is_a_monitoring_plugins() {
    let measured = |name: &str, value: f64, unit: &str, limit: Option<f64>| Measurement {
        name: name.into(),
        value,
        unit: unit.into(),
        limit,
    };
    let sample = Sample {
        status: Status::Fail,
        cause: Some(Cause::Wrong),
        message: "a|b\nc".into(),
        measurements: vec![
            measured("rss", 1234.0, "B", Some(512.5)),
            measured("files", 3.0, "files", None),
        ],
        at: Instant(1),
        took: Span(2),
        generation: None,
    };
    let kind = CheckKind::new("memory").unwrap();
    assert_eq!(
        line(&kind, &sample),
        "MEMORY CRITICAL: a/b c | rss=1234B;;512.5 files=3"
    );
}

#[test]
fn a_refusal_shows_what_the_kind_suggests() {
    let kind = CheckKind::new("tcp").unwrap();
    let suggested = |option: &str, help: &str| Problem {
        help: Some(help.into()),
        ..Problem::of(option, "is no option")
    };
    let one = refused(&kind, &[suggested("prot", "did you mean `port`?")]);
    assert_eq!(one.help.as_deref(), Some("did you mean `port`?"));
    assert_eq!(
        one.notes,
        [
            "`prot`: is no option",
            "`checkd kinds tcp` shows its options"
        ]
    );
    let two = [
        suggested("prot", "did you mean `port`?"),
        Problem::of("host", "is missing"),
    ];
    let two = refused(&kind, &two);
    assert_eq!(
        two.notes,
        [
            "`prot`: is no option (did you mean `port`?)",
            "`host`: is missing"
        ]
    );
    assert_eq!(
        two.help.as_deref(),
        Some("`checkd kinds tcp` shows its options")
    );
}
