//! Members that misbehave: each is dealt with, it is said, and nobody else notices.

use std::fs;
use std::path::Path;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, never};

const PATIENCE: Duration = Duration::from_mins(1);

/// Words before the daemon: it sees no control groups, so trees are known by what `/proc` says.
/// Without root nothing is hidden, and nothing needs to be.
const NO_CGROUPS: &[&str] = &[
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    "awk '$3 == \"cgroup2\" {print $2}' /proc/mounts | xargs -r umount -l && exec \"$@\"",
    "sh",
];

fn run_without_cgroups(checkd: &mut Checkd) {
    if rustix::process::geteuid().is_root() {
        checkd.run_below(NO_CGROUPS);
        assert_eq!(has_cgroup(checkd.pid()), None, "control groups are there");
    } else {
        checkd.run();
    }
}

/// The mount of control groups that a process sees.
fn has_cgroup(pid: u32) -> Option<String> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).ok()?;
    let mut found = mounts.lines().filter(|line| line.contains(" cgroup2 "));
    found.next().map(str::to_owned)
}

/// The pid that a process wrote of itself.
fn pid_in(path: &Path) -> u32 {
    eventually("a process says its pid", PATIENCE, || {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    })
}

fn said(checkd: &Checkd, words: &str) {
    eventually(&format!("it says `{words}`"), PATIENCE, || {
        checkd.talk().contains(words).then_some(())
    });
}

const AWAY: &str = r#"
[group.stays]
command = ["sh", "-c", "(setsid sh -c 'echo $$ > $DIR/stays; exec sleep 1000' &) ; exec sleep 1000"]
stop_timeout = "200ms"

[group.leaves]
command = ["sh", "-c", "(setsid sh -c 'echo $$ > $DIR/leaves.new; mv $DIR/leaves.new $DIR/leaves; exec sleep 1000' &) ; while [ ! -e $DIR/leaves ]; do sleep 0.02; done"]
restart = "temporary"
"#;

/// What forked twice, into a session of its own, is nobody's descendant and in nobody's group.
fn goes_with_its_member(mut checkd: Checkd) {
    // A stranger with the same words in its environment, but for whose it is.
    let mut stranger = std::process::Command::new("sleep")
        .arg("1000")
        .env("CHECKD_GROUP", "stays")
        .env("CHECKD_MEMBER", "stays-0")
        .spawn()
        .expect("a stranger");
    let left = pid_in(&checkd.dir().join("leaves"));
    eventually("what was left behind is gone", PATIENCE, || {
        (!alive(left)).then_some(())
    });
    said(&checkd, "left others behind, which were killed");

    let away = pid_in(&checkd.dir().join("stays"));
    let pid = checkd.member_pid("stays/stays-0").expect("it runs");
    assert_ne!(checkd_tests::parent(away), Some(pid), "it is a descendant");
    assert_eq!(checkd.end(Signal::INT), Some(0), "{}", checkd.talk());
    assert!(!alive(pid), "the member is still there");
    assert!(!alive(away), "what forked away is still there");
    assert!(alive(stranger.id()), "a stranger was killed");
    stranger.kill().expect("it is ours");
    stranger.wait().expect("it ends");
}

#[test]
fn what_forks_away_from_a_member_goes_with_it() {
    let mut checkd = Checkd::prepare(AWAY);
    checkd.run();
    goes_with_its_member(checkd);
}

#[test]
fn what_forks_away_goes_with_its_member_also_without_control_groups() {
    let mut checkd = Checkd::prepare(AWAY);
    run_without_cgroups(&mut checkd);
    goes_with_its_member(checkd);
}

#[test]
fn a_member_that_ignores_its_stop_signal_is_killed_and_it_is_told() {
    let checkd = Checkd::start(
        r#"
[group.deaf]
command = ["python3", "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); open('$DIR/deaf','w'); time.sleep(1000)"]
stop_timeout = "300ms"
"#,
    );
    let pid = eventually("it is deaf", PATIENCE, || {
        fs::metadata(checkd.dir().join("deaf")).ok()?;
        checkd.member_pid("deaf/deaf-0")
    });
    checkd.ask(["restart", "--now", "deaf/deaf-0"]);
    eventually("another one runs", PATIENCE, || {
        checkd.member_pid("deaf/deaf-0").filter(|&new| new != pid)
    });
    assert!(!alive(pid));
    let history = checkd.ask(["history", "deaf/deaf-0"]).stdout;
    let told: Vec<&str> = history.split_whitespace().collect();
    let words = "stopped by checkd: SIGTERM did not end it within 300ms, SIGKILL did";
    assert!(told.join(" ").contains(words), "{history}");
}

/// What the files of a member's output take together.
fn taken(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes
        .filter(fs::Metadata::is_file)
        .map(|meta| meta.len())
        .sum()
}

#[test]
fn a_member_that_writes_without_end_takes_what_it_may_and_others_are_heard() {
    let checkd = Checkd::start(
        r#"
[group.loud]
command = ["yes", "a line that is written over and over again"]
output = { max_size = "1MiB", keep = 2 }

[group.endless]
command = ["sh", "-c", "exec tr '\\0' x < /dev/zero"]
output = { max_size = "1MiB", keep = 1 }

[group.calm]
command = ["sh", "-c", "while :; do date +%s%N; sleep 0.05; done"]
"#,
    );
    let output = checkd.state_dir().join("output");
    let calm = output.join("calm/calm-0.log");
    let lines = || fs::read_to_string(&calm).map_or(0, |text| text.lines().count());
    eventually("old files are there", PATIENCE, || {
        let old = |name: &str| output.join(name).exists();
        (old("loud/loud-0.log.2") && old("endless/endless-0.log.1")).then_some(())
    });
    let before = lines();
    // What one move takes comes on top; a line without an end may double a file.
    let bounds = [("loud", 3 << 20, 3), ("endless", 4 << 20, 2)];
    never("more is taken", Duration::from_secs(2), || {
        bounds
            .into_iter()
            .find(|(name, most, files)| taken(&output.join(name)) > most + files * (256 << 10))
    });
    eventually("others are heard", PATIENCE, || {
        (lines() > before + 20).then_some(())
    });
    assert!(alive(checkd.member_pid("loud/loud-0").expect("it goes on")));
}

#[test]
fn words_that_are_no_text_are_kept_as_they_are_and_harm_nobody() {
    let checkd = Checkd::start(
        r#"
[group.raw]
command = ["python3", "-c", """
import os, time
os.write(1, b'\\xff\\xfe broken \\x00 nul \\x1b[31mred\\x07\\n')
os.write(2, b'x' * 300000 + b'\\n')
os.write(1, b'no end')
open('$DIR/raw', 'w').close()
time.sleep(1000)
"""]

[group.dies]
command = ["python3", "-c", "import os; os.write(2, b'\\xff\\x00\\x1b[31m last words\\n'); os._exit(3)"]
"#,
    );
    let log = checkd.state_dir().join("output/raw/raw-0.log");
    let mut expected = b"\xff\xfe broken \x00 nul \x1b[31mred\x07\n".to_vec();
    expected.extend(std::iter::repeat_n(b'x', 300_000));
    expected.extend(b"\nno end");
    eventually("every byte is there", PATIENCE, || {
        (fs::read(&log).ok()? == expected).then_some(())
    });
    let shown = checkd.ask(["logs", "raw/raw-0"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("no end"));
    eventually("its last words are shown", PATIENCE, || {
        let told = checkd.ask(["explain", "dies/dies-0"]).stdout;
        assert!(!told.contains('\x1b') && !told.contains('\0'), "{told:?}");
        told.contains("last words").then_some(())
    });
    assert!(checkd.status().is_some());
}

#[test]
fn a_full_disk_under_the_output_holds_nobody_up_and_what_is_lost_is_counted() {
    let mut checkd = Checkd::prepare(
        r#"
[group.web]
command = ["python3", "-u", "-c", """
import time
n = 0
while True:
    print('line', n, 'x' * 2000)
    n += 1
    open('$DIR/count', 'w').write(str(n))
    time.sleep(0.001)
"""]
output = { path = "$DIR/small/out.log", max_size = "64MiB" }
"#,
    );
    // A disk of its own for output, seen by this daemon and its members alone.
    let small = checkd.dir().join("small").display().to_string();
    let script =
        format!("mkdir -p {small} && mount -t tmpfs -o size=1m none {small} && exec \"$@\"");
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
    let pid = eventually("it runs", PATIENCE, || checkd.member_pid("web/web-0"));
    let seen = format!("/proc/{}/root{small}", checkd.pid());
    let seen = Path::new(&seen);
    eventually("the disk is full", PATIENCE, || {
        (fs::metadata(seen.join("out.log")).ok()?.len() > 900 << 10).then_some(())
    });
    let count = || -> Option<u64> {
        let text = fs::read_to_string(checkd.dir().join("count")).ok()?;
        text.parse().ok()
    };
    let full = eventually("a count", PATIENCE, count);
    // The pipe and the patience of the keeper take some lines; past them it must go on.
    eventually("the member goes on", PATIENCE, || {
        (count()? > full + 600).then_some(())
    });
    // Room again: the old file is taken away by somebody.
    fs::remove_file(seen.join("out.log")).expect("it can be removed");
    let text = eventually("lines come again", PATIENCE, || {
        let text = fs::read_to_string(seen.join("out.log")).ok()?;
        (text.lines().count() > 20).then_some(text)
    });
    assert!(
        text.contains("bytes of output were lost here"),
        "it does not say what was lost: {}",
        text.lines().next().unwrap_or_default()
    );
    assert_eq!(checkd.member_pid("web/web-0"), Some(pid));
    let log = fs::read_to_string(checkd.state_dir().join("keeper.log")).expect("a log");
    assert!(log.contains("out.log: no space left on device"), "{log}");
    assert!(log.contains("out.log: written again, "), "{log}");
}
