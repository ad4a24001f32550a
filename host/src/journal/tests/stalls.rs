//! A disk that stalls: nothing is lost, nobody waits, and what finds no room is counted.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets anything else fails"
)]

use std::sync::Arc;
use std::time::Duration;

use checkd_core::engine::{Act, Effect, Engine, Event};
use checkd_core::journal::Entry;
use checkd_core::policy::keep::Kept;
use checkd_core::{Instant, IntentId, LeafId, Span};
use rusqlite::Connection;
use tokio::sync::mpsc::unbounded_channel;

use super::super::Message;
use super::super::queue::{Outlet, Passes, Queue, Refusal};
use super::super::write::Writer;
use super::{LEAF, MEMBER, fail, generation, intent, open};
use crate::manager::tests::plan;

const AT_ONCE: Duration = Duration::ZERO;

fn leaf(check: u32) -> LeafId {
    LeafId { check, ..LEAF }
}

fn pass(check: u32, ms: u64) -> Message {
    Message::Passes(leaf(check), Passes::one(Instant(ms)))
}

fn run(check: u32) -> Message {
    match fail(Instant(1)) {
        Entry::Run { sample, .. } => {
            let leaf = leaf(check);
            Message::Entry(Box::new(Entry::Run { leaf, sample }))
        }
        other => panic!("{other:?}"),
    }
}

/// `3 from 10 to 40 (20)`: so many passes, between which times, with which largest gap.
fn told(messages: &[Message]) -> Vec<String> {
    let one = |message: &Message| match message {
        Message::Passes(leaf, p) => format!(
            "{}: {} from {} to {} ({})",
            leaf.check, p.count, p.first.0, p.last.0, p.largest_gap
        ),
        Message::Entry(_) if message.intent().is_some() => "intent".to_owned(),
        Message::Entry(_) => "run".to_owned(),
        Message::Started(..) => "start".to_owned(),
        Message::Keep(kept) => format!("kept at {}", kept.at().0),
        Message::Nothing => "-".to_owned(),
        other => panic!("{other:?}"),
    };
    messages.iter().map(one).collect()
}

#[test]
fn passes_of_one_check_are_one_message_while_they_wait() {
    let queue = Queue::new(1 << 20);
    for (check, ms) in [(0, 10), (1, 11), (0, 20), (0, 40), (1, 12)] {
        queue.send(pass(check, ms)).unwrap();
    }
    // What is more than a pass stands between those before and those after it.
    queue.send(run(0)).unwrap();
    for ms in [50, 55] {
        queue.send(pass(0, ms)).unwrap();
    }
    let taken = queue.take(AT_ONCE, 3).messages;
    let expected = ["0: 3 from 10 to 40 (20)", "1: 2 from 11 to 12 (1)", "run"];
    assert_eq!(told(&taken), expected);
    // Those are being written: what comes now is counted elsewhere, and where it still waits.
    for (check, ms) in [(1, 60), (0, 61)] {
        queue.send(pass(check, ms)).unwrap();
    }
    queue.put_back(taken);
    for (check, ms) in [(1, 70), (0, 75)] {
        queue.send(pass(check, ms)).unwrap();
    }
    let all = told(&queue.take(AT_ONCE, 9).messages);
    let after = ["0: 4 from 50 to 75 (14)", "1: 2 from 60 to 70 (10)"];
    assert_eq!(all, [&expected[..], &after[..]].concat());
}

#[test]
fn runs_leave_room_for_what_cannot_be_seen_again() {
    let queue = Queue::new(64 << 10);
    let started = || Message::Started(MEMBER, generation(7));
    let refused = |message| queue.send(message).map_err(|(why, _)| why);
    let mut runs = 0;
    while refused(run(0)).is_ok() {
        runs += 1;
    }
    assert!(runs > 20, "{runs}");
    assert_eq!(refused(run(0)), Err(Refusal::Full));
    let mut lives = 0;
    while refused(started()).is_ok() {
        lives += 1;
    }
    assert!(lives > 20, "{lives}");
    let more = Message::Entry(Box::new(intent(1)));
    assert_eq!(refused(more), Err(Refusal::Full));
    // All of the room is there again once everything was taken out.
    assert_eq!(queue.take(AT_ONCE, usize::MAX).messages.len(), runs + lives);
    for _ in 0..runs {
        queue.send(run(0)).unwrap();
    }
    assert_eq!(refused(run(0)), Err(Refusal::Full));
}

#[test]
fn of_what_is_kept_of_a_member_the_newest_waits_before_any_intent_that_came_later() {
    let queue = Queue::new(0);
    let plan = Arc::new(plan(&["true"], 2));
    let engine = Engine::new(plan, 1, IntentId(1), Instant(0));
    let kept = |at| {
        let kept = engine.keep(MEMBER, Instant(at)).unwrap();
        Message::Keep(Kept::Member(Box::new(kept)))
    };
    // There is no room for anything else: what is kept is bounded by the plan.
    queue.send(kept(1)).unwrap();
    let more = Message::Entry(Box::new(intent(1)));
    assert!(queue.send(more).is_err());
    queue.send(kept(2)).unwrap();
    assert_eq!(told(&queue.take(AT_ONCE, 9).messages), ["kept at 2"]);

    let queue = Queue::new(1 << 20);
    queue.send(kept(3)).unwrap();
    queue.send(Message::Entry(Box::new(intent(1)))).unwrap();
    queue.send(kept(4)).unwrap();
    let taken = queue.take(AT_ONCE, 1).messages;
    queue.send(kept(5)).unwrap();
    queue.put_back(taken);
    queue.send(kept(6)).unwrap();
    let expected = ["kept at 4", "intent", "kept at 6"];
    assert_eq!(told(&queue.take(AT_ONCE, 9).messages), expected);
}

#[test]
fn intents_are_taken_out_of_the_middle() {
    let queue = Queue::new(1 << 20);
    for message in [
        pass(0, 10),
        Message::Entry(Box::new(intent(4))),
        pass(1, 10),
        Message::Entry(Box::new(intent(5))),
    ] {
        queue.send(message).unwrap();
    }
    assert_eq!(queue.take_intents(), [IntentId(4), IntentId(5)]);
    queue.send(pass(1, 20)).unwrap();
    let expected = [
        "0: 1 from 10 to 10 (0)",
        "-",
        "1: 2 from 10 to 20 (10)",
        "-",
    ];
    assert_eq!(told(&queue.take(AT_ONCE, 9).messages), expected);
}

#[test]
fn whoever_sends_after_the_writer_has_gone_hears_it() {
    let queue = Queue::new(1 << 20);
    drop(Outlet(queue.clone()));
    let refused = queue.send(pass(0, 1)).map_err(|(why, _)| why);
    assert_eq!(refused, Err(Refusal::Ended));
}

/// Ten seconds of 20,000 samples a second, of which one in fifty fails, while somebody else holds the
/// file for longer than the writer waits for it.
#[test]
fn a_disk_that_stalls_for_seconds_loses_nothing_and_holds_nobody_up() {
    const CHECKS: u32 = 1_000;
    const ROUNDS: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, _, mut events, _) = open(&path);
    // Some of it is there before, to be counted on.
    for check in 0..CHECKS {
        let at = crate::clock::now();
        journal.record(Entry::Steady {
            leaf: leaf(check),
            at,
        });
    }
    journal.record(intent(1));
    assert!(matches!(
        events.blocking_recv().unwrap(),
        Event::IntentStored(IntentId(1))
    ));

    let other = Connection::open(&path).unwrap();
    other.busy_timeout(Duration::from_mins(1)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begin = crate::clock::now();
    let mut fails = 0;
    for round in 0..ROUNDS {
        let at = begin + Span::millis(50 * u64::from(round));
        for check in 0..CHECKS {
            if (check + round) % 50 == 0 {
                let Entry::Run { sample, .. } = fail(at) else {
                    panic!("it is a run");
                };
                let leaf = leaf(check);
                journal.record(Entry::Run { leaf, sample });
                fails += 1;
            } else {
                journal.record(Entry::Steady {
                    leaf: leaf(check),
                    at,
                });
            }
        }
        journal.started(MEMBER, generation(round));
        if round == ROUNDS / 2 {
            // With half of it an attempt to write fails: the answer to an intent says so.
            journal.record(intent(2));
            match events.blocking_recv().unwrap() {
                Event::IntentRefused { intent, .. } => assert_eq!(intent, IntentId(2)),
                other => panic!("{other:?}"),
            }
        }
    }
    // All of it was handed over, and the file is still held: nobody waited for it.
    assert_eq!(journal.lost(), 0);
    other.execute_batch("ROLLBACK").unwrap();
    let mut number = 2;
    let stored = loop {
        number += 1;
        journal.record(intent(number));
        if let Event::IntentStored(stored) = events.blocking_recv().unwrap() {
            break stored;
        }
    };
    assert_eq!(stored, IntentId(number));
    assert_eq!(journal.lost(), 0);
    journal.close();

    let count = |sql: &str| -> i64 { other.query_row(sql, [], |row| row.get(0)).unwrap() };
    let passes = i64::from(CHECKS * (ROUNDS + 1)) - fails;
    assert_eq!(
        count("SELECT sum(count) FROM run WHERE status = 'pass'"),
        passes
    );
    assert_eq!(
        count("SELECT sum(count) FROM run WHERE status = 'fail'"),
        fails
    );
    let pid = i64::from(ROUNDS - 1);
    assert_eq!(count("SELECT pid FROM life"), pid);
    // A refused intent is not there.
    assert_eq!(count("SELECT count(*) FROM action WHERE intent = 2"), 0);
}

#[test]
fn the_last_passes_of_all_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (sender, _events) = unbounded_channel();
    let (connection, _) = crate::journal::open::open(&path).unwrap();
    let plan = Arc::new(plan(&["true"], 2));
    let (mut writer, ..) = Writer::begin(&path, connection, plan, sender).unwrap();
    for (ms, count) in [(10, 1), (20, 2), (30, 3)] {
        let queue = Queue::new(1 << 20);
        queue.send(pass(0, ms)).unwrap();
        queue.close();
        writer.serve(&queue);
        let journal = Connection::open(&path).unwrap();
        let sum = journal.query_row("SELECT sum(count) FROM run", [], |row| row.get(0));
        assert_eq!(sum, Ok(count));
    }
}

/// What the loop does: steps the engine, and hands to the journal what is to be stored. Gives what is
/// to be done.
fn step(engine: &mut Engine, event: &Event, queue: &Queue) -> Vec<(IntentId, Act)> {
    match event {
        Event::Started {
            member, generation, ..
        } => {
            queue.send(Message::Started(*member, *generation)).unwrap();
        }
        Event::Done { .. } | Event::Wake | Event::IntentStored(_) => {}
        other => panic!("{other:?}"),
    }
    let mut effects = Vec::new();
    engine.step(event, crate::clock::now(), &mut effects);
    let mut acts = Vec::new();
    for effect in effects {
        match effect {
            Effect::Record(entry) => queue.send(Message::Entry(Box::new(entry))).unwrap(),
            Effect::Keep(kept) => queue.send(Message::Keep(kept)).unwrap(),
            Effect::Do(intent, act) => acts.push((intent, act)),
            _ => {}
        }
    }
    acts
}

#[test]
fn the_start_of_many_members_waits_for_the_disk_once() {
    const MEMBERS: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let plan = Arc::new(plan(&["true"], u32::try_from(MEMBERS).unwrap()));
    let (sender, mut events) = unbounded_channel();
    let (connection, _) = super::super::open::open(&path).unwrap();
    let (mut writer, ..) = Writer::begin(&path, connection, Arc::clone(&plan), sender).unwrap();
    let mut engine = Engine::new(Arc::clone(&plan), 1, IntentId(1), crate::clock::now());

    // All of them are wanted at once, and nothing is done before it is stored.
    let queue = Queue::new(1 << 30);
    assert!(step(&mut engine, &Event::Wake, &queue).is_empty());
    queue.close();
    writer.serve(&queue);
    assert_eq!(queue.commits(), (1, 1));

    // What comes of it is stored, and nobody waits for the disk.
    let queue = Queue::new(1 << 30);
    let mut started = 0;
    while let Ok(stored) = events.try_recv() {
        for (intent, act) in step(&mut engine, &stored, &queue) {
            let Act::Start { member } = act else {
                panic!("{act:?}");
            };
            started += 1;
            let run = Event::Started {
                member,
                generation: generation(started),
                adopted: false,
            };
            let done = Event::Done {
                intent,
                result: Ok(()),
            };
            for event in [run, done] {
                assert!(step(&mut engine, &event, &queue).is_empty());
            }
        }
    }
    assert_eq!(started as usize, MEMBERS);
    queue.close();
    writer.serve(&queue);
    assert_eq!(queue.commits(), (1, 0));
    drop(writer);
    let journal = Connection::open(&path).unwrap();
    let count = |sql: &str| -> i64 { journal.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM action"), i64::from(started));
    assert_eq!(count("SELECT count(*) FROM life"), i64::from(started));
}
