//! Members that a reload takes away, whatever is being done to them just then: stopped in order, told in
//! the history, nothing left, nobody started twice.

use std::fs;
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, alive, eventually, never, signal};

const PATIENCE: Duration = Duration::from_mins(1);

/// A member that notes each start and each TERM, which it takes after `linger` seconds.
const MEMBER: &str = r#"
import os, signal, sys, time
name, directory, linger = sys.argv[1], sys.argv[2], float(sys.argv[3])
def note(kind):
    with open(f"{directory}/{name}.{kind}", "a") as file:
        file.write(f"{os.getpid()}\n")
def stop(*_):
    note("told")
    time.sleep(linger)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
note("starts")
while True:
    time.sleep(0.05)
"#;

fn configure(checkd: &Checkd, processes: u32, linger: &str, more: &str) {
    let script = checkd.dir().join("member.py");
    fs::write(&script, MEMBER).expect("the script is written");
    checkd.write_config(&format!(
        r#"
[group.web]
command = ["python3", "{}", "{{member}}", "$DIR", "{linger}"]
processes = {processes}
stop_timeout = "30s"
{more}
[group.web.policy]
confirm_up = "100ms"
settle = "0s"
"#,
        script.display()
    ));
}

fn noted(checkd: &Checkd, member: &str, kind: &str) -> Vec<u32> {
    let text = fs::read_to_string(checkd.dir().join(format!("{member}.{kind}")));
    let text = text.unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn started(checkd: &Checkd, member: &str, times: usize) -> u32 {
    eventually(&format!("{member} was started"), PATIENCE, || {
        let pids = noted(checkd, member, "starts");
        (pids.len() >= times).then(|| pids[times - 1])
    })
}

fn reload(checkd: &Checkd) {
    let answer = checkd.ask(["reload", "--force"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
}

fn gone(checkd: &Checkd, member: &str, starts: usize) {
    let nobody = || {
        !noted(checkd, member, "starts")
            .iter()
            .any(|&pid| alive(pid))
    };
    eventually(&format!("{member} is gone"), PATIENCE, || {
        nobody().then_some(())
    });
    never("it comes back", Duration::from_secs(1), || {
        (noted(checkd, member, "starts").len() != starts || !nobody()).then_some(())
    });
    let history = checkd
        .ask(["history", &format!("web/{member}"), "--json"])
        .stdout;
    assert!(
        history.contains("not in the configuration any more"),
        "{history}"
    );
}

#[test]
fn a_member_that_is_being_stopped_or_restarted_is_stopped_and_not_started() {
    for verb in ["stop", "restart"] {
        let mut checkd = Checkd::prepare("");
        configure(&checkd, 2, "1", "");
        checkd.run();
        let pids = ["web-0", "web-1"].map(|member| started(&checkd, member, 1));
        checkd.wait_health("web/web-1", "healthy");
        let answer = checkd.ask([verb, "web/web-1"]);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        eventually("it was told to stop", PATIENCE, || {
            (!noted(&checkd, "web-1", "told").is_empty()).then_some(())
        });
        assert!(
            alive(pids[1]),
            "it ended too early: this test looks wrongly"
        );
        configure(&checkd, 1, "1", "");
        reload(&checkd);
        gone(&checkd, "web-1", 1);
        assert!(alive(pids[0]));
        assert_eq!(noted(&checkd, "web-0", "starts"), [pids[0]]);

        // The next daemon has no riddle either.
        checkd.end(Signal::TERM);
        checkd.run();
        assert!(
            !checkd.talk().contains("ended during an act"),
            "{}",
            checkd.talk()
        );
    }
}

#[test]
fn members_whose_start_is_under_way_do_not_run_on_in_nobodys_table() {
    let mut checkd = Checkd::prepare("");
    configure(&checkd, 1, "0", "");
    checkd.run();
    let first = started(&checkd, "web-0", 1);
    // Many, so that some of them are at each stage when they are taken away again.
    for _ in 0..4 {
        configure(&checkd, 30, "0", "");
        reload(&checkd);
        configure(&checkd, 1, "0", "");
        reload(&checkd);
    }
    let marker = checkd.dir().display().to_string();
    let running = || {
        let entries = fs::read_dir("/proc").expect("Linux has it");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            words.contains("member.py") && words.contains(&marker) && alive(*pid)
        };
        pids.filter(ours).collect::<Vec<u32>>()
    };
    // Those whose start was under way come, and go.
    let mut alone = None;
    eventually("one member is left, and nobody comes", PATIENCE, || {
        if running() != [first] {
            alone = None;
            return None;
        }
        let since = *alone.get_or_insert_with(Instant::now);
        (since.elapsed() > Duration::from_secs(2)).then_some(())
    });
}

#[test]
fn a_member_that_is_taken_away_and_named_again_at_once_is_stopped_and_started_once() {
    let mut checkd = Checkd::prepare("");
    configure(&checkd, 2, "1", "");
    checkd.run();
    let old = started(&checkd, "web-1", 1);
    checkd.wait_health("web/web-1", "healthy");
    configure(&checkd, 1, "1", "");
    reload(&checkd);
    configure(&checkd, 2, "1", "");
    reload(&checkd);
    let new = started(&checkd, "web-1", 2);
    assert!(!alive(old), "two of them at once");
    checkd.wait_health("web/web-1", "healthy");
    assert_eq!(noted(&checkd, "web-1", "starts"), [old, new]);
    let history = checkd.ask(["history", "web/web-1"]).stdout;
    assert!(!history.contains("already runs"), "{history}");
}

#[test]
fn fewer_members_in_the_middle_of_a_rolling_restart() {
    let mut checkd = Checkd::prepare("");
    configure(&checkd, 4, "0.5", "");
    checkd.run();
    for member in ["web-0", "web-1", "web-2", "web-3"] {
        started(&checkd, member, 1);
        checkd.wait_health(&format!("web/{member}"), "healthy");
    }
    let answer = checkd.ask(["restart", "web"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let told = || {
        ["web-0", "web-1", "web-2", "web-3"]
            .iter()
            .any(|m| !noted(&checkd, m, "told").is_empty())
    };
    eventually("the first is being restarted", PATIENCE, || {
        told().then_some(())
    });
    configure(&checkd, 2, "0.5", "");
    reload(&checkd);
    for member in ["web-0", "web-1"] {
        started(&checkd, member, 2);
        checkd.wait_health(&format!("web/{member}"), "healthy");
        let lives = noted(&checkd, member, "starts");
        assert_eq!(lives.len(), 2, "{member}: {lives:?}");
        assert!(!alive(lives[0]) && alive(lives[1]));
    }
    for member in ["web-2", "web-3"] {
        let starts = noted(&checkd, member, "starts").len();
        assert!(starts <= 2);
        gone(&checkd, member, starts);
    }
}

#[test]
fn a_member_that_is_deaf_is_killed_with_its_tree_also_by_a_keeper_that_was_upgraded() {
    let mut checkd = Checkd::prepare("");
    configure(&checkd, 2, "1000", "");
    let text = fs::read_to_string(checkd.dir().join("checkd.toml")).expect("it is there");
    let short = |text: &str| text.replace("\"30s\"", "\"4s\"");
    checkd.write_raw_config(&short(&text));
    checkd.run();
    let pids = ["web-0", "web-1"].map(|member| started(&checkd, member, 1));
    checkd.wait_health("web/web-1", "healthy");
    checkd.write_raw_config(&short(&text).replace("processes = 2", "processes = 1"));
    reload(&checkd);
    eventually("it was told to stop", PATIENCE, || {
        (!noted(&checkd, "web-1", "told").is_empty()).then_some(())
    });
    checkd.end(Signal::KILL);
    let other = checkd.dir().join("checkd-next");
    fs::copy(checkd_tests::checkd_binary(), &other).expect("it is copied");
    checkd.run_as(&other);
    assert!(
        alive(pids[1]),
        "it ended too early: this test looks wrongly"
    );
    gone(&checkd, "web-1", 1);
    assert!(alive(pids[0]));
    signal(pids[0], Signal::KILL);
    started(&checkd, "web-0", 2);
}
