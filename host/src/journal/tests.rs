//! Entries go in, rows come out; a file that is not a journal is never touched.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets anything else fails"
)]

mod decisions;
mod segments;
mod stalls;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use checkd_core::engine::{Act, Command, Effect, Engine, Event, Exit};
use checkd_core::journal::{Entry, Outcome};
use checkd_core::plan::Plan;
use checkd_core::policy::Axis;
use checkd_core::policy::keep::Between;
use checkd_core::{Cause, Generation, Instant, IntentId, LeafId, MemberId, Sample, Span, Status};
use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Filter, Journal, Past, Reader};
use crate::manager::tests::{check, plan};

pub(super) const MEMBER: MemberId = MemberId {
    group: 0,
    member: 1,
};
pub(super) const LEAF: LeafId = LeafId {
    group: 0,
    check: 0,
    member: Some(1),
};

fn two_members() -> Plan {
    let mut plan = plan(&["true"], 2);
    plan.groups[0].checks = vec![check("ping")];
    plan
}

pub(super) fn open(
    path: &Path,
) -> (
    Journal,
    Past,
    UnboundedReceiver<Event>,
    Option<&'static str>,
) {
    let (sender, events) = unbounded_channel();
    let (journal, past, warning) = Journal::open(path, Arc::new(two_members()), sender).unwrap();
    (journal, past, events, warning.map(|told| told.code))
}

fn refused(path: &Path) -> &'static str {
    let (sender, _events) = unbounded_channel();
    Journal::open(path, Arc::new(two_members()), sender)
        .unwrap_err()
        .code
}

pub(super) fn generation(pid: u32) -> Generation {
    Generation {
        boot: 7,
        pid,
        start: 9,
    }
}

pub(super) fn intent(number: u64) -> Entry {
    Entry::Intent {
        intent: IntentId(number),
        at: crate::clock::now(),
        act: Act::Restart {
            member: MEMBER,
            generation: generation(4711),
            evidence: None,
        },
        why: "ping failed 5 times in 20s".to_owned(),
        incident: None,
    }
}

pub(super) fn fail(at: Instant) -> Entry {
    Entry::Run {
        leaf: LEAF,
        sample: Sample {
            status: Status::Fail,
            cause: Some(Cause::Refused),
            message: "connection refused".into(),
            measurements: Vec::new(),
            at,
            took: Span::millis(3),
            generation: Some(generation(4711)),
        },
    }
}

type Make<'a> = &'a dyn Fn(&Path);

fn all(path: &Path, runs: bool) -> Vec<super::Row> {
    let filter = Filter {
        limit: 100,
        runs,
        ..Filter::default()
    };
    Reader::new(path.to_owned()).rows(&filter).unwrap()
}

#[test]
fn an_intent_is_on_disk_when_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, past, mut events, _) = open(&path);
    assert_eq!(past.next_intent, IntentId(1));
    journal.record(intent(1));
    match events.blocking_recv().unwrap() {
        Event::IntentStored(stored) => assert_eq!(stored, IntentId(1)),
        other => panic!("{other:?}"),
    }
    // The writer is still at work: what another process sees is what a crash would leave.
    let rows = all(&path, false);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].path(), "web/web-1");
    assert_eq!(
        (rows[0].what.as_str(), rows[0].word.as_str()),
        ("action", "restart")
    );

    journal.record(Entry::Outcome {
        intent: IntentId(1),
        at: crate::clock::now(),
        outcome: Outcome::Effective,
        detail: "healthy after 2.1s".to_owned(),
    });
    journal.close();
    let rows = all(&path, false);
    assert_eq!(rows[1].word, "effective");
    assert_eq!(rows[1].text, "healthy after 2.1s");
}

#[test]
fn a_new_daemon_goes_on_where_the_one_before_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, _events, _) = open(&path);
    journal.record(intent(41));
    journal.started(MEMBER, generation(4711));
    let other = MemberId {
        group: 0,
        member: 0,
    };
    journal.started(other, generation(4710));
    journal.exited(other, generation(4710), Exit::Code(1));
    journal.close();

    let (journal, past, _events, warning) = open(&path);
    assert_eq!(warning, None);
    assert_eq!(past.next_intent, IntentId(42));
    assert_eq!(past.lives, [(MEMBER, generation(4711))]);
    assert_eq!(past.interrupted, ["web/web-1: restart"]);
    journal.interrupted(past.open);
    // The exit of an earlier life does not end the later one.
    journal.exited(MEMBER, generation(4000), Exit::Code(1));
    journal.close();
    let (_journal, past, _events, _) = open(&path);
    assert_eq!(past.lives.len(), 1);
    assert!(past.interrupted.is_empty());
    assert_eq!(all(&path, false)[1].word, "interrupted");
}

#[test]
fn what_people_asked_for_outlives_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, past, _events, _) = open(&path);
    assert!(past.kept.is_empty());
    let plan = Arc::new(two_members());
    let now = crate::clock::now();
    let mut engine = Engine::new(Arc::clone(&plan), 1, IntentId(1), now);
    let pause = |minutes| Command::Pause {
        until: now + Span::mins(minutes),
        reason: "looking".to_owned(),
        force: true,
    };
    let stop = (
        MemberId {
            group: 0,
            member: 0,
        },
        Command::Stop,
    );
    // The second pause replaces the first: only what is newest is kept.
    for (member, command) in [(MEMBER, pause(1)), (MEMBER, pause(10)), stop] {
        let (id, by) = (1, "uid 7".to_owned());
        let event = Event::Command {
            id,
            by,
            member,
            command,
        };
        let mut effects = Vec::new();
        engine.step(&event, now, &mut effects);
        for effect in effects {
            if let Effect::Keep(kept) = effect {
                journal.keep(kept);
            }
        }
    }
    journal.close();
    let (_journal, past, _events, _) = open(&path);
    assert_eq!(past.rebooted, None);
    let mut next = Engine::new(plan, 1, past.next_intent, now);
    let open = BTreeMap::new();
    next.restore(&past.kept, &Between::SameBoot { open }, now);
    let report = next.explain(MEMBER, now).unwrap();
    assert_eq!(report.control, "paused by uid 7 for another 10m: looking");
    let stopped = next
        .explain(
            MemberId {
                group: 0,
                member: 0,
            },
            now,
        )
        .unwrap();
    assert_eq!(stopped.summary, "stopped, as wanted");
}

#[test]
fn steady_passes_are_one_row_until_something_happens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, _events, _) = open(&path);
    let start = crate::clock::now();
    let at = |ms: u64| start + Span::millis(ms);
    for ms in [0, 100, 200, 700] {
        journal.record(Entry::Steady {
            leaf: LEAF,
            at: at(ms),
        });
    }
    journal.record(fail(at(800)));
    journal.record(Entry::Steady {
        leaf: LEAF,
        at: at(900),
    });
    journal.close();
    let database = Connection::open(&path).unwrap();
    let rows: Vec<(String, i64, i64, i64)> = database
        .prepare("SELECT status, count, largest_gap_ms, at_ms - first_at_ms FROM run ORDER BY id")
        .unwrap()
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let row = |status: &str, count, gap, span| (status.to_owned(), count, gap, span);
    assert_eq!(
        rows,
        [
            row("pass", 4, 500, 700),
            row("fail", 1, 0, 0),
            row("pass", 1, 0, 0)
        ]
    );
    for view in ["runs", "transitions", "decisions", "actions", "operators"] {
        let sql = format!("SELECT * FROM {view}");
        database.prepare(&sql).unwrap().exists([]).unwrap();
    }
}

#[test]
fn rows_come_in_the_order_in_which_they_happened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, _events, _) = open(&path);
    let at = crate::clock::now();
    let to = |to: &'static str| Entry::Transition {
        member: MEMBER,
        at,
        axis: Axis::Life,
        from: "up",
        to,
        why: String::new(),
        incident: None,
    };
    for entry in [to("dead"), fail(at), to("starting"), to("up")] {
        journal.record(entry);
    }
    journal.close();
    let words = |rows: Vec<super::Row>| rows.into_iter().map(|r| r.word).collect::<Vec<_>>();
    assert_eq!(words(all(&path, true)), ["dead", "fail", "starting", "up"]);
    let reader = Reader::new(path.clone());
    let filter = |members: &[&str], check: Option<&str>, limit| Filter {
        members: Some(members.iter().map(|&m| m.to_owned()).collect()),
        check: check.map(str::to_owned),
        runs: true,
        until_ms: None,
        limit,
        since_ms: 0,
    };
    for (filter, expected) in [
        (filter(&["web/web-1"], None, 2), &["starting", "up"][..]),
        (filter(&["web/web-0"], None, 9), &[]),
        (filter(&["web/web-1"], Some("ping"), 9), &["fail"]),
        (filter(&["web/web-1"], Some("pong"), 9), &[]),
    ] {
        assert_eq!(words(reader.rows(&filter).unwrap()), expected);
    }
}

/// What SQLite says of a page begins with the name that it gives the only database there is.
#[test]
fn damage_is_told_by_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    open(&path).0.close();
    let mut bytes = std::fs::read(&path).unwrap();
    // A table's own page, and not the first one, which says that it is a database.
    let page = 4_096;
    bytes[page + 8..page * 2].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let connection = Connection::open(&path).unwrap();
    let damage = super::open::damage(&connection).unwrap().unwrap();
    assert!(!damage.contains("***"), "{damage}");
    assert!(damage.len() > 8, "{damage}");
}

#[test]
fn what_is_no_journal_is_set_aside_and_not_changed() {
    let garbage = |path: &Path| std::fs::write(path, "this is no database, ".repeat(100)).unwrap();
    let foreign = |path: &Path| {
        let other = Connection::open(path).unwrap();
        other.execute_batch("CREATE TABLE accounts (id)").unwrap();
    };
    let damaged = |path: &Path| {
        open(path).0.close();
        let mut bytes = std::fs::read(path).unwrap();
        let half = bytes.len() / 2;
        bytes[100..half].fill(0x55);
        std::fs::write(path, bytes).unwrap();
    };
    let makers: [(&str, Make<'_>); 3] = [
        ("garbage", &garbage),
        ("foreign", &foreign),
        ("damaged", &damaged),
    ];
    for (what, make) in makers {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let (journal, past, _events, warning) = open(&path);
        assert_eq!(warning, Some("C0504"), "{what}");
        assert_eq!(past.next_intent, IntentId(1));
        journal.close();
        let kept = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains(".set-aside-"))
            .unwrap();
        assert_eq!(std::fs::read(kept).unwrap(), before, "{what}");
    }
}

#[test]
fn a_large_journal_is_looked_through_while_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    journal.record(intent(1));
    events.blocking_recv().unwrap();
    journal.close();
    let rows = Connection::open(&path).unwrap();
    rows.execute_batch(
        "INSERT INTO run (seq, daemon, group_name, member, check_name, status, message, at_ms,
           wall_ms, first_at_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
         SELECT i, 1, 'web', 'web-1', 'ping', 'fail', printf('%.*c', 3500, 'x'),
           i, unixepoch() * 1000, i FROM n",
    )
    .unwrap();
    drop(rows);
    let aside = || {
        let names = std::fs::read_dir(dir.path()).unwrap();
        names
            .filter(|name| {
                let name = name.as_ref().unwrap().file_name();
                name.to_string_lossy().contains(".set-aside-")
            })
            .count()
    };
    // A whole one stays, and whoever closes it does not wait until it was looked through.
    let (journal, past, _events, warning) = open(&path);
    assert_eq!((past.next_intent, warning), (IntentId(2), None));
    journal.close();
    assert_eq!(aside(), 0);

    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let middle = file.metadata().unwrap().len() / 2 / 4096 * 4096;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0x55; 4096], middle).unwrap();
    let (journal, past, mut events, warning) = open(&path);
    assert_eq!((past.next_intent, warning), (IntentId(2), None));
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while aside() == 0 {
        assert!(std::time::Instant::now() < deadline, "nobody has found it");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    journal.record(intent(2));
    assert!(matches!(
        events.blocking_recv().unwrap(),
        Event::IntentStored(IntentId(2))
    ));
    journal.close();
    // What can be read goes on: only runs are left behind.
    let (_journal, past, _events, _) = open(&path);
    assert_eq!(past.next_intent, IntentId(3));
    assert_eq!(past.open.len(), 2, "{past:?}");
}

#[test]
fn a_journal_of_a_newer_checkd_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    open(&path).0.close();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(refused(&path), "C0503");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn an_intent_that_cannot_be_stored_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON action BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .unwrap();
    journal.record(intent(1));
    match events.blocking_recv().unwrap() {
        Event::IntentRefused { intent, reason } => {
            assert_eq!(intent, IntentId(1));
            assert!(reason.contains("disk full"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    other.execute_batch("DROP TRIGGER full").unwrap();
    journal.record(intent(2));
    assert!(matches!(
        events.blocking_recv().unwrap(),
        Event::IntentStored(IntentId(2))
    ));
    journal.close();
}

#[test]
fn a_life_that_could_not_be_written_is_written_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON life BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    journal.started(MEMBER, generation(4711));
    // In the same batch or in the next one: with the life ahead of it, it is refused.
    journal.record(intent(1));
    assert!(matches!(
        events.blocking_recv().unwrap(),
        Event::IntentRefused { .. }
    ));
    other.execute_batch("DROP TRIGGER full").unwrap();
    journal.record(intent(2));
    assert!(matches!(
        events.blocking_recv().unwrap(),
        Event::IntentStored(IntentId(2))
    ));
    journal.close();
    let (_journal, past, _events, _) = open(&path);
    assert_eq!(past.lives, [(MEMBER, generation(4711))]);
}

#[test]
fn a_clock_that_jumped_ahead_makes_no_row_old() {
    const DAY: i64 = 86_400_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let (journal, ..) = open(&path);
    for _ in 0..4 {
        journal.record(fail(crate::clock::now()));
    }
    journal.close();
    // As if a year had passed since they were written: 8 days, 6 days, an hour before the last.
    let connection = rusqlite::Connection::open(&path).unwrap();
    let now = crate::wall::now_ms();
    for (row, age) in [(1, 8 * DAY), (2, 6 * DAY), (3, DAY / 24), (4, 0)] {
        let sql = "UPDATE run SET wall_ms = ?1 WHERE rowid = (SELECT rowid FROM run ORDER BY rowid
                   LIMIT 1 OFFSET ?2)";
        let changed = connection.execute(sql, (now - 365 * DAY - age, row - 1));
        assert_eq!(changed.unwrap(), 1);
    }
    drop(connection);
    let (journal, ..) = open(&path);
    journal.record(fail(crate::clock::now()));
    journal.close();
    // The one of 8 days is too old by any clock; the new one came.
    assert_eq!(all(&path, true).len(), 4);
}

/// Waits for what the writer does by itself, at its own pace.
fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is() {
        assert!(begin.elapsed().as_secs() < 60, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_journal_that_was_removed_comes_back_though_nothing_happens() {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let make = |mode: u32| std::fs::DirBuilder::new().mode(mode).create(&state);
    make(0o700).unwrap();
    let path = state.join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    journal.record(intent(1));
    assert!(matches!(
        events.blocking_recv().unwrap(),
        Event::IntentStored(_)
    ));
    std::fs::remove_dir_all(&state).unwrap();
    // As whoever writes a member's output makes it.
    make(0o755).unwrap();
    wait_for("it is not written again", || path.exists());
    assert_eq!(all(&path, false).len(), 1);
    let mode = std::fs::metadata(&state).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    journal.close();
}

#[test]
fn a_smaller_bound_gives_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let size = |suffix: &str| {
        let path = format!("{}{suffix}", path.display());
        std::fs::metadata(path).map_or(0, |meta| meta.len())
    };
    let (journal, _, mut events, _) = open(&path);
    journal.record(intent(1));
    for round in 0..4 {
        for _ in 0..1_000 {
            let mut run = fail(Instant(1 + round));
            if let Entry::Run { sample, .. } = &mut run {
                sample.message = "x".repeat(400).into();
            }
            journal.record(run);
        }
    }
    journal.record(intent(2));
    for _ in 0..2 {
        events.blocking_recv().unwrap();
    }
    journal.close();
    assert!(size("") > 1 << 20, "{}", size(""));

    let mut plan = two_members();
    plan.daemon.journal_max_size = Some(256 << 10);
    let (sender, _events) = unbounded_channel();
    let (journal, ..) = Journal::open(&path, Arc::new(plan), sender).unwrap();
    wait_for("its file stays as large as it was", || {
        size("") <= 256 << 10 && size("-wal") <= 256 << 10
    });
    assert_eq!(all(&path, false).len(), 2, "what was done is still there");
    journal.close();
}

#[test]
fn who_never_ran_is_known_by_what_was_tried() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    journal.record(intent(1));
    events.blocking_recv().unwrap();
    let members = Reader::new(path).members().unwrap();
    assert_eq!(members, ["web/web-1"]);
}

#[test]
fn a_journal_that_is_locked_at_the_start_keeps_acts_back_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    journal.record(intent(1));
    events.blocking_recv().unwrap();
    journal.started(MEMBER, generation(4711));
    journal.close();
    // Somebody's `sqlite3` in the middle of a transaction.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (journal, past, mut events, warning) = open(&path);
    assert_eq!(warning, Some("C0501"));
    assert_eq!(past.lives, [(MEMBER, generation(4711))]);
    assert_eq!(past.next_intent, IntentId(2));
    other.execute_batch("ROLLBACK").unwrap();
    journal.record(intent(2));
    let answer = events.blocking_recv().unwrap();
    assert!(matches!(answer, Event::IntentStored(_)), "{answer:?}");
    journal.close();
    let daemons: i64 = other
        .query_row("SELECT count(*) FROM daemon", [], |r| r.get(0))
        .unwrap();
    assert_eq!(daemons, 2, "each daemon has its row");
}
