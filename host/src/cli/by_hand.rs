//! `checkd restart`, `start`, `stop`, `pause`, `resume`, `reset`: what a person asks for by hand.

use std::process::ExitCode;

use crate::api::wire::{Answers, Order, ReloadOrder, Reloaded};
use crate::wall;

use super::paint::{Ink, Paper};
use super::{Daemon, FAILED, USAGE, find, paint, tell};

/// Arguments of the verbs that only select.
#[derive(Debug, clap::Args)]
pub struct SelectArgs {
    /// Which members: `group`, `group/member`, with `*`.
    selector: String,
    #[command(flatten)]
    daemon: Daemon,
}
/// Arguments of `checkd restart`.
#[derive(Debug, clap::Args)]
pub struct RestartArgs {
    /// Which members: `group`, `group/member`, with `*`.
    selector: String,
    /// All at once and past the budget, instead of one after the other.
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    daemon: Daemon,
}
/// Arguments of `checkd pause`.
#[derive(Debug, clap::Args)]
pub struct PauseArgs {
    /// Which members: `group`, `group/member`, with `*`.
    selector: String,
    /// How long: `30m`, `2h`, `1d`.
    #[arg(long = "for", value_name = "TIME", value_parser = wall::parse_span)]
    length: checkd_core::Span,
    /// Why, for the next person.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Replace the pause of another person.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    daemon: Daemon,
}
/// Arguments of `checkd resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// Which members: `group`, `group/member`, with `*`.
    selector: String,
    /// End the pause of another person too.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// Arguments of `checkd reload`.
#[derive(Debug, clap::Args)]
pub struct ReloadArgs {
    /// Restart, through the budget, members that run with other settings than the new ones.
    #[arg(long)]
    restart: bool,
    /// Take a configuration that leaves out more than half of all members, and so stop them.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// `checkd reload`.
pub fn reload(args: &ReloadArgs) -> ExitCode {
    let order = ReloadOrder {
        restart: args.restart,
        force: args.force,
    };
    let place = find::place(&args.daemon);
    let answer: Reloaded = match place.control.post("/api/v1/reload", &order) {
        Ok(answer) => answer,
        Err(failure) => return find::no_answer(&failure),
    };
    if answer.ok {
        let mut out = String::new();
        let text = format!("new configuration taken: {}", answer.text);
        Paper::of_stdout().hang(&mut out, "", 0, &text, Ink::Plain);
        paint::print(&out);
        return ExitCode::SUCCESS;
    }
    tell::say(answer.text.trim_end());
    tell::say("\nthe new configuration was not taken; the old one stays in force");
    ExitCode::from(if answer.later { FAILED } else { USAGE })
}

/// `checkd restart`.
pub fn restart(args: RestartArgs) -> ExitCode {
    let order = Order {
        select: args.selector,
        now: args.now,
        ..Order::default()
    };
    give(&args.daemon, "restart", &order)
}
/// `checkd start`.
pub fn start(args: SelectArgs) -> ExitCode {
    select(args, "start")
}
/// `checkd stop`.
pub fn stop(args: SelectArgs) -> ExitCode {
    select(args, "stop")
}
/// `checkd pause`.
pub fn pause(args: PauseArgs) -> ExitCode {
    let order = Order {
        select: args.selector,
        force: args.force,
        for_ms: Some(args.length.0),
        reason: Some(args.reason),
        ..Order::default()
    };
    give(&args.daemon, "pause", &order)
}
/// `checkd resume`.
pub fn resume(args: ResumeArgs) -> ExitCode {
    let order = Order {
        select: args.selector,
        force: args.force,
        ..Order::default()
    };
    give(&args.daemon, "resume", &order)
}
/// `checkd reset`.
pub fn reset(args: SelectArgs) -> ExitCode {
    select(args, "reset")
}

fn select(args: SelectArgs, verb: &str) -> ExitCode {
    give(
        &args.daemon,
        verb,
        &Order {
            select: args.selector,
            ..Order::default()
        },
    )
}

fn give(daemon: &Daemon, verb: &str, order: &Order) -> ExitCode {
    if order.select.trim().is_empty() {
        // Everything is never meant by saying nothing.
        tell::say(&format!(
            "error[C0510]: `checkd {verb}` needs a selector\nhelp: `checkd {verb} '*'` means every \
             member of every group"
        ));
        return ExitCode::from(USAGE);
    }
    let answers: Answers = match find::control(daemon).post(&format!("/api/v1/{verb}"), order) {
        Ok(answers) => answers,
        Err(failure) => return find::no_answer(&failure),
    };
    let width = answers
        .answers
        .iter()
        .map(|a| a.member.chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for answer in &answers.answers {
        let head = format!("{:width$}  ", answer.member);
        if answer.ok {
            Paper::of_stdout().hang(&mut out, &head, width + 2, &answer.text, Ink::Plain);
            continue;
        }
        let text = match answer.text.as_str() {
            "" => "refused",
            text => text,
        };
        let mut refused = String::new();
        Paper::plain().hang(&mut refused, &head, width + 2, text, Ink::Plain);
        tell::say(refused.trim_end());
    }
    paint::print(&out);
    if answers.answers.iter().all(|answer| answer.ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}
