//! What the journal of a real daemon says was decided is decided again from what the engine was told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use checkd_tests::{Answer, Checkd, Signal, eventually, signal};
use serde_json::Value;

use crate::pair::{CONFIG, healthy_pair};

const PATIENCE: Duration = Duration::from_mins(1);

/// A copy of the journal in which `sql` was done.
fn copy(checkd: &Checkd, name: &str, sql: &str) -> PathBuf {
    const SCRIPT: &str = "import sqlite3, sys\n\
        sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))\n\
        copy = sqlite3.connect(sys.argv[2])\n\
        copy.executescript(sys.argv[3])\n\
        copy.commit()\n";
    let copy = checkd.dir().join(name);
    let done = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(checkd.state_dir().join("journal.db"))
        .arg(&copy)
        .arg(sql)
        .output()
        .expect("python3 runs");
    assert!(done.status.success(), "{done:?}");
    copy
}

fn replay(checkd: &Checkd, journal: &Path, more: &[&str]) -> Answer {
    let journal = journal.to_str().expect("a path");
    let answer = checkd.ask([&["replay", "--journal", journal], more].concat());
    assert!(!answer.stderr.contains("panicked"), "{answer:?}");
    answer
}

/// A daemon that has restarted a member, was killed in the middle of judging that, came back, took a
/// configuration and started another member.
fn eventful() -> Checkd {
    let mut checkd = Checkd::start(CONFIG);
    let pids = healthy_pair(&checkd);
    signal(pids[1], Signal::STOP);
    checkd.wait_replaced("web/web-1", pids[1]);
    checkd.end(Signal::KILL);
    checkd.run();
    healthy_pair(&checkd);
    checkd.write_config(&format!(
        "{}\n[group.web.checks.alive]\nkind = \"tcp\"\nport = \"{{port}}\"\n",
        CONFIG.replace("fall = 2", "fall = 3")
    ));
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    checkd.wait_check("web/web-0", "alive", "pass");
    let pids = healthy_pair(&checkd);
    signal(pids[0], Signal::KILL);
    checkd.wait_replaced("web/web-0", pids[0]);
    healthy_pair(&checkd);
    checkd
}

#[test]
fn the_journal_of_a_real_daemon_is_decided_again() {
    let mut checkd = eventful();
    // While it runs: what it does meanwhile is written after the moment that is read.
    let answer = checkd.ask(["replay"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let told = answer.unwrapped();
    assert!(told.contains("of 3 segments, all the same"), "{told}");
    for why in ["daemon started", "configuration taken"] {
        assert!(told.contains(why), "{told}");
    }
    let answer = checkd.ask(["replay", "--json"]);
    let found: Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
    let all = found["decisions"].as_u64().expect("a number");
    // Two begin, one is restarted and one started.
    assert!(all >= 4, "{found}");
    let one = checkd.ask(["replay", "web/web-1", "--json"]);
    let one: Value = serde_json::from_str(&one.stdout).expect("it is JSON");
    assert!(one["decisions"].as_u64() < Some(all), "{one}");
    let none = checkd.ask(["replay", "web/web-7"]);
    assert_eq!(none.code, Some(2), "{none:?}");

    // And when it has ended: in good order nothing may be missing at the end.
    checkd.end(Signal::TERM);
    let state = checkd.state_dir();
    let answer = checkd.ask(["replay", "--state-dir", state.to_str().expect("a path")]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.unwrapped().contains("all the same"), "{answer:?}");
}

#[test]
fn what_was_changed_in_a_journal_is_found_and_named() {
    let mut checkd = eventful();
    checkd.end(Signal::TERM);
    let restart = "(SELECT id FROM decision WHERE member = 'web-1' AND step = 'restart' \
                   AND intent IS NOT NULL)";
    let act = "(SELECT max(intent) FROM action WHERE member = 'web-1' AND act = 'restart')";
    for (number, (sql, told)) in [
        (
            format!("UPDATE decision SET because = 'a whim' WHERE id = {restart}"),
            "a whim",
        ),
        (
            format!("UPDATE decision SET verdict = 'pass', closed = 'budget' WHERE id = {restart}"),
            "detail.closed: \"budget\" → nothing",
        ),
        (
            format!("DELETE FROM action WHERE intent = {act}"),
            "now web/web-1: restart begins",
        ),
        (
            format!("UPDATE action SET outcome = 'futile' WHERE intent = {act}"),
            "restart was futile",
        ),
        (
            // Of this member alone: the other one may have failed before, while it began.
            "UPDATE input SET value = replace(value, '\"fail\"', '\"pass\"')
             WHERE json_extract(value, '$.sample.leaf[2]') = 1"
                .to_owned(),
            "web/web-1",
        ),
    ]
    .iter()
    .enumerate()
    {
        let copy = copy(&checkd, &format!("changed-{number}.db"), sql);
        let answer = replay(&checkd, &copy, &[]);
        assert_eq!(answer.code, Some(1), "{sql}: {answer:?}");
        let said = answer.unwrapped();
        assert!(said.contains(told), "{sql}: {said}");
        assert!(said.contains("web/web-1"), "{sql}: {said}");
        // What is about somebody else is not touched by it.
        if number < 2 {
            let other = replay(&checkd, &copy, &["web/web-0"]);
            assert_eq!(other.code, Some(0), "{sql}: {other:?}");
        }
    }
}

#[test]
fn what_another_configuration_would_have_done_is_told() {
    let mut checkd = eventful();
    checkd.end(Signal::TERM);
    let with = |config: &str, more: &[&str]| {
        checkd.write_config(config);
        let other = checkd.dir().join("other.toml");
        std::fs::rename(checkd.dir().join("checkd.toml"), other).expect("a file");
        let state = checkd.state_dir();
        let state = state.to_str().expect("a path");
        let words = ["replay", "--state-dir", state, "--config", "other.toml"];
        let answer = checkd.ask([&words, more].concat());
        assert_eq!(answer.code, Some(0), "{answer:?}");
        answer
    };
    let acts = |answer: &Answer, lacks: &str| -> Vec<(String, String)> {
        let told: Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
        let acts = told["acts"].as_array().expect("a list");
        let which = acts.iter().filter(|act| act[lacks].is_null());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        which
            .map(|act| (text(&act["path"]), text(&act["step"])))
            .collect()
    };
    let same = with(CONFIG, &["--json"]);
    assert_eq!(acts(&same, "would_ms"), [], "{same:?}");
    let told: Value = serde_json::from_str(&same.stdout).expect("it is JSON");
    assert_eq!(told["gone"], 0, "{told}");
    // Whom it does not have it cannot restart.
    let other = CONFIG.replace("group.web", "group.shop");
    let gone = with(&other, &[]).unwrapped();
    assert!(
        gone.contains("acts are of members that it does not have"),
        "{gone}"
    );
    let observing = CONFIG.replace("[group.web]", "[group.web]\nmode = \"observe\"");
    let told = with(&observing, &["--json"]);
    assert!(!acts(&told, "would_ms").is_empty(), "{told:?}");
    let restart = ("web/web-1".to_owned(), "restart".to_owned());
    let patient = CONFIG.replace("fall = 2", "fall = 50");
    let later = with(&patient, &["--json"]);
    assert!(acts(&later, "would_ms").contains(&restart), "{later:?}");
    let told = with(&patient, &["web/web-1"]).unwrapped();
    for words in [
        "web/web-1 restart would not have been by then",
        "with other.toml:",
    ] {
        assert!(told.contains(words), "{told}");
    }
    // What would have been the same is counted: the start of who was killed.
    let told: Value = serde_json::from_str(&later.stdout).expect("it is JSON");
    assert!(told["same"].as_u64() >= Some(1), "{told}");
    checkd.write_raw_config("[group.web]\nfal = 2\n");
    let words = ["replay", "--state-dir", "state", "--config", "checkd.toml"];
    let wrong = checkd.ask(words);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[test]
fn the_configuration_that_was_in_force_would_have_done_the_same() {
    let mut checkd = Checkd::start(CONFIG);
    // Both at once, so that one waits in truth until the other is there again.
    let pids = healthy_pair(&checkd);
    for pid in pids {
        signal(pid, Signal::STOP);
    }
    for (path, pid) in ["web/web-0", "web/web-1"].into_iter().zip(pids) {
        checkd.wait_replaced(path, pid);
    }
    let [pid, _] = healthy_pair(&checkd);
    signal(pid, Signal::STOP);
    checkd.wait_replaced("web/web-0", pid);
    healthy_pair(&checkd);
    checkd.end(Signal::TERM);
    let answer = checkd.ask(["replay", "--config", "checkd.toml", "--json"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let told: Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
    assert_eq!(told["acts"], Value::Array(Vec::new()), "{told}");
    assert!(told["same"].as_u64() >= Some(2), "{told}");
    assert_eq!(told["gone"], 0, "{told}");

    // Under a limit that the second restart of one of them exceeds it would have been given up instead.
    checkd.write_config(&format!("{CONFIG}sick_restarts = \"1 in 1h\"\n"));
    let answer = checkd.ask(["replay", "--config", "checkd.toml", "--json"]);
    let told: Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
    let acts = told["acts"].as_array().expect("a list");
    assert_eq!(acts.len(), 1, "{told}");
    assert_eq!(acts[0]["path"], "web/web-0", "{told}");
    assert!(acts[0]["would_ms"].is_null(), "{told}");
    let instead = acts[0]["instead"].as_str().unwrap_or("");
    assert!(instead.contains("given up"), "{told}");
}

#[test]
fn a_journal_that_anybody_wrote_is_told_of_and_breaks_nothing() {
    let mut checkd = eventful();
    checkd.end(Signal::TERM);
    let rows = "segment = (SELECT min(id) FROM segment)";
    for (number, (sql, told)) in [
        (format!("UPDATE input SET value = '{{' WHERE {rows}"), "cannot be replayed: input"),
        (format!("UPDATE input SET value = x'ff00' WHERE {rows}"), "cannot be replayed: input"),
        (
            format!("UPDATE input SET value = replace(value, '\"member\":1', '\"member\":77') WHERE {rows}"),
            "the same",
        ),
        ("UPDATE segment SET state = 'x'".to_owned(), "its state cannot be read"),
        (
            "UPDATE segment SET state = replace(state, '\"schedule\":[', '\"schedule\":[null,')".to_owned(),
            "its state is not one of its plan",
        ),
        (
            "UPDATE segment SET state = replace(state, '\"out\":0', '\"out\":4294967295'), at_ms = -1".to_owned(),
            "segments",
        ),
        ("UPDATE plan SET value = '[]'".to_owned(), "its plan cannot be read"),
        ("DROP TABLE input".to_owned(), "C0514"),
        (
            "DROP TABLE segment; DROP TABLE input; DROP TABLE plan".to_owned(),
            "C0516",
        ),
        ("DELETE FROM segment".to_owned(), "C0516"),
    ]
    .iter()
    .enumerate()
    {
        let copy = copy(&checkd, &format!("hostile-{number}.db"), sql);
        let answer = replay(&checkd, &copy, &[]);
        assert!(matches!(answer.code, Some(0 | 1)), "{sql}: {answer:?}");
        let said = format!("{} {}", answer.unwrapped(), answer.stderr);
        assert!(said.contains(told), "{sql}: {said}");
        assert!(!told.contains("C0514") || said.contains("help: "), "{sql}: {said}");
        if said.contains("cannot be replayed") {
            assert_eq!(answer.code, Some(1), "{sql}: {said}");
            assert!(said.contains("segments cannot be replayed"), "{sql}: {said}");
            assert!(!said.contains("all the same"), "{sql}: {said}");
            let found = replay(&checkd, &copy, &["--json"]);
            let found: Value = serde_json::from_str(&found.stdout).expect("it is JSON");
            assert_ne!(found["same"], true, "{sql}: {found}");
        }
    }
    // What the journal lost is told, and is no fault of what could be compared.
    let newest = "(SELECT max(id) FROM segment)";
    let lost = format!("UPDATE segment SET lost_seq = seq + 1 WHERE id = {newest}");
    let lost = replay(&checkd, &copy(&checkd, "lost.db", &lost), &[]);
    let said = lost.clone().unwrapped();
    assert_eq!(lost.code, Some(0), "{said}");
    assert!(
        said.contains("1 of 3 segments only to where the journal lost something"),
        "{said}"
    );
    assert!(!said.contains("all the same"), "{said}");
    // Nothing is the same where nothing was compared.
    let idle = copy(&checkd, "idle.db", "UPDATE decision SET wall_ms = 0");
    let idle = replay(&checkd, &idle, &["--since", "0s", "--json"]);
    let found: Value = serde_json::from_str(&idle.stdout).expect("it is JSON");
    assert_eq!(
        (&found["decisions"], &found["same"]),
        (&0.into(), &Value::Null),
        "{found}"
    );
    let missing = replay(&checkd, &checkd.dir().join("none.db"), &[]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("C0514"), "{missing:?}");
    // One that goes on after that has what it needs again.
    checkd.run();
    healthy_pair(&checkd);
    eventually("it can be replayed", PATIENCE, || {
        (checkd.ask(["replay"]).code == Some(0)).then_some(())
    });
}
