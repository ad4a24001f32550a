//! Bad conditions: the disk is full, the journal is gone, damaged or not ours, descriptors run out.
//! Each time checkd goes on, says so, kills nothing, and acts again when it can.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, never, signal};

const CONFIG: &str = r#"
[defaults]
interval = "200ms"
timeout = "150ms"

[group.web]
command = [$SERVER]
processes = 2
ports = { base = $BASE }
stop_timeout = "1s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
fall = 2
min_fail_span = "200ms"
confirm_up = "200ms"
settle = "0s"
backoff_base = "200ms"
"#;

const SOON: Duration = Duration::from_mins(1);

fn healthy_pair(checkd: &Checkd) -> [u32; 2] {
    ["web/web-0", "web/web-1"].map(|path| checkd.wait_health(path, "healthy"))
}

/// Waits until the daemon says `words`.
fn wait_said(checkd: &Checkd, words: &str) {
    eventually(&format!("it says `{words}`"), SOON, || {
        checkd.talk().contains(words).then_some(())
    });
}

/// That nothing is done about the frozen `pid` while checkd cannot write.
fn left_alone(checkd: &Checkd, pid: u32) {
    checkd.wait("web/web-0", "has failed", |member| {
        (member["health"] == "failed").then_some(())
    });
    never(
        "it was killed without an intent on disk",
        Duration::from_secs(2),
        || (!alive(pid)).then_some(pid),
    );
    assert!(
        alive(checkd.pid()),
        "the daemon is gone:\n{}",
        checkd.talk()
    );
}

#[test]
fn a_full_disk_keeps_acts_back_until_there_is_room() {
    let mut checkd = Checkd::prepare("");
    checkd.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\ncontrol = \"$DIR/control.sock\"\n{CONFIG}"
    ));
    // A small disk of its own, seen by this daemon and its members alone.
    let state = checkd.state_dir().display().to_string();
    let script =
        format!("mkdir -p {state} && mount -t tmpfs -o size=2m none {state} && exec \"$@\"");
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
    let [first, _] = healthy_pair(&checkd);
    for member in ["web/web-0", "web/web-1"] {
        eventually(
            "that it is healthy is written down",
            Duration::from_mins(1),
            || {
                let history = checkd.ask(["history", member]).stdout;
                history.contains("start was effective").then_some(())
            },
        );
    }

    let fill = PathBuf::from(format!("/proc/{}/root{state}/fill", checkd.pid()));
    let written = fs::write(&fill, vec![1_u8; 4 << 20]);
    assert!(written.is_err(), "the disk takes more than it has room for");
    signal(first, Signal::STOP);
    left_alone(&checkd, first);
    wait_said(&checkd, "journal cannot be written");
    let answer = checkd.ask(["explain", "web/web-0"]);
    assert!(answer.stdout.contains("journal"), "{}", answer.stdout);
    let soon = "as soon as the journal can be written";
    eventually(
        "it promises nothing at once",
        Duration::from_secs(20),
        || {
            let answer = checkd.ask(["explain", "web/web-0"]);
            answer.unwrapped().contains(soon).then_some(())
        },
    );
    let said = checkd.talk().matches("journal cannot be written").count();
    assert_eq!(said, 1, "it says so again and again:\n{}", checkd.talk());

    // Killed there and then, it begins all the same, and takes over who runs.
    let keeper = checkd_tests::parent(first).expect("the keeper lives");
    checkd.end(Signal::KILL);
    let (target, enter) = (
        keeper.to_string(),
        format!("cd {} && exec \"$@\"", checkd.dir().display()),
    );
    let below = [
        "nsenter", "--mount", "--target", &target, "sh", "-c", &enter, "sh",
    ];
    let unprivileged = [
        &["nsenter", "--user", "--preserve-credentials"],
        &below[1..],
    ]
    .concat();
    let below = if root { &below[..] } else { &unprivileged };
    let fill = PathBuf::from(format!("/proc/{keeper}/root{state}/fill"));
    fs::remove_file(&fill).expect("there is room for a moment");
    fold_journal(below, &checkd.state_dir());
    let written = fs::write(&fill, vec![1_u8; 4 << 20]);
    assert!(written.is_err(), "the disk takes more than it has room for");
    checkd.run_below(below);
    wait_said(&checkd, "taken over");
    wait_said(&checkd, "warning[C0501]");
    left_alone(&checkd, first);
    let answer = checkd.ask(["history", "web/web-0"]);
    assert!(answer.stderr.contains("no room at all"), "{answer:?}");

    fs::remove_file(&fill).expect("the disk has room again");
    wait_said(&checkd, "journal takes entries again");
    checkd.wait_replaced("web/web-0", first);
    checkd.wait_health("web/web-0", "healthy");
    // What nobody else could read meanwhile can be read again.
    eventually("the restart is in its history", SOON, || {
        let history = checkd.ask(["history", "web/web-0"]).stdout;
        history.contains("restart was effective").then_some(())
    });
}

/// Folds the journal's log into the journal, so that its room is no room for what comes.
fn fold_journal(below: &[&str], state: &Path) {
    let script = "import sqlite3, sys\n\
                  journal = sqlite3.connect(sys.argv[1])\n\
                  journal.execute('SELECT count(*) FROM sqlite_schema').fetchall()\n\
                  print(*journal.execute('PRAGMA wal_checkpoint(TRUNCATE)'))";
    let (program, words) = below.split_first().expect("a program");
    let folded = Command::new(program)
        .args(words)
        .args(["python3", "-c", script])
        .arg(state.join("journal.db"))
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&folded.stdout);
    assert_eq!(said.trim(), "(0, 0, 0)", "{folded:?}");
}

#[test]
fn a_state_directory_that_was_removed_is_made_again_with_all_that_was_in_the_journal() {
    let mut checkd = Checkd::prepare("");
    checkd.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\ncontrol = \"$DIR/control.sock\"\n{CONFIG}"
    ));
    checkd.run();
    let [first, second] = healthy_pair(&checkd);
    fs::remove_dir_all(checkd.state_dir()).expect("it can be removed");
    // In its place something that is no directory: it cannot be made again yet.
    fs::write(checkd.state_dir(), "").expect("a file");
    signal(first, Signal::STOP);
    left_alone(&checkd, first);
    wait_said(&checkd, "journal cannot be written");

    fs::remove_file(checkd.state_dir()).expect("it can be removed");
    let replaced = checkd.wait_replaced("web/web-0", first);
    let acts = checkd.acts("web/web-0");
    assert_eq!(acts.len(), 2, "its first start is forgotten: {acts:?}");

    // The next daemon finds everybody.
    checkd.end(Signal::KILL);
    checkd.run();
    assert_eq!(healthy_pair(&checkd), [replaced, second]);
}

/// Where the journal is.
fn journal(checkd: &Checkd) -> PathBuf {
    checkd.state_dir().join("journal.db")
}

fn set_aside(checkd: &Checkd) -> Vec<PathBuf> {
    let entries = fs::read_dir(checkd.state_dir()).expect("the state directory");
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("journal.db.set-aside-")
                && !name.ends_with("-wal")
                && !name.ends_with("-shm")
        })
        .collect()
}

fn scribble(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().write(true).open(path).expect("a file");
    let length = file.metadata().expect("it is there").len();
    // Not random: a test fails the same way each time.
    let noise: Vec<u8> = (0_u32..8_192)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    for place in [length / 4, length / 2, length * 3 / 4] {
        file.write_all_at(&noise, place).expect("it is written");
    }
}

#[test]
fn a_journal_that_is_damaged_or_foreign_is_set_aside_and_members_are_found() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 2] = [
        ("damaged", scribble),
        ("foreign", |path| {
            fs::write(path, "somebody else's notes\n".repeat(400)).expect("a file");
        }),
    ];
    for (what, harm) in harms {
        let mut checkd = Checkd::start(CONFIG);
        let before = healthy_pair(&checkd);
        checkd.end(Signal::TERM);
        harm(&journal(&checkd));
        let bytes = fs::read(journal(&checkd)).expect("the journal");

        checkd.run();
        assert_eq!(healthy_pair(&checkd), before, "{what}: others run now");
        assert!(
            checkd.talk().contains("warning[C0504]"),
            "{what}: {}",
            checkd.talk()
        );
        let aside = set_aside(&checkd);
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        assert!(
            fs::read(&aside[0]).expect("it is kept") == bytes,
            "{what}: its bytes were changed"
        );
        for (member, pid) in ["web-0", "web-1"].into_iter().zip(before) {
            assert_eq!(checkd.log(member).starts(), [pid], "{what}: {member}");
        }
    }
}

#[test]
fn a_journal_that_is_damaged_under_the_daemon_is_replaced_and_acts_go_on() {
    let mut checkd = Checkd::start(CONFIG);
    let [first, second] = healthy_pair(&checkd);
    // Everything of it that is not in the first page is noise from now on.
    for suffix in ["", "-wal"] {
        let mut path = journal(&checkd).into_os_string();
        path.push(suffix);
        scribble(Path::new(&path));
    }
    signal(first, Signal::STOP);
    let replaced = checkd.wait_replaced("web/web-0", first);
    assert!(alive(checkd.pid()), "{}", checkd.talk());
    checkd.end(Signal::KILL);
    checkd.run();
    assert_eq!(healthy_pair(&checkd), [replaced, second]);
}

#[test]
fn a_journal_of_a_newer_checkd_is_left_alone_and_nobody_is_touched() {
    use std::os::unix::fs::FileExt;
    let mut checkd = Checkd::start(CONFIG);
    let before = healthy_pair(&checkd);
    checkd.end(Signal::TERM);
    // SQLite keeps the version of the user at this place of the head.
    let file = fs::File::options()
        .write(true)
        .open(journal(&checkd))
        .expect("the journal");
    file.write_all_at(&99_u32.to_be_bytes(), 60)
        .expect("it is written");
    let bytes = fs::read(journal(&checkd)).expect("the journal");
    let refused = checkd.ask(["run", "checkd.toml"]);
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("error[C0503]"), "{refused:?}");
    assert!(refused.stderr.contains("version is 99"), "{refused:?}");
    assert!(fs::read(journal(&checkd)).expect("the journal") == bytes);
    assert!(before.iter().all(|&pid| alive(pid)), "somebody was killed");
    let answer = checkd.ask(["history"]);
    assert!(answer.stderr.contains("newer checkd"), "{answer:?}");
}

#[test]
fn without_descriptors_nobody_can_tell_and_nobody_is_restarted() {
    let checkd = Checkd::start(CONFIG);
    let before = healthy_pair(&checkd);
    let limit = |soft: &str| {
        let limited = Command::new("prlimit")
            .args([
                "--pid",
                &checkd.pid().to_string(),
                &format!("--nofile={soft}:"),
            ])
            .status()
            .expect("prlimit is part of util-linux");
        assert!(limited.success());
    };
    // Fewer than are open already: nothing at all can be opened.
    limit("8");
    never(
        "a member was killed for lack of descriptors",
        Duration::from_secs(3),
        || before.iter().find(|&&pid| !alive(pid)),
    );
    assert!(
        alive(checkd.pid()),
        "the daemon is gone:\n{}",
        checkd.talk()
    );
    limit("1024");
    assert_eq!(healthy_pair(&checkd), before);
    checkd.wait_check("web/web-0", "ping", "pass");
    assert_eq!(checkd.acts("web/web-0").len(), 1, "{}", checkd.talk());

    // And it acts again.
    signal(before[0], Signal::STOP);
    checkd.wait_replaced("web/web-0", before[0]);
}

#[test]
fn a_disk_that_becomes_read_only_loses_nothing_and_kills_nobody() {
    let mut checkd = Checkd::prepare("");
    checkd.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\ncontrol = \"$DIR/control.sock\"\n{CONFIG}"
    ));
    // A file system of its own that goes read-only as a real one does: at an error, with files open.
    let (state, image) = (checkd.state_dir(), checkd.dir().join("disk"));
    let make = format!(
        "truncate -s 24m {image} && mkfs.ext4 -q {image} && mkdir -p {state} && \
         mount -o loop,errors=remount-ro {image} {state}",
        state = state.display(),
        image = image.display()
    );
    let begin = format!("{make} && exec \"$@\"");
    let trial = format!(
        "{make} && test -w /sys/fs/ext4/$(basename $(findmnt -no SOURCE {}))/trigger_fs_error",
        state.display()
    );
    let below = ["unshare", "--mount", "--propagation", "private", "sh", "-c"];
    let tried = Command::new(below[0]).args(&below[1..]).arg(trial).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        writeln!(
            std::io::stderr(),
            "skipped: no file system can be made here"
        )
        .ok();
        return;
    }
    checkd.run_below(&[&below[..], &[&begin, "sh"]].concat());
    let [first, second] = healthy_pair(&checkd);
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", checkd.pid())).expect("mounts");
    let state = state.display().to_string();
    let device = mounts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, rest)| rest.split(' ').next() == Some(&state))
        .and_then(|(device, _)| device.strip_prefix("/dev/"))
        .expect("a device");
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    fs::write(trigger, "an error of a test").expect("it can be triggered");

    signal(first, Signal::STOP);
    left_alone(&checkd, first);
    wait_said(&checkd, "journal cannot be written");
    let answer = checkd.ask(["explain", "web/web-0"]);
    assert!(answer.stdout.contains("journal"), "{}", answer.stdout);
    // What was told before is still there, and the others go on.
    assert_eq!(checkd.acts("web/web-0").len(), 1, "{}", checkd.talk());
    checkd.wait_check("web/web-1", "ping", "pass");
    assert!(alive(second) && alive(first), "somebody was killed");
}
