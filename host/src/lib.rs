//! The host: all I/O. What it decides, it asks `checkd-core`.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
mod evidence;
pub mod journal;
pub mod keeper;
mod machine;
pub mod manager;
pub mod notify;
mod open_files;
pub mod plugin;
pub mod points;
pub mod render;
mod replay;
pub mod runner;
pub mod state_dir;
mod wall;
pub mod worker;
