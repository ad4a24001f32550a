//! Daemons that end and begin again, and configurations that change.

use std::collections::BTreeMap;

use crate::event::{Command, Event, Exit};
use crate::journal::Entry;
use crate::plan::Plan;
use crate::policy::sim::{World, group};
use crate::{Generation, Instant, LeafId, MemberId, Sample, Span, Status};

fn healthy_world(members: u32) -> World {
    let mut world = World::new(vec![group(members, &["ping", "memory"], 1)]);
    world.pass(Span::mins(2));
    world.happened();
    world
}

#[test]
fn streaks_and_ledgers_go_on_after_a_crash() {
    let mut world = healthy_world(2);
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(21));
    let before = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(before.checks[0].streak >= 3);
    world.crash(false);
    let after = world.engine.explain(World::id(0), world.now).unwrap();
    assert_eq!(after.checks[0].streak, before.checks[0].streak);
    assert_eq!((after.life, after.health), (before.life, before.health));
    assert_eq!(world.starts(), 2, "nobody is started twice");
}

#[test]
fn a_run_that_was_due_while_no_daemon_ran_is_late_by_as_much_as_the_daemon() {
    // Every instant of an interval is some leaf's.
    let away = Span::millis(700);
    for instant in 0..50 {
        let mut world = healthy_world(5);
        world.pass(Span::millis(200 * instant));
        world.end_for(away);
        world.pass(Span::mins(1));
        let mut runs: BTreeMap<LeafId, Vec<Instant>> = BTreeMap::new();
        for (_, entry) in &world.entries {
            if let Entry::Steady { leaf, at } = entry {
                runs.entry(*leaf).or_default().push(*at);
            }
        }
        assert_eq!(runs.len(), 10);
        for (leaf, at) in runs {
            let gaps = at.windows(2).map(|pair| pair[1].since(pair[0]));
            let longest = gaps.max().unwrap();
            let most = Span::secs(10) + away + crate::schedule::GRAIN;
            assert!(longest <= most, "{leaf:?} waited {longest}, {instant}");
        }
    }
}

#[test]
fn a_new_daemon_kills_nothing_until_it_has_settled() {
    let mut world = healthy_world(2);
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(21));
    world.crash(false);
    world.pass(Span::secs(28));
    assert_eq!(world.restarts(), 0);
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(report.summary.contains("settle"), "{}", report.summary);
    world.pass(Span::secs(5));
    assert_eq!(world.restarts(), 1);
}

#[test]
fn a_restart_under_way_is_carried_on_and_not_done_twice() {
    // The instants of one restart: stored, acting, exited, started, confirming.
    for ms in [0, 1, 2, 50, 99, 101, 140, 149, 151, 152, 200, 5_000] {
        for lossy in [false, true] {
            let mut world = healthy_world(2);
            world.say(0, 0, Status::Fail);
            while world.acts.len() == 2 {
                world.pass(Span::millis(1));
            }
            world.pass(Span::millis(ms));
            world.crash(lossy);
            world.pass(Span::mins(3));
            assert_eq!(
                world.restarts(),
                1,
                "{ms} ms, lossy {lossy}: {:?}",
                world.acts
            );
            let report = world.engine.explain(World::id(0), world.now).unwrap();
            assert_eq!(report.starts_24h, 1, "{ms} ms, lossy {lossy}: not counted");
            assert_eq!(world.starts(), 2, "{ms} ms, lossy {lossy}");
            assert_eq!(world.health(0), "healthy", "{ms} ms, lossy {lossy}");
        }
    }
}

#[test]
fn an_order_by_hand_that_was_not_begun_is_not_forgotten() {
    // The instants of one restart, and what the journal may hold of it.
    for (ms, unheard) in [(0, false), (1, true), (50, true), (50, false), (200, false)] {
        for step in [Command::Restart { now: true }, Command::Stop] {
            let mut world = healthy_world(2);
            world.unheard = unheard;
            world.command(0, step.clone()).unwrap();
            world.pass(Span::millis(ms));
            world.unheard = false;
            world.crash(false);
            world.pass(Span::mins(3));
            let stop = step == Command::Stop;
            let (restarts, lives) = (usize::from(!stop), !stop);
            assert_eq!(
                world.restarts(),
                restarts,
                "{step:?} {ms} ms: {:?}",
                world.acts
            );
            let alive = world.generation(World::id(0)).is_some();
            assert_eq!(alive, lives, "{step:?} {ms} ms: {:?}", world.acts);
        }
    }
}

#[test]
fn a_restart_by_hand_that_was_carried_out_is_not_wanted_again() {
    for ms in [0, 1, 2, 50, 101, 149, 151, 5_000] {
        for lossy in [false, true] {
            let mut world = healthy_world(2);
            world.command(0, Command::Restart { now: true }).unwrap();
            while world.acts.len() == 2 {
                world.pass(Span::millis(1));
            }
            world.pass(Span::millis(ms));
            world.crash(lossy);
            world.pass(Span::mins(3));
            assert_eq!(world.restarts(), 1, "{ms} ms, lossy {lossy}");
        }
    }
}

#[test]
fn an_act_that_nobody_heard_of_is_done_later_and_counted_once() {
    let mut world = healthy_world(2);
    world.unheard = true;
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(40));
    world.unheard = false;
    world.crash(false);
    world.pass(Span::mins(3));
    assert_eq!(world.restarts(), 1);
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert_eq!(report.starts_24h, 1);
}

#[test]
fn a_pause_and_a_stop_by_hand_survive() {
    let mut world = healthy_world(2);
    let until = world.now + Span::mins(30);
    let pause = Command::Pause {
        until,
        reason: "looking".to_owned(),
        force: false,
    };
    world.command(0, pause).unwrap();
    world.command(1, Command::Stop).unwrap();
    world.pass(Span::secs(5));
    world.crash(false);
    world.pass(Span::mins(5));
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(
        report.control.starts_with("paused by ada"),
        "{}",
        report.control
    );
    assert_eq!(world.life(1), "stopped");
}

#[test]
fn a_reload_keeps_the_counters_of_what_did_not_change() {
    let mut world = healthy_world(2);
    world.say(0, 0, Status::Fail);
    world.say(0, 1, Status::Fail);
    world.pass(Span::secs(17));
    let streak = world
        .engine
        .explain(World::id(0), world.now)
        .unwrap()
        .checks[0]
        .streak;
    assert!(streak >= 2);
    let mut plan = group(2, &["ping", "memory"], 1);
    plan.checks[1]
        .options
        .insert("max".to_owned(), serde_json::Value::from(5));
    assert!(world.reload(vec![plan]).is_empty());
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert_eq!(report.checks[0].streak, streak);
    assert_eq!(report.checks[1].streak, 0, "what it checks has changed");
    assert_eq!(report.health, "healthy");
    assert!(!report.labels.contains(&"outdated".into()));
    world.pass(Span::mins(3));
    assert_eq!((world.restarts(), world.starts()), (1, 2));
}

#[test]
fn a_changed_command_makes_members_outdated_until_they_are_restarted() {
    let mut world = healthy_world(2);
    let mut plan = group(2, &["ping", "memory"], 1);
    plan.launch.command = vec!["new".to_owned()];
    world.reload(vec![plan]);
    let outdated = |world: &World, member| {
        let report = world.engine.explain(World::id(member), world.now).unwrap();
        report.labels.contains(&"outdated".into())
    };
    assert!(outdated(&world, 0) && outdated(&world, 1));
    for member in 0..2 {
        world
            .command(member, Command::Restart { now: false })
            .unwrap();
    }
    world.pass(Span::mins(2));
    assert!(!outdated(&world, 0) && !outdated(&world, 1));
    assert_eq!(world.most_down, 1);
}

#[test]
fn a_process_is_asked_at_the_port_that_it_was_started_with() {
    let mut first = group(1, &["ping"], 1);
    first.members[0].port = Some(8000);
    let mut world = World::new(vec![first.clone()]);
    world.pass(Span::mins(1));
    first.members[0].port = Some(9000);
    world.reload(vec![first]);
    world.ports.clear();
    world.pass(Span::mins(1));
    assert_eq!(world.ports, [Some(8000)].into());
    world.command(0, Command::Restart { now: true }).unwrap();
    world.pass(Span::secs(2));
    world.ports.clear();
    world.pass(Span::mins(1));
    assert_eq!(world.ports, [Some(9000)].into());
}

#[test]
fn members_that_are_gone_from_the_plan_are_handed_out() {
    let mut world = healthy_world(3);
    let gone = world.reload(vec![group(2, &["ping", "memory"], 1)]);
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].0, "web/web-2");
    world.pass(Span::mins(2));
    assert_eq!(world.health(0), "healthy");
}

#[test]
fn a_reload_in_the_middle_of_a_restart_lets_it_go_on() {
    for ms in [0, 1, 50, 120, 151, 3_000] {
        let mut world = healthy_world(2);
        world.say(0, 0, Status::Fail);
        while world.acts.len() == 2 {
            world.pass(Span::millis(1));
        }
        world.pass(Span::millis(ms));
        world.reload(vec![group(2, &["ping", "memory"], 1)]);
        world.pass(Span::mins(3));
        assert_eq!(world.restarts(), 1, "{ms} ms");
        assert_eq!(world.health(0), "healthy", "{ms} ms");
    }
}

#[test]
fn what_was_on_its_way_is_read_under_the_new_plan() {
    let mut first = group(1, &["ping"], 1);
    first.name = crate::GroupName::new("api").unwrap();
    let from = Plan {
        groups: vec![group(2, &["memory", "ping"], 1)],
        ..Plan::default()
    };
    let to = Plan {
        groups: vec![first, group(2, &["ping"], 1)],
        ..Plan::default()
    };
    let generation = Generation {
        boot: 1,
        pid: 2,
        start: 3,
    };
    let member = MemberId {
        group: 0,
        member: 1,
    };
    let exited = Event::Exited {
        member,
        generation,
        exit: Exit::Code(1),
    };
    let Some(Event::Exited { member, .. }) = exited.rebased(&from, &to) else {
        panic!()
    };
    assert_eq!(
        member,
        MemberId {
            group: 1,
            member: 1
        }
    );
    let leaf = |check| LeafId {
        group: 0,
        check,
        member: Some(1),
    };
    let sample = |check| {
        let message = std::sync::Arc::from("");
        let (at, took) = (Instant(5), Span(1));
        let (status, cause, measurements) = (Status::Pass, None, Vec::new());
        let generation = Some(generation);
        let sample = Sample {
            status,
            cause,
            message,
            measurements,
            at,
            took,
            generation,
        };
        Event::Sample {
            leaf: leaf(check),
            sample,
        }
    };
    assert!(
        sample(0).rebased(&from, &to).is_none(),
        "that check is gone"
    );
    let Some(Event::Sample { leaf, .. }) = sample(1).rebased(&from, &to) else {
        panic!()
    };
    assert_eq!(
        leaf,
        LeafId {
            group: 1,
            check: 0,
            member: Some(1)
        }
    );
    let mut changed = to.clone();
    changed.groups[1].checks[0]
        .options
        .insert("port".to_owned(), serde_json::Value::from(1));
    assert!(
        sample(1).rebased(&from, &changed).is_none(),
        "that check asks something else now"
    );
}
