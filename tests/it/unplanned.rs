//! Processes that the configuration does not name any more: seen, stopped by name, and over in the books.

use std::process::Command;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, signal};

const PATIENCE: Duration = Duration::from_mins(1);

fn configure(checkd: &Checkd, processes: u32) {
    checkd.write_config(&format!(
        r#"
[group.web]
command = ["sleep", "1000"]
processes = {processes}

[group.web.policy]
settle = "0s"
confirm_up = "100ms"
"#
    ));
}

const OPEN: &str = "import sqlite3, sys; \
                    print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM life \
                    WHERE member = ? AND ended_wall_ms IS NULL', (sys.argv[2],)).fetchone()[0])";

/// Lives of a member that the journal does not know the end of; nothing while it cannot be read.
fn open_lives(checkd: &Checkd, member: &str) -> Option<u32> {
    let journal = checkd.state_dir().join("journal.db");
    let mut python = Command::new("python3");
    let output = python.args(["-c", OPEN]).arg(journal).arg(member).output();
    let text = String::from_utf8(output.expect("python3 starts").stdout).ok()?;
    text.trim().parse().ok()
}

#[test]
fn what_was_taken_out_while_no_daemon_ran_is_shown_and_stopped_by_its_name() {
    let mut checkd = Checkd::prepare("");
    configure(&checkd, 2);
    checkd.run();
    let [kept, gone] = ["web/web-0", "web/web-1"].map(|path| {
        checkd.wait_health(path, "healthy");
        checkd.member_pid(path).expect("it runs")
    });
    checkd.end(Signal::KILL);
    configure(&checkd, 1);
    checkd.run();
    let status = checkd.ask(["status"]).stdout;
    assert!(
        status.contains("not in the configuration any more")
            && status.contains(&format!("web/web-1  {gone:>7}"))
            && status.contains("`checkd stop web/web-1`"),
        "{status}"
    );
    // Who asks for others is told of others.
    let one = checkd.ask(["status", "web/web-0"]).stdout;
    assert!(!one.contains("web/web-1"), "{one}");

    let wrong = checkd.ask(["stop", "web/web-2"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let stop = checkd.ask(["stop", "web/web-1"]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    assert!(
        stop.stdout.contains(&format!("stopping pid {gone}")),
        "{stop:?}"
    );
    eventually("it is gone", PATIENCE, || (!alive(gone)).then_some(()));
    eventually("nobody is left over", PATIENCE, || {
        let status = checkd.ask(["status"]).stdout;
        (!status.contains("not in the configuration")).then_some(())
    });
    assert!(alive(kept));
    let history = checkd.ask(["history", "web/web-1"]).stdout;
    assert!(history.contains("stop"), "{history}");
    eventually("the journal knows its end", PATIENCE, || {
        (open_lives(&checkd, "web-1") == Some(0)).then_some(())
    });
}

#[test]
fn a_member_that_a_reload_took_out_has_no_open_life_in_the_journal() {
    let mut checkd = Checkd::prepare("");
    configure(&checkd, 3);
    checkd.run();
    for member in ["web/web-1", "web/web-2"] {
        checkd.wait_health(member, "healthy");
    }
    let pid = checkd.member_pid("web/web-2").expect("it runs");
    // One that ends in the very moment, and one that is stopped.
    signal(pid, Signal::KILL);
    configure(&checkd, 1);
    let answer = checkd.ask(["reload", "--force"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    for member in ["web-1", "web-2"] {
        eventually(&format!("{member} is over"), PATIENCE, || {
            (open_lives(&checkd, member) == Some(0)).then_some(())
        });
    }
    assert_eq!(open_lives(&checkd, "web-0"), Some(1));
    checkd.end(Signal::TERM);
    configure(&checkd, 3);
    checkd.run();
    checkd.wait_health("web/web-1", "healthy");
    let talk = checkd.talk();
    assert!(!talk.contains("while no checkd ran"), "{talk}");
}
