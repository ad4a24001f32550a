//! What a person asks for: heeded, also when the manager or the journal does not follow, and by nobody
//! else's order passed.

use std::collections::VecDeque;

use super::{broken_deploy, healthy_of, healthy_world};
use crate::event::{Act, Command, Effect, Event, Exit};
use crate::journal::Entry;
use crate::plan::{RestartType, Strategy};
use crate::policy::sim::{World, group};
use crate::{Instant, Span, Status};

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

#[test]
fn a_pause_holds_and_belongs_to_its_owner() {
    let mut world = healthy_world(1, 1);
    let until = world.now + Span::mins(30);
    let pause = Command::Pause {
        until,
        reason: "looking at it".to_owned(),
        force: false,
    };
    world.command_by("ada", 0, pause).unwrap();
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(20));
    assert_eq!(world.restarts(), 0);
    let refusal = world
        .command_by("bob", 0, Command::Restart { now: true })
        .unwrap_err();
    assert!(
        refusal.starts_with("ada paused it for another 10m"),
        "{refusal}"
    );
    assert!(
        world
            .command_by("bob", 0, Command::Resume { force: false })
            .is_err()
    );
    world.pass(Span::mins(11));
    assert_eq!(world.restarts(), 1, "the pause ends by itself");
}

#[test]
fn a_restart_by_hand_rolls_through_the_budget() {
    let mut world = healthy_world(3, 1);
    for member in 0..3 {
        world
            .command(member, Command::Restart { now: false })
            .unwrap();
    }
    world.pass(Span::mins(2));
    assert_eq!(world.restarts(), 3);
    assert_eq!(world.most_down, 1);
    for member in 0..3 {
        world
            .command(member, Command::Restart { now: true })
            .unwrap();
    }
    world.pass(Span::mins(2));
    assert_eq!(world.most_down, 3, "unless told --now");
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert_eq!(
        report.starts_24h, 0,
        "by hand is never counted against a limit"
    );
}

#[test]
fn stopped_by_hand_stays_stopped() {
    let mut world = healthy_world(2, 1);
    world.command(0, Command::Stop).unwrap();
    world.pass(Span::mins(10));
    assert_eq!(world.life(0), "stopped");
    assert_eq!(world.starts(), 2);
    world.command(0, Command::Start).unwrap();
    world.pass(Span::mins(1));
    assert_eq!(world.health(0), "healthy");
}

#[test]
fn a_person_can_stop_and_restart_what_is_starting() {
    let mut world = World::new(vec![group(2, &["ping"], 1)]);
    world.say(0, 0, Status::Fail);
    world.say(1, 0, Status::Fail);
    world.pass(Span::secs(5));
    world.command(0, Command::Stop).unwrap();
    world.command(1, Command::Restart { now: true }).unwrap();
    world.pass(Span::secs(1));
    assert_eq!(world.life(0), "stopped");
    assert_eq!((world.life(1).as_str(), world.restarts()), ("starting", 1));
}

#[test]
fn a_stop_at_any_instant_of_a_restart_leaves_it_stopped() {
    for ms in [0, 1, 50, 99, 101, 120, 149, 151, 152, 200] {
        let mut world = healthy_world(1, 1);
        world.command(0, Command::Restart { now: true }).unwrap();
        world.pass(Span::millis(ms));
        // While the manager is at it, the order is taken and carried out afterwards.
        world.command(0, Command::Stop).unwrap();
        world.pass(Span::mins(10));
        assert_eq!(world.life(0), "stopped", "{ms} ms");
        assert!(world.generation(World::id(0)).is_none(), "{ms} ms");
    }
}

fn pause_for(span: Span, now: Instant) -> Command {
    Command::Pause {
        until: now + span,
        reason: "looking".to_owned(),
        force: false,
    }
}

#[test]
fn a_dead_member_that_is_paused_does_not_hold_the_budget() {
    let mut world = healthy_world(4, 1);
    world
        .command(0, pause_for(Span::mins(600), world.now))
        .unwrap();
    world.die(World::id(0), Exit::Code(1));
    world.say(1, 0, Status::Fail);
    world.pass(Span::mins(3));
    assert_eq!(world.health(1), "healthy", "{}", world.happened());
    assert_eq!(world.life(0), "dead", "it is left alone");
}

#[test]
fn a_pause_takes_a_member_out_of_a_roll_and_keeps_others_from_it() {
    let mut world = healthy_world(3, 1);
    for member in 0..3 {
        let asked = world.command(member, Command::Restart { now: false });
        asked.unwrap();
    }
    world
        .command(2, pause_for(Span::mins(5), world.now))
        .unwrap();
    let before = world.generation(World::id(2));
    world.pass(Span::mins(3));
    assert_eq!(
        world.generation(World::id(2)),
        before,
        "{}",
        world.happened()
    );
    for command in [
        Command::Restart { now: true },
        Command::Stop,
        Command::Reset,
    ] {
        let refused = world.command_by("bob", 2, command).unwrap_err();
        assert!(refused.contains("ada paused it"), "{refused}");
    }
    // Its time over, it is a member like any other.
    world.ledger.clear();
    world.pass(Span::mins(3));
    let report = world.engine.explain(World::id(2), world.now).unwrap();
    assert_eq!(report.control, "auto");
    world.command_by("bob", 2, Command::Stop).unwrap();
}

#[test]
fn a_restart_by_hand_that_helps_ends_a_hold() {
    let mut world = healthy_world(8, 2);
    world.cured_by_restart = false;
    for member in 0..8 {
        world.say(member, 0, Status::Fail);
    }
    // The canary does not help.
    for _ in 0..600 {
        world.pass(Span::secs(1));
        if world.happened().contains("still held") {
            break;
        }
    }
    world.cured_by_restart = true;
    let restarted = world.command(5, Command::Restart { now: true });
    restarted.unwrap();
    world.pass(Span::secs(30));
    let ledger = world.happened();
    assert!(
        ledger.contains("not held any more: the restart of web-5 by hand helped"),
        "{ledger}"
    );
}

#[test]
fn a_roll_by_hand_ends_with_the_first_restart_that_does_not_help() {
    let mut world = broken_deploy(Strategy::OneForOne);
    for member in 0..6 {
        world
            .command(member, Command::Restart { now: false })
            .unwrap();
    }
    world.pass(Span::mins(60));
    let ledger = world.happened();
    assert_eq!(healthy_of(&world, 6), 5, "{ledger}");
    let told = "web the restart of web-0 did not help, so 5 others that were to follow by hand are left running";
    assert!(ledger.contains(told), "{ledger}");
}

#[test]
fn a_new_program_that_runs_and_never_answers_takes_one_member_and_no_more() {
    let mut world = broken_deploy(Strategy::OneForOne);
    world.dies_after.clear();
    world.cured_by_restart = false;
    for member in 0..6 {
        world
            .command(member, Command::Restart { now: false })
            .unwrap();
    }
    world.pass(Span::millis(500));
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(10));
    assert_eq!(healthy_of(&world, 6), 5, "{}", world.happened());
}

#[test]
fn a_stop_by_hand_holds_over_a_reboot_and_an_end_by_itself_does_not() {
    let mut plan = group(2, &["ping"], 1);
    plan.policy.restart = RestartType::Transient;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.command(0, Command::Stop).unwrap();
    world.die(World::id(1), Exit::Code(0));
    world.pass(Span::mins(1));
    world.reboot(Span::mins(5));
    world.pass(Span::mins(1));
    assert_eq!(world.life(0), "stopped");
    assert_eq!(world.life(1), "up");
    world.command(0, Command::Start).unwrap();
    world.pass(Span::mins(1));
    assert_eq!(world.life(0), "up");
}

/// Whoever was told that a member is given up, and has it tried again, must hear that it did not help.
#[test]
fn who_is_given_up_again_after_a_reset_is_news() {
    let mut world = healthy_world(2, 1);
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    let incident = |world: &World| {
        let report = world.engine.explain(World::id(0), world.now).unwrap();
        report.incident.unwrap()
    };
    let mut told = Vec::new();
    for _ in 0..2 {
        world.pass(Span::mins(60));
        assert!(world.happened().contains("gave up"), "{}", world.happened());
        told.push(incident(&world));
        world.command(0, Command::Reset).unwrap();
    }
    assert_ne!(told[0], told[1]);
    // Of one that was not given up a reset changes nothing that was told.
    let before = incident(&world);
    world.command(0, Command::Reset).unwrap();
    assert_eq!(incident(&world), before);
}
