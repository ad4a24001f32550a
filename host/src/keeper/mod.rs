//! `checkd keeper`: the small process that is parent of all own members of one state directory.
//!
//! It starts, stops, signals and reaps, owns the members' output, and remembers: each act by its
//! intent, each end by its status. It loads no plugin, opens no network and decides nothing, so the
//! daemon beside it may crash, be killed or be upgraded at any moment. One thread, one loop.

mod acts;
mod adopt;
mod cgroup;
mod converse;
pub(crate) mod family;
mod host;
mod life;
pub(crate) mod limits;
mod memory;
mod output;
mod place;
pub(crate) mod processes;
pub(crate) mod protocol;
mod serve;
mod spawn;
mod started;
#[cfg(test)]
mod tests;
mod upgrade;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use checkd_core::IntentId;
use tokio::sync::{Notify, mpsc};

use life::Life;
use protocol::{Gone, Message};
use started::Started;
use upgrade::Act;

pub(crate) use output::open_pipe;
pub(crate) use place::{SOCKET, below};
pub use upgrade::try_out;

/// What stands in the environment of every member: who it is. By these a new keeper finds what the
/// one before started, and a member knows itself.
pub(crate) const NAMES: [&str; 3] = ["CHECKD_GROUP", "CHECKD_MEMBER", INTENT];
/// What started it.
pub(crate) const INTENT: &str = "CHECKD_INTENT";
/// And whose it is: the output directory is in the state directory.
pub(crate) const MARK: &str = "CHECKD_OUTPUT";

/// So many ends are remembered at most, of all members together.
const EXITS_MAX: usize = 16_384;
/// So many acts are remembered at most, unless more go on at once.
const ACTS_MAX: usize = 16_384;
/// So many acknowledged acts are remembered, for whoever asks once more.
const ACTS_KEPT: usize = 1_024;

/// How a keeper begins.
#[derive(Debug)]
pub struct Setup {
    /// The state directory, which exists.
    pub state_dir: PathBuf,
    /// What the program before left, when this is an upgrade in place.
    pub resume: Option<RawFd>,
    /// As the first process of a container: the words that run the daemon, program first.
    pub daemon: Vec<OsString>,
    /// Every child of this process is ours: false in tests, where the keeper is a thread.
    pub alone: bool,
}

/// What a keeper's process calls itself: at most 15 bytes.
const PROCESS: &str = "checkd-keeper";

/// Keeps until there is nothing left to keep.
///
/// # Errors
/// The state directory cannot be used, or another keeper owns it.
pub fn run(setup: Setup) -> io::Result<u8> {
    // What `ps -o comm`, `top` and the kernel call it: it is started as `/proc/self/exe`.
    if let Ok(name) = std::ffi::CString::new(PROCESS) {
        rustix::thread::set_name(&name).ok();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve::serve(setup))
}

/// Which file this process runs from: what is compared to find out whether an upgrade is due.
pub(crate) fn build() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match std::fs::metadata("/proc/self/exe") {
        Ok(file) => format!(
            "{version} {}:{}:{}:{}.{}",
            file.dev(),
            file.ino(),
            file.size(),
            file.mtime(),
            file.mtime_nsec()
        ),
        Err(_) => version.to_owned(),
    }
}

/// One line in the keeper's log, which is its standard error.
fn note(text: &str) {
    let time = crate::wall::rfc3339(crate::wall::now_ms());
    // There is nobody else to tell.
    drop(writeln!(io::stderr().lock(), "{time} {text}"));
}

/// The system's words without Rust's `(os error 2)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// Everything that the keeper knows; one loop owns it.
#[derive(Clone, Debug)]
struct Keeper(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    boot: u128,
    state_dir: PathBuf,
    alone: bool,
    /// Where control groups can be made.
    cgroups: Option<PathBuf>,
    lives: RefCell<BTreeMap<String, Rc<Life>>>,
    acts: RefCell<BTreeMap<IntentId, Act>>,
    /// Acts without an intent that go on, by their tags.
    unnumbered: RefCell<BTreeMap<u64, Act>>,
    /// Acts that go on now.
    going: Cell<usize>,
    exits: RefCell<VecDeque<Gone>>,
    /// What of it is on disk.
    started: Started,
    forgotten: Cell<IntentId>,
    highest: Cell<IntentId>,
    /// What the next daemon is to say to a person.
    remarks: RefCell<Vec<String>>,
    /// Who is told what happens.
    daemons: RefCell<Vec<mpsc::Sender<Message>>>,
    /// Who asked for another program, in a protocol that is not ours, and waits to hear what became of it.
    askers: RefCell<Vec<mpsc::Sender<Message>>>,
    /// The process of a program that is tried.
    trial: Cell<Option<u32>>,
    /// Something ended: perhaps there is nothing left to keep.
    less: Notify,
    /// The daemon, when we are its parent.
    child: Cell<Option<u32>>,
}

impl Keeper {
    fn new(state_dir: &Path, alone: bool) -> Self {
        let started = Started::open(state_dir);
        Self(Rc::new(Inner {
            boot: processes::boot_id(),
            state_dir: state_dir.to_owned(),
            alone,
            cgroups: cgroup::home().filter(|_| alone),
            lives: RefCell::default(),
            acts: RefCell::default(),
            unnumbered: RefCell::default(),
            going: Cell::new(0),
            exits: RefCell::default(),
            forgotten: Cell::default(),
            highest: Cell::new(started.highest()),
            remarks: RefCell::default(),
            started,
            daemons: RefCell::default(),
            askers: RefCell::default(),
            trial: Cell::new(None),
            less: Notify::new(),
            child: Cell::new(None),
        }))
    }

    /// Tells every daemon. One that does not listen for very long is cut off: it comes back and asks
    /// for the list.
    fn tell(&self, message: &Message) {
        let mut daemons = self.0.daemons.borrow_mut();
        daemons.retain(|daemon| daemon.try_send(message.clone()).is_ok());
    }

    fn life(&self, path: &str) -> Option<Rc<Life>> {
        self.0.lives.borrow().get(path).map(Rc::clone)
    }
}
