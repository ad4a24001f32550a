//! `checkd worker`: the child process that loads one library and speaks the worker protocol.
//!
//! Its standard input is the stream; its output is captured by the host. It dies with its host: a
//! thread that does nothing else waits for the end of the stream, so a plugin that hangs cannot keep
//! it alive; and a guard below the host sees that nothing of it lives on.
//!
//! With `--command` it becomes another program once it is guarded and confined.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::FdFlags;
use rustix::net::sockopt::socket_domain;
use rustix::net::{AddressFamily, SendFlags, send};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::plugin::confine::{Confine, how_to_confine};
use crate::plugin::guard;
use crate::plugin::loader::UNUSED;
use crate::plugin::loader::{Instance, Library};
use crate::plugin::probe::{how_to_start, why_not_started};
use crate::plugin::protocol::{
    Ask, Problem, SampleText, Tell, VERSIONS, add_line, line, parse, parse_ask, read_line,
};

/// So many bytes are kept for what is told next.
const KEPT: usize = 16 << 10;

/// Guards and confines this process, and then serves the library that is the first of `words` until
/// the stream ends, or becomes the program that `words` are. Returns only when it could not begin.
pub fn serve(confine: &str, command: bool, words: &[OsString]) -> io::Error {
    let Some((first, rest)) = words.split_first() else {
        return io::Error::other("there is nothing to serve");
    };
    let begun = guarded().and_then(|guard| {
        // While we may still read it: the copy belongs to the host's user.
        let library = (!command).then(|| std::fs::File::open(first)).transpose()?;
        let confined =
            Confine::read(confine).and_then(|confine| confine.apply(command.then_some(words)));
        if let Err(why) = confined {
            return refuse("C0217", &why, how_to_confine(&why));
        }
        if let Some(guard) = guard {
            guard::end_with(guard)?;
        }
        if command {
            let error = Command::new(first).args(rest).exec();
            let why = why_not_started(&first.to_string_lossy(), &error);
            return refuse("C0209", &why, how_to_start(error.kind()));
        }
        let path = match &library {
            Some(library) => format!("/proc/self/fd/{}", library.as_raw_fd()).into(),
            None => PathBuf::from(first),
        };
        begin(&path, take_stream()?)
    });
    match begun {
        Ok(()) => end(),
        Err(error) => error,
    }
}

/// Closes what was inherited by accident, and gets a guard.
fn guarded() -> io::Result<Option<Pid>> {
    is_stream()?;
    // Somebody above the daemon may have left descriptors open for whoever comes.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().into_string().unwrap_or_default();
        let Some(number) = number.parse::<RawFd>().ok().filter(|&number| number > 2) else {
            continue;
        };
        // SAFETY: nothing of ours is open yet but this directory, whose descriptor closes itself
        // all the same: it is only marked.
        #[expect(unsafe_code, reason = "what was inherited has no owner")]
        let inherited = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(inherited, FdFlags::CLOEXEC)?;
    }
    guard::enter()
}

/// Answers the host's first line by why this worker cannot begin.
fn refuse(code: &str, why: &str, help: Option<&str>) -> io::Result<()> {
    let mut stream = take_stream()?;
    let told = Tell::Error {
        code: code.into(),
        message: why.into(),
        notes: vec![UNUSED.into()],
        help: help.map(str::to_owned),
    };
    stream.write_all(&line(&told).unwrap_or_default())?;
    // The host ends us when it has read it.
    let (mut reader, mut buffer) = (BufReader::new(stream), Vec::new());
    while read_line(&mut reader, &mut buffer)? {}
    Ok(())
}

/// Whether standard input is a stream of the protocol.
fn is_stream() -> io::Result<()> {
    if socket_domain(io::stdin().as_fd()).ok() == Some(AddressFamily::UNIX) {
        return Ok(());
    }
    Err(io::Error::other(
        "standard input is no stream of the worker protocol: checkd itself starts workers",
    ))
}

/// Takes the stream off standard input, where a plugin would find it.
fn take_stream() -> io::Result<UnixStream> {
    let stdin = io::stdin();
    let stream = rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3)?;
    let nothing = OwnedFd::from(std::fs::File::open("/dev/null")?);
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(UnixStream::from(stream))
}

/// Ends this process now: nothing of a plugin, no destructor and no handler, gets a say. The guard
/// ends whatever the plugin started.
fn end() -> ! {
    loop {
        let _cannot_fail = kill_process(getpid(), Signal::KILL);
        thread::park();
    }
}

/// Speaks until the stream ends.
fn begin(library: &Path, stream: UnixStream) -> io::Result<()> {
    let watched = stream.try_clone()?;
    thread::Builder::new()
        .name("worker-watch".into())
        .stack_size(64 << 10)
        .spawn(move || {
            let mut fds = [PollFd::new(&watched, PollFlags::RDHUP)];
            while let Ok(0) | Err(rustix::io::Errno::INTR) = poll(&mut fds, None) {}
            end()
        })?;
    let tell = Arc::new(Outlet::new(stream.try_clone()?));
    let writer = Arc::clone(&tell);
    thread::Builder::new()
        .name("worker-writer".into())
        .stack_size(64 << 10)
        .spawn(move || writer.write())?;
    let mut reader = BufReader::new(stream);
    let mut buffer = Vec::new();

    if !read_line(&mut reader, &mut buffer)? {
        return Ok(());
    }
    let plugin = match greet(library, &buffer) {
        Ok((plugin, hello)) => {
            tell.say(&hello);
            Arc::new(plugin)
        }
        Err(refusal) => {
            tell.say(&refusal);
            // The host ends us when it has read it.
            while read_line(&mut reader, &mut buffer)? {}
            return Ok(());
        }
    };
    let instances = Arc::new(Instances::default());
    let (ask, asked) = channel();
    let maker = (
        Arc::clone(&plugin),
        Arc::clone(&instances),
        Arc::clone(&tell),
    );
    // `configure` and `drop` run an author's code; one that hangs must not stop the runs of others.
    thread::Builder::new()
        .name("worker-configure".into())
        .spawn(move || make(&maker.0, &maker.1, &maker.2, &asked))?;
    while read_line(&mut reader, &mut buffer)? {
        match parse_ask(&buffer) {
            Ok(Ask::Describe) => tell.say(&describe(&plugin)),
            Ok(Ask::Submit {
                run,
                instance,
                timeout_ms,
            }) => {
                instances.submit(run, instance, timeout_ms, &tell);
            }
            Ok(Ask::Cancel { run }) => instances.cancel(run),
            Ok(request @ (Ask::Configure { .. } | Ask::Drop { .. })) => {
                let _ends_with_us = ask.send(request);
            }
            Ok(Ask::Hello { .. }) => tell.say(&error("hello was said already")),
            Err(fault) => tell.say(&error(&fault)),
        }
    }
    Ok(())
}

/// Answers the first line: loads the library, or says why that cannot be.
fn greet(library: &Path, hello: &[u8]) -> Result<(Library, Tell), Tell> {
    let versions = match parse::<Ask>(hello) {
        Ok(Ask::Hello { versions }) => versions,
        Ok(_) => return Err(error("the first line must be hello")),
        Err(fault) => return Err(error(&fault)),
    };
    let Some(&version) = VERSIONS.iter().find(|version| versions.contains(version)) else {
        return Err(error(&format!(
            "this worker speaks versions {VERSIONS:?} of the protocol"
        )));
    };
    let plugin = Library::open(library).map_err(|fault| Tell::Error {
        code: fault.code.into(),
        message: String::new(),
        notes: fault.notes,
        help: fault.help,
    })?;
    let facts = plugin.describe().map_err(|fault| error(&fault))?;
    let hello = Tell::Hello {
        version,
        plugin: facts.name,
        release: facts.version,
        built_with: plugin.built_with(&facts.sdk),
    };
    Ok((plugin, hello))
}

fn describe(plugin: &Library) -> Tell {
    match plugin.describe() {
        Ok(facts) => Tell::Described { kinds: facts.kinds },
        Err(fault) => error(&fault),
    }
}

/// The instances that the host made, and the runs in them.
#[derive(Default)]
struct Instances {
    made: Mutex<HashMap<u64, Arc<Instance>>>,
    /// Which instance a run is of.
    runs: Arc<Mutex<HashMap<u64, u64>>>,
}

impl Instances {
    fn submit(&self, run: u64, number: u64, timeout_ms: u64, tell: &Arc<Outlet>) {
        let Some(instance) = self.made().get(&number).map(Arc::clone) else {
            return tell.say(&broken(run, format!("there is no instance {number}")));
        };
        let runs = Arc::clone(&self.runs);
        locked(&runs).insert(run, number);
        let tell = Arc::clone(tell);
        instance.submit(run, timeout_ms, move |answer| {
            let last = {
                let mut runs = locked(&runs);
                runs.remove(&run);
                runs.is_empty()
            };
            let told = match answer {
                Ok(sample) => Tell::Sample { run, sample },
                Err(fault) => broken(run, fault),
            };
            // Where others are under way, their samples can go with this one.
            if last {
                tell.say(&told);
            } else {
                tell.leave(&told);
            }
        });
    }

    fn cancel(&self, run: u64) {
        let Some(number) = locked(&self.runs).get(&run).copied() else {
            return;
        };
        let instance = self.made().get(&number).map(Arc::clone);
        // An instance that was dropped has answered its run.
        if let Some(instance) = instance {
            instance.cancel(run);
        }
    }

    fn made(&self) -> MutexGuard<'_, HashMap<u64, Arc<Instance>>> {
        locked(&self.made)
    }
}

/// No author's code runs under a lock of ours, so a poisoned one holds whole values.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes and drops instances, one after the other.
fn make(plugin: &Library, instances: &Instances, tell: &Outlet, asked: &Receiver<Ask>) {
    for ask in asked {
        match ask {
            Ask::Configure {
                instance,
                kind,
                options,
                target,
            } => {
                let problems = match plugin.configure(&kind, &options, &target) {
                    Ok(made) => {
                        instances.made().insert(instance, Arc::new(made));
                        Vec::new()
                    }
                    Err(problems) if problems.is_empty() => vec![Problem::of_all("refused")],
                    Err(problems) => problems,
                };
                tell.say(&Tell::Configured { instance, problems });
            }
            Ask::Drop { instance } => {
                // In two steps: an author's drop must not run under the lock.
                let dropped = instances.made().remove(&instance);
                drop(dropped);
            }
            Ask::Hello { .. } | Ask::Describe | Ask::Submit { .. } | Ask::Cancel { .. } => {}
        }
    }
}

/// What is told to the host. Nobody who tells waits for the host to read, for a plugin's sink must
/// not block: what does not go at once is left to a thread.
struct Outlet {
    stream: UnixStream,
    waiting: Mutex<Waiting>,
    more: Condvar,
}

/// What has not been written.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// The thread was told that there is something, and has not written all of it.
    busy: bool,
}

impl Outlet {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            waiting: Mutex::default(),
            more: Condvar::new(),
        }
    }

    /// Tells now, when that does not block: waking a thread for it takes longer than the rest of a
    /// quick run.
    fn say(&self, tell: &Tell) {
        let mut waiting = locked(&self.waiting);
        let first = waiting.bytes.is_empty() && !waiting.busy;
        waiting.add(tell);
        if first
            && let Ok(sent) = send(
                &self.stream,
                &waiting.bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            )
        {
            waiting.bytes.drain(..sent);
        }
        self.wake(waiting);
    }

    /// Tells soon, with what else there is to tell.
    fn leave(&self, tell: &Tell) {
        let mut waiting = locked(&self.waiting);
        waiting.add(tell);
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let wake = !waiting.bytes.is_empty() && !waiting.busy;
        waiting.busy |= wake;
        drop(waiting);
        if wake {
            self.more.notify_one();
        }
    }

    /// The life of the thread: ends only with the stream, and then this process does.
    fn write(&self) {
        let mut bytes = Vec::new();
        let mut waiting = locked(&self.waiting);
        loop {
            while waiting.bytes.is_empty() {
                waiting.busy = false;
                waiting = self
                    .more
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut bytes, &mut waiting.bytes);
            drop(waiting);
            if (&self.stream).write_all(&bytes).is_err() {
                return;
            }
            bytes.clear();
            bytes.shrink_to(KEPT);
            waiting = locked(&self.waiting);
        }
    }
}

impl Waiting {
    fn add(&mut self, tell: &Tell) {
        if !add_line(&mut self.bytes, tell) {
            add_line(&mut self.bytes, &shortened(tell));
        }
    }
}

/// What stands for a message that is longer than a line may be.
fn shortened(tell: &Tell) -> Tell {
    const LONG: &str = "the answer is longer than a line of the worker protocol";
    match tell {
        Tell::Sample { run, .. } => broken(*run, LONG.into()),
        Tell::Configured { instance, .. } => Tell::Configured {
            instance: *instance,
            problems: vec![Problem::of_all(LONG)],
        },
        Tell::Hello { .. } | Tell::Described { .. } | Tell::Log { .. } | Tell::Error { .. } => {
            error(LONG)
        }
    }
}

/// The sample of a run that the plugin did not answer as it must.
fn broken(run: u64, message: String) -> Tell {
    let (status, cause) = ("unknown".into(), Some("crashed".into()));
    Tell::Sample {
        run,
        sample: SampleText {
            status,
            cause,
            message,
            measurements: Vec::new(),
        },
    }
}

fn error(message: &str) -> Tell {
    Tell::Error {
        code: String::new(),
        message: message.into(),
        notes: Vec::new(),
        help: None,
    }
}
