//! Starting: in order, in portions, proved or not, and started again when dead.

use super::healthy_world;
use crate::engine::Engine;
use crate::event::{Act, Command, Effect, Event, Exit};
use crate::journal::{Entry, Outcome};
use crate::plan::{Plan, RestartType};
use crate::policy::sim::{World, group};
use crate::policy::state::PORTION;
use crate::{Instant, IntentId, Span, Status};
use std::collections::VecDeque;
use std::sync::Arc;

#[test]
fn members_are_started_and_proved() {
    let mut world = World::new(vec![group(4, &["ping", "memory"], 1)]);
    world.pass(Span::secs(9));
    assert_eq!(world.starts(), 4);
    assert_eq!(
        world.life(0),
        "starting",
        "ten seconds up are needed, and two passes"
    );
    world.pass(Span::secs(10));
    assert_eq!(world.life(0), "up");
    assert_eq!(world.health(3), "healthy");
    assert_eq!(world.happened(), "", "a start in good order is no news");
}

#[test]
fn thousands_are_started_in_portions_that_the_journal_has_answered() {
    let members = 4 * u32::try_from(PORTION).unwrap() + 1;
    let groups = vec![group(members, &[], 1)];
    let plan = Arc::new(Plan {
        groups,
        ..Plan::default()
    });
    let mut engine = Engine::new(plan, 7, IntentId(1), Instant(1_000));
    let (mut out, mut asked, mut started) = (Vec::new(), VecDeque::new(), 0);
    let (mut event, mut now) = (Event::Wake, Instant(2_000));
    while started < members {
        engine.step(&event, now, &mut out);
        for effect in out.drain(..) {
            started += u32::from(matches!(effect, Effect::Do(_, Act::Start { .. })));
            if let Effect::Record(Entry::Intent { intent, .. }) = effect {
                asked.push_back(intent);
            }
        }
        assert!(asked.len() <= PORTION, "{} at once", asked.len());
        event = match asked.pop_front() {
            // What is refused makes room too, and is tried again.
            Some(intent) if intent.0 == 7 => Event::IntentRefused {
                intent,
                reason: "full".to_owned(),
            },
            Some(intent) => Event::IntentStored(intent),
            None => {
                now += Span::secs(11);
                assert!(now < Instant(60_000), "only {started} were started");
                Event::Wake
            }
        };
    }
}

#[test]
fn a_slow_start_is_waited_for() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(110));
    assert_eq!(
        world.restarts(),
        0,
        "until the first success failures do not count"
    );
    world.say(0, 0, Status::Pass);
    world.pass(Span::mins(5));
    assert_eq!(world.restarts(), 0);
    assert_eq!(world.health(0), "healthy");
}

#[test]
fn a_start_that_never_succeeds_is_a_failure() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(125));
    assert!(
        world
            .happened()
            .contains("`ping` still fails 2m after the start")
    );
    world.pass(Span::mins(5));
    assert!(world.restarts() >= 1);
}

#[test]
fn dependents_are_started_when_their_dependency_is_ready() {
    let mut first = group(1, &["ping"], 1);
    first.name = crate::GroupName::new("db").unwrap();
    let mut second = group(1, &["ping"], 1);
    second.depends_on = vec![0];
    let mut world = World::new(vec![first, second]);
    world.pass(Span::secs(3));
    assert_eq!(world.starts(), 1);
    let web = crate::MemberId {
        group: 1,
        member: 0,
    };
    let report = world.engine.explain(web, world.now).unwrap();
    assert!(
        report
            .summary
            .contains("group db has 0 members ready, 1 needed"),
        "{}",
        report.summary
    );
    world.pass(Span::secs(60));
    assert_eq!(world.starts(), 2);
}

#[test]
fn a_crash_loop_at_the_start_spends_no_restart_of_a_sick_member() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world.dies_after.insert(World::id(0), (Span::secs(3), 1));
    world.pass(Span::secs(40));
    world.dies_after.clear();
    world.pass(Span::mins(2));
    assert_eq!(world.health(0), "healthy");
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(2));
    assert_eq!(world.restarts(), 1);
    assert_eq!(world.health(0), "healthy");
}

#[test]
fn a_dead_member_is_started_again_whatever_the_budget_says() {
    let mut world = healthy_world(4, 1);
    for member in 0..4 {
        world.die(World::id(member), Exit::Signal(9));
    }
    world.pass(Span::secs(2));
    assert_eq!(world.starts(), 8);
    world.pass(Span::secs(60));
    assert_eq!(world.health(0), "healthy");
}

#[test]
fn a_crash_loop_backs_off_gives_up_and_gets_paroles() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world
        .dies_after
        .insert(World::id(0), (Span::millis(500), 1));
    world.pass(Span::mins(11));
    let starts = world.starts();
    assert!((10..=12).contains(&starts), "{starts}");
    assert_eq!(world.life(0), "dead");
    let ledger = world.happened();
    assert!(
        ledger.contains("gave up: 10 starts in 10m did not last"),
        "{ledger}"
    );
    world.pass(Span::mins(24 * 60));
    let paroles = world.starts() - starts;
    assert!(
        (20..=30).contains(&paroles),
        "one an hour in the end: {paroles}"
    );
    world.dies_after.clear();
    world.pass(Span::mins(62));
    assert_eq!(world.health(0), "healthy", "a parole that works ends it");
}

#[test]
fn a_permanent_exit_code_is_final() {
    let mut world = healthy_world(1, 1);
    world.die(World::id(0), Exit::Code(78));
    world.pass(Span::mins(600));
    assert_eq!(world.starts(), 1);
    assert!(world.happened().contains("gave up: it exited with code 78"));
    world.command(0, Command::Reset).unwrap();
    world.pass(Span::mins(1));
    assert_eq!(world.starts(), 2);
}

#[test]
fn what_cannot_be_executed_backs_off_too() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world.cannot_start = true;
    world.pass(Span::mins(20));
    assert!(world.starts() <= 13, "{}", world.starts());
    let ledger = world.happened();
    let first: Vec<&str> = ledger.lines().take(2).collect();
    assert!(
        first[0].ends_with("web-0 no such file: /srv/web"),
        "{ledger}"
    );
    assert!(
        first[1].contains("web-0 no start: backoff"),
        "told once: {ledger}"
    );
    assert!(
        ledger.contains("start: it could not be started: no such file: /srv/web"),
        "{ledger}"
    );
}

#[test]
fn a_job_that_ends_well_did_what_it_was_started_for() {
    let mut plan = group(1, &["ping"], 1);
    plan.policy.restart = RestartType::Transient;
    let mut world = World::new(vec![plan]);
    world.dies_after.insert(World::id(0), (Span::secs(2), 0));
    world.pass(Span::mins(5));
    assert_eq!((world.life(0).as_str(), world.starts()), ("stopped", 1));
    let outcomes: Vec<Outcome> = world
        .entries
        .iter()
        .filter_map(|(_, entry)| {
            if let Entry::Outcome { outcome, .. } = entry {
                Some(*outcome)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Effective]);
    assert_eq!(world.happened(), "");
}

#[test]
fn who_is_not_started_again_by_its_type_is_told_of_when_it_failed() {
    for (restart, exit, told) in [
        (RestartType::Temporary, Exit::Code(3), true),
        (RestartType::Temporary, Exit::Code(0), false),
        (RestartType::Transient, Exit::Code(0), false),
    ] {
        let mut plan = group(1, &["ping"], 1);
        plan.policy.restart = restart;
        let mut world = World::new(vec![plan]);
        world.pass(Span::secs(60));
        world.ledger.clear();
        world.die(World::id(0), exit);
        world.pass(Span::mins(5));
        assert_eq!(world.starts(), 1);
        let ledger = world.happened();
        assert_eq!(!ledger.is_empty(), told, "{ledger}");
        let report = world.engine.explain(World::id(0), world.now).unwrap();
        assert!(
            report.summary.contains("ended by itself"),
            "{}",
            report.summary
        );
        assert!(
            report.summary.contains(restart.as_str()),
            "{}",
            report.summary
        );
    }
}

#[test]
fn starts_that_help_all_day_are_chronic_and_told_once_a_day() {
    let mut world = healthy_world(1, 1);
    for _ in 0..20 {
        world.die(World::id(0), Exit::Code(1));
        world.pass(Span::mins(30));
        assert_eq!(world.health(0), "healthy");
    }
    let ledger = world.happened();
    assert_eq!(
        ledger.matches("was started 12 times in 24h").count(),
        1,
        "{ledger}"
    );
}
