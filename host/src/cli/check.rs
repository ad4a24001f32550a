//! `checkd check`: one run of one check, without a daemon, as a monitoring plugin.
//!
//! Exit code 0 pass, 1 warn, 2 fail, 3 unknown and anything else that kept it from checking: a typing
//! error must not look like a failed target.

use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use checkd_core::diagnostic::{Diagnostic, nearest};
use checkd_core::{CheckKind, Sample, Status};
use serde_json::{Map, Value};

use super::kinds::With;
use super::tell;
use crate::plugin::{Catalog, Problem, Target};
use crate::runner::Hand;

/// Nobody could look.
pub const UNKNOWN: u8 = 3;

/// Arguments of `checkd check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to check: `checkd kinds` lists them.
    kind: String,
    /// An option of the kind, such as `url=http://127.0.0.1:8080/` or `max_rss=512MiB`.
    #[arg(long, value_name = "OPTION=VALUE")]
    set: Vec<String>,
    /// The process to look at; stands for `{pid}`.
    #[arg(long, value_name = "N")]
    pid: Option<u32>,
    /// What stands for `{port}`.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// How long the target may take.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    timeout: Duration,
    #[command(flatten)]
    with: With,
    /// The sample as JSON.
    #[arg(long)]
    json: bool,
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
    let known = |kind: &CheckKind| catalog.kinds().contains_key(kind);
    let Some(kind) = CheckKind::new(&args.kind).filter(known) else {
        return cannot(&args, &no_such_kind(&args.kind, &catalog));
    };
    let options = match options(&args.set) {
        Ok(options) => options,
        Err(told) => return cannot(&args, &Diagnostic::error("C0212", told)),
    };
    let target = Target {
        group: "check".into(),
        member: Some(
            args.pid
                .map_or_else(|| "check".into(), |pid| pid.to_string()),
        ),
        index: Some(0),
        pid: args.pid,
        port: args.port,
    };
    let problems = catalog.try_configure(&kind, &options, &target);
    if !problems.is_empty() {
        return cannot(&args, &refused(&kind, &problems));
    }
    catalog.rest();
    let hand = match Hand::new(Arc::new(catalog)) {
        Ok(hand) => hand,
        Err(error) => {
            let told = Diagnostic::error("C0213", "cannot start the threads of a check");
            return cannot(&args, &told.note(error.to_string()));
        }
    };
    let Some(mut held) = hand.hold(&kind, options, target) else {
        return cannot(
            &args,
            &Diagnostic::error("C0211", format!("there is no kind `{kind}`")),
        );
    };
    let sample = held.run(args.timeout);
    let text = if args.json {
        json(&kind, &sample)
    } else {
        line(&kind, &sample)
    };
    // Where nobody reads it, the exit code says it.
    drop(writeln!(std::io::stdout().lock(), "{text}"));
    ExitCode::from(match sample.status {
        Status::Pass => 0,
        Status::Warn => 1,
        Status::Fail => 2,
        Status::Unknown => UNKNOWN,
    })
}

/// Tells what kept it from checking: all of it to the person, the short of it to the monitoring.
fn cannot(args: &Args, told: &Diagnostic) -> ExitCode {
    tell::tell(told);
    if !args.json {
        let kind = plain(&args.kind).to_uppercase();
        drop(writeln!(
            std::io::stdout().lock(),
            "{kind} UNKNOWN: {}",
            plain(&told.message)
        ));
    }
    ExitCode::from(UNKNOWN)
}

/// That a kind refuses its options, and what it says would be right.
fn refused(kind: &CheckKind, problems: &[Problem]) -> Diagnostic {
    let mut told = Diagnostic::error("C0212", format!("check kind `{kind}` refuses its options"));
    for problem in problems {
        told = told.note(match &problem.help {
            Some(help) if problems.len() > 1 => format!("{problem} ({help})"),
            _ => problem.to_string(),
        });
    }
    let shown = format!("`checkd kinds {kind}` shows its options");
    match problems {
        [
            Problem {
                help: Some(help), ..
            },
        ] => told.note(shown).help(help),
        _ => told.help(shown),
    }
}

/// That there is no such kind, and which one was perhaps meant.
pub(super) fn no_such_kind(typed: &str, catalog: &Catalog) -> Diagnostic {
    let known: Vec<&str> = catalog.kinds().keys().map(CheckKind::as_str).collect();
    let told = Diagnostic::error("C0211", format!("there is no check kind `{typed}`"))
        .note(format!("known: {}", known.join(", ")));
    match nearest(typed, known) {
        Some(near) => told.help(format!("did you mean `{near}`?")),
        None => told,
    }
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = checkd_plugin_api::units::Span::from_str(text)?;
    let span = span.as_duration();
    if span.is_zero() {
        Err("must be longer than `0s`".into())
    } else {
        Ok(span)
    }
}

/// `a=1`, `b.c=text`, `d={ env = "X" }`: TOML where it is TOML, else a text as it stands.
fn options(sets: &[String]) -> Result<Map<String, Value>, String> {
    let mut options = Map::new();
    for set in sets {
        let Some((path, text)) = set.split_once('=') else {
            return Err(format!("`--set {set}` is not `OPTION=VALUE`"));
        };
        let names: Vec<&str> = path.trim().split('.').collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(format!("`--set {set}` names no option"));
        }
        let mut value = value(text);
        for name in names.iter().skip(1).rev() {
            value = Value::Object(Map::from_iter([((*name).to_owned(), value)]));
        }
        if let Some(first) = names.first() {
            merge(&mut options, first, value);
        }
    }
    Ok(options)
}

/// Tables are merged, anything else is replaced.
fn merge(into: &mut Map<String, Value>, name: &str, value: Value) {
    match (into.get_mut(name), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            for (name, value) in new {
                merge(old, &name, value);
            }
        }
        (_, value) => {
            into.insert(name.to_owned(), value);
        }
    }
}

fn value(text: &str) -> Value {
    let read = toml::from_str::<Map<String, Value>>(&format!("value = {text}"));
    match read {
        Ok(mut table) if table.len() == 1 => table.remove("value").unwrap_or(Value::Null),
        _ => Value::String(text.to_owned()),
    }
}

/// The line of a monitoring plugin: `HTTP OK: 200 in 12 ms | time=0.012s;;10`.
fn line(kind: &CheckKind, sample: &Sample) -> String {
    let word = match sample.status {
        Status::Pass => "OK",
        Status::Warn => "WARNING",
        Status::Fail => "CRITICAL",
        Status::Unknown => "UNKNOWN",
    };
    let mut line = format!(
        "{} {word}: {}",
        kind.as_str().to_uppercase(),
        plain(&sample.message)
    );
    for (n, one) in sample.measurements.iter().enumerate() {
        line.push_str(if n == 0 { " | " } else { " " });
        let unit = if UNITS.contains(&&*one.unit) {
            &*one.unit
        } else {
            ""
        };
        line.push_str(&format!("{}={}{unit}", one.name, one.value));
        if let Some(limit) = one.limit {
            line.push_str(&format!(";;{limit}"));
        }
    }
    line
}

/// The units that monitoring knows.
const UNITS: [&str; 10] = ["s", "ms", "us", "%", "B", "KB", "MB", "GB", "TB", "c"];

/// A text without what would end the line or begin the numbers.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                ' '
            } else if c == '|' {
                '/'
            } else {
                c
            }
        })
        .collect()
}

fn json(kind: &CheckKind, sample: &Sample) -> String {
    serde_json::json!({
        "kind": kind,
        "status": sample.status,
        "cause": sample.cause,
        "message": sample.message,
        "measurements": sample.measurements,
        "took_ms": sample.took.as_millis(),
    })
    .to_string()
}

#[cfg(test)]
mod tests;
