//! For an author's own tests: the contract suite, runs without a host, peers that misbehave.
//!
//! Switch it on for tests alone:
//!
//! ```toml
//! [dev-dependencies]
//! checkd-plugin-api = { version = "1", features = ["testkit"] }
//! ```
//!
//! The suite speaks to a check through a [`Subject`], so the very same clauses hold for a check that
//! is linked in, that was loaded from a library, and that runs in a worker process.

mod clauses;
mod contract;
mod linked;
mod peers;
mod subject;
#[cfg(test)]
mod tests;

pub use contract::{Broken, CLAUSES, Clause, Contract, Outcome};
pub use linked::{Linked, contract, contract_blocking};
pub use peers::{ClosedPort, DrippingPeer, SilentPeer};
pub use subject::{Subject, SubjectInstance};

/// Options in a test: `json!({ "port": 80 })`.
pub use serde_json::{Value, json};

use std::time::Duration;

use crate::Context;
use crate::host::Request;

/// A request about a member that is this test's own process: group `shop`, member `shop-0`.
#[must_use]
pub fn request() -> Request {
    Request {
        group: "shop".to_owned(),
        member: Some("shop-0".to_owned()),
        index: Some(0),
        pid: Some(std::process::id()),
        port: Some(8100),
    }
}

/// A context for one run about [`request`] that begins now.
#[must_use]
pub fn context(timeout: Duration) -> Context {
    Context::new(request(), timeout)
}
