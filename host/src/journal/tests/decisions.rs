//! A decision is read back with all that follows from its numbers, whichever checkd wrote it.

use checkd_core::journal::Entry;
use checkd_core::policy::{Comparison, Explanation, GateName, Motive, Reading, Step};
use checkd_core::{Instant, MemberName, Span, Status};
use rusqlite::Connection;
use serde_json::Value;

use super::{MEMBER, all, open};

/// As it was written when each reading said all that a person reads.
const OLD: &str = r#"{"verdict":"fail","because":"ping failed 5 times in 20s","motive":{"motive":"sick"},
    "readings":[
      {"gate":"journal","open":true,"compared":{"kind":"stored","refused":null},"reopens":null,
        "numbers":"the last intent was stored"},
      {"gate":"hold","open":false,"compared":{"kind":"hold","why":"3 of 4 failed","held_for":30000,
        "troubled":3,"members":4,"canary_in":30000,"unsupplied":false,"canary":null},"reopens":90000,
        "numbers":"held for 30s: 3 of 4 failed; one member is tried in 30s"},
      {"gate":"budget","open":false,"compared":{"kind":"budget","out":2,"max_out":1,
        "who":["web/web-0","web/web-2"],"up":0,"min_up":0},"reopens":null,
        "numbers":"2 out (web-0, web-2), at most 1 allowed"}]}"#;

fn decision() -> Entry {
    let reading = |gate, open, compared, reopens| Reading {
        gate,
        open,
        compared,
        reopens,
    };
    let stored = Comparison::Stored { refused: None };
    let hold = Comparison::Hold {
        why: Some("3 of 4 failed".into()),
        held_for: Some(Span::secs(30)),
        troubled: 3,
        members: 4,
        canary_in: Some(Span::secs(30)),
        unsupplied: false,
        canary: None,
    };
    let budget = Comparison::Budget {
        out: 2,
        max_out: 1,
        who: ["web-0", "web-2"]
            .map(|name| MemberName::new(name).unwrap())
            .to_vec(),
        up: 0,
        min_up: 0,
    };
    Entry::Decision {
        member: MEMBER,
        at: Instant(60_000),
        step: Step::Restart,
        explanation: Explanation {
            verdict: Status::Fail,
            because: "ping failed 5 times in 20s".to_owned(),
            motive: Motive::Sick,
            readings: vec![
                reading(GateName::Journal, true, stored, None),
                reading(GateName::Hold, false, hold, Some(Instant(90_000))),
                reading(GateName::Budget, false, budget, None),
            ],
        },
        intent: None,
        incident: None,
    }
}

#[test]
fn a_decision_says_the_same_whichever_checkd_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, ..) = open(&path);
    journal.record(decision());
    journal.record(decision());
    journal.close();
    let database = Connection::open(&path).unwrap();
    let sql = "UPDATE decision SET explanation = ? WHERE id = 1";
    assert_eq!(database.execute(sql, [OLD]).unwrap(), 1);
    let rows = all(&path, false);
    let told = |index: usize| {
        let explanation = rows[index].detail.get("explanation").unwrap();
        let text = |value: &Value, key: &str| value.get(key).unwrap().to_string();
        let readings = explanation.get("readings").unwrap().as_array().unwrap();
        let readings = readings.iter().map(|reading| {
            ["gate", "open", "numbers"]
                .map(|key| text(reading, key))
                .join(" ")
        });
        let own = ["verdict", "because", "motive"].map(|key| text(explanation, key));
        own.into_iter().chain(readings).collect::<Vec<_>>()
    };
    assert_eq!(
        told(0),
        [
            r#""fail""#,
            r#""ping failed 5 times in 20s""#,
            r#"{"motive":"sick"}"#,
            r#""journal" true "the last intent was stored""#,
            r#""hold" false "held for 30s: 3 of 4 failed; one member is tried in 30s""#,
            r#""budget" false "2 out (web-0, web-2), at most 1 allowed""#,
        ]
    );
    assert_eq!(told(1), told(0));
    let closed = |row: &super::super::Row| row.detail.get("closed").cloned();
    assert_eq!(
        closed(&rows[1]).unwrap(),
        "hold (held for 30s: 3 of 4 failed; one member is tried in 30s) and budget (2 out (web-0, \
         web-2), at most 1 allowed)"
    );
}
