//! Who is sick: when it is restarted, when it waits, and when it is given up.

use super::healthy_world;
use crate::compose::Complex;
use crate::event::Command;
use crate::policy::sim::{World, group};
use crate::{Span, Status};

#[test]
fn a_sick_member_is_restarted_and_the_others_are_left_alone() {
    let mut world = healthy_world(4, 1);
    let before: Vec<_> = (0..4).map(|m| world.generation(World::id(m))).collect();
    world.say(2, 0, Status::Fail);
    world.pass(Span::mins(2));
    let after: Vec<_> = (0..4).map(|m| world.generation(World::id(m))).collect();
    let changed: Vec<_> = (0..4).filter(|m| before[*m] != after[*m]).collect();
    assert_eq!(changed, [2]);
    assert_eq!(world.restarts(), 1);
    let ledger = world.happened();
    assert!(
        ledger.contains("web-2 ping failed 5 times in 20s (scripted)"),
        "{ledger}"
    );
    assert!(
        ledger.contains("web-2 restart: ping failed 5 times in 20s (scripted)"),
        "{ledger}"
    );
    assert!(ledger.contains("web-2 healthy again"), "{ledger}");
}

#[test]
fn a_short_outage_restarts_nothing() {
    let mut world = healthy_world(1, 1);
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(22));
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(5));
    assert_eq!(world.restarts(), 0);
    assert_eq!(world.happened(), "");
}

#[test]
fn unknown_restarts_nothing_and_is_announced() {
    let mut world = healthy_world(2, 1);
    world.say(0, 0, Status::Unknown);
    world.pass(Span::mins(60));
    assert_eq!(world.restarts(), 0);
    let ledger = world.happened();
    assert_eq!(ledger.lines().count(), 1, "{ledger}");
    assert!(
        ledger.contains("web-0 nobody can tell whether it lives"),
        "{ledger}"
    );
}

#[test]
fn whoever_was_told_that_nobody_can_tell_is_told_when_somebody_can_again() {
    let mut world = healthy_world(2, 1);
    world.say(0, 0, Status::Unknown);
    world.pass(Span::mins(10));
    world.ledger.clear();
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(1));
    let ledger = world.happened();
    assert_eq!(ledger.lines().count(), 1, "{ledger}");
    assert!(ledger.contains("web-0 can be judged again"), "{ledger}");

    // Also where it fails first, and where a person restarts it meanwhile.
    world.say(0, 0, Status::Unknown);
    world.pass(Span::mins(10));
    let restarted = world.command(0, Command::Restart { now: true });
    restarted.expect("a person may");
    world.pass(Span::secs(5));
    world.ledger.clear();
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(2));
    let ledger = world.happened();
    assert!(ledger.contains("web-0 healthy again"), "{ledger}");
    world.ledger.clear();
    world.pass(Span::mins(30));
    assert_eq!(world.happened(), "", "once is enough");
}

#[test]
fn unknown_after_failures_still_kills_nothing() {
    let mut world = healthy_world(2, 1);
    // Three fails, then nobody can look any more.
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(17));
    world.say(0, 0, Status::Unknown);
    world.pass(Span::mins(30));
    assert_eq!(world.restarts(), 0);
}

#[test]
fn the_budget_holds_with_three_sick_of_four() {
    let mut plan = group(4, &["ping"], 1);
    plan.policy.hold_at = u32::MAX;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    for member in [0, 1, 3] {
        world.say(member, 0, Status::Fail);
    }
    world.pass(Span::secs(35));
    let waiting = world.engine.explain(World::id(3), world.now).unwrap();
    assert!(waiting.labels.contains(&"waiting".into()));
    assert!(
        waiting
            .summary
            .starts_with("restart waits for budget (1 out (web-"),
        "{}",
        waiting.summary
    );
    world.pass(Span::mins(5));
    assert_eq!(world.restarts(), 3);
    assert_eq!(world.most_down, 1);
    for member in 0..4 {
        assert_eq!(world.health(member), "healthy");
    }
}

#[test]
fn a_waiting_member_that_recovers_is_left_alone() {
    let mut plan = group(4, &["ping"], 1);
    plan.policy.confirm_up = Span::secs(60);
    let mut world = World::new(vec![plan]);
    world.pass(Span::mins(2));
    world.say(0, 0, Status::Fail);
    world.say(1, 0, Status::Fail);
    world.pass(Span::secs(35));
    world.say(1, 0, Status::Pass);
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(5));
    assert_eq!(world.restarts(), 1, "only one of the two was needed");
    assert!(world.happened().contains("self-healed"));
}

#[test]
fn futile_restarts_end_in_giving_up_and_it_is_left_running() {
    let mut world = healthy_world(1, 1);
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(30));
    assert_eq!(world.restarts(), 3);
    assert_eq!(world.life(0), "up");
    let ledger = world.happened();
    assert!(
        ledger.contains("gave up: 3 attempts of this incident did not help"),
        "{ledger}"
    );
    world.pass(Span::mins(600));
    assert_eq!(world.restarts(), 3, "never again without a person");
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(3));
    assert_eq!(world.health(0), "healthy", "but it may recover by itself");
    assert!(
        world
            .engine
            .explain(World::id(0), world.now)
            .unwrap()
            .given_up
            .is_none()
    );
}

#[test]
fn reset_allows_another_try() {
    let mut world = healthy_world(1, 1);
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(30));
    world.cured_by_restart = true;
    world.command(0, Command::Reset).unwrap();
    world.pass(Span::mins(5));
    assert_eq!(world.restarts(), 4);
    assert_eq!(world.health(0), "healthy");
}

#[test]
fn a_member_that_goes_back_and_forth_is_told_of_once_and_not_restarted() {
    let mut world = healthy_world(1, 1);
    for _ in 0..20 {
        world.say(0, 0, Status::Fail);
        world.pass(Span::secs(12));
        world.say(0, 0, Status::Pass);
        world.pass(Span::secs(12));
    }
    assert_eq!(world.restarts(), 0);
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(report.labels.contains(&"flapping".into()));
    world.pass(Span::mins(10));
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(!report.labels.contains(&"flapping".into()));
    let ledger = world.happened();
    assert_eq!(ledger.matches("web-0 flaps: ").count(), 1, "{ledger}");
}

#[test]
fn a_member_that_waits_long_for_the_budget_is_news_once() {
    let mut plan = group(4, &["ping"], 1);
    plan.policy.startup_timeout = Span::mins(20);
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(1));
    world.say(1, 0, Status::Fail);
    world.pass(Span::mins(12));
    let ledger = world.happened();
    let told = "web-1 has waited 5m for the budget: 1 out (web-0), at most 1 allowed";
    assert_eq!(ledger.matches(told).count(), 1, "{ledger}");
}

#[test]
fn a_sick_member_that_serves_nobody_is_no_loss_to_min_up() {
    let mut plan = group(4, &["ping"], 1);
    plan.policy.min_up = 3;
    plan.policy.hold_at = u32::MAX;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    for member in 0..3 {
        world.say(member, 0, Status::Fail);
    }
    world.pass(Span::mins(2));
    assert!(world.restarts() >= 1, "{}", world.happened());

    // Who is sick and serves all the same is kept while others are missing.
    let mut plan = group(4, &["ping", "leak"], 2);
    plan.policy.min_up = 3;
    plan.policy.hold_at = u32::MAX;
    plan.ready = Complex::parse("ping", &["ping", "leak"]).unwrap();
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    for member in 0..4 {
        world.say(member, 1, Status::Fail);
    }
    let mut least = 4;
    for _ in 0..600 {
        world.pass(Span::secs(1));
        let ready = world.engine.status(world.now).groups[0].ready_members;
        least = least.min(ready);
    }
    assert_eq!(least, 3, "{}", world.happened());
    assert!(world.restarts() >= 4, "{}", world.happened());
}
