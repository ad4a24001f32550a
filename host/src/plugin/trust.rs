//! Who could change a plugin's files: looked at before anything of it runs.
//!
//! Loading a library, or starting a command, runs its code as the worker's user. So whoever may write
//! to the file, or put another one in its place, must be root, checkd's user or that user already.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};

use super::loader::{Fault, open};

/// A file of this mode can be written by its group.
const GROUP_WRITES: u32 = 0o020;
/// A file of this mode can be written by everybody.
const OTHERS_WRITE: u32 = 0o002;
/// In a directory of this mode nobody renames or removes what is another's.
const STICKY: u32 = 0o1000;

/// So many facts are told at once.
const TOLD_MAX: usize = 5;

/// Refuses the library that was opened at `path` when others than `us` can change it, or any
/// directory on the way to it.
pub(crate) fn look(path: &Path, opened: &File, us: Us) -> Result<(), Fault> {
    refuse(
        faults(path, opened, us)?,
        "loaded",
        "take the right away (`chmod go-w`, `chown`), or pin its `sha256`",
    )
}

/// Refuses a command when others than `us` can change one of the `files` that its words name, or any
/// directory on the way to one. What is no regular file is no script.
pub(crate) fn look_at_all(files: &[PathBuf], us: Us) -> Result<(), Fault> {
    let mut told: Vec<String> = Vec::new();
    for path in files {
        // One that cannot be opened is as one that is not there: the program will say so itself.
        let Ok(opened) = open(path) else { continue };
        for fault in faults(path, &opened, us)? {
            if !told.contains(&fault) {
                told.push(fault);
            }
        }
    }
    refuse(
        told,
        "started",
        "take the right away (`chmod go-w`, `chown`)",
    )
}

fn refuse(told: Vec<String>, not: &str, help: &str) -> Result<(), Fault> {
    let more = told.len().saturating_sub(TOLD_MAX);
    let mut notes = told.into_iter().take(TOLD_MAX);
    let Some(first) = notes.next() else {
        return Ok(());
    };
    let mut fault = Fault::new("C0214", first);
    for note in notes {
        fault = fault.note(note);
    }
    if more > 0 {
        fault = fault.note(format!("and {more} more"));
    }
    Err(fault
        .note(format!(
            "whoever can change it has their code run by checkd; it was not {not}"
        ))
        .help(help))
}

/// Who besides `us` can change the file that was opened at `path`, or any directory on the way to it:
/// a line each.
pub(crate) fn faults(path: &Path, opened: &File, us: Us) -> Result<Vec<String>, Fault> {
    let unreadable = |error: &io::Error| {
        let error = crate::manager::plain(error);
        Fault::new("C0201", format!("its owner cannot be found: {error}"))
    };
    let found = opened.metadata().map_err(|error| unreadable(&error))?;
    let written = std::path::absolute(path).map_err(|error| unreadable(&error))?;
    let real = path.canonicalize().map_err(|error| unreadable(&error))?;
    let there = real.metadata().map_err(|error| unreadable(&error))?;
    if (there.dev(), there.ino()) != (found.dev(), found.ino()) {
        return Err(Fault::new(
            "C0214",
            "it was replaced while it was looked at",
        ));
    }
    let mut told: Vec<String> = us.objects(&real, &found, false).into_iter().collect();
    // The way as it is written matters too: whoever may change a link on it names another file.
    let mut ways: Vec<PathBuf> = Vec::new();
    for directory in real.ancestors().skip(1).chain(written.ancestors().skip(1)) {
        let directory = directory.to_path_buf();
        if !ways.contains(&directory) {
            ways.push(directory);
        }
    }
    for directory in ways {
        let found = directory.metadata().map_err(|error| unreadable(&error))?;
        told.extend(us.objects(&directory, &found, true));
    }
    Ok(told)
}

/// Who may change what we run, beside root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us {
    user: u32,
    group: u32,
    /// The user and the group that the worker runs as, when it has some of its own.
    worker: Option<(u32, u32)>,
}

impl Us {
    /// This process's user, and the `worker`'s.
    pub(crate) fn now(worker: Option<(u32, u32)>) -> Self {
        Self {
            user: geteuid().as_raw(),
            group: getegid().as_raw(),
            worker,
        }
    }

    /// Why somebody else can change this file, or what is in this directory.
    fn objects(self, path: &Path, found: &Metadata, directory: bool) -> Option<String> {
        let path = path.display();
        let owner = found.uid();
        let (worker, workers_group) = self.worker.unzip();
        if owner != 0 && owner != self.user && Some(owner) != worker {
            let mut allowed = "root".to_owned();
            for user in [Some(self.user), worker].into_iter().flatten() {
                if user != 0 {
                    allowed.push_str(&format!(" or user {user}"));
                }
            }
            return Some(format!(
                "`{path}` belongs to user {owner}, not to {allowed}"
            ));
        }
        if directory && found.mode() & STICKY != 0 {
            return None;
        }
        let mode = found.mode() & 0o7777;
        if mode & OTHERS_WRITE != 0 {
            return Some(format!(
                "`{path}` can be changed by everybody: its mode is {mode:04o}"
            ));
        }
        // A group of our own is as good as its only user; root's has nobody who is not root.
        let group = found.gid();
        let ours = group == 0 || group == self.group || Some(group) == workers_group;
        (mode & GROUP_WRITES != 0 && !ours)
            .then(|| format!("`{path}` can be changed by group {group}: its mode is {mode:04o}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_replaced_while_it_is_looked_at_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.so");
        fs::write(&path, "first").unwrap();
        let opened = File::open(&path).unwrap();
        assert_eq!(look(&path, &opened, Us::now(None)), Ok(()));
        fs::write(dir.path().join("other"), "second").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        let refused = look(&path, &opened, Us::now(None)).unwrap_err();
        assert_eq!(refused.notes, ["it was replaced while it was looked at"]);
    }

    #[test]
    fn a_group_may_write_when_it_is_our_own_or_roots() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.so");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        let found = path.metadata().unwrap();
        let (user, group) = (found.uid(), found.gid());
        let us = |user, group, worker| Us {
            user,
            group,
            worker,
        };
        let objects = |us: Us| us.objects(&path, &found, false);
        assert_eq!(objects(us(user, group, None)), None);
        let told = objects(us(user, group + 1, None));
        assert_eq!(told.is_none(), group == 0, "{told:?}");
        let told = objects(us(user + 1, group, None));
        assert_eq!(told.is_none(), user == 0, "{told:?}");
        // The worker's own user changes what runs as itself.
        assert_eq!(objects(us(user + 1, group + 1, Some((user, group)))), None);
    }
}
