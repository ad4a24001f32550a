#![doc = include_str!("../README.md")]

mod check;
mod connect;
mod context;
mod descriptor;
pub mod host;
mod macros;
mod options;
mod panics;
mod problems;
mod sample;
#[doc(hidden)]
pub mod sdk;
mod secret;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod units;

pub use check::{BlockingCheck, Check};
pub use context::Context;
pub use descriptor::{Descriptor, Scope};
pub use problems::{Problem, Problems};
pub use sample::{Cause, Measurement, Sample, Status};
pub use secret::Secret;

/// For the derives of options structs, so that an author needs no dependency of his own:
/// `#[schemars(crate = "checkd_plugin_api::schemars")]`.
pub use schemars;
/// For the derives of options structs, so that an author needs no dependency of his own:
/// `#[serde(crate = "checkd_plugin_api::serde")]`.
pub use serde;

#[doc(hidden)]
pub use {inventory, serde_json};
