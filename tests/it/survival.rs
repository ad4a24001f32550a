//! What outlives what: members outlive the daemon, and one state directory serves one daemon.

use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, never, signal};

use crate::pair::{CONFIG, healthy_pair};

#[test]
fn members_outlive_a_killed_daemon_and_are_adopted() {
    let mut checkd = Checkd::start(CONFIG);
    let before = healthy_pair(&checkd);

    checkd.end(Signal::KILL);
    never(
        "a member died with its daemon",
        Duration::from_secs(1),
        || before.iter().find(|&&pid| !alive(pid)),
    );

    checkd.run();
    assert_eq!(
        healthy_pair(&checkd),
        before,
        "the members were not adopted"
    );
    for (member, pid) in ["web-0", "web-1"].into_iter().zip(before) {
        assert_eq!(
            checkd.log(member).starts(),
            [pid],
            "{member} was started twice"
        );
    }

    // Adopted members are supervised as any other: one hangs, one dies.
    signal(before[0], Signal::STOP);
    let replaced = checkd.wait_replaced("web/web-0", before[0]);
    assert!(
        !alive(before[0]),
        "the frozen process still runs beside {replaced}"
    );
    signal(before[1], Signal::KILL);
    checkd.wait_replaced("web/web-1", before[1]);
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_restart_kills_nobody_twice() {
    // Each instant is told by what can be seen from outside just then.
    type Seen = fn(&Checkd, u32) -> bool;
    let instants: [(&str, Seen); 3] = [
        ("the intent is in the journal", |checkd, _| {
            checkd.acts("web/web-0").len() == 2
        }),
        ("the old process is gone", |_, old| !alive(old)),
        ("the new process runs", |checkd, _| {
            checkd.log("web-0").starts().len() == 2
        }),
    ];
    for (instant, seen) in instants {
        let mut checkd = Checkd::start(CONFIG);
        let before = healthy_pair(&checkd);
        signal(before[0], Signal::STOP);
        eventually(instant, Duration::from_mins(1), || {
            seen(&checkd, before[0]).then_some(())
        });
        checkd.end(Signal::KILL);

        checkd.run();
        let replaced = checkd.wait_replaced("web/web-0", before[0]);
        assert_eq!(
            checkd.log("web-0").starts(),
            [before[0], replaced],
            "killed when {instant}: one restart was wanted"
        );
        checkd.wait_health("web/web-1", "healthy");
        assert_eq!(
            checkd.log("web-1").starts(),
            [before[1]],
            "killed when {instant}: web-1"
        );
    }
}

#[test]
fn sigterm_ends_the_daemon_and_leaves_its_members() {
    let mut checkd = Checkd::start(CONFIG);
    let before = healthy_pair(&checkd);
    assert_eq!(checkd.end(Signal::TERM), Some(0), "{}", checkd.talk());
    never(
        "a member ended with its daemon",
        Duration::from_secs(1),
        || before.iter().find(|&&pid| !alive(pid)),
    );
    checkd.run();
    assert_eq!(
        healthy_pair(&checkd),
        before,
        "the members were not adopted"
    );
}

#[test]
fn on_exit_stop_ends_the_members_too() {
    // `start` has opened [daemon] already; the first line belongs to it.
    let mut checkd = Checkd::start(&format!("on_exit = \"stop\"\n{CONFIG}"));
    let before = healthy_pair(&checkd);
    assert_eq!(checkd.end(Signal::TERM), Some(0), "{}", checkd.talk());
    assert!(
        !before.iter().any(|&pid| alive(pid)),
        "members live on: {before:?}"
    );
    for (index, member) in ["web-0", "web-1"].into_iter().enumerate() {
        let stopped = checkd
            .log(member)
            .lines()
            .iter()
            .any(|line| line.event == "stop");
        assert!(
            stopped,
            "{member} (pid {}) was not asked to stop",
            before[index]
        );
    }
}

#[test]
fn a_second_daemon_on_one_state_directory_is_refused() {
    let checkd = Checkd::start(CONFIG);
    let before = healthy_pair(&checkd);
    let second = checkd.ask(["run", "checkd.toml"]);
    assert!(
        matches!(second.code, Some(1 | 2)),
        "the second daemon ended with {second:?}"
    );
    assert!(
        second.stderr.contains("error[C05"),
        "no code: {}",
        second.stderr
    );
    assert!(
        second.stderr.contains(&checkd.pid().to_string()),
        "it does not say who holds the directory: {}",
        second.stderr
    );
    assert_eq!(
        healthy_pair(&checkd),
        before,
        "the first daemon's members were touched"
    );
    for (member, pid) in ["web-0", "web-1"].into_iter().zip(before) {
        assert_eq!(
            checkd.log(member).starts(),
            [pid],
            "{member} was started twice"
        );
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_refused() {
    for (directory, why) in [
        ("$DIR/checkd.toml/state", "it is below a file"),
        ("/proc/checkd-state", "nobody can write there"),
    ] {
        let checkd = Checkd::prepare("");
        checkd.write_raw_config(&format!("[daemon]\nstate_dir = \"{directory}\"\n{CONFIG}"));
        let refused = checkd.ask(["run", "checkd.toml"]);
        assert!(
            matches!(refused.code, Some(1 | 2)),
            "{why}, and it ran: {refused:?}"
        );
        assert!(
            refused.stderr.contains("error[C05"),
            "no code: {}",
            refused.stderr
        );
        let named = directory.rsplit('/').next().expect("a path");
        assert!(
            refused.stderr.contains(named),
            "which directory? {}",
            refused.stderr
        );
        assert!(
            checkd.log("web-0").starts().is_empty(),
            "a member was started all the same"
        );
    }
}

#[test]
fn verbs_say_plainly_that_no_daemon_answers() {
    let checkd = Checkd::prepare(CONFIG);
    for verb in [
        &["status"][..],
        &["explain", "web/web-0"],
        &["restart", "web/web-0"],
    ] {
        let answer = checkd.ask(verb);
        assert_eq!(answer.code, Some(1), "{verb:?}: {answer:?}");
        assert!(
            answer.stderr.contains("no daemon"),
            "{verb:?}: {}",
            answer.stderr
        );
        assert!(
            answer.stdout.is_empty(),
            "{verb:?} gave data: {}",
            answer.stdout
        );
    }
}

#[test]
fn what_stands_at_the_control_path_and_is_no_socket_is_left_alone() {
    let checkd = Checkd::prepare(CONFIG);
    let precious = checkd.dir().join("precious.txt");
    std::fs::write(&precious, "precious").unwrap();
    checkd.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\ncontrol = \"precious.txt\"\n{CONFIG}"
    ));
    let answer = checkd.ask(["run", "checkd.toml"]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("C0505"), "{}", answer.stderr);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    // Nor is it said of a file that its daemon was killed.
    let answer = checkd.ask(["status", "--control", "precious.txt"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("no socket"), "{}", answer.stderr);
}

#[test]
fn a_daemon_that_finds_its_control_socket_taken_leaves_nothing_behind() {
    let mut first = Checkd::prepare("");
    first.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\ncontrol = \"$DIR/control.sock\"\n{CONFIG}"
    ));
    first.run();
    let other = first.dir().join("other");
    let mut second = first.verb(["run", "checkd.toml"]);
    let second = second.env("CHECKD__DAEMON__STATE_DIR", &other).output();
    let second = second.expect("checkd starts");
    let told = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{told}");
    assert!(told.contains("another daemon answers there"), "{told}");
    assert!(!other.exists(), "nothing was changed, it said:\n{told}");
}

#[test]
fn a_daemon_that_ends_in_order_leaves_no_riddle_to_the_next() {
    let mut checkd = Checkd::start(CONFIG);
    let before = healthy_pair(&checkd);
    // It ends while a restart by hand is under way.
    checkd.ask(["restart", "web/web-0"]);
    checkd.end(Signal::TERM);
    checkd.run();
    let replaced = checkd.wait_replaced("web/web-0", before[0]);
    assert_eq!(checkd.log("web-0").starts(), [before[0], replaced]);
    let riddle = "nobody saw how it ended";
    assert!(!checkd.talk().contains(riddle), "{}", checkd.talk());

    // And with its members, as on_exit = "stop" or Ctrl-C has it.
    checkd.end(Signal::INT);
    checkd.run();
    healthy_pair(&checkd);
    assert!(!checkd.talk().contains(riddle), "{}", checkd.talk());
}
