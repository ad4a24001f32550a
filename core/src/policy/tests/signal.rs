//! The ladder's step before a restart: a signal to the worker that is blamed, and nobody else.

use crate::event::{Act, Command, Event, Exit};
use crate::journal::{Entry, Outcome};
use crate::policy::sim::{World, group};
use crate::{Cause, LeafId, Measurement, Process, Sample, Span, Status};

const WORKER: u32 = 4711;

/// Members that replace their workers, all of them well.
fn prefork(members: u32, checks: &[&str]) -> World {
    let mut plan = group(members, checks, 1);
    plan.policy.signal = Some("TERM".to_owned());
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.happened();
    world
}

/// Lets time pass until it is so.
fn until(world: &mut World, so: impl Fn(&World) -> bool) {
    let came = (0..300_000).any(|_| {
        world.pass(Span::millis(1));
        so(world)
    });
    assert!(came, "it never was so: {}", world.happened());
}

fn outcomes(world: &World) -> Vec<Outcome> {
    let entries = world.entries.iter();
    let of = |entry: &Entry| match entry {
        Entry::Outcome { outcome, .. } => Some(*outcome),
        Entry::Run { .. }
        | Entry::Steady { .. }
        | Entry::Transition { .. }
        | Entry::Group { .. }
        | Entry::Decision { .. }
        | Entry::Intent { .. }
        | Entry::Operator { .. } => None,
    };
    entries.filter_map(|(_, entry)| of(entry)).collect()
}

#[test]
fn the_blamed_worker_gets_a_signal_and_its_member_goes_on() {
    let mut world = prefork(2, &["ping"]);
    let before = world.generation(World::id(0));
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (1, 0));
    assert_eq!(world.generation(World::id(0)), before);
    assert_eq!(world.health(0), "healthy");
    assert!(world.acts.iter().any(|(_, act)| matches!(
        act,
        Act::Signal { processes, .. } if **processes == [Process { pid: WORKER, start: 5 }]
    )));
    let ledger = world.happened();
    for told in [
        "web-0 signal: SIGTERM to process 4711: ping failed 5 times in 20s (scripted)",
        "web-0 healthy again: `ping` passes again",
    ] {
        assert!(ledger.contains(told), "{ledger}");
    }
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Effective));
}

#[test]
fn a_signal_that_does_not_help_is_followed_by_a_restart() {
    let mut world = prefork(2, &["ping"]);
    world.cured_by_signal = false;
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(5));
    assert_eq!((world.signals(), world.restarts()), (1, 1));
    let ledger = world.happened();
    let told = "web-0 signal did not help: `ping` still fails 2m after it";
    assert!(ledger.contains(told), "{ledger}");
    assert_eq!(world.health(0), "healthy");
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert_eq!(report.futile, 0, "a signal is no restart that did not help");
}

#[test]
fn a_worker_that_does_not_end_by_it_is_followed_by_a_restart_soon() {
    let mut world = prefork(2, &["ping"]);
    world.cannot_signal = Some("process 4711 did not end within 10s of SIGTERM".to_owned());
    world.blame(0, 0, WORKER);
    world.pass(Span::secs(60));
    assert_eq!((world.signals(), world.restarts()), (1, 1));
    let ledger = world.happened();
    let told = "web-0 signal did not help: process 4711 did not end within 10s of SIGTERM";
    assert!(ledger.contains(told), "{ledger}");
}

#[test]
fn no_second_signal_in_an_incident_in_which_one_was_in_vain_but_in_the_next_one() {
    let mut world = prefork(2, &["ping"]);
    world.cured_by_signal = false;
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(6));
    assert_eq!((world.signals(), world.restarts()), (1, 1));
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (1, 2), "the same one");
    world.pass(Span::mins(80));
    world.cured_by_signal = true;
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (2, 2), "another one");
}

#[test]
fn where_something_else_is_to_blame_too_the_member_is_restarted() {
    let mut world = prefork(2, &["ping", "memory"]);
    world.blame(0, 0, WORKER);
    world.say(0, 1, Status::Fail);
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (0, 1));
    let told = "; no signal: not every check that fails names a process of it";
    let ledger = world.happened();
    assert!(ledger.contains(told), "{ledger}");
}

#[test]
fn the_member_s_own_process_gets_no_signal() {
    let mut world = prefork(2, &["ping"]);
    let own = world.generation(World::id(0)).unwrap().pid;
    world.blame(0, 0, own);
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (0, 1));
}

#[test]
fn whoever_blames_more_than_eight_blames_the_member() {
    let mut world = prefork(2, &["ping"]);
    world.blame(0, 0, WORKER);
    let leaf = LeafId {
        group: 0,
        check: 0,
        member: Some(0),
    };
    let all = (0..9).map(|n| Process {
        pid: WORKER + n,
        start: 5,
    });
    world.blames.insert(leaf, all.collect());
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (0, 1));
}

#[test]
fn a_member_that_fails_again_at_once_was_not_helped() {
    let mut world = prefork(2, &["ping"]);
    world.blame(0, 0, WORKER);
    until(&mut world, |it| {
        it.signals() > 0 && it.health(0) == "healthy"
    });
    world.blame(0, 0, WORKER + 1);
    world.pass(Span::mins(3));
    assert_eq!((world.signals(), world.restarts()), (1, 1));
    let ledger = world.happened();
    let told = "signal did not help: `ping` fails again after ";
    assert!(ledger.contains(told), "{ledger}");
}

/// What spoils the workers may sit in their master, which goes on: then each new worker hangs too.
#[test]
fn before_a_member_is_given_up_it_was_restarted_once() {
    let mut world = prefork(2, &["ping"]);
    for _ in 0..4 {
        world.blame(0, 0, WORKER);
        world.pass(Span::mins(4));
    }
    assert_eq!((world.signals(), world.restarts()), (3, 1));
    let ledger = world.happened();
    let told = "; no signal: the last act that `sick_restarts` allows is a restart";
    assert!(ledger.contains(told), "{ledger}");
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(4));
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(report.given_up.is_some(), "{report:?}");
}

#[test]
fn without_the_setting_a_blamed_worker_changes_nothing() {
    let mut world = World::new(vec![group(2, &["ping"], 1)]);
    world.pass(Span::secs(60));
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(2));
    assert_eq!((world.signals(), world.restarts()), (0, 1));
}

#[test]
fn a_signal_counts_as_one_that_is_out() {
    let mut world = prefork(4, &["ping"]);
    world.cured_by_signal = false;
    world.blame(0, 0, WORKER);
    world.pass(Span::secs(20));
    world.blame(1, 0, WORKER + 1);
    world.pass(Span::secs(40));
    assert_eq!(world.signals(), 1, "the other one waits for its judgement");
    let report = world.engine.explain(World::id(1), world.now).unwrap();
    let told = "signal waits for budget (1 out (web-0)";
    assert!(report.summary.starts_with(told), "{}", report.summary);
}

#[test]
fn in_a_hold_nobody_gets_a_signal_and_the_canary_is_restarted() {
    let mut world = prefork(4, &["ping"]);
    for member in 0..4 {
        world.blame(member, 0, WORKER + member);
    }
    world.acts.clear();
    world.pass(Span::mins(10));
    let first = world.acts.first().map(|(_, act)| act);
    assert!(matches!(first, Some(Act::Restart { .. })), "{first:?}");
    let ledger = world.happened();
    assert!(ledger.contains("as the canary of the hold"), "{ledger}");
    assert_eq!(world.restarts(), 1, "it helped, and the hold is over");
    assert_eq!(world.signals(), 3);
}

#[test]
fn who_is_only_observed_gets_none_and_it_is_told_once() {
    let mut plan = group(2, &["ping"], 1);
    plan.policy.signal = Some("TERM".to_owned());
    plan.mode = crate::plan::Mode::Observe;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.blame(0, 0, WORKER);
    world.pass(Span::mins(30));
    assert_eq!((world.signals(), world.restarts()), (0, 0));
    let decided = world.entries.iter().filter(|(_, entry)| {
        matches!(entry, Entry::Decision { step, intent: None, .. } if step.as_str() == "signal")
    });
    assert_eq!(decided.count(), 1);
}

#[test]
fn whoever_is_not_blamed_any_more_when_the_intent_is_stored_gets_none() {
    let mut world = prefork(2, &["ping"]);
    world.blame(0, 0, WORKER);
    until(&mut world, |it| !it.engine.attempts().is_empty());
    // The journal has not answered yet.
    let sample = |pid: u32| Sample {
        status: Status::Fail,
        cause: Some(Cause::Wrong),
        message: "scripted".into(),
        measurements: vec![Measurement {
            name: "blamed".into(),
            value: f64::from(pid),
            unit: "pid".into(),
            limit: Some(5.0),
        }],
        at: world.now,
        took: Span(3),
        generation: world.generation(World::id(0)),
    };
    let event = Event::Sample {
        leaf: LeafId {
            group: 0,
            check: 0,
            member: Some(0),
        },
        sample: sample(WORKER + 1),
    };
    world.event(&event);
    world.pass(Span::millis(2));
    assert_eq!(world.signals(), 0);
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Withdrawn));
    world.pass(Span::secs(20));
    assert_eq!(world.signals(), 1, "whoever is blamed then gets one");
}

#[test]
fn a_member_that_dies_of_it_is_started() {
    let mut world = prefork(2, &["ping"]);
    world.cured_by_signal = false;
    world.blame(0, 0, WORKER);
    until(&mut world, |it| it.signals() > 0);
    world.die(World::id(0), Exit::Code(1));
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Futile));
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(2));
    assert_eq!(world.health(0), "healthy");
    assert_eq!((world.signals(), world.restarts()), (1, 0));
}

#[test]
fn a_person_who_asks_for_more_meanwhile_need_not_wait_for_its_judgement() {
    for (command, life) in [
        (Command::Stop, "stopped"),
        (Command::Restart { now: true }, "up"),
    ] {
        let mut world = prefork(2, &["ping"]);
        world.cured_by_signal = false;
        world.blame(0, 0, WORKER);
        world.pass(Span::secs(40));
        let report = world.engine.explain(World::id(0), world.now).unwrap();
        assert_eq!(
            report.summary,
            "process 4711 ended; waits up to 1m47s for `ping`"
        );
        world.command(0, command).unwrap();
        assert!(outcomes(&world).contains(&Outcome::Superseded));
        world.pass(Span::secs(30));
        assert_eq!(world.life(0), life);
    }
}

#[test]
fn a_signal_that_a_daemon_died_over_is_withdrawn_and_decided_anew() {
    let mut world = prefork(2, &["ping"]);
    world.cured_by_signal = false;
    world.blame(0, 0, WORKER);
    until(&mut world, |it| it.signals() > 0);
    world.crash(false);
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Withdrawn));
    world.pass(Span::secs(20));
    assert_eq!(world.signals(), 1, "nobody gets one before it has settled");
    world.pass(Span::secs(40));
    assert_eq!((world.signals(), world.restarts()), (2, 0));
}

#[test]
fn a_daemon_that_ends_meanwhile_leaves_a_signal_that_the_next_one_judges() {
    let mut world = prefork(2, &["ping"]);
    world.cured_by_signal = false;
    world.blame(0, 0, WORKER);
    world.pass(Span::secs(40));
    world.crash(false);
    world.pass(Span::mins(5));
    assert_eq!((world.signals(), world.restarts()), (1, 1));
    assert!(outcomes(&world).contains(&Outcome::Futile));
}

#[test]
fn whom_a_sample_blames_is_all_that_is_written_down_of_what_it_measured() {
    let mut world = prefork(1, &["ping"]);
    world.blame(0, 0, WORKER);
    world.pass(Span::secs(12));
    let mut recorder = crate::replay::Recorder::default();
    let mut runs = world.entries.iter().filter_map(|(_, entry)| match entry {
        Entry::Run { leaf, sample } => Some((*leaf, sample.clone())),
        Entry::Steady { .. }
        | Entry::Transition { .. }
        | Entry::Group { .. }
        | Entry::Decision { .. }
        | Entry::Intent { .. }
        | Entry::Outcome { .. }
        | Entry::Operator { .. } => None,
    });
    let sample = runs.next_back();
    let (leaf, mut sample) = sample.unwrap();
    let blamed = sample.blamed();
    assert!(blamed.is_some());
    let mut other = sample.measurements[0].clone();
    other.name = "rss".into();
    sample.measurements.push(other);
    let input = recorder.take(
        &Event::Sample { leaf, sample },
        world.now + Span::mins(1),
        &[],
    );
    let Some(crate::replay::Input::Event { event, .. }) = input else {
        panic!("a late sample is written down");
    };
    let Event::Sample { sample, .. } = event else {
        panic!("it is a sample");
    };
    assert_eq!(sample.measurements.len(), 1);
    assert_eq!(sample.blamed(), blamed);
}
