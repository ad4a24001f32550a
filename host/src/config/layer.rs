//! One source to a tree with places: a TOML file, a variable, a `--set`.

use std::ops::Range;

use checkd_core::config::{Node, Table, Value};
use checkd_core::diagnostic::{Diagnostic, Place, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{BROKEN, LAYER, TYPE};

/// Variables that begin so are configuration.
pub(super) const PREFIX: &str = "CHECKD__";
/// So many mistakes of form are told of one file: what follows are often their consequences.
const MOST_BROKEN: usize = 5;

/// A tree with places.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) root: Table,
}

impl Layer {
    fn node(&self, path: &[&str]) -> Option<&Node> {
        let (last, tables) = path.split_last()?;
        let mut table = &self.root;
        for name in tables {
            table = table.table(name)?;
        }
        table.get(last)
    }

    pub(super) fn place(&self, path: &[&str]) -> Option<Place> {
        self.node(path).map(|node| node.place)
    }

    /// The texts of a list, each with its place.
    pub(super) fn texts(&self, path: &[&str]) -> Vec<(String, Place)> {
        let Some(Value::List(items)) = self.node(path).map(|node| &node.value) else {
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| match &item.value {
                Value::Text(text) => Some((text.clone(), item.place)),
                Value::Integer(_)
                | Value::Float(_)
                | Value::Bool(_)
                | Value::List(_)
                | Value::Table(_) => None,
            })
            .collect()
    }
}

/// A place in source `source`.
pub(super) fn place(source: u32, range: Range<usize>) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place {
        source,
        start: number(range.start),
        end: number(range.end),
    }
}

/// Reads a TOML file; what is wrong with its form goes to `out`.
pub(super) fn file(source: u32, text: &str, out: &mut Vec<Diagnostic>) -> Layer {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors.iter().take(MOST_BROKEN) {
        out.push(broken(source, text, error));
    }
    let mut converter = Converter {
        source,
        offset: 0,
        out,
    };
    Layer {
        root: converter.table(table.get_ref()),
    }
}

fn broken(source: u32, text: &str, error: &toml::de::Error) -> Diagnostic {
    let message = error.message();
    let (what, wanted) = match message.split_once(", expected ") {
        Some((what, wanted)) => (what, format!("expected {wanted}")),
        None => (message, String::new()),
    };
    let told = Diagnostic::error(BROKEN, format!("this is not TOML: {what}"));
    match error.span() {
        Some(range) => {
            let range = visible(text, range);
            told.at(place(source, range), wanted)
        }
        None => told,
    }
}

/// A range that can be underlined: not only a line end.
fn visible(text: &str, range: Range<usize>) -> Range<usize> {
    let end = range.end.min(text.len());
    let start = range.start.min(end);
    let inside = text.get(start..end).unwrap_or("");
    start..start + inside.trim_end_matches(['\n', '\r']).len()
}

/// `CHECKD__GROUP__WEB__POLICY__FALL` to `group.web.policy.fall`. Names below `environment` are
/// the members' own variables and keep their case.
pub(super) fn path_of_variable(name: &str) -> Vec<String> {
    let mut own_case = false;
    name.strip_prefix(PREFIX)
        .unwrap_or(name)
        .split("__")
        .map(|part| {
            let lower = part.to_ascii_lowercase();
            let taken = if own_case {
                part.to_owned()
            } else {
                lower.clone()
            };
            own_case |= lower == "environment";
            taken
        })
        .collect()
}

/// A tree with one value: the text of the source from `start` on, at `path`.
pub(super) fn assignment(
    source: u32,
    text: &str,
    start: usize,
    path: Vec<String>,
) -> Result<Layer, Box<Diagnostic>> {
    let key = place(source, 0..start.saturating_sub(1));
    if path.iter().any(String::is_empty) || path.len() < 2 {
        return Err(Box::new(
            Diagnostic::error(LAYER, "this names no setting")
                .at(key, "")
                .note("a setting is a path such as `group.web.policy.fall`"),
        ));
    }
    let roots = checkd_core::config::keys::ROOT.iter().map(|key| key.name);
    if let Some(first) = path.first()
        && !roots.clone().any(|root| root == first)
    {
        let told =
            Diagnostic::error(LAYER, format!("there is no table `[{first}]`")).at(key, "unknown");
        return Err(Box::new(match nearest(first, roots) {
            Some(near) => told.help(format!("did you mean `{near}`?")),
            None => told,
        }));
    }
    let mut node = value(source, text, start)?;
    for name in path.into_iter().rev() {
        let entries = vec![(name, key, node)];
        node = Node {
            place: key,
            value: Value::Table(Table { entries }),
        };
    }
    match node.value {
        Value::Table(root) => Ok(Layer { root }),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) => {
            Ok(Layer {
                root: Table::default(),
            })
        }
    }
}

/// A value as TOML writes it, else the text as it stands: `30s` needs no quotes here.
fn value(source: u32, text: &str, start: usize) -> Result<Node, Box<Diagnostic>> {
    let written = text.get(start..).unwrap_or("");
    let as_text = || Node {
        place: place(source, start..text.len()),
        value: Value::Text(written.to_owned()),
    };
    match DeValue::parse(written) {
        Ok(parsed) => {
            if let DeValue::Datetime(_) = parsed.get_ref() {
                return Ok(as_text());
            }
            let mut out = Vec::new();
            let mut converter = Converter {
                source,
                offset: start,
                out: &mut out,
            };
            let node = converter.node(&parsed);
            match out.into_iter().next() {
                None => Ok(node),
                Some(_) if matches!(parsed.get_ref(), DeValue::Float(_) | DeValue::Integer(_)) => {
                    Ok(as_text())
                }
                Some(told) => Err(Box::new(told)),
            }
        }
        Err(error) if written.trim_start().starts_with(['"', '\'', '[', '{']) => {
            let told = Diagnostic::error(BROKEN, format!("this is not TOML: {}", error.message()));
            let range = error.span().unwrap_or(0..written.len());
            Err(Box::new(told.at(
                place(source, range.start + start..range.end + start),
                "",
            )))
        }
        Err(_) => Ok(as_text()),
    }
}

/// `toml`'s tree to core's, places shifted by `offset`.
struct Converter<'a> {
    source: u32,
    offset: usize,
    out: &'a mut Vec<Diagnostic>,
}

impl Converter<'_> {
    fn place(&self, range: Range<usize>) -> Place {
        place(
            self.source,
            range.start + self.offset..range.end + self.offset,
        )
    }

    /// In the order of the text; the parser has them by name.
    fn table(&mut self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<(String, Place, Node)> = table
            .iter()
            .map(|(key, value)| {
                (
                    key.get_ref().clone().into_owned(),
                    self.place(key.span()),
                    self.node(value),
                )
            })
            .collect();
        entries.sort_by_key(|(_, key, _)| *key);
        Table { entries }
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span());
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => self.refuse(place, "a number that large is not used here"),
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => self.refuse(place, "a number without a value is not used here"),
            },
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(_) => self.refuse(place, "a date is not used here"),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { place, value }
    }

    /// Tells a value that is none here, and lets it stand as one that no form takes: the reader
    /// goes on, and its key is not missing.
    fn refuse(&mut self, place: Place, message: &str) -> Value {
        self.out
            .push(Diagnostic::error(TYPE, message).at(place, ""));
        Value::Float(f64::NAN)
    }
}
