//! Each quantity: what it reads, how it is written back, and what it says about a mistake.

use std::fmt::Display;

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Percent, Port, Size, Span};

fn reads<T: DeserializeOwned + Display>(table: &[(Value, &str)]) {
    for (json, written) in table {
        let value: T =
            serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{json}: {e}"));
        assert_eq!(value.to_string(), *written, "{json}");
        assert_eq!(
            serde_json::from_value::<T>(json!(written))
                .unwrap()
                .to_string(),
            *written
        );
    }
}

fn refuses<T: DeserializeOwned + Display>(table: &[(Value, &str)]) {
    for (json, part) in table {
        match serde_json::from_value::<T>(json.clone()) {
            Ok(value) => panic!("{json} was read as {value}"),
            Err(error) => assert!(error.to_string().contains(part), "{json}: {error}"),
        }
    }
}

#[test]
fn spans() {
    reads::<Span>(&[
        (json!("30s"), "30s"),
        (json!("90s"), "1m30s"),
        (json!("1m30s"), "1m30s"),
        (json!("250ms"), "250ms"),
        (json!("1.5s"), "1s500ms"),
        (json!("0.001s"), "1ms"),
        (json!("2h"), "2h"),
        (json!("3d4h"), "3d4h"),
        (json!(" 5s "), "5s"),
        (json!("0s"), "0s"),
        (json!("36525d"), "36525d"),
    ]);
    refuses::<Span>(&[
        (json!(30), "write `\"30s\"`"),
        (json!("30"), "write `\"30s\"`"),
        (json!(1.5), "write `\"1.5s\"`"),
        (json!(-3), "has no unit"),
        (json!("-3s"), "is no span"),
        (json!("30sec"), "`30sec` is no span"),
        (json!("1s1m"), "is no span"),
        (json!("1s1s"), "is no span"),
        (json!("1s5"), "is no span"),
        (json!("0.5ms"), "is no span"),
        (json!("1.s"), "is no span"),
        (json!("1.2.3s"), "is no span"),
        (json!(""), "is no span"),
        (json!("s"), "is no span"),
        (json!("1e9s"), "is no span"),
        (json!("99999999999999999999s"), "is no span"),
        (json!("36526d"), "a hundred years"),
        (json!(true), "a text such as"),
        (json!("\u{1f980}".repeat(100)), "…`"),
    ]);
}

#[test]
fn sizes() {
    reads::<Size>(&[
        (json!("512MiB"), "512MiB"),
        (json!("1024MiB"), "1GiB"),
        (json!("1.5GiB"), "1536MiB"),
        (json!("2GB"), "2GB"),
        (json!("1kB"), "1kB"),
        (json!("4096B"), "4KiB"),
        (json!("1500 B"), "1500B"),
        (json!("0B"), "0B"),
        (json!("4TiB"), "4TiB"),
    ]);
    refuses::<Size>(&[
        (json!(512), "write `\"512MiB\"`"),
        (json!("512"), "write `\"512MiB\"`"),
        (json!(-1), "has no unit"),
        (json!("512mb"), "write `\"512MiB\"` or `\"512MB\"`"),
        (json!("512M"), "write `\"512MiB\"` or `\"512MB\"`"),
        (json!("5K"), "write `\"5KiB\"` or `\"5kB\"`"),
        (json!("-5MiB"), "is no size"),
        (json!("5 parsecs"), "is no size"),
        (json!("MiB"), "is no size"),
        (json!(""), "is no size"),
        (json!("99999999TiB"), "more bytes than can be counted"),
        (json!("9999999999.5TiB"), "more bytes than can be counted"),
        (json!([]), "a text such as"),
    ]);
}

#[test]
fn shares() {
    reads::<Percent>(&[
        (json!("25%"), "25%"),
        (json!("0%"), "0%"),
        (json!("12.5 %"), "12.5%"),
        (json!("350%"), "350%"),
    ]);
    refuses::<Percent>(&[
        (json!(25), "write `\"25%\"`"),
        (json!("25"), "write `\"25%\"`"),
        (json!("-1%"), "is no share"),
        (json!("NaN%"), "is no share"),
        (json!("inf%"), "is no share"),
        (json!("1e3%"), "is no share"),
        (json!("%"), "is no share"),
    ]);
    assert!((Percent::new(25.0).unwrap().as_ratio() - 0.25).abs() < f64::EPSILON);
    assert_eq!(Percent::new(f64::NAN), None);
    assert_eq!(Percent::new(-0.5), None);
}

#[test]
fn ports() {
    for (json, port) in [(json!(80), 80), (json!("80"), 80), (json!("65535"), 65_535)] {
        assert_eq!(serde_json::from_value::<Port>(json).unwrap().get(), port);
    }
    refuses::<Port>(&[
        (json!(0), "1 to 65535"),
        (json!("0"), "1 to 65535"),
        (json!(65_536), "1 to 65535"),
        (json!(-1), "1 to 65535"),
        (json!("+80"), "`+80` is no port"),
        (json!("{port}"), "`{port}` is no port"),
        (json!("http"), "1 to 65535"),
        (json!(""), "1 to 65535"),
        (json!(80.5), "a port from 1 to 65535"),
        (json!(null), "a port from 1 to 65535"),
    ]);
}

#[test]
fn a_schema_names_its_unit() {
    fn format<T: JsonSchema>() -> Value {
        schema_for!(T)
            .to_value()
            .get("format")
            .cloned()
            .unwrap_or_default()
    }
    assert_eq!(format::<Span>(), "span");
    assert_eq!(format::<Size>(), "size");
    assert_eq!(format::<Percent>(), "percent");
    assert_eq!(format::<Port>(), "port");
}

#[test]
fn a_span_is_a_duration() {
    assert_eq!(
        Span::secs(2).as_duration(),
        std::time::Duration::from_secs(2)
    );
    assert_eq!(Span::millis(1_500).as_millis(), 1_500);
    assert!((Span::millis(1_500).as_secs_f64() - 1.5).abs() < 1e-9);
}
