//! `checkd history`: what happened, from the journal.

mod would;

use std::process::ExitCode;

use checkd_core::Span;

use crate::api::client::escape;
use crate::api::selector::among;
use crate::api::wire::History;
use crate::journal::{Filter, Reader, Row};
use crate::wall;

use super::paint::{self, Ink, Paper};
use super::{Daemon, find, story, tell};

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
    /// What would have been done to groups that are only observed: how often, to whom, and why.
    #[arg(long, conflicts_with_all = ["runs", "limit"])]
    would: bool,
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
    let Args {
        selector,
        since,
        limit,
        runs,
        would,
        json,
        daemon,
    } = args;
    let limit = if would { WOULD_ROWS } else { limit };
    let since = since.map_or(0, |span| {
        wall::now_ms().saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX))
    });
    let path = format!(
        "/api/v1/history?select={}&since_ms={since}&limit={limit}&runs={runs}",
        escape(&selector),
    );
    let place = find::place(&daemon);
    let history: History = match place.control.get(&path) {
        Ok(history) => history,
        Err(failure) => {
            let read = find::journal(&place, &failure)
                .and_then(|reader| without_daemon(&reader, &selector, since, limit, runs));
            match read {
                Ok(history) => history,
                Err(code) => return code,
            }
        }
    };
    if would {
        return tell_would(&history, json);
    }
    if json {
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

/// So much of the journal is looked through for `--would`.
const WOULD_ROWS: u32 = 100_000;

fn tell_would(history: &History, json: bool) -> ExitCode {
    let all = would::would(&history.rows);
    if history.truncated {
        let rows = history.rows.len();
        tell::say(&format!(
            "of the newest {rows} rows only; `--since TIME` takes fewer"
        ));
    }
    if json {
        paint::print_json(&all);
    } else {
        paint::print(&would::render(&all, Paper::of_stdout()));
    }
    ExitCode::SUCCESS
}

/// The same answer as the daemon's, read from the file.
fn without_daemon(
    reader: &Reader,
    selector: &str,
    since_ms: i64,
    limit: u32,
    runs: bool,
) -> Result<History, ExitCode> {
    let known = reader
        .members()
        .map_err(|why| find::unreadable(reader.path(), &why))?;
    let (members, check) = if selector.is_empty() {
        (None, None)
    } else {
        let (mut members, check) = among(&known, selector).map_err(find::names_nothing)?;
        // Rows of a check that the group shares have no member.
        let mut groups: Vec<String> = members
            .iter()
            .filter_map(|path| Some(format!("{}/", path.split_once('/')?.0)))
            .collect();
        groups.dedup();
        members.extend(groups);
        (Some(members), check)
    };
    let runs = runs || check.is_some();
    let filter = Filter {
        members,
        check,
        since_ms,
        until_ms: None,
        limit: limit.saturating_add(1),
        runs,
    };
    let mut rows = reader
        .rows(&filter)
        .map_err(|why| find::unreadable(reader.path(), &why))?;
    let truncated = rows.len() > limit as usize;
    if truncated {
        rows.remove(0);
    }
    Ok(History { rows, truncated })
}

fn render(rows: &[Row], paper: Paper) -> String {
    let lines = story::tell(rows);
    let mut out = String::new();
    let mut day = String::new();
    let widths = lines.iter().map(|line| line.path.chars().count());
    let width = widths.max().unwrap_or(0).min(32);
    for line in &lines {
        let time = wall::date_and_time(line.wall_ms);
        let (date, clock) = time.split_once(' ').unwrap_or((time.as_str(), ""));
        if date != day {
            out.push_str(&format!("{}\n", paper.ink(Ink::Strong, date)));
            date.clone_into(&mut day);
        }
        let head = format!("{clock}  {:width$}  ", line.path);
        paper.hang(&mut out, &head, 8 + 2 + width + 2, &line.text, line.ink);
    }
    out
}
