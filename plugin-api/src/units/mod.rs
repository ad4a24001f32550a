//! Quantities as a person writes them: `"30s"`, `"512MiB"`, `"25%"`; bare numbers are refused.

mod percent;
mod port;
mod size;
mod span;
#[cfg(test)]
mod tests;

pub use percent::Percent;
pub use port::Port;
pub use size::Size;
pub use span::Span;

/// Splits `text` after its leading number: `("1.5", "GiB")`. The number may be empty.
fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Reads a plain decimal number; no sign, no exponent.
fn number(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && !text.ends_with('.')
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|n: &f64| n.is_finite())
}

/// How much of a text is repeated in an error.
fn quoted(text: &str) -> String {
    let end = text.floor_char_boundary(40);
    match text.get(..end) {
        Some(start) if end < text.len() => format!("`{start}…`"),
        _ => format!("`{text}`"),
    }
}

/// What every quantity shares: it is read from a text, and a bare number is refused with a sentence
/// that says what to write.
macro_rules! quantity {
    ($type:ident, $format:literal, $pattern:literal, $doc:literal, $example:literal, $bare:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Written;
                impl serde::de::Visitor<'_> for Written {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a text such as `\"", $example, "\"`"))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<$type, E> {
                        Err(E::custom($bare(&n.to_string())))
                    }
                    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<$type, E> {
                        Err(E::custom($bare(&n.to_string())))
                    }
                    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<$type, E> {
                        Err(E::custom($bare(&n.to_string())))
                    }
                }
                deserializer.deserialize_any(Written)
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "pattern": $pattern,
                    "description": $doc,
                    "examples": [$example]
                })
            }
        }
    };
}
use quantity;
