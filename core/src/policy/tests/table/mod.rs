//! The table: what every event does to a member in every state that it can be in, a row each.
//!
//! `table.txt` beside this file. A state is a member's life, health and attempt; `nothing` stands there
//! on purpose. A new life, health, phase, event or command does not compile, or fails here, before it
//! has its rows.

mod around;
mod events;
mod situations;

use std::path::Path;

use self::events::{KINDS, events, kind, time_passes};
use self::situations::{Situation, axes, situations};
use super::ledgers::difference;
use crate::MemberId;
use crate::engine::Engine;
use crate::event::{Act, Effect, Event};
use crate::journal::Entry;
use crate::policy::sim::World;

/// The command that writes the table as it is now.
const WRITE: &str = "SNAPSHOTS=overwrite cargo test -p checkd-core --lib policy::tests::table";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test of a golden file reads and writes it"
)]
fn every_state_and_every_event_has_its_row() {
    let is = table();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/tests/table/table.txt");
    if std::env::var("SNAPSHOTS").is_ok_and(|wish| wish == "overwrite") {
        std::fs::write(&path, &is).unwrap();
        return;
    }
    let was = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        was == is,
        "the table is another one ({}):\n{}\nwhen that is meant: {WRITE}",
        path.display(),
        difference(&was, &is)
    );
}

fn table() -> String {
    let mut text = String::from(
        "What each event does to `web-0` in each state. `web-1` is well where nothing else is said.\n\
         \"counts it\": only what is remembered changes. \"nothing\": not even that.\n",
    );
    for (life, health, phase) in axes() {
        let words = format!(
            "{}, {}, {}",
            life.as_str(),
            health.as_str(),
            situations::word(phase)
        );
        match situations(life, &health, phase) {
            Err(why) => {
                text.push_str(&format!("\n== {words}: cannot be, {why}\n"));
            }
            Ok(all) => {
                for situation in all {
                    let world = (situation.script)();
                    let report = world.engine.explain(World::id(0), world.now).unwrap();
                    let phase_is = report.attempt.as_ref().map(|it| &*it.phase);
                    let is = (&*report.life, &*report.health, phase_is);
                    let phase_word = phase.map(|phase| situations::word(Some(phase)));
                    assert_eq!(
                        is,
                        (life.as_str(), health.as_str(), phase_word),
                        "{}: {}",
                        situation.name,
                        report.summary
                    );
                    text.push_str(&format!("\n== {words}: {}\n", situation.name));
                    rows(&mut text, situation, &world);
                }
            }
        }
    }
    text
}

fn rows(text: &mut String, situation: &Situation, world: &World) {
    let mut met = Vec::new();
    for (name, event) in events(world) {
        met.push(kind(&event));
        let says = reaction(world, &event);
        text.push_str(&format!("{name:24} {says}\n"));
    }
    text.push_str(&format!("{:24} {}\n", "time passes", time_passes(world)));
    for kind in KINDS {
        assert!(met.contains(kind), "{}: no row for {kind}", situation.name);
    }
}

/// What the engine does with an event, in few words.
fn reaction(world: &World, event: &Event) -> String {
    let mut engine = world.engine.clone();
    let mut out = Vec::new();
    engine.step(event, world.now, &mut out);
    let changed = engine.likeness(world.now) != world.engine.likeness(world.now);
    said(&engine, &out, changed).unwrap_or_else(|| "nothing".to_owned())
}

/// `None`: nothing that anybody would notice.
fn said(engine: &Engine, out: &[Effect], changed: bool) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut told = false;
    for effect in out {
        let (part, tells) = one(engine, effect);
        told |= tells;
        parts.extend(part);
    }
    if changed && !told {
        parts.push("counts it".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// An effect in words, and whether these say what changed.
fn one(engine: &Engine, effect: &Effect) -> (Option<String>, bool) {
    let whose = |id: MemberId| {
        let name = engine.plan().member(id).map_or("?", |it| it.name.as_str());
        if id == World::id(0) {
            String::new()
        } else {
            format!("{name}: ")
        }
    };
    match effect {
        Effect::Record(Entry::Run { .. }) => (Some("keeps the sample".to_owned()), false),
        Effect::Record(Entry::Steady { .. }) => (Some("keeps that it passes".to_owned()), false),
        Effect::Record(Entry::Transition {
            member, from, to, ..
        }) => (Some(format!("{}{from} -> {to}", whose(*member))), true),
        Effect::Record(Entry::Decision {
            member,
            step,
            explanation,
            intent: None,
            ..
        }) => {
            let closed = explanation.readings.iter().filter(|reading| !reading.open);
            let closed: Vec<_> = closed.map(|reading| reading.gate.as_str()).collect();
            let (who, step, closed) = (whose(*member), step.as_str(), closed.join(" and "));
            (Some(format!("{who}{step} waits for {closed}")), true)
        }
        Effect::Record(Entry::Intent { act, .. }) => {
            let (who, act) = act_of(act);
            (Some(format!("{}wants to {act}", whose(who))), true)
        }
        Effect::Record(Entry::Outcome { outcome, .. }) => {
            (Some(format!("attempt {}", outcome.as_str())), true)
        }
        Effect::Record(Entry::Group { axis, to, .. }) => {
            (Some(format!("group {axis}: {to}")), true)
        }
        Effect::Do(_, act) => {
            let (who, act) = act_of(act);
            (Some(format!("{}has the manager {act}", whose(who))), true)
        }
        Effect::Run(run) => {
            let who = run.leaf.member.map_or(World::id(0), World::id);
            (Some(format!("{}runs ping", whose(who))), false)
        }
        Effect::Notify(notice) => {
            let kind = format!("{:?}", notice.kind).to_lowercase();
            (Some(format!("tells people: {kind}")), false)
        }
        Effect::Answer {
            answer: Err(why), ..
        } => (Some(format!("says no: {why}")), false),
        Effect::Answer { answer: Ok(_), .. } => (Some("says yes".to_owned()), false),
        Effect::Record(Entry::Decision { .. } | Entry::Operator { .. })
        | Effect::Keep(_)
        | Effect::WakeAt(_) => (None, false),
    }
}

fn act_of(act: &Act) -> (MemberId, &'static str) {
    match act {
        Act::Start { member } => (*member, "start it"),
        Act::Signal { member, .. } => (*member, "signal its worker"),
        Act::Restart { member, .. } => (*member, "restart it"),
        Act::Stop { member, .. } => (*member, "stop it"),
    }
}
