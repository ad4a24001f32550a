//! `checkd plugin inspect`: what one plugin offers, looked at in a process of its own.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::paint::{print, print_json};
use crate::cli::{USAGE, kinds, tell};
use crate::plugin::{Catalog, Inspected};

/// Runs the verb.
pub(super) fn inspect(file: &Path, json: bool) -> ExitCode {
    let Inspected {
        plugin,
        offers,
        diagnostics,
    } = match Catalog::inspect(file) {
        Ok(found) => found,
        Err(diagnostic) => {
            tell::tell(&diagnostic);
            return ExitCode::from(USAGE);
        }
    };
    for diagnostic in &diagnostics {
        tell::tell(diagnostic);
    }
    if json {
        print_json(&super::of(&plugin, offers.iter()));
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
        ExitCode::from(USAGE)
    }
}
