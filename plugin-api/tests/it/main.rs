//! The public surface from outside: what an author writes, and what a host calls.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of the test functions"
)]

mod author;
mod checks;
mod contract;
mod door;
mod loaded;
