//! An engine as it is written down, so that another one can begin where it stood.
//!
//! All of its state, and of its plan what decisions rest on. Unlike what is kept for the next daemon
//! ([`crate::policy::keep`]) it need not fit another plan or another checkd: it is for a replay, which says
//! so when it cannot read it.

use std::sync::Arc;

use crate::engine::Engine;
use crate::plan::{GroupPlan, Plan};
use crate::policy::State;

/// An engine, written down as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The groups of its plan, without what no decision rests on.
    pub plan: String,
    /// What it knows.
    pub state: String,
}

impl Engine {
    /// Writes down all that it takes to go on from here.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn written(&self) -> serde_json::Result<Written> {
        Ok(Written {
            plan: serde_json::to_string(&self.plan().groups)?,
            state: serde_json::to_string(self.state())?,
        })
    }

    /// The engine that was written down. It knows no more of its plan than its groups.
    ///
    /// # Errors
    /// One line: what does not fit. It may come from a file that anybody wrote.
    pub fn read(written: &Written) -> Result<Self, String> {
        let groups: Vec<GroupPlan> = serde_json::from_str(&written.plan)
            .map_err(|error| format!("its plan cannot be read: {error}"))?;
        let mut state: State = serde_json::from_str(&written.state)
            .map_err(|error| format!("its state cannot be read: {error}"))?;
        let plan = Plan {
            groups,
            ..Plan::default()
        };
        if !state.fits(&plan) {
            return Err("its state is not one of its plan".to_owned());
        }
        Ok(Self::of(Arc::new(plan), state))
    }
}
