//! A check's options against the JSON Schema that its kind gives: names and forms.
//!
//! Only what people get wrong is read from the schema: names, types, enumerations, units, secrets.
//! A keyword that is not known here is left to the kind itself, which judges its options before
//! anything runs.

use serde_json::{Map, Value as Json};

use super::form::{self, TYPE, VALUE};
use super::section::{MISSING, UNKNOWN};
use super::{KindFacts, Node, Table, Value};
use crate::diagnostic::{Diagnostic, Place, nearest};

const SECRET: &str = "C0120";
/// How deep references and alternatives are followed: a schema comes from a plugin.
const DEPTH: u32 = 16;

/// Judges the options among `entries`; `host` says which names are the host's own.
pub(super) fn options(
    facts: &KindFacts,
    of: &dyn Fn() -> String,
    at: Place,
    table: &Table,
    host: &dyn Fn(&str) -> bool,
    out: &mut Vec<Diagnostic>,
) {
    let no_properties = Map::new();
    let properties = facts
        .options
        .get("properties")
        .and_then(Json::as_object)
        .unwrap_or(&no_properties);
    let open = match facts.options.get("additionalProperties") {
        Some(Json::Bool(open)) => *open,
        Some(_) => true,
        None => false,
    };
    let kind = facts.kind.as_str();
    // Options that were probably meant by a misspelt one: missed already, in better words.
    let mut meant = Vec::new();
    for (name, place, node) in &table.entries {
        if host(name) {
            continue;
        }
        if let Some(schema) = properties.get(name) {
            let judge = Judge {
                root: &facts.options,
                of,
            };
            if let Err(found) = judge.value(name, schema, node, 0) {
                out.push(*found);
            }
            plain_secret(name, schema, node, of, out);
        } else if !open {
            let mut told = Diagnostic::error(
                UNKNOWN,
                format!("check kind `{kind}` has no option `{name}`"),
            )
            .at(*place, format!("in {}", of()));
            let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
            names.sort_unstable();
            told = told.note(if names.is_empty() {
                "it has no options".to_owned()
            } else {
                format!("options: {}", names.join(", "))
            });
            let hosts = super::keys::CHECK.iter().map(|key| key.name);
            if let Some(near) = nearest(name, names.iter().copied().chain(hosts)) {
                told = told.help(format!("did you mean `{near}`?"));
                meant.push(near.to_owned());
            }
            out.push(told);
        }
    }
    let required = facts.options.get("required").and_then(Json::as_array);
    for name in required.into_iter().flatten().filter_map(Json::as_str) {
        if table.get(name).is_none() && !meant.iter().any(|meant| meant == name) {
            let about = properties
                .get(name)
                .and_then(|schema| schema.get("description"))
                .and_then(Json::as_str);
            let mut told = Diagnostic::error(
                MISSING,
                format!("check kind `{kind}` needs the option `{name}`"),
            )
            .at(at, format!("{} has none", of()));
            if let Some(line) = about.and_then(|text| text.lines().next()) {
                told = told.note(format!("`{name}`: {line}"));
            }
            out.push(told);
        }
    }
}

/// A word that looks like a secret, written where everybody can read it.
fn plain_secret(
    name: &str,
    schema: &Json,
    node: &Node,
    of: &dyn Fn() -> String,
    out: &mut Vec<Diagnostic>,
) {
    let Value::Text(text) = &node.value else {
        return;
    };
    if secret(schema) || text.is_empty() || !sounds_secret(name) {
        return;
    }
    out.push(
        Diagnostic::warning(
            SECRET,
            format!("`{name}` looks like a secret in plain text"),
        )
        .at(node.place, format!("in {}", of()))
        .hide()
        .note("it is shown wherever the options of this check are"),
    );
}

/// Whether a name is one that secrets have.
pub(super) fn sounds_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.split(['_', '-']).any(|word| {
        [
            "password",
            "passwd",
            "secret",
            "token",
            "apikey",
            "credential",
            "credentials",
        ]
        .contains(&word)
    }) || lower.ends_with("api_key")
        || lower.ends_with("secret_key")
}

fn format_of(schema: &Json) -> Option<&str> {
    schema.get("format").and_then(Json::as_str)
}

fn secret(schema: &Json) -> bool {
    format_of(schema) == Some("secret")
        || ["anyOf", "oneOf", "allOf"].iter().any(|word| {
            let parts = schema.get(word).and_then(Json::as_array);
            parts.is_some_and(|parts| parts.iter().any(|part| format_of(part) == Some("secret")))
        })
}

struct Judge<'a> {
    root: &'a Json,
    of: &'a dyn Fn() -> String,
}

type Judged = Result<(), Box<Diagnostic>>;

impl<'a> Judge<'a> {
    fn refuse(&self, code: &'static str, name: &str, node: &Node, rest: &str) -> Box<Diagnostic> {
        Box::new(
            Diagnostic::error(code, format!("`{name}` {rest}"))
                .at(node.place, format!("in {}", (self.of)())),
        )
    }

    fn wrong(&self, name: &str, node: &Node, wrong: form::Wrong) -> Box<Diagnostic> {
        let mut told = self.refuse(wrong.code, name, node, &wrong.message);
        told.notes = wrong.notes;
        told.help = wrong.help;
        told.hidden = wrong.hidden;
        told
    }

    fn target(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        for _ in 0..DEPTH {
            let Some(to) = schema.get("$ref").and_then(Json::as_str) else {
                break;
            };
            let Some(found) = to
                .strip_prefix('#')
                .and_then(|path| self.root.pointer(path))
            else {
                break;
            };
            schema = found;
        }
        schema
    }

    fn value(&self, name: &str, schema: &'a Json, node: &Node, depth: u32) -> Judged {
        if depth > DEPTH {
            return Ok(());
        }
        let schema = self.target(schema);
        match format_of(schema) {
            Some("secret") => return self.secret(name, node),
            // A placeholder stands for a text that is not known yet; the kind judges it later.
            Some("span") if !holds_placeholder(node) => {
                return form::span(node)
                    .map(drop)
                    .map_err(|w| self.wrong(name, node, *w));
            }
            Some("size") if !holds_placeholder(node) => {
                return form::size(node)
                    .map(drop)
                    .map_err(|w| self.wrong(name, node, *w));
            }
            _ => {}
        }
        for word in ["anyOf", "oneOf"] {
            if let Some(parts) = schema.get(word).and_then(Json::as_array) {
                return self.alternatives(name, parts, node, depth);
            }
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array) {
            return self.words(name, words, node);
        }
        if let Some(only) = schema.get("const") {
            return self.words(name, std::slice::from_ref(only), node);
        }
        if !fits(schema, node) {
            return Err(self.of_type(name, schema, node));
        }
        self.inside(name, schema, node, depth)
    }

    /// Good when one of the alternatives takes it; else the mistake of the closest one.
    fn alternatives(&self, name: &str, parts: &'a [Json], node: &Node, depth: u32) -> Judged {
        let real: Vec<&Json> = parts
            .iter()
            .map(|part| self.target(part))
            .filter(|part| part.get("type").and_then(Json::as_str) != Some("null"))
            .collect();
        let consts: Vec<Json> = real
            .iter()
            .filter_map(|part| part.get("const").cloned())
            .chain(
                real.iter()
                    .filter_map(|part| part.get("enum").and_then(Json::as_array))
                    .flatten()
                    .cloned(),
            )
            .collect();
        let mut closest: Option<Box<Diagnostic>> = None;
        for part in &real {
            match self.value(name, part, node, depth + 1) {
                Ok(()) => return Ok(()),
                Err(told) => {
                    let closer = closest
                        .as_ref()
                        .is_none_or(|old| old.code == TYPE && told.code != TYPE);
                    if closer {
                        closest = Some(told);
                    }
                }
            }
        }
        if matches!(node.value, Value::Text(_)) && consts.len() > 1 {
            return self.words(name, &consts, node);
        }
        closest.map_or(Ok(()), Err)
    }

    fn words(&self, name: &str, words: &[Json], node: &Node) -> Judged {
        let value = json(node);
        if words.contains(&value) || holds_placeholder(node) {
            return Ok(());
        }
        let texts: Vec<String> = words
            .iter()
            .filter(|word| !word.is_null())
            .map(|word| {
                word.as_str()
                    .map_or_else(|| word.to_string(), str::to_owned)
            })
            .collect();
        let one = if texts.len() == 1 { "" } else { "one of " };
        let list = texts.join("`, `");
        let mut told = self.refuse(
            VALUE,
            name,
            node,
            &format!("must be {one}`{list}`, not {}", form::shown(node)),
        );
        if let Value::Text(typed) = &node.value
            && let Some(near) = nearest(typed, texts.iter().map(String::as_str))
        {
            told.help = Some(format!("did you mean `\"{near}\"`?"));
        }
        Err(told)
    }

    fn of_type(&self, name: &str, schema: &Json, node: &Node) -> Box<Diagnostic> {
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![plain(one)],
            Some(Json::Array(many)) => many
                .iter()
                .filter_map(Json::as_str)
                .filter(|t| *t != "null")
                .map(plain)
                .collect(),
            _ => Vec::new(),
        };
        let rest = format!("must be {}, not {}", types.join(" or "), form::shown(node));
        let mut told = self.refuse(TYPE, name, node, &rest);
        if types == ["a text"]
            && let Err(wrong) = form::text(node)
        {
            told.help = wrong.help;
        }
        told
    }

    fn inside(&self, name: &str, schema: &'a Json, node: &Node, depth: u32) -> Judged {
        match &node.value {
            Value::Integer(_) | Value::Float(_) => self.bounds(name, schema, node),
            Value::List(items) => {
                let Some(each) = schema.get("items") else {
                    return Ok(());
                };
                items
                    .iter()
                    .try_for_each(|item| self.value(name, each, item, depth + 1))
            }
            Value::Table(table) => self.table(name, schema, table, node, depth),
            Value::Text(_) | Value::Bool(_) => Ok(()),
        }
    }

    fn table(
        &self,
        name: &str,
        schema: &'a Json,
        table: &Table,
        node: &Node,
        depth: u32,
    ) -> Judged {
        let properties = schema.get("properties").and_then(Json::as_object);
        let more = schema.get("additionalProperties");
        for (key, place, inner) in &table.entries {
            let path = format!("{name}.{key}");
            match (properties.and_then(|known| known.get(key)), more) {
                (Some(schema), _) => self.value(&path, schema, inner, depth + 1)?,
                (None, Some(Json::Bool(false))) => {
                    let known: Vec<&str> = properties
                        .into_iter()
                        .flat_map(Map::keys)
                        .map(String::as_str)
                        .collect();
                    let mut told =
                        Diagnostic::error(UNKNOWN, format!("`{name}` has no key `{key}`"))
                            .at(*place, format!("in {}", (self.of)()))
                            .note(format!("keys: {}", known.join(", ")));
                    if let Some(near) = nearest(key, known) {
                        told = told.help(format!("did you mean `{near}`?"));
                    }
                    return Err(Box::new(told));
                }
                (None, Some(each @ Json::Object(_))) => {
                    self.value(&path, each, inner, depth + 1)?;
                }
                (None, _) => {}
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for key in required.into_iter().flatten().filter_map(Json::as_str) {
            if table.get(key).is_none() {
                return Err(self.refuse(MISSING, name, node, &format!("needs the key `{key}`")));
            }
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a bound of an option is far below 2^53; at worst a number next to it is let through and the kind judges it"
    )]
    fn bounds(&self, name: &str, schema: &Json, node: &Node) -> Judged {
        let found = match node.value {
            Value::Integer(n) => n as f64,
            Value::Float(n) => n,
            Value::Text(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => return Ok(()),
        };
        let bound = |word: &str| schema.get(word).and_then(Json::as_f64);
        let least = bound("minimum").filter(|least| found < *least);
        let most = bound("maximum").filter(|most| found > *most);
        let rest = match (least, most) {
            (Some(least), _) => format!("must be at least {least}, not `{found}`"),
            (None, Some(most)) => format!("must be at most {most}, not `{found}`"),
            (None, None) => return Ok(()),
        };
        Err(self.refuse(VALUE, name, node, &rest))
    }

    fn secret(&self, name: &str, node: &Node) -> Judged {
        if let Value::Table(table) = &node.value
            && let [(key, _, inner)] = table.entries.as_slice()
            && (key == "file" || key == "env")
            && matches!(inner.value, Value::Text(_))
        {
            return Ok(());
        }
        let mut told = self.refuse(
            form::PLAIN_SECRET,
            name,
            node,
            "is a secret and is not written here",
        );
        told.help = Some("write `{ file = \"/path\" }` or `{ env = \"NAME\" }`".to_owned());
        told.hidden = true;
        Err(told)
    }
}

fn fits(schema: &Json, node: &Node) -> bool {
    match schema.get("type") {
        Some(Json::String(one)) => is(one, node),
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).any(|t| is(t, node)),
        _ => true,
    }
}

fn holds_placeholder(node: &Node) -> bool {
    let Value::Text(text) = &node.value else {
        return false;
    };
    super::placeholder::pieces(text)
        .any(|piece| matches!(piece, super::placeholder::Piece::Placeholder(..)))
}

fn is(json_type: &str, node: &Node) -> bool {
    match json_type {
        "string" => matches!(node.value, Value::Text(_)),
        "integer" => matches!(node.value, Value::Integer(_)),
        "number" => matches!(node.value, Value::Integer(_) | Value::Float(_)),
        "boolean" => matches!(node.value, Value::Bool(_)),
        "array" => matches!(node.value, Value::List(_)),
        "object" => matches!(node.value, Value::Table(_)),
        "null" => false,
        _ => true,
    }
}

fn plain(json_type: &str) -> &str {
    match json_type {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

/// A value as JSON, as the kind gets it.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) => Json::String(text.clone()),
        Value::Integer(n) => Json::from(*n),
        Value::Float(n) => Json::from(*n),
        Value::Bool(b) => Json::Bool(*b),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Table(table) => Json::Object(
            table
                .entries
                .iter()
                .map(|(key, _, node)| (key.clone(), json(node)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::sounds_secret;

    #[test]
    fn names_of_secrets() {
        for (name, expected) in [
            ("password", true),
            ("DB_PASSWORD", true),
            ("api_key", true),
            ("bearer_token", true),
            ("max_tokens", false),
            ("keyboard", false),
            ("username", false),
        ] {
            assert_eq!(sounds_secret(name), expected, "{name}");
        }
    }
}
