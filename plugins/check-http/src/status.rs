//! Which statuses are fine: one, a class, or a list of them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// The value of option `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<Status>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Exactly this one.
    One(u16),
    /// All that begin with this digit.
    Class(u16),
}

impl Statuses {
    /// Whether `status` is one of them.
    pub(crate) fn take(&self, status: u16) -> bool {
        self.0.iter().any(|fine| match *fine {
            Status::One(one) => one == status,
            Status::Class(class) => class == status / 100,
        })
    }
}

impl Default for Statuses {
    /// Every status that means success.
    fn default() -> Self {
        Self(vec![Status::Class(2)])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, status) in self.0.iter().enumerate() {
            let or = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            match status {
                Status::One(one) => write!(f, "{or}{one}")?,
                Status::Class(class) => write!(f, "{or}{class}xx")?,
            }
        }
        Ok(())
    }
}

const EXPECTED: &str = "a status such as 200, a class such as \"2xx\", or a list of them";

fn number(number: i64) -> Result<Status, String> {
    match u16::try_from(number) {
        Ok(one @ 200..=599) => Ok(Status::One(one)),
        _ => Err(format!(
            "is `{number}`, which is no final HTTP status: they go from 200 to 599"
        )),
    }
}

fn text(text: &str) -> Result<Status, String> {
    match text.strip_suffix("xx") {
        Some("2") => Ok(Status::Class(2)),
        Some("3") => Ok(Status::Class(3)),
        Some("4") => Ok(Status::Class(4)),
        Some("5") => Ok(Status::Class(5)),
        _ => match text.parse() {
            Ok(status) => number(status),
            Err(_) => Err(format!(
                "is `{}`, which is neither a status nor a class from `2xx` to `5xx`",
                text.escape_debug()
            )),
        },
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Statuses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Statuses, E> {
        // What is larger than the largest is as wrong as that.
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Statuses, E> {
        number(value)
            .map(|status| Statuses(vec![status]))
            .map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Statuses, E> {
        text(value)
            .map(|status| Statuses(vec![status]))
            .map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
        let mut statuses = Vec::new();
        while let Some(Statuses(more)) = list.next_element()? {
            statuses.extend(more);
        }
        if statuses.is_empty() {
            return Err(A::Error::custom(
                "is an empty list, so no answer would be fine",
            ));
        }
        Ok(Statuses(statuses))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = serde_json::json!([
            { "type": "integer", "minimum": 200, "maximum": 599 },
            { "type": "string", "pattern": "^([2-5]xx|[2-5][0-9][0-9])$" },
        ]);
        json_schema!({
            "format": "status",
            "anyOf": [
                { "anyOf": one },
                { "type": "array", "minItems": 1, "items": { "anyOf": one } },
            ],
            "default": "2xx",
        })
    }
}
