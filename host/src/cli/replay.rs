//! `checkd replay`: decides everything in the journal again, and says whether the same comes out.

mod other;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::Span;
use checkd_core::diagnostic::Diagnostic;
use serde::Serialize;
use serde_json::Value;

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
    /// Whether what could be compared came out the same; `null` when nothing differs, and nothing was
    /// decided or not all segments can be replayed.
    same: Option<bool>,
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

impl Found {
    fn count(&self, which: impl Fn(&Fared) -> bool) -> usize {
        self.segments.iter().filter(|it| which(it)).count()
    }

    /// How many segments came out differently.
    fn differing(&self) -> usize {
        self.count(|it| it.difference.is_some())
    }

    /// How many cannot be replayed, or not to their end.
    fn broken(&self) -> usize {
        self.count(|it| it.cannot.is_some())
    }

    /// Of how many the journal lost something, so that they are compared up to there.
    fn lost(&self) -> usize {
        self.count(|it| it.lost && it.cannot.is_none())
    }
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
            if args.json {
                paint::print_json(&found);
            } else {
                paint::print(&text(&found, Paper::of_stdout()));
            }
            let well = found.differing() + found.broken() == 0;
            ExitCode::from(if well { 0 } else { FAILED })
        }
        Err(code) => code,
    }
}

/// What is read, and what of it is wanted.
fn open(args: &Args) -> Result<(PathBuf, Segments, Asked), ExitCode> {
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
        return Err(find::unreadable(&path, &why));
    }
    let asked = Asked {
        members: if args.selector.is_empty() {
            None
        } else {
            let known = reader
                .members()
                .map_err(|why| find::unreadable(&path, &why))?;
            let (members, _) = among(&known, &args.selector).map_err(find::names_nothing)?;
            let groups = members.iter().filter_map(|path| path.split_once('/'));
            let groups: Vec<String> = groups.map(|(group, _)| format!("{group}/")).collect();
            Some(members.into_iter().chain(groups).collect())
        },
        since_ms: args.since.map_or(0, |span| {
            wall::now_ms().saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX))
        }),
    };
    let journal = reader
        .segments()
        .map_err(|why| find::unreadable(&path, &why))?;
    Ok((path, journal, asked))
}

fn look(args: &Args) -> Result<Found, ExitCode> {
    let (path, journal, asked) = open(args)?;
    let found = all(&journal, &asked, path.display().to_string());
    let found = found.map_err(|why| find::unreadable(&path, &why))?;
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
    let segments = journal.all().map_err(|why| find::unreadable(&path, &why))?;
    if segments.is_empty() {
        return Err(nothing(&path.display().to_string()));
    }
    let mut all = Otherwise::default();
    for segment in wanted(&segments, &asked) {
        otherwise(&journal, segment, &asked, &plan, &mut all)
            .map_err(|why| find::unreadable(&path, &why))?;
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
    let mut found = Found {
        journal: path,
        same: None,
        decisions: segments.iter().map(|it| it.decisions).sum(),
        missing_from_ms: missing.map(|(oldest, _)| oldest),
        missing_to_ms: missing.map(|(_, first)| first),
        segments,
    };
    found.same = match (found.differing(), found.broken()) {
        (0, 0) => (found.decisions > 0).then_some(true),
        (0, _) => None,
        _ => Some(false),
    };
    Ok(found)
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
    let (text, ink) = summary(found);
    paper.hang(&mut out, "", 0, &text, ink);
    out
}

/// What came of it all. Nothing is called the same that was not compared.
fn summary(found: &Found) -> (String, Ink) {
    let all = plural(found.segments.len(), "segment");
    let decisions = plural(found.decisions, "decision");
    let mut parts = vec![if found.decisions + found.differing() == 0 {
        format!("no decision of {all} was compared")
    } else {
        format!("{decisions} the same")
    }];
    let mut part = |count: usize, what: &str| {
        if count > 0 {
            parts.push(format!("{count} of {all} {what}"));
        }
    };
    part(found.differing(), "came out differently");
    part(found.broken(), "cannot be replayed");
    part(found.lost(), "only to where the journal lost something");
    match (found.same, parts.len()) {
        (Some(true), 1) => (format!("{decisions} of {all}, all the same"), Ink::Good),
        (Some(false), _) => (parts.join("; "), Ink::Bad),
        (Some(true) | None, _) => (parts.join("; "), Ink::Unsure),
    }
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
    } else if fared.decisions + fared.others == 0 {
        "nothing was decided that can be compared".clone_into(&mut text);
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
    let (then, now) = (row(difference.was.as_ref()), row(difference.is.as_ref()));
    let lines = if then == now {
        vec![("    both", then)]
    } else {
        vec![("    then", then), ("    now", now)]
    };
    for (head, text) in lines {
        paper.hang(out, head, 10, &text, Ink::Plain);
    }
    for field in &difference.fields {
        let name = cut(field.name.chars().filter(|it| !it.is_control()).collect());
        let text = format!("{name}: {} → {}", short(&field.was), short(&field.is));
        paper.hang(out, "    in", 10, &text, Ink::Quiet);
    }
}

/// A value in a few words; `--json` has all of it.
fn short(value: &Value) -> String {
    let whole = value.to_string();
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(all) if whole.chars().count() > VALUE => format!("a list of {}", all.len()),
        Value::Object(all) if whole.chars().count() > VALUE => {
            format!("an object of {}", all.len())
        }
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => cut(whole),
    }
}

/// So many characters of a value are shown: with its indent less than a line of 80.
const VALUE: usize = 60;

fn cut(text: String) -> String {
    if text.chars().count() <= VALUE {
        return text;
    }
    text.chars().take(VALUE - 1).chain(['…']).collect()
}

/// One row in a line.
fn of_row(row: &Row) -> String {
    let intent = row.intent.map(|n| format!(" (intent {n})"));
    let intent = intent.unwrap_or_default();
    let detail = |key: &str| {
        let value = row.detail.get(key);
        value.and_then(Value::as_str).unwrap_or("")
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
