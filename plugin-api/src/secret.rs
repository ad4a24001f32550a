//! A text that nobody may print.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A text that nobody may print: a password, a token.
///
/// A person writes `{ file = "/etc/shop/token" }` or `{ env = "SHOP_TOKEN" }`, which is what the
/// schema says; the host reads it when the check is configured, and the check gets the text. It has
/// no way back into JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Stands where a secret would have been printed.
const MASK: &str = "[secret]";

impl Secret {
    /// A secret with this text, for tests.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text, to be handed to a protocol and to nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{ file = … }` or `{ env = … }`")
            }
            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Secret, E> {
                Ok(Secret(text))
            }
        }
        deserializer.deserialize_string(Text)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "format": "secret",
            "oneOf": [
                {
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false
                },
                {
                    "properties": { "env": { "type": "string" } },
                    "required": ["env"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Secret;

    #[test]
    fn a_secret_is_never_printed() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "it is printed")]
        struct Options {
            token: Option<Secret>,
        }
        let options: Options = serde_json::from_value(json!({ "token": "hunter2" })).unwrap();
        for text in [format!("{options:?}"), format!("{options:#?}")] {
            assert!(
                !text.contains("hunter2") && text.contains("[secret]"),
                "{text}"
            );
        }
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_mistake_does_not_tell_it_either() {
        let error = serde_json::from_value::<Secret>(json!(["hunter2"])).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn its_schema_asks_for_a_file_or_a_variable() {
        let schema = schemars::schema_for!(Option<Secret>).to_value();
        let text = schema.to_string();
        assert!(text.contains(r#""format":"secret""#), "{text}");
        assert!(!text.contains(r#""default""#), "{text}");
    }
}
