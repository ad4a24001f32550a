//! Every event that can come, as seen from a member in its situation.

use std::sync::Arc;

use super::said;
use crate::event::{Command, Effect, Event, Exit, HostFacts, Window};
use crate::journal::Entry;
use crate::policy::sim::World;
use crate::{Cause, Generation, Instant, IntentId, LeafId, Sample, Span, Status};

/// What [`kind`] can say; each must have a row.
pub(super) const KINDS: &[&str] = &[
    "wake",
    "sample",
    "started",
    "exited",
    "stored",
    "refused",
    "done",
    "host",
    "maintenance",
    "restart",
    "start",
    "stop",
    "pause",
    "resume",
    "reset",
    "pass",
    "warn",
    "fail",
    "unknown",
];

/// What kind of event it is. A new one must be put in here, and then in [`KINDS`] and [`events`].
pub(super) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Wake => "wake",
        Event::Sample { sample, .. } => match (sample.cause, sample.status) {
            (Some(Cause::Timeout), _) => "sample",
            (_, status) => status.as_str(),
        },
        Event::Started { .. } => "started",
        Event::Exited { .. } => "exited",
        Event::IntentStored(_) => "stored",
        Event::IntentRefused { .. } => "refused",
        Event::Done { .. } => "done",
        Event::Host(_) => "host",
        Event::Maintenance { .. } => "maintenance",
        Event::Command { command, .. } => match command {
            Command::Restart { .. } => "restart",
            Command::Start => "start",
            Command::Stop => "stop",
            Command::Pause { .. } => "pause",
            Command::Resume { .. } => "resume",
            Command::Reset => "reset",
        },
    }
}

/// Each event with its name in the table.
pub(super) fn events(world: &World) -> Vec<(&'static str, Event)> {
    let (now, member) = (world.now, World::id(0));
    let report = world.engine.explain(member, now).unwrap();
    let stranger = Generation {
        boot: 9,
        pid: 9,
        start: 9,
    };
    let generation = report.generation.unwrap_or(stranger);
    let intent = report
        .attempt
        .map_or(IntentId(900), |it| IntentId(it.intent));
    let sample = |status, cause, generation| Event::Sample {
        leaf: LeafId {
            group: 0,
            check: 0,
            member: Some(0),
        },
        sample: Sample {
            status,
            cause,
            message: Arc::from(""),
            measurements: Vec::new(),
            at: now,
            took: Span(1),
            generation: Some(generation),
        },
    };
    let started = |generation, adopted| Event::Started {
        member,
        generation,
        adopted,
    };
    let exited = |generation, exit| Event::Exited {
        member,
        generation,
        exit,
    };
    let host = |memory_full| {
        Event::Host(HostFacts {
            cores: 2,
            memory_full,
            io_full: 0,
        })
    };
    let window = Window {
        name: "night".to_owned(),
        reason: None,
        until: now + Span::mins(30),
    };
    let command = |command| Event::Command {
        id: 1,
        by: "ada".to_owned(),
        member,
        command,
    };
    let (refused, failed) = ("disk full".to_owned(), "it cannot be".to_owned());
    vec![
        ("woken for nothing", Event::Wake),
        ("passes", sample(Status::Pass, None, generation)),
        ("warns", sample(Status::Warn, None, generation)),
        (
            "fails",
            sample(Status::Fail, Some(Cause::Wrong), generation),
        ),
        (
            "times out",
            sample(Status::Fail, Some(Cause::Timeout), generation),
        ),
        (
            "is unknown",
            sample(Status::Unknown, Some(Cause::NoPermission), generation),
        ),
        (
            "fails, another life",
            sample(Status::Fail, Some(Cause::Wrong), stranger),
        ),
        ("starts", started(new_life(now), false)),
        ("is adopted", started(new_life(now), true)),
        ("started, told again", started(generation, false)),
        ("exits 0", exited(generation, Exit::Code(0))),
        ("exits 1", exited(generation, Exit::Code(1))),
        ("exits 78", exited(generation, Exit::Code(78))),
        ("another life exits", exited(new_life(now), Exit::Code(1))),
        ("intent stored", Event::IntentStored(intent)),
        (
            "intent refused",
            Event::IntentRefused {
                intent,
                reason: refused,
            },
        ),
        (
            "act done",
            Event::Done {
                intent,
                result: Ok(()),
            },
        ),
        (
            "act not possible",
            Event::Done {
                intent,
                result: Err(failed),
            },
        ),
        ("no memory on the host", host(90)),
        ("host is well", host(0)),
        (
            "maintenance begins",
            Event::Maintenance {
                group: 0,
                window: Some(window),
            },
        ),
        (
            "maintenance ends",
            Event::Maintenance {
                group: 0,
                window: None,
            },
        ),
        ("asked: start", command(Command::Start)),
        ("asked: stop", command(Command::Stop)),
        ("asked: restart", command(Command::Restart { now: false })),
        (
            "asked: restart --now",
            command(Command::Restart { now: true }),
        ),
        ("asked: pause", command(pause(now))),
        ("asked: resume", command(Command::Resume { force: false })),
        ("asked: reset", command(Command::Reset)),
    ]
}

fn new_life(now: Instant) -> Generation {
    Generation {
        boot: 1,
        pid: 4_000,
        start: now.0,
    }
}

pub(super) fn pause(now: Instant) -> Command {
    Command::Pause {
        until: now + Span::mins(30),
        reason: "to look".to_owned(),
        force: false,
    }
}

/// What the clock alone does, when nothing else comes: no sample, no answer.
pub(super) fn time_passes(world: &World) -> String {
    let (mut engine, mut wake) = (world.engine.clone(), None);
    let (begin, mut now) = (world.now, world.now);
    let mut event = Event::Wake;
    while now.since(begin) < Span::mins(120) {
        let mut out = Vec::new();
        engine.step(&event, now, &mut out);
        event = Event::Wake;
        for effect in &out {
            if let Effect::WakeAt(at) = effect {
                wake = Some(*at);
            }
        }
        let dull = |effect: &Effect| {
            matches!(
                effect,
                Effect::Run(_)
                    | Effect::WakeAt(_)
                    | Effect::Keep(_)
                    | Effect::Record(Entry::Run { .. } | Entry::Steady { .. })
            )
        };
        if now > begin && !out.iter().all(dull) {
            let after = now.since(begin);
            out.retain(|effect| !dull(effect));
            let says = said(&engine, &out, false).unwrap_or_default();
            return format!("after {after}: {says}");
        }
        // The engine wakes itself for the next thing; what it asked for before counts too.
        let next = wake.filter(|at| *at > now);
        let Some(next) = next.or_else(|| world.next_wake().filter(|at| *at > now)) else {
            break;
        };
        now = next;
    }
    "nothing".to_owned()
}
