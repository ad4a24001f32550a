//! What a person asks for, when the manager or the journal does not follow.

use std::collections::VecDeque;

use super::healthy_world;
use crate::event::{Act, Command, Effect, Event};
use crate::journal::Entry;
use crate::policy::sim::{World, group};
use crate::{Span, Status};

/// Nobody waits for a person's word in vain, and nobody spins for it either.
#[test]
fn whoever_cannot_be_stopped_is_asked_again_after_a_while() {
    let world = healthy_world(1, 1);
    let mut engine = world.engine.clone();
    let (mut now, mut wake, mut stops) = (world.now, world.next_wake(), 0);
    let mut events = VecDeque::from([Event::Command {
        id: 1,
        by: "ada".to_owned(),
        member: World::id(0),
        command: Command::Stop,
    }]);
    while now < world.now + Span::mins(10) && stops < 1_000 {
        let event = events.pop_front().unwrap_or(Event::Wake);
        if matches!(event, Event::Wake) {
            now = wake.unwrap();
        }
        let mut out = Vec::new();
        engine.step(&event, now, &mut out);
        for effect in out {
            match effect {
                Effect::Record(Entry::Intent { intent, .. }) => {
                    events.push_back(Event::IntentStored(intent));
                }
                Effect::Do(intent, act) => {
                    assert!(matches!(act, Act::Stop { .. }));
                    stops += 1;
                    let result = Err("not permitted".to_owned());
                    events.push_back(Event::Done { intent, result });
                }
                Effect::WakeAt(at) => wake = Some(at),
                Effect::Record(_)
                | Effect::Run(_)
                | Effect::Keep(_)
                | Effect::Notify(_)
                | Effect::Answer { .. } => {}
            }
        }
    }
    assert!((30..=61).contains(&stops), "{stops}");
}

/// The start that a member is in the middle of is one act, and the restart that a person asks for then
/// another one, which nobody has carried out when the first one proves good.
#[test]
fn a_restart_that_is_only_decided_is_not_judged_by_the_start_before_it() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world.pass(Span::secs(2));
    let decided = world.command(0, Command::Restart { now: true });
    assert!(decided.is_ok(), "{decided:?}");
    let intent = *world.engine.attempts().first().unwrap();
    let mut engine = world.engine.clone();
    let mut out = Vec::new();
    // The journal is slow: only time passes until the start has long failed to be proved.
    engine.step(&Event::Wake, world.now + Span::mins(3), &mut out);
    assert!(engine.attempts().contains(&intent), "{out:?}");
}

/// A promise that the next daemon may not keep is not given as one.
#[test]
fn an_order_that_cannot_be_written_down_says_so() {
    let mut world = healthy_world(2, 1);
    let pause = |world: &World| Command::Pause {
        until: world.now + Span::mins(60),
        reason: "look".to_owned(),
        force: false,
    };
    let order = pause(&world);
    let taken = world.command(1, order).unwrap();
    assert!(!taken.contains("journal"), "{taken}");
    world.journal_down = true;
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(60));
    let order = pause(&world);
    let taken = world.command(0, order).unwrap();
    assert!(taken.contains("the journal cannot be written"), "{taken}");
}
