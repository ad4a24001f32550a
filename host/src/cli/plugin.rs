//! `checkd plugin`: look at plugins without running them in this process.

use std::path::PathBuf;
use std::process::ExitCode;

use checkd_core::diagnostic::{Diagnostic, Severity};
use clap::Subcommand;
use serde_json::Value;

use super::paint::{print, print_json};
use super::{Layers, kinds, tell};
use crate::config::Purpose;
use crate::plugin::{Catalog, Inspected, Offer, Plugin};

/// Arguments of `checkd plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what one library offers, or why it is no plugin. It is loaded in a process of its own.
    Inspect {
        /// The library.
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the plugins of a configuration.
    List {
        #[command(flatten)]
        layers: Layers,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    match args.verb {
        Verb::Inspect { file, json } => inspect(&file, json),
        Verb::List { layers, json } => list(&layers, json),
    }
}

fn inspect(file: &std::path::Path, json: bool) -> ExitCode {
    let Inspected {
        plugin,
        offers,
        diagnostics,
    } = match Catalog::inspect(file) {
        Ok(found) => found,
        Err(diagnostic) => {
            tell::tell(&diagnostic);
            return ExitCode::from(super::USAGE);
        }
    };
    for diagnostic in &diagnostics {
        tell::tell(diagnostic);
    }
    if json {
        print_json(&of(&plugin, offers.iter()));
    } else {
        let mut text = format!("{}\n", kinds::plain(&plugin.origin));
        if !plugin.package.is_empty() {
            text.push_str(&format!("{}\n", plugin.package));
        }
        let rows: Vec<[String; 2]> = offers
            .iter()
            .map(|offer| [offer.facts.kind.to_string(), offer.summary.clone()])
            .collect();
        text.push('\n');
        kinds::table(&mut text, "", ["KIND", "WHAT IT CHECKS"], &rows);
        print(&text);
    }
    if tell::all_warnings(&diagnostics) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::USAGE)
    }
}

/// The stable JSON of a plugin.
fn of<'a>(plugin: &Plugin, offers: impl Iterator<Item = &'a Offer>) -> Value {
    serde_json::json!({
        "name": plugin.name,
        "origin": plugin.origin,
        "package": plugin.package,
        "kinds": offers.map(kinds::json).collect::<Vec<Value>>(),
    })
}

/// Which plugins a configuration names, what each offers, and which cannot be used.
fn list(layers: &Layers, json: bool) -> ExitCode {
    // `Run`: one that cannot be loaded is to be listed, not to hide the others.
    let configured = crate::config::configure(layers, Purpose::Run);
    let of_plugins = |told: &&Diagnostic| told.code.starts_with("C02");
    let broken = configured.catalog.is_none();
    for told in configured
        .diagnostics
        .iter()
        .filter(|told| broken || of_plugins(told))
    {
        tell::tell(told);
    }
    let Some(catalog) = &configured.catalog else {
        return ExitCode::from(super::USAGE);
    };
    let offered = |origin: &str| {
        let origin = origin.to_owned();
        catalog
            .offers()
            .filter(move |offer| offer.plugin.origin == origin)
    };
    if json {
        let loaded = catalog
            .plugins()
            .map(|plugin| of(plugin, offered(&plugin.origin)));
        let missing = catalog.unavailable().iter().map(|plugin| {
            serde_json::json!({ "name": plugin.name, "origin": plugin.origin, "kinds": null, "why": plugin.why })
        });
        print_json(&loaded.chain(missing).collect::<Vec<Value>>());
    } else {
        let mut rows: Vec<[String; 4]> = catalog
            .plugins()
            .map(|plugin| {
                let kinds: Vec<&str> = offered(&plugin.origin)
                    .map(|offer| offer.facts.kind.as_str())
                    .collect();
                let offers = if kinds.is_empty() {
                    "-".into()
                } else {
                    kinds.join(" ")
                };
                [
                    plugin.name.clone(),
                    offers,
                    plugin.package.clone(),
                    plugin.origin.clone(),
                ]
            })
            .collect();
        rows.extend(catalog.unavailable().iter().map(|plugin| {
            [
                plugin.name.clone(),
                "cannot be used".into(),
                "-".into(),
                plugin.origin.clone(),
            ]
        }));
        let mut text = String::new();
        kinds::table(&mut text, "", ["PLUGIN", "KINDS", "PACKAGE", "FROM"], &rows);
        print(&text);
    }
    let mut of_plugins = configured.diagnostics.iter().filter(of_plugins);
    let whole = !broken && of_plugins.all(|told| told.severity == Severity::Warning);
    if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::USAGE)
    }
}
