//! Real peers: an Alertmanager and a mail server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use checkd_tests::{Checkd, Signal, eventually, free_ports, root, venv};
use serde_json::Value;

use super::{hopeless, sink};

const LIMIT: Duration = Duration::from_mins(1);

/// A peer that ends with its test.
struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A mail server that keeps what it takes in `into`.
fn mail_server(into: &Path, arguments: &[&str]) -> Peer {
    let mut child = Command::new(venv("python"))
        .arg(root().join("tests/peers/mail.py"))
        .arg("--into")
        .arg(into)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut line = String::new();
    let said = child.stdout.take().expect("its output");
    BufReader::new(said).read_line(&mut line).expect("a port");
    let port = line.trim().parse().expect("a port");
    Peer { child, port }
}

/// The mails in a file.
fn mails(from: &Path) -> Vec<Value> {
    let text = fs::read_to_string(from).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn mail(port: u16, more: &str) -> String {
    format!(
        "[notify.mail]\nkind = \"smtp\"\nserver = \"localhost:{port}\"\nfrom = \"checkd@example.com\"\n\
         to = [\"ops@example.com\", \"boss@example.com\"]\ncollect = \"0s\"\n{more}\n"
    )
}

fn ca_file() -> String {
    let path = root().join("tests/peers/tls/authority.pem");
    format!("ca_file = \"{}\"", path.display())
}

#[test]
fn a_mail_says_what_a_person_needs_at_night() {
    let scratch = tempfile::tempdir().expect("a directory");
    let into = scratch.path().join("mails");
    let server = mail_server(&into, &["--starttls", "--login", "checkd:swordfish"]);
    let login = "username = \"checkd\"\npassword = { file = \"password\" }\n";
    let sinks = mail(server.port, &format!("{login}{}", ca_file()));
    let mut checkd = Checkd::prepare(&hopeless(1, &sinks));
    fs::write(checkd.dir().join("password"), "swordfish\n").expect("written");
    checkd.run();
    let mail = eventually("a mail comes", LIMIT, || {
        let shown = sink(&checkd, "mail");
        let failing = shown.as_ref().and_then(|sink| sink["failing"].as_str());
        assert_eq!(failing, None, "{}", checkd.talk());
        mails(&into).pop()
    });
    assert_eq!(mail["from"], "checkd@example.com");
    assert_eq!(mail["to"][1], "boss@example.com");
    assert_eq!(
        (&mail["secured"], &mail["login"]),
        (&true.into(), &"checkd".into())
    );
    let data = mail["data"]
        .as_str()
        .unwrap_or_default()
        .replace("=\r\n", "");
    for wanted in [
        "web/web-0 given up",
        "From: checkd <checkd@example.com>",
        "To: ops@example.com, boss@example.com",
        "Auto-Submitted: auto-generated",
        "checkd reset web/web-0",
        "checkd explain web/web-0",
    ] {
        assert!(data.contains(wanted), "{wanted} is not in\n{data}");
    }
}

#[test]
fn each_way_in_which_a_mail_server_can_refuse_has_its_reason() {
    let scratch = tempfile::tempdir().expect("a directory");
    let into = scratch.path().join("mails");
    let login = "username = \"checkd\"\npassword = { env = \"MAIL_PASSWORD\" }\n";
    let ca = ca_file();
    for (arguments, more, wanted) in [
        // Good ones first, so that the others are refused for the reason that is meant.
        (
            &["--tls"][..],
            format!("tls = \"tls\"\n{ca}"),
            Ok("answered 250 taken"),
        ),
        (&[], "tls = \"none\"".to_owned(), Ok("answered 250 taken")),
        (
            &["--tls", "--login", "checkd:swordfish"],
            format!("tls = \"tls\"\n{login}{ca}"),
            Err("the mail server answered 535"),
        ),
        (
            &["--refuse"],
            "tls = \"none\"".to_owned(),
            Err("answered 550: "),
        ),
        // Secured or not at all, and by whom it should be.
        (&[], ca.clone(), Err("did not take it")),
        (&["--starttls"], String::new(), Err("UnknownIssuer")),
    ] {
        let server = mail_server(&into, arguments);
        let before = mails(&into).len();
        let checkd = Checkd::prepare(&hopeless(1, &mail(server.port, &more)));
        let output = checkd
            .verb(["notify", "test", "mail"])
            .env("MAIL_PASSWORD", "tiger-lily")
            .output()
            .expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let (Ok(part) | Err(part)) = wanted;
        assert!(said.contains(part), "{arguments:?} {more}\n{said}");
        assert!(!said.contains("tiger-lily"), "{said}");
        assert_eq!(output.status.success(), wanted.is_ok(), "{said}");
        assert_eq!(mails(&into).len() - before, usize::from(wanted.is_ok()));
    }
}

/// An Alertmanager that keeps nothing when it ends.
fn alertmanager(directory: &Path, port: u16) -> Peer {
    let config = directory.join("alertmanager.yml");
    let text = "route: { receiver: nobody }\nreceivers: [ { name: nobody } ]\n";
    fs::write(&config, text).expect("written");
    let storage = tempfile::tempdir_in(directory).expect("a directory");
    let child = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", storage.path().display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("an Alertmanager is there: `tests/run` installs the real peers");
    let peer = Peer { child, port };
    eventually("the Alertmanager answers", LIMIT, || alerts(&peer));
    peer
}

/// What fires, as the Alertmanager sees it.
fn alerts(at: &Peer) -> Option<Vec<Value>> {
    let mut stream = TcpStream::connect(("127.0.0.1", at.port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let request = "GET /api/v2/alerts HTTP/1.0\r\nHost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.contains(" 200 ") {
        return None;
    }
    serde_json::from_str(body).ok()
}

#[test]
fn an_alert_begins_goes_on_and_ends() {
    let scratch = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let first = alertmanager(scratch.path(), port);
    let config = format!(
        r#"
[group.web]
command = ["sh", "-c", "test -e $DIR/mended && exec sleep 1000; exit 78"]

[group.web.checks.memory]
kind = "memory"
max_rss = "1GiB"
interval = "500ms"
timeout = "250ms"

[group.web.policy]
confirm_up = "500ms"

[notify.alerts]
kind = "alertmanager"
url = "http://127.0.0.1:{port}/"
"#
    );
    let mut checkd = Checkd::start(&config);
    let fires = |peer: &Peer| {
        let all = alerts(peer)?;
        all.into_iter()
            .find(|alert| alert["labels"]["alertname"] == "checkd_given_up")
    };
    let alert = eventually("it fires", LIMIT, || fires(&first));
    assert_eq!(
        (
            &alert["labels"]["group"],
            &alert["labels"]["member"],
            &alert["labels"]["severity"]
        ),
        (&"web".into(), &"web-0".into(), &"critical".into())
    );
    assert_eq!(alert["annotations"]["summary"], "web/web-0 given up");
    let begun = alert["startsAt"].clone();

    // Neither of them remembers by itself: the next daemon tells the next Alertmanager.
    checkd.end(Signal::TERM);
    drop(first);
    let second = alertmanager(scratch.path(), port);
    assert_eq!(alerts(&second), Some(Vec::new()));
    checkd.run();
    let alert = eventually("it fires again", LIMIT, || fires(&second));
    assert_eq!(alert["startsAt"], begun);

    fs::write(checkd.dir().join("mended"), "").expect("written");
    assert_eq!(checkd.ask(["reset", "web/web-0"]).code, Some(0));
    checkd.wait_health("web/web-0", "healthy");
    eventually("it ends", LIMIT, || fires(&second).is_none().then_some(()));
    // The Alertmanager has it before its answer is here.
    eventually("nothing waits and nothing fails", LIMIT, || {
        sink(&checkd, "alerts").filter(|sink| sink["failing"].is_null() && sink["waiting"] == 0)
    });

    // And a test message is an alert too.
    assert_eq!(checkd.ask(["notify", "test"]).code, Some(0));
    eventually("the test fires", LIMIT, || {
        let mut all = alerts(&second)?.into_iter();
        all.find(|alert| alert["labels"]["alertname"] == "checkd_test")
    });
}
