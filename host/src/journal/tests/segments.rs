//! What the engine was told: written down, replayed, and kept no longer than there is room and time for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use checkd_core::compose::Complex;
use checkd_core::engine::{Effect, Engine, Event};
use checkd_core::plan::Plan;
use checkd_core::replay::{Input, Short};
use checkd_core::{Instant, Sample, Span, Status};
use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::{Journal, Reader, Scribe};
use super::{LEAF, MEMBER, generation, wait_for};
use crate::replay::{Asked, Fared, replay};

/// Two members that are restarted when their check fails.
fn two_members() -> Plan {
    let mut plan = super::two_members();
    let live = Complex::parse("ping", &["ping"]).unwrap();
    let group = &mut plan.groups[0];
    (group.live, group.startup) = (live.clone(), live);
    plan
}

/// A loop without anything around it but a journal.
struct World {
    engine: Engine,
    journal: Journal,
    scribe: Scribe,
    _events: UnboundedReceiver<Event>,
    now: Instant,
}

impl World {
    fn open(path: &Path, plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let (sender, events) = unbounded_channel();
        let (journal, past, _) = Journal::open(path, Arc::clone(&plan), sender).unwrap();
        let now = crate::clock::now();
        let engine = Engine::new(plan, 7, past.next_intent, now);
        let scribe = Scribe::begin(&journal, &engine, "daemon started", now);
        let mut world = Self {
            engine,
            journal,
            scribe,
            _events: events,
            now,
        };
        world.step(&Event::Started {
            member: MEMBER,
            generation: generation(4711),
            adopted: true,
        });
        world.step(&Event::Wake);
        world
    }

    fn step(&mut self, event: &Event) {
        let mut effects = Vec::new();
        self.engine.step(event, self.now, &mut effects);
        self.scribe
            .took(&self.journal, event, self.now, &mut effects);
        for effect in effects {
            if let Effect::Record(entry) = effect {
                self.journal.record(entry);
            }
        }
    }

    /// A run of the member's check, ten seconds after the one before.
    fn run(&mut self, status: Status) {
        self.sleep(Span::secs(10));
        let sample = Sample {
            status,
            cause: None,
            message: "x".repeat(200).into(),
            measurements: Vec::new(),
            at: self.now,
            took: Span(3),
            generation: Some(generation(4711)),
        };
        self.step(&Event::Sample { leaf: LEAF, sample });
    }

    fn sleep(&mut self, length: Span) {
        let until = self.now + length;
        while let Some(at) = self.engine.wake_at().filter(|at| *at < until) {
            self.now = at.max(self.now);
            self.step(&Event::Wake);
        }
        self.now = until;
    }

    fn go_on(&mut self) {
        self.scribe.go_on(&self.journal, &self.engine, self.now);
    }
}

fn replayed(path: &Path) -> Vec<Fared> {
    let journal = Reader::new(path.to_owned()).segments().unwrap();
    let all = journal.all().unwrap();
    let asked = Asked::default();
    let all = all.iter().map(|one| replay(&journal, one, &asked).unwrap());
    all.collect()
}

fn count(path: &Path, table: &str) -> i64 {
    let database = Connection::open(path).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    database.query_row(&sql, [], |r| r.get(0)).unwrap()
}

#[test]
fn passes_are_no_rows_and_what_is_decided_can_be_decided_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut world = World::open(&path, two_members());
    for _ in 0..300 {
        world.run(Status::Pass);
    }
    for _ in 0..8 {
        world.run(Status::Fail);
    }
    world.journal.end_segment();
    world.journal.close();
    let [fared] = &replayed(&path)[..] else {
        panic!("one segment");
    };
    assert!(fared.difference.is_none(), "{fared:?}");
    assert!(fared.cannot.is_none(), "{fared:?}");
    assert!(fared.decisions > 0, "{fared:?}");
    // The few that it takes to begin, the first passes until it is healthy, and the failures.
    assert!(count(&path, "input") < 20, "{}", count(&path, "input"));
    assert!(count(&path, "run") < 20, "{}", count(&path, "run"));
}

#[test]
fn a_day_later_a_segment_begins_that_stands_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut world = World::open(&path, two_members());
    for _ in 0..5 {
        world.run(Status::Pass);
        world.go_on();
    }
    world.sleep(Span::mins(24 * 60));
    world.go_on();
    for status in [Status::Pass, Status::Fail].repeat(4) {
        world.run(status);
    }
    for _ in 0..8 {
        world.run(Status::Fail);
    }
    world.journal.end_segment();
    world.journal.close();
    let database = Connection::open(&path).unwrap();
    // What was before is not kept any more.
    database
        .execute_batch(
            "DELETE FROM segment WHERE id = 1; DELETE FROM input WHERE segment = 1;
             DELETE FROM run WHERE seq < (SELECT min(seq) FROM segment)",
        )
        .unwrap();
    let [fared] = &replayed(&path)[..] else {
        panic!("the second one");
    };
    assert_eq!(fared.why, "goes on");
    assert!(fared.difference.is_none(), "{fared:?}");
    assert!(fared.decisions > 0, "{fared:?}");
}

#[test]
fn a_journal_of_an_older_checkd_gets_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    World::open(&path, two_members()).journal.close();
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch("DROP TABLE segment; DROP TABLE input; DROP TABLE plan")
        .unwrap();
    drop(database);
    assert!(replayed(&path).is_empty());
    let mut world = World::open(&path, two_members());
    world.run(Status::Pass);
    world.journal.close();
    let all = replayed(&path);
    let [fared] = &all[..] else {
        panic!("that of the second daemon, and not {all:?}");
    };
    assert!(fared.difference.is_none(), "{fared:?}");
}

#[test]
fn what_is_too_old_goes_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut world = World::open(&path, two_members());
    world.run(Status::Fail);
    world.journal.close();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let mut plan = two_members();
    plan.daemon.journal_keep = Some(Span::millis(1));
    let (sender, _events) = unbounded_channel();
    let (journal, ..) = Journal::open(&path, Arc::new(plan), sender).unwrap();
    wait_for("it is kept", || {
        ["segment", "input", "plan"].map(|table| count(&path, table)) == [0, 0, 0]
    });
    journal.close();
}

#[test]
fn a_small_journal_keeps_what_is_newest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut world = World::open(&path, two_members());
    // As a machine does that is always late.
    let input = |at: u64| {
        Short::Whole(Input::Event {
            at: Instant(at),
            asked: None,
            event: Event::Wake,
        })
    };
    for at in 0..20_000 {
        world.journal.input(input(at));
    }
    world.sleep(Span::mins(24 * 60));
    world.go_on();
    world.run(Status::Fail);
    world.journal.close();
    let before = count(&path, "input");
    let mut plan = two_members();
    plan.daemon.journal_max_size = Some(256 << 10);
    let (sender, _events) = unbounded_channel();
    let (journal, ..) = Journal::open(&path, Arc::new(plan), sender).unwrap();
    wait_for("it keeps too much", || count(&path, "input") < 20);
    assert!(before > 20_000, "{before}");
    journal.close();
    let all = replayed(&path);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(
        all.iter()
            .all(|one| one.why == "goes on" && one.difference.is_none())
    );
}

#[test]
fn what_was_lost_is_said_and_another_segment_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut world = World::open(&path, two_members());
    world.run(Status::Pass);
    wait_for("nothing is written", || count(&path, "input") > 0);
    world.journal.queue.lose(1);
    world.run(Status::Fail);
    wait_for("nothing is marked", || {
        let sql = "SELECT count(*) FROM segment WHERE lost_seq IS NOT NULL";
        let database = Connection::open(&path).unwrap();
        database.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap() == 1
    });
    wait_for("no segment is asked for", || {
        world.journal.wants_beginning.load(Ordering::Relaxed)
    });
    // Not again and again.
    world.go_on();
    world.sleep(Span::mins(10));
    world.go_on();
    for _ in 0..8 {
        world.run(Status::Fail);
    }
    world.journal.end_segment();
    world.journal.close();
    let all = replayed(&path);
    let lost: Vec<bool> = all.iter().map(|one| one.lost).collect();
    assert_eq!(lost, [true, false], "{all:?}");
    assert!(all.iter().all(|one| one.difference.is_none()), "{all:?}");
    assert!(all[1].decisions > 0, "{all:?}");
}
