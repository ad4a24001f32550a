//! Holds JSON against a JSON Schema, with the words of the language that checkd's schemas use.

use serde_json::{Map, Value};

/// What is wrong with `value` under `schema`, a part of `root`.
///
/// # Errors
/// The first thing that does not fit, with where it is.
///
/// # Panics
/// At a word of the language that is not known here: it must not be passed over.
pub fn fits(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let words = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{at}: nothing is allowed here")),
        Value::Object(words) => words,
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            panic!("{schema} is no schema")
        }
    };
    for (word, says) in words {
        let holds = match word.as_str() {
            "title" | "description" | "default" | "examples" | "$schema" | "$defs" | "format" => {
                true
            }
            "$ref" => {
                let pointer = says.as_str().and_then(|text| text.strip_prefix('#'));
                let named = pointer.and_then(|pointer| root.pointer(pointer));
                let named = named.unwrap_or_else(|| panic!("{says} leads nowhere"));
                return fits(root, named, value, at);
            }
            "type" => says
                .as_array()
                .map_or(std::slice::from_ref(says), Vec::as_slice)
                .iter()
                .any(|one| is(one, value)),
            "const" => says == value,
            "enum" => says.as_array().is_some_and(|words| words.contains(value)),
            "anyOf" => fitting(root, says, value, at) >= 1,
            "oneOf" => fitting(root, says, value, at) == 1,
            "minimum" => value.as_f64().is_none_or(|n| Some(n) >= says.as_f64()),
            "maximum" => value.as_f64().is_none_or(|n| Some(n) <= says.as_f64()),
            "pattern" => value.as_str().is_none_or(|text| matches(says, text)),
            "items" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                for (index, item) in items.iter().enumerate() {
                    fits(root, says, item, &format!("{at}/{index}"))?;
                }
                true
            }
            "required" => value.as_object().is_none_or(|fields| {
                let names = says.as_array().map(Vec::as_slice).unwrap_or_default();
                names
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().unwrap_or_default()))
            }),
            "properties" => {
                each(root, says, value, at)?;
                true
            }
            "additionalProperties" => says != &Value::Bool(false),
            _ => panic!("the word `{word}` of JSON Schema is not known here"),
        };
        if !holds {
            return Err(format!("{at}: {value} against {word}: {says}"));
        }
    }
    Ok(())
}

fn each(root: &Value, says: &Value, value: &Value, at: &str) -> Result<(), String> {
    let nothing = Map::new();
    let fields = value.as_object().unwrap_or(&nothing);
    for (name, schema) in says.as_object().unwrap_or(&nothing) {
        if let Some(field) = fields.get(name) {
            fits(root, schema, field, &format!("{at}/{name}"))?;
        }
    }
    Ok(())
}

fn fitting(root: &Value, several: &Value, value: &Value, at: &str) -> usize {
    let several = several.as_array().map(Vec::as_slice).unwrap_or_default();
    let fitting = several
        .iter()
        .filter(|one| fits(root, one, value, at).is_ok());
    fitting.count()
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type `{other}` is not known here"),
    }
}

/// The patterns that checkd's messages have: names.
fn matches(pattern: &Value, text: &str) -> bool {
    let more = match pattern.as_str().unwrap_or_default() {
        "^[a-z][a-z0-9_-]{0,63}$" => "_-",
        "^[a-z][a-z0-9_]{0,63}$" => "_",
        other => panic!("the pattern {other} is not known here"),
    };
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || more.contains(letter)
        })
}
