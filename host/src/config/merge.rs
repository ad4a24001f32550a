//! All trees to one: the `config` crate merges, and each value's origin says where it stands.
//!
//! `config` knows the origin of a value as a text, and forgets the origin of tables; so the text is
//! a place here, and the places of tables are kept beside it by their path. Every layer is put below
//! one key, because `config` reads a key of the root as a path (`a.b`, `a[0]`).

use std::collections::BTreeMap;

use checkd_core::config::{Node, Table, Value};
use checkd_core::diagnostic::{Diagnostic, Place};
use config::{Config, ConfigError, Map, Source, ValueKind};

use super::LAYER;
use super::layer::Layer;

const ROOT: &str = "root";

/// Where the key stands, and where the value does.
type Places = (Place, Place);

pub(super) fn merge(layers: &[Layer]) -> Result<Table, Box<Diagnostic>> {
    let mut tables = BTreeMap::new();
    let mut builder = Config::builder();
    for layer in layers {
        let mut path = String::new();
        builder = builder.add_source(Tree(below(&layer.root, &mut path, &mut tables)));
    }
    let refused = |error: &ConfigError| {
        Box::new(Diagnostic::error(
            LAYER,
            format!("the layers cannot be merged: {error}"),
        ))
    };
    let merged = builder.build().map_err(|error| refused(&error))?;
    let ValueKind::Table(mut root) = merged.cache.kind else {
        return Ok(Table::default());
    };
    Ok(match root.remove(ROOT).map(|value| value.kind) {
        Some(ValueKind::Table(map)) => table(map, &mut String::new(), &tables),
        _ => Table::default(),
    })
}

/// One layer as `config` wants it.
#[derive(Clone, Debug)]
struct Tree(Map<String, config::Value>);

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }
    fn collect(&self) -> Result<Map<String, config::Value>, ConfigError> {
        let root = config::Value::new(None, ValueKind::Table(self.0.clone()));
        Ok(Map::from_iter([(ROOT.to_owned(), root)]))
    }
}

fn below(
    table: &Table,
    path: &mut String,
    tables: &mut BTreeMap<String, Places>,
) -> Map<String, config::Value> {
    table
        .entries
        .iter()
        .map(|(name, key, node)| {
            let whole = path.len();
            path.push_str(name);
            path.push('\0');
            let kind = match &node.value {
                Value::Table(inner) => {
                    tables.entry(path.clone()).or_insert((*key, node.place));
                    ValueKind::Table(below(inner, path, tables))
                }
                Value::Text(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Bool(_)
                | Value::List(_) => leaf(&node.value),
            };
            path.truncate(whole);
            (
                name.clone(),
                config::Value::new(Some(&origin(*key, node.place)), kind),
            )
        })
        .collect()
}

/// A value that replaces what was there, lists too.
fn leaf(value: &Value) -> ValueKind {
    match value {
        Value::Text(text) => ValueKind::String(text.clone()),
        Value::Integer(number) => ValueKind::I64(*number),
        Value::Float(number) => ValueKind::Float(*number),
        Value::Bool(value) => ValueKind::Boolean(*value),
        Value::List(items) => ValueKind::Array(
            items
                .iter()
                .map(|item| {
                    config::Value::new(Some(&origin(item.place, item.place)), leaf(&item.value))
                })
                .collect(),
        ),
        Value::Table(table) => ValueKind::Table(
            table
                .entries
                .iter()
                .map(|(name, key, node)| {
                    let value =
                        config::Value::new(Some(&origin(*key, node.place)), leaf(&node.value));
                    (name.clone(), value)
                })
                .collect(),
        ),
    }
}

fn origin(key: Place, value: Place) -> String {
    let places = [
        key.source,
        key.start,
        key.end,
        value.source,
        value.start,
        value.end,
    ];
    places.map(|number| number.to_string()).join(" ")
}

fn places(origin: Option<&str>) -> Option<Places> {
    let mut numbers = origin?.split(' ').map(str::parse::<u32>);
    let mut place = || {
        Some(Place {
            source: numbers.next()?.ok()?,
            start: numbers.next()?.ok()?,
            end: numbers.next()?.ok()?,
        })
    };
    Some((place()?, place()?))
}

fn table(
    map: Map<String, config::Value>,
    path: &mut String,
    tables: &BTreeMap<String, Places>,
) -> Table {
    let mut entries: Vec<(String, Place, Node)> = map
        .into_iter()
        .map(|(name, value)| {
            let whole = path.len();
            path.push_str(&name);
            path.push('\0');
            let (key, place) = places(value.origin())
                .or_else(|| tables.get(path.as_str()).copied())
                .unwrap_or_default();
            let node = node(value, place, path, tables);
            path.truncate(whole);
            (name, key, node)
        })
        .collect();
    entries.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    Table { entries }
}

fn node(
    value: config::Value,
    place: Place,
    path: &mut String,
    tables: &BTreeMap<String, Places>,
) -> Node {
    let value = match value.kind {
        ValueKind::Boolean(value) => Value::Bool(value),
        ValueKind::I64(number) => Value::Integer(number),
        ValueKind::Float(number) => Value::Float(number),
        ValueKind::String(text) => Value::Text(text),
        ValueKind::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let place = places(item.origin()).map_or(place, |(_, value)| value);
                    node(item, place, path, tables)
                })
                .collect(),
        ),
        ValueKind::Table(map) => Value::Table(table(map, path, tables)),
        // No layer makes these.
        ValueKind::Nil | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => {
            Value::Table(Table::default())
        }
    };
    Node { place, value }
}
