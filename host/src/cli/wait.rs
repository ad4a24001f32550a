//! `checkd wait`: until members are as a deploy script wants them, or until its patience is over.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use checkd_core::diagnostic::Diagnostic;
use checkd_core::report::{MemberReport, StatusReport};
use checkd_core::{Span, Status};

use crate::api::WAIT_MAX;
use crate::api::client::{Control, Failure, escape};
use crate::api::wire::Watched;
use crate::wall;

use super::{Daemon, FAILED, USAGE, find, tell};

/// A daemon that went away meanwhile (an upgrade, a crash) is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So many members are told about.
const TOLD: usize = 12;

/// Arguments of `checkd wait`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which members: `group`, `group/member`, with `*`.
    selector: String,
    /// What each of them is to be, with no act under way or due.
    #[arg(long = "for", value_name = "WHAT")]
    goal: Goal,
    /// How long at most: `90s`, `10m`.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = wall::parse_span)]
    timeout: Span,
    #[command(flatten)]
    daemon: Daemon,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Goal {
    /// Its `ready` passes.
    Ready,
    /// Its `live` passes, and it is proven.
    Live,
    /// It has no process.
    Stopped,
}

impl Goal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Stopped => "stopped",
        }
    }

    /// Whether a member is there, and will stay there by all that is known.
    fn reached(self, member: &MemberReport) -> bool {
        let good = |status: Status| matches!(status, Status::Pass | Status::Warn);
        let due = member.proposed.is_some() && member.control == "auto";
        if member.attempt.is_some() || due {
            return false;
        }
        match self {
            Self::Ready => good(member.ready),
            Self::Live => good(member.live) && member.health == "healthy",
            Self::Stopped => member.generation.is_none(),
        }
    }
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    let Args {
        selector,
        goal,
        timeout,
        daemon,
    } = args;
    if selector.contains(':') {
        tell::tell(
            &Diagnostic::error(
                "C0510",
                format!("`checkd wait` is about members, and `{selector}` names a check"),
            )
            .help("leave out what stands behind the colon"),
        );
        return ExitCode::from(USAGE);
    }
    match wait(&find::control(&daemon), &selector, goal, timeout) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(told)) => {
            tell::tell(&told);
            ExitCode::from(FAILED)
        }
        Err(failure) => find::no_answer(&failure),
    }
}

/// Nothing when the goal was reached, else what is to be told after `timeout`.
fn wait(
    control: &Control,
    selector: &str,
    goal: Goal,
    timeout: Span,
) -> Result<Option<Diagnostic>, Failure> {
    let began = Instant::now();
    let left = || timeout.as_duration().saturating_sub(began.elapsed());
    let mut last: Option<StatusReport> = None;
    let mut seen = None;
    loop {
        let mut path = format!("/api/v1/status?select={}", escape(selector));
        if let Some(version) = seen {
            let patience = left().min(WAIT_MAX).as_millis();
            path.push_str(&format!("&seen={version}&wait_ms={patience}"));
        }
        match control.get(&path) {
            Ok(Watched { version, report }) => {
                if members(&report).all(|member| goal.reached(member)) {
                    return Ok(None);
                }
                seen = Some(version);
                last = Some(report);
            }
            // It answered before: whoever upgrades it waits for the next one.
            Err(Failure::Silent(_)) if last.is_some() && !left().is_zero() => {
                seen = None;
                std::thread::sleep(LOOK_AGAIN.min(left()));
                continue;
            }
            Err(failure) => return Err(failure),
        }
        if left().is_zero() {
            return Ok(last.map(|report| laggards(&report, selector, goal, timeout)));
        }
    }
}

fn members(report: &StatusReport) -> impl Iterator<Item = &MemberReport> {
    report.groups.iter().flat_map(|group| &group.members)
}

fn laggards(report: &StatusReport, selector: &str, goal: Goal, timeout: Span) -> Diagnostic {
    let all = members(report).count();
    let late: Vec<&MemberReport> = members(report).filter(|m| !goal.reached(m)).collect();
    let what = goal.as_str();
    let mut told = Diagnostic::error(
        "C0512",
        match all {
            1 => format!("`{selector}` is not {what} after {timeout}"),
            _ => format!(
                "`{selector}` is not {what} after {timeout}: {} of {all} members are",
                all - late.len()
            ),
        },
    );
    for member in late.iter().take(TOLD) {
        told = told.note(format!("`{}`: {}", member.path, waits_for(member, goal)));
    }
    if late.len() > TOLD {
        told = told.note(format!("and {} more", late.len() - TOLD));
    }
    match late.first() {
        Some(first) => told.help(format!("`checkd explain {}` says more", first.path)),
        None => told,
    }
}

/// What keeps one member from the goal.
fn waits_for(member: &MemberReport, goal: Goal) -> String {
    let idle = member.attempt.is_none() && member.proposed.is_none();
    if goal == Goal::Stopped && idle && member.generation.is_some() {
        return "runs, and nobody asked for its stop".to_owned();
    }
    // Healthy, and yet not ready: its checks say why.
    if goal == Goal::Ready && idle && member.health == "healthy" {
        let bad = |leaf: &&checkd_core::report::LeafReport| {
            matches!(leaf.debounced, Status::Fail | Status::Unknown)
        };
        let bad: Vec<String> = member
            .checks
            .iter()
            .filter(bad)
            .map(|leaf| {
                let why = if leaf.message.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", leaf.message)
                };
                format!("`{}` is {}{why}", leaf.check, leaf.debounced.as_str())
            })
            .collect();
        if !bad.is_empty() {
            return bad.join(", ");
        }
    }
    member.summary.clone()
}
