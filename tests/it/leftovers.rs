//! What a member leaves behind that ended together with its keeper: nobody's member, and ended.

use std::fs;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, keeper_of, signal};

const PATIENCE: Duration = Duration::from_mins(1);

/// It leaves one child in a session of its own and one in its process group, and waits as a program of
/// another name.
const CONFIG: &str = r#"
[group.web]
command = ["sh", "-c", "setsid sleep 7777 & echo $! >> $DIR/left; sleep 7778 & echo $! >> $DIR/left; exec tail -f /dev/null"]

[group.web.policy]
settle = "0s"
backoff_base = "100ms"
"#;

#[test]
fn what_a_member_leaves_that_ended_with_its_keeper_is_not_taken_for_it() {
    let checkd = Checkd::start(CONFIG);
    let left = || -> Vec<u32> {
        let text = fs::read_to_string(checkd.dir().join("left")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let is_member = |pid: u32| {
        let program = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        program.starts_with(b"tail\0")
    };
    let first = eventually("it runs", PATIENCE, || {
        checkd.member_pid("web/web-0").filter(|&pid| is_member(pid))
    });
    let orphans = left();
    assert_eq!(orphans.len(), 2);
    checkd.wait_health("web/web-0", "healthy");

    let keeper = keeper_of(&checkd.state_dir()).expect("a keeper");
    signal(keeper, Signal::STOP);
    signal(first, Signal::KILL);
    signal(keeper, Signal::KILL);

    let second = eventually("it is started again", PATIENCE, || {
        checkd
            .member_pid("web/web-0")
            .filter(|&pid| pid != first && is_member(pid))
    });
    assert!(!orphans.contains(&second));
    eventually("what it left is gone", PATIENCE, || {
        (!orphans.iter().any(|&pid| alive(pid))).then_some(())
    });
    eventually("it is said", PATIENCE, || {
        let talk = checkd.talk();
        (talk.contains("web/web-0 ended together with its keeper")
            && talk.contains("2 processes that it left behind were killed"))
        .then_some(())
    });
    // What the next one starts is its own.
    assert!(left().iter().skip(2).all(|&pid| alive(pid)));
}

#[test]
fn a_member_that_lives_keeps_what_it_started() {
    let checkd = Checkd::start(CONFIG);
    let first = eventually("it runs", PATIENCE, || checkd.member_pid("web/web-0"));
    checkd.wait_health("web/web-0", "healthy");
    let keeper = keeper_of(&checkd.state_dir()).expect("a keeper");
    signal(keeper, Signal::KILL);
    eventually("another keeper comes", PATIENCE, || {
        keeper_of(&checkd.state_dir()).filter(|&new| new != keeper)
    });
    eventually("it has taken over", PATIENCE, || {
        let talk = checkd.talk();
        talk.contains("the keeper was killed").then_some(())
    });
    assert_eq!(checkd.member_pid("web/web-0"), Some(first));
    let text = fs::read_to_string(checkd.dir().join("left")).expect("it was written");
    let left: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(left.len() == 2 && left.iter().all(|&pid| alive(pid)));
}
