//! `checkd kinds`: what can be checked, from where, with which options.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice;

use checkd_core::CheckKind;
use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::{PluginPlan, Scope};
use serde_json::Value;

use super::paint::{Ink, Paper, print, print_json};
use super::{Layers, check, tell};
use crate::plugin::program::meant;
use crate::plugin::{Catalog, Offer};

/// Arguments of `checkd kinds`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Describe this kind: its options and an example.
    kind: Option<String>,
    #[command(flatten)]
    with: With,
    /// As JSON, with the schema of the options.
    #[arg(long)]
    json: bool,
}

/// Whose kinds are known besides the built-ins.
#[derive(Debug, clap::Args)]
pub struct With {
    /// A plugin whose kinds are known too: a library, or a program that speaks the worker protocol.
    #[arg(long, value_name = "FILE")]
    plugin: Vec<String>,
    /// A configuration whose plugins are known too.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl With {
    /// The built-ins and these plugins, and what is wrong with them. Mistakes elsewhere in the
    /// configuration are `validate`'s.
    pub(super) fn catalog(&self) -> (Catalog, Vec<Diagnostic>) {
        if let Some(file) = &self.config {
            return self.configured(file);
        }
        let (plugins, mut told) = self.named();
        let (catalog, of_plugins) = Catalog::open(&plugins, &[]);
        told.extend(of_plugins);
        (catalog, told)
    }

    fn configured(&self, file: &Path) -> (Catalog, Vec<Diagnostic>) {
        let layers = Layers {
            file: Some(file.to_owned()),
            set: Vec::new(),
        };
        let loaded = crate::config::load(&layers);
        let (plugins, directories, _) = checkd_core::config::plugins(&loaded.document);
        let mut told = loaded.diagnostics;
        let (mut plugins, directories) = crate::config::settled(Some(file), plugins, directories);
        let (named, nowhere) = self.named();
        plugins.extend(named);
        told.extend(nowhere);
        let places = crate::config::places(&loaded.document);
        let (catalog, of_plugins) = Catalog::open_at(&places, &plugins, &directories);
        told.extend(of_plugins);
        (catalog, told)
    }

    fn named(&self) -> (Vec<PluginPlan>, Vec<Diagnostic>) {
        let (mut plans, mut told) = (Vec::new(), Vec::new());
        for word in &self.plugin {
            match meant(slice::from_ref(word)) {
                Ok(plan) => plans.push(plan),
                Err(nowhere) => told.push(nowhere),
            }
        }
        (plans, told)
    }
}

/// Runs the verb.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments"
)]
pub fn run(args: Args) -> ExitCode {
    let (catalog, diagnostics) = args.with.catalog();
    for diagnostic in &diagnostics {
        tell::tell(diagnostic);
    }
    let Some(typed) = &args.kind else {
        if args.json {
            let all: Vec<Value> = catalog.offers().map(json).collect();
            print_json(&all);
        } else {
            print(&list(catalog.offers()));
        }
        return code(&diagnostics);
    };
    let kind = CheckKind::new(typed);
    match catalog
        .offers()
        .find(|offer| Some(&offer.facts.kind) == kind.as_ref())
    {
        Some(offer) if args.json => drop(print_json(&json(offer))),
        Some(offer) => drop(print(&describe(offer))),
        None => {
            tell::tell(&check::no_such_kind(typed, &catalog));
            return ExitCode::from(super::USAGE);
        }
    }
    code(&diagnostics)
}

/// A plugin that was named and cannot be used is a mistake of usage.
fn code(diagnostics: &[Diagnostic]) -> ExitCode {
    if tell::all_warnings(diagnostics) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::USAGE)
    }
}

/// The stable JSON of a kind.
pub(super) fn json(offer: &Offer) -> Value {
    serde_json::json!({
        "kind": offer.facts.kind,
        "summary": offer.summary,
        "scope": offer.facts.scope,
        "passive": offer.facts.passive,
        "blocking": offer.blocking,
        "options": offer.facts.options,
        "example": offer.example,
        "origin": offer.facts.origin,
        "package": offer.package,
    })
}

/// One line a kind.
pub(super) fn list<'a>(offers: impl Iterator<Item = &'a Offer>) -> String {
    let rows: Vec<[String; 4]> = offers
        .map(|offer| {
            [
                offer.facts.kind.to_string(),
                scope(offer.facts.scope).to_owned(),
                offer.facts.origin.clone(),
                offer.summary.clone(),
            ]
        })
        .collect();
    let mut text = String::new();
    table(
        &mut text,
        "",
        ["KIND", "SCOPE", "FROM", "WHAT IT CHECKS"],
        &rows,
    );
    text
}

fn describe(offer: &Offer) -> String {
    let facts = &offer.facts;
    let mut text = format!("{}: {}\n", facts.kind, plain(&offer.summary));
    text.push_str(&format!("scope {}, {}", scope(facts.scope), facts.origin));
    if !offer.package.is_empty() {
        text.push_str(&format!(" ({})", offer.package));
    }
    text.push('\n');
    text.push_str(&body(offer));
    text
}

/// Its options, each on a line, and its example.
pub(super) fn body(offer: &Offer) -> String {
    let facts = &offer.facts;
    let mut text = String::new();
    let rows = options(&facts.options);
    if rows.is_empty() {
        text.push_str("\nno options\n");
    } else {
        text.push('\n');
        table(
            &mut text,
            "",
            ["OPTION", "TYPE", "DEFAULT", "MEANING"],
            &rows,
        );
        text.push_str(&written(&rows));
    }
    if !offer.example.is_empty() {
        text.push_str("\nexample:\n");
        text.push_str(&format!("  [group.NAME.checks.{}]\n", facts.kind));
        text.push_str(&format!("  kind = \"{}\"\n", facts.kind));
        for line in offer.example.lines().take(100) {
            text.push_str(format!("  {}", plain(line)).trim_end());
            text.push('\n');
        }
    }
    text
}

/// How quantities and the like are written in a configuration.
const WRITTEN: [(&str, &str); 5] = [
    ("span", "\"30s\""),
    ("size", "\"512MiB\""),
    ("percent", "\"25%\""),
    ("port", "8080 or \"{port}\""),
    ("secret", "{ env = \"X\" } or { file = \"x\" }"),
];

/// How the types are written that do not say it themselves, where there are any.
fn written(rows: &[[String; 4]]) -> String {
    let is_used = |word: &str| {
        let mut types = rows.iter().flat_map(|[_, of, ..]| of.split([' ', '|']));
        types.any(|one| one == word)
    };
    let all: Vec<String> = WRITTEN
        .iter()
        .filter(|(word, _)| is_used(word))
        .map(|(word, example)| format!("{word} {example}"))
        .collect();
    let mut text = String::new();
    if !all.is_empty() {
        let words = all.join(", ");
        Paper::of_stdout().hang(&mut text, "\nwritten: ", 9, &words, Ink::Quiet);
    }
    text
}

/// Option, type, default and meaning of every property of a schema, required ones first.
fn options(schema: &Value) -> Vec<[String; 4]> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut rows: Vec<(bool, [String; 4])> = Vec::new();
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let needed = required.contains(&name.as_str());
        let default = match property.get("default") {
            _ if needed => "required".into(),
            None | Some(Value::Null) => "-".into(),
            Some(default) => default.to_string(),
        };
        let meaning = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let row = [
            name.clone(),
            kind_of(schema, property, 0),
            default,
            meaning.to_owned(),
        ];
        rows.push((!needed, row));
    }
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What may be written for a property: `size`, `integer`, `get | post`, `list of text`.
fn kind_of(root: &Value, schema: &Value, depth: u32) -> String {
    if depth > 8 {
        return "any".into();
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && !format.starts_with("uint")
        && !format.starts_with("int")
        && !["double", "float"].contains(&format)
    {
        return plain(format);
    }
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
        let behind = pointer
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return behind.map_or_else(|| "any".into(), |behind| kind_of(root, behind, depth + 1));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words
            .iter()
            .filter(|word| !word.is_null())
            .map(word)
            .collect();
        return words.join(" | ");
    }
    if let Some(constant) = schema.get("const") {
        return word(constant);
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(all) = schema.get(several).and_then(Value::as_array) {
            let mut all: Vec<String> = all
                .iter()
                .filter(|one| one.get("type").is_none_or(|of| of != "null"))
                .map(|one| kind_of(root, one, depth + 1))
                .collect();
            all.dedup();
            return all.join(" | ");
        }
    }
    let named = |name: &str| match name {
        "string" => "text".into(),
        "boolean" => "true | false".into(),
        "object" => "table".into(),
        "array" => match schema.get("items") {
            Some(items) => format!("list of {}", kind_of(root, items, depth + 1)),
            None => "list".into(),
        },
        other => plain(other),
    };
    match schema.get("type") {
        Some(Value::String(name)) => named(name),
        Some(Value::Array(several)) => {
            let several: Vec<String> = several
                .iter()
                .filter_map(Value::as_str)
                .filter(|one| *one != "null")
                .map(named)
                .collect();
            several.join(" | ")
        }
        _ => "any".into(),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), plain)
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Process => "process",
        Scope::Host => "host",
        Scope::Dependency => "dependency",
    }
}

/// A text of a plugin as one line for a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Rows under a head; the last column is broken between words at the edge of the paper.
pub(super) fn table<const N: usize>(
    text: &mut String,
    indent: &str,
    head: [&str; N],
    rows: &[[String; N]],
) {
    let head = head.map(String::from);
    let mut widths = [0; N];
    for row in std::iter::once(&head).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count().min(48));
        }
    }
    let paper = Paper::of_stdout();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = indent.to_owned();
        let Some((last, cells)) = row.split_last() else {
            continue;
        };
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!("{:width$}  ", plain(cell)));
        }
        let column = line.chars().count();
        paper.hang(text, &line, column, last, Ink::Plain);
    }
}

#[cfg(test)]
mod tests;
