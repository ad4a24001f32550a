//! What is done is written down before, and what cannot be written is not done.

use super::healthy_world;
use crate::event::{Act, Command, Event, Exit};
use crate::journal::{Entry, Outcome};
use crate::policy::sim::{World, group};
use crate::{Span, Status};

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
    // Also in the moment in which it is tried again, before the journal has answered.
    let tried = (0..20_000).find_map(|_| {
        world.pass(Span::millis(1));
        let report = world.engine.explain(World::id(0), world.now).unwrap();
        report.attempt.map(|_| report.summary)
    });
    assert!(
        tried.as_ref().is_some_and(|it| it.contains("disk full")),
        "{tried:?}"
    );
    world.journal_down = false;
    world.pass(Span::mins(1));
    assert_eq!(world.restarts(), 1);
    assert_eq!(world.health(0), "healthy");
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
