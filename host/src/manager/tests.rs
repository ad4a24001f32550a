//! The manager on real processes.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets anything else fails"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkd_core::compose::{Complex, Expr};
use checkd_core::engine::{Act, Event, Exit};
use checkd_core::plan::{CheckPlan, GroupPlan, Launch, MemberPlan, Mode, Plan, PolicyPlan, Text};
use checkd_core::{
    CheckKind, CheckName, Generation, GroupName, IntentId, MemberId, MemberName, Span,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Manager;

const FIRST: MemberId = MemberId {
    group: 0,
    member: 0,
};

/// A plan of one group `web` whose members run `command`.
pub(crate) fn plan(command: &[&str], members: u32) -> Plan {
    let all = || Complex {
        text: "all()".to_owned(),
        expr: Expr::All(Vec::new()),
    };
    let group = GroupPlan {
        name: GroupName::new("web").unwrap(),
        mode: Mode::Auto,
        members: (0..members)
            .map(|index| MemberPlan {
                name: MemberName::new(&format!("web-{index}")).unwrap(),
                index,
                port: None,
            })
            .collect(),
        checks: Vec::new(),
        live: all(),
        ready: all(),
        startup: all(),
        ready_members: members,
        policy: PolicyPlan::of_defaults(members),
        launch: Launch {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            stop_signal: "TERM".to_owned(),
            stop_timeout: Span::secs(10),
            ..Launch::default()
        },
        depends_on: Vec::new(),
    };
    Plan {
        groups: vec![group],
        ..Plan::default()
    }
}

/// A check called `name` of kind `tcp`.
pub(crate) fn check(name: &str) -> CheckPlan {
    CheckPlan::of_defaults(
        CheckName::new(name).unwrap(),
        CheckKind::new("tcp").unwrap(),
    )
}

struct Bench {
    manager: Manager,
    events: UnboundedReceiver<Event>,
    state: tempfile::TempDir,
}

/// A keeper as a thread of the test; it ends when nobody needs it.
pub(crate) async fn keep(state_dir: &Path) {
    let setup = crate::keeper::Setup {
        state_dir: state_dir.to_owned(),
        resume: None,
        daemon: Vec::new(),
        alone: false,
    };
    std::thread::spawn(move || crate::keeper::run(setup).unwrap());
    let (_directory, socket) = crate::keeper::below(state_dir, "keeper.sock").unwrap();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Bench {
    async fn new(plan: Plan) -> Self {
        let state = tempfile::tempdir().unwrap();
        keep(state.path()).await;
        let (sender, events) = unbounded_channel();
        let manager = Manager::open(Arc::new(plan), state.path(), sender)
            .await
            .unwrap();
        manager.announce();
        Self {
            manager,
            events,
            state,
        }
    }

    async fn next(&mut self) -> Event {
        let next = self.events.recv();
        tokio::time::timeout(Duration::from_secs(20), next)
            .await
            .expect("an event")
            .unwrap()
    }

    async fn started(&mut self) -> Generation {
        match self.next().await {
            Event::Started { generation, .. } => generation,
            other => panic!("{other:?}"),
        }
    }

    async fn exited(&mut self) -> Exit {
        match self.next().await {
            Event::Exited { exit, .. } => exit,
            other => panic!("{other:?}"),
        }
    }

    async fn done(&mut self) -> Result<(), String> {
        match self.next().await {
            Event::Done { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    async fn start(&mut self) -> Generation {
        self.manager
            .carry_out(IntentId(1), Act::Start { member: FIRST });
        let generation = self.started().await;
        self.done().await.unwrap();
        generation
    }

    /// The member's output once it says `line`: how a test knows that the program got that far.
    async fn says(&self, line: &str) -> String {
        let path = self.state.path().join("output/web/web-0.log");
        let begin = std::time::Instant::now();
        loop {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "it never said {line}"
            );
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.lines().any(|l| l == line) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Bench {
    /// Whatever became of the test, its members end with it.
    fn drop(&mut self) {
        let mark = format!(
            "{}={}",
            crate::keeper::MARK,
            self.state.path().join("output").display()
        );
        for (_, left) in crate::keeper::processes::marked::<0>(&mark, []) {
            let pid = i32::try_from(left.pid).ok();
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let kill = rustix::process::Signal::KILL;
                rustix::process::kill_process_group(pid, kill).ok();
            }
        }
    }
}

fn lives(pid: u32) -> bool {
    crate::keeper::processes::row(pid).is_some_and(|row| !row.zombie)
}

#[tokio::test]
async fn an_exit_is_told_with_its_code() {
    for (command, exit) in [
        (&["sh", "-c", "exit 7"][..], Exit::Code(7)),
        (&["sh", "-c", "kill -9 $$"], Exit::Signal(9)),
    ] {
        let mut bench = Bench::new(plan(command, 1)).await;
        bench
            .manager
            .carry_out(IntentId(1), Act::Start { member: FIRST });
        bench.started().await;
        let mut seen = Vec::new();
        for _ in 0..2 {
            match bench.next().await {
                Event::Exited { exit, .. } => seen.push(exit),
                Event::Done { result, .. } => result.unwrap(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, [exit], "{command:?}");
        assert_eq!(bench.manager.running(), 0);
    }
}

#[tokio::test]
async fn a_restart_stops_a_frozen_member_and_starts_it_anew() {
    let mut bench = Bench::new(plan(&["sleep", "1000"], 1)).await;
    let first = bench.start().await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(first.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    bench.manager.carry_out(
        IntentId(2),
        Act::Restart {
            member: FIRST,
            generation: first,
            evidence: None,
        },
    );
    assert_eq!(bench.exited().await, Exit::Signal(15));
    let second = bench.started().await;
    bench.done().await.unwrap();
    assert_ne!(first, second);
    bench.manager.stop_all().await;
    assert!(!lives(second.pid));
}

#[tokio::test]
async fn a_member_that_will_not_stop_is_killed_with_its_whole_tree() {
    let script = "trap '' TERM; sh -c \"trap '' TERM; echo child \\$\\$; while :; do sleep 100; done\" & \
                  setsid sh -c 'trap \"\" TERM; echo away $$; while :; do sleep 100; done' & \
                  echo ready; wait; wait; while :; do sleep 100; done";
    let mut plan = plan(&["sh", "-c", script], 1);
    plan.groups[0].launch.stop_timeout = Span::millis(100);
    let mut bench = Bench::new(plan).await;
    let generation = bench.start().await;
    let pids: Vec<u32> = loop {
        let text = bench.says("ready").await;
        let pids: Vec<u32> = text
            .lines()
            .filter_map(|l| l.strip_prefix("child ").or_else(|| l.strip_prefix("away ")))
            .map(|pid| pid.parse().unwrap())
            .collect();
        if pids.len() == 2 {
            break pids;
        }
    };
    bench.manager.carry_out(
        IntentId(2),
        Act::Stop {
            member: FIRST,
            generation,
        },
    );
    assert_eq!(bench.exited().await, Exit::Signal(9));
    bench.done().await.unwrap();
    for pid in pids {
        assert!(!lives(pid), "{pid} outlived its member");
    }
}

#[tokio::test]
async fn what_a_dead_member_leaves_behind_goes_with_it() {
    let mut bench = Bench::new(plan(
        &["sh", "-c", "sleep 1000 & echo $!; echo ready; exit 3"],
        1,
    ))
    .await;
    bench
        .manager
        .carry_out(IntentId(1), Act::Start { member: FIRST });
    bench.started().await;
    let text = bench.says("ready").await;
    let left: u32 = text.lines().next().unwrap().parse().unwrap();
    while !matches!(
        bench.next().await,
        Event::Exited {
            exit: Exit::Code(3),
            ..
        }
    ) {}
    assert!(!lives(left));
}

#[tokio::test]
async fn an_act_on_a_life_that_is_over_touches_nobody() {
    let mut bench = Bench::new(plan(&["sleep", "1000"], 1)).await;
    let generation = bench.start().await;
    let earlier = Generation {
        start: generation.start - 1,
        ..generation
    };
    bench.manager.carry_out(
        IntentId(2),
        Act::Restart {
            member: FIRST,
            generation: earlier,
            evidence: None,
        },
    );
    let why = bench.done().await.unwrap_err();
    assert!(why.contains("left alone"), "{why}");
    assert!(lives(generation.pid));
    bench.manager.kill_all().await;
}

#[tokio::test]
async fn a_life_is_adopted_by_its_generation_only() {
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let generation = crate::keeper::processes::generation_of(super::boot_id(), child.id()).unwrap();
    let mut bench = Bench::new(plan(&["sleep", "1000"], 1)).await;
    let another_start = Generation {
        start: generation.start + 1,
        ..generation
    };
    let another_boot = Generation {
        boot: generation.boot ^ 1,
        ..generation
    };
    assert!(!bench.manager.adopt(FIRST, another_start).await);
    assert!(!bench.manager.adopt(FIRST, another_boot).await);
    assert!(bench.manager.adopt(FIRST, generation).await);
    assert!(matches!(
        bench.next().await,
        Event::Started { adopted: true, .. }
    ));
    child.kill().unwrap();
    child.wait().unwrap();
    // Here the test is the parent and may reap first, as init does after a death of the daemon.
    assert!(matches!(bench.exited().await, Exit::Lost | Exit::Signal(9)));
}

#[tokio::test]
async fn the_next_daemon_is_told_who_lives_who_ended_and_what_was_begun() {
    let mut bench = Bench::new(plan(
        &["sh", "-c", "[ {index} = 0 ] && sleep 1000; exit 7"],
        2,
    ))
    .await;
    let first = bench.start().await;
    let second = MemberId {
        group: 0,
        member: 1,
    };
    bench
        .manager
        .carry_out(IntentId(2), Act::Start { member: second });
    let mut left = 3;
    let mut exited = None;
    while left > 0 {
        match bench.next().await {
            Event::Started { .. } => {}
            Event::Exited {
                generation, exit, ..
            } => exited = Some((generation, exit)),
            Event::Done { result, .. } => result.unwrap(),
            other => panic!("{other:?}"),
        }
        left -= 1;
    }
    let (generation, exit) = exited.unwrap();
    assert_eq!(exit, Exit::Code(7));

    // Another daemon, which has noted nothing.
    let (sender, mut events) = unbounded_channel();
    let next = Manager::open(
        Arc::new(plan(&["true"], 2)),
        bench.state.path(),
        sender.clone(),
    );
    let next = next.await.unwrap();
    next.announce();
    assert_eq!(next.exit_of(generation), Some(Exit::Code(7)));
    assert_eq!(
        next.begun(),
        BTreeMap::from([(IntentId(1), true), (IntentId(2), true)])
    );
    assert_eq!(next.highest_intent(), IntentId(2));
    assert_eq!(next.lives(), [(FIRST, first)]);
    assert!(matches!(
        events.recv().await,
        Some(Event::Exited {
            exit: Exit::Code(7),
            ..
        })
    ));
    assert!(matches!(
        events.recv().await,
        Some(Event::Started { adopted: true, .. })
    ));
    for _ in 0..2 {
        let done = events.recv().await;
        assert!(
            matches!(done, Some(Event::Done { result: Ok(()), .. })),
            "{done:?}"
        );
    }
    // It asks for what was done already: it is told, and nothing is done.
    next.carry_out(IntentId(1), Act::Start { member: FIRST });
    assert!(matches!(
        events.recv().await,
        Some(Event::Done {
            intent: IntentId(1),
            result: Ok(())
        })
    ));
    assert_eq!(next.lives(), [(FIRST, first)]);
    // The same number for something else is refused.
    next.carry_out(IntentId(1), Act::Start { member: second });
    let done = events.recv().await;
    assert!(
        matches!(done, Some(Event::Done { result: Err(_), .. })),
        "{done:?}"
    );
    // What the loop has handed to the journal is not told again.
    let member = second;
    next.noted(&Event::Exited {
        member,
        generation,
        exit,
    });
    for intent in [1, 2].map(IntentId) {
        let result = Ok(());
        next.noted(&Event::Done { intent, result });
    }
    next.end().await;
    let (sender, mut events) = unbounded_channel();
    let plan = Arc::new(plan(&["true"], 2));
    let third = Manager::open(plan, bench.state.path(), sender)
        .await
        .unwrap();
    third.announce();
    assert!(matches!(events.recv().await, Some(Event::Started { .. })));
    assert_eq!(third.exit_of(generation), None);
    third.kill_all().await;
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let closed = file("closed", "#!/bin/sh\n", 0o644);
    let nobody = file("script", "#!/no/such/shell\n", 0o755);
    let text = file("text", "no program\0", 0o755);
    let empty = file("empty", "", 0o755);
    // Sixteen bits at 18 say for which machine a program is.
    let foreign = dir.path().join("foreign");
    std::fs::copy("/bin/sh", &foreign).unwrap();
    let mut other = std::fs::read("/bin/sh").unwrap();
    other[18..20].copy_from_slice(&22_u16.to_le_bytes());
    std::fs::write(&foreign, other).unwrap();
    let foreign = foreign.to_str().unwrap().to_owned();
    // Nobody writes into it: whoever opens it to read waits for ever.
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let pipe = pipe.to_str().unwrap().to_owned();
    let with = |command: &str, change: &dyn Fn(&mut Launch)| {
        let mut plan = plan(&[command], 1);
        change(&mut plan.groups[0].launch);
        plan
    };
    let keep = |_: &mut Launch| {};
    for (plan, words) in [
        (
            with("no-such-program", &keep),
            "program `no-such-program` is in no directory of PATH",
        ),
        (with("/no/such", &keep), "program `/no/such` does not exist"),
        (with(&closed, &keep), "is not executable (mode 0644)"),
        (
            with(&nobody, &keep),
            "asks for the interpreter `/no/such/shell`, which does not exist",
        ),
        (with(&text, &keep), "is no program of this machine"),
        (with(&empty, &keep), "is no program of this machine"),
        (
            with(&foreign, &keep),
            "is a program for another machine: s390x, and this is ",
        ),
        (with("/", &keep), "`/` is a directory, not a program"),
        (
            with("true", &|l| l.directory = Some("/no/dir".to_owned())),
            "directory `/no/dir` does not exist",
        ),
        (
            with("true", &|l| l.user = Some("no-such-user".to_owned())),
            "there is no user `no-such-user`",
        ),
        (with("{port}", &keep), "`{port}` needs a port"),
        (
            with("true", &|l| {
                l.environment =
                    BTreeMap::from([("KEY".to_owned(), Text::File("/no/key".to_owned()))]);
            }),
            "cannot read `/no/key` for environment `KEY`",
        ),
        (
            with("true", &|l| {
                l.environment = BTreeMap::from([("KEY".to_owned(), Text::File(pipe.clone()))]);
            }),
            "for environment `KEY`: it is not a regular file",
        ),
        (
            with("true", &|l| l.env_file = vec![pipe.clone()]),
            "pipe`: it is not a regular file",
        ),
        (
            with("true", &|l| l.output = Some("/proc/no/out".to_owned())),
            "`/proc/no`",
        ),
    ] {
        let mut bench = Bench::new(plan).await;
        bench
            .manager
            .carry_out(IntentId(1), Act::Start { member: FIRST });
        let why = bench.done().await.unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_member_gets_its_environment_directory_and_names() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "secret\n").unwrap();
    let lines = dir.path().join("lines");
    std::fs::write(&lines, "# comment\nA=1\nexport B=\"two words\"\n").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut plan = plan(
        &[
            "sh",
            "-c",
            "echo {group} {member} {index} {x} $A-$B-$KEY-$MODE $(umask) $(pwd); echo ready",
        ],
        1,
    );
    let launch = &mut plan.groups[0].launch;
    launch.directory = Some("/".to_owned());
    launch.env_file = vec![path(&lines)];
    launch.environment = BTreeMap::from([
        ("KEY".to_owned(), Text::File(path(&key))),
        ("MODE".to_owned(), Text::Plain("of {member}".to_owned())),
    ]);
    launch.umask = Some(0o027);
    let bench = Bench::new(plan).await;
    bench
        .manager
        .carry_out(IntentId(1), Act::Start { member: FIRST });
    let text = bench.says("ready").await;
    assert_eq!(
        text.lines().next().unwrap(),
        "web web-0 0 {x} 1-two words-secret-of web-0 0027 /"
    );
}
