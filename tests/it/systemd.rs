//! The unit file under a real systemd: ready, watchdog, restart, crash; members keep their pids.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use checkd_tests::{Checkd, Signal, alive, checkd_binary, eventually, never, root, signal};

const CONFIG: &str = r#"
[defaults]
interval = "500ms"
timeout = "250ms"

[group.web]
command = [$SERVER]
processes = 2
ports = { base = $BASE }

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
confirm_up = "500ms"
settle = "0s"
"#;

const SOON: Duration = Duration::from_mins(1);

/// A service manager of its own.
struct Systemd {
    child: Child,
    variables: Vec<(String, String)>,
}

impl Systemd {
    fn start() -> Self {
        let mut child = Command::new(root().join("tests/peers/with-systemd"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut variables = Vec::new();
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("a line");
            match line.split_once('=') {
                Some((name, value)) => variables.push((name.to_owned(), value.to_owned())),
                None => return Self { child, variables },
            }
        }
        panic!("systemd did not start; its messages are above");
    }

    fn units(&self) -> PathBuf {
        let units = self.variables.iter().find(|(name, _)| name == "UNITS");
        PathBuf::from(&units.expect("it says where units go").1)
    }

    /// What `systemctl` printed; it must succeed.
    fn control(&self, arguments: &[&str]) -> String {
        let output = Command::new("systemctl")
            .arg("--user")
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("systemctl is installed");
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "systemctl {arguments:?}: {talk}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What must fail.
    fn refuse(&self, arguments: &[&str]) {
        let status = Command::new("systemctl")
            .arg("--user")
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::null())
            .status()
            .expect("systemctl is installed");
        assert!(!status.success(), "systemctl {arguments:?} was obeyed");
    }

    fn property(&self, name: &str) -> String {
        self.control(&["show", "--value", "--property", name, "checkd.service"])
    }

    fn main_pid(&self) -> u32 {
        self.property("MainPID").parse().expect("a pid")
    }

    /// Waits until the daemon runs as another process than `old`, and says that it is ready.
    fn wait_replaced(&self, old: u32) -> u32 {
        eventually("another daemon runs", SOON, || {
            let pid = self.main_pid();
            (pid != 0 && pid != old && self.property("ActiveState") == "active").then_some(pid)
        })
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn healthy_pair(checkd: &Checkd) -> [u32; 2] {
    ["web/web-0", "web/web-1"].map(|path| {
        eventually(&format!("{path} is healthy"), SOON, || {
            let member = checkd.member(path)?;
            (member["health"] == "healthy").then(|| checkd.member_pid(path))?
        })
    })
}

/// Installs the unit of the sources, and what differs on this machine as an administrator writes it.
fn install(systemd: &Systemd, checkd: &Checkd) {
    let unit = fs::read_to_string(root().join("host/checkd.service")).expect("the unit");
    let (binary, config) = (checkd_binary().display(), checkd.dir().join("checkd.toml"));
    let config = config.display();
    let more = format!(
        "ExecStart=\nExecStart={binary} run {config}\nExecReload=\nExecReload={binary} reload\n"
    );
    install_unit(systemd, checkd, &unit, &more);
}

/// Installs this unit, with a watchdog that is quick, and these settings.
fn install_unit(systemd: &Systemd, checkd: &Checkd, unit: &str, more: &str) {
    let units = systemd.units();
    fs::write(units.join("checkd.service"), unit).expect("the unit");
    let (marker, value) = checkd
        .verb(["status"])
        .get_envs()
        .find(|(name, _)| name.to_string_lossy().starts_with("CHECKD_TEST"))
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_owned()))
        .expect("what the tests find their processes by");
    let (binary, config) = (checkd_binary().display(), checkd.dir().join("checkd.toml"));
    let config = config.display();
    let log = checkd.dir().join("daemon.log");
    let changed = format!(
        "[Service]\n{more}Environment=CHECKD_CONFIG={config}\n\
         Environment={}={}\nWatchdogSec=2\nStandardOutput=append:{log}\nStandardError=append:{log}\n",
        marker.to_string_lossy(),
        value.to_string_lossy(),
        log = log.display(),
    );
    fs::create_dir(units.join("checkd.service.d")).expect("a directory");
    fs::write(units.join("checkd.service.d/here.conf"), changed).expect("the changes");
    // What needs checkd and says so is started when checkd answers, and not before.
    let needs = format!(
        "[Unit]\nRequires=checkd.service\nAfter=checkd.service\n\
         [Service]\nType=oneshot\nEnvironment=CHECKD_CONFIG={config}\n\
         ExecStart={binary} status\nExecStart={binary} wait web --for ready --timeout 1m\n"
    );
    fs::write(units.join("needs.service"), needs).expect("another unit");
    systemd.control(&["daemon-reload"]);
}

#[test]
fn the_unit_keeps_members_over_restarts_crashes_and_a_daemon_that_hangs() {
    let checkd = Checkd::prepare(CONFIG);
    let systemd = Systemd::start();
    install(&systemd, &checkd);

    // It fails when the daemon is said to be ready before it answers.
    systemd.control(&["start", "needs.service"]);
    let first = systemd.main_pid();
    let members = healthy_pair(&checkd);

    never("the watchdog struck", Duration::from_secs(5), || {
        let pid = systemd.main_pid();
        (pid != first).then_some(pid)
    });

    systemd.control(&["restart", "checkd.service"]);
    let second = systemd.wait_replaced(first);
    assert_eq!(healthy_pair(&checkd), members, "after a restart");

    signal(second, Signal::KILL);
    let third = systemd.wait_replaced(second);
    assert_eq!(healthy_pair(&checkd), members, "after a crash");

    // A daemon that hangs is one that the watchdog ends.
    signal(third, Signal::STOP);
    let fourth = systemd.wait_replaced(third);
    assert_eq!(healthy_pair(&checkd), members, "after the watchdog struck");
    assert_eq!(systemd.property("NRestarts"), "2");

    systemd.control(&["reload", "checkd.service"]);
    assert_eq!(systemd.main_pid(), fourth, "a reload is no restart");
    checkd.write_config(&CONFIG.replace("kind", "knd"));
    systemd.refuse(&["reload", "checkd.service"]);
    assert_eq!(systemd.main_pid(), fourth, "a wrong file changes nothing");
    checkd.write_config(CONFIG);

    systemd.control(&["stop", "checkd.service"]);
    assert!(!alive(fourth), "the daemon runs on");
    assert!(members.iter().all(|&pid| alive(pid)), "members ended");
    systemd.control(&["start", "checkd.service"]);
    assert_eq!(healthy_pair(&checkd), members, "after a stop and a start");
    for (member, pid) in ["web-0", "web-1"].into_iter().zip(members) {
        assert_eq!(checkd.log(member).starts(), [pid], "{member}");
    }
}

#[test]
fn a_unit_that_is_to_stop_its_members_stops_them_and_starts_them_again() {
    let checkd = Checkd::prepare("");
    checkd.write_raw_config(&format!(
        "[daemon]\nstate_dir = \"$DIR/state\"\non_exit = \"stop\"\n{CONFIG}"
    ));
    let systemd = Systemd::start();
    install(&systemd, &checkd);
    systemd.control(&["start", "checkd.service"]);
    let members = healthy_pair(&checkd);
    // It returns when all of it is down.
    systemd.control(&["stop", "checkd.service"]);
    assert!(!members.iter().any(|&pid| alive(pid)), "a member lives on");
    assert_eq!(systemd.property("Result"), "success");
    systemd.control(&["start", "checkd.service"]);
    let others = healthy_pair(&checkd);
    assert!(others.iter().all(|pid| !members.contains(pid)));

    // Stopped by hand they stay down, whatever systemd does.
    assert_eq!(checkd.ask(["stop", "web"]).code, Some(0));
    let stopped = checkd.ask(["wait", "web", "--for", "stopped", "--timeout", "1m"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    systemd.control(&["restart", "checkd.service"]);
    let stopped = checkd.ask(["wait", "web", "--for", "stopped", "--timeout", "1m"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
}

#[test]
fn the_unit_of_a_user_is_as_the_page_writes_it() {
    let page = fs::read_to_string(root().join("docs/operations.md")).expect("the page");
    let fence = "```ini title=\"user/checkd.service\"\n";
    let (_, rest) = page.split_once(fence).expect("the page has the unit");
    let (unit, _) = rest.split_once("```").expect("the block ends");
    let checkd = Checkd::prepare(CONFIG);
    let systemd = Systemd::start();
    let home = systemd.units().with_file_name("home");
    fs::create_dir_all(home.join(".local/bin")).expect("a directory");
    std::os::unix::fs::symlink(checkd_binary(), home.join(".local/bin/checkd")).expect("a link");
    install_unit(&systemd, &checkd, unit, "");
    systemd.control(&["start", "needs.service"]);
    let members = healthy_pair(&checkd);
    let first = systemd.main_pid();
    systemd.control(&["restart", "checkd.service"]);
    let second = systemd.wait_replaced(first);
    signal(second, Signal::STOP);
    systemd.wait_replaced(second);
    systemd.control(&["reload", "checkd.service"]);
    assert_eq!(healthy_pair(&checkd), members);
    systemd.control(&["stop", "checkd.service"]);
    assert!(members.iter().all(|&pid| alive(pid)), "members ended");
}
