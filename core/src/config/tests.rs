//! Units, places inside values, placeholders, and what a document means. Documents are written as
//! JSON here: the forms of TOML and the exact words are tested from outside, in `tests/errors`.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value as Json, json};

use super::placeholder::{Piece, Placeholder, fill, pieces};
use super::units::{exact, limit, n_of_m, percent, size, span};
use super::{
    Changed, Document, KindFacts, Kinds, Node, Source, Table, UnknownKinds, Value, changed,
    defaults, plugins, read,
};
use crate::diagnostic::{Place, Severity};
use crate::plan::{Backoff, Limit, Plan, PluginSource, PolicyPlan, Scope};
use crate::{CheckKind, Span};

// ------------------------------------------------------------------------------- one value

#[test]
fn spans() {
    for (text, expected) in [
        ("0s", Some(0)),
        ("400ms", Some(400)),
        ("1.5s", Some(1_500)),
        ("0.001s", Some(1)),
        ("30s", Some(30_000)),
        ("2m30s", Some(150_000)),
        ("1h", Some(3_600_000)),
        ("7d", Some(604_800_000)),
        ("1d2h3m4s5ms", Some(93_784_005)),
        ("", None),
        ("30", None),
        ("s", None),
        ("-1s", None),
        ("1 s", None),
        ("30s ", None),
        ("30S", None),
        ("30sec", None),
        ("30s2m", None),
        ("1s1s", None),
        ("1.s", None),
        (".5s", None),
        ("0.0001s", None),
        ("0.5ms", None),
        ("99999999999d", None),
        ("99999999999999999999s", None),
        ("4000d", None),
    ] {
        assert_eq!(span(text), expected.map(Span), "{text}");
    }
}

#[test]
fn sizes_and_their_kin() {
    for (text, expected) in [
        ("0B", Some(0)),
        ("1kB", Some(1_000)),
        ("1KiB", Some(1_024)),
        ("512MiB", Some(512 << 20)),
        ("1.5GiB", Some(3 << 29)),
        ("2GB", Some(2_000_000_000)),
        ("512", None),
        ("512mib", None),
        ("512M", None),
        ("0.0005B", None),
        ("99999999999999TiB", None),
    ] {
        assert_eq!(size(text), expected, "{text}");
    }
    assert_eq!(percent("25%"), Some(25));
    assert_eq!(percent("101%"), None);
    assert_eq!(percent("25"), None);
    assert_eq!(percent("+5%"), None);
    assert_eq!(
        limit("4 in 60m"),
        Some(Limit {
            max: 4,
            window: Span::mins(60)
        })
    );
    assert_eq!(limit("4 per hour"), None);
    assert_eq!(n_of_m("6 of 10").map(|x| (x.n, x.m)), Some((6, 10)));
    assert_eq!(n_of_m("six of ten"), None);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_exact_span_reads_as_itself(millis in 0..=super::units::SPAN_MAX.0) {
        prop_assert_eq!(span(&exact(Span(millis))), Some(Span(millis)));
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "[0-9a-zA-Z.% \\-é]{0,24}") {
        let _ = (span(&text), size(&text), percent(&text), limit(&text), n_of_m(&text));
    }

    /// The pieces of a text are the text, but for doubled braces.
    #[test]
    fn pieces_lose_nothing(text in "[a-z_{}é 0-9]{0,40}|(\\{port\\}|\\{x\\}|a|\\{)*") {
        prop_assume!(!text.contains("{{"));
        let mut whole = String::new();
        for piece in pieces(&text) {
            match piece {
                Piece::Text(part) => whole.push_str(part),
                Piece::Placeholder(_, range) | Piece::Unknown(_, range) => {
                    whole.push_str(text.get(range).expect("inside"));
                }
            }
        }
        prop_assert_eq!(whole, text);
    }
}

#[test]
fn placeholders_are_filled_and_other_braces_stay() {
    let value = |asked| match asked {
        Placeholder::Port => Some("8101".to_owned()),
        Placeholder::Member => Some("web-1".to_owned()),
        Placeholder::Group | Placeholder::Index | Placeholder::Pid => None,
    };
    for (text, expected) in [
        ("", Ok("")),
        ("plain", Ok("plain")),
        ("127.0.0.1:{port}", Ok("127.0.0.1:8101")),
        ("{port}{member}", Ok("8101web-1")),
        ("{{port}}", Ok("{port}")),
        ("a{{port}}b{port}", Ok("a{port}b8101")),
        ("{\"a\": {\"b\": 1}}", Ok("{\"a\": {\"b\": 1}}")),
        ("a{2}{", Ok("a{2}{")),
        ("{{", Ok("{{")),
        ("{prot}", Ok("{prot}")),
        ("{pid}", Err(Placeholder::Pid)),
    ] {
        assert_eq!(fill(text, value), expected.map(str::to_owned), "{text}");
    }
}

#[test]
fn a_part_of_a_text_is_found_in_the_file() {
    for (raw, text, part, expected) in [
        ("\"ping and pong\"", "ping and pong", "pong", "pong"),
        ("'ping and pong'", "ping and pong", "pong", "pong"),
        ("\"a\\tb pong\"", "a\tb pong", "pong", "pong"),
        ("\"\\u00e9 \\U0001F600 pong\"", "é 😀 pong", "pong", "pong"),
        ("\"\\x41 pong\"", "A pong", "pong", "pong"),
        ("\"\\\"\\\\ pong\"", "\"\\ pong", "pong", "pong"),
        ("\"p\\u006fng x\"", "pong x", "pong", "p\\u006fng"),
        ("\"\"\"\nping\n  pong\"\"\"", "ping\n  pong", "pong", "pong"),
        ("\"\"\"ping \\\n   pong\"\"\"", "ping pong", "pong", "pong"),
        ("'''\nping pong'''", "ping pong", "pong", "pong"),
        ("ping pong", "ping pong", "pong", "pong"),
    ] {
        let file = format!("live = {raw}\n");
        let node = Node {
            place: Place {
                source: 0,
                start: 7,
                end: u32::try_from(7 + raw.len()).expect("short"),
            },
            value: Value::Text(text.to_owned()),
        };
        let document = Document {
            sources: vec![Source {
                name: "x".to_owned(),
                text: file.clone(),
            }],
            root: Table::default(),
        };
        let at = text.find(part).expect("is there");
        let place = document.within(&node, at..at + part.len());
        let found = file.get(place.start as usize..place.end as usize);
        assert_eq!(found, Some(expected), "{raw}");
    }
}

// ------------------------------------------------------------------------------- documents

fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Table(Table::default()),
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n
            .as_i64()
            .map_or_else(|| Value::Float(n.as_f64().unwrap()), Value::Integer),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(map) => Value::Table(table(map)),
    };
    Node {
        place: Place::default(),
        value,
    }
}

fn table(map: &serde_json::Map<String, Json>) -> Table {
    Table {
        entries: map
            .iter()
            .map(|(k, v)| (k.clone(), Place::default(), node(v)))
            .collect(),
    }
}

fn document(json: &Json) -> Document {
    Document {
        sources: Vec::new(),
        root: table(json.as_object().expect("a table")),
    }
}

fn kinds() -> Kinds {
    let kind = |name: &str, scope, passive, options| {
        let kind = CheckKind::new(name).expect("a name");
        let origin = "built in".to_owned();
        (
            kind.clone(),
            KindFacts {
                kind,
                scope,
                passive,
                options,
                origin,
            },
        )
    };
    Kinds::from([
        kind(
            "free",
            Scope::Process,
            false,
            json!({ "additionalProperties": true }),
        ),
        kind(
            "disk",
            Scope::Host,
            false,
            json!({ "properties": { "path": { "type": "string" } } }),
        ),
        kind("beat", Scope::Process, true, json!({})),
        kind(
            "typed",
            Scope::Process,
            false,
            json!({
                "properties": {
                    "port": { "type": ["integer", "string"] },
                    "wait": { "$ref": "#/$defs/Wait" },
                    "key": { "anyOf": [{ "format": "secret" }, { "type": "null" }] },
                    "mode": { "oneOf": [{ "const": "a" }, { "const": "b" }] },
                    "ratio": { "type": "number", "minimum": 0.0, "maximum": 1.0 },
                    "deep": {
                        "type": "object",
                        "properties": { "in": { "type": "boolean" } },
                        "additionalProperties": false,
                        "required": ["in"],
                    },
                },
                "$defs": { "Wait": { "type": "string", "format": "span" } },
            }),
        ),
    ])
}

fn group(more: &Json) -> Json {
    let mut group = json!({ "command": ["true"], "checks": { "ping": { "kind": "free" } } });
    merge(&mut group, more);
    json!({ "group": { "web": group } })
}

fn merge(into: &mut Json, more: &Json) {
    match (into, more) {
        (Json::Object(into), Json::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn plan(json: &Json) -> Plan {
    let (plan, told) = read(&document(json), &kinds(), UnknownKinds::Refuse);
    plan.unwrap_or_else(|| panic!("{json}: {told:#?}"))
}

fn codes(json: &Json) -> Vec<&'static str> {
    let (plan, told) = read(&document(json), &kinds(), UnknownKinds::Refuse);
    let refused = told.iter().any(|one| one.severity == Severity::Error);
    assert_eq!(
        plan.is_none(),
        refused,
        "a plan is there exactly without errors"
    );
    told.into_iter().map(|one| one.code).collect()
}

#[test]
fn without_a_word_the_defaults_hold() {
    let plan = plan(&group(&json!({ "processes": 8 })));
    let web = &plan.groups[0];
    assert_eq!(web.policy, PolicyPlan::of_defaults(8));
    assert_eq!(web.policy.max_out, 2);
    assert_eq!(web.ready_members, 8);
    assert_eq!(
        web.members.iter().map(|m| m.name.as_str()).next_back(),
        Some("web-7")
    );
    assert_eq!(
        (web.live.text.as_str(), web.ready.text.as_str()),
        ("ping", "ping")
    );
    let ping = &web.checks[0];
    assert_eq!(ping.interval, Span::secs(10));
    assert_eq!(ping.fast_interval, Span::secs(5));
    assert_eq!(ping.timeout, Span::secs(5));
    assert_eq!(ping.freshness, Span::secs(30));
    assert_eq!((ping.fall, ping.ready_fall, ping.rise), (5, 3, 2));
    assert_eq!(ping.min_fail_span, Span::secs(15));
}

#[test]
fn a_check_asks_itself_then_the_policy_then_the_defaults() {
    let mut all = group(&json!({
        "checks": { "a": { "kind": "free", "fall": 2 }, "b": { "kind": "free" } },
        "policy": { "fall": 3 },
    }));
    merge(
        &mut all,
        &json!({
            "defaults": { "fall": 4, "rise": 4, "interval": "4s" },
            "group": { "db": { "command": ["true"], "checks": { "c": { "kind": "free" } } } },
        }),
    );
    let plan = plan(&all);
    let falls: Vec<(&str, u32, u32)> = plan
        .groups
        .iter()
        .flat_map(|group| &group.checks)
        .map(|check| (check.name.as_str(), check.fall, check.rise))
        .collect();
    assert_eq!(
        falls,
        [("c", 4, 4), ("a", 2, 4), ("b", 3, 4), ("ping", 3, 4)]
    );
    assert_eq!(
        plan.groups[0].checks[0].timeout,
        Span::secs(2),
        "half of the interval"
    );
}

#[test]
fn times_follow_each_other() {
    for (check, interval, fast, timeout, fresh) in [
        (json!({ "interval": "1s" }), 1_000, 500, 500, 3_000),
        (json!({ "interval": "60s" }), 60_000, 30_000, 5_000, 180_000),
        (json!({ "timeout": "8s" }), 10_000, 8_000, 8_000, 30_000),
        (json!({ "timeout": "10s" }), 10_000, 10_000, 10_000, 30_000),
        (
            json!({ "fast_interval": "1s" }),
            10_000,
            1_000,
            1_000,
            30_000,
        ),
    ] {
        let plan = plan(&group(&json!({ "checks": { "ping": check } })));
        let ping = &plan.groups[0].checks[0];
        let found = [
            ping.interval,
            ping.fast_interval,
            ping.timeout,
            ping.freshness,
        ];
        assert_eq!(found, [interval, fast, timeout, fresh].map(Span), "{check}");
    }
}

#[test]
fn settle_is_about_the_slowest_check_of_all() {
    let mut all = group(&json!({ "checks": { "ping": { "interval": "60s" } } }));
    merge(
        &mut all,
        &json!({ "group": {
        "db": { "command": ["true"], "checks": { "c": { "kind": "free" } } },
        "own": { "command": ["true"], "policy": { "settle": "1s" } },
    } }),
    );
    let settles: Vec<Span> = plan(&all).groups.iter().map(|g| g.policy.settle).collect();
    assert_eq!(settles, [Span::secs(120), Span::secs(1), Span::secs(120)]);
}

#[test]
fn the_policy_is_taken_over() {
    let plan = plan(&group(&json!({
        "processes": 10,
        "restart": "transient",
        "success_codes": [0, 3],
        "policy": {
            "max_out": "50%", "min_up": "25%", "backoff_base": "2s", "backoff_cap": "20s",
            "confirm_up": "1s", "startup_timeout": "30s", "sick_restarts": "3 in 30m",
        },
    })));
    let policy = &plan.groups[0].policy;
    assert_eq!((policy.max_out, policy.min_up), (5, 3));
    let both = Backoff {
        base: Span::secs(2),
        cap: Span::secs(20),
    };
    assert_eq!((policy.dead_backoff, policy.sick_backoff), (both, both));
    assert_eq!(policy.success_codes, [0, 3]);
    assert_eq!(
        policy.sick_restarts,
        Limit {
            max: 3,
            window: Span::mins(30)
        }
    );
    assert_eq!(policy.confirm_up, Span::secs(1));
    assert_eq!(policy.futile_max, defaults::FUTILE_MAX);
}

#[test]
fn one_backoff_key_alone_keeps_base_below_cap() {
    for (policy, dead, sick) in [
        (
            json!({ "backoff_base": "2m", "dead_starts": "3 in 1h" }),
            (120, 120),
            (120, 300),
        ),
        (json!({ "backoff_cap": "5s" }), (1, 5), (5, 5)),
    ] {
        let plan = plan(&group(&json!({ "policy": policy })));
        let found = &plan.groups[0].policy;
        let backoff = |(base, cap)| Backoff {
            base: Span::secs(base),
            cap: Span::secs(cap),
        };
        assert_eq!(
            (found.dead_backoff, found.sick_backoff),
            (backoff(dead), backoff(sick))
        );
    }
}

#[test]
fn scopes_decide_what_live_is_by_itself() {
    let plan = plan(&group(&json!({ "checks": {
        "disk": { "kind": "disk" },
        "beat": { "kind": "beat" },
        "db": { "kind": "free", "scope": "dependency" },
    } })));
    let web = &plan.groups[0];
    assert_eq!(web.live.text, "all(beat, ping)");
    assert_eq!(web.live.expr.leaves(), [0, 3]);
    assert!(web.checks[0].passive);
}

#[test]
fn what_is_wrong_is_refused() {
    for (more, expected) in [
        (
            json!({ "checks": { "ping": { "interval": 5 } } }),
            &["C0107"][..],
        ),
        (
            json!({ "checks": { "ping": { "interval": "0s" } } }),
            &["C0106"],
        ),
        (json!({ "checks": { "ping": { "fall": 0 } } }), &["C0106"]),
        (
            json!({ "checks": { "ping": { "n_of_m": "6 of 5" } } }),
            &["C0106"],
        ),
        (
            json!({ "checks": { "ping": { "fast_interval": "20s" } } }),
            &["C0118"],
        ),
        (
            json!({ "checks": { "ping": { "freshness": "1s" } } }),
            &["C0113"],
        ),
        (
            json!({ "checks": { "ping": { "kind": "typed", "x": 1 } } }),
            &["C0102"],
        ),
        (json!({ "checks": { "ping": 1 } }), &["C0105"]),
        (
            json!({ "checks": { "t": { "kind": "typed", "port": "{port}" } } }),
            &["C0110"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "port": true } } }),
            &["C0105"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "wait": 5 } } }),
            &["C0107"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "key": "x" } } }),
            &["C0121"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "mode": "c" } } }),
            &["C0106"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "ratio": 1.5 } } }),
            &["C0106"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "deep": {} } } }),
            &["C0108"],
        ),
        (
            json!({ "checks": { "t": { "kind": "typed", "deep": { "on": true } } } }),
            &["C0102"],
        ),
        (
            json!({ "health": { "live": "ping and not ping" } }),
            &["C0118"],
        ),
        (json!({ "health": { "live": "degrade(ping)" } }), &["C0118"]),
        (json!({ "health": { "live": "gone" } }), &["C0132"]),
        (
            json!({ "health": { "group": "at_least(2, ready)" } }),
            &["C0118"],
        ),
        (json!({ "health": { "group": "ping" } }), &["C0113"]),
        (json!({ "policy": { "max_out": 0 } }), &["C0106"]),
        (json!({ "policy": { "max_out": "half" } }), &["C0107"]),
        (json!({ "policy": { "min_up": 1 } }), &["C0118"]),
        (json!({ "policy": { "confirm_up": "3m" } }), &["C0118"]),
        (
            json!({ "policy": { "startup_timeout": "11s", "rise": 3 } }),
            &["C0118"],
        ),
        (
            json!({ "policy": { "backoff_base": "9s", "backoff_cap": "3s" } }),
            &["C0118"],
        ),
        (
            json!({ "policy": { "dead_starts": "10 in 1m" } }),
            &["C0118"],
        ),
        (json!({ "processes": 100_001 }), &["C0106"]),
        (json!({ "processes": 0 }), &["C0106"]),
        (json!({ "processes": -1 }), &["C0106"]),
        (json!({ "command": [""] }), &["C0123"]),
        (json!({ "umask": "888" }), &["C0106"]),
        (json!({ "output": ["a"] }), &["C0105"]),
        (
            json!({ "output": { "pth": "a", "max_size": 7, "timestamps": 1 } }),
            &["C0107", "C0102", "C0105"],
        ),
        (
            json!({ "output": { "max_size": "1KiB", "keep": 1000 } }),
            &["C0106", "C0106"],
        ),
        (json!({ "limits": { "open_fils": 7 } }), &["C0102"]),
        (
            json!({ "limits": { "cpu": "1.5s", "memory": "7", "open_files": 0 } }),
            &["C0106", "C0107", "C0106"],
        ),
        (
            json!({ "limits": { "open_files": -1, "memory": "infinity", "core": 0 } }),
            &["C0107", "C0106", "C0106"],
        ),
        (
            json!({ "limits": { "open_files": { "soft": 9, "hard": 8 } } }),
            &["C0118"],
        ),
        (
            json!({ "limits": { "open_files": { "sft": 9 }, "cpu": {} } }),
            &["C0102", "C0108"],
        ),
        (json!({ "environment": { "A": 1 } }), &["C0105"]),
        (
            json!({ "environment": { "A": { "fil": "x" } } }),
            &["C0105"],
        ),
        (json!({ "environment": { "A=B": "x" } }), &["C0109"]),
        (json!({ "success_codes": [256] }), &["C0106"]),
        (json!({ "ports": { "base": 70_000 } }), &["C0116"]),
        (json!({ "ports": {} }), &["C0108"]),
        (json!({ "depends_on": ["web"] }), &["C0112"]),
        (json!({ "directory": "/srv/{prot}" }), &["C0110"]),
    ] {
        assert_eq!(codes(&group(&more)), expected, "{more}");
    }
}

#[test]
fn what_is_good_is_taken() {
    for more in [
        json!({ "health": { "group": "at_least( 2 , ready )" }, "processes": 3 }),
        json!({ "health": { "group": "majority(ready)" }, "processes": 3 }),
        json!({ "checks": { "t": { "kind": "typed", "port": "80", "wait": "{index}s", "mode": "b",
            "key": { "env": "K" }, "ratio": 1, "deep": { "in": true } } } }),
        json!({ "checks": { "ping": { "body": "{\"a\": {b}}", "list": ["{{x}}"] } } }),
        json!({ "environment": { "PATH": "/bin", "TOKEN": { "file": "/t" } } }),
        json!({ "checks": { "db": { "kind": "free", "scope": "dependency" } },
            "health": { "live": "ping and db", "allow_dependency_in_live": "it is the member's own" } }),
    ] {
        let found = codes(&group(&more));
        assert!(
            found.is_empty() || found == ["C0110"] && more.to_string().contains("{b}"),
            "{more}: {found:?}"
        );
    }
}

#[test]
fn ready_members_of_the_long_form() {
    for (text, expected) in [
        ("at_least(2, ready)", 2),
        ("majority(ready)", 3),
        ("any(ready)", 1),
        ("all(ready)", 5),
    ] {
        let plan = plan(&group(
            &json!({ "processes": 5, "health": { "group": text } }),
        ));
        assert_eq!(plan.groups[0].ready_members, expected, "{text}");
    }
}

#[test]
fn a_missing_plugin_is_tolerated_when_told_so() {
    let document = document(&group(
        &json!({ "checks": { "x": { "kind": "acme", "a": 1 } } }),
    ));
    let (plan, told) = read(&document, &kinds(), UnknownKinds::Tolerate);
    let plan = plan.expect("a plan");
    assert_eq!(plan.groups[0].checks[1].kind.as_str(), "acme");
    let told: Vec<_> = told.iter().map(|one| (one.severity, one.code)).collect();
    assert_eq!(told, [(Severity::Warning, "C0104")]);
    let (plan, _) = read(&document, &kinds(), UnknownKinds::Refuse);
    assert_eq!(plan, None);
}

#[test]
fn what_a_worker_may_have_is_said_only_of_a_worker() {
    let with = |isolation: &str| {
        document(&json!({ "plugin": { "a": {
            "path": "/a.so",
            "isolation": isolation,
            "limits": { "open_files": 64, "memory": { "soft": "1GiB" } },
            "user": "nobody",
        } } }))
    };
    let (found, _, told) = plugins(&with("process"));
    assert_eq!(told, []);
    let confine = &found[0].confine;
    assert_eq!(confine.user.as_deref(), Some("nobody"));
    let soft: Vec<u64> = confine.limits.values().map(|bounds| bounds.soft).collect();
    assert_eq!(soft, [64, 1 << 30]);
    let (_, _, told) = plugins(&with("in-process"));
    let codes: Vec<&str> = told.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["C0106", "C0106"]);
}

#[test]
fn allow_is_a_list_of_what_is_reached_and_an_empty_one_is_nothing() {
    let with = |allow: serde_json::Value| {
        plugins(&document(&json!({ "plugin": { "a": {
            "path": "/a.so",
            "allow": allow,
        } } })))
    };
    let (found, _, told) = plugins(&document(
        &json!({ "plugin": { "a": { "path": "/a.so" } } }),
    ));
    assert_eq!((&found[0].confine.allow, told), (&None, Vec::new()));
    let (found, _, told) = with(json!([]));
    assert_eq!(
        (&found[0].confine.allow, told),
        (&Some(Vec::new()), Vec::new())
    );
    let words = ["network", "exec", "read:/srv/a b", "write:spool:1"];
    let (found, _, told) = with(json!([
        "network",
        "exec",
        "read:/srv/a b",
        "write:spool:1",
        "exec"
    ]));
    assert_eq!(told, []);
    let allow = found[0].confine.allow.clone().unwrap();
    let shown: Vec<String> = allow.iter().map(ToString::to_string).collect();
    assert_eq!(shown, words);
    for (wrong, help) in [
        (json!(["net"]), None),
        (json!(["Network"]), Some("did you mean `\"network\"`?")),
        (json!(["read"]), Some("did you mean `\"read:PATH\"`?")),
        (json!(["write:"]), Some("did you mean `\"write:PATH\"`?")),
        (json!(["reads:/srv"]), Some("did you mean `\"read:/srv\"`?")),
        (
            json!(["/srv"]),
            Some("write `\"read:/srv\"`, or `\"write:/srv\"` when it writes there too"),
        ),
    ] {
        let (found, _, told) = with(wrong.clone());
        assert_eq!(told.len(), 1, "{wrong}: {told:?}");
        assert_eq!(
            (told[0].code, told[0].help.as_deref()),
            ("C0106", help),
            "{wrong}"
        );
        // It is not as if nothing had been said: such a plugin is not started at all.
        assert!(found.is_empty(), "{wrong}");
    }
    assert_eq!(with(json!("network")).2[0].code, "C0105");
    // All of them at once, each with what was meant.
    let (_, _, told) = with(json!(["Network", "exec", "read:", "/srv", "sockets"]));
    let [told] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        told.message,
        "`allow` may not hold `\"Network\"`, `\"read:\"`, `\"/srv\"`, `\"sockets\"`"
    );
    assert_eq!(
        told.notes,
        [
            "it may hold `network`, `exec`, `read:PATH` and `write:PATH`",
            "did you mean `\"network\"`?",
            "did you mean `\"read:PATH\"`?",
            "write `\"read:/srv\"`, or `\"write:/srv\"` when it writes there too",
        ]
    );
}

#[test]
fn plugins_are_known_before_kinds_are() {
    let document = document(&json!({
        "daemon": { "plugins": ["/usr/lib/checkd"] },
        "plugin": {
            "b": { "command": ["python3", "b.py"] },
            "a": { "path": "/a.so", "sha256": "AB".repeat(32) },
            "c": {},
        },
    }));
    let (plugins, directories, told) = plugins(&document);
    assert_eq!(directories, ["/usr/lib/checkd"]);
    assert_eq!(told.len(), 1);
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(plugins[0].sha256, Some("ab".repeat(32)));
    assert_eq!(plugins[0].source, PluginSource::Library("/a.so".to_owned()));
}

#[test]
fn limits_and_output_are_what_was_written() {
    use crate::plan::{Bounds, Resource};
    let one = |both| Bounds {
        soft: both,
        hard: Some(both),
    };
    let of = |more| plan(&group(&more)).groups[0].launch.clone();
    let found = of(json!({
        "limits": {
            "open_files": 4096,
            "processes": { "soft": 100 },
            "memory": { "hard": "1GiB" },
            "core": "unlimited",
            "stack": { "soft": "8MiB", "hard": "unlimited" },
            "cpu": "90m",
        },
        "output": { "path": "/var/log/{member}", "max_size": "1MB", "keep": 0, "timestamps": true },
    }));
    let soft = |soft, hard| Bounds { soft, hard };
    let expected = [
        (Resource::OpenFiles, one(4096)),
        (Resource::Processes, soft(100, None)),
        (Resource::Memory, one(1 << 30)),
        (Resource::Core, one(u64::MAX)),
        (Resource::Stack, soft(8 << 20, Some(u64::MAX))),
        (Resource::Cpu, one(5400)),
    ];
    assert_eq!(found.limits.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(found.output.as_deref(), Some("/var/log/{member}"));
    let file = (found.output_file.max_size, found.output_file.keep);
    assert_eq!((file, found.output_file.timestamps), ((1_000_000, 0), true));
    let short = of(json!({ "output": "/a" }));
    assert_eq!(short.output.as_deref(), Some("/a"));
    assert_eq!(short.output_file.keep, 3);
}

#[test]
fn only_what_differs_is_called_changed() {
    let mut all = group(&json!({
        "processes": 1,
        "stop_timeout": "20s",
        "output": { "max_size": "10240KiB", "keep": 5, "timestamps": false },
        "checks": { "ping": { "interval": "10000ms", "timeout": "1s" } },
        "policy": { "sick_restarts": "4 in 1h", "fall": 3, "max_out": 1 },
    }));
    merge(
        &mut all,
        &json!({ "daemon": { "on_exit": "stop", "log": "warn" } }),
    );
    let found: Vec<String> = changed(&document(&all))
        .into_iter()
        .map(
            |Changed {
                 path,
                 value,
                 default,
             }| format!("{path} {value} ({default})"),
        )
        .collect();
    assert_eq!(
        found,
        [
            "daemon.on_exit stop (leave)",
            "group.web.stop_timeout 20s (10s)",
            "group.web.checks.ping.timeout 1s (5s, or `fast_interval` when that is shorter)",
            "group.web.output.keep 5 (3)",
            "group.web.policy.fall 3 (5)",
            "group.web.policy.max_out 1 (25%)",
        ]
    );
}

#[test]
fn every_key_is_listed_once() {
    for shape in super::keys::SHAPES {
        let mut names: Vec<&str> = shape.keys.iter().map(|key| key.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}", shape.path);
    }
    let defaults: Vec<&str> = super::keys::DEFAULTS.iter().map(|key| key.name).collect();
    assert!(
        !defaults.contains(&"kind") && !defaults.contains(&"scope"),
        "{defaults:?}"
    );
    assert!(
        defaults.contains(&"interval") && defaults.contains(&"max_out"),
        "{defaults:?}"
    );
}

/// The warnings of a group `web` of four with this policy and this check.
fn warned(policy: &Json, check: &Json) -> Vec<String> {
    let all = group(&json!({ "processes": 4, "policy": policy, "checks": { "ping": check } }));
    let (plan, told) = read(&document(&all), &kinds(), UnknownKinds::Refuse);
    assert!(plan.is_some(), "{told:?}");
    told.iter().map(|told| format!("{told:?}")).collect()
}

#[test]
fn what_is_seldom_meant_is_a_warning_with_its_arithmetic() {
    let none = json!({});
    for (policy, check, told) in [
        (
            json!({ "canary_after": "20s" }),
            &none,
            Some("fails is certain 20s later"),
        ),
        (json!({ "canary_after": "21s" }), &none, None),
        (
            json!({ "max_out": 4 }),
            &none,
            Some("all members may be restarted at once"),
        ),
        (json!({ "max_out": 3 }), &none, None),
        (
            json!({ "max_out": 2, "min_up": 3 }),
            &none,
            Some("so at most 1 can be out"),
        ),
        (json!({ "max_out": 2, "min_up": 2 }), &none, None),
        (
            none.clone(),
            &json!({ "n_of_m": "3 of 10" }),
            Some("come before 5 in a row"),
        ),
        (
            none.clone(),
            &json!({ "n_of_m": "8 of 8" }),
            Some("8 of 8 are 8 in a row"),
        ),
        (none.clone(), &json!({ "n_of_m": "6 of 10" }), None),
        (
            json!({ "settle": "30d" }),
            &none,
            Some("more than 1h is seldom meant"),
        ),
        (json!({ "settle": "1h" }), &none, None),
        (
            json!({ "fall": 1, "min_fail_span": "0s" }),
            &none,
            Some("one failed run of check `ping` is enough"),
        ),
        (json!({ "fall": 1, "min_fail_span": "5s" }), &none, None),
        (
            json!({ "min_fail_span": "2h" }),
            &none,
            Some("`min_fail_span` of check `ping` is very long"),
        ),
        (
            json!({ "canary_after": "2h" }),
            &none,
            Some("`canary_after` is very long"),
        ),
        (
            json!({ "allow_group_restart": true }),
            &none,
            Some("`allow_group_restart` has no effect"),
        ),
        (
            json!({ "allow_group_restart": true, "strategy": "rolling" }),
            &none,
            None,
        ),
    ] {
        let found = warned(&policy, check);
        match told {
            None => assert!(found.is_empty(), "{policy} {check}: {found:?}"),
            Some(told) => {
                assert_eq!(found.len(), 1, "{policy} {check}: {found:?}");
                assert!(found[0].contains("C0137"), "{found:?}");
                assert!(found[0].contains(told), "{found:?}");
            }
        }
    }
}

#[test]
fn a_sink_that_is_never_told_anything_or_too_late_is_warned_of() {
    let hook = |more: &Json| {
        let mut sink = json!({ "kind": "webhook", "url": "http://127.0.0.1/hook" });
        sink.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        sink
    };
    let alerts =
        |url: &str, events: &Json| json!({ "kind": "alertmanager", "url": url, "events": events });
    let good = json!(["given_up", "restart"]);
    for (sink, told) in [
        (hook(&json!({})), None),
        (hook(&json!({ "events": ["given_up"] })), None),
        (hook(&json!({ "events": ["restart"] })), None),
        (
            hook(&json!({ "events": ["recovered"] })),
            Some("is never told anything"),
        ),
        (
            hook(&json!({ "groups": [] })),
            Some("is told nothing of any group"),
        ),
        (hook(&json!({ "collect": "9d" })), Some("1d")),
        (hook(&json!({ "min_interval": "100d" })), Some("1d")),
        (hook(&json!({ "min_interval": "1d" })), None),
        (hook(&json!({ "timeout": "10m" })), Some("more than 5m")),
        (
            hook(&json!({ "retry_for": "1s" })),
            Some("`timeout` is 10s"),
        ),
        (hook(&json!({ "retry_for": "10s" })), None),
        (alerts("http://127.0.0.1:9093", &good), None),
        (alerts("http://127.0.0.1:9093/am/", &good), None),
        (
            alerts("http://127.0.0.1:9093/am/api/v2/alerts", &good),
            Some("leave `/api/v2/alerts` out"),
        ),
        (
            alerts(
                "http://127.0.0.1:9093",
                &json!(["restart", "unstable", "recovered"]),
            ),
            Some("never makes an alert"),
        ),
    ] {
        let mut all = group(&json!({}));
        all["notify"] = json!({ "ops": sink });
        let (plan, found) = read(&document(&all), &kinds(), UnknownKinds::Refuse);
        assert!(plan.is_some(), "{found:?}");
        let found: Vec<String> = found.iter().map(|it| format!("{it:?}")).collect();
        match told {
            None => assert!(found.is_empty(), "{sink}: {found:?}"),
            Some(told) => {
                assert_eq!(found.len(), 1, "{sink}: {found:?}");
                assert!(found[0].contains("C0137"), "{found:?}");
                assert!(found[0].contains(told), "{sink}: {found:?}");
            }
        }
    }
}

#[test]
fn a_signal_is_of_use_where_a_check_of_a_plugin_may_blame_a_process() {
    let mut kinds = kinds();
    for facts in kinds.values_mut() {
        facts.origin = "/usr/lib/checkd/acme.so".to_owned();
    }
    let all = group(&json!({ "policy": { "signal": "KILL" } }));
    let (plan, found) = read(&document(&all), &kinds, UnknownKinds::Refuse);
    assert!(found.is_empty(), "{found:?}");
    let signal = plan.and_then(|plan| plan.groups[0].policy.signal.clone());
    assert_eq!(signal.as_deref(), Some("KILL"));
    let all = group(&json!({ "policy": { "signal": "KILL", "sick_restarts": "1 in 1h" } }));
    let (_, found) = read(&document(&all), &kinds, UnknownKinds::Refuse);
    let found = format!("{found:?}");
    assert!(found.contains("`signal` has no effect"), "{found}");
    let all = group(&json!({ "policy": { "signal": "USR1" } }));
    let (plan, found) = read(&document(&all), &kinds, UnknownKinds::Refuse);
    assert!(plan.is_none() && found.len() == 1, "{found:?}");
}

#[test]
fn a_live_that_is_turned_round_is_warned_of() {
    for (live, told) in [
        ("not ping and not memory", true),
        ("not (ping and memory)", true),
        ("ping and not memory", false),
        ("ping or memory", false),
    ] {
        let all = group(&json!({
            "checks": { "ping": {}, "memory": { "kind": "free" } },
            "health": { "live": live },
        }));
        let (plan, found) = read(&document(&all), &kinds(), UnknownKinds::Refuse);
        assert!(plan.is_some(), "{found:?}");
        let found = format!("{found:?}");
        assert_eq!(
            found.contains("fails when all its checks pass"),
            told,
            "{live}: {found}"
        );
    }
}

#[test]
fn a_number_that_is_too_large_is_told_once_and_as_what_it_is() {
    for settle in ["999999999999999999d", "99999999999999999999999999d"] {
        let all = group(&json!({ "policy": { "settle": settle } }));
        let (_, found) = read(&document(&all), &kinds(), UnknownKinds::Refuse);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("at most"), "{found:?}");
    }
    for (rule, told) in [("0 of 10", "asks for 0"), ("6 of 65", "not at 65")] {
        let all = group(&json!({ "checks": { "ping": { "n_of_m": rule } } }));
        let (_, found) = read(&document(&all), &kinds(), UnknownKinds::Refuse);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains(told), "{found:?}");
    }
}

#[test]
fn settings_that_have_no_effect_or_no_end_are_warned_of() {
    let rolling = json!({ "allow_group_restart": true, "strategy": "rolling" });
    let window = json!({ "from": "00:00", "to": "24:00" });
    let weekdays = json!({ "from": "00:00", "to": "24:00", "days": ["mon", "tue"] });
    for (more, window, told) in [
        (
            json!({ "policy": rolling }),
            None,
            Some("the group has one member"),
        ),
        (
            json!({ "policy": rolling, "processes": 4, "mode": "observe" }),
            None,
            Some("nobody is restarted"),
        ),
        (json!({ "policy": rolling, "processes": 4 }), None, None),
        (
            json!({ "policy": { "signal": "TERM" } }),
            None,
            Some("no check of the group blames a single process"),
        ),
        (
            json!({ "policy": { "signal": "TERM" }, "mode": "observe" }),
            None,
            Some("nothing is sent"),
        ),
        (
            json!({ "restart": "transient", "success_codes": [0, 78] }),
            None,
            Some("exit code 78 is a success and permanent"),
        ),
        (json!({}), Some(window), Some("`nightly` never ends")),
        (json!({}), Some(weekdays), None),
    ] {
        let mut all = group(&more);
        if let Some(window) = window {
            all["maintenance"] = json!({ "nightly": window });
        }
        let (plan, found) = read(&document(&all), &kinds(), UnknownKinds::Refuse);
        assert!(plan.is_some(), "{found:?}");
        let found: Vec<String> = found.iter().map(|it| format!("{it:?}")).collect();
        match told {
            None => assert!(found.is_empty(), "{more}: {found:?}"),
            Some(told) => {
                assert_eq!(found.len(), 1, "{more}: {found:?}");
                assert!(
                    found[0].contains("C0137") && found[0].contains(told),
                    "{found:?}"
                );
            }
        }
    }
}
