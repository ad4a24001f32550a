//! Diagnostics that have no place in a file, as text: what, facts, help.

use std::io::Write;

use checkd_core::diagnostic::{Diagnostic, Severity};

use crate::api::wire::Refusal;

/// A diagnostic without its place, in the words of style.md section 3.
pub fn text(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    // Where it is, in words: there is no line to be shown.
    let place = diagnostic.primary.iter().map(|(_, words)| words);
    let notes: Vec<String> = place
        .filter(|words| !words.is_empty())
        .chain(&diagnostic.notes)
        .cloned()
        .collect();
    parts(
        severity,
        diagnostic.code,
        &diagnostic.message,
        &notes,
        diagnostic.help.as_deref(),
    )
}

fn parts(
    severity: &str,
    code: &str,
    message: &str,
    notes: &[String],
    help: Option<&str>,
) -> String {
    let mut text = format!("{severity}[{code}]: {message}");
    for note in notes {
        text.push_str("\n   = ");
        text.push_str(note);
    }
    if let Some(help) = help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    text
}

/// Tells it on standard error.
pub fn tell(diagnostic: &Diagnostic) {
    say(&text(diagnostic));
}

/// Whether nothing of it is an error.
pub fn all_warnings(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .all(|told| told.severity == Severity::Warning)
}

/// Tells what a daemon answered.
pub fn tell_refusal(refusal: &Refusal) {
    say(&parts(
        "error",
        &refusal.code,
        &refusal.error,
        &refusal.notes,
        refusal.help.as_deref(),
    ));
}

/// One text on standard error.
pub fn say(text: &str) {
    // Where standard error is closed there is nobody to tell.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
