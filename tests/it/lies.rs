//! A plugin that lies: the fault is told with the plugin's name, the run is Unknown, and nothing
//! grows without bound.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::slice;
use std::time::Duration;

use checkd_core::CheckKind;
use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use checkd_host::plugin::Catalog;
use checkd_tests::{Checkd, alive, checkd_binary, eventually, root};
use serde_json::Value;

/// The worker that lies.
fn liar() -> String {
    let path = root().join("tests/fixtures/liar.py");
    path.to_string_lossy().into_owned()
}

/// Python itself: what is called `python3` may be a script that takes a second to find it.
fn python() -> String {
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("python3 is there");
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}

/// A lie told in answer to a run: what the check shows, and what the log must say about the plugin.
struct Lie {
    name: &'static str,
    /// The latest sample: its status, its cause, a part of its message.
    sample: (&'static str, Option<&'static str>, &'static str),
    /// A part of a line of the log that holds the plugin's name; empty: there is nothing to tell.
    log: &'static str,
}

const fn lie(
    name: &'static str,
    sample: (&'static str, Option<&'static str>, &'static str),
    log: &'static str,
) -> Lie {
    Lie { name, sample, log }
}

const UNKNOWN: &str = "unknown";
const CRASHED: Option<&str> = Some("crashed");
const OVERRAN: Option<&str> = Some("overran");
/// Whichever cause.
const ANY: Option<&str> = Some("");
const LONG: &str = "a line is longer than 1048576 bytes";
const LATE: &str = "did not come back";
const NO_SAMPLE: &str = "plugin `p_many` answered what is no sample: ";
const FAULT: &str = "after its timeout of 1.5s; plugin `p_many` broke the protocol: ";

const LIES: &[Lie] = &[
    // What is no sample.
    lie(
        "status",
        (UNKNOWN, CRASHED, "status `excellent` is none of"),
        "status `excellent`",
    ),
    lie(
        "status_number",
        (UNKNOWN, CRASHED, NO_SAMPLE),
        "invalid type: integer `200`",
    ),
    lie(
        "cause",
        ("fail", Some("wrong"), "fine"),
        "cause `the neighbour`",
    ),
    lie("utf8", (UNKNOWN, CRASHED, NO_SAMPLE), "invalid unicode"),
    lie("nan", (UNKNOWN, CRASHED, NO_SAMPLE), "broke the protocol"),
    lie(
        "infinite",
        (UNKNOWN, CRASHED, NO_SAMPLE),
        "number out of range",
    ),
    // Of which run they are cannot be read.
    lie("no_json", (UNKNOWN, OVERRAN, FAULT), "broke the protocol"),
    lie("deep", (UNKNOWN, OVERRAN, FAULT), "broke the protocol"),
    // Too much of everything.
    lie(
        "long_type",
        (UNKNOWN, OVERRAN, LATE),
        "unknown variant `tttt",
    ),
    lie("message", (UNKNOWN, CRASHED, LONG), LONG),
    lie("million", (UNKNOWN, CRASHED, LONG), LONG),
    lie("long_message", ("pass", None, "mmm"), ""),
    lie(
        "thousands",
        ("pass", None, "fine"),
        "8936 of 9000 measurements dropped",
    ),
    lie(
        "names",
        ("pass", None, "fine"),
        "5 of 5 measurements dropped",
    ),
    // Killed for it, or for not answering, whichever comes first on a busy machine.
    lie("flood", (UNKNOWN, ANY, ""), "plugin said too much to log"),
    // Other answers than the one.
    lie(
        "unasked",
        (UNKNOWN, OVERRAN, LATE),
        "which was never asked for",
    ),
    lie("twice", ("pass", None, "fine"), "a second sample for run"),
    lie("late", (UNKNOWN, OVERRAN, LATE), "came after it overran"),
    lie(
        "configured_other",
        (UNKNOWN, OVERRAN, "could not be configured"),
        "which was not asked for",
    ),
    lie(
        "configured_problems",
        (UNKNOWN, Some("misconfigured"), "nononono"),
        "",
    ),
    // None at all.
    lie("silence", (UNKNOWN, OVERRAN, LATE), ""),
    lie("deaf", (UNKNOWN, OVERRAN, LATE), ""),
    lie("drip", (UNKNOWN, OVERRAN, LATE), ""),
    lie(
        "noise",
        (UNKNOWN, OVERRAN, LATE),
        "plugin output was too much to log",
    ),
    lie(
        "closes",
        (UNKNOWN, CRASHED, "closed its stream"),
        "closed its stream",
    ),
    lie(
        "fork",
        (UNKNOWN, CRASHED, "exited with code 3"),
        "exited with code 3",
    ),
];

/// These break their worker, or must be told from those who break the protocol, so each is a plugin of
/// its own; all the others share one.
const ALONE: &[&str] = &[
    "message",
    "million",
    "flood",
    "configured_other",
    "silence",
    "deaf",
    "drip",
    "noise",
    "closes",
    "fork",
    "honest",
];

/// The name of the plugin that tells a lie.
fn plugin_of(lie: &str) -> String {
    if ALONE.contains(&lie) {
        format!("p_{lie}")
    } else {
        "p_many".to_owned()
    }
}

/// Each lie is a check; `honest` is one that does not lie.
fn config(left: &Path) -> String {
    let mut text = String::from(
        r#"
[group.web]
command = ["sleep", "1000"]
mode = "observe"

[defaults]
interval = "3s"
fast_interval = "3s"
timeout = "1500ms"
"#,
    );
    let (python, liar, left) = (python(), liar(), left.display());
    let mut plugins: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in LIES.iter().map(|lie| lie.name).chain(["honest"]) {
        plugins.entry(plugin_of(name)).or_default().push(name);
        let check = format!("\n[group.web.checks.{name}]\nkind = \"lie_{name}\"\n");
        text.push_str(&check);
    }
    for (plugin, lies) in plugins {
        let lies = lies.join(",");
        write!(
            text,
            "\n[plugin.{plugin}]\n\
             command = [\"{python}\", \"-I\", \"-S\", \"{liar}\", \"{lies}\", \"{left}\"]\n"
        )
        .expect("a text grows");
    }
    text
}

#[test]
fn each_lie_is_told_with_the_name_of_its_plugin_and_costs_a_bounded_amount() {
    let mut checkd = Checkd::prepare("");
    let left = checkd.dir().join("left");
    checkd.write_config(&config(&left));
    checkd.run();
    wait(&checkd, "honest", |leaf| leaf["latest"] == "pass");
    for Lie { name, sample, log } in LIES {
        let (status, cause, says) = *sample;
        wait(&checkd, name, |leaf| {
            let message = leaf["message"].as_str().unwrap_or_default();
            assert!(message.len() <= 4 << 10, "{name}: {} bytes", message.len());
            let is = leaf["latest"] == status && (cause == ANY || leaf["cause"].as_str() == cause);
            is && message.contains(says)
        });
        if log.is_empty() {
            continue;
        }
        let plugin = plugin_of(name);
        eventually(
            &format!("the log says `{log}` of {plugin}"),
            Duration::from_mins(4),
            || {
                let talk = checkd.talk();
                let told = |line: &str| line.contains(&plugin) && line.contains(log);
                talk.lines().any(told).then_some(())
            },
        );
    }

    // Who does not answer in time and answers the cancel breaks nothing.
    let silent = plugin_of("silence");
    for line in checkd.talk().lines().filter(|line| line.contains(&silent)) {
        assert!(!line.contains("broke the protocol"), "{line}");
    }

    // All of them go on lying. Whatever was begun for one run must be over with it.
    let before = Cost::of(&checkd);
    let lies = || checkd.talk().matches("a second sample for run").count();
    let told = lies();
    eventually("five more rounds of lies", Duration::from_mins(4), || {
        (lies() >= told + 5).then_some(())
    });
    let after = Cost::of(&checkd);
    assert!(after.memory < 200 << 10, "{after:?} after {before:?}");
    assert!(
        after.memory < before.memory + (64 << 10),
        "{after:?} after {before:?}"
    );
    assert!(after.log < 16 << 20, "{after:?} after {before:?}");
    // A worker has a stream, a pipe and a thread; and so have a few retired ones.
    let most = 5 * LIES.len() + 100;
    assert!(after.threads < most && after.files < 2 * most, "{after:?}");
    wait(&checkd, "honest", |leaf| leaf["latest"] == "pass");

    // What it left behind, in a session of its own, went with its worker.
    let member = checkd.member_pid("web/web-0").expect("it runs");
    assert!(alive(member), "a lie cost the member its life");
    let forked = fs::read_to_string(&left).expect("something was left behind");
    let forked: Vec<u32> = forked.lines().filter_map(|pid| pid.parse().ok()).collect();
    assert!(!forked.is_empty());
    eventually("nothing stays behind", Duration::from_mins(1), || {
        forked.iter().all(|&pid| !alive(pid)).then_some(())
    });
}

/// Waits until a check shows this. A busy machine may need its time: a plugin that did not come up
/// within the five seconds of a hello is tried again every ten.
#[track_caller]
fn wait(checkd: &Checkd, check: &str, is: impl Fn(&Value) -> bool) {
    let what = format!("what {check} is shows");
    eventually(&what, Duration::from_mins(4), || {
        let member = checkd.member("web/web-0")?;
        let leaves = member["checks"].as_array()?;
        let leaf = leaves.iter().find(|leaf| leaf["check"] == check)?;
        is(leaf).then_some(())
    });
}

/// What the daemon holds.
#[derive(Debug)]
struct Cost {
    /// Resident, without what it shares with its workers' libraries, in KiB.
    memory: u64,
    threads: usize,
    files: usize,
    /// Bytes of its log.
    log: usize,
}

impl Cost {
    fn of(checkd: &Checkd) -> Self {
        let of = format!("/proc/{}", checkd.pid());
        let status = fs::read_to_string(format!("{of}/status")).expect("it runs");
        let figures: BTreeMap<&str, u64> = status
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.split_once(':')?;
                Some((name, rest.split_whitespace().next()?.parse().ok()?))
            })
            .collect();
        let count = |what: &str| fs::read_dir(format!("{of}/{what}")).map_or(0, Iterator::count);
        Self {
            memory: figures.get("RssAnon").copied().expect("Linux says so"),
            threads: count("task"),
            files: count("fd"),
            log: checkd.talk().len(),
        }
    }
}

/// Lies that are told before there is a run: the code, and a part of what is told.
const DESCRIBED: &[(&str, &str, &str)] = &[
    (
        "schema_text",
        "C0206",
        "options that are no JSON Schema of an object",
    ),
    (
        "schema_list",
        "C0206",
        "options that are no JSON Schema of an object",
    ),
    (
        "schema_properties",
        "C0206",
        "options that are no JSON Schema of an object",
    ),
    (
        "reserved_option",
        "C0206",
        "an option `timeout`, which is a key of checkd itself",
    ),
    ("reserved_kind", "C0205", "built in"),
    ("malformed_kind", "C0206", "kind `Lies & more` is not named"),
    ("long_kind", "C0206", "a name of 100 bytes, 64 are allowed"),
    ("no_kind", "C0207", "it offers no kind"),
    (
        "option_type",
        "C0206",
        "option `a.b` has the type `\"strung\"`; allowed: array, boolean,",
    ),
    (
        "option_description",
        "C0206",
        "option `a` has the description `7`, which is no text",
    ),
    ("empty_kind", "C0206", "kind `` is not named"),
    ("scope", "C0206", "scope `galaxy`"),
    ("twice_kind", "C0205", " -I -S "),
    (
        "many_kinds",
        "C0207",
        "it offers 1000 kinds, 256 are allowed",
    ),
    ("hello_version", "C0203", "it speaks version 9"),
    ("hello_else", "C0207", "it did not answer"),
    ("hello_bytes", "C0207", "its answer is not the protocol's"),
    ("hello_endless", "C0207", LONG),
    (
        "hello_chatter",
        "C0207",
        "it sent 100 lines without an answer",
    ),
    ("hello_silent", "C0207", "it did not answer within"),
    ("described_none", "C0207", "missing field `kinds`"),
    ("described_huge", "C0207", LONG),
    (
        "described_dies",
        "C0207",
        "exited with code 7; its last output: I will not say",
    ),
];

#[test]
fn a_plugin_that_lies_about_itself_is_told_by_name_and_the_others_are_used() {
    let python = python();
    for &(lie, code, says) in DESCRIBED {
        let command = [&*python, "-I", "-S", &liar(), lie].map(str::to_owned);
        let plugin = PluginPlan {
            name: format!("p_{lie}"),
            source: PluginSource::Command {
                words: command.into(),
                directory: None,
            },
            sha256: None,
            isolation: Isolation::Process,
            confine: ConfinePlan::default(),
        };
        // A busy machine may not even start Python within the five seconds of a hello.
        let slow = "it did not answer within";
        let (catalog, told) = eventually(lie, Duration::from_mins(2), || {
            let opened = Catalog::open_with(checkd_binary(), slice::from_ref(&plugin), &[]);
            let late = opened
                .1
                .iter()
                .any(|told| told.notes.concat().contains(slow));
            (!late || says.contains("it did not answer")).then_some(opened)
        });
        let [told] = told.as_slice() else {
            panic!("{lie} is told once: {told:#?}");
        };
        let text = format!("{}\n{}", told.message, told.notes.join("\n"));
        assert_eq!(told.code, code, "{lie}: {text}");
        assert!(text.contains(says), "{lie} lacks `{says}`: {text}");
        assert!(text.contains(lie), "{lie} is not named: {text}");
        assert!(text.len() < 8 << 10, "{lie}: {} bytes", text.len());
        let http = catalog
            .kinds()
            .contains_key(&CheckKind::new("http").expect("a name"));
        assert_eq!(http, lie != "reserved_kind", "{lie}");
        assert!(catalog.kinds().len() <= 3, "{lie}: {:?}", catalog.kinds());
    }
}
