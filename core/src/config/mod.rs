//! From a merged tree with its places to a [`Plan`], every diagnostic at once.
//!
//! Reading order: `keys` (the one list), `defaults`, `units` and `form` (one value), `section` (one
//! table), `read` (all of them), then one file per table.

mod changed;
mod check;
pub mod defaults;
pub mod evidence;
mod form;
mod grants;
mod group;
mod health;
pub mod keys;
mod maintenance;
mod notify;
mod place;
pub mod placeholder;
mod policy;
mod read;
pub mod reference;
mod resources;
mod schema;
mod section;
#[cfg(test)]
mod tests;
pub mod units;

use std::collections::{BTreeMap, BTreeSet};

pub use changed::{Changed, changed};

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::plan::{CheckPlan, GroupPlan, Plan, PluginPlan, Scope};
use crate::{CheckKind, CheckName, GroupName};

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
    /// A number with a fraction. Not finite stands for a value that whoever read the source has
    /// refused already (a date, a number too large): no form takes it, and its mistake is told.
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

/// What becomes of a check whose kind nobody offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownKinds {
    /// An error: `validate`, `reload`.
    Refuse,
    /// A warning; the check stays in the plan and its runs are Unknown(plugin unavailable): a start
    /// at night supervises what it can.
    Tolerate,
}

/// Reads the whole document. The plan is there when no diagnostic is an error; lints may stand
/// beside it. Diagnostics come in the order of the sources.
pub fn read(
    document: &Document,
    kinds: &Kinds,
    unknown_kinds: UnknownKinds,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let draft = draft(document, kinds, unknown_kinds);
    let refused = draft.refused();
    ((!refused).then_some(draft.plan), draft.diagnostics)
}

/// What could be read, also while mistakes stand: so that what only others can judge (the kinds,
/// the machine) is judged in the same round.
#[derive(Debug)]
pub struct Draft {
    /// What was read. With a mistake anywhere it may break the rules of a [`Plan`]: values with
    /// mistakes are their defaults, groups and checks with mistakes may be missing.
    pub plan: Plan,
    /// All mistakes, in the order of the sources.
    pub diagnostics: Vec<Diagnostic>,
    /// Checks whose options have mistakes already.
    unsound: BTreeSet<(GroupName, CheckName)>,
}

impl Draft {
    /// Whether there is a mistake that refuses it.
    pub fn refused(&self) -> bool {
        let mut all = self.diagnostics.iter();
        all.any(|told| told.severity == Severity::Error)
    }

    /// The checks whose options have the names and forms that their kind's schema wants: the kind
    /// itself can be asked about them.
    pub fn checks(&self) -> impl Iterator<Item = (&GroupPlan, &CheckPlan)> {
        let all = self.plan.groups.iter();
        all.flat_map(|group| group.checks.iter().map(move |check| (group, check)))
            .filter(|(group, check)| {
                self.unsound.is_empty()
                    || !self
                        .unsound
                        .contains(&(group.name.clone(), check.name.clone()))
            })
    }
}

/// As [`read()`], with what could be read beside the mistakes.
pub fn draft(document: &Document, kinds: &Kinds, unknown_kinds: UnknownKinds) -> Draft {
    read::draft(document, kinds, unknown_kinds)
}

/// The plugins and plugin directories that a document names: they must be known before the kinds
/// are, and thus before [`read()`], which tells the same mistakes again.
pub fn plugins(document: &Document) -> (Vec<PluginPlan>, Vec<String>, Vec<Diagnostic>) {
    read::plugins(document)
}
