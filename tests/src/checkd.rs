//! A daemon under test: started on a directory of its own, asked through its own verbs, and ended
//! with everything that it started.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{free_ports, marked};
use crate::{Log, Signal, alive, checkd_binary, eventually, root, signal};

/// How long the tests wait for what must happen: long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon with a directory of its own.
#[derive(Debug)]
pub struct Checkd {
    directory: TempDir,
    base: u16,
    marker: String,
    child: Option<Child>,
}

/// What a verb answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Answer {
    /// The data as one line: where it is wrapped hangs on the numbers in it.
    pub fn unwrapped(&self) -> String {
        let words: Vec<&str> = self.stdout.split_whitespace().collect();
        words.join(" ")
    }
}

impl Checkd {
    /// Starts a daemon on `config`, in which `$BASE` stands for the first of eight free ports, `$DIR`
    /// for the daemon's own directory, and `$SERVER` for the words that start the quick start's
    /// server with a log that [`Checkd::log`] reads.
    pub fn start(config: &str) -> Self {
        let mut checkd = Self::prepare(config);
        checkd.run();
        checkd
    }

    /// Writes the configuration and starts nothing.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn prepare(config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new()
            .prefix("checkd-")
            .tempdir()
            .expect("a directory");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let marker = format!("CHECKD_TEST={}-{number}", std::process::id());
        let checkd = Self {
            directory,
            base: free_ports(8),
            marker,
            child: None,
        };
        checkd.write_config(config);
        checkd
    }

    /// Replaces the configuration; the daemon is not told. `[daemon]` with the state directory is put
    /// before it.
    pub fn write_config(&self, config: &str) {
        self.write_raw_config(&format!("[daemon]\nstate_dir = \"$DIR/state\"\n{config}"));
    }

    /// Replaces the configuration by exactly this one, but for the `$` words.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn write_raw_config(&self, config: &str) {
        let server = root().join("docs/quick-start/server.py");
        let words = format!(
            r#""python3", "{}", "--port", "{{port}}", "--log", "$DIR/{{member}}.log""#,
            server.display()
        );
        let text = config
            .replace("$SERVER", &words)
            .replace("$BASE", &self.base.to_string())
            .replace("$DIR", &self.dir().display().to_string());
        fs::write(self.dir().join("checkd.toml"), text).expect("the configuration is written");
    }

    /// Starts the daemon, again or for the first time, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn run(&mut self) {
        self.run_as(checkd_binary());
    }

    /// Starts this program as the daemon.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn run_as(&mut self, program: &Path) {
        let command = self.verb_of(program, ["run", "checkd.toml"]);
        self.run_with(command);
    }

    /// Starts the daemon with the words of another program before it, which becomes it at the end
    /// (`unshare`, `sh -c 'exec "$@"'`).
    ///
    /// # Panics
    /// When it does not answer.
    pub fn run_below(&mut self, before: &[&str]) {
        let daemon = self.verb(["run", "checkd.toml"]);
        let (program, arguments) = before.split_first().expect("a program");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(daemon.get_program())
            .args(daemon.get_args())
            .current_dir(self.dir());
        for (key, value) in daemon.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        self.run_with(command);
    }

    fn run_with(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "the daemon runs already");
        let talk = File::options()
            .create(true)
            .append(true)
            .open(self.dir().join("daemon.log"))
            .expect("the daemon's log is writable");
        let child = command
            .stdin(Stdio::null())
            .stdout(talk.try_clone().expect("a descriptor"))
            .stderr(talk)
            .spawn()
            .expect("checkd starts");
        self.child = Some(child);
        eventually("the daemon answers `checkd status`", PATIENCE, || {
            if let Some(status) = self.child.as_mut()?.try_wait().ok()? {
                panic!("the daemon ended with {status}:\n{}", self.talk());
            }
            self.status()
        });
    }

    /// The first of the free ports; member N listens on this one plus N.
    pub fn port(&self, index: u16) -> u16 {
        self.base + index
    }

    /// The directory of the daemon: its configuration, its state, the servers' logs.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// The log that the server of `member` writes.
    pub fn log(&self, member: &str) -> Log {
        Log::at(&self.dir().join(format!("{member}.log")))
    }

    /// What the daemon said.
    pub fn talk(&self) -> String {
        fs::read_to_string(self.dir().join("daemon.log")).unwrap_or_default()
    }

    /// The daemon's pid.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// A verb of checkd that finds this daemon, not yet run.
    pub fn verb<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.verb_of(checkd_binary(), arguments)
    }

    /// The same of another program, such as one that runs checkd in a container.
    pub fn verb_of<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let (key, value) = self.marker.split_once('=').unwrap_or_default();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir())
            .env(key, value)
            .env("CHECKD_CONFIG", self.dir().join("checkd.toml"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs a verb to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn ask<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Answer {
        let output = self
            .verb(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("checkd starts");
        Answer {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `checkd status --json`; nothing when no daemon answers.
    pub fn status(&self) -> Option<Value> {
        let answer = self.ask(["status", "--json"]);
        (answer.code == Some(0))
            .then(|| serde_json::from_str(&answer.stdout).ok())
            .flatten()
    }

    /// One member out of the status: `web/web-1`.
    pub fn member(&self, path: &str) -> Option<Value> {
        let status = self.status()?;
        let groups = status.get("groups")?.as_array()?;
        let mut members = groups
            .iter()
            .filter_map(|g| g.get("members")?.as_array())
            .flatten();
        members
            .find(|m| m.get("path").is_some_and(|p| p == path))
            .cloned()
    }

    /// The pid of a member's process.
    pub fn member_pid(&self, path: &str) -> Option<u32> {
        let pid = self.member(path)?.get("generation")?.get("pid")?.as_u64()?;
        u32::try_from(pid).ok()
    }

    /// What checkd did to a member so far, oldest first, by its journal: the act and its reason.
    ///
    /// # Panics
    /// When the journal cannot be read.
    pub fn acts(&self, path: &str) -> Vec<(String, String)> {
        let answer = self.ask(["history", path, "--json"]);
        let history: Value = serde_json::from_str(&answer.stdout)
            .unwrap_or_else(|e| panic!("no history of {path}: {e}: {answer:?}"));
        let rows = history
            .get("rows")
            .and_then(Value::as_array)
            .expect("a history has rows");
        let text = |row: &Value, key: &str| row.get(key)?.as_str().map(str::to_owned);
        rows.iter()
            .filter(|row| row.get("what").is_some_and(|what| what == "action"))
            .map(|row| {
                (
                    text(row, "word").unwrap_or_default(),
                    text(row, "text").unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Waits until `condition` gives something about a member.
    ///
    /// # Panics
    /// When it does not in time; the message ends with what the daemon said.
    #[track_caller]
    pub fn wait<T>(&self, path: &str, what: &str, condition: impl Fn(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        eventually(&format!("{path} {what}"), PATIENCE * 2, || {
            last = self.member(path);
            let found = last.as_ref().and_then(&condition);
            let runs = self.child.as_ref().is_some_and(|child| alive(child.id()));
            assert!(
                runs,
                "the daemon is gone, waiting until {path} {what}:\n{}",
                self.talk()
            );
            assert!(
                found.is_some() || Instant::now() < deadline,
                "not within {PATIENCE:?}: {path} {what}\nit is {last:#?}\nthe daemon said:\n{}",
                self.talk()
            );
            found
        })
    }

    /// Waits until a member's health is `health`, and gives its pid.
    #[track_caller]
    pub fn wait_health(&self, path: &str, health: &str) -> u32 {
        self.wait(path, &format!("is {health}"), |member| {
            let pid = member.get("generation")?.get("pid")?.as_u64()?;
            let is = member.get("health")? == health;
            is.then(|| u32::try_from(pid).ok()).flatten()
        })
    }

    /// Waits until a member is healthy in another life than `old`, and gives the new pid.
    #[track_caller]
    pub fn wait_replaced(&self, path: &str, old: u32) -> u32 {
        self.wait(
            path,
            &format!("is healthy again with another pid than {old}"),
            |member| {
                let pid = member.get("generation")?.get("pid")?.as_u64()?;
                let healthy = member.get("health")? == "healthy";
                u32::try_from(pid).ok().filter(|&pid| healthy && pid != old)
            },
        )
    }

    /// Waits until a check of a member is shown with this newest status, and gives that leaf.
    #[track_caller]
    pub fn wait_check(&self, path: &str, check: &str, status: &str) -> Value {
        self.wait(path, &format!("has {check} {status}"), |member| {
            let leaves = member.get("checks")?.as_array()?;
            let leaf = leaves
                .iter()
                .find(|l| l.get("check").is_some_and(|c| c == check))?;
            (leaf.get("latest")? == status).then(|| leaf.clone())
        })
    }

    /// Sends a POST to the server of member `index`, and waits for its answer or its end.
    pub fn post(&self, index: u16, path: &str) {
        let sent = TcpStream::connect(("127.0.0.1", self.port(index))).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(
                stream,
                "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )?;
            stream.read_to_end(&mut Vec::new())
        });
        // A server that was told to crash gives no answer.
        drop(sent);
    }

    /// Sends the daemon `sent` and waits for its end; its exit code, if it has one.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(&mut self, sent: Signal) -> Option<i32> {
        let mut child = self.child.take().expect("the daemon runs");
        signal(child.id(), sent);
        let ended = eventually("the daemon ends", PATIENCE, || {
            child.try_wait().ok().flatten()
        });
        ended.code()
    }
}

impl Drop for Checkd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        // Members outlive their daemon by design, so they are found by what they inherited. Two
        // rounds: one may start another just before it is killed.
        for _ in 0..2 {
            for pid in marked(&self.marker) {
                signal(pid, Signal::KILL);
            }
        }
    }
}
