//! Check kind `tcp`.
//!
#![doc = include_str!("../README.md")]

mod judge;
mod observe;
mod options;
#[cfg(test)]
mod tests;

use checkd_plugin_api::{Check, Context, Descriptor, Problems, Sample, Scope, register_check};

pub use options::Options;

/// One configured use of kind `tcp`.
#[derive(Debug)]
pub struct Tcp {
    options: Options,
    /// `127.0.0.1:8080`, for messages.
    peer: String,
}

impl Check for Tcp {
    type Options = Options;

    const DESCRIPTOR: Descriptor = Descriptor::new(
        "tcp",
        "connects to a TCP port and, where asked, expects an answer",
    )
    .scope(Scope::Process)
    .example(include_str!("../example.toml"));

    fn configure(options: Options) -> Result<Self, Problems> {
        options.problems().or(())?;
        let brackets = options.host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        let peer = format!("{open}{}{close}:{}", options.host, options.port);
        Ok(Self { options, peer })
    }

    async fn run(&mut self, cx: &Context) -> Sample {
        let attempt = observe::Attempt {
            host: &self.options.host,
            port: self.options.port.get(),
            send: self.options.send.as_deref(),
            expect: self.options.expect.as_deref(),
        };
        let observation = attempt.observe(cx.deadline()).await;
        let terms = judge::Terms {
            peer: &self.peer,
            expect: attempt.expect,
            timeout: cx.timeout(),
        };
        judge::judge(&terms, observation)
    }
}

register_check!(Tcp);
