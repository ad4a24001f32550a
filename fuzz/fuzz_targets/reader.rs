//! Hostile bytes for what reads a worker: the files of the host themselves, without the rest of it.
#![no_main]
#![expect(dead_code, reason = "the host uses more of these files than this does")]

#[path = "../../host/src/plugin/protocol/mod.rs"]
mod protocol;
#[path = "../../host/src/plugin/text/mod.rs"]
mod text;

#[path = "../judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::read(bytes));
