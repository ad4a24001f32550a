//! From what one attempt saw to a sample; pure, so that tables can test it.

use std::io;
use std::time::Duration;

use checkd_plugin_api::units::Span;
use checkd_plugin_api::{Cause, Sample};

/// What one attempt saw.
#[derive(Debug)]
pub(crate) enum Observation {
    /// The connection stands, and no more was asked.
    Connected,
    /// The text that was waited for has come.
    Heard,
    /// The resolver knows no address for the name.
    Unresolved(io::Error),
    /// The connection did not come to stand.
    NotConnected(io::Error),
    /// The time was up before the connection stood.
    NotConnectedInTime,
    /// The time was up, with so many bytes received, none of them the right ones.
    NotHeardInTime(usize),
    /// The peer closed or broke off after so many bytes without the text.
    Ended(usize, Option<io::Error>),
    /// The peer sent more than is read, without the text.
    TooLong(usize),
}

/// What the sample says beside the observation itself.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// Who was tried, for a person.
    pub(crate) peer: &'a str,
    /// The text that was waited for.
    pub(crate) expect: Option<&'a str>,
    /// How long the attempt was allowed to take.
    pub(crate) timeout: Duration,
}

/// Judges one attempt.
pub(crate) fn judge(terms: &Terms<'_>, observation: Observation) -> Sample {
    let peer = terms.peer;
    let within = Span::millis(u64::try_from(terms.timeout.as_millis()).unwrap_or(u64::MAX));
    let text = || format!("`{}`", terms.expect.unwrap_or_default().escape_debug());
    match observation {
        Observation::Connected => Sample::pass(format!("connected, {peer}")),
        Observation::Heard => Sample::pass(format!("answered with {}, {peer}", text())),
        Observation::Unresolved(error) => Sample::unknown(
            Cause::Misconfigured,
            format!("no address known for {peer}: {}", plain(&error)),
        ),
        Observation::NotConnected(error) => Sample::not_connected(&error, peer),
        Observation::NotConnectedInTime => Sample::fail(
            Cause::Timeout,
            format!("no connection within {within}, {peer}"),
        ),
        Observation::NotHeardInTime(0) => Sample::fail(
            Cause::Timeout,
            format!(
                "connected, then silent: no {} within {within}, {peer}",
                text()
            ),
        ),
        Observation::NotHeardInTime(received) => Sample::fail(
            Cause::Timeout,
            format!(
                "no {} within {within} ({received} bytes came), {peer}",
                text()
            ),
        ),
        Observation::Ended(received, None) => Sample::fail(
            Cause::Wrong,
            format!("closed after {received} bytes without {}, {peer}", text()),
        ),
        Observation::Ended(received, Some(error)) => Sample::fail(
            Cause::Wrong,
            format!(
                "broke off after {received} bytes: {}, {peer}",
                plain(&error)
            ),
        ),
        Observation::TooLong(received) => Sample::fail(
            Cause::Wrong,
            format!("sent {received} bytes without {}, {peer}", text()),
        ),
    }
}

/// The error's words as the house writes them: lower case, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}
