//! Machines that stand still, on virtual time, and many acts at once.

use std::collections::BTreeMap;

use crate::event::{Act, Command, Event, Exit, HostFacts};
use crate::plan::GroupPlan;
use crate::policy::sim::{World, group};
use crate::{GroupName, LeafId, Span, Status};

/// One failure is enough here, so that a single false one would kill.
fn nervous(members: u32) -> World {
    nervous_every(members, Span::secs(10))
}

fn nervous_every(members: u32, interval: Span) -> World {
    let mut plan = group(members, &["ping"], 1);
    plan.checks[0].interval = interval;
    plan.checks[0].fast_interval = interval / 2;
    plan.checks[0].fall = 1;
    plan.checks[0].min_fail_span = Span::ZERO;
    let mut world = World::new(vec![plan]);
    world.pass(interval * 6);
    world.ledger.clear();
    world
}

#[test]
fn a_daemon_that_stood_still_believes_no_timeout() {
    let mut world = nervous(2);
    // What was on its way when it was stopped times out, for nobody listened.
    world.time_out(0, 0);
    world.time_out(1, 0);
    world.freeze(Span::secs(20));
    world.pass(Span::secs(8));
    world.says.clear();
    world.pass(Span::mins(10));
    assert_eq!(world.restarts(), 0, "{}", world.happened());
    let ledger = world.happened();
    assert!(
        ledger.contains("host stalls (nothing ran here for"),
        "{ledger}"
    );
}

#[test]
fn a_target_that_answers_wrongly_after_a_stall_is_still_wrong() {
    let mut world = nervous(1);
    world.say(0, 0, Status::Fail);
    world.freeze(Span::secs(20));
    world.pass(Span::mins(1));
    assert_eq!(world.restarts(), 1, "the stall excuses timeouts only");
}

#[test]
fn lateness_is_a_stall_and_an_excuse_for_five_minutes() {
    let mut world = nervous(1);
    world.lag = Span::millis(700);
    world.pass(Span::secs(40));
    world.time_out(0, 0);
    world.pass(Span::mins(3));
    assert_eq!(world.restarts(), 0, "{}", world.happened());
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert_eq!(report.checks[0].cause.as_deref(), Some("host_stall"));
    world.pass(Span::mins(4));
    assert_eq!(
        world.restarts(),
        1,
        "a machine that is always slow hides nobody for ever"
    );
}

#[test]
fn pressure_excuses_and_its_end_is_waited_for() {
    // When the next run comes does not matter.
    for interval in [Span::secs(10), Span::mins(4)] {
        pressed(interval);
    }
}

fn pressed(interval: Span) {
    let mut world = nervous_every(1, interval);
    let facts = |memory_full| {
        Event::Host(HostFacts {
            cores: 4,
            memory_full,
            io_full: 0,
        })
    };
    // Sick by its answers, and then the machine comes under pressure.
    world.event(&facts(80));
    world.say(0, 0, Status::Fail);
    world.pass(interval);
    assert_eq!(world.restarts(), 0);
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(
        report
            .summary
            .contains("sane (for 80% of the last 10s nobody had memory to go on)"),
        "{}",
        report.summary
    );
    world.event(&facts(3));
    world.pass(Span::secs(9));
    assert_eq!(world.restarts(), 0, "time to catch up");
    world.pass(Span::secs(2));
    assert_eq!(world.restarts(), 1);
}

/// Its time to prove itself ends while nothing runs: what was seen before says nothing about that.
#[test]
fn a_start_whose_time_ended_in_a_stall_is_not_called_futile() {
    let mut world = World::new(vec![group(2, &["ping"], 1)]);
    world.pass(Span::mins(2));
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    // The restart is done, and has most of its two minutes behind it.
    world.pass(Span::secs(130));
    assert_eq!(world.restarts(), 1, "{}", world.happened());
    world.ledger.clear();
    world.freeze(Span::secs(30));
    world.says.clear();
    world.pass(Span::secs(60));
    let ledger = world.happened();
    assert!(ledger.contains("stalls (nothing ran here"), "{ledger}");
    assert!(!ledger.contains("did not help"), "{ledger}");
    assert_eq!(world.health(0), "healthy", "{ledger}");
}

/// That nobody could tell was this machine's own doing: people hear of it when that lasts.
#[test]
fn nobody_is_called_blind_before_somebody_could_look_again() {
    for sees_again in [true, false] {
        let mut world = World::new(vec![group(2, &["ping"], 1)]);
        world.pass(Span::mins(2));
        world.cured_by_restart = false;
        let restart = Command::Restart { now: true };
        world.command(0, restart).unwrap();
        world.say(0, 0, Status::Unknown);
        world.pass(Span::secs(110));
        world.ledger.clear();
        // The time for its start ends while nothing runs.
        world.freeze(Span::secs(30));
        if sees_again {
            world.says.clear();
        }
        world.pass(Span::secs(5));
        let ledger = world.happened();
        assert!(ledger.contains("stalls (nothing ran here"), "{ledger}");
        assert!(!ledger.contains("nobody can tell"), "{ledger}");
        world.pass(Span::secs(30));
        let ledger = world.happened();
        let told = ledger.matches("nobody can tell").count();
        assert_eq!(told, usize::from(!sees_again), "{ledger}");
        assert!(!ledger.contains("judged again"), "{ledger}");
        world.says.clear();
        world.pass(Span::secs(30));
        let ledger = world.happened();
        assert_eq!(world.health(0), "healthy", "{ledger}");
        let told = ledger.matches("web-0 healthy again").count();
        assert_eq!(told, usize::from(!sees_again), "{ledger}");
    }
}

fn many(groups: u32, members: u32) -> World {
    let plans: Vec<GroupPlan> = (0..groups)
        .map(|index| GroupPlan {
            name: GroupName::new(&format!("g{index}")).unwrap(),
            ..group(members, &["ping"], members)
        })
        .collect();
    let mut world = World::new(plans);
    world.pass(Span::secs(60));
    world.acts.clear();
    world
}

#[test]
fn kills_on_one_machine_come_one_after_the_other() {
    let mut world = many(12, 1);
    for group in 0..12 {
        let leaf = LeafId {
            group,
            check: 0,
            member: Some(0),
        };
        world
            .says
            .insert(leaf, (Status::Fail, Some(crate::Cause::Wrong)));
    }
    world.pass(Span::mins(2));
    let mut last = None;
    for (at, act) in &world.acts {
        assert!(matches!(act, Act::Restart { .. }));
        if let Some(last) = last.replace(*at) {
            assert!(at.since(last) >= Span::secs(1), "{last:?} and {at:?}");
        }
    }
    assert_eq!(world.restarts(), 12, "and all of them do");
}

#[test]
fn many_dead_are_started_soon_and_not_all_at_once() {
    let mut world = many(5, 20);
    let ids: Vec<_> = world.engine.plan().members().collect();
    for id in &ids {
        world.die(*id, Exit::Signal(9));
    }
    world.pass(Span::secs(10));
    assert_eq!(world.starts(), 100, "{}", world.happened());
    // An act takes 150 ms here.
    let mut begun = BTreeMap::new();
    for (at, _) in &world.acts {
        *begun.entry(at.0 / 150).or_insert(0_u32) += 1;
    }
    assert!(begun.values().all(|&many| many <= 8), "{begun:?}");
}
