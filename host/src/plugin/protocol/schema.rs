//! The protocol as a JSON Schema, generated from the types that are spoken: what
//! `docs/worker-protocol.schema.json` holds.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Ask, Tell, VERSIONS};

/// The schema of one line in either direction: `#/$defs/Ask` is what the host says, as it writes it,
/// `#/$defs/Tell` what a worker says, as the host reads it. Fields that it does not name are allowed
/// everywhere.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    // The host writes every field; from a worker it takes what may be left out.
    add::<Ask>(
        SchemaSettings::draft2020_12().for_serialize(),
        &mut definitions,
    );
    add::<Tell>(
        SchemaSettings::draft2020_12().for_deserialize(),
        &mut definitions,
    );
    let newest = VERSIONS.first();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("A line of checkd's worker protocol, version {}", newest.unwrap_or(&0)),
        "anyOf": [{ "$ref": "#/$defs/Ask" }, { "$ref": "#/$defs/Tell" }],
        "$defs": definitions,
    })
}

fn add<T: JsonSchema>(settings: SchemaSettings, definitions: &mut Map<String, Value>) {
    let mut generator = SchemaGenerator::new(settings);
    // As a reference, so that the type itself is among the definitions.
    generator.subschema_for::<T>();
    definitions.append(&mut generator.take_definitions(true));
}
