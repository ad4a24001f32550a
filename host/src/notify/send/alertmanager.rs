//! A Prometheus Alertmanager: an alert for each thing that is wrong, repeated while it is, and ended
//! when it is over.

use std::collections::BTreeMap;

use checkd_core::news::{Role, Urgency};
use checkd_core::plan::HttpTarget;
use serde::Serialize;

use super::super::message;
use super::super::news::News;
use super::secret::Secrets;
use super::{Parcel, http};
use crate::wall;

/// An alert that is not repeated ends by itself after so long: four times the interval at which it is
/// repeated, as Prometheus has it.
const ENDS_AFTER_MS: i64 = 4 * 60_000;

/// So many alerts are in one request.
const AT_ONCE: usize = 500;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
}

pub(super) async fn send(
    to: &HttpTarget,
    parcel: &Parcel,
    secrets: &mut Secrets,
) -> Result<String, String> {
    let alerts = alerts(parcel, wall::now_ms());
    let mut answer = "nothing to send".to_owned();
    for some in alerts.chunks(AT_ONCE) {
        let body = serde_json::to_vec(some).map_err(|e| e.to_string())?;
        answer = http::post(to, "/api/v2/alerts", body, secrets).await?;
    }
    Ok(answer)
}

fn alerts(parcel: &Parcel, now_ms: i64) -> Vec<Alert> {
    let host = &parcel.document.host;
    let urgency = |news: &News| match news.urgency {
        Urgency::Info => "info",
        Urgency::Warning => "warning",
        Urgency::Critical => "critical",
    };
    let of = |news: &News, ends_ms: i64| {
        let mut labels = BTreeMap::from([
            ("alertname", format!("checkd_{}", news.event)),
            ("instance", host.clone()),
            ("severity", urgency(news).to_owned()),
        ]);
        labels.extend(news.group.clone().map(|group| ("group", group)));
        labels.extend(news.member.clone().map(|member| ("member", member)));
        labels.extend(news.plugin.clone().map(|plugin| ("plugin", plugin)));
        let mut annotations = BTreeMap::from([
            ("summary", news.title()),
            ("description", news.text.clone()),
            ("commands", message::commands(news).join("\n")),
        ]);
        annotations.extend(news.incident.map(|number| ("incident", number.to_string())));
        Alert {
            labels,
            annotations,
            starts_at: wall::rfc3339(news.at_ms),
            ends_at: wall::rfc3339(ends_ms),
        }
    };
    let over = parcel.over.iter().map(|(news, at_ms)| {
        // Alertmanager refuses an end before its beginning.
        of(news, (*at_ms).max(news.at_ms))
    });
    // A step has no end of its own, and nobody would end it.
    let fires = |news: &&News| news.role == Role::Problem;
    let firing = parcel.firing.iter().filter(fires);
    let mut alerts: Vec<Alert> = over.collect();
    alerts.extend(firing.map(|news| of(news, now_ms + ENDS_AFTER_MS)));
    if parcel.document.test {
        let labels = BTreeMap::from([
            ("alertname", "checkd_test".to_owned()),
            ("instance", host.clone()),
            ("severity", "info".to_owned()),
        ]);
        let summary = ("summary", parcel.document.subject.clone());
        alerts.push(Alert {
            labels,
            annotations: BTreeMap::from([summary]),
            starts_at: wall::rfc3339(now_ms),
            ends_at: wall::rfc3339(now_ms + ENDS_AFTER_MS),
        });
    }
    alerts
}
