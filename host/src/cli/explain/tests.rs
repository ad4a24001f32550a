//! What `explain` says about a check, and about a member that has none.

mod transcripts;

use checkd_core::report::{LeafReport, MemberReport};
use serde_json::{Value, json};

use super::*;

fn leaf(streak: u32) -> LeafReport {
    let text = json!({
        "check": "ping", "kind": "tcp", "debounced": "fail", "latest": "fail",
        "message": "connection refused", "cause": "refused", "age": 1_000, "streak": streak,
        "streak_of": "fail", "streak_span": 6_000, "fall": 2, "rise": 2, "interval": 2_000,
    });
    serde_json::from_value(text).unwrap()
}

fn member(checks: &[LeafReport]) -> MemberReport {
    let text = json!({
        "path": "web/web-1", "life": "up", "life_for": 3_000, "generation": null,
        "last_exit": null, "health": "failed", "health_for": 3_000, "labels": [],
        "live": "unknown", "ready": "fail", "live_text": "all()", "blame": [], "checks": checks,
        "attempt": null, "proposed": null, "gates": Vec::<Value>::new(), "control": "auto",
        "given_up": null, "futile": 0, "starts_24h": 1, "incident": null, "summary": "dead",
        "can_do": [],
    });
    serde_json::from_value(text).unwrap()
}

#[test]
fn a_streak_says_how_many_were_needed() {
    for (streak, told) in [
        (1, "fail 1 of 2 in a row;"),
        (2, "fail 2 of 2 in a row over 6s;"),
        (6, "fail 6 in a row (2 needed) over 6s;"),
    ] {
        let text = leaf_text(&leaf(streak), false);
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_member_without_checks_says_so() {
    let mut out = String::new();
    sees(&mut out, &member(&[]), Paper::plain());
    assert_eq!(
        out,
        "\nWhat checkd sees\n  no checks; only whether its process runs\n"
    );
    out.clear();
    sees(&mut out, &member(&[leaf(6)]), Paper::plain());
    assert!(out.contains("live is unknown: all()"), "{out}");
    out.clear();
    let mut dead = member(&[LeafReport {
        latest: None,
        age: None,
        ..leaf(0)
    }]);
    dead.life = "dead".into();
    sees(&mut out, &dead, Paper::plain());
    assert_eq!(
        out,
        "\nWhat checkd sees\n  it has no process, so nothing of its own is checked\n"
    );
}
