//! `checkd replay`: decides everything in the journal again, and says whether the same comes out.

mod other;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::Span;
use checkd_core::diagnostic::Diagnostic;
use serde::Serialize;

use crate::api::selector::among;
use crate::config::{Purpose, configure};
use crate::journal::{Reader, Row, Segment, Segments};
use crate::render;
use crate::replay::{self, Asked, Difference, Fared, Otherwise, otherwise};
use crate::wall;

use super::paint::{self, Ink, Paper};
use super::{FAILED, Layers, USAGE, find, tell};

/// Arguments of `checkd replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which members: `group`, `group/member`, with `*` [default: all].
    #[arg(default_value = "", hide_default_value = true)]
    selector: String,
    /// The journal, or a copy of one [default: `journal.db` in the state directory].
    #[arg(long, value_name = "FILE", conflicts_with = "state_dir")]
    journal: Option<PathBuf>,
    /// The state directory [default: by the configuration].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// What this configuration would have done about the same history.
    #[arg(long, value_name = "OTHER")]
    config: Option<PathBuf>,
    /// Not what was decided longer ago than this: `90s`, `10m`, `2h`, `1d`.
    #[arg(long, value_name = "TIME", value_parser = wall::parse_span)]
    since: Option<Span>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    /// The journal that was read.
    journal: String,
    /// Whether all that could be replayed came out the same.
    same: bool,
    /// How many decisions did.
    decisions: usize,
    /// What cannot be replayed because it is not in the journal, in milliseconds since 1970: decisions
    /// from here
    missing_from_ms: Option<i64>,
    /// to here.
    missing_to_ms: Option<i64>,
    /// Segment by segment, the oldest first.
    segments: Vec<Fared>,
}

/// Runs the verb.
pub fn run(args: &Args) -> ExitCode {
    if let Some(file) = &args.config {
        return match look_otherwise(args, file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(code) => code,
        };
    }
    match look(args) {
        Ok(found) => {
            let whole = found.segments.iter().all(|it| it.cannot.is_none());
            if args.json {
                paint::print_json(&found);
            } else {
                paint::print(&text(&found, Paper::of_stdout()));
            }
            ExitCode::from(if found.same && whole { 0 } else { FAILED })
        }
        Err(code) => code,
    }
}

/// What is read, and what of it is wanted.
fn open(args: &Args) -> Result<(String, Segments, Asked), ExitCode> {
    let path = match (&args.journal, &args.state_dir) {
        (Some(file), _) => file.clone(),
        (None, Some(directory)) => directory.join("journal.db"),
        (None, None) => {
            let home = find::by_configuration().home;
            home.map_or_else(PathBuf::new, |home| home.state)
                .join("journal.db")
        }
    };
    let reader = Reader::new(path.clone());
    if let Err(why) = reader.usable() {
        let message = format!("journal `{}` cannot be read: {why}", path.display());
        tell::tell(&Diagnostic::error("C0514", message));
        return Err(ExitCode::from(FAILED));
    }
    let asked = Asked {
        members: if args.selector.is_empty() {
            None
        } else {
            let known = reader.members().map_err(|why| find::unreadable(&why))?;
            let (members, _) = among(&known, &args.selector).map_err(find::names_nothing)?;
            let groups = members.iter().filter_map(|path| path.split_once('/'));
            let groups: Vec<String> = groups.map(|(group, _)| format!("{group}/")).collect();
            Some(members.into_iter().chain(groups).collect())
        },
        since_ms: args.since.map_or(0, |span| {
            wall::now_ms().saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX))
        }),
    };
    let journal = reader.segments().map_err(|why| find::unreadable(&why))?;
    Ok((path.display().to_string(), journal, asked))
}

fn look(args: &Args) -> Result<Found, ExitCode> {
    let (path, journal, asked) = open(args)?;
    let found = all(&journal, &asked, path);
    let found = found.map_err(|why| find::unreadable(&why))?;
    if found.segments.is_empty() {
        return Err(nothing(&found.journal));
    }
    Ok(found)
}

fn nothing(journal: &str) -> ExitCode {
    let told = Diagnostic::error(
        "C0516",
        format!("nothing in journal `{journal}` can be replayed"),
    )
    .note("it does not hold what the engine was told: an older checkd wrote it, or it is new");
    tell::tell(&told);
    ExitCode::from(FAILED)
}

fn look_otherwise(args: &Args, file: &Path) -> Result<(), ExitCode> {
    let (path, journal, asked) = open(args)?;
    let layers = Layers {
        file: Some(file.to_owned()),
        set: Vec::new(),
    };
    let configured = configure(&layers, Purpose::Judge);
    let Some(plan) = configured.plan else {
        // Where standard error is closed there is nobody to tell.
        drop(render::to_stderr(
            &configured.diagnostics,
            &configured.document.sources,
        ));
        return Err(ExitCode::from(USAGE));
    };
    let segments = journal.all().map_err(|why| find::unreadable(&why))?;
    if segments.is_empty() {
        return Err(nothing(&path));
    }
    let mut all = Otherwise::default();
    for segment in wanted(&segments, &asked) {
        otherwise(&journal, segment, &asked, &plan, &mut all)
            .map_err(|why| find::unreadable(&why))?;
    }
    if args.json {
        paint::print_json(&all);
    } else {
        let file = file.display().to_string();
        paint::print(&other::render(&all, &file, Paper::of_stdout()));
    }
    Ok(())
}

/// The segments that are not over before what is asked for: each is where the next one begins.
fn wanted<'a>(all: &'a [Segment], asked: &Asked) -> impl Iterator<Item = &'a Segment> {
    let since = asked.since_ms;
    let nexts = all.iter().skip(1).map(Some).chain([None]);
    all.iter().zip(nexts).filter_map(move |(segment, next)| {
        next.is_none_or(|next| next.wall_ms >= since)
            .then_some(segment)
    })
}

fn all(journal: &Segments, asked: &Asked, path: String) -> Result<Found, String> {
    let all = journal.all()?;
    let oldest = journal.oldest_decision()?;
    let first = all.first().map(|segment| segment.wall_ms);
    let missing = oldest.zip(first).filter(|(oldest, first)| oldest < first);
    let mut segments = Vec::new();
    for segment in wanted(&all, asked) {
        segments.push(replay::replay(journal, segment, asked)?);
    }
    Ok(Found {
        journal: path,
        same: segments.iter().all(|it| it.difference.is_none()),
        decisions: segments.iter().map(|it| it.decisions).sum(),
        missing_from_ms: missing.map(|(oldest, _)| oldest),
        missing_to_ms: missing.map(|(_, first)| first),
        segments,
    })
}

fn plural(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

fn text(found: &Found, paper: Paper) -> String {
    let mut out = String::new();
    if let Some(to) = found.missing_to_ms {
        let to = wall::date_and_time(to);
        let text = format!(
            "decisions before {to} cannot be replayed: what the engine was told then is not in the \
             journal, for an older checkd wrote it or it is not kept any more"
        );
        paper.hang(&mut out, "", 0, &text, Ink::Quiet);
    }
    let widths = found.segments.iter().map(|it| it.why.chars().count());
    let width = widths.max().unwrap_or(0).min(24);
    for fared in &found.segments {
        let time = wall::date_and_time(fared.began_ms);
        let head = format!("{time}  {:width$}  ", fared.why);
        let (text, ink) = sentence(fared);
        paper.hang(&mut out, &head, 19 + 2 + width + 2, &text, ink);
        if let Some(difference) = &fared.difference {
            tell_difference(&mut out, difference, paper);
        }
    }
    let of = format!(
        "{} of {}",
        plural(found.decisions, "decision"),
        plural(found.segments.len(), "segment")
    );
    let (text, ink) = if found.same {
        (format!("{of}, all the same"), Ink::Good)
    } else {
        let differ = found.segments.iter();
        let differ = differ.filter(|it| it.difference.is_some()).count();
        let text = format!("{of} the same; {} not", plural(differ, "segment"));
        (text, Ink::Bad)
    };
    out.push_str(&format!("{}\n", paper.ink(ink, &text)));
    out
}

/// How one segment fared.
fn sentence(fared: &Fared) -> (String, Ink) {
    let mut text = format!(
        "{}, {} that follow{}",
        plural(fared.decisions, "decision"),
        plural(fared.others, "change"),
        if fared.others == 1 { "s" } else { "" },
    );
    let mut ink = Ink::Plain;
    if fared.difference.is_some() {
        text.push_str(" the same, and then not");
        ink = Ink::Bad;
    } else {
        text.push_str(": the same");
    }
    if fared.unwritten > 0 {
        text.push_str(&format!(
            "; {} at its end not written any more, or not yet",
            fared.unwritten
        ));
    }
    if fared.lost {
        text.push_str("; what came later cannot be replayed, for the journal lost something of it");
    }
    if let Some(why) = &fared.cannot {
        let before = if fared.decisions + fared.others > 0 {
            format!("{text}; what came later")
        } else {
            "it".to_owned()
        };
        text = format!("{before} cannot be replayed: {why}");
        if fared.version != env!("CARGO_PKG_VERSION") {
            text.push_str(&format!(
                " (checkd {} wrote it, this is {})",
                fared.version,
                env!("CARGO_PKG_VERSION")
            ));
        }
        ink = Ink::Unsure;
    }
    (text, ink)
}

/// The first that differs: when, about whom, what was decided, and what would be now.
fn tell_difference(out: &mut String, difference: &Difference, paper: Paper) {
    let time = wall::date_and_time(difference.wall_ms);
    let millis = difference.wall_ms.rem_euclid(1_000);
    let head = format!("  {time}.{millis:03}  {}", difference.path);
    out.push_str(&format!("{}\n", paper.ink(Ink::Strong, &head)));
    let row = |row: Option<&Row>| row.map_or_else(|| "nothing".to_owned(), of_row);
    for (head, text) in [
        ("    then", row(difference.was.as_ref())),
        ("    now", row(difference.is.as_ref())),
    ] {
        paper.hang(out, head, 10, &text, Ink::Plain);
    }
    for field in &difference.fields {
        let text = format!("{}: {} then, {} now", field.name, field.was, field.is);
        paper.hang(out, "    in", 10, &text, Ink::Quiet);
    }
}

/// One row in a line.
fn of_row(row: &Row) -> String {
    let intent = row.intent.map(|n| format!(" (intent {n})"));
    let intent = intent.unwrap_or_default();
    let detail = |key: &str| {
        let value = row.detail.get(key);
        value.and_then(serde_json::Value::as_str).unwrap_or("")
    };
    let path = row.path();
    match row.what.as_str() {
        "decision" if row.intent.is_some() => {
            format!("{path}: {} decided{intent}: {}", row.word, row.text)
        }
        "decision" => format!(
            "{path}: {} waits for {}: {}",
            row.word,
            detail("closed"),
            row.text
        ),
        "action" => format!("{path}: {} begins{intent}: {}", row.word, row.text),
        "outcome" => format!(
            "{path}: {} was {}{intent}: {}",
            detail("act"),
            row.word,
            row.text
        ),
        _ => format!("{path}: {}", row.text),
    }
}
