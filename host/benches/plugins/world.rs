//! The plugin that does nothing, copies of it, and the daemon's runner with its checks.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checkd_core::compose::{Complex, Expr};
use checkd_core::event::{Event, Run};
use checkd_core::plan::{
    CheckPlan, ConfinePlan, GroupPlan, Isolation, Launch, MemberPlan, Mode, Plan, PluginPlan,
    PluginSource, PolicyPlan,
};
use checkd_core::{CheckKind, CheckName, GroupName, LeafId, MemberName, Span, Status};
use checkd_host::clock;
use checkd_host::plugin::{Catalog, Target};
use checkd_host::runner::Runner;
use serde_json::Map;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(crate) const BLOCKING: &str = "noop_000";
pub(crate) const ASYNC: &str = "noop_async_000";
/// The program of the workers.
pub(crate) const CHECKD: &str = env!("CARGO_BIN_EXE_checkd");
/// Nothing here may overrun, on however busy a machine.
const PATIENCE: Span = Span::secs(60);

/// The library, as a user builds it.
pub(crate) struct Library {
    path: PathBuf,
    directory: TempDir,
}

/// Libraries of different kinds.
pub(crate) struct Copies {
    pub(crate) plugins: Vec<PluginPlan>,
}

impl Library {
    /// Builds it.
    pub(crate) fn build() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let target = root.join("target/fixtures");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--release"])
            .arg("--manifest-path")
            .arg(root.join("tests/fixtures/noop-plugin/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(built.expect("cargo runs").success(), "it builds");
        Self {
            path: target.join("release/libnoop_plugin.so"),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }

    /// A copy whose kinds end in this number.
    pub(crate) fn plugin(&self, number: u32) -> PluginPlan {
        let path = self
            .directory
            .path()
            .join(format!("libnoop_{number:03}.so"));
        if !path.exists() {
            let mut library = fs::read(&self.path).unwrap();
            for kind in [BLOCKING, ASYNC] {
                let other = kind_of(kind, number);
                let places: Vec<usize> = library
                    .windows(kind.len())
                    .enumerate()
                    .filter(|(_, bytes)| *bytes == kind.as_bytes())
                    .map(|(place, _)| place)
                    .collect();
                assert!(!places.is_empty(), "the library names its kinds");
                for place in places {
                    let found = library.get_mut(place..place + kind.len()).unwrap();
                    found.copy_from_slice(other.as_bytes());
                }
            }
            fs::write(&path, library).unwrap();
        }
        PluginPlan {
            name: format!("noop-{number:03}"),
            source: PluginSource::Library(path.to_string_lossy().into_owned()),
            sha256: None,
            isolation: Isolation::Process,
            confine: ConfinePlan::default(),
        }
    }

    pub(crate) fn copies(&self, count: u32) -> Copies {
        Copies {
            plugins: (0..count).map(|number| self.plugin(number)).collect(),
        }
    }
}

/// The kind of the copy with this number.
fn kind_of(kind: &str, number: u32) -> String {
    kind.replace("000", &format!("{number:03}"))
}

/// Lets the plugin with this number judge the options of a check.
pub(crate) fn judge(catalog: &Catalog, number: u32) {
    let kind = CheckKind::new(&kind_of(BLOCKING, number)).unwrap();
    let problems = catalog.try_configure(&kind, &Map::new(), &Target::default());
    assert_eq!(problems, [], "it takes them");
}

/// The runner of a daemon, and whoever hears its samples.
pub(crate) struct Driver {
    runner: Runner,
    events: RefCell<UnboundedReceiver<Event>>,
    leaves: Vec<LeafId>,
}

impl Driver {
    /// `members` members with a check of each kind.
    pub(crate) fn new(catalog: Catalog, kinds: &[&str], members: u32) -> Self {
        let driver = Self::of(catalog, kinds, members);
        // Their instances are made.
        for check in 0..kinds.len() {
            driver.many(u32::try_from(check).unwrap(), members as usize * 2);
        }
        driver
    }

    /// One member with a check of each kind of the copy with this number; each has run.
    pub(crate) fn of_both(catalog: Catalog, number: u32) -> Self {
        let [blocking, other] = [BLOCKING, ASYNC].map(|kind| kind_of(kind, number));
        Self::new(catalog, &[&blocking, &other], 1)
    }

    /// One member with a check of each of the plugins of so many copies.
    pub(crate) fn of_each(catalog: Catalog, plugins: u32) -> Self {
        let kinds: Vec<String> = (0..plugins)
            .map(|number| kind_of(BLOCKING, number))
            .collect();
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        Self::of(catalog, &kinds, 1)
    }

    fn of(catalog: Catalog, kinds: &[&str], members: u32) -> Self {
        let plan = plan(kinds, members);
        let checks = 0..u32::try_from(kinds.len()).unwrap();
        let leaves = checks.flat_map(|check| {
            (0..members).map(move |member| LeafId {
                group: 0,
                check,
                member: Some(member),
            })
        });
        let (sender, events) = unbounded_channel();
        Self {
            leaves: leaves.collect(),
            runner: Runner::new(Arc::new(catalog), Arc::new(plan), sender).expect("threads"),
            events: RefCell::new(events),
        }
    }

    fn begin(&self, leaf: LeafId) {
        self.runner.begin(Run {
            leaf,
            generation: None,
            port: None,
            due: clock::now(),
        });
    }

    /// Waits for the next sample.
    fn heard(&self) -> LeafId {
        let event = self.events.borrow_mut().blocking_recv();
        let Some(Event::Sample { leaf, sample }) = event else {
            unreachable!("the runner says nothing else")
        };
        assert_eq!(sample.status, Status::Pass, "{}", sample.message);
        leaf
    }

    /// The median of one run after the other of one member's check.
    pub(crate) fn alone(&self, check: u32) -> Duration {
        let of_check = |leaf: &&LeafId| leaf.check == check;
        let leaf = *self.leaves.iter().find(of_check).expect("there is one");
        median(2_000, || {
            self.begin(leaf);
            self.heard();
        })
    }

    /// Runs in a second, with one of each member's check under way at any time.
    pub(crate) fn rate(&self, check: u32, length: Duration) -> f64 {
        const PART: usize = 2_000;
        let began = Instant::now();
        let mut runs = 0;
        while began.elapsed() < length {
            runs += self.many(check, PART);
        }
        runs as f64 / began.elapsed().as_secs_f64()
    }

    /// At least so many runs, with one of each member's check under way at any time.
    fn many(&self, check: u32, runs: usize) -> usize {
        let mut begun = 0;
        for leaf in self.leaves.iter().filter(|leaf| leaf.check == check) {
            self.begin(*leaf);
            begun += 1;
        }
        let mut heard = 0;
        while heard < begun {
            let leaf = self.heard();
            heard += 1;
            if begun < runs {
                self.begin(leaf);
                begun += 1;
            }
        }
        heard
    }

    /// One run of every leaf, all at once.
    pub(crate) fn once_each(&self) {
        self.leaves.iter().for_each(|leaf| self.begin(*leaf));
        self.leaves.iter().for_each(|_| {
            self.heard();
        });
    }
}

/// A group with a check of each kind.
fn plan(kinds: &[&str], members: u32) -> Plan {
    let check = |(number, kind): (usize, &&str)| CheckPlan {
        timeout: PATIENCE,
        ..CheckPlan::of_defaults(
            CheckName::new(&format!("check-{number}")).unwrap(),
            CheckKind::new(kind).unwrap(),
        )
    };
    let live = Complex {
        text: "check-0".to_owned(),
        expr: Expr::Leaf(0),
    };
    let member = |index| MemberPlan {
        name: MemberName::new(&format!("group-{index}")).unwrap(),
        index,
        port: None,
    };
    let group = GroupPlan {
        name: GroupName::new("group").unwrap(),
        mode: Mode::Auto,
        members: (0..members).map(member).collect(),
        checks: kinds.iter().enumerate().map(check).collect(),
        live: live.clone(),
        ready: live.clone(),
        startup: live,
        ready_members: members,
        policy: PolicyPlan::of_defaults(members),
        launch: Launch::of_defaults(vec!["server".to_owned()]),
        depends_on: Vec::new(),
    };
    Plan {
        groups: vec![group],
        ..Plan::default()
    }
}

/// The median of so many.
pub(crate) fn median(count: usize, mut one: impl FnMut()) -> Duration {
    let mut spans: Vec<Duration> = (0..count)
        .map(|_| {
            let began = Instant::now();
            one();
            began.elapsed()
        })
        .collect();
    spans.sort_unstable();
    spans.get(count / 2).copied().expect("there are some")
}
