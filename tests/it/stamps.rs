//! Output with time stamps: no line is lost or torn when the keeper is killed.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use checkd_tests::{Checkd, Signal, eventually, keeper_of, signal};

const PATIENCE: Duration = Duration::from_mins(1);

/// It writes as fast as it is read, each line in two pieces.
const WRITER: &str = r"
import os, itertools
for n in itertools.count():
    os.write(1, b'line %d ' % n)
    os.write(1, b'ends\n')
";

#[test]
fn no_stamped_line_is_lost_when_the_keeper_is_killed() {
    let mut checkd = Checkd::prepare("");
    fs::write(checkd.dir().join("writer.py"), WRITER).expect("a file");
    checkd.write_config(
        r#"
[group.web]
command = ["python3", "$DIR/writer.py"]
output = { timestamps = true, max_size = "1GiB" }
"#,
    );
    checkd.run();
    let log = checkd.state_dir().join("output/web/web-0.log");
    let size = || fs::metadata(&log).map_or(0, |meta| meta.len());
    let pid = eventually("it runs", PATIENCE, || checkd.member_pid("web/web-0"));
    let keeper = || {
        let state = checkd.state_dir();
        eventually("a keeper runs", PATIENCE, || keeper_of(&state))
    };
    for _ in 0..12 {
        let before = size();
        eventually("it is written", PATIENCE, || {
            (size() > before + 100_000).then_some(())
        });
        let old = keeper();
        signal(old, Signal::KILL);
        eventually("another keeper is there", PATIENCE, || {
            (keeper() != old).then_some(())
        });
    }
    assert_eq!(
        checkd.member_pid("web/web-0"),
        Some(pid),
        "the member lives on"
    );
    checkd.ask(["stop", "web"]);

    // A line may stand there twice: its keeper was killed between writing it and taking it out.
    let text = fs::read_to_string(&log).expect("text");
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(lines.len().saturating_sub(1)) {
        let Some((_, rest)) = line.split_once("Z line ") else {
            continue;
        };
        if let Some(number) = rest.strip_suffix(" ends").and_then(|n| n.parse().ok()) {
            *seen.entry(number).or_default() += 1;
        }
    }
    let last = seen.keys().next_back().copied().expect("lines");
    let missing: Vec<u64> = (0..=last)
        .filter(|number| !seen.contains_key(number))
        .collect();
    assert!(
        missing.is_empty(),
        "of {last} lines are missing: {missing:?}"
    );
}

#[test]
fn a_member_whose_pipe_was_removed_is_read_again_after_the_keeper_s_death() {
    let checkd = Checkd::start(
        r#"
[group.web]
command = ["sh", "-c", "while :; do echo word; sleep 0.01; done"]
"#,
    );
    let log = checkd.state_dir().join("output/web/web-0.log");
    let size = || fs::metadata(&log).map_or(0, |meta| meta.len());
    eventually("it is written", PATIENCE, || (size() > 100).then_some(()));
    let pipe = checkd.state_dir().join("output/web/web-0.pipe");
    fs::remove_file(&pipe).expect("its pipe");
    let state = checkd.state_dir();
    let old = keeper_of(&state).expect("a keeper");
    // The daemon holds the pipe too; it is the next daemon and the next keeper that must find it.
    signal(checkd.pid(), Signal::KILL);
    signal(old, Signal::KILL);
    let mut checkd = checkd;
    checkd.end(Signal::KILL);
    checkd.run();
    let before = size();
    eventually("it is written on", PATIENCE, || {
        (size() > before + 100).then_some(())
    });
}
