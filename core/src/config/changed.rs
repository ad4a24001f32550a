//! Which settings differ from their defaults: what the daemon says when it starts.

use super::keys::{self, Form, Key, Said};
use super::{Document, Node, Table, Value, form, units};

/// One setting that is not as it would be by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// `group.shop.policy.fall`
    pub path: String,
    /// What holds.
    pub value: String,
    /// What would hold without it; in words where it is computed.
    pub default: String,
}

/// Every setting that differs, in the order of the sources within each table. Commands, names,
/// expressions and the options of kinds have no default to differ from and are not listed.
pub fn changed(document: &Document) -> Vec<Changed> {
    let mut found = Vec::new();
    let root = &document.root;
    compare(root.table("daemon"), keys::DAEMON, "daemon", &mut found);
    compare(
        root.table("defaults"),
        keys::DEFAULTS,
        "defaults",
        &mut found,
    );
    for (name, table) in tables(root.table("plugin")) {
        compare(
            Some(table),
            keys::PLUGIN,
            &format!("plugin.{name}"),
            &mut found,
        );
    }
    for (name, table) in tables(root.table("maintenance")) {
        let path = format!("maintenance.{name}");
        compare(Some(table), keys::MAINTENANCE, &path, &mut found);
    }
    for (name, table) in tables(root.table("notify")) {
        let path = format!("notify.{name}");
        compare(Some(table), keys::NOTIFY, &path, &mut found);
    }
    for (name, group) in tables(root.table("group")) {
        let path = format!("group.{name}");
        compare(Some(group), keys::GROUP, &path, &mut found);
        for (check, table) in tables(group.table("checks")) {
            compare(
                Some(table),
                keys::CHECK,
                &format!("{path}.checks.{check}"),
                &mut found,
            );
        }
        compare(
            group.table("output"),
            keys::OUTPUT,
            &format!("{path}.output"),
            &mut found,
        );
        compare(
            group.table("health"),
            keys::HEALTH,
            &format!("{path}.health"),
            &mut found,
        );
        compare(
            group.table("policy"),
            keys::POLICY,
            &format!("{path}.policy"),
            &mut found,
        );
    }
    found
}

fn tables(table: Option<&Table>) -> impl Iterator<Item = (&str, &Table)> {
    table
        .into_iter()
        .flat_map(|table| &table.entries)
        .filter_map(|(name, _, node)| {
            let Value::Table(inner) = &node.value else {
                return None;
            };
            Some((name.as_str(), inner))
        })
}

fn compare(table: Option<&Table>, keys: &'static [Key], path: &str, found: &mut Vec<Changed>) {
    for (name, _, node) in table.into_iter().flat_map(|table| &table.entries) {
        let Some(key) = keys::find(keys, name) else {
            continue;
        };
        if matches!(key.form, Form::Expression | Form::Table) {
            continue;
        }
        let default = said(key.default);
        if let (Some(default), Some(value)) = (default, written(key.form, node))
            && default != value
        {
            found.push(Changed {
                path: format!("{path}.{name}"),
                value,
                default,
            });
        }
    }
}

/// A default as text; `None` where there is none to differ from.
pub(super) fn said(default: Said) -> Option<String> {
    Some(match default {
        Said::Nothing | Said::Required => return None,
        Said::Span(span) => units::exact(span),
        Said::Number(number) => number.to_string(),
        Said::Percent(percent) => format!("{percent}%"),
        Said::Limit(limit) => format!("{} in {}", limit.max, units::exact(limit.window)),
        Said::Text(text) | Said::Words(text) => text.to_owned(),
        Said::Codes(codes) => list(codes),
    })
}

fn list(codes: &[i32]) -> String {
    let codes: Vec<String> = codes.iter().map(i32::to_string).collect();
    format!("[{}]", codes.join(", "))
}

/// A value in the same words as its default, so that `60s` is no change from `1m`.
fn written(form: Form, node: &Node) -> Option<String> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not normalised is shown as it is written"
    )]
    match form {
        Form::Span | Form::Wait => form::span(node).ok().map(units::exact),
        Form::Size => form::size(node).ok().map(units::exact_size),
        Form::Limit => form::limit(node)
            .ok()
            .map(|l| format!("{} in {}", l.max, units::exact(l.window))),
        Form::Codes => form::codes(node).ok().map(|codes| list(&codes)),
        _ => match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Float(_) | Value::List(_) | Value::Table(_) => None,
        },
    }
}
