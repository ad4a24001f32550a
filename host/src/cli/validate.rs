//! `checkd validate`: every mistake in a configuration at once, each with its place.

use std::io::{self, Write};
use std::process::ExitCode;

use checkd_core::diagnostic::{Diagnostic, Place, Severity};
use serde_json::{Value, json};

use crate::config::{Configured, Purpose, configure};
use crate::render;

/// Arguments of `checkd validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    layers: super::Layers,
    /// Refuse what is legal and probably wrong, too.
    #[arg(long)]
    strict: bool,
    /// Print the mistakes as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments for itself"
)]
pub fn run(args: Args) -> ExitCode {
    let configured = configure(&args.layers, Purpose::Judge);
    let told = &configured.diagnostics;
    let refused = configured.plan.is_none()
        || told
            .iter()
            .any(|one| one.severity == Severity::Error || args.strict);
    let written = if args.json {
        as_json(&configured, refused)
    } else {
        as_text(&configured, refused)
    };
    match written {
        _ if refused => ExitCode::from(super::USAGE),
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(super::FAILED),
    }
}

fn as_text(configured: &Configured, refused: bool) -> io::Result<()> {
    render::to_stderr(&configured.diagnostics, &configured.document.sources)?;
    let (Some(plan), false) = (&configured.plan, refused) else {
        return Ok(());
    };
    let members: usize = plan.groups.iter().map(|group| group.members.len()).sum();
    let checks: usize = plan.groups.iter().map(|group| group.checks.len()).sum();
    let file = configured
        .file
        .as_ref()
        .map_or_else(String::new, |f| f.display().to_string());
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    writeln!(
        io::stdout().lock(),
        "{file}: good; {}, {}, {}",
        count(plan.groups.len(), "group"),
        count(members, "member"),
        count(checks, "check"),
    )
}

/// `{ "valid": …, "diagnostics": [ { severity, code, message, places, notes, help } ] }`
fn as_json(configured: &Configured, refused: bool) -> io::Result<()> {
    let lines = render::Lines::of(&configured.document.sources);
    let place = |place: &Place, words: &str, primary: bool| -> Value {
        let source = configured.document.sources.get(place.source as usize);
        let text = source.map_or("", |s| s.text.as_str());
        let (line, begin) = lines.line(place.source, text, place.start as usize);
        let before = text.get(begin..place.start as usize).unwrap_or("");
        let column = before.chars().count() + 1;
        json!({
            "source": source.map(|s| s.name.as_str()),
            "line": line,
            "column": column,
            "start": place.start,
            "end": place.end,
            "primary": primary,
            "text": words,
        })
    };
    let one = |told: &Diagnostic| {
        let primary = told.primary.iter().map(|(p, words)| place(p, words, true));
        let secondary = told
            .secondary
            .iter()
            .map(|(p, words)| place(p, words, false));
        json!({
            "severity": told.severity,
            "code": told.code,
            "message": told.message,
            "places": primary.chain(secondary).collect::<Vec<_>>(),
            "notes": told.notes,
            "help": told.help,
        })
    };
    let all: Vec<Value> = configured.diagnostics.iter().map(one).collect();
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &json!({ "valid": !refused, "diagnostics": all }))?;
    writeln!(out)
}
