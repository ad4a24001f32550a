//! `checkd explain --at`: what was so at a moment that is over, from the journal alone.

use std::process::ExitCode;

use checkd_core::Span;
use serde_json::Value;

use crate::api::client::escape;
use crate::api::selector::among;
use crate::api::wire::ExplainedAt;
use crate::cli::find::{self, Place};
use crate::cli::paint::{self, Ink, Paper};
use crate::cli::story;
use crate::journal::{Moment, Reader, Row, Standing};
use crate::wall;

use super::title;

/// Runs the verb for a moment, with a daemon or without.
pub(super) fn run(selector: &str, at_ms: i64, json: bool, place: &Place) -> ExitCode {
    let path = format!("/api/v1/explain?select={}&at_ms={at_ms}", escape(selector));
    let explained: ExplainedAt = match place.control.get(&path) {
        Ok(explained) => explained,
        Err(failure) => {
            let read = find::journal(place, &failure)
                .and_then(|reader| without_daemon(&reader, selector, at_ms));
            match read {
                Ok(explained) => explained,
                Err(code) => return code,
            }
        }
    };
    if json {
        paint::print_json(&explained);
        return ExitCode::SUCCESS;
    }
    let paper = Paper::of_stdout();
    let texts: Vec<String> = explained
        .members
        .iter()
        .map(|moment| render(moment, at_ms, paper))
        .collect();
    paint::print(&texts.join("\n"));
    ExitCode::SUCCESS
}

fn without_daemon(reader: &Reader, selector: &str, at_ms: i64) -> Result<ExplainedAt, ExitCode> {
    let known = reader
        .members()
        .map_err(|why| find::unreadable(reader.path(), &why))?;
    let (paths, check) = among(&known, selector).map_err(find::names_nothing)?;
    let members = paths
        .iter()
        .filter_map(|path| path.split_once('/'))
        .map(|(group, member)| reader.moment(group, member, check.as_deref(), at_ms))
        .collect::<Result<_, _>>()
        .map_err(|why| find::unreadable(reader.path(), &why))?;
    Ok(ExplainedAt {
        time: wall::rfc3339(at_ms),
        members,
    })
}

pub(super) fn render(moment: &Moment, at_ms: i64, paper: Paper) -> String {
    let mut out = String::new();
    let ago = |wall_ms: i64| {
        let ms = u64::try_from(at_ms.saturating_sub(wall_ms)).unwrap_or(0);
        // The second that was asked for is meant as a whole.
        Span::secs(ms / 1_000)
    };
    let head = format!(
        "{}  at {}",
        paper.ink(Ink::Strong, &moment.path),
        wall::date_and_time(at_ms)
    );
    out.push_str(&format!("{head}\n"));
    if moment.axes.is_empty() && moment.checks.is_empty() {
        out.push_str("  The journal holds nothing of it from before that moment.\n");
    }
    for standing in &moment.axes {
        let Standing {
            axis,
            word,
            why,
            since_ms,
        } = standing;
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        let text = format!("{word} for {}{why}", ago(*since_ms));
        paper.hang(&mut out, &format!("  {axis:7} "), 10, &text, Ink::Plain);
    }
    for act in &moment.under_way {
        let intent = act.intent.unwrap_or_default();
        let text = format!(
            "{} (intent {intent}) since {}: {}",
            act.word,
            ago(act.wall_ms),
            act.text
        );
        paper.hang(&mut out, "  under way ", 12, &text, Ink::Busy);
    }
    if !moment.checks.is_empty() {
        title(&mut out, "What its checks had said", paper);
        for run in &moment.checks {
            let name = run.check.as_deref().unwrap_or("?");
            let text = if run.text.is_empty() {
                run.word.clone()
            } else {
                format!("{}: {}", run.word, run.text)
            };
            // A stretch of passes that goes on at that moment is of that moment.
            let age = match ago(run.wall_ms) {
                Span(0) => String::new(),
                age => format!(", {age} before"),
            };
            paper.hang(
                &mut out,
                &format!("  {name}  "),
                name.len() + 4,
                &format!("{text}{age}"),
                Ink::Plain,
            );
        }
    }
    if let Some(decision) = &moment.decision {
        gates(
            &mut out,
            decision,
            &ago(decision.wall_ms).to_string(),
            paper,
        );
    }
    happened(&mut out, "What had happened", &moment.before, paper);
    happened(&mut out, "What came after", &moment.after, paper);
    out
}

/// The newest decision, and every gate as it was read then.
fn gates(out: &mut String, decision: &Row, age: &str, paper: Paper) {
    let did = match decision.intent {
        Some(intent) => format!("{} was decided (intent {intent})", decision.word),
        None => format!("{} was held back", decision.word),
    };
    title(
        out,
        &format!("What checkd had decided, {age} before"),
        paper,
    );
    paper.hang(
        out,
        "  ",
        2,
        &format!("{did}: {}", decision.text),
        Ink::Plain,
    );
    let readings = decision
        .detail
        .get("explanation")
        .and_then(|explanation| explanation.get("readings"))
        .and_then(Value::as_array);
    for reading in readings.into_iter().flatten() {
        let text = |key: &str| reading.get(key).and_then(Value::as_str).unwrap_or("");
        let open = reading.get("open").and_then(Value::as_bool) == Some(true);
        let (word, ink) = if open {
            ("open", Ink::Good)
        } else {
            ("closed", Ink::Bad)
        };
        let head = format!(
            "  {:10}  {}  ",
            text("gate"),
            paper.ink(ink, &format!("{word:6}"))
        );
        paper.hang(out, &head, 22, text("numbers"), Ink::Quiet);
    }
}

fn happened(out: &mut String, heading: &str, rows: &[Row], paper: Paper) {
    let lines = story::tell(rows);
    if lines.is_empty() {
        return;
    }
    title(out, heading, paper);
    for line in &lines {
        let head = format!("  {}  ", wall::date_and_time(line.wall_ms));
        paper.hang(out, &head, 23, &line.text, line.ink);
    }
}
