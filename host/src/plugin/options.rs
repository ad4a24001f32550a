//! Options as a kind gets them: placeholders and secrets replaced.

use std::fs::File;
use std::io::Read;

use checkd_core::config::KindFacts;
use checkd_core::config::placeholder::{self, Placeholder};
use serde_json::{Map, Value};

use super::protocol::{Problem, Target};
use super::secrets;

/// How deep options and schemas are followed.
const DEPTH: u32 = 16;

/// The longest secret in bytes.
const SECRET_MAX: u64 = 64 << 10;

/// Replaces placeholders for `target` and reads secrets, or tells every option where that is not
/// possible.
pub(crate) fn resolve(
    facts: &KindFacts,
    options: &Map<String, Value>,
    target: &Target,
) -> Result<Map<String, Value>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut resolved = Map::new();
    for (name, value) in options {
        let schema = property(&facts.options, &facts.options, name);
        let mut value = value.clone();
        match replace(&mut value, &facts.options, schema, target, 0) {
            Ok(()) => {
                resolved.insert(name.clone(), value);
            }
            Err(message) => problems.push(Problem::of(name, message)),
        }
    }
    if problems.is_empty() {
        Ok(resolved)
    } else {
        Err(problems)
    }
}

/// The schema of one key of an object.
fn property<'a>(root: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema
        .get("properties")
        .and_then(|properties| properties.get(name));
    let other = || {
        schema
            .get("additionalProperties")
            .filter(|other| other.is_object())
    };
    named.or_else(other).map(|schema| follow(root, schema))
}

/// A schema behind its reference into the root's `$defs`.
fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH {
        let Some(name) = schema.get("$ref").and_then(Value::as_str) else {
            break;
        };
        let pointed = name
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        let Some(pointed) = pointed else { break };
        schema = pointed;
    }
    schema
}

/// Whether a schema, or one of its alternatives, is a secret.
fn is_secret(root: &Value, schema: &Value, depth: u32) -> bool {
    let schema = follow(root, schema);
    schema
        .get("format")
        .is_some_and(|format| format == "secret")
        || depth < DEPTH
            && ["anyOf", "oneOf", "allOf"].iter().any(|key| {
                let list = schema.get(key).and_then(Value::as_array);
                list.is_some_and(|list| list.iter().any(|one| is_secret(root, one, depth + 1)))
            })
}

/// Replaces what a value holds; the message says why it cannot.
fn replace(
    value: &mut Value,
    root: &Value,
    schema: Option<&Value>,
    target: &Target,
    depth: u32,
) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("is nested more than {DEPTH} levels deep"));
    }
    if !value.is_null() && schema.is_some_and(|schema| is_secret(root, schema, 0)) {
        *value = Value::String(secret(value, target)?);
        return Ok(());
    }
    match value {
        Value::String(text) => {
            if let Some(filled) = fill(text, target)? {
                *text = filled;
            }
        }
        Value::Array(items) => {
            let of = schema
                .and_then(|schema| schema.get("items"))
                .map(|of| follow(root, of));
            for item in items {
                replace(item, root, of, target, depth + 1)?;
            }
        }
        Value::Object(entries) => {
            for (name, entry) in entries {
                let of = schema.and_then(|schema| property(root, schema, name));
                replace(entry, root, of, target, depth + 1)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Replaces the placeholders of a text; `None` when it has none. Other braces stay as they are: a
/// JSON body is full of them.
fn fill(text: &str, target: &Target) -> Result<Option<String>, String> {
    if !text.contains('{') {
        return Ok(None);
    }
    let of = || match &target.member {
        Some(member) => format!("member `{member}`"),
        None => format!("group `{}`", target.group),
    };
    placeholder::fill(text, |asked| match asked {
        Placeholder::Group => Some(target.group.clone()),
        Placeholder::Member => target.member.clone(),
        Placeholder::Index => target.index.map(|index| index.to_string()),
        Placeholder::Pid => target.pid.map(|pid| pid.to_string()),
        Placeholder::Port => target.port.map(|port| port.to_string()),
    })
    .map(Some)
    .map_err(|missing| {
        let name = missing.as_str();
        let what = if missing == Placeholder::Pid {
            "process"
        } else {
            name
        };
        format!("needs `{{{name}}}`, and {} has no {what}", of())
    })
}

/// Reads a secret: `{ file = "…" }` without its last line end, or `{ env = "…" }`. No message holds
/// what was read.
fn secret(value: &Value, target: &Target) -> Result<String, String> {
    let written = "write `{ file = \"…\" }` or `{ env = \"…\" }`";
    let table = value
        .as_object()
        .ok_or_else(|| format!("is a secret: {written}"))?;
    let mut entries = table.iter();
    let (Some((key, Value::String(name))), None) = (entries.next(), entries.next()) else {
        return Err(format!("is a secret: {written}"));
    };
    let name = fill(name, target)?.unwrap_or_else(|| name.clone());
    let read = match key.as_str() {
        "file" => {
            from_file(&name).map_err(|error| format!("cannot be read from `{name}`: {error}"))
        }
        "env" => std::env::var(&name)
            .map_err(|_| format!("cannot be read: the environment has no text `{name}`")),
        _ => Err(format!("is a secret: {written}")),
    };
    read.inspect(|secret| secrets::learn(secret))
}

fn from_file(path: &str) -> std::io::Result<String> {
    // A pipe would wait for its writer.
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    file.take(SECRET_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_MAX {
        return Err(std::io::Error::other(format!(
            "longer than {SECRET_MAX} bytes"
        )));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests;
