//! Who is told what and when, on a clock that the tests hold.

use checkd_core::news::{Role, Urgency};
use checkd_core::plan::{HttpTarget, SinkPlan, Target, Text};
use checkd_core::{Instant, Span};

use super::super::news::News;
use super::{Batch, Book, Change, QUEUE_MAX, Said, before};

const START: Instant = Instant(1_000_000);
const WALL: i64 = 1_795_176_000_000;

fn http() -> HttpTarget {
    HttpTarget {
        url: Text::Plain("http://127.0.0.1:9/".to_owned()),
        headers: std::collections::BTreeMap::new(),
        login: None,
        ca_file: None,
    }
}

fn sink(name: &str) -> SinkPlan {
    SinkPlan {
        name: name.to_owned(),
        target: Target::Webhook(http()),
        events: ["incident", "given_up", "blind", "restart", "recovered"]
            .map(str::to_owned)
            .to_vec(),
        groups: None,
        collect: Span::secs(30),
        min_interval: Span::mins(1),
        timeout: Span::secs(10),
        retry_for: Span::mins(60),
    }
}

fn alerts(name: &str) -> SinkPlan {
    SinkPlan {
        target: Target::Alertmanager(http()),
        collect: Span::secs(1),
        min_interval: Span::ZERO,
        ..sink(name)
    }
}

fn book(sinks: &[SinkPlan]) -> Book {
    Book::open(sinks, Vec::new(), Vec::new(), START, WALL)
}

fn news(event: &str, role: Role, member: u32, incident: Option<u64>, at: Instant) -> News {
    News {
        at_ms: WALL + i64::try_from(at.since(START).0).unwrap_or(0),
        event: event.to_owned(),
        role,
        urgency: Urgency::Critical,
        headline: event.to_owned(),
        group: Some("web".to_owned()),
        member: Some(format!("web-{member}")),
        plugin: None,
        text: "it is so".to_owned(),
        incident,
    }
}

fn after(span: Span) -> Instant {
    START + span
}

/// The events of a batch, in their order.
fn events(batch: &Batch) -> Vec<&str> {
    let rows = batch.rows.iter();
    rows.map(|row| row.news.event.as_str()).collect()
}

/// The one batch that is due.
fn only(mut batches: Vec<Batch>) -> Batch {
    assert_eq!(batches.len(), 1, "{batches:?}");
    batches.remove(0)
}

#[test]
fn an_outage_is_one_message() {
    let mut book = book(&[sink("pager")]);
    for member in 0..500 {
        let at = after(Span::millis(u64::from(member) * 20));
        let one = news(
            "given_up",
            Role::Problem,
            member,
            Some(u64::from(member)),
            at,
        );
        book.take(&one, at);
    }
    let due = after(Span::secs(30));
    assert_eq!(book.next(), Some(due));
    assert!(book.due(after(Span::millis(29_999)), false).is_empty());
    let batch = only(book.due(due, false));
    assert_eq!(batch.rows.len(), 500);
    // While it is on its way nothing else is sent, whatever happens.
    book.take(&news("given_up", Role::Problem, 900, Some(900), due), due);
    assert!(book.due(after(Span::mins(30)), false).is_empty());
    book.sent(&batch, after(Span::secs(31)));
    // And the next one keeps its distance.
    assert_eq!(book.next(), Some(after(Span::secs(91))));
    assert_eq!(only(book.due(after(Span::secs(91)), false)).rows.len(), 1);
}

#[test]
fn an_incident_is_told_once_and_its_end_to_who_was_told() {
    let mut quiet = sink("quiet");
    quiet.events = vec!["given_up".to_owned(), "recovered".to_owned()];
    let mut book = book(&[sink("all"), quiet]);
    let incident = |event: &str, role| news(event, role, 1, Some(7), START);
    for one in [
        incident("incident", Role::Problem),
        incident("incident", Role::Problem),
        incident("restart", Role::Step),
        incident("restart", Role::Step),
        incident("recovered", Role::End),
        incident("recovered", Role::End),
        // A relapse in the same incident is news again, to both.
        incident("given_up", Role::Problem),
        incident("given_up", Role::Problem),
        incident("recovered", Role::End),
    ] {
        book.take(&one, START);
    }
    let batches = book.due(after(Span::mins(1)), false);
    let told: Vec<Vec<&str>> = batches.iter().map(events).collect();
    assert_eq!(
        told,
        [
            vec![
                "incident",
                "restart",
                "restart",
                "recovered",
                "given_up",
                "recovered"
            ],
            vec!["given_up", "recovered"],
        ]
    );
    let ended: Vec<&str> = batches
        .iter()
        .flat_map(|batch| &batch.rows)
        .flat_map(|row| &row.ends)
        .map(|news| news.event.as_str())
        .collect();
    assert_eq!(ended, ["incident", "given_up", "given_up"]);
}

#[test]
fn what_belongs_to_no_incident_is_repeated_only_after_an_hour() {
    let mut book = book(&[sink("pager")]);
    for minutes in [0, 10, 59, 61, 100] {
        let at = after(Span::mins(minutes));
        book.take(&news("blind", Role::Problem, 1, None, at), at);
    }
    // The first is beyond `retry_for` by then.
    let batch = only(book.due(after(Span::mins(101)), false));
    assert_eq!(batch.rows.len() as u64 + batch.dropped, 2);
}

#[test]
fn a_sink_hears_of_its_groups_only() {
    let mut other = sink("other");
    other.groups = Some(vec![checkd_core::GroupName::new("db").unwrap()]);
    let mut book = book(&[other, sink("pager")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let batch = only(book.due(after(Span::mins(1)), false));
    assert_eq!(batch.sink.name, "pager");
}

#[test]
fn a_daemon_that_begins_again_repeats_nothing_and_loses_nothing() {
    let sinks = [sink("pager")];
    let mut first = book(&sinks);
    first.take(&news("given_up", Role::Problem, 1, Some(7), START), START);
    let (mut waiting, mut told) = (Vec::new(), Vec::new());
    for change in first.changes() {
        match change.clone() {
            Change::Add(sink, one) => waiting.push((sink, one)),
            Change::Told(sink, news) => told.push((sink, news)),
            Change::Remove(..) | Change::Forget(..) | Change::Gone(_) => panic!("{change:?}"),
        }
    }
    // Half a minute later, on a machine that has just booted.
    let now = Instant(5_000);
    let mut second = Book::open(&sinks, waiting, told, now, WALL + 30_000);
    let again = news("given_up", Role::Problem, 1, Some(7), START);
    second.take(&again, now);
    let batch = only(second.due(now + Span::secs(30), false));
    assert_eq!(events(&batch), ["given_up"]);
    second.sent(&batch, now);
    second.take(&again, now);
    assert!(second.due(now + Span::mins(60), false).is_empty());
    // What is new gets another number than what was stored.
    second.take(&news("given_up", Role::Problem, 2, Some(8), START), now);
    let next = only(second.due(now + Span::mins(60), true));
    assert!(next.rows[0].id > batch.rows[0].id);
}

#[test]
fn another_incident_is_news_though_nobody_saw_the_end_of_the_last() {
    let mut book = book(&[sink("pager")]);
    for incident in [7, 7, 8] {
        book.take(
            &news("given_up", Role::Problem, 1, Some(incident), START),
            START,
        );
    }
    assert_eq!(only(book.due(after(Span::mins(1)), false)).rows.len(), 2);
}

#[test]
fn waits_between_attempts_grow_and_one_dead_sink_delays_no_other() {
    let mut book = book(&[sink("dead"), sink("well")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let mut now = after(Span::secs(30));
    let batches = book.due(now, false);
    assert_eq!(batches.len(), 2);
    book.sent(&batches[1], now);
    let mut batch = batches[0].clone();
    let mut waits = Vec::new();
    for _ in 0..9 {
        book.failed(&batch, "connection refused", now, WALL, u64::MAX);
        let next = book.next().unwrap();
        waits.push(next.since(now).0);
        assert!(book.due(Instant(next.0 - 1), false).is_empty());
        now = next;
        batch = only(book.due(now, false));
        assert_eq!(batch.sink.name, "dead");
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert!((2_500..=5_000).contains(&waits[0]), "{waits:?}");
    assert!((150_000..=300_000).contains(&waits[8]), "{waits:?}");
    // Said once, however often it fails, and once when it works again.
    let said = book.said();
    assert!(
        matches!(said.as_slice(), [Said::Fails { sink, .. }] if sink == "dead"),
        "{said:?}"
    );
    assert_eq!(
        book.report()[0].failing.as_deref(),
        Some("connection refused")
    );
    book.sent(&batch, now);
    let said = book.said();
    assert!(
        matches!(said.as_slice(), [Said::Works { sent: 1, .. }]),
        "{said:?}"
    );
    assert_eq!(book.report()[0].failing, None);
}

#[test]
fn what_piled_up_goes_out_as_one_message() {
    let mut book = book(&[sink("pager")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let now = after(Span::secs(30));
    let batch = only(book.due(now, false));
    book.failed(&batch, "no", now, WALL, 0);
    for member in 2..5 {
        book.take(&news("given_up", Role::Problem, member, Some(9), now), now);
    }
    let batch = only(book.due(book.next().unwrap(), false));
    assert_eq!(batch.rows.len(), 4);
}

#[test]
fn a_queue_is_bounded_and_says_what_it_dropped() {
    let mut book = book(&[sink("pager")]);
    let most = u32::try_from(QUEUE_MAX).unwrap();
    for member in 0..most + 5 {
        let one = news("given_up", Role::Problem, member, Some(1), START);
        book.take(&one, START);
    }
    let said = book.said();
    assert!(
        matches!(said.as_slice(), [Said::Dropped { .. }]),
        "said once: {said:?}"
    );
    let batch = only(book.due(after(Span::mins(1)), false));
    assert_eq!((batch.rows.len(), batch.dropped), (QUEUE_MAX, 5));
    assert_eq!(
        batch.rows[0].news.member.as_deref(),
        Some("web-5"),
        "the oldest go first"
    );
    // What the store was told is what is left.
    let mut ids = std::collections::BTreeSet::new();
    for change in book.changes() {
        match change {
            Change::Add(_, one) => drop(ids.insert(one.id)),
            Change::Remove(_, last) => ids.retain(|id| *id > last),
            Change::Told(..) | Change::Forget(..) | Change::Gone(_) => {}
        }
    }
    assert_eq!(ids.len(), QUEUE_MAX);

    // And in bytes.
    let long = News {
        text: "x".repeat(2_048),
        ..news("restart", Role::Step, 1, None, START)
    };
    for _ in 0..4_000 {
        book.take(&long, START);
    }
    book.sent(&batch, after(Span::mins(1)));
    let batch = only(book.due(after(Span::mins(9)), false));
    let bytes: usize = batch.rows.iter().map(|row| row.news.size()).sum();
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes}");
    assert!(batch.dropped > 0);
}

#[test]
fn what_cannot_be_sent_for_too_long_is_dropped_and_said() {
    let mut book = book(&[sink("pager")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let mut now = after(Span::secs(30));
    while now.since(START) < Span::mins(59) {
        let Some(batch) = book.due(now, false).pop() else {
            break;
        };
        book.failed(&batch, "no", now, WALL, 0);
        now = book.next().unwrap();
    }
    book.said();
    assert!(book.due(after(Span::mins(61)), false).is_empty());
    let said = book.said();
    assert!(
        matches!(said.as_slice(), [Said::Dropped { count: 1, .. }]),
        "{said:?}"
    );
    // The next message says it.
    let at = after(Span::mins(62));
    book.take(&news("given_up", Role::Problem, 2, Some(2), at), at);
    assert_eq!(only(book.due(after(Span::mins(120)), false)).dropped, 1);
}

#[test]
fn an_alert_is_repeated_until_it_ends() {
    let mut book = book(&[alerts("am")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let first = only(book.due(after(Span::secs(1)), false));
    assert_eq!(events(&first), ["given_up"]);
    book.sent(&first, after(Span::secs(1)));
    let mut now = after(Span::secs(1));
    for _ in 0..5 {
        let next = book.next().unwrap();
        assert!(next.since(now) <= Span::mins(1), "{next:?} after {now:?}");
        now = next;
        let again = only(book.due(now, false));
        assert_eq!((again.rows.len(), again.firing.len()), (0, 1));
        book.sent(&again, now);
    }
    book.take(&news("recovered", Role::End, 1, Some(1), now), now);
    let end = only(book.due(now + Span::secs(1), false));
    assert_eq!(end.rows[0].ends.len(), 1);
    book.sent(&end, now);
    assert_eq!(book.next(), None, "nothing is left to repeat");
}

#[test]
fn another_configuration_keeps_what_waits_and_tries_at_once() {
    let mut book = book(&[sink("pager"), sink("old")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let now = after(Span::secs(30));
    for batch in book.due(now, false) {
        book.failed(&batch, "no", now, WALL, 0);
    }
    book.changes();
    let mended = SinkPlan {
        timeout: Span::secs(20),
        ..sink("pager")
    };
    book.reload(&[mended, sink("new")], |_| true);
    assert_eq!(book.changes(), [Change::Gone("old".to_owned())]);
    let batch = only(book.due(now, false));
    assert_eq!((batch.sink.name.as_str(), batch.rows.len()), ("pager", 1));
    // A member that is gone needs no end.
    book.reload(&[sink("pager")], |_| false);
    book.take(&news("recovered", Role::End, 1, Some(1), now), now);
    book.sent(&batch, now);
    assert!(book.due(after(Span::mins(60)), false).is_empty());
}

#[test]
fn the_end_of_the_daemon_hurries_what_was_never_tried() {
    let mut book = book(&[sink("dead"), sink("pager")]);
    book.take(&news("given_up", Role::Problem, 1, Some(1), START), START);
    let now = after(Span::secs(30));
    let batches = book.due(now, false);
    book.failed(&batches[0], "no", now, WALL, 0);
    book.sent(&batches[1], now);
    book.take(&news("given_up", Role::Problem, 2, Some(2), now), now);
    let batch = only(book.due(now, true));
    assert_eq!(batch.sink.name, "pager");
}

#[test]
fn a_moment_on_the_wall_is_a_moment_since_boot() {
    assert_eq!(before(Instant(10_000), WALL, WALL - 4_000), Instant(6_000));
    assert_eq!(before(Instant(1_000), WALL, WALL - 4_000), Instant(0));
    assert_eq!(before(Instant(1_000), WALL, WALL + 4_000), Instant(1_000));
}
