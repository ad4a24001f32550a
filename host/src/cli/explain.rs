//! `checkd explain`: why a member was restarted, or why it was not, with the numbers.

mod moment;

use std::process::ExitCode;

use checkd_core::Status;
use checkd_core::report::{Around, LeafReport, MemberReport};

use crate::api::client::escape;
use crate::api::wire::{Explained, ExplainedMember};
use crate::wall;

use super::paint::{self, Ink, Paper};
use super::status::word;
use super::{Daemon, find, story};

/// Arguments of `checkd explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which member or check: `group/member`, `group/member:check`, with `*`.
    selector: String,
    /// Of a moment that is over: `12:03:05`, `2026-11-20 12:03`, `-5m`.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = wall::parse_past)]
    at: Option<i64>,
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
        at,
        json,
        daemon,
    } = args;
    if let Some(at_ms) = at {
        return moment::run(&selector, at_ms, json, &find::place(&daemon));
    }
    let path = format!("/api/v1/explain?select={}", escape(&selector));
    let explained: Explained = match find::control(&daemon).get(&path) {
        Ok(explained) => explained,
        Err(failure) => return find::no_answer(&failure),
    };
    if json {
        paint::print_json(&explained);
        return ExitCode::SUCCESS;
    }
    let paper = Paper::of_stdout();
    let texts: Vec<String> = explained.members.iter().map(|m| render(m, paper)).collect();
    paint::print(&texts.join("\n"));
    ExitCode::SUCCESS
}

/// What the journal says of a moment, as `checkd explain --at` would.
pub(crate) fn of_moment(moment: &crate::journal::Moment, at_ms: i64) -> String {
    moment::render(moment, at_ms, Paper::plain())
}

/// One member: what it is, what checkd sees, waits for, did, and what a person can do.
pub(crate) fn render(member: &ExplainedMember, paper: Paper) -> String {
    render_at(member, wall::now_ms(), paper)
}

fn render_at(member: &ExplainedMember, now_ms: i64, paper: Paper) -> String {
    let report = &member.report;
    let mut out = String::new();
    head(&mut out, member, now_ms, paper);
    sees(&mut out, report, paper);
    around(&mut out, report, paper);
    waits(&mut out, report, paper);
    happened(&mut out, member, now_ms, paper);
    said(&mut out, member, paper);
    can_do(&mut out, member, paper);
    out
}

/// So many lines of an incident are shown.
const LINES: usize = 14;

fn title(out: &mut String, text: &str, paper: Paper) {
    out.push('\n');
    out.push_str(&paper.ink(Ink::Strong, text));
    out.push('\n');
}

fn head(out: &mut String, member: &ExplainedMember, now_ms: i64, paper: Paper) {
    let report = &member.report;
    let (word, ink) = word(report);
    let since = match word {
        "healthy" | "failed" => Some(report.health_for),
        "dead" => Some(report.life_for),
        _ => None,
    };
    let since_ms = since.map_or(0, |span| span.0);
    let since = since.map(|span| format!(" for {span}")).unwrap_or_default();
    let mut facts = Vec::new();
    if let Some(generation) = report.generation {
        facts.push(format!("pid {}", generation.pid));
    }
    match report.life.as_ref() {
        "up" | "starting" => facts.push(format!("runs for {}", report.life_for)),
        "dead" if word != "dead" => facts.push(format!("dead for {}", report.life_for)),
        _ => {}
    }
    // One step of a longer story: when that began is what a person counts from.
    if let Some(began) = began(member)
        && word != "healthy"
        && now_ms - began > i64::try_from(since_ms).unwrap_or(0) + 1_000
    {
        facts.push(format!("in trouble since {}", wall::time_of_day(began)));
    }
    if report.starts_24h > report.futile.max(1) {
        facts.push(format!("{} starts in 24h", report.starts_24h));
    }
    // Whoever was given up is told why below.
    if report.futile > 0 && report.given_up.is_none() {
        let attempts = if report.futile == 1 {
            "attempt"
        } else {
            "attempts"
        };
        facts.push(format!(
            "{} {attempts} in this incident did not help",
            report.futile
        ));
    }
    let comma = if facts.is_empty() { "" } else { ", " };
    let head = format!(
        "{}  {}{since}{comma}",
        paper.ink(Ink::Strong, &report.path),
        paper.ink(ink, word)
    );
    let column = report.path.chars().count() + 2;
    paper.hang(out, &head, column, &facts.join(", "), Ink::Plain);
    paper.hang(out, "  ", 2, &sentence(&report.summary), Ink::Plain);
    // While an act is under way the summary is about it already.
    let last = story::last_act(&member.events, wall::time_of_day);
    if report.attempt.is_none()
        && let Some(text) = &last
    {
        paper.hang(out, "  ", 2, text, Ink::Plain);
    }
    // How a process ended that checkd itself stopped is no news.
    let ours = last.is_some_and(|text| text.starts_with("Restarted"));
    if let Some(exit) = report.last_exit
        && report.life != "dead"
        && !ours
    {
        paper.hang(
            out,
            "  ",
            2,
            &format!("Its process before {exit}."),
            Ink::Quiet,
        );
    }
    let control = match report.control.as_ref() {
        "auto" => String::new(),
        "observe" => "Observed only: checkd says what it would do, and does not do it.".to_owned(),
        paused => sentence(paused),
    };
    if !control.is_empty() {
        paper.hang(out, "  ", 2, &control, Ink::Busy);
    }
    for note in &report.notes {
        paper.hang(out, "  ", 2, &sentence(note), Ink::Busy);
    }
}

/// When the open incident began, in milliseconds since 1970.
fn began(member: &ExplainedMember) -> Option<i64> {
    let incident = i64::try_from(member.report.incident?).ok();
    let mut rows = member.events.iter();
    Some(rows.find(|row| row.incident == incident)?.wall_ms)
}

/// What stands around it: each a paragraph.
fn around(out: &mut String, report: &MemberReport, paper: Paper) {
    let around = &report.around;
    if around.is_empty() {
        return;
    }
    title(out, "What bears on the whole group", paper);
    let group = report.path.split('/').next().unwrap_or_default();
    for text in around_text(group, around) {
        paper.hang(out, "  ", 2, &text, Ink::Plain);
    }
}

/// A hold, a restart of the whole group, what is missing, a stall: each in full sentences.
fn around_text(group: &str, around: &Around) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(stall) = &around.stall {
        all.push(format!(
            "This machine stalls: {stall}. Until that is over a timeout says nothing, and nobody is \
             restarted for being sick."
        ));
    }
    if let Some(missing) = &around.missing {
        all.push(format!(
            "What it needs is not there: {missing}. Until it is, nobody is restarted for being sick."
        ));
    }
    if let Some(hold) = &around.hold {
        let futile = match hold.futile {
            0 => String::new(),
            1 => " One restart was tried, and did not help.".to_owned(),
            n => format!(" {n} restarts were tried, and none helped."),
        };
        let next = match (&hold.canary, hold.canary_in) {
            (Some(canary), _) => {
                let within = hold.judged_in.map(|span| format!(", for {span} at most"));
                format!(
                    "{canary} was restarted to see whether that helps, and is being judged{}",
                    within.unwrap_or_default()
                )
            }
            (None, Some(wait)) => {
                format!("in {wait} one sick member is restarted to see whether that helps")
            }
            (None, None) if around.missing.is_some() => {
                "when what it needs is there again, one sick member is restarted to see whether that \
                 helps"
                    .to_owned()
            }
            (None, None) => "one sick member is restarted as soon as its gates allow".to_owned(),
        };
        let rule = match &around.missing {
            Some(_) => "",
            None => {
                " Dead members are started, sick ones are left alone: when many fail together, \
                 restarting seldom helps."
            }
        };
        all.push(format!(
            "{group} is held, for {}: {}.{rule}{futile}",
            hold.held_for, hold.why
        ));
        let calm = match hold.ends_below {
            0 | 1 => format!("no member has been in trouble for {}", hold.calm),
            n => format!(
                "fewer than {n} of the {} members have been in trouble for {}",
                hold.members, hold.calm
            ),
        };
        let now = match hold.troubled {
            0 => "none is".to_owned(),
            1 => "1 is".to_owned(),
            n => format!("{n} are"),
        };
        all.push(format!(
            "The way out: {next}. When it does, the others follow, no more at once than the budget \
             allows; when it does not, another one is tried {} later. The hold also ends when {calm}; \
             now {now}.",
            hold.again_in
        ));
    }
    if let Some(together) = &around.together {
        all.push(format!(
            "{group} is restarted as a whole ({}): {} to go; over in {} at the latest.",
            together.strategy,
            together.left.len(),
            together.within
        ));
    }
    all
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    let text: String = first.to_uppercase().chain(letters).collect();
    if text.ends_with(['.', '!', '?', '…']) {
        text
    } else {
        format!("{text}.")
    }
}

fn sees(out: &mut String, report: &MemberReport, paper: Paper) {
    title(out, "What checkd sees", paper);
    if report.checks.is_empty() {
        let text = "no checks; only whether its process runs";
        paper.hang(out, "  ", 2, text, Ink::Plain);
        return;
    }
    let alive = matches!(report.life.as_ref(), "up" | "starting");
    let seen = |leaf: &&LeafReport| alive || leaf.latest.is_some();
    if !alive {
        let text = "it has no process, so nothing of its own is checked";
        paper.hang(out, "  ", 2, text, Ink::Plain);
    }
    let live = paper.ink(paint::of_status(report.live), report.live.as_str());
    if alive {
        paper.hang(
            out,
            &format!("  live is {live}: "),
            2,
            &report.live_text,
            Ink::Plain,
        );
    }
    let width = report
        .checks
        .iter()
        .map(|leaf| leaf.check.as_str().chars().count())
        .max()
        .unwrap_or(0);
    for leaf in report.checks.iter().filter(seen) {
        let blamed = report.live == Status::Fail && report.blame.contains(&leaf.check);
        let status = leaf.latest.unwrap_or(Status::Unknown);
        let mark = if blamed {
            paper.ink(Ink::Bad, ">")
        } else {
            " ".to_owned()
        };
        let head = format!(
            "{mark} {:width$}  {}{}  ",
            leaf.check,
            paper.ink(paint::of_status(status), status.as_str()),
            " ".repeat(7usize.saturating_sub(status.as_str().len())),
        );
        paper.hang(
            out,
            &head,
            2 + width + 2 + 7 + 2,
            &leaf_text(leaf, report.given_up.is_some()),
            Ink::Plain,
        );
    }
}

/// `connection refused; fail 4 in a row (3 needed) over 6s; 1.2s ago, every 2s`.
/// Whoever was given up is looked at less often than before.
fn leaf_text(leaf: &LeafReport, given_up: bool) -> String {
    let mut parts = Vec::new();
    if !leaf.message.is_empty() {
        parts.push(leaf.message.as_ref().to_owned());
    } else if let Some(cause) = &leaf.cause {
        parts.push(cause.replace('_', " "));
    }
    let Some(age) = leaf.age else {
        return "not run yet in this life".to_owned();
    };
    let needed = match leaf.streak_of {
        Some(Status::Fail) => Some(("fail", leaf.fall)),
        Some(Status::Pass) if leaf.debounced != Status::Pass => Some(("pass", leaf.rise)),
        _ => None,
    };
    if let Some((word, needed)) = needed {
        let over = if leaf.streak > 1 {
            format!(" over {}", leaf.streak_span)
        } else {
            String::new()
        };
        parts.push(if leaf.streak > needed {
            format!("{word} {} in a row ({needed} needed){over}", leaf.streak)
        } else {
            format!("{word} {} of {needed} in a row{over}", leaf.streak)
        });
    }
    if leaf
        .latest
        .is_some_and(|latest| latest.passes() != leaf.debounced.passes())
    {
        parts.push(format!("still counts as {}", leaf.debounced));
    }
    let now = if given_up { " now" } else { "" };
    parts.push(format!("{age} ago, every {}{now}", leaf.interval));
    parts.join("; ")
}

fn waits(out: &mut String, report: &MemberReport, paper: Paper) {
    if let Some(attempt) = &report.attempt {
        title(out, "What checkd does", paper);
        let (step, intent) = (&attempt.step, attempt.intent);
        let text = match attempt.phase.as_ref() {
            "storing" => {
                format!(
                    "{step} (intent {intent}): begins when that is in the journal; every gate is read again then"
                )
            }
            "acting" => {
                format!("{step} (intent {intent}): under way; judged when that is done")
            }
            phase => format!(
                "{step} (intent {intent}): {phase}; judged in {} at the latest",
                attempt.confirm_within
            ),
        };
        paper.hang(out, "  ", 2, &text, Ink::Busy);
        return;
    }
    let Some(step) = &report.proposed else { return };
    let closed = report.gates.iter().filter(|gate| !gate.open).count();
    let text = match closed {
        0 => format!("What checkd does: {step}, every gate is open"),
        1 => format!("What checkd waits for: a {step} must pass every gate, and one is closed"),
        n => format!("What checkd waits for: a {step} must pass every gate, and {n} are closed"),
    };
    title(out, &text, paper);
    let width = report
        .gates
        .iter()
        .map(|gate| gate.gate.chars().count())
        .max()
        .unwrap_or(0);
    for gate in &report.gates {
        let (word, ink) = if gate.open {
            ("open", Ink::Good)
        } else {
            ("closed", Ink::Bad)
        };
        let head = format!(
            "{} {:width$}  {}{}  ",
            if gate.open {
                " ".to_owned()
            } else {
                paper.ink(Ink::Bad, ">")
            },
            gate.gate,
            paper.ink(ink, word),
            " ".repeat(6 - word.len()),
        );
        let said = gate.opens_in.is_some() && gate.numbers.ends_with("to go");
        let text = if gate.open || said || gate.opens_when.is_empty() {
            gate.numbers.clone()
        } else {
            format!("{}; opens {}", gate.numbers, gate.opens_when)
        };
        let ink = if gate.open { Ink::Quiet } else { Ink::Plain };
        paper.hang(out, &head, 2 + width + 2 + 6 + 2, &text, ink);
    }
}

fn happened(out: &mut String, member: &ExplainedMember, now_ms: i64, paper: Paper) {
    if member.events.is_empty() {
        return;
    }
    title(out, "What happened", paper);
    let mut day = wall::date_and_time(now_ms)
        .split(' ')
        .next()
        .unwrap_or("")
        .to_owned();
    let lines = story::tell(&member.events);
    // How it began, and how it is now; what lies between is in the history.
    let hidden = if lines.len() > LINES {
        lines.len() - LINES
    } else {
        0
    };
    for (index, line) in lines.iter().enumerate() {
        if hidden > 0 && (1..=hidden).contains(&index) {
            if index == 1 {
                let text = format!(
                    "{hidden} more; `checkd history {}` shows them",
                    member.report.path
                );
                paper.hang(out, "  …", 12, &text, Ink::Quiet);
            }
            continue;
        }
        let time = wall::date_and_time(line.wall_ms);
        let (date, clock) = time.split_once(' ').unwrap_or((time.as_str(), ""));
        if date != day {
            out.push_str(&format!("  {date}\n"));
            date.clone_into(&mut day);
        }
        paper.hang(out, &format!("  {clock}  "), 12, &line.text, line.ink);
    }
    // How long ago all this was is what is asked next.
    if word(&member.report).0 != "healthy" {
        paper.hang(
            out,
            &format!("  {}  ", wall::time_of_day(now_ms)),
            12,
            "now",
            Ink::Quiet,
        );
    }
}

/// The last words of a member that is not well.
fn said(out: &mut String, member: &ExplainedMember, paper: Paper) {
    let (Some(path), false) = (&member.output, member.last_output.is_empty()) else {
        return;
    };
    if word(&member.report).0 == "healthy" {
        return;
    }
    title(out, "What it said last", paper);
    for line in &member.last_output {
        paper.hang(out, "  | ", 4, line, Ink::Plain);
    }
    paper.hang(out, "  in ", 5, path, Ink::Quiet);
}

fn can_do(out: &mut String, member: &ExplainedMember, paper: Paper) {
    let report = &member.report;
    if report.can_do.is_empty() {
        return;
    }
    title(out, "What you can do", paper);
    for advice in &report.can_do {
        out.push_str(&format!("  {}\n", paper.ink(Ink::Strong, &advice.command)));
        paper.hang(out, "      ", 6, &advice.does, Ink::Quiet);
    }
    if member.output.is_some() && word(report).0 != "healthy" {
        let command = format!("checkd logs {}", report.path);
        out.push_str(&format!("  {}\n", paper.ink(Ink::Strong, &command)));
        paper.hang(out, "      ", 6, "shows more of what it said", Ink::Quiet);
    }
}

#[cfg(test)]
mod tests;
