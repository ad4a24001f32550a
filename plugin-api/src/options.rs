//! From options as JSON to an author's options struct, with every mistake at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::Problems;

/// Reads `json` as `O`. `schema` is that of `O`: it names what is known and what is required, so
/// that more than the first mistake can be told.
pub(crate) fn read<O: DeserializeOwned>(json: &str, schema: &Value) -> Result<O, Problems> {
    let mut map: Map<String, Value> = match serde_json::from_str(json) {
        Ok(map) => map,
        Err(error) => {
            return Err(Problems::one(
                "",
                format!("the options are no table: {error}"),
            ));
        }
    };
    let mut problems = Problems::none();
    unknown(&mut map, schema, &mut problems);
    missing(&map, schema, &mut problems);
    // A struct reads its keys one after the other and stops at the first value that it cannot
    // take: note it, take the key away, read again.
    let mut mistakes = BTreeMap::new();
    loop {
        match attempt::<O>(&map) {
            Ok(options) if mistakes.is_empty() && problems.is_empty() => return Ok(options),
            Ok(_) => break,
            Err((Some(key), message)) if map.remove(&key).is_some() => {
                mistakes.insert(key, message);
            }
            // Not about a value: a required key that is missing, or was taken away above.
            Err((_, message)) => {
                if mistakes.is_empty() && problems.is_empty() {
                    problems.add("", message);
                }
                break;
            }
        }
    }
    for (key, message) in mistakes {
        problems.add(key, message);
    }
    match problems.or(()) {
        Err(problems) => Err(problems),
        // Cannot be reached: every way out of the loop has left a problem behind.
        Ok(()) => Err(Problems::one("", "the options cannot be read")),
    }
}

/// One reading of the map; an error comes with the key whose value was being read.
fn attempt<O: DeserializeOwned>(map: &Map<String, Value>) -> Result<O, (Option<String>, String)> {
    let current = RefCell::new(None);
    let entries = map.iter().map(|(key, value)| {
        current.replace(Some(key.clone()));
        (key.as_str(), value)
    });
    let result = O::deserialize(Entries {
        entries,
        done: &current,
    });
    result.map_err(|error: serde_json::Error| (current.take(), error.to_string()))
}

/// Hands entries to serde and forgets the current key when they are used up, so that an error after
/// the last one is not blamed on it.
struct Entries<'a, I> {
    entries: I,
    done: &'a RefCell<Option<String>>,
}

impl<'de, 'a, I> serde::Deserializer<'de> for Entries<'_, I>
where
    I: Iterator<Item = (&'a str, &'a Value)>,
    'a: 'de,
{
    type Error = serde_json::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Self { entries, done } = self;
        let ended = std::iter::from_fn({
            let mut entries = entries;
            move || {
                let next = entries.next();
                if next.is_none() {
                    done.replace(None);
                }
                next
            }
        });
        visitor.visit_map(MapDeserializer::<_, serde_json::Error>::new(ended))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Takes every key away that the schema does not know, when it says that it knows all.
fn unknown(map: &mut Map<String, Value>, schema: &Value, problems: &mut Problems) {
    let open = schema.get("additionalProperties") != Some(&Value::Bool(false));
    let empty = Map::new();
    let known = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    if open {
        return;
    }
    let strange: Vec<String> = map
        .keys()
        .filter(|k| !known.contains_key(*k))
        .cloned()
        .collect();
    for key in strange {
        map.remove(&key);
        let names = known
            .keys()
            .map(|k| format!("`{k}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let message = if names.is_empty() {
            "unknown option; this kind has none".to_owned()
        } else {
            format!("unknown option; options: {names}")
        };
        match known.keys().find(|k| near(k, &key)) {
            Some(name) => problems.add_with_help(key, message, format!("did you mean `{name}`?")),
            None => problems.add(key, message),
        }
    }
}

fn missing(map: &Map<String, Value>, schema: &Value, problems: &mut Problems) {
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for key in required
        .filter_map(Value::as_str)
        .filter(|k| !map.contains_key(*k))
    {
        problems.add(key, "is required");
    }
}

/// Whether two names differ by a slip: one letter more, fewer, other, or two swapped.
fn near(known: &str, written: &str) -> bool {
    let (a, b) = (known.as_bytes(), written.as_bytes());
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (
        a.get(head..).unwrap_or_default(),
        b.get(head..).unwrap_or_default(),
    );
    let tail = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let (a, b) = (&a.len().saturating_sub(tail), &b.len().saturating_sub(tail));
    known.len().min(written.len()) > 2 && *a <= 2 && *b <= 2 && a.abs_diff(*b) <= 2
}
