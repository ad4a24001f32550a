//! What `allow` opens to a worker, and what stays shut: judged by plugins that try it all.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use checkd_tests::{Checkd, library, root};

/// A plugin, what it is allowed, and the check that tries everything.
fn prepared(source: &str, allow: Option<&str>, check: &str) -> (Checkd, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener
        .local_addr()
        .expect("it is bound")
        .port()
        .to_string();
    let allow = allow.map_or(String::new(), |words| format!("allow = [{words}]"));
    let config = format!(
        r#"
[plugin.reacher]
{source}
{allow}

[group.web]
command = ["sleep", "1000"]

[group.web.checks.tells]
{check}
interval = "1s"
timeout = "900ms"
"#
    );
    let checkd = Checkd::prepare(&config.replace("$PORT", &port));
    let reach = checkd.dir().join("reach");
    fs::create_dir(&reach).expect("a directory");
    fs::write(reach.join("there"), "there").expect("written");
    (checkd, listener)
}

/// The interpreter itself and where it lives, for `python3` may be a script of a version manager.
fn python() -> (String, String) {
    let asked = Command::new("python3")
        .args([
            "-c",
            "import sys; print(sys.executable); print(sys.base_prefix)",
        ])
        .output()
        .expect("python3 runs");
    let told = String::from_utf8(asked.stdout).expect("two paths");
    let (program, home) = told.split_once('\n').expect("two paths");
    (program.to_owned(), home.trim().to_owned())
}

/// As a command: a script that an interpreter runs, which may read its own home.
fn script(allow: Option<&str>) -> (Checkd, TcpListener) {
    let (python, home) = python();
    let script = root().join("tests/fixtures/reacher.py");
    let words = format!(
        r#"["{python}", "{}", "$DIR/reach", "$PORT"]"#,
        script.display()
    );
    let allow = allow.map(|words| format!(r#""read:{home}", {words}"#));
    prepared(
        &format!("command = {words}"),
        allow.as_deref(),
        r#"kind = "reaches""#,
    )
}

/// As a library.
fn loaded(allow: Option<&str>) -> (Checkd, TcpListener) {
    let library = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    prepared(
        &format!(r#"path = "{}""#, library.display()),
        allow,
        "kind = \"hostile_reaches\"\ndirectory = \"$DIR/reach\"\nport = $PORT",
    )
}

fn told((mut checkd, _listener): (Checkd, TcpListener)) -> String {
    checkd.run();
    let leaf = checkd.wait_check("web/web-0", "tells", "pass");
    leaf["message"].as_str().expect("a message").to_owned()
}

const NOTHING: &str = "read EACCES, write EACCES, connect EPERM, local EPERM, exec EACCES, \
                       memory EPERM, signal EPERM, environ EACCES";

#[test]
fn a_worker_without_allow_reaches_whatever_its_user_may() {
    assert_eq!(
        told(script(None)),
        "read yes, write yes, connect yes, local yes, exec yes, memory yes, signal yes, environ yes"
    );
}

#[test]
fn a_worker_that_is_allowed_nothing_reaches_nothing_and_runs() {
    assert_eq!(told(script(Some(""))), NOTHING);
    assert_eq!(
        told(loaded(Some(""))),
        "read PermissionDenied, write PermissionDenied, connect PermissionDenied, \
         exec PermissionDenied"
    );
}

#[test]
fn a_library_is_confined_and_runs_as_another_user_too() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a user, and C0217 says so: `confine` holds it.
        return;
    }
    let said = told(loaded(Some(
        "]\nuser = \"nobody\"\nlimits.open_files = 64 #",
    )));
    assert!(!said.contains("yes"), "{said}");
}

#[test]
fn each_word_of_allow_opens_what_it_says_and_no_more() {
    for (word, opened) in [
        (r#""network""#, &["connect", "local"][..]),
        (r#""exec""#, &["exec", "memory"]),
        // Relative to the configuration.
        (r#""read:reach""#, &["read"]),
        (r#""write:$DIR/reach""#, &["read", "write"]),
    ] {
        let expected: Vec<String> = NOTHING
            .split(", ")
            .map(|one| match one.split_once(' ') {
                Some((what, _)) if opened.contains(&what) => format!("{what} yes"),
                _ => one.to_owned(),
            })
            .collect();
        assert_eq!(told(script(Some(word))), expected.join(", "), "{word}");
    }
    assert_eq!(
        told(loaded(Some(r#""network", "exec", "write:$DIR/reach""#))),
        "read yes, write yes, connect yes, exec yes"
    );
}

#[test]
fn a_path_that_is_not_there_is_refused_by_its_name() {
    let (checkd, _listener) = script(Some(r#""read:$DIR/nowhere""#));
    let answer = checkd.ask(["validate", "checkd.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    for word in ["error[C0217]", "`allow` names `read:", "/nowhere`"] {
        assert!(answer.stderr.contains(word), "{word}: {answer:#?}");
    }
}

#[test]
fn a_worker_that_its_confinement_broke_says_what_it_is_confined_to() {
    // Its own directory is not allowed, and it needs a module from there.
    let script = root().join("tests/fixtures/reacher.py");
    let (python, home) = python();
    let code = "import sys; sys.path[0] = '$DIR/reach'; import missing";
    let (checkd, _listener) = prepared(
        &format!(r#"command = ["{python}", "-c", "{code}"]"#),
        Some(&format!(r#""read:{home}""#)),
        r#"kind = "reaches""#,
    );
    fs::copy(script, checkd.dir().join("reach/missing.py")).expect("copied");
    let answer = checkd.ask(["validate", "checkd.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    for word in [
        "error[C0207]",
        "No module named",
        "its worker is confined to `allow = [\"read:",
    ] {
        assert!(answer.stderr.contains(word), "{word}: {answer:#?}");
    }
}

#[test]
fn a_kernel_that_cannot_confine_is_told_and_the_worker_runs() {
    // Stands for an old kernel: it does not know Landlock.
    let old = root().join("tests/fixtures/no_landlock.py");
    let (mut checkd, _listener) = script(Some(""));
    checkd.run_below(&["python3", &old.to_string_lossy()]);
    let leaf = checkd.wait_check("web/web-0", "tells", "pass");
    let message = leaf["message"].as_str().expect("a message");
    assert!(
        message.starts_with("read yes, write yes, connect EPERM"),
        "{message}"
    );
    let log = checkd.talk();
    for word in ["C0218", "`reacher`", "it reads, writes, starts and signals"] {
        assert!(log.contains(word), "{word}: {log}");
    }
}
