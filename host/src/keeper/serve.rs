//! The keeper's loop: its socket, the children that nobody else waits for, its own end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkd_core::Generation;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::points::Point;

use super::cgroup;
use super::converse::accept;
use super::host::{AGAIN, Host};
use super::life::Life;
use super::output::Tap;
use super::place::{Held, SOCKET, begin, identity};
use super::processes::Handle;
use super::protocol::Message;
use super::upgrade::{self, Memory, Remembered};
use super::{Keeper, Setup, note, plain};

/// How long a keeper waits for the daemon that started it.
const FIRST: Duration = Duration::from_secs(30);
/// How long a keeper without members keeps what no daemon has noted yet.
const MEMORY: Duration = Duration::from_mins(15);
/// How often, and how many times, a keeper tries to come back to its place.
const LOOK: Duration = Duration::from_millis(50);
const COME_BACK: u32 = 40;
/// How long members get to stop when no daemon is there to say how.
const PATIENCE: Duration = Duration::from_secs(10);
/// Children that end within so long are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);

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
