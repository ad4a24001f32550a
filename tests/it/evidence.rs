//! Evidence before a kill: what is kept of a sick member, within which bounds, and what never is.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, eventually, signal};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(1);

/// Restarted soon after its check fails, and not for anything else.
const SOON: &str = r#"
interval = "200ms"
timeout = "100ms"
fast_interval = "100ms"
"#;
const POLICY: &str = r#"
fall = 2
rise = 1
min_fail_span = "0s"
settle = "0s"
confirm_up = "100ms"
startup_timeout = "20s"
"#;

/// What the members of these tests need: they fail as soon as it is closed.
struct Door {
    port: u16,
    listener: Option<TcpListener>,
}

impl Door {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        Self {
            port,
            listener: Some(listener),
        }
    }

    fn close(&mut self) {
        self.listener = None;
    }

    fn again(&mut self) {
        let listener = eventually("the port is free", PATIENCE, || {
            TcpListener::bind(("127.0.0.1", self.port)).ok()
        });
        self.listener = Some(listener);
    }

    /// A group of one.
    fn config(&self, command: &str, more: &str, policy: &str) -> String {
        let port = self.port;
        format!(
            r#"
[group.web]
command = {command}
stop_timeout = "300ms"
{more}

[group.web.checks.well]
kind = "tcp"
scope = "process"
host = "127.0.0.1"
port = {port}
{SOON}

[group.web.policy]
{POLICY}
{policy}
"#
        )
    }
}

/// The captures of a member, as `history` names them: path, and names of files.
fn captures(checkd: &Checkd, path: &str) -> Vec<(PathBuf, Vec<String>)> {
    let answer = checkd.ask(["history", path, "--json"]);
    let history: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
    let rows = history["rows"].as_array().cloned().unwrap_or_default();
    rows.iter()
        .filter(|row| row["what"] == "evidence")
        .map(|row| {
            let files = row["detail"]["files"].as_object().expect("files");
            let path = row["text"].as_str().expect("a path");
            (PathBuf::from(path), files.keys().cloned().collect())
        })
        .collect()
}

/// Makes the member sick, waits until it was restarted, and gives its only capture.
fn restarted(checkd: &Checkd, door: &mut Door, old: u32) -> PathBuf {
    door.close();
    replaced(checkd, door, old)
}

fn replaced(checkd: &Checkd, door: &mut Door, old: u32) -> PathBuf {
    eventually("another one runs", PATIENCE, || {
        checkd.member_pid("web/web-0").filter(|&pid| pid != old)
    });
    door.again();
    let all = captures(checkd, "web/web-0");
    assert_eq!(all.len(), 1, "{all:?}\n{}", checkd.talk());
    all[0].0.clone()
}

fn text(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_else(|e| {
        let readme = fs::read_to_string(dir.join("README.txt"));
        panic!("no {name}: {e}; {readme:?}")
    })
}

#[test]
fn a_frozen_member_leaves_what_it_looked_like() {
    let config = r#"
[group.web]
command = [$SERVER]
ports = { base = $BASE }
stop_timeout = "300ms"
environment = { MODE = "MODE-$BASE" }

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"
interval = "400ms"
timeout = "200ms"
fast_interval = "200ms"

[group.web.policy]
fall = 2
min_fail_span = "0s"
settle = "0s"
confirm_up = "100ms"
"#;
    let checkd = Checkd::start(config);
    let pid = checkd.wait_health("web/web-0", "healthy");
    signal(pid, Signal::STOP);
    checkd.wait_replaced("web/web-0", pid);
    let (dir, files) = captures(&checkd, "web/web-0").remove(0);
    let expected = [
        "README.txt",
        "checks.txt",
        "descriptors.txt",
        "machine.txt",
        "memory.txt",
        "output.txt",
        "process.txt",
        "sockets.txt",
        "threads.txt",
        "tree.txt",
        "why.txt",
    ];
    assert_eq!(files, expected, "{}", text(&dir, "README.txt"));
    assert!(
        !text(&dir, "README.txt").contains("missing"),
        "{}",
        text(&dir, "README.txt")
    );

    let process = text(&dir, "process.txt");
    assert!(process.contains("State:\tT (stopped)"), "{process}");
    for part in ["wchan", "stack", "limits", "stat", "io"] {
        assert!(
            process.contains(&format!("== /proc/{pid}/{part}\n")),
            "{process}"
        );
    }
    assert!(
        text(&dir, "threads.txt").contains("  T  "),
        "{}",
        text(&dir, "threads.txt")
    );
    assert!(
        text(&dir, "checks.txt").contains("  ping  fail"),
        "{}",
        text(&dir, "checks.txt")
    );
    let why = text(&dir, "why.txt");
    assert!(why.contains("ping") && why.contains("budget"), "{why}");
    assert!(
        text(&dir, "sockets.txt").contains("Listen"),
        "{}",
        text(&dir, "sockets.txt")
    );
    assert!(
        text(&dir, "tree.txt").contains("server.py"),
        "{}",
        text(&dir, "tree.txt")
    );
    assert!(text(&dir, "machine.txt").contains("== /proc/pressure/memory"));
    // Whose environment it is nobody reads here.
    for name in &files {
        assert!(
            !text(&dir, name).contains("MODE-"),
            "{name} shows the environment"
        );
    }
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("why.txt")), 0o600);

    // A person finds it.
    let explained = checkd.ask(["explain", "web/web-0"]).stdout;
    let shown = explained.split_whitespace().collect::<String>();
    assert!(shown.contains(&dir.display().to_string()), "{explained}");

    // Once in ten minutes is enough.
    let pid = checkd.member_pid("web/web-0").expect("it runs");
    signal(pid, Signal::STOP);
    checkd.wait_replaced("web/web-0", pid);
    assert_eq!(captures(&checkd, "web/web-0").len(), 1);
}

#[test]
fn no_secret_is_kept_however_it_comes_there() {
    let mut door = Door::open();
    let more = r#"environment = { KEY = { file = "$DIR/key" }, PLAIN = "shown" }
env_file = ["$DIR/env"]"#;
    // It prints its secrets, shows one in a command line, and its command prints them again.
    let command = r#"["sh", "-c", "echo key $KEY token $TOKEN plain $PLAIN; printf '%070000d' 0; echo $KEY; sh -c 'while sleep 1; do :; done' $TOKEN & wait"]"#;
    let policy = r#"evidence_command = ["sh", "-c", "tr '\\0' '\\n' < /proc/{pid}/environ; echo {member} in {dir}; echo done > {dir}/mine"]"#;
    let mut checkd = Checkd::prepare(&door.config(command, more, policy));
    let (key, token) = ("k3y-0f-the-test-1234", "t0ken-of-the-test");
    fs::write(checkd.dir().join("key"), format!("{key}\n")).expect("a file");
    fs::write(checkd.dir().join("env"), format!("TOKEN='{token}'\n")).expect("a file");
    checkd.run();
    let pid = checkd.wait_health("web/web-0", "healthy");
    let dir = restarted(&checkd, &mut door, pid);
    let mut seen = 0;
    for entry in fs::read_dir(&dir).expect("a directory").flatten() {
        let found = fs::read_to_string(entry.path()).expect("a text");
        assert!(
            !found.contains(key) && !found.contains(token),
            "{entry:?}\n{found}"
        );
        seen += found.matches("[secret]").count();
        assert!(found.len() < 200_000, "{entry:?} is {} bytes", found.len());
    }
    assert!(seen >= 4, "hidden {seen} times: this test looks wrongly");
    let said = text(&dir, "command.txt");
    assert!(
        said.contains("web-0 in /") && said.contains("ended well"),
        "{said}"
    );
    assert_eq!(text(&dir, "mine"), "done\n");
    assert!(
        text(&dir, "tree.txt").contains("[secret]"),
        "{}",
        text(&dir, "tree.txt")
    );
}

#[test]
fn a_huge_member_is_looked_at_within_its_bounds() {
    let mut door = Door::open();
    let script = "import os,time,threading\n\
        f=[os.open('/dev/null',0) for _ in range(10000)]\n\
        [threading.Thread(target=time.sleep,args=(1000,),daemon=True).start() for _ in range(250)]\n\
        os.write(1,b'x'*3000000)\nos.remove('$DIR/program')\nopen('$DIR/ready','w')\ntime.sleep(1000)";
    let command = format!(
        "[\"sh\", \"-c\", \"cp $(readlink -f $(python3 -c 'import sys; print(sys.executable)')) $DIR/program; PYTHONHOME=$(python3 -c 'import sys; print(sys.base_prefix)') exec $DIR/program -c \\\"$0\\\"\", {}]",
        serde_json::to_string(script).expect("a text")
    );
    let checkd = Checkd::start(&door.config(&command, "limits = { open_files = 20000 }", ""));
    let pid = checkd.wait_health("web/web-0", "healthy");
    eventually("it is ready", PATIENCE, || {
        fs::metadata(checkd.dir().join("ready")).ok()
    });
    let dir = restarted(&checkd, &mut door, pid);
    let descriptors = text(&dir, "descriptors.txt");
    assert!(descriptors.starts_with("100"), "{descriptors}");
    assert!(descriptors.contains("… and 98"), "{descriptors}");
    assert!(text(&dir, "threads.txt").starts_with("251 threads\n"));
    assert!(
        text(&dir, "process.txt").contains("/program (deleted)"),
        "{}",
        text(&dir, "process.txt")
    );
    let all = fs::read_dir(&dir).expect("a directory").flatten();
    let size: u64 = all.map(|e| e.metadata().expect("it is there").len()).sum();
    assert!(size < 1 << 20, "{size} bytes");
}

#[test]
fn a_command_that_hangs_and_forks_delays_the_restart_no_longer_than_the_bound() {
    let mut door = Door::open();
    let policy = r#"evidence_command = ["sh", "-c", "(setsid sh -c 'echo $$ > $DIR/away; exec sleep 1000' &); echo begun; sleep 1000"]"#;
    let checkd = Checkd::start(&door.config(r#"["sleep", "1000"]"#, "", policy));
    let pid = checkd.wait_health("web/web-0", "healthy");
    let begun = Instant::now();
    let dir = restarted(&checkd, &mut door, pid);
    // Ten seconds for the evidence, the rest for a busy machine.
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
    let said = text(&dir, "command.txt");
    assert!(
        said.contains("and was killed") && said.contains("begun\n"),
        "{said}"
    );
    let away = fs::read_to_string(checkd.dir().join("away")).expect("a pid");
    let away: u32 = away.trim().parse().expect("a pid");
    eventually("what it started is gone", PATIENCE, || {
        (!checkd_tests::alive(away)).then_some(())
    });
}

#[test]
fn one_that_dies_while_it_is_looked_at_is_started_again() {
    let mut door = Door::open();
    let policy = r#"evidence_command = ["sh", "-c", "kill -9 {pid}; while kill -0 {pid}; do sleep 0.02; done"]"#;
    let checkd = Checkd::start(&door.config(r#"["sleep", "1000"]"#, "", policy));
    let pid = checkd.wait_health("web/web-0", "healthy");
    let dir = restarted(&checkd, &mut door, pid);
    assert!(
        text(&dir, "command.txt").contains("ended well"),
        "{}",
        text(&dir, "command.txt")
    );
    checkd.wait_health("web/web-0", "healthy");
    // The restart was not needed any more, and is no longer an act.
    let acts = checkd.acts("web/web-0");
    let steps: Vec<&str> = acts.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps, ["start", "restart", "start"], "{acts:?}");
    let history = checkd.ask(["history", "web/web-0"]).unwrapped();
    assert!(history.contains("withdrawn"), "{history}");
}

#[test]
fn a_stop_by_hand_does_not_wait_for_evidence() {
    let mut door = Door::open();
    let policy = r#"evidence_command = ["sh", "-c", "echo > $DIR/looks; sleep 1000"]"#;
    let checkd = Checkd::start(&door.config(r#"["sleep", "1000"]"#, "", policy));
    checkd.wait_health("web/web-0", "healthy");
    door.close();
    eventually("it is looked at", PATIENCE, || {
        fs::metadata(checkd.dir().join("looks")).ok()
    });
    checkd.ask(["stop", "web/web-0"]);
    checkd.wait("web/web-0", "is stopped", |m| {
        (m["life"] == "stopped").then_some(())
    });
    let (dir, _) = captures(&checkd, "web/web-0").remove(0);
    let said = text(&dir, "command.txt");
    assert!(said.contains("a person wanted something else"), "{said}");
}

#[test]
fn a_daemon_killed_at_it_leaves_what_it_had_and_the_next_one_restarts_the_member() {
    let mut door = Door::open();
    let policy = r#"evidence_command = ["sh", "-c", "echo > $DIR/looks; sleep 1000"]"#;
    let mut checkd = Checkd::start(&door.config(r#"["sleep", "1000"]"#, "", policy));
    let pid = checkd.wait_health("web/web-0", "healthy");
    door.close();
    eventually("it is looked at", PATIENCE, || {
        fs::metadata(checkd.dir().join("looks")).ok()
    });
    checkd.end(Signal::KILL);
    checkd.run();
    let dir = replaced(&checkd, &mut door, pid);
    assert!(text(&dir, "process.txt").contains(&format!("== /proc/{pid}/status")));
}

#[test]
fn where_nothing_can_be_kept_the_restart_goes_on_and_it_is_said() {
    let mut door = Door::open();
    let mut checkd = Checkd::prepare(&door.config(r#"["sleep", "1000"]"#, "", ""));
    fs::create_dir(checkd.state_dir()).expect("a directory");
    fs::write(checkd.state_dir().join("evidence"), "in the way").expect("a file");
    checkd.run();
    let pid = checkd.wait_health("web/web-0", "healthy");
    door.close();
    eventually("another one runs", PATIENCE, || {
        checkd.member_pid("web/web-0").filter(|&new| new != pid)
    });
    assert!(checkd.talk().contains("C0540"), "{}", checkd.talk());
}

/// A control group with little memory, where they can be made.
struct Small(PathBuf);

impl Small {
    fn make() -> Option<Self> {
        let path = PathBuf::from(format!(
            "/sys/fs/cgroup/memory/checkd-test-{}",
            std::process::id()
        ));
        fs::create_dir(&path).ok()?;
        let small = Self(path);
        fs::write(small.0.join("memory.limit_in_bytes"), "33554432").ok()?;
        Some(small)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
fn a_kill_for_want_of_memory_is_named_as_such() {
    let log = fs::File::open("/dev/kmsg");
    let (Some(small), Ok(_)) = (Small::make(), log) else {
        use std::io::Write as _;
        let text =
            "skipped: no memory control group can be made here, or the kernel's log is closed\n";
        std::io::stderr().write_all(text.as_bytes()).ok();
        return;
    };
    let checkd = Checkd::start(&format!(
        r#"
[group.fat]
command = ["sh", "-c", "echo $$ > {}/cgroup.procs; exec python3 -c 'x=bytearray(200<<20)'"]
"#,
        small.0.display()
    ));
    let words = "was killed by the kernel: out of memory";
    eventually("it is named", PATIENCE, || {
        checkd.talk().contains(words).then_some(())
    });
    for verb in ["history", "explain"] {
        eventually(&format!("{verb} names it"), PATIENCE, || {
            let shown = checkd.ask([verb, "fat/fat-0"]).unwrapped();
            shown.contains(words).then_some(())
        });
    }
    let member = checkd.member("fat/fat-0").expect("a member");
    assert_eq!(member["last_exit"], "out_of_memory", "{member}");
}

/// A block of the page on policy by what is in it.
fn of_the_page(words: &str) -> String {
    let page = fs::read_to_string(checkd_tests::root().join("docs/policy.md")).expect("the page");
    let blocks = page.split("```toml\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains(words));
    block.expect("the page shows it").to_owned()
}

#[test]
fn the_command_of_the_page_keeps_a_core() {
    let say = |text: &str| {
        use std::io::Write as _;
        std::io::stderr().write_all(text.as_bytes()).ok();
    };
    let there = std::process::Command::new("gcore").arg("-h").output();
    if there.is_err() {
        return say("skipped: there is no gcore\n");
    }
    let block = of_the_page("gcore");
    let line = block.lines().nth(1).expect("the command");
    let mut door = Door::open();
    let checkd = Checkd::start(&door.config(r#"["sleep", "1000"]"#, "", line));
    let pid = checkd.wait_health("web/web-0", "healthy");
    let dir = restarted(&checkd, &mut door, pid);
    let said = text(&dir, "command.txt");
    if said.contains("was not done within") {
        return say("skipped: this machine is too busy for gcore in ten seconds\n");
    }
    assert!(said.contains("ended well"), "{said}");
    let core = fs::read(dir.join(format!("core.{pid}"))).expect("a core");
    assert!(core.starts_with(b"\x7fELF"));
}

#[test]
fn every_file_that_the_page_names_is_kept_and_no_other() {
    let page = fs::read_to_string(checkd_tests::root().join("docs/policy.md")).expect("the page");
    let (_, part) = page.split_once("## Evidence\n").expect("the section");
    let (part, _) = part.split_once("\n## ").expect("its end");
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|line| line.split('|').nth(1));
    let mut named: Vec<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    named.sort_unstable();
    let mut door = Door::open();
    let policy = r#"evidence_command = ["true"]"#;
    let checkd = Checkd::start(&door.config(r#"["sleep", "1000"]"#, "", policy));
    let pid = checkd.wait_health("web/web-0", "healthy");
    restarted(&checkd, &mut door, pid);
    assert_eq!(captures(&checkd, "web/web-0")[0].1, named);
}

#[test]
fn a_full_disk_takes_what_fits_and_delays_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut door = Door::open();
    let mut checkd = Checkd::prepare(&door.config(r#"["sleep", "1000"]"#, "", ""));
    checkd.run_below(&[
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        "mkdir -p state/evidence && mount -t tmpfs -o size=16k none state/evidence && exec \"$@\"",
        "sh",
    ]);
    let pid = checkd.wait_health("web/web-0", "healthy");
    let dir = restarted(&checkd, &mut door, pid);
    // As the daemon sees it.
    let seen = PathBuf::from(format!("/proc/{}/root{}", checkd.pid(), dir.display()));
    let readme = text(&seen, "README.txt");
    assert!(readme.contains("no space left on device"), "{readme}");
}
