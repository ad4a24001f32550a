//! `checkd history`: what happened, from the journal.

use std::process::ExitCode;

use checkd_core::Span;
use serde_json::Value;

use crate::api::client::escape;
use crate::api::wire::History;
use crate::journal::Row;
use crate::wall;

use super::paint::{self, Ink, Paper};
use super::{Daemon, find, tell};

/// Arguments of `checkd history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which members or checks: `group`, `group/member`, `group/member:check`, with `*`
    /// [default: all].
    #[arg(default_value = "", hide_default_value = true)]
    selector: String,
    /// Not older than this: `90s`, `10m`, `2h`, `1d`.
    #[arg(long, value_name = "TIME", value_parser = wall::parse_span)]
    since: Option<Span>,
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: u32,
    /// Single runs of checks as well: those that were not a pass, and steady passes folded.
    #[arg(long)]
    runs: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    let since = args.since.map_or(0, |span| {
        wall::now_ms().saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX))
    });
    let path = format!(
        "/api/v1/history?select={}&since_ms={since}&limit={}&runs={}",
        escape(&args.selector),
        args.limit,
        args.runs
    );
    let history: History = match find::control(&args.daemon).get(&path) {
        Ok(history) => history,
        Err(failure) => return find::no_answer(&failure),
    };
    if args.json {
        paint::print_json(&history);
        return ExitCode::SUCCESS;
    }
    if history.rows.is_empty() {
        tell::say("nothing happened that is in the journal");
    }
    if history.truncated {
        let rows = history.rows.len();
        tell::say(&format!(
            "the newest {rows}; `--limit N` shows more, `--since TIME` fewer"
        ));
    }
    paint::print(&render(&history.rows, Paper::of_stdout()));
    ExitCode::SUCCESS
}

fn render(rows: &[Row], paper: Paper) -> String {
    let mut out = String::new();
    let mut day = String::new();
    let width = rows
        .iter()
        .map(|row| row.path().chars().count())
        .max()
        .unwrap_or(0)
        .min(32);
    for row in rows.iter().filter(|row| !is_said_by_its_action(row)) {
        let time = wall::date_and_time(row.wall_ms);
        let (date, clock) = time.split_once(' ').unwrap_or((time.as_str(), ""));
        if date != day {
            out.push_str(&format!("{}\n", paper.ink(Ink::Strong, date)));
            date.clone_into(&mut day);
        }
        let (text, ink) = sentence(row);
        let head = format!("{clock}  {:width$}  ", row.path());
        paper.hang(&mut out, &head, 8 + 2 + width + 2, &text, ink);
    }
    out
}

/// A decision that became an act: the act says the same in the next line. Its gates are in the JSON.
pub(super) fn is_said_by_its_action(row: &Row) -> bool {
    row.what == "decision" && row.intent.is_some()
}

/// One row as a sentence, and its colour.
pub(super) fn sentence(row: &Row) -> (String, Ink) {
    let text = row.text.as_str();
    let detail = |key: &str| row.detail.get(key).and_then(Value::as_str).unwrap_or("");
    let because = |text: &str| {
        if text.is_empty() {
            String::new()
        } else {
            format!(": {text}")
        }
    };
    let intent = row
        .intent
        .map(|n| format!(" (intent {n})"))
        .unwrap_or_default();
    match row.what.as_str() {
        "transition" => {
            let (to, why) = (detail("to"), detail("why"));
            let ink = match to {
                "healthy" => Ink::Good,
                "failed" | "dead" | "given up" | "given_up" => Ink::Bad,
                "starting" | "acting" | "confirming" => Ink::Busy,
                _ => Ink::Plain,
            };
            (format!("{} → {to}{}", detail("from"), because(why)), ink)
        }
        "decision" => (
            format!(
                "{} waits for {}{}",
                row.word,
                detail("closed"),
                because(text)
            ),
            Ink::Plain,
        ),
        "action" => (
            format!("{} begins{intent}{}", row.word, because(text)),
            Ink::Busy,
        ),
        "outcome" => {
            let ink = match row.word.as_str() {
                "effective" => Ink::Good,
                "futile" | "failed" => Ink::Bad,
                _ => Ink::Unsure,
            };
            (
                format!(
                    "{} was {}{intent}{}",
                    detail("act"),
                    row.word,
                    because(text)
                ),
                ink,
            )
        }
        "operator" => {
            let reason = because(detail("reason"));
            (
                format!("{text} asked for: {}{reason}", row.word),
                Ink::Strong,
            )
        }
        _ => (one_run(row), status_ink(&row.word)),
    }
}

fn status_ink(word: &str) -> Ink {
    match word {
        "pass" => Ink::Good,
        "warn" => Ink::Busy,
        "fail" => Ink::Bad,
        _ => Ink::Unsure,
    }
}

fn one_run(row: &Row) -> String {
    let number = |key: &str| row.detail.get(key).and_then(Value::as_u64);
    match number("count") {
        Some(count) if count > 1 => {
            let span = Span(number("span_ms").unwrap_or(0));
            let gap = Span(number("largest_gap_ms").unwrap_or(0));
            format!("{} {count} times in {span}, at most {gap} apart", row.word)
        }
        _ => {
            let took = number("took_ms")
                .filter(|&ms| ms > 0)
                .map(|ms| format!(" in {}", Span(ms)))
                .unwrap_or_default();
            let text = if row.text.is_empty() {
                String::new()
            } else {
                format!(": {}", row.text)
            };
            format!("{}{took}{text}", row.word)
        }
    }
}
