//! Half of many members dead and half of them sick at once: what the engine takes for it. Used by the
//! benchmark `scale`, and by a test for what of it can be counted.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a made-up world may stop at a surprise"
)]

pub(crate) mod flood;
pub(crate) mod heap;
