//! What many members have together, on virtual time.

use crate::event::{Act, Command};
use crate::plan::{GroupPlan, Scope};
use crate::policy::sim::{World, group};
use crate::{Cause, LeafId, Span, Status};

fn healthy(plan: GroupPlan) -> World {
    let mut world = World::new(vec![plan]);
    world.pass(Span::secs(60));
    world.ledger.clear();
    world
}

fn all_say(world: &mut World, members: u32, status: Status) {
    for member in 0..members {
        world.say(member, 0, status);
    }
}

/// A check that the whole group shares.
fn shared_says(world: &mut World, check: u32, status: Status) {
    let leaf = LeafId {
        group: 0,
        check,
        member: None,
    };
    world.says.insert(leaf, (status, Some(Cause::Refused)));
}

#[test]
fn an_outage_behind_all_members_costs_one_restart() {
    let mut world = healthy(group(8, &["ping"], 2));
    world.cured_by_restart = false;
    all_say(&mut world, 8, Status::Fail);
    world.pass(Span::mins(2));
    all_say(&mut world, 8, Status::Pass);
    world.pass(Span::secs(15));
    for member in 0..8 {
        assert_eq!(
            world.health(member),
            "healthy",
            "web-{member}\n{}",
            world.happened()
        );
    }
    world.pass(Span::mins(20));
    assert_eq!(
        world.restarts(),
        1,
        "the canary alone\n{}",
        world.happened()
    );
    let ledger = world.happened();
    let held = "web held: 4 of 8 members turned bad within 1m; no sick member is restarted but one";
    assert!(ledger.contains(held), "{ledger}");
    assert!(ledger.contains("web not held any more: "), "{ledger}");
    // Why somebody is restarted who should not be is what a reader asks first.
    let canary = "as the canary of the hold, alone";
    assert_eq!(ledger.matches(canary).count(), 1, "{ledger}");
}

#[test]
fn where_a_restart_cures_the_canary_shows_it_and_all_are_cured() {
    let mut world = healthy(group(8, &["ping"], 2));
    all_say(&mut world, 8, Status::Fail);
    world.pass(Span::mins(10));
    assert_eq!(world.restarts(), 8);
    assert!(world.most_down <= 2, "through the budget");
    for member in 0..8 {
        assert_eq!(world.health(member), "healthy", "web-{member}");
    }
    let ledger = world.happened();
    assert!(
        ledger.contains("not held any more: the restart of web-"),
        "{ledger}"
    );
}

#[test]
fn a_canary_that_does_not_help_is_the_only_one_for_long() {
    let mut world = healthy(group(8, &["ping"], 2));
    world.cured_by_restart = false;
    all_say(&mut world, 8, Status::Fail);
    world.pass(Span::mins(7));
    assert_eq!(world.restarts(), 1);
    world.pass(Span::mins(5));
    assert_eq!(
        world.restarts(),
        2,
        "five minutes after the first was futile"
    );
    world.pass(Span::mins(7));
    assert_eq!(world.restarts(), 2, "then ten");
}

/// Whoever knows that restarting helps need not wait for a canary, and the budget still holds.
#[test]
fn a_person_who_resets_a_member_ends_the_hold() {
    let mut world = healthy(group(8, &["ping"], 2));
    all_say(&mut world, 8, Status::Fail);
    world.pass(Span::secs(30));
    let report = world.engine.explain(World::id(3), world.now).unwrap();
    let offered = report.can_do.iter().map(|it| it.command.as_str());
    assert!(
        offered.clone().any(|it| it == "checkd reset web"),
        "{:?}",
        offered.collect::<Vec<_>>()
    );
    assert_eq!(world.restarts(), 0);
    let answers: Vec<String> = (0..8)
        .map(|member| world.command(member, Command::Reset).unwrap())
        .collect();
    // Whoever asks is told, once: the first one does it.
    let told = |answer: &&String| answer.starts_with("the hold of web is over; ");
    assert_eq!(answers.iter().filter(told).count(), 1, "{answers:?}");
    // The others have been in trouble for a while: that is what was decided on, and no news.
    world.pass(Span::mins(4));
    assert_eq!(world.restarts(), 8, "{}", world.happened());
    assert!(world.most_down <= 2, "through the budget");
    let ledger = world.happened();
    assert!(
        ledger.contains("web not held any more: ended by "),
        "{ledger}"
    );
    assert_eq!(ledger.matches("web held: ").count(), 1, "{ledger}");
}

#[test]
fn while_a_dependency_is_down_nobody_is_killed() {
    let mut plan = group(4, &["ping", "database"], 2);
    plan.hold_nothing_but_dependencies();
    let mut world = healthy(plan);
    world.cured_by_restart = false;
    shared_says(&mut world, 1, Status::Fail);
    all_say(&mut world, 2, Status::Fail);
    world.pass(Span::mins(30));
    assert_eq!(world.restarts(), 0, "{}", world.happened());
    let report = world.engine.explain(World::id(0), world.now).unwrap();
    assert!(
        report
            .summary
            .contains("dependency (the dependency database failed"),
        "{}",
        report.summary
    );
    // It comes back, and with it one of the two; the other one only a restart cures.
    shared_says(&mut world, 1, Status::Pass);
    world.say(0, 0, Status::Pass);
    world.pass(Span::secs(55));
    assert_eq!(
        world.restarts(),
        0,
        "first they get the time to find out by themselves\n{}",
        world.happened()
    );
    world.pass(Span::secs(30));
    let killed: Vec<_> = world
        .acts
        .iter()
        .filter_map(|(_, act)| match act {
            Act::Restart { member, .. } => Some(member.member),
            Act::Start { .. } | Act::Signal { .. } | Act::Stop { .. } => None,
        })
        .collect();
    assert_eq!(killed, [1]);
}

/// A hold asks to be looked at when the calm has lasted, and this one has lasted since the beginning:
/// whoever is woken for what is long over must not take itself for late.
#[test]
fn a_hold_over_calm_members_is_no_stall_of_the_machine() {
    let mut plan = group(4, &["ping", "database"], 2);
    plan.hold_nothing_but_dependencies();
    let mut world = healthy(plan);
    shared_says(&mut world, 1, Status::Fail);
    world.pass(Span::mins(5));
    let ledger = world.happened();
    assert!(ledger.contains("held: the dependency"), "{ledger}");
    let answer = world.command(0, Command::Reset).unwrap();
    assert!(
        answer.starts_with("web stays held: the dependency database fails; "),
        "{answer}"
    );
    assert!(!ledger.contains("stalls"), "{ledger}");
}

#[test]
fn groups_that_need_the_same_are_held_together() {
    let mut groups = Vec::new();
    for name in ["web", "mail"] {
        let mut plan = group(2, &["ping", "database"], 1);
        plan.hold_nothing_but_dependencies();
        plan.name = crate::GroupName::new(name).unwrap();
        groups.push(plan);
    }
    let mut world = World::new(groups);
    world.pass(Span::secs(60));
    world.ledger.clear();
    for group in 0..2 {
        let leaf = LeafId {
            group,
            check: 0,
            member: Some(0),
        };
        world.says.insert(leaf, (Status::Fail, Some(Cause::Wrong)));
    }
    world.pass(Span::secs(40));
    let ledger = world.happened();
    assert!(
        ledger.contains("need the same and failed together"),
        "{ledger}"
    );
}

#[test]
fn a_daemon_that_is_killed_in_a_hold_tries_no_second_canary() {
    for lossy in [false, true] {
        let mut world = healthy(group(8, &["ping"], 2));
        world.cured_by_restart = false;
        all_say(&mut world, 8, Status::Fail);
        world.pass(Span::secs(100));
        assert_eq!(world.restarts(), 1, "the canary is under way");
        world.crash(lossy);
        world.pass(Span::mins(5));
        assert_eq!(world.restarts(), 1, "lossy {lossy}\n{}", world.happened());
        world.crash(lossy);
        world.pass(Span::mins(1));
        assert_eq!(world.restarts(), 1, "lossy {lossy}\n{}", world.happened());
    }
}

#[test]
fn a_small_group_is_helped_one_at_a_time() {
    let mut world = healthy(group(2, &["ping"], 2));
    world.cured_by_restart = false;
    all_say(&mut world, 2, Status::Fail);
    world.pass(Span::mins(6));
    let killed = |world: &World, which: u32| {
        let of = |act: &&(_, Act)| matches!(act.1, Act::Restart { member, .. } if member.member == which);
        world.acts.iter().filter(of).count()
    };
    assert_eq!(
        (killed(&world, 0), killed(&world, 1)),
        (0, 3),
        "{}",
        world.happened()
    );
    world.pass(Span::mins(30));
    assert_eq!(
        (killed(&world, 0), killed(&world, 1)),
        (3, 3),
        "{}",
        world.happened()
    );
}

#[test]
fn who_was_in_trouble_before_brings_no_hold_back() {
    let mut world = healthy(group(4, &["ping"], 1));
    world.cured_by_restart = false;
    for member in 0..3 {
        world.say(member, 0, Status::Fail);
        world.pass(Span::secs(70));
    }
    assert!(
        !world.happened().contains("held:"),
        "one after the other is not together"
    );
}

impl GroupPlan {
    /// Its second check is a dependency, which `live` does not ask.
    pub(crate) fn hold_nothing_but_dependencies(&mut self) {
        use crate::compose::{Complex, Expr};
        self.checks[1].scope = Scope::Dependency;
        let live = Complex {
            text: "ping".to_owned(),
            expr: Expr::Leaf(0),
        };
        self.live.clone_from(&live);
        self.ready.clone_from(&live);
        self.startup = live;
    }
}

#[test]
fn restarts_that_never_last_hold_a_group_unless_that_is_switched_off() {
    for (hold_at, holds) in [(3, true), (u32::MAX, false)] {
        let mut plan = group(3, &["ping"], 3);
        plan.policy.hold_at = hold_at;
        plan.policy.sick_restarts.max = 60;
        plan.policy.sick_backoff.cap = Span::secs(10);
        let mut world = healthy(plan);
        // One after the other, so that nothing turns bad together; and each restart helps for a while.
        for round in 0..24 {
            world.say(round % 3, 0, Status::Fail);
            world.pass(Span::secs(45));
        }
        let ledger = world.happened();
        assert_eq!(ledger.contains("restarts within 10m"), holds, "{ledger}");
    }
}
