//! What one sample costs on its way through streak, expression and policy, and what 100,000 checks cost
//! in the schedule and in memory. `cargo bench -p checkd-core --bench engine`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark may stop at a surprise"
)]

use std::hint::black_box;
use std::sync::Arc;

use checkd_core::compose::{Complex, Expr};
use checkd_core::engine::{Effect, Engine, Event};
use checkd_core::plan::{CheckPlan, GroupPlan, Launch, MemberPlan, Mode, Plan, PolicyPlan};
use checkd_core::schedule::Schedule;
use checkd_core::{
    CheckKind, CheckName, Generation, GroupName, Instant, IntentId, LeafId, MemberId, MemberName,
    Sample, Span, Status,
};
use divan::Bencher;
use divan::counter::ItemsCount;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn check(name: &str) -> CheckPlan {
    CheckPlan::of_defaults(
        CheckName::new(name).unwrap(),
        CheckKind::new("tcp").unwrap(),
    )
}

/// `groups` groups of `members` members with four checks each: `a and b and (c or d)`.
fn plan(groups: u32, members: u32) -> Arc<Plan> {
    let any = Expr::Any(vec![Expr::Leaf(2), Expr::Leaf(3)]);
    let expr = Expr::All(vec![Expr::Leaf(0), Expr::Leaf(1), any]);
    let live = Complex {
        text: "a and b and (c or d)".to_owned(),
        expr,
    };
    let groups = (0..groups).map(|group| GroupPlan {
        name: GroupName::new(&format!("g{group}")).unwrap(),
        mode: Mode::Auto,
        members: (0..members)
            .map(|index| MemberPlan {
                name: MemberName::new(&format!("g{group}-{index}")).unwrap(),
                index,
                port: None,
            })
            .collect(),
        checks: ["a", "b", "c", "d"].map(check).to_vec(),
        live: live.clone(),
        ready: live.clone(),
        startup: live.clone(),
        ready_members: members,
        policy: PolicyPlan {
            max_out: 1,
            ..PolicyPlan::of_defaults(members)
        },
        launch: Launch::default(),
        depends_on: Vec::new(),
    });
    Arc::new(Plan {
        groups: groups.collect(),
        ..Plan::default()
    })
}

fn generation(id: MemberId) -> Generation {
    Generation {
        boot: 1,
        pid: 1 + id.group * 1_000 + id.member,
        start: 1,
    }
}

fn sample(status: Status, at: Instant, id: MemberId) -> Sample {
    Sample {
        status,
        cause: None,
        message: Arc::from(""),
        measurements: Vec::new(),
        at,
        took: Span(3),
        generation: Some(generation(id)),
    }
}

/// An engine whose members all run and are healthy.
fn healthy(plan: &Arc<Plan>) -> (Engine, Instant) {
    let mut now = Instant(1_000_000);
    let mut engine = Engine::new(Arc::clone(plan), 7, IntentId(1), now);
    let mut out = Vec::new();
    for member in plan.members() {
        let event = Event::Started {
            member,
            generation: generation(member),
            adopted: true,
        };
        engine.step(&event, now, &mut out);
    }
    engine.step(&Event::Wake, now, &mut out);
    for _ in 0..3 {
        now += Span::secs(10);
        for id in plan.members() {
            for check in 0..4 {
                let leaf = LeafId {
                    group: id.group,
                    check,
                    member: Some(id.member),
                };
                let event = Event::Sample {
                    leaf,
                    sample: sample(Status::Pass, now, id),
                };
                engine.step(&event, now, &mut out);
                out.clear();
            }
        }
        engine.step(&Event::Wake, now, &mut out);
        out.clear();
    }
    assert!(engine.status(now).groups.iter().all(|group| group.ready));
    (engine, now)
}

/// The usual case: a pass that changes nothing, through streak, expression and policy.
#[divan::bench]
fn sample_without_a_change(bencher: Bencher<'_, '_>) {
    let plan = plan(100, 10);
    let (mut engine, mut now) = healthy(&plan);
    let members: Vec<MemberId> = plan.members().collect();
    let mut out: Vec<Effect> = Vec::with_capacity(64);
    let mut next = 0_usize;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let id = members[next % members.len()];
        let check = u32::try_from(next % 4).unwrap();
        next += 1;
        now += Span(u64::from(next.is_multiple_of(100)));
        let leaf = LeafId {
            group: id.group,
            check,
            member: Some(id.member),
        };
        let event = Event::Sample {
            leaf,
            sample: sample(Status::Pass, now, id),
        };
        out.clear();
        engine.step(black_box(&event), now, &mut out);
        out.len()
    });
}

/// The dearest case: a fail in an open streak; the proposal is made and every gate is read.
#[divan::bench]
fn sample_of_a_waiting_member(bencher: Bencher<'_, '_>) {
    let plan = plan(1, 10);
    let (mut engine, mut now) = healthy(&plan);
    let mut out: Vec<Effect> = Vec::with_capacity(64);
    let mut fail = |member: u32, now: Instant, out: &mut Vec<Effect>| {
        let id = MemberId { group: 0, member };
        let leaf = LeafId {
            group: 0,
            check: 0,
            member: Some(member),
        };
        let event = Event::Sample {
            leaf,
            sample: sample(Status::Fail, now, id),
        };
        engine.step(black_box(&event), now, out);
    };
    // Member 2 has the only place in the budget; member 3 waits for it.
    for _ in 0..6 {
        now += Span::secs(5);
        fail(2, now, &mut out);
        fail(3, now, &mut out);
    }
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        now += Span(1);
        out.clear();
        fail(3, now, &mut out);
        out.len()
    });
}

/// One turn of the schedule with 100,000 checks: the slots that are due are taken and set again.
#[divan::bench]
fn schedule_of_100_000(bencher: Bencher<'_, '_>) {
    let mut schedule = Schedule::new(100_000);
    let mut now = Instant(1_000_000);
    for slot in 0..100_000_u32 {
        schedule.set(slot, now + Span(u64::from(slot) % 10_000));
    }
    let mut taken = 0_u64;
    bencher.counter(ItemsCount::new(200_u32)).bench_local(|| {
        now += Span(20);
        while let Some((slot, due)) = schedule.pop(now) {
            schedule.set(slot, due + Span::secs(10));
            taken += 1;
        }
        taken
    });
}

/// An engine of 100,000 checks: its largest allocation in sum is the memory that it needs.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn engine_of_100_000_checks(bencher: Bencher<'_, '_>) {
    let plan = plan(250, 100);
    bencher
        .counter(ItemsCount::new(100_000_u32))
        .bench_local(|| healthy(&plan).0);
}
