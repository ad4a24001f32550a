//! Storms: random configurations under random blows, and what is left of one that breaks something.

use std::fmt::Write as _;
use std::sync::Arc;

use checkd_core::plan::Plan;
use serde_json::Value;

use super::blow::Blow;
use super::chance::Chance;
use super::config;
use super::watch::Broken;
use super::well::get_well;
use super::world::{Pace, World};

/// One incident from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storm {
    pub(crate) seed: u64,
    /// What the daemon begins with, and what it may be reloaded to.
    pub(crate) configs: Vec<Value>,
    pub(crate) blows: Vec<Blow>,
    pub(crate) pace: Pace,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    /// How often each invariant was looked at: I1 to I10, from 0.
    pub(crate) looked: [u64; 10],
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        for (sum, one) in self.looked.iter_mut().zip(other.looked) {
            *sum += one;
        }
    }
}

impl Storm {
    pub(crate) fn random(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut configs = Vec::new();
        let wanted = 1 + usize::from(chance.percent(40)) * 2;
        while configs.len() < wanted {
            let config = config::random(&mut chance);
            if config::plan(&config).is_ok() {
                configs.push(config);
            }
        }
        let many = 5 + chance.below(160);
        let blows = (0..many).map(|_| Blow::random(&mut chance)).collect();
        Self {
            seed,
            configs,
            blows,
            pace: Pace::Flowing,
        }
    }

    /// Lets it happen.
    pub(crate) fn run(&self) -> Result<Seen, Broken> {
        let plans: Result<Vec<Arc<Plan>>, _> = self.configs.iter().map(config::plan).collect();
        let mut world = World::new(plans?, self.seed, self.pace)?;
        for blow in &self.blows {
            world.strike(blow)?;
        }
        get_well(&mut world)?;
        world.replay()?;
        world.watch.over(&world.engine)?;
        Ok(Seen {
            events: world.events,
            looked: world.watch.looked,
        })
    }

    /// The fewest blows that still break the same invariant.
    pub(crate) fn shrunk(mut self, broken: &str) -> Self {
        let which = broken.split(':').next().unwrap_or("").to_owned();
        let breaks = |storm: &Self| storm.run().is_err_and(|it| it.starts_with(&which));
        let mut size = self.blows.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            let mut fewer = false;
            while from < self.blows.len() {
                let mut less = self.clone();
                let end = (from + size).min(less.blows.len());
                let gone: u64 = less.blows.drain(from..end).map(|blow| blow.wait).sum();
                let mut same_time = less.clone();
                if let Some(next) = same_time.blows.get_mut(from) {
                    next.wait += gone;
                }
                match [less, same_time].into_iter().find(breaks) {
                    Some(smaller) => {
                        self = smaller;
                        fewer = true;
                    }
                    None => from += size,
                }
            }
            size = if size == 1 && fewer { 1 } else { size / 2 };
        }
        while self.configs.len() > 1 {
            let mut less = self.clone();
            less.configs.pop();
            if !breaks(&less) {
                break;
            }
            self = less;
        }
        self
    }

    /// As a file that stays.
    pub(crate) fn to_text(&self, broken: &str) -> String {
        let mut text = String::new();
        for line in broken.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "seed {}", self.seed);
        for config in &self.configs {
            let _ = writeln!(text, "config {config}");
        }
        if self.pace == Pace::StepByStep {
            let _ = writeln!(text, "step by step");
        }
        for blow in &self.blows {
            let _ = writeln!(text, "{blow}");
        }
        text
    }

    /// The storm that a file tells.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let mut storm = Self {
            seed: 0,
            configs: Vec::new(),
            blows: Vec::new(),
            pace: Pace::Flowing,
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if line == "step by step" {
                storm.pace = Pace::StepByStep;
            } else if let Some(seed) = line.strip_prefix("seed ") {
                storm.seed = seed.parse().map_err(|_| line.to_owned())?;
            } else if let Some(config) = line.strip_prefix("config ") {
                let config = serde_json::from_str(config).map_err(|it| it.to_string())?;
                storm.configs.push(config);
            } else if !line.trim().is_empty() {
                storm.blows.push(Blow::parse(line).ok_or(line)?);
            }
        }
        Ok(storm)
    }
}
