//! Check kind `memory`.
//!
#![doc = include_str!("../README.md")]

mod judge;
mod kept;
mod observe;
mod options;
#[cfg(test)]
mod tests;

use std::path::Path;

use checkd_plugin_api::{Check, Context, Descriptor, Problems, Sample, Scope, register_check};

use judge::{Blind, Observation, judge};
use observe::Proc;
pub use options::Options;

/// One configured use of kind `memory`.
#[derive(Debug)]
pub struct Memory {
    options: Options,
    proc: Proc,
}

impl Check for Memory {
    type Options = Options;

    const DESCRIPTOR: Descriptor = Descriptor::new(
        "memory",
        "compares the memory that a process holds with a limit",
    )
    .scope(Scope::Process)
    .example(include_str!("../example.toml"));

    fn configure(options: Options) -> Result<Self, Problems> {
        options.problems().or(())?;
        Ok(Self {
            options,
            proc: Proc::new(Path::new("/proc")),
        })
    }

    async fn run(&mut self, cx: &Context) -> Sample {
        let observation = match cx.pid() {
            None => Observation::Nothing(Blind::NoProcess),
            Some(pid) if self.options.cumulative => self.proc.tree(pid, || cx.remaining()).await,
            Some(pid) => self.proc.alone(pid),
        };
        judge(
            self.options.max_rss.as_bytes(),
            self.options.cumulative,
            &observation,
        )
    }
}

register_check!(Memory);
