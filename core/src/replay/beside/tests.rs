//! Histories under the plan of then and under others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Said, beside};
use crate::event::{Command, Effect, Exit};
use crate::journal::Entry;
use crate::plan::{GroupPlan, Limit, Plan};
use crate::policy::Motive;
use crate::policy::sim::{World, group};
use crate::{MemberId, Span, Status};

/// What is decided by only one of the two, by members, and how much is decided by both: starts and restarts
/// of the policy's own.
#[derive(Debug, Default, PartialEq)]
struct Compared {
    both: usize,
    then: Vec<u32>,
    other: Vec<u32>,
    why_not: Vec<String>,
    /// Whether all that they said is the same, to the letter.
    same: bool,
}

fn compare(world: &mut World, plan: Vec<GroupPlan>) -> Compared {
    let (engine, _, inputs) = world.told.take().expect("it was written down");
    let inputs: Vec<_> = inputs
        .into_iter()
        .map(|it| (it.clone(), Some(it)))
        .collect();
    let members: BTreeMap<MemberId, MemberId> =
        engine.plan().members().map(|id| (id, id)).collect();
    let plan = Arc::new(Plan {
        groups: plan,
        ..Plan::default()
    });
    let began = world.now;
    let (mut then, mut other, mut why_not) = (Vec::new(), Vec::new(), Vec::new());
    let mut words = [String::new(), String::new()];
    beside(engine, plan, began, &inputs, &members, |at, said| {
        let [of_then, of_other] = &mut words;
        let (into, words, effect) = match said {
            Said::Then(effect) => (&mut then, of_then, effect),
            Said::Other(effect) => (&mut other, of_other, effect),
            Said::Not(_, why) => return why_not.push(why.to_owned()),
        };
        words.push_str(&format!("{at:?} {effect:?}\n"));
        if let Effect::Record(Entry::Decision {
            member,
            step,
            intent: Some(_),
            explanation,
            ..
        }) = effect
            && matches!(explanation.motive, Motive::Sick | Motive::Dead)
        {
            into.push((at, member.member, *step));
        }
    });
    let only = |these: &[(crate::Instant, u32, crate::policy::Step)],
                those: &[(crate::Instant, u32, crate::policy::Step)]| {
        let only = these.iter().filter(|act| !those.contains(act));
        only.map(|(_, member, _)| *member).collect::<Vec<_>>()
    };
    Compared {
        both: then.iter().filter(|act| other.contains(act)).count(),
        then: only(&then, &other),
        other: only(&other, &then),
        why_not,
        same: words[0] == words[1],
    }
}

fn healthy(plan: &GroupPlan) -> World {
    let mut world = World::new(vec![plan.clone()]);
    world.pass(Span::mins(2));
    world.write_down();
    world
}

/// Two sick at once, of whom one waits for the budget.
fn sick(plan: &GroupPlan) -> World {
    let mut world = healthy(plan);
    world.say(0, 0, Status::Fail);
    world.say(1, 0, Status::Fail);
    world.pass(Span::mins(10));
    assert_eq!(world.restarts(), 2, "{}", world.happened());
    world
}

/// One that no restart helps, until it is given up.
fn incurable(plan: &GroupPlan) -> World {
    let mut world = healthy(plan);
    world.cured_by_restart = false;
    world.say(0, 0, Status::Fail);
    world.pass(Span::mins(60));
    world
}

/// One that dies again and again, until it is given up, and comes back after hours.
fn dying(plan: &GroupPlan) -> World {
    let mut world = healthy(plan);
    world.dies_after.insert(World::id(1), (Span::secs(2), 1));
    world.die(World::id(1), Exit::Signal(9));
    world.pass(Span::mins(60));
    world.dies_after.clear();
    world.pass(Span::mins(90));
    world
}

/// All of them sick at once: a hold, a canary that helps, and the rest.
fn held(plan: &GroupPlan) -> World {
    let mut world = healthy(plan);
    for member in 0..4 {
        world.say(member, 0, Status::Fail);
    }
    world.pass(Span::mins(20));
    world
}

/// People who do things, a daemon that stands still, a journal that refuses.
fn eventful(plan: &GroupPlan) -> World {
    let mut world = sick(plan);
    world.command(2, Command::Restart { now: false }).unwrap();
    world.pass(Span::mins(3));
    world.command(3, Command::Stop).unwrap();
    world.pass(Span::secs(30));
    world.say(0, 0, Status::Fail);
    world.freeze(Span::secs(20));
    world.pass(Span::secs(40));
    world.journal_down = true;
    world.pass(Span::mins(1));
    world.journal_down = false;
    world.command(3, Command::Start).unwrap();
    world.command(0, Command::Reset).unwrap();
    world.pass(Span::mins(20));
    world.say(1, 0, Status::Unknown);
    world.die(World::id(2), Exit::Code(1));
    world.pass(Span::mins(20));
    world
}

#[test]
fn under_the_same_plan_all_is_the_same() {
    let plan = group(4, &["ping"], 1);
    for (name, history) in [
        ("sick", sick as fn(&GroupPlan) -> World),
        ("incurable", incurable),
        ("dying", dying),
        ("held", held),
        ("eventful", eventful),
    ] {
        let mut world = history(&plan);
        let compared = compare(&mut world, vec![plan.clone()]);
        let both = compared.both;
        assert_eq!(
            compared,
            Compared {
                both,
                same: true,
                ..Compared::default()
            },
            "{name}: {}",
            world.happened()
        );
        assert!(both >= 2, "{name}: {both}");
    }
}

/// A worker is blamed, ending it does not help, and then its member is restarted.
fn signalled(plan: &GroupPlan) -> World {
    let mut world = healthy(plan);
    world.cured_by_signal = false;
    world.blame(0, 0, 4711);
    world.pass(Span::mins(10));
    assert_eq!(world.restarts(), 1, "{}", world.happened());
    world
}

#[test]
fn a_step_before_a_restart_is_shared_and_its_lack_is_seen() {
    let plain = group(4, &["ping"], 1);
    let mut careful = plain.clone();
    careful.policy.signal = Some("TERM".to_owned());
    let compared = compare(&mut signalled(&careful), vec![careful.clone()]);
    assert!(compared.same && compared.both == 2, "{compared:?}");
    // Without it the restart comes when the signal did.
    let compared = compare(&mut signalled(&careful), vec![plain.clone()]);
    assert_eq!(compared.other, [0], "{compared:?}");
    let compared = compare(&mut signalled(&plain), vec![careful]);
    assert_eq!((compared.then, compared.other), (vec![0], vec![0]));
}

#[test]
fn another_budget_is_seen() {
    let (one, two) = (group(4, &["ping"], 1), group(4, &["ping"], 2));
    // Of two that are sick at once the second need not have waited.
    let compared = compare(&mut sick(&one), vec![two.clone()]);
    assert_eq!(
        (compared.then.len(), compared.other.len()),
        (1, 1),
        "{compared:?}"
    );
    assert_eq!(compared.then, compared.other);
    // And where it did not wait, it would have had to.
    let compared = compare(&mut sick(&two), vec![one]);
    assert_eq!((compared.then.len(), compared.both), (1, 1), "{compared:?}");
    assert!(compared.other.is_empty(), "{compared:?}");
    assert!(compared.why_not[0].contains("budget"), "{compared:?}");
}

#[test]
fn another_limit_of_giving_up_is_seen() {
    let usual = group(4, &["ping"], 1);
    let mut other = usual.clone();
    other.policy.futile_max = 1;
    let compared = compare(&mut incurable(&usual), vec![other.clone()]);
    assert_eq!((compared.both, compared.then), (1, vec![0, 0]));
    assert!(
        compared.why_not[0].contains("given up"),
        "{:?}",
        compared.why_not
    );
    // The other way round it goes on where it was given up, once: what would have come of that nobody knows.
    let compared = compare(&mut incurable(&other), vec![usual.clone()]);
    assert_eq!((compared.both, compared.other), (1, vec![0]));

    let mut other = usual.clone();
    other.policy.dead_starts = Limit {
        max: 3,
        ..other.policy.dead_starts
    };
    let compared = compare(&mut dying(&usual), vec![other]);
    assert!(compared.then.len() >= 5, "{compared:?}");
    assert!(
        compared.why_not[0].contains("given up"),
        "{:?}",
        compared.why_not
    );
}

#[test]
fn another_hold_is_seen() {
    let usual = group(4, &["ping"], 1);
    let mut other = usual.clone();
    other.policy.hold_at = 100;
    let compared = compare(&mut held(&usual), vec![other]);
    // The first of them is restarted at once, and not as a canary a minute later.
    assert!(!compared.other.is_empty(), "{compared:?}");
}
