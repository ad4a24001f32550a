//! What stands around a member and bears on it: its group is held, observed, in a maintenance window or
//! restarted as a whole, what it needs has failed, the machine stalls, the journal takes nothing.

use super::events::pause;
use super::situations::{healthy, in_phase, paused, sick};
use crate::event::{Command, Event, Exit, HostFacts, Window};
use crate::plan::{Mode, Strategy};
use crate::policy::sim::{World, group};
use crate::policy::tests::together::in_vain_until;
use crate::report::MemberReport;
use crate::{GroupName, MemberId, Span, Status};

/// All four fail at once.
pub(super) fn held() -> World {
    let mut world = World::new(vec![group(4, &["ping"], 1)]);
    world.cured_by_restart = false;
    world.pass(Span::mins(2));
    for member in 0..4 {
        world.say(member, 0, Status::Fail);
    }
    world.pass(Span::secs(40));
    world
}

/// Another one is tried, and judged.
pub(super) fn beside_the_canary() -> World {
    let mut world = held();
    world.pass(Span::secs(60));
    world
}

/// It is the one that is tried: the others were paused when it could be any of them.
pub(super) fn canary() -> World {
    let mut world = held();
    let pause = pause(world.now);
    for member in 1..4 {
        world.command(member, pause.clone()).unwrap();
    }
    in_phase(world, "acting")
}

pub(super) fn observed() -> World {
    let mut plan = group(2, &["ping"], 1);
    plan.mode = Mode::Observe;
    let mut world = World::new(vec![plan]);
    world.pass(Span::mins(2));
    sick(world)
}

fn window(mut world: World) -> World {
    let window = Window {
        name: "nightly".to_owned(),
        reason: None,
        until: world.now + Span::mins(600),
    };
    world.event(&Event::Maintenance {
        group: 0,
        window: Some(window),
    });
    world
}

pub(super) fn sick_in_a_window() -> World {
    sick(window(healthy()))
}

pub(super) fn dead_in_a_window() -> World {
    let mut world = window(healthy());
    world.die(World::id(0), Exit::Code(1));
    world
}

/// `zoo`, which it needs, is dead and does not come back.
pub(super) fn unsupplied() -> World {
    let mut first = group(2, &["ping"], 1);
    first.depends_on = vec![1];
    let mut second = group(1, &["ping"], 1);
    second.name = GroupName::new("zoo").unwrap();
    let mut world = World::new(vec![first, second]);
    world.pass(Span::mins(2));
    world.cannot_start = true;
    world.die(
        MemberId {
            group: 1,
            member: 0,
        },
        Exit::Code(1),
    );
    sick(world)
}

pub(super) fn stalled() -> World {
    let mut world = sick(paused(healthy()));
    world.event(&Event::Host(HostFacts {
        cores: 2,
        memory_full: 90,
        io_full: 0,
    }));
    world.command(0, Command::Resume { force: false }).unwrap();
    world
}

/// The daemon has begun again a moment ago.
pub(super) fn settling() -> World {
    let mut world = sick(paused(healthy()));
    world.crash(false);
    world.command(0, Command::Resume { force: false }).unwrap();
    world.pass(Span::secs(6));
    world
}

pub(super) fn unwritable() -> World {
    let mut world = healthy();
    world.journal_down = true;
    sick(world)
}

/// The instant in which two have been restarted in vain, and all follow.
fn together(strategy: Strategy) -> World {
    let mut world = in_vain_until(strategy, "web-2 restart: ");
    // Until that is judged.
    world.pass(Span::millis(118_500));
    for _ in 0..3_000 {
        if (world.ledger.iter()).any(|line| line.contains("restarted together")) {
            break;
        }
        world.pass(Span::millis(1));
    }
    world
}

/// Every member is restarted, one after the other.
pub(super) fn in_a_roll() -> World {
    together(Strategy::Rolling)
}

/// All are stopped before one is started.
pub(super) fn stopped_together() -> World {
    in_phase(together(Strategy::OneForAll), "acting")
}

/// It is gone, and the manager has not said yet that it has done it.
pub(super) fn gone_with_its_group() -> World {
    goes_on_until(stopped_together(), |report| report.life == "stopped")
}

fn goes_on_until(mut world: World, is: fn(&MemberReport) -> bool) -> World {
    for _ in 0..60_000 {
        if is(&world.engine.explain(World::id(0), world.now).unwrap()) {
            break;
        }
        world.pass(Span::millis(1));
    }
    world
}

/// Four failures of each, and nobody has failed for certain.
pub(super) fn suspect_in_a_hold() -> World {
    let mut world = World::new(vec![group(4, &["ping"], 1)]);
    world.pass(Span::mins(2));
    for member in 0..4 {
        world.say(member, 0, Status::Fail);
    }
    world.pass(Span::secs(22));
    world
}
