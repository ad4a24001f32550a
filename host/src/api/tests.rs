//! The control socket with a loop that answers by rote.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use checkd_core::engine::{Command, Engine};
use checkd_core::plan::Plan;
use checkd_core::report::StatusReport;
use checkd_core::{Generation, Instant, IntentId, MemberId};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, channel, unbounded_channel};

use super::client::{self, Control, Failure};
use super::wire::{Answers, Explained, History, Order, Watched};
use super::{Live, Server, Serving};
use crate::daemon::{NotTaken, Question};
use crate::journal::Journal;
use crate::manager::tests::{check, plan};

struct Bench {
    directory: tempfile::TempDir,
    serving: Serving,
    commands: UnboundedReceiver<(String, Command)>,
    journal: Journal,
}

impl Bench {
    fn path(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    fn new() -> Self {
        let mut plan: Plan = plan(&["true"], 2);
        plan.groups[0].checks = vec![check("ping")];
        let plan = Arc::new(plan);
        let directory = tempfile::tempdir().unwrap();
        let (events, _) = unbounded_channel();
        let file = directory.path().join("journal.db");
        let (journal, _, _) = Journal::open(&file, Arc::clone(&plan), events).unwrap();
        let (questions, mut asked) = channel(8);
        let (told, commands) = unbounded_channel();
        let engine = Engine::new(Arc::clone(&plan), 0, IntentId(1), Instant(0));
        tokio::spawn(async move {
            while let Some((_, question)) = asked.recv().await {
                match question {
                    Question::Alive(answer) => drop(answer.send(())),
                    Question::Status(answer) => drop(answer.send(engine.status(Instant(1_000)))),
                    Question::Explain(id, answer) => {
                        drop(answer.send(engine.explain(id, Instant(1_000))));
                    }
                    Question::Command {
                        by,
                        member,
                        command,
                        answer,
                    } => {
                        let result = if member.member == 0 {
                            Ok("will be done".to_owned())
                        } else {
                            Err("paused by anna".to_owned())
                        };
                        drop(answer.send(result));
                        told.send((by, command)).unwrap();
                    }
                    Question::Evict { by, path, answer } => {
                        let runs = path == "old/old-0";
                        drop(answer.send(runs.then(|| Ok(format!("stopped for {by}")))));
                    }
                    Question::Reload {
                        restart, answer, ..
                    } => {
                        let result = if restart {
                            Err(NotTaken::Later("no".to_owned()))
                        } else {
                            Ok("yes".to_owned())
                        };
                        drop(answer.send(result));
                    }
                }
            }
        });
        let server = Server::bind(&directory.path().join("control.sock"), None).unwrap();
        let (_, in_force) = tokio::sync::watch::channel(plan);
        let serving = server.serve(Live {
            plan: in_force,
            questions,
            reader: journal.reader(),
            output_dir: directory.path().join("output"),
            changes: journal.changes(),
        });
        Self {
            directory,
            serving,
            commands,
            journal,
        }
    }

    /// Asks as a verb does, which is not async.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Control) -> T + Send + 'static,
    ) -> T {
        let control = client::at(&self.path(), "the test");
        tokio::task::spawn_blocking(move || question(&control))
            .await
            .unwrap()
    }

    async fn refused(&self, path: &'static str, body: Option<Value>) -> (String, String) {
        let answer = self
            .ask(move |control| match body {
                Some(body) => control.post::<Value>(path, &body),
                None => control.get::<Value>(path),
            })
            .await;
        match answer {
            Err(Failure::Refused(refusal)) => (refusal.code, refusal.error),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_stands_is_answered_to_the_owner_alone() {
    let bench = Bench::new();
    let mode = std::fs::metadata(bench.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let status: StatusReport = bench
        .ask(|c| c.get("/api/v1/status?select=web/web-1"))
        .await
        .unwrap();
    let paths: Vec<&str> = status.groups[0]
        .members
        .iter()
        .map(|m| m.path.as_str())
        .collect();
    assert_eq!(paths, ["web/web-1"]);
    // Several selectors: each member once, in the plan's order.
    let several: StatusReport = bench
        .ask(|c| c.get("/api/v1/status?select=web/web-1,web/web-0,web/*1"))
        .await
        .unwrap();
    let members = several.groups[0].members.iter();
    let paths: Vec<&str> = members.map(|m| m.path.as_str()).collect();
    assert_eq!(paths, ["web/web-0", "web/web-1"]);
    assert_eq!(
        bench
            .refused("/api/v1/status?select=web/web-1,wbe", None)
            .await
            .0,
        "C0507"
    );
    let explained: Explained = bench
        .ask(|c| c.get("/api/v1/explain?select=web/*:ping"))
        .await
        .unwrap();
    assert_eq!(explained.members.len(), 2);
    assert_eq!(explained.members[0].report.checks.len(), 1);
    let history: History = bench.ask(|c| c.get("/api/v1/history")).await.unwrap();
    assert!(history.rows.is_empty() && !history.truncated);
    let path = bench.path();
    bench.serving.end().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_status_waits_for_a_change_and_no_longer_than_it_was_told() {
    let bench = Bench::new();
    let first: Watched = bench.ask(|c| c.get("/api/v1/status")).await.unwrap();
    let path = |wait_ms: u64| {
        let version = first.version;
        format!("/api/v1/status?seen={version}&wait_ms={wait_ms}")
    };
    let (short, long) = (path(30), path(15_000));
    let same: Watched = bench.ask(move |c| c.get(&short)).await.unwrap();
    assert_eq!(same.version, first.version);

    let member = MemberId {
        group: 0,
        member: 0,
    };
    let change = async {
        // The order of these two does not matter: what was missed is answered at once.
        tokio::task::yield_now().await;
        bench.journal.started(
            member,
            Generation {
                boot: 1,
                pid: 2,
                start: 3,
            },
        );
    };
    let began = std::time::Instant::now();
    let (other, ()) = tokio::join!(bench.ask(move |c| c.get::<Watched>(&long)), change);
    assert_ne!(other.unwrap().version, first.version);
    assert!(began.elapsed() < std::time::Duration::from_secs(10));

    // One that waits does not keep the daemon from ending.
    let mut changes = bench.journal.changes();
    let version = *changes.borrow_and_update();
    let path = format!("/api/v1/status?seen={version}&wait_ms=15000");
    let control = client::at(&bench.path(), "the test");
    let waiting = tokio::task::spawn_blocking(move || control.get::<Watched>(&path));
    tokio::task::yield_now().await;
    let began = std::time::Instant::now();
    bench.serving.end().await;
    drop(waiting.await.unwrap());
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn an_order_is_answered_member_by_member_and_says_who_gave_it() {
    let mut bench = Bench::new();
    let order = Order {
        select: "web".to_owned(),
        for_ms: Some(60_000),
        reason: Some("looking".to_owned()),
        ..Order::default()
    };
    let answers: Answers = bench
        .ask(move |c| c.post("/api/v1/pause", &order))
        .await
        .unwrap();
    let told: Vec<(bool, &str)> = answers
        .answers
        .iter()
        .map(|a| (a.ok, a.text.as_str()))
        .collect();
    assert_eq!(told, [(true, "will be done"), (false, "paused by anna")]);
    let (by, command) = bench.commands.recv().await.unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert!(by.starts_with(&format!("uid {uid}")), "{by}");
    assert!(matches!(command, Command::Pause { reason, .. } if reason == "looking"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let bench = Bench::new();
    for (path, body, code, words) in [
        ("/api/v1/status?select=wbe", None, "C0507", "no group `wbe`"),
        (
            "/api/v1/explain?select=web/web-7",
            None,
            "C0507",
            "no member `web-7`",
        ),
        ("/nothing", None, "C0509", "nothing at this address"),
        (
            "/api/v1/restart",
            Some(json!({})),
            "C0510",
            "needs a selector",
        ),
        (
            "/api/v1/restart",
            Some(json!({ "select": "web", "noww": true })),
            "C0510",
            "unknown field `noww`",
        ),
        (
            "/api/v1/explode",
            Some(json!({ "select": "web" })),
            "C0510",
            "no order `explode`",
        ),
        (
            "/api/v1/pause",
            Some(json!({ "select": "web", "for_ms": 1 })),
            "C0510",
            "needs a reason",
        ),
        (
            "/api/v1/pause",
            Some(json!({ "select": "web", "reason": "x" })),
            "C0510",
            "needs an end",
        ),
        (
            "/api/v1/stop",
            Some(json!({ "select": "web/web-0:ping" })),
            "C0510",
            "not on a check",
        ),
    ] {
        let (found, error) = bench.refused(path, body).await;
        assert_eq!(found, code, "{path}");
        assert!(error.contains(words), "{path}: {error}");
    }
    let large = json!({ "select": "w".repeat(20_000) });
    let answer = bench
        .ask(move |c| c.post::<Value>("/api/v1/stop", &large))
        .await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_group_that_is_not_ready_answers_503_in_both_shapes() {
    use std::io::{Read, Write};
    let bench = Bench::new();
    for (accept, shape) in [
        ("text/plain", "0 of 2 needed members ready\n"),
        ("*/*", "\"status\":\"fail\""),
    ] {
        let path = bench.path();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            let request = format!(
                "GET /groups/web/ready HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(shape), "{answer}");
    }
}

#[tokio::test]
async fn a_socket_is_taken_over_from_the_dead_and_never_from_the_living() {
    let bench = Bench::new();
    let told = Server::bind(&bench.path(), None).unwrap_err();
    assert_eq!(told.code, "C0505");
    assert!(told.message.contains("in use"), "{told:?}");

    let dead = bench.directory.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    Server::bind(&dead, None).unwrap();

    let long = bench.directory.path().join("x".repeat(120));
    let told = Server::bind(&long, None).unwrap_err();
    assert!(told.message.contains("may have 103"), "{told:?}");
}
