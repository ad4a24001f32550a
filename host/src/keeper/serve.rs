//! The keeper's loop: its socket, the children that nobody else waits for, its own end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use checkd_core::Generation;
use rustix::fs::{FlockOperation, OFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::points::Point;

use super::cgroup;
use super::life::Life;
use super::output::Tap;
use super::processes::Handle;
use super::protocol::{
    Lines, MESSAGE_MAX, Message, PROTOCOL, REQUEST_MAX, Request, line, signal_named,
};
use super::upgrade::{self, Memory, Remembered};
use super::{Keeper, Setup, note, plain};

/// The lock, in the state directory.
const LOCK: &str = "keeper.lock";
/// The socket, in the state directory.
pub(crate) const SOCKET: &str = "keeper.sock";
/// So many connections at once.
const CONNECTIONS: usize = 16;
/// So many messages may wait for a daemon before it is cut off.
const QUEUE: usize = 65_536;
/// How long a keeper waits for the daemon that started it.
const FIRST: Duration = Duration::from_secs(30);
/// How long a keeper without members keeps what no daemon has noted yet.
const MEMORY: Duration = Duration::from_mins(15);
/// How long the first process waits before it runs a daemon again that ended badly.
const AGAIN: Duration = Duration::from_secs(1);
/// How often, and how many times, a keeper tries to come back to its place.
const LOOK: Duration = Duration::from_millis(50);
const COME_BACK: u32 = 40;
/// How long members get to stop when no daemon is there to say how.
const PATIENCE: Duration = Duration::from_secs(10);
/// Children that end within so long are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);

/// The directory and a way to name files in it that fits into a socket address however long its path
/// is.
pub(crate) fn below(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let flags = i32::try_from((OFlags::PATH | OFlags::DIRECTORY).bits()).unwrap_or(0);
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, path))
}

struct Held {
    lock: OwnedFd,
    listener: UnixListener,
    /// What our socket is on its file system: at its path there may be another keeper's by now.
    socket: Option<(u64, u64)>,
}

/// What stands at a path: device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

impl Held {
    /// Takes a place in the state directory again, should ours have been removed; nothing changes where it
    /// was not.
    fn come_back(&mut self, keeper: &Keeper, state_dir: &Path) -> io::Result<()> {
        if identity(&state_dir.join(SOCKET)) == self.socket {
            return Ok(());
        }
        let own = rustix::fs::fstat(&self.lock)?;
        let lock = if identity(&state_dir.join(LOCK)) == Some((own.st_dev, own.st_ino)) {
            // Only the socket was taken away.
            self.lock.try_clone()?
        } else {
            lock(state_dir)?
        };
        *self = listen(state_dir, lock)?;
        keeper.0.started.settle_again();
        note("the files of this keeper were removed; it has made them again");
        Ok(())
    }

    /// Nobody shall find our socket any more; another keeper's is left alone.
    fn remove_socket(&self, state_dir: &Path) {
        let path = state_dir.join(SOCKET);
        if self.socket.is_some() && identity(&path) == self.socket {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Asks a keeper whose lock and socket were removed to come back to its place.
fn call_back(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // A keeper hears this signal, and does nothing worse than to look at its place.
        rustix::process::kill_process(pid, Signal::HUP).ok();
    }
}

fn begin(keeper: &Keeper, state_dir: &Path) -> io::Result<Held> {
    let lock = lock(state_dir)?;
    if let Some(pid) = keeper.homeless() {
        drop(lock);
        call_back(pid);
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "keeper {pid}, whose files were removed, still keeps members of this directory; it is \
                 asked to come back to its place, and this one ends; after `kill -KILL {pid}` another \
                 one takes its members over"
            ),
        ));
    }
    listen(state_dir, lock)
}

/// Takes the lock of a state directory.
fn lock(state_dir: &Path) -> io::Result<OwnedFd> {
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(state_dir.join(LOCK))?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another keeper serves this state directory",
        ));
    }
    Ok(lock.into())
}

/// Listens in a state directory whose lock is held.
fn listen(state_dir: &Path, lock: OwnedFd) -> io::Result<Held> {
    // Nobody can listen there: whoever did held the lock.
    let (_directory, path) = below(state_dir, SOCKET)?;
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Held {
        lock,
        listener,
        socket: identity(&path),
    })
}

/// Whether a keeper serves this state directory, other than the one that is served by us.
pub(super) fn is_served(state_dir: &Path) -> bool {
    // Whoever only looks may not keep a keeper from starting for longer than this moment.
    File::open(state_dir.join(LOCK)).is_ok_and(|lock| {
        let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
        locked == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

/// Goes on where the program before left off.
fn resume(keeper: &Keeper, memory: Memory, state_dir: &Path) -> io::Result<Held> {
    let gone = || io::Error::from(io::ErrorKind::InvalidInput);
    let lock = upgrade::taken(memory.lock).ok_or_else(gone)?;
    let listener = upgrade::taken(memory.listener).ok_or_else(gone)?;
    let listener = std::os::unix::net::UnixListener::from(listener);
    let socket = memory.socket;
    Point::KeeperRecalled.pass();
    let inner = &keeper.0;
    inner.exits.replace(memory.exits.into());
    inner.forgotten.set(memory.forgotten);
    inner.highest.set(memory.highest);
    inner.child.set(memory.daemon);
    for one in memory.lives {
        let pipe = one.pipe.and_then(upgrade::taken);
        let Generation { pid, start, .. } = one.living.generation;
        let handle = if one.living.adopted {
            Handle::open(pid, start)
        } else {
            // Not reaped before we do it, so its pid is still its own.
            Handle::of_child(pid)
        };
        let Some(handle) = handle else {
            note(&format!("{} cannot be watched any more", one.living.path));
            continue;
        };
        let mut life = Life::new(one.living, handle);
        life.cgroup = one.cgroup;
        life.remember(one.known);
        if let (Some(pipe), Some(output)) = (pipe, &one.output) {
            life.tap.replace(Tap::begin(pipe, output.clone()));
        }
        life.output.replace(one.output);
        keeper.watch(life);
    }
    let going: Vec<_> = memory
        .acts
        .iter()
        .filter(|act| !act.ended)
        .cloned()
        .collect();
    for act in memory.acts {
        match act.order.intent {
            Some(intent) => drop(inner.acts.borrow_mut().insert(intent, act)),
            None => drop(inner.unnumbered.borrow_mut().insert(act.order.tag, act)),
        }
    }
    for act in going {
        keeper.begin(act);
    }
    Ok(Held {
        lock,
        listener: UnixListener::from_std(listener)?,
        // An older keeper does not say.
        socket: socket.or_else(|| identity(&state_dir.join(SOCKET))),
    })
}

/// Serves until there is nothing left to keep; the exit code.
pub(super) async fn serve(setup: Setup) -> io::Result<u8> {
    let keeper = Keeper::new(&setup.state_dir, setup.alone);
    let memory = setup.resume.map(upgrade::recall).transpose()?;
    let resumed = memory.is_some();
    let mut held = match memory {
        Some(memory) => resume(&keeper, memory, &setup.state_dir)?,
        None => begin(&keeper, &setup.state_dir)?,
    };
    let begun = if resumed {
        Point::KeeperResumed
    } else {
        Point::KeeperBegun
    };
    begun.pass();
    if setup.alone {
        // Each member takes a pidfd and a pipe.
        crate::open_files::raise_soft();
        // Whatever a member leaves behind comes to us instead of to the first process.
        rustix::process::set_child_subreaper(Pid::from_raw(1))?;
    }
    if !resumed {
        keeper.adopt_marked().await;
        Point::KeeperAdopted.pass();
        if let Some(home) = &keeper.0.cgroups {
            cgroup::sweep(home);
        }
    }
    let mut children = signal(SignalKind::child())?;
    // Whoever ends the session or the unit means the daemon; we end when nobody needs us.
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    if resumed {
        // What came since the program was replaced is heard now.
        upgrade::hold_signals(false);
    }
    let (to_upgrade, mut upgrades) = mpsc::channel::<PathBuf>(1);
    let (to_become, mut tried) = mpsc::channel::<PathBuf>(1);
    let mut host = Host {
        words: setup.daemon,
        ending: false,
        connected: false,
        served: resumed,
        failures: 0,
        code: None,
    };
    if !host.words.is_empty() && keeper.0.child.get().is_none() {
        host.run(&keeper);
    }
    let mut alone_since = Some(Instant::now());
    let mut served = resumed;
    // Who ended while the program was replaced is to be reaped too; and a daemon that could not even be
    // run is looked at as one that ended.
    let look = (resumed && keeper.0.alone) || host.code.is_some();
    let mut reap_at = look.then(Instant::now);
    let mut again_at: Option<Instant> = None;
    let mut come_back_at: Option<(Instant, u32)> = None;
    keeper.0.less.notify_one();
    loop {
        if host.ending && keeper.0.child.get().is_none() {
            // A daemon that ended in order has stopped them; one that was killed has not.
            keeper.stop_all(PATIENCE).await;
            return Ok(host.code.unwrap_or(0));
        }
        let connected = !keeper.0.daemons.borrow().is_empty();
        served |= connected;
        host.connected |= connected;
        host.served |= connected;
        alone_since = match alone_since {
            _ if connected || keeper.busy() => None,
            Some(since) => Some(since),
            None => Some(Instant::now()),
        };
        let end_at = alone_since.filter(|_| host.words.is_empty()).map(|since| {
            let patience = match (served, keeper.remembers()) {
                (false, _) => FIRST,
                (true, true) => MEMORY,
                (true, false) => Duration::ZERO,
            };
            since + patience
        });
        tokio::select! {
            accepted = held.listener.accept() => match accepted {
                Ok((stream, _)) => accept(&keeper, stream, to_upgrade.clone()),
                Err(error) => {
                    note(&format!("cannot accept a connection: {}", plain(&error)));
                    tokio::time::sleep(AGAIN).await;
                }
            },
            _ = children.recv() => {
                reap_at = reap_at.or_else(|| keeper.0.alone.then(|| Instant::now() + TOGETHER));
            }
            () = at(reap_at) => {
                reap_at = None;
                reap_strangers(&keeper, &mut host);
                if let Some(code) = host.over() {
                    keeper.stop_all(PATIENCE).await;
                    return Ok(code);
                }
                if host.waits() && again_at.is_none() {
                    again_at = Some(Instant::now() + host.wait());
                }
            }
            () = at(again_at) => {
                again_at = None;
                host.run(&keeper);
                reap_at = reap_at.or(host.code.map(|_| Instant::now()));
            }
            () = keeper.0.less.notified() => {}
            () = at(end_at) => {
                held.remove_socket(&setup.state_dir);
                return Ok(0);
            }
            _ = term.recv() => {
                // Nobody needs us: a machine that goes down need not wait for what we remember.
                if host.words.is_empty() && !connected && !keeper.busy() {
                    held.remove_socket(&setup.state_dir);
                    return Ok(0);
                }
                host.pass(&keeper, Signal::TERM);
            }
            _ = interrupt.recv() => host.pass(&keeper, Signal::INT),
            _ = hangup.recv() => {
                come_back_at = Some((Instant::now(), COME_BACK));
                host.pass(&keeper, Signal::HUP);
            }
            () = at(come_back_at.map(|(at, _)| at)) => {
                // Who called us may hold the lock for another moment.
                let left = come_back_at.map_or(0, |(_, left)| left);
                let failed = held.come_back(&keeper, &setup.state_dir).is_err();
                let later = (Instant::now() + LOOK, left.saturating_sub(1));
                come_back_at = (failed && left > 0).then_some(later);
            }
            // Whoever asks while a program is tried hears what becomes of that one.
            Some(program) = upgrades.recv(), if keeper.0.trial.get().is_none() => {
                keeper.try_out(program, &held, to_become.clone());
            }
            Some(program) = tried.recv() => {
                let error = keeper.upgrade(&program, &held, &setup.state_dir, &host.words);
                keeper.refuse(&program, &error);
            }
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => pending().await,
    }
}

/// Reaps what is a child of ours and no member: orphans, and the daemon. A member's own watcher reaps
/// it, when its tree is gone.
fn reap_strangers(keeper: &Keeper, host: &mut Host) {
    let own = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
    let lives = keeper.0.lives.borrow();
    let members: BTreeSet<u32> = lives.values().map(|life| life.generation.pid).collect();
    for child in children.unwrap_or_default().split_ascii_whitespace() {
        let Ok(number) = child.parse::<u32>() else {
            continue;
        };
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        let ours = members.contains(&number) || keeper.0.trial.get() == Some(number);
        let Some(pid) = pid.filter(|_| !ours) else {
            continue;
        };
        let take = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if let Ok(Some(status)) = rustix::process::waitid(WaitId::Pid(pid), take)
            && keeper.0.child.get() == Some(number)
        {
            host.ended(keeper, &status);
        }
    }
}

fn accept(keeper: &Keeper, stream: UnixStream, to_upgrade: mpsc::Sender<PathBuf>) {
    let us = rustix::process::geteuid().as_raw();
    let allowed = stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == us || peer.uid() == 0);
    let room = keeper.0.daemons.borrow().len() < CONNECTIONS;
    if !allowed || !room {
        note("a connection was refused");
        return;
    }
    let keeper = keeper.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = converse(&keeper, stream, to_upgrade).await {
            note(&format!("a connection broke: {}", plain(&error)));
        }
        keeper
            .0
            .daemons
            .borrow_mut()
            .retain(|daemon| !daemon.is_closed());
        keeper.0.less.notify_one();
    });
}

async fn converse(
    keeper: &Keeper,
    mut stream: UnixStream,
    to_upgrade: mpsc::Sender<PathBuf>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = Lines::new(reader, REQUEST_MAX);
    let (sender, mut messages) = mpsc::channel::<Message>(QUEUE);
    let hello = match lines.next().await? {
        Some(line) => serde_json::from_slice::<Request>(&line),
        None => return Ok(()),
    };
    let Ok(Request::Hello { protocol: PROTOCOL }) = hello else {
        // An upgrade must be possible from any protocol to any other.
        if let Ok(Request::Upgrade { program }) = hello {
            keeper.0.askers.borrow_mut().push(sender);
            drop(to_upgrade.try_send(program));
            // The connection closes when we are another program.
            return match messages.recv().await {
                Some(answer) => say(&mut writer, &answer).await,
                None => Ok(()),
            };
        }
        let why = format!("the first line must be a hello of protocol {PROTOCOL}");
        return say(&mut writer, &Message::Refused { why }).await;
    };
    let hello = Message::Hello {
        protocol: PROTOCOL,
        build: super::build(),
        pid: std::process::id(),
    };
    say(&mut writer, &hello).await?;
    keeper.0.daemons.borrow_mut().push(sender.clone());
    // The loop looks again whether it may end.
    keeper.0.less.notify_one();
    // The queue beside the keeper's, for answers.
    drop(sender);
    loop {
        tokio::select! {
            biased;
            message = messages.recv() => {
                // Cut off: it did not listen.
                let Some(message) = message else { return Ok(()) };
                say(&mut writer, &message).await?;
            }
            line = lines.next() => {
                let Some(line) = line? else { return Ok(()) };
                match serde_json::from_slice::<Request>(&line) {
                    Ok(request) => {
                        // What was told before is said before the answer.
                        while let Ok(message) = messages.try_recv() {
                            say(&mut writer, &message).await?;
                        }
                        if let Some(answer) = follow(keeper, request, &to_upgrade) {
                            say(&mut writer, &answer).await?;
                        }
                    }
                    Err(error) => {
                        let why = format!("not understood: {error}");
                        say(&mut writer, &Message::Refused { why }).await?;
                    }
                }
            }
        }
    }
}

async fn say(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    message: &Message,
) -> io::Result<()> {
    let line = line(message, MESSAGE_MAX).map_err(io::Error::other)?;
    writer.write_all(&line).await?;
    Point::KeeperLineSent.pass();
    Ok(())
}

fn follow(
    keeper: &Keeper,
    request: Request,
    to_upgrade: &mpsc::Sender<PathBuf>,
) -> Option<Message> {
    match request {
        Request::Hello { .. } => None,
        Request::Ping => Some(Message::Pong),
        Request::List => Some(Message::Listed(keeper.list())),
        Request::Act(order) => {
            keeper.take(*order);
            None
        }
        Request::Signal {
            path,
            generation,
            signal,
        } => {
            let life = keeper.life(&path).filter(|l| l.generation == generation);
            let sent = life.map(|life| signal_named(&signal).and_then(|s| life.signal(s)));
            let why = sent?.err()?;
            Some(Message::Refused { why })
        }
        Request::Adopt {
            path,
            generation,
            output,
        } => {
            let well = keeper.adopt(path.clone(), generation, None, output);
            Some(Message::Adopted {
                path,
                generation,
                well,
            })
        }
        Request::Output { path, output } => {
            keeper.redirect(&path, output);
            None
        }
        Request::Ack { exits, acts } => {
            keeper.acknowledge(&exits, &acts);
            None
        }
        Request::Upgrade { program } => {
            drop(to_upgrade.try_send(program));
            None
        }
    }
}

impl Keeper {
    /// Tries a program in a process beside us, and hands it on when it can go on.
    fn try_out(&self, program: PathBuf, held: &Held, to_become: mpsc::Sender<PathBuf>) {
        let trial = match upgrade::begin_trial(&program, &self.0.state_dir, &self.memory(held)) {
            Ok(trial) => trial,
            Err(error) => return self.refuse(&program, &error),
        };
        let pid = trial.pid;
        self.0.trial.set(Some(pid));
        let keeper = self.clone();
        tokio::task::spawn_local(async move {
            let judged = trial.judge().await;
            // Not reaped by anybody before this, so the pid is its own.
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                rustix::process::kill_process(pid, Signal::KILL).ok();
                // One that is not gone yet is reaped with the strangers.
                let options = rustix::process::WaitOptions::NOHANG;
                rustix::process::waitpid(Some(pid), options).ok();
            }
            keeper.0.trial.set(None);
            match judged {
                // The loop takes it; it has gone only with all of us.
                Ok(()) => drop(to_become.send(program).await),
                Err(error) => keeper.refuse(&program, &error),
            }
        });
    }

    /// Says why we stay what we are.
    fn refuse(&self, program: &Path, error: &io::Error) {
        let why = format!("cannot become `{}`: {}", program.display(), plain(error));
        note(&why);
        let refused = Message::Refused { why };
        for asker in self.0.askers.take() {
            // It may have gone.
            drop(asker.try_send(refused.clone()));
        }
        self.tell(&refused);
        self.0.less.notify_one();
    }

    /// Everything that another program must know to go on.
    fn memory(&self, held: &Held) -> Memory {
        let lives = self.0.lives.borrow();
        Memory {
            lock: held.lock.as_raw_fd(),
            listener: held.listener.as_raw_fd(),
            lives: lives
                .values()
                .map(|life| Remembered {
                    living: life.living(),
                    cgroup: life.cgroup.clone(),
                    known: life.known().into_iter().collect(),
                    output: life.output.borrow().clone(),
                    pipe: life.tap.borrow().as_ref().map(Tap::descriptor),
                })
                .collect(),
            acts: (self.0.acts.borrow().values())
                .chain(self.0.unnumbered.borrow().values())
                .cloned()
                .collect(),
            exits: self.0.exits.borrow().iter().cloned().collect(),
            forgotten: self.0.forgotten.get(),
            highest: self.0.highest.get(),
            daemon: self.0.child.get(),
            socket: held.socket,
        }
    }

    /// Becomes `program`; returns only when that failed, and then nothing has changed.
    fn upgrade(
        &self,
        program: &Path,
        held: &Held,
        state_dir: &Path,
        words: &[OsString],
    ) -> io::Error {
        Point::KeeperUpgrading.pass();
        let lives = self.0.lives.borrow();
        let hand_over = |over: bool| -> io::Result<()> {
            upgrade::inherit(held.lock.as_fd(), over)?;
            upgrade::inherit(held.listener.as_fd(), over)?;
            for life in lives.values() {
                if let Some(tap) = life.tap.borrow().as_ref() {
                    tap.hand_over(over)?;
                }
            }
            Ok(())
        };
        let memory = self.memory(held);
        let mut rest = Vec::new();
        if !words.is_empty() {
            rest.push(OsString::from("--"));
            rest.extend_from_slice(words);
        }
        let error = match hand_over(true) {
            Ok(()) => upgrade::become_program(program, state_dir, &rest, &memory),
            Err(error) => error,
        };
        drop(hand_over(false));
        error
    }
}

/// What the first process of a container does besides: it runs the daemon.
struct Host {
    /// Program and arguments; none when we are no first process.
    words: Vec<OsString>,
    /// The daemon was told to end.
    ending: bool,
    /// It has spoken to us.
    connected: bool,
    /// Some daemon has: what is wrong now was right once, and members run.
    served: bool,
    /// Daemons in a row that ended without speaking to us.
    failures: u32,
    /// How it ended.
    code: Option<u8>,
}

impl Host {
    fn run(&mut self, keeper: &Keeper) {
        let mut words = self.words.iter();
        let Some(program) = words.next() else { return };
        self.connected = false;
        self.code = None;
        match Command::new(program).arg0("checkd").args(words).spawn() {
            Ok(child) => keeper.0.child.set(Some(child.id())),
            Err(error) => {
                note(&format!("cannot run the daemon: {}", plain(&error)));
                self.code = Some(1);
            }
        }
    }

    fn pass(&mut self, keeper: &Keeper, signal: Signal) {
        if signal != Signal::HUP {
            self.ending = !self.words.is_empty();
        }
        let child = keeper.0.child.get().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = child.and_then(Pid::from_raw) {
            // Our child, which we have not reaped: nobody else can have its pid.
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    fn ended(&mut self, keeper: &Keeper, status: &WaitIdStatus) {
        keeper.0.child.set(None);
        self.code = Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => u8::try_from(code).unwrap_or(1),
            (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(1),
            (None, None) => 1,
        });
    }

    /// The exit code, when the daemon ended and shall not run again: it was told to end, or no daemon
    /// ever came to speak to us, so its configuration or its state directory is wrong.
    fn over(&self) -> Option<u8> {
        self.code.filter(|_| self.ending || !self.served)
    }

    /// Whether the daemon is to be run again.
    fn waits(&self) -> bool {
        self.code.is_some() && !self.ending && self.served
    }

    /// How long until then: longer each time that it does not come up, for a mistake in a file that
    /// nobody asked to load must not end the members that run.
    fn wait(&mut self) -> Duration {
        self.failures = if self.connected {
            0
        } else {
            self.failures.saturating_add(1)
        };
        let wait = (AGAIN * (1 << self.failures.min(6))).min(Duration::from_mins(1));
        if !self.connected {
            note(&format!(
                "the daemon ended before it came up (exit code {}); members run on, and it is tried \
                 again in {}s",
                self.code.unwrap_or(1),
                wait.as_secs()
            ));
        }
        wait
    }
}
