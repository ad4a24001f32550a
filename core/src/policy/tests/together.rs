//! A group that is restarted as a whole.

use super::{broken_deploy, healthy_of};
use crate::event::{Act, Command, Exit};
use crate::plan::Strategy;
use crate::policy::sim::{World, group};
use crate::{Span, Status};

fn in_vain(strategy: Strategy) -> World {
    let mut world = in_vain_until(strategy, "restarted together");
    world.cured_by_restart = true;
    world
}

/// `web-1` and `web-2` are restarted and do not get better, until something with these words happens.
pub(super) fn in_vain_until(strategy: Strategy, words: &str) -> World {
    let mut plan = group(4, &["ping"], 1);
    plan.policy.strategy = strategy;
    plan.policy.hold_at = u32::MAX;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.cured_by_restart = false;
    world.acts.clear();
    world.ledger.clear();
    world.say(1, 0, Status::Fail);
    world.say(2, 0, Status::Fail);
    for _ in 0..300 {
        world.pass(Span::secs(1));
        if (world.ledger.iter()).any(|line| line.contains(words)) {
            break;
        }
    }
    world
}

#[test]
fn one_for_all_stops_everybody_before_anybody_is_started() {
    let mut world = in_vain(Strategy::OneForAll);
    world.says.clear();
    world.pass(Span::mins(3));
    let since = world
        .acts
        .iter()
        .position(|(_, act)| matches!(act, Act::Stop { .. }))
        .unwrap();
    let kinds: Vec<&str> = (world.acts[since..].iter())
        .map(|(_, act)| match act {
            Act::Start { .. } => "start",
            Act::Signal { .. } => "signal",
            Act::Stop { .. } => "stop",
            Act::Restart { .. } => "restart",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "stop", "stop", "stop", "stop", "start", "start", "start", "start"
        ]
    );
    for member in 0..4 {
        assert_eq!(world.health(member), "healthy", "{}", world.happened());
    }
    let ledger = world.happened();
    let told = "web restarts of 2 members did not help; 4 are restarted together (one_for_all)";
    assert_eq!(ledger.matches(told).count(), 1, "{ledger}");
}

#[test]
fn one_for_all_does_not_wait_for_a_restart_that_is_being_judged() {
    let mut plan = group(4, &["ping"], 2);
    plan.policy.strategy = Strategy::OneForAll;
    plan.policy.hold_at = u32::MAX;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.cured_by_restart = false;
    // One falls ill, and another one a while later: the first is being judged again when the second
    // turns out not to be helped either.
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(60));
    world.say(1, 0, Status::Fail);
    for _ in 0..600 {
        world.pass(Span::secs(1));
        if world.happened().contains("are restarted together") {
            break;
        }
    }
    world.pass(Span::secs(20));
    let stopped = |(_, act): &&(_, Act)| matches!(act, Act::Stop { .. });
    assert_eq!(world.acts.iter().filter(stopped).count(), 4);
    for member in 0..4 {
        assert_ne!(world.life(member), "stopped", "it serves nobody meanwhile");
    }
}

fn all_run(world: &mut World, members: u32) {
    for member in 0..members {
        let life = world.life(member);
        assert!(
            life == "up" || life == "starting",
            "web-{member} is {life}\n{}",
            world.happened()
        );
    }
}

#[test]
fn a_group_that_was_stopped_together_waits_for_nothing_that_is_not_its_own() {
    // What it needs goes in the middle.
    let mut web = group(4, &["ping"], 1);
    web.policy.strategy = Strategy::OneForAll;
    web.policy.hold_at = u32::MAX;
    web.depends_on = vec![1];
    let mut db = group(1, &["ping"], 1);
    db.name = crate::GroupName::new("db").unwrap();
    db.policy.permanent_codes = vec![78];
    let mut world = World::new(vec![web, db]);
    world.pass(Span::secs(90));
    world.cured_by_restart = false;
    world.say(1, 0, Status::Fail);
    world.say(2, 0, Status::Fail);
    for _ in 0..600 {
        world.pass(Span::secs(1));
        if world.happened().contains("restarted together") {
            break;
        }
    }
    world.die(
        crate::MemberId {
            group: 1,
            member: 0,
        },
        Exit::Code(78),
    );
    world.pass(Span::secs(20));
    let stopped = |(_, act): &&(_, Act)| matches!(act, Act::Stop { .. });
    assert_eq!(world.acts.iter().filter(stopped).count(), 4);
    all_run(&mut world, 4);

    // A member that was not stopped yet is taken out of the configuration, or is paused.
    let mut world = in_vain(Strategy::OneForAll);
    let mut fewer = group(3, &["ping"], 1);
    fewer.policy.strategy = Strategy::OneForAll;
    world.reload(vec![fewer]);
    world.pass(Span::secs(20));
    all_run(&mut world, 3);

    let mut world = in_vain(Strategy::OneForAll);
    world.journal_down = true;
    let until = world.now + Span::mins(10);
    let pause = Command::Pause {
        until,
        reason: "looking".to_owned(),
        force: false,
    };
    world.command(3, pause).unwrap();
    world.journal_down = false;
    world.pass(Span::secs(30));
    all_run(&mut world, 4);
}

#[test]
fn rest_for_one_leaves_those_before_alone() {
    let mut world = in_vain(Strategy::RestForOne);
    let before = world.generation(World::id(0));
    world.says.clear();
    world.pass(Span::mins(3));
    assert_eq!(world.generation(World::id(0)), before);
    assert_eq!(
        world
            .acts
            .iter()
            .filter(|(_, act)| matches!(act, Act::Stop { .. }))
            .count(),
        3
    );
    for member in 0..4 {
        assert_eq!(world.health(member), "healthy", "{}", world.happened());
    }
}

#[test]
fn rolling_restarts_all_through_the_budget() {
    let mut world = in_vain(Strategy::Rolling);
    world.most_down = 0;
    world.pass(Span::mins(5));
    assert_eq!(world.most_down, 1);
    for member in [0, 3] {
        let restarted =
            |act: &Act| matches!(act, Act::Restart { member: id, .. } if id.member == member);
        assert_eq!(
            world.acts.iter().filter(|(_, act)| restarted(act)).count(),
            1,
            "web-{member}"
        );
    }
    for member in 0..4 {
        assert_eq!(world.health(member), "healthy", "{}", world.happened());
    }
}

#[test]
fn a_member_that_does_not_stop_with_its_group_keeps_nobody_down() {
    let mut world = in_vain(Strategy::OneForAll);
    // Paused in the instant before its turn: it is left running, and the others come back.
    let pause = Command::Pause {
        until: world.now + Span::mins(600),
        reason: "look".into(),
        force: true,
    };
    let mut tries = 0;
    while !world
        .acts
        .iter()
        .any(|(_, act)| matches!(act, Act::Stop { .. }))
    {
        world.pass(Span::millis(20));
        tries += 1;
        assert!(tries < 50_000, "{}", world.happened());
    }
    let _refused_or_not = world.command(3, pause);
    world.says.clear();
    world.pass(Span::mins(4));
    for member in 0..3 {
        assert_eq!(world.health(member), "healthy", "{}", world.happened());
    }
}

#[test]
fn a_group_is_restarted_as_a_whole_once_an_hour() {
    let mut world = in_vain(Strategy::OneForAll);
    world.cured_by_restart = false;
    world.pass(Span::mins(40));
    let ledger = world.happened();
    assert_eq!(
        ledger.matches("restarted together").count(),
        2,
        "told and recorded once\n{ledger}"
    );
}

#[test]
fn who_was_given_up_and_stopped_with_its_group_is_started_with_it() {
    let mut plan = group(2, &["ping"], 1);
    plan.policy.strategy = Strategy::OneForAll;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(15));
    assert!(
        world
            .engine
            .explain(World::id(0), world.now)
            .unwrap()
            .given_up
            .is_some()
    );
    world.say(1, 0, Status::Fail);
    world.pass(Span::mins(10));
    assert!(
        world
            .acts
            .iter()
            .any(|(_, act)| matches!(act, Act::Stop { .. })),
        "{}",
        world.happened()
    );
    world.says.clear();
    world.pass(Span::mins(10));
    for member in 0..2 {
        assert_eq!(world.health(member), "healthy", "{}", world.happened());
    }
}

#[test]
fn a_rolling_restart_of_the_group_ends_with_the_first_that_does_not_help() {
    let mut world = broken_deploy(Strategy::Rolling);
    world.dies_after.clear();
    world.cured_by_restart = false;
    world.say(1, 0, Status::Fail);
    world.say(2, 0, Status::Fail);
    world.pass(Span::mins(4));
    for member in 0..6 {
        world
            .dies_after
            .insert(World::id(member), (Span::secs(1), 1));
    }
    world.pass(Span::mins(60));
    let well = healthy_of(&world, 6);
    assert!(well >= 3, "{well} of 4 are left\n{}", world.happened());
}
