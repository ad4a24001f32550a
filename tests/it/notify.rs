//! Who is told when a person is needed: real sinks, good and bad ones.

mod hook;
#[cfg(feature = "peers")]
mod peers;

use std::fs;
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, eventually, never, signal};
use serde_json::Value;

use hook::{Hook, Manner};

/// A group that gives up at once: 78 says that a start is useless.
const HOPELESS: &str = r#"
[group.web]
command = ["sh", "-c", "exit 78"]
processes = $N

[group.web.checks.ping]
kind = "tcp"
port = 1
"#;

fn hopeless(members: u32, sinks: &str) -> String {
    format!("{}{sinks}", HOPELESS.replace("$N", &members.to_string()))
}

/// A sink that sends at once.
fn webhook(name: &str, hook: &Hook, more: &str) -> String {
    format!(
        "[notify.{name}]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/hook\"\n\
         collect = \"0s\"\nmin_interval = \"0s\"\ntimeout = \"1s\"\n{more}\n",
        hook.port
    )
}

fn is(document: &Value, event: &str) -> bool {
    document["items"][0]["event"] == event
}

/// What the status says about a sink.
fn sink(checkd: &Checkd, name: &str) -> Option<Value> {
    let status = checkd.status()?;
    let sinks = status.get("notify")?.as_array()?.clone();
    sinks.into_iter().find(|sink| sink["name"] == name)
}

#[test]
fn a_webhook_gets_what_happened_why_and_what_to_type() {
    let hook = Hook::start(Manner::Takes);
    let secret = "headers = { X-Key = { file = \"key\" }, X-Team = \"ops\" }\n\
                  username = \"anna\"\npassword = { file = \"password\" }";
    let mut checkd = Checkd::prepare(&hopeless(1, &webhook("chat", &hook, secret)));
    fs::write(checkd.dir().join("key"), "tiger-lily\n").expect("written");
    fs::write(checkd.dir().join("password"), "swordfish\n").expect("written");
    checkd.run();
    let told = hook.wait("it is told", |document| is(document, "given_up"));
    let item = &told["items"][0];
    assert_eq!(
        (
            &told["version"],
            &told["sink"],
            &told["count"],
            &told["test"]
        ),
        (&1.into(), &"chat".into(), &1.into(), &false.into())
    );
    assert_eq!(item["about"], "web/web-0");
    assert_eq!(
        (&item["group"], &item["member"]),
        (&"web".into(), &"web-0".into())
    );
    assert!(item["incident"].is_u64(), "{told:#}");
    assert_eq!(item["commands"][1], "checkd reset web/web-0");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(text(&item["text"]).contains("78"), "{told:#}");
    assert!(text(&item["explain"]).contains("given up"), "{told:#}");
    assert!(
        text(&told["subject"]).ends_with(": web/web-0 given up"),
        "{told:#}"
    );
    assert!(
        text(&told["text"]).contains("checkd reset web/web-0"),
        "{told:#}"
    );
    let head = hook.heads().remove(0).join("\n").to_lowercase();
    for wanted in [
        "post /hook http/1.1",
        "content-type: application/json",
        "x-key: tiger-lily",
        "x-team: ops",
        "authorization: basic yw5uytpzd29yzgzpc2g=",
    ] {
        assert!(head.contains(wanted), "{wanted} is not in\n{head}");
    }
}

#[test]
fn an_outage_of_fifty_members_is_one_message() {
    let hook = Hook::start(Manner::Takes);
    let config = hopeless(50, &webhook("chat", &hook, ""));
    let checkd = Checkd::start(&config.replace("collect = \"0s\"", "collect = \"8s\""));
    let told = hook.wait("it is told", |_| true);
    assert_eq!(told["count"], 50, "{told:#}");
    assert_eq!(told["groups"][0]["count"], 50);
    let subject = told["subject"].as_str().unwrap_or_default();
    assert!(subject.contains("50 of web given up (web-"), "{subject}");
    assert_eq!(hook.got().len(), 1, "{}", checkd.talk());
}

#[test]
fn the_end_is_told_to_who_was_told_of_the_beginning() {
    let (all, quiet) = (Hook::start(Manner::Takes), Hook::start(Manner::Takes));
    let every = "events = [\"incident\", \"given_up\", \"recovered\"]";
    let config = format!(
        "{}{}{}",
        crate::pair::CONFIG,
        webhook("all", &all, every),
        webhook("quiet", &quiet, "")
    );
    let checkd = Checkd::start(&config);
    let [pid, _] = crate::pair::healthy_pair(&checkd);
    signal(pid, Signal::KILL);
    let begun = all.wait("its death is told", |document| is(document, "incident"));
    let over = all.wait("its recovery is told", |document| is(document, "recovered"));
    assert_eq!(begun["items"][0]["incident"], over["items"][0]["incident"]);
    assert_eq!(over["items"][0]["role"], "end");
    // Nobody was to be woken for a member that was started again and is well.
    assert_eq!(quiet.got(), Vec::<Value>::new());
}

#[test]
fn a_sink_that_fails_is_shown_delays_no_other_and_gets_it_in_the_end() {
    let (bad, good) = (Hook::start(Manner::Fails), Hook::start(Manner::Takes));
    let sinks = format!("{}{}", webhook("bad", &bad, ""), webhook("good", &good, ""));
    let checkd = Checkd::start(&hopeless(1, &sinks));
    good.wait("the good one is told", |document| is(document, "given_up"));
    let limit = Duration::from_mins(1);
    let failing = eventually("it is shown", limit, || {
        sink(&checkd, "bad").filter(|sink| sink["failing"].is_string())
    });
    let why = "answered 500 Internal Server Error: out of order";
    assert_eq!(
        (&failing["failing"], &failing["waiting"]),
        (&why.into(), &1.into())
    );
    let shown = checkd.ask(["status"]).stdout;
    assert!(shown.contains("notify bad  fails  since "), "{shown}");
    assert!(!shown.contains("notify good"), "{shown}");
    // Each of the ways in which a server can be bad has its reason.
    for (manner, why) in [
        (Manner::Hangs, "no answer within 1s"),
        (Manner::Closes, "it closed the connection without an answer"),
    ] {
        bad.behave(manner);
        let said = checkd.ask(["notify", "test", "bad"]).stderr;
        assert!(
            said.contains(&format!("`bad` cannot be told: {why}")),
            "{said}"
        );
    }
    let times = checkd.talk().matches("C0530").count();
    assert_eq!(times, 1, "said once:\n{}", checkd.talk());
    assert!(
        checkd.talk().contains("`bad` cannot be told"),
        "{}",
        checkd.talk()
    );
    // A mended sink is tried at once when the configuration is read again.
    bad.behave(Manner::Endless);
    let changed = format!(
        "{}{}",
        webhook("bad", &bad, "retry_for = \"1h\""),
        webhook("good", &good, "")
    );
    checkd.write_config(&hopeless(1, &changed));
    let answer = checkd.ask(["reload"]);
    let said = [answer.stdout, answer.stderr].concat();
    assert!(said.contains("1 sink changed"), "{said}");
    eventually("it is well again", limit, || {
        sink(&checkd, "bad").filter(|sink| sink["failing"].is_null() && sink["waiting"] == 0)
    });
    eventually("it is said", limit, || {
        checkd.talk().contains("`bad` is told again").then_some(())
    });
    assert_eq!(good.got().len(), 1);
}

#[test]
fn a_daemon_killed_before_it_could_send_sends_it_later_and_nothing_twice() {
    let hook = Hook::start(Manner::Hangs);
    let config = hopeless(
        2,
        &webhook("chat", &hook, "timeout = \"30s\"").replace("timeout = \"1s\"\n", ""),
    );
    let mut checkd = Checkd::start(&config);
    // It is on its way, and written down, and not taken.
    hook.wait("it is being sent", |document| is(document, "given_up"));
    // In the journal too: what that lost the next daemon would find out anew.
    for path in ["web/web-0", "web/web-1"] {
        eventually("it is written down", Duration::from_mins(1), || {
            let history = checkd.ask(["history", path]).unwrapped();
            history.contains("given up").then_some(())
        });
    }
    checkd.end(Signal::KILL);
    let tried = hook.got().len();
    hook.behave(Manner::Takes);
    checkd.run();
    let about = |from: usize| {
        let documents = hook.got().into_iter().skip(from);
        let items = documents.flat_map(|d| d["items"].as_array().cloned().unwrap_or_default());
        let mut about: Vec<String> = items.map(|item| item["about"].to_string()).collect();
        about.sort();
        about
    };
    let both = ["\"web/web-0\"", "\"web/web-1\""];
    eventually("the next one sends it", Duration::from_mins(1), || {
        (about(tried) == both).then_some(())
    });
    checkd.end(Signal::TERM);
    checkd.run();
    checkd.wait("web/web-0", "is given up still", |member| {
        member.get("given_up")?.is_string().then_some(())
    });
    never("it is told again", Duration::from_secs(2), || {
        (about(tried) != both).then(|| about(tried))
    });
}

#[test]
fn what_was_not_tried_is_sent_when_the_daemon_ends() {
    let hook = Hook::start(Manner::Takes);
    let config = hopeless(1, &webhook("chat", &hook, ""));
    let mut checkd = Checkd::start(&config.replace("collect = \"0s\"", "collect = \"1h\""));
    eventually("it waits", Duration::from_mins(1), || {
        sink(&checkd, "chat").filter(|sink| sink["waiting"] == 1)
    });
    checkd.end(Signal::TERM);
    assert!(is(&hook.got()[0], "given_up"), "{:?}", hook.got());
}

#[test]
fn a_command_gets_the_document_and_is_killed_with_all_that_it_started() {
    let config = hopeless(
        1,
        r#"
[notify.good]
kind = "command"
command = ["sh", "-c", "cat >got.json; echo $CHECKD_EVENT $CHECKD_GROUP/$CHECKD_MEMBER >env"]
collect = "0s"

[notify.slow]
kind = "command"
command = ["sh", "-c", "sleep 1000 & echo $! >pids; setsid sleep 1000 & echo $! >>pids; echo gasp >&2; wait"]
collect = "0s"
timeout = "1s"

[notify.loud]
kind = "command"
command = ["sh", "-c", "yes | head -c 5000000; echo it is full >&2; exit 3"]
collect = "0s"
timeout = "20s"
"#,
    );
    let checkd = Checkd::start(&config);
    let limit = Duration::from_mins(1);
    let read = |name: &str| fs::read_to_string(checkd.dir().join(name)).unwrap_or_default();
    eventually("the command ran", limit, || {
        read("env").ends_with('\n').then_some(())
    });
    assert_eq!(read("env"), "given_up web/web-0\n");
    let document: Value = serde_json::from_str(&read("got.json")).expect("JSON");
    assert!(is(&document, "given_up"), "{document:#}");
    for (name, why) in [
        ("slow", "was not done within 1s and was killed: gasp"),
        ("loud", "ended with exit code 3: it is full"),
    ] {
        eventually(why, limit, || {
            sink(&checkd, name).filter(|sink| sink["failing"] == why)
        });
    }
    for pid in read("pids").lines() {
        let pid: u32 = pid.parse().expect("a pid");
        eventually("what it started is gone", limit, || {
            (!checkd_tests::alive(pid)).then_some(())
        });
    }
}

#[test]
fn a_test_message_says_what_came_back_and_no_secret() {
    let hook = Hook::start(Manner::Takes);
    let sinks = format!(
        "{}[notify.broken]\nkind = \"webhook\"\nurl = {{ env = \"HOOK_URL\" }}\ntimeout = \"5s\"\n\
         [notify.lost]\nkind = \"webhook\"\nurl = {{ file = \"no-such-file\" }}\n",
        webhook("chat", &hook, "")
    );
    let checkd = Checkd::prepare(&hopeless(1, &sinks));
    // No daemon is needed.
    let answer = checkd.ask(["notify", "test", "chat"]);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(0), "chat (webhook): answered 200 OK\n"),
        "{answer:?}"
    );
    assert_eq!(hook.got()[0]["test"], true);
    hook.behave(Manner::Fails);
    let url = format!("http://127.0.0.1:{}/hooks/T0-s3cr3t", hook.port);
    let output = checkd
        .verb(["notify", "test"])
        .env("HOOK_URL", &url)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("error[C0530]: `broken` cannot be told: answered 500"),
        "{said}"
    );
    assert!(
        said.contains("cannot read `/") && said.contains("/no-such-file` for `url`"),
        "{said}"
    );
    assert!(!said.contains("s3cr3t"), "{said}");
    let answer = checkd.ask(["notify", "test", "chatt"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("did you mean `chat`?"), "{answer:?}");
}

#[test]
fn a_disk_that_takes_nothing_keeps_nobody_from_being_told() {
    let hook = Hook::start(Manner::Takes);
    let mut checkd = Checkd::prepare(&hopeless(1, &webhook("chat", &hook, "")));
    // A directory where the file should be: nothing can be written there.
    fs::create_dir_all(checkd.state_dir().join("notify.db")).expect("a directory");
    checkd.run();
    hook.wait("it is told all the same", |document| {
        is(document, "given_up")
    });
    let limit = Duration::from_mins(1);
    eventually("it is said", limit, || {
        checkd.talk().contains("warning[C0531]").then_some(())
    });
    // As soon as there is room, everything that counts is written down.
    fs::remove_dir(checkd.state_dir().join("notify.db")).expect("removed");
    let now = Instant::now();
    eventually("the file is there", limit, || {
        let file = checkd.state_dir().join("notify.db");
        fs::metadata(file)
            .ok()
            .filter(fs::Metadata::is_file)
            .map(drop)
    });
    assert!(now.elapsed() < limit);
    assert_eq!(
        checkd.talk().matches("C0531").count(),
        1,
        "{}",
        checkd.talk()
    );
}

#[test]
fn a_damaged_queue_is_set_aside_and_told() {
    let hook = Hook::start(Manner::Takes);
    let mut checkd = Checkd::prepare(&hopeless(1, &webhook("chat", &hook, "")));
    fs::create_dir_all(checkd.state_dir()).expect("a directory");
    fs::write(
        checkd.state_dir().join("notify.db"),
        "no database at all".repeat(500),
    )
    .expect("written");
    checkd.run();
    hook.wait("it is told all the same", |document| {
        is(document, "given_up")
    });
    assert!(
        checkd.talk().contains("warning[C0531]"),
        "{}",
        checkd.talk()
    );
    let kept = fs::read_dir(checkd.state_dir())
        .expect("a directory")
        .flatten()
        .find(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .contains("notify.damaged-")
        })
        .expect("it was renamed");
    let text = fs::read_to_string(kept.path()).expect("readable");
    assert!(text.starts_with("no database at all"), "{text}");
}

#[test]
fn a_secured_webhook_is_told_and_a_stranger_is_not() {
    let scratch = tempfile::tempdir().expect("a directory");
    let into = scratch.path().join("got");
    let mut server = std::process::Command::new("python3")
        .arg(checkd_tests::root().join("tests/peers/https.py"))
        .arg(&into)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut port = String::new();
    let said = server.stdout.take().expect("its output");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut port).expect("a port");
    let port = port.trim();
    let ca_file = checkd_tests::root().join("tests/peers/tls/authority.pem");
    let checkd = Checkd::prepare(&hopeless(
        1,
        &format!(
            "[notify.known]\nkind = \"webhook\"\nurl = \"https://localhost:{port}/\"\nca_file = \"{}\"\n\
             [notify.stranger]\nkind = \"webhook\"\nurl = \"https://localhost:{port}/\"\n",
            ca_file.display()
        ),
    ));
    let answer = checkd.ask(["notify", "test"]);
    // Its standard input ends, and so does the server.
    drop(server.stdin.take());
    server.wait().expect("it ends");
    assert_eq!(
        answer.stdout, "known (webhook): answered 204 No Content\n",
        "{answer:?}"
    );
    assert!(
        answer.stderr.contains(
            "`stranger` cannot be told: the connection cannot be secured: invalid peer certificate"
        ),
        "{answer:?}"
    );
    let got = fs::read_to_string(&into).expect("something came");
    assert_eq!(got.lines().count(), 1, "{got}");
}

#[test]
fn a_full_disk_keeps_nobody_from_being_told_and_forgets_nothing() {
    let hook = Hook::start(Manner::Fails);
    let mut checkd = Checkd::prepare("");
    checkd.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\ncontrol = \"$DIR/control.sock\"\n{}{}",
        crate::pair::CONFIG,
        webhook("chat", &hook, "events = [\"incident\"]")
    ));
    // A small disk of its own, seen by this daemon and its members alone.
    let state = checkd.state_dir().display().to_string();
    let script =
        format!("mkdir -p {state} && mount -t tmpfs -o size=2m none {state} && exec \"$@\"");
    let mount = [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let root = rustix::process::geteuid().is_root();
    let user: &[&str] = if root {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    checkd.run_below(&[&["unshare"], user, &mount[..]].concat());
    let [first, _] = crate::pair::healthy_pair(&checkd);
    let inside = format!("/proc/{}/root{state}", checkd.pid());
    let written = fs::write(format!("{inside}/fill"), vec![1_u8; 4 << 20]);
    assert!(written.is_err(), "the disk takes more than it has room for");
    signal(first, Signal::KILL);
    hook.wait("it is told all the same", |document| {
        is(document, "incident")
    });
    let limit = Duration::from_mins(1);
    eventually("it is said", limit, || {
        checkd.talk().contains("warning[C0531]").then_some(())
    });
    // What waits is written down as soon as there is room: the file of the queue names it.
    fs::remove_file(format!("{inside}/fill")).expect("the disk has room again");
    eventually("it is written down", limit, || {
        let files = ["notify.db", "notify.db-wal"].map(|name| fs::read(format!("{inside}/{name}")));
        let mut files = files.into_iter().flatten();
        files
            .any(|bytes| bytes.windows(5).any(|part| part == b"web-0"))
            .then_some(())
    });
}

/// A worker whose one kind says what a file says.
const SHY: &str = r#"
import json, socket, sys
stream = socket.socket(fileno=0).makefile("rw")
for line in stream:
    it = json.loads(line)
    answer = {
        "hello": {"type": "hello", "version": 1, "plugin": "shy", "release": "1"},
        "describe": {"type": "described", "kinds": [{"kind": "shy", "summary": "Says what a file says",
            "options": {"type": "object", "properties": {}}, "package": "shy 1"}]},
        "configure": {"type": "configured", "instance": it.get("instance"), "problems": []},
    }.get(it["type"])
    if it["type"] == "submit":
        status = open(sys.argv[1]).read().strip()
        cause = None if status == "pass" else "no_permission"
        answer = {"type": "sample", "run": it["run"],
            "sample": {"status": status, "cause": cause, "message": "as it says"}}
    if answer:
        stream.write(json.dumps(answer) + "\n")
        stream.flush()
"#;

#[test]
fn the_end_of_blindness_is_told_too() {
    let hook = Hook::start(Manner::Takes);
    let config = r#"
[plugin.shy]
command = ["python3", "$DIR/shy.py", "$DIR/says"]

[group.web]
command = ["sleep", "1000"]

[group.web.checks.shy]
kind = "shy"
interval = "300ms"
timeout = "200ms"

[group.web.policy]
confirm_up = "300ms"
settle = "0s"
"#;
    let mut checkd = Checkd::prepare(&format!("{config}{}", webhook("chat", &hook, "")));
    fs::write(checkd.dir().join("shy.py"), SHY).expect("written");
    fs::write(checkd.dir().join("says"), "pass").expect("written");
    checkd.run();
    let pid = checkd.wait_health("web/web-0", "healthy");
    fs::write(checkd.dir().join("says"), "unknown").expect("written");
    hook.wait("it is blind", |document| is(document, "blind"));
    // A daemon that begins again neither repeats it nor takes it for over.
    checkd.end(Signal::TERM);
    checkd.run();
    checkd.wait("web/web-0", "is blind still", |member| {
        let labels = member.get("labels")?.as_array()?;
        labels.iter().any(|label| label == "blind").then_some(())
    });
    assert_eq!(hook.got().len(), 1, "{:#?}", hook.got());
    fs::write(checkd.dir().join("says"), "pass").expect("written");
    let over = hook.wait("it sees again", |document| is(document, "recovered"));
    let said = over["items"][0]["text"].as_str().unwrap_or_default();
    assert!(said.contains("can be judged again"), "{over:#}");
    assert_eq!(checkd.member_pid("web/web-0"), Some(pid));
}

/// A worker that ends at a run, and then whenever it is started, while the file `die` is there.
const MORTAL: &str = r#"
import json, os
def tell(**message):
    os.write(0, json.dumps(message).encode() + b"\n")
for line in open(0, "rb", closefd=False):
    ask = json.loads(line)
    what = ask["type"]
    if what in ("hello", "submit") and os.path.exists("die"):
        os._exit(3)
    if what == "hello":
        tell(type="hello", version=1)
    elif what == "describe":
        tell(type="described", kinds=[{"kind": "mortal"}])
    elif what == "configure":
        tell(type="configured", instance=ask["instance"])
    elif what == "submit":
        tell(type="sample", run=ask["run"], sample={"status": "pass"})
"#;

#[test]
fn a_plugin_that_is_quarantined_is_news_and_so_is_its_end() {
    let hook = Hook::start(Manner::Takes);
    let config = format!(
        "[plugin.acme]\ncommand = [\"python3\", \"mortal.py\"]\n\
         [defaults]\ninterval = \"300ms\"\ntimeout = \"250ms\"\n\
         [group.web]\ncommand = [\"sleep\", \"infinity\"]\n\
         [group.web.checks.alive]\nkind = \"mortal\"\n{}",
        webhook("chat", &hook, "events = [\"plugin\", \"recovered\"]")
    );
    let mut checkd = Checkd::prepare(&config);
    fs::write(checkd.dir().join("mortal.py"), MORTAL).expect("written");
    checkd.run();
    checkd.wait_check("web/web-0", "alive", "pass");
    fs::write(checkd.dir().join("die"), "").expect("written");
    let told = hook.wait("it is told", |document| is(document, "plugin"));
    let item = &told["items"][0];
    assert_eq!(item["about"], "plugin acme", "{told:#}");
    assert_eq!(item["plugin"], "acme", "{told:#}");
    assert_eq!(item["headline"], "quarantined", "{told:#}");
    assert_eq!(
        (&item["group"], &item["member"]),
        (&Value::Null, &Value::Null)
    );
    let text = item["text"].as_str().expect("a text");
    for words in ["its checks are unknown", "exited with code 3"] {
        assert!(text.contains(words), "{told:#}");
    }
    let subject = told["subject"].as_str().expect("a subject");
    assert!(subject.contains(": plugin acme quarantined"), "{told:#}");
    // Whoever looks is told too.
    let status = checkd.ask(["status"]).unwrapped();
    assert!(
        status.contains("plugin acme quarantined since "),
        "{status}"
    );
    let listed = checkd.ask(["plugin", "list", "checkd.toml"]).unwrapped();
    assert!(listed.contains("acme: quarantined since "), "{listed}");
    let explained = checkd.ask(["explain", "web/web-0"]).unwrapped();
    assert!(
        explained.contains("checkd plugin inspect acme"),
        "{explained}"
    );
    fs::remove_file(checkd.dir().join("die")).expect("it was there");
    // It is tried again after half a minute.
    let told = eventually("its end is told", Duration::from_mins(3), || {
        let mut all = hook.got().into_iter();
        all.find(|document| is(document, "recovered"))
    });
    assert_eq!(told["items"][0]["about"], "plugin acme", "{told:#}");
    assert_eq!(told["items"][0]["headline"], "used again", "{told:#}");
    let plugins = hook.got().into_iter().filter(|told| is(told, "plugin"));
    assert_eq!(plugins.count(), 1);
}
