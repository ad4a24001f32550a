//! Behaviour of the whole engine on virtual time: incidents, and what checkd did about them.

mod by_hand;
mod ledgers;
mod left_alone;
mod sick;
mod signal;
mod starts;
mod table;
mod together;
mod written;

use super::sim::{World, group};
use crate::Span;
use crate::plan::Strategy;

fn healthy_world(members: u32, max_out: u32) -> World {
    let mut world = World::new(vec![group(members, &["ping"], max_out)]);
    world.pass(Span::secs(60));
    for member in 0..members {
        assert_eq!(world.health(member), "healthy");
    }
    world.ledger.clear();
    world
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
