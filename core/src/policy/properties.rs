//! Random incidents on virtual time; the invariants of policy.md section 10 hold in each of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::sim::{World, group};
use crate::event::{Act, Command, Exit};
use crate::journal::{Entry, Outcome};
use crate::plan;
use crate::policy::Motive;
use crate::{Instant, IntentId, MemberId, Span, Status};

/// One thing that happens to the world, after a wait.
#[derive(Clone, Debug)]
enum Blow {
    Says {
        member: u32,
        check: u32,
        status: Status,
    },
    Dies {
        member: u32,
        code: i32,
    },
    Journal {
        down: bool,
    },
    CannotStart(bool),
    Cures(bool),
    CrashLoops {
        member: u32,
        on: bool,
    },
    Command {
        member: u32,
        command: Command,
    },
    Crash {
        lossy: bool,
    },
    Reload,
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        2 => Just(Status::Pass),
        4 => Just(Status::Fail),
        1 => Just(Status::Warn),
        2 => Just(Status::Unknown),
    ]
}

fn blow(members: u32) -> impl Strategy<Value = Blow> {
    let member = 0..members;
    prop_oneof![
        8 => (member.clone(), 0..2_u32, status())
            .prop_map(|(member, check, status)| Blow::Says { member, check, status }),
        2 => (member.clone(), prop::sample::select(vec![0, 1, 78]))
            .prop_map(|(member, code)| Blow::Dies { member, code }),
        1 => any::<bool>().prop_map(|down| Blow::Journal { down }),
        1 => any::<bool>().prop_map(Blow::CannotStart),
        2 => any::<bool>().prop_map(Blow::Cures),
        1 => (member.clone(), any::<bool>())
            .prop_map(|(member, on)| Blow::CrashLoops { member, on }),
        2 => any::<bool>().prop_map(|lossy| Blow::Crash { lossy }),
        1 => Just(Blow::Reload),
        2 => (member, command()).prop_map(|(member, command)| Blow::Command { member, command }),
    ]
}

fn strategy() -> impl Strategy<Value = plan::Strategy> {
    prop::sample::select(vec![
        plan::Strategy::OneForOne,
        plan::Strategy::OneForAll,
        plan::Strategy::RestForOne,
        plan::Strategy::Rolling,
    ])
}

fn command() -> impl Strategy<Value = Command> {
    let pause = Command::Pause {
        until: Instant(1_900_000),
        reason: "look".into(),
        force: true,
    };
    prop::sample::select(vec![
        Command::Restart { now: false },
        Command::Start,
        Command::Stop,
        pause,
        Command::Resume { force: true },
        Command::Reset,
    ])
}

fn strike(world: &mut World, blow: &Blow) {
    match blow {
        Blow::Says {
            member,
            check,
            status,
        } => world.say(*member, *check, *status),
        Blow::Dies { member, code } => world.die(World::id(*member), Exit::Code(*code)),
        Blow::Journal { down } => world.journal_down = *down,
        Blow::CannotStart(on) => world.cannot_start = *on,
        Blow::Cures(on) => world.cured_by_restart = *on,
        Blow::CrashLoops { member, on: true } => {
            world
                .dies_after
                .insert(World::id(*member), (Span::secs(3), 1));
        }
        Blow::CrashLoops { member, on: false } => {
            world.dies_after.remove(&World::id(*member));
        }
        Blow::Crash { lossy } => world.crash(*lossy),
        Blow::Reload => drop(world.reload(world.engine.plan().groups.clone())),
        // A refusal is an answer too.
        Blow::Command { member, command } => {
            let _answer = world.command(*member, command.clone());
        }
    }
}

/// What every ledger must show, whatever happened.
fn hold(world: &World, max_out: u32) -> Result<(), TestCaseError> {
    let mut open: BTreeMap<MemberId, IntentId> = BTreeMap::new();
    let mut stored: BTreeMap<IntentId, MemberId> = BTreeMap::new();
    let mut automatic: Vec<Instant> = Vec::new();
    let mut motive = Motive::Begin;
    let mut held = false;
    for (at, entry) in &world.entries {
        match entry {
            Entry::Decision {
                explanation,
                intent: Some(_),
                ..
            } => {
                motive = explanation.motive;
                prop_assert!(explanation.readings.iter().all(|reading| reading.open));
                if motive == Motive::Sick {
                    prop_assert_eq!(explanation.verdict, Status::Fail, "I4");
                    automatic.push(*at);
                }
            }
            Entry::Intent { intent, act, .. } => {
                let member = match act {
                    Act::Start { member }
                    | Act::Restart { member, .. }
                    | Act::Stop { member, .. } => *member,
                };
                // The attempt before it is over, or its intent was refused (and is never answered).
                prop_assert!(
                    !open.contains_key(&member),
                    "I1: two attempts on {member:?}"
                );
                prop_assert!(
                    stored.insert(*intent, member).is_none(),
                    "I5: an intent twice"
                );
                if motive == Motive::Sick && held {
                    prop_assert!(open.is_empty(), "I7: a canary beside {open:?}");
                }
                if motive == Motive::Sick {
                    prop_assert!(open.len() < max_out as usize, "I2: {} are out", open.len());
                }
                if !world.refused.contains(intent) {
                    open.insert(member, *intent);
                }
            }
            Entry::Outcome {
                intent, outcome, ..
            } => {
                let member = stored.get(intent).copied();
                prop_assert!(member.is_some(), "I5: an outcome without an intent");
                if world.refused.contains(intent) {
                    // Overtaken by events before the journal could refuse it: nothing was done.
                    prop_assert_eq!(*outcome, Outcome::Withdrawn, "I5: done without its intent");
                } else {
                    prop_assert_eq!(
                        open.remove(&member.unwrap()),
                        Some(*intent),
                        "I5: one outcome"
                    );
                }
                if *outcome == Outcome::Withdrawn && motive == Motive::Sick {
                    automatic.pop();
                }
            }
            Entry::Group { to, .. } => held = *to == "held",
            Entry::Decision { .. }
            | Entry::Run { .. }
            | Entry::Steady { .. }
            | Entry::Transition { .. }
            | Entry::Operator { .. } => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_incident_breaks_an_invariant(
        (members, max_out, blows) in (2..6_u32, 1..3_u32).prop_flat_map(|(members, max_out)| {
            let blows = prop::collection::vec((0..90_u64, blow(members)), 1..40);
            (Just(members), Just(max_out), blows)
        }),
        strategy in strategy(),
    ) {
        let mut plan = group(members, &["ping", "memory"], max_out);
        plan.policy.strategy = strategy;
        let mut world = World::new(vec![plan]);
        for (wait, blow) in &blows {
            world.pass(Span::secs(*wait));
            strike(&mut world, blow);
        }
        hold(&world, max_out)?;

        // I9: with the faults removed, everybody is healthy, stopped as wanted, or given up with a
        // person called, in bounded time: no set of gates locks for ever.
        world.journal_down = false;
        world.cannot_start = false;
        world.dies_after.clear();
        world.says.clear();
        world.pass(Span::mins(150));
        hold(&world, max_out)?;
        for member in 0..members {
            let report = world.engine.explain(World::id(member), world.now).unwrap();
            let given_up = report.given_up.is_some() && report.life != "stopped";
            let stop = |blow: &Blow| matches!(blow, Blow::Command { member: of, command: Command::Stop } if *of == member);
            let by_hand = blows.iter().any(|(_, blow)| stop(blow));
            let stopped = report.life == "stopped" && by_hand;
            let well = report.health == "healthy" || stopped || given_up;
            prop_assert!(well, "I9: {} is {}: {}", report.path, report.life, report.summary);
        }
    }

    /// I6 in its simplest form: the engine is a function of its events and times.
    #[test]
    fn the_same_incident_is_decided_the_same(
        blows in prop::collection::vec((0..60_u64, blow(3)), 1..20)
    ) {
        let run = || {
            let mut world = World::new(vec![group(3, &["ping", "memory"], 1)]);
            for (wait, blow) in &blows {
                world.pass(Span::secs(*wait));
                strike(&mut world, blow);
            }
            world.pass(Span::mins(20));
            format!("{:?}", world.entries)
        };
        prop_assert_eq!(run(), run());
    }
}
