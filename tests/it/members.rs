//! What a member is started with: limits, mask, user, environment; and how its output is kept.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use checkd_tests::{Checkd, eventually};

const PATIENCE: Duration = Duration::from_mins(1);

/// `Max open files`: soft and hard, as the kernel says.
fn limit(pid: u32, name: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("a limit of this name");
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut next = || words.next().expect("two values");
    (next(), next())
}

fn running(checkd: &Checkd, path: &str) -> u32 {
    eventually("it runs", PATIENCE, || checkd.member_pid(path))
}

#[test]
fn limits_are_those_that_were_written_and_the_rest_is_as_found() {
    let checkd = Checkd::start(
        r#"
[group.web]
command = ["sleep", "1000"]
umask = "027"

[group.web.limits]
open_files    = { soft = 48, hard = 64 }
processes     = { soft = 4000 }
memory        = "1GiB"
core          = "0B"
file_size     = "2MB"
stack         = { soft = "4MiB" }
cpu           = "90m"
locked_memory = "64KiB"

[group.plain]
command = ["sleep", "1000"]
"#,
    );
    let own = std::process::id();
    let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let pid = running(&checkd, "web/web-0");
    for (name, expected) in [
        ("Max open files", text("48", "64")),
        (
            "Max processes",
            text("4000", &limit(own, "Max processes").1),
        ),
        ("Max address space", text("1073741824", "1073741824")),
        ("Max core file size", text("0", "0")),
        ("Max file size", text("2000000", "2000000")),
        (
            "Max stack size",
            text("4194304", &limit(own, "Max stack size").1),
        ),
        ("Max cpu time", text("5400", "5400")),
        ("Max locked memory", text("65536", "65536")),
    ] {
        assert_eq!(limit(pid, name), expected, "{name}");
    }
    let plain = running(&checkd, "plain/plain-0");
    for name in ["Max open files", "Max processes", "Max address space"] {
        assert_eq!(limit(plain, name), limit(own, name), "{name}");
    }
}

#[test]
fn a_limit_that_cannot_be_had_is_told_before_the_start_and_at_it() {
    // More than the kernel gives to anybody.
    let checkd = Checkd::start(
        r#"
[group.web]
command = ["sleep", "1000"]
limits = { open_files = 4000000000 }

[group.other]
command = ["sleep", "1000"]
"#,
    );
    running(&checkd, "other/other-0");
    let why = "limit `open_files` cannot be 4000000000: ";
    eventually("the start says why", PATIENCE, || {
        let history = checkd.ask(["history", "web/web-0"]).stdout;
        history.contains(why).then_some(())
    });
    assert_eq!(checkd.member_pid("web/web-0"), None);
    let talk = checkd.talk();
    assert!(talk.contains(&format!("warning[C0127]: {why}")), "{talk}");
}

/// The file of a member's output and those set aside, the newest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let old = (1..).map(|n| {
        let mut name = path.to_owned().into_os_string();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    });
    std::iter::once(path.to_owned())
        .chain(old.take_while(|path| path.exists()))
        .collect()
}

#[test]
fn output_is_kept_as_it_was_asked_for() {
    let checkd = Checkd::start(
        r#"
[group.many]
command = ["sh", "-c", "seq -f 'line %06.0f' 1 40000; touch $DIR/many; exec sleep 1000"]
output = { path = "$DIR/{member}.txt", max_size = "64KiB", keep = 2, timestamps = true }

[group.one]
command = ["sh", "-c", "seq -f 'line %06.0f' 1 40000; touch $DIR/one; exec sleep 1000"]
output = { max_size = "100kB", keep = 0 }
"#,
    );
    let last = |path: &Path| fs::read_to_string(path).is_ok_and(|t| t.ends_with("line 040000\n"));
    let many = checkd.dir().join("many-0.txt");
    eventually("all is written", PATIENCE, || last(&many).then_some(()));
    let found = files(&many);
    assert_eq!(found.len(), 3, "{found:?}");
    let mut expected = 40_000_u32;
    for file in &found {
        let text = fs::read_to_string(file).expect("it is text");
        // What is moved in one go is more than what the file may grow by at the least.
        assert!(text.len() < 1 << 20, "{} is large", file.display());
        for line in text.lines().rev() {
            let (time, rest) = line.split_once(' ').expect("a time and a line");
            assert_eq!(rest, format!("line {expected:06}"), "{}", file.display());
            let shape: String = time
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect();
            assert!(shape.starts_with("0000-00-00T00:00:00"), "{time}");
            expected -= 1;
        }
    }
    let one = checkd.state_dir().join("output/one/one-0.log");
    eventually("all is written", PATIENCE, || {
        (checkd.dir().join("one").exists() && last(&one)).then_some(())
    });
    assert_eq!(files(&one).len(), 1, "files are kept that nobody asked for");
    let size = fs::metadata(&one).expect("a file").len();
    assert!(size < 480_000, "nothing was dropped: {size}");

    // Read by the verb as any other.
    let answer = checkd.ask(["logs", "-n", "1", "many/many-0"]);
    assert!(answer.stdout.ends_with(" line 040000\n"), "{answer:?}");
}

#[test]
fn how_output_is_kept_can_change_under_a_living_member() {
    let config = |more: &str| {
        format!(
            r#"
[group.web]
command = ["sh", "-c", "while :; do echo word; sleep 0.01; done"]
{more}
"#
        )
    };
    let checkd = Checkd::start(&config(""));
    let pid = running(&checkd, "web/web-0");
    checkd.write_config(&config("output = { timestamps = true }"));
    let reloaded = checkd.ask(["reload"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    let log = checkd.state_dir().join("output/web/web-0.log");
    eventually("lines have their time", PATIENCE, || {
        let text = fs::read_to_string(&log).ok()?;
        text.lines().last()?.contains("Z word").then_some(())
    });
    assert_eq!(checkd.member_pid("web/web-0"), Some(pid));
    let member = checkd.member("web/web-0").expect("a member");
    let labels = member["labels"].as_array().expect("labels");
    assert!(labels.iter().all(|label| label != "outdated"), "{member}");
}

/// `/etc/passwd` of a user that every system has, and that may do nothing.
const NOBODY: &str = "nobody";

#[test]
fn a_member_is_the_user_that_it_shall_be_with_all_its_groups_and_limits() {
    if !rustix::process::geteuid().is_root() {
        writeln!(std::io::stderr(), "skipped: only root can be others").ok();
        return;
    }
    let id = |flags: &[&str]| {
        let mut command = Command::new("id");
        let output = command.args(flags).arg(NOBODY).output().expect("coreutils");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    let uid = id(&["-u"]);
    let checkd = Checkd::prepare("");
    let key = checkd.dir().join("key");
    fs::write(&key, "of a file\n").expect("a file");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours alone");
    let told = "id -u; id -g; id -G; echo $USER $LOGNAME $HOME; umask; ulimit -n; echo $KEY; \
                exec sleep 1000";
    checkd.write_config(&format!(
        r#"
[group.name]
command = ["sh", "-c", "{told}"]
directory = "/"
user = "{NOBODY}"
umask = "077"
limits = {{ open_files = 77 }}
environment = {{ KEY = {{ file = "$DIR/key" }} }}

[group.number]
command = ["sh", "-c", "{told}"]
directory = "/"
user = "{uid}"
umask = "077"
limits = {{ open_files = 77 }}
environment = {{ KEY = {{ file = "$DIR/key" }} }}
"#
    ));
    let mut checkd = checkd;
    checkd.run();
    let passwd = fs::read_to_string("/etc/passwd").expect("readable");
    let line = passwd
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .expect("it is there");
    let home = line.split(':').nth(5).expect("a home");
    let sorted = |groups: &str| {
        let mut groups: Vec<u32> = groups
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    };
    for group in ["name", "number"] {
        let log = checkd
            .state_dir()
            .join(format!("output/{group}/{group}-0.log"));
        let text = eventually("it says who it is", PATIENCE, || {
            let text = fs::read_to_string(&log).ok()?;
            text.ends_with("of a file\n").then_some(text)
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], [uid.as_str(), &id(&["-g"])], "{text}");
        assert_eq!(sorted(lines[2]), sorted(&id(&["-G"])), "{text}");
        assert_eq!(lines[3], format!("{NOBODY} {NOBODY} {home}"), "{text}");
        assert_eq!(lines[4..], ["0077", "77", "of a file"], "{text}");
    }
}
