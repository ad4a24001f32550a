//! Groups that are only watched, or left alone for a while.

use super::healthy_world;
use crate::event::{Command, Event, Exit, Window};
use crate::plan::Mode;
use crate::policy::sim::{World, group};
use crate::{Span, Status};

#[test]
fn observe_decides_and_does_nothing() {
    let mut plan = group(2, &["ping"], 1);
    plan.mode = Mode::Observe;
    let mut world = World::new(vec![plan]);
    world.pass(Span::mins(1));
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(60));
    assert_eq!(world.restarts(), 0);
    let ledger = world.happened();
    assert_eq!(
        ledger.matches("web-0 no restart: ").count(),
        1,
        "once an incident: {ledger}"
    );
}

#[test]
fn in_a_maintenance_window_a_group_is_left_alone() {
    let mut world = healthy_world(4, 1);
    let window = |world: &World, minutes| Event::Maintenance {
        group: 0,
        window: Some(Window {
            name: "night".to_owned(),
            reason: Some("backups".to_owned()),
            until: world.now + Span::mins(minutes),
        }),
    };
    world.event(&window(&world, 30));
    world.say(0, 0, Status::Fail);
    world.die(World::id(1), Exit::Code(1));
    world.pass(Span::mins(10));
    assert_eq!((world.restarts(), world.life(1)), (0, "dead".to_owned()));
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(
        report
            .summary
            .contains("control (maintenance `night` for another 20m: backups)"),
        "{}",
        report.summary
    );
    // What a person asks for is done.
    world.command(2, Command::Restart { now: true }).unwrap();
    world.pass(Span::mins(1));
    assert_eq!(world.restarts(), 1);
    // It is over by its time alone, also when nobody says so.
    world.pass(Span::mins(20));
    assert_eq!(world.restarts(), 2);
    assert_eq!(world.health(1), "healthy");
    // And when it is ended early.
    world.event(&window(&world, 30));
    world.say(3, 0, Status::Fail);
    world.die(World::id(2), Exit::Code(1));
    world.pass(Span::mins(5));
    assert_eq!((world.restarts(), world.life(2)), (2, "dead".to_owned()));
    world.event(&Event::Maintenance {
        group: 0,
        window: None,
    });
    world.pass(Span::secs(30));
    assert_eq!(world.restarts(), 3);
    assert_eq!(world.life(2), "up", "{}", world.happened());
}

/// Who reads later what was so at a moment must find when a window was over.
#[test]
fn the_end_of_a_window_is_written_down_however_it_ends() {
    for early in [false, true] {
        let mut world = healthy_world(2, 1);
        let until = world.now + Span::mins(30);
        world.event(&Event::Maintenance {
            group: 0,
            window: Some(Window {
                name: "night".to_owned(),
                reason: None,
                until,
            }),
        });
        world.reload(vec![group(2, &["ping"], 1)]);
        world.pass(Span::mins(if early { 10 } else { 31 }));
        world.event(&Event::Maintenance {
            group: 0,
            window: None,
        });
        let ledger = world.happened();
        assert_eq!(ledger.matches("is maintenance").count(), 1, "{ledger}");
        assert_eq!(ledger.matches("is auto").count(), 1, "{ledger}");
    }
}

/// Also where the daemon that wrote down its beginning did not live to see its end.
#[test]
fn the_end_of_a_window_is_written_down_by_the_next_daemon() {
    for (reboot, open) in [(false, false), (true, false), (false, true)] {
        let mut world = healthy_world(2, 1);
        let window = |world: &World, minutes| Event::Maintenance {
            group: 0,
            window: Some(Window {
                name: "night".to_owned(),
                reason: None,
                until: world.now + Span::mins(minutes),
            }),
        };
        world.event(&window(&world, 30));
        world.pass(Span::mins(1));
        assert!(world.happened().contains("is maintenance"));
        if reboot {
            world.reboot(Span::mins(5));
        } else {
            world.before_first_wake = open.then(|| window(&world, 29));
            world.crash(false);
        }
        world.pass(Span::mins(1));
        let ledger = world.happened();
        assert_eq!(ledger.matches("is maintenance").count(), 0, "{ledger}");
        let ended = ledger.matches("is auto").count();
        assert_eq!(ended, usize::from(!open), "{ledger}");
    }
}
