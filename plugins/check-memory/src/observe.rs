//! One look at `/proc`: the process alone through a file that stays open, or the tree below it.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::process::{Process, StatM};
use procfs::{FromRead as _, ProcError};

use crate::judge::{Blind, Held, Observation};
use crate::kept::{Kept, ROOM};

/// More processes than this are not walked: each costs time that others wait for.
pub(crate) const MOST_PROCESSES: usize = 4096;
/// A tree that changed during the walk is walked again, so often in all.
const WALKS: usize = 3;
/// After so many processes the walk lets others run.
const BREATH: usize = 32;

/// Where to look, and what stays open between looks.
#[derive(Debug)]
pub(crate) struct Proc {
    root: PathBuf,
    page: u64,
    /// The process's own figures. The kernel ties an open file to the process and not to its
    /// number, so it never speaks of a stranger who was given the number later.
    open: Option<(u32, Kept)>,
}

impl Proc {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            page: procfs::page_size(),
            open: None,
        }
    }

    /// Reads what `pid` holds.
    pub(crate) fn alone(&mut self, pid: u32) -> Observation {
        match self.own(pid) {
            Ok(rss) => Observation::Whole(Held { rss, processes: 1 }),
            Err(blind) => {
                self.open = None;
                Observation::Nothing(blind)
            }
        }
    }

    fn own(&mut self, pid: u32) -> Result<u64, Blind> {
        if self.open.as_ref().is_some_and(|(of, _)| *of != pid) {
            self.open = None;
        }
        let pages = if let Some((_, kept)) = &self.open {
            resident(pid, kept.file())?
        } else {
            let file = self.process(pid)?.open_relative("statm");
            let file = file.map_err(|e| blind(pid, &e))?;
            let pages = resident(pid, &file)?;
            self.open = ROOM.keep(file).map(|kept| (pid, kept));
            pages
        };
        // What has exited and was not yet waited for holds nothing, and is not healthy for it.
        if pages == 0 {
            Err(Blind::Gone(pid))
        } else {
            Ok(pages.saturating_mul(self.page))
        }
    }

    fn process(&self, pid: u32) -> Result<Process, Blind> {
        Process::new_with_root(self.root.join(pid.to_string())).map_err(|e| blind(pid, &e))
    }

    /// Reads what `pid` and all below it hold, while `remaining` says that there is time.
    pub(crate) async fn tree(&mut self, pid: u32, remaining: impl Fn() -> Duration) -> Observation {
        let mut most = Held::default();
        for _ in 0..WALKS {
            match self.walk(pid, &remaining).await {
                (held, None) => return Observation::Whole(held),
                (held, Some(blind)) => {
                    if held.rss > most.rss {
                        most = held;
                    }
                    if blind != Blind::Restless {
                        return if held.processes == 0 {
                            Observation::Nothing(blind)
                        } else {
                            Observation::Partial(most, blind)
                        };
                    }
                }
            }
        }
        Observation::Partial(most, Blind::Restless)
    }

    /// One walk: what was counted, and why not all of it.
    async fn walk(&mut self, pid: u32, remaining: &impl Fn() -> Duration) -> (Held, Option<Blind>) {
        let mut held = match self.own(pid) {
            Ok(rss) => Held { rss, processes: 1 },
            Err(blind) => {
                self.open = None;
                return (Held::default(), Some(blind));
            }
        };
        let mut seen = HashSet::from([pid]);
        let mut left = match self
            .process(pid)
            .and_then(|process| children(pid, &process))
        {
            Ok(children) => children,
            Err(blind) => return (held, Some(blind.in_a_tree())),
        };
        while let Some(next) = left.pop() {
            if !seen.insert(next) {
                continue;
            }
            if held.processes >= MOST_PROCESSES {
                return (held, Some(Blind::TooMany(MOST_PROCESSES)));
            }
            if held.processes.is_multiple_of(BREATH) {
                tokio::task::yield_now().await;
                if remaining().is_zero() {
                    return (held, Some(Blind::TimeUp));
                }
            }
            match self.child(next) {
                Ok((rss, children)) => {
                    held.rss = held.rss.saturating_add(rss);
                    held.processes += 1;
                    left.extend(children);
                }
                Err(blind) => return (held, Some(blind.in_a_tree())),
            }
        }
        (held, None)
    }

    /// What a process below holds, and its children. One that has exited and was not yet waited
    /// for holds nothing and has none.
    fn child(&self, pid: u32) -> Result<(u64, Vec<u32>), Blind> {
        let process = self.process(pid)?;
        let pages = process.statm().map_err(|e| blind(pid, &e))?.resident;
        Ok((pages.saturating_mul(self.page), children(pid, &process)?))
    }
}

impl Blind {
    /// Who is gone in the middle of a walk left its children to another parent, perhaps to one
    /// that was read before: the walk has to begin again.
    fn in_a_tree(self) -> Self {
        if matches!(self, Self::Gone(_)) {
            Self::Restless
        } else {
            self
        }
    }
}

/// The resident pages of a process, from its open `statm`.
fn resident(pid: u32, statm: &File) -> Result<u64, Blind> {
    let mut buffer = [0; 256];
    let length = statm
        .read_at(&mut buffer, 0)
        .map_err(|e| blind(pid, &e.into()))?;
    let text = buffer.get(..length).unwrap_or_default();
    let statm = StatM::from_read(text).map_err(|e| blind(pid, &e))?;
    Ok(statm.resident)
}

/// The children of each thread of a process.
fn children(pid: u32, process: &Process) -> Result<Vec<u32>, Blind> {
    let mut children = Vec::new();
    for task in process.tasks().map_err(|e| blind(pid, &e))? {
        match task.and_then(|task| task.children()) {
            Ok(of_task) => children.extend(of_task),
            Err(ProcError::NotFound(Some(path))) if path.ends_with("children") => {
                // A thread that ended in between, or a kernel that has no such file at all.
                let ended = !path.parent().is_some_and(Path::exists);
                return Err(if ended {
                    Blind::Gone(pid)
                } else {
                    Blind::NoChildren
                });
            }
            Err(error) => return Err(blind(pid, &error)),
        }
    }
    Ok(children)
}

fn blind(pid: u32, error: &ProcError) -> Blind {
    // Read from a file that was opened while the process lived: "no such process".
    const ESRCH: i32 = 3;
    match error {
        ProcError::NotFound(_) => Blind::Gone(pid),
        ProcError::PermissionDenied(_) => Blind::Forbidden(pid),
        ProcError::Io(error, _) if error.raw_os_error() == Some(ESRCH) => Blind::Gone(pid),
        ProcError::Io(error, _) => Blind::Unreadable(error.to_string().to_lowercase()),
        ProcError::Incomplete(_) => Blind::Unreadable("a file ended early".to_owned()),
        ProcError::Other(why) => Blind::Unreadable(why.to_lowercase()),
        ProcError::InternalError(why) => Blind::Unreadable(why.to_string().to_lowercase()),
    }
}
