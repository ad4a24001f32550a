//! Verdicts, gates and exits as words for a person: one place, so that the terminal, the journal and
//! `explain` say the same.

use std::fmt::{self, Write as _};

use super::Comparison;
use super::leaf::Leaf;
use super::state::{Group, Member};
use crate::event::Exit;
use crate::plan::{GroupPlan, PolicyPlan};
use crate::{Process, Span, Status};

/// `ping failed 5 times in 20s (connection refused), memory …`: the checks that support a Fail.
pub(crate) fn blame(plan: &GroupPlan, group: &Group, member: &Member, checks: &[u32]) -> String {
    let mut text = String::new();
    for &check in checks {
        let (Some(check_plan), Some(leaf)) =
            (plan.checks.get(check as usize), group.leaf(member, check))
        else {
            continue;
        };
        if !text.is_empty() {
            text.push_str(", ");
        }
        tell_leaf(&mut text, check_plan.name.as_str(), leaf);
    }
    if text.is_empty() {
        format!("`{}` is not met", plan.live.text)
    } else {
        text
    }
}

/// The checks whose newest sample is a Warn, with their messages.
pub(crate) fn warnings(plan: &GroupPlan, group: &Group, member: &Member) -> String {
    let warned = (0u32..)
        .zip(&plan.checks)
        .filter_map(|(check, check_plan)| {
            let newest = group.leaf(member, check)?.newest()?;
            (newest.status == Status::Warn)
                .then(|| format!("{} ({})", check_plan.name, newest.message))
        });
    warned.collect::<Vec<_>>().join(", ")
}

/// `ping failed 5 times in 20s (connection refused)`.
pub(crate) fn one_leaf(name: &str, leaf: &Leaf) -> String {
    let mut text = String::new();
    tell_leaf(&mut text, name, leaf);
    text
}

/// Appends what one leaf says.
fn tell_leaf(text: &mut String, name: &str, leaf: &Leaf) {
    let message = leaf.newest().map_or("", |newest| &newest.message);
    // Moved once and not at each word.
    text.reserve(name.len() + " failed 1000 times in 2h30m ()".len() + message.len());
    text.push_str(name);
    // A text takes all that is written to it.
    _ = match leaf.streak() {
        // What was so before is no evidence of how it is.
        Some(streak) if !streak.failing && leaf.latest() == Status::Unknown => {
            write!(text, " cannot tell")
        }
        None if leaf.latest() == Status::Unknown && leaf.newest().is_some() => {
            write!(text, " cannot tell")
        }
        None => write!(text, " has not been seen yet"),
        Some(streak) => {
            text.push_str(if streak.failing { " failed" } else { " passed" });
            match streak.count {
                1 => write!(text, " once"),
                2 => write!(text, " twice in {}", streak.span),
                n => write!(text, " {n} times in {}", streak.span),
            }
        }
    };
    if !message.is_empty() {
        text.extend([" (", message, ")"]);
    }
}

/// As a text that need not be moved while it grows: of hundreds of thousands each move would be felt.
pub(crate) fn sentence(of: &impl fmt::Display) -> String {
    const MOST: usize = 96;
    let mut text = String::with_capacity(MOST);
    // A text takes all that is written to it.
    _ = write!(text, "{of}");
    text
}

/// `process 4711`, `processes 4711 and 4712`.
pub(crate) fn processes(all: &[Process]) -> String {
    let pids: Vec<String> = all.iter().map(|one| one.pid.to_string()).collect();
    match pids.split_last() {
        None => "no process".to_owned(),
        Some((one, [])) => format!("process {one}"),
        Some((last, others)) => format!("processes {} and {last}", others.join(", ")),
    }
}

/// What counts against the limits of sick members: `restarts`, and signals where there are any.
pub(crate) fn acts(policy: &PolicyPlan, restarts: &str) -> String {
    match policy.signal {
        None => restarts.to_owned(),
        Some(_) => format!("{restarts} and signals"),
    }
}

/// What checkd did so often: `started it`, or sent it a signal where that may be.
pub(crate) const fn acted(policy: &PolicyPlan) -> &'static str {
    if policy.signal.is_some() {
        "started it or sent it a signal"
    } else {
        "started it"
    }
}

/// The numbers that a gate compared, as a sentence: `2 out (web-1, web-4), at most 2 allowed`.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age { found: None, .. } => {
                f.write_str("its newest sample is no failure: it may be recovering")
            }
            Self::Age {
                found: Some(found),
                allowed,
            } => write!(f, "newest evidence {found} old, at most {allowed} allowed"),
            Self::Stored { refused: None } => f.write_str("the last intent was stored"),
            Self::Stored {
                refused: Some(reason),
            } => write!(f, "the last intent could not be stored: {reason}"),
            Self::Control { state } => f.write_str(state),
            Self::Until { remaining, of } if *remaining == Span::ZERO => {
                if *of == Span::ZERO {
                    return f.write_str("no wait");
                }
                write!(f, "{of} are over")
            }
            Self::Until { remaining, of } if remaining >= of => write!(f, "{remaining} to go"),
            Self::Until { remaining, of } => write!(f, "{remaining} of {of} to go"),
            Self::Count {
                found,
                allowed,
                window,
            } => write!(f, "{found} in the last {window}, at most {allowed} allowed"),
            Self::Dependency { missing: None } => f.write_str("nothing to wait for"),
            Self::Dependency {
                missing: Some(missing),
            } => missing.fmt(f),
            Self::Stall { why: Some(why), .. } => f.write_str(why),
            Self::Stall {
                why: None,
                calm: Some(calm),
            } => write!(f, "this machine stalled until {calm} ago"),
            Self::Stall {
                why: None,
                calm: None,
            } => f.write_str("this machine runs"),
            Self::Rate {
                acting,
                allowed,
                next_in,
            } => {
                write!(f, "{acting} under way here, {allowed} allowed")?;
                match next_in {
                    Some(next) => write!(f, "; the next in {next}"),
                    None => Ok(()),
                }
            }
            Self::Hold {
                why: Some(why),
                held_for: None,
                ..
            } => f.write_str(why),
            Self::Hold {
                why: None,
                troubled,
                members,
                ..
            } => write!(f, "{troubled} of {members} in trouble"),
            Self::Hold {
                why: Some(why),
                held_for: Some(held_for),
                canary_in,
                canary,
                unsupplied,
                ..
            } => {
                f.write_str("held")?;
                if *held_for >= Span::secs(1) {
                    write!(f, " for {held_for}")?;
                }
                write!(f, ": {why}; ")?;
                match (canary, canary_in) {
                    (Some(member), _) => write!(f, "the restart of {member} is being judged"),
                    (None, Some(wait)) => write!(f, "one member is tried in {wait}"),
                    (None, None) if *unsupplied => {
                        f.write_str("nobody is tried before what it needs is there again")
                    }
                    (None, None) => {
                        f.write_str("one member is tried as soon as it may be restarted")
                    }
                }
            }
            Self::Budget {
                out,
                max_out,
                who,
                up,
                min_up,
            } => {
                write!(f, "{out} out")?;
                if let Some((first, others)) = who.split_first() {
                    write!(f, " ({first}")?;
                    others.iter().try_for_each(|name| write!(f, ", {name}"))?;
                    let more = (*out as usize) > who.len();
                    f.write_str(if more { ", …)" } else { ")" })?;
                }
                write!(f, ", at most {max_out} allowed")?;
                if up < min_up {
                    write!(f, "; {up} others ready, at least {min_up} must stay")?;
                }
                Ok(())
            }
        }
    }
}

/// How its last process ended, or why none could be started: `it exited with code 3`.
pub(crate) fn ending(member: &Member) -> String {
    match (member.last_exit, &member.cannot_start) {
        (Some(Exit::NotStarted), Some(reason)) => format!("it could not be started: {reason}"),
        (Some(exit), _) => format!("it {exit}"),
        (None, _) => "it has no process".to_owned(),
    }
}

/// The word for a verdict on a member.
pub(crate) const fn verdict(status: Status) -> &'static str {
    match status {
        Status::Pass => "passes",
        Status::Warn => "passes with a warning",
        Status::Fail => "fails",
        Status::Unknown => "is unknown",
    }
}
