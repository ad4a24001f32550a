//! Lines: bounds, what is a message, and the examples of the document.

use std::io::Cursor;

use super::*;

#[test]
fn the_schema_of_the_documents_is_that_of_the_types() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/worker-protocol.schema.json"
    );
    let mut now = serde_json::to_string_pretty(&schema::schema()).unwrap();
    now.push('\n');
    if std::env::var_os("SNAPSHOTS").is_some_and(|word| word == "overwrite") {
        std::fs::write(path, &now).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == now,
        "the messages have changed: see in docs/worker-protocol.md what may change within a \
         version, then write the new schema with `SNAPSHOTS=overwrite cargo test -p checkd protocol`"
    );
}

#[test]
fn a_message_survives_the_line() {
    let ask = Ask::Submit {
        run: 7,
        instance: 3,
        timeout_ms: 2_000,
    };
    let bytes = line(&ask).unwrap();
    assert_eq!(bytes.last(), Some(&b'\n'));
    assert_eq!(parse::<Ask>(&bytes).unwrap(), ask);
}

#[test]
fn lines_are_split_and_the_last_needs_no_end() {
    let mut stream = Cursor::new(b"one\n\ntwo".to_vec());
    let mut line = Vec::new();
    let mut lines = Vec::new();
    while read_line(&mut stream, &mut line).unwrap() {
        lines.push(String::from_utf8(line.clone()).unwrap());
    }
    assert_eq!(lines, ["one", "", "two"]);
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut stream = io::BufReader::new(io::Read::take(io::repeat(b'x'), 1 << 40));
    let error = read_line(&mut stream, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn text_is_one_line_and_bounded() {
    for (text, max, kept) in [
        ("plain", 16, "plain"),
        ("two\nlines\n", 16, "two lines"),
        ("\u{1b}[31mred", 16, " [31mred"),
        ("0123456789", 8, "01234…"),
        ("ääääääää", 8, "ää…"),
    ] {
        assert_eq!(bounded(text, max), kept, "{text}");
    }
}

#[test]
fn what_is_not_a_message_is_told_with_its_beginning() {
    for text in [
        "",
        "nonsense",
        r#"{"type":"sing"}"#,
        r#"{"type":"sample","run":-1}"#,
        "[1]",
    ] {
        let told = parse::<Tell>(text.as_bytes()).unwrap_err();
        assert!(told.contains('`') && told.len() < 400, "{told}");
    }
    assert!(parse::<Tell>(br#"{"type":"sample","run":1,"sample":{"status":"pass","measurements":[{"name":"x","value":NaN}]}}"#).is_err());
}

#[test]
fn the_messages_of_a_run_are_read_the_same_without_the_detour() {
    for text in [
        r#"{"type":"submit","run":7,"instance":3,"timeout_ms":2000}"#,
        r#"{"timeout_ms":2000,"more":[{}],"instance":3,"run":7,"type":"submit"}"#,
        r#"{"type":"submit","run":7,"run":8,"instance":3,"timeout_ms":2000}"#,
        r#"{"type":"submit","run":7,"instance":3}"#,
        r#"{"type":"submit","run":-7,"instance":3,"timeout_ms":2000}"#,
        r#"{"type":"cancel","run":7,"instance":3,"timeout_ms":2000}"#,
        r#"{"run":7,"instance":3,"timeout_ms":2000}"#,
        r#"{"type":"describe"}"#,
        r#"["submit",{"run":7,"instance":3,"timeout_ms":2000}]"#,
        r#"["submit",7,3,2000]"#,
        "7",
    ] {
        let bytes = text.as_bytes();
        assert_eq!(parse_ask(bytes), parse::<Ask>(bytes), "{text}");
    }
    for text in [
        r#"{"type":"sample","run":1,"sample":{"status":"pass"}}"#,
        r#"{"sample":{"status":"fail","cause":"wrong","message":"a\nb","measurements":[{"name":"x","value":null}]},"run":1,"type":"sample"}"#,
        r#"{"type":"sample","run":1,"sample":{"status":"pass"},"sample":{"status":"fail"}}"#,
        r#"{"type":"sample","run":1,"sample":{"status":"pass"}} {}"#,
        r#"{"type":"sample","run":1,"sample":null}"#,
        r#"{"type":"sample","run":1}"#,
        r#"{"type":"log","run":1,"sample":{"status":"pass"},"message":"m"}"#,
        r#"{"type":"configured","instance":1}"#,
        r#"["sample",1,{"status":"pass"}]"#,
        "{",
    ] {
        let bytes = text.as_bytes();
        assert_eq!(parse_tell(bytes), parse::<Tell>(bytes), "{text}");
    }
}
