//! What a member wrote, and what it writes, with and without a daemon.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, eventually};

const CONFIG: &str = r#"
[group.web]
command = ["sh", "-c", "echo start $$; exec sleep 1000"]
processes = 2
stop_timeout = "2s"

[group.web.policy]
confirm_up = "100ms"
"#;

/// A verb that goes on, and its lines.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn begin(checkd: &Checkd, arguments: &[&str]) -> Self {
        let mut child = checkd
            .verb(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("checkd starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines
            .recv_timeout(Duration::from_mins(1))
            .expect("a line within a minute")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start_of(checkd: &Checkd, path: &str) -> String {
    let pid = eventually("it runs", Duration::from_mins(1), || {
        checkd.member_pid(path)
    });
    format!("start {pid}")
}

fn restart(checkd: &Checkd) {
    // Once the start before is judged.
    eventually("a restart by hand is taken", Duration::from_mins(1), || {
        let answer = checkd.ask(["restart", "--now", "web/web-0"]);
        (answer.code == Some(0)).then_some(())
    });
}

#[test]
fn output_is_followed_over_restarts_of_the_member_and_of_the_daemon() {
    let mut checkd = Checkd::start(CONFIG);
    let first = start_of(&checkd, "web/web-0");
    let follow = Following::begin(&checkd, &["logs", "-f", "web/web-0"]);
    assert_eq!(follow.next(), first);

    restart(&checkd);
    let second = follow.next();
    assert!(second.starts_with("start ") && second != first, "{second}");

    checkd.end(Signal::KILL);
    let answer = checkd.ask(["logs", "web/web-0"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.stdout, format!("{first}\n{second}\n"));

    checkd.run();
    assert_eq!(start_of(&checkd, "web/web-0"), second);
    restart(&checkd);
    let third = follow.next();
    assert_eq!(start_of(&checkd, "web/web-0"), third);

    let answer = checkd.ask(["logs", "-n", "1", "web/web-0"]);
    assert_eq!(answer.stdout, format!("{third}\n"));
    let socket = checkd.state_dir().join("control.sock");
    let socket = socket.to_string_lossy();
    let answer = checkd.ask(["logs", "-n", "1", "web/web-0", "--control", &socket]);
    assert_eq!(answer.stdout, format!("{third}\n"), "{}", answer.stderr);
}

#[test]
fn who_has_no_output_is_told_apart() {
    let mut checkd = Checkd::start(CONFIG);
    start_of(&checkd, "web/web-0");
    start_of(&checkd, "web/web-1");
    for (member, code, words) in [
        ("web/web-7", 2, "no member `web-7`"),
        ("web-0", 2, "did you mean `web/web-0`?"),
        ("web", 2, "shows one member"),
    ] {
        let answer = checkd.ask(["logs", member]);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        assert!(answer.stderr.contains(words), "{answer:?}");
        assert!(answer.stdout.is_empty(), "{answer:?}");
    }
    checkd.end(Signal::TERM);
    let answer = checkd.ask(["logs", "web/web-7"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("error[C0511]"), "{answer:?}");
    assert!(
        answer.stderr.contains("members: web/web-0, web/web-1"),
        "{answer:?}"
    );
}
