//! A new configuration under a running daemon: taken whole or not at all, and nobody is started or
//! killed by it.

use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, eventually, library, root, signal};

use crate::pair::{CONFIG, healthy_pair};

#[test]
fn a_new_configuration_is_taken_and_nobody_notices() {
    let checkd = Checkd::start(CONFIG);
    let (pids, daemon) = (healthy_pair(&checkd), checkd.pid());
    // A check more, sorted ahead of the others, so that every id of theirs moves.
    checkd.write_config(&format!(
        "{CONFIG}\n[group.web.checks.alive]\nkind = \"tcp\"\nport = \"{{port}}\"\n\
         [group.web.health]\nlive = \"ping and alive\"\n"
    ));
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("1 check new"), "{}", answer.stdout);
    checkd.wait_check("web/web-0", "alive", "pass");
    assert_eq!((healthy_pair(&checkd), checkd.pid()), (pids, daemon));
    let gap = checkd.log("web-0").longest_gap("/ping").unwrap();
    // A run that was left out would make it two intervals.
    assert!(
        gap < Duration::from_millis(950),
        "a gap of {gap:?} in the checks"
    );

    // The new check counts, and so does the old one: a frozen member is restarted.
    signal(pids[1], Signal::STOP);
    checkd.wait_replaced("web/web-1", pids[1]);
    assert_eq!(checkd.log("web-0").starts(), [pids[0]]);
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let checkd = Checkd::start(CONFIG);
    let pids = healthy_pair(&checkd);
    checkd.write_config(
        &CONFIG
            .replace("fall = 2", "fal = 2")
            .replace("\"http\"", "\"htpp\""),
    );
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(2));
    for mistake in ["`fal`", "`htpp`", "the old one stays in force"] {
        assert!(
            answer.stderr.contains(mistake),
            "{mistake} is not in {}",
            answer.stderr
        );
    }
    assert_eq!(healthy_pair(&checkd), pids);
    signal(pids[0], Signal::STOP);
    checkd.wait_replaced("web/web-0", pids[0]);
}

#[test]
fn a_file_that_was_emptied_stops_nobody_unless_that_is_meant() {
    let checkd = Checkd::start(CONFIG);
    let pids = healthy_pair(&checkd);
    let daemon = "[daemon]\nstate_dir = \"$DIR/state\"\n";
    let socket = ["control.sock", "state/control.sock"].map(|path| checkd.dir().join(path));
    let socket = socket.iter().find(|path| path.exists()).unwrap();
    // What an emptied file does not say.
    let control = ["--control", socket.to_str().unwrap()];
    let reload = |more: &[&str]| checkd.ask([&["reload"], &control[..], more].concat());
    for text in ["", daemon] {
        checkd.write_raw_config(text);
        let answer = reload(&[]);
        assert_eq!(answer.code, Some(2), "{answer:?}");
        let told = answer.stderr;
        assert!(told.contains("C0517"), "{told}");
        assert!(told.contains("would stop all 2 members"), "{told}");
    }
    assert!(pids.iter().all(|&pid| alive(pid)), "somebody was stopped");
    let answer = reload(&["--force"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    eventually("both are stopped", Duration::from_secs(20), || {
        pids.iter().all(|&pid| !alive(pid)).then_some(())
    });
}

#[test]
fn a_daemon_that_the_file_does_not_lead_to_any_more_is_told_to_be_elsewhere() {
    let checkd = Checkd::start(CONFIG);
    let [pid, _] = healthy_pair(&checkd);
    let moved = format!("[daemon]\nstate_dir = \"$DIR/elsewhere\"\n{CONFIG}");
    checkd.write_raw_config(&moved);
    for verb in ["reload", "status"] {
        let answer = checkd.ask([verb]);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let told = "the daemon that runs is where it was before: `--control PATH` reaches it";
        assert!(answer.stderr.contains(told), "{answer:?}");
    }
    let socket = ["control.sock", "state/control.sock"].map(|path| checkd.dir().join(path));
    let socket = socket.iter().find(|path| path.exists()).unwrap();
    let answer = checkd.ask(["reload", "--control", socket.to_str().unwrap()]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let told = "`state_dir` takes effect when checkd is started again";
    assert!(answer.unwrapped().contains(told), "it is told when");
    assert!(alive(pid), "it was restarted");
}

#[test]
fn a_file_that_was_cut_off_stops_nobody_unless_that_is_meant() {
    let config = |n: u32| {
        let groups = (0..n).map(|i| format!("[group.g{i}]\ncommand = [\"sleep\", \"1000\"]\n"));
        groups.collect::<String>()
    };
    let checkd = Checkd::start(&config(5));
    let pid_of = |i: u32| {
        let path = format!("g{i}/g{i}-0");
        eventually(&format!("{path} runs"), Duration::from_mins(1), || {
            checkd.member_pid(&path)
        })
    };
    let pids: Vec<u32> = (0..5).map(pid_of).collect();
    checkd.write_config(&config(2));
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    assert!(
        answer.stderr.contains("would stop 3 of 5 members"),
        "{answer:?}"
    );
    assert!(pids.iter().all(|&pid| alive(pid)), "somebody was stopped");
    // Two may go, as ever.
    checkd.write_config(&config(3));
    assert_eq!(checkd.ask(["reload"]).code, Some(0));
    checkd.write_config(&config(1));
    assert_eq!(checkd.ask(["reload"]).code, Some(0));
    eventually("the others are stopped", Duration::from_mins(1), || {
        pids[1..].iter().all(|&pid| !alive(pid)).then_some(())
    });
    assert!(alive(pids[0]));
}

#[test]
fn sighup_reloads_and_members_that_are_gone_are_stopped() {
    let checkd = Checkd::start(CONFIG);
    let pids = healthy_pair(&checkd);
    checkd.write_config(&CONFIG.replace("processes = 2", "processes = 1"));
    signal(checkd.pid(), Signal::HUP);
    eventually(
        "the member that is gone is stopped",
        Duration::from_secs(20),
        || (!alive(pids[1])).then_some(()),
    );
    assert_eq!(checkd.wait_health("web/web-0", "healthy"), pids[0]);
    assert!(checkd.member("web/web-1").is_none());
}

#[test]
fn a_changed_command_waits_for_its_restart() {
    let checkd = Checkd::start(CONFIG);
    let pids = healthy_pair(&checkd);
    checkd.write_config(&format!(
        "{CONFIG}\n[group.web.environment]\nCOLOUR = \"green\"\n"
    ));
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let outdated = |member: &serde_json::Value| {
        let labels = member["labels"].as_array()?;
        labels.iter().any(|label| label == "outdated").then_some(())
    };
    checkd.wait("web/web-0", "is shown as outdated", outdated);
    let told = answer.unwrapped();
    assert!(told.contains("2 members run on"), "{told}");
    let shown = checkd.ask(["status"]).stdout;
    assert!(shown.contains("outdated"), "{shown}");
    let shown = checkd.ask(["explain", "web/web-0"]).stdout;
    assert!(shown.contains("checkd reload --restart"), "{shown}");
    assert_eq!(healthy_pair(&checkd), pids, "a reload restarts nobody");
    let answer = checkd.ask(["reload", "--restart"]);
    let told = answer.unwrapped();
    assert!(told.contains("2 members to be restarted"), "{told}");
    for (path, pid) in ["web/web-0", "web/web-1"].into_iter().zip(pids) {
        checkd.wait_replaced(path, pid);
    }
    let lives = checkd.log("web-0").lives();
    assert_eq!(lives.len(), 2, "once each: {lives:?}");
}

/// The user's plugin as its team ships it next: ten files count as one more than they are.
fn spool_check_with_a_lower_threshold() -> std::io::Result<std::path::PathBuf> {
    let (from, to) = (
        root().join("docs/examples/spool-check"),
        root().join("target/fixtures/spool-changed"),
    );
    std::fs::create_dir_all(to.join("src"))?;
    for file in ["Cargo.toml", "Cargo.lock", "README.md", "example.toml"] {
        // Another name, so that it is built beside the first and not in its place.
        let text = std::fs::read_to_string(from.join(file))?;
        let text = text.replace("name = \"spool-check\"", "name = \"spool-next\"");
        std::fs::write(to.join(file), text)?;
    }
    for file in std::fs::read_dir(from.join("src"))? {
        let file = file?;
        let text = std::fs::read_to_string(file.path())?;
        let changed = text.replace(
            "fn seen(options: &Options, spool: Spool) -> Sample {",
            CHANGE,
        );
        let judge = file.file_name() == "judge.rs";
        assert_eq!(text != changed, judge, "the change found its place");
        std::fs::write(to.join("src").join(file.file_name()), changed)?;
    }
    Ok(library("target/fixtures/spool-changed", "spool-next"))
}

const CHANGE: &str = "fn seen(options: &Options, mut spool: Spool) -> Sample {
    spool.depth *= 10;";

#[test]
fn a_rebuilt_plugin_takes_effect_and_a_broken_one_does_not() {
    let mut checkd = Checkd::prepare(&format!(
        "plugins = [\"$DIR/plugins\"]\n{CONFIG}\n[group.web.checks.spool]\nkind = \"spool\"\n\
         directory = \"$DIR/spool\"\nmax_depth = 20\n\
         [group.web.health]\nlive = \"ping\"\nready = \"ping and spool\"\n"
    ));
    let installed = checkd.dir().join("plugins/libspool_check.so");
    std::fs::create_dir(checkd.dir().join("plugins")).unwrap();
    std::fs::create_dir(checkd.dir().join("spool")).unwrap();
    for file in 0..5 {
        std::fs::write(checkd.dir().join(format!("spool/{file}")), "").unwrap();
    }
    let first = library("docs/examples/spool-check", "spool-check");
    std::fs::copy(&first, &installed).unwrap();
    let next = spool_check_with_a_lower_threshold().unwrap();
    checkd.run();
    let (pids, daemon) = (healthy_pair(&checkd), checkd.pid());
    checkd.wait_check("web/web-0", "spool", "pass");

    // Copied over the old file, as people do; what runs is not touched by it.
    std::fs::copy(&next, &installed).unwrap();
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("rebuilt"), "{answer:?}");
    let leaf = checkd.wait_check("web/web-0", "spool", "fail");
    assert_eq!(leaf["message"], "50 files over 20");
    let answer = checkd.ask(["reload"]);
    assert!(!answer.stdout.contains("rebuilt"), "{answer:?}");

    // A broken one is refused, and the one before goes on serving.
    std::fs::write(&installed, "no library").unwrap();
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(2), "{}", answer.stdout);
    assert!(answer.stderr.contains("C02"), "{}", answer.stderr);
    for file in 0..5 {
        std::fs::remove_file(checkd.dir().join(format!("spool/{file}"))).unwrap();
    }
    checkd.wait_check("web/web-0", "spool", "pass");

    assert_eq!((healthy_pair(&checkd), checkd.pid()), (pids, daemon));
    let gap = checkd.log("web-0").longest_gap("/ping").unwrap();
    assert!(
        gap < Duration::from_millis(950),
        "a gap of {gap:?} in the checks"
    );
}
