//! The worker protocol as documented: its transcript is what a worker says, and what is really said
//! fits its schema.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use checkd_tests::schema::fits;
use checkd_tests::{Checkd, checkd_binary, eventually, library, root};
use serde_json::{Value, json};

#[test]
fn the_transcript_is_what_the_worker_of_the_example_says() {
    let document =
        fs::read_to_string(root().join("docs/worker-protocol.md")).expect("the document");
    let (_, transcript) = document
        .split_once("```transcript\n")
        .expect("a transcript");
    let (transcript, _) = transcript.split_once("```").expect("its end");

    let place = tempfile::tempdir().expect("a directory");
    fs::create_dir(place.path().join("orders-3")).expect("a directory");
    for order in ["a", "b", "c"] {
        fs::write(place.path().join("orders-3").join(order), "").expect("written");
    }
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_read_timeout(Some(Duration::from_mins(1)))
        .expect("a time");
    let mut worker = Command::new("python3")
        .arg(root().join("docs/examples/plain-worker/backlog.py"))
        .current_dir(place.path())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .expect("python3 runs");
    let mut answers = BufReader::new(ours.try_clone().expect("a copy")).lines();
    let mut compared = 0;
    for line in transcript.lines() {
        if let Some(ask) = line.strip_prefix("> ") {
            writeln!(ours, "{ask}").expect("it reads");
        } else {
            let written = line.strip_prefix("< ").expect("a mark");
            let answer = answers.next().expect("an answer").expect("it answers");
            let [written, answer] = [written, &answer]
                .map(|text| serde_json::from_str::<Value>(text).expect("a message"));
            assert_eq!(answer, written);
            compared += 1;
        }
    }
    assert!(
        compared >= 7,
        "only {compared} answers: this test looks wrongly"
    );
    ours.shutdown(std::net::Shutdown::Both).expect("it ends");
    assert!(worker.wait().expect("it ends").success());
}

fn schema() -> Value {
    let path = root().join("docs/worker-protocol.schema.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the schema")).expect("JSON")
}

#[test]
fn what_is_really_said_fits_the_schema() {
    // A library's worker, the Python package, and the example without a library, each behind one
    // that writes down what is said.
    let tee = root().join("tests/fixtures/tee.py");
    let spool = library("docs/examples/spool-check", "spool_check");
    let of = |log: &str, command: &[&str]| {
        let words = ["python3", &tee.to_string_lossy(), log];
        let words: Vec<&str> = words.into_iter().chain(command.iter().copied()).collect();
        format!("[plugin.{log}]\ncommand = {}\n", json!(words))
    };
    let at = |path: &str| root().join(path).to_string_lossy().into_owned();
    let hostile = at("plugin-api/python/tests/hostile.py");
    let plain = at("docs/examples/plain-worker/backlog.py");
    let (checkd, spool) = (checkd_binary().to_string_lossy(), spool.to_string_lossy());
    let plugins = [
        of("rust", &[&checkd, "worker", "--", &spool]),
        of("python", &["python3", &hostile]),
        of("plain", &["python3", &plain]),
    ]
    .concat();
    let config = format!(
        r#"
{plugins}
[defaults]
interval = "500ms"
timeout = "250ms"

[group.web]
command = ["sleep", "infinity"]
processes = 1

[group.web.checks]
rust = {{ kind = "spool", directory = "/", max_depth = 100000 }}
plain = {{ kind = "acme_backlog", directory = "/", fail_above = 1000 }}
passes = {{ kind = "py_passes" }}
lies = {{ kind = "py_lies" }}
prints = {{ kind = "py_prints" }}
hangs = {{ kind = "py_hangs" }}

[group.web.health]
live = "passes"
"#
    );
    let checkd = Checkd::start(&config);
    for check in ["rust", "plain", "passes"] {
        checkd.wait_check("web/web-0", check, "pass");
    }
    // Mistakes too.
    checkd.write_config(&config.replace("fail_above = 1000", "fail_above = -1"));
    assert_eq!(checkd.ask(["validate", "checkd.toml"]).code, Some(2));

    let schema = schema();
    let mut seen = BTreeSet::new();
    let wanted = [
        "> hello",
        "< hello",
        "> describe",
        "< described",
        "> configure",
        "< configured",
        "> submit",
        "< sample",
        "> cancel",
        "> drop",
        "< log",
    ];
    eventually("every message was said", Duration::from_mins(1), || {
        for log in ["rust", "python", "plain"] {
            let said = fs::read_to_string(checkd.dir().join(log)).unwrap_or_default();
            // The last line may be half written.
            for line in said.lines().take(said.matches('\n').count()) {
                let (mark, text) = line.split_at(2);
                let message: Value = serde_json::from_str(text).expect("a message");
                let of = if mark == "> " { "Ask" } else { "Tell" };
                if let Err(why) = fits(&schema, &schema["$defs"][of], &message, "") {
                    panic!("{log}: {line}\n{why}");
                }
                seen.insert(format!(
                    "{mark}{}",
                    message["type"].as_str().expect("a type")
                ));
            }
        }
        wanted.iter().all(|one| seen.contains(*one)).then_some(())
    });
}

#[test]
fn what_is_no_message_does_not_fit_the_schema() {
    let schema = schema();
    let judged =
        |of: &str, message: Value| fits(&schema, &schema["$defs"][of], &message, "").is_ok();
    assert!(judged("Ask", json!({ "type": "cancel", "run": 1 })));
    assert!(judged(
        "Tell",
        json!({ "type": "hello", "version": 1, "more": "is ignored" })
    ));
    for (of, message) in [
        ("Ask", json!({ "type": "cancel" })),
        ("Ask", json!({ "type": "cancel", "run": -1 })),
        ("Ask", json!({ "type": "sing" })),
        ("Ask", json!([])),
        ("Tell", json!({ "type": "hello", "version": "1" })),
        (
            "Tell",
            json!({ "type": "described", "kinds": [{ "kind": "Bad Name" }] }),
        ),
        (
            "Tell",
            json!({ "type": "described", "kinds": [{ "kind": "a", "scope": "world" }] }),
        ),
        (
            "Tell",
            json!({ "type": "sample", "run": 1, "sample": { "status": "fine" } }),
        ),
        (
            "Tell",
            json!({ "type": "sample", "run": 1, "sample": { "status": "fail", "cause": "x" } }),
        ),
        (
            "Tell",
            json!({ "type": "configured", "instance": 1, "problems": [{}] }),
        ),
    ] {
        assert!(!judged(of, message.clone()), "{message} fits");
    }
}
