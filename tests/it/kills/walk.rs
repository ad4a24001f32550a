//! Every named point, in each act that passes it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::thread;

use checkd_host::points::Point;
use checkd_tests::{Signal, checkd_binary, eventually, signal};
use serde_json::Value;

use super::stage::{PATIENCE, Stage};

/// Whom the deaths of a test befall.
const VICTIM: &str = "web-0";

/// What is under way when somebody dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A member is frozen, and is to be restarted.
    Frozen,
    /// A member died, and is to be started.
    Dead,
    /// A person stops it.
    Stop,
    /// A person restarts it.
    Restart,
    /// A member is frozen, and the one that dies has just come back after the first was killed.
    Return,
    /// The keeper becomes another program.
    Upgrade,
}

/// The acts that pass a point, and how often at most each does.
fn acts(point: Point) -> &'static [(Act, u32)] {
    use Act::{Dead, Frozen, Restart, Return, Stop, Upgrade};
    match point {
        Point::DaemonDecided
        | Point::DaemonIntentQueued
        | Point::DaemonIntentWritten
        | Point::DaemonIntentCommitted
        | Point::DaemonIntentTold
        | Point::DaemonActReleased
        | Point::DaemonOrderQueued
        | Point::DaemonAcknowledging => &[(Frozen, 1), (Dead, 1), (Stop, 1), (Restart, 1)],
        // First what may be forgotten, then the order.
        Point::DaemonLineSent => &[(Frozen, 2), (Dead, 2), (Stop, 2), (Restart, 2)],
        // An end, a start, an act done: each is one.
        Point::DaemonAnswerRead | Point::DaemonOutcomeHeard | Point::DaemonOutcomeNoted => {
            &[(Frozen, 3), (Dead, 3), (Stop, 2), (Restart, 3)]
        }
        Point::DaemonLifeWritten | Point::DaemonLifeCommitted => {
            &[(Frozen, 2), (Dead, 2), (Stop, 1), (Restart, 2)]
        }
        Point::DaemonOutcomeWritten | Point::DaemonOutcomeCommitted => {
            &[(Frozen, 1), (Dead, 1), (Stop, 1), (Restart, 1)]
        }
        Point::DaemonJournalOpened
        | Point::DaemonKeeperListed
        | Point::DaemonRestored
        | Point::DaemonAnnounced
        | Point::DaemonAdopted
        | Point::KeeperBegun
        | Point::KeeperAdopted => &[(Return, 1)],
        Point::KeeperOrderRead
        | Point::KeeperOrderRemembered
        | Point::KeeperActEnded
        | Point::KeeperDoneTold
        | Point::KeeperEndSeen
        | Point::KeeperTreeGone
        | Point::KeeperDrained
        | Point::KeeperReaped
        | Point::KeeperExitTold => &[(Frozen, 1), (Dead, 1), (Stop, 1)],
        Point::KeeperStopSent => &[(Frozen, 1), (Stop, 1)],
        Point::KeeperSpawning | Point::KeeperSpawned | Point::KeeperWatched => {
            &[(Frozen, 1), (Dead, 1)]
        }
        Point::KeeperLineSent => &[(Frozen, 3), (Dead, 3), (Stop, 2)],
        Point::KeeperAcknowledged => &[(Frozen, 1)],
        Point::KeeperUpgrading
        | Point::KeeperHandedOver
        | Point::KeeperRecalled
        | Point::KeeperResumed => &[(Upgrade, 1)],
    }
}

/// One death, or two at once.
#[derive(Clone, Copy, Debug)]
struct Case {
    point: Point,
    act: Act,
    count: u32,
    both: bool,
}

fn in_daemon(point: Point) -> bool {
    point.name().starts_with("daemon")
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &point in Point::every() {
        for &(act, most) in acts(point) {
            for count in 1..=most {
                for both in [false, true] {
                    if !both || act == Act::Frozen {
                        cases.push(Case {
                            point,
                            act,
                            count,
                            both,
                        });
                    }
                }
            }
        }
    }
    cases
}

/// A sample of a member's counters that a death must not set back.
#[derive(Debug)]
struct Counters {
    starts: u64,
    incident: Option<u64>,
}

fn counters(stage: &Stage, member: &str) -> Counters {
    let report = stage.report(member);
    let number = |key: &str| report.get(key).and_then(Value::as_u64);
    Counters {
        starts: number("starts_24h").expect("starts are counted"),
        incident: number("incident"),
    }
}

#[track_caller]
fn play(stage: &mut Stage, case: Case, cut: &mut BTreeSet<u32>) {
    let what = format!("{case:?}");
    let old = stage.pid(VICTIM);
    let lives = stage.starts(VICTIM).len();
    let before = counters(stage, VICTIM);
    let others: Vec<String> = stage.names().filter(|name| name != VICTIM).collect();
    let other_lives: Vec<_> = others.iter().map(|name| stage.life(name)).collect();

    let keeper_dies = case.both || !in_daemon(case.point);
    let daemon_dies = case.both || in_daemon(case.point) || case.act == Act::Return;
    let along = case.both.then(|| {
        if in_daemon(case.point) {
            stage.keeper().expect("a keeper runs")
        } else {
            stage.checkd.pid()
        }
    });
    let mut deaths = vec![(case.point, case.count, along)];
    if case.act == Act::Return {
        // The first death, in the middle of the restart, is of the one that then comes back.
        let first = if in_daemon(case.point) {
            Point::DaemonLineSent
        } else {
            Point::KeeperStopSent
        };
        let count = if in_daemon(case.point) { 2 } else { 1 };
        deaths.insert(0, (first, count, None));
    }
    // Of a life that ends while nobody holds its pipe, what was in the pipe goes with it.
    if case.both || (keeper_dies && daemon_dies) {
        cut.insert(old);
    }

    let mut asked = None;
    if case.act != Act::Upgrade {
        stage.arm(&deaths);
    }
    match case.act {
        Act::Frozen | Act::Return => signal(old, Signal::STOP),
        Act::Dead => signal(old, Signal::KILL),
        Act::Stop | Act::Restart => {
            let verb = if case.act == Act::Stop {
                "stop"
            } else {
                "restart"
            };
            let mut command = stage.checkd.verb([verb, &format!("web/{VICTIM}")]);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            asked = Some(command.spawn().expect("checkd starts"));
        }
        Act::Upgrade => {
            stage.checkd.end(Signal::KILL);
            let other = stage.checkd.dir().join(case.point.name());
            // Another file is another build, though it holds the same.
            fs::copy(checkd_binary(), &other).expect("the binary is copied");
            stage.arm(&deaths);
            stage.run_program(&other);
        }
    }
    let first = if case.act == Act::Return {
        1
    } else {
        deaths.len()
    };
    stage.wait_deaths(first, &what);
    if daemon_dies && case.act != Act::Return {
        stage.checkd.end(Signal::KILL);
        stage.run();
    }
    if case.act == Act::Return {
        if in_daemon(case.point) {
            stage.checkd.end(Signal::KILL);
            stage.run_to_death(checkd_binary());
            stage.wait_deaths(2, &what);
            stage.run();
        } else {
            stage.wait_deaths(2, &what);
        }
    }
    stage.disarm();
    if let Some(mut asked) = asked {
        eventually("the verb ends", PATIENCE, || {
            asked.try_wait().ok().flatten()
        });
    }

    // A person's word that had not reached the disk may be lost with the daemon that took it.
    let heard = !matches!(
        case.point,
        Point::DaemonDecided | Point::DaemonIntentQueued | Point::DaemonIntentWritten
    );
    let mut wanted = 1;
    match case.act {
        Act::Frozen | Act::Dead | Act::Return => {
            eventually(&format!("{what}: it runs again"), PATIENCE, || {
                (stage.pid(VICTIM) != old).then_some(())
            });
        }
        Act::Upgrade => wanted = 0,
        Act::Restart if heard => {
            eventually(&format!("{what}: it runs again"), PATIENCE, || {
                (stage.pid(VICTIM) != old).then_some(())
            });
        }
        Act::Stop if heard => {
            stage.wait_for("stopped", &format!("web/{VICTIM}"));
            assert_eq!(stage.pid(VICTIM), old, "{what}: it was started again");
            let started = stage.verb(["start", &format!("web/{VICTIM}")]);
            assert_eq!(started.code, Some(0), "{what}: {started:?}");
        }
        Act::Stop | Act::Restart => {
            // Whatever became of it, it comes to rest.
            stage.verb(["wait", "--for", "live", "web/*", "--timeout", "5s"]);
            let started = stage.verb(["start", &format!("web/{VICTIM}")]);
            drop(started);
            stage.wait_live();
            wanted = stage.starts(VICTIM).len() - lives;
        }
    }
    stage.wait_live();

    let story = || stage.story(VICTIM);
    assert_eq!(
        stage.starts(VICTIM).len() - lives,
        wanted,
        "{what}: so many lives were wanted\n{}",
        story()
    );
    let new = stage.pid(VICTIM);
    if new != old {
        let kills: Vec<_> = stage.life(VICTIM);
        let kills = kills.iter().filter(|n| n.pid == new && n.event == "signal");
        assert_eq!(kills.count(), 0, "{what}: a second kill\n{}", story());
    }
    assert!(
        !stage.life(VICTIM).iter().any(|n| n.detail == "SIGHUP"),
        "{what}: the kernel woke a frozen member\n{}",
        story()
    );
    for (name, before) in others.iter().zip(other_lives) {
        assert_eq!(stage.life(name), before, "{what}: {name} was touched");
    }
    stage.assert_sound(&what);
    stage.assert_lines(&what, cut);
    let after = counters(stage, VICTIM);
    match case.act {
        // The restart of a daemon and keeper that both died may be a start in the books.
        Act::Frozen | Act::Dead | Act::Return => assert!(
            after.starts == before.starts + 1 || (case.both && after.starts == before.starts + 2),
            "{what}: {before:?} became {after:?}\n{}",
            story()
        ),
        Act::Stop | Act::Restart | Act::Upgrade => assert_eq!(
            after.starts,
            before.starts,
            "{what}: starts by hand are not counted\n{}",
            story()
        ),
    }
    assert!(
        before.incident.is_none() || after.incident == before.incident,
        "{what}: {before:?} became {after:?}\n{}",
        story()
    );
}

/// Plays all cases of these acts in which the daemon, or the keeper, dies: each act on a stage of its
/// own, all at once. A case is chosen by `CHECKD_TEST_POINT`, a part of how a failure names it.
#[track_caller]
fn walk(acts: &[Act], chosen: impl Fn(&Case) -> bool) {
    let only = std::env::var("CHECKD_TEST_POINT").unwrap_or_default();
    let played: usize = thread::scope(|scope| {
        let stages: Vec<_> = acts
            .iter()
            .map(|&act| {
                let mut cases = cases();
                cases.retain(|case| case.act == act && chosen(case));
                cases.retain(|case| format!("{case:?}").contains(&only));
                scope.spawn(move || {
                    let mut stage = Stage::open(2);
                    let mut cut = BTreeSet::new();
                    for case in &cases {
                        play(&mut stage, *case, &mut cut);
                    }
                    cases.len()
                })
            })
            .collect();
        stages
            .into_iter()
            .map(|stage| stage.join().expect("every case went well"))
            .sum()
    });
    assert!(played > 0 || !only.is_empty(), "nothing was played");
}

#[test]
fn the_daemon_may_be_killed_at_every_point() {
    walk(&[Act::Frozen, Act::Dead, Act::Stop, Act::Restart], |case| {
        in_daemon(case.point) && !case.both
    });
}

#[test]
fn the_keeper_may_be_killed_at_every_point() {
    walk(&[Act::Frozen, Act::Dead, Act::Stop], |case| {
        !in_daemon(case.point) && !case.both
    });
}

#[test]
fn both_may_be_killed_at_every_point() {
    // How far an act went is how far the keeper went; the daemon's points are for the long form.
    let long = std::env::var_os("CHECKD_TEST_LONG").is_some();
    walk(&[Act::Frozen], |case| {
        case.both && (long || !in_daemon(case.point))
    });
}

#[test]
fn whoever_comes_back_or_is_upgraded_may_be_killed_again() {
    walk(&[Act::Return, Act::Upgrade], |_| true);
}
