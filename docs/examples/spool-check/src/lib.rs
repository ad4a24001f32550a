//! Check kind `spool`, a plugin.
//!
#![doc = include_str!("../README.md")]

mod judge;
mod observe;
mod options;
#[cfg(test)]
mod tests;

use checkd_plugin_api::{
    BlockingCheck, Context, Descriptor, Problems, Sample, Scope, export_plugin, register_check,
};

pub use options::{Missing, Options};

/// One configured use of kind `spool`.
#[derive(Debug)]
pub struct Spool {
    options: Options,
}

impl BlockingCheck for Spool {
    type Options = Options;

    const DESCRIPTOR: Descriptor = Descriptor::new(
        "spool",
        "counts what waits in a directory, and for how long",
    )
    .scope(Scope::Process)
    .example(include_str!("../example.toml"));

    fn configure(options: Options) -> Result<Self, Problems> {
        options.problems().or(Self { options })
    }

    fn run(&mut self, cx: &Context) -> Sample {
        let seen = observe::observe(&self.options.directory, || cx.remaining());
        judge::judge(&self.options, &seen)
    }
}

register_check!(blocking Spool);
export_plugin!();
