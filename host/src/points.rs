//! The points between two durable steps, by name, so that a test can kill checkd at each of them.
//!
//! In builds with debug assertions a process of checkd whose environment holds `CHECKD_DIE`, the path
//! of a file, looks into that file at each point. Its first line says `NAME COUNT [PID]`: the process
//! kills itself (SIGKILL, no farewell) when it comes to the point `NAME` for the `COUNT`-th time, and
//! the process `PID` just before. The line then goes over to the file that ends in `.died`, and the
//! next one counts. In release builds a point compiles to nothing.

use clap::ValueEnum;

/// Every point. Each says what is durable when it is passed, and what is not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Point {
    // One act in the daemon, in the order in which it passes them.
    /// The engine wants an act; only this process knows.
    DaemonDecided,
    /// The intent is in the queue of the journal's writer; nothing is on disk.
    DaemonIntentQueued,
    /// The intent is in a transaction that is not committed.
    DaemonIntentWritten,
    /// The intent is on disk; the loop does not know that yet.
    DaemonIntentCommitted,
    /// The loop knows that the intent is stored; the engine does not.
    DaemonIntentTold,
    /// The engine let the act go; the keeper has not heard of it.
    DaemonActReleased,
    /// The order is on its way to the keeper: it may arrive or not.
    DaemonOrderQueued,
    /// A line to the keeper has left: the keeper will follow it.
    DaemonLineSent,
    /// The keeper said something (an end, a start, an act done) that only this process knows.
    DaemonAnswerRead,
    /// The loop took an end, a start or an outcome; nothing of it is with the journal.
    DaemonOutcomeHeard,
    /// The engine knows it, and all that follows is with the journal's writer; nothing is on disk.
    DaemonOutcomeNoted,
    /// A start or an end is in a transaction that is not committed.
    DaemonLifeWritten,
    /// A start or an end is on disk.
    DaemonLifeCommitted,
    /// The outcome is in a transaction that is not committed.
    DaemonOutcomeWritten,
    /// The outcome is on disk; the keeper still remembers the act.
    DaemonOutcomeCommitted,
    /// The keeper is about to be told that it may forget what is on disk.
    DaemonAcknowledging,

    // A daemon that comes back, with the act of the one before still open.
    /// The journal is open and read; nothing was asked of the keeper.
    DaemonJournalOpened,
    /// The keeper has told what it knows; the engine has not heard it.
    DaemonKeeperListed,
    /// The engine is restored; nothing that the keeper told has reached it.
    DaemonRestored,
    /// What the keeper told is with the loop, which has not begun.
    DaemonAnnounced,
    /// Everybody who lives is taken over; the loop has not begun.
    DaemonAdopted,

    // One act in the keeper.
    /// An order was read; nothing remembers it here.
    KeeperOrderRead,
    /// The order is remembered by its intent, as long as this process lives.
    KeeperOrderRemembered,
    /// The stop signal was sent; until when it may take is not remembered.
    KeeperStopSent,
    /// A member has ended; its tree may live, its output is in the pipe, its status with the kernel.
    KeeperEndSeen,
    /// Its tree is gone; the last of its output is in the pipe.
    KeeperTreeGone,
    /// Its output is in the file; its status is with the kernel.
    KeeperDrained,
    /// Its status is known to this process only.
    KeeperReaped,
    /// Its end is remembered and on its way to the daemon.
    KeeperExitTold,
    /// The way of the next life's output is open; there is no process.
    KeeperSpawning,
    /// The process runs; nothing but its environment says whose it is.
    KeeperSpawned,
    /// The process is watched, remembered, and its start on its way to the daemon.
    KeeperWatched,
    /// The act came to its end; it is not remembered that it did.
    KeeperActEnded,
    /// That it did is remembered and on its way to the daemon.
    KeeperDoneTold,
    /// A line to the daemon has left: the daemon will read it.
    KeeperLineSent,
    /// What the daemon has on disk is forgotten.
    KeeperAcknowledged,

    // A keeper that begins after another was killed.
    /// It holds the lock and listens; it knows of nobody.
    KeeperBegun,
    /// It has found whom the one before started.
    KeeperAdopted,

    // A keeper that goes on as another program.
    /// It is about to: everything is as ever.
    KeeperUpgrading,
    /// What it knows is written down and what it holds will stay open; the program is the old one.
    KeeperHandedOver,
    /// The new program runs and has read what the old one knew; nobody is watched.
    KeeperRecalled,
    /// Everybody is watched again, and acts go on.
    KeeperResumed,
}

impl Point {
    /// All of them.
    pub fn every() -> &'static [Self] {
        Self::value_variants()
    }

    /// The name: `daemon-intent-committed`.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Dies here, if that was asked for.
    #[inline]
    pub fn pass(self) {
        #[cfg(debug_assertions)]
        asked::pass(self);
    }
}

#[cfg(debug_assertions)]
mod asked {
    //! Whether to die, by the file that the environment names.

    use std::fs;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use rustix::process::{Pid, Signal, getpid, kill_process};

    use super::Point;

    pub(super) fn pass(point: Point) {
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let file = FILE.get_or_init(|| std::env::var_os("CHECKD_DIE").map(PathBuf::from));
        let Some(file) = file else { return };
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(text) = fs::read_to_string(file) else {
            return;
        };
        let (line, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(&point.name()) {
            return;
        }
        let count: u32 = words.next().and_then(|n| n.parse().ok()).unwrap_or(1);
        let other: Option<i32> = words.next().and_then(|pid| pid.parse().ok());
        if count > 1 {
            let pid = other.map_or_else(String::new, |pid| pid.to_string());
            let less = format!("{} {} {pid}\n{rest}", point.name(), count - 1);
            drop(replace(file, &less));
            return;
        }
        let died = file.with_extension("died");
        let before = fs::read_to_string(&died).unwrap_or_default();
        let written = replace(file, rest)
            .and_then(|()| replace(&died, &format!("{before}{}\n", point.name())));
        if written.is_ok() {
            for pid in [other.and_then(Pid::from_raw), Some(getpid())] {
                pid.map(|pid| kill_process(pid, Signal::KILL));
            }
        }
    }

    /// All of it or nothing: whoever reads never sees half.
    fn replace(file: &Path, text: &str) -> io::Result<()> {
        let new = file.with_extension(std::process::id().to_string());
        fs::write(&new, text)?;
        fs::rename(new, file)
    }
}
