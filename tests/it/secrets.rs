//! A secret that a plugin was given and prints: nobody reads it, and it is kept nowhere.

use std::fs;
use std::path::Path;
use std::time::Duration;

use checkd_tests::{Checkd, eventually, root};

const SECRET: &str = "h0rse-battery-staple";

const CONFIG: &str = r#"
[plugin.acme]
command = ["python3", "checks.py"]

[defaults]
interval = "300ms"
timeout = "250ms"

[group.web]
command = ["sleep", "infinity"]

[group.web.checks.backlog]
kind = "acme_backlog"
directory = "orders"
fail_above = 1
password = { file = "$DIR/password" }
"#;

/// The worker of the documents, with a secret that it says wherever it says something.
fn place_worker(checkd: &Checkd) {
    let text = fs::read_to_string(root().join("docs/examples/plain-worker/backlog.py"))
        .expect("it is readable");
    let edits = [
        (
            r#"    "required": ["directory", "fail_above"],"#,
            r#"    "required": ["directory", "fail_above", "password"],"#,
        ),
        (
            r#"        "fail_above": {"type": "integer""#,
            r#"        "password": {"type": "string", "format": "secret", "description": "Whose."},
        "fail_above": {"type": "integer""#,
        ),
        (
            "    limit = options[\"fail_above\"]\n    try:",
            r#"    limit = options["fail_above"]
    print("cannot reach db://u:" + options["password"] + "@db", file=sys.stderr, flush=True)
    tell(type="log", level="warn", message="tried " + options["password"])
    if os.path.exists("die"):
        raise RuntimeError(options["password"])
    if os.path.exists("sample"):
        return {"status": "fail", "cause": "refused", "message": "no " + options["password"]}
    try:"#,
        ),
        ("import os\n", "import os, sys\n"),
    ];
    let mut text = text;
    for (old, new) in edits {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    fs::write(checkd.dir().join("checks.py"), text).expect("it is written");
    fs::write(checkd.dir().join("password"), format!("{SECRET}\n")).expect("it is written");
}

fn below(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("it is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            below(&path, found);
        } else if path.is_file() {
            // One that has gone meanwhile holds nothing.
            let bytes = fs::read(&path).unwrap_or_default();
            let holds = bytes
                .windows(SECRET.len())
                .any(|window| window == SECRET.as_bytes());
            if holds {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn a_secret_that_a_plugin_says_is_hidden_wherever_it_says_it() {
    let mut checkd = Checkd::prepare(CONFIG);
    place_worker(&checkd);
    checkd.run();
    let soon = Duration::from_mins(1);
    for (file, words) in [("sample", "no ***"), ("die", "RuntimeError: ***")] {
        fs::write(checkd.dir().join(file), "").expect("it is written");
        eventually(&format!("it is told as `{words}`"), soon, || {
            let said = checkd.ask(["explain", "web/web-0"]).unwrapped();
            assert!(!said.contains(SECRET), "{said}");
            said.contains(words).then_some(())
        });
    }
    let said = checkd.talk();
    assert!(said.contains("tried ***"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    let check = checkd.ask(["check", "acme_backlog", "--config", "checkd.toml"]);
    assert!(!format!("{check:?}").contains(SECRET), "{check:?}");
    let mut found = Vec::new();
    below(&checkd.state_dir(), &mut found);
    assert!(found.is_empty(), "it stands in {found:?}");
}
