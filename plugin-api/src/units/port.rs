//! A TCP or UDP port: a number, or the text that a placeholder became.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::quoted;

/// A port from 1 to 65535, written `8080`, or `"{port}"`, which checkd replaces by digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Port(u16);

impl Port {
    /// `None` for 0.
    pub const fn new(port: u16) -> Option<Self> {
        if port == 0 { None } else { Some(Self(port)) }
    }
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl serde::de::Visitor<'_> for Written {
            type Value = Port;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 1 to 65535 or `\"{port}\"`")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Port, E> {
                let port = u16::try_from(n).ok().and_then(Port::new);
                port.ok_or_else(|| E::custom(format!("`{n}` is no port: 1 to 65535")))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Port, E> {
                Err(E::custom(format!("`{n}` is no port: 1 to 65535")))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Port, E> {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let port = digits
                    .then(|| text.parse().ok().and_then(Port::new))
                    .flatten();
                port.ok_or_else(|| E::custom(format!("{} is no port: 1 to 65535", quoted(text))))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "format": "port",
            "minimum": 1,
            "maximum": 65535,
            "pattern": r"^([0-9]+|\{port\})$",
            "description": "A port from 1 to 65535, or \"{port}\" for the member's.",
            "examples": ["{port}", 8080]
        })
    }
}
