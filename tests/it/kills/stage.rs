//! A daemon, a keeper and members that are killed on purpose, and what must hold of them whatever was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use checkd_host::points::Point;
use checkd_tests::{Answer, Checkd, alive, checkd_binary, eventually, keeper_of};
use serde_json::Value;

pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// Members are looked at so often, and wait so little, that a restart takes a second.
const GROUP: &str = r#"
[defaults]
interval = "300ms"
fast_interval = "300ms"
timeout = "300ms"

[group.web]
command = ["python3", "-S", "-E", "$SCRIPT", "{member}", "{port}", "$DIR"]
processes = $MEMBERS
ports = { base = $BASE }
stop_timeout = "20s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/"

[group.web.policy]
fall = 3
min_fail_span = "100ms"
rise = 1
confirm_up = "200ms"
settle = "0s"
max_out = $MEMBERS
startup_timeout = "10s"
sick_restarts = "64 in 33m"
dead_starts = "64 in 5s"
backoff_base = "50ms"
backoff_cap = "50ms"
canary_after = "50ms"
"#;

/// One of its processes noted this about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) event: String,
    pub(super) pid: u32,
    pub(super) detail: String,
}

pub(super) struct Stage {
    pub(super) checkd: Checkd,
    members: u16,
}

impl Stage {
    /// So many members, all live.
    pub(super) fn open(members: u16) -> Self {
        let checkd = Checkd::prepare("");
        let script = checkd_tests::root().join("tests/it/kills/member.py");
        checkd.write_config(
            &GROUP
                .replace("$SCRIPT", &script.display().to_string())
                .replace("$MEMBERS", &members.to_string()),
        );
        let mut stage = Self { checkd, members };
        stage.run();
        stage.wait_live();
        stage
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.members).map(|index| format!("web-{index}"))
    }

    fn die_file(&self) -> PathBuf {
        self.checkd.dir().join("die")
    }

    /// Runs the daemon, which dies where it is told to.
    pub(super) fn run(&mut self) {
        self.run_program(checkd_binary());
    }

    pub(super) fn run_program(&mut self, program: &Path) {
        let die = format!("CHECKD_DIE={}", self.die_file().display());
        let program = program.display().to_string();
        self.checkd.run_below(&[
            "sh",
            "-c",
            &format!("shift; {die} exec '{program}' \"$@\""),
            "sh",
        ]);
    }

    /// Runs a daemon that dies before it answers, or serves no member, to its end.
    pub(super) fn run_to_death(&self, program: &Path) {
        let mut child = self.spawn(program);
        eventually("the daemon that begins dies at its point", PATIENCE, || {
            child.try_wait().ok().flatten()
        });
    }

    /// Begins to run the daemon, and does not wait for its answer.
    pub(super) fn spawn(&self, program: &Path) -> Child {
        let talk = fs::File::options()
            .create(true)
            .append(true)
            .open(self.checkd.dir().join("daemon.log"))
            .expect("the daemon's log is writable");
        let mut command = self.checkd.verb_of(program, ["run", "checkd.toml"]);
        command
            .env("CHECKD_DIE", self.die_file())
            .stdin(Stdio::null())
            .stdout(talk.try_clone().expect("a descriptor"))
            .stderr(talk);
        command.spawn().expect("checkd starts")
    }

    /// Says where to die next: point, count, and whom to take along.
    pub(super) fn arm(&self, deaths: &[(Point, u32, Option<u32>)]) {
        let lines: Vec<String> = deaths
            .iter()
            .map(|(point, count, other)| {
                let other = other.map_or_else(String::new, |pid| pid.to_string());
                format!("{} {count} {other}", point.name())
            })
            .collect();
        fs::remove_file(self.die_file().with_extension("died")).ok();
        let new = self.checkd.dir().join("die.new");
        fs::write(&new, lines.join("\n")).expect("a file is written");
        fs::rename(new, self.die_file()).expect("a file is renamed");
    }

    pub(super) fn disarm(&self) {
        fs::remove_file(self.die_file()).ok();
    }

    /// How many deaths there were since it was armed.
    pub(super) fn deaths(&self) -> usize {
        fs::read_to_string(self.die_file().with_extension("died"))
            .map_or(0, |text| text.lines().count())
    }

    #[track_caller]
    pub(super) fn wait_deaths(&self, count: usize, what: &str) {
        let limit = Instant::now() + Duration::from_mins(1);
        eventually(what, PATIENCE, || {
            assert!(
                Instant::now() < limit,
                "{what}: no run passes this point\n{}",
                self.story("web-0")
            );
            (self.deaths() >= count).then_some(())
        });
    }

    /// The keeper of this state directory.
    pub(super) fn keeper(&self) -> Option<u32> {
        keeper_of(&self.checkd.state_dir())
    }

    /// Everything that one member's processes noted.
    pub(super) fn life(&self, member: &str) -> Vec<Noted> {
        let text = fs::read_to_string(self.checkd.dir().join(format!("{member}.life")));
        let noted = |line: &str| {
            let mut words = line.split(' ');
            Some(Noted {
                event: words.next()?.to_owned(),
                pid: words.next()?.parse().ok()?,
                detail: words.next()?.to_owned(),
            })
        };
        text.unwrap_or_default().lines().filter_map(noted).collect()
    }

    /// Its lives, oldest first: pid and intent.
    pub(super) fn starts(&self, member: &str) -> Vec<(u32, String)> {
        let noted = self.life(member).into_iter();
        noted
            .filter(|noted| noted.event == "start")
            .map(|noted| (noted.pid, noted.detail))
            .collect()
    }

    /// The life that is there now.
    pub(super) fn pid(&self, member: &str) -> u32 {
        self.starts(member).last().expect("it was started").0
    }

    /// Until a member runs in another life than `old`.
    #[track_caller]
    pub(super) fn wait_other_life(&self, member: &str, old: u32, what: &str) {
        let limit = Instant::now() + Duration::from_mins(1);
        eventually(what, PATIENCE, || {
            assert!(
                Instant::now() < limit,
                "{what}: {member} is not restarted\n{}",
                self.story(member)
            );
            (self.pid(member) != old).then_some(())
        });
    }

    /// Until every member is live and nothing is under way or due.
    #[track_caller]
    pub(super) fn wait_live(&self) {
        self.wait_for("live", "web/*");
    }

    #[track_caller]
    pub(super) fn wait_for(&self, what: &str, selector: &str) {
        let answer = self.verb(["wait", "--for", what, selector, "--timeout", "100s"]);
        assert_eq!(
            answer.code,
            Some(0),
            "{selector} is not {what}: {answer:?}\nthe daemon said:\n{}",
            last(&self.checkd.talk())
        );
    }

    pub(super) fn verb<const N: usize>(&self, words: [&str; N]) -> Answer {
        self.checkd.ask(words)
    }

    /// Member of the status report.
    #[track_caller]
    pub(super) fn report(&self, member: &str) -> Value {
        eventually("the daemon answers", PATIENCE, || {
            self.checkd.member(&format!("web/{member}"))
        })
    }

    /// Whether somebody who ought to be alone is.
    #[track_caller]
    pub(super) fn assert_sound(&self, what: &str) {
        for member in self.names() {
            let starts = self.starts(&member);
            let intents: BTreeSet<&str> = starts.iter().map(|(_, i)| i.as_str()).collect();
            assert_eq!(
                intents.len(),
                starts.len(),
                "{what}: an intent of {member} started twice: {starts:?}\n{}",
                self.story(&member)
            );
            let living: Vec<u32> = starts.iter().map(|s| s.0).filter(|&p| alive(p)).collect();
            assert_eq!(
                living,
                [self.pid(&member)],
                "{what}: the newest life of {member} lives, and no other\n{}",
                self.story(&member)
            );
            let known = self.report(&member);
            let known = known.pointer("/generation/pid").and_then(Value::as_u64);
            assert_eq!(
                known,
                Some(living[0].into()),
                "{what}: the daemon knows another life of {member}\n{}",
                self.story(&member)
            );
        }
    }

    /// No line of a member's output is lost or doubled. Of a life in `cut` the last may be missing.
    #[track_caller]
    pub(super) fn assert_lines(&self, what: &str, cut: &BTreeSet<u32>) {
        for member in self.names() {
            // What a life has written by now; the rest is on its way.
            let written: BTreeMap<u32, u64> = self
                .starts(&member)
                .into_iter()
                .map(|(pid, _)| (pid, self.written(&member, pid)))
                .collect();
            let path = self
                .checkd
                .state_dir()
                .join(format!("output/web/{member}.log"));
            let missing = || {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let mut next: BTreeMap<u32, u64> = BTreeMap::new();
                for line in text.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
                    let words = line.trim_end().split_once(' ');
                    let pair = words.and_then(|(p, n)| Some((p.parse().ok()?, n.parse().ok()?)));
                    let (pid, number): (u32, u64) =
                        pair.unwrap_or_else(|| panic!("{what}: a torn line of {member}: {line:?}"));
                    let expected = next.entry(pid).or_insert(0);
                    assert_eq!(
                        number, *expected,
                        "{what}: life {pid} of {member} lost or doubled a line"
                    );
                    *expected += 1;
                }
                let short = written.iter().filter(|(pid, count)| {
                    !cut.contains(pid) && next.get(pid).copied().unwrap_or(0) < **count
                });
                short.map(|(pid, _)| *pid).collect::<Vec<u32>>()
            };
            eventually(
                &format!("{what}: every line of {member} is in its log"),
                Duration::from_secs(20),
                || missing().is_empty().then_some(()),
            );
        }
    }

    fn written(&self, member: &str, pid: u32) -> u64 {
        let path = self.checkd.dir().join(format!("{member}.{pid}.count"));
        let bytes = fs::read(path).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }

    /// What the journal and the daemon tell of a member, for a test that failed.
    pub(super) fn story(&self, member: &str) -> String {
        let history = self.verb(["history", &format!("web/{member}")]).stdout;
        let keeper = fs::read_to_string(self.checkd.state_dir().join("keeper.log"));
        let notes: Vec<String> = self
            .life(member)
            .iter()
            .map(|noted| format!("{} {} {}", noted.event, noted.pid, noted.detail))
            .collect();
        format!(
            "its history:\n{}\nit noted:\n{}\nthe daemon said:\n{}\nthe keeper said:\n{}",
            last(&history),
            last(&notes.join("\n")),
            last(&self.checkd.talk()),
            last(&keeper.unwrap_or_default())
        )
    }
}

/// The last lines, those that introduce a daemon left out.
fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with(' ')).collect();
    lines
        .get(lines.len().saturating_sub(24)..)
        .unwrap_or_default()
        .join("\n")
}
