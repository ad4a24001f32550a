//! What the end-to-end tests share: a running checkd, real servers, waiting for conditions.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "this crate is the tests' own: a surprise in it fails a test"
)]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

mod build;
mod checkd;
mod many;
mod processes;
pub mod schema;
mod server;

pub use build::{checkd as checkd_binary, library, venv};
pub use checkd::{Answer, Checkd};
pub use many::{Figures, many};
pub use processes::{alive, children, free_ports, keeper_of, parent, signal, state};
pub use server::{Line, Log};

pub use rustix::process::Signal;

/// The root of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("/"))
}

/// Waits until `condition` gives something, and fails the test with `what` after `limit`.
///
/// This is the one place where a test lets time pass: a condition is polled, a moment is never
/// guessed.
///
/// # Panics
/// When `limit` is over.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Fails the test when `condition` gives something within `span`: for what must not happen.
///
/// # Panics
/// When it happens.
#[track_caller]
pub fn never<T: std::fmt::Debug>(
    what: &str,
    span: Duration,
    mut condition: impl FnMut() -> Option<T>,
) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        if let Some(found) = condition() {
            panic!("{what}: {found:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}
