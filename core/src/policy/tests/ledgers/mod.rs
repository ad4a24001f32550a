//! Golden ledgers: what the engine does and refuses in one incident each, with every gate that was
//! closed and its numbers, as a person reads it. `*.txt` beside this file; whoever changes a decision
//! or a word sees here what it is to people.

mod incidents;

use std::path::Path;

use crate::event::Effect;
use crate::journal::Entry;
use crate::plan::Plan;
use crate::policy::sim::World;
use crate::policy::{About, Axis, NoticeKind};
use crate::{Instant, IntentId, MemberId, Span};

/// Text is wrapped here, as on a terminal.
const WIDTH: usize = 80;

/// The command that writes the ledgers as they are now.
const WRITE: &str = "SNAPSHOTS=overwrite cargo test -p checkd-core --lib policy::tests::ledgers";

/// One incident: its situation as a sentence, and everything that happened in `world`.
#[expect(
    clippy::disallowed_methods,
    reason = "the test of a golden file reads and writes it"
)]
fn holds(name: &str, situation: &str, world: &World) {
    let is = format!("{}\n{}", wrapped("", situation), told(world));
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/policy/tests/ledgers/{name}.txt"));
    if std::env::var("SNAPSHOTS").is_ok_and(|wish| wish == "overwrite") {
        std::fs::write(&path, &is).unwrap();
        return;
    }
    let was = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        was == is,
        "the ledger of `{name}` is another one ({}):\n{}\nwhen that is meant: {WRITE}",
        path.display(),
        difference(&was, &is)
    );
}

/// The lines that went and came, from the first that differs to the last.
pub(super) fn difference(was: &str, is: &str) -> String {
    let (was, is): (Vec<_>, Vec<_>) = (was.lines().collect(), is.lines().collect());
    let same = was.iter().zip(&is).take_while(|(a, b)| a == b).count();
    let (was, is) = (&was[same..], &is[same..]);
    let end = was.iter().rev().zip(is.iter().rev());
    let end = end.take_while(|(a, b)| a == b).count();
    let mut text = format!("from line {} on:\n", same + 1);
    for (sign, lines) in [("-", &was[..was.len() - end]), ("+", &is[..is.len() - end])] {
        for line in lines {
            text.push_str(&format!("{sign} {line}\n"));
        }
    }
    text
}

/// Every act, outcome, refusal and change, a line each.
fn told(world: &World) -> String {
    let plan = world.engine.plan();
    let mut steps = std::collections::BTreeMap::new();
    let mut text = String::new();
    for (at, effect) in world.tape.iter().flatten() {
        let said = match effect {
            Effect::Record(entry) => entry_said(plan, entry, &mut steps),
            Effect::Notify(notice) => match notice.kind {
                // Entries say all that the others say.
                NoticeKind::Blind
                | NoticeKind::Hold
                | NoticeKind::Stall
                | NoticeKind::Unwritten
                | NoticeKind::Waiting
                | NoticeKind::Flapping
                | NoticeKind::Chronic => {
                    Some((about(plan, notice.about), format!("told: {}", notice.text)))
                }
                NoticeKind::Incident
                | NoticeKind::Acting
                | NoticeKind::Signalling
                | NoticeKind::SignalledInVain
                | NoticeKind::Recovered
                | NoticeKind::Futile
                | NoticeKind::GivenUp
                | NoticeKind::Stopping
                | NoticeKind::Thaw
                // Of the host's own.
                | NoticeKind::Quarantined
                | NoticeKind::Released => None,
            },
            Effect::Do(..)
            | Effect::Run(_)
            | Effect::Keep(_)
            | Effect::WakeAt(_)
            | Effect::Answer { .. } => None,
        };
        if let Some((who, what)) = said {
            text.push_str(&wrapped(&format!("{}  {who:6}  ", clock(*at)), &what));
        }
    }
    text
}

fn entry_said(
    plan: &Plan,
    entry: &Entry,
    steps: &mut std::collections::BTreeMap<IntentId, (MemberId, &'static str)>,
) -> Option<(String, String)> {
    let name = |id: MemberId| about(plan, About::Member(id));
    match entry {
        Entry::Transition {
            member,
            axis,
            from,
            to,
            why,
            ..
        } => {
            // What starts and runs is told by its act and by being healthy.
            if *axis == Axis::Life && matches!(*to, "starting" | "up") {
                return None;
            }
            let why = if why.is_empty() {
                String::new()
            } else {
                format!(": {why}")
            };
            let from = if *axis == Axis::Life {
                format!("{from} -> ")
            } else {
                String::new()
            };
            Some((name(*member), format!("{from}{to}{why}")))
        }
        Entry::Group { group, to, why, .. } => {
            let what = match *to {
                "held" => "held",
                "free" => "not held any more",
                "together" => "restarted as a whole",
                _ => "not restarted as a whole any more",
            };
            Some((plan.group_name(*group).to_owned(), format!("{what}: {why}")))
        }
        Entry::Decision {
            member,
            step,
            explanation,
            intent: None,
            ..
        } => {
            let closed = explanation.readings.iter().filter(|reading| !reading.open);
            let closed = closed.map(|reading| format!("{} ({})", reading.gate, reading.compared));
            let closed = closed.collect::<Vec<_>>().join(" and ");
            Some((
                name(*member),
                format!("{} waits for {closed}", step.as_str()),
            ))
        }
        Entry::Intent {
            intent, act, why, ..
        } => {
            let (member, step) = match act {
                crate::event::Act::Start { member } => (member, "start"),
                crate::event::Act::Signal { member, .. } => (member, "signal"),
                crate::event::Act::Restart { member, .. } => (member, "restart"),
                crate::event::Act::Stop { member, .. } => (member, "stop"),
            };
            steps.insert(*intent, (*member, step));
            Some((
                name(*member),
                format!("{step} begins (intent {}): {why}", intent.0),
            ))
        }
        Entry::Outcome {
            intent,
            outcome,
            detail,
            ..
        } => {
            let (member, step) = steps.get(intent)?;
            let text = format!(
                "{step} was {} (intent {}): {detail}",
                outcome.as_str(),
                intent.0
            );
            Some((name(*member), text))
        }
        Entry::Run { .. }
        | Entry::Steady { .. }
        | Entry::Decision { .. }
        | Entry::Operator { .. } => None,
    }
}

fn about(plan: &Plan, about: About) -> String {
    match about {
        About::Member(id) => plan
            .member(id)
            .map_or_else(String::new, |it| it.name.to_string()),
        About::Group(group) => plan.group_name(group).to_owned(),
        About::Host => "host".to_owned(),
    }
}

/// `0:01:25`, since the world began.
fn clock(at: Instant) -> String {
    let seconds = at.since(Instant(1_000_000)).0 / 1_000;
    format!(
        "{}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn wrapped(head: &str, what: &str) -> String {
    let (mut text, mut column) = (head.to_owned(), head.len());
    for (index, word) in what.split(' ').enumerate() {
        if index > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(head.len()));
            column = head.len();
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
    text
}

/// A world whose tape runs.
fn taped(groups: Vec<crate::plan::GroupPlan>) -> World {
    let mut world = World::new(groups);
    world.tape = Some(Vec::new());
    world
}

/// The same, when everybody is healthy and nothing has happened since.
fn healthy(groups: Vec<crate::plan::GroupPlan>) -> World {
    let mut world = taped(groups);
    world.pass(Span::secs(60));
    for member in 0..world.engine.plan().groups[0].members.len() {
        assert_eq!(world.health(u32::try_from(member).unwrap()), "healthy");
    }
    world.tape = Some(Vec::new());
    world
}
