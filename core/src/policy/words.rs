//! Verdicts, gates and exits as words for a person: one place, so that the terminal, the journal and
//! `explain` say the same.

use std::borrow::Cow;

use super::leaf::Leaf;
use super::state::{Group, Member};
use super::{Comparison, Reading};
use crate::event::Exit;
use crate::plan::{GroupPlan, Plan};
use crate::{Span, Status};

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
        text.push_str(&one_leaf(check_plan.name.as_str(), leaf));
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
    let message = leaf
        .newest()
        .filter(|newest| !newest.message.is_empty())
        .map_or(String::new(), |newest| format!(" ({})", newest.message));
    match leaf.streak() {
        None => format!("{name} has not been seen yet{message}"),
        Some(streak) => {
            let word = if streak.failing { "failed" } else { "passed" };
            let times = match streak.count {
                1 => "once".to_owned(),
                2 => format!("twice in {}", streak.span),
                n => format!("{n} times in {}", streak.span),
            };
            format!("{name} {word} {times}{message}")
        }
    }
}

/// The numbers that a gate compared, as a sentence.
pub(crate) fn numbers<'a>(plan: &Plan, reading: &'a Reading) -> Cow<'a, str> {
    let text = match &reading.compared {
        Comparison::Age { found: None, .. } => {
            return "its newest sample is no failure: it may be recovering".into();
        }
        Comparison::Age {
            found: Some(found),
            allowed,
        } => {
            format!("newest evidence {found} old, at most {allowed} allowed")
        }
        Comparison::Stored { refused: None } => return "the last intent was stored".into(),
        Comparison::Stored {
            refused: Some(reason),
        } => {
            format!("the last intent could not be stored: {reason}")
        }
        Comparison::Control { state } => return state.into(),
        Comparison::Until { remaining, of } if *remaining == Span::ZERO => {
            if *of == Span::ZERO {
                return "no wait".into();
            }
            format!("{of} are over")
        }
        Comparison::Until { remaining, of } if remaining >= of => format!("{remaining} to go"),
        Comparison::Until { remaining, of } => format!("{remaining} of {of} to go"),
        Comparison::Count {
            found,
            allowed,
            window,
        } => {
            format!("{found} in the last {window}, at most {allowed} allowed")
        }
        Comparison::Dependency { missing: None } => return "nothing to wait for".into(),
        Comparison::Dependency {
            missing: Some(missing),
        } => missing.to_string(),
        Comparison::Stall { why: Some(why), .. }
        | Comparison::Hold {
            why: Some(why),
            held_for: None,
            ..
        } => return why.into(),
        Comparison::Stall {
            why: None,
            calm: Some(calm),
        } => format!("this machine stalled until {calm} ago"),
        Comparison::Stall {
            why: None,
            calm: None,
        } => return "this machine runs".into(),
        Comparison::Rate {
            acting,
            allowed,
            next_in,
        } => match next_in {
            Some(next) => format!("{acting} under way here, {allowed} allowed; the next in {next}"),
            None => format!("{acting} under way here, {allowed} allowed"),
        },
        Comparison::Hold {
            why: None,
            troubled,
            members,
            ..
        } => format!("{troubled} of {members} in trouble"),
        Comparison::Hold {
            why: Some(why),
            held_for: Some(held_for),
            canary_in,
            canary,
            unsupplied,
            ..
        } => {
            let out = match (canary.and_then(|id| plan.member(id)), canary_in) {
                (Some(member), _) => format!("the restart of {} is being judged", member.name),
                (None, Some(wait)) => format!("one member is tried in {wait}"),
                (None, None) if *unsupplied => {
                    "nobody is tried before what it needs is there again".to_owned()
                }
                (None, None) => "one member is tried as soon as it may be restarted".to_owned(),
            };
            let held = if *held_for < Span::secs(1) {
                "held".to_owned()
            } else {
                format!("held for {held_for}")
            };
            format!("{held}: {why}; {out}")
        }
        Comparison::Budget {
            out,
            max_out,
            who,
            up,
            min_up,
        } => {
            let mut text = format!("{out} out, at most {max_out} allowed");
            if !who.is_empty() {
                let names: Vec<String> = who
                    .iter()
                    .map(|id| {
                        plan.member(*id)
                            .map_or_else(String::new, |m| m.name.as_str().to_owned())
                    })
                    .collect();
                let more = if (*out as usize) > names.len() {
                    ", …"
                } else {
                    ""
                };
                text = format!(
                    "{out} out ({}{more}), at most {max_out} allowed",
                    names.join(", ")
                );
            }
            if up < min_up {
                let short = format!("; {up} others ready, at least {min_up} must stay");
                text.push_str(&short);
            }
            text
        }
    };
    Cow::Owned(text)
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
