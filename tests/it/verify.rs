//! `checkd plugin verify`: good plugins keep every clause; one that hangs, crashes or lies breaks the
//! clauses in which it does, and the others are judged all the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use checkd_tests::{Answer, Checkd, library};
use serde_json::Value;

/// A worker in Python that keeps the contract, but for what its first argument says.
const WORKER: &str = r#"
import json, os, socket, sys, time
how = sys.argv[1]
stream = socket.socket(fileno=0)
def tell(**message):
    stream.sendall(json.dumps(message).encode() + b"\n")
options = {
    "type": "object", "additionalProperties": False,
    "properties": {"word": {"type": "string", "description": "What to say."}},
}
for line in stream.makefile("rb"):
    ask = json.loads(line)
    if ask["type"] == "hello":
        tell(type="hello", version=1, plugin="puppet", release="1.0")
    elif ask["type"] == "describe":
        kind = {"kind": "puppet", "summary": "a puppet", "options": options, "example": 'word = "x"'}
        if how == "reserved": kind["kind"] = "Not A Kind"
        if how == "taken": kind["kind"] = "http"
        if how == "open": options.pop("additionalProperties", None)
        tell(type="described", kinds=[kind])
    elif ask["type"] == "configure":
        if how == "dies_configured": sys.exit(7)
        wrong = [k for k in ask["options"] if k not in options["properties"]]
        if how == "lenient": wrong = []
        told = [{"option": k, "message": "unknown option"} for k in wrong]
        tell(type="configured", instance=ask["instance"], problems=told)
    elif ask["type"] == "submit":
        sample = {"status": "pass", "message": "well"}
        if how == "silent": continue
        if how == "forks" and os.fork() == 0:
            os.close(0)
            os.setsid()
            os.execvp("sleep", ["sleep", "1000"])
        if how == "dies": sys.exit(7)
        if how == "status": sample["status"] = "splendid"
        if how == "noise": stream.sendall(b"this is no JSON\n")
        tell(type="sample", run=ask["run"] + (1 if how == "other_run" else 0), sample=sample)
        if how == "twice": tell(type="sample", run=ask["run"], sample=sample)
    elif ask["type"] not in ("cancel", "drop"):
        if how != "ignores": tell(type="error", message="unknown type")
if how == "stays": time.sleep(1000)
"#;

fn verify<const N: usize>(checkd: &Checkd, arguments: [&str; N]) -> Answer {
    checkd.ask(["plugin", "verify"].into_iter().chain(arguments))
}

/// Each clause that was broken, with why.
fn broken(answer: &Answer) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&answer.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}): {answer:#?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let clauses = report["clauses"].as_array().expect("a list");
    assert!(clauses.len() > 20, "{report:#}");
    clauses
        .iter()
        .filter(|clause| clause["outcome"] == "fail")
        .map(|clause| (text(&clause["clause"]), text(&clause["why"])))
        .collect()
}

fn puppet(checkd: &Checkd, how: &str) -> Answer {
    let file = checkd.dir().join("puppet.py");
    fs::write(&file, WORKER).expect("the worker is written");
    let file = file.to_string_lossy();
    // A machine that is busy is no fault of the plugin: only where the fault is silence is it short.
    let (patience, timeout) = match how {
        "ignores" | "stays" => ("15s", "20s"),
        "silent" => ("60s", "1s"),
        _ => ("60s", "20s"),
    };
    verify(
        checkd,
        [
            "--json",
            "--patience",
            patience,
            "--timeout",
            timeout,
            "--",
            "python3",
            &*file,
            how,
        ],
    )
}

#[test]
fn a_good_library_and_a_good_command_keep_every_clause() {
    let checkd = Checkd::prepare("");
    let spool = library("docs/examples/spool-check", "spool_check");
    let spool = spool.to_string_lossy();
    let answer = verify(&checkd, ["--patience", "60s", "--timeout", "20s", &*spool]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    for words in [
        "built with checkd-abi 1.0.0, checkd-plugin-api 1.0.0",
        "kind `spool`",
        "  pass  it describes itself",
        "  skip  a secret is repeated nowhere\n        it has no secret",
        " 0 failed",
    ] {
        assert!(
            answer.stdout.contains(words),
            "lacks `{words}`: {answer:#?}"
        );
    }
    let answer = puppet(&checkd, "good");
    assert_eq!((answer.code, broken(&answer)), (Some(0), vec![]));
}

#[test]
fn a_command_that_breaks_the_contract_breaks_the_clauses_that_say_so() {
    let checkd = Checkd::prepare("");
    let runs = [
        "a run is answered once",
        "with valid options a run neither breaks nor overruns",
        "samples say why, and their numbers are numbers",
        "instances share no memory",
        "many instances run at the same time",
        "a run that is given up is answered, once",
        "no run leaves a process behind",
    ];
    // A status that is none is answered, and once.
    let (samples, answers) = (&runs[..4], &runs[..6]);
    let table: [(&str, &[&str], &str); 13] = [
        ("silent", &runs, "no sample came within"),
        ("dies", &runs, "exited with code 7"),
        ("twice", answers, ""),
        ("other_run", answers, "answered run 2"),
        ("noise", &runs, "is not the protocol's"),
        ("status", samples, "splendid"),
        (
            "lenient",
            &["unknown options are refused, all of them by name"],
            "is accepted",
        ),
        (
            "ignores",
            &["what it does not know is answered with an error, and it goes on"],
            "did not answer within",
        ),
        (
            "stays",
            &["it ends with its stream"],
            "was still there 15s after",
        ),
        (
            "forks",
            &["no run leaves a process behind"],
            "after 3 more runs 3 more processes were below its worker",
        ),
        (
            "taken",
            &["every kind that it offers can be used"],
            "checkd itself offers kind `http`",
        ),
        (
            "open",
            &["its options are an object with documented keys"],
            "`\"additionalProperties\": false`",
        ),
        (
            "reserved",
            &[
                "every kind that it offers can be used",
                "it describes itself",
            ],
            "kind `Not A Kind` is not named",
        ),
    ];
    let judge = |(how, clauses, why): (&str, &[&str], &str)| {
        let answer = puppet(&checkd, how);
        assert_eq!(answer.code, Some(1), "{how}: {answer:#?}");
        let found = broken(&answer);
        let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, clauses, "{how}: {found:#?}");
        assert!(found[0].1.contains(why), "{how}: {found:#?}");
    };
    let (waiting, busy): (Vec<_>, Vec<_>) = table
        .into_iter()
        .partition(|(how, ..)| ["silent", "ignores", "stays"].contains(how));
    // Those that wait wait together; the others keep the processor busy, one after the other.
    std::thread::scope(|scope| {
        for one in waiting {
            scope.spawn(move || judge(one));
        }
        busy.into_iter().for_each(judge);
    });
}

#[test]
fn a_library_that_crashes_hangs_and_panics_ends_only_its_own_clauses() {
    let checkd = Checkd::prepare("");
    let hostile = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    let hostile = hostile.to_string_lossy();
    for (kind, why) in [
        ("hostile_segfault", "SIGSEGV"),
        ("hostile_exit", "exited with code 3"),
        ("hostile_panic", "hostile on purpose"),
        ("hostile_loop", "did not come back after its timeout"),
    ] {
        let answer = verify(
            &checkd,
            [
                "--json",
                "--kind",
                kind,
                "--options",
                "{}",
                "--patience",
                "60s",
                "--timeout",
                "500ms",
                &*hostile,
            ],
        );
        assert_eq!(answer.code, Some(1), "{kind}: {answer:#?}");
        let found = broken(&answer);
        let of = |clause: &str| found.iter().find(|(name, _)| name == clause);
        let sound = of("with valid options a run neither breaks nor overruns");
        let sound = sound.unwrap_or_else(|| panic!("{kind}: {found:#?}"));
        assert!(sound.1.contains(why), "{kind}: {found:#?}");
        // It says who it is, and refuses what it must, as if nothing were wrong with its runs.
        for kept in [
            "it describes itself",
            "valid options are accepted, also twice",
            "unknown options are refused, all of them by name",
        ] {
            assert_eq!(of(kept), None, "{kind}");
        }
    }
}

#[test]
fn what_is_no_plugin_is_refused_before_any_clause() {
    let checkd = Checkd::prepare("");
    let text = checkd.dir().join("text.so");
    fs::write(&text, "this is no library\n").expect("written");
    let script = checkd.dir().join("checks.py");
    fs::write(&script, "#!/bin/sh\nexit 5\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("ours");
    for (words, told) in [
        (vec!["text.so"], "error[C0202]"),
        (vec!["nowhere.so"], "error[C0201]"),
        // Not in PATH: as `inspect` and `--plugin` take it, it is the file that stands here.
        (vec!["checks.py"], "exited with code 5"),
        (vec!["/nowhere/at-all"], "error[C0201]"),
        (vec!["sh", "-c", "exit 4"], "exited with code 4"),
        (vec!["cat"], "error[C0207]"),
    ] {
        let answer = checkd.ask(
            ["plugin", "verify"]
                .into_iter()
                .chain(words.iter().copied()),
        );
        assert_eq!(answer.code, Some(2), "{words:?}: {answer:#?}");
        assert!(answer.stderr.contains(told), "{words:?}: {answer:#?}");
        assert_eq!(answer.stdout, "", "{words:?}");
    }
    let spool = library("docs/examples/spool-check", "spool_check");
    let spool: &Path = &spool;
    let answer = verify(&checkd, ["--kind", "spol", &*spool.to_string_lossy()]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(
        answer.stderr.contains("did you mean `spool`?"),
        "{answer:#?}"
    );
}
