//! End-to-end tests: one binary, one module per subject.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a surprise fails the test"
)]

mod abi;
mod allow;
mod architecture;
mod bad_days;
mod bad_members;
mod bad_plugins;
mod budget;
mod c_door;
mod check_folders;
mod commands;
mod confine;
mod contract;
mod docs;
mod errors;
mod evidence;
mod first_process;
mod garbled;
mod guide;
mod hangs;
mod inspect;
mod keeper;
mod kills;
mod leaving;
mod leftovers;
mod lies;
mod limits;
mod logs;
mod maintenance;
mod members;
mod notify;
mod operations;
#[cfg(feature = "peers")]
mod outage;
mod pair;
mod past;
mod plugin_mistakes;
mod plugins;
mod python;
#[cfg(feature = "peers")]
mod quick_start;
mod refusals;
mod reload;
mod removed;
mod replay;
mod secrets;
mod stall;
mod stamps;
mod strangers;
#[cfg(feature = "peers")]
mod supervise;
mod survival;
#[cfg(feature = "peers")]
mod systemd;
mod trust;
mod unplanned;
mod upgrade;
mod verify;
mod wait;
mod worker_protocol;
#[cfg(feature = "peers")]
mod workers;
