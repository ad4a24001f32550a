//! What a person and a program read.

use std::collections::BTreeMap;

use checkd_core::news::{Role, Urgency};
use checkd_core::plan::{Plan, SinkPlan, Target};
use checkd_core::policy::{About, Notice, NoticeKind};
use checkd_core::{Instant, Span};

use super::super::book::{Batch, Waiting};
use super::super::news::News;
use super::Document;

fn news(event: &str, headline: &str, urgency: Urgency, member: Option<u32>) -> News {
    News {
        at_ms: 1_795_176_000_000,
        event: event.to_owned(),
        role: if event == "recovered" {
            Role::End
        } else {
            Role::Problem
        },
        urgency,
        headline: headline.to_owned(),
        group: Some("web".to_owned()),
        member: member.map(|n| format!("web-{n}")),
        plugin: None,
        text: "`ping` failed 5 times in a row".to_owned(),
        incident: Some(7),
    }
}

fn of_machine(event: &str, headline: &str) -> News {
    News {
        group: None,
        incident: None,
        ..news(event, headline, Urgency::Critical, None)
    }
}

fn batch(news: Vec<News>) -> Batch {
    let rows = news.into_iter().zip(1..);
    Batch {
        sink: SinkPlan {
            name: "pager".to_owned(),
            target: Target::Command(vec!["true".to_owned()]),
            events: Vec::new(),
            groups: None,
            collect: Span::ZERO,
            min_interval: Span::ZERO,
            timeout: Span::secs(1),
            retry_for: Span::secs(1),
        },
        rows: rows
            .map(|(news, id)| Waiting {
                id,
                news,
                ends: Vec::new(),
            })
            .collect(),
        dropped: 0,
        firing: Vec::new(),
    }
}

fn document(news: Vec<News>) -> Document {
    Document::of(&batch(news), "myhost", &BTreeMap::new(), 1_795_176_030_000)
}

#[test]
fn a_subject_says_who_and_what_and_the_worst_first() {
    let gave_up = |n| news("given_up", "given up", Urgency::Critical, Some(n));
    let failed = |n| news("incident", "failed", Urgency::Warning, Some(n));
    for (all, subject) in [
        (vec![gave_up(3)], "[checkd] myhost: web/web-3 given up"),
        (
            (0..500).map(gave_up).collect(),
            "[checkd] myhost: 500 of web given up (web-0, web-1, web-2, …)",
        ),
        (
            vec![failed(1), failed(2), gave_up(3)],
            "[checkd] myhost: web/web-3 given up; 2 of web failed (web-1, web-2)",
        ),
        (
            vec![news("given_up", "held", Urgency::Critical, None)],
            "[checkd] myhost: web held",
        ),
        (
            vec![of_machine("stall", "stalls")],
            "[checkd] myhost: this machine stalls",
        ),
        (
            vec![of_machine("journal", "cannot write its journal")],
            "[checkd] myhost: checkd cannot write its journal",
        ),
        (
            vec![of_machine("journal", "cannot write its journal"); 2],
            "[checkd] myhost: checkd cannot write its journal, 2 times",
        ),
    ] {
        assert_eq!(document(all).subject, subject);
    }
}

#[test]
fn a_storm_is_counted_in_full_and_named_in_part() {
    let all = (0..500).map(|n| news("given_up", "given up", Urgency::Critical, Some(n)));
    let document = document(all.collect());
    assert_eq!(document.count, 500);
    assert_eq!(document.items.len(), 100);
    assert_eq!(document.groups[0].count, 500);
    assert!(
        document.text.contains("… and 490 more"),
        "{}",
        document.text
    );
    let typed: Vec<&str> = document
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("  checkd "))
        .collect();
    assert_eq!(typed, ["explain web/web-0", "reset web"]);
    assert!(document.text.lines().count() < 30, "{}", document.text);
}

#[test]
fn what_is_over_needs_nothing_typed() {
    let over = document(vec![news("recovered", "recovered", Urgency::Info, Some(1))]);
    assert!(!over.text.contains("What to type"), "{}", over.text);
    let given_up = document(vec![news(
        "given_up",
        "given up",
        Urgency::Critical,
        Some(1),
    )]);
    assert!(
        given_up.text.contains("  checkd reset web/web-1\n"),
        "{}",
        given_up.text
    );
}

#[test]
fn the_end_of_what_is_told_of_this_machine_says_what_it_ends() {
    let notice = |kind| Notice {
        about: About::Host,
        at: Instant(0),
        kind,
        text: "the journal takes intents again after 5s".to_owned(),
        incident: None,
    };
    let plan = Plan::default();
    for (kind, subject) in [
        (NoticeKind::Unwritten, "checkd cannot write its journal"),
        (NoticeKind::Recovered, "checkd can write its journal again"),
        (NoticeKind::Stall, "this machine stalls"),
    ] {
        let told = document(vec![News::of(&notice(kind), &plan, 0)]).subject;
        assert_eq!(told, format!("[checkd] myhost: {subject}"));
    }
}

#[test]
fn of_a_hold_it_is_said_how_to_look_and_how_to_end_it() {
    let held = document(vec![news("hold", "held", Urgency::Critical, None)]);
    for command in ["status web", "explain 'web/*'", "reset web"] {
        let line = format!("  checkd {command}\n");
        assert!(held.text.contains(&line), "{}", held.text);
    }
}

#[test]
fn every_field_of_the_document_is_documented() {
    let page = include_str!("../../../../docs/notifications.md");
    let document = document(vec![news(
        "given_up",
        "given up",
        Urgency::Critical,
        Some(1),
    )]);
    let json = serde_json::to_value(document).unwrap();
    let names = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let mut fields = names(&json);
    fields.extend(
        names(&json["items"][0])
            .iter()
            .map(|name| format!("items[].{name}")),
    );
    fields.extend(
        names(&json["groups"][0])
            .iter()
            .map(|name| format!("groups[].{name}")),
    );
    for field in fields {
        assert!(
            page.contains(&format!("| `{field}` |")),
            "docs/notifications.md lacks `{field}`"
        );
    }
}
