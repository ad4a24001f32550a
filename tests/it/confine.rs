//! What a worker may take and be, and that nothing of it outlives it: judged by what a worker in shell
//! finds out about itself.

use std::fs;
use std::process::Command;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, signal};

/// A worker with one kind, whose message is what `$1` prints.
const WORKER: &str = r#"
number() { n=${ask#*"\"$1\":"}; echo "${n%%[,\}]*}"; }
while read -r ask; do
  case "$ask" in
    *'"type":"hello"'*) echo '{"type":"hello","version":1,"plugin":"sh"}' >&0 ;;
    *'"type":"describe"'*) echo '{"type":"described","kinds":[{"kind":"tells"}]}' >&0 ;;
    *'"type":"configure"'*) echo '{"type":"configured","instance":'$(number instance)'}' >&0 ;;
    *'"type":"submit"'*)
      run=$(number run)
      said=$(eval "$1")
      echo '{"type":"sample","run":'$run',"sample":{"status":"pass","message":"'$said'"}}' >&0 ;;
  esac
done
"#;

fn prepared(plugin: &str, says: &str) -> Checkd {
    Checkd::prepare(&format!(
        r#"
[plugin.sh]
command = ["sh", "-c", '''{WORKER}''', "worker", '''{says}''']
{plugin}

[group.web]
command = ["sleep", "1000"]

[group.web.checks.tells]
kind = "tells"
interval = "1s"
timeout = "900ms"
"#
    ))
}

fn says(checkd: &Checkd) -> String {
    let leaf = checkd.wait_check("web/web-0", "tells", "pass");
    leaf["message"].as_str().expect("a message").to_owned()
}

#[test]
fn a_worker_has_the_limits_and_the_user_of_its_plugin_and_no_inherited_descriptor() {
    let root = rustix::process::geteuid().is_root();
    let (user, id) = if root {
        ("user = \"nobody\"", "nobody")
    } else {
        ("", "")
    };
    let id = Command::new("sh")
        .args(["-c", &format!("id -u {id}")])
        .output();
    let id = String::from_utf8(id.expect("sh is there").stdout).expect("a number");
    let limits = "limits = { open_files = 77, memory = \"3GiB\", cpu = \"1h\" }";
    let asked = "echo $(id -u) $(ulimit -n) $(ulimit -v) $(ulimit -t) $(ulimit -c) \
                 $(sed -n 's/NoNewPrivs:[^0-9]*//p' /proc/self/status) \
                 $([ -e /proc/$$/fd/9 ] && echo inherited || echo clean)";
    let mut checkd = prepared(&format!("{limits}\n{user}"), asked);
    checkd.run_below(&["sh", "-c", "exec 9</dev/null; exec \"$0\" \"$@\""]);
    let expected = format!("{} 77 {} 3600 0 1 clean", id.trim(), 3 << 20);
    assert_eq!(says(&checkd), expected);
}

#[test]
fn without_settings_a_worker_gets_no_privileges_and_writes_no_core() {
    let asked = "echo $(ulimit -c) $(sed -n 's/NoNewPrivs:[^0-9]*//p' /proc/self/status)";
    let mut checkd = prepared("", asked);
    checkd.run();
    assert_eq!(says(&checkd), "0 1");
}

#[test]
fn a_worker_that_cannot_be_confined_as_it_was_said_is_not_started() {
    for (plugin, told) in [
        ("user = \"no-such-user\"", "no-such-user"),
        (
            "limits = { open_files = \"unlimited\" }",
            "limit `open_files` cannot be",
        ),
    ] {
        let checkd = prepared(plugin, "echo");
        let answer = checkd.ask(["validate", "checkd.toml"]);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert!(answer.stderr.contains("error[C0217]"), "{answer:#?}");
        assert!(answer.stderr.contains(told), "{answer:#?}");
    }
}

#[test]
fn a_worker_ends_with_its_guard_and_comes_back() {
    let mut checkd = prepared("", "echo $$ $PPID");
    checkd.run();
    let said = says(&checkd);
    let pids: Vec<u32> = said.split(' ').filter_map(|pid| pid.parse().ok()).collect();
    let [worker, guard] = pids[..] else {
        panic!("two pids: {said}");
    };
    // What a person who lists processes looks for.
    let named = fs::read(format!("/proc/{guard}/cmdline")).expect("it runs");
    let named = String::from_utf8_lossy(&named).into_owned();
    assert!(named.starts_with("checkd: plugin "), "{named}");
    signal(guard, Signal::KILL);
    eventually("it is gone", Duration::from_mins(1), || {
        (!alive(worker)).then_some(())
    });
    checkd.wait("web/web-0", "is told by another worker", |member| {
        let leaf = &member["checks"][0];
        let other = leaf["message"].as_str()? != said && leaf["latest"] == "pass";
        other.then_some(())
    });
}

#[test]
fn what_left_the_session_ends_with_its_worker_and_with_a_killed_host() {
    // It is nobody's child and leads a session of its own; it holds none of the worker's descriptors.
    let asked = "(setsid sleep 1000 <&- >/dev/null 2>&1 & echo $! >>$LEFT) >/dev/null; \
                 echo left";
    for killed in [false, true] {
        let mut checkd = prepared("", &asked.replace("$LEFT", "$DIR/left"));
        checkd.run();
        assert_eq!(says(&checkd), "left");
        let left = || {
            let text = fs::read_to_string(checkd.dir().join("left")).unwrap_or_default();
            let pids: Vec<u32> = text.lines().filter_map(|pid| pid.parse().ok()).collect();
            pids
        };
        let first = *left().first().expect("it left something behind");
        eventually("it runs", Duration::from_secs(20), || {
            alive(first).then_some(())
        });
        if killed {
            signal(checkd.pid(), Signal::KILL);
        } else {
            assert_eq!(checkd.end(Signal::TERM), Some(0));
        }
        eventually("nothing stays behind", Duration::from_mins(1), || {
            let text = fs::read_to_string(checkd.dir().join("left")).unwrap_or_default();
            let mut pids = text.lines().filter_map(|pid| pid.parse().ok());
            pids.all(|pid| !alive(pid)).then_some(())
        });
    }
}

/// Waits until the log says this of the plugin `sh`.
fn told(checkd: &Checkd, what: &str) {
    let talk = || checkd.talk();
    eventually(
        &format!("the log says `{what}`"),
        Duration::from_mins(2),
        || {
            let says = |line: &str| line.contains("sh") && line.contains(what);
            talk().lines().any(says).then_some(())
        },
    );
}

#[test]
fn a_worker_whose_runs_leave_processes_behind_is_told_and_replaced() {
    let leave = "for i in 1 2 3 4 5 6; do \
                 (setsid sleep 1000 <&- >/dev/null 2>&1 & echo $! >>$DIR/left) >/dev/null; done; \
                 echo $$";
    let mut checkd = prepared("", leave);
    checkd.run();
    let first = says(&checkd);
    told(&checkd, "C0307");
    told(&checkd, "(sleep)");
    told(&checkd, "processes stayed behind, 16 may");
    let left = fs::read_to_string(checkd.dir().join("left")).expect("something was left");
    let oldest: u32 = left
        .lines()
        .find_map(|pid| pid.parse().ok())
        .expect("a pid");
    eventually("it is ended", Duration::from_mins(1), || {
        (!alive(oldest)).then_some(())
    });
    checkd.wait("web/web-0", "is told by another worker", |member| {
        let leaf = &member["checks"][0];
        let other = leaf["message"].as_str()? != first && leaf["latest"] == "pass";
        other.then_some(())
    });
    let told = checkd.talk();
    let life = told.lines().filter(|line| line.contains("C0307"));
    let lives = told.matches("processes stayed behind").count() + 1;
    assert!(life.count() <= lives, "once in each life: {told}");
}

#[test]
fn a_worker_with_too_many_processes_below_it_is_replaced() {
    // They are its own children, so nobody left them.
    let many = "if [ -e $DIR/done ]; then echo again; else : >$DIR/done; \
                for i in $(seq 520); do sleep 1000 <&- >/dev/null 2>&1 & done; sleep 1000; fi";
    let mut checkd = prepared("", many);
    checkd.run();
    told(&checkd, "more than 512 processes below it");
    assert_eq!(says(&checkd), "again");
}
