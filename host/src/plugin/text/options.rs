//! Whether what a kind says of its options is a JSON Schema, as far as the host reads it.

use serde_json::Value;

use super::bounded;

/// What a JSON Schema calls the types of values.
const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// The first thing in the schema of an object that no schema may say, with its place.
pub(super) fn judge(schema: &Value) -> Result<(), String> {
    of_object(schema, "")
}

/// The options of one table; `path` is empty, or ends with a dot.
fn of_object(schema: &Value, path: &str) -> Result<(), String> {
    let Some(options) = schema.get("properties") else {
        return Ok(());
    };
    let Some(options) = options.as_object() else {
        let path = path.trim_end_matches('.');
        return Err(format!(
            "option `{path}` has `properties` that are no object"
        ));
    };
    for (name, schema) in options {
        let path = format!("{path}{}", bounded(name, 64));
        of_option(schema).map_err(|why| format!("option `{path}` has {why}"))?;
        of_object(schema, &format!("{path}."))?;
    }
    Ok(())
}

fn of_option(schema: &Value) -> Result<(), String> {
    let schema = match schema {
        Value::Object(schema) => schema,
        // Anything goes, or nothing.
        Value::Bool(_) => return Ok(()),
        other @ (Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(format!("{}, which is no JSON Schema", shown(other)));
        }
    };
    let is_type = |word: &Value| word.as_str().is_some_and(|word| TYPES.contains(&word));
    match schema.get("type") {
        None => {}
        Some(Value::Array(words)) if words.iter().all(is_type) => {}
        Some(word) if is_type(word) => {}
        Some(other) => {
            let allowed = TYPES.join(", ");
            return Err(format!("the type {}; allowed: {allowed}", shown(other)));
        }
    }
    for key in ["title", "description", "format"] {
        if let Some(other) = schema.get(key).filter(|text| !text.is_string()) {
            return Err(format!("the {key} {}, which is no text", shown(other)));
        }
    }
    match schema.get("enum") {
        Some(other) if !other.is_array() => {
            Err(format!("the enum {}, which is no list", shown(other)))
        }
        _ => Ok(()),
    }
}

fn shown(value: &Value) -> String {
    format!("`{}`", bounded(&value.to_string(), 64))
}
