//! What an operator relies on outside systemd: the container's image as the page writes it, another
//! machine's journal, and a user without root.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use checkd_tests::{Checkd, Signal, alive, checkd_binary, children, eventually, root, signal};

const PATIENCE: Duration = Duration::from_mins(1);
const NAMESPACES: [&str; 5] = ["--mount", "--pid", "--fork", "--propagation", "private"];

/// Whether these namespaces can be made here; says so when not.
fn possible(what: &[&str]) -> bool {
    let made = Command::new("unshare").args(what).arg("true").status();
    let possible = made.is_ok_and(|status| status.success());
    if !possible {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: unshare {what:?} is not allowed here").ok();
    }
    possible
}

/// A block of the operations page by its title.
fn titled(title: &str) -> String {
    let page = fs::read_to_string(root().join("docs/operations.md")).expect("the page");
    let fence = format!(" title=\"{title}\"\n");
    let (_, rest) = page.split_once(&fence).expect("the page has this block");
    rest.split_once("```").expect("the block ends").0.to_owned()
}

/// The words of a list as a Dockerfile writes it: `["a", "b"]`.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).expect("a list of texts")
}

/// A container of the page's own Dockerfile, without a runtime: its files over this machine's system,
/// all of it read-only but the volumes, in namespaces of its own.
struct Container {
    checkd: Checkd,
    outer: Child,
    health: Vec<String>,
}

impl Container {
    fn start(config: &str, volume: &Path) -> Self {
        let checkd = Checkd::prepare("");
        let at = checkd.dir();
        fs::create_dir(at.join("image")).expect("a directory");
        fs::write(at.join("container.toml"), config).expect("the configuration");
        let (mut copies, mut volumes) = (Vec::new(), Vec::new());
        let (mut entry, mut health) = (Vec::new(), Vec::new());
        let dockerfile = titled("Dockerfile");
        for line in dockerfile.lines() {
            let (instruction, rest) = line.split_once(' ').expect("an instruction");
            match instruction {
                "FROM" => {}
                "COPY" => copies.push(rest.split_once(' ').expect("from and to")),
                "VOLUME" => volumes.push(rest),
                "HEALTHCHECK" => health = words(rest.strip_prefix("CMD ").expect("a command")),
                "ENTRYPOINT" => entry = words(rest),
                other => panic!("{other} is not understood by this test"),
            }
        }
        assert!(
            copies.len() == 2 && volumes.len() == 1 && !entry.is_empty() && !health.is_empty(),
            "this test looks wrongly"
        );
        let mut script = String::from("mount -t tmpfs none image\ncd image\n");
        for system in ["usr", "bin", "sbin", "lib", "lib64"] {
            script += &format!(
                "if [ -L /{system} ]; then cp -P /{system} {system}; \
                 elif [ -d /{system} ]; then mkdir {system}; mount --bind /{system} {system}; \
                 mount -o remount,bind,ro {system}; fi\n"
            );
        }
        script += "mkdir -p etc/checkd proc dev var/lib tmp\nmount -t proc proc proc\n";
        for device in ["null", "urandom"] {
            script += &format!("touch dev/{device}; mount --bind /dev/{device} dev/{device}\n");
        }
        script += "ln -s /proc/self/fd/1 dev/stdout\n";
        // What is in /usr of this machine stays as it is: the program goes beside it.
        for (from, to) in &copies {
            let from = match *from {
                "checkd" => checkd_binary().to_path_buf(),
                other => at.join(other),
            };
            let to = placed(to);
            script += &format!(
                "mkdir -p \"$(dirname .{to})\"; cp {} .{to}\n",
                from.display()
            );
        }
        for place in &volumes {
            let volume = volume.display();
            script += &format!("mkdir -p .{place}; mount --bind {volume} .{place}\n");
        }
        let entry: Vec<_> = entry.iter().map(|word| placed(word)).collect();
        script += &format!("mount -o remount,ro .\nexec chroot . {}\n", entry.join(" "));
        let mut command = checkd.verb_of(Path::new("unshare"), NAMESPACES);
        let log = fs::File::create(at.join("container.log")).expect("a log");
        let outer = command
            .args(["sh", "-euc", &script])
            .env_remove("CHECKD_CONFIG")
            .env("PATH", "/opt:/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("unshare starts");
        Self {
            checkd,
            outer,
            health,
        }
    }

    /// The first process, as pid of this machine.
    fn first(&self) -> u32 {
        eventually("the container has a first process", PATIENCE, || {
            children(self.outer.id()).first().copied()
        })
    }

    /// Waits until what a runtime runs to see whether it is well says so.
    fn wait_healthy(&self) {
        eventually(&format!("{:?} ends well", self.health), PATIENCE, || {
            self.healthy().then_some(())
        });
    }

    fn healthy(&self) -> bool {
        let inside = ["--mount", "--pid", "--root", "--target"];
        let mut command = self.checkd.verb_of(Path::new("nsenter"), inside);
        let entered = command
            .arg(self.first().to_string())
            .args(&self.health)
            .env_remove("CHECKD_CONFIG")
            .env("PATH", "/opt:/usr/bin:/bin")
            .output()
            .expect("nsenter starts");
        entered.status.success()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.checkd.dir().join("container.log")).unwrap_or_default()
    }

    /// The code that it ended with, and what it said.
    fn ended(&mut self) -> (Option<i32>, String) {
        let status = eventually("the container ends", PATIENCE, || {
            self.outer.try_wait().ok().flatten()
        });
        (status.code(), self.log())
    }
}

/// Where a file of the image goes: what belongs into this machine's /usr goes to /opt.
fn placed(path: &str) -> String {
    path.replacen("/usr/bin/", "/opt/", 1)
}

/// Children that ended and that nobody reaped.
fn zombies(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let pids = fs::read_to_string(path).unwrap_or_default();
    let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter(|&pid| checkd_tests::state(pid) == Some('Z'))
        .collect()
}

#[test]
fn the_image_of_the_page_is_healthy_reaps_strangers_and_ends_in_order() {
    if !possible(&NAMESPACES) {
        return;
    }
    let volume = tempfile::tempdir().expect("a directory");
    // A stranger: what a member left behind, and what then ends.
    let stranger =
        "[group.odd]\ncommand = [\"sh\", \"-c\", \"(setsid sleep 0.2 &); exec sleep 1000\"]\n";
    let config = format!("{}\n{stranger}", titled("container.toml"));
    let mut container = Container::start(&config, volume.path());
    container.wait_healthy();
    let first = container.first();
    eventually("strangers are reaped", PATIENCE, || {
        zombies(first).is_empty().then_some(())
    });
    let members = children(first);
    assert!(members.len() >= 3, "a daemon and two members: {members:?}");
    // Its state is on the volume; all the rest cannot be written.
    assert!(volume.path().join("journal.db").exists());
    let begin = Instant::now();
    signal(first, Signal::TERM);
    let (code, log) = container.ended();
    let took = begin.elapsed();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(10), "it took {took:?}:\n{log}");
    let goodbyes = log.lines().filter(|line| *line == "bye").count();
    assert_eq!(goodbyes, 1, "the member was not asked to stop:\n{log}");
    assert!(log.contains("every member is stopped"), "{log}");
    assert!(members.iter().all(|&pid| !alive(pid)), "somebody lives on");
}

#[test]
fn a_volume_goes_on_in_the_next_container_and_a_wrong_configuration_ends_with_2() {
    if !possible(&NAMESPACES) {
        return;
    }
    let volume = tempfile::tempdir().expect("a directory");
    let config = titled("container.toml");
    let mut killed = Container::start(&config, volume.path());
    killed.wait_healthy();
    signal(killed.first(), Signal::KILL);
    killed.ended();

    // Its pids mean other processes now.
    let mut next = Container::start(&config, volume.path());
    next.wait_healthy();
    assert!(!next.log().contains("taken over"), "{}", next.log());
    assert!(next.log().contains("while no checkd ran"), "{}", next.log());
    signal(next.first(), Signal::TERM);
    assert_eq!(next.ended().0, Some(0));

    let mut wrong = Container::start(&config.replace("max_rss", "max_rs"), volume.path());
    let (code, log) = wrong.ended();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("did you mean `max_rss`?"), "{log}");
}

#[test]
fn on_another_machine_nothing_is_adopted_by_its_pid() {
    const CONFIG: &str = "[group.job]\ncommand = [\"sleep\", \"1000\"]\nprocesses = 2\n\
                          [group.job.policy]\nconfirm_up = \"100ms\"\nsettle = \"0s\"\n";
    if !possible(&["--mount"]) {
        return;
    }
    let first = Checkd::start(CONFIG);
    let pair =
        |checkd: &Checkd| ["job/job-0", "job/job-1"].map(|m| checkd.wait_health(m, "healthy"));
    let lives = pair(&first);

    let mut second = Checkd::prepare(CONFIG);
    fs::create_dir(second.state_dir()).expect("a directory");
    let copied = Command::new("python3")
        .args(["-c", COPY])
        .arg(first.state_dir().join("journal.db"))
        .arg(second.state_dir().join("journal.db"))
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    // What tells machines and boots apart is this number.
    fs::write(
        second.dir().join("boot"),
        "0a0b0c0d-0000-4000-8000-000000000001\n",
    )
    .expect("a file");
    let script = "mount --bind boot /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    second.run_below(&[&unshare[..], &["sh", "-c", script, "sh"]].concat());
    let others = pair(&second);
    assert!(!second.talk().contains("taken over"), "{}", second.talk());
    assert!(others.iter().all(|pid| !lives.contains(pid)));
    assert_eq!(second.end(Signal::INT), Some(0));
    assert_eq!(pair(&first), lives, "somebody was touched");
    let outcomes = first.acts("job/job-0");
    assert_eq!(outcomes.len(), 1, "only its start: {outcomes:?}");
}

const COPY: &str = "import sqlite3, sys; \
                    sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))";
