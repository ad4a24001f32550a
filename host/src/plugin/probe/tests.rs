//! Workers in shell: good ones, and every way to be useless.

use super::*;

/// A worker in shell: reads a line, writes a line, as often as `answers` says.
fn shell(answers: &[&str], then: &str) -> Launch {
    let mut script = String::new();
    for answer in answers {
        script.push_str(&format!("read -r ask; printf '%s\\n' '{answer}' >&0\n"));
    }
    script.push_str(then);
    Launch::bare("demo", &["sh".into(), "-c".into(), script], None)
}

const HELLO: &str = r#"{"type":"hello","version":1,"plugin":"demo","release":"1.2"}"#;
const KINDS: &str = r#"{"type":"described","kinds":[{"kind":"demo_a"}]}"#;

#[test]
fn a_worker_describes_itself_and_judges_options() {
    let problem =
        r#"{"type":"configured","instance":1,"problems":[{"option":"a","message":"too small"}]}"#;
    let log = r#"{"type":"log","level":"info","message":"hello"}"#;
    let told = format!("{log}\n{KINDS}");
    let launch = shell(&[HELLO, &told, problem], "");
    let mut probe = Probe::open(&launch, "demo.py").unwrap();
    assert_eq!(
        (probe.plugin.as_str(), probe.release.as_str()),
        ("demo", "1.2")
    );
    let kinds = probe.describe("demo.py").unwrap();
    assert_eq!(kinds.first().unwrap().kind, "demo_a");
    let problems = probe
        .configure("demo_a", &Map::new(), &Target::default())
        .unwrap();
    assert_eq!(problems, [Problem::of("a", "too small")]);
}

#[test]
fn a_worker_that_cannot_be_used_is_told_with_its_reason() {
    let refused = r#"{"type":"error","code":"C0203","message":"built for abi 2.0","notes":["this host speaks 1.x"],"help":"rebuild"}"#;
    for (launch, code, told) in [
        (
            shell(&[], "exit 4"),
            "C0207",
            "its worker exited with code 4",
        ),
        (
            shell(&[], "echo no module >&2; exit 1"),
            "C0207",
            "its last output: no module",
        ),
        (
            shell(&["nonsense"], "cat >/dev/null"),
            "C0207",
            "not the protocol's",
        ),
        (
            shell(&[&HELLO.replace('1', "9")], "cat >/dev/null"),
            "C0203",
            "speaks version 9",
        ),
        (shell(&[refused], ""), "C0203", "built for abi 2.0"),
        (
            Launch::bare("demo", &["/nowhere".into()], None),
            "C0209",
            "there is no program `/nowhere`",
        ),
    ] {
        let diagnostic = Probe::open(&launch, "demo.py").unwrap_err();
        assert_eq!(diagnostic.code, code, "{told}");
        assert!(
            diagnostic.notes.iter().any(|note| note.contains(told)),
            "{diagnostic:?}"
        );
    }
}

#[test]
fn an_error_may_come_at_any_time_and_is_the_reason_only_when_no_answer_comes() {
    let error = r#"{"type":"error","message":"no cache"}"#;
    let good = format!("{error}\n{}", r#"{"type":"configured","instance":1}"#);
    // Between the two it is told to drop the first.
    let end = format!("read -r drop; read -r ask; printf '%s\\n' '{error}' >&0; exit 3");
    let launch = shell(&[HELLO, &good], &end);
    let mut probe = Probe::open(&launch, "demo.py").unwrap();
    let mut judged = || probe.configure("demo_a", &Map::new(), &Target::default());
    assert_eq!(judged(), Ok(Vec::new()));
    assert_eq!(
        judged().unwrap_err(),
        "its worker exited with code 3; it said: no cache"
    );
}

#[test]
fn a_worker_that_dies_while_configuring_says_so() {
    let launch = shell(&[HELLO], "read -r ask; kill -SEGV $$");
    let mut probe = Probe::open(&launch, "demo.py").unwrap();
    let told = probe
        .configure("demo_a", &Map::new(), &Target::default())
        .unwrap_err();
    assert_eq!(told, "its worker ended by SIGSEGV");
}
