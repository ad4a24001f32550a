//! A plugin without a check, for the test that compiles it.

checkd_plugin_api::export_plugin!();
