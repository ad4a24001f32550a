//! Decides again what the journal says was decided, and compares.
//!
//! Each segment of the journal begins with all that the engine knew then, and holds what it was told. Another
//! engine that begins there and is told the same must decide the same; what it decides is written as the
//! daemon writes it, into memory, and read back as the journal is, so that like is compared with like.

mod names;
mod other;

use std::collections::BTreeSet;

use checkd_core::engine::Engine;
use checkd_core::replay;
use serde::Serialize;
use serde_json::Value;

use crate::journal::{Copy, Row, Segment, Segments};
use crate::wall;

pub(crate) use other::{Other, Otherwise, otherwise};

/// What is to be compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Only what is about these members, as `GROUP/MEMBER`; a group has a `/` behind it. `None`: all.
    pub(crate) members: Option<BTreeSet<String>>,
    /// Not what happened before this, in milliseconds since 1970.
    pub(crate) since_ms: i64,
}

/// How a segment fared.
#[derive(Debug, Serialize)]
pub(crate) struct Fared {
    /// When it began: RFC 3339, UTC.
    pub(crate) began: String,
    /// The same in milliseconds since 1970.
    pub(crate) began_ms: i64,
    /// `daemon started`, `configuration taken`, `goes on`.
    pub(crate) why: String,
    /// The checkd that wrote it.
    pub(crate) version: String,
    /// How many decisions came out the same.
    pub(crate) decisions: usize,
    /// And how much else: acts, outcomes, changes of state.
    pub(crate) others: usize,
    /// What was decided and not written any more when the daemon was killed, or is not yet.
    pub(crate) unwritten: usize,
    /// Whether the journal lost something of it, so that only what came before is compared.
    pub(crate) lost: bool,
    /// The first that differs.
    pub(crate) difference: Option<Difference>,
    /// Why it cannot be replayed, or not to its end.
    pub(crate) cannot: Option<String>,
}

/// One decision, or what follows from one, that came out differently.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    /// When: RFC 3339, UTC.
    pub(crate) time: String,
    /// The same in milliseconds since 1970.
    pub(crate) wall_ms: i64,
    /// About whom: `web/web-3`, `web`.
    pub(crate) path: String,
    /// What the journal says; nothing when it says nothing then.
    pub(crate) was: Option<Row>,
    /// What comes out now.
    pub(crate) is: Option<Row>,
    /// What of it differs, when both are about the same.
    pub(crate) fields: Vec<Field>,
}

/// A part of a row that differs.
#[derive(Debug, Serialize)]
pub(crate) struct Field {
    /// Where it stands: `detail.explanation.readings.3.open`.
    pub(crate) name: String,
    /// In the journal.
    pub(crate) was: Value,
    /// Now.
    pub(crate) is: Value,
}

/// Replays one segment.
///
/// # Errors
/// The journal cannot be read; SQLite's words.
pub(crate) fn replay(
    journal: &Segments,
    segment: &Segment,
    asked: &Asked,
) -> Result<Fared, String> {
    let mut fared = Fared {
        began: wall::rfc3339(segment.wall_ms),
        began_ms: segment.wall_ms,
        why: segment.why.clone(),
        version: segment.version.clone(),
        decisions: 0,
        others: 0,
        unwritten: 0,
        lost: segment.has_lost(),
        difference: None,
        cannot: None,
    };
    let told = journal.told(segment)?;
    let Some(begin) = &told.begin else {
        fared.cannot = Some("it has too many members to be written down".to_owned());
        return Ok(fared);
    };
    let mut engine = match Engine::read(begin) {
        Ok(engine) => engine,
        Err(why) => {
            fared.cannot = Some(why);
            return Ok(fared);
        }
    };
    let plan = std::sync::Arc::clone(engine.plan());
    let mut inputs = told.inputs.clone();
    inputs.extend(journal.passes(segment, &plan)?);
    let mut copy = Copy::new(&plan, segment, &told)?;
    let mut failed = None;
    replay::replay(&mut engine, &inputs, |_, effect| {
        if failed.is_none() {
            failed = copy.take(effect).err();
        }
    });
    if let Some(why) = failed {
        return Err(why);
    }
    let wanted = |row: &Row| {
        let path = row.path();
        let of_group = format!("{path}/");
        let named = asked.members.as_ref();
        named.is_none_or(|named| named.contains(&path) || named.contains(&of_group))
            && row.wall_ms >= asked.since_ms
    };
    // The engine counts from the boot; people read the clock on the wall.
    let shown = |mut row: Row| {
        let at = checkd_core::Instant(row.wall_ms.unsigned_abs());
        row.wall_ms = segment.wall_of(at);
        row.time = wall::rfc3339(row.wall_ms);
        leave_out_nothings(&mut row.detail);
        row
    };
    let all = |rows: Vec<Row>| -> Vec<Row> {
        let rows = rows.into_iter().map(shown);
        rows.filter(wanted).collect()
    };
    compare(&mut fared, &all(told.rows), &all(copy.rows()?));
    if !segment.is_closed() && fared.difference.as_ref().is_some_and(|it| it.was.is_none()) {
        fared.difference = None;
    } else {
        fared.unwritten = 0;
    }
    fared.cannot = told.garbled;
    Ok(fared)
}

/// What says nothing, `false` or an empty list, may be written or left out, as each version of checkd does it.
fn leave_out_nothings(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(leave_out_nothings);
            map.retain(|_, value| !says_nothing(value));
        }
        Value::Array(all) => all.iter_mut().for_each(leave_out_nothings),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Compares what was decided with what is decided now, up to the first that differs.
fn compare(fared: &mut Fared, was: &[Row], is: &[Row]) {
    let mut now = is.iter();
    for then in was {
        let one = now.next();
        if one != Some(then) {
            fared.difference = Some(Difference::between(Some(then), one));
            return;
        }
        if then.what == "decision" {
            fared.decisions += 1;
        } else {
            fared.others += 1;
        }
    }
    fared.unwritten = now.len();
    fared.difference = now.next().map(|one| Difference::between(None, Some(one)));
}

impl Difference {
    fn between(was: Option<&Row>, is: Option<&Row>) -> Self {
        // What comes first, when one of them has no counterpart.
        let about = match (was, is) {
            (Some(was), Some(is)) if is.wall_ms < was.wall_ms => Some(is),
            (was, is) => was.or(is),
        };
        let mut fields = Vec::new();
        if let (Some(was), Some(is)) = (was, is)
            && (was.path(), &was.what) == (is.path(), &is.what)
        {
            let value = |row: &Row| serde_json::to_value(row).unwrap_or(Value::Null);
            differing("", &value(was), &value(is), &mut fields);
        }
        Self {
            time: about.map_or_else(String::new, |row| row.time.clone()),
            wall_ms: about.map_or(0, |row| row.wall_ms),
            path: about.map_or_else(String::new, Row::path),
            was: was.cloned(),
            is: is.cloned(),
            fields,
        }
    }
}

/// So many parts that differ are told.
const FIELDS: usize = 12;

fn differing(name: &str, was: &Value, is: &Value, fields: &mut Vec<Field>) {
    let below = |key: &str| match name {
        "" => key.to_owned(),
        name => format!("{name}.{key}"),
    };
    if was == is || fields.len() == FIELDS {
        return;
    }
    match (was, is) {
        (Value::Object(then), Value::Object(now)) => {
            let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                differing(&below(key), &of(then), &of(now), fields);
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (index, (then, now)) in then.iter().zip(now).enumerate() {
                differing(&below(&index.to_string()), then, now, fields);
            }
        }
        _ => fields.push(Field {
            name: name.to_owned(),
            was: was.clone(),
            is: is.clone(),
        }),
    }
}
