//! End-to-end tests: one binary, one module per subject.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a surprise fails the test"
)]

mod architecture;
