//! The budget: how many members may be down by our hand at once, judged by the servers' own logs.

use std::time::Duration;

use checkd_tests::{Checkd, Log, eventually};

const CONFIG: &str = r#"
[defaults]
interval = "500ms"
timeout = "250ms"

[group.web]
command = [$SERVER]
processes = 4
ports = { base = $BASE }

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
fall = 2
min_fail_span = "250ms"
max_out = 1
hold_at = 5
confirm_up = "2s"
settle = "0s"
"#;

/// From the end of the first life of a server to the first answer of the second.
fn outage(log: &Log) -> Option<(Duration, Duration)> {
    let lines = log.lines();
    let stop = lines.iter().find(|line| line.event == "stop")?;
    let back = lines
        .iter()
        .find(|line| line.pid != stop.pid && line.event == "request")?;
    Some((stop.time, back.time))
}

#[test]
fn three_sick_members_of_four_are_restarted_one_after_the_other() {
    let checkd = Checkd::start(CONFIG);
    let paths: Vec<String> = (0..4).map(|index| format!("web/web-{index}")).collect();
    let first: Vec<u32> = paths
        .iter()
        .map(|path| checkd.wait_health(path, "healthy"))
        .collect();

    for index in 1..4 {
        checkd.post(index, "/sick");
    }

    // While one of them is out, another one waits, and is told to wait for the budget.
    let (waiting, gate) = eventually(
        "a sick member waits for the budget",
        Duration::from_mins(1),
        || {
            paths.iter().find_map(|path| {
                let member = checkd.member(path)?;
                let gates = member.get("gates")?.as_array()?;
                let budget = gates.iter().find(|gate| gate["gate"] == "budget")?.clone();
                (budget["open"] == false && member["health"] == "failed")
                    .then(|| (path.clone(), budget))
            })
        },
    );
    let numbers = gate["numbers"].as_str().expect("the gate says its numbers");
    assert!(
        numbers.contains("1 allowed"),
        "the gate's numbers are `{numbers}`"
    );
    assert!(
        numbers.contains("web-"),
        "`{numbers}` does not say who is out"
    );
    let explained = checkd.ask(["explain", &waiting]);
    assert_eq!(explained.code, Some(0), "{explained:?}");
    assert!(
        explained.unwrapped().contains("1 allowed") && explained.stdout.contains("budget"),
        "`checkd explain {waiting}` does not name the gate and its numbers:\n{}",
        explained.stdout
    );

    for index in 1..4 {
        checkd.wait_replaced(&paths[index], first[index]);
    }
    let mut outages: Vec<_> = (1..4)
        .map(|index| outage(&checkd.log(&format!("web-{index}"))).expect("it was restarted"))
        .collect();
    outages.sort();
    for pair in outages.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two were down at once: {outages:?}");
    }
    assert_eq!(
        checkd.log("web-0").starts(),
        [first[0]],
        "the healthy one was restarted"
    );
    for index in 1..4 {
        let starts = checkd.log(&format!("web-{index}")).starts();
        assert_eq!(starts.len(), 2, "web-{index} was started {starts:?}");
    }
}
