//! `checkd plugin list`: the plugins of a configuration, and which of them cannot be used.

use std::process::ExitCode;

use checkd_core::diagnostic::{Diagnostic, Severity};
use checkd_core::report::{PluginReport, StatusReport};
use serde_json::Value;

use super::of;
use crate::api::client::Control;
use crate::cli::paint::{Ink, Paper, print, print_json};
use crate::cli::{Layers, USAGE, find, kinds, tell};
use crate::config::{Configured, Purpose};

/// Which plugins a configuration names, what each offers, and which cannot be used.
pub(super) fn list(layers: &Layers, json: bool) -> ExitCode {
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
        return ExitCode::from(USAGE);
    };
    let offered = |origin: &str| {
        let origin = origin.to_owned();
        catalog
            .offers()
            .filter(move |offer| offer.plugin.origin == origin)
    };
    let quarantined = quarantined(&configured);
    if json {
        let loaded = catalog.plugins().map(|plugin| {
            let mut told = of(plugin, offered(&plugin.origin));
            let why = quarantined.iter().find(|one| one.name == plugin.name);
            if let (Some(told), Some(why)) = (told.as_object_mut(), why) {
                told.insert("quarantined".into(), why.quarantined.clone().into());
            }
            told
        });
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
        let paper = Paper::of_stdout();
        for one in &quarantined {
            let head = format!("\n{}: ", one.name);
            paper.hang(&mut text, &head, 0, &one.quarantined, Ink::Bad);
        }
        print(&text);
    }
    let mut of_plugins = configured.diagnostics.iter().filter(of_plugins);
    let whole = !broken && of_plugins.all(|told| told.severity == Severity::Warning);
    if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    }
}

/// What the daemon of this configuration has quarantined; nothing when none answers.
fn quarantined(configured: &Configured) -> Vec<PluginReport> {
    let (_, path) = find::files_of(configured.file.as_deref(), &configured.document);
    if !path.exists() {
        return Vec::new();
    }
    let control = Control {
        path,
        chosen_by: "the configuration".to_owned(),
    };
    let asked = control.get("/api/v1/status?select=");
    asked.map_or_else(|_| Vec::new(), |report: StatusReport| report.plugins)
}
