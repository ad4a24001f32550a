//! From rows of the journal to lines that a person reads: each fact once, in the order of events.

use std::collections::BTreeMap;

use checkd_core::Span;
use serde_json::Value;

use crate::journal::Row;

use super::paint::Ink;

/// One line of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) wall_ms: i64,
    /// `web/web-3`, `web/web-3:ping`.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) ink: Ink,
}

/// Tells `rows`, which are in their order.
pub(super) fn tell(rows: &[Row]) -> Vec<Line> {
    // The reason that was told last about each member: an act repeats that of its incident.
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for row in rows {
        let path = row.path();
        let reason = reason(row);
        let known = told.get(&path).is_some_and(|last| last == reason);
        let Some((mut text, ink)) = sentence(row) else {
            continue;
        };
        if !reason.is_empty() {
            if !known || matches!(row.what.as_str(), "outcome" | "operator") {
                text.push_str(": ");
                text.push_str(reason);
            }
            told.insert(path.clone(), reason.to_owned());
        }
        lines.push(Line {
            wall_ms: row.wall_ms,
            path,
            text,
            ink,
        });
    }
    lines
}

/// Why, where a row says it and its sentence does not already.
fn reason(row: &Row) -> &str {
    let detail = |key: &str| text_of(row, key);
    match row.what.as_str() {
        "transition" => match (detail("axis"), detail("to")) {
            // `pid 4711` is part of the sentence.
            ("life", "starting") => "",
            ("life", "dead" | "stopped") if detail("why").starts_with("by ") => {
                let rest = |who| detail("why").strip_prefix(who);
                let rest = rest(BY_CHECKD).or_else(|| rest(BY_HAND));
                rest.unwrap_or("").trim_start_matches(": ")
            }
            _ => detail("why"),
        },
        "operator" => detail("reason"),
        "run" | "evidence" => "",
        _ => row.text.as_str(),
    }
}

/// What core says of a process that checkd itself ended.
const BY_CHECKD: &str = "by our hand";
/// And of one that a person wanted stopped.
const BY_HAND: &str = "by hand";

fn text_of<'a>(row: &'a Row, key: &str) -> &'a str {
    row.detail.get(key).and_then(Value::as_str).unwrap_or("")
}

/// One row as a sentence without its reason; nothing for what another row says better.
fn sentence(row: &Row) -> Option<(String, Ink)> {
    let detail = |key: &str| text_of(row, key);
    let intent = row
        .intent
        .map(|n| format!(" (intent {n})"))
        .unwrap_or_default();
    let line = |text: String, ink: Ink| Some((text, ink));
    match row.what.as_str() {
        "transition" => transition(row),
        // The act that a decision became says the same; its gates are in the JSON.
        "decision" if row.intent.is_some() => None,
        "decision" => line(
            format!("{} waits for {}", row.word, detail("closed")),
            Ink::Plain,
        ),
        "action" => line(format!("{} begins{intent}", row.word), Ink::Busy),
        "outcome" => {
            let ink = match row.word.as_str() {
                "effective" => Ink::Good,
                "futile" | "failed" => Ink::Bad,
                _ => Ink::Unsure,
            };
            let became = match row.word.as_str() {
                "failed" => "could not be carried out".to_owned(),
                "unproven" => "is unproven".to_owned(),
                word => format!("was {word}"),
            };
            line(format!("{} {became}{intent}", detail("act")), ink)
        }
        "operator" => line(operator(row), Ink::Strong),
        "evidence" => line(evidence(row), Ink::Quiet),
        _ => line(run(row), of_word(&row.word)),
    }
}

fn transition(row: &Row) -> Option<(String, Ink)> {
    let detail = |key: &str| text_of(row, key);
    let (from, to, why) = (detail("from"), detail("to"), detail("why"));
    let line = |text: &str, ink: Ink| Some((text.to_owned(), ink));
    match (detail("axis"), to) {
        ("life", "starting") if !why.is_empty() => match why.strip_prefix("adopted, ") {
            Some(pid) => line(&format!("runs as {pid}, taken over"), Ink::Plain),
            None => line(&format!("runs as {why}"), Ink::Plain),
        },
        ("life", "dead") if why.starts_with(BY_CHECKD) => line("stopped by checkd", Ink::Busy),
        ("life", "stopped") if why.starts_with(BY_HAND) => line("stopped by checkd", Ink::Busy),
        // It had no process; whose order that was stands in the line before.
        ("life", "stopped") if why.starts_with("by ") => line("stays down", Ink::Plain),
        ("life", "stopped") => line("ended, and is not started again", Ink::Plain),
        ("life", "dead") => line("died", Ink::Bad),
        // Being healthy, which comes with it, says more.
        ("life", "up") if why.is_empty() => None,
        ("health", "healthy") => line("healthy", Ink::Good),
        ("health", "failed") => line("failed", Ink::Bad),
        // The order that a person gave stands in the line before, and says the same.
        ("control", "paused") => None,
        ("control", "auto") if why.starts_with("by ") => None,
        ("hold", "held") => line("held", Ink::Bad),
        ("hold", _) => line("not held any more", Ink::Good),
        ("together", "together") => line("restarted as a whole", Ink::Busy),
        ("together", _) => line("not restarted as a whole any more", Ink::Plain),
        ("attempt", _) if to.starts_with("given") => line("given up", Ink::Bad),
        _ => line(&format!("{from} → {to}"), Ink::Plain),
    }
}

fn operator(row: &Row) -> String {
    let who = row.text.as_str();
    let flag = |key: &str| row.detail.get(key).and_then(Value::as_bool) == Some(true);
    match row.word.as_str() {
        "pause" => {
            // Some milliseconds pass between the asking and the deciding.
            let whole = |ms: u64| {
                if ms < 10_000 {
                    Span(ms)
                } else {
                    Span::secs((ms + 500) / 1_000)
                }
            };
            let length = row.detail.get("for_ms").and_then(Value::as_u64);
            let length = length
                .map(|ms| format!(" for {}", whole(ms)))
                .unwrap_or_default();
            format!("paused by {who}{length}")
        }
        "resume" => format!("resumed by {who}"),
        "restart" if flag("now") => format!("{who} asked for a restart at once"),
        verb => format!("{who} asked for a {verb}"),
    }
}

/// `evidence in PATH: checks.txt, why.txt (84 KiB)`.
fn evidence(row: &Row) -> String {
    let files = row.detail.get("files").and_then(Value::as_object);
    let names: Vec<&str> = files
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let bytes = row.detail.get("bytes").and_then(Value::as_u64).unwrap_or(0);
    format!(
        "evidence in {}: {} ({} KiB)",
        row.text,
        names.join(", "),
        bytes.div_ceil(1_024)
    )
}

fn of_word(status: &str) -> Ink {
    match status {
        "pass" => Ink::Good,
        "warn" => Ink::Busy,
        "fail" => Ink::Bad,
        _ => Ink::Unsure,
    }
}

fn run(row: &Row) -> String {
    let number = |key: &str| row.detail.get(key).and_then(Value::as_u64);
    if let Some(count @ 2..) = number("count") {
        let span = Span(number("span_ms").unwrap_or(0));
        let gap = Span(number("largest_gap_ms").unwrap_or(0));
        return format!("{} {count} times in {span}, at most {gap} apart", row.word);
    }
    let took = number("took_ms").filter(|&ms| ms > 0).map(Span);
    let took = took.map(|span| format!(" in {span}")).unwrap_or_default();
    let text = if row.text.is_empty() {
        String::new()
    } else {
        format!(": {}", row.text)
    };
    format!("{}{took}{text}", row.word)
}

/// The last act of a story and what became of it, as one sentence: the answer to "why was it
/// restarted?".
pub(super) fn last_act(rows: &[Row], clock: impl Fn(i64) -> String) -> Option<String> {
    let action = rows.iter().rev().find(|row| row.what == "action")?;
    let outcome = rows
        .iter()
        .find(|row| row.what == "outcome" && row.intent == action.intent);
    // `SIGTERM to process 4711: …`
    let sent = (action.text.split_once(": ")).filter(|_| action.word == "signal");
    let text = sent.map_or(action.text.as_str(), |(_, why)| why);
    let did = match (action.word.as_str(), sent) {
        (_, Some((what, _))) => format!("Sent {what}"),
        ("restart", None) => "Restarted".to_owned(),
        ("stop", None) => "Stopped".to_owned(),
        (_, None) => "Started".to_owned(),
    };
    let by_hand = text.strip_prefix("by hand: ");
    let because = match by_hand {
        Some(who) => format!(" by {who}"),
        None if text.is_empty() => String::new(),
        None => format!(", because {text}"),
    };
    let became = match outcome {
        // A person's order need not help against anything.
        Some(outcome) if by_hand.is_some() && outcome.word == "effective" => {
            match outcome.text.as_str() {
                "" | "stopped" => String::new(),
                text => format!("; {text}"),
            }
        }
        None => String::new(),
        Some(outcome) => {
            let what = match outcome.word.as_str() {
                "effective" => "it helped",
                "futile" => "it did not help",
                "unproven" => "nobody could tell whether it helped",
                "withdrawn" => "it was not needed any more",
                "interrupted" => "checkd ended meanwhile",
                _ => "it could not be carried out",
            };
            match outcome.text.as_str() {
                "" => format!("; {what}"),
                text => format!("; {what}: {text}"),
            }
        }
    };
    Some(format!(
        "{did} at {}{because}{became}.",
        clock(action.wall_ms)
    ))
}

#[cfg(test)]
mod tests {
    use super::{last_act, tell};
    use crate::journal::Row;
    use serde_json::json;

    fn row(
        what: &str,
        word: &str,
        text: &str,
        intent: Option<i64>,
        detail: serde_json::Value,
    ) -> Row {
        Row {
            time: String::new(),
            wall_ms: 0,
            group: "web".to_owned(),
            member: Some("web-1".to_owned()),
            check: None,
            what: what.to_owned(),
            word: word.to_owned(),
            text: text.to_owned(),
            incident: None,
            intent,
            detail,
        }
    }

    fn moved(axis: &str, from: &str, to: &str, why: &str) -> Row {
        let detail = json!({ "axis": axis, "from": from, "to": to, "why": why });
        row("transition", to, "", None, detail)
    }

    #[test]
    fn a_restart_is_told_with_each_fact_once() {
        let why = "ping failed 3 times in 2s (timeout)";
        let rows = [
            moved("health", "healthy", "failed", why),
            row(
                "decision",
                "restart",
                why,
                None,
                json!({ "closed": "budget (1 out)" }),
            ),
            row("decision", "restart", why, Some(6), json!({})),
            row("action", "restart", why, Some(6), json!({})),
            moved("life", "up", "dead", "by our hand"),
            moved("life", "dead", "starting", "pid 4711"),
            moved("life", "starting", "up", ""),
            moved("health", "unproven", "healthy", "up for 2.0s"),
            row(
                "outcome",
                "effective",
                "healthy after 2.0s",
                Some(6),
                json!({ "act": "restart" }),
            ),
        ];
        let lines: Vec<String> = tell(&rows).into_iter().map(|line| line.text).collect();
        assert_eq!(
            lines,
            [
                "failed: ping failed 3 times in 2s (timeout)",
                "restart waits for budget (1 out)",
                "restart begins (intent 6)",
                "stopped by checkd",
                "runs as pid 4711",
                "healthy: up for 2.0s",
                "restart was effective (intent 6): healthy after 2.0s",
            ]
        );
        assert_eq!(
            last_act(&rows, |_| "12:00:03".to_owned()).unwrap(),
            "Restarted at 12:00:03, because ping failed 3 times in 2s (timeout); it helped: healthy \
             after 2.0s."
        );
    }

    #[test]
    fn a_stop_by_hand_reads_as_one() {
        let why = "by hand: uid 0 (root)";
        let rows = [
            row("operator", "stop", "uid 0 (root)", None, json!({})),
            row("action", "stop", why, Some(2), json!({})),
            moved("life", "up", "stopped", "by hand"),
            row(
                "outcome",
                "effective",
                "stopped",
                Some(2),
                json!({ "act": "stop" }),
            ),
        ];
        let lines: Vec<String> = tell(&rows).into_iter().map(|line| line.text).collect();
        assert_eq!(
            lines,
            [
                "uid 0 (root) asked for a stop",
                "stop begins (intent 2): by hand: uid 0 (root)",
                "stopped by checkd",
                "stop was effective (intent 2): stopped",
            ]
        );
        let told = last_act(&rows, |_| "12:21:39".to_owned()).unwrap();
        assert_eq!(told, "Stopped at 12:21:39 by uid 0 (root).");
        let told = last_act(
            &[
                row("action", "restart", why, Some(3), json!({})),
                row(
                    "outcome",
                    "effective",
                    "healthy after 2s",
                    Some(3),
                    json!({}),
                ),
            ],
            |_| "12:21:39".to_owned(),
        );
        let expected = "Restarted at 12:21:39 by uid 0 (root); healthy after 2s.";
        assert_eq!(told.unwrap(), expected);
    }

    #[test]
    fn what_a_person_did_is_told_with_the_reason() {
        let detail = json!({ "command": "pause", "reason": "looking", "for_ms": 599_991 });
        let rows = [
            row("operator", "pause", "uid 0 (root)", None, detail),
            moved("control", "auto", "paused", "by uid 0 (root)"),
            row("operator", "resume", "uid 0 (root)", None, json!({})),
            moved("control", "paused", "auto", "by uid 0 (root)"),
            row("operator", "restart", "uid 7", None, json!({ "now": true })),
        ];
        let lines: Vec<String> = tell(&rows).into_iter().map(|line| line.text).collect();
        assert_eq!(
            lines,
            [
                "paused by uid 0 (root) for 10m: looking",
                "resumed by uid 0 (root)",
                "uid 7 asked for a restart at once"
            ]
        );
    }
}
