//! Placeholders and secrets, found wherever the schema puts them.

use checkd_core::CheckKind;
use checkd_core::plan::Scope;
use serde_json::json;

use super::*;

fn facts() -> KindFacts {
    KindFacts {
        kind: CheckKind::new("demo").unwrap(),
        scope: Scope::Process,
        passive: false,
        origin: "built in".into(),
        options: json!({
            "type": "object",
            "properties": {
                "url": { "type": "string" },
                "password": { "$ref": "#/$defs/Secret" },
                "bearer": { "anyOf": [{ "$ref": "#/$defs/Secret" }, { "type": "null" }] },
                "headers": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Secret" } },
                "keys": { "type": "array", "items": { "$ref": "#/$defs/Secret" } },
                "loop": { "$ref": "#/properties/loop" },
            },
            "$defs": { "Secret": { "type": "object", "format": "secret" } },
        }),
    }
}

fn target() -> Target {
    Target {
        group: "web".into(),
        member: Some("web-3".into()),
        index: Some(3),
        pid: None,
        port: Some(8103),
    }
}

fn resolved(options: &Value) -> Result<Value, Vec<String>> {
    match resolve(&facts(), options.as_object().unwrap(), &target()) {
        Ok(options) => Ok(Value::Object(options)),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn placeholders_are_replaced_and_other_braces_stay() {
    for (text, filled) in [
        ("http://127.0.0.1:{port}/", "http://127.0.0.1:8103/"),
        ("{group}/{member}/{index}", "web/web-3/3"),
        ("{\"a\": {\"b\": 1}}", "{\"a\": {\"b\": 1}}"),
        ("{{port}}", "{port}"),
        ("{", "{"),
        ("{unknown} {index", "{unknown} {index"),
    ] {
        let options = json!({ "url": text, "list": [{ "deep": text }], "number": 5 });
        let expected = json!({ "url": filled, "list": [{ "deep": filled }], "number": 5 });
        assert_eq!(resolved(&options), Ok(expected), "{text}");
    }
}

#[test]
fn what_a_member_does_not_have_is_told_for_each_option() {
    assert_eq!(
        resolved(&json!({ "url": "{pid}", "other": "x{pid}" })),
        Err(vec![
            "`other`: needs `{pid}`, and member `web-3` has no process".into(),
            "`url`: needs `{pid}`, and member `web-3` has no process".into(),
        ])
    );
}

#[test]
fn secrets_are_read_where_the_schema_says_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let from_file = json!({ "file": file.path() });
    let options = json!({
        "password": from_file,
        "bearer": { "env": "CARGO_PKG_NAME" },
        "headers": { "x": from_file },
        "keys": [from_file],
    });
    let expected = json!({
        "password": "s3cret",
        "bearer": "checkd",
        "headers": { "x": "s3cret" },
        "keys": ["s3cret"],
    });
    assert_eq!(resolved(&options), Ok(expected));
    assert_eq!(
        resolved(&json!({ "bearer": null })),
        Ok(json!({ "bearer": null }))
    );
    // Without the schema's word it is an ordinary table.
    assert_eq!(
        resolved(&json!({ "url": from_file })),
        Ok(json!({ "url": from_file }))
    );
}

#[test]
fn a_secret_that_cannot_be_read_is_a_problem_without_the_secret() {
    for (secret, told) in [
        (json!("plain"), "is a secret: write"),
        (
            json!({ "file": "/nowhere/at/all" }),
            "cannot be read from `/nowhere/at/all`",
        ),
        (json!({ "file": "/" }), "not a regular file"),
        (
            json!({ "env": "NO_SUCH_VARIABLE_HERE" }),
            "the environment has no text",
        ),
        (json!({ "vault": "x" }), "is a secret: write"),
        (json!({ "file": "a", "env": "b" }), "is a secret: write"),
    ] {
        let problems = resolved(&json!({ "password": secret })).unwrap_err();
        assert!(problems.first().unwrap().contains(told), "{problems:?}");
        assert!(!problems.first().unwrap().contains("plain"), "{problems:?}");
    }
}

#[test]
fn a_schema_or_a_value_without_end_is_no_trap() {
    assert_eq!(
        resolved(&json!({ "loop": "x" })),
        Ok(json!({ "loop": "x" }))
    );
    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert!(resolved(&json!({ "url": deep })).is_err());
}
