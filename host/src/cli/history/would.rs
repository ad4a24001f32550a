//! `checkd history --would`: what checkd would have done to groups that are only observed, how often, to
//! whom and why; the report that a person reads before `mode = "auto"`.

use std::collections::BTreeMap;

use checkd_core::Span;
use serde::Serialize;
use serde_json::Value;

use crate::cli::paint::{Ink, Paper};
use crate::journal::Row;
use crate::wall;

/// One act that was not done because its group is observed: once an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Would {
    /// `web/web-3`.
    path: String,
    /// `restart`, `start`.
    step: String,
    /// When it was proposed, in milliseconds since 1970.
    wall_ms: i64,
    /// The checks that support it, or how its process ended.
    why: String,
    /// Other gates that were closed before that: it would have waited for them.
    waits: Vec<String>,
    /// Whether there was a moment at which nothing else was in the way.
    acts: bool,
    /// How long after it the member was healthy without anybody's help.
    recovered_after: Option<Span>,
    /// Who helped it instead, and how long after.
    helped: Option<(String, Span)>,
}

/// How the reason of an act begins that a person asked for.
const BY_HAND: &str = "by hand: ";

fn after(would: &Would, row: &Row) -> Option<Span> {
    let ms = row.wall_ms.saturating_sub(would.wall_ms);
    u64::try_from(ms).ok().map(Span)
}

/// Reads the decisions of `rows`, which are in their order.
pub(super) fn would(rows: &[Row]) -> Vec<Would> {
    let mut all: Vec<Would> = Vec::new();
    // The one that is open of each member, with its incident.
    let mut open: BTreeMap<String, (Option<i64>, usize)> = BTreeMap::new();
    for row in rows {
        let path = row.path();
        let to = row.detail.get("to").and_then(Value::as_str);
        match (row.what.as_str(), to) {
            ("transition", Some("healthy")) => {
                let Some((_, index)) = open.remove(&path) else {
                    continue;
                };
                if let Some(would) = all.get_mut(index).filter(|would| would.helped.is_none()) {
                    would.recovered_after = after(would, row);
                }
            }
            ("action", _) if row.text.starts_with(BY_HAND) => {
                let index = open.get(&path).map(|(_, index)| *index);
                if let Some(would) = index.and_then(|index| all.get_mut(index)) {
                    let who = format!("{} {}", row.word, row.text);
                    would.helped = after(would, row).map(|span| (who, span));
                }
            }
            ("decision", _) if row.intent.is_none() => {
                let Some(others) = only_observed(row) else {
                    continue;
                };
                let known = open
                    .get(&path)
                    .filter(|(incident, _)| *incident == row.incident);
                let index = known.map_or(all.len(), |(_, index)| *index);
                if known.is_none() {
                    open.insert(path.clone(), (row.incident, index));
                    all.push(Would {
                        path,
                        step: row.word.clone(),
                        wall_ms: row.wall_ms,
                        why: row.text.clone(),
                        waits: Vec::new(),
                        acts: false,
                        recovered_after: None,
                        helped: None,
                    });
                }
                if let Some(would) = all.get_mut(index).filter(|would| !would.acts) {
                    would.acts = others.is_empty();
                    for gate in others {
                        if !would.waits.contains(&gate) {
                            would.waits.push(gate);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    all
}

/// The gates that were closed beside `control`, where that is closed because the group is observed.
fn only_observed(row: &Row) -> Option<Vec<String>> {
    let readings = row.detail.get("explanation")?.get("readings")?.as_array()?;
    let text = |reading: &Value, key: &str| {
        let value = reading.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let closed = readings
        .iter()
        .filter(|reading| reading.get("open").and_then(Value::as_bool) == Some(false));
    let (control, others): (Vec<&Value>, Vec<&Value>) =
        closed.partition(|reading| text(reading, "gate") == "control");
    let observed = control
        .iter()
        .any(|reading| text(reading, "numbers") == "observe");
    observed.then(|| others.iter().map(|reading| text(reading, "gate")).collect())
}

/// For a person: each group with its sums, then each act.
pub(super) fn render(all: &[Would], paper: Paper) -> String {
    if all.is_empty() {
        return "checkd would have done nothing\n".to_owned();
    }
    let mut out = String::new();
    let group = |would: &Would| would.path.split('/').next().unwrap_or_default().to_owned();
    let mut groups: BTreeMap<String, Vec<&Would>> = BTreeMap::new();
    for would in all {
        groups.entry(group(would)).or_default().push(would);
    }
    for (name, all) in groups {
        let count = |step: &str| all.iter().filter(|it| it.acts && it.step == step).count();
        let alone = all.iter().filter(|it| it.recovered_after.is_some()).count();
        let members: std::collections::BTreeSet<&str> =
            all.iter().map(|it| it.path.as_str()).collect();
        let mut parts = Vec::new();
        let did = [
            ("signal", "sent a signal to a worker of a member"),
            ("restart", "restarted a member"),
            ("start", "started a member"),
        ];
        for (step, did) in did {
            match count(step) {
                0 => {}
                n => parts.push(format!("{did} {}", times(n))),
            }
        }
        let did = match parts.len() {
            0 => "would have done nothing yet".to_owned(),
            _ => format!("checkd would have {}", parts.join(", and ")),
        };
        let text = format!(
            "{did}: {} in trouble {}, {alone} of them well again without it",
            if members.len() == 1 {
                "1 member".to_owned()
            } else {
                format!("{} members", members.len())
            },
            times(all.len()),
        );
        let head = format!("{}  ", paper.ink(Ink::Strong, &name));
        paper.hang(&mut out, &head, name.chars().count() + 2, &text, Ink::Plain);
        for would in all {
            line(&mut out, would, paper);
        }
    }
    out
}

fn times(n: usize) -> String {
    match n {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

fn line(out: &mut String, would: &Would, paper: Paper) {
    let name = would.path.split_once('/').map_or("", |(_, name)| name);
    let mut text = format!("{}: {}", would.step, would.why);
    if !would.acts {
        text.push_str("; would still have waited");
    }
    if !would.waits.is_empty() {
        let held = if would.acts {
            "after waiting for"
        } else {
            "for"
        };
        text.push_str(&format!(
            "{} {held} {}",
            if would.acts { ";" } else { "" },
            would.waits.join(", ")
        ));
    }
    if let Some((who, after)) = &would.helped {
        text.push_str(&format!("; {who} {after} later"));
    } else if let Some(after) = would.recovered_after {
        text.push_str(&format!("; healthy by itself {after} later"));
    }
    let head = format!("  {}  {name}  ", wall::date_and_time(would.wall_ms));
    let ink = if would.acts { Ink::Plain } else { Ink::Quiet };
    paper.hang(out, &head, 23, &text, ink);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{render, would};
    use crate::cli::paint::Paper;
    use crate::journal::Row;

    fn row(member: &str, what: &str, word: &str, at_s: i64, detail: Value) -> Row {
        Row {
            time: String::new(),
            wall_ms: at_s * 1_000,
            group: "web".to_owned(),
            member: Some(member.to_owned()),
            check: None,
            what: what.to_owned(),
            word: word.to_owned(),
            text: "ping failed 5 times in 20s".to_owned(),
            incident: Some(1),
            intent: None,
            detail,
        }
    }

    fn decision(member: &str, at_s: i64, closed: &[(&str, &str)]) -> Row {
        let readings = closed
            .iter()
            .map(|(gate, numbers)| json!({ "gate": gate, "open": false, "numbers": numbers }));
        let open = json!({ "gate": "fresh", "open": true, "numbers": "new" });
        let readings: Vec<Value> = readings.chain([open]).collect();
        let detail = json!({ "explanation": { "readings": readings } });
        row(member, "decision", "restart", at_s, detail)
    }

    #[test]
    fn each_incident_is_told_once_with_what_it_would_have_waited_for() {
        let healthy = json!({ "axis": "health", "to": "healthy" });
        let rows = [
            decision("web-0", 10, &[("control", "observe")]),
            decision(
                "web-4",
                10,
                &[("control", "observe"), ("backoff", "5s to go")],
            ),
            decision("web-4", 15, &[("control", "observe")]),
            decision("web-1", 11, &[("control", "observe"), ("hold", "held")]),
            decision("web-0", 15, &[("control", "observe"), ("fresh", "old")]),
            decision("web-2", 16, &[("control", "paused by ada")]),
            decision("web-3", 16, &[("budget", "1 out")]),
            row("web-0", "transition", "healthy", 40, healthy),
        ];
        let told = would(&rows);
        let short: Vec<_> = told
            .iter()
            .map(|it| (it.path.as_str(), it.acts, it.waits.join(" ")))
            .collect();
        assert_eq!(
            short,
            [
                ("web/web-0", true, String::new()),
                ("web/web-4", true, "backoff".to_owned()),
                ("web/web-1", false, "hold".to_owned()),
            ],
            "neither who is paused nor who waits in a group that is not observed"
        );
        let text = render(&told, Paper::plain());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.starts_with("web checkd would have restarted a member twice: "),
            "{text}"
        );
        assert!(text.contains("healthy by itself 30s later"), "{text}");
        assert!(text.contains("would still have waited for hold"), "{text}");
    }
}
