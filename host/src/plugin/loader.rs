//! Loads a plugin library and calls it: the only place that opens one.
//!
//! A library is opened once and never closed. Opening runs its constructors, so this happens in a
//! worker process, and in the daemon only for `isolation = "in-process"`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abi_stable::library::AbiHeaderRef;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::std_types::RStr;
use checkd_abi::{Host, HostRef, Mismatch, PluginRef, ROOT_SYMBOL, VERSION, root};
use checkd_core::diagnostic::Diagnostic;
use checkd_plugin_api::sdk::Sink;
use libloading::os::unix::{Library as Opened, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::OFlags;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::manager::plain;

use super::protocol::{
    KINDS_MAX, KindText, PROBLEMS_MAX, Problem, SampleText, TEXT_MAX, Target, bounded,
};
use super::secrets::cleared_problem;
use super::{c_door, elf};

/// What a plugin may return as one text.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// A plugin library that was opened.
pub(crate) struct Library {
    door: Door,
    /// Lives as long as the library: for ever.
    runs: &'static Runs,
}

/// An instance in a library. Dropping it releases it there.
pub(crate) struct Instance {
    door: Door,
    runs: &'static Runs,
    number: u64,
    /// What each of its runs is about, as it crosses the border.
    request: String,
}

/// By which contract a library is called. Its tables live for ever.
#[derive(Clone, Copy)]
enum Door {
    /// `checkd-abi`.
    Rust(PluginRef),
    /// `checkd_plugin.h`.
    C(&'static c_door::Plugin),
}

/// Who waits for the sample of which run of which instance.
#[derive(Default)]
struct Runs {
    waiting: Mutex<HashMap<(u64, u64), Done>>,
}

/// Takes the answer of a run; the error says what was wrong with it.
type Done = Box<dyn FnOnce(Result<SampleText, String>) + Send>;

/// Why a file is no plugin for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its stable code.
    pub(crate) code: &'static str,
    /// Facts: found against allowed.
    pub(crate) notes: Vec<String>,
    /// One thing to do.
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn new(code: &'static str, note: impl Into<String>) -> Self {
        Self {
            code,
            notes: vec![note.into()],
            help: None,
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn help(mut self, help: &str) -> Self {
        self.help = Some(help.into());
        self
    }

    /// For a person, about the plugin in his words.
    pub(crate) fn diagnostic(self, origin: &str) -> Diagnostic {
        let mut told = Diagnostic::error(self.code, format!("cannot use plugin `{origin}`"));
        for note in self.notes {
            told = told.note(note);
        }
        match self.help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}

/// The host's side of the border.
const HOST: HostRef = HostRef(
    {
        const TABLE: &WithMetadata<Host> = &WithMetadata::new(Host {
            version: RStr::from_str(VERSION),
            sink,
        });
        TABLE
    }
    .static_as_prefix(),
);

impl Library {
    /// Opens the library at `path`, which must not be a bare file name: those are searched for.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        look(&open(path)?)?;
        // SAFETY: opening runs the library's constructors. That is what a plugin is: trusted code,
        // named by the configuration. It is never closed, so nothing of it dangles.
        #[expect(unsafe_code, reason = "the one place where a plugin is opened")]
        let opened = unsafe { Opened::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let opened = opened.map_err(|error| {
            Fault::new("C0204", linker_says(path, &error))
                .note("the dynamic linker cannot load it")
                .help("install what it is linked with, or build it on this machine")
        })?;
        let door = door(&opened);
        std::mem::forget(opened);
        Ok(Self {
            door: door?,
            runs: Box::leak(Box::default()),
        })
    }

    /// For a person: the contract and the SDK that the plugin was built with.
    pub(crate) fn built_with(&self, sdk: &str) -> String {
        let mut told = match self.door {
            Door::Rust(plugin) => format!("checkd-abi {}", bounded(&plugin.version(), 32)),
            Door::C(plugin) => plugin.built_with.clone(),
        };
        if !sdk.is_empty() {
            told.push_str(&format!(", checkd-plugin-api {}", bounded(sdk, 32)));
        }
        told
    }

    /// What the plugin calls itself, its version, and its kinds.
    pub(crate) fn describe(&self) -> Result<Described, String> {
        let facts: Described = match self.door {
            Door::Rust(plugin) => read(&plugin.describe()(), "describe")?,
            Door::C(plugin) => plugin.described.clone(),
        };
        if facts.kinds.len() > KINDS_MAX {
            let kinds = facts.kinds.len();
            return Err(format!("it offers {kinds} kinds, {KINDS_MAX} are allowed"));
        }
        Ok(facts)
    }

    /// Makes an instance of a kind for `target`, or says all that is wrong with the options.
    pub(crate) fn configure(
        &self,
        kind: &str,
        options: &Map<String, Value>,
        target: &Target,
    ) -> Result<Instance, Vec<Problem>> {
        let options = serde_json::to_string(options).unwrap_or_default();
        let user = std::ptr::from_ref(self.runs).expose_provenance();
        let configured: Result<Configured, String> = match self.door {
            Door::Rust(plugin) => {
                let text = plugin.configure()(kind.into(), options.as_str().into(), HOST, user);
                read(&text, "configure")
            }
            Door::C(plugin) => {
                let sink = Sink { host: HOST, user };
                let text = plugin.door.configure(kind, &options, sink);
                read(
                    &serde_json::to_string(&text).unwrap_or_default(),
                    "configure",
                )
            }
        };
        let configured = configured.map_err(|fault| vec![Problem::of_all(fault)])?;
        match configured.instance {
            Some(number) if configured.problems.is_empty() => Ok(Instance {
                door: self.door,
                runs: self.runs,
                number,
                request: serde_json::to_string(target).unwrap_or_default(),
            }),
            _ if configured.problems.is_empty() => Err(vec![Problem::of_all(
                "the plugin names neither an instance nor a problem",
            )]),
            _ => {
                let mut problems = configured.problems;
                problems.truncate(PROBLEMS_MAX);
                problems.iter_mut().for_each(Problem::bound);
                Err(problems.into_iter().map(cleared_problem).collect())
            }
        }
    }
}

impl Instance {
    /// Begins a run. `done` is called once, from any thread, perhaps before this returns; never when
    /// the plugin breaks its promise.
    pub(crate) fn submit(
        &self,
        run: u64,
        timeout_ms: u64,
        done: impl FnOnce(Result<SampleText, String>) + Send + 'static,
    ) {
        self.runs.lock().insert((self.number, run), Box::new(done));
        let request = &*self.request;
        match self.door {
            Door::Rust(plugin) => {
                plugin.submit()(self.number, run, request.into(), timeout_ms);
            }
            Door::C(plugin) => plugin.door.submit(self.number, run, request, timeout_ms),
        }
    }

    /// Gives a run up; its sample comes now, when it has not come.
    pub(crate) fn cancel(&self, run: u64) {
        match self.door {
            Door::Rust(plugin) => plugin.cancel()(self.number, run),
            Door::C(plugin) => plugin.door.cancel(self.number, run),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        match self.door {
            Door::Rust(plugin) => plugin.release()(self.number),
            Door::C(plugin) => plugin.door.release(self.number),
        }
        // Whoever broke the promise to answer has no chance any more.
        self.runs
            .lock()
            .retain(|(instance, _), _| *instance != self.number);
    }
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<(u64, u64), Done>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a plugin says about itself, as it crosses the border.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Described {
    /// Its package.
    #[serde(default)]
    pub(crate) name: String,
    /// That package's version.
    #[serde(default)]
    pub(crate) version: String,
    /// The version of the SDK that it was built with; empty when it does not say.
    #[serde(default)]
    pub(crate) sdk: String,
    /// What it offers.
    #[serde(default)]
    pub(crate) kinds: Vec<KindText>,
}

/// The answer to `configure`, as it crosses the border.
#[derive(Debug, Deserialize)]
struct Configured {
    #[serde(default)]
    instance: Option<u64>,
    #[serde(default)]
    problems: Vec<Problem>,
}

/// Reads what a function of the plugin returned.
fn read<'a, T: Deserialize<'a>>(text: &'a str, function: &str) -> Result<T, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("its `{function}` returned {} bytes", text.len()));
    }
    serde_json::from_str(text)
        .map_err(|error| format!("its `{function}` returned no JSON: {error}"))
}

/// Takes the sample of a run. A second one, and one that nobody waits for, is dropped.
extern "C" fn sink(user: usize, instance: u64, run: u64, sample: RStr<'_>) {
    // A panic here must not unwind into the plugin.
    let taken = catch_unwind(AssertUnwindSafe(|| {
        let runs = std::ptr::with_exposed_provenance::<Runs>(user);
        // SAFETY: `user` comes back as it was given to `configure`: the address of a `Runs` that was
        // leaked when the library was opened.
        #[expect(unsafe_code, reason = "a plugin hands our own pointer back")]
        let runs = unsafe { &*runs };
        let done = runs.lock().remove(&(instance, run));
        if let Some(done) = done {
            done(read(sample.as_str(), "sink"));
        } else {
            tracing::warn!(instance, run, "plugin answered a run that is over; dropped");
        }
    }));
    if taken.is_err() {
        tracing::error!(instance, run, "taking a plugin's sample panicked");
    }
}

/// The door that a library has.
fn door(opened: &Opened) -> Result<Door, Fault> {
    // SAFETY: a library that exports this symbol promises that it is an abi_stable header, and
    // `upgrade` below looks for its magic before it believes anything else. The reference is `'static`
    // because the library is never closed.
    #[expect(unsafe_code, reason = "the one symbol of the Rust door")]
    let header = unsafe {
        opened
            .get::<AbiHeaderRef>(ROOT_SYMBOL)
            .map(|symbol| *symbol)
    };
    if let Ok(header) = header {
        let header = header.upgrade().map_err(|_| {
            Fault::new("C0203", "it was built with another abi_stable")
                .note(speaks())
                .note(UNUSED)
                .help(REBUILD)
        })?;
        return root(header).map(Door::Rust).map_err(mismatch);
    }
    // SAFETY: a library that exports this symbol promises that it is the function of the header.
    #[expect(unsafe_code, reason = "the one symbol of the C door")]
    let plugin = unsafe {
        let entry = opened.get::<c_door::Entry>(c_door::SYMBOL);
        entry.map(|entry| c_door::Plugin::open(*entry))
    };
    // What a later major version of the header is told by.
    let later = || {
        (c_door::HEADER.0 + 1..=MAJOR_MAX).find(|major| {
            let symbol = format!("checkd_plugin_entry_v{major}");
            // SAFETY: it is looked for, and neither read nor called.
            #[expect(unsafe_code, reason = "a symbol has no type")]
            let found = unsafe { opened.get::<*const ()>(symbol) };
            found.is_ok()
        })
    };
    match plugin {
        Ok(plugin) => Ok(Door::C(Box::leak(Box::new(plugin?)))),
        Err(_) => Err(match later() {
            Some(major) => c_door::other_major(&format!("{major}.x")),
            None => Fault::new(
                "C0204",
                "it is a shared library without the symbol of a checkd plugin",
            )
            .note(format!("in C it exports `{}`", c_door::SYMBOL))
            .help("its crate needs `export_plugin!();` and `crate-type = [\"cdylib\"]`"),
        }),
    }
}

/// The dynamic linker's words, without the path of our copy before them.
fn linker_says(path: &Path, error: &libloading::Error) -> String {
    let said = error.to_string();
    let path = format!("{}: ", path.display());
    bounded(said.strip_prefix(&path).unwrap_or(&said), TEXT_MAX)
}

/// The latest major version of the C header that is looked for, to say that it is one.
const MAJOR_MAX: u32 = 64;

/// What checkd does about a plugin that is not what it should be.
pub(crate) const UNUSED: &str = "nothing of it is used";

/// Why a plugin cannot be used, as one line beside what says that it is not.
pub(crate) fn reason(told: &Diagnostic) -> String {
    let why = told.notes.iter().filter(|note| *note != UNUSED);
    why.map(String::as_str).collect::<Vec<&str>>().join("; ")
}

const A_LIBRARY: &str = "give the path of the library that `cargo build` or your compiler made";

const READABLE: &str = "make it readable for checkd's user";

const REBUILD: &str = "rebuild the plugin with `checkd-plugin-api = \"1\"`";

fn speaks() -> String {
    format!("this host speaks checkd-abi {VERSION}")
}

/// The few facts of a mismatch that its author needs.
fn mismatch(mismatch: Mismatch) -> Fault {
    match mismatch {
        Mismatch::Version { plugin, .. } => Fault::new(
            "C0203",
            format!("plugin was built with checkd-abi {plugin}"),
        )
        .note(speaks())
        .note(UNUSED)
        .help(REBUILD),
        Mismatch::Layout {
            plugin, details, ..
        } => {
            tracing::debug!(details, "layouts differ");
            Fault::new(
                "C0203",
                format!("plugin says checkd-abi {plugin}, and its types differ"),
            )
            .note(speaks())
            .note(UNUSED)
            .help(REBUILD)
        }
        Mismatch::Init(error) => Fault::new(
            "C0204",
            format!("plugin could not begin: {}", bounded(&error, TEXT_MAX)),
        )
        .help("mend what it runs on being loaded"),
    }
}

/// Machines that a library may have been built for, by their number in its header.
const MACHINES: [(u16, &str); 7] = [
    (3, "x86 (32 bit)"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm (32 bit)"),
    (62, "x86-64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

/// This machine's number.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    183
} else {
    62
};

/// Opens a library's file, and reads nothing of it.
pub(crate) fn open(path: &Path) -> Result<File, Fault> {
    let unreadable = |error: &io::Error| {
        Fault::new("C0201", format!("it cannot be read: {}", plain(error))).help(READABLE)
    };
    let not_regular = |found: &std::fs::Metadata| {
        let what = if found.is_dir() {
            "a directory"
        } else {
            "not a regular file"
        };
        Fault::new("C0201", format!("it is {what}")).help(A_LIBRARY)
    };
    // A pipe would wait for its writer, and a socket cannot be opened at all.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => not_regular(&found),
        _ if error.kind() == io::ErrorKind::NotFound => {
            Fault::new("C0201", "there is no such file").help(A_LIBRARY)
        }
        _ => unreadable(&error),
    })?;
    let found = file.metadata().map_err(|error| unreadable(&error))?;
    if found.is_file() {
        Ok(file)
    } else {
        Err(not_regular(&found))
    }
}

/// Looks at the file before anything of it runs: whether it is a whole library for this machine.
pub(crate) fn look(file: &File) -> Result<(), Fault> {
    let unreadable = |error: &io::Error| {
        Fault::new("C0201", format!("it cannot be read: {}", plain(error))).help(READABLE)
    };
    let mut header = Vec::new();
    file.take(20)
        .read_to_end(&mut header)
        .map_err(|error| unreadable(&error))?;
    let no_library = |what: &str| {
        Fault::new("C0202", format!("it is {what}, not a shared library"))
            .help("name the `.so` that `cargo build` made")
    };
    let [b'\x7f', b'E', b'L', b'F', class, order, ..] = *header.as_slice() else {
        return Err(no_library(if header.is_empty() {
            "empty"
        } else {
            "some other kind of file"
        }));
    };
    let (Some(&[k0, k1]), Some(&[m0, m1])) = (
        header
            .get(16..18)
            .and_then(|bytes| bytes.first_chunk::<2>()),
        header
            .get(18..20)
            .and_then(|bytes| bytes.first_chunk::<2>()),
    ) else {
        return Err(no_library("cut off in its header"));
    };
    let number = |bytes| match order {
        2 => u16::from_be_bytes(bytes),
        _ => u16::from_le_bytes(bytes),
    };
    let machine = number([m0, m1]);
    if (class, order, machine) != (2, 1, MACHINE) {
        let name = |of: u16| {
            MACHINES
                .iter()
                .find(|(number, _)| *number == of)
                .map(|(_, name)| *name)
        };
        let built = name(machine).map_or_else(|| format!("machine {machine}"), String::from);
        let ours = name(MACHINE).unwrap_or_default();
        return Err(Fault::new(
            "C0202",
            format!("plugin was built for another architecture: {built}"),
        )
        .note(format!("this host runs on {ours}"))
        .help("build the plugin on, or for, this machine"));
    }
    match number([k0, k1]) {
        3 => match elf::whole(file).map_err(|error| unreadable(&error))? {
            Ok(()) => Ok(()),
            Err(damage) => Err(Fault::new("C0202", damage)
                .help("build the plugin again, or copy it again and wait for that to end")),
        },
        1 => Err(no_library("an object file")),
        2 => Err(no_library("a program")),
        4 => Err(no_library("a core dump")),
        _ => Err(no_library("some other kind of ELF file")),
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
