//! A worker in Python that does what its kinds are called.

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

fn client(arguments: &[&str]) -> Arc<Client> {
    let worker = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plugin/client/worker.py");
    let command: Vec<String> = ["python3", worker]
        .iter()
        .chain(arguments)
        .map(|&word| word.into())
        .collect();
    Arc::new(Client::new(Launch::bare("demo", &command, None)))
}

fn leaf(check: u32) -> LeafId {
    LeafId {
        group: 0,
        check,
        member: Some(0),
    }
}

fn wanted(check: u32, kind: &str) -> Wanted {
    Wanted {
        leaf: leaf(check),
        kind: kind.into(),
        options: Map::new(),
        target: Target::default(),
    }
}

async fn once(client: &Arc<Client>, check: u32, kind: &str) -> Result<SampleText, Trouble> {
    let instance = client.configure(wanted(check, kind), LONG).await?;
    let limit = if kind == "silent" { SHORT } else { LONG };
    client.run(leaf(check), &instance, limit).await
}

#[tokio::test]
async fn a_run_comes_back_with_its_sample() {
    let client = client(&[]);
    assert_eq!(once(&client, 0, "passes").await.unwrap().status, "pass");
}

#[tokio::test]
async fn faults_are_dropped_and_the_first_answer_counts() {
    let client = client(&[]);
    assert_eq!(once(&client, 0, "babbles").await.unwrap().status, "pass");
    assert_eq!(once(&client, 0, "passes").await.unwrap().status, "pass");
}

#[tokio::test]
async fn an_answer_that_is_no_sample_ends_its_run_at_once_and_says_why() {
    let client = client(&[]);
    for (kind, why) in [
        ("status_number", "invalid type: integer `7`"),
        ("nan", "expected"),
        ("utf8", "invalid unicode"),
        ("infinite", "out of range"),
    ] {
        let sample = once(&client, 0, kind).await.unwrap();
        assert_eq!(
            (&*sample.status, sample.cause.as_deref()),
            ("unknown", Some("crashed")),
            "{kind}"
        );
        let told = sample.message;
        let named = told.starts_with("plugin `demo` answered what is no sample: ");
        assert!(named && told.contains(why), "{kind}: {told}");
    }
    assert_eq!(once(&client, 0, "passes").await.unwrap().status, "pass");
}

/// What is told of a run that has time enough to be answered wrongly on a busy machine.
async fn unanswered(client: &Arc<Client>, kind: &str) -> String {
    let instance = client.configure(wanted(0, kind), LONG).await.unwrap();
    let limit = Duration::from_secs(5);
    let told = client.run(leaf(0), &instance, limit).await.unwrap_err();
    assert!(told.text().starts_with(&overran(limit)), "{kind}: {told:?}");
    told.text()
}

#[tokio::test]
async fn a_run_without_an_answer_is_told_with_what_its_plugin_said_instead() {
    let demos = [client(&[]), client(&[]), client(&[])];
    let [first, second, third] = &demos;
    let told = tokio::join!(
        unanswered(first, "late_run"),
        unanswered(second, "nonsense"),
        unanswered(third, "mistaken"),
    );
    for (told, why) in [
        (told.0, "expected"),
        (told.1, "`nonsense`"),
        (told.2, "which was never asked for"),
    ] {
        let faulty = told.contains("; plugin `demo` broke the protocol: ");
        assert!(faulty && told.contains(why), "{told}");
    }
    // A fault of before is none of this run.
    let told = once(second, 1, "silent").await.unwrap_err().text();
    assert_eq!(told, overran(SHORT));
}

#[tokio::test]
async fn an_answer_about_another_instance_is_told_and_the_next_check_finds_a_worker() {
    let client = client(&[]);
    let told = once(&client, 0, "mistakes_instance").await.unwrap_err();
    let text = told.text();
    assert!(text.starts_with("could not be configured"), "{text}");
    assert!(text.contains("which was not asked for"), "{text}");
    assert_eq!(once(&client, 1, "passes").await.unwrap().status, "pass");
}

#[tokio::test]
async fn refused_options_are_the_plugins_own_words() {
    let client = client(&[]);
    let Err(Trouble::Misconfigured(problems)) = once(&client, 0, "refuses").await else {
        unreachable!("it refuses");
    };
    assert_eq!(problems.first().unwrap().option.as_deref(), Some("limit"));
}

#[tokio::test]
async fn a_death_is_told_and_the_next_run_finds_a_new_worker() {
    let client = client(&[]);
    for (kind, told) in [
        (
            "dies",
            "its worker ended by SIGABRT; its last output: no more",
        ),
        ("dies_configuring", "its worker ended by SIGSEGV"),
    ] {
        assert_eq!(
            once(&client, 0, kind).await,
            Err(Trouble::Crashed(told.into()))
        );
        assert_eq!(once(&client, 1, "passes").await.unwrap().status, "pass");
    }
}

#[tokio::test]
async fn a_leaf_that_breaks_its_worker_again_is_held_back_and_others_are_not() {
    let client = client(&[]);
    for time in 0..2 {
        let Err(Trouble::Crashed(told)) = once(&client, 0, "dies").await else {
            unreachable!("it dies");
        };
        assert!(told.contains("SIGABRT"), "{told}");
        // The second time at once, before it is over that it is held back.
        if time == 0 {
            once(&client, 1, "passes").await.unwrap();
        }
    }
    let Err(Trouble::Crashed(told)) = once(&client, 0, "dies").await else {
        unreachable!("it is held back");
    };
    assert!(
        told.contains("SIGABRT") && told.contains("broke 2 times in a row, held back"),
        "{told}"
    );
    once(&client, 1, "passes").await.unwrap();
}

#[tokio::test]
async fn a_flood_kills_the_worker_and_is_told() {
    let client = client(&[]);
    for (kind, why) in [
        (
            "floods",
            "its worker was killed: a line is longer than 1048576 bytes",
        ),
        (
            "chatters",
            "its worker was killed: it said 10000 lines that nobody asked for",
        ),
    ] {
        let told = Trouble::Crashed(why.into());
        assert_eq!(once(&client, 0, kind).await, Err(told));
        once(&client, 1, "passes").await.unwrap();
    }
}

#[tokio::test]
async fn an_overrun_that_answers_the_cancel_keeps_its_worker() {
    let client = client(&[]);
    let before = once(&client, 1, "passes").await.unwrap().message;
    let Err(Trouble::Overran(_)) = once(&client, 0, "silent").await else {
        unreachable!("it is silent");
    };
    tokio::time::sleep(CANCEL * 2).await;
    assert_eq!(once(&client, 1, "passes").await.unwrap().message, before);
}

#[tokio::test]
async fn a_worker_that_does_not_answer_the_cancel_is_replaced_and_killed() {
    let client = client(&["--stubborn"]);
    let before = once(&client, 1, "passes").await.unwrap().message;
    let slow = client.configure(wanted(2, "silent"), LONG).await.unwrap();
    let (slow_client, slow_leaf) = (Arc::clone(&client), leaf(2));
    // A run of another leaf in the same worker, which has time left.
    let other = tokio::spawn(async move {
        slow_client
            .run(slow_leaf, &slow, Duration::from_secs(8))
            .await
    });
    let Err(Trouble::Overran(_)) = once(&client, 0, "silent").await else {
        unreachable!("it is silent");
    };
    // The old one takes runs until the time for its answer to the cancel is over.
    let new = async {
        loop {
            let taken = once(&client, 1, "passes").await.unwrap().message;
            if taken != before {
                break taken;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let after = tokio::time::timeout(Duration::from_secs(6), new).await;
    assert_ne!(
        after.expect("a new worker takes the next runs"),
        before,
        "a new worker takes the next runs"
    );
    assert!(
        std::path::Path::new(&format!("/proc/{before}")).exists(),
        "the old one drains"
    );
    assert!(matches!(other.await.unwrap(), Err(Trouble::Overran(_))));
    while std::path::Path::new(&format!("/proc/{before}")).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_unavailable_and_tried_again() {
    let client = Arc::new(Client::new(Launch::bare(
        "demo",
        &["/nowhere/at/all".into()],
        None,
    )));
    for _ in 0..2 {
        let Err(Trouble::Unavailable(told)) = once(&client, 0, "passes").await else {
            unreachable!("it is not there");
        };
        assert!(told.contains("cannot be started"), "{told}");
    }
}

#[tokio::test]
async fn a_run_waits_for_a_worker_that_is_starting_longer_than_for_its_target() {
    let client = client(&["--slow"]);
    let made = client.configure(wanted(0, "passes"), SHORT).await;
    assert!(made.is_ok(), "{made:?}");
}

#[tokio::test]
async fn a_plugin_whose_worker_fails_again_and_again_is_told_to_be_quarantined() {
    let command = ["/nowhere/at/all".into()];
    let client = Arc::new(Client::new(Launch::bare("demo", &command, None)));
    for _ in 1..QUARANTINE {
        let Err(Trouble::Unavailable(told)) = once(&client, 0, "passes").await else {
            unreachable!("it is not there");
        };
        assert!(!told.contains("quarantined"), "too early: {told}");
    }
    // In it, and while it lasts.
    for _ in 0..2 {
        let tried = client.configure(wanted(0, "passes"), SHORT + RESTART_MAX / 10);
        let Err(Trouble::Unavailable(told)) = tried.await else {
            unreachable!("it is not there");
        };
        for word in [
            "quarantined since",
            "6 times in a row",
            "cannot be started",
            "tried again in",
        ] {
            assert!(told.contains(word), "`{told}` lacks `{word}`");
        }
    }
}

/// What a table with one run that was given up says to these samples, one after the other.
fn given_up(samples: &[(&str, Option<&str>)]) -> (Vec<Result<(), String>>, bool) {
    let mut table = Table::default();
    let (answer, _answered) = oneshot::channel();
    let run = table.expect_run(leaf(0), answer);
    assert!(table.overrun(run));
    let mut said = Vec::new();
    for (status, cause) in samples {
        let sample = SampleText {
            status: (*status).into(),
            cause: cause.map(str::to_owned),
            ..SampleText::default()
        };
        said.push(table.sample(run, sample));
    }
    (said, table.still_there(run))
}

#[test]
fn the_answer_to_a_cancel_is_no_fault_and_a_second_one_is() {
    for cause in [None, Some("crashed"), Some("misconfigured")] {
        let (said, hangs) = given_up(&[("unknown", cause), ("unknown", cause)]);
        let [Ok(()), Err(second)] = &*said else {
            unreachable!("{said:?}");
        };
        assert!(second.contains("a second sample"), "{second}");
        assert!(!hangs);
    }
}

#[test]
fn a_worker_that_says_that_its_run_hangs_answers_the_cancel_and_is_replaced() {
    let hung = ("unknown", Some("overran"));
    let (said, hangs) = given_up(&[hung, hung, ("unknown", None)]);
    let [Ok(()), Err(second), Err(third)] = &*said else {
        unreachable!("{said:?}");
    };
    assert!(second.contains("a second sample"), "{second}");
    assert!(third.contains("a second sample"), "{third}");
    assert!(hangs, "what it says later does not take it back");
}

#[test]
fn an_answer_of_the_check_that_comes_after_the_run_was_given_up_is_told() {
    for status in ["pass", "warn", "fail", "sick"] {
        let (said, hangs) = given_up(&[(status, None)]);
        let [Err(late)] = &*said else {
            unreachable!("{said:?}");
        };
        assert!(late.contains("came after it overran"), "{late}");
        assert!(!hangs);
    }
}

#[test]
fn waits_double_up_to_their_cap() {
    for (times, wait) in [
        (0, 100),
        (1, 200),
        (3, 800),
        (8, 25_600),
        (9, 30_000),
        (99, 30_000),
    ] {
        assert_eq!(
            doubled(RESTART, times, RESTART_MAX),
            Duration::from_millis(wait),
            "{times}"
        );
    }
}
