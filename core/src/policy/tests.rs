//! Behaviour of the whole engine on virtual time: incidents, and what checkd did about them.

mod by_hand;
mod ledgers;
mod table;

use std::collections::VecDeque;
use std::sync::Arc;

use super::sim::{World, group};
use super::state::PORTION;
use crate::compose::Complex;
use crate::engine::Engine;
use crate::event::{Act, Command, Effect, Event, Exit, Window};
use crate::journal::{Entry, Outcome};
use crate::plan::{Mode, Plan, RestartType, Strategy};
use crate::{Instant, IntentId, Span, Status};

fn healthy_world(members: u32, max_out: u32) -> World {
    let mut world = World::new(vec![group(members, &["ping"], max_out)]);
    world.pass(Span::secs(60));
    for member in 0..members {
        assert_eq!(world.health(member), "healthy");
    }
    world.ledger.clear();
    world
}

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
    assert!(waiting.labels.contains(&"waiting".to_owned()));
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
fn nothing_is_done_that_cannot_be_written_down() {
    let mut world = healthy_world(2, 1);
    world.journal_down = true;
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(10));
    assert_eq!(world.restarts(), 0);
    assert!(
        !world.happened().contains("web-0 restart: "),
        "nothing is told that never happens"
    );
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    let gate = report
        .gates
        .iter()
        .find(|gate| gate.gate == "journal")
        .unwrap();
    assert!(gate.numbers.contains("disk full"), "{}", gate.numbers);
    world.journal_down = false;
    world.pass(Span::mins(1));
    assert_eq!(world.restarts(), 1);
    assert_eq!(world.health(0), "healthy");
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
fn every_act_has_its_intent_before_it_and_an_outcome_after() {
    let mut world = healthy_world(4, 2);
    world.say(0, 0, Status::Fail);
    world.die(World::id(1), Exit::Code(3));
    world.pass(Span::mins(10));
    let (mut intents, mut outcomes) = (Vec::new(), Vec::new());
    for (_, entry) in &world.entries {
        if let Entry::Intent { intent, .. } = entry {
            intents.push(*intent);
        }
        if let Entry::Outcome {
            intent, outcome, ..
        } = entry
        {
            assert!(
                intents.contains(intent),
                "an outcome comes after its intent"
            );
            outcomes.push((*intent, *outcome));
        }
    }
    assert_eq!(intents.len(), 6);
    for intent in intents {
        let of: Vec<_> = outcomes.iter().filter(|(i, _)| *i == intent).collect();
        assert_eq!(of.len(), 1, "{intent:?}");
        assert_eq!(of[0].1, Outcome::Effective);
    }
    assert!(matches!(world.acts[0].1, Act::Start { .. }));
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
    assert!(report.labels.contains(&"flapping".to_owned()));
    world.pass(Span::mins(10));
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(!report.labels.contains(&"flapping".to_owned()));
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

fn in_vain(strategy: Strategy) -> World {
    let mut world = in_vain_until(strategy, "restarted together");
    world.cured_by_restart = true;
    world
}

/// `web-1` and `web-2` are restarted and do not get better, until something with these words happens.
fn in_vain_until(strategy: Strategy, words: &str) -> World {
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
fn that_nothing_can_be_done_is_told_once_and_so_is_its_end() {
    let mut world = healthy_world(2, 1);
    world.journal_down = true;
    world.die(World::id(0), Exit::Code(1));
    world.pass(Span::secs(8));
    assert!(!world.happened().contains("the journal cannot"));
    world.pass(Span::mins(5));
    let ledger = world.happened();
    assert_eq!(
        ledger.matches("the journal cannot be written").count(),
        1,
        "{ledger}"
    );
    world.journal_down = false;
    world.pass(Span::mins(1));
    let ledger = world.happened();
    assert_eq!(ledger.matches("takes intents again").count(), 1, "{ledger}");
    assert_eq!(world.health(0), "healthy");
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

/// A group whose program on disk is broken: whoever is started again dies at once.
fn broken_deploy(strategy: Strategy) -> World {
    let mut plan = group(6, &["ping"], 1);
    plan.policy.strategy = strategy;
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    for member in 0..6 {
        world
            .dies_after
            .insert(World::id(member), (Span::secs(1), 1));
    }
    world.acts.clear();
    world.ledger.clear();
    world
}

fn healthy_of(world: &World, members: u32) -> usize {
    (0..members)
        .filter(|&member| world.health(member) == "healthy")
        .count()
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

/// A journal that takes back its word is believed as little as one that says it twice: the act is
/// under way, and another one beside it would be a second attempt on the same member.
#[test]
fn a_refusal_after_the_intent_was_stored_changes_nothing() {
    let mut world = World::new(vec![group(1, &["ping"], 1)]);
    world.pass(Span::mins(2));
    let asked = world.command(0, Command::Restart { now: true });
    assert!(asked.is_ok(), "{asked:?}");
    world.pass(Span::millis(50));
    let under_way = world.engine.attempts();
    let intent = *under_way.first().unwrap();
    let reason = "late".to_owned();
    world.event(&Event::IntentRefused { intent, reason });
    assert_eq!(world.engine.attempts(), under_way);
    world.pass(Span::mins(2));
    assert_eq!((world.health(0).as_str(), world.restarts()), ("healthy", 1));
}
