//! Checkd as the first process: whatever becomes of its daemon, members live on or are asked to stop.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, checkd_binary, children, eventually, never, signal};

const PATIENCE: Duration = Duration::from_mins(1);
const CONTAINER: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

const CONFIG: &str = r#"
[group.web]
command = ["sh", "-c", "trap 'echo bye > $DIR/bye; exit' TERM; while :; do sleep 0.05; done"]
stop_timeout = "5s"

[group.web.policy]
settle = "0s"
"#;

struct Container {
    checkd: Checkd,
    outer: Child,
}

impl Container {
    /// Nothing where no pid namespace can be made, which is said.
    fn start() -> Option<Self> {
        let checkd = Checkd::prepare(CONFIG);
        let unshare = Path::new("unshare");
        let possible = checkd.verb_of(unshare, CONTAINER).arg("true").status();
        if !possible.is_ok_and(|status| status.success()) {
            let mut stderr = std::io::stderr();
            writeln!(stderr, "skipped: this user may make no pid namespace").ok();
            return None;
        }
        let mut command = checkd.verb_of(unshare, CONTAINER);
        command.arg(checkd_binary()).args(["run", "checkd.toml"]);
        let outer = command.spawn().expect("unshare starts");
        Some(Self { checkd, outer })
    }

    fn first(&self) -> u32 {
        eventually("there is a first process", PATIENCE, || {
            children(self.outer.id()).first().copied()
        })
    }

    /// The daemon, as pid of this machine.
    fn daemon(&self) -> Option<u32> {
        self.child(b"run")
    }

    fn member(&self) -> u32 {
        eventually("the member runs", PATIENCE, || self.child(b"sh"))
    }

    fn child(&self, word: &[u8]) -> Option<u32> {
        let words = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let has = |pid: &u32| words(*pid).split(|&b| b == 0).any(|it| it == word);
        children(self.first()).into_iter().find(has)
    }

    fn wait_answer(&self) {
        eventually("the daemon answers", PATIENCE, || {
            self.checkd.status().map(|_| ())
        });
    }
}

#[test]
fn a_mistake_in_a_file_that_nobody_asked_to_load_ends_no_member() {
    let Some(container) = Container::start() else {
        return;
    };
    container.wait_answer();
    let member = container.member();
    let config = container.checkd.dir().join("checkd.toml");
    let right = fs::read_to_string(&config).expect("the configuration");
    fs::write(&config, "nonsense = [").expect("it is written");
    signal(container.daemon().expect("a daemon"), Signal::KILL);
    eventually("the daemon is gone", PATIENCE, || {
        container.checkd.status().is_none().then_some(())
    });
    never("the member ended", Duration::from_secs(3), || {
        (!alive(member)).then_some(())
    });
    fs::write(&config, right).expect("it is written");
    container.wait_answer();
    assert_eq!(container.member(), member);
}

#[test]
fn members_are_asked_to_stop_also_when_the_daemon_was_killed() {
    let Some(mut container) = Container::start() else {
        return;
    };
    container.wait_answer();
    let (first, _) = (container.first(), container.member());
    signal(container.daemon().expect("a daemon"), Signal::KILL);
    signal(first, Signal::TERM);
    container.outer.wait().expect("it ends");
    let bye = container.checkd.dir().join("bye");
    assert!(bye.exists(), "the member was not asked to stop");
}
