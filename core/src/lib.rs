//! checkd's pure decisions: from configuration text to a plan, from samples to restarts, and why.
//!
//! Nothing here does I/O, reads a clock, draws a random number, starts a thread or writes a log.
//! Time, chance and facts come in as arguments; effects go out as values. That one property is what
//! makes a restart explainable, a policy testable and an incident replayable, so a lint holds it.
//!
//! Modules, in reading order:

pub mod id;
pub mod time;

mod json;

pub mod sample;

pub mod compose;

pub mod plan;

pub mod diagnostic;

pub mod config;

pub mod schedule;

pub mod event;

pub mod policy;

pub mod journal;

pub mod news;

pub mod report;

pub mod engine;

pub mod replay;

pub use id::{
    CheckKind, CheckName, Generation, GroupName, IntentId, LeafId, MemberId, MemberName, Process,
};
pub use sample::{BLAMED_MAX, Cause, Measurement, Sample, Status};
pub use time::{Instant, Span};
