//! Sinks that would never be told anything, or too late for anybody: warnings.

use crate::Span;
use crate::config::policy::SELDOM_MEANT;
use crate::config::read::Reader;
use crate::config::section::Section;
use crate::diagnostic::{Diagnostic, Place};
use crate::news;
use crate::plan::{SinkPlan, Target, Text};

/// News that is collected, kept apart or tried for longer than this comes too late to be any.
const LATE: Span = Span::mins(24 * 60);
/// Whoever does not answer for so long does not.
const PATIENT: Span = Span::mins(5);
/// What Alertmanager's own address ends with; checkd puts it behind `url`.
const API: [&str; 2] = ["/api/v2/alerts", "/api/v1/alerts"];

pub(super) fn lints(reader: &mut Reader<'_>, section: &Section<'_>, sink: &SinkPlan) {
    never_told(reader, section, sink);
    late(reader, section, sink);
    if let Target::Alertmanager(to) = &sink.target
        && let Text::Plain(url) = &to.url
        && let Some(api) = API
            .into_iter()
            .find(|api| url.trim_end_matches('/').ends_with(api))
        && let Some(place) = section.place("url")
    {
        reader.out.push(
            Diagnostic::warning(
                SELDOM_MEANT,
                format!("alerts of {} would not arrive", section.of),
            )
            .at(place, format!("`{api}` is put behind it once more"))
            .help(format!("leave `{api}` out")),
        );
    }
}

fn never_told(reader: &mut Reader<'_>, section: &Section<'_>, sink: &SinkPlan) {
    let mut never = |key: &str, what: &str, why: &str, help: &str| {
        let Some(place) = section.place(key) else {
            return;
        };
        reader.out.push(
            Diagnostic::warning(SELDOM_MEANT, format!("{} {what}", section.of))
                .at(place, why.to_owned())
                .help(help.to_owned()),
        );
    };
    let any = |which: &dyn Fn(&str) -> bool| sink.events.iter().any(|event| which(event));
    if !any(&|event| event != news::END) {
        never(
            "events",
            "is never told anything",
            "`recovered` goes only to who was told of what is over",
            "name beside it what is to be told first, such as `\"given_up\"`",
        );
    } else if matches!(sink.target, Target::Alertmanager(_))
        && !any(&|event| news::PROBLEMS.contains(&event))
    {
        never(
            "events",
            "never makes an alert",
            "none of these lasts until something ends it",
            "name one that does, such as `\"given_up\"`, or choose another `kind`",
        );
    }
    if sink.groups.as_ref().is_some_and(Vec::is_empty) {
        never(
            "groups",
            "is told nothing of any group",
            "names no group, so only this machine's own news is left",
            "take the key out to be told of every group",
        );
    }
}

/// News that comes when nobody can use it any more.
fn late(reader: &mut Reader<'_>, section: &Section<'_>, sink: &SinkPlan) {
    let mut seldom = |place: Option<Place>, key: &str, words: String, so: &str| {
        let Some(place) = place else { return };
        reader.out.push(
            Diagnostic::warning(
                SELDOM_MEANT,
                format!("`{key}` of {} is seldom meant so", section.of),
            )
            .at(place, words)
            .note(so.to_owned()),
        );
    };
    for (key, span, most, so) in [
        (
            "collect",
            sink.collect,
            LATE,
            "news waits so long before it is sent",
        ),
        (
            "min_interval",
            sink.min_interval,
            LATE,
            "after each message the next waits so long",
        ),
        (
            "timeout",
            sink.timeout,
            PATIENT,
            "while one attempt waits, no other news is sent",
        ),
    ] {
        if span > most {
            seldom(
                section.place(key),
                key,
                format!("{span}, more than {most}"),
                so,
            );
        }
    }
    if sink.retry_for < sink.timeout {
        seldom(
            section
                .place("retry_for")
                .or_else(|| section.place("timeout")),
            "retry_for",
            format!("{}, and `timeout` is {}", sink.retry_for, sink.timeout),
            "what could not be sent at the first attempt is dropped",
        );
    }
}
