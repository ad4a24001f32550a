//! Members that end at once, under a keeper that is killed as it starts them.

use std::collections::BTreeSet;
use std::fs;

use checkd_host::points::Point;
use checkd_tests::{Checkd, Signal, checkd_binary, eventually, signal};

use super::stage::PATIENCE;

#[test]
fn what_ended_before_the_next_keeper_came_is_not_started_for_the_same_intent() {
    let mut checkd = Checkd::prepare(
        r#"
[group.web]
command = ["sh", "-c", "echo $CHECKD_INTENT >> $DIR/starts; [ -e $DIR/brief ] && exit 3; exec sleep 1000"]

[group.web.policy]
settle = "0s"
backoff_base = "100ms"
backoff_cap = "100ms"
dead_starts = "64 in 7s"
"#,
    );
    let die = checkd.dir().join("die");
    let begin = format!(
        "shift; CHECKD_DIE={} exec {} \"$@\"",
        die.display(),
        checkd_binary().display()
    );
    checkd.run_below(&["sh", "-c", &begin, "sh"]);
    let pid = eventually("it runs", PATIENCE, || checkd.member_pid("web/web-0"));
    let brief = checkd.dir().join("brief");
    fs::write(&brief, "").expect("a file is written");
    signal(pid, Signal::KILL);
    let rounds = 6;
    for round in 1..=rounds {
        let new = checkd.dir().join("die.new");
        fs::write(&new, Point::KeeperSpawned.name()).expect("a file is written");
        fs::rename(new, &die).expect("a file is renamed");
        eventually("another keeper comes", PATIENCE, || {
            (checkd.talk().matches("the keeper was killed").count() == round).then_some(())
        });
    }
    fs::remove_file(&brief).expect("it is there");
    eventually("it runs again", PATIENCE, || {
        checkd.member_pid("web/web-0").filter(|&new| new != pid)
    });
    let text = fs::read_to_string(checkd.dir().join("starts")).expect("it was started");
    let intents: Vec<&str> = text.lines().collect();
    let different: BTreeSet<&str> = intents.iter().copied().collect();
    assert_eq!(
        intents.len(),
        different.len(),
        "{intents:?}\n{}",
        checkd.talk()
    );
    assert!(intents.len() > rounds, "{intents:?}");
}
