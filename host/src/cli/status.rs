//! `checkd status`: groups and members, their verdicts, and what each waits for.

use std::process::ExitCode;

use checkd_core::Status;
use checkd_core::plan::Mode;
use checkd_core::report::{GroupReport, LeafReport, MemberReport, SinkReport, StatusReport};

use crate::api::WAIT_MAX;
use crate::api::client::{Control, Failure, escape};
use crate::api::wire::Watched;
use crate::wall;

use super::paint::{self, Ink, Paper};
use super::{Daemon, FAILED, find};

/// On a terminal `--watch` draws at each change, and this often because times count on.
const REDRAW_MS: u128 = 1_000;

/// Arguments of `checkd status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which members: `group`, `group/member`, with `*`; several may be named [default: all].
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Again and again: redrawn on a terminal, printed at each change elsewhere.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    let Args {
        selectors,
        json,
        watch,
        daemon,
    } = args;
    let control = find::control(&daemon);
    let selector = selectors.join(",");
    if watch {
        return again_and_again(&control, &selector, json);
    }
    match ask(&control, &selector) {
        Ok(report) => {
            if json {
                paint::print_json(&report);
            } else {
                paint::print(&render(&report, Paper::of_stdout()));
            }
            ExitCode::SUCCESS
        }
        Err(failure) => find::no_answer(&failure),
    }
}

fn ask(control: &Control, selector: &str) -> Result<StatusReport, Failure> {
    control.get(&format!("/api/v1/status?select={}", escape(selector)))
}

fn again_and_again(control: &Control, selector: &str, json: bool) -> ExitCode {
    use std::io::IsTerminal;
    let redraw = std::io::stdout().is_terminal() && !json;
    let wait_ms = if redraw {
        REDRAW_MS
    } else {
        WAIT_MAX.as_millis()
    };
    let mut shown = String::new();
    let mut seen = String::new();
    loop {
        let path = format!("/api/v1/status?select={}{seen}", escape(selector));
        let report = match control.get(&path) {
            Ok(Watched { version, report }) => {
                seen = format!("&seen={version}&wait_ms={wait_ms}");
                report
            }
            Err(failure) => return find::no_answer(&failure),
        };
        let taken = if redraw {
            // Home, the text with each line's rest erased, then everything below erased: no flicker.
            let text = render(&report, Paper::of_stdout()).replace('\n', "\u{1b}[K\n");
            let head = format!("{}  Ctrl-C ends\n\n", now());
            let clear = if shown.is_empty() { "\u{1b}[2J" } else { "" };
            "drawn".clone_into(&mut shown);
            paint::print(&format!(
                "{clear}\u{1b}[H{}{text}\u{1b}[J",
                head.replace('\n', "\u{1b}[K\n")
            ))
        } else {
            let shape = shape(&report);
            if shape == shown {
                true
            } else {
                shown = shape;
                if json {
                    serde_json::to_string(&report)
                        .is_ok_and(|line| paint::print(&format!("{line}\n")))
                } else {
                    paint::print(&format!(
                        "{}\n{}\n",
                        now(),
                        render(&report, Paper::of_stdout())
                    ))
                }
            }
        };
        if !taken {
            return ExitCode::from(FAILED);
        }
    }
}

fn now() -> String {
    wall::date_and_time(wall::now_ms())
}

/// What of a status is worth printing again: everything but what only counts on.
fn shape(report: &StatusReport) -> String {
    let members = report.groups.iter().flat_map(|group| {
        let around = &group.around;
        let head = format!(
            "{} {} {} {:?} {:?} {} {}\n",
            group.name,
            group.ready_members,
            group.out,
            around.hold.as_ref().map(|hold| (&hold.why, &hold.canary)),
            around.together.as_ref().map(|together| together.left.len()),
            around.missing.is_some(),
            around.stall.is_some(),
        );
        let members = group.members.iter().map(|m| {
            let closed: Vec<&str> = m
                .gates
                .iter()
                .filter(|g| !g.open)
                .map(|g| g.gate.as_ref())
                .collect();
            let pid = m.generation.map(|g| g.pid);
            let leaves: Vec<_> = m.checks.iter().map(|c| (c.debounced, c.latest)).collect();
            format!(
                "{} {} {pid:?} {:?} {closed:?} {leaves:?} {}\n",
                m.path,
                word(m).0,
                m.labels,
                m.control.split(" for another ").next().unwrap_or_default(),
            )
        });
        std::iter::once(head).chain(members)
    });
    let mut shape: String = members.collect();
    for one in &report.unplanned {
        shape.push_str(&format!("{} {} {}\n", one.path, one.pid, one.stopping));
    }
    let troubled = report.keeper.as_ref().map(|keeper| keeper.notes.len());
    let quarantined: Vec<&String> = report.plugins.iter().map(|plugin| &plugin.name).collect();
    shape.push_str(&format!("{troubled:?} {quarantined:?}\n"));
    shape
}

/// The one word for a member, and its colour.
pub(super) fn word(member: &MemberReport) -> (&'static str, Ink) {
    let has = |label: &str| member.labels.iter().any(|l| l == label);
    if member.given_up.is_some() {
        return ("given up", Ink::Bad);
    }
    if let Some(attempt) = &member.attempt {
        return match attempt.step.as_ref() {
            "stop" => ("stopping", Ink::Busy),
            "restart" if attempt.phase != "confirming" => ("restarting", Ink::Busy),
            // The member goes on meanwhile.
            "signal" => ("signalled", Ink::Busy),
            _ => ("starting", Ink::Busy),
        };
    }
    match (member.life.as_ref(), member.health.as_ref()) {
        ("stopped", _) => ("stopped", Ink::Quiet),
        ("dead", _) => ("dead", Ink::Bad),
        (_, "failed") => ("failed", Ink::Bad),
        _ if has("blind") => ("blind", Ink::Unsure),
        _ if has("suspect") => ("suspect", Ink::Busy),
        _ if has("degraded") => ("degraded", Ink::Busy),
        (_, "healthy") => ("healthy", Ink::Good),
        _ => ("unproven", Ink::Unsure),
    }
}

/// The whole report as text.
pub(super) fn render(report: &StatusReport, paper: Paper) -> String {
    let mut out = String::new();
    if report.groups.is_empty() {
        out.push_str("no groups\n");
    }
    for (index, group) in report.groups.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        head(&mut out, group, paper);
        let names = |m: &MemberReport| name(m).chars().count();
        let width = group.members.iter().map(names).max().unwrap_or(0).min(32);
        for member in &group.members {
            line(&mut out, member, width, paper);
        }
    }
    let failing: Vec<&SinkReport> = report
        .notify
        .iter()
        .filter(|sink| sink.failing.is_some() || sink.dropped > 0)
        .collect();
    if !failing.is_empty() {
        out.push('\n');
    }
    for one in failing {
        sink(&mut out, one, paper);
    }
    around(&mut out, report, paper);
    out
}

/// What belongs to no group: the keeper, plugins in quarantine, and what nobody looks after.
fn around(out: &mut String, report: &StatusReport, paper: Paper) {
    for note in report.keeper.iter().flat_map(|keeper| &keeper.notes) {
        let head = format!("\n{}  ", paper.ink(Ink::Bad, "keeper"));
        paper.hang(out, &head, "keeper  ".len(), note, Ink::Plain);
    }
    for plugin in &report.plugins {
        let name = format!("plugin {}", plugin.name);
        let head = format!("\n{}  ", paper.ink(Ink::Bad, &name));
        let column = name.chars().count() + 2;
        paper.hang(out, &head, column, &plugin.quarantined, Ink::Plain);
    }
    if !report.unplanned.is_empty() {
        let head = "not in the configuration any more";
        out.push_str(&format!("\n{}\n", paper.ink(Ink::Strong, head)));
    }
    let widths = report.unplanned.iter().map(|one| one.path.chars().count());
    let width = widths.max().unwrap_or(0).min(32);
    for one in &report.unplanned {
        let head = format!("  {:width$}  {:>7}", one.path, one.pid);
        let text = if one.stopping {
            "is being stopped".to_owned()
        } else {
            format!(
                "runs, and nobody looks after it; `checkd stop {}` ends it",
                one.path
            )
        };
        paper.hang(out, &head, 2 + width + 2 + 7 + 2, &text, Ink::Plain);
    }
}

/// A sink that cannot be told; the others are as they should be.
fn sink(out: &mut String, sink: &SinkReport, paper: Paper) {
    let word = match sink.failing {
        Some(_) => "fails",
        None => "lost news",
    };
    let head = format!(
        "{}  {}  ",
        paper.ink(Ink::Strong, &format!("notify {}", sink.name)),
        paper.ink(Ink::Bad, word)
    );
    let mut facts = Vec::new();
    if let (Some(since), Some(why)) = (sink.failing_since_ms, &sink.failing) {
        facts.push(format!(
            "since {}: {why} (C0530)",
            wall::date_and_time(since)
        ));
    }
    if sink.waiting > 0 {
        facts.push(format!("{} waiting", sink.waiting));
    }
    if sink.dropped > 0 {
        facts.push(format!("{} dropped (C0532)", sink.dropped));
    }
    let column = "notify ".len() + sink.name.len() + word.len() + 4;
    paper.hang(out, &head, column, &facts.join("; "), Ink::Plain);
}

fn name(member: &MemberReport) -> &str {
    member
        .path
        .split_once('/')
        .map_or(member.path.as_str(), |(_, name)| name)
}

fn head(out: &mut String, group: &GroupReport, paper: Paper) {
    let ready = if group.ready { "ready" } else { "not ready" };
    let ink = if group.ready { Ink::Good } else { Ink::Bad };
    let mut facts = format!(
        "{} ready, {} needed",
        group.ready_members, group.ready_needed
    );
    if group.out > 0 {
        facts.push_str(&format!(
            "; {} out, at most {} allowed",
            group.out, group.max_out
        ));
    }
    if group.mode == Mode::Observe {
        facts.push_str("; observed only");
    }
    out.push_str(&format!(
        "{}  {} ({facts})\n",
        paper.ink(Ink::Strong, &group.name),
        paper.ink(ink, ready)
    ));
    let around = &group.around;
    let mut bad = |head: &str, text: &str| {
        let column = 2 + head.chars().count() + 1;
        let head = format!("  {} ", paper.ink(Ink::Bad, head));
        paper.hang(out, &head, column, text, Ink::Plain);
    };
    if let Some(stall) = &around.stall {
        bad("this machine stalls:", stall);
    }
    if let Some(missing) = &around.missing {
        bad("needs what is not there:", missing);
    }
    if let Some(hold) = &around.hold {
        let next = match (&hold.canary, hold.canary_in) {
            (Some(canary), _) => format!("; the restart of {canary} is being judged"),
            (None, Some(wait)) => format!("; one member is tried in {wait}"),
            (None, None) => String::new(),
        };
        bad(
            &format!("held for {}:", hold.held_for),
            &format!("{}{next}", hold.why),
        );
    }
    if let Some(together) = &around.together {
        let text = format!("{}, {} to go", together.strategy, together.left.len());
        bad("restarted as a whole:", &text);
    }
}

fn line(out: &mut String, member: &MemberReport, width: usize, paper: Paper) {
    let (word, ink) = word(member);
    let since = match (member.life.as_ref(), &member.attempt) {
        ("stopped", _) => String::new(),
        (_, None)
            if matches!(member.health.as_ref(), "healthy" | "failed") && member.life != "dead" =>
        {
            member.health_for.to_string()
        }
        _ => member.life_for.to_string(),
    };
    let pid = member
        .generation
        .map_or_else(String::new, |g| g.pid.to_string());
    let head = format!(
        "  {:width$}  {}{} {since:>6}  {pid:>7}",
        name(member),
        paper.ink(ink, word),
        " ".repeat(10usize.saturating_sub(word.len())),
    );
    let column = 2 + width + 2 + 10 + 1 + 6 + 2 + 7 + 2;
    let quiet = matches!(word, "healthy") && !member.outdated();
    let text = match member.last_exit {
        _ if quiet && matches!(member.control.as_ref(), "auto" | "observe") => String::new(),
        Some(exit) if member.life == "dead" => format!("{exit}; {}", member.summary),
        _ => member.summary.clone(),
    };
    paper.hang(out, &head, column, &text, Ink::Plain);
    let indent = " ".repeat(2 + width + 2);
    if member.control != "auto" && member.control != "observe" {
        paper.hang(out, &indent, indent.len(), &member.control, Ink::Busy);
    }
    for leaf in member.checks.iter().filter(|leaf| worth_showing(leaf)) {
        let latest = leaf.latest.unwrap_or(Status::Unknown);
        let head = format!(
            "{indent}{} {}: ",
            paper.ink(paint::of_status(latest), latest.as_str()),
            leaf.check
        );
        let column = indent.len() + latest.as_str().len() + leaf.check.as_str().chars().count() + 3;
        paper.hang(out, &head, column, &leaf_text(leaf), Ink::Quiet);
    }
}

/// Only what is not as it should be.
fn worth_showing(leaf: &LeafReport) -> bool {
    leaf.latest.is_some_and(|latest| latest != Status::Pass)
}

/// `connection refused (3 in a row, 5 fail)`.
fn leaf_text(leaf: &LeafReport) -> String {
    let message = if leaf.message.is_empty() {
        leaf.cause.clone().unwrap_or_default().replace('_', " ")
    } else {
        leaf.message.as_ref().to_owned()
    };
    if leaf.streak_of == Some(Status::Fail) && leaf.streak > 0 {
        format!("{message} ({} in a row)", leaf.streak)
    } else {
        message
    }
}
