//! Plugins: what can be checked, from where, and the doors through which a run goes.
//!
//! Modules, in reading order: the `protocol` that a worker speaks, the `catalog` of all kinds.

pub mod protocol;

pub(crate) mod builtin;
pub(crate) mod c_door;
pub mod catalog;
pub(crate) mod client;
pub(crate) mod confine;
pub(crate) mod convert;
pub(crate) mod elf;
pub(crate) mod guard;
pub(crate) mod image;
pub mod inspect;
mod leftover;
pub(crate) mod limiter;
pub(crate) mod linked;
pub(crate) mod loader;
pub(crate) mod options;
pub(crate) mod probe;
pub(crate) mod process;
pub mod program;
pub(crate) mod sandbox;
pub(crate) mod secrets;
pub(crate) mod text;
pub(crate) mod trust;
pub mod verify;

pub use catalog::{Catalog, Offer, Plugin, Unavailable};
pub use client::Standing;
pub use protocol::{Problem, Target};

/// What the fuzzer holds the reader to, held with its seeds by an ordinary test.
#[cfg(test)]
#[path = "../../../fuzz/judge.rs"]
mod judge;
