//! A schema as a person reads it.

use serde_json::json;

use super::*;

#[test]
fn a_schema_reads_as_what_may_be_written() {
    let schema = json!({
        "required": ["url"],
        "properties": {
            "bearer": { "anyOf": [{ "$ref": "#/$defs/Secret" }, { "type": "null" }] },
            "count": { "type": "integer", "format": "uint32", "default": 3 },
            "method": { "enum": ["GET", "HEAD"], "default": "GET", "description": "How to\nask." },
            "sizes": { "type": "array", "items": { "type": "string", "format": "size" } },
            "url": { "type": "string" },
            "loop": { "$ref": "#/properties/loop" },
            "maybe": { "type": ["boolean", "null"], "default": null },
        },
        "$defs": { "Secret": { "type": "object", "format": "secret" } },
    });
    let rows: Vec<String> = options(&schema).iter().map(|row| row.join("; ")).collect();
    assert_eq!(
        rows,
        [
            "url; text; required; ",
            "bearer; secret; -; ",
            "count; integer; 3; ",
            "loop; any; -; ",
            "maybe; true | false; -; ",
            "method; GET | HEAD; \"GET\"; How to\nask.",
            "sizes; list of size; -; ",
        ]
    );
}

#[test]
fn every_built_in_can_be_described() {
    let (catalog, diagnostics) = Catalog::open(&[], &[]);
    assert_eq!(diagnostics, []);
    for offer in catalog.offers() {
        let text = describe(offer);
        assert!(
            text.contains("example:") && text.contains("OPTION"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }
    let kinds: Vec<&str> = catalog
        .offers()
        .map(|offer| offer.facts.kind.as_str())
        .collect();
    assert_eq!(kinds, ["http", "memory", "tcp"]);
}
