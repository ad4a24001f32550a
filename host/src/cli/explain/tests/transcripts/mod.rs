//! The transcripts of `docs/explain.md`: made by the real engine, journal and renderer, so that the page
//! shows what people see.

mod world;

use std::path::Path;

use checkd_core::compose::{Complex, Expr};
use checkd_core::plan::{GroupPlan, PolicyPlan, Scope};
use checkd_core::{Cause, Span};

use crate::manager::tests::{check, plan};
use world::World;

/// What makes a transcript.
type Story = fn() -> String;

/// The command that writes the page as it is now.
const WRITE: &str = "SNAPSHOTS=overwrite cargo test -p checkd --lib explain::tests::transcripts";

/// A group `web` of so many members, each asked by `ping`.
fn group(members: u32) -> GroupPlan {
    let mut group = plan(&["/srv/web/serve"], members).groups.remove(0);
    let live = Complex {
        text: "ping".to_owned(),
        expr: Expr::Leaf(0),
    };
    group.checks = vec![check("ping")];
    group.live.clone_from(&live);
    group.ready.clone_from(&live);
    group.startup = live;
    group.policy = PolicyPlan::of_defaults(members);
    group
}

fn refused(world: &mut World, member: u32) {
    let says = (Cause::Refused, "connection refused");
    world.ill.insert(World::leaf(0, Some(member)), says);
}

fn timed_out(world: &mut World, member: u32) {
    let says = (Cause::Timeout, "no answer within 5s");
    world.ill.insert(World::leaf(0, Some(member)), says);
}

fn budget() -> String {
    let mut world = World::new(group(4));
    world.pass(Span::mins(10));
    timed_out(&mut world, 1);
    world.pass(Span::secs(40));
    timed_out(&mut world, 3);
    world.pass(Span::secs(35));
    world.explain(3, &[])
}

fn hold() -> String {
    let mut world = World::new(group(8));
    world.pass(Span::mins(10));
    for member in 0..8 {
        timed_out(&mut world, member);
    }
    world.pass(Span::secs(90));
    world.explain(3, &[])
}

fn given_up() -> String {
    let mut world = World::new(group(4));
    world.pass(Span::mins(10));
    refused(&mut world, 2);
    world.pass(Span::mins(9));
    world.explain(
        2,
        &[
            "listening on 127.0.0.1:8082",
            "worker 1: no route to the licence server",
        ],
    )
}

fn dependency() -> String {
    let mut group = group(4);
    let mut database = check("database");
    database.scope = Scope::Dependency;
    group.checks.push(database);
    let mut world = World::new(group);
    world.pass(Span::mins(10));
    let says = (Cause::Refused, "connection refused, 10.0.0.5:5432");
    world.ill.insert(World::leaf(1, None), says);
    timed_out(&mut world, 1);
    world.pass(Span::secs(75));
    world.explain(1, &[])
}

fn crash_loop() -> String {
    let mut world = World::new(group(2));
    world.pass(Span::mins(10));
    let id = World::member(1);
    world.dies_after.insert(id, (Span::millis(800), 1));
    world.die(id, 1);
    world.pass(Span::secs(40));
    world.explain(
        1,
        &[
            "Traceback (most recent call last):",
            "  File \"/srv/web/serve\", line 12, in <module>",
            "KeyError: 'DATABASE_URL'",
        ],
    )
}

#[test]
fn the_page_shows_what_people_see() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md");
    let was = std::fs::read_to_string(&path).unwrap();
    let stories: [(&str, u32, Story); 5] = [
        ("budget", 3, budget),
        ("hold", 3, hold),
        ("given-up", 2, given_up),
        ("dependency", 1, dependency),
        ("crash-loop", 1, crash_loop),
    ];
    let mut is = was.clone();
    for (name, member, story) in stories {
        let mark = format!("<!-- transcript: {name} -->\n```text\n");
        let begin = is.find(&mark).unwrap() + mark.len();
        let length = is.split_at(begin).1.find("```").unwrap();
        let told = format!("$ checkd explain web/web-{member}\n{}", story());
        for line in told.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        is.replace_range(begin..begin + length, &told);
    }
    if std::env::var("SNAPSHOTS").is_ok_and(|wish| wish == "overwrite") {
        std::fs::write(&path, &is).unwrap();
        return;
    }
    let differs = was.lines().zip(is.lines()).find(|(was, is)| was != is);
    assert!(
        was == is,
        "docs/explain.md shows something else, first {differs:?}; when that is meant: {WRITE}"
    );
}
