//! Every short incident of small groups: from the beginning each thing that can happen next, and from
//! there each again, to a depth. What was seen before is not looked at twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checkd_core::Span;
use checkd_core::plan::Plan;

use super::arena::Arena;
use super::blow::Blow;
use super::config;
use super::storm::Storm;
use super::watch::Broken;
use super::well::get_well;
use super::world::{Pace, World};

/// What was found in one arena.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Every incident of so many steps was looked at.
    pub(crate) depth: u32,
    pub(crate) states: u64,
    /// Steps from one of these to one of them.
    pub(crate) steps: u64,
    /// Whether no incident leads to another state any more.
    pub(crate) all: bool,
    /// With the faults removed everybody was well within this.
    pub(crate) well_within: Span,
    /// What was met on the way, and at how many steps.
    pub(crate) met: BTreeMap<&'static str, u64>,
    /// How often each invariant was looked at: I1 to I10, from 0.
    pub(crate) looked: [u64; 10],
}

/// A state by how one comes to it first.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    step: u8,
    /// Its first child; they stand together.
    children: u32,
    many: u8,
}

/// An exploration under way.
struct Explorer<'a> {
    arena: &'a Arena,
    seen: BTreeSet<u64>,
    nodes: Vec<Node>,
    found: Found,
}

/// Looks at every incident of at most `depth` steps, or at fewer when there are more than `states`.
pub(crate) fn explore(arena: &Arena, depth: u32, states: u64) -> Result<Found, (Broken, Storm)> {
    let world = begin(arena).map_err(|broken| (broken, storm(arena, Vec::new())))?;
    let mut explorer = Explorer {
        arena,
        seen: BTreeSet::from([world.likeness(arena.loses())]),
        nodes: vec![Node {
            parent: 0,
            step: 0,
            children: 0,
            many: 0,
        }],
        found: Found {
            states: 1,
            ..Found::default()
        },
    };
    while explorer.found.depth < depth && explorer.found.states < states && !explorer.found.all {
        let before = explorer.found.states;
        let layer = explorer.found.depth;
        explorer.walk(0, &world, layer)?;
        explorer.found.depth += 1;
        explorer.found.all = explorer.found.states == before;
    }
    Ok(explorer.found)
}

/// Jitter is one of many that it might be; the explorations try others by other waits.
const SEED: u64 = 1;

fn begin(arena: &Arena) -> Result<World, Broken> {
    let plans: Result<Vec<Arc<Plan>>, _> = arena.configs.iter().map(config::plan).collect();
    let mut world = World::new(plans?, SEED, Pace::StepByStep)?;
    for blow in &arena.before {
        world.strike(blow)?;
    }
    Ok(world)
}

fn storm(arena: &Arena, blows: Vec<Blow>) -> Storm {
    let before = arena.before.iter().copied();
    let blows = before.chain(blows).collect();
    Storm {
        seed: SEED,
        configs: arena.configs.clone(),
        blows,
        pace: Pace::StepByStep,
    }
}

impl Explorer<'_> {
    /// Goes down to the states of the newest layer and looks at what can come of each. States are too
    /// many to be kept; to go there again from the beginning costs as much as to have found them.
    fn walk(&mut self, node: usize, world: &World, down: u32) -> Result<(), (Broken, Storm)> {
        if down == 0 {
            return self.expand(node, world);
        }
        let Some(&Node { children, many, .. }) = self.nodes.get(node) else {
            return Ok(());
        };
        for child in (children as usize..).take(many.into()) {
            let step = self.nodes.get(child).map_or(0, |child| child.step);
            let mut next = world.clone();
            if let Some(blow) = self.arena.steps.get(usize::from(step)) {
                next.strike(blow)
                    .map_err(|broken| self.broken(child, broken))?;
            }
            self.walk(child, &next, down - 1)?;
        }
        Ok(())
    }

    fn expand(&mut self, node: usize, world: &World) -> Result<(), (Broken, Storm)> {
        let (first, parent) = (self.nodes.len(), u32::try_from(node).unwrap_or(u32::MAX));
        for (step, blow) in (0u8..).zip(&self.arena.steps) {
            if !world.can(blow) {
                continue;
            }
            let mut next = world.clone();
            next.watch.met.clear();
            let struck = next.strike(blow);
            self.found.steps += 1;
            for word in &next.watch.met {
                *self.found.met.entry(word).or_default() += 1;
            }
            let new = struck.is_err() || self.seen.insert(next.likeness(self.arena.loses()));
            if !new {
                continue;
            }
            self.nodes.push(Node {
                parent,
                step,
                children: 0,
                many: 0,
            });
            self.found.states += 1;
            let well = struck.and_then(|()| get_well(&mut next));
            let well = well.and_then(|within| next.watch.over(&next.engine).map(|()| within));
            let within = well.map_err(|broken| self.broken(self.nodes.len() - 1, broken))?;
            self.found.well_within = self.found.well_within.max(within);
            let looked = self.found.looked.iter_mut().zip(next.watch.looked);
            for ((sum, after), before) in looked.zip(world.watch.looked) {
                *sum += after - before;
            }
        }
        let many = u8::try_from(self.nodes.len() - first).unwrap_or(u8::MAX);
        if let Some(node) = self.nodes.get_mut(node) {
            node.children = u32::try_from(first).unwrap_or(u32::MAX);
            node.many = many;
        }
        Ok(())
    }

    /// How one comes to a state, as a scenario.
    fn broken(&self, node: usize, broken: Broken) -> (Broken, Storm) {
        let mut blows = Vec::new();
        let mut node = node;
        while let Some(&Node { parent, step, .. }) = self.nodes.get(node).filter(|_| node > 0) {
            blows.extend(self.arena.steps.get(usize::from(step)).copied());
            node = parent as usize;
        }
        blows.reverse();
        (broken, storm(self.arena, blows))
    }
}
