//! What shows that the policy keeps its promises: storms of random incidents, and the exploration of
//! every short incident of small groups. Used by a test, and by the example `proof` for long runs.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::struct_excessive_bools,
    reason = "a world of switches, struck by one verb at a time; writing to text cannot fail"
)]

pub(crate) mod arena;
pub(crate) mod blow;
pub(crate) mod chance;
pub(crate) mod config;
pub(crate) mod explore;
pub(crate) mod storm;
pub(crate) mod tape;
pub(crate) mod watch;
pub(crate) mod well;
pub(crate) mod world;
