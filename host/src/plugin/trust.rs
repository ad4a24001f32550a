//! Who could change a library's file: looked at before anything of it runs.
//!
//! Loading a library runs its code as checkd's user. So whoever may write to the file, or put
//! another one in its place, must be root or checkd's user already.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};

use super::loader::Fault;

/// A file of this mode can be written by its group.
const GROUP_WRITES: u32 = 0o020;
/// A file of this mode can be written by everybody.
const OTHERS_WRITE: u32 = 0o002;
/// In a directory of this mode nobody renames or removes what is another's.
const STICKY: u32 = 0o1000;

/// So many facts are told at once.
const TOLD_MAX: usize = 5;

/// Refuses the library that was opened at `path` when others than root and this process's user can
/// change it, or any directory on the way to it.
pub(crate) fn look(path: &Path, opened: &File) -> Result<(), Fault> {
    let told = faults(path, opened)?;
    if told.is_empty() {
        return Ok(());
    }
    let more = told.len().saturating_sub(TOLD_MAX);
    let mut notes = told.into_iter().take(TOLD_MAX);
    let mut fault = Fault::new("C0214", notes.next().unwrap_or_default());
    for note in notes {
        fault = fault.note(note);
    }
    if more > 0 {
        fault = fault.note(format!("and {more} more directories"));
    }
    Err(fault
        .note("whoever can change it has their code run as checkd's user; it was not loaded")
        .help("take the right away (`chmod go-w`, `chown`), or pin the file's `sha256` in `[plugin.N]`"))
}

/// Who besides root and this process's user can change the file that was opened at `path`, or any
/// directory on the way to it: a line each.
pub(crate) fn faults(path: &Path, opened: &File) -> Result<Vec<String>, Fault> {
    let unreadable = |error: &io::Error| {
        let error = crate::manager::plain(error);
        Fault::new("C0201", format!("its owner cannot be found: {error}"))
    };
    let us = Us::now();
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

/// Who may change what we run.
#[derive(Clone, Copy, Debug)]
struct Us {
    user: u32,
    group: u32,
}

impl Us {
    fn now() -> Self {
        Self {
            user: geteuid().as_raw(),
            group: getegid().as_raw(),
        }
    }

    /// Why somebody else can change this file, or what is in this directory.
    fn objects(self, path: &Path, found: &Metadata, directory: bool) -> Option<String> {
        let path = path.display();
        let owner = found.uid();
        if owner != 0 && owner != self.user {
            let allowed = match self.user {
                0 => "root".to_owned(),
                user => format!("root or user {user}"),
            };
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
        let ours = group == 0 || group == self.group;
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
        assert_eq!(look(&path, &opened), Ok(()));
        fs::write(dir.path().join("other"), "second").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        let refused = look(&path, &opened).unwrap_err();
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
        assert_eq!(Us { user, group }.objects(&path, &found, false), None);
        let other = Us {
            user,
            group: group + 1,
        };
        let told = other.objects(&path, &found, false);
        assert_eq!(told.is_none(), group == 0, "{told:?}");
        let stranger = Us {
            user: user + 1,
            group,
        };
        let told = stranger.objects(&path, &found, false);
        assert_eq!(told.is_none(), user == 0, "{told:?}");
    }
}
