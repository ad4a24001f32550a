//! Sending one message to one sink: one attempt, within its timeout, with the reason when it fails.

mod alertmanager;
mod command;
mod http;
mod secret;
mod smtp;
mod tls;
mod webhook;

use std::path::Path;

use checkd_core::plan::{SinkPlan, Target};

use super::message::Document;
use super::news::{News, cut};
use secret::Secrets;

/// The longest reason that is kept, in bytes.
const REASON_MAX: usize = 300;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The message.
    pub(crate) document: Document,
    /// For Alertmanager: what began or goes on.
    pub(crate) firing: Vec<News>,
    /// For Alertmanager: what ended, and when.
    pub(crate) over: Vec<(News, i64)>,
}

/// Makes one attempt. What came back, in one line for a person. Paths of the configuration are seen
/// from `base`.
///
/// # Errors
/// One line: why it was not taken, or not in time. It never holds a secret of the configuration.
pub(crate) async fn deliver(
    sink: &SinkPlan,
    parcel: &Parcel,
    base: &Path,
) -> Result<String, String> {
    let mut secrets = Secrets::new(base);
    let attempt = async {
        match &sink.target {
            Target::Webhook(to) => webhook::send(to, parcel, &mut secrets).await,
            Target::Command(words) => command::send(words, parcel, base, sink.timeout).await,
            Target::Smtp(to) => smtp::send(to, parcel, sink.timeout, &mut secrets).await,
            Target::Alertmanager(to) => alertmanager::send(to, parcel, &mut secrets).await,
        }
    };
    let timeout = sink.timeout.as_duration();
    // A command ends itself in time, with all that it started.
    let timeout = match sink.target {
        Target::Command(_) => timeout.saturating_mul(2) + command::PATIENCE,
        Target::Webhook(_) | Target::Smtp(_) | Target::Alertmanager(_) => timeout,
    };
    let outcome = match tokio::time::timeout(timeout, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {}", sink.timeout)),
    };
    let clean = |text: String| cut(&secrets.scrub(&text), REASON_MAX);
    outcome.map(clean).map_err(clean)
}
