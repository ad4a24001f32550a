//! One run in flight per leaf, one sample per run, whatever becomes of it.

use std::time::Duration;

use checkd_core::compose::{Complex, Expr};
use checkd_core::plan::{GroupPlan, MemberPlan, PolicyPlan, Scope};
use checkd_core::{CheckKind, CheckName, GroupName, MemberName};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// One group with these checks, of two members without ports.
fn plan(checks: &[(&str, Value)]) -> Arc<Plan> {
    let everything = || Complex {
        text: String::new(),
        expr: Expr::All(Vec::new()),
    };
    let member = |index| MemberPlan {
        name: MemberName::new(&format!("web-{index}")).unwrap(),
        index,
        port: None,
    };
    let check = |(n, (kind, options)): (usize, &(&str, Value))| CheckPlan {
        name: CheckName::new(&format!("check{n}")).unwrap(),
        kind: CheckKind::new(kind).unwrap(),
        scope: Scope::Process,
        options: options.as_object().unwrap().clone(),
        interval: Span::secs(10),
        fast_interval: Span::secs(10),
        timeout: Span::millis(300),
        fall: 1,
        ready_fall: 1,
        rise: 1,
        min_fail_span: Span::ZERO,
        n_of_m: None,
        freshness: Span::secs(60),
        passive: false,
        place: checkd_core::diagnostic::Place::default(),
    };
    let group = GroupPlan {
        name: GroupName::new("web").unwrap(),
        mode: checkd_core::plan::Mode::Auto,
        members: vec![member(0), member(1)],
        checks: checks.iter().enumerate().map(check).collect(),
        live: everything(),
        ready: everything(),
        startup: everything(),
        ready_members: 2,
        policy: PolicyPlan::of_defaults(2),
        launch: checkd_core::plan::Launch::default(),
        depends_on: Vec::new(),
    };
    Arc::new(Plan {
        groups: vec![group],
        ..Plan::default()
    })
}

fn begun(checks: &[(&str, Value)]) -> (Runner, UnboundedReceiver<Event>) {
    let (catalog, told) = Catalog::open(&[], &[]);
    assert_eq!(told, []);
    let (sender, events) = unbounded_channel();
    let runner = Runner::new(Arc::new(catalog), plan(checks), sender).unwrap();
    (runner, events)
}

fn run(check: u32, member: u32) -> Run {
    let generation = Generation {
        boot: 1,
        pid: std::process::id(),
        start: 1,
    };
    Run {
        leaf: LeafId {
            group: 0,
            check,
            member: Some(member),
        },
        generation: Some(generation),
        port: None,
        due: clock::now(),
    }
}

/// The next sample; every run has one.
fn next(events: &mut UnboundedReceiver<Event>) -> (LeafId, Sample) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let event = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, events.recv()).await })
        .unwrap();
    let Some(Event::Sample { leaf, sample }) = event else {
        unreachable!("a runner sends samples: {event:?}");
    };
    (leaf, sample)
}

#[test]
fn a_run_comes_back_with_the_life_that_it_looked_at() {
    let (runner, mut events) = begun(&[("memory", json!({ "max_rss": "100GiB" }))]);
    let asked = run(0, 1);
    runner.begin(asked);
    let (leaf, sample) = next(&mut events);
    assert_eq!((leaf, sample.generation), (asked.leaf, asked.generation));
    assert_eq!(sample.status, Status::Pass, "{}", sample.message);
    assert_eq!(runner.counts().begun, 1);
}

#[test]
fn a_second_run_of_a_leaf_is_counted_and_not_begun() {
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let options = json!({ "port": port, "expect": "PONG" });
    let (runner, mut events) = begun(&[("tcp", options)]);
    for _ in 0..5 {
        runner.begin(run(0, 0));
    }
    runner.begin(run(0, 1));
    let mut leaves: Vec<Option<u32>> = Vec::new();
    for _ in 0..2 {
        let (leaf, sample) = next(&mut events);
        assert_eq!(sample.cause, Some(Cause::Timeout), "{}", sample.message);
        leaves.push(leaf.member);
    }
    leaves.sort();
    assert_eq!(leaves, [Some(0), Some(1)]);
    let counts = runner.counts();
    assert_eq!((counts.begun, counts.skipped), (2, 4));
    // When its sample is there, a leaf can be begun again.
    runner.begin(run(0, 0));
    assert_eq!(next(&mut events).0.member, Some(0));
}

#[test]
fn what_cannot_be_looked_at_is_unknown_with_its_reason() {
    let (runner, mut events) = begun(&[
        ("tcp", json!({ "port": "{port}" })),
        ("tcp", json!({ "port": 0 })),
        ("nobodys", json!({})),
    ]);
    for (check, cause, word) in [
        (0, Cause::Misconfigured, "member `web-0` has no port"),
        (1, Cause::Misconfigured, "`port`"),
        (2, Cause::PluginUnavailable, "nobodys"),
        (9, Cause::Misconfigured, "no such check"),
    ] {
        runner.begin(run(check, 0));
        let (_, sample) = next(&mut events);
        let found = (sample.status, sample.cause);
        assert_eq!(found, (Status::Unknown, Some(cause)), "{}", sample.message);
        assert!(sample.message.contains(word), "{}", sample.message);
    }
}

#[test]
fn a_run_that_slept_with_the_machine_says_nothing_about_its_target() {
    let sample = |took| Sample {
        status: Status::Fail,
        cause: Some(Cause::Timeout),
        message: "no answer".into(),
        measurements: Vec::new(),
        at: Instant(1_000_000),
        took: Span::secs(took),
        generation: None,
    };
    let limit = Span::secs(2);
    assert_eq!(stalled(sample(7), limit).status, Status::Fail);
    let stalled = stalled(sample(8), limit);
    assert_eq!(stalled.cause, Some(Cause::HostStall));
    assert_eq!(stalled.status, Status::Unknown);
}

#[tokio::test]
async fn a_kind_of_a_plugin_that_is_missing_says_which_and_why_and_what_to_look_at() {
    let missing = checkd_core::plan::PluginPlan {
        name: "spool".into(),
        source: checkd_core::plan::PluginSource::Library("/no where/libspool.so".into()),
        sha256: None,
        isolation: checkd_core::plan::Isolation::Process,
        confine: checkd_core::plan::ConfinePlan::default(),
    };
    let (catalog, _) = Catalog::open(&[missing], &[]);
    let (sender, mut events) = unbounded_channel();
    let plan = plan(&[("spool", json!({}))]);
    let runner = Runner::new(Arc::new(catalog), Arc::clone(&plan), sender).unwrap();
    runner.begin(run(0, 0));
    let sample = tokio::time::timeout(PATIENCE, events.recv()).await;
    let Ok(Some(Event::Sample { sample, .. })) = sample else {
        unreachable!("every run has its sample");
    };
    assert_eq!(
        &*sample.message,
        "no plugin that is loaded offers the kind `spool`; plugin `/no where/libspool.so` cannot \
         be used: there is no such file; tried again every 10s"
    );

    let now = Instant(1_000);
    let engine = checkd_core::engine::Engine::new(plan, 0, checkd_core::IntentId(1), now);
    let member = MemberId {
        group: 0,
        member: 0,
    };
    let mut report = engine.explain(member, now).unwrap();
    let before = report.can_do.len();
    runner.advise(&mut report);
    assert_eq!(report.can_do.len(), before, "nothing was found missing yet");
    report.checks[0].cause = Some("plugin_unavailable".into());
    runner.advise(&mut report);
    assert_eq!(
        report.can_do[0].command,
        "checkd plugin inspect '/no where/libspool.so'"
    );
}
