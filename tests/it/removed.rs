//! The state directory taken away under a daemon, and another daemon started on its place: one keeper, one
//! daemon that acts, and nobody lost.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, keeper_of, parent, signal};

const PATIENCE: Duration = Duration::from_mins(1);

const CONFIG: &str = r#"
[group.web]
command = ["sh", "-c", "trap 'exit 7' USR1; while :; do echo word; sleep 0.05; done"]
processes = 2

[group.web.policy]
settle = "0s"
confirm_up = "100ms"
backoff_base = "100ms"
"#;

fn running(checkd: &Checkd) -> [u32; 2] {
    ["web/web-0", "web/web-1"].map(|path| {
        checkd.wait_health(path, "healthy");
        checkd.member_pid(path).expect("it runs")
    })
}

fn words(checkd: &Checkd) -> usize {
    let log = checkd.state_dir().join("output/web/web-0.log");
    fs::read_to_string(log).map_or(0, |text| text.matches("word\n").count())
}

#[test]
fn the_next_daemon_finds_the_keeper_whose_files_were_removed() {
    let mut checkd = Checkd::start(CONFIG);
    let pids = running(&checkd);
    let keeper = parent(pids[0]).expect("it has a parent");
    // The daemon has no time to write anything again.
    signal(checkd.pid(), Signal::STOP);
    fs::remove_dir_all(checkd.state_dir()).expect("it is there");
    checkd.end(Signal::KILL);
    checkd.run();
    assert_eq!(running(&checkd), pids, "{}", checkd.talk());
    assert_eq!(parent(pids[0]), Some(keeper));
    assert_eq!(keeper_of(&checkd.state_dir()), Some(keeper), "there is one");
    let before = words(&checkd);
    eventually("its output is written on", PATIENCE, || {
        (words(&checkd) > before + 5).then_some(())
    });
    // Who has kept it all the time knows how it ends.
    signal(pids[1], Signal::USR1);
    checkd.wait_replaced("web/web-1", pids[1]);
    let history = checkd.ask(["history", "web/web-1"]).stdout;
    assert!(history.contains("code 7"), "{history}");
    // And the next one after a cleaner of sockets went by.
    fs::remove_file(checkd.state_dir().join("keeper.sock")).expect("it is there");
    checkd.end(Signal::KILL);
    checkd.run();
    assert_eq!(
        checkd.member_pid("web/web-0"),
        Some(pids[0]),
        "{}",
        checkd.talk()
    );
    assert_eq!(parent(pids[0]), Some(keeper));
}

#[test]
fn a_daemon_whose_directory_is_another_s_by_now_ends_and_touches_nobody() {
    let mut checkd = Checkd::start(CONFIG);
    let pids = running(&checkd);
    let first = checkd.pid();
    signal(first, Signal::STOP);
    fs::remove_dir_all(checkd.state_dir()).expect("it is there");
    let log = fs::File::create(checkd.dir().join("second.log")).expect("a file");
    let mut second = checkd
        .verb(["run", "checkd.toml"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn()
        .expect("checkd starts");
    let answers = || checkd.member_pid("web/web-0").filter(|&pid| pid == pids[0]);
    eventually("the second one has them", PATIENCE, answers);
    signal(first, Signal::CONT);
    assert_eq!(checkd.end(Signal::CONT), Some(1), "{}", checkd.talk());
    assert!(checkd.talk().contains("C0515"), "{}", checkd.talk());
    assert!(pids.iter().all(|&pid| alive(pid)));
    // Its end took nothing from the other.
    for (path, pid) in ["web/web-0", "web/web-1"].into_iter().zip(pids) {
        assert_eq!(checkd.member_pid(path), Some(pid));
    }
    signal(second.id(), Signal::INT);
    let code = eventually("the second one ends", PATIENCE, || {
        second.try_wait().ok()?
    });
    assert_eq!(code.code(), Some(0));
    assert!(pids.iter().all(|&pid| !alive(pid)));
}
