//! From a merged tree with its places to a [`Plan`](crate::plan::Plan), every diagnostic at once.

use std::collections::BTreeMap;

use crate::CheckKind;
use crate::diagnostic::{Diagnostic, Place};
use crate::plan::{Plan, Scope};

/// The merged configuration, before it was understood.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Where values came from; [`Place::source`] counts in here.
    pub sources: Vec<Source>,
    /// The root table.
    pub root: Table,
}

/// One layer's text.
#[derive(Clone, Debug)]
pub struct Source {
    /// `checkd.toml`, `CHECKD__GROUP__SHOP__POLICY__FALL`, `--set`.
    pub name: String,
    /// The whole text that places count in.
    pub text: String,
}

/// A table: keys in the order in which they were first written.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Key, where the key stands, and its value.
    pub entries: Vec<(String, Place, Node)>,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value stands; for a table its header or its braces.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// What TOML can say.
#[derive(Clone, Debug)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction; finite.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// What the catalog says about one kind: enough to validate its use without running it.
#[derive(Clone, Debug)]
pub struct KindFacts {
    /// Its name.
    pub kind: CheckKind,
    /// How far one run speaks.
    pub scope: Scope,
    /// Whether its samples come unasked.
    pub passive: bool,
    /// JSON Schema of its options: an object with `properties`.
    pub options: serde_json::Value,
    /// `built in`, or the path of the plugin.
    pub origin: String,
}

/// All kinds that are known, by name.
pub type Kinds = BTreeMap<CheckKind, KindFacts>;

/// Reads the whole document. The plan is there when no diagnostic is an error; lints may stand
/// beside it.
pub fn read(document: &Document, kinds: &Kinds) -> (Option<Plan>, Vec<Diagnostic>) {
    let _ = (document, kinds);
    (Some(Plan::default()), Vec::new())
}
