//! The list of keys as other people read it: a page of documentation, and a JSON Schema for
//! editors.

use serde_json::{Map, Value as Json, json};

use super::changed::said;
use super::keys::{self, Form, Key, Said, Shape, Unit};
use super::{KindFacts, Kinds};

/// What stands before the tables.
const INTRODUCTION: &str = include_str!("reference.txt");

/// The page `docs/configuration.md`.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for shape in keys::SHAPES {
        page.push_str(&section(shape));
    }
    page.push_str(&not_yet());
    page
}

fn section(shape: &Shape) -> String {
    let mut text = format!("\n## `[{}]`\n\n{}\n\n", shape.path, sentences(shape.doc));
    text.push_str("| key | value | default | |\n|---|---|---|---|\n");
    for key in shape.keys.iter().filter(|key| !key.later) {
        let cells = [
            format!("`{}`", key.name),
            form_in_words(key.form),
            default_in_words(key),
            key.doc.to_owned(),
        ];
        text.push_str("| ");
        text.push_str(&cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        text.push_str(" |\n");
    }
    text
}

/// One sentence per line.
fn sentences(doc: &str) -> String {
    doc.replace(". ", ".\n")
}

fn not_yet() -> String {
    let mut names: Vec<String> = keys::ROOT
        .iter()
        .filter(|key| key.later)
        .map(|key| format!("`[{}]`", key.name))
        .collect();
    for shape in keys::SHAPES.iter().filter(|shape| shape.path != "defaults") {
        for key in shape.keys.iter().filter(|key| key.later) {
            names.push(format!("`{}` of `[{}]`", key.name, shape.path));
        }
    }
    names.sort();
    format!(
        "\n## Not yet\n\nThese names are kept for later versions.\nToday they are refused, because a setting that does nothing helps nobody.\n\n{}.\n",
        names.join(", ")
    )
}

fn form_in_words(form: Form) -> String {
    match form {
        Form::Text => "text".to_owned(),
        Form::Template => "text with placeholders".to_owned(),
        Form::Templates => "list of texts with placeholders".to_owned(),
        Form::Texts => "list of texts".to_owned(),
        Form::Span | Form::Wait | Form::Bound(Unit::Time) => "time".to_owned(),
        Form::Size | Form::Bound(Unit::Size) => "size".to_owned(),
        Form::Count(0) | Form::Bound(Unit::Count) => "whole number".to_owned(),
        Form::Count(least) => format!("whole number, at least {least}"),
        Form::Bool => "`true`, `false`".to_owned(),
        Form::Choice(words) => words
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", "),
        Form::Choices(words) => format!(
            "list of {}",
            words
                .iter()
                .map(|word| format!("`\"{word}\"`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Form::TextOrSecret => "text, or a secret".to_owned(),
        Form::Secret => "secret".to_owned(),
        Form::Share(_) => "number of members, or `\"25%\"` of them".to_owned(),
        Form::Limit => "limit: `\"4 in 60m\"`".to_owned(),
        Form::NOfM => "`\"6 of 10\"`, of at most 64".to_owned(),
        Form::Codes => "list of exit codes".to_owned(),
        Form::Expression => "complex check".to_owned(),
        Form::Mask => "octal mask as text".to_owned(),
        Form::Grants => "list of `network`, `exec`, `read:PATH`, `write:PATH`".to_owned(),
        Form::Environment => "table of texts".to_owned(),
        Form::Sha256 => "64 hex digits".to_owned(),
        Form::Output => "text with placeholders, or table".to_owned(),
        Form::Bounds(Unit::Count) => "whole number, `\"unlimited\"`, or table".to_owned(),
        Form::Bounds(Unit::Size) => "size, `\"unlimited\"`, or table".to_owned(),
        Form::Bounds(Unit::Time) => "time, `\"unlimited\"`, or table".to_owned(),
        Form::Ports | Form::Table => "table".to_owned(),
    }
}

fn default_in_words(key: &Key) -> String {
    match (key.default, said(key.default)) {
        (Said::Required, _) => "required".to_owned(),
        (Said::Words(words), _) => words.to_owned(),
        (Said::Number(_) | Said::Codes(_), Some(text)) => format!("`{text}`"),
        (_, Some(text)) => format!("`\"{text}\"`"),
        (_, None) => String::new(),
    }
}

/// A JSON Schema of the whole file, with the options of `kinds`.
pub fn json_schema(kinds: &Kinds) -> Json {
    let mut definitions = Map::new();
    for (kind, facts) in kinds {
        let mut schema = facts.options.clone();
        let name = definition(kind.as_str());
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$schema");
        }
        repoint(&mut schema, &name, 0);
        definitions.insert(name, schema);
    }
    let checks = if kinds.is_empty() {
        json!({ "type": "object" })
    } else {
        let each: Vec<Json> = kinds.values().map(check).collect();
        json!({ "type": "object", "additionalProperties": { "anyOf": each } })
    };
    let group = object(
        keys::GROUP,
        vec![
            ("checks", checks),
            (
                "expressions",
                json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            ),
            ("health", object(keys::HEALTH, Vec::new())),
            ("policy", object(keys::POLICY, Vec::new())),
            ("ports", object(keys::PORTS, Vec::new())),
            ("limits", object(keys::LIMITS, Vec::new())),
            (
                "output",
                json!({ "anyOf": [{ "type": "string" }, object(keys::OUTPUT, Vec::new())] }),
            ),
        ],
    );
    let named = |each: Json| {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z][a-z0-9_-]*$" },
            "additionalProperties": each,
        })
    };
    let root = object(
        keys::ROOT,
        vec![
            ("daemon", object(keys::DAEMON, Vec::new())),
            ("defaults", object(keys::DEFAULTS, Vec::new())),
            ("plugin", named(object(keys::PLUGIN, Vec::new()))),
            ("maintenance", named(object(keys::MAINTENANCE, Vec::new()))),
            ("notify", named(object(keys::NOTIFY, Vec::new()))),
            ("group", named(group)),
        ],
    );
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "checkd.toml",
    });
    if let (Some(all), Json::Object(root)) = (schema.as_object_mut(), root) {
        all.extend(root);
        all.insert("$defs".to_owned(), Json::Object(definitions));
    }
    schema
}

fn definition(kind: &str) -> String {
    format!("kind-{kind}")
}

/// A use of one kind: the host's keys and the kind's options, and nothing else.
fn check(facts: &KindFacts) -> Json {
    let name = definition(facts.kind.as_str());
    let mut properties = Map::new();
    let options = facts.options.get("properties").and_then(Json::as_object);
    for option in options.into_iter().flat_map(Map::keys) {
        let pointer = option.replace('~', "~0").replace('/', "~1");
        let to = format!("#/$defs/{name}/properties/{pointer}");
        properties.insert(option.clone(), json!({ "$ref": to }));
    }
    for key in keys::CHECK.iter().filter(|key| !key.later) {
        properties.insert(key.name.to_owned(), value(key));
    }
    let about = json!({ "const": facts.kind.as_str(), "description": "What is checked." });
    properties.insert("kind".to_owned(), about);
    let mut required = vec![json!("kind")];
    let more = facts.options.get("required").and_then(Json::as_array);
    required.extend(more.into_iter().flatten().cloned());
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Moves the references of a kind's schema below its place in the whole.
fn repoint(schema: &mut Json, name: &str, depth: u32) {
    if depth > 64 {
        return;
    }
    match schema {
        Json::Object(map) => {
            if let Some(Json::String(to)) = map.get_mut("$ref")
                && let Some(path) = to.strip_prefix('#')
            {
                *to = format!("#/$defs/{name}{path}");
            }
            for inner in map.values_mut() {
                repoint(inner, name, depth + 1);
            }
        }
        Json::Array(items) => {
            for item in items {
                repoint(item, name, depth + 1);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn object(keys: &[Key], inner: Vec<(&str, Json)>) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys.iter().filter(|key| !key.later) {
        properties.insert(key.name.to_owned(), value(key));
        if key.default == Said::Required {
            required.push(json!(key.name));
        }
    }
    for (name, schema) in inner {
        let mut schema = schema;
        if let (Some(schema), Some(about)) = (
            schema.as_object_mut(),
            properties
                .get(name)
                .and_then(|old| old.get("description"))
                .cloned(),
        ) {
            schema.insert("description".to_owned(), about);
        }
        properties.insert(name.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Some(schema), false) = (schema.as_object_mut(), required.is_empty()) {
        schema.insert("required".to_owned(), Json::Array(required));
    }
    schema
}

const TIME: &str = r"^([0-9]+(\.[0-9]{1,3})?(d|h|ms|m|s))+$";
const SIZE: &str = r"^[0-9]+(\.[0-9]{1,3})?(B|[kMGT]B|[KMGT]iB)$";

fn bound(unit: Unit) -> Json {
    match unit {
        Unit::Count => json!({ "type": "integer", "minimum": 1 }),
        Unit::Size => json!({ "type": "string", "pattern": SIZE }),
        Unit::Time => json!({ "type": "string", "pattern": TIME }),
    }
}

/// Where a secret is read.
fn secret() -> Json {
    json!({
        "type": "object",
        "properties": {
            "file": { "type": "string" },
            "env": { "type": "string" },
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}

fn value(key: &Key) -> Json {
    let mut schema = match key.form {
        Form::Text | Form::Template | Form::Expression => json!({ "type": "string" }),
        Form::Texts | Form::Templates => {
            json!({ "type": "array", "items": { "type": "string" } })
        }
        Form::Span | Form::Wait => json!({ "type": "string", "pattern": TIME }),
        Form::Size => json!({ "type": "string", "pattern": SIZE }),
        Form::Count(least) => json!({ "type": "integer", "minimum": least }),
        Form::Bool => json!({ "type": "boolean" }),
        Form::Choice(words) => json!({ "enum": words }),
        Form::Choices(words) => json!({
            "type": "array",
            "items": { "enum": words },
            "minItems": 1,
        }),
        Form::TextOrSecret => json!({ "anyOf": [{ "type": "string" }, secret()] }),
        Form::Secret => secret(),
        Form::Share(least) => json!({
            "anyOf": [
                { "type": "integer", "minimum": least },
                { "type": "string", "pattern": "^[0-9]{1,3}%$" },
            ]
        }),
        Form::Limit => json!({ "type": "string", "pattern": "^[0-9]+ in [0-9a-z.]+$" }),
        Form::NOfM => json!({ "type": "string", "pattern": "^[0-9]+ of [0-9]+$" }),
        Form::Codes => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": 0, "maximum": 255 },
        }),
        Form::Mask => json!({ "type": "string", "pattern": "^[0-7]{1,4}$" }),
        Form::Grants => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^(network|exec|(read|write):.+)$" },
        }),
        Form::Sha256 => json!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" }),
        Form::Environment => json!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [{ "type": "string" }, secret()]
            },
        }),
        Form::Output => json!({ "type": ["string", "object"] }),
        Form::Bound(unit) => json!({ "anyOf": [{ "const": "unlimited" }, bound(unit)] }),
        Form::Bounds(unit) => json!({
            "anyOf": [
                { "const": "unlimited" },
                bound(unit),
                object(keys::bounds_of(unit), Vec::new()),
            ]
        }),
        Form::Ports | Form::Table => json!({ "type": "object" }),
    };
    if let Some(schema) = schema.as_object_mut() {
        let about = match said(key.default) {
            Some(default) => format!("{} Default: {default}.", key.doc),
            None => key.doc.to_owned(),
        };
        schema.insert("description".to_owned(), Json::String(about));
    }
    schema
}
