//! The keeper: whatever is killed, members keep running, each act is carried out once, and no line of
//! output is lost or doubled.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, alive, children, eventually, never, parent, signal, state};

const PATIENCE: Duration = Duration::from_mins(1);

/// A member that notes its start and writes numbered lines; numbers go on from life to life.
const WRITER: &str = r#"
import os, signal, sys, time
name, directory = sys.argv[1], sys.argv[2]
with open(f"{directory}/{name}.starts", "a") as starts:
    starts.write(f"{os.getpid()} {os.environ['CHECKD_INTENT']}\n")
number = 0
while True:
    os.write(1, f"{os.getpid()} {number}\n".encode())
    number += 1
    time.sleep(0.001)
"#;

fn config(checkd: &Checkd, members: u32, more: &str) {
    let script = checkd.dir().join("writer.py");
    fs::write(&script, WRITER).expect("the script is written");
    checkd.write_config(&format!(
        r#"
[group.web]
command = ["python3", "{}", "{{member}}", "$DIR"]
processes = {members}
stop_timeout = "2s"
{more}
[group.web.policy]
confirm_up = "100ms"
settle = "0s"
"#,
        script.display()
    ));
}

/// What each life of a member said of itself: pid and intent.
fn starts(checkd: &Checkd, member: &str) -> Vec<(u32, u64)> {
    let text = fs::read_to_string(checkd.dir().join(format!("{member}.starts")));
    let text = text.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter_map(|(pid, intent)| Some((pid.parse().ok()?, intent.parse().ok()?)))
        .collect()
}

fn output(checkd: &Checkd, member: &str) -> String {
    let path = checkd.state_dir().join(format!("output/web/{member}.log"));
    fs::read_to_string(path).unwrap_or_default()
}

/// Every life's lines are there, each once, in order, without a gap.
fn assert_whole(text: &str) -> usize {
    let mut next = std::collections::BTreeMap::new();
    let mut lines = 0;
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let (pid, number) = line.trim_end().split_once(' ').expect("a line of ours");
        let number: u64 = number.parse().expect("a number");
        let expected = next.entry(pid.to_owned()).or_insert(0);
        assert_eq!(number, *expected, "life {pid} lost or doubled a line");
        *expected += 1;
        lines += 1;
    }
    lines
}

fn keeper(checkd: &Checkd) -> u32 {
    eventually("a keeper runs", PATIENCE, || {
        let member = checkd.member_pid("web/web-0")?;
        parent(member).filter(|&pid| names_keeper(pid))
    })
}

fn names_keeper(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|words| words.split(|&b| b == 0).any(|word| word == b"keeper"))
}

/// The life of `member` other than `old`, once it wrote a line.
fn next_life(checkd: &Checkd, member: &str, old: u32) -> u32 {
    eventually("another life writes", PATIENCE, || {
        let (pid, _) = *starts(checkd, member).last()?;
        (pid != old && output(checkd, member).contains(&format!("{pid} 3\n"))).then_some(pid)
    })
}

#[test]
fn a_daemon_killed_at_any_instant_starts_nobody_twice_and_loses_no_line() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 1, "");
    checkd.run();
    let mut pid = next_life(&checkd, "web-0", 0);
    let parent_of_all = keeper(&checkd);
    // Instants spread over what a restart takes, from before its intent to after its start.
    for round in 0..12_u64 {
        let begin = Instant::now();
        let mut restart = checkd
            .verb(["restart", "web/web-0", "--now"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("checkd starts");
        let instant = Duration::from_millis((round * 37) % 200);
        while begin.elapsed() < instant {
            std::thread::yield_now();
        }
        checkd.end(Signal::KILL);
        restart.wait().expect("the verb ends");
        checkd.run();
        assert_eq!(
            keeper(&checkd),
            parent_of_all,
            "the keeper went with its daemon"
        );
        // Restarted or not, it runs, and it is the one that the daemon knows.
        pid = eventually("it runs and is known", PATIENCE, || {
            let (last, _) = *starts(&checkd, "web-0").last()?;
            (alive(last) && checkd.member_pid("web/web-0") == Some(last)).then_some(last)
        });
    }
    let lives = starts(&checkd, "web-0");
    let mut intents: Vec<u64> = lives.iter().map(|(_, intent)| *intent).collect();
    intents.sort_unstable();
    let all = intents.len();
    intents.dedup();
    assert_eq!(intents.len(), all, "an intent started twice: {lives:?}");
    assert!(
        all > 3,
        "hardly a restart happened: this test looks wrongly: {lives:?}"
    );
    let running = lives.iter().filter(|(pid, _)| alive(*pid)).count();
    assert_eq!(running, 1, "two live at once: {lives:?}");
    signal(pid, Signal::STOP);
    let written = assert_whole(&output(&checkd, "web-0"));
    assert!(written > 100, "only {written} lines");
}

#[test]
fn an_exit_while_no_daemon_runs_is_told_with_its_code() {
    let mut checkd = Checkd::prepare(
        r#"
[group.web]
command = ["sh", "-c", "echo up; while [ ! -e $DIR/go ]; do sleep 0.02; done; rm $DIR/go; exit 37"]

[group.web.policy]
settle = "0s"
"#,
    );
    checkd.run();
    let pid = eventually("it runs", PATIENCE, || checkd.member_pid("web/web-0"));
    eventually("its life is noted", PATIENCE, || {
        let history = checkd.ask(["history", "web/web-0"]).stdout;
        history.contains(&format!("pid {pid}")).then_some(())
    });
    checkd.end(Signal::KILL);
    fs::write(checkd.dir().join("go"), "").expect("a file is written");
    eventually("it ends", PATIENCE, || (!alive(pid)).then_some(()));
    checkd.run();
    eventually("the exit code is told", PATIENCE, || {
        checkd
            .talk()
            .contains(&format!(
                "exited with code 37 while no checkd ran (it was pid {pid})"
            ))
            .then_some(())
    });
}

#[test]
fn members_of_a_killed_keeper_live_on_and_keep_every_line() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 2, "");
    checkd.run();
    let before = ["web-0", "web-1"].map(|member| next_life(&checkd, member, 0));
    let old = keeper(&checkd);
    for round in 1..=3 {
        let mut keepers = children(checkd.pid()).into_iter();
        let now = keepers.find(|&pid| names_keeper(pid));
        signal(now.expect("the keeper is the daemon's child"), Signal::KILL);
        eventually(
            "another keeper comes, and it is said once",
            PATIENCE,
            || {
                let said = checkd.talk().matches("the keeper was killed").count();
                (said == round).then_some(())
            },
        );
    }
    assert!(!alive(old));
    for (member, pid) in ["web-0", "web-1"].into_iter().zip(before) {
        assert!(alive(pid), "{member} went with its keeper");
        let lines = output(&checkd, member).lines().count();
        eventually("its lines go on", PATIENCE, || {
            (output(&checkd, member).lines().count() > lines + 100).then_some(())
        });
        assert_eq!(
            starts(&checkd, member).len(),
            1,
            "{member} was started again"
        );
        assert_whole(&output(&checkd, member));
    }
    // Adopted members are looked after as any other.
    signal(before[0], Signal::KILL);
    next_life(&checkd, "web-0", before[0]);
}

#[test]
fn a_frozen_member_stays_frozen_when_its_keeper_is_killed() {
    let mut checkd = Checkd::prepare(
        r#"
[group.web]
command = ["sleep", "1000"]

[group.web.policy]
settle = "0s"
"#,
    );
    checkd.run();
    let pid = eventually("it runs", PATIENCE, || checkd.member_pid("web/web-0"));
    signal(pid, Signal::STOP);
    eventually("it is frozen", PATIENCE, || {
        (state(pid) == Some('T')).then_some(())
    });
    // What the kernel does to the stopped it does as the keeper goes.
    signal(keeper(&checkd), Signal::KILL);
    eventually("another keeper comes", PATIENCE, || {
        let talk = checkd.talk();
        talk.contains("the keeper was killed").then_some(())
    });
    assert_eq!(state(pid), Some('T'), "{}", checkd.talk());
}

#[test]
fn what_nobody_reads_and_what_is_no_program_hold_up_nobody_else() {
    let mut checkd = Checkd::prepare(
        r#"
[group.pipe]
command = ["sh", "-c", "echo up; exec sleep 1000"]
output = "$DIR/out.fifo"

[group.odd]
command = ["$DIR/prog.fifo"]

[group.ok]
command = ["sleep", "1000"]
depends_on = []

[group.ok.policy]
settle = "0s"
"#,
    );
    for name in ["out.fifo", "prog.fifo"] {
        let path = checkd.dir().join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, open_to_all).expect("its mode is set");
    }
    checkd.run();
    let pid = eventually("the good one runs", PATIENCE, || {
        checkd.member_pid("ok/ok-0")
    });
    let restarted = checkd.ask(["restart", "ok/ok-0", "--now"]);
    assert_eq!(restarted.code, Some(0), "{restarted:?}");
    checkd.wait_replaced("ok/ok-0", pid);
    // Its output waits in the pipe for whoever comes to read it.
    eventually("the other runs", PATIENCE, || {
        checkd.member_pid("pipe/pipe-0")
    });
    let mut line = String::new();
    let pipe = fs::File::open(checkd.dir().join("out.fifo")).expect("the pipe opens");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(pipe), &mut line).expect("a line");
    assert_eq!(line, "up\n");
    eventually("why the odd one does not start is told", PATIENCE, || {
        let talk = checkd.talk();
        talk.contains("is a device, a pipe or a socket, not a program")
            .then_some(())
    });
}

#[test]
fn the_keeper_becomes_another_program_under_living_members() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 2, "");
    checkd.run();
    let before = ["web-0", "web-1"].map(|member| next_life(&checkd, member, 0));
    let old = keeper(&checkd);
    checkd.end(Signal::KILL);
    // Another file is another build, though it holds the same.
    let other = checkd.dir().join("checkd");
    fs::copy(checkd_tests::checkd_binary(), &other).expect("the binary is copied");
    checkd.run_as(&other);
    eventually("the keeper is the other program", PATIENCE, || {
        let program = fs::read_link(format!("/proc/{old}/exe")).ok()?;
        (program == other).then_some(())
    });
    for (member, pid) in ["web-0", "web-1"].into_iter().zip(before) {
        assert_eq!(parent(pid), Some(old), "{member} has another parent");
        let lines = output(&checkd, member).lines().count();
        eventually("its lines go on", PATIENCE, || {
            (output(&checkd, member).lines().count() > lines + 100).then_some(())
        });
        assert_eq!(starts(&checkd, member).len(), 1);
        assert_whole(&output(&checkd, member));
    }
    // Still its child: how it ends is known.
    signal(before[1], Signal::KILL);
    next_life(&checkd, "web-1", before[1]);
    let history = checkd.ask(["history", "web/web-1"]);
    assert!(history.stdout.contains("SIGKILL"), "{}", history.stdout);
}

#[test]
fn nothing_is_left_behind_when_members_are_stopped() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 2, "");
    checkd.run();
    let pid = next_life(&checkd, "web-0", 0);
    let keeper = keeper(&checkd);
    assert_eq!(checkd.end(Signal::INT), Some(0));
    assert!(!alive(pid));
    eventually("the keeper ends", PATIENCE, || {
        (!alive(keeper)).then_some(())
    });
    assert!(!checkd.state_dir().join("keeper.sock").exists());
}

#[test]
fn output_is_set_aside_between_two_lines_and_a_member_never_stands_still() {
    let mut checkd = Checkd::prepare(
        r#"
[group.web]
command = ["python3", "-c", """
import os
line = b'x' * 999 + b'\\n'
for n in range(60000): os.write(1, line)
open('$DIR/done', 'w').close()
import time
time.sleep(1000)
"""]
"#,
    );
    checkd.run();
    eventually("it has written all", PATIENCE, || {
        checkd.dir().join("done").exists().then_some(())
    });
    let files = || -> Vec<std::path::PathBuf> {
        let directory = checkd.state_dir().join("output/web");
        let entries = fs::read_dir(directory).expect("the directory is there");
        let names = entries.map(|entry| entry.expect("an entry").path());
        names
            .filter(|path| path.extension().is_none_or(|e| e != "pipe"))
            .collect()
    };
    eventually("the last bytes are there", PATIENCE, || {
        let newest = checkd.state_dir().join("output/web/web-0.log");
        let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
        (files().len() == 4 && size(&newest) > 0).then_some(())
    });
    for file in files() {
        let text = fs::read(&file).expect("it is readable");
        assert!(text.len() < 11 << 20, "{} is too large", file.display());
        if !file.ends_with("web-0.log") {
            assert_eq!(
                text.len() % 1000,
                0,
                "{} ends within a line",
                file.display()
            );
        }
    }
}

#[test]
fn members_that_misbehave_cost_nobody_else_anything() {
    let mut checkd = Checkd::prepare(
        r#"
[group.deaf]
command = ["python3", "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); open('$DIR/deaf','w'); time.sleep(1000)"]
stop_timeout = "200ms"

[group.away]
command = ["sh", "-c", "(setsid sh -c 'echo $$ > $DIR/away; exec sleep 1000' &) ; sleep 1000"]
stop_timeout = "200ms"

[group.closed]
command = ["python3", "-c", "import os,time; [os.close(n) for n in (0,1,2)]; open('$DIR/closed','w'); time.sleep(1000)"]

[group.none]
command = ["$DIR/no-program"]
"#,
    );
    checkd.run();
    let pids = ["deaf", "away", "closed"].map(|name| {
        eventually("it is ready", PATIENCE, || {
            fs::metadata(checkd.dir().join(name)).ok()?;
            checkd.member_pid(&format!("{name}/{name}-0"))
        })
    });
    let away: u32 = eventually("it forked away", PATIENCE, || {
        let text = fs::read_to_string(checkd.dir().join("away")).ok()?;
        text.trim().parse().ok()
    });
    eventually("the missing program is told", PATIENCE, || {
        checkd
            .talk()
            .contains("no-program` does not exist")
            .then_some(())
    });
    never(
        "the keeper turns in circles",
        Duration::from_secs(1),
        || {
            let keeper = parent(pids[2]).filter(|&pid| names_keeper(pid))?;
            let busy = || {
                let stat = fs::read_to_string(format!("/proc/{keeper}/stat")).ok()?;
                let fields: Vec<_> = stat
                    .rsplit_once(") ")?
                    .1
                    .split(' ')
                    .map(str::to_owned)
                    .collect();
                fields.get(11)?.parse::<u64>().ok()
            };
            let before = busy()?;
            std::thread::sleep(Duration::from_millis(400));
            let used = busy()? - before;
            (used > 20).then_some(used)
        },
    );
    assert_eq!(checkd.end(Signal::INT), Some(0), "{}", checkd.talk());
    for pid in pids {
        assert!(!alive(pid), "{pid} is still there");
    }
    assert!(!alive(away), "what forked away is still there");
}

#[test]
fn two_hundred_members_start_and_stop_under_one_keeper() {
    let mut checkd = Checkd::prepare(
        r#"
[group.web]
command = ["sleep", "1000"]
processes = 200

[group.web.policy]
settle = "0s"
"#,
    );
    let begin = Instant::now();
    checkd.run();
    eventually("all run", PATIENCE, || {
        let member = checkd.member_pid("web/web-0")?;
        (children(parent(member)?).len() == 200).then_some(())
    });
    let started = begin.elapsed();
    let keeper = keeper(&checkd);
    let status = fs::read_to_string(format!("/proc/{keeper}/status")).expect("it runs");
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .map(str::trim)
        .expect("it has memory");
    let kib: u64 = resident.trim_end_matches(" kB").parse().expect("a number");
    let begin = Instant::now();
    assert_eq!(checkd.end(Signal::INT), Some(0), "{}", checkd.talk());
    let stopped = begin.elapsed();
    writeln!(
        std::io::stderr(),
        "200 members: started in {started:?}, stopped in {stopped:?}, keeper {resident}"
    )
    .ok();
    assert!(kib < 64 << 10, "the keeper takes {resident}");
    assert!(
        stopped < Duration::from_secs(15),
        "stopping took {stopped:?}"
    );
}

#[test]
fn as_the_first_process_it_reaps_orphans_and_runs_a_killed_daemon_again() {
    let checkd = Checkd::prepare(
        r#"
[group.web]
command = ["sh", "-c", "(setsid sleep 0.1 &); sleep 1000"]

[group.web.policy]
settle = "0s"
"#,
    );
    let container = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let unshare = Path::new("unshare");
    let possible = checkd.verb_of(unshare, container).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        writeln!(
            std::io::stderr(),
            "skipped: this user may make no pid namespace"
        )
        .ok();
        return;
    }
    let mut command = checkd.verb_of(unshare, container);
    let binary = checkd_tests::checkd_binary();
    command.arg(binary).args(["run", "checkd.toml"]);
    let mut outer = command.spawn().expect("unshare starts");
    let member = || {
        checkd
            .member("web/web-0")?
            .get("generation")?
            .get("pid")?
            .as_u64()
    };
    let life = eventually("the member runs", PATIENCE, member);
    let first = children(outer.id())[0];
    let daemon = || {
        let all = children(first).into_iter();
        let words = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut runs = all.filter(|&pid| words(pid).split(|&b| b == 0).any(|word| word == b"run"));
        runs.next()
    };
    let before = daemon().expect("the daemon is a child of the first process");
    signal(before, Signal::KILL);
    eventually("another daemon answers", PATIENCE, || {
        let another = daemon().is_some_and(|pid| pid != before);
        (another && member() == Some(life)).then_some(())
    });
    let zombies = || {
        let tasks = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).ok()?;
        let mut pids = tasks.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.find(|&pid| checkd_tests::state(pid) == Some('Z'))
    };
    eventually("orphans are reaped", PATIENCE, || {
        zombies().is_none().then_some(())
    });
    signal(first, Signal::TERM);
    let status = outer.wait().expect("it ends");
    assert!(status.success(), "{status}");
}
