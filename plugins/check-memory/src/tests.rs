//! A table for the judge; real processes, one that has exited, and a `/proc` that is none.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use checkd_plugin_api::host::Request;
use checkd_plugin_api::testkit::{self, Linked, Subject as _};
use checkd_plugin_api::{Cause, Sample, Status};
use serde_json::{Value, json};

use crate::judge::{Blind, Held, Observation, judge};
use crate::kept::Room;
use crate::observe::Proc;

const MIB: u64 = 1 << 20;

fn memory() -> Linked {
    Linked::of::<crate::Memory>()
}

fn problems(options: &Value) -> Vec<String> {
    memory().problems(options)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn run(options: &Value, pid: Option<u32>) -> Sample {
    memory().run_within(
        options,
        &Request {
            pid,
            ..testkit::request()
        },
        Duration::from_secs(20),
    )
}

/// A shell with two children, all three waiting; killed when dropped.
struct Tree(Child);

impl Tree {
    fn plant() -> Self {
        use std::io::{BufRead as _, BufReader};
        // `cat` waits for the pipe that this test holds; a second `cat` does the same. The shell
        // says when both are there.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & cat <&3 & echo ready; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Self(shell)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // The end of their input ends the children, and then the shell.
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn it_holds_the_contract_of_every_check() {
    for cumulative in [false, true] {
        let options = json!({ "max_rss": "1TiB", "cumulative": cumulative });
        testkit::contract::<crate::Memory>(options.to_string());
    }
}

#[test]
fn the_readme_names_every_option_and_no_other() {
    let readme = include_str!("../README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut written: Vec<_> = rows.collect();
    written.sort_unstable();
    let schema = memory().facts().options;
    let known = schema["properties"].as_object().unwrap();
    let mut known: Vec<_> = known.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn a_limit_is_needed_and_not_zero() {
    assert_eq!(problems(&json!({})), ["`max_rss`: is required"]);
    let zero = problems(&json!({ "max_rss": "0B" }));
    assert_eq!(
        zero,
        ["`max_rss`: is zero, which no living process can keep"]
    );
    let [bare] = problems(&json!({ "max_rss": 512 })).try_into().unwrap();
    assert!(bare.contains("512MiB"), "{bare}");
}

#[test]
fn each_observation_has_its_sample() {
    let held = |rss, processes| Held { rss, processes };
    let whole = |rss| Observation::Whole(held(rss, 1));
    let fail = (Status::Fail, Some(Cause::Wrong));
    let pass = (Status::Pass, None);
    for (limit, cumulative, observation, (status, cause), message) in [
        (
            512 * MIB,
            false,
            whole(600 * MIB),
            fail,
            "rss 600 MiB over 512 MiB",
        ),
        (
            512 * MIB,
            false,
            whole(512 * MIB),
            pass,
            "rss 512 MiB of 512 MiB",
        ),
        (
            512 * MIB,
            false,
            whole(512 * MIB + 4096),
            fail,
            "rss 536875008 B over 536870912 B",
        ),
        (
            2048 * MIB,
            false,
            whole(1536 * MIB),
            pass,
            "rss 1.5 GiB of 2 GiB",
        ),
        (MIB, false, whole(4096), pass, "rss 4 KiB of 1 MiB"),
        (
            512 * MIB,
            true,
            Observation::Whole(held(600 * MIB, 5)),
            fail,
            "rss 600 MiB in 5 processes over 512 MiB",
        ),
        (
            512 * MIB,
            true,
            whole(MIB),
            pass,
            "rss 1 MiB in 1 process of 512 MiB",
        ),
        (
            512 * MIB,
            true,
            Observation::Partial(held(600 * MIB, 3), Blind::Restless),
            fail,
            "rss 600 MiB in 3 processes over 512 MiB",
        ),
        (
            512 * MIB,
            true,
            Observation::Partial(held(MIB, 3), Blind::Restless),
            (Status::Unknown, Some(Cause::HostStall)),
            "the process tree changed in each of 3 walks, so its memory is not known",
        ),
        (
            512 * MIB,
            true,
            Observation::Partial(held(MIB, 4096), Blind::TooMany(4096)),
            (Status::Unknown, Some(Cause::HostStall)),
            "the process tree has more than 4096 processes",
        ),
        (
            512 * MIB,
            true,
            Observation::Partial(held(MIB, 1), Blind::Forbidden(7)),
            (Status::Unknown, Some(Cause::NoPermission)),
            "not allowed to read the memory of process 7",
        ),
        (
            512 * MIB,
            false,
            Observation::Nothing(Blind::Gone(7)),
            (Status::Unknown, Some(Cause::Misconfigured)),
            "process 7 has exited",
        ),
        (
            512 * MIB,
            false,
            Observation::Nothing(Blind::NoProcess),
            (Status::Unknown, Some(Cause::Misconfigured)),
            "there is no process to look at",
        ),
        (
            512 * MIB,
            false,
            Observation::Nothing(Blind::Unreadable("what".to_owned())),
            (Status::Unknown, Some(Cause::HostStall)),
            "`/proc` cannot be read: what",
        ),
    ] {
        let sample = judge(limit, cumulative, &observation);
        assert_eq!(
            (sample.status, sample.cause),
            (status, cause),
            "{observation:?}"
        );
        assert_eq!(sample.message, message, "{observation:?}");
    }
}

#[test]
fn what_was_measured_is_told_in_bytes_with_its_limit() {
    let sample = judge(
        512 * MIB,
        true,
        &Observation::Whole(Held {
            rss: 600 * MIB,
            processes: 5,
        }),
    );
    let told = sample
        .measurements
        .iter()
        .map(|m| (&*m.name, m.value, &*m.unit, m.limit));
    let expected = [
        ("rss", 629_145_600.0, "B", Some(536_870_912.0)),
        ("processes", 5.0, "", None),
    ];
    assert!(told.eq(expected), "{sample:?}");
}

#[test]
fn a_living_process_is_measured() {
    let me = Some(std::process::id());
    let sample = run(&json!({ "max_rss": "1TiB" }), me);
    assert_eq!(sample.status, Status::Pass, "{sample:?}");
    assert!(sample.measurements[0].value > 100_000.0, "{sample:?}");
    let sample = run(&json!({ "max_rss": "4KiB" }), me);
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Fail, Some(Cause::Wrong)),
        "{sample:?}"
    );
}

#[test]
fn a_tree_is_measured_with_all_that_is_below() {
    let tree = Tree::plant();
    let options = json!({ "max_rss": "1TiB", "cumulative": true });
    let sample = run(&options, Some(tree.0.id()));
    assert_eq!(sample.status, Status::Pass, "{sample:?}");
    assert!(
        (sample.measurements[1].value - 3.0).abs() < 0.1,
        "{sample:?}"
    );
    let alone = run(&json!({ "max_rss": "1TiB" }), Some(tree.0.id()));
    assert!(
        sample.measurements[0].value > alone.measurements[0].value,
        "{sample:?} {alone:?}"
    );
}

#[test]
fn who_has_exited_is_unknown_before_and_after_it_was_waited_for() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut proc = Proc::new(Path::new("/proc"));
    assert!(matches!(proc.alone(pid), Observation::Whole(_)));
    child.kill().unwrap();
    // Between its end and the wait it is a zombie, which holds no memory.
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        if stat.contains(") Z ") {
            break;
        }
        std::thread::yield_now();
    }
    let gone = Observation::Nothing(Blind::Gone(pid));
    assert_eq!(proc.alone(pid), gone);
    assert_eq!(wait(proc.tree(pid, || Duration::MAX)), gone);
    let mut proc = Proc::new(Path::new("/proc"));
    child.wait().unwrap();
    assert_eq!(proc.alone(pid), gone);
    assert_eq!(wait(proc.tree(pid, || Duration::MAX)), gone);
}

#[test]
fn a_handle_that_is_kept_open_notices_the_end() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut proc = Proc::new(Path::new("/proc"));
    assert!(matches!(proc.alone(child.id()), Observation::Whole(_)));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        proc.alone(child.id()),
        Observation::Nothing(Blind::Gone(child.id()))
    );
}

#[test]
fn only_so_many_files_stay_open() {
    static ROOM: Room = Room::new(|| 2);
    let file = || tempfile::tempfile().unwrap();
    let first = ROOM.keep(file());
    let second = ROOM.keep(file());
    assert!(first.is_some() && second.is_some());
    assert!(ROOM.keep(file()).is_none());
    drop(first);
    let third = ROOM.keep(file());
    assert!(third.is_some() && ROOM.keep(file()).is_none());
}

#[test]
fn a_proc_that_is_none_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let mut proc = Proc::new(folder.path());
    assert_eq!(proc.alone(1), Observation::Nothing(Blind::Gone(1)));
    std::fs::create_dir(folder.path().join("1")).unwrap();
    std::fs::write(folder.path().join("1/statm"), "what is this").unwrap();
    assert!(matches!(
        proc.alone(1),
        Observation::Nothing(Blind::Unreadable(_))
    ));
    std::fs::write(folder.path().join("1/statm"), "").unwrap();
    assert!(matches!(
        proc.alone(1),
        Observation::Nothing(Blind::Unreadable(_))
    ));
}

/// A `/proc` made of files: each process with its pages and its children.
fn fake(processes: &[(u32, u64, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (pid, pages, children) in processes {
        let own = folder.path().join(pid.to_string());
        let task = own.join("task").join(pid.to_string());
        std::fs::create_dir_all(&task).unwrap();
        std::fs::write(own.join("statm"), format!("9 {pages} 0 0 0 0 0\n")).unwrap();
        std::fs::write(task.join("children"), children).unwrap();
    }
    folder
}

#[test]
fn a_tree_that_changes_under_the_walk_is_known_in_part() {
    let page = procfs::page_size();
    let tree = |folder: &tempfile::TempDir| {
        let mut proc = Proc::new(folder.path());
        wait(proc.tree(1, || Duration::MAX))
    };
    let whole = fake(&[(1, 10, "2 3 "), (2, 20, ""), (3, 30, "4 "), (4, 40, "")]);
    assert_eq!(
        tree(&whole),
        Observation::Whole(Held {
            rss: 100 * page,
            processes: 4
        })
    );
    // 9 is gone when its turn comes, in each walk.
    let restless = fake(&[(1, 10, "9 2 "), (2, 20, "")]);
    let part = Held {
        rss: 30 * page,
        processes: 2,
    };
    assert_eq!(tree(&restless), Observation::Partial(part, Blind::Restless));
    // A zombie below holds nothing, and is no reason to look away.
    let zombie = fake(&[(1, 10, "2 "), (2, 0, "")]);
    assert_eq!(
        tree(&zombie),
        Observation::Whole(Held {
            rss: 10 * page,
            processes: 2
        })
    );
    // A circle ends.
    let circle = fake(&[(1, 10, "2 "), (2, 20, "1 ")]);
    assert_eq!(tree(&circle), Observation::Whole(part));
    // A kernel that lists no children.
    let mute = fake(&[(1, 10, "")]);
    std::fs::remove_file(mute.path().join("1/task/1/children")).unwrap();
    let part = Held {
        rss: 10 * page,
        processes: 1,
    };
    assert_eq!(tree(&mute), Observation::Partial(part, Blind::NoChildren));
}

#[test]
fn a_walk_ends_with_its_time() {
    let children = (2..100)
        .map(|pid| pid.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    let processes: Vec<_> = (1..100)
        .map(|pid| (pid, 1, if pid == 1 { children.as_str() } else { "" }))
        .collect();
    let folder = fake(&processes);
    let mut proc = Proc::new(folder.path());
    let found = wait(proc.tree(1, || Duration::ZERO));
    assert!(
        matches!(found, Observation::Partial(_, Blind::TimeUp)),
        "{found:?}"
    );
}
