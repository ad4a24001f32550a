//! The tests' checks as a plugin: one line more than linking them in.

mod checks;

checkd_plugin_api::export_plugin!();
