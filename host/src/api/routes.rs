//! The routes of the control socket.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRef, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use checkd_core::engine::Command;
use checkd_core::report::{GroupReport, StatusReport};
use checkd_core::{MemberId, Span, Status};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::selector::{Selected, Unknown, select, select_each};
use super::wire::{
    Answer, Answers, Explained, ExplainedAt, ExplainedMember, History, Order, Refusal, ReloadOrder,
    Reloaded, Watched,
};
use super::{Live, Peer, Shared};
use crate::daemon::{NotTaken, Question};
use crate::journal::{Filter, Row};
use crate::wall;

/// The largest body of a request.
const BODY_MAX: usize = 16 * 1_024;
/// How long the loop may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long plugins may take to describe themselves and to judge their options.
const RELOAD_PATIENCE: Duration = Duration::from_mins(5);
/// So many rows of history, unless told otherwise; and at most.
const ROWS: u32 = 1_000;
const ROWS_MAX: u32 = 100_000;
/// An incident is told with at most so many rows.
const INCIDENT_ROWS: u32 = 200;
/// A pause may be at most so long.
const PAUSE_MAX_MS: u64 = 366 * 86_400_000;

/// An answer that waits for a change waits at most so long.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);
/// What changes together is answered together.
const GATHER: Duration = Duration::from_millis(50);

/// Changes, to nothing, when no request is to wait any more.
#[derive(Clone, Debug)]
pub(super) struct Ending(pub(super) watch::Receiver<()>);

pub(super) fn router(live: Live, ending: Ending) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/groups/{group}/live", get(group_live))
        .route("/groups/{group}/ready", get(group_ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/history", get(history))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/{verb}", post(order))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(Extension(ending))
        .with_state(live)
}

/// An answer, or why there is none.
type Answered<T> = Result<T, Refused>;

#[derive(Debug)]
struct Refused(StatusCode, Box<Refusal>);

impl Refused {
    fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        let refusal = Refusal {
            code: code.to_owned(),
            error: error.into(),
            notes: Vec::new(),
            help: None,
        };
        Self(status, Box::new(refusal))
    }
    fn note(mut self, note: impl Into<String>) -> Self {
        self.1.notes.push(note.into());
        self
    }
}

impl From<Unknown> for Refused {
    fn from(unknown: Unknown) -> Self {
        let mut refused =
            Self::new(StatusCode::NOT_FOUND, "C0507", unknown.message).note(unknown.note);
        refused.1.help = unknown.help;
        refused
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(*self.1)).into_response()
    }
}

impl Shared {
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Answered<T> {
        self.ask_within(PATIENCE, question).await
    }

    async fn ask_within<T>(
        &self,
        patience: Duration,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Answered<T> {
        let (sender, answer) = oneshot::channel();
        let silent = |why: &str| {
            let error = format!("the daemon {why}");
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, "C0509", error)
        };
        let asked = async {
            self.questions
                .send((Arc::clone(&self.plan), question(sender)))
                .await
                .map_err(|_| silent("is ending"))?;
            answer
                .await
                .map_err(|_| silent("does not answer to that any more"))
        };
        tokio::time::timeout(patience, asked)
            .await
            .map_err(|_| silent(&format!("did not answer within {}s", patience.as_secs())))?
    }

    async fn rows(&self, filter: Filter) -> Answered<Vec<Row>> {
        let reader = self.reader.clone();
        tokio::task::spawn_blocking(move || reader.rows(&filter))
            .await
            .map_err(|e| e.to_string())
            .and_then(|rows| rows)
            .map_err(unreadable)
    }

    /// Whether the journal knows a member of this path.
    async fn had(&self, path: &str) -> Answered<bool> {
        let reader = self.reader.clone();
        let members = tokio::task::spawn_blocking(move || reader.members()).await;
        let members = members.map_err(|e| e.to_string()).and_then(|all| all);
        Ok(members
            .map_err(unreadable)?
            .iter()
            .any(|member| member == path))
    }

    fn paths(&self, selected: &Selected) -> Vec<String> {
        let mut paths: Vec<String> = selected
            .members
            .iter()
            .map(|&id| self.plan.path(id))
            .collect();
        // Rows of a check that the group shares have no member.
        let mut groups: Vec<u32> = selected.members.iter().map(|id| id.group).collect();
        groups.dedup();
        let shared = groups
            .iter()
            .filter_map(|&g| Some(format!("{}/", self.plan.group(g)?.name)));
        paths.extend(shared);
        paths
    }
}

async fn nothing_here() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "C0509",
        "there is nothing at this address",
    )
}

async fn livez(State(shared): State<Shared>) -> Answered<&'static str> {
    // The loop itself answers, not only the socket.
    shared.ask(Question::Alive).await?;
    Ok("ok\n")
}

async fn status(
    State(shared): State<Shared>,
    Extension(Ending(mut ending)): Extension<Ending>,
    Query(query): Query<StatusQuery>,
) -> Answered<Json<Watched>> {
    let selected = select_each(&shared.plan, &query.select)?;
    let mut changes = shared.changes.clone();
    if let Some(seen) = query.seen {
        let different = async {
            // No more changes are to come when the daemon is ending.
            if changes.wait_for(|version| *version != seen).await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
        };
        let patience = Duration::from_millis(query.wait_ms).min(WAIT_MAX);
        tokio::select! {
            _ = tokio::time::timeout(patience, different) => {}
            _ = ending.changed() => {}
        }
    }
    // Before the loop is asked: a change in between is told again, and none is missed.
    let version = *shared.changes.borrow();
    let mut report: StatusReport = shared.ask(Question::Status).await?;
    if !query.select.is_empty() {
        report.unplanned.clear();
    }
    let wanted: BTreeSet<String> = shared.paths(&selected).into_iter().collect();
    for group in &mut report.groups {
        group.members.retain(|member| wanted.contains(&member.path));
    }
    report
        .groups
        .retain(|group| wanted.contains(&format!("{}/", group.name)));
    Ok(Json(Watched { version, report }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusQuery {
    #[serde(alias = "member")]
    select: String,
    /// The `version` of an answer: this one waits until something is different.
    seen: Option<u64>,
    /// For so long at most, and never longer than `WAIT_MAX`.
    wait_ms: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExplainQuery {
    #[serde(alias = "member")]
    select: String,
    /// A moment that is over, in milliseconds since 1970.
    at_ms: Option<i64>,
}

async fn explain(
    State(shared): State<Shared>,
    Query(query): Query<ExplainQuery>,
) -> Answered<Response> {
    let selected = select(&shared.plan, &query.select)?;
    if let Some(at_ms) = query.at_ms {
        return Ok(Json(explain_at(&shared, selected, at_ms).await?).into_response());
    }
    let mut members = Vec::new();
    for &id in &selected.members {
        if let Some(mut member) = explain_member(&shared, id).await? {
            if let Some(check) = &selected.check {
                member
                    .report
                    .checks
                    .retain(|leaf| leaf.check.as_str() == check);
            }
            members.push(member);
        }
    }
    Ok(Json(Explained {
        time: wall::rfc3339(wall::now_ms()),
        members,
    })
    .into_response())
}

async fn explain_member(shared: &Shared, id: MemberId) -> Answered<Option<ExplainedMember>> {
    let Some(report) = shared.ask(|answer| Question::Explain(id, answer)).await? else {
        return Ok(None);
    };
    let events = incident(shared, id, report.incident).await?;
    let (plan, directory) = (shared.plan.clone(), shared.output_dir.clone());
    let read = move || crate::manager::last_output(&plan, id, &directory);
    let output = tokio::task::spawn_blocking(read).await.ok().flatten();
    let (output, last_output) = match output {
        Some((path, lines)) => (Some(path.display().to_string()), lines),
        None => (None, Vec::new()),
    };
    Ok(Some(ExplainedMember {
        report,
        events,
        output,
        last_output,
    }))
}

/// What `checkd explain` says about a member now, as text; nothing when nobody can say.
pub(crate) async fn explained(live: &Live, group: &str, member: &str) -> Option<String> {
    let shared = Shared::from_ref(live);
    let id = shared.plan.find(group, member)?;
    let member = explain_member(&shared, id).await.ok().flatten()?;
    Some(crate::cli::explain::render(
        &member,
        crate::cli::paint::Paper::plain(),
    ))
}

async fn explain_at(shared: &Shared, selected: Selected, at_ms: i64) -> Answered<ExplainedAt> {
    let (reader, plan) = (shared.reader.clone(), Arc::clone(&shared.plan));
    let read = move || {
        let moments = selected.members.iter().filter_map(|&id| {
            let (group, member) = (plan.group(id.group)?, plan.member(id)?);
            let check = selected.check.as_deref();
            Some(reader.moment(group.name.as_str(), member.name.as_str(), check, at_ms))
        });
        moments.collect::<Result<Vec<_>, String>>()
    };
    let members = tokio::task::spawn_blocking(read)
        .await
        .map_err(|e| e.to_string())
        .and_then(|moments| moments)
        .map_err(unreadable)?;
    Ok(ExplainedAt {
        time: wall::rfc3339(at_ms),
        members,
    })
}

fn unreadable(why: impl std::fmt::Display) -> Refused {
    let error = format!("the journal cannot be read: {why}");
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "C0509", error)
}

/// What the journal holds about the open incident of a member, else about its last one.
async fn incident(shared: &Shared, id: MemberId, open: Option<u64>) -> Answered<Vec<Row>> {
    let filter = Filter {
        members: Some(vec![shared.plan.path(id)]),
        limit: INCIDENT_ROWS,
        ..Filter::default()
    };
    Ok(of_incident(shared.rows(filter).await?, open))
}

/// Of a member's rows those of its open incident, else of its last one.
pub(crate) fn of_incident(rows: Vec<Row>, open: Option<u64>) -> Vec<Row> {
    let wanted = match open.and_then(|n| i64::try_from(n).ok()) {
        Some(open) => Some(open),
        None => rows.iter().rev().find_map(|row| row.incident),
    };
    // The numbers of incidents begin anew with each daemon: the newest unbroken stretch is meant.
    let first = rows
        .iter()
        .enumerate()
        .rev()
        .skip_while(|(_, row)| row.incident != wanted)
        .take_while(|(_, row)| row.incident.is_none() || row.incident == wanted)
        .filter(|(_, row)| row.incident == wanted)
        .last()
        .map(|(at, _)| at);
    // What opened it happened in the same instant, and does not bear its number yet.
    let first = first.map(|first| {
        let at = rows.get(first).map(|row| row.wall_ms);
        let before = rows.iter().take(first).rev();
        first - before.take_while(|row| Some(row.wall_ms) == at).count()
    });
    // Without an incident the last things that happened say most.
    let last = rows.len().saturating_sub(6);
    let begin = wanted.and(first).unwrap_or(last);
    // Its group may have been held a little before it failed itself, for the same reason.
    let since = rows.get(begin).map(|row| row.wall_ms);
    let of_group = (rows.iter().take(begin))
        .rfind(|row| row.member.is_none() && row.what == "transition")
        .filter(|row| row.word == "held" && since.is_some_and(|at| at - row.wall_ms <= HELD_MS))
        .cloned();
    let of_member = rows.into_iter().skip(begin);
    of_group.into_iter().chain(of_member).collect()
}

/// What turns bad within so long turned bad together.
const HELD_MS: i64 = 60_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HistoryQuery {
    #[serde(alias = "member")]
    select: String,
    since_ms: i64,
    limit: Option<u32>,
    runs: bool,
}

async fn history(
    State(shared): State<Shared>,
    Query(query): Query<HistoryQuery>,
) -> Answered<Json<History>> {
    let limit = query.limit.unwrap_or(ROWS).min(ROWS_MAX);
    let (members, check) = if query.select.is_empty() {
        (None, None)
    } else {
        match select(&shared.plan, &query.select) {
            Ok(selected) => (Some(shared.paths(&selected)), selected.check),
            // A member that a configuration before this one had is no riddle to the journal.
            Err(_) if shared.had(&query.select).await? => (Some(vec![query.select]), None),
            Err(unknown) => return Err(unknown.into()),
        }
    };
    let runs = query.runs || check.is_some();
    let filter = Filter {
        members,
        check,
        since_ms: query.since_ms,
        until_ms: None,
        limit: limit + 1,
        runs,
    };
    let mut rows = shared.rows(filter).await?;
    let truncated = rows.len() > limit as usize;
    if truncated {
        rows.remove(0);
    }
    Ok(Json(History { rows, truncated }))
}

async fn order(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(verb): Path<String>,
    body: Bytes,
) -> Answered<Json<Answers>> {
    let wrong = |why: String| Refused::new(StatusCode::BAD_REQUEST, "C0510", why);
    let order: Order = serde_json::from_slice(&body)
        .map_err(|e| wrong(format!("the order cannot be read: {e}")))?;
    if order.select.trim().is_empty() {
        return Err(wrong(
            "an order needs a selector, such as `web/web-3` or `web`".to_owned(),
        ));
    }
    let command = command(&verb, &order).map_err(wrong)?;
    let selected = match select(&shared.plan, &order.select) {
        // What runs on from a configuration before this one has no other name.
        Err(unknown) if verb == "stop" => match evict(&shared, peer.by, &order.select).await? {
            Some(answer) => return Ok(Json(answer)),
            None => return Err(unknown.into()),
        },
        selected => selected?,
    };
    if selected.check.is_some() {
        return Err(wrong(format!("`{verb}` acts on members, not on a check"))
            .note("leave out what stands behind the colon"));
    }
    let mut answers = Vec::new();
    for &member in &selected.members {
        let (by, command) = (peer.by.clone(), command.clone());
        let answer = shared
            .ask(|answer| Question::Command {
                by,
                member,
                command,
                answer,
            })
            .await?;
        let (ok, text) = match answer {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        answers.push(Answer {
            member: shared.plan.path(member),
            ok,
            text,
        });
    }
    Ok(Json(Answers { answers }))
}

/// Stops a process that no configuration names any more; nothing when there is none of this name.
async fn evict(shared: &Shared, by: String, path: &str) -> Answered<Option<Answers>> {
    let member = path.trim().to_owned();
    let path = member.clone();
    let answer = shared
        .ask(|answer| Question::Evict { by, path, answer })
        .await?;
    Ok(answer.map(|answer| {
        let (ok, text) = match answer {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        let answers = vec![Answer { member, ok, text }];
        Answers { answers }
    }))
}

async fn reload(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Answered<Json<Reloaded>> {
    let order: ReloadOrder = serde_json::from_slice(&body).map_err(|e| {
        let why = format!("the order cannot be read: {e}");
        Refused::new(StatusCode::BAD_REQUEST, "C0510", why)
    })?;
    let (by, restart, force) = (peer.by, order.restart, order.force);
    let ask = |answer| Question::Reload {
        by,
        restart,
        force,
        answer,
    };
    let (ok, later, text) = match shared.ask_within(RELOAD_PATIENCE, ask).await? {
        Ok(text) => (true, false, text),
        Err(NotTaken::Wrong(text)) => (false, false, text),
        Err(NotTaken::Later(text)) => (false, true, text),
    };
    Ok(Json(Reloaded { ok, text, later }))
}

fn command(verb: &str, order: &Order) -> Result<Command, String> {
    Ok(match verb {
        "restart" => Command::Restart { now: order.now },
        "start" => Command::Start,
        "stop" => Command::Stop,
        "reset" => Command::Reset,
        "resume" => Command::Resume { force: order.force },
        "pause" => {
            let length = order.for_ms.ok_or("a pause needs an end: `--for 30m`")?;
            if length == 0 || length > PAUSE_MAX_MS {
                return Err("a pause lasts at least 1ms and at most 366d".to_owned());
            }
            let reason = order
                .reason
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty());
            let reason =
                reason.ok_or("a pause needs a reason for the next person: `--reason TEXT`")?;
            Command::Pause {
                until: crate::clock::now() + Span(length),
                reason: reason.to_owned(),
                force: order.force,
            }
        }
        _ => {
            return Err(format!(
                "no order `{verb}`: restart, start, stop, pause, resume, reset"
            ));
        }
    })
}

async fn group_live(
    State(shared): State<Shared>,
    Path(group): Path<String>,
    headers: HeaderMap,
) -> Answered<Response> {
    let report = group_report(&shared, &group).await?;
    let bad = |m: &&checkd_core::report::MemberReport| m.health == "failed" || m.life == "dead";
    let out: Vec<&str> = report
        .members
        .iter()
        .filter(bad)
        .map(|m| m.path.as_str())
        .collect();
    let text = if out.is_empty() {
        "no member has failed".to_owned()
    } else {
        format!("failed: {}", out.join(", "))
    };
    Ok(health(&report, out.is_empty(), &text, &headers, |m| m.live))
}

async fn group_ready(
    State(shared): State<Shared>,
    Path(group): Path<String>,
    headers: HeaderMap,
) -> Answered<Response> {
    let report = group_report(&shared, &group).await?;
    let text = format!(
        "{} of {} needed members ready",
        report.ready_members, report.ready_needed
    );
    Ok(health(&report, report.ready, &text, &headers, |m| m.ready))
}

async fn group_report(shared: &Shared, group: &str) -> Answered<GroupReport> {
    select(&shared.plan, group)?;
    let report: StatusReport = shared.ask(Question::Status).await?;
    report
        .groups
        .into_iter()
        .find(|g| g.name == group)
        .ok_or_else(|| {
            Refused::new(
                StatusCode::NOT_FOUND,
                "C0507",
                format!("no group `{group}`"),
            )
        })
}

/// `application/health+json`, or plain text for whoever asks for it.
fn health(
    report: &GroupReport,
    good: bool,
    text: &str,
    headers: &HeaderMap,
    of: impl Fn(&checkd_core::report::MemberReport) -> Status,
) -> Response {
    let code = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let no_store = (header::CACHE_CONTROL, "no-store");
    if accepts.starts_with("text/plain") {
        return (code, [no_store], format!("{text}\n")).into_response();
    }
    let warns = report.members.iter().any(|m| of(m) == Status::Warn);
    let status = match (good, warns) {
        (true, false) => "pass",
        (true, true) => "warn",
        (false, _) => "fail",
    };
    let members: serde_json::Map<String, serde_json::Value> = report
        .members
        .iter()
        .map(|m| {
            (
                m.path.clone(),
                json!([{ "status": of(m).as_str(), "output": m.summary }]),
            )
        })
        .collect();
    let body = json!({ "status": status, "output": text, "checks": members });
    let kind = (header::CONTENT_TYPE, "application/health+json");
    (code, [kind, no_store], body.to_string()).into_response()
}
