//! From what one attempt saw to a sample; pure, so that tables can test it.

use std::io;
use std::time::Duration;

use checkd_plugin_api::units::{Size, Span};
use checkd_plugin_api::{Cause, Sample};
use hyper::StatusCode;

use crate::status::Statuses;

/// What one attempt saw.
#[derive(Debug)]
pub(crate) enum Observation {
    /// A whole answer, or as much of it as may be read.
    Answered(Answer),
    /// The time was up.
    NotInTime(Stage),
    /// The resolver knows no address for the host.
    Unresolved(io::Error),
    /// The connection did not come to stand.
    NotConnected(io::Error),
    /// The server closed or broke off before it answered.
    Closed,
    /// What came is not HTTP.
    Broken(String),
    /// The answer ended before its end.
    BrokenOff(String),
    /// More redirects than are followed.
    RedirectedTooOften(u8),
    /// A redirect to where no request can go yet.
    RedirectedToHttps,
    /// A redirect to what is no URL.
    RedirectedAstray(String),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    /// Whether the body goes on after what was read.
    pub(crate) cut: bool,
}

/// How far an attempt has come, for when its time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No connection yet.
    Connecting,
    /// No whole head of an answer yet.
    Waiting,
    /// So many bytes of the body, and no end.
    Reading(usize),
}

/// What an answer is judged by, and what the sample says beside it.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// Who was asked, for a person.
    pub(crate) target: &'a str,
    /// Statuses that are fine.
    pub(crate) status: &'a Statuses,
    /// Must stand in the body.
    pub(crate) contains: Option<&'a str>,
    /// How long the attempt was allowed to take.
    pub(crate) timeout: Duration,
}

/// Judges one attempt.
pub(crate) fn judge(terms: &Terms<'_>, observation: &Observation) -> Sample {
    let target = terms.target;
    let within = Span::millis(u64::try_from(terms.timeout.as_millis()).unwrap_or(u64::MAX));
    let wrong = |what: String| Sample::fail(Cause::Wrong, format!("{what}, {target}"));
    let late = |what: String| Sample::fail(Cause::Timeout, format!("{what}, {target}"));
    match observation {
        Observation::Answered(answer) => answered(terms, answer),
        Observation::NotInTime(Stage::Connecting) => late(format!("no connection within {within}")),
        Observation::NotInTime(Stage::Waiting) => late(format!("no answer within {within}")),
        Observation::NotInTime(Stage::Reading(bytes)) => late(format!(
            "the answer did not end within {within} ({bytes} bytes of body came)"
        )),
        Observation::Unresolved(error) => Sample::unknown(
            Cause::Misconfigured,
            format!("no address known for the host: {}, {target}", plain(error)),
        ),
        Observation::NotConnected(error) => Sample::not_connected(error, target),
        Observation::Closed => Sample::fail(
            Cause::Refused,
            format!("closed without an answer, {target}"),
        ),
        Observation::Broken(why) => wrong(format!("the answer is not HTTP ({why})")),
        Observation::BrokenOff(why) => wrong(format!("the answer broke off ({why})")),
        Observation::RedirectedTooOften(1) => wrong("more than 1 redirect".to_owned()),
        Observation::RedirectedTooOften(most) => wrong(format!("more than {most} redirects")),
        Observation::RedirectedToHttps => Sample::unknown(
            Cause::Misconfigured,
            format!("redirected to `https://`, which is not offered yet, {target}"),
        ),
        Observation::RedirectedAstray(why) => wrong(format!("redirected to something that {why}")),
    }
}

fn answered(terms: &Terms<'_>, answer: &Answer) -> Sample {
    let Terms { target, status, .. } = terms;
    let found = named(answer.status);
    let sample = if !status.take(answer.status.as_u16()) {
        Sample::fail(Cause::Wrong, format!("{found}, not {status}, {target}"))
    } else if let Some(text) = terms
        .contains
        .filter(|text| !has(&answer.body, text.as_bytes()))
    {
        let read = Size::bytes(answer.body.len() as u64);
        let place = if answer.cut {
            format!("first {read} of the body")
        } else {
            "body".to_owned()
        };
        Sample::fail(
            Cause::Wrong,
            format!(
                "{found}, but no `{}` in the {place}, {target}",
                text.escape_debug()
            ),
        )
    } else {
        Sample::pass(found)
    };
    sample
        .measure("status", f64::from(answer.status.as_u16()), "")
        .measure(
            "body",
            f64::from(u32::try_from(answer.body.len()).unwrap_or(u32::MAX)),
            "B",
        )
}

/// `503 Service Unavailable`, or `599` where nobody gave it a name.
fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_str()),
        None => status.as_str().to_owned(),
    }
}

fn has(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len().max(1)).any(|window| window == text)
}

/// The error's words as the house writes them: lower case, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}
