//! An upgrade: another build of daemon and keeper under members that write, die and are restarted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, alive, eventually, free_ports, parent, signal};

const PATIENCE: Duration = Duration::from_mins(2);
const MEMBERS: u16 = 50;
const INTERVAL: Duration = Duration::from_secs(2);

/// A member that writes numbered lines, and counts beside its output how many it has written; answers
/// whoever connects to its port, and notes when. SIGUSR1 has it end with 37. One that is deaf notes
/// that it was asked to stop, and goes on.
const WRITER: &str = r#"
import os, select, signal, socket, sys, time
name, directory, port, deaf = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
pid = os.getpid()
def note(kind, text):
    with open(f"{directory}/{name}.{kind}", "a") as file:
        file.write(text + "\n")
signal.signal(signal.SIGUSR1, lambda *_: os._exit(37))
if name in deaf:
    signal.signal(signal.SIGTERM, lambda *_: note("told", str(pid)))
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
listener = socket.create_server(("127.0.0.1", port))
note("starts", f"{pid} {os.environ['CHECKD_INTENT']}")
count = os.open(f"{directory}/{name}.count.{pid}", os.O_WRONLY | os.O_CREAT)
number = 0
while True:
    os.write(1, f"{pid} {number}\n".encode())
    number += 1
    os.pwrite(count, b"%020d" % number, 0)
    if select.select([listener], [], [], 0.02)[0]:
        asker, _ = listener.accept()
        note("asked", f"{pid} {time.clock_gettime(time.CLOCK_BOOTTIME)}")
        asker.sendall(b"pong\n")
        asker.close()
"#;

/// Writes the configuration of `members` such members; `deaf` are the names of those that are.
fn config(checkd: &Checkd, members: u16, deaf: &str, more: &str) {
    let script = checkd.dir().join("writer.py");
    fs::write(&script, WRITER).expect("the script is written");
    checkd.write_config(&format!(
        r#"
[group.web]
command = ["python3", "{}", "{{member}}", "$DIR", "{{port}}", "{deaf}"]
processes = {members}
ports = {{ base = {} }}
stop_timeout = "5s"
{more}
[group.web.checks.ping]
kind = "tcp"
port = "{{port}}"
expect = "pong"
interval = "{}s"
timeout = "900ms"

[group.web.policy]
fall = 2
min_fail_span = "1s"
fast_interval = "1s"
confirm_up = "100ms"
settle = "0s"
"#,
        script.display(),
        free_ports(members),
        INTERVAL.as_secs(),
    ));
}

/// Lines of two words that members wrote beside their output.
fn notes(checkd: &Checkd, member: &str, kind: &str) -> Vec<(u32, f64)> {
    let text = fs::read_to_string(checkd.dir().join(format!("{member}.{kind}")));
    let text = text.unwrap_or_default();
    // The last line may be being written just now.
    let lines = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    let words = lines.map(|line| {
        line.trim_end()
            .split_once(' ')
            .unwrap_or((line.trim(), "0"))
    });
    words
        .filter_map(|(pid, value)| Some((pid.parse().ok()?, value.parse().ok()?)))
        .collect()
}

fn starts(checkd: &Checkd, member: &str) -> Vec<u32> {
    let starts = notes(checkd, member, "starts").into_iter();
    starts.map(|(pid, _)| pid).collect()
}

/// Another build of checkd: another file that says another version of itself.
fn other_build(checkd: &Checkd, name: &str) -> PathBuf {
    const PATCH: &str = r"
import re, sys
data = open(sys.argv[1], 'rb').read()
data, n = re.subn(rb'(checkd(?: |-|/)?)0\.0\.0', rb'\g<1>0.0.1', data)
open(sys.argv[2], 'wb').write(data + b'another build')
assert n, 'the version is not in the binary'
";
    let path = checkd.dir().join(name);
    let (from, patched) = (checkd_tests::checkd_binary(), checkd.dir().join("patched"));
    let mut python = Command::new("python3");
    python.args(["-c", PATCH]).arg(from).arg(&patched);
    assert!(python.status().is_ok_and(|status| status.success()));
    let mode = fs::metadata(from).expect("it is there").permissions();
    fs::set_permissions(&patched, mode).expect("it can be run");
    fs::rename(patched, &path).expect("it is renamed");
    path
}

fn program_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn now() -> f64 {
    let uptime = fs::read_to_string("/proc/uptime").expect("Linux tells it");
    let first = uptime.split(' ').next().expect("a number");
    first.parse().expect("a number")
}

/// Stops every life where it is, and holds that each line that it wrote is in its output, once and in
/// order. Gives the number of lines.
fn assert_whole(checkd: &Checkd, member: &str) -> u64 {
    for pid in starts(checkd, member) {
        signal(pid, Signal::STOP);
    }
    let directory = checkd.state_dir().join("output/web");
    let count = |pid: u32| -> u64 {
        let text = fs::read_to_string(checkd.dir().join(format!("{member}.count.{pid}")));
        text.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let mut written = 0;
    let mut text = String::new();
    eventually("the last line is there", PATIENCE, || {
        text = fs::read_to_string(directory.join(format!("{member}.log"))).ok()?;
        let mut lives = starts(checkd, member).into_iter();
        let there =
            |pid: u32| count(pid) == 0 || text.contains(&format!("{pid} {}\n", count(pid) - 1));
        lives.all(there).then_some(())
    });
    let mut next = BTreeMap::new();
    for line in text.lines() {
        let (pid, number) = line.split_once(' ').expect("a line of ours");
        let expected: &mut u64 = next.entry(pid.to_owned()).or_default();
        assert_eq!(
            number,
            expected.to_string(),
            "{member}: life {pid} lost or doubled a line"
        );
        *expected += 1;
        written += 1;
    }
    for pid in starts(checkd, member) {
        signal(pid, Signal::CONT);
    }
    written
}

/// The longest time between two checks of a life, by what the member itself noted.
fn longest_gap(asked: &[(u32, f64)], since: f64) -> f64 {
    let pairs = asked
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0 && pair[1].1 > since);
    pairs.map(|pair| pair[1].1 - pair[0].1).fold(0.0, f64::max)
}

fn pids(checkd: &Checkd) -> BTreeMap<String, u32> {
    let names = (0..MEMBERS).map(|n| format!("web-{n}"));
    names
        .filter_map(|name| Some((name.clone(), *starts(checkd, &name).last()?)))
        .collect()
}

#[test]
fn fifty_members_that_write_notice_nothing_of_an_upgrade() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, MEMBERS, "web-7", "");
    checkd.run();
    eventually("all are healthy and were checked twice", PATIENCE, || {
        let status = checkd.status()?;
        let members = status["groups"][0]["members"].as_array()?.clone();
        let healthy = members.iter().filter(|m| m["health"] == "healthy").count();
        let twice = |n| notes(&checkd, &format!("web-{n}"), "asked").len() > 2;
        (healthy == usize::from(MEMBERS) && (0..MEMBERS).all(twice)).then_some(())
    });
    let before = pids(&checkd);
    let keeper = parent(before["web-0"]).expect("it has a parent");
    let first_program = program_of(keeper).expect("it runs");
    let other = other_build(&checkd, "checkd-next");

    // One is being restarted: it was asked to stop, does not, and its time is not over.
    signal(before["web-7"], Signal::STOP);
    eventually("it was asked to stop", PATIENCE, || {
        (!notes(&checkd, "web-7", "told").is_empty()).then_some(())
    });

    let begin = (now(), Instant::now());
    assert_eq!(checkd.end(Signal::TERM), Some(0), "{}", checkd.talk());
    let ended = begin.1.elapsed();
    assert!(
        alive(before["web-7"]),
        "it ended too early: this test looks wrongly"
    );
    // Some end while there is no daemon, some while the keeper becomes another program.
    signal(before["web-3"], Signal::KILL);
    signal(before["web-4"], Signal::USR1);
    let victims: Vec<String> = (10..20).map(|n| format!("web-{n}")).collect();
    let killer = {
        let pids: Vec<u32> = victims.iter().map(|name| before[name]).collect();
        std::thread::spawn(move || {
            let deadline = Instant::now() + PATIENCE;
            // From a moment before the keeper becomes the other program until a moment after.
            for (index, pid) in pids.iter().enumerate() {
                let early = index < pids.len() / 2;
                while !early && program_of(keeper) == Some(first_program.clone()) {
                    assert!(Instant::now() < deadline, "the keeper stays as it is");
                    std::thread::yield_now();
                }
                signal(
                    *pid,
                    if index % 2 == 0 {
                        Signal::KILL
                    } else {
                        Signal::USR1
                    },
                );
                let next = Instant::now() + Duration::from_millis(10);
                while Instant::now() < next {
                    std::thread::yield_now();
                }
            }
        })
    };
    checkd.run_as(&other);
    killer.join().expect("the keeper became the other program");
    signal(before["web-5"], Signal::USR1);
    signal(before["web-6"], Signal::KILL);
    let ending: BTreeMap<&str, &str> = [
        ("web-3", "SIGKILL"),
        ("web-4", "code 37"),
        ("web-5", "code 37"),
        ("web-6", "SIGKILL"),
    ]
    .into_iter()
    .chain(victims.iter().enumerate().map(|(index, name)| {
        (
            name.as_str(),
            if index % 2 == 0 { "SIGKILL" } else { "code 37" },
        )
    }))
    .collect();
    assert_eq!(
        program_of(keeper),
        Some(other),
        "the keeper is the other program"
    );
    let talk = checkd.talk();
    assert!(talk.contains("checkd 0.0.1, configured by"), "{talk}");

    // Exit codes are known, whenever it was.
    for (name, how) in &ending {
        eventually(&format!("{name} runs again"), PATIENCE, || {
            (starts(&checkd, name).len() == 2).then_some(())
        });
        let path = format!("web/{name}");
        let history = checkd.ask(["history", &path]).stdout;
        assert!(history.contains(how), "{name} ended with {how}: {history}");
        assert!(!history.contains("nobody saw"), "{name}: {history}");
    }
    eventually("the frozen one is restarted", PATIENCE, || {
        (starts(&checkd, "web-7").len() == 2).then_some(())
    });
    assert!(!alive(before["web-7"]));
    eventually(
        "all are healthy, and were checked by the new daemon",
        PATIENCE,
        || {
            let status = checkd.status()?;
            let members = status["groups"][0]["members"].as_array()?.clone();
            let healthy = members.iter().filter(|m| m["health"] == "healthy").count();
            let again = |name: &String| {
                let asked = notes(&checkd, name, "asked");
                asked.iter().filter(|(_, at)| *at > begin.0).count() > 2
            };
            (healthy == usize::from(MEMBERS) && before.keys().all(again)).then_some(())
        },
    );

    let mut first_check = f64::MAX;
    let mut gaps = (0.0_f64, 0.0_f64);
    let mut lines = 0;
    for (name, pid) in &before {
        let replaced = ending.contains_key(name.as_str()) || name == "web-7";
        let expected = if replaced { 2 } else { 1 };
        let pids = starts(&checkd, name);
        assert_eq!(pids.len(), expected, "{name} was started wrongly: {pids:?}");
        assert_eq!(pids[0], *pid);
        let last = *pids.last().expect("a life");
        assert_eq!(parent(last), Some(keeper), "{name} has another parent");
        lines += assert_whole(&checkd, name);
        let asked = notes(&checkd, name, "asked");
        let of_new = asked
            .iter()
            .map(|(_, at)| *at)
            .filter(|at| *at > begin.0 + ended.as_secs_f64());
        first_check = of_new.fold(first_check, f64::min);
        if !replaced {
            gaps.0 = gaps.0.max(longest_gap(&asked, begin.0));
            let earlier: Vec<_> = asked
                .iter()
                .copied()
                .filter(|(_, at)| *at < begin.0)
                .collect();
            gaps.1 = gaps.1.max(longest_gap(&earlier, 0.0));
        }
    }
    let away = first_check - begin.0;
    let told = format!(
        "the old daemon took {ended:?} to end, the first check came {away:.2}s after it was told to; \
         longest gap {:.2}s, before the upgrade {:.2}s; {lines} lines",
        gaps.0, gaps.1
    );
    writeln!(std::io::stderr(), "{told}").ok();
    // What the machine itself adds to a gap was seen before.
    let noise = (gaps.1 - INTERVAL.as_secs_f64()).max(0.2);
    assert!(gaps.0 <= INTERVAL.as_secs_f64() + away + noise, "{told}");
    assert!(away < 10.0, "{told}");
    assert!(lines > 10_000, "{told}");
}

#[test]
fn a_keeper_that_cannot_become_a_program_says_so_and_goes_on() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 2, "web-1", "");
    checkd.run();
    let before = ["web-0", "web-1"].map(|member| {
        checkd.wait_health(&format!("web/{member}"), "healthy");
        starts(&checkd, member)[0]
    });
    let keeper = parent(before[0]).expect("it has a parent");
    let program = program_of(keeper);
    // One act is under way: it does not notice either.
    checkd.ask(["restart", "web/web-1"]);
    eventually("it was asked to stop", PATIENCE, || {
        (!notes(&checkd, "web-1", "told").is_empty()).then_some(())
    });
    let (plain, broken) = (checkd.dir().join("plain"), checkd.dir().join("broken"));
    // One that is cut off in its code, and one that knows nothing of all this.
    let (cut, other) = (checkd.dir().join("cut"), checkd.dir().join("other"));
    let whole = fs::read(checkd_tests::checkd_binary()).expect("it is read");
    fs::write(&cut, &whole[..1 << 20]).expect("a file is written");
    fs::copy("/bin/true", &other).expect("it is copied");
    fs::write(&plain, "no program").expect("a file is written");
    fs::write(&broken, "\x7fELF and nothing else").expect("a file is written");
    let mode = fs::metadata(checkd_tests::checkd_binary()).expect("it is there");
    for file in [&broken, &cut] {
        fs::set_permissions(file, mode.permissions()).expect("it is executable");
    }
    for (wrong, why) in [
        (checkd.dir().join("nobody"), "no such file"),
        (plain, "it is no program of this machine"),
        (broken, "it is no program of this machine"),
        (cut, ""),
        (other, "ended without a word"),
    ] {
        // As a daemon of a protocol to come asks: in the one line that never changes.
        let socket = checkd.state_dir().join("keeper.sock");
        let mut stream = UnixStream::connect(socket).expect("the keeper listens");
        let wrong = wrong.display().to_string();
        let line = serde_json::json!({"ask": "upgrade", "program": wrong});
        writeln!(stream, "{line}").expect("it listens");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        assert!(read.is_ok() && answer.contains("refused"), "{answer}");
        eventually("the keeper says why", PATIENCE, || {
            let log = fs::read_to_string(checkd.state_dir().join("keeper.log")).ok()?;
            let mut lines = log.lines();
            lines
                .any(|l| l.contains(&wrong) && l.contains(why))
                .then_some(())
        });
    }
    assert_eq!(program_of(keeper), program);
    eventually("the act comes to its end", PATIENCE, || {
        (starts(&checkd, "web-1").len() == 2).then_some(())
    });
    for member in ["web-0", "web-1"] {
        let last = *starts(&checkd, member).last().expect("a life");
        assert_eq!(parent(last), Some(keeper));
        assert_whole(&checkd, member);
    }
    assert_eq!(starts(&checkd, "web-0"), [before[0]]);
}

/// Asks for another program in the one line that never changes, and waits for what becomes of it:
/// nothing is said when it did.
fn ask_to_become(checkd: &Checkd, program: &Path) -> String {
    let socket = checkd.state_dir().join("keeper.sock");
    let mut stream = UnixStream::connect(socket).expect("the keeper listens");
    let line = serde_json::json!({"ask": "upgrade", "program": program});
    writeln!(stream, "{line}").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn an_upgrade_is_answered_when_it_is_done_and_no_signal_ends_it() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 1, "", "");
    checkd.run();
    checkd.wait_health("web/web-0", "healthy");
    let member = starts(&checkd, "web-0")[0];
    let keeper = parent(member).expect("it has a parent");
    for name in ["checkd-1", "checkd-2", "checkd-3"] {
        let next = other_build(&checkd, name);
        let done = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        let answer = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(relaxed) {
                    signal(keeper, Signal::TERM);
                    std::thread::yield_now();
                }
            });
            let answer = ask_to_become(&checkd, &next);
            done.store(true, relaxed);
            answer
        });
        assert_eq!(answer, "");
        assert_eq!(
            program_of(keeper),
            Some(next),
            "it is the other program by now"
        );
    }
    assert_eq!(parent(member), Some(keeper));
    checkd.wait_health("web/web-0", "healthy");
    assert_whole(&checkd, "web-0");
    assert_eq!(starts(&checkd, "web-0"), [member]);
}

#[test]
fn a_keeper_that_stays_as_it_is_serves_the_new_daemon_which_says_so() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 1, "", "");
    checkd.run();
    checkd.wait_health("web/web-0", "healthy");
    let member = starts(&checkd, "web-0")[0];
    let keeper = parent(member).expect("it has a parent");
    let program = program_of(keeper);
    checkd.end(Signal::KILL);
    // A build that cannot say that it goes on.
    let path = checkd.dir().join("checkd-mute");
    let bytes = fs::read(checkd_tests::checkd_binary()).expect("it is read");
    let word = b"checkd keeper goes on";
    let places: Vec<usize> = (0..bytes.len() - word.len())
        .filter(|&at| bytes[at] == b'c' && bytes[at..].starts_with(word))
        .collect();
    let mut bytes = bytes;
    assert!(!places.is_empty(), "the word is not in the binary");
    for at in places {
        bytes[at..at + word.len()].copy_from_slice(b"checkd keeper is gone");
    }
    fs::write(&path, bytes).expect("a file is written");
    let mode = fs::metadata(checkd_tests::checkd_binary()).expect("it is there");
    fs::set_permissions(&path, mode.permissions()).expect("it is executable");
    checkd.run_as(&path);
    eventually("it is said", PATIENCE, || {
        checkd.talk().contains("C0521").then_some(())
    });
    let talk = checkd.talk();
    assert!(talk.contains("it says: checkd keeper is gone"), "{talk}");
    assert_eq!(program_of(keeper), program);
    checkd.wait_health("web/web-0", "healthy");
    let status = checkd.ask(["status"]).stdout;
    let one_line = status.split_whitespace().collect::<Vec<_>>().join(" ");
    let stays = format!("pid {keeper} stays at the build before");
    assert!(one_line.contains(&stays), "{status}");
    // It is served as ever.
    let restarted = checkd.ask(["restart", "web/web-0", "--now"]);
    assert_eq!(restarted.code, Some(0), "{restarted:?}");
    checkd.wait_replaced("web/web-0", member);
    assert_eq!(starts(&checkd, "web-0").len(), 2);
    assert_eq!(checkd.talk().matches("C0521").count(), 1);
}

/// Answers as a keeper of another protocol. Asked to become another program it refuses, or is gone.
fn of_another_protocol(checkd: &Checkd, refuses: bool) -> std::thread::JoinHandle<()> {
    let state = checkd.state_dir();
    fs::create_dir_all(&state).expect("a directory");
    let lock = fs::File::create(state.join("keeper.lock")).expect("a file");
    lock.lock().expect("nobody else has it");
    drop(fs::remove_file(state.join("keeper.sock")));
    let listener = UnixListener::bind(state.join("keeper.sock")).expect("it is bound");
    std::thread::spawn(move || {
        let mut asked_before = false;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().expect("it is one"));
            reader.read_line(&mut line).expect("it says something");
            let asked = line.contains(r#""ask":"upgrade""#);
            let why = match (asked, refuses) {
                (false, _) => "the first line must be a hello of protocol 7",
                (true, true) => "cannot become it: it is too old",
                (true, false) => break,
            };
            let answer = serde_json::json!({"say": "refused", "why": why});
            writeln!(stream, "{answer}").expect("it listens");
            // Whoever was refused greets once more.
            if asked_before {
                break;
            }
            asked_before = asked;
        }
        drop(lock);
    })
}

#[test]
fn a_keeper_of_another_protocol_becomes_this_one_or_is_left_and_says_why() {
    let mut checkd = Checkd::prepare("");
    config(&checkd, 1, "", "");
    let other = of_another_protocol(&checkd, true);
    let answer = checkd.ask(["run", "checkd.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let one_line = answer.stderr.split_whitespace().collect::<Vec<_>>();
    let one_line = one_line.join(" ");
    assert!(
        one_line.contains("C0520") && one_line.contains("cannot become it: it is too old"),
        "{answer:?}"
    );
    assert!(starts(&checkd, "web-0").is_empty());
    other.join().expect("it was greeted again");
    let other = of_another_protocol(&checkd, false);
    checkd.run();
    other
        .join()
        .expect("it was asked to become another program");
    checkd.wait_health("web/web-0", "healthy");
}
