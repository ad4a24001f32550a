//! Signals to real processes: who gets one, and who must not.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use checkd_core::{Generation, Process, Span};
use rustix::process::Signal;

use super::{Order, lives, send};
use crate::keeper::processes;

/// A shell with one child, both ended with the test.
struct Member {
    main: Child,
    worker: Process,
}

impl Member {
    /// `worker` is what the child runs.
    fn new(worker: &str) -> Self {
        let script = format!("({worker}) & echo $!; wait; exec sleep 600");
        let mut main = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(main.stdout.take().unwrap()).lines();
        let told = if worker.contains("echo") { 2 } else { 1 };
        let lines: Vec<String> = lines.take(told).map(Result::unwrap).collect();
        let pid = lines.iter().find_map(|line| line.trim().parse().ok());
        let worker = process(pid.unwrap());
        Self { main, worker }
    }

    fn generation(&self) -> Generation {
        let Process { pid, start } = process(self.main.id());
        Generation {
            boot: 1,
            pid,
            start,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        for pid in [self.worker.pid, self.main.id()] {
            let pid = i32::try_from(pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                rustix::process::kill_process(pid, Signal::KILL).ok();
            }
        }
        self.main.wait().ok();
    }
}

fn process(pid: u32) -> Process {
    let start = processes::row(pid).unwrap().start;
    Process { pid, start }
}

fn term() -> Order {
    Order {
        name: "TERM".to_owned(),
        signal: Signal::TERM,
        patience: Span::secs(60),
    }
}

#[tokio::test]
async fn a_worker_ends_and_its_member_goes_on() {
    let member = Member::new("exec sleep 600");
    let all = [member.worker];
    assert_eq!(send(member.generation(), &all, &term()).await, Ok(()));
    assert!(!lives(member.worker));
    assert!(lives(process(member.main.id())));
    // As it comes after a daemon that sent it and died.
    assert_eq!(send(member.generation(), &all, &term()).await, Ok(()));
}

#[tokio::test]
async fn whoever_has_that_pid_now_gets_none() {
    let member = Member::new("exec sleep 600");
    let before = Process {
        start: member.worker.start - 1,
        ..member.worker
    };
    assert_eq!(send(member.generation(), &[before], &term()).await, Ok(()));
    assert!(lives(member.worker));
}

#[tokio::test]
async fn where_one_is_a_stranger_nobody_gets_one() {
    let (member, other) = (Member::new("exec sleep 600"), Member::new("exec sleep 600"));
    let all = [member.worker, other.worker];
    let why = send(member.generation(), &all, &term()).await.unwrap_err();
    let told = format!(
        "process {} is no descendant of the member's own process {}: nobody got a signal",
        other.worker.pid,
        member.main.id()
    );
    assert_eq!(why, told);
    assert!(lives(member.worker) && lives(other.worker));

    let own = [process(member.main.id())];
    let why = send(member.generation(), &own, &term()).await.unwrap_err();
    assert!(why.contains("is the member's own"), "{why}");
    let another_life = Generation {
        start: member.generation().start + 1,
        ..member.generation()
    };
    let why = send(another_life, &[member.worker], &term()).await;
    assert!(why.is_err() && lives(member.worker));
}

#[tokio::test]
async fn one_that_ignores_it_is_told() {
    let member = Member::new("trap '' TERM; echo ready; exec sleep 600");
    let order = Order {
        patience: Span::millis(300),
        ..term()
    };
    let why = send(member.generation(), &[member.worker], &order).await;
    let pid = member.worker.pid;
    let told = format!("process {pid} did not end within 300ms of SIGTERM");
    assert_eq!(why, Err(told));
    assert!(lives(member.worker));
}
