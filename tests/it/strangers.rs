//! Processes that have the pid of a member and are none: never taken over, never signalled.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, children, eventually, never, signal};

const PATIENCE: Duration = Duration::from_mins(1);

/// Its environment says nothing: who it is stands in the journal alone.
const NAMELESS: &str = r#"
[group.web]
command = ["sh", "-c", "exec env -i CHECKD_TEST=$CHECKD_TEST sleep 1000"]

[group.web.policy]
settle = "0s"
confirm_up = "100ms"
"#;

/// Ends daemon and keeper at once.
fn kill_both(checkd: &mut Checkd) {
    let keepers: Vec<u32> = children(checkd.pid())
        .into_iter()
        .filter(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|&byte| byte == 0).any(|word| word == b"keeper")
        })
        .collect();
    assert_eq!(keepers.len(), 1, "{keepers:?}");
    checkd.end(Signal::KILL);
    signal(keepers[0], Signal::KILL);
    eventually("the keeper is gone", PATIENCE, || {
        (!alive(keepers[0])).then_some(())
    });
}

#[test]
fn after_a_reboot_nobody_is_who_the_journal_says() {
    let mut checkd = Checkd::start(NAMELESS);
    let running = |checkd: &Checkd| {
        eventually("it runs", PATIENCE, || {
            let pid = checkd.member_pid("web/web-0")?;
            let program = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            program.starts_with(b"sleep").then_some(pid)
        })
    };
    let pid = running(&checkd);
    checkd.wait_health("web/web-0", "healthy");
    kill_both(&mut checkd);
    // On the same boot the journal's word is enough.
    checkd.run();
    assert_eq!(running(&checkd), pid, "it was not taken over");
    kill_both(&mut checkd);

    // The same pid and the same start time, but of another boot.
    let boot = checkd.dir().join("boot_id");
    fs::write(&boot, "6a1b5f0e-7a52-4f0b-9d3f-0c6b7d1e2f3a\n").expect("a file");
    let script = format!(
        "mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"",
        boot.display()
    );
    let below = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let unprivileged = [&["unshare", "--user", "--map-root-user"], &below[1..]].concat();
    let root = rustix::process::geteuid().is_root();
    checkd.run_below(if root { &below } else { &unprivileged });
    let another = eventually("another one is started", PATIENCE, || {
        checkd.member_pid("web/web-0").filter(|&new| new != pid)
    });
    never("the stranger was killed", Duration::from_secs(1), || {
        (!alive(pid)).then_some(pid)
    });
    assert_eq!(checkd.end(Signal::INT), Some(0), "{}", checkd.talk());
    assert!(!alive(another), "the member is still there");
    assert!(alive(pid), "the stranger was killed");
    signal(pid, Signal::KILL);
}

/// The first process of a world with pids of its own: has a member killed with its daemon and keeper,
/// gives its pid to a stranger, and starts the daemon again.
const WORLD: &str = r#"
import os, signal, sqlite3, sys, time
checkd, directory = sys.argv[1:]

def until(what, condition):
    end = time.monotonic() + 50
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    sys.exit("not in time: " + what)

def starts(count):
    try:
        pids = open(directory + "/starts").read().split()
    except FileNotFoundError:
        return None
    return len(pids) == count and int(pids[-1])

def journalled():
    try:
        with sqlite3.connect(directory + "/state/journal.db") as journal:
            return journal.execute("SELECT count(*) FROM life").fetchone()[0]
    except sqlite3.OperationalError:
        return None

def alone():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True

def run():
    log = os.open(directory + "/daemon.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    pid = os.fork()
    if pid == 0:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execv(checkd, ["checkd", "run", directory + "/checkd.toml"])
    return pid

run()
member = until("a start", lambda: starts(1))
until("a life in the journal", journalled)
os.kill(-1, signal.SIGKILL)
until("all are gone", alone)
for attempt in range(100):
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(member - 1))
    stranger = os.fork()
    if stranger == 0:
        os.setpgid(0, 0)
        os.execv("/bin/sleep", ["sleep", "1000"])
    if stranger == member:
        break
    os.kill(stranger, signal.SIGKILL)
    os.waitpid(stranger, 0)
else:
    sys.exit("the pid was not given again")
daemon = run()
new = until("another start", lambda: starts(2))
time.sleep(1)
if os.waitpid(stranger, os.WNOHANG) != (0, 0):
    sys.exit("the stranger was killed while the member ran")
os.kill(daemon, signal.SIGINT)
until("the daemon ends", lambda: os.waitpid(daemon, os.WNOHANG)[0])
if os.waitpid(stranger, os.WNOHANG) != (0, 0):
    sys.exit("the stranger was killed at the end")
if os.path.exists(f"/proc/{new}"):
    sys.exit("the member was not stopped")
print("good:", member, new)
"#;

#[test]
fn a_stranger_that_got_the_pid_of_a_member_is_left_alone() {
    let checkd = Checkd::prepare(
        r#"
[group.web]
command = ["sh", "-c", "echo $$ >> $DIR/starts; exec sleep 1000"]

[group.web.policy]
settle = "0s"
"#,
    );
    let script = checkd.dir().join("world.py");
    fs::write(&script, WORLD).expect("the script is written");
    let mut world = vec!["--pid", "--fork", "--mount-proc", "--kill-child"];
    if !rustix::process::geteuid().is_root() {
        world.extend(["--user", "--map-root-user"]);
    }
    let unshare = std::path::Path::new("unshare");
    let output = checkd
        .verb_of(unshare, world)
        .arg("python3")
        .arg(&script)
        .arg(checkd_tests::checkd_binary())
        .arg(checkd.dir())
        .output()
        .expect("unshare is part of util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    if wrong.contains("unshare failed") {
        writeln!(std::io::stderr(), "skipped: no pid namespace: {wrong}").ok();
        return;
    }
    assert!(
        output.status.success() && said.starts_with("good:"),
        "{said}{wrong}\n{}",
        checkd.talk()
    );
}
