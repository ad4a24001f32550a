//! What the machine allows: open files; and what many members may cost.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use checkd_tests::{Checkd, Signal, checkd_binary, eventually, many, signal};

const EIGHT: &str = r#"
on_exit = "stop"

[group.many]
command = ["sh", "-c", "ulimit -n; exec sleep 1000"]
processes = 8
output = "$DIR/said-{index}"
"#;

#[test]
fn the_daemon_may_open_what_it_can_and_members_what_was_found() {
    let checkd = Checkd::prepare(EIGHT);
    let run = checkd.verb(["run", "checkd.toml"]);
    let mut daemon = Command::new("sh");
    daemon
        .args([
            "-c",
            "ulimit -Sn 80; ulimit -Hn 100; exec \"$0\" run checkd.toml",
        ])
        .arg(checkd_binary())
        .current_dir(checkd.dir());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => daemon.env(name, value),
            None => daemon.env_remove(name),
        };
    }
    let mut daemon = daemon
        .stdout(Stdio::null())
        .stderr(fs::File::create(checkd.dir().join("told")).expect("a file"))
        .spawn()
        .expect("checkd starts");
    let said = eventually("a member says its limit", Duration::from_secs(30), || {
        fs::read_to_string(checkd.dir().join("said-0"))
            .ok()
            .filter(|said| said.ends_with('\n'))
    });
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).expect("it runs");
    signal(daemon.id(), Signal::TERM);
    assert!(daemon.wait().expect("it ends").success());
    assert_eq!(said, "80\n");
    let own: Vec<&str> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .expect("a limit")
        .split_whitespace()
        .collect();
    assert_eq!(own.get(..2), Some(&["100", "100"][..]));
    let told = fs::read_to_string(checkd.dir().join("told")).expect("a file");
    assert!(
        told.contains("warning[C0513]: checkd may open 100 files, and this plan may need 120"),
        "{told}"
    );
}

#[test]
fn a_hundred_members_come_and_go_within_the_limits_of_thousands() {
    let figures = many(100, Duration::from_secs(1));
    assert!(figures.stopped < Duration::from_secs(15), "{figures}");
    assert!(
        figures.daemon_pss + figures.keeper_pss < 100 << 10,
        "{figures}"
    );
}
