//! A keeper that does not answer: said aloud, and never a reason that the daemon cannot be ended.

use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, keeper_of, signal};

const PATIENCE: Duration = Duration::from_mins(2);

const CONFIG: &str = r#"
[group.web]
command = ["sleep", "1000"]

[group.web.policy]
settle = "0s"
confirm_up = "100ms"
"#;

#[test]
fn a_keeper_that_hangs_is_told_and_another_takes_over_once_it_is_killed() {
    let checkd = Checkd::start(CONFIG);
    checkd.wait_health("web/web-0", "healthy");
    let member = checkd.member_pid("web/web-0").expect("it runs");
    let keeper = keeper_of(&checkd.state_dir()).expect("a keeper");
    signal(keeper, Signal::STOP);
    let told = format!("the keeper (pid {keeper}) has not answered for");
    eventually("it is told", PATIENCE, || {
        let talk = checkd.talk();
        (talk.contains("C0522") && talk.contains(&told)).then_some(())
    });
    assert!(checkd.talk().contains(&format!("kill -KILL {keeper}")));
    for verb in [["status", "web/web-0"], ["explain", "web/web-0"]] {
        let answer = checkd.ask(verb).stdout;
        let one_line = answer.split_whitespace().collect::<Vec<_>>().join(" ");
        let silent = format!("pid {keeper} has not answered for");
        assert!(one_line.contains(&silent), "{verb:?}: {answer}");
    }
    // One that was only slow goes on as if nothing had been.
    signal(keeper, Signal::CONT);
    eventually("it answers again", PATIENCE, || {
        checkd
            .talk()
            .contains("the keeper answers again")
            .then_some(())
    });
    assert!(!checkd.ask(["status"]).stdout.contains("has not answered"));
    signal(keeper, Signal::STOP);
    // What its error says that one may do.
    signal(keeper, Signal::KILL);
    eventually("another one has taken over", PATIENCE, || {
        checkd
            .talk()
            .contains("the keeper was killed")
            .then_some(())
    });
    assert_eq!(checkd.member_pid("web/web-0"), Some(member));
    assert_eq!(checkd.ask(["restart", "web/web-0"]).code, Some(0));
    eventually("it is restarted", PATIENCE, || {
        checkd.member_pid("web/web-0").filter(|&pid| pid != member)
    });
}

#[test]
fn the_last_signal_ends_a_daemon_whose_keeper_hangs_and_the_next_one_names_it() {
    let mut checkd = Checkd::start(CONFIG);
    checkd.wait_health("web/web-0", "healthy");
    let member = checkd.member_pid("web/web-0").expect("it runs");
    let keeper = keeper_of(&checkd.state_dir()).expect("a keeper");
    signal(keeper, Signal::STOP);
    for said in ["stopping 1 member", "killing what is left"] {
        signal(checkd.pid(), Signal::INT);
        eventually(said, PATIENCE, || {
            checkd.talk().contains(said).then_some(())
        });
    }
    assert_eq!(checkd.end(Signal::INT), Some(1), "{}", checkd.talk());
    assert!(
        alive(member),
        "the keeper hangs, so nobody can have stopped it"
    );
    let answer = checkd.ask(["run", "checkd.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let told = answer.stderr;
    let one_line = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        one_line.contains("C0520")
            && one_line.contains(&format!("the keeper (pid {keeper}) does not answer"))
            && one_line.contains(&format!("`kill -KILL {keeper}`")),
        "{told}"
    );
    signal(keeper, Signal::KILL);
    checkd.run();
    assert_eq!(
        checkd.member_pid("web/web-0"),
        Some(member),
        "{}",
        checkd.talk()
    );
}
