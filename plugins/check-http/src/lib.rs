//! Check kind `http`.
//!
#![doc = include_str!("../README.md")]

mod judge;
mod observe;
mod options;
mod request;
mod status;
mod target;
#[cfg(test)]
mod tests;

use checkd_plugin_api::{Check, Context, Descriptor, Problems, Sample, Scope, register_check};

pub use options::Options;
pub use status::Statuses;

use request::Request;

/// One configured use of kind `http`.
#[derive(Debug)]
pub struct Http {
    request: Request,
    status: Statuses,
    contains: Option<String>,
    redirects: u8,
    max_body: usize,
    /// The URL without its query, for messages.
    target: String,
}

impl Check for Http {
    type Options = Options;

    const DESCRIPTOR: Descriptor = Descriptor::new(
        "http",
        "sends an HTTP request and judges status, text and time",
    )
    .scope(Scope::Process)
    .example(include_str!("../example.toml"));

    fn configure(options: Options) -> Result<Self, Problems> {
        let request = Request::new(&options)?;
        Ok(Self {
            target: request.target.to_string(),
            request,
            status: options.status,
            contains: options.contains,
            redirects: options.redirects,
            max_body: usize::try_from(options.max_body.as_bytes()).unwrap_or(usize::MAX),
        })
    }

    async fn run(&mut self, cx: &Context) -> Sample {
        let attempt = observe::Attempt {
            request: &self.request,
            status: &self.status,
            redirects: self.redirects,
            max_body: self.max_body,
        };
        let (observation, led_to) = attempt.observe(cx.deadline()).await;
        let target = match led_to {
            Some(led_to) => format!("{}, redirected to {led_to}", self.target),
            None => self.target.clone(),
        };
        let terms = judge::Terms {
            target: &target,
            status: &self.status,
            contains: self.contains.as_deref(),
            timeout: cx.timeout(),
        };
        judge::judge(&terms, &observation)
    }
}

register_check!(Http);
