//! What checkd itself calls: the registry, instances without their types, runs.
//!
//! An author needs nothing of this. There are two levels: [`Live`] is one configured check that can be
//! run again and again, whatever happens to its runs; [`Registration::configure`] gives the bare
//! [`Instance`].

mod live;
mod pool;
mod registry;
pub(crate) mod run;
#[cfg(test)]
mod tests;
mod thread_state;

pub use live::Live;
pub(crate) use live::gone;
pub use pool::BlockingPool;
pub(crate) use pool::{Answer, Job};
pub use registry::{
    AsyncInstance, BlockingInstance, Configured, Instance, KindFacts, PluginFacts, Registration,
    Request, describe, registered,
};
pub use run::{run_async, run_blocking};
pub(crate) use thread_state::ThreadId;
