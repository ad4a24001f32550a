//! The incidents, each as its own story.

use super::{healthy, holds, taped};
use crate::event::Exit;
use crate::plan::{GroupPlan, Strategy};
use crate::policy::sim::{World, group};
use crate::{Cause, GroupName, LeafId, MemberId, MemberName, Span, Status};

fn all_say(world: &mut World, members: u32, status: Status) {
    for member in 0..members {
        world.say(member, 0, status);
    }
}

fn shared_says(world: &mut World, group: u32, check: u32, status: Status) {
    let leaf = LeafId {
        group,
        check,
        member: None,
    };
    let cause = (status != Status::Pass).then_some(Cause::Refused);
    world.says.insert(leaf, (status, cause));
}

#[test]
fn a_crash_loop() {
    let mut world = healthy(vec![group(2, &["ping"], 1)]);
    world.dies_after.insert(World::id(1), (Span::secs(2), 1));
    world.die(World::id(1), Exit::Code(1));
    world.pass(Span::mins(22));
    holds(
        "crash-loop",
        "web-1 dies two seconds after each start; web-0 is well.",
        &world,
    );
}

#[test]
fn an_exit_that_says_it_is_useless() {
    let mut world = healthy(vec![group(2, &["ping"], 1)]);
    world.die(World::id(1), Exit::Code(78));
    world.pass(Span::mins(70));
    holds(
        "exits-78",
        "web-1 exits with code 78: its configuration is wrong, and starting it again is useless.",
        &world,
    );
}

#[test]
fn a_leak() {
    let mut world = healthy(vec![group(2, &["ping", "memory"], 1)]);
    for _ in 0..12 {
        world.pass(Span::mins(110));
        world.say(1, 1, Status::Fail);
    }
    world.pass(Span::mins(10));
    holds(
        "leak",
        "web-1 leaks: every two hours its memory is over the limit, and a restart helps.",
        &world,
    );
}

#[test]
fn flapping() {
    let mut world = healthy(vec![group(2, &["ping"], 1)]);
    for _ in 0..12 {
        world.say(1, 0, Status::Fail);
        world.pass(Span::secs(12));
        world.say(1, 0, Status::Pass);
        world.pass(Span::secs(12));
    }
    let report = world.engine.explain(World::id(1), world.now).unwrap();
    assert!(report.labels.contains(&"flapping".into()));
    world.pass(Span::mins(10));
    holds(
        "flapping",
        "For five minutes web-1 fails for 12 s and is well for 12 s: never 5 failures in a row.",
        &world,
    );
}

#[test]
fn a_slow_start() {
    let mut world = healthy(vec![group(2, &["ping"], 1)]);
    world.die(World::id(1), Exit::Signal(11));
    world.say(1, 0, Status::Fail);
    world.pass(Span::secs(90));
    world.say(1, 0, Status::Pass);
    world.pass(Span::mins(2));
    world.die(World::id(1), Exit::Signal(11));
    world.say(1, 0, Status::Fail);
    world.pass(Span::secs(200));
    world.say(1, 0, Status::Pass);
    world.pass(Span::mins(5));
    holds(
        "slow-start",
        "web-1 crashes and needs 90 s to come up, within its startup_timeout of 120 s; then it \
         crashes again and is wedged: until 200 s after that no start helps.",
        &world,
    );
}

fn two_groups() -> Vec<GroupPlan> {
    let mut db = group(1, &["ping"], 1);
    db.name = GroupName::new("db").unwrap();
    db.members[0].name = MemberName::new("db-0").unwrap();
    let mut web = group(3, &["ping"], 1);
    web.depends_on = vec![0];
    vec![db, web]
}

#[test]
fn a_late_dependency() {
    let mut world = taped(two_groups());
    let db = LeafId {
        group: 0,
        check: 0,
        member: Some(0),
    };
    world.says.insert(db, (Status::Fail, Some(Cause::Refused)));
    world.pass(Span::secs(80));
    world.says.remove(&db);
    world.pass(Span::mins(1));
    let outage = |world: &mut World, status| {
        for member in 0..3 {
            let leaf = LeafId {
                group: 1,
                check: 0,
                member: Some(member),
            };
            world.says.insert(leaf, (status, Some(Cause::Refused)));
        }
    };
    world.cured_by_restart = false;
    world.says.insert(db, (Status::Fail, Some(Cause::Refused)));
    outage(&mut world, Status::Fail);
    world.pass(Span::secs(100));
    world.says.remove(&db);
    world.pass(Span::secs(20));
    outage(&mut world, Status::Pass);
    world.pass(Span::mins(3));
    holds(
        "late-dependency",
        "web depends on db, which takes 80 s to be ready; later db fails, and web with it, \
         until db was restarted and is ready again.",
        &world,
    );
}

#[test]
fn an_outage_behind_all() {
    let mut world = healthy(vec![group(8, &["ping"], 2)]);
    world.cured_by_restart = false;
    all_say(&mut world, 8, Status::Fail);
    world.pass(Span::mins(6));
    all_say(&mut world, 8, Status::Pass);
    world.pass(Span::mins(12));
    holds(
        "outage",
        "What all eight members need is away for six minutes; no restart helps.",
        &world,
    );
}

#[test]
fn a_database_check() {
    let mut plan = group(4, &["ping", "database"], 1);
    plan.hold_nothing_but_dependencies();
    let mut world = healthy(vec![plan]);
    world.cured_by_restart = false;
    shared_says(&mut world, 0, 1, Status::Fail);
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(3));
    shared_says(&mut world, 0, 1, Status::Pass);
    world.cured_by_restart = true;
    world.pass(Span::mins(5));
    holds(
        "database-check",
        "The check of scope dependency fails for three minutes, and web-0 with it; web-0 needs a \
         restart afterwards.",
        &world,
    );
}

#[test]
fn all_wedged() {
    let mut world = healthy(vec![group(8, &["ping"], 2)]);
    all_say(&mut world, 8, Status::Fail);
    world.pass(Span::mins(10));
    holds(
        "all-wedged",
        "All eight members hang, and only a restart helps.",
        &world,
    );
}

#[test]
fn a_stall() {
    let mut world = healthy(vec![group(4, &["ping"], 1)]);
    for member in 0..4 {
        world.time_out(member, 0);
    }
    world.freeze(Span::secs(20));
    world.pass(Span::secs(9));
    all_say(&mut world, 4, Status::Pass);
    world.pass(Span::mins(3));
    holds(
        "stall",
        "This machine stands still for 20 s, and every check times out until 9 s later.",
        &world,
    );
}

#[test]
fn a_whole_group() {
    let mut plan = group(4, &["ping"], 2);
    plan.policy.strategy = Strategy::OneForAll;
    plan.policy.hold_at = 4;
    let mut world = healthy(vec![plan]);
    world.cured_by_restart = false;
    world.say(1, 0, Status::Fail);
    world.say(2, 0, Status::Fail);
    world.pass(Span::mins(4));
    world.say(1, 0, Status::Pass);
    world.say(2, 0, Status::Pass);
    world.pass(Span::mins(5));
    holds(
        "whole-group",
        "web-1 and web-2 fail, and only a restart of all four helps; strategy = one_for_all.",
        &world,
    );
}

#[test]
fn never_helped() {
    let mut world = healthy(vec![group(4, &["ping"], 1)]);
    world.cured_by_restart = false;
    world.say(2, 0, Status::Fail);
    world.pass(Span::mins(30));
    holds("never-helped", "web-2 fails, and no restart helps.", &world);
    let id = MemberId {
        group: 0,
        member: 2,
    };
    assert!(world.generation(id).is_some(), "it is left running");
}

#[test]
fn stuck_workers() {
    let mut plan = group(2, &["workers"], 1);
    plan.policy.signal = Some("TERM".to_owned());
    let mut world = healthy(vec![plan]);
    world.blame(0, 0, 4711);
    world.pass(Span::mins(15));
    world.blame(1, 0, 4712);
    world.cured_by_signal = false;
    world.pass(Span::mins(15));
    world.blame(0, 0, 4713);
    world.cannot_signal = Some("process 4713 did not end within 10s of SIGTERM".to_owned());
    world.pass(Span::mins(5));
    holds(
        "stuck-workers",
        "A worker of web-0 is stuck, and helped by its end; then one of web-1, where that does not \
         help; then one of web-0 that does not end by SIGTERM.",
        &world,
    );
}
